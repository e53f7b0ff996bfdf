//! Authority asked at the service registration.

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

use crate::authority::{Authority, AuthorityError, AuthoritySource};

/// How a server says after how many milliseconds to try again, if at all.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// Devices in one question. A larger batch is several: neither side is busy with it so long at a
/// stretch that the single questions of others wait. Each answer names its own position.
const MAX_QUESTION: usize = 128;

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
        self.ask(party, devices, at_least, true).await
    }

    async fn followed(&self, party: &PartyId, device: DeviceId) -> bool {
        self.followed.followed(party, device).await
    }
}

impl<T, F> RemoteAuthority<T, F>
where
    T: GrpcService<Body> + Clone,
    T::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    /// The answers about Devices, with leases if they are for writes.
    async fn ask(
        &self,
        party: &PartyId,
        devices: &[DeviceId],
        at_least: Option<&Position>,
        for_write: bool,
    ) -> Result<Vec<Authority>, AuthorityError> {
        let at_least = at_least.map(position_to_wire);
        let for_party_id = party.to_string();
        if let [device] = devices {
            let question = wire::GetAuthorityRequest {
                device_id: device.to_string(),
                at_least,
                for_party_id,
                for_write,
                ..Default::default()
            };
            return Ok(vec![self.ask_one(question).await?]);
        }
        let mut authorities = Vec::with_capacity(devices.len());
        for part in devices.chunks(MAX_QUESTION) {
            let question = wire::BatchGetAuthorityRequest {
                device_ids: part.iter().map(ToString::to_string).collect(),
                at_least: at_least.clone(),
                for_party_id: for_party_id.clone(),
                for_write,
                ..Default::default()
            };
            authorities.extend(self.ask_several(question).await?);
        }
        Ok(authorities)
    }

    async fn ask_one(
        &self,
        question: wire::GetAuthorityRequest,
    ) -> Result<Authority, AuthorityError> {
        // Before the first attempt, whichever is answered: too early is only too short.
        let sent = Instant::now();
        let answer = twice(|| {
            let (mut client, question) = (self.client.clone(), question.clone());
            async move { client.get_authority(question).await }
        });
        let answer = answer.await?;
        let position = answer.position.ok_or(AuthorityError::Broken)?;
        let facts = answer.authority.ok_or(AuthorityError::Broken)?;
        read(facts, &position, sent, answer.lease_duration)
    }

    async fn ask_several(
        &self,
        question: wire::BatchGetAuthorityRequest,
    ) -> Result<Vec<Authority>, AuthorityError> {
        let sent = Instant::now();
        let answer = twice(|| {
            let (mut client, question) = (self.client.clone(), question.clone());
            async move { client.batch_get_authority(question).await }
        });
        let answer = answer.await?;
        let position = answer.position.ok_or(AuthorityError::Broken)?;
        let told = |result: wire::AuthorityResult| match result.result {
            Some(wire::authority_result::Result::Authority(facts)) => {
                read(facts, &position, sent, result.lease_duration)
            }
            _ => Err(AuthorityError::Broken),
        };
        answer.results.into_iter().map(told).collect()
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

/// An answer to a question sent at `sent`.
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use http::{Request, Response};
    use http_body_util::{BodyExt as _, Full};
    use mesh_api::common::v1::ErrorReason;
    use mesh_types::Eui64;
    use prost::Message as _;

    use super::*;

    const DEVICE: &str = "00-DB-12-34-56-78-90-A0";

    fn party() -> PartyId {
        "ACME".parse().unwrap()
    }

    const LEASE: prost_types::Duration = prost_types::Duration {
        seconds: 1,
        nanos: 0,
    };

    fn position() -> mesh_api::common::v1::Position {
        mesh_api::common::v1::Position {
            log: "devices".into(),
            epoch: 1,
            sequence: 1,
        }
    }

    fn answer() -> Response<Body> {
        respond(&told())
    }

    fn told() -> wire::GetAuthorityResponse {
        wire::GetAuthorityResponse {
            authority: Some(wire::Authority {
                device_id: DEVICE.into(),
                ..Default::default()
            }),
            position: Some(position()),
            ..Default::default()
        }
    }

    fn respond(message: &impl prost::Message) -> Response<Body> {
        let message = message.encode_to_vec();
        let mut frame = vec![0];
        frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        frame.extend(message);
        let response = Response::builder().header("content-type", "application/grpc");
        let response = response.header("grpc-status", "0");
        response.body(Body::new(Full::from(frame))).unwrap()
    }

    /// Asks a registration that refuses so often before it answers; says how often it was asked.
    async fn ask(refusals: usize, refusal: Status) -> (Result<usize, AuthorityError>, usize) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let registration = tower::service_fn(move |_: Request<Body>| {
            let number = count.fetch_add(1, Ordering::SeqCst);
            let refusal = refusal.clone();
            async move {
                let refused = (number < refusals).then(|| refusal.into_http());
                Ok::<_, Infallible>(refused.unwrap_or_else(answer))
            }
        });
        let authority = RemoteAuthority::new(registration, ());
        let device = DEVICE.parse().unwrap();
        let answers = authority.authorities(&party(), &[device], None).await;
        (
            answers.map(|answers| answers.len()),
            asked.load(Ordering::SeqCst),
        )
    }

    #[tokio::test]
    async fn a_lost_connection_is_tried_again_once() {
        let lost = || Status::unavailable("lost");
        assert_eq!(ask(0, lost()).await, (Ok(1), 1));
        assert_eq!(ask(1, lost()).await, (Ok(1), 2));
        assert_eq!(ask(9, lost()).await, (Err(AuthorityError::Unreachable), 2));
    }

    #[tokio::test]
    async fn nothing_else_is_tried_again() {
        let mut told = Status::unavailable("stay away");
        let metadata = told.metadata_mut();
        metadata.insert("grpc-retry-pushback-ms", "-1".parse().unwrap());
        for status in [
            told,
            Status::deadline_exceeded("late"),
            Status::resource_exhausted("full"),
        ] {
            let answer = ask(1, status).await;
            assert_eq!(answer, (Err(AuthorityError::Unreachable), 1));
        }
        let refused = ask(1, Status::permission_denied("no")).await;
        assert_eq!(refused, (Err(AuthorityError::Broken), 1));
    }

    #[tokio::test]
    async fn a_certificate_that_the_handshake_refuses_is_as_good_as_no_connection() {
        let revoked = Status::unauthenticated("the service refuses this certificate");
        let answer = ask(1, revoked).await;
        assert_eq!(answer, (Err(AuthorityError::Unreachable), 1));
        let reason = ErrorReason::IdentityNotRecognised;
        let refused = mesh_api::status::refusal(Code::Unauthenticated, reason, "no identity");
        let answer = ask(1, refused).await;
        assert_eq!(answer, (Err(AuthorityError::Broken), 1));
    }

    #[tokio::test]
    async fn a_lease_is_counted_from_before_the_question_was_sent() {
        let asked_for_write = Arc::new(Mutex::new(Vec::new()));
        let questions = Arc::clone(&asked_for_write);
        let answered = Arc::new(Mutex::new(None));
        let answering = Arc::clone(&answered);
        let registration = tower::service_fn(move |request: Request<Body>| {
            let (questions, answering) = (Arc::clone(&questions), Arc::clone(&answering));
            async move {
                let frame = request.into_body().collect().await.unwrap().to_bytes();
                let question = wire::GetAuthorityRequest::decode(&frame[5..]).unwrap();
                questions.lock().unwrap().push(question.for_write);
                *answering.lock().unwrap() = Some(Instant::now());
                Ok::<_, Infallible>(respond(&wire::GetAuthorityResponse {
                    lease_duration: question.for_write.then_some(LEASE),
                    ..told()
                }))
            }
        });
        let authority = RemoteAuthority::new(registration, ());
        let device = DEVICE.parse().unwrap();
        let before = Instant::now();
        let leased = authority.leased(&party(), &[device], None).await.unwrap();
        let leased = &leased[0];
        let sent = leased.lease_ends().unwrap() - Duration::from_secs(1);
        assert!(before <= sent && sent <= answered.lock().unwrap().unwrap());
        let read = authority.authorities(&party(), &[device], None).await;
        assert_eq!(read.unwrap()[0].lease_ends(), None);
        assert_eq!(*asked_for_write.lock().unwrap(), [true, false]);
    }

    #[tokio::test]
    async fn a_large_batch_is_several_questions_and_one_answer_in_order() {
        let asked: Arc<Mutex<Vec<usize>>> = Arc::default();
        let sizes = Arc::clone(&asked);
        let registration = tower::service_fn(move |request: Request<Body>| {
            let sizes = Arc::clone(&sizes);
            async move {
                let frame = request.into_body().collect().await.unwrap().to_bytes();
                let question = wire::BatchGetAuthorityRequest::decode(&frame[5..]).unwrap();
                sizes.lock().unwrap().push(question.device_ids.len());
                let result = |device_id| wire::AuthorityResult {
                    lease_duration: question.for_write.then_some(LEASE),
                    result: Some(wire::authority_result::Result::Authority(wire::Authority {
                        device_id,
                        ..Default::default()
                    })),
                };
                Ok::<_, Infallible>(respond(&wire::BatchGetAuthorityResponse {
                    results: question.device_ids.into_iter().map(result).collect(),
                    position: Some(position()),
                    valid_time: None,
                }))
            }
        });
        let authority = RemoteAuthority::new(registration, ());
        let devices: Vec<DeviceId> = (0..300)
            .map(|number| DeviceId::new(Eui64::from_u64(number)))
            .collect();
        let answers = authority
            .authorities(&party(), &devices, None)
            .await
            .unwrap();
        let answered: Vec<DeviceId> = answers.iter().map(Authority::device).collect();
        assert_eq!(answered, devices);
        assert_eq!(*asked.lock().unwrap(), [MAX_QUESTION, MAX_QUESTION, 44]);
        assert!(answers.iter().all(|answer| answer.lease_ends().is_none()));
        let before = Instant::now();
        let leased = authority.leased(&party(), &devices, None).await.unwrap();
        let sent = leased
            .iter()
            .map(|leased| leased.lease_ends().unwrap() - Duration::from_secs(1));
        // Each part counts from its own question.
        let sent: Vec<Instant> = sent.collect();
        assert!(before <= sent[0] && sent.is_sorted());
        assert!(sent[0] == sent[MAX_QUESTION - 1] && sent[0] < sent[MAX_QUESTION]);
    }
}
