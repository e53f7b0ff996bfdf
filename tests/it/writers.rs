//! What is left of 64 writers at once, when commits fail halfway, callers leave, and the process is
//! killed again and again?
//!
//! Everything that was acknowledged, each request once, in a log without a hole; and everybody who
//! follows it has applied just that. The audits are whole, and have every read of a flag's past that was
//! answered.

mod reads;
mod registry;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use mesh_api::common::v1::{ErrorReason, Position};
use mesh_api::convert::timestamp_from_wire;
use mesh_api::flag_registry::v1 as flags;
use mesh_api::flag_registry::v1::flag_service_client::FlagServiceClient;
use mesh_api::status::reason_of;
use mesh_rpc::MeshChannel;
use mesh_store::Location;
use mesh_store::offline::Offline;
use mesh_store::verify::Stamp;
use mesh_testkit::{TempDir, temp_dir, wait_until};
use mp169::home::Folder;
use mp169::load::load;
use mp169::sample::{CSP_NORTH, CSP_SOUTH, Home};
use mp169::service::Service;
use prost::Message as _;
use tokio::process::Child;
use tonic::Status;

use crate::downstream;
use crate::engine::{Databases, on_each_engine};
use crate::process;
use crate::requests::{add, remove, rows};
use crate::tape::Tape;

use reads::Reads;
use registry::Registry;

/// The test that a new process runs, wherever its databases are.
const TEST: &str = "writers::what_was_acknowledged_survives_once_and_in_order::on_sqlite";
const WRITERS: usize = 64;
/// The first homes are special ones, whose meters cannot be flagged.
const FIRST_HOME: u16 = 7;
/// How many read meanwhile.
const READERS: usize = 4;
/// Whose logs are looked at when the process is killed.
const STORED: [Service; 3] = [
    Service::Registration,
    Service::FlagRegistry,
    Service::CspNotification,
];
/// A caller that leaves does so within this time.
const PATIENCE: Duration = Duration::from_millis(60);

on_each_engine!(what_was_acknowledged_survives_once_and_in_order);

async fn what_was_acknowledged_survives_once_and_in_order(databases: Databases) {
    if process::is_the_mesh().await {
        return;
    }
    let run = Run::new(databases);
    let mut mesh = run.start(true);
    let folder = &run.folder;
    load_all(folder).await;
    let log = Tape::of_flags(folder);
    let north = Tape::of_csp(folder, CSP_NORTH.id, CSP_NORTH.csp);
    let south = Tape::of_csp(folder, CSP_SOUTH.id, CSP_SOUTH.csp);

    let done = AtomicUsize::new(0);
    let registry = Registry::of(folder);
    let homes = (FIRST_HOME..).map(Home::new).take(WRITERS);
    let writers = homes.map(|home| {
        let registry = &registry;
        Writer { registry, home }.write(run.requests, &done)
    });
    let readers = (FIRST_HOME..).map(Home::new).take(READERS);
    let reads = Reads::new(&registry, readers);
    let killed = run.kill_and_restart(&mut mesh, &done, &reads);
    let written = async { tokio::join!(join_all(writers), killed) };
    let (acknowledged, ()) = tokio::select! {
        written = written => written,
        () = reads.go_on() => unreachable!("readers never stop"),
    };
    let acknowledged: BTreeMap<_, _> = acknowledged.into_iter().flatten().collect();

    // As many events as requests: each had one effect.
    assert_eq!(acknowledged.len(), run.all());
    let (flags, devices) = downstream::heads(folder).await;
    assert_eq!(flags.sequence, u64::try_from(run.all()).unwrap());
    let events = log.up_to(flags.sequence).await;
    let told = events
        .iter()
        .map(|event| (event.request_id.clone(), event.sequence));
    assert_eq!(told.collect::<BTreeMap<_, _>>(), acknowledged);
    let csps = [(CSP_NORTH.csp, &north), (CSP_SOUTH.csp, &south)];
    downstream::agree(folder, &events, csps, &flags, &devices).await;
}

/// Where it happens, and how much.
struct Run {
    folder: Folder,
    /// How many requests each writer has, one after the other.
    requests: usize,
    /// How often the process is killed.
    kills: usize,
    databases: Databases,
    home: TempDir,
}

impl Run {
    fn new(databases: Databases) -> Self {
        // On a server a start and a commit take longer; what fails and is killed is the same.
        let (requests, kills) = match databases {
            Databases::Files => (6, 4),
            Databases::Server(_) => (3, 2),
        };
        let home = temp_dir();
        Self {
            folder: databases.folder(home.path()),
            requests,
            kills,
            databases,
            home,
        }
    }

    /// How many requests all writers have.
    fn all(&self) -> usize {
        WRITERS * self.requests
    }

    fn start(&self, faulty: bool) -> Child {
        process::start(TEST, self.home.path(), &self.databases, faulty)
    }

