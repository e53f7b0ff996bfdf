//! What `mp169 flag` shows: the flag of a Device, flags by pages, a history.

use anyhow::Result;
use mesh_api::flag_registry::v1 as wire;
use mesh_authz::InternalRole;

use crate::cli::connection::Output;
use crate::cli::flag::{GetArgs, HistoryArgs, ListArgs};
use crate::output::{instant, print_fields, print_json, short};
use crate::reading::{self, Columns};
use crate::session::Session;

/// Who usually reads flags that are not its own.
const USUAL: Option<InternalRole> = Some(InternalRole::Operator);

/// `flag get`
pub(super) async fn get(args: GetArgs) -> Result<()> {
    let mut flags = Session::open(&args.question.connection, USUAL)?
        .clients
        .flags()?;
    let answer = reading::read(&args.question.known, async |as_of| {
        let request = wire::GetFlagRequest {
            device_id: args.device.to_string(),
            as_of,
            valid_time: args.valid_at,
            ..Default::default()
        };
        flags.get_flag(request).await
    })
    .await?;
    if args.question.connection.output == Output::Json {
        return print_json(&answer);
    }
    show_entry(answer.entry.as_ref())
}

/// `flag list`
pub(super) async fn list(args: ListArgs) -> Result<()> {
    let session = Session::open(&args.listing.connection, USUAL)?;
    let request = wire::ListFlagsRequest {
        party_id: args.party.unwrap_or_else(|| session.own_party()),
        state: args.state.unwrap_or_default().into(),
        csp_id: args.csp,
        ..Default::default()
    };
    let mut flags = session.clients.flags()?;
    let columns = Columns {
        header: &[
            "Device", "flag", "since", "cause", "supplier", "CSP", "review",
        ],
        row: &entry_row,
        none: "No Device has such a flag.",
    };
    reading::show_known(&args.listing, columns, async |wanted| {
        let request = wire::ListFlagsRequest {
            page_size: wanted.page_size,
            page_token: wanted.page_token,
            as_of: wanted.as_of,
            ..request.clone()
        };
        flags.list_flags(request).await
    })
    .await
}

/// `flag history`
pub(super) async fn history(args: HistoryArgs) -> Result<()> {
    let mut flags = Session::open(&args.listing.connection, USUAL)?
        .clients
        .flags()?;
    let columns = Columns {
        header: &[
            "event",
            "recorded",
            "effective",
            "cause",
            "flag",
            "supplier",
            "CSP",
            "evidence",
        ],
        row: &event_row,
        none: "The Device was never flagged: it has no history.",
    };
    reading::show_known(&args.listing, columns, async |wanted| {
        let request = wire::ListFlagEventsRequest {
            device_id: args.device.to_string(),
            page_size: wanted.page_size,
            page_token: wanted.page_token,
            as_of: wanted.as_of,
        };
        flags.list_flag_events(request).await
    })
    .await
}

/// Shows an entry, if there is one.
pub(super) fn show_entry(entry: Option<&wire::FlagEntry>) -> Result<()> {
    let Some(entry) = entry else { return Ok(()) };
    print_fields(&[
        ("Device", entry.device_id.clone()),
        ("flag", state(entry.state())),
        ("since", instant(entry.since_time.as_ref())),
        ("cause", cause(entry.cause())),
        ("also covers", entry.covered_device_ids.join(", ")),
        ("Responsible Supplier", entry.responsible_party_id.clone()),
        ("CSP", entry.csp_id.clone()),
        ("Communications Hub", entry.communications_hub_id.clone()),
        ("review asked for", reviews(entry)),
    ])
}

fn entry_row(entry: &wire::FlagEntry) -> Vec<String> {
    vec![
        entry.device_id.clone(),
        state(entry.state()),
        instant(entry.since_time.as_ref()),
        cause(entry.cause()),
        entry.responsible_party_id.clone(),
        entry.csp_id.clone(),
        reviews(entry),
    ]
}

fn event_row(event: &wire::FlagEvent) -> Vec<String> {
    let facts = event.current.clone().unwrap_or_default();
    let choice = event.choice.clone().unwrap_or_default();
    let mut why = cause(event.cause());
    if event.cause() == wire::Cause::ReviewNeeded {
        why = format!("{why}: {}", review(event.review_reason()));
    }
    vec![
        event.sequence.to_string(),
        instant(event.recorded_time.as_ref()),
        instant(event.effective_time.as_ref()),
        why,
        state(facts.state()),
        facts.responsible_party_id,
        facts.csp_id,
        choice.evidence_reference,
    ]
}

fn state(state: wire::FlagState) -> String {
    short(state.as_str_name(), "FLAG_STATE_").to_owned()
}

fn cause(cause: wire::Cause) -> String {
    match cause {
        wire::Cause::Unspecified => "never flagged",
        cause => short(cause.as_str_name(), "CAUSE_"),
    }
    .to_owned()
}

fn review(reason: wire::ReviewReason) -> &'static str {
    short(reason.as_str_name(), "REVIEW_REASON_")
}

fn reviews(entry: &wire::FlagEntry) -> String {
    entry.reviews().map(review).collect::<Vec<_>>().join(", ")
}
