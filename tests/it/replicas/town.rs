//! Two replicas of each service that keeps state, each a process of its own, on one PostgreSQL server.
//!
//! Where a replica listens stays the same when it is killed and started again: this process keeps the socket, and gives it to
//! each process that takes its place.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use mesh_store::Database;
use mesh_testkit::{TempDir, postgres, temp_dir, wait_until};
use mesh_types::SystemClock;
use mp169::home::Folder;
use mp169::load::load;
use mp169::mesh::Site;
use mp169::service::Service;
use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::mesh::{everybody_knows, unlimited};
use crate::requests::rows;

/// What a replica is told: which service it is, its folder, its databases, and where the services are that it calls.
const SERVICE: &str = "MP169_TEST_SERVICE";
const HOME: &str = "MP169_TEST_HOME";
const DATABASE: &str = "MP169_TEST_DATABASE";
const AUDIT: &str = "MP169_TEST_AUDIT";

/// How often a replica looks whether the test is still there.
const LOOK: Duration = Duration::from_millis(500);

pub(super) struct Town {
    server: postgres::Server,
    test: &'static str,
    databases: BTreeMap<Service, [postgres::Database; 2]>,
    /// The folders of the two sets of replicas. The second is a copy of the first, with other addresses.
    sets: [Folder; 2],
    replicas: Vec<Replica>,
    home: TempDir,
}

/// A process, and where it listens.
struct Replica {
    service: Service,
    home: PathBuf,
    listener: TcpListener,
    process: Option<Child>,
}

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Victim {
    /// The replica of this service in the first or the second set.
    Replica(Service, usize),
    /// All processes of the server.
    Server,
    /// The server, which lets nobody finish and starts again.
    Restarted,
}

impl Town {
    pub(super) async fn start(server: postgres::Server, test: &'static str) -> Self {
        let home = temp_dir();
        let first = home.path().join("first");
        let second = home.path().join("second");
        Folder::open_or_make(&first).unwrap();
        copy(&first, &second);
        let mut replicas = Vec::new();
        let mut sets = Vec::new();
        for folder in [first, second] {
            let mut addresses = BTreeMap::new();
            for service in Service::ALL {
                let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
                listener.set_nonblocking(true).unwrap();
                addresses.insert(service, address(&listener).to_string());
                replicas.push(Replica {
                    service,
                    home: folder.clone(),
                    listener,
                    process: None,
                });
            }
            let folder = Folder::open(&folder).unwrap();
            folder.write_addresses(&addresses).unwrap();
            sets.push(folder);
        }
        let databases = Service::ALL.map(|service| {
            let (own, audit) = (server.database(), server.database());
            (service, [own, audit])
        });
        let mut town = Self {
            server,
            test,
            databases: databases.into(),
            sets: sets.try_into().unwrap(),
            replicas,
            home,
        };
        for index in 0..town.replicas.len() {
            town.start_replica(index);
        }
        town.load().await;
        town
    }

