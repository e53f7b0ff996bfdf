//! What does a file of settings say?

use std::ffi::OsString;
use std::path::Path;

use clap::{Arg, ArgAction};
use mesh_types::text::shown;
use toml::de::{DeTable, DeValue};

use super::judge::Values;
use super::{Configuration, Origin, Problem, settings};
use crate::nearest::nearest;

/// One setting in a file.
struct Entry<'f> {
    name: &'f str,
    line: usize,
    value: &'f DeValue<'f>,
}

impl Configuration {
    /// Takes the settings of a file as defaults; what cannot be used is a problem.
    pub(super) fn take_file(&mut self, path: &Path, values: &mut Values) {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                let text = format!("{}: {error}", shown(&path.to_string_lossy()));
                return self.problems.push(Problem::general(text));
            }
        };
        let (table, errors) = DeTable::parse_recoverable(&text);
        for error in errors {
            let line = error.span().map_or(1, |span| line(&text, span.start));
            let said = at(path, line, error.message());
            self.problems.push(Problem::general(said));
        }
        let mut entries: Vec<_> = table.get_ref().iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let entry = Entry {
                name: name.get_ref(),
                line: line(&text, name.span().start),
                value: value.get_ref(),
            };
            self.take_entry(path, &entry, values);
        }
    }

    fn take_entry(&mut self, path: &Path, entry: &Entry<'_>, values: &mut Values) {
        let Entry { name, line, value } = *entry;
        let known = settings(&self.command).find(|(_, known)| *known == name);
        let Some((arg, _)) = known else {
            let like = meant(name, settings(&self.command).map(|(_, known)| known));
            let like = like.map_or_else(String::new, |like| format!(", did you mean `{like}`?"));
            let text = format!("there is no setting `{}`{like}", shown(name));
            return self.problems.push(Problem::general(at(path, line, &text)));
        };
        match texts(arg, value) {
            Ok(texts) => {
                let origin = Origin::Line(path.to_owned(), line);
                values.add(arg, texts.clone(), at(path, line, ""));
                let id = arg.get_id().to_string();
                self.default(&id, texts, origin);
            }
            Err(expected) => {
                let text = format!("`{name}` has to be {expected}");
                let problem = Problem::of(arg, at(path, line, &text));
                self.problems.push(problem);
            }
        }
    }
}

/// The texts that clap would be given for a value, or what it has to be instead.
fn texts(arg: &Arg, value: &DeValue<'_>) -> Result<Vec<OsString>, &'static str> {
    let expected = match arg.get_action() {
        ArgAction::SetTrue => "true or false",
        ArgAction::Append => "a list of texts or numbers",
        _ => "a text or a number",
    };
    let texts = match (arg.get_action(), value) {
        (ArgAction::SetTrue, DeValue::Boolean(value)) => Some(vec![value.to_string().into()]),
        (ArgAction::SetTrue, _) => None,
        (ArgAction::Append, DeValue::Array(values)) => {
            values.iter().map(|value| text(value.get_ref())).collect()
        }
        (_, value) => text(value).map(|text| vec![text]),
    };
    texts.ok_or(expected)
}

fn text(value: &DeValue<'_>) -> Option<OsString> {
    let text = match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => {
            let number = i64::from_str_radix(number.as_str(), number.radix()).ok()?;
            number.to_string()
        }
        DeValue::Float(number) => number.as_str().to_owned(),
        _ => return None,
    };
    Some(text.into())
}

/// The setting that is meant by a name.
fn meant<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    // What is written as for the environment is meant all the same.
    let name = name.to_lowercase().replace('_', "-");
    nearest(name.strip_prefix("mp169-").unwrap_or(&name), known)
}

fn line(text: &str, octet: usize) -> usize {
    let before = text.as_bytes().iter().take(octet);
    before.filter(|octet| **octet == b'\n').count() + 1
}

/// What is said of a line of a file.
fn at(path: &Path, line: usize, text: &str) -> String {
    format!("{}:{line}: {text}", shown(&path.to_string_lossy()))
}
