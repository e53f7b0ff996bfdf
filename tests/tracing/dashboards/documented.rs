//! Does docs/telemetry.md say of each metric what it is?

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{project, read};
use crate::otlp::{self, Emitted};

/// How an instrument is made, in the sources.
const INSTRUMENTS: [&str; 8] = [
    "u64_counter(",
    "u64_observable_counter(",
    "i64_up_down_counter(",
    "i64_observable_up_down_counter(",
    "f64_histogram(",
    "u64_histogram(",
    "_gauge(",
    "seconds(",
];

/// Compares the table with the sources, for the names, and with what was emitted, for the rest.
pub(super) fn check() {
    let documented = table();
    let mut faults = Vec::new();
    let named: BTreeSet<&str> = documented.keys().map(String::as_str).collect();
    let made = instruments();
    let made: BTreeSet<&str> = made.iter().map(String::as_str).collect();
    faults.extend(
        made.difference(&named)
            .map(|name| format!("{name} is not documented")),
    );
    faults.extend(
        named
            .difference(&made)
            .map(|name| format!("{name} is no instrument")),
    );
    for (name, emitted) in otlp::emitted() {
        if let Some(said) = documented.get(&name)
            && said != &emitted
        {
            faults.push(format!("{name} is {}", row(&name, &emitted)));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

fn row(name: &str, emitted: &Emitted) -> String {
    let labels: Vec<_> = emitted
        .labels
        .iter()
        .map(|label| format!("`{label}`"))
        .collect();
    let unit = match emitted.unit.as_str() {
        "" => String::new(),
        unit => format!("`{unit}`"),
    };
    let (labels, meaning) = (labels.join(", "), &emitted.description);
    format!("| `{name}` | {unit} | {labels} | {meaning} |")
}

/// The rows of all tables of metrics.
fn table() -> BTreeMap<String, Emitted> {
    let text = read("docs/telemetry.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, unit, labels, meaning] = cells[..] else {
            panic!("{line}");
        };
        let plain = |cell: &str| cell.trim_matches('`').to_owned();
        let labels = labels
            .split(", ")
            .map(plain)
            .filter(|label| !label.is_empty());
        let emitted = Emitted {
            unit: plain(unit),
            labels: labels.collect(),
            description: meaning.to_owned(),
        };
        (plain(name), emitted)
    });
    rows.collect()
}

/// The names that instruments get in the sources of libraries and services.
fn instruments() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in ["libs", "services"] {
        gather(&project(folder), &mut names);
    }
    assert!(names.len() > 30, "{names:?}");
    names
}

fn gather(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            gather(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let text: String = text.split_whitespace().collect();
            for instrument in INSTRUMENTS {
                let made = text.split(instrument).skip(1);
                let quoted = made.filter_map(|made| made.strip_prefix('"'));
                let found = quoted.filter_map(|made| made.split('"').next());
                let ours = |name: &&str| {
                    let begins = ["mp169.", "rpc.", "db."];
                    begins.iter().any(|begin| name.starts_with(begin))
                };
                // Those of tests have names that nobody would give.
                let real = |name: &&str| !["mp169.calls", "mp169.time"].contains(name);
                names.extend(found.filter(ours).filter(real).map(str::to_owned));
            }
        }
    }
}
