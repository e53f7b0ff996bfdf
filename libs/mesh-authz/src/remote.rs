//! Authority asked at the service registration.

mod gather;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http_body::Body as HttpBody;
use mesh_api::convert::position_to_wire;
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::authority_service_client::AuthorityServiceClient;
use mesh_api::status::reason_of;
use mesh_types::{DeviceId, PartyId, Position};
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::{Code, Response, Status};

use self::gather::{Answering, Gather, MOST};
use crate::authority::{Authority, AuthorityError, AuthoritySource};

/// How a server says after how many milliseconds to try again, if at all.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What calls are made over.
pub trait CallChannel:
    GrpcService<
        Body,
        Future: Send,
        Error: Into<BoxError>,
        ResponseBody: HttpBody<Data = Bytes, Error: Into<BoxError> + Send> + Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl<T> CallChannel for T where
    T: GrpcService<
            Body,
            Future: Send,
            Error: Into<BoxError>,
            ResponseBody: HttpBody<Data = Bytes, Error: Into<BoxError> + Send> + Send + 'static,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

/// Asks registration over a channel. Questions that several callers have at a time share calls.
pub struct RemoteAuthority<T: CallChannel, F> {
    registration: Gather<Registration<T>>,
    followed: F,
    time_left: fn() -> Option<Duration>,
}

impl<T: CallChannel, F> RemoteAuthority<T, F> {
    /// Asks over `channel`; while that does not answer, `followed` is asked for reads. `time_left` says
    /// how much time is left for the call that is being served: the channel bounds a call by it that is
    /// one caller's alone.
    pub fn new(channel: T, followed: F, time_left: fn() -> Option<Duration>) -> Self {
        let client = AuthorityServiceClient::new(channel);
        Self {
            registration: Gather::new(Registration { client }),
            followed,
            time_left,
        }
    }
}

/// What a service's own followed state says of a Device.
#[async_trait]
pub trait FollowedSupplier: Send + Sync + 'static {
    /// As in [`AuthoritySource::followed`].
    async fn followed(&self, party: &PartyId, device: DeviceId) -> bool;
}

/// For services that follow nothing about Devices.
#[async_trait]
impl FollowedSupplier for () {
    async fn followed(&self, _party: &PartyId, _device: DeviceId) -> bool {
        false
    }
}

#[async_trait]
impl<T: CallChannel, F: FollowedSupplier> AuthoritySource for RemoteAuthority<T, F> {
    async fn authorities(
        &self,
        party: &PartyId,
        devices: &[DeviceId],
        at_least: Option<&Position>,
    ) -> Result<Vec<Authority>, AuthorityError> {
        self.ask(party, devices, at_least, false).await
    }

    async fn leased(
        &self,
        party: &PartyId,
        devices: &[DeviceId],
        at_least: Option<&Position>,
    ) -> Result<Vec<Authority>, AuthorityError> {
        let answers = self.ask(party, devices, at_least, true).await?;
        let lacks_its_lease =
            |answer: &Authority| answer.admits(party) && answer.lease_ends().is_none();
        if answers.iter().any(lacks_its_lease) {
            tracing::warn!("registration can give no lease at present");
            return Err(AuthorityError::Unreachable);
        }
        Ok(answers)
    }

    async fn followed(&self, party: &PartyId, device: DeviceId) -> bool {
        self.followed.followed(party, device).await
    }
}

impl<T: CallChannel, F> RemoteAuthority<T, F> {
    /// The answers about Devices, with leases if they are for writes.
    async fn ask(
        &self,
        party: &PartyId,
        devices: &[DeviceId],
        at_least: Option<&Position>,
        for_write: bool,
    ) -> Result<Vec<Authority>, AuthorityError> {
        if let [device] = devices {
            let answer = self.ask_one(party, *device, at_least, for_write);
            return Ok(vec![answer.await?]);
        }
        let registration = self.registration.answering();
        let mut authorities = Vec::with_capacity(devices.len());
        for part in devices.chunks(MOST) {
            let answers = registration.batch(party, part, at_least, for_write);
            authorities.extend(answers.await?);
        }
        Ok(authorities)
    }

    async fn ask_one(
        &self,
        party: &PartyId,
        device: DeviceId,
        at_least: Option<&Position>,
        for_write: bool,
    ) -> Result<Authority, AuthorityError> {
        let question = wire::AuthorityQuestion {
            device_id: device.to_string(),
            for_party_id: party.to_string(),
            for_write,
        };
        if at_least.is_some() {
            // Registration may have to wait for that position: nobody else does.
            let registration = self.registration.answering();
            return registration.ask(question, at_least).await;
        }
        let answer = self.registration.ask(question, (self.time_left)()).await;
        answer.unwrap_or_else(|| {
            tracing::warn!("registration does not answer the authority question in time");
            Err(AuthorityError::Unreachable)
        })
    }
}

/// The calls.
struct Registration<T> {
    client: AuthorityServiceClient<T>,
}

impl<T: CallChannel> Answering for Registration<T> {
    type Question = wire::AuthorityQuestion;
    type Answer = Result<Authority, AuthorityError>;

    async fn one(&self, question: wire::AuthorityQuestion) -> Self::Answer {
        self.ask(question, None).await
    }

