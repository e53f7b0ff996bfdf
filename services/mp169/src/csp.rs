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
use crate::exit::Usage;
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
            row,
            none: "No CSP has a subscription yet.",
        };
        reading::show(&args.connection, args.limit, columns, async |wanted| {
            let request = wire::ListSubscriptionsRequest {
                page_size: wanted.page_size,
                page_token: wanted.page_token,
            };
            client.list_subscriptions(request).await
        })
        .await?;
        return Ok(());
    }
    let csp_id = own_csp(&session, args.csp).await?;
    let answer = subscription(&session, &csp_id).await?;
    if args.connection.output == Output::Json {
        return print_json(&answer);
    }
    print_table(&HEADER, answer.subscription.iter().map(row).collect())
}

/// The CSP that is named, or that the party is whose certificate is shown.
async fn own_csp(session: &Session, named: Option<CspId>) -> Result<String> {
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

const HEADER: [&str; 8] = [
    "CSP",
    "last event",
    "sent",
    "acknowledged",
    "lag",
    "oldest waits since",
    "attached",
    "flags",
];

fn row(subscription: &wire::Subscription) -> Vec<String> {
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
    ]
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
