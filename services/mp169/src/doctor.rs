//! `mp169 doctor`: what is wrong with the mesh, and what is to be done?

mod finding;
mod judge;
mod remedy;

use anyhow::Result;
use mesh_authz::InternalRole;

use crate::cli::connection::{Connection, Output};
use crate::exit::{NotWhole, Unwell, Warned};
use crate::learnt::Learnt;
use crate::output::print_line;
use crate::session::Session;

pub(crate) use finding::{Finding, Grade};
pub(crate) use judge::judge;

/// Carries out the command.
pub(crate) async fn run(connection: Connection) -> Result<()> {
    let session = Session::open(&connection, Some(InternalRole::Operator))?;
    let findings = judge(&Learnt::ask(&session).await);
    for finding in &findings {
        match connection.output {
            Output::Table => finding.print()?,
            Output::Json => print_line(&finding.line())?,
        }
    }
    let summary = Summary::of(&findings);
    if connection.output == Output::Table && summary.is_well() {
        print_line(&summary.says())?;
    }
    summary.ended()
}

/// How many checks came out how.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    all: usize,
    warnings: usize,
    wrong: usize,
    /// How many of those that are wrong say that something contradicts something.
    contradictions: usize,
}

impl Summary {
    pub(crate) fn of(findings: &[Finding]) -> Self {
        let count = |grade| findings.iter().filter(|one| one.grade == grade).count();
        Self {
            all: findings.len(),
            warnings: count(Grade::Warning),
            wrong: count(Grade::Wrong) + count(Grade::Contradiction),
            contradictions: count(Grade::Contradiction),
        }
    }

    pub(crate) const fn is_well(&self) -> bool {
        self.warnings == 0 && self.wrong == 0
    }

    pub(crate) fn says(&self) -> String {
        if self.is_well() {
            return format!("All is well, by {} checks.", self.all);
        }
        let Self {
            all,
            warnings,
            wrong,
            ..
        } = self;
        format!("of {all} checks {wrong} found something wrong, and {warnings} something to see to")
    }

    fn ended(self) -> Result<()> {
        let says = self.says();
        match self {
            Self {
                contradictions: 1..,
                ..
            } => Err(NotWhole(says).into()),
            Self { wrong: 1.., .. } => Err(Unwell(says).into()),
            Self { warnings: 1.., .. } => Err(Warned(says).into()),
            _ => Ok(()),
        }
    }
}
