//! From text to table: reads each file and names every fault.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{BusinessProcess, BusinessProcesses, ProcessKey, TableText};
use crate::outcome::Variant;

const MANIFEST: &str = "policy.toml";
const PROCESSES: &str = "business_processes.csv";
const SERVICE_REQUESTS: &str = "service_requests.csv";

/// One fault of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file that it stands in.
    pub file: &'static str,
    /// The row, by its key; empty for the file as a whole.
    pub row: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file, or a row of it, cannot be read.
    #[error("cannot be read: {0}")]
    Malformed(String),
    /// A column holds a value that it cannot hold.
    #[error("{column} cannot be {value:?}")]
    Value {
        /// The column.
        column: &'static str,
        /// What stands there.
        value: String,
    },
    /// The key has another row already.
    #[error("has more than one row")]
    Duplicate,
    /// The process is not in `business_processes.csv`.
    #[error("names the process {0:?}, which does not exist")]
    NoSuchProcess(String),
    /// A row names the process of what has no row.
    #[error("names the process of what is not listed")]
    Unlisted,
    /// No variant belongs to the process.
    #[error("has no variant")]
    Empty,
}

/// A table that is refused, with every reason why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableError {
    /// The faults, in the order of the files. Never empty.
    pub faults: Vec<Fault>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    name: String,
    version: String,
    unlisted: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProcessRow {
    process: String,
    name: String,
    meaning: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceRequestRow {
    variant: String,
    process: String,
}

pub(super) fn build(text: &TableText) -> Result<BusinessProcesses, TableError> {
    let mut builder = Builder::default();
    let manifest = builder.manifest(&text.manifest);
    let processes = builder.processes(&text.processes);
    let by_variant = builder.service_requests(&text.service_requests);
    let unlisted = manifest
        .as_ref()
        .and_then(|manifest| builder.fits(&processes, &by_variant, &manifest.unlisted));
    match (manifest, unlisted) {
        (Some(manifest), Some(unlisted)) if builder.faults.is_empty() => Ok(BusinessProcesses {
            name: manifest.name.into(),
            version: manifest.version.into(),
            processes,
            by_variant: by_variant.into_iter().collect(),
            unlisted,
        }),
        _ => Err(TableError {
            faults: builder.faults,
        }),
    }
}

#[derive(Default)]
struct Builder {
    faults: Vec<Fault>,
}

impl Builder {
    fn fault(&mut self, file: &'static str, row: &str, problem: Problem) {
        let row = row.to_owned();
        self.faults.push(Fault { file, row, problem });
    }

    fn filled(&mut self, file: &'static str, row: &str, column: &'static str, value: &str) {
        if value.trim().is_empty() {
            let value = value.to_owned();
            self.fault(file, row, Problem::Value { column, value });
        }
    }

    /// What stands in a column, if it can stand there.
    fn value<T: FromStr>(
        &mut self,
        file: &'static str,
        row: &str,
        column: &'static str,
        value: &str,
    ) -> Option<T> {
        let read = value.parse().ok();
        if read.is_none() {
            let value = value.to_owned();
            self.fault(file, row, Problem::Value { column, value });
        }
        read
    }

    fn manifest(&mut self, text: &str) -> Option<Manifest> {
        match toml::from_str::<Manifest>(text) {
            Ok(manifest) => {
                self.filled(MANIFEST, "", "name", &manifest.name);
                self.filled(MANIFEST, "", "version", &manifest.version);
                Some(manifest)
            }
            Err(error) => {
                let problem = Problem::Malformed(error.message().to_owned());
                self.fault(MANIFEST, "", problem);
                None
            }
        }
    }

    /// The rows of a file; the key of each must be new.
    fn rows<R: DeserializeOwned>(
        &mut self,
        file: &'static str,
        text: &str,
        key: impl Fn(&R) -> &str,
    ) -> Vec<R> {
        let mut seen = HashSet::new();
        let mut rows = Vec::new();
        for row in csv::Reader::from_reader(text.as_bytes()).into_deserialize::<R>() {
            match row {
                Ok(row) => {
                    if !seen.insert(key(&row).to_owned()) {
                        self.fault(file, key(&row), Problem::Duplicate);
                    }
                    rows.push(row);
                }
                Err(error) => self.fault(file, "", Problem::Malformed(error.to_string())),
            }
        }
        rows
    }

    fn processes(&mut self, text: &str) -> Vec<BusinessProcess> {
        let mut processes = Vec::new();
        for row in self.rows(PROCESSES, text, |row: &ProcessRow| &row.process) {
            self.filled(PROCESSES, &row.process, "name", &row.name);
            self.filled(PROCESSES, &row.process, "meaning", &row.meaning);
            let key = self.value(PROCESSES, &row.process, "process", &row.process);
            processes.extend(key.map(|key| BusinessProcess {
                key,
                name: row.name.into(),
                meaning: row.meaning.into(),
            }));
        }
        processes
    }

    fn service_requests(&mut self, text: &str) -> Vec<(Variant, ProcessKey)> {
        let mut by_variant = Vec::new();
        let file = SERVICE_REQUESTS;
        for row in self.rows(file, text, |row: &ServiceRequestRow| &row.variant) {
            let variant = self.value(file, &row.variant, "variant", &row.variant);
            let process = self.value(file, &row.variant, "process", &row.process);
            by_variant.extend(variant.zip(process));
        }
        by_variant
    }

    /// Whether the files fit each other. Gives the process of what is not listed.
    fn fits(
        &mut self,
        processes: &[BusinessProcess],
        by_variant: &[(Variant, ProcessKey)],
        unlisted: &str,
    ) -> Option<ProcessKey> {
        let unlisted: ProcessKey = self.value(MANIFEST, "", "unlisted", unlisted)?;
        let mut variants: HashMap<&ProcessKey, usize> =
            processes.iter().map(|process| (&process.key, 0)).collect();
        if !variants.contains_key(&unlisted) {
            self.fault(MANIFEST, "", Problem::NoSuchProcess(unlisted.to_string()));
        }
        for (variant, process) in by_variant {
            if *process == unlisted {
                self.fault(SERVICE_REQUESTS, variant.as_str(), Problem::Unlisted);
            }
            match variants.get_mut(process) {
                Some(variants) => *variants += 1,
                None => {
                    let problem = Problem::NoSuchProcess(process.to_string());
                    self.fault(SERVICE_REQUESTS, variant.as_str(), problem);
                }
            }
        }
        for process in processes.iter().map(|process| &process.key) {
            if variants.get(process) == Some(&0) && *process != unlisted {
                self.fault(PROCESSES, process.as_str(), Problem::Empty);
            }
        }
        Some(unlisted)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.row.is_empty() {
            write!(f, "{}: {}", self.file, self.problem)
        } else {
            write!(f, "{}, {}: {}", self.file, self.row, self.problem)
        }
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the table of business processes has {} fault(s)",
            self.faults.len()
        )?;
        self.faults
            .iter()
            .try_for_each(|fault| write!(f, "; {fault}"))
    }
}

impl std::error::Error for TableError {}
