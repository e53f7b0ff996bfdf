//! What becomes of a flag when its supplier asks for something?

use mesh_api::flag_registry::v1::{Cause, Precondition, Preference, ReviewReason};

use super::fixtures::{
    ESME, GPF, NOW, OTHER_CHF, OTHER_GPF, add, at, facts, gas_facts, id, party, position, remove,
    wish,
};
use crate::decide::{Decision, decide};
use crate::facts::Facts;
use crate::flag::{Draft, Entry, Meter, Place};
use crate::lifecycle::supplier_changed;
use crate::preference::{Wish, WishKind};
use crate::quota::{Effect, Spent};

fn granted(entry: Option<&Entry>, wish: &Wish, facts: &Facts) -> Decision {
    decide(entry, wish, facts, at(NOW)).unwrap()
}

/// The entry after the supplier's wish was granted as event `sequence`.
fn after(entry: Option<&Entry>, wish: &Wish, facts: &Facts, sequence: u64) -> Entry {
    let decision = granted(entry, wish, facts);
    let event = Draft {
        device: facts.device,
        meter: decision.meter,
        previous: entry.map_or_else(|| facts.standing(false), |entry| entry.standing.clone()),
        change: decision.change,
        by: None,
        trace_parent: String::new(),
        rests_on: position(1),
    };
    let place = Place {
        sequence,
        recorded_time: at(NOW + i64::try_from(sequence).unwrap()),
    };
    Entry::after(entry, event.happened(place))
}

#[test]
fn a_flag_is_set_and_lifted() {
    let set = granted(None, &add(), &gas_facts());
    assert_eq!((set.changed, set.change.cause), (true, Cause::FlagAdded));
    assert_eq!(set.meter, Meter::Gsme);
    assert_eq!(set.change.current.covered, [id(GPF)]);
    assert!(set.change.current.flagged && set.caught_up.is_empty());

    let entry = after(None, &add(), &gas_facts(), 5);
    assert_eq!((entry.state_sequence, entry.last_sequence), (5, 5));
    assert_eq!((entry.since, entry.etag().as_str()), (at(NOW + 5), "5"));

    let lifted = granted(Some(&entry), &remove(), &gas_facts());
    assert_eq!(
        (lifted.changed, lifted.change.cause),
        (true, Cause::FlagRemoved)
    );
    assert!(!lifted.change.current.flagged);
}

#[test]
fn what_changes_nothing_is_recorded_as_a_preference() {
    let flagged = after(None, &add(), &facts(), 1);
    for (entry, wish) in [
        (Some(&flagged), add()),
        (None, remove()),
        (
            None,
            super::fixtures::wish(WishKind::Tenancy, Preference::Full),
        ),
    ] {
        let decision = granted(entry, &wish, &facts());
        assert_eq!(
            (decision.changed, decision.change.cause),
            (false, Cause::PreferenceRecorded)
        );
        assert_eq!(decision.change.given, Some(wish.given));
    }
    let again = after(Some(&flagged), &add(), &facts(), 9);
    assert_eq!((again.state_sequence, again.last_sequence), (1, 9));
    assert_eq!(
        (again.since, again.cause),
        (flagged.since, Cause::FlagAdded)
    );
}

#[test]
fn a_change_of_tenancy_keeps_or_lifts() {
    let flagged = after(None, &add(), &facts(), 1);
    let keep = wish(WishKind::Tenancy, Preference::Reduced);
    let kept = granted(Some(&flagged), &keep, &facts());
    assert_eq!(
        (kept.changed, kept.change.cause),
        (false, Cause::TenancyKept)
    );
    assert!(kept.change.current.flagged);
    let lift = wish(WishKind::Tenancy, Preference::Full);
    let lifted = granted(Some(&flagged), &lift, &facts());
    assert_eq!(
        (lifted.changed, lifted.change.cause),
        (true, Cause::TenancyRemoved)
    );

    let violations = decide(None, &keep, &facts(), at(NOW)).unwrap_err();
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].precondition, Precondition::DeviceFlagged);
    assert_eq!(violations[0].subject, ESME);
}

#[test]
fn a_choice_answers_the_reviews() {
    let mut entry = after(None, &add(), &facts(), 1);
    entry.reviews = vec![ReviewReason::TenancyRestricted];
    assert!(after(Some(&entry), &add(), &facts(), 2).reviews.is_empty());
}

/// What a supplier did to a Device is counted in its entry, until another one comes.
#[test]
fn a_gaining_supplier_has_spent_nothing() {
    let mut entry = after(None, &add(), &facts(), 1);
    entry.spent.note(Effect::Repeats, at(NOW));
    assert_ne!(entry.spent, Spent::default());
    assert_eq!(after(Some(&entry), &add(), &facts(), 2).spent, entry.spent);
    assert_eq!(granted(Some(&entry), &add(), &facts()).spent, entry.spent);

    let mut lost = facts();
    lost.supplier = party("RIVAL");
    lost.supplier_since = at(NOW - 150);
    let mut wish = add();
    wish.given.choice.captured_by = party("RIVAL");
    assert_eq!(granted(Some(&entry), &wish, &lost).spent, Spent::default());

    let mut moved = supplier_changed(&entry, Some(&party("RIVAL")), at(NOW));
    let event = Draft {
        device: entry.device,
        meter: entry.meter,
        previous: entry.standing.clone(),
        change: moved.remove(0),
        by: None,
        trace_parent: String::new(),
        rests_on: position(2),
    };
    let place = Place {
        sequence: 3,
        recorded_time: at(NOW),
    };
    let moved = Entry::after(Some(&entry), event.happened(place));
    assert_eq!(moved.spent, Spent::default());
}

/// A permit that is ahead of the follower must not make the log skip what happened between.
#[test]
fn what_the_follower_has_not_seen_goes_first() {
    let entry = after(None, &add(), &gas_facts(), 1);
    let mut facts = gas_facts();
    facts.supplier = party("RIVAL");
    facts.supplier_since = at(NOW - 150);
    facts.gas_proxy = Some(id(OTHER_GPF));
    let hub = facts.hub.as_mut().unwrap();
    hub.device = id(OTHER_CHF);
    hub.csp = Some("south".parse().unwrap());
    let mut wish = add();
    wish.given.choice.captured_by = party("RIVAL");
    let decision = granted(Some(&entry), &wish, &facts);
    let causes: Vec<_> = decision.caught_up.iter().map(|c| c.cause).collect();
    assert_eq!(
        causes,
        [
            Cause::SupplierChanged,
            // It was responsible already when the flag was set.
            Cause::ReviewNeeded,
            Cause::HubReplaced,
            Cause::CoverageChanged
        ]
    );
    assert_eq!(decision.caught_up[0].effective, Some(at(NOW - 150)));
    assert_eq!(decision.caught_up[0].current.hub, entry.standing.hub);
    assert_eq!(decision.caught_up[3].current, decision.change.current);
    assert_eq!(decision.change.cause, Cause::PreferenceRecorded);
}
