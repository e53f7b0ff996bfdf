//! The five services in one process, each on its own listener, with its own certificate and
//! database.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use flag_registry::Quotas;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use mesh_authz::InternalRole;
use mesh_rpc::{Tls, WebListener};
use mesh_store::Database;
use mesh_types::Clock;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::home::Folder;
use crate::service::Service;

/// Where the services listen.
#[derive(Debug, Clone)]
pub struct Listen {
    /// The address.
    pub host: String,
    /// The first of five ports in a row; 0 takes any that are free.
    pub first_port: u16,
    /// Where browsers find the reports, if anywhere.
    pub pages: Option<PagesAt>,
}

/// Where browsers find the reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PagesAt {
    /// Over TLS, for whoever has a certificate.
    WithCertificates(SocketAddr),
    /// On this machine alone, where everybody is the analyst.
    WithoutCertificates(SocketAddr),
}

impl PagesAt {
    async fn listen(self) -> Result<WebListener> {
        let (Self::WithCertificates(address) | Self::WithoutCertificates(address)) = self;
        let listener = TcpListener::bind(address).await;
        let listener =
            listener.with_context(|| format!("cannot listen on {address} for browsers"))?;
        Ok(match self {
            Self::WithCertificates(_) => WebListener::with_certificates(listener),
            Self::WithoutCertificates(_) => {
                WebListener::without_certificates(listener, InternalRole::Analyst)?
            }
        })
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            first_port: 0,
            pages: None,
        }
    }
}

/// What each service of a mesh is given.
#[derive(Clone)]
pub struct Site {
    /// Certificates and databases.
    pub folder: Folder,
    /// Where each service listens.
    pub addresses: BTreeMap<Service, String>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How much a supplier may repeat.
    pub quotas: Quotas,
}

impl Site {
    /// Runs one service on `listener` until `stop` is cancelled; says whether every call came to its
    /// end.
    pub fn run(
        &self,
        service: Service,
        tls: Tls,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> BoxFuture<'static, Result<bool>> {
        let database = self.folder.database(service);
        let audit = self.folder.audit_database(service);
        self.run_on(service, [database, audit], tls, listener, stop)
    }

    /// The same with its own database and that of its audit elsewhere than in the folder. classification has only
    /// the second.
    pub fn run_on(
        &self,
        service: Service,
        [database, audit]: [Database; 2],
        tls: Tls,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> BoxFuture<'static, Result<bool>> {
        let registration = self.address(Service::Registration);
        let flags = self.address(Service::FlagRegistry);
        let clock = Arc::clone(&self.clock);
        let stopped = stop.clone().cancelled_owned();
        // Each service has its own type of dependencies: one arm each.
        let run = match service {
            Service::Registration => {
                let mut deps = registration::Deps::new(database, tls);
                (deps.audit_database, deps.clock) = (audit, clock);
                registration::run(deps, listener, stopped).boxed()
            }
            Service::FlagRegistry => {
                let mut deps = flag_registry::Deps::new(database, registration, tls);
                (deps.audit_database, deps.clock) = (audit, clock);
                deps.quotas = self.quotas;
                flag_registry::run(deps, listener, stopped).boxed()
            }
            Service::Classification => {
                let mut deps = classification::Deps::new(audit, registration, flags, tls);
                deps.clock = clock;
                classification::run(deps, listener, stopped).boxed()
            }
            Service::CspNotification => {
                let mut deps = csp_notification::Deps::new(database, registration, flags, tls);
                (deps.audit_database, deps.clock) = (audit, clock);
                csp_notification::run(deps, listener, stopped).boxed()
            }
            Service::Reporting => {
                return self.reporting_on([database, audit], tls, (listener, None), stop);
            }
        };
        run.map(|ended| Ok(ended?.clean)).boxed()
    }

    /// reporting, with pages for browsers or without.
    fn reporting_on(
        &self,
        [database, audit]: [Database; 2],
        tls: Tls,
        (listener, pages): (TcpListener, Option<WebListener>),
        stop: CancellationToken,
    ) -> BoxFuture<'static, Result<bool>> {
        let registration = self.address(Service::Registration);
        let flags = self.address(Service::FlagRegistry);
        let mut deps = reporting::Deps::new(database, registration, flags, tls);
        (deps.audit_database, deps.clock) = (audit, Arc::clone(&self.clock));
        let run = reporting::run_with_pages(deps, listener, pages, stop.cancelled_owned());
        run.map(|ended| Ok(ended?.clean)).boxed()
    }

    fn address(&self, service: Service) -> &str {
        self.addresses.get(&service).map_or("", String::as_str)
    }
}

/// The running services.
pub struct Mesh {
    folder: Folder,
    addresses: BTreeMap<Service, String>,
    quotas: Quotas,
    tls: BTreeMap<Service, Tls>,
    pages: Option<SocketAddr>,
    stop: CancellationToken,
    running: Mutex<JoinSet<(Service, Result<bool>)>>,
    /// Holds the folder until every service has ended.
    _claim: File,
}

