//! Who is calling?
//!
//! The peer's certificate says so, and nothing else: it is read once per connection, and each
//! request gets the result as [`mesh_authz::Identity`] in its extensions. Metadata that claims an
//! identity is removed. A caller without a certificate passes without an identity; the
//! authorization layer lets such a call through only to methods that are open to all.
//!
//! A call lasts no longer than the connection that it came by: see `standing.rs`.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::HeaderName;
use http::{HeaderMap, Request};
use mesh_api::common::v1::ErrorReason;
use mesh_authz::{Identity, ON_BEHALF_OF};
use mesh_types::Clock;
use tonic::Code;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::clock_word::{answered, hear_caller};
use crate::methods::Methods;
use crate::peer::Peer;
use crate::rpc::{Rpc, RpcFuture, answer};
use crate::status::refuse;

/// Headers by which proxies pass on an identity that they checked. There is no such proxy here.
const CLAIMS: [&str; 5] = [
    "client-cert",
    "client-cert-chain",
    "x-forwarded-client-cert",
    "x-forwarded-user",
    "x-remote-user",
];

/// Beginnings of further such headers, and of the mesh's own names. One of these is no claim of
/// identity: by [`ON_BEHALF_OF`] a gateway says whom it acts for, and the authorization layer checks
/// that against the party directory.
const CLAIM_PREFIXES: [&str; 7] = [
    "mp169-",
    "ssl-client-",
    "x-amzn-mtls-",
    "x-client-cert",
    "x-mp169-",
    "x-spiffe-",
    "x-ssl-client-",
];

/// Puts the caller's identity into each request.
#[derive(Debug, Clone)]
pub(crate) struct IdentityLayer {
    /// What it is told of the clocks of callers, and what answers say of the time.
    pub(crate) clock: Arc<dyn Clock>,
}

/// The service of [`IdentityLayer`].
#[derive(Debug, Clone)]
pub(crate) struct Identify<S> {
    inner: S,
    clock: Arc<dyn Clock>,
}

impl<S> Layer<S> for IdentityLayer {
    type Service = Identify<S>;

    fn layer(&self, inner: S) -> Identify<S> {
        let clock = self.clock.clone();
        Identify { inner, clock }
    }
}

impl<S: Rpc> Service<Request<Body>> for Identify<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = RpcFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> RpcFuture {
        let peer = request.extensions().get::<Peer>();
        let standing = peer.map(Peer::standing).cloned().unwrap_or_default();
        if let Some(refusal) = standing.refusal() {
            return answer(refusal);
        }
        let caller = match peer.and_then(Peer::identity).transpose() {
            Ok(identity) => {
                hear_caller(&*self.clock, identity, request.headers());
                identity.map(|identity| request.extensions_mut().insert(identity));
                identity
            }
            Err(error) => {
                tracing::info!(%error, "certificate refused");
                let status = mesh_api::status::refusal(
                    Code::Unauthenticated,
                    ErrorReason::IdentityNotRecognised,
                    error.to_string(),
                );
                return answer(refuse(status));
            }
        };
        request.extensions_mut().insert(standing.ending().clone());
        strip_claims(request.headers_mut());
        let method = Methods::of_mesh().get(request.uri().path());
        let streams = method.is_none_or(|method| method.server_streaming);
        let answer = standing.bound(Box::pin(self.inner.call(request)), streams);
        // Nobody else compares clocks, and most calls are somebody else's.
        match caller {
            Some(Identity::Internal(role)) if role.is_service() => {
                answered(self.clock.clone(), answer)
            }
            _ => answer,
        }
    }
}

fn strip_claims(headers: &mut HeaderMap) {
    let claims: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_claim(name.as_str()))
        .cloned()
        .collect();
    for name in claims {
        tracing::debug!(%name, "removed a claim of identity from the metadata");
        headers.remove(name);
    }
}

fn is_claim(name: &str) -> bool {
    name != ON_BEHALF_OF
        && (CLAIMS.contains(&name) || CLAIM_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_of_identity_are_removed_and_nothing_else() {
        let mut headers = HeaderMap::new();
        let kept = [ON_BEHALF_OF, "traceparent", "grpc-timeout", "x-request-id"];
        let removed = [
            "x-forwarded-client-cert",
            "x-mp169-identity",
            "x-mp169-on-behalf-of",
            "mp169-party",
            "mp169-on-behalf-of-party",
            "x-spiffe-id",
            "x-ssl-client-s-dn",
            "client-cert",
        ];
        for name in kept.into_iter().chain(removed) {
            headers.append(name, "x".parse().unwrap());
            headers.append(name, "y".parse().unwrap());
        }
        strip_claims(&mut headers);
        for name in kept {
            assert_eq!(headers.get_all(name).iter().count(), 2, "{name}");
        }
        for name in removed {
            assert!(!headers.contains_key(name), "{name}");
        }
    }
}
