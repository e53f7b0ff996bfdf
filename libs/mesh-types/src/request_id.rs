//! The caller's own id of a request: the same one sent again has one effect.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// A UUID drawn by the caller (RFC 9562). Read in any of its written forms and either case, and
/// written in lower case with dashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(Uuid);

/// The text is not the id of a request: not a UUID, or the nil or the max UUID, which nobody drew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a UUID drawn by the caller")]
pub struct RequestIdError;

impl FromStr for RequestId {
    type Err = RequestIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Uuid::try_parse(text) {
            Ok(id) if !id.is_nil() && !id.is_max() => Ok(Self(id)),
            _ => Err(RequestIdError),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_id_is_the_same_in_every_form() {
        let id: RequestId = "6f1c1f4e-3b1a-4a53-9d3e-0a4a5a3e9b10".parse().unwrap();
        for text in [
            "6F1C1F4E-3B1A-4A53-9D3E-0A4A5A3E9B10",
            "6f1c1f4e3b1a4a539d3e0a4a5a3e9b10",
        ] {
            assert_eq!(text.parse(), Ok(id));
        }
        assert_eq!(id.to_string(), "6f1c1f4e-3b1a-4a53-9d3e-0a4a5a3e9b10");
    }

    #[test]
    fn what_nobody_drew_is_refused() {
        for text in [
            "",
            "1",
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            " 6f1c1f4e-3b1a-4a53-9d3e-0a4a5a3e9b10",
        ] {
            assert_eq!(text.parse::<RequestId>(), Err(RequestIdError), "{text}");
        }
    }
}
