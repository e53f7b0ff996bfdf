//! `mp169 report`: performance and obligations, with what is excepted in the open.

mod exceptions;
mod grouping;

use anyhow::Result;
use mesh_api::common::v1::Position;
use mesh_api::reporting::v1 as wire;
use mesh_authz::InternalRole;
use mesh_types::PartyId;

use crate::cli::connection::Output;
use crate::cli::report::{By, ObligationArgs, PerformanceArgs, ReportCommand};
use crate::output::{instant, print_line, print_table};
use crate::reading::{self, Columns};
use crate::session::Session;

/// Who usually gives these commands.
const USUAL: Option<InternalRole> = Some(InternalRole::Analyst);

/// The columns of the table of Service Requests. *broken*: excepted, but delivered all the same: a
/// broken promise. *allowing*: the rate with what is excepted left out.
pub(crate) const PERFORMANCE: [&str; 10] = [
    "supplier", "SRV", "sent", "ok", "failed", "stopped", "excepted", "broken", "rate", "allowing",
];

/// Carries out a command.
pub(crate) async fn run(command: ReportCommand) -> Result<()> {
    match command {
        ReportCommand::Performance(args) => performance(args).await,
        ReportCommand::Exceptions(args) => exceptions::run(args).await,
        ReportCommand::Obligation(args) => obligation(args).await,
    }
}

async fn performance(args: PerformanceArgs) -> Result<()> {
    let session = Session::open(&args.connection, USUAL)?;
    let request = wire::GetServiceRequestReportRequest {
        month: args.month,
        party_id: party(args.party, &session),
        service_reference_variant: args.variant,
        business_process: args.business_process,
        group_by: grouping::dimensions(&args.by),
        ..Default::default()
    };
    let mut reporting = session.clients.reporting()?;
    let header = grouping::header(&args.by);
    let columns = Columns {
        header: &header,
        row: &|row| grouping::cells(&args.by, row),
        none: "No outcome of such a Service Request was reported.",
    };
    let last = reading::show(&args.connection, args.limit, columns, async |wanted| {
        let request = wire::GetServiceRequestReportRequest {
            page_size: wanted.page_size,
            page_token: wanted.page_token,
            ..request.clone()
        };
        reporting.get_service_request_report(request).await
    })
    .await?;
    if args.connection.output == Output::Json || last.rows.is_empty() {
        return Ok(());
    }
    let totals = grouping::all(last.totals);
    print_table(&header, vec![grouping::cells(&args.by, &totals)])?;
    rests_on(last.basis.as_ref())?;
    grouping::table(&request, &last.business_processes_version)
}

async fn obligation(args: ObligationArgs) -> Result<()> {
    let session = Session::open(&args.connection, USUAL)?;
    let party_id = party(args.party, &session);
    let mut reporting = session.clients.reporting()?;
    let columns = Columns {
        header: &[
            "supplier",
            "electricity",
            "of which reduced",
            "gas",
            "of which reduced",
        ],
        row: &|row: &wire::ObligationRow| {
            let counts = [
                row.electricity,
                row.electricity_reduced_by_choice,
                row.gas,
                row.gas_reduced_by_choice,
            ];
            let counts = counts.map(|count| count.to_string());
            [row.party_id.clone()].into_iter().chain(counts).collect()
        },
        none: "No meter is installed and commissioned.",
    };
    let last = reading::show(&args.connection, args.limit, columns, async |wanted| {
        let request = wire::GetObligationReportRequest {
            party_id: party_id.clone(),
            page_size: wanted.page_size,
            page_token: wanted.page_token,
        };
        reporting.get_obligation_report(request).await
    })
    .await?;
    match args.connection.output {
        Output::Json => Ok(()),
        Output::Table => rests_on(last.basis.as_ref()),
    }
}

fn party(named: Option<PartyId>, session: &Session) -> String {
    named.map_or_else(|| session.own_party(), |party| party.to_string())
}

/// The cells of a row that is grouped by supplier and variant.
pub(crate) fn performance_row(row: &wire::ServiceRequestRow) -> Vec<String> {
    grouping::cells(&[By::Supplier, By::Variant], row)
}

fn rests_on(basis: Option<&wire::ReportBasis>) -> Result<()> {
    let Some(basis) = basis else { return Ok(()) };
    let sequence = |position: Option<&Position>| position.map_or(0, |position| position.sequence);
    print_line(&format_args!(
        "Rests on flags up to event {}, devices up to event {}, and {} outcomes.",
        sequence(basis.flags.as_ref()),
        sequence(basis.devices.as_ref()),
        basis.outcomes
    ))?;
    not_followed(basis).iter().try_for_each(print_line)
}

/// What the report lacks, if a log that it rests on is not followed.
fn not_followed(basis: &wire::ReportBasis) -> Vec<String> {
    let logs = [
        ("flags", &basis.flags_stale_since),
        ("devices", &basis.devices_stale_since),
    ];
    let stale = logs.into_iter().filter(|(_, since)| since.is_some());
    let said = stale.map(|(log, since)| {
        let since = instant(since.as_ref());
        format!("The log {log} is not followed since {since}: later events of it are not counted.")
    });
    said.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_since_when_a_log_is_not_followed() {
        let since = prost_types::Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        };
        let basis = wire::ReportBasis {
            devices_stale_since: Some(since),
            ..wire::ReportBasis::default()
        };
        let [said] = &not_followed(&basis)[..] else {
            panic!("one log is not followed");
        };
        assert!(
            said.contains("devices is not followed since 2023-11-14T22:13:20Z"),
            "{said}"
        );
        assert!(not_followed(&wire::ReportBasis::default()).is_empty());
    }
}
