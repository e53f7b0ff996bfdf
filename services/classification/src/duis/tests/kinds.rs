//! Documents of other versions and kinds: what is not known is delivered and counted, unless it could be
//! a read.

use super::*;
use crate::decide::{Reason, UnknownCode};

fn decided(document: &str) -> (Verdict, Reason, Option<UnknownCode>) {
    let message = read_text(document).unwrap();
    let flag = Flag {
        device_type: DeviceType::Esme,
    };
    let policy = Policy::builtin();
    let decision = policy.decide(&message, |id| (id == METER).then_some(flag));
    (decision.verdict, decision.reason, decision.unknown_code)
}

/// A response with one element in its body.
fn response(body: &str) -> String {
    let receipt = samples::duis_receipt(srv("4.8.1"), USER, METER, 4, "I0");
    let from = receipt.find("<sr:ResponseMessage>").unwrap();
    let close = "</sr:ResponseMessage>";
    let to = receipt.find(close).unwrap() + close.len();
    [&receipt[..from], body, &receipt[to..]].concat()
}

#[test]
fn every_version_of_the_schema_is_read() {
    for version in ["2.0", "3.1", "4.0", "5.1", "5.3", "6.0", "10"] {
        for document in [request("4.8.1"), request("2.2")] {
            let other = with(&document, "\"5.4\"", &format!("\"{version}\""));
            assert_eq!(read_text(&other), read_text(&document), "{version}");
        }
    }
    let unversioned = with(&request("4.8.1"), " schemaVersion=\"5.4\"", "");
    assert!(suppressed_for(METER, &unversioned));
}

#[test]
fn a_response_of_an_unknown_kind_is_delivered_and_counted() {
    let smets1 = "<sr:SMETS1ResponseMessage><sr:ServiceReference>4.1</sr:ServiceReference>\
        <sr:ServiceReferenceVariant>4.1.1</sr:ServiceReferenceVariant>\
        <sr:SMETS1SignedResponse><sr:SMETS1Response xmlns:ra=\"http://www.dccinterface.co.uk/ResponseAndAlert\">\
        <sr:Header><ra:BusinessTargetID>1</ra:BusinessTargetID></sr:Header>\
        <sr:Body><ra:ReadingsMessage/></sr:Body></sr:SMETS1Response></sr:SMETS1SignedResponse>\
        </sr:SMETS1ResponseMessage>";
    let kinds = [
        smets1,
        "<sr:BulkMessage>x</sr:BulkMessage>",
        "<New xmlns='urn:new'/>",
    ];
    for body in kinds {
        let document = response(body);
        let delivered = (
            Verdict::Deliver,
            Reason::UnknownKind,
            Some(UnknownCode::Kind),
        );
        assert_eq!(decided(&document), delivered, "{body}");
        let message = read_text(&document).unwrap();
        let from = (message.origin, message.devices);
        assert_eq!(from, (Origin::Response, Devices::One(METER)), "{body}");
    }
    for (body, expected) in [
        ("<sr:New/><sr:New/>", "FIELD_DUPLICATED"),
        ("<sr:New><sr:Body></sr:New>", "XML_NOT_WELL_FORMED"),
        ("<sr:New>&new;</sr:New>", "XML_ENTITY_REFUSED"),
    ] {
        assert_eq!(reason(&response(body)), expected, "{body}");
    }
}

/// Every content that DUIS gives a `ResponseMessage`; where a Device's message is in it, that decides.
#[test]
fn every_content_of_a_response_is_read() {
    let read = samples::gbcs_response(MessageCode(0x0037), METER, USER, 4);
    let answer = samples::duis_response(srv("4.8.1"), USER, &read);
    let (_, payload) = answer.split_once("<sr:GBCSPayload>").unwrap();
    let (payload, _) = payload.split_once("</sr:GBCSPayload>").unwrap();
    let payload = format!("<sr:GBCSPayload>{payload}</sr:GBCSPayload>");
    for element in [
        "CINMessage",
        "DSPScheduledMessage",
        "FutureDatedDeviceAlertMessage",
        "LocalCommand",
        "PreCommand",
    ] {
        let nested = format!("<sr:{element}><sr:A>1</sr:A>{payload}<sr:B/></sr:{element}>");
        assert!(
            suppressed_for(METER, &with(&answer, &payload, &nested)),
            "{element}"
        );
    }
    for (variant, element) in [
        ("8.2", "DSPInventory"),
        ("8.6", "DSPOptIn"),
        ("5.2", "DSPSchedulesRead"),
        ("5.1", "DSPScheduleID"),
        ("11.1", "DSPUpdateFirmwareWarning"),
        ("11.4", "DSPUpdatePPMIDFirmwareWarning"),
        ("12.1", "DSPWANMatrix"),
    ] {
        let receipt = samples::duis_receipt(srv(variant), USER, METER, 4, "I0");
        let content = format!("<sr:{element}><sr:DeviceID>{METER}</sr:DeviceID></sr:{element}>");
        let close = "</sr:ResponseMessage>";
        let document = with(&receipt, close, &format!("{content}{close}"));
        assert!(!suppressed_for(METER, &document), "{element}");
    }
}

#[test]
fn a_counter_of_0_and_command_variant_9_are_read_like_1() {
    let plain = request("4.8.1");
    let expected = read_text(&with(&plain, ":1000<", ":1<"));
    for (from, to) in [
        (":1000<", ":0<"),
        (":1000<", ":00<"),
        (":1000<", ":18446744073709551615<"),
        ("Variant>1<", "Variant>9<"),
        ("Variant>1<", "Variant>01<"),
        ("Variant>1<", "Variant>+9<"),
    ] {
        assert_eq!(read_text(&with(&plain, from, to)), expected, "{to}");
    }
}

#[test]
fn a_read_with_a_new_body_is_stopped_for_a_flagged_device_only() {
    let body = "ReadActiveImportProfileData";
    let new = request("4.8.1").replace(body, "ReadEverything");
    let stopped = (
        Verdict::Suppress,
        Reason::UnknownReadOfFlaggedDevice,
        Some(UnknownCode::ServiceRequest(srv("4.8.1"))),
    );
    assert_eq!(decided(&new), stopped);
    assert!(!suppressed_for(GAS, &new));
}
