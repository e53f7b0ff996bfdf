//! What does every service have, and in which order does that start and stop?

use std::sync::Arc;

use mesh_audit::{Audit, AuditTask, Recordings};
use mesh_authz::{AuthoritySource, AuthorizeLayer, Authorizer, Directory, Rules};
use mesh_follow::{FollowedLog, follow_directory};
use mesh_rpc::{
    ClientOptions, Drained, Draining, Health, MeshChannel, NotReady, ServeOptions, Tls, Web,
    connect, serve,
};
use mesh_store::fold::Folding;
use mesh_store::{Database, Store, StoreError, WriterTask};
use mesh_types::Clock;
use opentelemetry::metrics::Meter;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::background::{Background, understood, watch_health};
use crate::clock::{exchange_time, recording, watch_clock};
use crate::error::RunError;
use crate::operations::{Flagged, Followed, OPERATIONS, Operations};
use crate::state::{Compare, comparing, watch_state};
use crate::storage::{observe_heads, watch_storage};

/// What every service is given.
pub struct Given {
    /// The service's one name, such as `flag-registry`.
    pub service: &'static str,
    /// The full names, in the contracts, of what it serves besides what every service does.
    pub serves: &'static [&'static str],
    /// The contracts' descriptor set, which holds the rule of each RPC.
    pub contracts: &'static [u8],
    /// Our certificate, and whom we trust.
    pub tls: Tls,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The database of the audit.
    pub audit_database: Database,
}

/// The database of a service, and the task that writes to it.
#[derive(Debug)]
pub struct Storage {
    /// The database.
    pub store: Store,
    /// Ends before the database is closed.
    pub writer: WriterTask,
}

impl Storage {
    async fn close(self) {
        self.writer.shutdown().await;
        self.store.close().await;
    }
}

/// What every service has: the record of its calls, its directory of parties, its health, what
/// operators learn of it, and the tasks beside its server. The service adds what is its own, and then
/// has it [served](Base::serve).
pub struct Base {
    given: Given,
    rules: Rules,
    audit: Audit,
    audit_task: AuditTask,
    storage: Option<Storage>,
    directory: Directory,
    health: Health,
    draining: Draining,
    background: Background,
    called: Vec<MeshChannel>,
    followed: Vec<Followed>,
    compare: Option<Compare>,
    flagged: Option<Flagged>,
    web: Option<Web>,
}

impl Base {
    /// Reads the contracts, opens the database of the audit, and starts to watch the clock and the
    /// database. Without `storage` the service keeps none. If that fails the database is closed.
    pub async fn open(given: Given, storage: Option<Storage>) -> Result<Self, RunError> {
        let mut base = match Self::without_storage(given).await {
            Ok(base) => base,
            Err(error) => {
                if let Some(storage) = storage {
                    storage.close().await;
                }
                return Err(error);
            }
        };
        base.storage = storage;
        base.measure(&opentelemetry::global::meter("mesh-service"));
        let (service, clock) = (base.given.service, base.clock());
        base.spawn(watch_clock(service, clock, base.store(), base.stop()));
        if let Some(store) = base.store() {
            base.spawn(watch_storage(service, store, base.stop()));
        }
        Ok(base)
    }

    /// Has `meter` measure the databases.
    fn measure(&self, meter: &Meter) {
        let service = self.given.service;
        self.audit.database().measure(service, "audit", meter);
        if let Some(store) = self.store() {
            store.measure(service, "state", meter);
            observe_heads(service, &store, meter);
        }
    }

    async fn without_storage(given: Given) -> Result<Self, RunError> {
        let served = [given.serves, &[OPERATIONS, mesh_audit::SERVICE]].concat();
        let rules = Rules::read(given.contracts, &served)?;
        let recordings = Recordings::read(given.contracts, &served)?;
        let (service, clock) = (given.service, Arc::clone(&given.clock));
        let opened = Audit::open(service, &given.audit_database, recordings, clock).await;
        let (audit, audit_task) = opened.map_err(RunError::Audit)?;
        Ok(Self {
            rules,
            audit,
            audit_task,
            storage: None,
            directory: Directory::not_loaded(),
            health: Health::new(&served),
            draining: Draining::new(),
            background: Background::default(),
            called: Vec::new(),
            followed: Vec::new(),
            compare: None,
            flagged: None,
            web: None,
            given,
        })
    }

