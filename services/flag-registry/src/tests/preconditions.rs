//! Each precondition alone, and all of them together.

use mesh_api::common::v1::DeviceType;
use mesh_api::flag_registry::v1::{Declaration, Precondition, Preference};
use mesh_api::registration::v1::{SiteException, SmiStatus};

use super::fixtures::{
    CHF, ESME, GPF, NOW, REGISTERED, add, at, facts, gas_facts, id, party, remove, wish,
};
use crate::facts::Facts;
use crate::preconditions::{precondition_name, violations};
use crate::preference::{Wish, WishKind};

/// Precondition and subject of everything that stands in the way.
fn found(facts: &Facts, wish: &Wish) -> Vec<(Precondition, String)> {
    violations(wish, None, facts, at(NOW))
        .into_iter()
        .map(|violation| {
            assert!(!violation.description.is_empty());
            (violation.precondition, violation.subject)
        })
        .collect()
}

#[test]
fn nothing_stands_in_the_way_of_a_good_request() {
    assert_eq!(found(&facts(), &add()), []);
    assert_eq!(found(&gas_facts(), &add()), []);
    assert_eq!(found(&facts(), &remove()), []);
}

/// What is changed of the good case, and what then stands in the way.
type Case = (fn(&mut Facts, &mut Wish), Precondition, &'static str);

const CASES: &[Case] = &[
    (
        |facts, _| facts.smets_major = Some(1),
        Precondition::Smets2OrLater,
        ESME,
    ),
    (
        |facts, _| facts.smets_major = None,
        Precondition::Smets2OrLater,
        ESME,
    ),
    (
        |facts, _| facts.smi_status = SmiStatus::InstalledNotCommissioned,
        Precondition::DeviceCommissioned,
        ESME,
    ),
    (
        |facts, _| facts.smi_status = SmiStatus::Suspended,
        Precondition::DeviceCommissioned,
        ESME,
    ),
    (
        |facts, _| facts.hub.as_mut().unwrap().smi_status = SmiStatus::Pending,
        Precondition::HubCommissioned,
        CHF,
    ),
    (
        |facts, _| facts.hub = None,
        Precondition::HubCommissioned,
        ESME,
    ),
    (
        |facts, _| facts.exceptions = vec![SiteException::Economy7OrSimilar],
        Precondition::NoEconomy7OrSimilar,
        ESME,
    ),
    (
        |facts, _| facts.exceptions = vec![SiteException::RadioTeleswitch],
        Precondition::NoRadioTeleswitch,
        ESME,
    ),
    (
        |facts, _| facts.exceptions = vec![SiteException::NetworkManagedWithoutWan],
        Precondition::NotNetworkManagedWithoutWan,
        ESME,
    ),
    (
        |_, wish| declared(wish).economy_7_or_similar = Declaration::Present,
        Precondition::NoEconomy7OrSimilar,
        "site_declarations.economy_7_or_similar",
    ),
    (
        |_, wish| declared(wish).radio_teleswitch = Declaration::Unspecified,
        Precondition::NoRadioTeleswitch,
        "site_declarations.radio_teleswitch",
    ),
    (
        |_, wish| declared(wish).network_managed_without_wan = Declaration::Present,
        Precondition::NotNetworkManagedWithoutWan,
        "site_declarations.network_managed_without_wan",
    ),
    (
        |_, wish| wish.given.attestation = None,
        Precondition::ReasonableStepsTaken,
        "reasonable_steps",
    ),
    (
        |_, wish| wish.given.attestation.as_mut().unwrap().steps.clear(),
        Precondition::ReasonableStepsTaken,
        "reasonable_steps.steps",
    ),
    (
        |_, wish| wish.given.attestation.as_mut().unwrap().contact = None,
        Precondition::ReasonableStepsTaken,
        "reasonable_steps.contact_reference",
    ),
    (
        |_, wish| wish.given.attestation.as_mut().unwrap().steps[0].taken = at(NOW + 1),
        Precondition::ReasonableStepsTaken,
        "reasonable_steps.steps[0].taken_time",
    ),
    (
        |_, wish| wish.given.choice.captured_by = party("RIVAL"),
        Precondition::ChoiceCapturedByThisSupplier,
        "choice.captured_by_party_id",
    ),
    (
        |_, wish| wish.given.choice.captured = at(REGISTERED - 1),
        Precondition::ChoiceCapturedByThisSupplier,
        "choice.captured_time",
    ),
    (
        |_, wish| wish.given.choice.captured = at(NOW + 1),
        Precondition::ChoiceCapturedByThisSupplier,
        "choice.captured_time",
    ),
    (
        |facts, _| facts.second_element = Some(Some(party("RIVAL"))),
        Precondition::OneSupplierForBothElements,
        ESME,
    ),
    (
        |facts, _| facts.second_element = Some(None),
        Precondition::OneSupplierForBothElements,
        ESME,
    ),
    (
        |_, wish| wish.given.choice.preference = Preference::Full,
        Precondition::PreferenceFits,
        "choice.preference",
    ),
];

fn declared(wish: &mut Wish) -> &mut crate::preference::Declarations {
    wish.given.declarations.as_mut().unwrap()
}

#[test]
fn each_precondition_stands_alone() {
    for (index, (spoil, precondition, subject)) in CASES.iter().enumerate() {
        let (mut facts, mut wish) = (facts(), add());
        spoil(&mut facts, &mut wish);
        let expected = [(*precondition, (*subject).to_owned())];
        assert_eq!(found(&facts, &wish), expected, "case {index}");
    }
}

#[test]
fn the_same_supplier_for_both_elements_is_fine() {
    let mut facts = facts();
    facts.second_element = Some(Some(party("ACME")));
    assert_eq!(found(&facts, &add()), []);
}

#[test]
fn only_meters_carry_the_flag() {
    let gpf = Facts {
        device: id(GPF),
        device_type: DeviceType::Gpf,
        ..facts()
    };
    let expected = [(Precondition::DeviceIsAMeter, GPF.to_owned())];
    assert_eq!(found(&gpf, &add()), expected);
    assert_eq!(found(&gpf, &remove()), expected);
}

#[test]
fn everything_is_reported_at_once() {
    let mut facts = Facts {
        device_type: DeviceType::Gpf,
        smets_major: Some(1),
        smi_status: SmiStatus::Pending,
        hub: None,
        exceptions: vec![
            SiteException::Economy7OrSimilar,
            SiteException::RadioTeleswitch,
            SiteException::NetworkManagedWithoutWan,
        ],
        second_element: Some(None),
        ..facts()
    };
    facts.supplier_since = at(NOW);
    let mut wish = wish(WishKind::Tenancy, Preference::Reduced);
    wish.given.choice.captured_by = party("RIVAL");
    wish.given.attestation = None;
    wish.given.declarations = None;
    let found: std::collections::BTreeSet<_> = found(&facts, &wish)
        .into_iter()
        .map(|(precondition, _)| precondition as i32)
        .collect();
    // All but PREFERENCE_FITS, which a change of tenancy cannot violate.
    let all: std::collections::BTreeSet<_> = (1..=12).filter(|&number| number != 11).collect();
    assert_eq!(found, all);
}

#[test]
fn lifting_needs_authority_and_a_choice_and_nothing_else() {
    let hopeless = Facts {
        smets_major: None,
        smi_status: SmiStatus::Decommissioned,
        hub: None,
        exceptions: vec![SiteException::RadioTeleswitch],
        second_element: Some(None),
        ..facts()
    };
    assert_eq!(found(&hopeless, &remove()), []);
    let mut tenancy = wish(WishKind::Tenancy, Preference::Full);
    tenancy.given.attestation = None;
    tenancy.given.declarations = None;
    assert_eq!(found(&hopeless, &tenancy), []);

    let mut wrong = remove();
    wrong.given.choice.preference = Preference::Reduced;
    wrong.given.choice.captured_by = party("RIVAL");
    let found: Vec<_> = found(&facts(), &wrong)
        .into_iter()
        .map(|(p, _)| p)
        .collect();
    assert_eq!(
        found,
        [
            Precondition::ChoiceCapturedByThisSupplier,
            Precondition::PreferenceFits
        ]
    );
}

/// Also where no steps are asked for: what is recorded has happened.
#[test]
fn no_step_lies_in_the_future() {
    for preference in [Preference::Reduced, Preference::Full] {
        let mut tenancy = wish(WishKind::Tenancy, preference);
        tenancy.given.attestation.as_mut().unwrap().steps[0].taken = at(NOW);
        let step = |tenancy: &Wish| {
            let mut found = found(&facts(), tenancy);
            found.retain(|(precondition, _)| *precondition == Precondition::ReasonableStepsTaken);
            found
        };
        assert_eq!(step(&tenancy), []);
        tenancy.given.attestation.as_mut().unwrap().steps[0].taken = at(NOW + 1);
        let subject = "reasonable_steps.steps[0].taken_time".to_owned();
        assert_eq!(
            step(&tenancy),
            [(Precondition::ReasonableStepsTaken, subject)]
        );
    }
}

#[test]
fn names_travel_without_their_prefix() {
    let name = precondition_name(Precondition::NoEconomy7OrSimilar);
    assert_eq!(name, "NO_ECONOMY_7_OR_SIMILAR");
}
