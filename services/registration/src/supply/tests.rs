//! Intervals at their edges, and any sequence of changes against a plain timeline.

use std::collections::HashMap;

use mesh_types::Epoch;
use proptest::prelude::*;

use super::*;

fn at(t: i64) -> Timestamp {
    Timestamp::from_micros(t)
}

fn party(n: u8) -> PartyId {
    format!("P{n}").parse().unwrap()
}

fn between(start: i64, end: Option<i64>) -> Interval {
    Interval::new(at(start), end.map(at)).unwrap()
}

fn registration(n: u64, who: u8, interval: Interval) -> Registration {
    let position = Position {
        log: "devices".parse().unwrap(),
        epoch: Epoch::new(1).unwrap(),
        sequence: n,
    };
    Registration {
        id: RegistrationId::recorded_at(&position),
        mpxn: "1200000000002".parse().unwrap(),
        party: party(who),
        interval,
    }
}

/// P1 in [0, 10), nobody in [10, 20), P2 from 20 on.
fn supply() -> Supply {
    Supply::of(vec![
        registration(2, 2, between(20, None)),
        registration(1, 1, between(0, Some(10))),
    ])
}

fn registered_at(supply: &Supply, t: i64) -> Option<PartyId> {
    supply
        .at(at(t))
        .map(|registration| registration.party.clone())
}

#[test]
fn intervals_hold_from_their_start_and_not_at_their_end() {
    let supply = supply();
    for (t, expected) in [
        (-1, None),
        (0, Some(1)),
        (9, Some(1)),
        (10, None),
        (19, None),
        (20, Some(2)),
        (1_000, Some(2)),
    ] {
        assert_eq!(registered_at(&supply, t), expected.map(party), "{t}");
    }
}

#[test]
fn a_party_goes_on_through_registrations_without_a_gap() {
    let supply = Supply::of(vec![
        registration(1, 2, between(0, Some(10))),
        registration(2, 1, between(10, Some(20))),
        registration(3, 1, between(20, Some(30))),
        registration(4, 1, between(30, Some(40))),
        registration(5, 1, between(41, None)),
    ]);
    for (t, expected) in [
        (-1, None),
        (5, Some(0)),
        (10, Some(10)),
        (39, Some(10)),
        (40, None),
        (41, Some(41)),
    ] {
        assert_eq!(supply.since(at(t)), expected.map(at), "{t}");
    }
}

#[test]
fn the_next_change_is_the_next_start_or_end() {
    let supply = supply();
    for (t, expected) in [(-5, Some(0)), (0, Some(10)), (9, Some(10)), (10, Some(20))] {
        assert_eq!(supply.next_change(at(t)), expected.map(at), "{t}");
    }
    assert_eq!(supply.next_change(at(20)), None);
}

#[test]
fn a_change_ends_the_present_one_and_refuses_what_begins_later() {
    let supply = supply();
    let room = supply.change_at(at(30)).unwrap();
    assert_eq!(room.ends, Some(supply.registrations()[1].id.clone()));
    assert_eq!(room.interval, between(30, None));
    for in_the_way in [20, 15, 5, 0, -5] {
        assert_eq!(
            supply.change_at(at(in_the_way)),
            Err(Overlap),
            "{in_the_way}"
        );
    }
    let past = Supply::of(vec![registration(1, 1, between(0, Some(10)))]);
    assert_eq!(past.change_at(at(10)).unwrap().ends, None);
    assert_eq!(
        past.change_at(at(5)).unwrap().ends,
        Some(past.registrations()[0].id.clone())
    );
}

#[test]
fn an_exact_interval_must_be_free() {
    let supply = supply();
    assert!(supply.add(between(10, Some(20))).is_ok());
    for (start, end) in [(9, Some(11)), (15, Some(21)), (-5, None), (3, Some(4))] {
        assert_eq!(supply.add(between(start, end)), Err(Overlap));
    }
    assert!(supply.holds(&party(1), between(0, Some(10))));
    assert!(!supply.holds(&party(2), between(0, Some(10))));
    assert!(!supply.holds(&party(1), between(0, Some(9))));
}

