//! Which page does a URL mean, and with which filters?
//!
//! Only the names of filters are judged here. Their values go into the request of the RPC as they
//! are, and what is wrong with them the RPC says.

use std::collections::BTreeMap;

use form_urlencoded::Serializer;
use mesh_api::reporting::v1 as wire;
use mesh_api::reporting::v1::Dimension;

use super::filter;
use super::refusal::Refusal;
use crate::present;

/// What there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    /// The months, and the reports of each.
    Index,
    /// How Service Requests ended.
    Performance,
    /// Which Devices were sent excepted requests.
    Exceptions,
    /// How many meters there are.
    Obligation,
    /// Which months are closed.
    Editions,
    /// What became of flags.
    Flags,
}

impl Page {
    pub(super) const REPORTS: [Self; 5] = [
        Self::Performance,
        Self::Exceptions,
        Self::Flags,
        Self::Obligation,
        Self::Editions,
    ];

    pub(super) fn at(path: &str) -> Option<Self> {
        let mut all = [Self::Index].into_iter().chain(Self::REPORTS);
        all.find(|page| page.path() == path)
    }

    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Index => "/",
            Self::Performance => "/performance",
            Self::Exceptions => "/exceptions",
            Self::Obligation => "/obligation",
            Self::Editions => "/editions",
            Self::Flags => "/flags",
        }
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Index => "Reports",
            Self::Performance => "Performance",
            Self::Exceptions => "Exceptions",
            Self::Obligation => "Obligation",
            Self::Editions => "Closed months",
            Self::Flags => "Flags",
        }
    }

    /// The filters that people choose, in the order of the form.
    pub(super) const fn filters(self) -> &'static [&'static str] {
        use super::filter::{
            BUSINESS_PROCESS, BY, CSP, DELIVERED_ONLY, EDITION, MONTH, SUPPLIER, VARIANT, ZONE,
        };

        match self {
            Self::Index => &[],
            Self::Performance => &[
                MONTH,
                ZONE,
                EDITION,
                BY,
                SUPPLIER,
                VARIANT,
                BUSINESS_PROCESS,
            ],
            Self::Exceptions => &[MONTH, ZONE, EDITION, SUPPLIER, DELIVERED_ONLY],
            Self::Obligation => &[MONTH, ZONE, SUPPLIER],
            Self::Editions => &[],
            Self::Flags => &[MONTH, ZONE, SUPPLIER, CSP],
        }
    }

    /// What links add to them.
    const fn beside_filters(self) -> &'static [&'static str] {
        match self {
            Self::Index => &[],
            Self::Performance | Self::Flags | Self::Editions => &[filter::OUTPUT],
            Self::Exceptions => &[filter::PAGE, filter::OUTPUT],
            Self::Obligation => &[filter::FUEL, filter::OUTPUT],
        }
    }

    fn takes(self, name: &str) -> bool {
        self.filters().contains(&name) || self.beside_filters().contains(&name)
    }
}

/// What a page shows a report in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Html,
    Csv,
    Json,
}

/// The filters of a URL, by name; none is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filters(BTreeMap<String, String>);

impl Filters {
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// The same with another value.
    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let mut filters = self.0.clone();
        filters.insert(name.to_owned(), value.to_owned());
        Self(filters)
    }

    /// The same without one.
    pub(super) fn without(&self, name: &str) -> Self {
        let mut filters = self.0.clone();
        filters.remove(name);
        Self(filters)
    }

    /// The URL of a page with those of these filters that people can choose on it.
    pub(super) fn on(&self, page: Page) -> String {
        let chosen = self.0.iter();
        url(
            page,
            chosen.filter(|(name, _)| page.filters().contains(&name.as_str())),
        )
    }

    /// The URL of a page with all of these filters that it takes.
    pub(super) fn all_on(&self, page: Page) -> String {
        url(page, self.0.iter().filter(|(name, _)| page.takes(name)))
    }
}

fn url<'f>(page: Page, filters: impl Iterator<Item = (&'f String, &'f String)>) -> String {
    let query = Serializer::new(String::new())
        .extend_pairs(filters)
        .finish();
    match query.as_str() {
        "" => page.path().to_owned(),
        query => format!("{}?{query}", page.path()),
    }
}

/// The filters of a URL as far as they can be read, to be shown beside what is wrong with them.
pub(super) fn leniently(query: Option<&str>) -> Filters {
    Filters(pairs(query).collect())
}

fn pairs(query: Option<&str>) -> impl Iterator<Item = (String, String)> {
    // A form also sends the fields that nobody filled in.
    form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.into_owned(), value.trim().to_owned()))
}

/// What a browser asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) page: Page,
    pub(super) filters: Filters,
    pub(super) form: Form,
    /// Where there is room for one table, it is that of gas meters and not of electricity meters.
    gas: bool,
    pub(super) delivered_only: bool,
    /// Whose midnight begins the month.
    zone: wire::MonthZone,
    /// Which figures of a month.
    edition: Option<wire::EditionChoice>,
}

