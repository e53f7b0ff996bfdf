//! Which settings are in force?

use std::ffi::OsStr;
use std::fmt;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches};
use mesh_types::text::shown;

use super::{Configuration, Origin, is_secret, lenient, settings};

/// What is shown of what must not be.
const HIDDEN: &str = "<hidden>";

/// All settings in force by their names, in the form of a file of settings. Secrets are hidden.
#[derive(Debug)]
pub(crate) struct Effective(Vec<Line>);

#[derive(Debug)]
struct Line {
    name: String,
    /// As TOML; `None` if it is not set.
    value: Option<String>,
    /// Where it came from.
    from: String,
    /// It stands in the file of a secret, which is named by another setting.
    apart: bool,
}

impl Configuration {
    /// What is in force, also where some of it cannot be used.
    pub(crate) fn effective(&self) -> Result<Effective, clap::Error> {
        let matches = self.matches(lenient(self.command.clone(), |_| true))?;
        let lines = settings(&self.command).map(|(arg, name)| self.line(arg, name, &matches));
        let mut lines: Vec<_> = lines.collect();
        lines.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Effective(lines))
    }

    fn line(&self, arg: &Arg, name: &str, matches: &ArgMatches) -> Line {
        let id = arg.get_id().as_str();
        let origin = self.origins.get(id);
        let (from, apart) = match (matches.value_source(id), origin) {
            (Some(ValueSource::CommandLine), _) => ("flag".to_owned(), false),
            (Some(ValueSource::EnvVariable), _) => {
                let variable = arg.get_env().unwrap_or_default();
                (format!("environment: {}", variable.display()), false)
            }
            (Some(_), Some(Origin::Line(path, line))) => (
                format!("file: {}:{line}", shown(&path.to_string_lossy())),
                false,
            ),
            (Some(_), Some(Origin::Secret(path))) => {
                (format!("secret: {}", shown(&path.to_string_lossy())), true)
            }
            (Some(_), None) => ("default".to_owned(), false),
            (None, _) => ("not set".to_owned(), false),
        };
        let texts = matches.get_raw(id);
        let texts = texts.map(|texts| texts.map(|text| told(arg, text)).collect::<Vec<_>>());
        let value = texts.map(|texts| match arg.get_action() {
            ArgAction::SetTrue => matches.get_flag(id).to_string(),
            ArgAction::Append => format!("[{}]", texts.join(", ")),
            _ => texts.concat(),
        });
        Line {
            name: name.to_owned(),
            value,
            from,
            apart,
        }
    }
}

impl Effective {
    /// In one line, without what was not set.
    pub(crate) fn in_one_line(&self) -> String {
        let set = self.0.iter().filter_map(|line| {
            let value = line.value.as_ref()?;
            Some(format!("{} = {value} ({})", line.name, line.from))
        });
        set.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.0 {
            let Line {
                name,
                from,
                apart,
                value,
            } = line;
            match value {
                Some(value) if *apart => writeln!(f, "# {name} = {value} # {from}")?,
                Some(value) => writeln!(f, "{name} = {value} # {from}")?,
                None => writeln!(f, "# {name} # {from}")?,
            }
        }
        Ok(())
    }
}

/// A value as TOML. A number stays one.
fn told(arg: &Arg, value: &OsStr) -> String {
    let value = value.to_string_lossy();
    if value
        .parse()
        .is_ok_and(|number: i64| number.to_string() == value)
    {
        return value.into_owned();
    }
    let value = without_secrets(&value, is_secret(arg));
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    // What cannot be seen is escaped as TOML has it too.
    format!("\"{}\"", shown(&value))
}

/// Hides the password of a URL, and all of what is secret and no URL whose parts are plain.
fn without_secrets(value: &str, secret: bool) -> String {
    let Some((scheme, rest)) = value.split_once("://") else {
        return if secret { HIDDEN } else { value }.to_owned();
    };
    if scheme == "sqlite" {
        return value.to_owned();
    }
    let (before, query) = match rest.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (rest, None),
    };
    let (authority, path) = match before.split_once('/') {
        Some((authority, path)) => (authority, Some(path)),
        None => (before, None),
    };
    // A password with a slash in it that was not escaped.
    let torn = [path, query]
        .into_iter()
        .flatten()
        .any(|part| part.contains('@'));
    if torn {
        return format!("{scheme}://{HIDDEN}");
    }
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:{HIDDEN}@{host}"),
            None => authority.to_owned(),
        },
        None => authority.to_owned(),
    };
    let path = path.map_or_else(String::new, |path| format!("/{path}"));
    let query = query.map_or_else(String::new, |query| {
        let parts = query.split('&').map(|part| match part.split_once('=') {
            Some((name, _)) if is_password(name) => format!("{name}={HIDDEN}"),
            _ => part.to_owned(),
        });
        format!("?{}", parts.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{authority}{path}{query}")
}

fn is_password(name: &str) -> bool {
    let name = name.to_lowercase();
    ["pass", "secret", "token", "key"]
        .iter()
        .any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        for (value, told) in [
            ("postgres://a:b@host/db", "postgres://a:<hidden>@host/db"),
            (
                "postgres://a:b:c@d@host:5/db?x=1",
                "postgres://a:<hidden>@host:5/db?x=1",
            ),
            (
                "postgres://a@host/db?password=b&sslmode=require",
                "postgres://a@host/db?password=<hidden>&sslmode=require",
            ),
            ("postgres://a:b/c@host/db", "postgres://<hidden>"),
            ("postgres://a:b?c@host/db", "postgres://<hidden>"),
            ("postgres://host/db", "postgres://host/db"),
            ("sqlite:///a/b@c.db", "sqlite:///a/b@c.db"),
            ("s3cret", "<hidden>"),
        ] {
            assert_eq!(without_secrets(value, true), told);
        }
        assert_eq!(without_secrets("info", false), "info");
        assert_eq!(
            without_secrets("http://a:b@host:4317", false),
            "http://a:<hidden>@host:4317"
        );
    }
}