#[test]
fn effects_stand_where_the_party_changes() {
    let supply = supply();
    let begins = |t| {
        let effect = supply.effect_at(at(t));
        effect.map(|e| {
            let begins = e.begins.map(|r| r.party.clone());
            (begins, e.previous.cloned())
        })
    };
    assert_eq!(begins(0), Some((Some(party(1)), None)));
    assert_eq!(begins(10), Some((None, Some(party(1)))));
    assert_eq!(begins(20), Some((Some(party(2)), None)));
    assert_eq!(begins(5), None);
    let same = Supply::of(vec![
        registration(1, 1, between(0, Some(10))),
        registration(2, 1, between(10, None)),
    ]);
    assert_eq!(same.effect_at(at(10)), None);
}

#[test]
fn only_what_holds_can_be_ended() {
    let mut supply = supply();
    let id = supply.registrations()[0].id.clone();
    assert!(supply.end(&id, at(11)).is_none());
    assert!(supply.end(&id, at(0)).is_none());
    let (before, after) = supply.end(&id, at(4)).unwrap();
    assert_eq!(
        (before.interval, after.interval),
        (between(0, Some(10)), between(0, Some(4)))
    );
    assert_eq!(registered_at(&supply, 4), None);
}

const HORIZON: i64 = 24;

#[derive(Debug, Clone)]
enum Deed {
    Change {
        who: u8,
        start: i64,
    },
    Add {
        who: u8,
        start: i64,
        end: Option<i64>,
    },
}

fn deed() -> impl Strategy<Value = Deed> {
    let change = (1..5_u8, 0..HORIZON).prop_map(|(who, start)| Deed::Change { who, start });
    let add =
        (1..5_u8, 0..HORIZON, proptest::option::of(1..8_i64)).prop_map(|(who, start, length)| {
            Deed::Add {
                who,
                start,
                end: length.map(|length| start + length),
            }
        });
    prop_oneof![change, add]
}

proptest! {
    /// Against one cell per instant: who is registered there, and by which deed.
    #[test]
    fn any_sequence_of_changes_gives_the_plain_timeline(deeds in prop::collection::vec(deed(), 1..12)) {
        let mut supply = Supply::default();
        let mut plain: Vec<Option<(u8, usize)>> = vec![None; usize::try_from(HORIZON + 10).unwrap()];
        for (n, deed) in deeds.iter().enumerate() {
            let (who, start, room) = match *deed {
                Deed::Change { who, start } => (who, start, supply.change_at(at(start))),
                Deed::Add { who, start, end } => (who, start, supply.add(between(start, end))),
            };
            let from = usize::try_from(start).unwrap();
            let begun_later = plain[from..].iter().enumerate().any(|(offset, cell)| {
                cell.is_some() && (from + offset == 0 || plain[from + offset - 1] != *cell)
            });
            let until = match *deed {
                Deed::Add { end: Some(end), .. } => usize::try_from(end).unwrap(),
                _ => plain.len(),
            };
            let free = match deed {
                Deed::Change { .. } => !begun_later,
                Deed::Add { .. } => plain[from..until].iter().all(Option::is_none),
            };
            prop_assert_eq!(room.is_ok(), free, "{:?} in {:?}", deed, plain);
            let Ok(room) = room else { continue };
            if let Some(id) = &room.ends {
                prop_assert!(supply.end(id, at(start)).is_some());
            }
            supply.insert(registration(u64::try_from(n).unwrap(), who, room.interval));
            let cells = if matches!(deed, Deed::Change { .. }) { &mut plain[from..] } else { &mut plain[from..until] };
            cells.fill(Some((who, n)));
        }
        for (t, cell) in plain.iter().enumerate() {
            let t = i64::try_from(t).unwrap();
            prop_assert_eq!(registered_at(&supply, t), cell.map(|(who, _)| party(who)));
        }
        let all = supply.registrations();
        prop_assert!(all.windows(2).all(|pair| !pair[0].interval.overlaps(pair[1].interval)
            && pair[0].interval.start() < pair[1].interval.start()));
    }
}

/// Long before everything that is planned here.
const NOW: Timestamp = Timestamp::from_micros(-120_000_000);

/// Withdraws, with the ends that the registrations were given.
fn withdraw(
    supply: &mut Supply,
    who: u8,
    start: i64,
    own_ends: &HashMap<RegistrationId, Timestamp>,
) -> Result<Withdrawal, NotWithdrawn> {
    let own_end = |id: &RegistrationId| own_ends.get(id).copied();
    let withdrawal = supply.withdrawal(&party(who), at(start), NOW, own_end)?;
    assert!(supply.remove(&withdrawal.withdrawn).is_some());
    if let Some((id, end)) = &withdrawal.resumed {
        assert!(supply.move_end(id, *end).is_some());
    }
    Ok(withdrawal)
}

