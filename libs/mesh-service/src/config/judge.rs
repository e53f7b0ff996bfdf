//! Can every value be used that was given?

use std::collections::BTreeMap;
use std::error::Error as _;
use std::ffi::{OsStr, OsString};

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::{Problem, is_given, is_secret, settings};

/// What was given for each setting, the strongest first. Also what a stronger one overrules has to make
/// sense.
#[derive(Debug, Default)]
pub(super) struct Values(BTreeMap<String, Vec<Value>>);

#[derive(Debug)]
struct Value {
    texts: Vec<OsString>,
    /// What a problem with it begins with.
    place: String,
}

impl Values {
    /// What flags and environment say.
    pub(super) fn given(command: &Command, given: &ArgMatches) -> Self {
        let mut values = Self::default();
        for (arg, _) in settings(command).filter(|(arg, _)| is_given(given, arg)) {
            let id = arg.get_id().as_str();
            let texts = given.get_raw(id).into_iter().flatten();
            let place = match (given.value_source(id), arg.get_env()) {
                (Some(ValueSource::EnvVariable), Some(variable)) => {
                    format!("{}: ", variable.display())
                }
                _ => String::new(),
            };
            values.add(arg, texts.map(OsStr::to_owned).collect(), place);
        }
        values
    }

    pub(super) fn add(&mut self, arg: &Arg, texts: Vec<OsString>, place: String) {
        let values = self.0.entry(arg.get_id().to_string()).or_default();
        values.push(Value { texts, place });
    }

    /// The first text of a setting's strongest value.
    pub(super) fn in_force(&self, id: &str) -> Option<&OsStr> {
        let strongest = self.0.get(id)?.first()?;
        strongest.texts.first().map(OsString::as_os_str)
    }
}

/// What is wrong with values, and which are missing.
pub(super) fn refused(command: &Command, values: &Values) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (arg, long) in settings(command) {
        let given = values.0.get(arg.get_id().as_str());
        let given = given.map_or(&[][..], Vec::as_slice);
        if given.is_empty() && arg.is_required_set() {
            problems.push(missing(arg, long));
        }
        problems.extend(given.iter().filter_map(|value| wrong(arg, long, value)));
    }
    problems
}

fn missing(arg: &Arg, long: &str) -> Problem {
    let variable = arg.get_env().map(OsStr::to_string_lossy);
    let variable = variable.map_or_else(String::new, |variable| format!(", {variable}"));
    let file = if is_secret(arg) {
        format!(", --{long}-file")
    } else {
        String::new()
    };
    Problem::of(
        arg,
        format!("`{long}` is not set: by --{long}{variable}{file}, or in the file of --config"),
    )
}

/// Hands clap one value alone, as a flag.
fn wrong(arg: &Arg, long: &str, value: &Value) -> Option<Problem> {
    if !arg.get_action().takes_values() {
        return None;
    }
    let alone = arg.clone().required(false).env(None::<&'static str>);
    let alone = Command::new("").no_binary_name(true).arg(alone);
    let flags = value.texts.iter().map(|text| {
        let mut flag = OsString::from(format!("--{long}="));
        flag.push(text);
        flag
    });
    let error = alone.try_get_matches_from(flags).err()?;
    let said = if is_secret(arg) {
        let why = error.source().map(ToString::to_string);
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        format!("the value of --{long} cannot be used{why}")
    } else {
        let said = error.to_string();
        let said = said.lines().next().unwrap_or_default();
        said.trim_start_matches("error: ").to_owned()
    };
    Some(Problem::of(arg, format!("{}{said}", value.place)))
}
