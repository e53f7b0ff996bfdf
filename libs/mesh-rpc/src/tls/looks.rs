//! What was wrong with files when they were looked at last, and is it time to say so?

use std::collections::HashMap;

use super::source::TlsError;

/// What a file is for. Files of one kind are used together or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Certificate, key and trusted authorities.
    Certificate,
    /// Who is denied.
    DenyList,
    /// What authorities revoked: the file of this number.
    Crl(usize),
}

/// The last look at each kind of file.
#[derive(Debug, Default)]
pub(super) struct Looks(HashMap<Kind, Trouble>);

/// What was wrong.
///
/// Certificate and key are two files, and a look in between the two writes finds a pair that does
/// not fit; any file may be half written. So trouble is reported when it is still the same at a
/// second look, and then once.
#[derive(Debug, Default)]
enum Trouble {
    #[default]
    None,
    Seen(String),
    Reported(String),
}

impl Kind {
    /// All that [`Kind::as_str`] can say.
    pub(super) const NAMES: [&str; 3] = ["certificate", "deny_list", "crl"];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::DenyList => "deny_list",
            Self::Crl(_) => "crl",
        }
    }
}

impl Looks {
    /// Remembers what a look found; gives back the trouble if now is the time to report it.
    pub(super) fn newly_reported<'a>(
        &mut self,
        kind: Kind,
        found: Option<&'a TlsError>,
    ) -> Option<&'a TlsError> {
        let trouble = self.0.entry(kind).or_default();
        let Some(error) = found else {
            *trouble = Trouble::None;
            return None;
        };
        trouble.is_to_report(error).then_some(error)
    }
}

impl Trouble {
    fn is_to_report(&mut self, error: &TlsError) -> bool {
        let text = error.to_string();
        match self {
            Self::Seen(known) if *known == text => {
                *self = Self::Reported(text);
                true
            }
            Self::Reported(known) if *known == text => false,
            _ => {
                *self = Self::Seen(text);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_reported_once_when_it_stays_and_for_each_kind_by_itself() {
        use Kind::{Certificate, DenyList};
        let (key, trust) = (TlsError::Pem("key file"), TlsError::Pem("trust file"));
        let mut looks = Looks::default();
        for (number, (kind, found, reported)) in [
            (Certificate, Some(&key), false),
            (DenyList, Some(&key), false),
            (Certificate, Some(&trust), false),
            (Certificate, Some(&key), false),
            (DenyList, Some(&key), true),
            (Certificate, Some(&key), true),
            (Certificate, Some(&key), false),
            (Certificate, Some(&trust), false),
            (Certificate, Some(&trust), true),
            (Certificate, None, false),
            (DenyList, Some(&key), false),
            (Certificate, Some(&trust), false),
            (Certificate, Some(&trust), true),
        ]
        .into_iter()
        .enumerate()
        {
            let report = looks.newly_reported(kind, found);
            assert_eq!(report.is_some(), reported, "look {number}");
        }
    }
}
