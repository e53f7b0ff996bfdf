//! Where does the next page of a report begin?
//!
//! A token carries the key of the last row before. It is good for one caller and for the same
//! request; the page size may change from page to page.

use mesh_authz::Authorization;
use mesh_store::{Fingerprint, Scope, Tokens, fingerprint};

use crate::edition::Layers;
use crate::error::Error;
use crate::exception::ExceptedKey;
use crate::grouping::{Dimension, Part, RowKey};
use crate::movement::Holder;
use crate::period::Period;
use crate::request::{
    EditionsRequest, ExceptedRequest, FiguresRequest, FlagsRequest, ObligationsRequest,
};

/// Between the parts of a key. No Device's, supplier's, variant's or process's name has it.
const SEPARATOR: char = '\n';

/// What stays the same from page to page of the Service Request report. `table` is the version of the
/// table of business processes: with another one the rows may be others.
pub(crate) fn figures_filter(request: &FiguresRequest, table: &str) -> Fingerprint {
    let query = &request.query;
    let month = period(query.period);
    let party = query.party.as_ref().map_or("", |party| party.as_str());
    let variant = query
        .variant
        .as_ref()
        .map_or("", |variant| variant.as_str());
    let process = request.process.as_ref().map_or("", |key| key.as_str());
    let dimensions = request.grouping.dimensions().iter();
    let grouping: String = dimensions.map(|dimension| mark(*dimension)).collect();
    let layers = layers(&query.layers);
    let parts = [&*month, party, variant, process, &grouping, table, &layers];
    fingerprint(parts.map(str::as_bytes))
}

/// What stays the same from page to page of the Devices with excepted requests.
pub(crate) fn excepted_filter(request: &ExceptedRequest) -> Fingerprint {
    let query = &request.query;
    let month = period(query.period);
    let party = query.party.as_ref().map_or("", |party| party.as_str());
    let only = if query.delivered_only {
        "delivered"
    } else {
        ""
    };
    fingerprint([&*month, party, only, &layers(&query.layers)].map(str::as_bytes))
}

/// What stays the same from page to page of the obligation report.
pub(crate) fn obligations_filter(request: &ObligationsRequest) -> Fingerprint {
    let party = request.party.as_ref().map_or("", |party| party.as_str());
    match request.period.map(period) {
        None => fingerprint([party.as_bytes()]),
        Some(month) => fingerprint([party, month.as_str()].map(str::as_bytes)),
    }
}

/// What stays the same from page to page of the report of flags.
pub(crate) fn flags_filter(request: &FlagsRequest) -> Fingerprint {
    let query = &request.query;
    let month = period(query.period);
    let party = query.party.as_ref().map_or("", |party| party.as_str());
    let csp = query.csp.as_ref().map_or("", |csp| csp.as_str());
    fingerprint([month.as_str(), party, csp].map(str::as_bytes))
}

/// What stays the same from page to page of the editions.
pub(crate) fn editions_filter(request: &EditionsRequest) -> Fingerprint {
    let month = request.period.map_or_else(String::new, period);
    fingerprint([month.as_bytes()])
}

/// An edition that is made between two pages makes others of them.
fn layers(layers: &Layers) -> String {
    match layers {
        Layers::All => String::new(),
        Layers::Of(layers) => format!("{} {}", layers.start, layers.end),
    }
}

fn period(period: Period) -> String {
    format!("{} {}", period.month, period.zone.name())
}

/// A key of a report's rows, in a token.
pub(crate) trait PageKey: Sized {
    /// The key as text.
    fn write(&self) -> String;
    /// The key in a text that `write` wrote.
    fn read(text: &str) -> Option<Self>;
}

/// The letter before a part of a row's key.
const fn mark(dimension: Dimension) -> char {
    match dimension {
        Dimension::Supplier => 's',
        Dimension::Variant => 'v',
        Dimension::BusinessProcess => 'p',
    }
}

