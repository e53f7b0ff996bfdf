//! Short names: of communications providers and of SEC Parties.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The text is not a name of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Too short or too long.
    #[error("a name here has 1 to 32 of the characters {0}")]
    Length(&'static str),
    /// A character that names do not have.
    #[error("a name here has 1 to 32 of the characters {0}, and U+{code:04X} is none of them", code = u32::from(*.1))]
    Character(&'static str, char),
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $characters:literal, $allowed:pat) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if let Some(wrong) = text.chars().find(|c| !matches!(c, $allowed)) {
                    return Err(NameError::Character($characters, wrong));
                }
                if !(1..=32).contains(&text.len()) {
                    return Err(NameError::Length($characters));
                }
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// A CSP as the hubs' inventory names it: `north`, `central`, `south`, `4g`, or one still to
    /// come. It is a property of a Communications Hub, never of a postcode.
    CspId, "a-z, 0-9 and '-'", 'a'..='z' | '0'..='9' | '-'
}
name! {
    /// A SEC Party: the holder of one or more [`EntityId`](crate::EntityId)s, and what a metering
    /// point is registered to.
    PartyId, "A-Z, 0-9 and '-'", 'A'..='Z' | '0'..='9' | '-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_their_characters_and_length() {
        assert_eq!("4g".parse::<CspId>().unwrap().as_str(), "4g");
        assert_eq!("ACME-1".parse::<PartyId>().unwrap().as_str(), "ACME-1");
        for text in ["", "North", "no rth", "é", &"a".repeat(33)] {
            assert!(text.parse::<CspId>().is_err(), "{text}");
        }
        for text in ["", "acme", "ACME ", &"A".repeat(33)] {
            assert!(text.parse::<PartyId>().is_err(), "{text}");
        }
        let quoted = "\u{201C}ACME\u{201D}".parse::<PartyId>().unwrap_err();
        assert!(quoted.to_string().contains("U+201C"), "{quoted}");
    }
}
