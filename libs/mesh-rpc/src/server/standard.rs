//! What does every server of the mesh offer besides its own services?
//!
//! Health, and reflection in both versions: many tools (grpcui, Postman, grpcio) ask in `v1alpha`
//! alone. A server lists what it serves and nothing else; any type of the contracts can be asked for
//! by its name, since those that are served refer to it.

use tonic::service::Routes;
use tonic_reflection::pb::{v1, v1alpha};
use tonic_reflection::server::{Builder, Error};

use super::health::Health;
use super::probe::Probe;
use crate::health_api::{self, health_server::HealthServer};

/// The services that every server has.
const NAMES: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];
/// All contracts that a server may serve.
const CONTRACTS: [&[u8]; 4] = [
    mesh_api::FILE_DESCRIPTOR_SET,
    health_api::FILE_DESCRIPTOR_SET,
    v1::FILE_DESCRIPTOR_SET,
    v1alpha::FILE_DESCRIPTOR_SET,
];

/// Adds them to a server whose own services are those of `health`.
pub(super) fn add_to(routes: Routes, health: &Health) -> Result<Routes, Error> {
    let names = [&health.services()[..], &NAMES].concat();
    Ok(routes
        .add_service(HealthServer::new(Probe::new(health.clone())))
        .add_service(reflection(&names).build_v1()?)
        .add_service(reflection(&names).build_v1alpha()?)
        .prepare())
}

fn reflection(names: &[&'static str]) -> Builder<'static> {
    let builder = Builder::configure().include_reflection_service(false);
    let builder = CONTRACTS
        .into_iter()
        .fold(builder, Builder::register_encoded_file_descriptor_set);
    names
        .iter()
        .fold(builder, |builder, name| builder.with_service_name(*name))
}
