//! `mp169 status`: the mesh on one screen.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::Result;
use mesh_api::convert::{timestamp_from_wire, timestamp_to_wire};
use mesh_api::operations::v1::LogStatus;
use mesh_authz::InternalRole;
use mesh_rpc::{CertificateFacts, LookError};
use mesh_types::Timestamp;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use crate::cli::connection::Output;
use crate::cli::status::StatusArgs;
use crate::csp;
use crate::doctor::{Summary, judge};
use crate::learnt::{Instance, Learnt};
use crate::log::followers::{Followers, Judged};
use crate::output::{instant, json, length, one_line, print_line, print_text, redraw, table};
use crate::session::Session;
use crate::signals::told_to_stop;

/// How often it is shown anew.
const INTERVAL: Duration = Duration::from_secs(1);

/// How far a follower is that lacks nothing.
const UP_TO_DATE: &str = "up to date";

const SERVICES: [&str; 7] = [
    "service",
    "health",
    "since",
    "version",
    "certificate ends in",
    "clock",
    "flagged Devices",
];
const LOGS: [&str; 5] = ["log", "owner", "last event", "recorded", "followers"];

/// Carries out the command.
pub(crate) async fn run(args: StatusArgs) -> Result<()> {
    let session = Session::open(&args.connection, Some(InternalRole::Operator))?;
    if !args.watch {
        return show(&Learnt::ask(&session).await, args.connection.output, false);
    }
    let stop = told_to_stop();
    tokio::pin!(stop);
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            told = &mut stop => return told,
            _ = ticks.tick() => {}
        }
        let learnt = tokio::select! {
            told = &mut stop => return told,
            learnt = Learnt::ask(&session) => learnt,
        };
        show(&learnt, args.connection.output, true)?;
    }
}

fn show(learnt: &Learnt, output: Output, again: bool) -> Result<()> {
    match output {
        Output::Json => print_line(&line(learnt)?),
        Output::Table if again && std::io::stdout().is_terminal() => redraw(&screen(learnt)),
        Output::Table if again => print_text(&format_args!("{}\n", screen(learnt))),
        Output::Table => print_text(&screen(learnt)),
    }
}

/// Everything for people. What is wrong is one line, because `mp169 doctor` says it.
fn screen(learnt: &Learnt) -> String {
    let followers = learnt.followers();
    let services = learnt.instances.iter().map(|one| service(one, learnt));
    let judged = followers.judged();
    let logs = followers.logs();
    let logs = logs.filter_map(|one| log(one, &judged, learnt.time));
    let csps = match &learnt.subscriptions {
        Ok(subscriptions) if subscriptions.is_empty() => {
            "No CSP has a subscription yet.".to_owned()
        }
        Ok(subscriptions) => table(&csp::HEADER, subscriptions.iter().map(csp::row).collect()),
        Err(status) => format!(
            "The CSPs' lags are not told: {}",
            one_line(&status.message())
        ),
    };
    let summary = Summary::of(&judge(learnt));
    let advice = if summary.is_well() {
        summary.says()
    } else {
        format!(
            "NOT WELL: {}. `mp169 doctor` says what to do.",
            summary.says()
        )
    };
    let time = instant(Some(&timestamp_to_wire(learnt.time)));
    [
        format!("{time}  {advice}"),
        table(&SERVICES, services.collect()),
        table(&LOGS, logs.collect()),
        csps,
    ]
    .join("\n")
}

