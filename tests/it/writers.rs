//! What is left of 64 writers at once, when commits fail halfway, callers leave, and the process is
//! killed again and again?
//!
//! Everything that was acknowledged, each request once, in a log without a hole; and everybody who
//! follows it has applied just that. The audits are whole, and have every read of a flag's past that was
//! answered.

mod reads;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use mesh_api::common::v1::{ErrorReason, Position};
use mesh_api::convert::timestamp_from_wire;
use mesh_api::flag_registry::v1 as flags;
use mesh_api::status::reason_of;
use mesh_store::offline::Offline;
use mesh_store::verify::Stamp;
use mesh_testkit::{temp_dir, wait_until};
use mp169::clients::Clients;
use mp169::home::Folder;
use mp169::load::load;
use mp169::sample::{CSP_NORTH, CSP_SOUTH, Home};
use prost::Message as _;
use tokio::process::Child;
use tonic::Status;

use crate::downstream;
use crate::engine::Databases;
use crate::process;
use crate::requests::{add, remove, rows};
use crate::tape::Tape;

use reads::Reads;

/// The test that a new process runs.
const TEST: &str = "writers::what_was_acknowledged_survives_once_and_in_order";
const WRITERS: usize = 64;
/// The first homes are special ones, whose meters cannot be flagged.
const FIRST_HOME: u16 = 7;
/// How many requests each writer has, one after the other.
const REQUESTS: usize = 6;
const ALL: usize = WRITERS * REQUESTS;
/// How many read meanwhile.
const READERS: usize = 4;
/// How often the process is killed.
const KILLS: usize = 4;
/// A caller that leaves does so within this time.
const PATIENCE: Duration = Duration::from_millis(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_once_and_in_order() {
    if process::is_the_mesh().await {
        return;
    }
    let home = temp_dir();
    let folder = Folder::open_or_make(home.path()).unwrap();
    let mut mesh = process::start(TEST, home.path(), &Databases::Files, true);
    load_all(&folder).await;
    let log = Tape::of_flags(&folder);
    let north = Tape::of_csp(&folder, CSP_NORTH.id, CSP_NORTH.csp);
    let south = Tape::of_csp(&folder, CSP_SOUTH.id, CSP_SOUTH.csp);

    let done = AtomicUsize::new(0);
    let homes = (FIRST_HOME..).map(Home::new).take(WRITERS);
    let writers = homes.map(|home| Writer::new(&folder, home).write(&done));
    let readers = (FIRST_HOME..).map(Home::new).take(READERS);
    let reads = Reads::new(&folder, readers);
    let killed = kill_and_restart(home.path(), &mut mesh, &done, &reads);
    let written = async { tokio::join!(join_all(writers), killed) };
    let (acknowledged, ()) = tokio::select! {
        written = written => written,
        () = reads.go_on() => unreachable!("readers never stop"),
    };
    let acknowledged: BTreeMap<_, _> = acknowledged.into_iter().flatten().collect();

    // As many events as requests: each had one effect.
    assert_eq!(acknowledged.len(), ALL);
    let (flags, devices) = downstream::heads(&folder).await;
    assert_eq!(flags.sequence, u64::try_from(ALL).unwrap());
    let events = log.up_to(flags.sequence).await;
    let told = events
        .iter()
        .map(|event| (event.request_id.clone(), event.sequence));
    assert_eq!(told.collect::<BTreeMap<_, _>>(), acknowledged);
    let csps = [(CSP_NORTH.csp, &north), (CSP_SOUTH.csp, &south)];
    downstream::agree(&folder, &events, csps, &flags, &devices).await;
}

/// Kills the process while writes are under way, looks at what it left behind, and starts another on
/// the same databases; the last one without faults.
async fn kill_and_restart(home: &Path, mesh: &mut Child, done: &AtomicUsize, reads: &Reads) {
    let mut read_before = 0;
    for kill in 1..=KILLS {
        wait_until("more writes to be acknowledged", async || {
            let done = done.load(Ordering::Relaxed);
            let enough = done >= ALL * kill / (KILLS + 1);
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
        reads.are_on_record(home).await;
        for service in ["registration", "flag-registry", "csp-notification"] {
            whole(&home.join(format!("{service}.db"))).await;
        }
        *mesh = process::start(TEST, home, &Databases::Files, kill < KILLS);
    }
}

/// Loads the inventory, again and again until no commit of it has failed.
async fn load_all(folder: &Folder) {
    wait_until("the inventory to be loaded", async || {
        let loaded = load(folder, rows(80), |_| {}).await;
        match loaded {
            Ok(loaded) if loaded.refused == 0 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// Fails unless every log in a database that nobody has open is whole.
async fn whole(database: &Path) {
    let mut file = Offline::open(database).await.unwrap();
    for log in file.verify(stamp, || {}).await.unwrap() {
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
struct Writer {
    clients: Clients,
    home: Home,
}

impl Writer {
    fn new(folder: &Folder, home: Home) -> Self {
        let clients = Clients::of(folder, home.electricity().id).unwrap();
        Self { clients, home }
    }

    /// Makes each request until it is acknowledged, and gives the events that they were told.
    async fn write(self, done: &AtomicUsize) -> BTreeMap<String, u64> {
        let mut acknowledged = BTreeMap::new();
        for number in 0..REQUESTS {
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
        let call = asked.send(&self.clients);
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

    /// Sends it on a connection of its own: where the services listen changes with every start.
    async fn send(&self, clients: &Clients) -> Result<Position, Status> {
        let client = clients.flags();
        let mut client = client.map_err(|error| Status::unavailable(error.to_string()))?;
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
