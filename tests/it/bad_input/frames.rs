//! Requests that are no gRPC: compressed, cut, doubled, of the wrong kind, or not protobuf.

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use mesh_api::common::v1::ErrorReason as R;
use mesh_api::flag_registry::v1::GetFlagRequest;
use mp169::sample::ALBION;
use mp169::service::Service;
use prost::Message as _;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::ServiceExt as _;

use super::{HOME, Table};
use crate::mesh::{TestMesh, listed_services};

/// One method of each service, one for each way in which a request is taken, and who calls it.
const METHODS: [(Service, &str, &str); 7] = [
    (
        Service::Registration,
        "registration-data",
        "registration.v1.PartyService/ListParties",
    ),
    (
        Service::Registration,
        "registration-data",
        "registration.v1.DeviceService/ImportInventory",
    ),
    (
        Service::FlagRegistry,
        ALBION.id,
        "flag_registry.v1.FlagService/GetFlag",
    ),
    (
        Service::Classification,
        "dsp",
        "classification.v1.ClassificationService/Classify",
    ),
    (
        Service::Classification,
        "dsp",
        "classification.v1.ClassificationService/ClassifyStream",
    ),
    (
        Service::CspNotification,
        "operator",
        "csp_notification.v1.CspNotificationService/ListSubscriptions",
    ),
    (
        Service::Reporting,
        "dsp",
        "reporting.v1.ReportingService/RecordOutcomes",
    ),
];

/// Sends octets as the body of a call, and gives the status that it ends with.
async fn send(mesh: &TestMesh, method: (Service, &str, &str), body: Vec<u8>) -> Result<(), Status> {
    let (service, who, method) = method;
    let request = Request::post(format!("/mp169.{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Full::new(Bytes::from(body))));
    let channel = mesh.channel(service, who);
    let answer = channel.oneshot(request.unwrap()).await;
    let answer = answer.map_err(Status::from_error)?;
    let ended = Status::from_header_map(answer.headers());
    let ended = match ended {
        Some(status) => Some(status),
        None => {
            let body = answer.into_body().collect().await?;
            body.trailers().and_then(Status::from_header_map)
        }
    };
    match ended.expect("every call ends with a status") {
        status if status.code() == Code::Ok => Ok(()),
        status => Err(status),
    }
}

/// A message as it travels: a flag, its length, itself.
fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[flag], &length.to_be_bytes()[..], message].concat()
}

pub(super) async fn that_are_no_grpc(table: &mut Table) {
    for method in METHODS {
        let (unsupported, malformed) = (Code::Unimplemented, Code::InvalidArgument);
        let not_utf8 = [0x12, 2, 0xC3, 0x28, 0x0A, 2, 0xC3, 0x28];
        for (what, body, code, reason) in [
            (
                "a compressed message",
                framed(1, b"xyz"),
                unsupported,
                R::NotSupported,
            ),
            (
                "a flag that is none",
                framed(7, b""),
                unsupported,
                R::NotSupported,
            ),
            ("half a header", vec![0, 0, 0], malformed, R::FieldInvalid),
            (
                "half a message",
                framed(0, &[0; 100])[..50].to_vec(),
                malformed,
                R::FieldInvalid,
            ),
            (
                "21 MiB",
                framed(0, &vec![0; 21 << 20]),
                Code::ResourceExhausted,
                R::MessageTooLarge,
            ),
            (
                "4 GiB announced",
                vec![0, 255, 255, 255, 255, 1],
                Code::ResourceExhausted,
                R::MessageTooLarge,
            ),
            (
                "no protobuf",
                framed(0, &[0xFF; 20]),
                malformed,
                R::FieldInvalid,
            ),
            (
                "text that is no UTF-8",
                framed(0, &not_utf8),
                malformed,
                R::FieldInvalid,
            ),
        ] {
            let answer = send(&table.mesh, method, body).await;
            table.refused(format!("{what} to {}", method.2), answer, code, reason);
        }
    }
    let get = METHODS[2];
    let request = GetFlagRequest {
        device_id: HOME.esme().to_string(),
        ..Default::default()
    };
    let request = framed(0, &request.encode_to_vec());
    send(&table.mesh, get, request.clone()).await.unwrap();
    let (unsupported, reason) = (Code::Unimplemented, R::NotSupported);
    let answer = send(&table.mesh, get, request.repeat(2)).await;
    table.refused("two messages to a unary call", answer, unsupported, reason);
    let answer = send(&table.mesh, get, vec![]).await;
    table.refused("no message to a unary call", answer, unsupported, reason);
    let nil = (
        Service::FlagRegistry,
        ALBION.id,
        "flag_registry.v1.FlagService/DropTables",
    );
    let answer = send(&table.mesh, nil, request).await;
    table.refused("a method that is not there", answer, unsupported, reason);
    oversized_metadata(table).await;
}

/// Refused before there is a call, by HTTP/2 itself; what matters is that the service goes on.
async fn oversized_metadata(table: &mut Table) {
    for service in Service::ALL {
        let channel = table.mesh.channel(service, "operator");
        let value = HeaderValue::from_bytes(&vec![b'x'; 1 << 20]).unwrap();
        let request = Request::post("/grpc.health.v1.Health/Check")
            .header("content-type", "application/grpc")
            .header("x-long", value)
            .body(Body::new(Full::new(Bytes::from(framed(0, b"")))));
        let answer = channel.oneshot(request.unwrap()).await;
        if answer.is_ok_and(|answer| answer.status() == StatusCode::OK) {
            let fault = format!("{} takes 1 MiB of metadata", service.name());
            table.faults.push(fault);
        }
        let channel = table.mesh.channel(service, "operator");
        listed_services(channel).await.unwrap();
    }
}
