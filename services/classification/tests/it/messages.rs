//! Which messages are decided, and what is said of those that cannot be?

use bytes::Bytes;
use classification::policy::Policy;
use classification::samples;
use futures::{StreamExt as _, stream};
use http::Request;
use http_body::Frame;
use http_body_util::StreamBody;
use mesh_api::classification::v1 as wire;
use mesh_api::classification::v1::message::Content;
use mesh_api::classification::v1::structured_message::Code as SaidCode;
use mesh_api::classification::v1::{DecisionReason, Origin, Verdict, decision_result};
use mesh_api::common::v1::{DeviceType, ErrorReason, ItemStatus, MessageClass};
use mesh_api::status::reason_of;
use mesh_testkit::certificates;
use mesh_types::{DeviceId, Eui64};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use tower::ServiceExt as _;

use crate::upstream::{FlagLog, SUPPLIER};
use crate::world::{
    GAS_METER, GPF, METER, OTHER_METER, World, alert, duis, raw, read, refused, structured,
};

async fn flagged() -> World {
    let flags = FlagLog::new().await;
    flags.flag(METER, DeviceType::Esme, &[]).await;
    flags.flag(GAS_METER, DeviceType::Gsme, &[GPF]).await;
    World::with(flags).await
}

fn srv(text: &str) -> SaidCode {
    SaidCode::ServiceReferenceVariant(text.to_owned())
}

/// Every form of a message, and every reason of a decision.
#[tokio::test(flavor = "multi_thread")]
async fn each_form_of_a_message_is_decided() {
    use DecisionReason::{
        CriticalCarriesConsumption, NotFlagged, ProtectedClass, ReducedByChoice, UnknownCode,
        UnknownKind, UnknownReadVariant,
    };
    let world = flagged().await;
    let supplier = SUPPLIER.parse().unwrap();
    let meter = METER.parse().unwrap();
    let read_srv = "4.8.1".parse().unwrap();
    let schedule = samples::duis_schedule(&Policy::builtin(), read_srv, supplier, meter, 1);
    let schedule = Content::DuisXml(schedule.unwrap().into());
    let response = samples::gbcs_response("0027".parse().unwrap(), meter, supplier, 1);
    let response = Content::Gbcs(response.octets().into());
    let smets1 = samples::duis_receipt(read_srv, supplier, meter, 1, "I0")
        .replace("sr:ResponseMessage>", "sr:SMETS1ResponseMessage>");
    let smets1 = Content::DuisXml(smets1.into());
    let said = |origin: Origin, code| wire::Message {
        origin: origin.into(),
        ..structured(METER, code)
    };
    let table = [
        (
            read(METER),
            ReducedByChoice,
            MessageClass::Consumption,
            "srv/4.8.1",
        ),
        (
            raw(schedule),
            ReducedByChoice,
            MessageClass::Consumption,
            "srv/4.8.1",
        ),
        (
            raw(response),
            ReducedByChoice,
            MessageClass::Consumption,
            "gbcs/0x0027",
        ),
        (
            read(OTHER_METER),
            NotFlagged,
            MessageClass::Consumption,
            "srv/4.8.1",
        ),
        (
            duis("11.3", METER),
            ProtectedClass,
            MessageClass::Firmware,
            "srv/11.3",
        ),
        (
            alert(GAS_METER),
            ProtectedClass,
            MessageClass::Security,
            "alert/0x8F3F",
        ),
        (
            said(Origin::Scheduled, srv("4.8.1")),
            ReducedByChoice,
            MessageClass::Consumption,
            "srv/4.8.1",
        ),
        (
            said(Origin::Response, SaidCode::GbcsMessageCode(0x27)),
            ReducedByChoice,
            MessageClass::Consumption,
            "gbcs/0x0027",
        ),
        (
            said(Origin::Alert, SaidCode::AlertCode(0x8F0A)),
            CriticalCarriesConsumption,
            MessageClass::Consumption,
            "alert/0x8F0A",
        ),
        (
            said(Origin::Alert, SaidCode::AlertCode(0x0001)),
            UnknownCode,
            MessageClass::Unspecified,
            "fallback/unknown-code",
        ),
        (
            raw(smets1),
            UnknownKind,
            MessageClass::Unspecified,
            "fallback/unknown-code",
        ),
        (
            said(Origin::OnDemand, srv("4.99.1")),
            UnknownReadVariant,
            MessageClass::Consumption,
            "fallback/unknown-read",
        ),
    ];
    for (message, reason, class, rule) in table {
        let decision = world.decide(message, None).await;
        let suppressed = matches!(reason, ReducedByChoice | UnknownReadVariant);
        assert_eq!(decision.reason(), reason, "{decision:?}");
        assert_eq!(decision.verdict() == Verdict::Suppress, suppressed);
        assert_eq!(
            (decision.message_class(), decision.rule_id.as_str()),
            (class, rule)
        );
        assert_eq!(&*decision.policy_version, &**Policy::builtin().version());
    }
    let decision = world
        .decide(said(Origin::Scheduled, srv("4.8.1")), None)
        .await;
    assert_eq!(decision.origin(), Origin::Scheduled);
}

