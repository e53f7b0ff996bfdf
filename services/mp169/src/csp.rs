//! `mp169 csp`: a CSP's own stream of flag changes.

mod watch;

use anyhow::{Context as _, Result};
use mesh_api::common::v1::Position;
use mesh_api::csp_notification::v1 as wire;
use mesh_api::registration::v1::GetPartyRequest;
use mesh_authz::InternalRole;
use mesh_rpc::Retry;
use mesh_types::CspId;

use crate::cli::connection::Output;
use crate::cli::csp::{AckArgs, CspCommand, LagArgs};
use crate::exit::{NotWhole, Usage};
use crate::output::{instant, print_json, print_table, short};
use crate::reading::{self, Columns};
use crate::session::Session;

/// Carries out a command.
pub(crate) async fn run(command: CspCommand) -> Result<()> {
    match command {
        CspCommand::Watch(args) => watch::run(args).await,
        CspCommand::Ack(args) => ack(args).await,
        CspCommand::Lag(args) => lag(args).await,
    }
}

async fn ack(args: AckArgs) -> Result<()> {
    let session = Session::open(&args.connection, None)?;
    let csp_id = own_csp(&session, args.csp).await?;
    let up_to = Position {
        sequence: args.sequence,
        ..head(&session, &csp_id).await?
    };
    let subscription = acknowledge(&session, &csp_id, up_to).await?;
    if args.connection.output == Output::Json {
        return print_json(&subscription);
    }
    print_table(&HEADER, subscription.subscription.iter().map(row).collect())
}

async fn lag(args: LagArgs) -> Result<()> {
    let session = Session::open(&args.connection, Some(InternalRole::Operator))?;
    let mut client = session.clients.csp()?;
    if args.csp.is_none() && session.own_party().is_empty() {
        let columns = Columns {
            header: &HEADER,
            row: &row,
            none: "No CSP has a subscription yet.",
        };
        let mut went_back = Vec::new();
        reading::show(&args.connection, args.limit, columns, async |wanted| {
            let request = wire::ListSubscriptionsRequest {
                page_size: wanted.page_size,
                page_token: wanted.page_token,
            };
            let page = client.list_subscriptions(request).await?;
            went_back.extend(lacking(&page.get_ref().subscriptions));
            Ok(page)
        })
        .await?;
        return whole(&went_back);
    }
    let csp_id = own_csp(&session, args.csp).await?;
    let answer = subscription(&session, &csp_id).await?;
    let went_back: Vec<_> = lacking(answer.subscription.as_slice()).collect();
    match args.connection.output {
        Output::Json => print_json(&answer)?,
        Output::Table => print_table(&HEADER, answer.subscription.iter().map(row).collect())?,
    }
    whole(&went_back)
}

/// The CSPs whose logs lack what they have seen.
fn lacking(subscriptions: &[wire::Subscription]) -> impl Iterator<Item = String> {
    let lacking = |one: &&wire::Subscription| one.went_back_seen.is_some();
    let lacking = subscriptions.iter().filter(lacking);
    lacking.map(|one| one.csp_id.clone())
}

/// Nothing is sent to these CSPs, and nothing changes that but an operator.
fn whole(went_back: &[String]) -> Result<()> {
    if went_back.is_empty() {
        return Ok(());
    }
    let csps = went_back.join(", ");
    Err(NotWhole(format!(
        "the logs of these CSPs lack what the CSPs have seen: {csps}. Put the right csp-notification.db \
         back, or see `mp169 log accept-loss --help`"
    ))
    .into())
}

/// The CSP that is named, or that the party is whose certificate is shown.
pub(crate) async fn own_csp(session: &Session, named: Option<CspId>) -> Result<String> {
    if let Some(csp) = named {
        return Ok(csp.to_string());
    }
    let no_csp = || {
        Usage(format!(
            "{} is no CSP; name one with --as",
            session.identity
        ))
    };
    if session.own_party().is_empty() {
        return Err(no_csp().into());
    }
    let mut parties = session.clients.parties()?;
    let request = GetPartyRequest {
        party_id: session.own_party(),
        ..Default::default()
    };
    let answer = Retry::default()
        .idempotent(async || parties.get_party(request.clone()).await)
        .await?;
    let party = answer.into_inner().party.unwrap_or_default();
    let csp = Some(party.csp_id).filter(|csp| !csp.is_empty());
    Ok(csp.ok_or_else(no_csp)?)
}

async fn subscription(session: &Session, csp_id: &str) -> Result<wire::GetSubscriptionResponse> {
    let mut client = session.clients.csp()?;
    let request = wire::GetSubscriptionRequest {
        csp_id: csp_id.to_owned(),
    };
    let answer = Retry::default()
        .idempotent(async || client.get_subscription(request.clone()).await)
        .await?;
    Ok(answer.into_inner())
}

/// The last position of the CSP's log.
async fn head(session: &Session, csp_id: &str) -> Result<Position> {
    let subscription = subscription(session, csp_id).await?.subscription;
    let head = subscription.and_then(|subscription| subscription.head);
    head.with_context(|| format!("nothing was ever sent to {csp_id}"))
}

async fn acknowledge(
    session: &Session,
    csp_id: &str,
    up_to: Position,
) -> Result<wire::AcknowledgeFlagChangesResponse> {
    let mut client = session.clients.csp()?;
    let request = wire::AcknowledgeFlagChangesRequest {
        csp_id: csp_id.to_owned(),
        up_to: Some(up_to),
        applied_time: None,
    };
    let answer = Retry::default()
        .idempotent(async || client.acknowledge_flag_changes(request.clone()).await)
        .await?;
    Ok(answer.into_inner())
}

pub(crate) const HEADER: [&str; 9] = [
    "CSP",
    "last event",
    "sent",
    "acknowledged",
    "lag",
    "oldest waits since",
    "attached",
    "flags",
    "log",
];

pub(crate) fn row(subscription: &wire::Subscription) -> Vec<String> {
    let sequence =
        |position: Option<&Position>| position.map_or(0, |position| position.sequence).to_string();
    vec![
        subscription.csp_id.clone(),
        sequence(subscription.head.as_ref()),
        sequence(subscription.sent.as_ref()),
        sequence(subscription.acknowledged.as_ref()),
        subscription.lag.to_string(),
        instant(subscription.oldest_unacknowledged_time.as_ref()),
        if subscription.attached { "yes" } else { "no" }.to_owned(),
        flags(subscription),
        log(subscription),
    ]
}

/// Whether the CSP's log has what the CSP has seen of it.
fn log(subscription: &wire::Subscription) -> String {
    match &subscription.went_back_seen {
        None => "whole".to_owned(),
        Some(seen) => format!(
            "WENT BACK behind event {} since {}",
            seen.sequence,
            instant(subscription.went_back_since.as_ref())
        ),
    }
}

/// Whether the CSP's log keeps up with the flags.
fn flags(subscription: &wire::Subscription) -> String {
    match &subscription.source_stale_since {
        None => "up to date".to_owned(),
        Some(since) => format!(
            "{} since {}",
            short(
                subscription.source_trouble().as_str_name(),
                "SOURCE_TROUBLE_"
            ),
            instant(Some(since))
        ),
    }
}
