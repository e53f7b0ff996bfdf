//! What does SRV 3.2 do to a flag?

use mesh_api::flag_registry::v1::{Cause, Preference, ReviewReason};

use super::fixtures::{
    CHF, GPF, GSME, NOW, OTHER_GPF, add, at, gas_facts, id, position, remove, wish,
};
use crate::decide::decide;
use crate::flag::{Change, Draft, Entry, Meter, Place};
use crate::preference::{Wish, WishKind};
use crate::restriction::{only_prompts, prompt};

/// A flagged GSME of ACME's.
fn flagged() -> Entry {
    Entry {
        device: id(GSME),
        meter: Meter::Gsme,
        standing: gas_facts().standing(true),
        responsible_since: at(1),
        since: at(NOW),
        cause: Cause::FlagAdded,
        state_sequence: 1,
        chosen: at(NOW),
        last_sequence: 1,
        spent: crate::quota::Spent::default(),
        reviews: Vec::new(),
        rests_on: position(1),
    }
}

fn after(entry: &Entry, change: Change) -> Entry {
    let event = Draft {
        device: entry.device,
        meter: entry.meter,
        previous: entry.standing.clone(),
        change,
        by: None,
        trace_parent: String::new(),
        rests_on: entry.rests_on.clone(),
    };
    let place = Place {
        sequence: entry.last_sequence + 1,
        recorded_time: at(NOW + 10),
    };
    Entry::after(Some(entry), event.happened(place))
}

fn chosen(entry: &Entry, wish: &Wish) -> Entry {
    let decision = decide(Some(entry), wish, &gas_facts(), at(NOW + 20)).unwrap();
    after(entry, decision.change)
}

#[test]
fn it_asks_for_a_review_and_keeps_the_flag() {
    let entry = flagged();
    for device in [GSME, GPF] {
        let change = prompt(&entry, id(device)).unwrap();
        assert_eq!(change.cause, Cause::ReviewNeeded);
        assert_eq!(change.review, Some(ReviewReason::TenancyRestricted));
        assert_eq!(change.current, entry.standing);
        assert!(only_prompts(&change, &entry));
        let prompted = after(&entry, change);
        assert_eq!(prompted.reviews, [ReviewReason::TenancyRestricted]);
        assert_eq!(
            (prompted.since, prompted.cause, prompted.state_sequence),
            (entry.since, entry.cause, entry.state_sequence)
        );
        assert_eq!(prompted.last_sequence, 2);
    }
}

#[test]
fn only_what_covers_the_device_is_concerned() {
    for device in [OTHER_GPF, CHF] {
        assert_eq!(prompt(&flagged(), id(device)), None);
    }
    let mut lifted = flagged();
    lifted.standing.flagged = false;
    assert_eq!(prompt(&lifted, id(GSME)), None);
}

#[test]
fn it_asks_once_until_a_choice_answers() {
    let mut entry = flagged();
    entry.reviews = vec![ReviewReason::RadioTeleswitch];
    let prompted = after(&entry, prompt(&entry, id(GPF)).unwrap());
    assert_eq!(
        prompted.reviews,
        [
            ReviewReason::RadioTeleswitch,
            ReviewReason::TenancyRestricted
        ]
    );
    assert_eq!(prompt(&prompted, id(GPF)), None);
    assert_eq!(prompt(&prompted, id(GSME)), None);

    for answer in [add(), wish(WishKind::Tenancy, Preference::Reduced)] {
        let kept = chosen(&prompted, &answer);
        assert!(kept.reviews.is_empty() && prompt(&kept, id(GPF)).is_some());
    }
    let lifted = chosen(&prompted, &remove());
    assert!(lifted.reviews.is_empty() && prompt(&lifted, id(GPF)).is_none());
}
