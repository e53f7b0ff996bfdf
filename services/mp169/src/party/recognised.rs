//! Does every service know a party by now? Each has its own copy of the directory.

use std::time::Duration;

use anyhow::Result;
use mesh_api::common::v1::ErrorReason;
use mesh_api::status::reason_of;
use tonic::Status;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use crate::clients::Clients;
use crate::service::Service;

/// The services follow the directory within a second; what takes longer is no matter of waiting.
const FOLLOW_LIMIT: Duration = Duration::from_secs(10);

/// Waits until no service says that it does not know the party whose `clients` they are.
pub(crate) async fn until_recognised(clients: &Clients) -> Result<()> {
    let deadline = tokio::time::Instant::now() + FOLLOW_LIMIT;
    for service in Service::ALL {
        while let Err(status) = ask(clients, service).await {
            match reason_of(&status) {
                Some(ErrorReason::PartyUnknown | ErrorReason::DirectoryNotLoaded)
                    if tokio::time::Instant::now() < deadline =>
                {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                // Recognised: what it may do is another matter.
                Some(ErrorReason::RoleNotPermitted | ErrorReason::PartyNotActive) => break,
                _ => return Err(status.into()),
            }
        }
    }
    Ok(())
}

/// Reflection is the one method that all services have and that asks who the caller is.
async fn ask(clients: &Clients, service: Service) -> Result<(), Status> {
    let channel = clients
        .channel(service)
        .map_err(|error| Status::unknown(error.to_string()))?;
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel);
    let answers = client.server_reflection_info(tokio_stream::once(request));
    answers.await?.into_inner().message().await?;
    Ok(())
}