/// What a reader of raw messages refuses, and what the refusal's metadata says.
fn unreadable() -> Vec<(Content, &'static str)> {
    let policy = Policy::builtin();
    let supplier = SUPPLIER.parse().unwrap();
    let meter = METER.parse().unwrap();
    let request = "4.8.1".parse().unwrap();
    let request = samples::duis_request(&policy, request, supplier, meter, 1).unwrap();
    let response = samples::gbcs_response("0027".parse().unwrap(), meter, supplier, 1).octets();
    let bomb = "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]>\
                <a>&b;</a>";
    let xml = |text: String| Content::DuisXml(text.into());
    let gbcs = |octets: &[u8]| Content::Gbcs(octets.to_vec().into());
    vec![
        (xml(request.replace(METER, "00-DB-12")), "EUI64_MALFORMED"),
        (xml(bomb.to_owned()), "XML_DOCTYPE_REFUSED"),
        (xml("<a>".repeat(10_000)), "DUIS_NOT_RECOGNISED"),
        (xml(String::new()), "XML_NOT_WELL_FORMED"),
        (
            xml(request[..request.len() / 2].to_owned()),
            "XML_NOT_WELL_FORMED",
        ),
        (Content::DuisXml(vec![0xFF; 64].into()), "XML_ENCODING"),
        (xml(" ".repeat((16 << 20) + 1)), "MESSAGE_TOO_LARGE"),
        (gbcs(&vec![0xDF; 2 << 20]), "MESSAGE_TOO_LARGE"),
        (gbcs(&response[..response.len() - 1]), "GBCS_TRUNCATED"),
        (gbcs(&[]), "GBCS_TRUNCATED"),
        (gbcs(b"rubbish"), "GBCS_MALFORMED"),
        (
            gbcs(&[response.as_slice(), &[0]].concat()),
            "TRAILING_CONTENT",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_with_its_reason() {
    let world = flagged().await;
    let (mut found, mut reasons) = (Vec::new(), Vec::new());
    for (content, expected) in unreadable() {
        let status = world.classify(raw(content), None).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(reason_of(&status), Some(ErrorReason::MessageUnreadable));
        let details = status.get_error_details();
        let why = &details.error_info().unwrap().metadata["read_error"];
        found.push(why.clone());
        reasons.push(expected);
    }
    assert_eq!(found, reasons);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_at_fault_are_named() {
    let world = flagged().await;
    let unknown_origin = wire::Message {
        origin: 77,
        ..read(METER)
    };
    let nobody = wire::Message {
        content: Some(Content::Structured(wire::StructuredMessage {
            code: Some(srv("4.8.1")),
            ..wire::StructuredMessage::default()
        })),
        origin: Origin::OnDemand.into(),
    };
    let mut two_codes = structured(METER, srv("4.8.1"));
    if let Some(Content::Structured(fields)) = &mut two_codes.content {
        fields.nested_gbcs_message_code = 0x27;
    }
    let unsaid = wire::Message {
        origin: 0,
        ..structured(METER, srv("4.8.1"))
    };
    let table = [
        (
            structured("00-DB-12", srv("4.8.1")),
            "message.structured.device_ids[0]",
        ),
        (nobody, "message.structured.device_ids"),
        (two_codes, "message.structured.nested_gbcs_message_code"),
        (
            structured(METER, srv("four")),
            "message.structured.service_reference_variant",
        ),
        (unknown_origin, "message.origin"),
        (unsaid, "message.origin"),
        (wire::Message::default(), "message.content"),
    ];
    for (message, field) in table {
        let status = world.classify(message, None).await.unwrap_err();
        assert_eq!(reason_of(&status), Some(ErrorReason::FieldInvalid));
        let details = status.get_error_details();
        let violations = &details.bad_request().unwrap().field_violations;
        let fields: Vec<&str> = violations.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, [field]);
    }
    let nothing = world.dsp().classify(wire::ClassifyRequest::default()).await;
    let invalid = (Code::InvalidArgument, ErrorReason::FieldInvalid);
    assert_eq!(refused(nothing), invalid);
    let nowhere = wire::ClassifyRequest {
        message: Some(read(METER)),
        at_least: Some(mesh_api::common::v1::Position::default()),
    };
    assert_eq!(refused(world.dsp().classify(nowhere).await), invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_message_does_not_spoil_a_batch() {
    let world = flagged().await;
    let truncated = raw(Content::Gbcs(vec![0xDF].into()));
    let batch = wire::BatchClassifyRequest {
        messages: vec![read(METER), truncated, wire::Message::default(), read(GPF)],
        at_least: None,
    };
    let answer = world
        .dsp()
        .batch_classify(batch)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.basis.unwrap().position.unwrap().sequence, 2);
    let [first, second, third, fourth] = answer.results.try_into().unwrap();
    assert_eq!(decision(first).flagged_device_id, METER);
    let unreadable = status(second);
    assert_eq!(unreadable.code, i32::from(Code::InvalidArgument));
    assert_eq!(unreadable.reason(), ErrorReason::MessageUnreadable);
    assert_eq!(unreadable.violations[0].subject, "GBCS_TRUNCATED");
    let empty = status(third);
    assert_eq!(empty.reason(), ErrorReason::FieldInvalid);
    assert_eq!(empty.violations[0].subject, "content");
    assert_eq!(decision(fourth).flagged_device_id, GAS_METER);
}

fn decision(result: wire::DecisionResult) -> wire::Decision {
    match result.result {
        Some(decision_result::Result::Decision(decision)) => decision,
        other => panic!("{other:?}"),
    }
}

fn status(result: wire::DecisionResult) -> ItemStatus {
    match result.result {
        Some(decision_result::Result::Status(status)) => status,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_its_limits() {
    let world = flagged().await;
    let batch = |messages| wire::BatchClassifyRequest {
        messages,
        at_least: None,
    };
    let message = structured(METER, srv("4.8.1"));
    let full = batch(vec![message.clone(); 1_000]);
    let answer = world.dsp().batch_classify(full).await.unwrap();
    assert_eq!(answer.into_inner().results.len(), 1_000);
    let more = batch(vec![message; 1_001]);
    assert_eq!(
        refused(world.dsp().batch_classify(more).await),
        (Code::InvalidArgument, ErrorReason::TooManyItems)
    );
    let none = world.dsp().batch_classify(batch(vec![])).await.unwrap();
    assert!(none.into_inner().results.is_empty());
    let octets = raw(Content::DuisXml(vec![b' '; 21 << 20].into()));
    assert_eq!(
        refused(world.classify(octets, None).await),
        (Code::ResourceExhausted, ErrorReason::MessageTooLarge)
    );
}

/// A batch has room for one that is larger than any document, so that it is refused alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_large_does_not_spoil_a_batch() {
    let world = flagged().await;
    let large = raw(Content::DuisXml(vec![b' '; (16 << 20) + 1].into()));
    let messages = || vec![read(METER), large.clone(), read(GPF)];
    let batch = wire::BatchClassifyRequest {
        messages: messages(),
        at_least: None,
    };
    let answer = world.dsp().batch_classify(batch).await.unwrap();
    let batched = answer.into_inner().results;
    let request = wire::ClassifyStreamRequest {
        messages: messages(),
        at_least: None,
    };
    let answers = world.dsp().classify_stream(stream::iter([request])).await;
    let streamed = answers.unwrap().into_inner().message().await.unwrap();
    for results in [batched, streamed.unwrap().results] {
        let [first, second, third] = results.try_into().unwrap();
        assert_eq!(decision(first).flagged_device_id, METER);
        let refused = status(second);
        assert_eq!(refused.reason(), ErrorReason::MessageUnreadable);
        assert_eq!(refused.violations[0].subject, "MESSAGE_TOO_LARGE");
        assert_eq!(decision(third).flagged_device_id, GAS_METER);
    }
}

/// As large as DUIS 5.4 allows: an image of 10,240,000 octets for 50,000 Devices.
#[tokio::test(flavor = "multi_thread")]
async fn the_largest_firmware_update_is_delivered_and_names_every_device() {
    let world = flagged().await;
    let mut devices = vec![METER.parse().unwrap()];
    devices.extend((1..50_000).map(|number| DeviceId::new(Eui64::from_u64(number))));
    let supplier = SUPPLIER.parse().unwrap();
    let image = vec![0xA5; 10_240_000];
    let document = samples::duis_firmware(supplier, &image, "&#13;\n", &devices, 1);
    let firmware = raw(Content::DuisXml(document.into()));
    let decision = world.decide(firmware, None).await;
    assert_eq!(decision.verdict(), Verdict::Deliver);
    assert_eq!(decision.message_class(), MessageClass::Firmware);
    let expected: Vec<String> = devices.iter().map(ToString::to_string).collect();
    assert!(decision.device_ids == expected, "other Devices");
}

/// The message never comes, so the refusal cannot have waited for it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_classify_is_refused_before_its_message_is_read() {
    let world = World::start().await;
    for rpc in ["Classify", "BatchClassify", "ClassifyStream"] {
        let length = u32::try_from(20_usize << 20).unwrap().to_be_bytes();
        let head = Bytes::from([&[0], &length[..]].concat());
        let head = stream::iter([Ok::<_, Status>(Frame::data(head))]);
        let body = StreamBody::new(head.chain(stream::pending()));
        let request = Request::post(format!("/{}/{rpc}", classification::SERVICE))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Body::new(body));
        let channel = world.channel(&certificates().internal("analyst"));
        let answer = channel.oneshot(request.unwrap()).await.unwrap();
        let status = Status::from_header_map(answer.headers()).unwrap();
        let reason = reason_of(&status);
        assert_eq!(
            reason,
            Some(ErrorReason::RoleNotPermitted),
            "{rpc}: {status}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn suppliers_and_other_services_do_not_classify() {
    let world = flagged().await;
    let request = || wire::ClassifyRequest {
        message: Some(read(METER)),
        at_least: None,
    };
    let refusal = (Code::PermissionDenied, ErrorReason::RoleNotPermitted);
    // Until registration has answered, nobody knows the supplier.
    mesh_testkit::wait_until("the supplier is known", async || {
        match refused(world.supplier().classify(request()).await) {
            (Code::Unavailable, reason) => Err(format!("{reason:?}")),
            other => {
                assert_eq!(other, refusal);
                Ok(())
            }
        }
    })
    .await;
    for role in ["analyst", "reporting"] {
        let answer = world.internal(role).classify(request()).await;
        assert_eq!(refused(answer), refusal, "{role}");
    }
    world
        .internal("operator")
        .classify(request())
        .await
        .unwrap();
}
