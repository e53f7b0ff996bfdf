//! Where does the next page of a list begin?

use mesh_authz::Authorization;
use mesh_store::{Fingerprint, Scope, Tokens};
use mesh_types::{Epoch, Position, Sequence};

use crate::error::Error;

/// What a page token carries: the position that all pages show, and the last key of the page
/// before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) epoch: Epoch,
    pub(crate) at: Sequence,
    pub(crate) key: u64,
}

/// A list as one caller asks for it.
#[derive(Debug)]
pub(crate) struct Listing<'a> {
    tokens: &'a Tokens,
    scope: Scope<'a>,
}

impl<'a> Listing<'a> {
    /// The list that `authorization` is for, with everything that stays the same from page to page
    /// in `filter`.
    pub(crate) fn new(
        tokens: &'a Tokens,
        authorization: &'a Authorization,
        filter: &'a Fingerprint,
    ) -> Self {
        let scope = Scope {
            rpc: authorization.method(),
            caller: authorization.caller().key(),
            filter,
        };
        Self { tokens, scope }
    }

    /// Where the page that `token` asks for begins; `None` for the first page. A list that began
    /// before the database was restored cannot go on.
    pub(crate) fn open(&self, token: &str, head: &Position) -> Result<Option<Mark>, Error> {
        if token.is_empty() {
            return Ok(None);
        }
        let payload = self.tokens.open(&self.scope, token);
        payload
            .ok()
            .and_then(|payload| Mark::read(&payload))
            .filter(|mark| mark.epoch == head.epoch && mark.at <= head.sequence)
            .map(Some)
            .ok_or(Error::PageToken)
    }

    /// The token of the page after `mark`; empty if there is none.
    pub(crate) fn seal(&self, mark: Option<Mark>) -> String {
        mark.map(|mark| self.tokens.seal(&self.scope, &mark.octets()))
            .unwrap_or_default()
    }
}

impl Mark {
    fn octets(self) -> Vec<u8> {
        [self.epoch.get(), self.at, self.key]
            .iter()
            .flat_map(|number| number.to_be_bytes())
            .collect()
    }

    fn read(octets: &[u8]) -> Option<Self> {
        let (numbers, []) = octets.as_chunks::<8>() else {
            return None;
        };
        let [epoch, at, key] = numbers else {
            return None;
        };
        Some(Self {
            epoch: Epoch::new(u64::from_be_bytes(*epoch))?,
            at: u64::from_be_bytes(*at),
            key: u64::from_be_bytes(*key),
        })
    }
}
