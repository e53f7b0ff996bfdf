//! The authorization layer: finds the rule of the method, judges the call, hands a permit inward.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use mesh_types::EntityId;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::authorizer::Admission;
use crate::rule::Grants;
use crate::{Authorization, Authorizer, Caller, Ending, Identity, Notes, Refusal};

/// Names the entity that a gateway acts for: an EUI-64. Nothing else in a request's metadata says
/// who the caller is.
pub const ON_BEHALF_OF: &str = "mp169-on-behalf-of";

/// The most octets of a request that a rule is judged by: the usual limit on a message, and the five
/// octets before it. An RPC that takes more is open to roles alone, and not read here.
const MAX_REQUEST: usize = 4 * 1024 * 1024 + 5;

/// Puts [`Authorize`] in front of a server's handlers. The identity layer comes before it.
#[derive(Clone)]
pub struct AuthorizeLayer(Authorizer);

impl AuthorizeLayer {
    /// Checks with `authorizer`.
    #[must_use]
    pub fn new(authorizer: Authorizer) -> Self {
        Self(authorizer)
    }
}

impl<S> Layer<S> for AuthorizeLayer {
    type Service = Authorize<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Authorize {
            inner,
            authorizer: self.0.clone(),
        }
    }
}

/// Lets a call through with an [`Authorization`] in its extensions, or refuses it.
#[derive(Clone)]
pub struct Authorize<S> {
    inner: S,
    authorizer: Authorizer,
}

impl<S> Service<Request<Body>> for Authorize<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The service that was made ready takes the call; the fresh clone waits for the next one.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let authorizer = self.authorizer.clone();
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            match authorize(&authorizer, request).await {
                Ok(request) => inner.call(request).await,
                Err(refusal) => {
                    tracing::info!(
                        method = path,
                        reason = refusal.code().1.as_str_name(),
                        "refused"
                    );
                    Ok(Status::from(refusal).into_http())
                }
            }
        })
    }
}

async fn authorize(
    authorizer: &Authorizer,
    request: Request<Body>,
) -> Result<Request<Body>, Refusal> {
    let identity = request.extensions().get::<Identity>().copied();
    let notes = request.extensions().get::<Notes>().cloned();
    let notes = notes.unwrap_or_default();
    let on_behalf_of = on_behalf_of(&request)?;
    notes.claims_to_act_for(on_behalf_of);
    let path = request.uri().path();
    let authorization = match authorizer.admit(path, identity, on_behalf_of, &notes)? {
        Admission::Open => return Ok(request),
        Admission::ByRole(caller) => authorizer.by_role(caller, path, notes),
        Admission::NeedsRequest(caller, grants) => {
            return with_request(authorizer, caller, grants, notes, request).await;
        }
    };
    Ok(with_authorization(request, authorization))
}

async fn with_request(
    authorizer: &Authorizer,
    caller: Arc<Caller>,
    grants: &Grants,
    notes: Notes,
    request: Request<Body>,
) -> Result<Request<Body>, Refusal> {
    let (parts, body) = request.into_parts();
    let collected = Limited::new(body, MAX_REQUEST).collect().await;
    let frame = collected.map_err(|_| Refusal::NotOneMessage)?.to_bytes();
    let authorization = authorizer
        .judge(caller, grants, one_message(&frame)?, notes)
        .await?;
    let request = Request::from_parts(parts, Body::new(Full::new(frame)));
    Ok(with_authorization(request, authorization))
}

fn with_authorization(mut request: Request<Body>, authorization: Authorization) -> Request<Body> {
    let ending = request.extensions().get::<Ending>().cloned();
    let authorization = authorization.by_connection(ending.unwrap_or_default());
    request.extensions_mut().insert(authorization);
    request
}

/// The message in a gRPC frame: one octet that says whether it is compressed, four for its length.
fn one_message(frame: &Bytes) -> Result<&[u8], Refusal> {
    let (head, message) = frame.split_at_checked(5).ok_or(Refusal::NotOneMessage)?;
    let [0, length @ ..] = head else {
        return Err(Refusal::NotOneMessage);
    };
    let length = length
        .iter()
        .fold(0_usize, |length, octet| length << 8 | usize::from(*octet));
    if message.len() == length {
        Ok(message)
    } else {
        Err(Refusal::NotOneMessage)
    }
}

fn on_behalf_of(request: &Request<Body>) -> Result<Option<EntityId>, Refusal> {
    let mut values = request.headers().get_all(ON_BEHALF_OF).iter();
    let malformed = || Refusal::Field {
        field: ON_BEHALF_OF.to_owned(),
        problem: "is not one EUI-64",
    };
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let entity = value.to_str().ok().and_then(|text| text.parse().ok());
            entity.map(Some).ok_or_else(malformed)
        }
        (Some(_), Some(_)) => Err(malformed()),
    }
}
