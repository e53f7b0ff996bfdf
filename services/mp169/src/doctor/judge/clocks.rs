//! Do the clocks agree: each service's with this machine's, and the services' with one another?

use std::time::Duration;

use mesh_api::convert::timestamp_from_wire;
use mesh_types::Timestamp;

use super::super::finding::{Check, Finding, Grade};
use super::super::remedy;
use crate::learnt::{Learnt, Told};
use crate::output::length;

/// What is further apart is seen to: times of one story are told by several clocks.
const TELLS: Duration = Duration::from_secs(2);
/// Whose clock is further ahead of the others' records nothing (docs/adr: a clock ahead is not believed).
const WRONG: Duration = Duration::from_secs(30);

/// How far a clock is from this machine's.
#[derive(Clone, Copy)]
struct Skew {
    ahead: bool,
    /// At least, whatever the way took of the time between question and answer.
    by: Duration,
}

pub(super) fn judge(learnt: &Learnt) -> Vec<Finding> {
    let told = learnt.told().filter_map(|(instance, told)| {
        let skew = skew(told)?;
        let doubt = told.status.clock.as_ref().map_or("", |clock| &*clock.doubt);
        Some((instance.name(), skew, doubt))
    });
    let told: Vec<_> = told.collect();
    let is_ours = is_ours(&told.iter().map(|(_, skew, _)| *skew).collect::<Vec<_>>());
    let judged = told.into_iter().map(|(name, skew, doubt)| {
        if !doubt.is_empty() {
            let says = format!("{}; nothing is recorded by it: {doubt}", skew.says());
            return Check::Clock.bad(Grade::Wrong, name, says, remedy::by_reason(doubt));
        }
        let grade = match skew.by {
            by if by > WRONG => Grade::Wrong,
            by if by > TELLS => Grade::Warning,
            _ => return Check::Clock.ok(name, skew.says()),
        };
        let remedy = if is_ours {
            remedy::SET_OWN_CLOCK
        } else {
            remedy::SET_CLOCK
        };
        Check::Clock.bad(grade, name, skew.says(), remedy)
    });
    judged.collect()
}

fn skew(told: &Told) -> Option<Skew> {
    let theirs = timestamp_from_wire(told.status.time.as_ref()?).ok()?;
    let (ahead, by) = apart(theirs, told.time);
    let by = by.saturating_sub(told.round_trip / 2);
    Some(Skew { ahead, by })
}

fn apart(theirs: Timestamp, ours: Timestamp) -> (bool, Duration) {
    let ahead = theirs > ours;
    let by = if ahead {
        theirs.since(ours)
    } else {
        ours.since(theirs)
    };
    (ahead, by)
}

/// Whether all services are off to one side, and not far from one another: then it is this machine.
fn is_ours(all: &[Skew]) -> bool {
    let least = all.iter().map(|skew| skew.by).min().unwrap_or_default();
    let most = all.iter().map(|skew| skew.by).max().unwrap_or_default();
    let ahead = all.iter().filter(|skew| skew.ahead).count();
    let to_one_side = ahead == 0 || ahead == all.len();
    all.len() > 1 && to_one_side && least > TELLS && most.saturating_sub(least) <= TELLS
}

impl Skew {
    fn says(self) -> String {
        if self.by < Duration::from_millis(100) {
            return "agrees with this machine's".to_owned();
        }
        let side = if self.ahead { "ahead of" } else { "behind" };
        format!("{} {side} this machine's", length(self.by))
    }
}
