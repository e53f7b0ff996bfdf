//! Which columns has a table of figures, by what they are grouped by?

use anyhow::Result;
use mesh_api::reporting::v1 as wire;

use super::PERFORMANCE;
use crate::cli::report::By;
use crate::output::print_line;

/// How many columns of [`PERFORMANCE`] say what a row is about.
const KEYS: usize = 2;

/// What is asked for.
pub(super) fn dimensions(by: &[By]) -> Vec<i32> {
    let dimension = |by: &By| match by {
        By::Supplier => wire::Dimension::Supplier,
        By::Variant => wire::Dimension::ServiceRequestVariant,
        By::BusinessProcess => wire::Dimension::BusinessProcess,
    };
    by.iter().map(|by| dimension(by).into()).collect()
}

/// The table's header.
pub(super) fn header(by: &[By]) -> Vec<&'static str> {
    let name = |by: &By| match by {
        By::Supplier => PERFORMANCE[0],
        By::Variant => PERFORMANCE[1],
        By::BusinessProcess => "business process",
    };
    let figures = PERFORMANCE.into_iter().skip(KEYS);
    by.iter().map(name).chain(figures).collect()
}

/// The cells of a row.
pub(super) fn cells(by: &[By], row: &wire::ServiceRequestRow) -> Vec<String> {
    let key = |by: &By| match by {
        By::Supplier => row.party_id.clone(),
        By::Variant => row.service_reference_variant.clone(),
        By::BusinessProcess => row.business_process.clone(),
    };
    let total = row
        .figures
        .and_then(|figures| figures.total)
        .unwrap_or_default();
    let counts = [
        total.sent,
        total.succeeded,
        total.failed,
        total.suppressed,
        total.excepted,
        total.excepted_but_delivered,
    ];
    let rates = [rate(total.rate), rate(total.rate_with_exceptions)];
    let figures = counts
        .map(|count| count.to_string())
        .into_iter()
        .chain(rates);
    by.iter().map(key).chain(figures).collect()
}

/// The row of the sums.
pub(super) fn all(totals: Option<wire::ServiceRequestFigures>) -> wire::ServiceRequestRow {
    let all = || "all".to_owned();
    wire::ServiceRequestRow {
        party_id: all(),
        service_reference_variant: all(),
        business_process: all(),
        figures: totals,
    }
}

/// Says which table the business processes are from, if they matter.
pub(super) fn table(asked: &wire::GetServiceRequestReportRequest, version: &str) -> Result<()> {
    let process = i32::from(wire::Dimension::BusinessProcess);
    if asked.business_process.is_empty() && !asked.group_by.contains(&process) {
        return Ok(());
    }
    print_line(&format_args!("Business processes as of table {version}."))
}

fn rate(rate: Option<f64>) -> String {
    rate.map_or_else(|| "–".to_owned(), |rate| format!("{:.1} %", rate * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_cells_stand_in_the_order_that_was_asked_for() {
        let row = wire::ServiceRequestRow {
            party_id: "DRAGON".into(),
            business_process: "billing-reads".into(),
            ..Default::default()
        };
        let by = [By::BusinessProcess, By::Supplier];
        assert_eq!(header(&by)[..3], ["business process", "supplier", "sent"]);
        assert_eq!(cells(&by, &row)[..3], ["billing-reads", "DRAGON", "0"]);
        assert_eq!(cells(&by, &row).len(), header(&by).len());
        assert_eq!(header(&[By::Supplier, By::Variant]), PERFORMANCE);
        assert_eq!(dimensions(&by), [3, 1]);
    }
}
