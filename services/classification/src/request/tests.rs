//! The contract's messages, well formed and not.

use mesh_api::classification::v1::Origin as WireOrigin;

use super::*;
use crate::message::Subject;
use crate::samples;

const METER: &str = "00-DB-12-34-56-78-90-A0";
const OTHER: &str = "00-DB-12-34-56-78-90-A1";

fn srv(text: &str) -> Code {
    Code::ServiceReferenceVariant(text.to_owned())
}

fn fields(devices: &[&str], code: Code) -> wire::StructuredMessage {
    wire::StructuredMessage {
        device_ids: devices.iter().map(ToString::to_string).collect(),
        code: Some(code),
        ..wire::StructuredMessage::default()
    }
}

fn message(origin: WireOrigin, fields: wire::StructuredMessage) -> wire::Message {
    wire::Message {
        content: Some(Content::Structured(fields)),
        origin: origin.into(),
    }
}

fn raw(origin: WireOrigin, content: Content) -> wire::Message {
    wire::Message {
        content: Some(content),
        origin: origin.into(),
    }
}

/// The fields that are at fault.
fn faults(message: wire::Message) -> Vec<String> {
    match read(&Policy::builtin(), message) {
        Err(Error::Fields(errors)) => {
            let violations = errors.violations().iter();
            violations.map(|(name, _)| name.clone()).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn structured_messages_are_read() {
    let subject = |fields, origin| {
        read(&Policy::builtin(), message(origin, fields))
            .unwrap()
            .subject
    };
    let request = WireOrigin::Scheduled;
    let lower = METER.to_lowercase();
    let found = subject(fields(&[&lower], srv("4.8.1")), request);
    assert_eq!(found, Subject::Service(Srv::new(4, 8, 1)));

    let mut schedule = fields(&[METER], srv("5.1"));
    schedule.scheduled_service_reference_variant = "4.8.1".to_owned();
    let nested = Srv::new(4, 8, 1);
    assert_eq!(subject(schedule, request), Subject::Schedule { nested });

    let mut returned = fields(&[METER], srv("8.13"));
    returned.nested_gbcs_message_code = 0x27;
    assert!(
        matches!(subject(returned, request), Subject::Returned(codes)
        if codes.message == MessageCode(0x27))
    );

    let alert = fields(&[METER], Code::AlertCode(0x8F0A));
    let found = subject(alert, WireOrigin::Alert);
    assert_eq!(found, Subject::Alert(AlertCode(0x8F0A)));

    let from_dcc = fields(&[], Code::DccAlertCode("N12".to_owned()));
    let found = subject(from_dcc, WireOrigin::Alert);
    assert!(matches!(found, Subject::DccAlert(_)));

    let answer = fields(&[METER], srv("5.1"));
    let found = subject(answer, WireOrigin::Response);
    assert_eq!(found, Subject::Service(Srv::CREATE_SCHEDULE));
}

#[test]
fn a_list_request_names_several_devices() {
    let policy = Policy::builtin();
    let list = message(WireOrigin::OnDemand, fields(&[METER, OTHER], srv("11.1")));
    let read = super::read(&policy, list).unwrap();
    assert_eq!(read.devices.as_slice().len(), 2);
    let most = message(
        WireOrigin::OnDemand,
        fields(&vec![METER; 50_000], srv("11.1")),
    );
    assert!(super::read(&policy, most).is_ok());
}

#[test]
fn every_fault_of_a_structured_message_is_named() {
    use WireOrigin::{OnDemand, Response};
    let read = || fields(&[METER], srv("4.8.1"));
    let none = |fields: wire::StructuredMessage| wire::StructuredMessage {
        code: None,
        ..fields
    };
    let scheduled = |fields| wire::StructuredMessage {
        scheduled_service_reference_variant: "4.8.1".to_owned(),
        ..fields
    };
    let nested = |fields, code| wire::StructuredMessage {
        nested_gbcs_message_code: code,
        ..fields
    };
    let devices = "structured.device_ids";
    let scheduled_name = "structured.scheduled_service_reference_variant";
    let nested_name = "structured.nested_gbcs_message_code";
    let table = [
        (OnDemand, fields(&[], srv("4.8.1")), vec![devices]),
        (
            OnDemand,
            fields(&[METER, OTHER], srv("4.8.1")),
            vec![devices],
        ),
        (
            OnDemand,
            fields(&vec![METER; 50_001], srv("11.1")),
            vec![devices],
        ),
        (
            OnDemand,
            fields(&[METER, "00-DB"], srv("11.1")),
            vec!["structured.device_ids[1]"],
        ),
        (WireOrigin::Unspecified, read(), vec!["origin"]),
        (OnDemand, none(read()), vec!["structured.code"]),
        (
            OnDemand,
            fields(&["x"], srv("four")),
            vec![
                "structured.device_ids[0]",
                "structured.service_reference_variant",
            ],
        ),
        (
            OnDemand,
            fields(&[METER], Code::GbcsMessageCode(0x1_0000)),
            vec!["structured.gbcs_message_code"],
        ),
        (
            OnDemand,
            fields(&[METER], Code::AlertCode(0x1_0000)),
            vec!["structured.alert_code"],
        ),
        (
            OnDemand,
            fields(&[METER], Code::DccAlertCode("N 1".to_owned())),
            vec!["structured.dcc_alert_code"],
        ),
        // Two codes that do not go together.
        (OnDemand, scheduled(read()), vec![scheduled_name]),
        (OnDemand, nested(read(), 0x27), vec![nested_name]),
        (OnDemand, fields(&[METER], srv("5.1")), vec![scheduled_name]),
        (OnDemand, fields(&[METER], srv("8.13")), vec![nested_name]),
        (
            OnDemand,
            nested(fields(&[METER], srv("8.13")), 0x1_0000),
            vec![nested_name],
        ),
        (
            Response,
            scheduled(fields(&[METER], srv("5.1"))),
            vec![scheduled_name],
        ),
    ];
    for (origin, fields, expected) in table {
        assert_eq!(
            faults(message(origin, fields.clone())),
            expected,
            "{fields:?}"
        );
    }
}

#[test]
fn an_unknown_origin_and_no_content_are_refused() {
    let unknown = wire::Message {
        content: Some(Content::Structured(fields(&[METER], srv("4.8.1")))),
        origin: 99,
    };
    assert_eq!(faults(unknown), ["origin"]);
    assert_eq!(faults(wire::Message::default()), ["content"]);
}

#[test]
fn of_a_raw_message_only_the_kind_of_request_can_be_said() {
    let policy = Policy::builtin();
    let supplier = "90-B3-D5-1F-30-01-00-00".parse().unwrap();
    let meter = METER.parse().unwrap();
    let request = samples::duis_request(&policy, Srv::new(4, 8, 1), supplier, meter, 1).unwrap();
    let request = || Content::DuisXml(request.clone().into());
    let response = samples::gbcs_response(MessageCode(0x27), meter, supplier, 1).octets();
    let response = || Content::Gbcs(response.clone().into());
    let origin = |said, content| read(&policy, raw(said, content)).unwrap().origin;

    assert_eq!(origin(WireOrigin::Unspecified, request()), Origin::OnDemand);
    assert_eq!(origin(WireOrigin::Scheduled, request()), Origin::Scheduled);
    assert_eq!(
        origin(WireOrigin::FutureDated, request()),
        Origin::FutureDated
    );
    assert_eq!(
        origin(WireOrigin::Unspecified, response()),
        Origin::Response
    );
    assert_eq!(origin(WireOrigin::Response, response()), Origin::Response);
    assert_eq!(faults(raw(WireOrigin::Response, request())), ["origin"]);
    assert_eq!(faults(raw(WireOrigin::OnDemand, response())), ["origin"]);
    assert_eq!(faults(raw(WireOrigin::Alert, response())), ["origin"]);
}
