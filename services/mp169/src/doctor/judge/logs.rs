//! Does everybody who follows a log keep up with it: services, classifiers, CSPs?

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_api::convert::timestamp_from_wire;
use mesh_api::csp_notification::v1::Subscription;
use mesh_api::operations::v1::{FollowState, FollowedLogStatus, LogStatus};
use mesh_types::Timestamp;

use super::super::finding::{Check, Finding, Grade};
use super::super::remedy;
use crate::learnt::Learnt;
use crate::log::followers::{Followers, Judged};
use crate::output::{length, short};
use crate::refusal::refusal;
use crate::service::Service;

/// An event that a follower lacks for longer is told: usually it takes a part of a second.
const PATIENCE: Duration = Duration::from_secs(10);
/// Whoever is further behind is told, though a busy log hides for how long.
const FAR: u64 = 10_000;
/// So long a CSP may take to acknowledge: somebody is to look (as the alert in deploy/alerts says), and it
/// is wrong.
const CSP_SLOW: Duration = Duration::from_secs(5 * 60);
const CSP_LATE: Duration = Duration::from_secs(60 * 60);

pub(super) fn judge(learnt: &Learnt) -> Vec<Finding> {
    let followers = learnt.followers();
    let names = learnt.told().map(|(instance, _)| instance.name());
    // As `judged` has them: each as often as it follows logs.
    let names = names.zip(
        learnt
            .told()
            .map(|(_, told)| told.status.followed_logs.len()),
    );
    let names = names.flat_map(|(name, logs)| std::iter::repeat_n(name, logs));
    let judged = followers.judged();
    let followed = names.zip(&judged);
    let mut findings: Vec<_> = followed
        .map(|(name, judged)| follower(learnt, &followers, &name, judged))
        .collect();
    findings.extend(counts(learnt));
    findings.extend(csps(learnt));
    findings
}

fn follower(learnt: &Learnt, followers: &Followers, name: &str, judged: &Judged<'_>) -> Finding {
    let log = judged.log;
    let decides = judged.service == Service::Classification.name() && log.log == "flags";
    let check = if decides {
        Check::Freshness
    } else {
        Check::Follower
    };
    let subject = format!("{name} of {}", log.log);
    let stands = format!("event {}", judged.sequence());
    if judged.is_misfit() {
        let (says, remedy) = match log.state() {
            FollowState::Malformed => (log.malformed.clone(), remedy::MALFORMED),
            FollowState::WentBack => ("the log went back".to_owned(), remedy::WENT_BACK),
            _ => (judged.standing.says().to_owned(), remedy::WENT_BACK),
        };
        let says = format!("at {stands}: {says}");
        return check.bad(Grade::Contradiction, subject, says, remedy);
    }
    if judged.is_stuck || log.state() == FollowState::Lost {
        // Whoever was cut off this moment usually is back the next.
        let grade = if judged.is_stuck {
            Grade::Wrong
        } else {
            Grade::Warning
        };
        let stale = if decides { "STALE" } else { "does not follow" };
        let says = format!("{stale}, at {stands}: {}", judged.follows());
        return check.bad(grade, subject, says, remedy::FOLLOW_AGAIN);
    }
    let head = head(followers, log);
    let behind = head.map_or(0, |head| behind(head, log));
    let late = head.and_then(|head| late(learnt, head, log));
    match late {
        Some(late) if late > PATIENCE => {
            let says = format!("at {stands}, {behind} behind, for {}", length(late));
            check.bad(Grade::Wrong, subject, says, remedy::WAIT_AND_LOOK)
        }
        _ if log.position.is_none() => {
            let says = "has not taken anything over yet";
            check.bad(Grade::Warning, subject, says, remedy::WAIT_AND_LOOK)
        }
        _ if behind > FAR => {
            let says = format!("at {stands}, {behind} behind");
            check.bad(Grade::Warning, subject, says, remedy::WAIT_AND_LOOK)
        }
        _ if behind > 0 => check.ok(subject, format!("at {stands}, {behind} behind")),
        _ => check.ok(subject, format!("up to date at {stands}")),
    }
}

/// The end of the log that is followed, as its owner has it.
fn head<'a>(followers: &'a Followers, followed: &FollowedLogStatus) -> Option<&'a LogStatus> {
    let own = |log: &&LogStatus| {
        let head = log.head.as_ref();
        head.is_some_and(|head| head.log == followed.log)
    };
    let mut logs = followers
        .logs()
        .filter(|(owner, _)| *owner == followed.owner)
        .map(|(_, log)| log);
    logs.find(own)
}