impl PageKey for RowKey {
    fn write(&self) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Supplier(party) => format!("{}{party}", mark(Dimension::Supplier)),
            Part::Variant(variant) => format!("{}{variant}", mark(Dimension::Variant)),
            Part::BusinessProcess(key) => format!("{}{key}", mark(Dimension::BusinessProcess)),
        });
        let parts: Vec<String> = parts.collect();
        parts.join(&SEPARATOR.to_string())
    }

    fn read(text: &str) -> Option<Self> {
        let part = |part: &str| {
            let marked = |dimension: &Dimension| part.starts_with(mark(*dimension));
            let dimension = Dimension::ALL.into_iter().find(marked)?;
            let name = part.get(1..)?;
            Some(match dimension {
                Dimension::Supplier => Part::Supplier(name.parse().ok()?),
                Dimension::Variant => Part::Variant(name.parse().ok()?),
                Dimension::BusinessProcess => Part::BusinessProcess(name.parse().ok()?),
            })
        };
        let parts: Option<Vec<Part>> = text.split(SEPARATOR).map(part).collect();
        parts.map(Self)
    }
}

impl PageKey for ExceptedKey {
    fn write(&self) -> String {
        let (device, party, variant) = self;
        format!("{device}{SEPARATOR}{party}{SEPARATOR}{variant}")
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(SEPARATOR);
        let device = parts.next()?.parse().ok()?;
        let party = parts.next()?.parse().ok()?;
        Some((device, party, parts.next()?.parse().ok()?))
    }
}

/// The number of an edition.
impl PageKey for u64 {
    fn write(&self) -> String {
        self.to_string()
    }

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
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

impl PageKey for Holder {
    fn write(&self) -> String {
        let party = self.supplier.as_ref().map_or("", |party| party.as_str());
        let csp = self.csp.as_ref().map_or("", |csp| csp.as_str());
        format!("{party}{SEPARATOR}{csp}")
    }

    fn read(text: &str) -> Option<Self> {
        let (party, csp) = text.split_once(SEPARATOR)?;
        let supplier = match party {
            "" => None,
            party => Some(party.parse().ok()?),
        };
        let csp = match csp {
            "" => None,
            csp => Some(csp.parse().ok()?),
        };
        Some(Self { supplier, csp })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::business_process::BusinessProcesses;
    use crate::request;

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let part = |text: &str| RowKey::read(text).unwrap().0.remove(0);
        let (supplier, variant, process) = (part("sALBION"), part("v4.8.1"), part("pprepayment"));
        assert!(matches!(supplier, Part::Supplier(_)));
        assert!(matches!(variant, Part::Variant(_)));
        assert!(matches!(process, Part::BusinessProcess(_)));
        let key = RowKey(vec![process, supplier, variant]);
        assert_eq!(RowKey::read(&key.write()), Some(key));
        for text in ["", "ALBION", "x4.8.1", "v4", "sALBION\n", "\u{e9}"] {
            assert_eq!(RowKey::read(text), None, "{text:?}");
        }
        let text = "00-00-00-00-00-00-00-E1\nALBION\n4.8.1";
        assert_eq!(ExceptedKey::read(text).unwrap().write(), text);
        assert_eq!(ExceptedKey::read("00-00-00-00-00-00-00-E1\nALBION"), None);
        for text in ["ALBION\n4g", "\n4g", "ALBION\n", "\n"] {
            assert_eq!(Holder::read(text).unwrap().write(), text);
        }
        for text in ["", "ALBION", "albion\n4g", "ALBION\n4G", "ALBION\n4g\n"] {
            assert_eq!(Holder::read(text), None, "{text:?}");
        }
    }

    /// A page of one table of business processes is not followed by one of another.
    #[test]
    fn a_token_is_of_one_version_of_the_table() {
        let asked = mesh_api::reporting::v1::GetServiceRequestReportRequest {
            month: "2026-11".into(),
            ..Default::default()
        };
        let asked = request::figures(&asked, BusinessProcesses::builtin()).unwrap();
        assert_eq!(figures_filter(&asked, "1"), figures_filter(&asked, "1"));
        assert_ne!(figures_filter(&asked, "1"), figures_filter(&asked, "2"));
    }
}
