//! How long is it until a change of supplier is answered, while nobody writes and while the losing
//! supplier does?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use hdrhistogram::Histogram;
use mesh_api::flag_registry::v1::flag_service_client::FlagServiceClient;
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::device_service_client::DeviceServiceClient;
use mp169::sample::{ALBION, BRIGHT, Home, SampleParty};
use mp169::service::Service;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::flags::{HELPERS, add, remove};
use crate::machine::Processors;
use crate::town::Town;
use crate::turn::{Side, Turn, latencies, record};

/// The identity that changes suppliers.
const OPERATOR: &str = "operator";

/// What the losing supplier does meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loser {
    /// Nothing.
    Quiet,
    /// It sets the flag of that Device, again and again until it is refused.
    Writes,
}

/// Changes the suppliers of homes, with some callers at a time.
pub(crate) struct Changes<'t> {
    town: &'t Town,
    homes: Arc<Homes>,
    loser: Loser,
    callers: usize,
}

/// The homes whose supplier is Albion or Bright, and how they are reached.
struct Homes {
    registration: Vec<DeviceServiceClient<Channel>>,
    albion: FlagServiceClient<Channel>,
    bright: FlagServiceClient<Channel>,
    all: Vec<Supplied>,
    next: AtomicUsize,
    /// Where the last change stands in the log `devices`.
    last: AtomicU64,
}

struct Supplied {
    home: Home,
    /// Whether Bright has it, and not Albion.
    is_brights: AtomicBool,
    /// Whether its flag was set.
    is_flagged: AtomicBool,
}

impl<'t> Changes<'t> {
    pub(crate) fn new(town: &'t Town, loser: Loser, callers: usize) -> Result<Self> {
        let registration = town.channels(Service::Registration, OPERATOR)?;
        let flags = |party: SampleParty| {
            let channel = town.channels(Service::FlagRegistry, party.id)?.pop();
            anyhow::Ok(FlagServiceClient::new(
                channel.context("there is a channel")?,
            ))
        };
        let all = town.unflagged_homes().map(|home| Supplied {
            home,
            is_brights: AtomicBool::new(false),
            is_flagged: AtomicBool::new(false),
        });
        let registration = registration.into_iter().map(DeviceServiceClient::new);
        let homes = Homes {
            registration: registration.collect(),
            albion: flags(ALBION)?,
            bright: flags(BRIGHT)?,
            all: all.collect(),
            next: AtomicUsize::new(0),
            last: AtomicU64::new(0),
        };
        Ok(Self {
            town,
            homes: Arc::new(homes),
            loser,
            callers,
        })
    }
}

impl Side for Changes<'_> {
    async fn turn(&mut self, time: Duration) -> Result<Turn> {
        let (start, processors) = (Instant::now(), Processors::now());
        let callers = (0..self.callers).map(|caller| {
            let homes = Arc::clone(&self.homes);
            let changing = homes.change_until(start + time, caller, self.loser);
            let changing = AbortOnDropHandle::new(tokio::spawn(changing));
            async { changing.await? }
        });
        let mut all = latencies();
        for latencies in try_join_all(callers).await? {
            all.add(latencies)?;
        }
        Ok(Turn {
            done: all.len(),
            took: start.elapsed(),
            // The writes of the losing supplier are no part of what a change costs.
            processors: Processors::ours_since(processors).filter(|_| self.loser == Loser::Quiet),
            latencies: all,
        })
    }

    /// Everything is Albion's again, without a flag, and everybody knows.
    async fn settle(&mut self) -> Result<()> {
        let homes = &self.homes;
        let back = homes.all.iter().map(|supplied| homes.put_back(supplied));
        let lifted: Vec<u64> = stream::iter(back)
            .buffer_unordered(HELPERS)
            .try_collect()
            .await?;
        let flags = lifted.into_iter().max().unwrap_or_default();
        let devices = homes.last.load(Ordering::Relaxed);
        self.town.applies(flags, devices).await
    }
}

