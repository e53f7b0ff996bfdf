//! Where do a service's settings come from?
//!
//! From a TOML file, the environment and flags, in rising strength, under one name each: `listen` in
//! the file, `MP169_LISTEN`, `--listen`. clap knows flags and environment; what stands in the file it is
//! handed as defaults, so that one rule holds for all three, and one set of messages. What can be wrong
//! is looked for in every value by itself, so that all problems are told at once.

mod effective;
mod file;
mod judge;
mod secret;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, CommandFactory, FromArgMatches};

use crate::ProcessSettings;

use judge::Values;

/// What is asked of the process besides its settings.
#[derive(Debug, Args)]
struct Ways {
    /// A file with settings, TOML: `listen = "127.0.0.1:7001"`. The environment is stronger than the
    /// file, and flags are stronger than both.
    #[arg(long, env = "MP169_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask the process that serves with the same settings whether it serves, print one line, and end:
    /// with exit code 0 only if it does.
    #[arg(long, conflicts_with = "check_config")]
    probe: bool,
    /// Read everything, print the settings in force, and end: with exit code 0 if all of it can be used.
    #[arg(long)]
    check_config: bool,
}

/// What the process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// To serve.
    Serve,
    /// To ask whether another one serves.
    Probe,
    /// To say what would be in force.
    Check,
}

/// Why something of the configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The setting, if it is about one.
    setting: Option<String>,
    text: String,
}

impl Problem {
    fn of(setting: &Arg, text: impl Into<String>) -> Self {
        Self {
            setting: Some(setting.get_id().to_string()),
            text: text.into(),
        }
    }

    pub(crate) fn general(text: impl Into<String>) -> Self {
        Self {
            setting: None,
            text: text.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Where a default comes from that is not the program's own.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    /// A line of the file of settings.
    Line(PathBuf, usize),
    /// The file in which a secret is.
    Secret(PathBuf),
}

/// All settings that were given.
#[derive(Debug)]
pub(crate) struct Configuration {
    /// Its defaults are what the file says.
    command: Command,
    arguments: Vec<OsString>,
    /// Of those defaults.
    origins: BTreeMap<String, Origin>,
    problems: Vec<Problem>,
    way: Way,
}

impl Configuration {
    /// That of this process, whose settings are a `C`.
    ///
    /// # Errors
    /// If help was asked for, or flags are not written as they must be.
    pub(crate) fn of<C: CommandFactory>() -> Result<Self, clap::Error> {
        Self::read(C::command(), std::env::args_os().collect())
    }

    fn read(command: Command, arguments: Vec<OsString>) -> Result<Self, clap::Error> {
        let command = secret::with_files(Ways::augment_args(command));
        let given = lenient(command.clone(), |_| true).try_get_matches_from(&arguments)?;
        let way = match (given.get_flag("probe"), given.get_flag("check_config")) {
            (true, _) => Way::Probe,
            (_, true) => Way::Check,
            _ => Way::Serve,
        };
        let mut configuration = Self {
            command,
            arguments,
            origins: BTreeMap::new(),
            problems: Vec::new(),
            way,
        };
        let mut values = Values::given(&configuration.command, &given);
        if let Some(path) = given.get_raw("config").and_then(|mut raw| raw.next()) {
            configuration.take_file(Path::new(path), &mut values);
        }
        configuration.take_secrets(&mut values);
        let refused = judge::refused(&configuration.command, &values);
        configuration.problems.extend(refused);
        Ok(configuration)
    }

    pub(crate) const fn way(&self) -> Way {
        self.way
    }

    pub(crate) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// All settings.
    pub(crate) fn settings<C: FromArgMatches>(
        &self,
    ) -> Result<(C, ProcessSettings), SettingsError> {
        if !self.problems.is_empty() {
            return Err(SettingsError::Problems(self.problems.clone()));
        }
        let matches = self.matches(self.command.clone())?;
        let process = ProcessSettings::from_arg_matches(&matches)?;
        Ok((C::from_arg_matches(&matches)?, process))
    }

    /// Those that all services have, whatever the others are.
    pub(crate) fn process_settings(&self) -> Result<ProcessSettings, SettingsError> {
        let own = ProcessSettings::augment_args(Command::new(""));
        let own: BTreeSet<_> = own
            .get_arguments()
            .map(|arg| arg.get_id().clone())
            .collect();
        let matter = |problem: &&Problem| {
            let setting = problem.setting.as_deref();
            setting.is_none_or(|setting| own.iter().any(|id| id == setting))
        };
        let problems: Vec<_> = self.problems.iter().filter(matter).cloned().collect();
        if !problems.is_empty() {
            return Err(SettingsError::Problems(problems));
        }
        let command = lenient(self.command.clone(), |arg| !own.contains(arg.get_id()));
        let matches = self.matches(command)?;
        Ok(ProcessSettings::from_arg_matches(&matches)?)
    }

    fn matches(&self, command: Command) -> Result<ArgMatches, clap::Error> {
        command.try_get_matches_from(&self.arguments)
    }

    /// Makes of a setting's values its default.
    fn default(&mut self, setting: &str, values: Vec<OsString>, origin: Origin) {
        let command = std::mem::take(&mut self.command);
        self.command = command.mut_arg(setting, |arg| arg.required(false).default_values(values));
        self.origins.insert(setting.to_owned(), origin);
    }
}

/// The settings of a command: what can stand in a file.
fn settings(command: &Command) -> impl Iterator<Item = (&Arg, &str)> {
    let ways = ["config", "probe", "check_config"];
    let settings = command.get_arguments();
    let settings = settings.filter(move |arg| {
        let kind = arg.get_action();
        let asks = matches!(kind, ArgAction::Help | ArgAction::Version);
        !asks && !ways.contains(&arg.get_id().as_str())
    });
    settings.filter_map(|arg| Some((arg, arg.get_long()?)))
}

/// The same command, taking any text or none for some of its arguments.
fn lenient(command: Command, some: impl Fn(&Arg) -> bool) -> Command {
    command.mut_args(|arg| {
        if !some(&arg) {
            return arg;
        }
        let arg = arg.required(false);
        if arg.get_action().takes_values() {
            arg.value_parser(clap::value_parser!(OsString))
        } else {
            arg
        }
    })
}

/// Whether a setting was given by a flag or the environment.
fn is_given(matches: &ArgMatches, arg: &Arg) -> bool {
    let source = matches.value_source(arg.get_id().as_str());
    source.is_some_and(|source| source != ValueSource::DefaultValue)
}

/// Why the settings of a process cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// Flags are not written as they must be.
    #[error(transparent)]
    Flags(#[from] clap::Error),
    /// All that is wrong, a line each.
    #[error("{}", lines(.0))]
    Problems(Vec<Problem>),
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Whether a setting is secret: clap is told not to show it.
fn is_secret(arg: &Arg) -> bool {
    arg.is_hide_env_values_set()
}

#[cfg(test)]
mod tests;
