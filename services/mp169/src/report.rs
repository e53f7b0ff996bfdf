//! `mp169 report`: performance, exceptions and obligations, in whichever form somebody wants to have them.

use anyhow::Result;
use mesh_api::reporting::v1 as wire;
use mesh_api::reporting::v1::Dimension;
use mesh_api::reporting::v1::reporting_service_client::ReportingServiceClient;
use mesh_authz::InternalRole;
use mesh_rpc::MeshChannel;
use mesh_sheet::Report;
use mesh_types::PartyId;
use reporting::present::{self, Grouped};

use crate::cli::connection::Limit;
use crate::cli::report::{
    By, ExceptionsArgs, Form, Fuel, ObligationArgs, PerformanceArgs, ReportCommand, Zone,
};
use crate::output::{print_document, print_line, width};
use crate::reading::gather;
use crate::session::Session;

/// Who usually gives these commands.
const USUAL: Option<InternalRole> = Some(InternalRole::Analyst);

/// Carries out a command.
pub(crate) async fn run(command: ReportCommand) -> Result<()> {
    match command {
        ReportCommand::Performance(args) => performance(args).await,
        ReportCommand::Exceptions(args) => exceptions(args).await,
        ReportCommand::Obligation(args) => obligation(args).await,
    }
}

async fn performance(args: PerformanceArgs) -> Result<()> {
    let session = Session::open(&args.connection, USUAL)?;
    let request = wire::GetServiceRequestReportRequest {
        month: args.period.month,
        month_zone: zone(args.period.zone).into(),
        party_id: party(args.party, &session),
        service_reference_variant: args.variant,
        business_process: args.business_process,
        ..Default::default()
    };
    let by = if args.by.is_empty() {
        present::FINEST.to_vec()
    } else {
        args.by.iter().copied().map(dimension).collect()
    };
    let whole = args.by.is_empty() && matches!(args.connection.output, Form::Json | Form::Html);
    let group = grouped(session.clients.reporting()?, &request, by).await?;
    let report = if whole {
        present::performance(&request, &group)?
    } else {
        present::service_requests(&request, &group)?
    };
    print(&report, args.connection.output, present::SERVICE_REQUESTS)
}

const fn zone(zone: Zone) -> wire::MonthZone {
    match zone {
        Zone::Utc => wire::MonthZone::Utc,
        Zone::London => wire::MonthZone::EuropeLondon,
    }
}

/// The whole report of a month, for all suppliers.
pub(crate) async fn whole(
    client: ReportingServiceClient<MeshChannel>,
    month: String,
) -> Result<Report> {
    let request = wire::GetServiceRequestReportRequest {
        month,
        ..Default::default()
    };
    let group = grouped(client, &request, present::FINEST.to_vec()).await?;
    Ok(present::performance(&request, &group)?)
}

async fn grouped(
    mut client: ReportingServiceClient<MeshChannel>,
    request: &wire::GetServiceRequestReportRequest,
    by: Vec<Dimension>,
) -> Result<Grouped> {
    let group_by: Vec<i32> = by.iter().copied().map(i32::from).collect();
    let (rows, last) = gather(Limit { most: None }, async |wanted| {
        let request = wire::GetServiceRequestReportRequest {
            group_by: group_by.clone(),
            page_size: wanted.page_size,
            page_token: wanted.page_token,
            ..request.clone()
        };
        client.get_service_request_report(request).await
    })
    .await?;
    Ok(Grouped {
        by,
        rows,
        basis: last.basis.unwrap_or_default(),
        business_processes_version: last.business_processes_version,
    })
}

async fn exceptions(args: ExceptionsArgs) -> Result<()> {
    let session = Session::open(&args.connection, USUAL)?;
    let request = wire::ListExceptedRequestsRequest {
        month: args.period.month,
        month_zone: zone(args.period.zone).into(),
        party_id: party(args.party, &session),
        delivered_only: args.delivered,
        ..Default::default()
    };
    let mut reporting = session.clients.reporting()?;
    let (rows, last) = gather(args.limit, async |wanted| {
        let request = wire::ListExceptedRequestsRequest {
            page_size: wanted.page_size,
            page_token: wanted.page_token,
            ..request.clone()
        };
        reporting.list_excepted_requests(request).await
    })
    .await?;
    let basis = last.basis.unwrap_or_default();
    let report = present::exceptions(&request, &rows, &basis)?;
    print(&report, args.connection.output, present::EXCEPTIONS)
}

async fn obligation(args: ObligationArgs) -> Result<()> {
    let session = Session::open(&args.connection, USUAL)?;
    let party_id = party(args.party, &session);
    let mut reporting = session.clients.reporting()?;
    let (rows, last) = gather(Limit { most: None }, async |wanted| {
        let request = wire::GetObligationReportRequest {
            party_id: party_id.clone(),
            page_size: wanted.page_size,
            page_token: wanted.page_token,
        };
        reporting.get_obligation_report(request).await
    })
    .await?;
    let report = present::obligation(&rows, &last.basis.unwrap_or_default())?;
    let section = match args.fuel {
        Fuel::Electricity => present::ELECTRICITY,
        Fuel::Gas => present::GAS,
    };
    print(&report, args.connection.output, section)
}

fn party(named: Option<PartyId>, session: &Session) -> String {
    named.map_or_else(|| session.own_party(), |party| party.to_string())
}

const fn dimension(by: By) -> Dimension {
    match by {
        By::Supplier => Dimension::Supplier,
        By::Variant => Dimension::ServiceRequestVariant,
        By::BusinessProcess => Dimension::BusinessProcess,
    }
}

/// Where there is room for one table, it is that of `section`.
fn print(report: &Report, form: Form, section: &str) -> Result<()> {
    match form {
        Form::Table => print_document(&mesh_sheet::text(report, width())),
        Form::Csv => report
            .section(section)
            .map_or(Ok(()), |section| print_document(&mesh_sheet::csv(section))),
        Form::Json => print_line(&mesh_sheet::json(report)),
        Form::Html => print_document(&mesh_sheet::html(report)),
    }
}
