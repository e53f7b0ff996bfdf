//! How many meters are installed and commissioned, and how many of them are reduced by choice?

use mesh_api::reporting::v1 as wire;
use mesh_sheet::{Cell, Chart, Column, Kind, Malformed, Report, Section, Series, Table};

use super::{period, resting_on};

/// The key of the table of electricity meters.
pub const ELECTRICITY: &str = "electricity";
/// The key of the table of gas meters.
pub const GAS: &str = "gas";

/// The report of `rows`, which are all that answer `request`.
pub fn obligation(
    request: &wire::GetObligationReportRequest,
    rows: &[wire::ObligationRow],
    basis: &wire::ReportBasis,
) -> Result<Report, Malformed> {
    let electricity = Fuel {
        key: ELECTRICITY,
        title: "Electricity meters",
        meters: |row| [row.electricity, row.electricity_reduced_by_choice],
    };
    let gas = Fuel {
        key: GAS,
        title: "Gas meters",
        meters: |row| [row.gas, row.gas_reduced_by_choice],
    };
    let when = match request.month.as_str() {
        "" => "As of now".to_owned(),
        month => format!("At the end of {}", period(month, request.month_zone())),
    };
    let report = Report::new("Smart meters and reduced communications", when)
        .with_note(
            "A meter counts for its Responsible Supplier once it is installed and commissioned, whether the \
             consumer has it read remotely or not. SMETS1 meters are outside of this report.",
        )
        .with_section(electricity.section(rows)?)?
        .with_section(gas.section(rows)?)?;
    Ok(resting_on(report, basis))
}

struct Fuel {
    key: &'static str,
    title: &'static str,
    /// Installed and commissioned, and of these reduced by choice.
    meters: fn(&wire::ObligationRow) -> [u64; 2],
}

impl Fuel {
    fn section(&self, rows: &[wire::ObligationRow]) -> Result<Section, Malformed> {
        let columns = vec![
            Column::new("supplier", "Supplier", Kind::Text).meaning("The Responsible Supplier."),
            Column::new("commissioned", "Commissioned", Kind::Count)
                .unit("meters")
                .meaning("Installed and commissioned."),
            Column::new("read_remotely", "Read remotely", Kind::Count)
                .unit("meters")
                .meaning("Of these, with full communications."),
            Column::new("reduced_by_choice", "Reduced by choice", Kind::Count)
                .unit("meters")
                .meaning("Of these, with communications reduced by the consumer's choice."),
            Column::new("share_reduced", "Share reduced", Kind::Share)
                .meaning("Reduced by choice, of all that are commissioned."),
        ];
        let mut sum = [0_u64; 2];
        let mut cells = Vec::with_capacity(rows.len());
        for row in rows {
            let meters = (self.meters)(row);
            for (sum, meters) in sum.iter_mut().zip(meters) {
                *sum = sum.saturating_add(meters);
            }
            cells.push(meters_of(&row.party_id, meters));
        }
        let table = Table::new(columns, cells)?.with_total(meters_of("All", sum))?;
        let chart = Chart::stacked_bars(
            format!("{} installed and commissioned, by supplier", self.title),
            "supplier",
            [
                Series::of("read_remotely"),
                Series::excepted("reduced_by_choice"),
            ],
        );
        let explanation = "How many the supplier has, and how many of them are reduced by choice.";
        Section::new(self.key, self.title, explanation, table).with_chart(chart)
    }
}

fn meters_of(supplier: &str, [commissioned, reduced]: [u64; 2]) -> Vec<Cell> {
    vec![
        supplier.into(),
        commissioned.into(),
        commissioned.saturating_sub(reduced).into(),
        reduced.into(),
        Cell::share(reduced, commissioned),
    ]
}
