//! How did Service Requests end, what of that is excepted, and what are the rates with and without it?

use std::collections::BTreeMap;

use mesh_api::reporting::v1 as wire;
use mesh_api::reporting::v1::Dimension;
use mesh_sheet::{Cell, Chart, Column, Kind, Malformed, Report, Section, Series, Table};

use super::measure::{
    COUNTED, COUNTED_MISSED, COUNTED_SUCCEEDED, DELIVERED, EXCEPTED, FAILED, Measure, RATE,
    RATE_WITH_EXCEPTIONS, SENT, SUCCEEDED, SUPPRESSED,
};
use super::{period, resting_on_flags};

/// The key of the table with all figures.
pub const SERVICE_REQUESTS: &str = "service_requests";
/// By what the rows are grouped that [`performance`] is made of.
pub const FINEST: [Dimension; 3] = [
    Dimension::Supplier,
    Dimension::BusinessProcess,
    Dimension::ServiceRequestVariant,
];

/// All that was answered about the Service Requests of a month.
#[derive(Debug, Clone, PartialEq)]
pub struct Grouped {
    /// What the rows are grouped by.
    pub by: Vec<Dimension>,
    /// The rows of every page.
    pub rows: Vec<wire::ServiceRequestRow>,
    /// What they rest on.
    pub basis: wire::ReportBasis,
    /// The version of the table of business processes.
    pub business_processes_version: String,
}

/// The whole report of a month, from rows that are grouped by [`FINEST`]: how requests ended and both rates, by
/// supplier and by business process with a chart of each; and all figures in one table.
pub fn performance(
    request: &wire::GetServiceRequestReportRequest,
    finest: &Grouped,
) -> Result<Report, Malformed> {
    let mut report = about(request, finest);
    for by in [Dimension::Supplier, Dimension::BusinessProcess] {
        let sums = Sums::of(finest, &[by]);
        report = report
            .with_section(requests(by, &sums)?)?
            .with_section(rates(by, &sums)?)?;
    }
    report.with_section(figures(&Sums::of(finest, &finest.by))?)
}

/// All figures, in one table.
pub fn service_requests(
    request: &wire::GetServiceRequestReportRequest,
    group: &Grouped,
) -> Result<Report, Malformed> {
    about(request, group).with_section(figures(&Sums::of(group, &group.by))?)
}

fn about(request: &wire::GetServiceRequestReportRequest, group: &Grouped) -> Report {
    let period = period(&request.month, request.month_zone());
    let report = Report::new("Service Requests and reduced communications", period).with_note(
        "A request is excepted if it is directly about consumption and its Device was flagged at the time of the \
         request, however it ended. Excepted requests are taken away from nothing but the rate that says so. One that \
         was delivered all the same is a broken promise to the consumer.",
    );
    let report = if group.rows.is_empty() {
        report.with_note("No outcome of such a Service Request was reported.")
    } else {
        report
    };
    resting_on_flags(report, &group.basis, request.edition.as_ref()).with_fact(
        "Table of business processes",
        &*group.business_processes_version,
    )
}

fn requests(by: Dimension, sums: &Sums) -> Result<Section, Malformed> {
    let table = table(
        sums,
        &[SENT, COUNTED_SUCCEEDED, COUNTED_MISSED, EXCEPTED, DELIVERED],
    )?;
    let named = Named::of(by);
    let chart = Chart::stacked_bars(
        format!("Service Requests by {}", named.words),
        named.key,
        [
            Series::of(COUNTED_SUCCEEDED.key),
            Series::of(COUNTED_MISSED.key),
            Series::excepted(EXCEPTED.key),
        ],
    );
    Section::new(
        format!("requests_by_{}", named.key),
        format!("Requests by {}", named.words),
        "All requests that were sent: those that count, by how they ended, and those that are excepted.",
        table,
    )
    .with_chart(chart)
}

fn rates(by: Dimension, sums: &Sums) -> Result<Section, Malformed> {
    let measures = [
        SUCCEEDED,
        SENT,
        RATE,
        COUNTED_SUCCEEDED,
        COUNTED,
        RATE_WITH_EXCEPTIONS,
    ];
    let named = Named::of(by);
    let chart = Chart::shares(
        format!("Success rates by {}", named.words),
        named.key,
        RATE.key,
        Some(RATE_WITH_EXCEPTIONS.key),
    );
    Section::new(
        format!("rates_by_{}", named.key),
        format!("Success rates by {}", named.words),
        "Both rates, each with the two numbers that it is made of.",
        table(sums, &measures)?,
    )
    .with_chart(chart)
}

