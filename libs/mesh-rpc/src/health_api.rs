//! The standard contract of health, `List` included, which tonic-health's lacks.

#[expect(clippy::all, clippy::allow_attributes, reason = "generated")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.rs"));
}

pub use generated::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
    health_check_response, health_client, health_server,
};

/// The contract itself, serialized.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/health_descriptor_set.bin"));
