//! Positions and times that nothing can be read as of.

use futures::future::BoxFuture;
use mesh_api::common::v1::follow_start::Start;
use mesh_api::common::v1::{
    AsOf, ErrorReason as R, FollowStart, Position, SnapshotStart, as_of::Known,
};
use mesh_api::csp_notification::v1 as csp;
use mesh_api::flag_registry::v1 as flags;
use mesh_api::registration::v1 as registration;
use mesh_api::registration::v1::authority_service_client::AuthorityServiceClient;
use mp169::sample::{ALBION, CSP_NORTH};
use mp169::service::Service;
use prost_types::Timestamp;
use tonic::{Code, Status};

use super::{HOME, Table, heads};
use crate::mesh::TestMesh;

/// A read as of something.
type Read = for<'m> fn(&'m TestMesh, Option<AsOf>) -> BoxFuture<'m, Result<(), Status>>;
/// A stream that begins with the snapshot of a position.
type Follow = for<'m> fn(&'m TestMesh, SnapshotStart) -> BoxFuture<'m, Result<(), Status>>;

/// A call through the client of a service.
macro_rules! call {
    ($client:ident of $who:expr, $method:ident($request:expr)) => {
        |mesh, asked| {
            Box::pin(async move {
                let mut client = mesh.clients($who).$client().unwrap();
                let request = $request(asked);
                client.$method(request).await.map(drop)
            })
        }
    };
}

/// A request with the field that all reads have, and those that it must have besides.
macro_rules! read {
    ($request:ty $(, $field:ident: $value:expr)*) => {
        |as_of| {
            let mut request = <$request>::default();
            request.as_of = as_of;
            $(request.$field = $value;)*
            request
        }
    };
}

fn esme() -> String {
    HOME.esme().to_string()
}

fn reads() -> [(&'static str, Read, &'static str); 9] {
    use {flags as f, registration as r};
    [
        (
            "GetParty",
            call!(parties of "operator", get_party(read!(r::GetPartyRequest, party_id: ALBION.id.into()))),
            "parties",
        ),
        (
            "ListParties",
            call!(parties of "operator", list_parties(read!(r::ListPartiesRequest))),
            "parties",
        ),
        (
            "GetDevice",
            call!(devices of "operator", get_device(read!(r::GetDeviceRequest, device_id: esme()))),
            "devices",
        ),
        (
            "ListDevices",
            call!(devices of "operator", list_devices(read!(r::ListDevicesRequest))),
            "devices",
        ),
        (
            "ListRegistrations",
            call!(devices of "operator", list_registrations(
                read!(r::ListRegistrationsRequest, mpxn: HOME.import_mpan().unwrap().to_string())
            )),
            "devices",
        ),
        (
            "GetFlag",
            call!(flags of "operator", get_flag(read!(f::GetFlagRequest, device_id: esme()))),
            "flags",
        ),
        (
            "BatchGetFlags",
            call!(flags of "operator", batch_get_flags(
                read!(f::BatchGetFlagsRequest, device_ids: vec![esme()])
            )),
            "flags",
        ),
        (
            "ListFlags",
            call!(flags of "operator", list_flags(read!(f::ListFlagsRequest))),
            "flags",
        ),
        (
            "ListFlagEvents",
            call!(flags of "operator", list_flag_events(
                read!(f::ListFlagEventsRequest, device_id: esme())
            )),
            "flags",
        ),
    ]
}

fn get_authority(mesh: &TestMesh, as_of: Option<AsOf>) -> BoxFuture<'_, Result<(), Status>> {
    Box::pin(async move {
        let channel = mesh.channel(Service::Registration, "operator");
        let request = registration::GetAuthorityRequest {
            device_id: esme(),
            as_of,
            ..Default::default()
        };
        let mut client = AuthorityServiceClient::new(channel);
        client.get_authority(request).await.map(drop)
    })
}

fn batch_get_authority(mesh: &TestMesh, as_of: Option<AsOf>) -> BoxFuture<'_, Result<(), Status>> {
    Box::pin(async move {
        let channel = mesh.channel(Service::Registration, "operator");
        let request = registration::BatchGetAuthorityRequest {
            device_ids: vec![esme()],
            as_of,
            ..Default::default()
        };
        let mut client = AuthorityServiceClient::new(channel);
        client.batch_get_authority(request).await.map(drop)
    })
}

fn snapshot(of: SnapshotStart) -> Option<FollowStart> {
    let start = Some(Start::Snapshot(of));
    Some(FollowStart { start, seen: None })
}