fn figures(sums: &Sums) -> Result<Section, Malformed> {
    let measures = [
        SENT,
        SUCCEEDED,
        FAILED,
        SUPPRESSED,
        EXCEPTED,
        DELIVERED,
        RATE,
        RATE_WITH_EXCEPTIONS,
    ];
    let words: Vec<_> = sums.by.iter().map(|by| by.words).collect();
    Ok(Section::new(
        SERVICE_REQUESTS,
        format!("Service Requests by {}", words.join(", ")),
        "How they ended, how many of them are excepted, and the rates with and without these.",
        table(sums, &measures)?,
    ))
}

/// A column for each dimension, then those of the measures.
fn table(sums: &Sums, measures: &[Measure]) -> Result<Table, Malformed> {
    let columns = sums.by.iter().map(Named::column);
    let columns = columns.chain(measures.iter().map(Measure::column));
    let cells = |counts: &wire::Counts| {
        measures
            .iter()
            .map(|measure| measure.cell(counts))
            .collect::<Vec<_>>()
    };
    let rows = sums.rows.iter().map(|(parts, counts)| {
        let parts = parts.iter().map(|part| Cell::text(*part));
        parts.chain(cells(counts)).collect()
    });
    let all = (0..sums.by.len()).map(|at| if at == 0 { "All".into() } else { Cell::Nothing });
    let total = all.chain(cells(&sums.total)).collect();
    Table::new(columns.collect(), rows.collect())?.with_total(total)
}

/// Counts, by the parts that rows are about.
struct Sums<'a> {
    by: Vec<Named>,
    rows: BTreeMap<Vec<&'a str>, wire::Counts>,
    total: wire::Counts,
}

impl<'a> Sums<'a> {
    fn of(group: &'a Grouped, by: &[Dimension]) -> Self {
        let by: Vec<_> = by.iter().map(|by| Named::of(*by)).collect();
        let mut rows: BTreeMap<Vec<&str>, wire::Counts> = BTreeMap::new();
        let mut total = wire::Counts::default();
        for row in &group.rows {
            let counts = row
                .figures
                .and_then(|figures| figures.total)
                .unwrap_or_default();
            let parts = by.iter().map(|named| (named.part)(row)).collect();
            add(rows.entry(parts).or_default(), &counts);
            add(&mut total, &counts);
        }
        Self { by, rows, total }
    }
}

/// Adds what is counted; no rate is a sum.
const fn add(to: &mut wire::Counts, counts: &wire::Counts) {
    to.sent = to.sent.saturating_add(counts.sent);
    to.succeeded = to.succeeded.saturating_add(counts.succeeded);
    to.failed = to.failed.saturating_add(counts.failed);
    to.suppressed = to.suppressed.saturating_add(counts.suppressed);
    to.excepted = to.excepted.saturating_add(counts.excepted);
    to.excepted_but_delivered = to
        .excepted_but_delivered
        .saturating_add(counts.excepted_but_delivered);
}

/// A dimension, as it is called.
struct Named {
    key: &'static str,
    title: &'static str,
    words: &'static str,
    part: fn(&wire::ServiceRequestRow) -> &str,
}

impl Named {
    fn of(dimension: Dimension) -> Self {
        match dimension {
            // An answer has none of it.
            Dimension::Unspecified => Self {
                key: "unspecified",
                title: "Unspecified",
                words: "nothing",
                part: |_| "",
            },
            Dimension::Supplier => Self {
                key: "supplier",
                title: "Supplier",
                words: "supplier",
                part: |row| &row.party_id,
            },
            Dimension::ServiceRequestVariant => Self {
                key: "service_reference_variant",
                title: "SRV",
                words: "Service Reference Variant",
                part: |row| &row.service_reference_variant,
            },
            Dimension::BusinessProcess => Self {
                key: "business_process",
                title: "Business process",
                words: "business process",
                part: |row| &row.business_process,
            },
        }
    }

    fn column(&self) -> Column {
        Column::new(self.key, self.title, Kind::Text)
    }
}
