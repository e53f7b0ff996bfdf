//! Which Devices were sent requests that the consumer's choice excepts, and how did these end?

use mesh_api::reporting::v1 as wire;
use mesh_sheet::{Cell, Column, Kind, Malformed, Report, Section, Table};

use super::{period, resting_on_flags};

/// The key of the table.
pub const EXCEPTIONS: &str = "excepted_requests";

/// The list of `rows`, which answer `request`.
pub fn exceptions(
    request: &wire::ListExceptedRequestsRequest,
    rows: &[wire::ExceptedRequests],
    basis: &wire::ReportBasis,
) -> Result<Report, Malformed> {
    let (title, explanation) = if request.delivered_only {
        (
            "Broken promises",
            "Devices to which excepted requests were delivered all the same.",
        )
    } else {
        (
            "Excepted Service Requests",
            "Devices to which excepted requests were sent, and how these ended.",
        )
    };
    let table = Table::new(columns(), rows.iter().map(cells).collect())?;
    let mut report = Report::new(title, period(&request.month, request.month_zone()));
    if rows.is_empty() {
        report = report.with_note("There is none.");
    }
    let report = report
        .with_note(
            "It says of Devices that they were flagged: show it to those only who may see them.",
        )
        .with_section(Section::new(EXCEPTIONS, title, explanation, table))?;
    Ok(resting_on_flags(report, basis, request.edition.as_ref()))
}

fn columns() -> Vec<Column> {
    let count = |key: &str, title: &str, meaning: &str| {
        Column::new(key, title, Kind::Count)
            .unit("requests")
            .meaning(meaning)
    };
    vec![
        Column::new("device_id", "Device", Kind::Text),
        Column::new("supplier", "Supplier", Kind::Text).meaning("Who sent the requests."),
        Column::new("service_reference_variant", "SRV", Kind::Text),
        count(
            "excepted",
            "Excepted",
            "Directly about consumption, while the Device was flagged.",
        ),
        count("suppressed", "Suppressed", "Of these, stopped by the flag."),
        count("failed", "Failed", "Of these, failed."),
        count(
            "delivered",
            "Delivered",
            "Of these, delivered all the same: each is a broken promise.",
        ),
    ]
}

fn cells(row: &wire::ExceptedRequests) -> Vec<Cell> {
    vec![
        row.device_id.as_str().into(),
        row.party_id.as_str().into(),
        row.service_reference_variant.as_str().into(),
        row.excepted.into(),
        row.suppressed.into(),
        row.failed.into(),
        row.delivered.into(),
    ]
}