#[test]
fn what_is_about_to_begin_stands() {
    let supply = supply();
    let withdrawal =
        |who, start, now: i64| supply.withdrawal(&party(who), at(start), at(now), |_| None);
    let minute = 60_000_000;
    assert!(withdrawal(2, 20, 19 - minute).is_ok());
    for now in [20 - minute, 19, 20, 21] {
        assert_eq!(withdrawal(2, 20, now), Err(NotWithdrawn::Begun), "{now}");
    }
    for (who, start) in [(1, 20), (2, 19), (2, 21), (3, 0)] {
        assert_eq!(withdrawal(who, start, -minute), Err(NotWithdrawn::Unknown));
    }
}

#[test]
fn whoever_comes_before_goes_on_to_its_own_end_or_the_next_start() {
    for (own_end, next, expected) in [
        (None, None, Some(None)),
        (None, Some(30), Some(Some(30))),
        (Some(25), None, Some(Some(25))),
        (Some(25), Some(30), Some(Some(25))),
        (Some(40), Some(30), Some(Some(30))),
        // It was to end just then in any case.
        (Some(20), None, None),
    ] {
        let second = between(20, next);
        let mut all = vec![
            registration(1, 1, between(0, Some(20))),
            registration(2, 2, second),
        ];
        all.extend(next.map(|next| registration(3, 3, between(next, None))));
        let first = all[0].id.clone();
        let own_end = own_end.map_or(Timestamp::FOREVER, at);
        let mut supply = Supply::of(all);
        let own_ends = HashMap::from([(first.clone(), own_end)]);
        let withdrawal = withdraw(&mut supply, 2, 20, &own_ends).unwrap();
        let expected = expected.map(|end| (first, end.map_or(Timestamp::FOREVER, at)));
        assert_eq!(withdrawal.resumed, expected, "{own_end:?} {next:?}");
    }
}

#[derive(Debug, Clone)]
enum Plan {
    Do(Deed),
    /// One of those that stand.
    Withdraw(prop::sample::Index),
}

fn plan() -> impl Strategy<Value = Plan> {
    prop_oneof![
        3 => deed().prop_map(Plan::Do),
        2 => any::<prop::sample::Index>().prop_map(Plan::Withdraw),
    ]
}

/// Who is registered at each instant if each was given its start and its end, and whoever begins later
/// comes before whoever began earlier.
fn declared_at(declared: &[(u8, i64, Timestamp)], t: i64) -> Option<PartyId> {
    let begun = declared.iter().filter(|(_, start, _)| *start <= t);
    let last = begun.max_by_key(|(_, start, _)| *start)?;
    (at(t) < last.2).then(|| party(last.0))
}

proptest! {
    #[test]
    fn what_is_withdrawn_leaves_no_trace(plans in prop::collection::vec(plan(), 1..24)) {
        let mut supply = Supply::default();
        let mut own_ends = HashMap::new();
        let mut declared: Vec<(u8, i64, Timestamp)> = Vec::new();
        for (n, plan) in (0..).zip(plans) {
            let (who, start, room) = match plan {
                Plan::Do(Deed::Change { who, start }) => (who, start, supply.change_at(at(start))),
                Plan::Do(Deed::Add { who, start, end }) => {
                    (who, start, supply.add(between(start, end)))
                }
                Plan::Withdraw(which) => {
                    if !declared.is_empty() {
                        let (who, start, _) = declared.remove(which.index(declared.len()));
                        prop_assert!(withdraw(&mut supply, who, start, &own_ends).is_ok());
                        let again = withdraw(&mut supply, who, start, &own_ends);
                        prop_assert_eq!(again, Err(NotWithdrawn::Unknown));
                    }
                    continue;
                }
            };
            let Ok(room) = room else { continue };
            if let Some(id) = &room.ends {
                prop_assert!(supply.end(id, at(start)).is_some());
            }
            let made = registration(n, who, room.interval);
            own_ends.insert(made.id.clone(), room.interval.end());
            declared.push((who, start, room.interval.end()));
            supply.insert(made);
        }
        for t in 0..HORIZON + 10 {
            prop_assert_eq!(registered_at(&supply, t), declared_at(&declared, t), "{}", t);
        }
    }
}
