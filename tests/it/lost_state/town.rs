//! The services of one folder, each of which can be stopped and started by itself.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Result;
use mesh_api::common::v1::{ErrorReason, Position};
use mesh_api::operations::v1::operations_service_client::OperationsServiceClient;
use mesh_api::operations::v1::{DatabaseCondition, GetStatusRequest};
use mesh_api::registration::v1::{ChangeSupplierRequest, PartyStatus, SetPartyStatusRequest};
use mesh_api::status::reason_of;
use mesh_store::{Accepted, Decision, Location, Resolve};
use mesh_testkit::{LIMIT, TempDir, temp_dir, wait_until};
use mesh_types::{Clock as _, SystemClock};
use mp169::clients::Clients;
use mp169::home::Folder;
use mp169::load::load;
use mp169::mesh::Site;
use mp169::sample::{self, Home, SampleParty};
use mp169::service::Service;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use super::files::{Copy, Database};
use super::silence::Change;
use crate::mesh::{everybody_knows, unlimited};
use crate::requests::{add, new_id, remove, rows};

/// How many homes the inventory has.
pub(super) const HOMES: u16 = 48;

/// The services, and the folder of their certificates and databases.
pub(super) struct Town {
    site: Site,
    ports: BTreeMap<Service, Port>,
    running: BTreeMap<Service, Running>,
    /// Whose databases are not in the folder.
    elsewhere: BTreeMap<Service, [mesh_store::Database; 2]>,
    /// What the registry has acknowledged of the flags, in order.
    changes: Mutex<Vec<Change>>,
    home: PathBuf,
    /// Goes away with the town.
    _home: Option<TempDir>,
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<bool>>,
}

impl Town {
    /// All services, with an inventory that all of them know and no flags.
    pub(super) async fn start() -> Self {
        let home = temp_dir();
        let town = Self::start_in(home.path()).await;
        Self {
            _home: Some(home),
            ..town
        }
    }

    /// The same with the registry's database on a server.
    pub(super) async fn with_registry_at(url: &str) -> Self {
        let home = temp_dir();
        let mut town = Self::at(home.path());
        let audit = town.folder().audit_database(Service::FlagRegistry);
        town.moves(Service::FlagRegistry, url, &audit.url);
        let town = town.begin().await;
        Self {
            _home: Some(home),
            ..town
        }
    }

    /// The same in a folder that is there.
    pub(super) async fn start_in(home: &Path) -> Self {
        Self::at(home).begin().await
    }

    /// Has a service find its own database and its audit's at these URLs.
    pub(super) fn moves(&mut self, service: Service, own: &str, audit: &str) {
        let databases = [own, audit].map(mesh_store::Database::existing_or_new);
        self.elsewhere.insert(service, databases);
    }

    /// Has all services find their databases in the folder again.
    pub(super) fn comes_back(&mut self) {
        self.elsewhere.clear();
    }

    async fn begin(mut self) -> Self {
        let town = &mut self;
        town.start_all().await;
        let inventory = rows(HOMES);
        let all = u64::try_from(inventory.len()).unwrap();
        let loaded = load(town.folder(), inventory, |_| {}).await.unwrap();
        assert_eq!(loaded.recorded, all, "{loaded}");
        town.everybody_knows_the_parties().await;
        // From now on a database that is not there is missed.
        town.site.folder = Folder::open(&town.home).unwrap();
        self
    }

    /// Waits until every service knows the parties.
    pub(super) async fn everybody_knows_the_parties(&self) {
        for party in sample::PARTIES {
            everybody_knows(self.folder(), party.id).await;
        }
    }

    /// No service yet.
    fn at(home: &Path) -> Self {
        mesh_rpc::share_files_among(Service::ALL.len());
        let folder = Folder::open_or_make(home).unwrap();
        let ports: BTreeMap<_, _> = Service::ALL
            .map(|service| (service, Port::reserve()))
            .into();
        let address = |(service, port): (&Service, &Port)| (*service, port.address.to_string());
        let addresses: BTreeMap<_, _> = ports.iter().map(address).collect();
        let site = Site {
            folder,
            addresses,
            clock: Arc::new(SystemClock),
            quotas: unlimited(),
        };
        let town = Self {
            site,
            ports,
            running: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            changes: Mutex::default(),
            home: home.to_owned(),
            _home: None,
        };
        town.listens();
        town
    }

    pub(super) const fn folder(&self) -> &Folder {
        &self.site.folder
    }