    async fn all(&self, questions: Vec<wire::AuthorityQuestion>) -> Vec<Self::Answer> {
        let count = questions.len();
        match self.ask_for_parties(questions).await {
            Ok(answers) if answers.len() == count => answers,
            Ok(_) => vec![Err(AuthorityError::Broken); count],
            Err(error) => vec![Err(error); count],
        }
    }
}

impl<T: CallChannel> Registration<T> {
    async fn ask(
        &self,
        question: wire::AuthorityQuestion,
        at_least: Option<&Position>,
    ) -> Result<Authority, AuthorityError> {
        let question = wire::GetAuthorityRequest {
            device_id: question.device_id,
            for_party_id: question.for_party_id,
            for_write: question.for_write,
            at_least: at_least.map(position_to_wire),
            ..Default::default()
        };
        // Before the first attempt, whichever is answered: too early is only too short.
        let sent = Instant::now();
        let answer = twice(|| {
            let (mut client, question) = (self.client.clone(), question.clone());
            async move { client.get_authority(question).await }
        });
        answered(answer.await?, sent)
    }

    async fn ask_for_parties(
        &self,
        questions: Vec<wire::AuthorityQuestion>,
    ) -> Result<Vec<Result<Authority, AuthorityError>>, AuthorityError> {
        let request = wire::GetAuthorityForPartiesRequest { questions };
        let sent = Instant::now();
        let answer = twice(|| {
            let (mut client, request) = (self.client.clone(), request.clone());
            async move { client.get_authority_for_parties(request).await }
        });
        let results = answer.await?.results.into_iter();
        let answers = results.map(|result| match result.result {
            Some(wire::authority_for_party_result::Result::Answer(answer)) => {
                answered(answer, sent)
            }
            Some(wire::authority_for_party_result::Result::Status(status)) => {
                let status = Status::new(Code::from(status.code), status.message);
                Err(classify(&status))
            }
            None => Err(AuthorityError::Broken),
        });
        Ok(answers.collect())
    }

    /// One party's question about several Devices.
    async fn batch(
        &self,
        party: &PartyId,
        devices: &[DeviceId],
        at_least: Option<&Position>,
        for_write: bool,
    ) -> Result<Vec<Authority>, AuthorityError> {
        let request = wire::BatchGetAuthorityRequest {
            device_ids: devices.iter().map(ToString::to_string).collect(),
            at_least: at_least.map(position_to_wire),
            for_party_id: party.to_string(),
            for_write,
            ..Default::default()
        };
        let sent = Instant::now();
        let answer = twice(|| {
            let (mut client, request) = (self.client.clone(), request.clone());
            async move { client.batch_get_authority(request).await }
        });
        let answer = answer.await?;
        let position = answer.position.ok_or(AuthorityError::Broken)?;
        let results = answer.results.into_iter();
        let authorities = results.map(|result| match result.result {
            Some(wire::authority_result::Result::Authority(facts)) => {
                read(facts, &position, sent, result.lease_duration)
            }
            _ => Err(AuthorityError::Broken),
        });
        authorities.collect()
    }
}

/// Asks, and once more if the connection was lost: that is how a channel learns that registration
/// has started anew, and the second call gets a new connection. The question changes nothing, and
/// the channel bounds both by the deadline of the call that is being served.
async fn twice<R, A>(ask: impl Fn() -> A) -> Result<R, AuthorityError>
where
    A: Future<Output = Result<Response<R>, Status>>,
{
    let again = match ask().await {
        Err(status) if may_be_asked_again(&status) => ask().await,
        answer => answer,
    };
    match again {
        Ok(answer) => Ok(answer.into_inner()),
        Err(status) => Err(classify(&status)),
    }
}

/// A server that sends a pushback has decided when it wants to be asked again.
fn may_be_asked_again(status: &Status) -> bool {
    status.code() == Code::Unavailable && !status.metadata().contains_key(PUSHBACK)
}

fn answered(
    answer: wire::GetAuthorityResponse,
    sent: Instant,
) -> Result<Authority, AuthorityError> {
    let position = answer.position.ok_or(AuthorityError::Broken)?;
    let facts = answer.authority.ok_or(AuthorityError::Broken)?;
    read(facts, &position, sent, answer.lease_duration)
}

/// An answer to a question sent at `sent`, with its lease if it has one.
fn read(
    facts: wire::Authority,
    position: &mesh_api::common::v1::Position,
    sent: Instant,
    lease: Option<prost_types::Duration>,
) -> Result<Authority, AuthorityError> {
    let authority = Authority::from_wire(facts, position).map_err(|_| AuthorityError::Broken)?;
    let Some(lease) = lease else {
        return Ok(authority);
    };
    let lease = Duration::try_from(lease).map_err(|_| AuthorityError::Broken)?;
    Ok(authority.leased(sent, lease))
}

/// What registration refuses is a defect of ours; everything else may pass, also a certificate of
/// ours that its handshake refuses, which is no answer of registration's and has no reason.
fn classify(status: &Status) -> AuthorityError {
    match status.code() {
        code @ Code::Unauthenticated if reason_of(status).is_none() => {
            tracing::error!(%code, status = status.message(), "registration is not reached");
            AuthorityError::Unreachable
        }
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