fn follows() -> [(&'static str, Follow, &'static str); 4] {
    use {flags as f, registration as r};
    [
        (
            "FollowParties",
            call!(parties of "auditor", follow_parties(|of| r::FollowPartiesRequest { start: snapshot(of) })),
            "parties",
        ),
        (
            "FollowDevices",
            call!(devices of "auditor", follow_devices(|of| r::FollowDevicesRequest { start: snapshot(of) })),
            "devices",
        ),
        (
            "FollowFlags",
            call!(flags of "auditor", follow_flags(|of| f::FollowFlagsRequest { start: snapshot(of) })),
            "flags",
        ),
        (
            "FollowFlagChanges",
            call!(csp of CSP_NORTH.id, follow_flag_changes(|of| csp::FollowFlagChangesRequest {
                csp_id: CSP_NORTH.csp.into(),
                start: Some(csp::follow_flag_changes_request::Start::Snapshot(of)),
                seen: None,
            })),
            "csp",
        ),
    ]
}

pub(super) async fn that_is_not_there(table: &mut Table) {
    let heads = heads(&table.mesh).await;
    let north = |head: &Position| head.log == format!("csp/{}", CSP_NORTH.csp);
    let of_csp = heads.csps.iter().flatten().find(|head| north(head));
    let head = |log: &str| match log {
        "parties" => heads.parties.clone().unwrap(),
        "devices" => heads.devices.clone().unwrap(),
        "flags" => heads.flags.clone().unwrap(),
        _ => of_csp.cloned().unwrap(),
    };
    let mesh = &table.mesh;
    let mut cases = Vec::new();
    let authority: [(&str, Read, &str); 2] = [
        ("GetAuthority", get_authority, "devices"),
        ("BatchGetAuthority", batch_get_authority, "devices"),
    ];
    for (rpc, read, log) in reads().into_iter().chain(authority) {
        let known = wrong_times().into_iter().map(|(what, time)| {
            (
                what,
                Known::KnownTime(time),
                Code::InvalidArgument,
                R::FieldInvalid,
            )
        });
        let positions = wrong_positions(&head(log), R::FieldInvalid)
            .into_iter()
            .map(|(what, at, code, reason)| (what, Known::Position(at), code, reason));
        for (what, known, code, reason) in positions.chain(known) {
            let as_of = AsOf { known: Some(known) };
            cases.push((
                format!("{rpc} as of {what}"),
                read(mesh, Some(as_of)),
                code,
                reason,
            ));
        }
        let nothing = read(mesh, Some(AsOf { known: None }));
        cases.push((
            format!("{rpc} as of nothing"),
            nothing,
            Code::InvalidArgument,
            R::FieldInvalid,
        ));
    }
    for (rpc, follow, log) in follows() {
        // A stream is told that it is in another history, whichever way.
        for (what, at, code, reason) in wrong_positions(&head(log), R::PositionOfAnotherEpoch) {
            let position = Some(at);
            let call = follow(mesh, SnapshotStart { position });
            cases.push((
                format!("{rpc} with a snapshot of {what}"),
                call,
                code,
                reason,
            ));
        }
    }
    // Together: some wait a while for the position to come.
    let (told, calls): (Vec<_>, Vec<_>) = cases
        .into_iter()
        .map(|(what, call, code, reason)| ((what, code, reason), call))
        .unzip();
    let answers = futures::future::join_all(calls).await;
    for ((what, code, reason), answer) in told.into_iter().zip(answers) {
        table.refused(what, answer, code, reason);
    }
}

fn wrong_times() -> [(&'static str, Timestamp); 3] {
    let at = |seconds, nanos| Timestamp { seconds, nanos };
    [
        ("the year 9999", at(253_402_300_799, 0)),
        ("a time after all times", at(i64::MAX, 0)),
        ("a time of too many nanoseconds", at(0, 1_000_000_000)),
    ]
}

/// Positions that are none of `head`'s log; `elsewhere` is the reason for those of another log.
fn wrong_positions(head: &Position, elsewhere: R) -> [(&'static str, Position, Code, R); 5] {
    let wrong = |change: fn(&mut Position)| {
        let mut position = head.clone();
        change(&mut position);
        position
    };
    let other = Code::FailedPrecondition;
    let code = match elsewhere {
        R::FieldInvalid => Code::InvalidArgument,
        _ => other,
    };
    [
        (
            "a position beyond the head",
            wrong(|at| at.sequence += 1_000),
            Code::OutOfRange,
            R::PositionNotReached,
        ),
        (
            "a position of another history",
            wrong(|at| at.epoch ^= 1),
            other,
            R::PositionOfAnotherEpoch,
        ),
        (
            "a position of another log",
            wrong(|at| at.log = "elsewhere".into()),
            code,
            elsewhere,
        ),
        (
            "a position of no epoch",
            wrong(|at| at.epoch = 0),
            Code::InvalidArgument,
            R::FieldInvalid,
        ),
        (
            "a position past all numbers",
            wrong(|at| at.sequence = u64::MAX),
            Code::InvalidArgument,
            R::FieldInvalid,
        ),
    ]
}