    async fn load(&self) {
        let [first, _] = self.folders();
        // The same each time: a registration that begins a moment later would overlap the one that was recorded.
        let rows = rows(80);
        wait_until("the inventory to be loaded", async || {
            match load(first, rows.clone(), |_| {}).await {
                Ok(loaded) if loaded.refused == 0 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        for folder in self.folders() {
            everybody_knows(folder, mp169::sample::CSP_SOUTH.id).await;
        }
    }

    /// The folder of each set of replicas.
    pub(super) fn folders(&self) -> [&Folder; 2] {
        self.sets.each_ref()
    }

    fn start_replica(&mut self, index: usize) {
        let replica = &mut self.replicas[index];
        let [own, audit] = &self.databases[&replica.service];
        let listener = replica.listener.try_clone().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", self.test]);
        command.env(SERVICE, replica.service.name());
        command.env(HOME, &replica.home);
        command.env(DATABASE, own.url()).env(AUDIT, audit.url());
        command.stdin(Stdio::from(OwnedFd::from(listener)));
        let log = self.home.path().join(format!("{index}.log"));
        let log = std::fs::File::options().create(true).append(true).open(log);
        command.stdout(Stdio::null()).stderr(log.unwrap());
        replica.process = Some(command.kill_on_drop(true).spawn().unwrap());
    }

    pub(super) fn draw(&self, rng: &mut StdRng) -> Victim {
        // Replicas of classification share nothing.
        let stored = Service::ALL.into_iter();
        let stored: Vec<_> = stored
            .filter(|service| *service != Service::Classification)
            .collect();
        match rng.random_range(0..2 * stored.len() + 2) {
            0 => Victim::Server,
            1 => Victim::Restarted,
            drawn => Victim::Replica(stored[drawn / 2 - 1], drawn % 2),
        }
    }

    pub(super) async fn kill_and_restart(&mut self, victim: Victim) {
        match victim {
            Victim::Server | Victim::Restarted => {
                let server = self.server.clone();
                let restarted = tokio::task::spawn_blocking(move || {
                    if victim == Victim::Server {
                        server.kill();
                    } else {
                        server.stop();
                    }
                    server.start_again();
                });
                restarted.await.unwrap();
            }
            Victim::Replica(service, set) => {
                let home = self.home.path().join(["first", "second"][set]);
                let index = self
                    .replicas
                    .iter()
                    .position(|replica| replica.service == service && replica.home == home);
                let index = index.unwrap();
                let process = self.replicas[index].process.take();
                process.unwrap().kill().await.unwrap();
                self.start_replica(index);
            }
        }
    }

    /// Fails unless the rows of a log are numbered from 1 to `head`.
    pub(super) fn stored_is_one_to(&self, log: &str, head: u64) {
        let [flags, _] = &self.databases[&Service::FlagRegistry];
        let stored = flags.sql(&format!(
            "SELECT count(*), min(sequence), max(sequence) FROM log_event WHERE log = '{log}'"
        ));
        assert_eq!(stored, format!("{head}|1|{head}"));
    }

    /// Those that somebody uses: classification keeps nothing but its audit.
    fn databases(&self) -> impl Iterator<Item = &postgres::Database> {
        self.databases.iter().flat_map(|(service, [own, audit])| {
            let own = Some(own).filter(|_| *service != Service::Classification);
            own.into_iter().chain([audit])
        })
    }

    /// Fails unless the rows of every log of every database are numbered without a hole, and chained.
    pub(super) fn every_log_is_whole(&self) {
        for database in self.databases() {
            let broken = database.sql(
                "SELECT count(*) FROM (SELECT sequence, previous_hash, \
                 coalesce(lag(sequence) OVER w, 0) AS place, lag(hash) OVER w AS chained \
                 FROM log_event WINDOW w AS (PARTITION BY log ORDER BY sequence)) AS event \
                 WHERE sequence <> place + 1 OR previous_hash <> chained",
            );
            assert_eq!(broken, "0");
        }
    }
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().unwrap()
}

pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, to) = {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            (entry, to)
        };
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Whether this process is a replica that a [`Town`] started; then it has been one.
pub(super) async fn is_a_replica() -> bool {
    let Ok(name) = std::env::var(SERVICE) else {
        return false;
    };
    let service = Service::ALL
        .into_iter()
        .find(|service| service.name() == name);
    let service = service.unwrap();
    let folder = Folder::open(std::env::var(HOME).unwrap().as_ref()).unwrap();
    let database = |name| Database::existing_or_new(std::env::var(name).unwrap());
    let parent = std::os::unix::process::parent_id();
    let orphaned = async {
        while std::os::unix::process::parent_id() == parent {
            tokio::time::sleep(LOOK).await;
        }
    };
    let site = Site {
        addresses: Service::ALL
            .map(|service| (service, folder.address(service).unwrap()))
            .into(),
        clock: Arc::new(SystemClock),
        quotas: unlimited(),
        folder,
    };
    // A start is refused while the server is down. Whoever looks after a service starts it again.
    let served = async {
        loop {
            let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
            let listener = tokio::net::TcpListener::from_std(TcpListener::from(socket)).unwrap();
            let databases = [database(DATABASE), database(AUDIT)];
            let tls = site.folder.tls(service.name()).unwrap();
            let ended = site.run_on(service, databases, tls, listener, CancellationToken::new());
            eprintln!("{name}: {:?}", ended.await);
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = orphaned => true,
        () = served => true,
    }
}
