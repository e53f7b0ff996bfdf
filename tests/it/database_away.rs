//! The database server goes away under the running mesh, and comes back: what do callers get meanwhile, and
//! does everybody go on by themselves?

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use mesh_api::classification::v1::Freshness;
use mesh_api::flag_registry::v1::GetFlagRequest;
use mesh_api::status::reason_of;
use mesh_testkit::postgres::Server;
use mesh_testkit::wait_until;
use mp169::sample::{CSP_NORTH, CSP_SOUTH, Home};
use mp169::service::Service;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::downstream::{self, Read, classify};
use crate::engine::Databases;
use crate::mesh::TestMesh;
use crate::requests::{add, remove, rows};
use crate::tape::Tape;

/// Who keeps something, and says so when it cannot.
const STORED: [Service; 4] = [
    Service::Registration,
    Service::FlagRegistry,
    Service::CspNotification,
    Service::Reporting,
];

/// The first homes are special ones, whose meters cannot be flagged.
const FIRST: u16 = 7;

/// Who cannot do its job says so within this time.
const TOLD: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_answer_is_told_and_everybody_goes_on_when_it_does() {
    let Some(server) = Server::start() else {
        return;
    };
    let mesh = loaded(&server).await;
    let paused = server.pause();
    mesh.is_cut_off().await;
    drop(paused);
    mesh.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_stopped_or_killed_is_told_and_everybody_goes_on_when_it_is_back() {
    let Some(server) = Server::start() else {
        return;
    };
    let mesh = loaded(&server).await;
    server.stop();
    mesh.is_cut_off().await;
    server.start_again();
    mesh.goes_on().await;
    server.kill();
    mesh.is_cut_off().await;
    server.start_again();
    mesh.goes_on().await;
}

/// How often the server restarts under writes.
const RESTARTS: usize = 4;
/// How many write at a time, each about a meter of its own.
const WRITERS: u16 = 24;
/// How many acknowledged writes show that the mesh goes on.
const MORE: usize = 40;

/// A write is not kept waiting by a restart, nor answered with a failure that a caller may not repeat.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_while_a_server_restarts_is_unavailable_at_worst() {
    let Some(server) = Server::start() else {
        return;
    };
    let town = loaded(&server).await;
    let (done, stop) = (AtomicUsize::new(0), CancellationToken::new());
    let homes = (FIRST..FIRST + WRITERS).map(Home::new);
    let writing = join_all(homes.map(|home| town.write(home, &done, &stop)));
    let restarting = async {
        for _ in 0..=RESTARTS {
            let before = done.load(Ordering::Relaxed);
            wait_until("writes to go on", async || {
                let done = done.load(Ordering::Relaxed);
                if done >= before + MORE {
                    Ok(())
                } else {
                    Err(done)
                }
            })
            .await;
            let server = server.clone();
            let restarted = tokio::task::spawn_blocking(move || {
                server.stop();
                server.start_again();
            });
            restarted.await.unwrap();
        }
        stop.cancel();
    };
    let (failures, ()) = tokio::join!(writing, restarting);
    let failures = failures.concat();
    assert!(!failures.is_empty(), "no write met a restart");
    let worse: Vec<&Status> = failures
        .iter()
        .filter(|status| status.code() != Code::Unavailable)
        .collect();
    assert!(worse.is_empty(), "{worse:#?}");
    town.mesh.serves(Service::FlagRegistry).await;
    town.everybody_agrees().await;
}

/// A mesh with a flagged meter, on a server of its own.
struct Town {
    mesh: TestMesh,
    flagged: Home,
}

async fn loaded(server: &Server) -> Town {
    let mesh = TestMesh::without_quotas(Databases::Server(server.databases())).await;
    mesh.load(rows(FIRST + WRITERS)).await;
    mesh.knows(CSP_SOUTH.id).await;
    let town = Town {
        mesh,
        flagged: Home::new(8),
    };
    town.set(town.flagged).await.unwrap();
    town.everybody_agrees().await;
    town
}

