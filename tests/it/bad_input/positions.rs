//! Positions of another history, of another log, beyond the head, and of no log at all.

use futures::future::BoxFuture;
use mesh_api::classification::v1 as classification;
use mesh_api::common::v1::stream_frame::Frame;
use mesh_api::common::v1::{ErrorReason as R, FollowStart, Position, follow_start};
use mesh_api::csp_notification::v1 as csp;
use mesh_api::flag_registry::v1 as flags;
use mesh_api::registration::v1 as registration;
use mesh_api::registration::v1::authority_service_client::AuthorityServiceClient;
use mesh_types::DeviceId;
use mp169::sample::CSP_NORTH;
use mp169::service::Service;
use tonic::{Code, Status};

use super::{HOME, Table, heads};
use crate::mesh::TestMesh;

/// A call that names a position.
type Call = for<'m> fn(&'m TestMesh, Position) -> BoxFuture<'m, Result<(), Status>>;

pub(super) async fn that_are_not_there(table: &mut Table) {
    let heads = heads(&table.mesh).await;
    let of_csp = csp_head(&table.mesh).await;
    let (parties, devices) = (heads.parties.unwrap(), heads.devices.unwrap());
    let flags = heads.flags.unwrap();
    let (never, beyond) = (R::PositionNotReached, Code::OutOfRange);
    let (not_sent, unsent) = (R::AcknowledgedNotSent, Code::FailedPrecondition);
    let calls: [(&str, Call, &Position, Code, R); 10] = [
        ("GetFlag", get_flag, &flags, beyond, never),
        ("BatchGetFlags", batch_get_flags, &flags, beyond, never),
        ("GetAuthority", get_authority, &devices, beyond, never),
        (
            "BatchGetAuthority",
            batch_get_authority,
            &devices,
            beyond,
            never,
        ),
        ("BatchClassify", classify, &flags, beyond, never),
        ("FollowParties", follow_parties, &parties, beyond, never),
        ("FollowDevices", follow_devices, &devices, beyond, never),
        ("FollowFlags", follow_flags, &flags, beyond, never),
        ("FollowFlagChanges", follow_csp, &of_csp, beyond, never),
        (
            "AcknowledgeFlagChanges",
            acknowledge,
            &of_csp,
            unsent,
            not_sent,
        ),
    ];
    let mut cases = Vec::new();
    for (rpc, call, head, code, reason) in calls {
        let wrong = |change: fn(&mut Position)| {
            let mut position = head.clone();
            change(&mut position);
            position
        };
        let (invalid, other) = (Code::InvalidArgument, Code::FailedPrecondition);
        cases.extend(
            [
                (
                    "beyond the head",
                    wrong(|at| at.sequence += 1),
                    code,
                    reason,
                ),
                (
                    "far beyond",
                    wrong(|at| at.sequence = u64::MAX >> 1),
                    code,
                    reason,
                ),
                (
                    "of another epoch",
                    wrong(|at| at.epoch ^= 1),
                    other,
                    R::PositionOfAnotherEpoch,
                ),
                (
                    "of another log",
                    wrong(|at| at.log = "elsewhere".into()),
                    other,
                    R::PositionOfAnotherEpoch,
                ),
                (
                    "of no epoch",
                    wrong(|at| at.epoch = 0),
                    invalid,
                    R::FieldInvalid,
                ),
                (
                    "past all numbers",
                    wrong(|at| at.sequence = u64::MAX),
                    invalid,
                    R::FieldInvalid,
                ),
                (
                    "of no log",
                    wrong(|at| at.log = String::new()),
                    invalid,
                    R::FieldInvalid,
                ),
                (
                    "of a malformed log",
                    wrong(|at| at.log = "../flags\n".into()),
                    invalid,
                    R::FieldInvalid,
                ),
            ]
            .map(|(what, at, code, reason)| {
                (
                    format!("{rpc} at a position {what}"),
                    call,
                    at,
                    code,
                    reason,
                )
            }),
        );
    }
    // Together: some wait a while for the position to come.
    let mesh = &table.mesh;
    let answers = cases.iter().map(|(_, call, at, ..)| call(mesh, at.clone()));
    let answers = futures::future::join_all(answers).await;
    for ((what, _, _, code, reason), answer) in cases.into_iter().zip(answers) {
        table.refused(what, answer, code, reason);
    }
}

/// The last position of the log of the CSP of the north, all of which it has been sent by now.
async fn csp_head(mesh: &TestMesh) -> Position {
    let mut client = mesh.clients(CSP_NORTH.id).csp().unwrap();
    let csp_id = || CSP_NORTH.csp.to_owned();
    let request = csp::FollowFlagChangesRequest {
        csp_id: csp_id(),
        start: Some(csp::follow_flag_changes_request::Start::Snapshot(
            Default::default(),
        )),
        seen: None,
    };
    let mut stream = client
        .follow_flag_changes(request)
        .await
        .unwrap()
        .into_inner();
    let Frame::Hello(hello) = frame(&mut stream).await else {
        panic!("the first frame is the hello");
    };
    while !matches!(frame(&mut stream).await, Frame::SnapshotComplete(_)) {}
    hello.head.unwrap()
}

