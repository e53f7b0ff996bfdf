//! `mp169 report`: performance, exceptions, obligations, flags and the promptness of CSPs, in whichever form somebody
//! wants to have them.

mod promptness;

use anyhow::{Context as _, Result};
use mesh_api::convert::timestamp_to_wire;
use mesh_api::csp_notification::v1::GetDeliveryReportRequest;
use mesh_api::reporting::v1 as wire;
use mesh_api::reporting::v1::Dimension;
use mesh_api::reporting::v1::reporting_service_client::ReportingServiceClient;
use mesh_authz::InternalRole;
use mesh_rpc::MeshChannel;
use mesh_sheet::Report;
use mesh_types::PartyId;
use reporting::month::Month;
use reporting::period::{self, Period};
use reporting::present::{self, Grouped};

use crate::cli::connection::{Limit, Output};
use crate::cli::report::{
    By, CloseArgs, ContentArgs, CspArgs, Edition, EditionsArgs, ExceptionsArgs, FlagsArgs, Form,
    Fuel, ObligationArgs, PerformanceArgs, ReportCommand, Zone,
};
use crate::csp::own_csp;
use crate::exit::Usage;
use crate::output::{print_document, print_json, print_line, width};
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
        ReportCommand::Editions(args) => editions(args).await,
        ReportCommand::Close(args) => close(args).await,
        ReportCommand::Content(args) => content(args).await,
        ReportCommand::Flags(args) => flags(args).await,
        ReportCommand::Csp(args) => csp(args).await,
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
        edition: choice(&args.edition),
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

fn choice(args: &Edition) -> Option<wire::EditionChoice> {
    use wire::edition_choice::Choice;

    let restatement = args.edition.map(Choice::Restatement);
    let added = args.added_by.map(Choice::AddedBy);
    let choice = restatement
        .or(added)
        .or_else(|| args.now.then_some(Choice::Now(true)))?;
    Some(wire::EditionChoice {
        choice: Some(choice),
    })
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
        edition: choice(&args.edition),
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
    let request = wire::GetObligationReportRequest {
        month: args.month.unwrap_or_default(),
        month_zone: args.zone.map_or(0, |named| zone(named).into()),
        party_id: party(args.party, &session),
        ..Default::default()
    };
    let mut reporting = session.clients.reporting()?;
    let (rows, last) = gather(Limit { most: None }, async |wanted| {
        let request = wire::GetObligationReportRequest {
            page_size: wanted.page_size,
            page_token: wanted.page_token,
            ..request.clone()
        };
        reporting.get_obligation_report(request).await
    })
    .await?;
    let report = present::obligation(&request, &rows, &last.basis.unwrap_or_default())?;
    let section = match args.fuel {
        Fuel::Electricity => present::ELECTRICITY,
        Fuel::Gas => present::GAS,
    };
    print(&report, args.connection.output, section)
}

async fn flags(args: FlagsArgs) -> Result<()> {
    let session = Session::open(&args.connection, USUAL)?;
    let request = wire::GetFlagReportRequest {
        month: args.period.month,
        month_zone: zone(args.period.zone).into(),
        party_id: party(args.party, &session),
        csp_id: args.csp.map_or_else(String::new, |csp| csp.to_string()),
        ..Default::default()
    };
    let mut reporting = session.clients.reporting()?;
    let (rows, last) = gather(Limit { most: None }, async |wanted| {
        let request = wire::GetFlagReportRequest {
            page_size: wanted.page_size,
            page_token: wanted.page_token,
            ..request.clone()
        };
        reporting.get_flag_report(request).await
    })
    .await?;
    let report = present::flags(&request, &rows, &last.basis.unwrap_or_default())?;
    print(&report, args.connection.output, present::FLAGS)
}

async fn csp(args: CspArgs) -> Result<()> {
    let session = Session::open(&args.connection, USUAL)?;
    let month = args.period.month.parse::<Month>();
    let period = Period {
        month: month.map_err(|error| Usage(error.to_string()))?,
        zone: match args.period.zone {
            Zone::Utc => period::Zone::Utc,
            Zone::London => period::Zone::London,
        },
    };
    let csp_id = match args.csp {
        None if session.own_party().is_empty() => String::new(),
        named => own_csp(&session, named).await?,
    };
    let request = GetDeliveryReportRequest {
        from_time: Some(timestamp_to_wire(period.interval().start())),
        until_time: Some(timestamp_to_wire(period.interval().end())),
        csp_id,
        ..Default::default()
    };
    let mut client = session.clients.csp()?;
    let (rows, last) = gather(Limit { most: None }, async |wanted| {
        let request = GetDeliveryReportRequest {
            page_size: wanted.page_size,
            page_token: wanted.page_token,
            ..request.clone()
        };
        client.get_delivery_report(request).await
    })
    .await?;
    let basis = last.basis.unwrap_or_default();
    let report = promptness::report(period, &rows, &basis)?;
    print(&report, args.connection.output, promptness::ALL)
}

async fn editions(args: EditionsArgs) -> Result<()> {
    let session = Session::open(&args.connection, USUAL)?;
    let mut reporting = session.clients.reporting()?;
    let request = wire::ListEditionsRequest {
        month_zone: args.month.as_ref().map_or(0, |_| zone(args.zone).into()),
        month: args.month.unwrap_or_default(),
        ..Default::default()
    };
    let (rows, _) = gather(Limit { most: None }, async |wanted| {
        let request = wire::ListEditionsRequest {
            page_size: wanted.page_size,
            page_token: wanted.page_token,
            ..request.clone()
        };
        reporting.list_editions(request).await
    })
    .await?;
    let report = present::editions(&request, &rows)?;
    print(&report, args.connection.output, present::EDITIONS)
}

async fn close(args: CloseArgs) -> Result<()> {
    let session = Session::open(&args.connection, Some(InternalRole::Operator))?;
    let mut reporting = session.clients.reporting()?;
    let request = wire::CloseMonthRequest {
        month: args.period.month.clone(),
        month_zone: zone(args.period.zone).into(),
        restatement: args.restatement,
    };
    reporting.close_month(request).await?;
    let request = wire::ListEditionsRequest {
        month: args.period.month,
        month_zone: zone(args.period.zone).into(),
        ..Default::default()
    };
    let listed = reporting.list_editions(request.clone()).await?.into_inner();
    let report = present::editions(&request, &listed.editions)?;
    print(&report, args.connection.output, present::EDITIONS)
}

async fn content(args: ContentArgs) -> Result<()> {
    let session = Session::open(&args.connection, USUAL)?;
    let mut reporting = session.clients.reporting()?;
    let request = wire::ExportEditionRequest {
        month: args.period.month,
        month_zone: zone(args.period.zone).into(),
        restatement: args.edition,
    };
    let mut parts = reporting.export_edition(request).await?.into_inner();
    let mut text = Vec::new();
    while let Some(part) = parts.message().await? {
        match args.connection.output {
            Output::Table => text.extend_from_slice(&part.content),
            Output::Json => print_json(&part)?,
        }
    }
    print_document(std::str::from_utf8(&text).context("the content is no text")?)
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
