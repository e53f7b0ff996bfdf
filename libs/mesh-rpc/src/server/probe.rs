//! How are health checks answered?
//!
//! As `proto/grpc/health/v1/health.proto` has it. tonic-health's own service ends a watch of a name that it
//! does not know, where the contract has it stay open, and has no `List`.

use std::pin::Pin;

use futures::{Stream, stream};
use mesh_api::common::v1::ErrorReason;
use tokio::sync::watch;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Code, Request, Response, Status};

use super::health::{Health, NotReady, State};
use crate::health_api::health_check_response::ServingStatus;
use crate::health_api::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse, health_server,
};

/// The longest name that is remembered while somebody watches it; no service has a longer one. Anybody
/// may watch, and must not be able to have much kept.
const LONGEST_NAME: usize = 256;

/// Why the server is not serving, in the response metadata of a check.
const REASON: &str = "mp169-health-reason";

/// Answers from the state of a server.
#[derive(Debug)]
pub(super) struct Probe(Health);

/// What one watch knows.
struct Watched {
    state: watch::Receiver<State>,
    /// `None` of a name that no service can have.
    service: Option<Box<str>>,
    told: Option<ServingStatus>,
}

impl Probe {
    pub(super) const fn new(health: Health) -> Self {
        Self(health)
    }
}

#[tonic::async_trait]
impl health_server::Health for Probe {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let (status, reason) = {
            let health = self.0.watch();
            let state = health.borrow();
            (state.of(&request.get_ref().service), state.not_serving())
        };
        if status == ServingStatus::ServiceUnknown {
            let (code, reason) = (Code::NotFound, ErrorReason::NotFound);
            let message = "the server has no service of this name";
            return Err(mesh_api::status::refusal(code, reason, message));
        }
        let mut response = Response::new(answer(status));
        say_why(&mut response, reason);
        Ok(response)
    }

    /// A server of the mesh has a handful of services, far fewer than the contract allows.
    async fn list(
        &self,
        _request: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        let (names, health) = (self.0.services(), self.0.watch());
        // All of one moment.
        let state = health.borrow();
        let names = std::iter::once("").chain(names);
        let statuses = names.map(|name| (name.to_owned(), answer(state.of(name))));
        let mut response = Response::new(HealthListResponse {
            statuses: statuses.collect(),
        });
        say_why(&mut response, state.not_serving());
        Ok(response)
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let service = request.into_inner().service;
        let watched = Watched {
            state: self.0.watch(),
            service: (service.len() <= LONGEST_NAME).then(|| service.into()),
            told: None,
        };
        let answers = stream::unfold(watched, |mut watched| async move {
            let status = watched.next().await?;
            Some((Ok(answer(status)), watched))
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

impl Watched {
    /// The next status that was not told yet; `None` once the server drains and has said so. It is
    /// asked for when there is room to send it.
    async fn next(&mut self) -> Option<ServingStatus> {
        loop {
            let (status, draining) = {
                let state = self.state.borrow_and_update();
                let service = self.service.as_deref();
                let unknown = ServingStatus::ServiceUnknown;
                let status = service.map_or(unknown, |service| state.of(service));
                (status, state.is_draining())
            };
            if self.told != Some(status) {
                self.told = Some(status);
                return self.told;
            }
            if draining {
                return None;
            }
            self.state.changed().await.ok()?;
        }
    }
}

fn say_why<T>(response: &mut Response<T>, reason: Option<NotReady>) {
    // What is not ASCII stays unsaid: the status itself is what counts.
    let reason = reason.and_then(|reason| AsciiMetadataValue::try_from(reason.as_str()).ok());
    if let Some(reason) = reason {
        response.metadata_mut().insert(REASON, reason);
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}