/// The next frame that is no part of the snapshot.
async fn frame(stream: &mut tonic::Streaming<csp::FollowFlagChangesResponse>) -> Frame {
    loop {
        let response = stream.message().await.unwrap().unwrap();
        if let Some(csp::follow_flag_changes_response::Body::Frame(frame)) = response.body {
            return frame.frame.unwrap();
        }
    }
}

fn after(position: Position) -> Option<FollowStart> {
    Some(FollowStart {
        start: Some(follow_start::Start::After(position)),
        seen: None,
    })
}

fn get_flag(mesh: &TestMesh, at: Position) -> BoxFuture<'_, Result<(), Status>> {
    Box::pin(async move {
        let mut client = mesh.clients("operator").flags().unwrap();
        let request = flags::GetFlagRequest {
            device_id: HOME.esme().to_string(),
            at_least: Some(at),
            ..Default::default()
        };
        client.get_flag(request).await.map(drop)
    })
}

fn batch_get_flags(mesh: &TestMesh, at: Position) -> BoxFuture<'_, Result<(), Status>> {
    Box::pin(async move {
        let mut client = mesh.clients("operator").flags().unwrap();
        let request = flags::BatchGetFlagsRequest {
            device_ids: vec![HOME.esme().to_string()],
            at_least: Some(at),
            ..Default::default()
        };
        client.batch_get_flags(request).await.map(drop)
    })
}

fn get_authority(mesh: &TestMesh, at: Position) -> BoxFuture<'_, Result<(), Status>> {
    Box::pin(async move {
        let channel = mesh.channel(Service::Registration, "operator");
        let request = registration::GetAuthorityRequest {
            device_id: HOME.esme().to_string(),
            at_least: Some(at),
            ..Default::default()
        };
        AuthorityServiceClient::new(channel)
            .get_authority(request)
            .await
            .map(drop)
    })
}

fn batch_get_authority(mesh: &TestMesh, at: Position) -> BoxFuture<'_, Result<(), Status>> {
    Box::pin(async move {
        let channel = mesh.channel(Service::Registration, "operator");
        let request = registration::BatchGetAuthorityRequest {
            device_ids: vec![HOME.esme().to_string()],
            at_least: Some(at),
            ..Default::default()
        };
        AuthorityServiceClient::new(channel)
            .batch_get_authority(request)
            .await
            .map(drop)
    })
}

fn classify(mesh: &TestMesh, at: Position) -> BoxFuture<'_, Result<(), Status>> {
    Box::pin(async move {
        let mut client = mesh.clients("dsp").classification().unwrap();
        let request = classification::BatchClassifyRequest {
            messages: vec![read_of(HOME.esme())],
            at_least: Some(at),
        };
        client.batch_classify(request).await.map(drop)
    })
}

/// A read, which depends on the flag.
fn read_of(device: DeviceId) -> classification::Message {
    let variant = "4.8.1".to_owned();
    let read = classification::StructuredMessage {
        device_ids: vec![device.to_string()],
        code: Some(classification::structured_message::Code::ServiceReferenceVariant(variant)),
        ..Default::default()
    };
    classification::Message {
        content: Some(classification::message::Content::Structured(read)),
        origin: classification::Origin::OnDemand.into(),
    }
}

fn follow_parties(mesh: &TestMesh, at: Position) -> BoxFuture<'_, Result<(), Status>> {
    Box::pin(async move {
        let mut client = mesh.clients("auditor").parties().unwrap();
        let request = registration::FollowPartiesRequest { start: after(at) };
        client.follow_parties(request).await.map(drop)
    })
}

fn follow_devices(mesh: &TestMesh, at: Position) -> BoxFuture<'_, Result<(), Status>> {
    Box::pin(async move {
        let mut client = mesh.clients("auditor").devices().unwrap();
        let request = registration::FollowDevicesRequest { start: after(at) };
        client.follow_devices(request).await.map(drop)
    })
}

fn follow_flags(mesh: &TestMesh, at: Position) -> BoxFuture<'_, Result<(), Status>> {
    Box::pin(async move {
        let mut client = mesh.clients("auditor").flags().unwrap();
        let request = flags::FollowFlagsRequest { start: after(at) };
        client.follow_flags(request).await.map(drop)
    })
}

fn follow_csp(mesh: &TestMesh, at: Position) -> BoxFuture<'_, Result<(), Status>> {
    Box::pin(async move {
        let mut client = mesh.clients(CSP_NORTH.id).csp().unwrap();
        let request = csp::FollowFlagChangesRequest {
            csp_id: CSP_NORTH.csp.into(),
            start: Some(csp::follow_flag_changes_request::Start::After(at)),
            seen: None,
        };
        client.follow_flag_changes(request).await.map(drop)
    })
}

fn acknowledge(mesh: &TestMesh, at: Position) -> BoxFuture<'_, Result<(), Status>> {
    Box::pin(async move {
        let mut client = mesh.clients(CSP_NORTH.id).csp().unwrap();
        let request = csp::AcknowledgeFlagChangesRequest {
            csp_id: CSP_NORTH.csp.into(),
            up_to: Some(at),
            applied_time: None,
        };
        client.acknowledge_flag_changes(request).await.map(drop)
    })
}
