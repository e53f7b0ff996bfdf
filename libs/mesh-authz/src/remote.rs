//! Authority asked at the service registration.

use async_trait::async_trait;
use bytes::Bytes;
use http_body::Body as HttpBody;
use mesh_api::convert::position_to_wire;
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::authority_service_client::AuthorityServiceClient;
use mesh_types::{DeviceId, PartyId, Position};
use tonic::Code;
use tonic::body::Body;
use tonic::client::GrpcService;

use crate::authority::{Authority, AuthorityError, AuthoritySource};

/// Asks registration over a channel.
pub struct RemoteAuthority<T, F> {
    client: AuthorityServiceClient<T>,
    followed: F,
}

impl<T, F> RemoteAuthority<T, F>
where
    T: GrpcService<Body> + Clone,
    T::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    /// Asks over `channel`; while that does not answer, `followed` is asked for reads.
    pub fn new(channel: T, followed: F) -> Self {
        Self {
            client: AuthorityServiceClient::new(channel),
            followed,
        }
    }
}

/// What a service's own followed state says of a Device.
#[async_trait]
pub trait FollowedSupplier: Send + Sync + 'static {
    /// The Responsible Supplier of the Device, if the service's state has one.
    async fn followed(&self, device: DeviceId) -> Option<PartyId>;
}

/// For services that follow nothing about Devices.
#[async_trait]
impl FollowedSupplier for () {
    async fn followed(&self, _device: DeviceId) -> Option<PartyId> {
        None
    }
}

#[async_trait]
impl<T, F> AuthoritySource for RemoteAuthority<T, F>
where
    T: GrpcService<Body> + Clone + Send + Sync + 'static,
    T::Future: Send,
    T::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    F: FollowedSupplier,
{
    async fn authorities(
        &self,
        devices: &[DeviceId],
        at_least: Option<&Position>,
    ) -> Result<Vec<Authority>, AuthorityError> {
        let at_least = at_least.map(position_to_wire);
        let mut client = self.client.clone();
        if let [device] = devices {
            let device_id = device.to_string();
            let request = wire::GetAuthorityRequest {
                device_id,
                valid_time: None,
                at_least,
            };
            let answer = client
                .get_authority(request)
                .await
                .map_err(|status| classify(&status))?
                .into_inner();
            let position = answer.position.ok_or(AuthorityError::Broken)?;
            return Ok(vec![read(answer.authority, &position)?]);
        }
        let device_ids = devices.iter().map(ToString::to_string).collect();
        let request = wire::BatchGetAuthorityRequest {
            device_ids,
            valid_time: None,
            at_least,
        };
        let answer = client
            .batch_get_authority(request)
            .await
            .map_err(|status| classify(&status))?
            .into_inner();
        let position = answer.position.ok_or(AuthorityError::Broken)?;
        answer
            .results
            .into_iter()
            .map(|result| match result.result {
                Some(wire::authority_result::Result::Authority(facts)) => {
                    read(Some(facts), &position)
                }
                _ => Err(AuthorityError::Broken),
            })
            .collect()
    }

    async fn followed(&self, device: DeviceId) -> Option<PartyId> {
        self.followed.followed(device).await
    }
}

fn read(
    facts: Option<wire::Authority>,
    position: &mesh_api::common::v1::Position,
) -> Result<Authority, AuthorityError> {
    let facts = facts.ok_or(AuthorityError::Broken)?;
    Authority::from_wire(facts, position).map_err(|_| AuthorityError::Broken)
}

/// What registration refuses is a defect of ours; everything else may pass.
fn classify(status: &tonic::Status) -> AuthorityError {
    match status.code() {
        Code::InvalidArgument
        | Code::Unauthenticated
        | Code::PermissionDenied
        | Code::Unimplemented
        | Code::FailedPrecondition => {
            tracing::error!(code = %status.code(), "registration refuses the authority question");
            AuthorityError::Broken
        }
        code => {
            tracing::warn!(%code, "registration does not answer the authority question");
            AuthorityError::Unreachable
        }
    }
}
