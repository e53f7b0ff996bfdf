//! Every kind of flag event, and any sequence of them.

use std::collections::BTreeMap;

use mesh_api::common::v1::DeviceType;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::csp_notification::v1::CauseClass;
use mesh_api::flag_registry::v1::{Cause, ConsumerChoice, FlagEvent, FlagFacts, FlagState};
use mesh_types::{CspId, DeviceId, Timestamp};
use proptest::prelude::*;

use super::{Malformed, Reduced, Told, project};

const METER: &str = "00-DB-12-34-56-78-90-A1";
const GPF: &str = "00-DB-12-34-56-78-90-A3";
const OTHER_GPF: &str = "00-DB-12-34-56-78-90-A4";
const HUB: &str = "00-DB-12-34-56-78-90-C1";
const OTHER_HUB: &str = "00-DB-12-34-56-78-90-C2";

fn facts(state: FlagState, csp: &str, hub: &str, covered: &[&str]) -> FlagFacts {
    FlagFacts {
        state: state.into(),
        covered_device_ids: covered.iter().map(ToString::to_string).collect(),
        communications_hub_id: hub.into(),
        csp_id: csp.into(),
        responsible_party_id: "ACME".into(),
    }
}

fn clear(csp: &str) -> FlagFacts {
    facts(FlagState::NotFlagged, csp, HUB, &[])
}

fn flagged(csp: &str) -> FlagFacts {
    facts(FlagState::Flagged, csp, HUB, &[GPF])
}

fn event(cause: Cause, previous: FlagFacts, current: FlagFacts) -> FlagEvent {
    FlagEvent {
        sequence: 7,
        effective_time: Some(timestamp_to_wire(Timestamp::from_micros(1_000))),
        device_id: METER.into(),
        device_type: DeviceType::Gsme.into(),
        cause: cause.into(),
        previous: Some(previous),
        current: Some(current),
        choice: Some(ConsumerChoice {
            evidence_reference: "SECRET".into(),
            ..ConsumerChoice::default()
        }),
        ..FlagEvent::default()
    }
}

/// One line for each CSP that is told: who, before and after, why, hub, how much is covered.
fn check(event: &FlagEvent, expected: &[&str]) {
    let told = project(event).unwrap();
    let lines: Vec<String> = told.iter().map(line).collect();
    assert_eq!(lines, expected, "{event:?}");
    assert!(!format!("{told:?}").contains("SECRET"));
}

fn line(told: &Told) -> String {
    let state = |reduced| if reduced { "reduced" } else { "full" };
    let hub = told.hub.to_string();
    let covered: Vec<_> = told.covered.iter().map(ToString::to_string).collect();
    format!(
        "{}: {}>{} {} {} [{}]",
        told.csp,
        state(told.was_reduced),
        state(told.is_reduced),
        told.cause.as_str_name().trim_start_matches("CAUSE_CLASS_"),
        &hub[21..],
        covered.join(" ").replace("00-DB-12-34-56-78-90-", ""),
    )
}

#[test]
fn a_flag_that_is_set_or_lifted_is_told_to_the_csp_of_the_hub() {
    let set = event(Cause::FlagAdded, clear("north"), flagged("north"));
    check(&set, &["north: full>reduced SET C1 [A3]"]);
    for cause in [Cause::FlagRemoved, Cause::TenancyRemoved] {
        let lifted = event(cause, flagged("north"), clear("north"));
        check(&lifted, &["north: reduced>full LIFTED C1 [A3]"]);
    }
    let ended = event(Cause::DeviceEnded, flagged("north"), clear(""));
    check(&ended, &["north: reduced>full DEVICE_ENDED C1 [A3]"]);
}

#[test]
fn a_flagged_device_that_moves_is_told_to_those_it_concerns() {
    let moved = facts(FlagState::Flagged, "north", OTHER_HUB, &[GPF]);
    let within = event(Cause::HubReplaced, flagged("north"), moved);
    check(&within, &["north: reduced>reduced ARRIVED C2 [A3]"]);
    let to = facts(FlagState::Flagged, "south", OTHER_HUB, &[OTHER_GPF]);
    let across = event(Cause::HubReplaced, flagged("north"), to);
    let left = "north: reduced>full LEFT C1 [A3]";
    check(&across, &[left, "south: full>reduced ARRIVED C2 [A4]"]);
    let nowhere = facts(FlagState::Flagged, "", "", &[]);
    check(
        &event(Cause::HubReplaced, flagged("north"), nowhere.clone()),
        &[left],
    );
    let back = event(Cause::HubReplaced, nowhere, flagged("south"));
    check(&back, &["south: full>reduced ARRIVED C1 [A3]"]);
}

#[test]
fn coverage_is_told_when_it_changes_and_not_when_it_is_listed_otherwise() {
    let covering = |covered| facts(FlagState::Flagged, "north", HUB, covered);
    let changed = event(
        Cause::CoverageChanged,
        covering(&[GPF]),
        covering(&[OTHER_GPF]),
    );
    check(
        &changed,
        &["north: reduced>reduced COVERAGE_CHANGED C1 [A4]"],
    );
    let same = event(
        Cause::CoverageChanged,
        covering(&[GPF, OTHER_GPF]),
        covering(&[OTHER_GPF, GPF]),
    );
    check(&same, &[]);
}

#[test]
fn what_does_not_concern_the_network_is_told_to_nobody() {
    for cause in [
        Cause::SupplierChanged,
        Cause::PreferenceRecorded,
        Cause::TenancyKept,
        Cause::ReviewNeeded,
    ] {
        let mut current = flagged("north");
        current.responsible_party_id = "RIVAL".into();
        check(&event(cause, flagged("north"), current), &[]);
        check(&event(cause, clear("north"), clear("south")), &[]);
    }
}

