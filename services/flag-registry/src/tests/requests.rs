//! Which requests are malformed?

use mesh_api::convert::{FieldErrors, timestamp_to_wire};
use mesh_api::flag_registry::v1 as wire;

use super::fixtures::{GPF, at, id};
use crate::request;

const ID: &str = "0190d5a0-0000-7000-8000-000000000001";

/// The second at which everything is asked.
const NOW: i64 = 1_760_000_000;
/// The first second of which anything can be told: 2016-11-01.
const FIRST: i64 = 1_477_958_400;

fn choice() -> wire::ConsumerChoice {
    wire::ConsumerChoice {
        preference: wire::Preference::Reduced.into(),
        captured_time: Some(timestamp_to_wire(at(NOW))),
        channel: wire::Channel::Online.into(),
        captured_by_party_id: "ACME".into(),
        evidence_reference: "CRM-1".into(),
    }
}

fn add() -> wire::AddFlagRequest {
    wire::AddFlagRequest {
        request_id: ID.into(),
        choice: Some(choice()),
        ..Default::default()
    }
}

fn fields(errors: &FieldErrors) -> Vec<&str> {
    let violations = errors.violations().iter();
    violations.map(|(field, _)| field.as_str()).collect()
}

#[test]
fn what_may_be_missing_is_left_to_the_preconditions() {
    let asked = request::add(add()).unwrap();
    assert_eq!(asked.request_id, ID);
    assert!(asked.wish.given.attestation.is_none() && asked.wish.given.declarations.is_none());

    let asked = request::add(wire::AddFlagRequest {
        reasonable_steps: Some(wire::ReasonableSteps::default()),
        site_declarations: Some(wire::SiteDeclarations::default()),
        request_id: ID.to_uppercase(),
        ..add()
    })
    .unwrap();
    assert_eq!(asked.request_id, ID, "either case is the same id");
    let attestation = asked.wish.given.attestation.unwrap();
    assert!(attestation.steps.is_empty() && attestation.contact.is_none());
}

#[test]
fn everything_malformed_is_named_at_once() {
    let step = wire::ReasonableStep {
        kind: 99,
        taken_time: None,
    };
    let errors = request::add(wire::AddFlagRequest {
        request_id: "1".into(),
        choice: Some(wire::ConsumerChoice {
            preference: 0,
            captured_time: Some(prost_types::Timestamp {
                seconds: i64::MAX,
                nanos: 0,
            }),
            channel: 77,
            captured_by_party_id: "acme".into(),
            evidence_reference: "two\nlines".into(),
        }),
        reasonable_steps: Some(wire::ReasonableSteps {
            steps: vec![step],
            contact_reference: "é".into(),
        }),
        site_declarations: Some(wire::SiteDeclarations {
            economy_7_or_similar: 9,
            radio_teleswitch: 1,
            network_managed_without_wan: -1,
        }),
        ..Default::default()
    })
    .unwrap_err();
    assert_eq!(
        fields(&errors),
        [
            "choice.preference",
            "choice.captured_time",
            "choice.channel",
            "choice.captured_by_party_id",
            "choice.evidence_reference",
            "reasonable_steps.steps[0].kind",
            "reasonable_steps.steps[0].taken_time",
            "reasonable_steps.contact_reference",
            "site_declarations.economy_7_or_similar",
            "site_declarations.network_managed_without_wan",
            "request_id",
        ]
    );
}

#[test]
fn a_request_without_a_choice_or_with_too_many_steps_is_malformed() {
    let step = wire::ReasonableStep {
        kind: wire::StepKind::Other.into(),
        taken_time: Some(timestamp_to_wire(at(NOW))),
    };
    let attested = |steps| {
        request::add(wire::AddFlagRequest {
            reasonable_steps: Some(wire::ReasonableSteps {
                steps: vec![step; steps],
                contact_reference: "CALL-1".into(),
            }),
            ..add()
        })
    };
    assert!(attested(20).is_ok());
    assert_eq!(
        fields(&attested(21).unwrap_err()),
        ["reasonable_steps.steps"]
    );
    let errors = request::remove(wire::RemoveFlagRequest::default()).unwrap_err();
    assert_eq!(fields(&errors), ["choice", "request_id"]);
}

#[test]
fn a_tenancy_has_begun() {
    let tenancy = |start| {
        let request = wire::RecordTenancyChangeRequest {
            request_id: ID.into(),
            choice: Some(choice()),
            tenancy_start_time: start,
            ..Default::default()
        };
        request::tenancy(request, at(NOW))
    };
    for begun in [FIRST, NOW] {
        assert!(tenancy(Some(timestamp_to_wire(at(begun)))).is_ok());
    }
    let early = "lies before 2016-11-01, when no SMETS2 Device was in use";
    for (start, text) in [
        (None, "is missing"),
        (Some(NOW + 1), "lies in the future"),
        (Some(FIRST - 1), early),
    ] {
        let errors = tenancy(start.map(|start| timestamp_to_wire(at(start)))).unwrap_err();
        let expected = ("tenancy_start_time".to_owned(), text.to_owned());
        assert_eq!(errors.violations(), [expected]);
    }
}

/// What lies in the future is left to the preconditions.
#[test]
fn a_choice_and_its_steps_are_not_older_than_any_device() {
    let asked = |seconds| {
        let time = Some(timestamp_to_wire(at(seconds)));
        let mut request = add();
        request.choice.as_mut().unwrap().captured_time = time;
        let step = wire::ReasonableStep {
            kind: wire::StepKind::Other.into(),
            taken_time: time,
        };
        request.reasonable_steps = Some(wire::ReasonableSteps {
            steps: vec![step],
            contact_reference: "CALL-1".into(),
        });
        request::add(request)
    };
    for seconds in [FIRST, 2 * NOW] {
        assert!(asked(seconds).is_ok(), "{seconds}");
    }
    for seconds in [FIRST - 1, -62_135_596_800] {
        let errors = asked(seconds).unwrap_err();
        let steps = "reasonable_steps.steps[0].taken_time";
        assert_eq!(fields(&errors), ["choice.captured_time", steps]);
    }
}

#[test]
fn a_restriction_names_its_device() {
    let restriction = |request_id: &str, device_id: &str| {
        request::restriction(&wire::NoteTenancyRestrictionRequest {
            request_id: request_id.into(),
            device_id: device_id.into(),
        })
    };
    let read = restriction(&ID.to_uppercase(), &GPF.to_lowercase()).unwrap();
    assert_eq!((read.request_id.as_str(), read.device), (ID, id(GPF)));
    let errors = restriction("1", "").unwrap_err();
    assert_eq!(fields(&errors), ["request_id", "device_id"]);
}
