//! What does a supplier see of an event that was recorded under another one?

use mesh_api::common::v1::Actor;
use mesh_api::flag_registry::v1 as wire;
use mesh_api::flag_registry::v1::{Cause, FlagState};

use super::fixtures::{CHF, ESME, GPF, party};
use crate::wire::as_seen_by;

fn facts(supplier: &str) -> wire::FlagFacts {
    wire::FlagFacts {
        state: FlagState::Flagged.into(),
        covered_device_ids: vec![GPF.into()],
        communications_hub_id: CHF.into(),
        csp_id: "north".into(),
        responsible_party_id: supplier.into(),
    }
}

/// ACME records that the incoming tenant keeps the flag; every field is filled.
fn event() -> wire::FlagEvent {
    wire::FlagEvent {
        sequence: 7,
        recorded_time: Some(prost_types::Timestamp::default()),
        effective_time: Some(prost_types::Timestamp::default()),
        device_id: ESME.into(),
        device_type: 1,
        cause: Cause::TenancyKept.into(),
        previous: Some(facts("ACME")),
        current: Some(facts("ACME")),
        actor: Some(Actor {
            party_id: "ACME".into(),
            ..Actor::default()
        }),
        trace_parent: "00-1".into(),
        registration_position: Some(mesh_api::common::v1::Position::default()),
        registration_id: "R1".into(),
        choice: Some(wire::ConsumerChoice::default()),
        reasonable_steps: Some(wire::ReasonableSteps::default()),
        site_declarations: Some(wire::SiteDeclarations::default()),
        tenancy_start_time: Some(prost_types::Timestamp::default()),
        review_reason: 0,
        request_id: "1".into(),
    }
}

#[test]
fn a_supplier_sees_all_of_what_it_recorded() {
    assert_eq!(as_seen_by(&party("ACME"), event()), event());
}

#[test]
fn of_others_it_sees_state_time_and_cause() {
    let seen = as_seen_by(&party("RIVAL"), event());
    let expected = wire::FlagEvent {
        previous: Some(facts("")),
        current: Some(facts("")),
        actor: None,
        trace_parent: String::new(),
        registration_id: String::new(),
        choice: None,
        reasonable_steps: None,
        site_declarations: None,
        tenancy_start_time: None,
        request_id: String::new(),
        ..event()
    };
    assert_eq!(seen, expected);
}

/// A followed log makes the change, and both suppliers stand in it.
#[test]
fn of_a_change_of_supplier_it_sees_its_own_side() {
    let event = wire::FlagEvent {
        cause: Cause::SupplierChanged.into(),
        current: Some(facts("RIVAL")),
        actor: None,
        ..event()
    };
    let sides = |party_id: &str| {
        let seen = as_seen_by(&party(party_id), event.clone());
        [seen.previous, seen.current].map(|side| side.unwrap().responsible_party_id)
    };
    assert_eq!(sides("RIVAL"), ["", "RIVAL"]);
    // Back with the first supplier, its own past is no secret to it.
    assert_eq!(sides("ACME"), ["ACME", ""]);
}
