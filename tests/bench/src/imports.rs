//! How fast is an inventory loaded?

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mesh_api::registration::v1::device_service_client::DeviceServiceClient;
use mesh_api::registration::v1::inventory_row::Row;
use mesh_api::registration::v1::{ImportInventoryRequest, InventoryRow, row_result::Outcome};
use mesh_types::{DeviceId, Eui64, Mpan};
use mp169::sample::{Home, SINCE};
use mp169::service::Service;
use tonic::transport::Channel;

use crate::machine::Processors;
use crate::town::Town;
use crate::turn::{Side, Turn, count, latencies};

/// Rows in each request, as `mp169 device load` sends them.
const EACH: usize = 500;
/// Rows of a home: its hub, its electricity meter, and who supplies it.
const OF_A_HOME: u64 = 3;

/// Loads of homes that are not there yet, one stream after another.
pub(crate) struct Imports<'t> {
    town: &'t Town,
    client: DeviceServiceClient<Channel>,
    /// Homes in each stream.
    homes: u64,
    /// The first home that is not there.
    next: u64,
    /// The last event of the log `devices`.
    last: u64,
}

impl<'t> Imports<'t> {
    /// At least so many rows in each stream.
    pub(crate) fn new(town: &'t Town, rows: u64) -> Result<Self> {
        let mut channels = town.channels(Service::Registration, "registration-data")?;
        let channel = channels.pop().context("there is a channel")?;
        Ok(Self {
            town,
            client: DeviceServiceClient::new(channel),
            homes: rows.div_ceil(OF_A_HOME),
            next: 0,
            last: 0,
        })
    }

    async fn import(&mut self, rows: &[InventoryRow]) -> Result<()> {
        let requests: Vec<_> = rows
            .chunks(EACH)
            .map(|rows| ImportInventoryRequest {
                rows: rows.to_vec(),
                validate_only: false,
            })
            .collect();
        let answers = self.client.import_inventory(tokio_stream::iter(requests));
        let mut answers = answers.await?.into_inner();
        let mut recorded = 0;
        while let Some(answer) = answers.message().await? {
            for result in answer.results {
                let is_recorded = result.outcome() == Outcome::Recorded;
                ensure!(is_recorded, "a row was not recorded: {result:?}");
                recorded += 1;
            }
            self.last = answer.position.context("the position is missing")?.sequence;
        }
        ensure!(recorded == rows.len(), "{recorded} of {} rows", rows.len());
        Ok(())
    }
}

impl Side for Imports<'_> {
    async fn turn(&mut self, time: Duration) -> Result<Turn> {
        let processors = Processors::now();
        let (mut took, mut latencies) = (Duration::ZERO, latencies());
        while took < time {
            let homes = self.next..self.next + self.homes;
            self.next = homes.end;
            let rows: Result<Vec<_>> = homes.map(home).collect();
            let rows = rows?.concat();
            let start = Instant::now();
            self.import(&rows).await?;
            count(&mut latencies, start.elapsed());
            took += start.elapsed();
        }
        Ok(Turn {
            done: latencies.len() * self.homes * OF_A_HOME,
            took,
            processors: Processors::ours_since(processors),
            latencies,
        })
    }

    async fn settle(&mut self) -> Result<()> {
        self.town.applies(0, self.last).await
    }
}

/// The rows of a home that is none of the town's, but like them.
fn home(number: u64) -> Result<Vec<InventoryRow>> {
    let device =
        |kind: u64| DeviceId::new(Eui64::from_u64(0x02DC_C200_0000_0000 | number << 8 | kind));
    let (hub, meter) = (device(0xC0).to_string(), device(0xE0).to_string());
    let mpan = Mpan::with_check_digit(300_000_000_000 + number)?.to_string();
    let mut rows = Home::new(8).rows(SINCE)?;
    rows.truncate(3);
    for row in &mut rows {
        match row.row.as_mut().context("a row is empty")? {
            Row::Device(device) if device.communications_hub_id.is_empty() => {
                device.device_id.clone_from(&hub);
            }
            Row::Device(device) => {
                device.device_id.clone_from(&meter);
                device.communications_hub_id.clone_from(&hub);
                device.import_mpan.clone_from(&mpan);
            }
            Row::Registration(registration) => registration.mpxn.clone_from(&mpan),
            Row::Party(_) => {}
        }
    }
    Ok(rows)
}