impl Mesh {
    /// Claims the folder, binds all listeners, notes their addresses in it, and starts the services.
    pub async fn start(folder: &Folder, listen: &Listen, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::start_with(folder, listen, clock, Quotas::default()).await
    }

    /// The same with other quotas than the usual ones.
    pub async fn start_with(
        folder: &Folder,
        listen: &Listen,
        clock: Arc<dyn Clock>,
        quotas: Quotas,
    ) -> Result<Self> {
        Self::start_by(folder, listen, |_| Arc::clone(&clock), quotas).await
    }

    /// The same with a clock for each service.
    pub async fn start_by(
        folder: &Folder,
        listen: &Listen,
        clock: impl Fn(Service) -> Arc<dyn Clock>,
        quotas: Quotas,
    ) -> Result<Self> {
        let claim = folder.claim()?;
        folder.make_databases().await?;
        mesh_rpc::share_files_among(Service::ALL.len());
        let mut listeners = BTreeMap::new();
        let mut addresses = BTreeMap::new();
        let mut tls = BTreeMap::new();
        for (index, service) in (0..).zip(Service::ALL) {
            let port = match listen.first_port {
                0 => 0,
                first => first
                    .checked_add(index)
                    .context("the ports run past 65535")?,
            };
            let listener = TcpListener::bind((listen.host.as_str(), port)).await;
            let listener = listener.with_context(|| {
                let host = &listen.host;
                format!("cannot listen on {host}:{port} (--host and --port name another place)")
            })?;
            addresses.insert(service, listener.local_addr()?.to_string());
            listeners.insert(service, listener);
            tls.insert(service, folder.tls(service.name())?);
        }
        let mut pages = match listen.pages {
            Some(pages) => Some(pages.listen().await?),
            None => None,
        };
        folder.write_addresses(&addresses)?;
        let mesh = Self {
            folder: folder.clone(),
            addresses,
            quotas,
            tls,
            pages: pages.as_ref().map(WebListener::address).transpose()?,
            stop: CancellationToken::new(),
            running: Mutex::new(JoinSet::new()),
            _claim: claim,
        };
        for (service, listener) in listeners {
            let pages = pages.take_if(|_| service == Service::Reporting);
            mesh.spawn(service, clock(service), (listener, pages))
                .await?;
        }
        Ok(mesh)
    }

    async fn spawn(
        &self,
        service: Service,
        clock: Arc<dyn Clock>,
        (listener, pages): (TcpListener, Option<WebListener>),
    ) -> Result<()> {
        let tls = self.tls(service);
        let tls = tls.context("a service has a certificate")?.clone();
        let site = Site {
            folder: self.folder.clone(),
            addresses: self.addresses.clone(),
            clock,
            quotas: self.quotas,
        };
        let stop = self.stop.clone();
        let run = match service {
            Service::Reporting => {
                let databases = [
                    self.folder.database(service),
                    self.folder.audit_database(service),
                ];
                site.reporting_on(databases, tls, (listener, pages), stop)
            }
            _ => site.run(service, tls, listener, stop),
        };
        let run = async move { (service, run.await) };
        self.running.lock().await.spawn(run);
        Ok(())
    }

    /// Where a service listens.
    #[must_use]
    pub fn address(&self, service: Service) -> &str {
        self.addresses.get(&service).map_or("", String::as_str)
    }

    /// Where browsers find the reports, if anywhere.
    #[must_use]
    pub const fn pages(&self) -> Option<SocketAddr> {
        self.pages
    }

    /// A service's certificate and whom it trusts, with the count of its callers' handshakes.
    #[must_use]
    pub fn tls(&self, service: Service) -> Option<&Tls> {
        self.tls.get(&service)
    }

    /// Resolves when a service ended although nobody told it to.
    pub async fn failed(&self) -> anyhow::Error {
        match self.running.lock().await.join_next().await {
            Some(Ok((service, Err(error)))) => error.context(format!("{} failed", service.name())),
            Some(Ok((service, Ok(_)))) => anyhow!("{} ended by itself", service.name()),
            Some(Err(error)) => anyhow::Error::new(error).context("a service panicked"),
            None => anyhow!("no service is running"),
        }
    }

    /// Tells all services to drain and waits for them; says whether every call came to its end.
    pub async fn stop(self) -> bool {
        self.stop.cancel();
        let mut clean = true;
        let mut running = self.running.into_inner();
        while let Some(ended) = running.join_next().await {
            match ended {
                Ok((_, Ok(drained))) => clean &= drained,
                Ok((service, Err(error))) => {
                    let error = format!("{error:#}");
                    tracing::error!(service = service.name(), error, "a service failed");
                    clean = false;
                }
                Err(error) => {
                    tracing::error!(%error, "a service panicked");
                    clean = false;
                }
            }
        }
        clean
    }
}
