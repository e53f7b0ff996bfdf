//! The services of one folder, each of which can be stopped and started by itself.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use flag_registry::Quotas;
use mesh_api::common::v1::{ErrorReason, Position};
use mesh_api::status::reason_of;
use mesh_testkit::{TempDir, temp_dir, wait_until};
use mesh_types::SystemClock;
use mp169::clients::Clients;
use mp169::home::Folder;
use mp169::load::load;
use mp169::mesh::Site;
use mp169::sample::{self, Home};
use mp169::service::Service;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use super::files::{Copy, Database};
use crate::mesh::everybody_knows;
use crate::requests::{add, remove, rows};

/// How many homes the inventory has.
const HOMES: u16 = 48;

/// The services, and the folder of their certificates and databases.
pub(super) struct Town {
    site: Site,
    ports: BTreeMap<Service, Port>,
    running: BTreeMap<Service, Running>,
    home: TempDir,
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<bool>>,
}

impl Town {
    /// All services, with an inventory that all of them know and no flags.
    pub(super) async fn start() -> Self {
        let mut town = Self::at(temp_dir());
        for service in Service::ALL {
            town.launch(service);
        }
        for service in Service::ALL {
            town.serves(service).await;
        }
        let inventory = rows(HOMES);
        let all = u64::try_from(inventory.len()).unwrap();
        let loaded = load(town.folder(), inventory, |_| {}).await.unwrap();
        assert_eq!(loaded.recorded, all, "{loaded}");
        for party in sample::PARTIES {
            everybody_knows(town.folder(), party.id).await;
        }
        town
    }

    /// No service yet.
    fn at(home: TempDir) -> Self {
        mesh_rpc::share_files_among(Service::ALL.len());
        let folder = Folder::open_or_make(home.path()).unwrap();
        let ports: BTreeMap<_, _> = Service::ALL
            .map(|service| (service, Port::reserve()))
            .into();
        let address = |(service, port): (&Service, &Port)| (*service, port.address.to_string());
        let addresses: BTreeMap<_, _> = ports.iter().map(address).collect();
        folder.write_addresses(&addresses).unwrap();
        let most = NonZeroU32::MAX;
        let site = Site {
            folder,
            addresses,
            clock: Arc::new(SystemClock),
            quotas: Quotas {
                device_lifts: most,
                device_repeats: most,
                supplier_lifts: most,
                supplier_repeats: most,
            },
        };
        Self {
            site,
            ports,
            running: BTreeMap::new(),
            home,
        }
    }

    pub(super) const fn folder(&self) -> &Folder {
        &self.site.folder
    }

    pub(super) fn database(&self, service: Service) -> Database {
        Database::of(self.home.path(), service)
    }

    /// Starts a service and waits until it serves.
    pub(super) async fn start_service(&mut self, service: Service) {
        self.launch(service);
        self.serves(service).await;
    }

    /// Stops a service, all of whose calls must come to their end.
    pub(super) async fn stop(&mut self, service: Service) {
        let running = self.running.remove(&service).unwrap();
        running.stop.cancel();
        assert!(running.task.await.unwrap().unwrap(), "calls were cut off");
    }

    /// A copy of a service's database as it is now. The service goes on.
    pub(super) async fn copy(&mut self, service: Service) -> Copy {
        self.stop(service).await;
        let copy = self.database(service).copy();
        self.start_service(service).await;
        copy
    }

    /// Starts a service that may not be able to serve.
    pub(super) fn launch(&mut self, service: Service) {
        let listener = self.ports[&service].listen();
        let tls = self.folder().tls(service.name()).unwrap();
        let stop = CancellationToken::new();
        let run = self.site.run(service, tls, listener, stop.clone());
        let task = tokio::spawn(run);
        let before = self.running.insert(service, Running { stop, task });
        assert!(before.is_none(), "{} runs already", service.name());
    }

    /// Waits until a service says that it serves.
    async fn serves(&self, service: Service) {
        let clients = Clients::of(self.folder(), "operator").unwrap();
        let mut health = clients.health(service).unwrap();
        wait_until(&format!("{} to serve", service.name()), async || {
            let answer = health.check(HealthCheckRequest::default()).await?;
            match answer.get_ref().status() {
                ServingStatus::Serving => Ok(()),
                other => Err(Status::unavailable(other.as_str_name())),
            }
        })
        .await;
    }

    /// Waits until a service says that it does not serve, and why.
    pub(super) async fn fails(&self, service: Service, reason: &str) {
        let clients = Clients::of(self.folder(), "operator").unwrap();
        let mut health = clients.health(service).unwrap();
        let since = Instant::now();
        wait_until(&format!("{}: {reason}", service.name()), async || {
            let answer = health.check(HealthCheckRequest::default()).await?;
            let said = answer.metadata().get("mp169-health-reason");
            match said.map(|said| said.to_str().unwrap()) {
                Some(said) if said == reason => Ok(()),
                other => Err(Status::unavailable(format!("{other:?}"))),
            }
        })
        .await;
        println!(
            "{} said {reason} after {:?}",
            service.name(),
            since.elapsed()
        );
    }

    /// Waits until a supplier is refused its own meter for this reason.
    pub(super) async fn refuses(&self, home: Home, reason: ErrorReason) {
        wait_until(&format!("{reason:?}"), async || {
            match self.try_set(home).await {
                Err(status) if reason_of(&status) == Some(reason) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// Sets the flags of electricity meters, each of which changes its state.
    pub(super) async fn set(&self, homes: impl IntoIterator<Item = u16>) {
        for home in homes.into_iter().map(Home::new) {
            assert!(self.try_set(home).await.unwrap().1, "{home:?}");
        }
    }

    /// Sets the flag of an electricity meter; gives the event, and whether the state changed.
    pub(super) async fn try_set(&self, home: Home) -> Result<(Position, bool), Status> {
        let party = home.electricity().id;
        let mut flags = Clients::of(self.folder(), party).unwrap().flags().unwrap();
        let answer = flags.add_flag(add(home.esme(), party)).await?.into_inner();
        Ok((answer.position.unwrap(), answer.changed))
    }

    /// Lifts the flags of electricity meters, each of which changes its state.
    pub(super) async fn lift(&self, homes: impl IntoIterator<Item = u16>) {
        for home in homes.into_iter().map(Home::new) {
            let party = home.electricity().id;
            let mut flags = Clients::of(self.folder(), party).unwrap().flags().unwrap();
            let answer = flags.remove_flag(remove(home.esme(), party)).await;
            assert!(answer.unwrap().into_inner().changed, "{home:?}");
        }
    }
}

/// A port of this machine that nobody else is given, whether anybody listens there or not.
struct Port {
    address: SocketAddr,
    /// Bound, and never listens.
    _reserved: TcpSocket,
}

impl Port {
    fn reserve() -> Self {
        let any = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        let reserved = Self::bind(any.into());
        Self {
            address: reserved.local_addr().unwrap(),
            _reserved: reserved,
        }
    }

    fn listen(&self) -> TcpListener {
        Self::bind(self.address).listen(1_024).unwrap()
    }

    fn bind(address: SocketAddr) -> TcpSocket {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        socket
    }
}
