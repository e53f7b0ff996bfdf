//! Those who set and lift flags, each request at whichever replica comes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use mesh_api::common::v1::{ErrorReason, Position};
use mesh_api::flag_registry::v1 as flags;
use mesh_api::flag_registry::v1::flag_service_client::FlagServiceClient;
use mesh_api::status::reason_of;
use mesh_rpc::MeshChannel;
use mesh_testkit::wait_until;
use mp169::clients::Clients;
use mp169::home::Folder;
use mp169::sample::Home;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tonic::Status;

use crate::requests::{add, remove};

/// The first homes are special ones, whose meters cannot be flagged.
const FIRST_HOME: u16 = 7;
/// How many requests each writer has in a round, one after the other.
const REQUESTS: usize = 4;
/// A caller that leaves does so within this time.
const PATIENCE: Duration = Duration::from_millis(60);

/// One for each meter.
pub(super) struct Writers(Vec<Writer>);

struct Writer {
    /// To the two replicas, each on a connection of its own.
    clients: [FlagServiceClient<MeshChannel>; 2],
    home: Home,
}

/// A request, the same however often it is sent and to whom.
enum Asked {
    Add(flags::AddFlagRequest),
    Remove(flags::RemoveFlagRequest),
}

impl Writers {
    pub(super) fn new(replicas: [&Folder; 2], count: usize) -> Self {
        let homes = (FIRST_HOME..).map(Home::new).take(count);
        let writers = homes.map(|home| Writer {
            clients: replicas.map(|replica| {
                let clients = Clients::of(replica, home.electricity().id).unwrap();
                clients.flags().unwrap()
            }),
            home,
        });
        Self(writers.collect())
    }

    /// How many requests there are in a round.
    pub(super) fn requests(&self) -> usize {
        self.0.len() * REQUESTS
    }

    /// Makes each request until it is acknowledged, and gives the events that they were told.
    pub(super) async fn write(&self, seed: u64, done: &AtomicUsize) -> BTreeMap<String, u64> {
        let mut rng = StdRng::seed_from_u64(seed);
        let writing = self.0.iter().map(|writer| {
            let rng = StdRng::seed_from_u64(rng.random());
            writer.write(rng, done)
        });
        join_all(writing).await.into_iter().flatten().collect()
    }
}

impl Writer {
    async fn write(&self, mut rng: StdRng, done: &AtomicUsize) -> Vec<(String, u64)> {
        let mut acknowledged = Vec::new();
        for number in 0..REQUESTS {
            let asked = Asked::new(number, self.home);
            let position = wait_until("a write to be acknowledged", async || {
                self.attempt(&asked, &mut rng).await
            })
            .await;
            let again = wait_until("the same answer", async || {
                self.attempt(&asked, &mut rng).await
            })
            .await;
            assert_eq!(again, position, "a retry had another answer");
            acknowledged.push((asked.id(), position.sequence));
            done.fetch_add(1, Ordering::Relaxed);
        }
        acknowledged
    }

    /// At one of the replicas. Every other time the caller leaves early.
    async fn attempt(&self, asked: &Asked, rng: &mut StdRng) -> Result<Position, Status> {
        let call = asked.send(&self.clients[rng.random_range(0..2)]);
        let patience = PATIENCE.mul_f64(rng.random_range(0.0..=2.0));
        let answer = if patience < PATIENCE {
            let left = tokio::time::timeout(patience, call).await;
            left.unwrap_or_else(|_| Err(Status::cancelled("the caller has left")))
        } else {
            call.await
        };
        answer.inspect_err(|status| assert!(may_pass(status), "{status:?}"))
    }
}

/// Whether a refusal may come of what was killed.
fn may_pass(status: &Status) -> bool {
    !matches!(
        reason_of(status),
        Some(
            ErrorReason::FieldInvalid
                | ErrorReason::RequestIdReused
                | ErrorReason::NotResponsibleSupplier
                | ErrorReason::PreconditionsNotMet
                | ErrorReason::LogWentBack
                | ErrorReason::Internal
        )
    )
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

    async fn send(&self, client: &FlagServiceClient<MeshChannel>) -> Result<Position, Status> {
        let mut client = client.clone();
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
