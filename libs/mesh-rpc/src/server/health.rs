//! What are health checks told?

use std::sync::Arc;

use tokio::sync::Mutex;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// The health of one server, under the empty name and under each of its services' names.
///
/// It starts as NOT_SERVING; a service calls [`Health::set_ready`] when it can answer. Once the
/// server drains it stays NOT_SERVING. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Health {
    reporter: HealthReporter,
    services: Arc<[&'static str]>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    ready: bool,
    draining: bool,
}

impl Health {
    /// `services` are full proto names, such as `mp169.flag_registry.v1.FlagService`.
    pub async fn new(services: &[&'static str]) -> Self {
        let health = Self {
            reporter: HealthReporter::new(),
            services: services.into(),
            state: Arc::default(),
        };
        health.report(&State::default()).await;
        health
    }

    /// Whether the service can answer now. Has no effect any more once the server drains.
    pub async fn set_ready(&self, ready: bool) {
        let mut state = self.state.lock().await;
        state.ready = ready;
        self.report(&state).await;
    }

    /// Whether health checks are told that the server is serving.
    pub async fn is_serving(&self) -> bool {
        self.state.lock().await.is_serving()
    }

    pub(super) async fn drain(&self) {
        let mut state = self.state.lock().await;
        state.draining = true;
        self.report(&state).await;
    }

    pub(super) fn reporter(&self) -> HealthReporter {
        self.reporter.clone()
    }

    /// Called with the state locked, so that reports come in the order of changes.
    async fn report(&self, state: &State) {
        let status = if state.is_serving() {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        let whole_server = "";
        for service in std::iter::once(&whole_server).chain(self.services.iter()) {
            self.reporter.set_service_status(service, status).await;
        }
    }
}

impl State {
    const fn is_serving(&self) -> bool {
        self.ready && !self.draining
    }
}