    /// The time.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.given.clock)
    }

    /// The parties, by which callers are recognised.
    #[must_use]
    pub fn directory(&self) -> Directory {
        self.directory.clone()
    }

    /// What health says of the service.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Whether the server ends.
    #[must_use]
    pub fn draining(&self) -> Draining {
        self.draining.clone()
    }

    /// Cancelled when the tasks beside the server are to end.
    #[must_use]
    pub fn stop(&self) -> CancellationToken {
        self.background.stop()
    }

    /// Runs a task beside the server that ends once [`Base::stop`] is cancelled.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.background.spawn(task);
    }

    /// The way to another service, which listens at `address` (`host:port`).
    pub fn call(&mut self, service: &'static str, address: &str) -> MeshChannel {
        let options = ClientOptions::new(service, address, self.given.tls.clone());
        let channel = connect(options.with_clock(self.clock()));
        self.called.push(channel.clone());
        channel
    }

    /// A log of the service `owner` that this one follows.
    pub fn followed(&mut self, owner: &'static str, log: &'static str) -> FollowedLog {
        let log = FollowedLog::new(self.given.service, log, self.clock());
        self.followed.push(Followed {
            owner,
            log: log.clone(),
        });
        log
    }

    /// Follows the log `parties` at registration, so that callers are recognised.
    pub fn follow_parties(&mut self, registration: &MeshChannel) {
        let log = self.followed("registration", "parties");
        self.spawn(follow_directory(
            registration.clone(),
            self.directory(),
            log,
            self.stop(),
        ));
    }

    /// Has the rows compared with the logs, which `begin` begins: now, daily, and when an operator asks.
    pub fn compare_state<B, F>(&mut self, begin: impl Fn() -> B + Send + Sync + 'static)
    where
        B: Future<Output = Result<Vec<F>, StoreError>> + Send + 'static,
        F: Folding + 'static,
    {
        if let Some(store) = self.store() {
            let compare = comparing(store, begin);
            self.spawn(watch_state(Arc::clone(&compare), self.stop()));
            self.compare = Some(compare);
        }
    }

    /// The service holds flags in memory: `count` says of how many Devices, once they are loaded.
    pub fn holds_flags(&mut self, count: impl Fn() -> Option<u64> + Send + Sync + 'static) {
        self.flagged = Some(Arc::new(count));
    }

    /// Serves pages for browsers beside the calls.
    pub fn serve_pages(&mut self, web: Web) {
        self.web = Some(web);
    }

    /// Says SERVING while callers can be recognised, calls are put on record, the logs that are followed
    /// by now can be understood, what is recorded gets the right time, and `able` says that the service
    /// can do its own.
    pub fn serve_while<F>(&self, able: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = Result<(), NotReady>> + Send + 'static,
    {
        let (audit, clock, store) = (self.audit.clone(), self.clock(), self.store());
        let followed = self.followed.clone();
        let all = move || {
            let (clock, store) = (Arc::clone(&clock), store.clone());
            let sound = audit.usable();
            let sound = sound.and_then(|()| {
                followed
                    .iter()
                    .try_for_each(|followed| understood(&followed.log))
            });
            let able = able();
            async move {
                sound?;
                if let Some(store) = &store {
                    recording(&*clock, store).await?;
                }
                able.await
            }
        };
        self.spawn(watch_health(
            self.health(),
            self.directory(),
            all,
            self.stop(),
        ));
    }

    /// Serves `routes`, and what every service serves, on `listener` until `shutdown` resolves; then
    /// drains. Whoever gives commands stops first, then the writer, then the databases.
    pub async fn serve(
        self,
        listener: TcpListener,
        routes: Routes,
        authority: impl AuthoritySource,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<Drained, RunError> {
        if !self.called.is_empty() {
            let called = self.called.clone();
            self.spawn(exchange_time(called, self.clock(), self.stop()));
        }
        let operations = Operations {
            service: self.given.service,
            clock: self.clock(),
            health: self.health(),
            tls: self.given.tls.clone(),
            store: self.store(),
            audit: self.audit.database().clone(),
            followed: self.followed,
            compare: self.compare.clone(),
            flagged: self.flagged.clone(),
            draining: self.draining.token(),
            checks: Arc::new(Semaphore::new(1)),
        };
        let routes = routes
            .add_service(operations.server())
            .add_service(self.audit.server(self.draining.token()));
        let authorizer = Authorizer::new(self.rules, self.directory, Arc::new(authority));
        let options = ServeOptions::new(
            self.given.service,
            listener,
            self.given.tls,
            AuthorizeLayer::new(authorizer),
            self.audit.journal(),
            self.health,
            self.draining,
        );
        let options = options.with_clock(self.given.clock).with_web(self.web);
        let served = serve(options, routes, shutdown).await;

        self.background.shutdown().await;
        if let Some(storage) = self.storage {
            storage.close().await;
        }
        self.audit_task.shutdown().await;
        Ok(served?)
    }

    fn store(&self) -> Option<Store> {
        let storage = self.storage.as_ref()?;
        Some(storage.store.clone())
    }
}
