//! Can the server answer, and if not, why?
//!
//! One state, of which readers see the last and never a queue: whoever is slow misses what was over
//! before it looked.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::health_api::health_check_response::ServingStatus;

/// Why a server cannot do its job: a short constant word such as `directory-not-loaded`, and a colon
/// and what it is about where that helps, such as `log-went-back: flags`.
///
/// Anybody may read it, so it names no party and no Device, and holds nothing that a driver said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotReady(Cow<'static, str>);

impl NotReady {
    /// Nothing has been said yet.
    const STARTING: Self = Self(Cow::Borrowed("starting"));
    /// The server has been told to stop.
    const DRAINING: Self = Self(Cow::Borrowed("draining"));

    /// For this reason.
    #[must_use]
    pub fn because(reason: impl Into<Cow<'static, str>>) -> Self {
        Self(reason.into())
    }

    /// The reason.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The health of one server, under the empty name and under each of its services' names.
///
/// It starts as NOT_SERVING; a service calls [`Health::set`] when it can answer, and again whenever
/// that changes. Once the server drains it stays NOT_SERVING. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Health(Arc<watch::Sender<State>>);

/// What is known of the server.
#[derive(Debug)]
pub(super) struct State {
    services: Vec<&'static str>,
    ready: Result<(), NotReady>,
    draining: bool,
    /// Since when it is so.
    since: Instant,
}

impl Health {
    /// `services` are full proto names, such as `mp169.flag_registry.v1.FlagService`: all that the
    /// server serves besides what every server does.
    #[must_use]
    pub fn new(services: &[&'static str]) -> Self {
        let state = State {
            services: services.to_vec(),
            ready: Err(NotReady::STARTING),
            draining: false,
            since: Instant::now(),
        };
        Self(Arc::new(watch::Sender::new(state)))
    }

    /// Whether the service can answer now. Has no effect any more once the server drains.
    pub fn set(&self, ready: Result<(), NotReady>) {
        // Said again and again while nothing changes: watchers sleep on.
        self.0.send_if_modified(|state| {
            let news = state.ready != ready;
            state.ready = ready;
            if news {
                state.since = Instant::now();
            }
            news
        });
    }

    /// Has metrics tell whether `service` is serving.
    pub(super) fn observe(&self, service: &'static str) {
        let asked = Arc::downgrade(&self.0);
        let service = [KeyValue::new("mp169.service", service)];
        opentelemetry::global::meter("mesh-rpc")
            .u64_observable_gauge("mp169.server.serving")
            .with_description("1 while health checks are told SERVING, otherwise 0")
            .with_callback(move |gauge| {
                if let Some(state) = asked.upgrade() {
                    let serving = state.borrow().is_serving();
                    gauge.observe(serving.into(), &service);
                }
            })
            .build();
    }

    /// Whether health checks are told that the server is serving.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.0.borrow().is_serving()
    }

    /// Why the server is not serving; `None` if it is.
    #[must_use]
    pub fn not_serving(&self) -> Option<NotReady> {
        self.0.borrow().not_serving()
    }

    /// How long health says what it says.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        self.0.borrow().since.elapsed()
    }

    /// The names of the services, in the order in which they were given.
    pub(super) fn services(&self) -> Vec<&'static str> {
        self.0.borrow().services.clone()
    }

    pub(super) fn drain(&self) {
        self.0.send_modify(|state| {
            state.draining = true;
            state.since = Instant::now();
        });
    }

    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.0.subscribe()
    }
}

impl State {
    /// What is told about a name.
    pub(super) fn of(&self, service: &str) -> ServingStatus {
        let whole_server = service.is_empty();
        if !whole_server && !self.services.contains(&service) {
            ServingStatus::ServiceUnknown
        } else if self.is_serving() {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        }
    }

    pub(super) const fn is_draining(&self) -> bool {
        self.draining
    }

    /// Why the server is not serving; `None` if it is.
    pub(super) fn not_serving(&self) -> Option<NotReady> {
        match &self.ready {
            _ if self.draining => Some(NotReady::DRAINING),
            Ok(()) => None,
            Err(reason) => Some(reason.clone()),
        }
    }

    const fn is_serving(&self) -> bool {
        self.ready.is_ok() && !self.draining
    }
}
