//! `mp169 flag`: the supplier's commands.
//!
//! All of them may be sent again after a connection was lost: a change carries its request id.

use anyhow::Result;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::flag_registry::v1 as wire;
use mesh_rpc::Retry;
use mesh_types::{Clock as _, SystemClock};

use crate::cli::connection::{Connection, Output};
use crate::cli::flag::{
    AddArgs, ChannelArg, ChoiceArgs, FlagCommand, GetArgs, HistoryArgs, RemoveArgs, StepArg,
};
use crate::clients::Clients;
use crate::home::Folder;
use crate::output::{instant, print_json, print_line, print_table, short};

/// Carries out a command.
pub(crate) async fn run(command: FlagCommand) -> Result<()> {
    match command {
        FlagCommand::Add(args) => add(args).await,
        FlagCommand::Remove(args) => remove(args).await,
        FlagCommand::Get(args) => get(args).await,
        FlagCommand::History(args) => history(args).await,
    }
}

fn clients(connection: &Connection) -> Result<Clients> {
    Clients::of(&Folder::open(&connection.home)?, &connection.identity)
}

async fn add(args: AddArgs) -> Result<()> {
    let choice = choice(
        &args.choice,
        wire::Preference::Reduced,
        &args.connection.identity,
    );
    let request = wire::AddFlagRequest {
        request_id: request_id(&args.choice),
        device_id: args.device.to_string(),
        choice: Some(choice),
        reasonable_steps: (!args.steps.is_empty())
            .then(|| steps(&args.steps, captured(&args.choice), args.contact)),
        site_declarations: Some(wire::SiteDeclarations {
            economy_7_or_similar: absent(args.no_economy_7),
            radio_teleswitch: absent(args.no_radio_teleswitch),
            network_managed_without_wan: absent(args.no_network_managed_without_wan),
        }),
        validate_only: args.validate_only,
        ..Default::default()
    };
    let mut flags = clients(&args.connection)?.flags()?;
    let answer = Retry::default()
        .idempotent(async || flags.add_flag(request.clone()).await)
        .await?
        .into_inner();
    if args.connection.output == Output::Json {
        return print_json("mp169.flag_registry.v1.AddFlagResponse", &answer);
    }
    show_entry(answer.entry.as_ref());
    say_changed(answer.changed, answer.replayed, args.validate_only);
    for advice in answer.advice() {
        if advice == wire::Advice::BillingCalendarMayPushRegisters {
            print_line(
                &"Advice: a billing calendar on the meter may still push registers with the critical alert 0x8F0A; SRV 6.8 changes it.",
            );
        }
    }
    Ok(())
}

async fn remove(args: RemoveArgs) -> Result<()> {
    let choice = choice(
        &args.choice,
        wire::Preference::Full,
        &args.connection.identity,
    );
    let request = wire::RemoveFlagRequest {
        request_id: request_id(&args.choice),
        device_id: args.device.to_string(),
        choice: Some(choice),
        validate_only: args.validate_only,
        ..Default::default()
    };
    let mut flags = clients(&args.connection)?.flags()?;
    let answer = Retry::default()
        .idempotent(async || flags.remove_flag(request.clone()).await)
        .await?
        .into_inner();
    if args.connection.output == Output::Json {
        return print_json("mp169.flag_registry.v1.RemoveFlagResponse", &answer);
    }
    show_entry(answer.entry.as_ref());
    say_changed(answer.changed, answer.replayed, args.validate_only);
    Ok(())
}

async fn get(args: GetArgs) -> Result<()> {
    let request = wire::GetFlagRequest {
        device_id: args.device.to_string(),
        ..Default::default()
    };
    let mut flags = clients(&args.connection)?.flags()?;
    let answer = Retry::default()
        .idempotent(async || flags.get_flag(request.clone()).await)
        .await?
        .into_inner();
    if args.connection.output == Output::Json {
        return print_json("mp169.flag_registry.v1.GetFlagResponse", &answer);
    }
    show_entry(answer.entry.as_ref());
    Ok(())
}

