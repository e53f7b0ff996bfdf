//! When do certificates end, and is each accepted?

use std::time::Duration;

use mesh_api::convert::timestamp_to_wire;
use mesh_api::operations::v1::ReloadFailure;
use mesh_rpc::{CertificateFacts, LookError};
use mesh_types::Timestamp;

use super::super::finding::{Check, Finding, Grade};
use super::super::remedy::{self, Remedy};
use crate::learnt::{Instance, Learnt};
use crate::output::{instant, length};

const DAY: Duration = Duration::from_secs(86_400);
/// Whoever has so little left is told, and this is wrong. Of what lives shorter than a quarter, a third and
/// a tenth of its life.
const SOON: Duration = DAY.saturating_mul(30);
const AT_ONCE: Duration = DAY.saturating_mul(7);

pub(super) fn judge(learnt: &Learnt) -> Vec<Finding> {
    let now = learnt.time;
    let subject = format!("of {}", learnt.identity);
    let mut findings = vec![match &learnt.own {
        Some(facts) => ends(subject, facts, now, remedy::RENEW),
        None => Check::Certificate.bad(
            Grade::Wrong,
            subject,
            "cannot be read",
            remedy::NOT_ACCEPTED,
        ),
    }];
    findings.extend(learnt.authorities.iter().map(|facts| {
        let subject = format!("of the authority {}", facts.subject);
        ends(subject, facts, now, remedy::NEW_AUTHORITY)
    }));
    let shown = learnt.instances.iter();
    findings.extend(shown.filter_map(|instance| shown_by(instance, now)));
    findings.extend(learnt.told().filter_map(|(instance, told)| {
        let failure = told.status.certificate.as_ref()?.last_failure.as_ref()?;
        failure.persists.then(|| unusable(instance, failure))
    }));
    findings
}

/// Files that a service was given and cannot use. It goes on with the last good ones, until those end.
fn unusable(instance: &Instance, failure: &ReloadFailure) -> Finding {
    let says = format!(
        "new files ({}) cannot be used since {}: {}",
        failure.files,
        instant(failure.time.as_ref()),
        failure.problem
    );
    let subject = format!("of {}", instance.name());
    Check::Certificate.bad(Grade::Wrong, subject, says, remedy::RIGHT_FILES)
}

/// Who cannot be reached shows nothing, and is told of elsewhere.
fn shown_by(instance: &Instance, now: Timestamp) -> Option<Finding> {
    let subject = format!("of {}", instance.name());
    match &instance.certificate {
        Ok(facts) => Some(ends(subject, facts, now, remedy::RENEW)),
        Err(LookError::Unreachable(_)) => None,
        Err(refused) => Some(Check::Certificate.bad(
            Grade::Wrong,
            subject,
            format!("not accepted here: {refused}"),
            remedy::NOT_ACCEPTED,
        )),
    }
}

fn ends(subject: String, facts: &CertificateFacts, now: Timestamp, remedy: Remedy) -> Finding {
    let end = instant(Some(&timestamp_to_wire(facts.not_after)));
    if now < facts.not_before {
        let begin = instant(Some(&timestamp_to_wire(facts.not_before)));
        let says = format!("holds only from {begin} on");
        return Check::Certificate.bad(Grade::Wrong, subject, says, remedy::SET_OWN_CLOCK);
    }
    let left = facts.not_after.since(now);
    let life = facts.not_after.since(facts.not_before);
    let says = if left.is_zero() {
        format!("ended {end}")
    } else {
        format!("ends {end}, in {}", length(left))
    };
    let grade = if left < AT_ONCE.min(life / 10) {
        Grade::Wrong
    } else if left < SOON.min(life / 3) {
        Grade::Warning
    } else {
        return Check::Certificate.ok(subject, says);
    };
    Check::Certificate.bad(grade, subject, says, remedy)
}
