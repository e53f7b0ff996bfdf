//! Does an answer take longer about another supplier's Device than about one that does not exist?

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mesh_api::flag_registry::v1 as wire;
use mesh_api::flag_registry::v1::flag_result;
use mesh_api::flag_registry::v1::flag_service_client::FlagServiceClient;
use mesh_types::{DeviceId, Eui64};
use mp169::sample::{ALBION, CALEDONIA};
use mp169::service::Service;
use tonic::Code;
use tonic::transport::Channel;

use crate::town::Town;
use crate::turn::{Side, Turn, keep_in_flight};

/// From a Device of the town to one that it does not have.
const BESIDE: u64 = 7;

/// Whose Devices are asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Those of the caller.
    Own,
    /// Those of another supplier.
    Foreign,
    /// Nobody's: there are none.
    Missing,
}

/// One supplier that asks for one answer after another.
pub(crate) struct Asks {
    client: FlagServiceClient<Channel>,
    devices: Arc<[String]>,
    whose: Whose,
    /// Devices in each question; one is asked about by itself.
    each: usize,
}

impl Asks {
    pub(crate) fn about(town: &Town, whose: Whose, each: usize) -> Result<Self> {
        let caller = match whose {
            Whose::Own => ALBION,
            Whose::Foreign | Whose::Missing => CALEDONIA,
        };
        let mut channels = town.channels(Service::FlagRegistry, caller.id)?;
        let channel = channels.pop().context("there is a channel")?;
        let beside = |device: DeviceId| {
            let number = device.eui64().to_u64() + BESIDE;
            DeviceId::new(Eui64::from_u64(number))
        };
        let devices = town.unflagged().into_iter().map(|device| match whose {
            Whose::Own | Whose::Foreign => device.to_string(),
            Whose::Missing => beside(device).to_string(),
        });
        let devices: Arc<[String]> = devices.collect();
        Ok(Self {
            client: FlagServiceClient::new(channel),
            each: each.min(devices.len()),
            devices,
            whose,
        })
    }
}

impl Side for Asks {
    async fn turn(&mut self, time: Duration) -> Result<Turn> {
        let (client, devices) = (self.client.clone(), Arc::clone(&self.devices));
        let (whose, each) = (self.whose, self.each);
        let next = Arc::new(AtomicUsize::new(0));
        keep_in_flight(1, time, move |_| {
            let parts = devices.len() / each;
            let part = next.fetch_add(1, Ordering::Relaxed) % parts;
            let devices = devices[part * each..][..each].to_vec();
            let client = client.clone();
            async move {
                match each {
                    1 => ask_one(client, devices, whose).await?,
                    _ => ask_many(client, devices, whose).await?,
                }
                Ok(ControlFlow::Continue(()))
            }
        })
        .await
    }
}

async fn ask_one(
    mut client: FlagServiceClient<Channel>,
    devices: Vec<String>,
    whose: Whose,
) -> Result<()> {
    let request = wire::GetFlagRequest {
        device_id: devices.into_iter().next().context("there is a Device")?,
        ..wire::GetFlagRequest::default()
    };
    match client.get_flag(request).await {
        Ok(_) if whose == Whose::Own => Ok(()),
        Err(status) if whose != Whose::Own && status.code() == Code::PermissionDenied => Ok(()),
        other => bail!("asked of {whose:?} Devices: {other:?}"),
    }
}

async fn ask_many(
    mut client: FlagServiceClient<Channel>,
    devices: Vec<String>,
    whose: Whose,
) -> Result<()> {
    let count = devices.len();
    let request = wire::BatchGetFlagsRequest {
        device_ids: devices,
        ..wire::BatchGetFlagsRequest::default()
    };
    let answer = client.batch_get_flags(request).await?.into_inner();
    let told =
        |result: &&wire::FlagResult| matches!(result.result, Some(flag_result::Result::Entry(_)));
    let entries = answer.results.iter().filter(told).count();
    let expected = if whose == Whose::Own { count } else { 0 };
    let all = answer.results.len();
    ensure!(
        (all, entries) == (count, expected),
        "asked of {count} {whose:?} Devices: {entries} of {all}"
    );
    Ok(())
}
