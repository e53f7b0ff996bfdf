//! `mp169 flag`: the supplier's commands.
//!
//! All of them may be sent again after a connection was lost: a change carries its request id.

mod load;
mod read;

use anyhow::Result;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::flag_registry::v1 as wire;
use mesh_rpc::Retry;
use mesh_types::{Clock as _, SystemClock};

use crate::cli::connection::Output;
use crate::cli::flag::{
    AddArgs, AttestationArgs, ChangeArgs, ChannelArg, ChoiceArgs, FlagCommand, PreferenceArg,
    StepArg, TenancyArgs,
};
use crate::output::{print_json, print_line};
use crate::session::{Session, new_request_id};

/// Carries out a command.
pub(crate) async fn run(command: FlagCommand) -> Result<()> {
    match command {
        FlagCommand::Add(args) => add(args).await,
        FlagCommand::Tenancy(args) => tenancy(args).await,
        FlagCommand::Remove(args) => remove(args).await,
        FlagCommand::Load(args) => load::run(args).await,
        FlagCommand::Get(args) => read::get(args).await,
        FlagCommand::List(args) => read::list(args).await,
        FlagCommand::History(args) => read::history(args).await,
    }
}

async fn add(args: AddArgs) -> Result<()> {
    let session = Session::open(&args.change.connection, None)?;
    let choice = choice(&args.change.choice, wire::Preference::Reduced, &session);
    let request = wire::AddFlagRequest {
        request_id: request_id(&args.change.choice),
        device_id: args.change.device.to_string(),
        reasonable_steps: steps(&args.attestation, choice.captured_time),
        choice: Some(choice),
        site_declarations: Some(declarations(&args.attestation)),
        validate_only: args.change.validate_only,
        ..Default::default()
    };
    let mut flags = session.clients.flags()?;
    let answer = Retry::default()
        .idempotent(async || flags.add_flag(request.clone()).await)
        .await?
        .into_inner();
    if args.change.connection.output == Output::Json {
        return print_json(&answer);
    }
    read::show_entry(answer.entry.as_ref())?;
    say_changed(answer.changed, answer.replayed, args.change.validate_only)?;
    for advice in answer.advice() {
        if advice == wire::Advice::BillingCalendarMayPushRegisters {
            print_line(
                &"Advice: a billing calendar on the meter may still push registers with the critical alert 0x8F0A; SRV 6.8 changes it.",
            )?;
        }
    }
    Ok(())
}

async fn tenancy(args: TenancyArgs) -> Result<()> {
    let session = Session::open(&args.change.connection, None)?;
    let preference = match args.wants {
        PreferenceArg::Reduced => wire::Preference::Reduced,
        PreferenceArg::Full => wire::Preference::Full,
    };
    let choice = choice(&args.change.choice, preference, &session);
    let keeps = args.wants == PreferenceArg::Reduced;
    let request = wire::RecordTenancyChangeRequest {
        request_id: request_id(&args.change.choice),
        device_id: args.change.device.to_string(),
        tenancy_start_time: Some(args.since),
        reasonable_steps: steps(&args.attestation, choice.captured_time),
        choice: Some(choice),
        site_declarations: keeps.then(|| declarations(&args.attestation)),
        validate_only: args.change.validate_only,
        ..Default::default()
    };
    let mut flags = session.clients.flags()?;
    let answer = Retry::default()
        .idempotent(async || flags.record_tenancy_change(request.clone()).await)
        .await?
        .into_inner();
    if args.change.connection.output == Output::Json {
        return print_json(&answer);
    }
    read::show_entry(answer.entry.as_ref())?;
    say_changed(answer.changed, answer.replayed, args.change.validate_only)
}

async fn remove(args: ChangeArgs) -> Result<()> {
    let session = Session::open(&args.connection, None)?;
    let choice = choice(&args.choice, wire::Preference::Full, &session);
    let request = wire::RemoveFlagRequest {
        request_id: request_id(&args.choice),
        device_id: args.device.to_string(),
        choice: Some(choice),
        validate_only: args.validate_only,
        ..Default::default()
    };
    let mut flags = session.clients.flags()?;
    let answer = Retry::default()
        .idempotent(async || flags.remove_flag(request.clone()).await)
        .await?
        .into_inner();
    if args.connection.output == Output::Json {
        return print_json(&answer);
    }
    read::show_entry(answer.entry.as_ref())?;
    say_changed(answer.changed, answer.replayed, args.validate_only)
}

/// Captured by the caller, at one instant that the steps share: so that the same command line with
/// the same `--captured` is the same request.
fn choice(
    args: &ChoiceArgs,
    preference: wire::Preference,
    session: &Session,
) -> wire::ConsumerChoice {
    let channel = match args.channel {
        ChannelArg::Telephone => wire::Channel::Telephone,
        ChannelArg::Online => wire::Channel::Online,
        ChannelArg::Written => wire::Channel::Written,
        ChannelArg::InPerson => wire::Channel::InPerson,
        ChannelArg::Representative => wire::Channel::Representative,
    };
    let captured = args
        .captured
        .unwrap_or_else(|| timestamp_to_wire(SystemClock.now()));
    wire::ConsumerChoice {
        preference: preference.into(),
        captured_time: Some(captured),
        channel: channel.into(),
        captured_by_party_id: session.own_party(),
        evidence_reference: args.evidence.clone(),
    }
}

fn steps(
    args: &AttestationArgs,
    taken_time: Option<prost_types::Timestamp>,
) -> Option<wire::ReasonableSteps> {
    let steps = args.steps.iter().map(|step| {
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
    (!args.steps.is_empty()).then(|| wire::ReasonableSteps {
        steps: steps.collect(),
        contact_reference: args.contact.clone(),
    })
}

fn declarations(args: &AttestationArgs) -> wire::SiteDeclarations {
    let absent = |declared: bool| {
        let declaration = if declared {
            wire::Declaration::Absent
        } else {
            wire::Declaration::Unspecified
        };
        i32::from(declaration)
    };
    wire::SiteDeclarations {
        economy_7_or_similar: absent(args.no_economy_7),
        radio_teleswitch: absent(args.no_radio_teleswitch),
        network_managed_without_wan: absent(args.no_network_managed_without_wan),
    }
}

fn request_id(args: &ChoiceArgs) -> String {
    args.request_id.clone().unwrap_or_else(new_request_id)
}

fn say_changed(changed: bool, replayed: bool, validate_only: bool) -> Result<()> {
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
    print_line(&format_args!("{said}{origin}"))
}