impl Homes {
    /// Changes one home after another until `end`; gives how soon each change was answered.
    async fn change_until(
        self: Arc<Self>,
        end: Instant,
        caller: usize,
        loser: Loser,
    ) -> Result<Histogram<u64>> {
        let mut latencies = latencies();
        let client = &self.registration[caller % self.registration.len()];
        while Instant::now() < end {
            let number = self.next.fetch_add(1, Ordering::Relaxed) % self.all.len();
            let supplied = &self.all[number];
            let is_brights = supplied.is_brights.load(Ordering::Relaxed);
            let (loses, gains) = match is_brights {
                false => (ALBION, BRIGHT),
                true => (BRIGHT, ALBION),
            };
            let writes = match loser {
                Loser::Quiet => None,
                Loser::Writes => {
                    supplied.is_flagged.store(true, Ordering::Relaxed);
                    let client = if is_brights {
                        &self.bright
                    } else {
                        &self.albion
                    };
                    Some(Writes::begin(client.clone(), supplied.home, loses).await?)
                }
            };
            let asked = Instant::now();
            self.change(client, supplied.home, gains).await?;
            record(&mut latencies, asked);
            supplied.is_brights.store(!is_brights, Ordering::Relaxed);
            if let Some(writes) = writes {
                writes.refused().await?;
            }
        }
        Ok(latencies)
    }

    async fn change(
        &self,
        client: &DeviceServiceClient<Channel>,
        home: Home,
        gains: SampleParty,
    ) -> Result<()> {
        let request = wire::ChangeSupplierRequest {
            request_id: uuid::Uuid::new_v4().to_string(),
            mpxn: home.import_mpan()?.to_string(),
            party_id: gains.id.to_owned(),
            start_time: None,
        };
        let answer = client.clone().change_supplier(request).await?.into_inner();
        let registration = answer.registration.context("the registration is missing")?;
        let is_right = registration.party_id == gains.id && answer.ended.is_some();
        ensure!(is_right, "{home:?} is not {}'s: {registration:?}", gains.id);
        let position = answer.position.context("the position is missing")?;
        self.last.fetch_max(position.sequence, Ordering::Relaxed);
        Ok(())
    }

    /// Gives the sequence of the last event of its flag that this makes, or zero.
    async fn put_back(&self, supplied: &Supplied) -> Result<u64> {
        if supplied.is_brights.swap(false, Ordering::Relaxed) {
            self.change(&self.registration[0], supplied.home, ALBION)
                .await?;
        }
        if !supplied.is_flagged.swap(false, Ordering::Relaxed) {
            return Ok(0);
        }
        let mut client = self.albion.clone();
        let lifted = client.remove_flag(remove(supplied.home.esme())).await?;
        let position = lifted.into_inner().position;
        Ok(position.context("the position is missing")?.sequence)
    }
}

/// Writes of a supplier that is about to lose a home, one after another.
struct Writes(AbortOnDropHandle<Status>);

impl Writes {
    /// Begins, and waits until the first is answered: the next one is under way by then.
    async fn begin(
        mut client: FlagServiceClient<Channel>,
        home: Home,
        loses: SampleParty,
    ) -> Result<Self> {
        let (answered, first) = oneshot::channel();
        let mut answered = Some(answered);
        let writing = tokio::spawn(async move {
            loop {
                if let Err(refusal) = client.add_flag(add(home.esme(), loses)).await {
                    return refusal;
                }
                if let Some(answered) = answered.take() {
                    // Whoever waited for it may have gone.
                    let _ = answered.send(());
                }
            }
        });
        let writing = AbortOnDropHandle::new(writing);
        match first.await {
            Ok(()) => Ok(Self(writing)),
            Err(_) => Err(writing.await?.into()),
        }
    }

    /// Waits until the supplier was told that the home is not its own any more.
    async fn refused(self) -> Result<()> {
        let refusal = self.0.await?;
        ensure!(refusal.code() == Code::PermissionDenied, "{refusal:?}");
        Ok(())
    }
}