impl Asked {
    /// Reads a query. What the page does not know is refused: a filter that is misspelt must not be
    /// taken for none.
    pub(super) fn read(page: Page, query: Option<&str>) -> Result<Self, Refusal> {
        let mut filters = BTreeMap::new();
        for (name, value) in pairs(query) {
            if !page.takes(&name) {
                return Err(Refusal::field("the page has no such filter", &name));
            }
            if filters.insert(name.clone(), value).is_some() {
                return Err(Refusal::field("is there twice", &name));
            }
        }
        let filters = Filters(filters);
        let form = match filters.get(filter::OUTPUT) {
            "" | "html" => Form::Html,
            "csv" => Form::Csv,
            "json" => Form::Json,
            _ => return Err(Refusal::field("is html, csv or json", filter::OUTPUT)),
        };
        let gas = match filters.get(filter::FUEL) {
            "" | "electricity" => false,
            "gas" => true,
            _ => return Err(Refusal::field("is electricity or gas", filter::FUEL)),
        };
        let delivered_only = match filters.get(filter::DELIVERED_ONLY) {
            "" | "false" => false,
            "true" => true,
            _ => return Err(Refusal::field("is true or false", filter::DELIVERED_ONLY)),
        };
        let zone = match filters.get(filter::ZONE) {
            "" | "utc" => wire::MonthZone::Utc,
            "london" => wire::MonthZone::EuropeLondon,
            _ => return Err(Refusal::field("is utc or london", filter::ZONE)),
        };
        let edition = edition(filters.get(filter::EDITION))?;
        Ok(Self {
            page,
            filters,
            form,
            gas,
            delivered_only,
            zone,
            edition,
        })
    }

    /// The key of the table where there is room for one.
    pub(super) const fn table(&self) -> &'static str {
        match self.page {
            Page::Index | Page::Performance => present::SERVICE_REQUESTS,
            Page::Exceptions => present::EXCEPTIONS,
            Page::Editions => present::EDITIONS,
            Page::Obligation if self.gas => present::GAS,
            Page::Obligation => present::ELECTRICITY,
            Page::Flags => present::FLAGS,
        }
    }

    /// What a download is called. Only a month that the RPC took comes here.
    pub(super) fn file_name(&self, ending: &str) -> String {
        let kind = self.page.path().trim_start_matches('/');
        let month = self.filters.get(filter::MONTH).chars();
        let month: String = month.filter(|c| c.is_ascii_digit() || *c == '-').collect();
        let fuel = if self.gas { "gas" } else { "" };
        let filters = [filter::ZONE, filter::EDITION].map(|name| self.filters.get(name));
        let parts: Vec<_> = [kind, &month, filters[0], filters[1], fuel]
            .into_iter()
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect();
        format!("{}.{ending}", parts.join("-"))
    }

    /// What the figures are grouped by; `None` for the whole report. A name that there is not becomes
    /// what the RPC refuses.
    pub(super) fn by(&self) -> Option<Vec<Dimension>> {
        let by = self.filters.get(filter::BY);
        if by.is_empty() {
            return None;
        }
        Some(by.split(',').map(|name| dimension(name.trim())).collect())
    }

    pub(super) fn performance(&self) -> wire::GetServiceRequestReportRequest {
        let text = |name| self.filters.get(name).to_owned();
        wire::GetServiceRequestReportRequest {
            month: text(filter::MONTH),
            month_zone: self.zone.into(),
            party_id: text(filter::SUPPLIER),
            service_reference_variant: text(filter::VARIANT),
            business_process: text(filter::BUSINESS_PROCESS),
            edition: self.edition,
            ..Default::default()
        }
    }

    pub(super) fn exceptions(&self) -> wire::ListExceptedRequestsRequest {
        let text = |name| self.filters.get(name).to_owned();
        wire::ListExceptedRequestsRequest {
            month: text(filter::MONTH),
            month_zone: self.zone.into(),
            party_id: text(filter::SUPPLIER),
            delivered_only: self.delivered_only,
            page_token: text(filter::PAGE),
            edition: self.edition,
            ..Default::default()
        }
    }

    pub(super) fn flags(&self) -> wire::GetFlagReportRequest {
        let text = |name| self.filters.get(name).to_owned();
        wire::GetFlagReportRequest {
            month: text(filter::MONTH),
            month_zone: self.zone.into(),
            party_id: text(filter::SUPPLIER),
            csp_id: text(filter::CSP),
            ..Default::default()
        }
    }

    pub(super) fn obligation(&self) -> wire::GetObligationReportRequest {
        let text = |name| self.filters.get(name).to_owned();
        // Without a month it is now, of no zone; one that is chosen all the same the RPC refuses.
        let zone = match (self.filters.get(filter::MONTH), self.zone) {
            ("", wire::MonthZone::Utc) => wire::MonthZone::Unspecified,
            (_, zone) => zone,
        };
        wire::GetObligationReportRequest {
            month: text(filter::MONTH),
            month_zone: zone.into(),
            party_id: text(filter::SUPPLIER),
            ..Default::default()
        }
    }
}

/// `0` is the closed report, `2` a restatement, `added-2` what it added, and `now` what is recorded by now.
fn edition(text: &str) -> Result<Option<wire::EditionChoice>, Refusal> {
    use wire::edition_choice::Choice;

    let wrong = || {
        let why = "is the number of an edition, such as 0, or added-1, or now";
        Refusal::field(why, filter::EDITION)
    };
    let number = |text: &str| text.parse::<u32>().map_err(|_| wrong());
    let choice = match text {
        "" => return Ok(None),
        "now" => Choice::Now(true),
        text => match text.strip_prefix("added-") {
            Some(added) => Choice::AddedBy(number(added)?),
            None => Choice::Restatement(number(text)?),
        },
    };
    Ok(Some(wire::EditionChoice {
        choice: Some(choice),
    }))
}

fn dimension(name: &str) -> Dimension {
    match name {
        "supplier" => Dimension::Supplier,
        "variant" => Dimension::ServiceRequestVariant,
        "business-process" => Dimension::BusinessProcess,
        _ => Dimension::Unspecified,
    }
}