async fn history(args: HistoryArgs) -> Result<()> {
    let mut flags = clients(&args.connection)?.flags()?;
    let request = wire::ListFlagEventsRequest {
        device_id: args.device.to_string(),
        page_size: args.limit,
        page_token: String::new(),
        ..Default::default()
    };
    let answer = Retry::default()
        .idempotent(async || flags.list_flag_events(request.clone()).await)
        .await?
        .into_inner();
    if args.connection.output == Output::Json {
        return print_json("mp169.flag_registry.v1.ListFlagEventsResponse", &answer);
    }
    if answer.events.is_empty() {
        print_line(&"The Device was never flagged: it has no history.");
        return Ok(());
    }
    let rows = answer.events.iter().map(|event| {
        let state = event
            .current
            .as_ref()
            .map(wire::FlagFacts::state)
            .unwrap_or_default();
        let facts = event.current.clone().unwrap_or_default();
        vec![
            event.sequence.to_string(),
            instant(event.recorded_time.as_ref()),
            short(event.cause().as_str_name(), "CAUSE_").to_owned(),
            short(state.as_str_name(), "FLAG_STATE_").to_owned(),
            facts.responsible_party_id,
            facts.csp_id,
            event
                .choice
                .as_ref()
                .map(|choice| choice.evidence_reference.clone())
                .unwrap_or_default(),
        ]
    });
    print_table(
        &[
            "event", "recorded", "cause", "flag", "supplier", "CSP", "evidence",
        ],
        rows.collect(),
    );
    Ok(())
}

fn choice(args: &ChoiceArgs, preference: wire::Preference, party: &str) -> wire::ConsumerChoice {
    let channel = match args.channel {
        ChannelArg::Telephone => wire::Channel::Telephone,
        ChannelArg::Online => wire::Channel::Online,
        ChannelArg::Written => wire::Channel::Written,
        ChannelArg::InPerson => wire::Channel::InPerson,
        ChannelArg::Representative => wire::Channel::Representative,
    };
    wire::ConsumerChoice {
        preference: preference.into(),
        captured_time: Some(captured(args)),
        channel: channel.into(),
        captured_by_party_id: party.to_owned(),
        evidence_reference: args.evidence.clone(),
    }
}

/// When the consumer said so, and when the steps were taken: one instant, so that the same command
/// line with the same `--captured` is the same request.
fn captured(args: &ChoiceArgs) -> prost_types::Timestamp {
    args.captured.map_or_else(
        || timestamp_to_wire(SystemClock.now()),
        |at| prost_types::Timestamp {
            seconds: at.as_second(),
            nanos: at.subsec_nanosecond(),
        },
    )
}

fn steps(
    steps: &[StepArg],
    taken: prost_types::Timestamp,
    contact_reference: String,
) -> wire::ReasonableSteps {
    let taken_time = Some(taken);
    let steps = steps.iter().map(|step| {
        let kind = match step {
            StepArg::BenefitsExplained => wire::StepKind::BenefitsExplained,
            StepArg::ConsequencesExplained => wire::StepKind::ConsequencesExplained,
            StepArg::LessFrequentReadsOffered => wire::StepKind::LessFrequentReadsOffered,
            StepArg::PrivacyExplained => wire::StepKind::PrivacyExplained,
            StepArg::Other => wire::StepKind::Other,
        };
        wire::ReasonableStep {
            kind: kind.into(),
            taken_time,
        }
    });
    wire::ReasonableSteps {
        steps: steps.collect(),
        contact_reference,
    }
}

fn absent(declared: bool) -> i32 {
    let declaration = if declared {
        wire::Declaration::Absent
    } else {
        wire::Declaration::Unspecified
    };
    declaration.into()
}

fn request_id(args: &ChoiceArgs) -> String {
    args.request_id
        .clone()
        .unwrap_or_else(|| uuid::Uuid::new_v4().to_string())
}

fn show_entry(entry: Option<&wire::FlagEntry>) {
    let Some(entry) = entry else { return };
    let known = |text: &str| if text.is_empty() { "–" } else { text }.to_owned();
    let cause = match entry.cause() {
        wire::Cause::Unspecified => "never flagged",
        cause => short(cause.as_str_name(), "CAUSE_"),
    };
    let rows = [
        ("Device", entry.device_id.clone()),
        (
            "flag",
            short(entry.state().as_str_name(), "FLAG_STATE_").to_owned(),
        ),
        ("since", instant(entry.since_time.as_ref())),
        ("cause", cause.to_owned()),
        ("also covers", known(&entry.covered_device_ids.join(", "))),
        ("Responsible Supplier", known(&entry.responsible_party_id)),
        ("CSP", known(&entry.csp_id)),
        ("Communications Hub", known(&entry.communications_hub_id)),
    ];
    print_table(
        &["", "value"],
        rows.into_iter()
            .map(|(name, value)| vec![name.to_owned(), value])
            .collect(),
    );
}

fn say_changed(changed: bool, replayed: bool, validate_only: bool) {
    let said = match (validate_only, changed) {
        (true, _) => "Checked: it would be accepted. Nothing was changed.",
        (false, true) => "The flag was changed.",
        (false, false) => "The flag was so already; the preference was recorded.",
    };
    let origin = if replayed {
        " (The answer to an earlier request.)"
    } else {
        ""
    };
    print_line(&format_args!("{said}{origin}"));
}