    /// The folder of certificates and databases.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// Has clients look for the services here, wherever they listened meanwhile.
    pub(super) fn listens(&self) {
        let addresses = &self.site.addresses;
        self.folder().write_addresses(addresses).unwrap();
    }

    /// Where a service listens.
    pub(super) fn address(&self, service: Service) -> SocketAddr {
        self.ports[&service].address
    }

    pub(super) fn database(&self, service: Service) -> Database {
        Database::of(&self.home, service)
    }

    /// The database of a service's audit.
    pub(super) fn audit(&self, service: Service) -> Database {
        Database::of_audit(&self.home, service)
    }

    /// Starts a service and waits until it serves.
    pub(super) async fn start_service(&mut self, service: Service) {
        self.launch(service);
        self.serves(service).await;
    }

    /// Starts all services and waits until they serve.
    pub(super) async fn start_all(&mut self) {
        for service in Service::ALL {
            self.launch(service);
        }
        for service in Service::ALL {
            self.serves(service).await;
        }
    }

    /// Stops all services.
    pub(super) async fn stop_all(&mut self) {
        for service in Service::ALL {
            self.stop(service).await;
        }
    }

    /// Starts a service that reaches `other` at an address of its own, and waits until it serves.
    pub(super) async fn start_by_way_of(
        &mut self,
        service: Service,
        other: Service,
        address: SocketAddr,
    ) {
        let mut site = self.site.clone();
        site.addresses.insert(other, address.to_string());
        self.launch_at(&site, service);
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

    /// Puts an older database of a service in place, with all that lay beside it, and waits until the service
    /// says why it does not serve. Gives what was there before.
    pub(super) async fn goes_back(&mut self, service: Service, older: &Copy, reason: &str) -> Copy {
        self.stop(service).await;
        let newest = self.database(service).copy();
        self.database(service).put_back(older);
        self.launch(service);
        self.fails(service, reason).await;
        newest
    }

    /// Starts a service that may not be able to serve.
    pub(super) fn launch(&mut self, service: Service) {
        let site = self.site.clone();
        self.launch_at(&site, service);
    }

    fn launch_at(&mut self, site: &Site, service: Service) {
        let listener = self.ports[&service].listen();
        let tls = self.folder().tls(service.name()).unwrap();
        let stop = CancellationToken::new();
        let run = match self.elsewhere.get(&service) {
            Some(databases) => site.run_on(service, databases.clone(), tls, listener, stop.clone()),
            None => site.run(service, tls, listener, stop.clone()),
        };
        let task = tokio::spawn(run);
        let before = self.running.insert(service, Running { stop, task });
        assert!(before.is_none(), "{} runs already", service.name());
    }

    /// What `mp169 up` says of a service whose start is refused for its database, which must stay as
    /// it is.
    pub(super) async fn refused(&mut self, service: Service) -> String {
        let database = self.database(service);
        self.refused_for(service, &database).await
    }

    /// The same where the start is refused for this database.
    pub(super) async fn refused_for(&mut self, service: Service, database: &Database) -> String {
        let before = database.evidence();
        // What the last start had opened before it was refused is given up a moment after it.
        let said = wait_until("the databases to be free", async || {
            let said = self.refusal(service).await;
            let in_use = said.contains("in use by another process");
            if in_use { Err(said) } else { Ok(said) }
        })
        .await;
        assert_eq!(said.lines().count(), 1, "{said}");
        let path = database.path().display().to_string();
        assert!(said.contains(&path), "{said}");
        let now = database.evidence();
        assert!(now == before, "{said}: something was changed");
        println!("{}: {said}", service.name());
        said
    }

    /// What a service says whose start is refused.
    async fn refusal(&mut self, service: Service) -> String {
        self.launch(service);
        let Running { task, .. } = self.running.remove(&service).unwrap();
        let ended = tokio::time::timeout(LIMIT, task).await;
        let refused = ended.expect("a start that is refused").unwrap();
        format!("{:#}", refused.unwrap_err())
    }

    /// Accepts what a service's database has lost, as `mp169 log accept-loss` does. The service must be
    /// stopped.
    pub(super) async fn accept_loss(&self, service: Service) -> Accepted {
        let at = match self.elsewhere.get(&service) {
            Some([own, _]) => own.url.parse().unwrap(),
            None => Location::from(self.database(service).path()),
        };
        let accepted = mesh_store::accept_loss(at, &decision(), Resolve::CarryOut).await;
        accepted.unwrap()
    }

    /// Waits until a service says that it serves.
    pub(super) async fn serves(&self, service: Service) {
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
        self.fails_for_one_of(service, &[reason]).await;
    }

    /// The same where more than one reason may be said first.
    pub(super) async fn fails_for_one_of(&self, service: Service, reasons: &[&str]) {
        let since = Instant::now();
        let reason = wait_until(
            &format!("{}: {reasons:?}", service.name()),
            async || match self.reason(service).await {
                Some(said) if reasons.contains(&&*said) => Ok(said),
                other => Err(format!("{other:?}")),
            },
        )
        .await;
        println!(
            "{} said {reason} after {:?}",
            service.name(),
            since.elapsed()
        );
    }

    /// Why a service says that it does not serve, if it answers and does say so.
    pub(super) async fn reason(&self, service: Service) -> Option<String> {
        let clients = Clients::of(self.folder(), "operator").unwrap();
        let mut health = clients.health(service).unwrap();
        let answer = health.check(HealthCheckRequest::default()).await.ok()?;
        let said = answer.metadata().get("mp169-health-reason")?;
        Some(said.to_str().unwrap().to_owned())
    }

    /// How a service says that its database is.
    pub(super) async fn condition(&self, service: Service) -> Result<DatabaseCondition, Status> {
        let clients = Clients::of(self.folder(), "operator").unwrap();
        let mut operations = OperationsServiceClient::new(clients.channel(service).unwrap());
        let answer = operations.get_status(GetStatusRequest {}).await?;
        Ok(answer.into_inner().database.unwrap().condition())
    }

    /// Whether a service that was started has ended by itself.
    pub(super) fn has_ended(&self, service: Service) -> bool {
        self.running[&service].task.is_finished()
    }

    /// Stops a service that may have ended by itself.
    pub(super) async fn end(&mut self, service: Service) {
        let running = self.running.remove(&service).unwrap();
        running.stop.cancel();
        let _ = running.task.await.unwrap();
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
        if answer.changed {
            self.now_has([home], true);
        }
        Ok((answer.position.unwrap(), answer.changed))
    }

    /// Lifts the flags of electricity meters, each of which changes its state.
    pub(super) async fn lift(&self, homes: impl IntoIterator<Item = u16>) {
        for home in homes.into_iter().map(Home::new) {
            let party = home.electricity().id;
            let mut flags = Clients::of(self.folder(), party).unwrap().flags().unwrap();
            let answer = flags.remove_flag(remove(home.esme(), party)).await;
            assert!(answer.unwrap().into_inner().changed, "{home:?}");
            self.now_has([home], false);
        }
    }

    /// Suspends a party.
    pub(super) async fn suspend(&self, party: SampleParty) {
        let operator = Clients::of(self.folder(), "operator").unwrap();
        let request = SetPartyStatusRequest {
            request_id: new_id(),
            party_id: party.id.to_owned(),
            status: PartyStatus::Suspended.into(),
            reason: "licence under review".to_owned(),
        };
        let mut parties = operator.parties().unwrap();
        parties.set_party_status(request).await.unwrap();
    }

    /// Changes the supplier of an electricity meter as of now.
    pub(super) async fn change_supplier(&self, home: Home, party: SampleParty) {
        let loader = Clients::of(self.folder(), "registration-data").unwrap();
        let request = ChangeSupplierRequest {
            request_id: new_id(),
            mpxn: home.import_mpan().unwrap().to_string(),
            party_id: party.id.to_owned(),
            start_time: None,
        };
        let mut devices = loader.devices().unwrap();
        devices.change_supplier(request).await.unwrap();
    }

    /// Notes that from now on the registry has it that these electricity meters are reduced, or that
    /// they are not.
    pub(super) fn now_has(&self, homes: impl IntoIterator<Item = Home>, reduced: bool) {
        let since = Instant::now();
        let changes = homes.into_iter().map(|home| Change {
            since,
            csp: home.csp(),
            device: home.esme().to_string(),
            reduced,
        });
        self.changes.lock().unwrap().extend(changes);
    }

    /// What the registry has had since when.
    pub(super) fn changes(&self) -> Vec<Change> {
        self.changes.lock().unwrap().clone()
    }
}

/// An operator's word.
pub(super) fn decision() -> Decision {
    Decision {
        by: "operator".to_owned(),
        reason: "a test".to_owned(),
        at: SystemClock.now(),
        seen: Vec::new(),
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
