//! What is left when two replicas of each service write to one server's databases, and processes of theirs and of the server's
//! are killed at random?
//!
//! Everything that was acknowledged, each request once whichever replica was asked, in logs without a hole; and
//! everybody who follows them has applied just that.
//!
//! Two short rounds; `MP169_ROUNDS=50` runs so many, with more writers. `MP169_SEED` repeats the choices of a run.

pub(crate) mod beside;
mod pages;
mod town;
mod writers;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use mesh_testkit::wait_until;
use mp169::sample::{CSP_NORTH, CSP_SOUTH};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::downstream;
use crate::tape::Tape;
use town::{Town, Victim};
use writers::Writers;

/// The test that a new process runs.
const TEST: &str = "replicas::what_was_acknowledged_stands_once_whoever_is_killed";
/// Tells the seed of a run that is to be repeated.
const SEED: &str = "MP169_SEED";
/// How many rounds there are; more than the usual ones are large.
const ROUNDS: &str = "MP169_ROUNDS";
const USUAL_ROUNDS: usize = 2;
/// How many are killed in a round.
const KILLS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_stands_once_whoever_is_killed() {
    if town::is_a_replica().await {
        return;
    }
    let Some(server) = mesh_testkit::postgres::Server::start() else {
        return;
    };
    let rounds = number(ROUNDS).unwrap_or(USUAL_ROUNDS);
    let seed = number(SEED).unwrap_or_else(rand::random);
    println!("{SEED}={seed} repeats the choices of this run");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut town = Town::start(server, TEST).await;
    let logs = town.folders().map(Tape::of_flags);
    let [first, second] = town.folders();
    let north = Tape::of_csp(first, CSP_NORTH.id, CSP_NORTH.csp);
    let south = Tape::of_csp(second, CSP_SOUTH.id, CSP_SOUTH.csp);

    let many = if rounds > USUAL_ROUNDS { 64 } else { 8 };
    let writers = Writers::new(town.folders(), many);
    let mut acknowledged = BTreeMap::new();
    println!("round | killed | events | log | seconds");
    for round in 1..=rounds {
        let began = Instant::now();
        let done = AtomicUsize::new(0);
        let written = writers.write(rng.random(), &done);
        let killed = kill(&mut town, &mut rng, &done, writers.requests());
        let (new, killed) = tokio::join!(written, killed);
        let events = new.len();
        acknowledged.extend(new);

        // Each request that was acknowledged is one event, and there are no others.
        let head = u64::try_from(acknowledged.len()).unwrap();
        for log in &logs {
            let told = log.up_to(head).await;
            let told = told
                .iter()
                .map(|event| (event.request_id.clone(), event.sequence));
            assert_eq!(told.collect::<BTreeMap<_, _>>(), acknowledged);
        }
        town.stored_is_one_to("flags", head);
        let seconds = began.elapsed().as_secs_f64();
        println!("{round} | {killed:?} | {events} | 1..{head} | {seconds:.1}");
    }

    let folder = town.folders()[0];
    let (flags, devices) = downstream::heads(folder).await;
    let events = logs[0].up_to(flags.sequence).await;
    let csps = [(CSP_NORTH.csp, &north), (CSP_SOUTH.csp, &south)];
    for folder in town.folders() {
        downstream::agree(folder, &events, csps, &flags, &devices).await;
    }
    town.every_log_is_whole();
}

fn number<T: std::str::FromStr>(variable: &str) -> Option<T> {
    let told = std::env::var(variable).ok()?;
    told.parse().ok()
}

/// Kills processes while writes are under way, each as soon as so many have been acknowledged as was drawn for it.
async fn kill(
    town: &mut Town,
    rng: &mut StdRng,
    done: &AtomicUsize,
    requests: usize,
) -> Vec<Victim> {
    let mut killed = Vec::new();
    for kill in 0..KILLS {
        let earliest = requests * kill / KILLS;
        let enough = rng.random_range(earliest..requests * (kill + 1) / KILLS);
        wait_until("more writes to be acknowledged", async || {
            let done = done.load(Ordering::Relaxed);
            if done >= enough { Ok(()) } else { Err(done) }
        })
        .await;
        let victim = town.draw(rng);
        town.kill_and_restart(victim).await;
        killed.push(victim);
    }
    killed
}
