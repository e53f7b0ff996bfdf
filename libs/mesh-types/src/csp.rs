//! The short name of a communications provider.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A CSP as the hubs' inventory names it: `north`, `central`, `south`, `4g`, or one still to come.
///
/// It is a property of a Communications Hub, never of a postcode.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CspId(Arc<str>);

/// The text is not a CSP's short name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a CSP is named by 1 to 32 of the characters a-z, 0-9 and '-'")]
pub struct CspIdError;

impl CspId {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CspId {
    type Err = CspIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=32).contains(&text.len()) && text.bytes().all(known) {
            Ok(Self(text.into()))
        } else {
            Err(CspIdError)
        }
    }
}

impl fmt::Display for CspId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
