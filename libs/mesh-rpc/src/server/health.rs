//! Can the server answer, and since when does somebody know?
//!
//! One state, of which readers see the last and never a queue: whoever is slow misses what was over
//! before it looked.

use std::sync::Arc;

use tokio::sync::watch;
use tonic_health::pb::health_check_response::ServingStatus;

/// The health of one server, under the empty name and under each of its services' names.
///
/// It starts as NOT_SERVING; a service calls [`Health::set_ready`] when it can answer. Once the
/// server drains it stays NOT_SERVING. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Health(Arc<watch::Sender<State>>);

/// What is known of the server.
#[derive(Debug)]
pub(super) struct State {
    services: Vec<&'static str>,
    ready: bool,
    draining: bool,
}

impl Health {
    /// `services` are full proto names, such as `mp169.flag_registry.v1.FlagService`: all that the
    /// server serves besides what every server does.
    #[must_use]
    pub fn new(services: &[&'static str]) -> Self {
        let state = State {
            services: services.to_vec(),
            ready: false,
            draining: false,
        };
        Self(Arc::new(watch::Sender::new(state)))
    }

    /// One more service, known from now on.
    pub fn offer(&self, service: &'static str) {
        self.0.send_modify(|state| state.services.push(service));
    }

    /// Whether the service can answer now. Has no effect any more once the server drains.
    pub fn set_ready(&self, ready: bool) {
        // Said again and again while nothing changes: watchers sleep on.
        self.0.send_if_modified(|state| {
            let before = std::mem::replace(&mut state.ready, ready);
            before != ready
        });
    }

    /// Whether health checks are told that the server is serving.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.0.borrow().is_serving()
    }

    /// The names of the services, in the order in which they were given.
    pub(super) fn services(&self) -> Vec<&'static str> {
        self.0.borrow().services.clone()
    }

    pub(super) fn drain(&self) {
        self.0.send_modify(|state| state.draining = true);
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

    const fn is_serving(&self) -> bool {
        self.ready && !self.draining
    }
}
