//! Any table against any snapshot.

use mesh_api::common::v1::DeviceType;
use mesh_api::convert::timestamp_to_wire;
use proptest::prelude::*;

use super::*;

fn csp() -> CspId {
    "north".parse().unwrap()
}

fn id(kind: &str, number: u8) -> DeviceId {
    format!("00-DB-12-34-56-78-{kind}-{number:02X}")
        .parse()
        .unwrap()
}

fn entry(csp: &str) -> FlagEntry {
    FlagEntry {
        device_id: id("0A", 1).to_string(),
        device_type: DeviceType::Gsme.into(),
        state: FlagState::Flagged.into(),
        covered_device_ids: vec![id("0F", 2).to_string(), id("0F", 1).to_string()],
        communications_hub_id: id("0C", 1).to_string(),
        csp_id: csp.into(),
        since_time: Some(timestamp_to_wire(Timestamp::from_micros(7))),
        ..FlagEntry::default()
    }
}

#[test]
fn a_snapshot_is_read_by_csp_without_what_is_on_nobodys_hubs() {
    let mut flags = FlagsByCsp::default();
    flags.add(&entry("north")).unwrap();
    let mut nowhere = entry("");
    nowhere.communications_hub_id = String::new();
    flags.add(&nowhere).unwrap();
    assert_eq!(flags.csps().cloned().collect::<Vec<_>>(), [csp()]);
    let of = flags.of(&csp()).unwrap();
    let expected = Flagged {
        device_type: DeviceType::Gsme.into(),
        covered: vec![id("0F", 1), id("0F", 2)],
        hub: id("0C", 1),
        since: Timestamp::from_micros(7),
    };
    assert_eq!(of.get(&id("0A", 1)), Some(&expected));
}

#[test]
fn a_snapshot_that_cannot_be_right_is_refused() {
    let with = |change: fn(&mut FlagEntry)| {
        let mut entry = entry("north");
        change(&mut entry);
        FlagsByCsp::default().add(&entry)
    };
    assert_eq!(with(|_| ()), Ok(()));
    for change in [
        (|entry| entry.state = FlagState::NotFlagged.into()) as fn(&mut FlagEntry),
        |entry| entry.device_id = "?".into(),
        |entry| entry.csp_id = "?".into(),
        |entry| entry.communications_hub_id = String::new(),
        |entry| entry.since_time = None,
        |entry| entry.covered_device_ids.push("?".into()),
    ] {
        assert!(with(change).is_err());
    }
    let mut flags = FlagsByCsp::default();
    flags.add(&entry("north")).unwrap();
    assert!(flags.add(&entry("north")).is_err(), "it comes twice");
}

prop_compose! {
    fn flagged()(
        hub in 0_u8..2,
        covered in prop::collection::btree_set(0_u8..3, 0..2),
        device_type in 1_i32..3,
        since in 1_i64..4,
    ) -> Flagged {
        Flagged {
            device_type,
            covered: covered.into_iter().map(|number| id("0F", number)).collect(),
            hub: id("0C", hub),
            since: Timestamp::from_micros(since),
        }
    }
}

fn reduced(flagged: Flagged) -> Reduced {
    Reduced {
        device_type: flagged.device_type,
        covered: flagged.covered,
        hub: flagged.hub,
        since: flagged.since,
        sequence: 1,
    }
}

fn table<T: std::fmt::Debug>(
    of: impl Strategy<Value = T>,
) -> impl Strategy<Value = BTreeMap<DeviceId, T>> {
    let number = (0_u8..6).prop_map(|number| id("0A", number));
    prop::collection::btree_map(number, of, 0..6)
}

type Facts<'a> = (i32, &'a [DeviceId], DeviceId);

proptest! {
    /// Whatever a CSP knew: with the differences it knows what the snapshot says, it was told
    /// "before" what it knew before, and nothing that it knew already.
    #[test]
    fn with_the_differences_a_table_is_the_snapshots(
        known in table(flagged().prop_map(reduced)),
        flagged in table(flagged()),
    ) {
        let now = Timestamp::from_micros(100);
        let by_ref: BTreeMap<_, _> = flagged.iter().map(|(device, is)| (*device, is)).collect();
        let told = differences(&csp(), &known, &by_ref, now);
        prop_assert!(told.is_sorted_by_key(|told| told.device));

        let mut after = known;
        for (told, sequence) in told.iter().zip(2..) {
            prop_assert_eq!(told.cause, CauseClass::Resync);
            let had = after.remove(&told.device);
            prop_assert_eq!(had.is_some(), told.was_reduced);
            let has = Reduced::after(had.as_ref(), told, sequence);
            let news = match (&had, &has) {
                (Some(had), Some(has)) => {
                    (had.device_type, &had.covered, had.hub, had.since)
                        != (has.device_type, &has.covered, has.hub, has.since)
                }
                (had, has) => had.is_some() != has.is_some(),
            };
            prop_assert!(news, "told what was known: {:?}", told);
            after.extend(has.map(|has| (told.device, has)));
        }
        let now_known: BTreeMap<DeviceId, Facts<'_>> = after
            .iter()
            .map(|(device, is)| (*device, (is.device_type, is.covered.as_slice(), is.hub)))
            .collect();
        let expected: BTreeMap<DeviceId, Facts<'_>> = flagged
            .iter()
            .map(|(device, is)| (*device, (is.device_type, is.covered.as_slice(), is.hub)))
            .collect();
        prop_assert_eq!(now_known, expected);
        // A Device is never said to be reduced from before its flag was set.
        for (device, is) in &after {
            prop_assert!(is.since >= flagged[device].since);
        }
        let again = differences(&csp(), &after, &by_ref, now);
        prop_assert!(again.is_empty(), "{:?}", again);
    }
}
