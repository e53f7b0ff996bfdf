//! Messages that cannot be read: truncated GBCS, XML bombs, codes that are none.

use classification::codes::MessageCode;
use classification::samples;
use mesh_api::classification::v1::message::Content;
use mesh_api::classification::v1::structured_message::Code as MessageIs;
use mesh_api::classification::v1::{self as wire, decision_result};
use mesh_api::common::v1::ErrorReason as R;
use mp169::sample::ALBION;
use tonic::{Code, Status};

use super::fields::{NO_EUI_64, UNKNOWN};
use super::{HOME, Table};
use crate::mesh::TestMesh;

fn duis(document: impl Into<Vec<u8>>) -> wire::Message {
    raw(Content::DuisXml(document.into().into()))
}

fn gbcs(octets: &[u8]) -> wire::Message {
    raw(Content::Gbcs(octets.to_vec().into()))
}

fn raw(content: Content) -> wire::Message {
    wire::Message {
        content: Some(content),
        origin: wire::Origin::Unspecified.into(),
    }
}

fn structured(device: &str, code: Option<MessageIs>) -> wire::Message {
    let content = Content::Structured(wire::StructuredMessage {
        device_ids: vec![device.to_owned()],
        code,
        ..Default::default()
    });
    wire::Message {
        content: Some(content),
        origin: wire::Origin::OnDemand.into(),
    }
}

async fn classify(
    mesh: &TestMesh,
    message: wire::Message,
) -> Result<wire::ClassifyResponse, Status> {
    let mut client = mesh.clients("dsp").classification().unwrap();
    let request = wire::ClassifyRequest {
        message: Some(message),
        at_least: None,
    };
    client
        .classify(request)
        .await
        .map(tonic::Response::into_inner)
}

/// The root of a request around something.
fn sr_request(inside: &str) -> String {
    let namespace = "http://www.dccinterface.co.uk/ServiceUserGateway";
    format!("<Request xmlns=\"{namespace}\"><Header>{inside}</Header></Request>")
}

/// A document whose ten entities would grow to a thousand million words.
fn billion_laughs() -> String {
    let entities: String = (1..10)
        .map(|level| {
            let inner = format!("&l{};", level - 1).repeat(10);
            format!("<!ENTITY l{level} \"{inner}\">")
        })
        .collect();
    format!("<?xml version=\"1.0\"?><!DOCTYPE r [<!ENTITY l0 \"ha\">{entities}]><r>&l9;</r>")
}

/// What cannot be read, whichever way it is sent.
fn unreadable() -> Vec<(String, wire::Message)> {
    let external = "<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><r>&x;</r>";
    let nested = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
    let mut unreadable: Vec<(String, wire::Message)> = [
        ("nothing at all", duis("")),
        ("words", duis("read the meter, please")),
        ("another document", duis("<html/>")),
        (
            "no UTF-8",
            duis(b"<sr:Request>\xFF\xFE</sr:Request>".to_vec()),
        ),
        ("UTF-16", duis(b"\xFF\xFE<\0a\0/\0>\0".to_vec())),
        ("an entity from a file", duis(external)),
        ("a billion laughs", duis(billion_laughs())),
        ("deep nesting", duis(nested)),
        ("a long name", duis(format!("<{}/>", "a".repeat(500_000)))),
        (
            "a long attribute",
            duis(format!("<a b=\"{}\"/>", "c".repeat(500_000))),
        ),
        ("tags that never end", duis("<a".repeat(100_000))),
        ("more than 16 MiB", duis(vec![b' '; (16 << 20) + 1])),
        ("a million tags", duis(sr_request(&"<a/>".repeat(1 << 20)))),
        ("GBCS of no octets", gbcs(b"")),
        ("GBCS of zeros", gbcs(&[0; 1_000])),
        (
            "GBCS that claims to be long",
            gbcs(&[0xDF, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0]),
        ),
        ("GBCS of more than 66,000 octets", gbcs(&[0xDF; 66_001])),
    ]
    .map(|(what, message)| (what.to_owned(), message))
    .into();
    let supplier = ALBION.entity().eui64();
    let whole = samples::gbcs_response(MessageCode(0x0027), HOME.esme(), supplier, 1).octets();
    let cuts = (0..whole.len()).step_by(7);
    unreadable.extend(cuts.map(|length| (format!("GBCS cut to {length}"), gbcs(&whole[..length]))));
    unreadable
}

