//! What is wrong with a policy's text: every fault is named, with its table and row.

use std::fmt;

use super::Class;

/// One fault of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The file that it stands in.
    pub table: &'static str,
    /// The row, by its code or id; empty for the file as a whole.
    pub row: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What can be wrong with a row of a policy.
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
    /// The code or id has another row already.
    #[error("has more than one row")]
    Duplicate,
    /// No row describes what has to be described.
    #[error("has no row")]
    Absent,
    /// The rule is not in `rules.csv`.
    #[error("names the rule {0:?}, which does not exist")]
    NoSuchRule(String),
    /// A class that must always be delivered would be suppressed.
    #[error("suppresses the protected class {0}")]
    ProtectedSuppressed(Class),
    /// Something other than consumption would be suppressed.
    #[error("suppresses the class {0}, which is not consumption")]
    NotConsumption(Class),
    /// A GBCS-critical message would be suppressed that the manifest does not name.
    #[error("suppresses a critical message that suppress_critical does not name")]
    CriticalSuppressed,
    /// `suppress_critical` names what is not critical, so that its own row decides.
    #[error("is named in suppress_critical but is not critical")]
    NotCritical,
    /// The treatment has no meaning for a row of this table.
    #[error("has a treatment that does not fit it: {0}")]
    TreatmentMisplaced(&'static str),
    /// Two Service Request Variants share a body element.
    #[error("shares its body element with {0}")]
    BodyElementShared(String),
    /// The table says otherwise of a class than the code does, which cannot be changed by a policy.
    #[error("says otherwise than the code whether the class is protected")]
    Protection,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.row.is_empty() {
            write!(f, "{}: {}", self.table, self.problem)
        } else {
            write!(f, "{}, {}: {}", self.table, self.row, self.problem)
        }
    }
}

/// A policy that is refused, with every reason why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// The faults, in the order of the tables. Never empty.
    pub violations: Vec<Violation>,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the policy has {} fault(s)", self.violations.len())?;
        self.violations
            .iter()
            .try_for_each(|violation| write!(f, "; {violation}"))
    }
}

impl std::error::Error for PolicyError {}
