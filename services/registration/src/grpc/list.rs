//! Where does the next page of a list begin?

use mesh_api::common::v1::AsOf;
use mesh_authz::Authorization;
use mesh_store::{Fingerprint, Scope, Tokens, fingerprint};
use mesh_types::{Epoch, Position, Sequence};
use prost::Message as _;

use crate::error::Error;

/// Where a page begins: the position that all pages show, and the last key of the page before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) at: Sequence,
    pub(super) after: Option<String>,
}

/// A list as one caller asks for it. Its first page shows `shown`; its others show an earlier position
/// of that history of the log.
pub(super) struct Listing<'a> {
    tokens: &'a Tokens,
    scope: Scope<'a>,
    shown: &'a Position,
}

impl<'a> Listing<'a> {
    /// `filter` is made of everything that stays the same from page to page.
    pub(super) fn new(
        tokens: &'a Tokens,
        authorization: &'a Authorization,
        filter: &'a Fingerprint,
        shown: &'a Position,
    ) -> Self {
        let scope = Scope {
            rpc: authorization.method(),
            caller: authorization.caller().key(),
            filter,
        };
        Self {
            tokens,
            scope,
            shown,
        }
    }

    /// Where the page that `token` asks for begins. A list that began before the database was restored
    /// cannot go on.
    pub(super) fn open(&self, token: &str) -> Result<Mark, Error> {
        if token.is_empty() {
            return Ok(Mark {
                at: self.shown.sequence,
                after: None,
            });
        }
        let payload = self.tokens.open(&self.scope, token);
        payload
            .ok()
            .and_then(|payload| self.read(&payload))
            .ok_or(Error::PageToken)
    }

    fn read(&self, payload: &[u8]) -> Option<Mark> {
        let (epoch, rest) = payload.split_first_chunk::<8>()?;
        let (at, key) = rest.split_first_chunk::<8>()?;
        let epoch = Epoch::new(u64::from_be_bytes(*epoch))?;
        let at = u64::from_be_bytes(*at);
        let after = Some(String::from_utf8(key.to_vec()).ok()?);
        (epoch == self.shown.epoch && at <= self.shown.sequence).then_some(Mark { at, after })
    }

    /// The token of the page after `key` in the list at `at`; empty if there is none.
    pub(super) fn seal(&self, at: Sequence, key: Option<String>) -> String {
        let Some(key) = key else {
            return String::new();
        };
        let mut payload = self.shown.epoch.get().to_be_bytes().to_vec();
        payload.extend(at.to_be_bytes());
        payload.extend(key.into_bytes());
        self.tokens.seal(&self.scope, &payload)
    }

    /// The position that the list shows.
    pub(super) fn position(&self, at: Sequence) -> Position {
        self.shown.at(at)
    }
}

/// Of everything that stays the same from page to page: a field, and what all pages rest on.
pub(super) fn filter(field: &[u8], as_of: Option<&AsOf>) -> Fingerprint {
    let as_of = as_of.map(AsOf::encode_to_vec).unwrap_or_default();
    fingerprint([field, &as_of])
}

/// The key after which the next page begins, if one more item than a page has was found; that one
/// is taken off.
pub(super) fn cut<T>(items: &mut Vec<T>, limit: u32, key: impl Fn(&T) -> String) -> Option<String> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if items.len() <= limit {
        return None;
    }
    items.truncate(limit);
    items.last().map(key)
}
