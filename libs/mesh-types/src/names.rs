//! Short names: of communications providers and of SEC Parties.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The text is not a name of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name here has 1 to 32 of the characters {0}")]
pub struct NameError(&'static str);

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
                let known = (1..=32).contains(&text.len())
                    && text.bytes().all(|byte| matches!(byte, $allowed));
                if known { Ok(Self(text.into())) } else { Err(NameError($characters)) }
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
    CspId, "a-z, 0-9 and '-'", b'a'..=b'z' | b'0'..=b'9' | b'-'
}
name! {
    /// A SEC Party: the holder of one or more [`EntityId`](crate::EntityId)s, and what a metering
    /// point is registered to.
    PartyId, "A-Z, 0-9 and '-'", b'A'..=b'Z' | b'0'..=b'9' | b'-'
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
    }
}
