//! What becomes of a Device's flag when its supplier asks for something?

use mesh_api::flag_registry::v1::Cause;
use mesh_types::Timestamp;

use crate::facts::Facts;
use crate::flag::{Change, Entry, Meter};
use crate::lifecycle::supplier_changed;
use crate::preconditions::{Violation, violations, wants_reduction};
use crate::preference::{Wish, WishKind};
use crate::quota::{Effect, Spent};

/// A wish that is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What the Device is.
    pub meter: Meter,
    /// What registration knew and the entry did not: goes first, each an event of its own.
    pub caught_up: Vec<Change>,
    /// What the supplier does.
    pub change: Change,
    /// Whether the flag's state changes.
    pub changed: bool,
    /// What it does as far as quotas go.
    pub effect: Effect,
    /// What the supplier has spent on the Device so far.
    pub spent: Spent,
}

/// Grants `wish`, or names everything that stands in its way.
///
/// `facts` are not older than the entry: the store makes sure of it.
pub fn decide(
    entry: Option<&Entry>,
    wish: &Wish,
    facts: &Facts,
    now: Timestamp,
) -> Result<Decision, Vec<Violation>> {
    let found = violations(wish, entry, facts, now);
    let (Some(meter), true) = (facts.meter(), found.is_empty()) else {
        return Err(found);
    };
    let flagged = entry.is_some_and(|entry| entry.standing.flagged);
    let (cause, wanted) = match wish.kind {
        WishKind::Add => (Cause::FlagAdded, true),
        WishKind::Remove => (Cause::FlagRemoved, false),
        WishKind::Tenancy if wants_reduction(&wish.given) => (Cause::TenancyKept, true),
        WishKind::Tenancy => (Cause::TenancyRemoved, false),
    };
    let changed = flagged != wanted;
    let cause = if changed || cause == Cause::TenancyKept {
        cause
    } else {
        Cause::PreferenceRecorded
    };
    let caught_up = entry.map_or_else(Vec::new, |entry| catch_up(entry, facts, now));
    let prompts = caught_up.iter().filter_map(|change| change.review);
    let prompted = prompts.count() > 0 || entry.is_some_and(|entry| !entry.reviews.is_empty());
    let its_own = entry.filter(|entry| entry.standing.supplier.as_ref() == Some(&facts.supplier));
    Ok(Decision {
        meter,
        caught_up,
        change: Change {
            cause,
            current: facts.standing(wanted),
            effective: None,
            given: Some(wish.given.clone()),
            review: None,
        },
        changed,
        effect: Effect::of(flagged, wanted, prompted),
        spent: its_own.map(|entry| entry.spent.clone()).unwrap_or_default(),
    })
}

/// What `facts` say differently from the entry.
///
/// A permit may be ahead of the follower. The supplier's event must not hide that the Device moved
/// to another supplier or hub, because a preference that changes nothing is not for the CSPs, and
/// the follower will skip what is not newer than the permit.
fn catch_up(entry: &Entry, facts: &Facts, now: Timestamp) -> Vec<Change> {
    let target = facts.standing(entry.standing.flagged);
    let mut standing = entry.standing.clone();
    let mut changes = supplier_changed(entry, target.supplier.as_ref(), facts.supplier_since);
    standing.supplier = target.supplier;
    if (standing.hub, &standing.csp) != (target.hub, &target.csp) {
        (standing.hub, standing.csp) = (target.hub, target.csp);
        changes.push(Change::of_facts(Cause::HubReplaced, standing.clone(), now));
    }
    if standing.covered != target.covered {
        standing.covered = target.covered;
        changes.push(Change::of_facts(Cause::CoverageChanged, standing, now));
    }
    changes
}
