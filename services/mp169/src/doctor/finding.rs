//! What came of one check?

use anyhow::Result;
use serde_json::{Value, json};

use super::remedy::Remedy;
use crate::output::print_line;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grade {
    /// As it should be.
    Ok,
    /// It will be wrong if nobody does anything.
    Warning,
    /// It is wrong.
    Wrong,
    /// What is stored or was seen contradicts itself.
    Contradiction,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Check {
    Certificate,
    Answer,
    Health,
    Clock,
    Database,
    Follower,
    Freshness,
    Csp,
    DenyList,
    Version,
}

/// What came of looking at one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) check: Check,
    /// At what.
    pub(crate) subject: String,
    pub(crate) grade: Grade,
    /// How it is, in a sentence without a capital and a full stop.
    pub(crate) says: String,
    /// What to do about it, unless it is as it should be.
    pub(crate) remedy: Option<Remedy>,
}

impl Grade {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Wrong | Self::Contradiction => "wrong",
        }
    }
}

impl Check {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Answer => "answer",
            Self::Health => "health",
            Self::Clock => "clock",
            Self::Database => "database",
            Self::Follower => "follower",
            Self::Freshness => "freshness",
            Self::Csp => "csp",
            Self::DenyList => "deny-list",
            Self::Version => "version",
        }
    }

    pub(crate) fn ok(self, subject: impl Into<String>, says: impl Into<String>) -> Finding {
        Finding {
            check: self,
            subject: subject.into(),
            grade: Grade::Ok,
            says: says.into(),
            remedy: None,
        }
    }

    /// Something that is not as it should be.
    pub(crate) fn bad(
        self,
        grade: Grade,
        subject: impl Into<String>,
        says: impl Into<String>,
        remedy: Remedy,
    ) -> Finding {
        Finding {
            grade,
            remedy: Some(remedy),
            ..self.ok(subject, says)
        }
    }
}

impl Finding {
    pub(super) fn print(&self) -> Result<()> {
        let (grade, check) = (self.grade.as_str(), self.check.as_str());
        print_line(&format_args!(
            "{grade:<8} {check:<12} {}: {}",
            self.subject, self.says
        ))?;
        if let Some(remedy) = &self.remedy {
            print_line(&format_args!(
                "         do: {} (docs/operations.md, “{}”)",
                remedy.what, remedy.section
            ))?;
        }
        Ok(())
    }

    pub(super) fn line(&self) -> Value {
        let mut line = json!({
            "check": self.check.as_str(),
            "subject": self.subject,
            "grade": self.grade.as_str(),
            "says": self.says,
        });
        if let Some(remedy) = &self.remedy {
            line["do"] = remedy.what.into();
            line["see"] = format!("docs/operations.md: {}", remedy.section).into();
        }
        line
    }
}
