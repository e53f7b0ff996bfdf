//! What suppliers, the DSP and CSPs do while containers come and go, from a container beside them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use mesh_api::classification::v1::Freshness;
use mesh_api::common::v1::Position;
use mesh_api::flag_registry::v1::FlagEvent;
use mesh_api::flag_registry::v1::flag_service_client::FlagServiceClient;
use mesh_rpc::MeshChannel;
use mesh_testkit::wait_until;
use mp169::clients::Clients;
use mp169::home::Folder;
use mp169::sample::{self, ALBION, BRIGHT, CSP_NORTH, CSP_SOUTH, Home, TOWNS};
use mp169::service::Service;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::docker::{ACKNOWLEDGED, FAILED};
use super::{Summary, utc};
use crate::downstream::{self, Read};
use crate::requests::{add, remove};
use crate::tape::Tape;

const HOMES: u16 = 200;
/// The first homes are special ones, whose meters cannot be flagged.
const FIRST_HOME: u16 = 7;
/// A flag may be lifted ten times in a day.
const LIFTS: usize = 9;
const BETWEEN_WRITES: Duration = Duration::from_secs(10);
const BETWEEN_READS: Duration = Duration::from_millis(25);
const READERS: usize = 4;

/// How calls ended that were not answered.
#[derive(Default)]
struct Failures(std::sync::Mutex<BTreeMap<String, usize>>);

impl Failures {
    fn note(&self, status: &Status, begun: Instant) {
        let said = match status.code() {
            Code::Unavailable => "UNAVAILABLE".to_owned(),
            code => {
                let said = format!("{code:?} {}", status.message());
                println!("{FAILED}{} after {:?}: {said}", utc(), begun.elapsed());
                said
            }
        };
        *self.0.lock().unwrap().entry(said).or_default() += 1;
    }
}

/// One channel for each supplier of the homes' electricity: there may be so many connections of a party and no more.
struct Channels(BTreeMap<&'static str, FlagServiceClient<MeshChannel>>);

impl Channels {
    fn new(folder: &Folder) -> Self {
        let each = [ALBION, BRIGHT].map(|supplier| {
            let clients = Clients::of(folder, supplier.id).unwrap();
            (supplier.id, clients.flags().unwrap())
        });
        Self(each.into())
    }

    fn of(&self, supplier: &str) -> FlagServiceClient<MeshChannel> {
        self.0[supplier].clone()
    }
}

/// Calls until the container is told to stop; then looks at what has become of it all.
pub(super) async fn run() -> Summary {
    let folder = Folder::open(Path::new(&std::env::var("MP169_HOME").unwrap())).unwrap();
    let town = rand::random_range(TOWNS);
    let rows = sample::town(town, HOMES, sample::SINCE).unwrap();
    mp169::load::load(&folder, rows, |_| {}).await.unwrap();
    let flags = Tape::of_flags(&folder);
    let north = Tape::of_csp(&folder, CSP_NORTH.id, CSP_NORTH.csp);
    let south = Tape::of_csp(&folder, CSP_SOUTH.id, CSP_SOUTH.csp);

    let (stop, failures) = (CancellationToken::new(), Failures::default());
    let count = AtomicUsize::new(0);
    let homes: Vec<_> = (FIRST_HOME..HOMES)
        .map(|number| Home::in_town(town, number))
        .collect();
    let classified = AtomicUsize::new(0);
    let channels = Channels::new(&folder);
    let writers = homes
        .iter()
        .map(|&home| write(&channels, home, &stop, &failures, &count));
    let readers = (0..READERS).map(|_| read(&folder, &homes, &stop, &failures, &classified));
    let told_to_stop = async {
        let mut terminate = signal(SignalKind::terminate()).unwrap();
        terminate.recv().await.unwrap();
        stop.cancel();
    };
    let (acknowledged, _, ()) = tokio::join!(join_all(writers), join_all(readers), told_to_stop);
    let acknowledged = acknowledged.concat();

    let (head, devices) = downstream::heads(&folder).await;
    let events = flags.up_to(head.sequence).await;
    each_stands_once(&events, &acknowledged);
    let csps = [(CSP_NORTH.csp, &north), (CSP_SOUTH.csp, &south)];
    downstream::agree(&folder, &events, csps, &head, &devices).await;
    let fresh = each_classifier_is_fresh(&folder, &homes, &head).await;
    let failures = failures.0.lock().unwrap().clone();
    Summary {
        acknowledged: acknowledged.len(),
        classified: classified.load(Ordering::Relaxed),
        events: events.len(),
        streams_ended: [north.ends(), south.ends()],
        classifiers: fresh.len(),
        slowest: fresh.into_iter().max().unwrap_or_default(),
        failures,
    }
}

/// Sets and lifts one flag, each time until that is acknowledged. Gives request and event of each.
async fn write(
    channels: &Channels,
    home: Home,
    stop: &CancellationToken,
    failures: &Failures,
    count: &AtomicUsize,
) -> Vec<(String, u64)> {
    let party = home.electricity().id;
    let mut client = channels.of(party);
    let mut pace = tokio::time::interval(BETWEEN_WRITES);
    let mut acknowledged = Vec::new();
    for number in 0..2 * LIFTS {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = pace.tick() => {}
        }
        let adds = (number % 2 == 0).then(|| add(home.esme(), party));
        let removes = remove(home.esme(), party);
        let position = wait_until("a write to be acknowledged", async || {
            let begun = Instant::now();
            let answer = match &adds {
                Some(request) => client
                    .add_flag(request.clone())
                    .await
                    .map(|a| a.into_inner().position),
                None => client
                    .remove_flag(removes.clone())
                    .await
                    .map(|a| a.into_inner().position),
            };
            answer.inspect_err(|status| failures.note(status, begun))
        })
        .await;
        let id = adds.map_or(removes.request_id, |request| request.request_id);
        acknowledged.push((id, position.unwrap().sequence));
        println!(
            "{ACKNOWLEDGED}{}",
            count.fetch_add(1, Ordering::Relaxed) + 1
        );
    }
    acknowledged
}