    /// Kills the process while writes are under way, looks at what it left behind, and starts another on
    /// the same databases; the last one without faults.
    async fn kill_and_restart(&self, mesh: &mut Child, done: &AtomicUsize, reads: &Reads<'_>) {
        let mut read_before = 0;
        for kill in 1..=self.kills {
            wait_until("more writes to be acknowledged", async || {
                let done = done.load(Ordering::Relaxed);
                let enough = done >= self.all() * kill / (self.kills + 1);
                let reads = reads.answered();
                if enough && reads > read_before {
                    Ok(())
                } else {
                    Err(format!("{done} writes, {reads} reads"))
                }
            })
            .await;
            mesh.kill().await.unwrap();
            read_before = reads.answered();
            reads.are_on_record(&self.folder).await;
            for service in STORED {
                whole(&self.folder.database(service).url.parse().unwrap()).await;
            }
            *mesh = self.start(kill < self.kills);
        }
    }
}

/// Loads the inventory, again and again until no commit of it has failed.
async fn load_all(folder: &Folder) {
    // The same each time: a registration that begins a moment later would overlap the one that was recorded.
    let rows = rows(80);
    wait_until("the inventory to be loaded", async || {
        let loaded = load(folder, rows.clone(), |_| {}).await;
        match loaded {
            Ok(loaded) if loaded.refused == 0 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// Fails unless every log in a database that nobody has open is whole.
async fn whole(database: &Location) {
    let mut database = Offline::open(database).await.unwrap();
    for log in database.verify(stamp, || {}).await.unwrap() {
        assert!(log.found.is_ok(), "{log:?}");
    }
}

/// Number and time, which every kind of event has in the same fields.
fn stamp(event: &[u8]) -> Option<Stamp> {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Stamped {
        #[prost(uint64, tag = "1")]
        sequence: u64,
        #[prost(message, optional, tag = "2")]
        recorded_time: Option<prost_types::Timestamp>,
    }
    let stamped = Stamped::decode(event).ok()?;
    Some(Stamp {
        sequence: stamped.sequence,
        recorded_time: timestamp_from_wire(stamped.recorded_time.as_ref()?).ok()?,
    })
}

/// Sets and lifts the flag of one meter.
struct Writer<'a> {
    registry: &'a Registry,
    home: Home,
}

impl Writer<'_> {
    /// Makes each request until it is acknowledged, and gives the events that they were told.
    async fn write(self, requests: usize, done: &AtomicUsize) -> BTreeMap<String, u64> {
        let mut acknowledged = BTreeMap::new();
        for number in 0..requests {
            let asked = Asked::new(number, self.home);
            let position = wait_until("a write to be acknowledged", async || {
                self.attempt(&asked).await
            })
            .await;
            let again = wait_until("the same answer", async || self.attempt(&asked).await).await;
            assert_eq!(again, position, "a retry had another answer");
            acknowledged.insert(asked.id(), position.sequence);
            done.fetch_add(1, Ordering::Relaxed);
        }
        acknowledged
    }

    /// Every other time the caller leaves early.
    async fn attempt(&self, asked: &Asked) -> Result<Position, Status> {
        let patience = PATIENCE.mul_f64(rand::random_range(0.0..=2.0));
        let mut client = self.registry.client(self.home.electricity().id)?;
        let call = asked.send(&mut client);
        let answer = if patience < PATIENCE {
            let left = tokio::time::timeout(patience, call).await;
            left.unwrap_or_else(|_| Err(Status::cancelled("the caller has left")))
        } else {
            call.await
        };
        answer.inspect_err(|status| assert!(may_pass(status), "{status:?}"))
    }
}

/// Whether a refusal may come of faults and of a mesh that is being started.
fn may_pass(status: &Status) -> bool {
    !matches!(
        reason_of(status),
        Some(
            ErrorReason::FieldInvalid
                | ErrorReason::RequestIdReused
                | ErrorReason::NotResponsibleSupplier
                | ErrorReason::PreconditionsNotMet
        )
    )
}

/// A request, the same however often it is sent.
enum Asked {
    Add(flags::AddFlagRequest),
    Remove(flags::RemoveFlagRequest),
}

impl Asked {
    /// Most change the flag; some only record the preference.
    fn new(number: usize, home: Home) -> Self {
        let (meter, party) = (home.esme(), home.electricity().id);
        if number % 3 == 2 {
            Self::Remove(remove(meter, party))
        } else {
            Self::Add(add(meter, party))
        }
    }

    fn id(&self) -> String {
        match self {
            Self::Add(request) => request.request_id.clone(),
            Self::Remove(request) => request.request_id.clone(),
        }
    }

    async fn send(&self, client: &mut FlagServiceClient<MeshChannel>) -> Result<Position, Status> {
        let position = match self {
            Self::Add(request) => {
                let answer = client.add_flag(request.clone()).await?;
                answer.into_inner().position
            }
            Self::Remove(request) => {
                let answer = client.remove_flag(request.clone()).await?;
                answer.into_inner().position
            }
        };
        Ok(position.unwrap())
    }
}
