//! The whole mesh in this process, with services that a test can stop and start again one by one,
//! each where it listened before.

use std::collections::BTreeMap;
use std::sync::Arc;

use flag_registry::Quotas;
use mesh_api::common::v1::ErrorReason;
use mesh_api::registration::v1 as wire;
use mesh_api::status::reason_of;
use mesh_testkit::{TempDir, temp_dir, wait_until};
use mesh_types::{Clock, SystemClock};
use mp169::clients::Clients;
use mp169::home::Folder;
use mp169::load::{Loaded, load};
use mp169::sample;
use mp169::service::Service;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use crate::engine::Databases;
use crate::mesh::listed_services;

/// Five services, their folder, and where they listen.
pub(crate) struct Town {
    folder: Folder,
    addresses: BTreeMap<Service, String>,
    running: Mutex<BTreeMap<Service, Running>>,
    clock: Arc<dyn Clock>,
    quotas: Quotas,
    /// Go before the folder.
    _databases: Databases,
    _scratch: TempDir,
}

struct Running {
    stop: oneshot::Sender<()>,
    /// Whether every call came to its end.
    ended: JoinHandle<bool>,
}

impl Town {
    /// Starts all services on free ports, with nothing recorded.
    pub(crate) async fn start(databases: Databases) -> Self {
        Self::with(Arc::new(SystemClock), Quotas::default(), databases).await
    }

    /// The same, with services that go by `clock`, and with quotas of flags.
    pub(crate) async fn with(clock: Arc<dyn Clock>, quotas: Quotas, databases: Databases) -> Self {
        let scratch = temp_dir();
        let folder = databases.folder(scratch.path());
        folder.make_databases().await.unwrap();
        let mut town = Self {
            folder,
            addresses: BTreeMap::new(),
            running: Mutex::default(),
            clock,
            quotas,
            _scratch: scratch,
            _databases: databases,
        };
        let mut listeners = Vec::new();
        for service in Service::ALL {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            town.addresses.insert(service, address);
            listeners.push((service, listener));
        }
        town.folder.write_addresses(&town.addresses).unwrap();
        for (service, listener) in listeners {
            town.run(service, listener).await;
        }
        for service in Service::ALL {
            town.serves(service).await;
        }
        town
    }

    async fn run(&self, service: Service, listener: TcpListener) {
        let tls = self.folder.tls(service.name()).unwrap();
        let database = self.folder.database(service);
        let registration = self.addresses[&Service::Registration].clone();
        let flags = self.addresses[&Service::FlagRegistry].clone();
        let clock = Arc::clone(&self.clock);
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            let _ = stopped.await;
        };
        let ended = match service {
            Service::Registration => {
                let mut deps = registration::Deps::new(database, tls);
                deps.clock = clock;
                tokio::spawn(async {
                    registration::run(deps, listener, stopped)
                        .await
                        .unwrap()
                        .clean
                })
            }
            Service::FlagRegistry => {
                let mut deps = flag_registry::Deps::new(database, &registration, tls);
                deps.clock = clock;
                deps.quotas = self.quotas;
                tokio::spawn(async {
                    flag_registry::run(deps, listener, stopped)
                        .await
                        .unwrap()
                        .clean
                })
            }
            Service::Classification => {
                let mut deps = classification::Deps::new(
                    self.folder.audit_database(service),
                    &registration,
                    &flags,
                    tls,
                );
                deps.clock = clock;
                tokio::spawn(async {
                    classification::run(deps, listener, stopped)
                        .await
                        .unwrap()
                        .clean
                })
            }
            Service::CspNotification => {
                let mut deps = csp_notification::Deps::new(database, &registration, &flags, tls);
                deps.clock = clock;
                tokio::spawn(async {
                    csp_notification::run(deps, listener, stopped)
                        .await
                        .unwrap()
                        .clean
                })
            }
            Service::Reporting => {
                let mut deps = reporting::Deps::new(database, &registration, &flags, tls);
                deps.clock = clock;
                tokio::spawn(async { reporting::run(deps, listener, stopped).await.unwrap().clean })
            }
        };
        self.running
            .lock()
            .await
            .insert(service, Running { stop, ended });
    }

    /// Stops one service in good order.
    pub(crate) async fn stop(&self, service: Service) {
        let running = self.running.lock().await.remove(&service).unwrap();
        running.stop.send(()).unwrap();
        assert!(
            running.ended.await.unwrap(),
            "{} cut calls off",
            service.name()
        );
    }

    /// Starts a service again, on its database and at its address.
    pub(crate) async fn start_again(&self, service: Service) {
        let listener = TcpListener::bind(&*self.addresses[&service]).await.unwrap();
        self.run(service, listener).await;
        self.serves(service).await;
    }

    /// Waits until the service's health says SERVING.
    async fn serves(&self, service: Service) {
        let mut health = self.clients("operator").health(service).unwrap();
        wait_until(&format!("{} to serve", service.name()), async || {
            let answer = health.check(HealthCheckRequest::default()).await;
            match answer.map(|answer| answer.into_inner().status()) {
                Ok(ServingStatus::Serving) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// Where certificates, databases and addresses are.
    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The services as the holder of the certificate named `identity` sees them.
    pub(crate) fn clients(&self, identity: &str) -> Clients {
        Clients::of(&self.folder, identity).unwrap()
    }

    /// Loads rows, and waits until every service recognises the parties among them.
    pub(crate) async fn load(&self, rows: Vec<wire::InventoryRow>) -> Loaded {
        let loaded = load(&self.folder, rows, |_| {}).await.unwrap();
        for service in Service::ALL {
            let channel = || self.clients(sample::CSP_SOUTH.id).channel(service).unwrap();
            wait_until("every service to know the parties", async || {
                // Whoever may not ask is known.
                match listed_services(channel()).await {
                    Err(status) if reason_of(&status) != Some(ErrorReason::RoleNotPermitted) => {
                        Err(status)
                    }
                    Ok(_) | Err(_) => Ok(()),
                }
            })
            .await;
        }
        loaded
    }
}
