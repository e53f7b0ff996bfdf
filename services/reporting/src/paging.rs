//! Where does the next page of a report begin?
//!
//! A token carries the key of the last row before. It is good for one caller and for the same
//! request; the page size may change from page to page.

use mesh_authz::Authorization;
use mesh_store::{Fingerprint, Scope, Tokens, fingerprint};

use crate::error::Error;
use crate::request::{FiguresRequest, ObligationsRequest};

/// Between the parts of a key. No supplier's or variant's name has it.
const SEPARATOR: char = '\n';

/// What stays the same from page to page of the Service Request report.
pub(crate) fn figures_filter(request: &FiguresRequest) -> Fingerprint {
    let query = &request.query;
    let month = query.month.to_string();
    let party = query.party.as_ref().map_or("", |party| party.as_str());
    let variant = query
        .variant
        .as_ref()
        .map_or("", |variant| variant.as_str());
    fingerprint([month.as_bytes(), party.as_bytes(), variant.as_bytes()])
}

/// What stays the same from page to page of the obligation report.
pub(crate) fn obligations_filter(request: &ObligationsRequest) -> Fingerprint {
    let party = request.party.as_ref().map_or("", |party| party.as_str());
    fingerprint([party.as_bytes()])
}

/// A key of a report's rows, in a token.
pub(crate) trait PageKey: Sized {
    /// The key as text.
    fn write(&self) -> String;
    /// The key in a text that `write` wrote.
    fn read(text: &str) -> Option<Self>;
}

impl PageKey for crate::store::FiguresKey {
    fn write(&self) -> String {
        format!("{}{SEPARATOR}{}", self.0, self.1)
    }

    fn read(text: &str) -> Option<Self> {
        let (party, variant) = text.split_once(SEPARATOR)?;
        Some((party.parse().ok()?, variant.parse().ok()?))
    }
}

impl PageKey for mesh_types::PartyId {
    fn write(&self) -> String {
        self.to_string()
    }

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// The pages of a report as one caller asks for it.
pub(crate) struct Pages<'a> {
    tokens: &'a Tokens,
    scope: Scope<'a>,
}

impl<'a> Pages<'a> {
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

    /// The key after which the page that `token` asks for begins; `None` for the first page.
    pub(crate) fn open<K: PageKey>(&self, token: &str) -> Result<Option<K>, Error> {
        if token.is_empty() {
            return Ok(None);
        }
        let payload = self.tokens.open(&self.scope, token).ok();
        let text = payload.and_then(|payload| String::from_utf8(payload).ok());
        let key = text.as_deref().and_then(K::read);
        key.map(Some).ok_or(Error::PageToken)
    }

    /// The token of the page after a page that ends with `last`; empty if none follows.
    pub(crate) fn next<K: PageKey>(&self, more: bool, last: Option<&K>) -> String {
        last.filter(|_| more)
            .map(|key| self.tokens.seal(&self.scope, key.write().as_bytes()))
            .unwrap_or_default()
    }
}
