//! What does a supplier say when it changes a flag?

use std::str::FromStr;

use mesh_api::flag_registry::v1::{Channel, Declaration, Preference, StepKind};
use mesh_types::text::TextError;
use mesh_types::{PartyId, Text, Timestamp};

/// What a supplier asks for, with everything that it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// What it asks for.
    pub kind: WishKind,
    /// What it says.
    pub given: Given,
}

/// What a supplier asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WishKind {
    /// Set the flag.
    Add,
    /// Lift it.
    Remove,
    /// Record a change of tenancy; the choice says whether the flag is kept.
    Tenancy,
}

impl WishKind {
    /// The RPC that asks for it. A request has it in its key wherever it came in: one of a batch is the
    /// same request when it is sent alone.
    #[must_use]
    pub const fn rpc(self) -> &'static str {
        match self {
            Self::Add => "/mp169.flag_registry.v1.FlagService/AddFlag",
            Self::Remove => "/mp169.flag_registry.v1.FlagService/RemoveFlag",
            Self::Tenancy => "/mp169.flag_registry.v1.FlagService/RecordTenancyChange",
        }
    }
}

/// What a supplier says; all of it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The consumer's choice.
    pub choice: Choice,
    /// What was done before.
    pub attestation: Option<Attestation>,
    /// What is declared of the site.
    pub declarations: Option<Declarations>,
    /// When the new tenancy began, with a change of tenancy.
    pub tenancy_start: Option<Timestamp>,
}

/// The consumer's choice. Its enum values are never `Unspecified`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What the consumer wants.
    pub preference: Preference,
    /// When the consumer said so.
    pub captured: Timestamp,
    /// How.
    pub channel: Channel,
    /// The party that captured it.
    pub captured_by: PartyId,
    /// Where that party keeps the record.
    pub evidence: Reference,
}

/// The attestation that all reasonable steps were taken, complete or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// The steps, at most [`MAX_STEPS`].
    pub steps: Vec<Step>,
    /// Where the supplier keeps the record of the contact.
    pub contact: Option<Reference>,
}

/// The most steps that an attestation may have.
pub const MAX_STEPS: usize = 20;

/// A step that was taken. Its kind is never `Unspecified`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Which.
    pub kind: StepKind,
    /// When.
    pub taken: Timestamp,
}

/// What is declared of the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declarations {
    /// An Economy 7 or similar tariff.
    pub economy_7_or_similar: Declaration,
    /// Radio Teleswitch.
    pub radio_teleswitch: Declaration,
    /// A potential network-managed site with no WAN.
    pub network_managed_without_wan: Declaration,
}

/// A reference into a supplier's own records: a [`Text`] of 1 to 100 characters, all of them ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference(Text<1, 100>);

/// The text is not a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It is not text.
    #[error(transparent)]
    Text(#[from] TextError),
    /// It holds a character of another alphabet.
    #[error("a reference is ASCII, and holds U+{:04X}", u32::from(*.0))]
    NotAscii(char),
}

impl Reference {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read: Text<1, 100> = text.parse()?;
        match read.as_str().chars().find(|c| !c.is_ascii()) {
            None => Ok(Self(read)),
            Some(other) => Err(ReferenceError::NotAscii(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_short_and_printable() {
        for text in ["x", "CRM-2026/000123", "a b", &"x".repeat(100)] {
            assert_eq!(text.parse::<Reference>().unwrap().as_str(), text);
        }
        for text in ["", " ", "é", "a\nb", "\u{7f}", &"x".repeat(101)] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
        assert_eq!(
            "CRM-é".parse::<Reference>(),
            Err(ReferenceError::NotAscii('é'))
        );
        let reversed = "CRM-\u{202E}".parse::<Reference>().unwrap_err();
        assert!(reversed.to_string().contains("U+202E"), "{reversed}");
    }
}