fn service(instance: &Instance, learnt: &Learnt) -> Vec<String> {
    let ends = match &instance.certificate {
        Ok(CertificateFacts { not_after, .. }) => length(not_after.since(learnt.time)),
        // `mp169 doctor` says why.
        Err(LookError::Unreachable(_)) => "not reached".to_owned(),
        Err(_) => "not accepted".to_owned(),
    };
    let Ok(told) = &instance.told else {
        let nothing = || "–".to_owned();
        let silent = "does not answer".to_owned();
        return vec![
            instance.name(),
            silent,
            nothing(),
            nothing(),
            ends,
            nothing(),
            nothing(),
        ];
    };
    let status = &told.status;
    let health = match &*status.not_serving_reason {
        "" => "SERVING".to_owned(),
        reason => format!("NOT_SERVING: {reason}"),
    };
    let doubt = status.clock.as_ref().map_or("", |clock| &*clock.doubt);
    let flagged = status.flagged_devices.map(|count| count.to_string());
    vec![
        instance.name(),
        health,
        ago(status.health_since_time.as_ref(), learnt.time),
        status.version.clone(),
        ends,
        if doubt.is_empty() { "believed" } else { doubt }.to_owned(),
        flagged.unwrap_or_default(),
    ]
}

fn log(
    (owner, log): (&str, &LogStatus),
    judged: &[Judged<'_>],
    now: Timestamp,
) -> Option<Vec<String>> {
    let head = log.head.as_ref()?;
    let followers = judged.iter().filter(|one| one.log.log == head.log);
    let followers = followers.map(|one| (one.service, distance(log, one)));
    let followers: Vec<_> = followers.collect();
    // Names take room that the screen has for trouble.
    let are_all_there = followers.iter().all(|(_, distance)| distance == UP_TO_DATE);
    let followers = if are_all_there {
        format!("{} {UP_TO_DATE}", followers.len())
    } else {
        let told = followers
            .iter()
            .map(|(name, distance)| format!("{name} {distance}"));
        told.collect::<Vec<_>>().join(", ")
    };
    Some(vec![
        head.log.clone(),
        owner.to_owned(),
        head.sequence.to_string(),
        ago(log.recorded_time.as_ref(), now),
        followers,
    ])
}

/// How long ago something was, in fewer letters than when it was.
fn ago(at: Option<&prost_types::Timestamp>, now: Timestamp) -> String {
    let at = at.and_then(|at| timestamp_from_wire(at).ok());
    at.map_or_else(
        || "–".to_owned(),
        |at| format!("{} ago", length(now.since(at))),
    )
}

/// How far a follower is from the end of the log.
fn distance(log: &LogStatus, follower: &Judged<'_>) -> String {
    if follower.is_misfit() {
        return "DOES NOT FIT".to_owned();
    }
    let (Some(head), Some(at)) = (&log.head, &follower.log.position) else {
        return "has nothing yet".to_owned();
    };
    let behind = head.sequence.saturating_sub(at.sequence);
    match &follower.log.stale_since {
        Some(_) => format!("{behind} behind, {}", follower.follows()),
        None if behind == 0 => UP_TO_DATE.to_owned(),
        None => format!("{behind} behind"),
    }
}

/// Everything for programs, in one line.
fn line(learnt: &Learnt) -> Result<Value> {
    let services = learnt.instances.iter().map(instance_to_json);
    let subscriptions = match &learnt.subscriptions {
        Ok(subscriptions) => subscriptions
            .iter()
            .map(json)
            .collect::<Result<Vec<_>>>()?
            .into(),
        Err(_) => Value::Null,
    };
    Ok(json!({
        "time": instant(Some(&timestamp_to_wire(learnt.time))),
        "well": Summary::of(&judge(learnt)).is_well(),
        "services": services.collect::<Result<Vec<_>>>()?,
        "followers": followers_to_json(&learnt.followers())?,
        "subscriptions": subscriptions,
    }))
}

fn instance_to_json(instance: &Instance) -> Result<Value> {
    let told = instance.told.as_ref().ok();
    let ends = instance.certificate.as_ref().ok();
    let ends = ends.map(|term| instant(Some(&timestamp_to_wire(term.not_after))));
    Ok(json!({
        "service": instance.service.name(),
        "address": instance.address,
        "certificate_ends": ends,
        "status": told.map(|told| json(&told.status)).transpose()?,
    }))
}

fn followers_to_json(followers: &Followers) -> Result<Value> {
    let judged = followers.judged();
    let lines = judged.iter().map(Judged::line);
    Ok(lines.collect::<Result<Vec<_>>>()?.into())
}
