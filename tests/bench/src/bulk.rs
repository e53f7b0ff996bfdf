//! How fast are flags set in batches, through the whole mesh?

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mesh_api::flag_registry::v1 as wire;
use mesh_api::flag_registry::v1::flag_service_client::FlagServiceClient;
use mesh_api::flag_registry::v1::{add_flag_result, remove_flag_result};
use mesh_types::DeviceId;
use mp169::sample::ALBION;
use mp169::service::Service;
use tonic::transport::Channel;

use crate::flags::{add, remove};
use crate::town::Town;
use crate::turn::{Side, Turn, keep_in_flight};

/// Sets flags that are not set, one batch after another.
pub(crate) struct Batches<'t> {
    town: &'t Town,
    client: FlagServiceClient<Channel>,
    batches: Arc<[Vec<DeviceId>]>,
    /// How many batches were set in the last turn.
    set: usize,
}

impl<'t> Batches<'t> {
    /// Of so many Devices each; of fewer if there are not so many.
    pub(crate) fn new(town: &'t Town, each: usize) -> Result<Self> {
        let channel = town.channels(Service::FlagRegistry, ALBION.id)?.pop();
        let devices = town.unflagged();
        let batches = devices.chunks_exact(each.min(devices.len()));
        Ok(Self {
            town,
            client: FlagServiceClient::new(channel.context("there is a channel")?),
            batches: batches.map(<[DeviceId]>::to_vec).collect(),
            set: 0,
        })
    }
}

impl Side for Batches<'_> {
    async fn turn(&mut self, time: Duration) -> Result<Turn> {
        let (client, batches) = (self.client.clone(), Arc::clone(&self.batches));
        let next = Arc::new(AtomicUsize::new(0));
        let taken = Arc::clone(&next);
        let turn = keep_in_flight(1, time, move |_| {
            let number = taken.load(Ordering::Relaxed);
            let batch = batches.get(number).cloned();
            let (client, taken) = (client.clone(), Arc::clone(&taken));
            async move {
                let Some(batch) = batch else {
                    return Ok(ControlFlow::Break(()));
                };
                set(client, batch).await?;
                taken.store(number + 1, Ordering::Relaxed);
                Ok(ControlFlow::Continue(()))
            }
        });
        let turn = turn.await?;
        self.set = next.load(Ordering::Relaxed);
        let each = self.batches.first().map_or(0, Vec::len);
        Ok(turn.of_units(u64::try_from(each)?))
    }

    async fn settle(&mut self) -> Result<()> {
        let mut last = 0;
        for batch in self.batches.iter().take(self.set) {
            last = lift(self.client.clone(), batch).await?;
        }
        self.town.follows(last).await
    }
}

/// Sets the flags of a batch, and checks each answer.
async fn set(mut client: FlagServiceClient<Channel>, batch: Vec<DeviceId>) -> Result<()> {
    let requests = batch.iter().map(|device| add(*device, ALBION));
    let request = wire::BatchAddFlagsRequest {
        requests: requests.collect(),
    };
    let answer = client.batch_add_flags(request).await?.into_inner();
    ensure!(answer.results.len() == batch.len(), "answers are missing");
    for (device, result) in batch.iter().zip(answer.results) {
        match result.result {
            Some(add_flag_result::Result::Response(answer)) => {
                let entry = answer.entry.context("the entry is missing")?;
                let right = answer.changed && entry.device_id == device.to_string();
                ensure!(right, "setting {device} left {entry:?}");
            }
            other => bail!("setting {device} was answered {other:?}"),
        }
    }
    Ok(())
}

/// Lifts them, and gives the sequence of the last event.
async fn lift(mut client: FlagServiceClient<Channel>, batch: &[DeviceId]) -> Result<u64> {
    let requests = batch.iter().map(|device| remove(*device));
    let request = wire::BatchRemoveFlagsRequest {
        requests: requests.collect(),
    };
    let answer = client.batch_remove_flags(request).await?.into_inner();
    for (device, result) in batch.iter().zip(answer.results) {
        match result.result {
            Some(remove_flag_result::Result::Response(answer)) if answer.changed => {}
            other => bail!("lifting {device} was answered {other:?}"),
        }
    }
    Ok(answer.position.context("the position is missing")?.sequence)
}
