//! Who is answered by the standard services? Health answers everybody who completes the handshake;
//! reflection those who may see everything.

use std::collections::BTreeSet;

use mesh_api::common::v1::ErrorReason;
use mesh_api::status::reason_of;
use mesh_rpc::MeshChannel;
use mesh_service::OPERATIONS;
use mp169::sample::ALBION;
use mp169::service::Service;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1alpha::ServerReflectionRequest;
use tonic_reflection::pb::v1alpha::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1alpha::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1alpha::server_reflection_response::MessageResponse;

use super::call::rpcs;
use crate::mesh::{TestMesh, listed_services};

/// What every server has.
const STANDARD: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// The contract's services of one of the five.
fn contracts_of(service: Service) -> BTreeSet<String> {
    let rpcs = rpcs().into_iter();
    let own = rpcs.filter(|rpc| rpc.served_by() == service);
    // All of them serve it.
    let by_all = [OPERATIONS, mesh_audit::SERVICE].map(str::to_owned);
    own.map(|rpc| rpc.service()).chain(by_all).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_open_and_reflection_is_not() {
    let mesh = TestMesh::with_sample().await;
    for service in Service::ALL {
        health_answers_without_a_certificate(&mesh, service).await;
        reflection_is_for_inspectors(&mesh, service).await;
    }
}

async fn health_answers_without_a_certificate(mesh: &TestMesh, service: Service) {
    let mut health = HealthClient::new(mesh.foreign(service, None));
    let mut names = contracts_of(service);
    // The empty name asks about the server as a whole.
    names.insert(String::new());
    for name in names {
        let request = HealthCheckRequest {
            service: name.clone(),
        };
        let answer = health.check(request.clone()).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{name}");
        let mut changes = health.watch(request).await.unwrap().into_inner();
        let first = changes.message().await.unwrap().unwrap();
        assert_eq!(first.status(), ServingStatus::Serving, "{name}");
    }
}

async fn reflection_is_for_inspectors(mesh: &TestMesh, service: Service) {
    for inspector in ["operator", "auditor"] {
        let mut served = contracts_of(service);
        served.extend(STANDARD.map(str::to_owned));
        let listed = listed_services(mesh.channel(service, inspector)).await;
        let listed = BTreeSet::from_iter(listed.unwrap());
        assert_eq!(listed, served, "{service:?}");
        let listed = listed_in_alpha(mesh.channel(service, inspector)).await;
        let listed = BTreeSet::from_iter(listed.unwrap());
        assert_eq!(listed, served, "{service:?}");
    }
    for other in [ALBION.id, "dsp", "analyst"] {
        let refused = listed_services(mesh.channel(service, other)).await;
        let status = refused.unwrap_err();
        assert_eq!(
            status.code(),
            Code::PermissionDenied,
            "{service:?}: {other}"
        );
        let reason = Some(ErrorReason::RoleNotPermitted);
        assert_eq!(reason_of(&status), reason, "{service:?}: {other}");
        let refused = listed_in_alpha(mesh.channel(service, other)).await;
        assert_eq!(reason_of(&refused.unwrap_err()), reason, "{service:?}");
    }
}

/// What a tool lists that knows the older version of reflection alone.
async fn listed_in_alpha(channel: MeshChannel) -> Result<Vec<String>, Status> {
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel);
    let answers = client.server_reflection_info(tokio_stream::once(ask)).await;
    let answer = answers?.into_inner().message().await?;
    match answer.and_then(|answer| answer.message_response) {
        Some(MessageResponse::ListServicesResponse(list)) => {
            Ok(list.service.into_iter().map(|named| named.name).collect())
        }
        other => panic!("{other:?}"),
    }
}
