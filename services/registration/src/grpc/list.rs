//! Where does the next page of a list begin?

use mesh_authz::Authorization;
use mesh_store::{Fingerprint, Scope, Tokens};
use mesh_types::{Epoch, Position, Sequence};

use crate::error::Error;

/// Where a page begins: the position that all pages show, and the last key of the page before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) at: Sequence,
    pub(super) after: Option<String>,
}

/// A list as one caller asks for it, over a log whose head was just read.
pub(super) struct Listing<'a> {
    tokens: &'a Tokens,
    scope: Scope<'a>,
    head: &'a Position,
}

impl<'a> Listing<'a> {
    /// `filter` is made of everything that stays the same from page to page.
    pub(super) fn new(
        tokens: &'a Tokens,
        authorization: &'a Authorization,
        filter: &'a Fingerprint,
        head: &'a Position,
    ) -> Self {
        let scope = Scope {
            rpc: authorization.method(),
            caller: authorization.caller().key(),
            filter,
        };
        Self {
            tokens,
            scope,
            head,
        }
    }

    /// Where the page that `token` asks for begins; the first page shows the head. A list that
    /// began before the database was restored cannot go on.
    pub(super) fn open(&self, token: &str) -> Result<Mark, Error> {
        if token.is_empty() {
            return Ok(Mark {
                at: self.head.sequence,
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
        (epoch == self.head.epoch && at <= self.head.sequence).then_some(Mark { at, after })
    }

    /// The token of the page after `key` in the list at `at`; empty if there is none.
    pub(super) fn seal(&self, at: Sequence, key: Option<String>) -> String {
        let Some(key) = key else {
            return String::new();
        };
        let mut payload = self.head.epoch.get().to_be_bytes().to_vec();
        payload.extend(at.to_be_bytes());
        payload.extend(key.into_bytes());
        self.tokens.seal(&self.scope, &payload)
    }

    /// The position that the list shows.
    pub(super) fn position(&self, at: Sequence) -> Position {
        Position {
            sequence: at,
            ..self.head.clone()
        }
    }
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
