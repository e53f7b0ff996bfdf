//! Which business process does a Service Request Variant belong to?
//!
//! The table is data: [`TableText`] is what people review, [`BusinessProcesses`] what reports read. Only a
//! text without a fault becomes a table. `policy/README.md` says whose mapping it is.

mod build;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use crate::outcome::Variant;

pub use build::{Fault, Problem, TableError};

/// The text of a table: a TOML manifest and two CSV files, each with a header line.
#[derive(Debug, Clone)]
pub struct TableText {
    /// `policy.toml`: name, version, and the process of what is not listed.
    pub manifest: Cow<'static, str>,
    /// `business_processes.csv`: each process.
    pub processes: Cow<'static, str>,
    /// `service_requests.csv`: each variant with its process.
    pub service_requests: Cow<'static, str>,
}

/// The key of a business process, such as `billing-reads`: 1 to 32 of a-z, 0-9 and '-'.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessKey(Arc<str>);

/// The text is no key of a business process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("has 1 to 32 of a-z, 0-9 and '-'")]
pub struct ProcessKeyError;

/// A business process: what Users do, in the words of their trade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusinessProcess {
    /// Its key.
    pub key: ProcessKey,
    /// Its name.
    pub name: Box<str>,
    /// What belongs to it, in one sentence.
    pub meaning: Box<str>,
}

/// The business process of every variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusinessProcesses {
    name: Box<str>,
    version: Box<str>,
    processes: Vec<BusinessProcess>,
    by_variant: HashMap<Variant, ProcessKey>,
    unlisted: ProcessKey,
}

impl TableText {
    /// The text that is compiled in.
    #[must_use]
    pub const fn builtin() -> Self {
        Self {
            manifest: Cow::Borrowed(include_str!("../policy/policy.toml")),
            processes: Cow::Borrowed(include_str!("../policy/business_processes.csv")),
            service_requests: Cow::Borrowed(include_str!("../policy/service_requests.csv")),
        }
    }
}

impl BusinessProcesses {
    /// The table of `text`, or everything that is wrong with it.
    pub fn load(text: &TableText) -> Result<Self, TableError> {
        build::build(text)
    }

    /// The table that is compiled in.
    #[must_use]
    pub fn builtin() -> &'static Self {
        static BUILTIN: LazyLock<BusinessProcesses> = LazyLock::new(|| {
            let table = BusinessProcesses::load(&TableText::builtin());
            table.expect("the compiled-in text is checked by this crate's tests")
        });
        &BUILTIN
    }

    /// The table of an edition: of these variants, which are all that it has.
    #[must_use]
    pub fn of_edition(version: &str, by_variant: BTreeMap<Variant, ProcessKey>) -> Self {
        let builtin = Self::builtin();
        Self {
            name: builtin.name.clone(),
            version: version.into(),
            processes: builtin.processes.clone(),
            by_variant: by_variant.into_iter().collect(),
            unlisted: builtin.unlisted.clone(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version, which every report names.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The processes, in the order of the table.
    #[must_use]
    pub fn processes(&self) -> &[BusinessProcess] {
        &self.processes
    }

    /// Whether the table has this process.
    #[must_use]
    pub fn has(&self, key: &ProcessKey) -> bool {
        self.processes.iter().any(|process| process.key == *key)
    }

    /// The process of a variant. One that the table does not list belongs to
    /// [`unlisted`](Self::unlisted).
    #[must_use]
    pub fn of(&self, variant: &Variant) -> &ProcessKey {
        self.by_variant.get(variant).unwrap_or(&self.unlisted)
    }

    /// The process of what the table does not list.
    #[must_use]
    pub const fn unlisted(&self) -> &ProcessKey {
        &self.unlisted
    }

    /// The variants that the table lists, each with its process.
    #[must_use]
    pub fn variants(&self) -> BTreeMap<&Variant, &ProcessKey> {
        self.by_variant.iter().collect()
    }
}

impl ProcessKey {
    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProcessKey {
    type Err = ProcessKeyError;

    fn from_str(text: &str) -> Result<Self, ProcessKeyError> {
        let known = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if (1..=32).contains(&text.len()) && text.bytes().all(known) {
            Ok(Self(text.into()))
        } else {
            Err(ProcessKeyError)
        }
    }
}

impl fmt::Display for ProcessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