/// What can be read, and makes no sense.
fn malformed() -> Vec<(String, wire::Message)> {
    let device = HOME.esme().to_string();
    let variant = |text: &str| Some(MessageIs::ServiceReferenceVariant(text.into()));
    let read = || structured(&device, variant("4.8.1"));
    let mut malformed: Vec<(String, wire::Message)> = [
        (
            "no content",
            wire::Message {
                content: None,
                ..read()
            },
        ),
        ("no code", structured(&device, None)),
        (
            "a malformed variant",
            structured(&device, variant("4.8.1.1.1")),
        ),
        (
            "a code of 17 bits",
            structured(&device, Some(MessageIs::AlertCode(0x1_0000))),
        ),
        (
            "an alert that is none",
            structured(&device, Some(MessageIs::DccAlertCode("N 24".into()))),
        ),
        (
            "an unknown origin",
            wire::Message {
                origin: UNKNOWN,
                ..read()
            },
        ),
        (
            "no origin",
            wire::Message {
                origin: 0,
                ..read()
            },
        ),
        ("5.1 of nothing", structured(&device, variant("5.1"))),
        ("8.13 of nothing", structured(&device, variant("8.13"))),
    ]
    .map(|(what, message)| (what.to_owned(), message))
    .into();
    for text in NO_EUI_64 {
        malformed.push((
            format!("Device {text:?}"),
            structured(text, variant("4.8.1")),
        ));
    }
    malformed
}

pub(super) async fn that_cannot_be_read(table: &mut Table) {
    let unreadable = unreadable()
        .into_iter()
        .map(|(what, message)| (what, message, R::MessageUnreadable));
    let malformed = malformed()
        .into_iter()
        .map(|(what, message)| (what, message, R::FieldInvalid));
    let all: Vec<_> = unreadable.chain(malformed).collect();
    for (what, message, reason) in &all {
        let answer = classify(&table.mesh, message.clone()).await;
        table.refused(
            format!("a message with {what}"),
            answer,
            Code::InvalidArgument,
            *reason,
        );
    }
    // One bad message spoils none of the others of its batch.
    let mut client = table.mesh.clients("dsp").classification().unwrap();
    let good = || structured(&HOME.esme().to_string(), Some(MessageIs::AlertCode(0x8F3F)));
    for (what, message, reason) in &all {
        let request = wire::BatchClassifyRequest {
            messages: vec![good(), message.clone(), good()],
            at_least: None,
        };
        let answer = client.batch_classify(request).await.unwrap().into_inner();
        let [first, bad, last] = &answer.results[..] else {
            panic!("{what}: {answer:?}");
        };
        for good in [first, last] {
            let decided = matches!(good.result, Some(decision_result::Result::Decision(_)));
            assert!(decided, "{what}: {good:?}");
        }
        let status = match &bad.result {
            Some(decision_result::Result::Status(status)) => Some(status),
            _ => None,
        };
        table.item_refused(
            format!("in a batch {what}"),
            status,
            Code::InvalidArgument,
            *reason,
        );
    }
}

pub(super) async fn that_are_too_many_or_too_large(table: &mut Table) {
    let read = structured(&HOME.esme().to_string(), Some(MessageIs::AlertCode(0x8F3F)));
    let too_many = vec![read; 1_001];
    let too_large = vec![duis(vec![b' '; 21 << 20])];
    for (what, messages, code, reason) in [
        (
            "1,001 messages",
            too_many,
            Code::InvalidArgument,
            R::TooManyItems,
        ),
        (
            "21 MiB",
            too_large,
            Code::ResourceExhausted,
            R::MessageTooLarge,
        ),
    ] {
        let mut client = table.mesh.clients("dsp").classification().unwrap();
        let request = wire::BatchClassifyRequest {
            messages: messages.clone(),
            at_least: None,
        };
        let answer = client.batch_classify(request).await;
        table.refused(format!("a batch of {what}"), answer, code, reason);
        let request = wire::ClassifyStreamRequest {
            messages,
            at_least: None,
        };
        let answer = async {
            let requests = tokio_stream::once(request);
            client
                .classify_stream(requests)
                .await?
                .into_inner()
                .message()
                .await
        };
        table.refused(format!("a stream of {what}"), answer.await, code, reason);
    }
}