/// Asks what becomes of reads, whatever the answer.
async fn read(
    folder: &Folder,
    homes: &[Home],
    stop: &CancellationToken,
    failures: &Failures,
    classified: &AtomicUsize,
) {
    let clients = Clients::of(folder, "dsp").unwrap();
    let client = clients.classification().unwrap();
    let mut pace = tokio::time::interval(BETWEEN_READS);
    for number in 0.. {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = pace.tick() => {}
        }
        let home: Home = homes[number % homes.len()];
        let begun = Instant::now();
        match downstream::classify_with(&client, [home.esme().to_string()], None).await {
            Ok(_) => {
                classified.fetch_add(1, Ordering::Relaxed);
            }
            Err(status) => failures.note(&status, begun),
        }
    }
}

/// Fails unless each request that was acknowledged is the event that was told, and no other.
fn each_stands_once(events: &[FlagEvent], acknowledged: &[(String, u64)]) {
    let mut stands: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (event, sequence) in events.iter().zip(1..) {
        stands.entry(&event.request_id).or_default().push(sequence);
    }
    for (id, sequence) in acknowledged {
        assert_eq!(stands.get(&**id), Some(&vec![*sequence]), "{id}");
    }
}

/// Waits until each process of classification decides by the last event and calls it fresh; says how long
/// each took.
async fn each_classifier_is_fresh(
    folder: &Folder,
    homes: &[Home],
    head: &Position,
) -> Vec<Duration> {
    let address = folder.address(Service::Classification).unwrap();
    let found: Vec<SocketAddr> = tokio::net::lookup_host(address).await.unwrap().collect();
    let begun = Instant::now();
    let each = found.into_iter().map(|replica| async move {
        let scratch = tempfile::tempdir().unwrap();
        let alone = at(folder, scratch.path(), replica);
        wait_until("a classifier to be fresh", async || {
            let meters = homes.iter().map(|home| home.esme().to_string());
            let decided = downstream::classify(&alone, meters, Some(head.clone())).await;
            let decided: Vec<(Read, Freshness)> = decided.map_err(|status| status.to_string())?;
            match decided
                .iter()
                .find(|(_, fresh)| *fresh != Freshness::Current)
            {
                None => Ok(begun.elapsed()),
                Some(stale) => Err(format!("{replica}: {stale:?}")),
            }
        })
        .await
    });
    join_all(each).await
}

/// The same mesh, with one process for classification.
fn at(folder: &Folder, scratch: &Path, replica: SocketAddr) -> Folder {
    let home = std::env::var("MP169_HOME").unwrap();
    for part in ["authority", "certificates", "denied.toml"] {
        symlink(Path::new(&home).join(part), scratch.join(part)).unwrap();
    }
    let alone = Folder::open(scratch).unwrap();
    let mut addresses = BTreeMap::new();
    for service in Service::ALL {
        addresses.insert(service, folder.address(service).unwrap());
    }
    addresses.insert(Service::Classification, replica.to_string());
    alone.write_addresses(&addresses).unwrap();
    alone
}
