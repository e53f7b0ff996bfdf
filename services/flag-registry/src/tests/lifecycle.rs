//! What does an event of the log `devices` do to a Device with a history?

use mesh_api::common::v1::DeviceType;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::flag_registry::v1::{Cause, ReviewReason};
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::device_event::Change as WireChange;
use mesh_api::registration::v1::{SiteException, SmiStatus};

use super::fixtures::{
    CHF, ESME, GPF, GSME, NOW, OTHER_CHF, OTHER_GPF, at, gas_facts, id, party, position,
};
use crate::flag::{Change, Entry, Meter};
use crate::lifecycle::{DeviceEvent, News, Tenure};

/// A flagged GSME of ACME's.
fn entry() -> Entry {
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

fn unflagged() -> Entry {
    lifted(Cause::FlagRemoved)
}

fn lifted(cause: Cause) -> Entry {
    let mut entry = entry();
    entry.standing.flagged = false;
    entry.cause = cause;
    entry
}

/// The GSME of [`entry`] as registration has it.
fn recorded() -> wire::DeviceRecorded {
    wire::DeviceRecorded {
        device: Some(wire::Device {
            device_id: GSME.into(),
            r#type: DeviceType::Gsme.into(),
            smi_status: SmiStatus::Commissioned.into(),
            communications_hub_id: CHF.into(),
            gas_proxy_function_id: GPF.into(),
            ..Default::default()
        }),
        previous: None,
        csp_id: "north".into(),
        responsible_party_id: "ACME".into(),
    }
}

fn changed(change: impl FnOnce(&mut wire::DeviceRecorded, &mut wire::Device)) -> DeviceEvent {
    let mut recorded = recorded();
    let mut device = recorded.device.take().unwrap();
    change(&mut recorded, &mut device);
    recorded.device = Some(device);
    event(WireChange::DeviceRecorded(recorded))
}

fn event(change: WireChange) -> DeviceEvent {
    let event = wire::DeviceEvent {
        sequence: 2,
        recorded_time: Some(timestamp_to_wire(at(NOW + 10))),
        change: Some(change),
        actor: None,
        trace_parent: String::new(),
    };
    DeviceEvent::read(&event).unwrap()
}

fn took_effect(supplier: Option<&str>, effective: i64) -> DeviceEvent {
    let registration = supplier.map(|party| wire::Registration {
        party_id: party.into(),
        ..Default::default()
    });
    event(WireChange::SupplierTookEffect(wire::SupplierTookEffect {
        registration,
        effective_time: Some(timestamp_to_wire(at(effective))),
        device_ids: vec![GSME.into(), GPF.into()],
        ..Default::default()
    }))
}

fn causes(changes: &[Change]) -> Vec<Cause> {
    changes.iter().map(|change| change.cause).collect()
}

#[test]
fn a_change_of_supplier_keeps_the_flag() {
    let changes = took_effect(Some("RIVAL"), NOW + 5).effects(&entry());
    assert_eq!(causes(&changes), [Cause::SupplierChanged]);
    assert_eq!(changes[0].effective, Some(at(NOW + 5)));
    assert_eq!(changes[0].current.supplier, Some(party("RIVAL")));
    assert!(changes[0].current.flagged);

    assert_eq!(took_effect(Some("ACME"), NOW + 5).effects(&entry()), []);
    let nobody = took_effect(None, NOW + 5).effects(&entry());
    assert_eq!(nobody[0].current.supplier, None);
}

#[test]
fn a_registration_recorded_too_late_asks_for_a_review() {
    let changes = took_effect(Some("RIVAL"), NOW - 5).effects(&entry());
    assert_eq!(
        causes(&changes),
        [Cause::SupplierChanged, Cause::ReviewNeeded]
    );
    let reason = changes[1].review;
    assert_eq!(reason, Some(ReviewReason::BackdatedRegistration));
}

#[test]
fn a_review_is_asked_for_whatever_the_wrong_supplier_did() {
    let late = took_effect(Some("RIVAL"), NOW + 5);
    let asked_of = |entry: &Entry| {
        let changes = late.effects(entry);
        changes.iter().any(|change| change.review.is_some())
    };
    // Set before, and kept or confirmed since.
    let mut kept = entry();
    assert!(!asked_of(&kept));
    kept.chosen = at(NOW + 6);
    assert!(asked_of(&kept));

    for cause in [Cause::FlagRemoved, Cause::TenancyRemoved] {
        let mut lifted = lifted(cause);
        assert!(!asked_of(&lifted));
        lifted.since = at(NOW + 6);
        assert!(asked_of(&lifted));
    }
    // Nobody's choice ended it, or there was nothing to lift.
    for cause in [Cause::DeviceEnded, Cause::PreferenceRecorded] {
        let mut never = lifted(cause);
        (never.since, never.chosen) = (at(NOW + 6), at(NOW + 6));
        assert!(!asked_of(&never));
    }
}

#[test]
fn another_device_is_nobodys_business_here() {
    let mut esme = entry();
    esme.device = id(ESME);
    assert_eq!(took_effect(Some("RIVAL"), NOW).effects(&esme), []);
    assert_eq!(changed(|_, _| {}).effects(&esme), []);
    assert_eq!(changed(|_, _| {}).effects(&entry()), []);
}

#[test]
fn a_hub_swap_tells_the_new_csp() {
    let swap = changed(|recorded, device| {
        device.communications_hub_id = OTHER_CHF.into();
        recorded.csp_id = "south".into();
    });
    for (entry, flagged) in [(entry(), true), (unflagged(), false)] {
        let changes = swap.effects(&entry);
        assert_eq!(causes(&changes), [Cause::HubReplaced]);
        let current = &changes[0].current;
        assert_eq!(current.hub, Some(id(OTHER_CHF)));
        assert_eq!(current.csp.as_ref().unwrap().as_str(), "south");
        assert_eq!(current.flagged, flagged);
        assert_eq!(changes[0].effective, Some(at(NOW + 10)));
    }
}

#[test]
fn a_hub_whose_csp_is_corrected_tells_the_new_csp() {
    let hub = wire::Device {
        device_id: CHF.into(),
        r#type: DeviceType::Chf.into(),
        csp_id: "central".into(),
        ..Default::default()
    };
    let record = wire::DeviceRecorded {
        device: Some(hub),
        ..Default::default()
    };
    let event = event(WireChange::DeviceRecorded(record));
    let changes = event.effects(&entry());
    assert_eq!(causes(&changes), [Cause::HubReplaced]);
    assert_eq!(changes[0].current.hub, Some(id(CHF)));
    let mut elsewhere = entry();
    elsewhere.standing.hub = Some(id(OTHER_CHF));
    assert_eq!(event.effects(&elsewhere), []);
}

#[test]
fn a_replaced_gpf_moves_the_coverage() {
    let swap = changed(|_, device| device.gas_proxy_function_id = OTHER_GPF.into());
    let changes = swap.effects(&entry());
    assert_eq!(causes(&changes), [Cause::CoverageChanged]);
    assert_eq!(changes[0].current.covered, [id(OTHER_GPF)]);
}

#[test]
fn the_end_of_a_device_ends_its_flag_before_anything_else() {
    let end = changed(|recorded, device| {
        device.smi_status = SmiStatus::Decommissioned.into();
        device.communications_hub_id = String::new();
        recorded.csp_id = String::new();
    });
    let changes = end.effects(&entry());
    assert_eq!(causes(&changes), [Cause::DeviceEnded, Cause::HubReplaced]);
    assert!(changes.iter().all(|change| !change.current.flagged));
    assert_eq!(changes[0].current.hub, Some(id(CHF)), "its CSP hears of it");
    assert_eq!(causes(&end.effects(&unflagged())), [Cause::HubReplaced]);
}

#[test]
fn an_exception_recorded_later_asks_for_a_review_once_and_keeps_the_flag() {
    let exceptions = changed(|_, device| {
        device.site_exceptions = vec![
            SiteException::Economy7OrSimilar.into(),
            SiteException::RadioTeleswitch.into(),
            SiteException::NetworkManagedWithoutWan.into(),
        ];
    });
    let changes = exceptions.effects(&entry());
    let reasons: Vec<_> = changes.iter().filter_map(|change| change.review).collect();
    assert_eq!(
        reasons,
        [
            ReviewReason::Economy7OrSimilar,
            ReviewReason::RadioTeleswitch,
            ReviewReason::NetworkManagedWithoutWan
        ]
    );
    assert!(changes.iter().all(|change| change.current.flagged));
    let mut prompted = entry();
    prompted.reviews = reasons;
    assert_eq!(exceptions.effects(&prompted), []);
    assert_eq!(exceptions.effects(&unflagged()), []);
}

#[test]
fn what_says_nothing_of_flags_is_nothing() {
    for change in [
        WireChange::RegistrationRecorded(wire::RegistrationRecorded::default()),
        WireChange::RegistrationWithdrawn(wire::RegistrationWithdrawn::default()),
        WireChange::DeviceRecorded(wire::DeviceRecorded {
            device: Some(wire::Device {
                device_id: GPF.into(),
                r#type: DeviceType::Gpf.into(),
                ..Default::default()
            }),
            ..Default::default()
        }),
    ] {
        assert_eq!(event(change).news, News::Nothing);
    }
    let unknown = wire::DeviceEvent {
        recorded_time: Some(timestamp_to_wire(at(1))),
        ..Default::default()
    };
    assert_eq!(DeviceEvent::read(&unknown).unwrap().news, News::Nothing);
}

#[test]
fn a_registration_that_ends_is_told_apart_from_a_new_one() {
    let ending = wire::Registration {
        registration_id: "R1".into(),
        end_time: Some(timestamp_to_wire(at(NOW + 50))),
        ..Default::default()
    };
    let recorded = |previous| {
        event(WireChange::RegistrationRecorded(
            wire::RegistrationRecorded {
                registration: Some(ending.clone()),
                previous,
            },
        ))
    };
    assert_eq!(recorded(None).news, News::Nothing);
    let event = recorded(Some(wire::Registration::default()));
    let tenure = Tenure {
        registration_id: "R1".into(),
        until: at(NOW + 50),
    };
    assert_eq!(event.news, News::RegistrationEnds(tenure));
    assert_eq!(
        event.effects(&entry()),
        [],
        "nobody else is responsible yet"
    );
}

#[test]
fn a_malformed_event_is_not_skipped() {
    let malformed = wire::DeviceEvent {
        recorded_time: Some(timestamp_to_wire(at(1))),
        change: Some(WireChange::DeviceRecorded(wire::DeviceRecorded {
            csp_id: "North!".into(),
            ..recorded()
        })),
        ..Default::default()
    };
    assert!(DeviceEvent::read(&malformed).is_err());
    assert!(DeviceEvent::read(&wire::DeviceEvent::default()).is_err());
}