#[test]
fn an_event_that_makes_no_sense_is_refused() {
    let good = event(Cause::FlagAdded, clear("north"), flagged("north"));
    let spoil = |spoil: &dyn Fn(&mut FlagEvent)| {
        let mut bad = good.clone();
        spoil(&mut bad);
        project(&bad)
    };
    let facts = |event: &mut FlagEvent, spoil: &dyn Fn(&mut FlagFacts)| {
        spoil(event.current.as_mut().unwrap());
    };
    for (bad, what) in [
        (spoil(&|e| e.current = None), "facts"),
        (spoil(&|e| e.previous = None), "facts"),
        (spoil(&|e| e.effective_time = None), "effective time"),
        (spoil(&|e| e.device_id = "x".into()), "EUI-64"),
        (spoil(&|e| facts(e, &|f| f.state = 0)), "state"),
        (spoil(&|e| facts(e, &|f| f.state = 9)), "state"),
        (spoil(&|e| facts(e, &|f| f.csp_id = "No One".into())), "CSP"),
        (
            spoil(&|e| facts(e, &|f| f.communications_hub_id.clear())),
            "EUI-64",
        ),
        (
            spoil(&|e| facts(e, &|f| f.covered_device_ids[0].clear())),
            "EUI-64",
        ),
    ] {
        let Err(Malformed(said)) = bad else {
            panic!("{what}: {bad:?}");
        };
        assert!(said.contains(what), "{said}");
    }
}

/// A Device's flag as the registry has it.
#[derive(Debug, Clone)]
struct Truth {
    flagged: bool,
    csp: usize,
    hub: u8,
    covered: Vec<u8>,
}

const CSPS: [&str; 3] = ["north", "south", ""];

fn truth() -> impl Strategy<Value = Truth> {
    let covered = prop::collection::btree_set(0_u8..3, 0..3);
    (any::<bool>(), 0..CSPS.len(), 0_u8..3, covered).prop_map(|(flagged, csp, hub, covered)| {
        Truth {
            flagged,
            csp,
            hub,
            covered: covered.into_iter().collect(),
        }
    })
}

fn id(kind: &str, number: u8) -> String {
    format!("00-DB-12-34-56-78-{kind}-{number:02X}")
}

impl Truth {
    fn facts(&self) -> FlagFacts {
        let state = if self.flagged {
            FlagState::Flagged
        } else {
            FlagState::NotFlagged
        };
        let covered: Vec<String> = self.covered.iter().map(|n| id("0F", *n)).collect();
        let covered: Vec<&str> = covered.iter().map(String::as_str).collect();
        facts(state, CSPS[self.csp], &id("0C", self.hub), &covered)
    }
}

type Known = BTreeMap<(CspId, DeviceId), Reduced>;

proptest! {
    /// Whatever happens, in whatever order: what each CSP was told adds up to the flagged Devices
    /// on its hubs, it was told "before" what it had been told before, and nothing was told twice.
    #[test]
    fn what_a_csp_was_told_adds_up(changes in prop::collection::vec((0_u8..4, truth()), 1..60)) {
        let mut registry: BTreeMap<u8, Truth> = BTreeMap::new();
        let mut known = Known::new();
        for (number, (device, after)) in changes.into_iter().enumerate() {
            let none = Truth { flagged: false, csp: 0, hub: 0, covered: vec![] };
            let before = registry.insert(device, after.clone()).unwrap_or(none);
            let mut happened = event(Cause::Unspecified, before.facts(), after.facts());
            happened.device_id = id("0A", device);
            for told in project(&happened).unwrap() {
                let key = (told.csp.clone(), told.device);
                let had = known.remove(&key);
                prop_assert_eq!(had.is_some(), told.was_reduced);
                let has = Reduced::after(had.as_ref(), &told, number as u64 + 1);
                let (new, old) = (has.as_ref(), had.as_ref());
                let same = new.zip(old).is_some_and(|(a, b)| a.hub == b.hub && a.covered == b.covered);
                prop_assert!(!same, "told what was known: {:?}", told);
                prop_assert!(has.is_some() || had.is_some());
                known.extend(has.map(|has| (key, has)));
            }
        }
        let flagged = registry.iter().filter(|(_, truth)| truth.flagged && truth.csp < 2);
        let expected: Vec<_> = flagged.map(|(device, truth)| {
            let csp: CspId = CSPS[truth.csp].parse().unwrap();
            let covered: Vec<DeviceId> = truth.covered.iter().map(|n| id("0F", *n).parse().unwrap()).collect();
            let place: (DeviceId, _) = (id("0C", truth.hub).parse().unwrap(), covered);
            ((csp, id("0A", *device).parse::<DeviceId>().unwrap()), place)
        }).collect();
        let mut expected = expected;
        expected.sort();
        let actual: Vec<_> = known.into_iter().map(|(key, has)| (key, (has.hub, has.covered))).collect();
        prop_assert_eq!(actual, expected);
    }
}

#[test]
fn a_device_is_reduced_since_it_was_first_told_so() {
    let told = |cause, previous, current| project(&event(cause, previous, current)).unwrap();
    let set = told(Cause::FlagAdded, clear("north"), flagged("north"));
    let first = Reduced::after(None, &set[0], 1).unwrap();
    let moved = facts(FlagState::Flagged, "north", OTHER_HUB, &[GPF]);
    let mut moved = told(Cause::HubReplaced, flagged("north"), moved);
    moved[0].effective_time = Timestamp::from_micros(2_000);
    assert_eq!(moved[0].cause, CauseClass::Arrived);
    let second = Reduced::after(Some(&first), &moved[0], 2).unwrap();
    assert_eq!((second.since, second.sequence), (first.since, 2));
}