impl Town {
    async fn set(&self, home: Home) -> Result<(), Status> {
        let party = home.electricity().id;
        let mut flags = self.mesh.clients(party).flags().unwrap();
        flags.add_flag(add(home.esme(), party)).await.map(drop)
    }

    /// Sets and lifts a flag until `stop`, and gives how writes ended that were not acknowledged.
    async fn write(&self, home: Home, done: &AtomicUsize, stop: &CancellationToken) -> Vec<Status> {
        let party = home.electricity().id;
        let mut flags = self.mesh.clients(party).flags().unwrap();
        let mut failures = Vec::new();
        for number in 0_usize.. {
            if stop.is_cancelled() {
                break;
            }
            let answer = if number.is_multiple_of(2) {
                flags.add_flag(add(home.esme(), party)).await.map(drop)
            } else {
                flags
                    .remove_flag(remove(home.esme(), party))
                    .await
                    .map(drop)
            };
            match answer {
                Ok(()) => {
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Err(status) => failures.push(status),
            }
        }
        failures
    }

    async fn get(&self, home: Home) -> Result<(), Status> {
        let mut flags = self.mesh.clients("operator").flags().unwrap();
        let request = GetFlagRequest {
            device_id: home.esme().to_string(),
            ..Default::default()
        };
        flags.get_flag(request).await.map(drop)
    }

    /// Waits until all who keep something say that they cannot, and looks at what callers get then.
    async fn is_cut_off(&self) {
        let since = Instant::now();
        for service in STORED {
            let what = format!("{} to say that its database is away", service.name());
            wait_until(&what, async || self.says_so(service).await).await;
            let took = since.elapsed();
            println!("{} said so after {took:?}", service.name());
            assert!(took < TOLD, "{} said so after {took:?}", service.name());
        }
        // Nobody waits for an answer that does not come.
        for refused in [self.set(self.flagged).await, self.get(self.flagged).await] {
            let refused = refused.unwrap_err();
            assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
            assert!(reason_of(&refused).is_some(), "{refused:?}");
        }
        // The consumer's refusal stands.
        self.mesh.serves(Service::Classification).await;
        let stale = (Read::Suppress, Freshness::Stale);
        wait_until("classification to say that it hears nothing", async || {
            let device = self.flagged.esme().to_string();
            let decided = classify(self.mesh.folder(), [device], None).await;
            let decided = decided.map_err(|status| format!("{status:?}"))?;
            assert_eq!(decided[0].0, Read::Suppress);
            (decided == [stale])
                .then_some(())
                .ok_or(format!("{decided:?}"))
        })
        .await;
    }

    async fn says_so(&self, service: Service) -> Result<(), String> {
        let mut health = self.mesh.clients("operator").health(service).unwrap();
        let answer = health.check(HealthCheckRequest::default()).await;
        let answer = answer.map_err(|status| format!("{status:?}"))?;
        let reason = answer.metadata().get("mp169-health-reason");
        let reason = reason.and_then(|reason| reason.to_str().ok());
        if answer.get_ref().status() == ServingStatus::NotServing && reason == Some("database-away")
        {
            return Ok(());
        }
        Err(format!("{:?}: {reason:?}", answer.get_ref().status()))
    }

    /// Waits until all serve, changes a flag, and fails unless everybody follows that.
    async fn goes_on(&self) {
        let since = Instant::now();
        for service in Service::ALL {
            self.mesh.serves(service).await;
            println!("{} serves after {:?}", service.name(), since.elapsed());
        }
        let other = Home::new(7);
        wait_until("a write to be taken", async || self.set(other).await).await;
        self.everybody_agrees().await;
    }

    async fn everybody_agrees(&self) {
        let folder = self.mesh.folder();
        let (flags, devices) = downstream::heads(folder).await;
        let events = Tape::of_flags(folder).up_to(flags.sequence).await;
        let north = Tape::of_csp(folder, CSP_NORTH.id, CSP_NORTH.csp);
        let south = Tape::of_csp(folder, CSP_SOUTH.id, CSP_SOUTH.csp);
        let csps = [(CSP_NORTH.csp, &north), (CSP_SOUTH.csp, &south)];
        downstream::agree(folder, &events, csps, &flags, &devices).await;
    }
}
