//! Which settings are secret, and how do they come from files?
//!
//! What clap is told not to show of the environment is secret. Each such setting has another that
//! names a file in which it stands: `--database-url-file` and `MP169_DATABASE_URL_FILE` beside
//! `--database-url`. The file is read once, at the start.

use std::path::{Path, PathBuf};

use clap::{Arg, Command};
use mesh_types::text::shown;

use super::judge::Values;
use super::{Configuration, Origin, Problem, is_secret};

/// How the name ends that names the file.
const ENDING: &str = "_file";

/// The same command, with a setting for the file of each secret.
pub(super) fn with_files(command: Command) -> Command {
    let secrets: Vec<_> = command
        .get_arguments()
        .filter(|arg| is_secret(arg))
        .filter_map(|arg| {
            Some((
                arg.get_id().to_string(),
                arg.get_long()?.to_owned(),
                arg.get_env(),
            ))
        })
        .map(|(id, long, variable)| {
            let file = Arg::new(format!("{id}{ENDING}"))
                .long(format!("{long}-file"))
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help(format!(
                    "A file that holds what --{long} would: one line, of which the end is dropped"
                ));
            match variable {
                Some(variable) => {
                    let mut variable = variable.to_owned();
                    variable.push("_FILE");
                    file.env(variable)
                }
                None => file,
            }
        })
        .collect();
    command.args(secrets)
}

impl Configuration {
    /// Takes secrets out of the files that are named for them.
    pub(super) fn take_secrets(&mut self, values: &mut Values) {
        let command = self.command.clone();
        for secret in command.get_arguments().filter(|arg| is_secret(arg)) {
            let id = secret.get_id().as_str();
            let Some(path) = values.in_force(&format!("{id}{ENDING}")) else {
                continue;
            };
            let path = PathBuf::from(path);
            let read = if values.in_force(id).is_some() {
                let long = secret.get_long().unwrap_or(id);
                Err(format!(
                    "--{long} and --{long}-file are both given: one of them has to go"
                ))
            } else {
                contents(&path)
            };
            match read {
                Ok(text) => {
                    let named = format!("{}: ", shown(&path.to_string_lossy()));
                    values.add(secret, vec![text.clone().into()], named);
                    self.default(id, vec![text.into()], Origin::Secret(path));
                }
                Err(text) => self.problems.push(Problem::of(secret, text)),
            }
        }
    }
}

/// The one line of a file.
fn contents(path: &Path) -> Result<String, String> {
    let read = std::fs::read_to_string(path);
    let mut text = read.map_err(|error| format!("{}: {error}", shown(&path.to_string_lossy())))?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}