/// By how many events the follower is behind, in the same history.
fn behind(head: &LogStatus, followed: &FollowedLogStatus) -> u64 {
    match (&head.head, &followed.position) {
        (Some(head), Some(at)) if head.epoch == at.epoch => {
            head.sequence.saturating_sub(at.sequence)
        }
        _ => 0,
    }
}

/// For how long at least it lacks an event: since the last one was recorded, by the owner's clock.
fn late(learnt: &Learnt, head: &LogStatus, followed: &FollowedLogStatus) -> Option<Duration> {
    let owner = learnt
        .told()
        .find(|(instance, _)| instance.service.name() == followed.owner);
    let now = timestamp_from_wire(owner?.1.status.time.as_ref()?).ok()?;
    let recorded = timestamp_from_wire(head.recorded_time.as_ref()?).ok()?;
    (behind(head, followed) > 0).then(|| now.since(recorded))
}

/// Classifiers that stand on one event of the flags hold as many Devices.
fn counts(learnt: &Learnt) -> Vec<Finding> {
    let mut counts: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (instance, told) in learnt.told() {
        let mut logs = told.status.followed_logs.iter();
        let flags = logs.find(|log| log.log == "flags");
        if let (Some(count), Some(flags)) = (told.status.flagged_devices, flags)
            && let Some(at) = &flags.position
        {
            let counted = counts.entry((at.epoch, at.sequence)).or_default();
            counted.push((instance, count));
        }
    }
    let apart = counts.into_values().flat_map(|counted| {
        let (_, first) = counted[0];
        counted
            .into_iter()
            .filter(move |(_, count)| *count != first)
    });
    let findings = apart.map(|(instance, count)| {
        let says =
            format!("holds {count} flagged Devices, and another one at the same event does not");
        Check::Freshness.bad(Grade::Contradiction, instance.name(), says, remedy::COMPARE)
    });
    findings.collect()
}

fn csps(learnt: &Learnt) -> Vec<Finding> {
    match &learnt.subscriptions {
        Ok(subscriptions) if subscriptions.is_empty() => {
            vec![Check::Csp.ok("all CSPs", "none has a subscription yet")]
        }
        Ok(subscriptions) => subscriptions.iter().map(|one| csp(one, learnt)).collect(),
        // That it does not answer at all is told already.
        Err(_) if !csp_notification_answers(learnt) => Vec::new(),
        Err(status) => {
            let says = format!("their lags are not told: {}", refusal(status));
            let wrong = Check::Csp.bad(Grade::Wrong, "all CSPs", says, remedy::IMPATIENT);
            vec![wrong]
        }
    }
}

fn csp_notification_answers(learnt: &Learnt) -> bool {
    let mut told = learnt.told();
    told.any(|(instance, _)| instance.service == Service::CspNotification)
}

fn csp(csp: &Subscription, learnt: &Learnt) -> Finding {
    let subject = &*csp.csp_id;
    if let Some(seen) = &csp.went_back_seen {
        let says = format!("its log lacks event {}, which it has seen", seen.sequence);
        return Check::Csp.bad(Grade::Contradiction, subject, says, remedy::CSP_WENT_BACK);
    }
    let now = time_of(learnt, Service::CspNotification);
    let since = |at: &Option<prost_types::Timestamp>| {
        let at = timestamp_from_wire(at.as_ref()?).ok()?;
        Some(now.since(at))
    };
    if let Some(stale) = since(&csp.source_stale_since).filter(|stale| *stale > PATIENCE) {
        let trouble = csp.source_trouble().as_str_name();
        let trouble = short(trouble, "SOURCE_TROUBLE_");
        let says = format!("flags are not taken over for {}: {trouble}", length(stale));
        return Check::Csp.bad(Grade::Wrong, subject, says, remedy::FOLLOW_AGAIN);
    }
    let waits = since(&csp.oldest_unacknowledged_time).unwrap_or_default();
    if csp.lag == 0 {
        return Check::Csp.ok(subject, "everything is acknowledged");
    }
    let attached = if csp.attached {
        "attached"
    } else {
        "not attached"
    };
    let says = format!(
        "{attached}, {} events not acknowledged, the oldest for {}",
        csp.lag,
        length(waits)
    );
    let grade = match waits {
        waits if waits > CSP_LATE => Grade::Wrong,
        waits if waits > CSP_SLOW => Grade::Warning,
        _ => return Check::Csp.ok(subject, says),
    };
    Check::Csp.bad(grade, subject, says, remedy::ASK_CSP)
}

/// The time by a service's clock, or by ours if it does not say.
fn time_of(learnt: &Learnt, service: Service) -> Timestamp {
    let mut told = learnt.told();
    let told = told.find(|(instance, _)| instance.service == service);
    let time = told.and_then(|(_, told)| timestamp_from_wire(told.status.time.as_ref()?).ok());
    time.unwrap_or(learnt.time)
}
