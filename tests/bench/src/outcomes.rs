//! How fast are outcomes recorded?

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mesh_api::common::v1::MessageClass;
use mesh_api::reporting::v1::reporting_service_client::ReportingServiceClient;
use mesh_api::reporting::v1::{Outcome, OutcomeOrigin, OutcomeResult, RecordOutcomesRequest};
use mesh_types::{DeviceId, Eui64};
use mp169::sample::{ALBION, BRIGHT, CALEDONIA};
use mp169::service::Service;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::machine::Processors;
use crate::town::Town;
use crate::turn::{Side, Turn, count, latencies};

/// Outcomes in each request: as many as the contract allows.
const EACH: u64 = 1_000;
/// Producers, each with a stream of its own.
const PRODUCERS: u64 = 4;
/// The first outcome was at the beginning of 2026, and then there are as many a second as in Great Britain, where
/// there are 2.2 billion a month.
const FIRST: u64 = 1_767_225_600;
const PER_SECOND: u64 = 850;
/// Meters that are read, and variants by which.
const METERS: u64 = 1_000_000;
const VARIANTS: u64 = 40;

/// Streams of numbered requests, one after another from each producer.
pub(crate) struct Outcomes {
    client: ReportingServiceClient<Channel>,
    /// Requests in each stream.
    requests: u64,
    /// The number of the last request of each producer.
    last: u64,
}

impl Outcomes {
    /// At least so many outcomes in the streams of all producers.
    pub(crate) fn new(town: &Town, outcomes: u64) -> Result<Self> {
        let mut channels = town.channels(Service::Reporting, "dsp")?;
        let channel = channels.pop().context("there is a channel")?;
        Ok(Self {
            client: ReportingServiceClient::new(channel),
            requests: outcomes.div_ceil(EACH * PRODUCERS),
            last: 0,
        })
    }

    /// The streams of all producers, side by side.
    async fn record(&mut self) -> Result<u64> {
        let numbers = self.last + 1..=self.last + self.requests;
        self.last = *numbers.end();
        let mut streams = JoinSet::new();
        for producer in 0..PRODUCERS {
            let requests: Vec<_> = numbers.clone().map(|n| request(producer, n)).collect();
            let mut client = self.client.clone();
            streams.spawn(async move {
                let answer = client.record_outcomes(tokio_stream::iter(requests)).await?;
                anyhow::Ok(answer.into_inner())
            });
        }
        let mut recorded = 0;
        while let Some(answer) = streams.join_next().await {
            let answer = answer??;
            ensure!(
                answer.recorded == self.requests * EACH && answer.last_batch_number == self.last,
                "not all was recorded: {answer:?}"
            );
            recorded += answer.recorded;
        }
        Ok(recorded)
    }
}

impl Side for Outcomes {
    async fn turn(&mut self, time: Duration) -> Result<Turn> {
        let processors = Processors::now();
        let (mut took, mut latencies, mut done) = (Duration::ZERO, latencies(), 0);
        while took < time {
            let start = Instant::now();
            done += self.record().await?;
            count(&mut latencies, start.elapsed());
            took += start.elapsed();
        }
        Ok(Turn {
            done,
            took,
            processors: Processors::ours_since(processors),
            latencies,
        })
    }
}

fn request(producer: u64, number: u64) -> RecordOutcomesRequest {
    let first = ((number - 1) * PRODUCERS + producer) * EACH;
    RecordOutcomesRequest {
        producer: format!("bench-{producer}"),
        outcomes: (first..first + EACH).map(outcome).collect(),
        batch_number: number,
    }
}

/// One outcome of all, in the order of their times.
pub(crate) fn outcome(number: u64) -> Outcome {
    // Anything that has no pattern that matters.
    let lot = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    let device = DeviceId::new(Eui64::from_u64(0x02DC_C300_0000_0000 | (lot % METERS)));
    let variant = lot % VARIANTS;
    let of = |all: [i32; 3], share: u64| all[usize::from(share >= 90) + usize::from(share >= 97)];
    let parties = [ALBION.id, BRIGHT.id, CALEDONIA.id];
    Outcome {
        outcome_id: number.to_string(),
        party_id: parties[usize::try_from(lot % 3).unwrap_or(0)].to_owned(),
        device_id: device.to_string(),
        service_reference_variant: format!("4.{}.{}", 1 + variant / 4, 1 + variant % 4),
        // Three in five are reads.
        message_class: match variant % 5 {
            0..3 => MessageClass::Consumption.into(),
            _ => MessageClass::Diagnostic.into(),
        },
        request_time: Some(prost_types::Timestamp {
            seconds: (FIRST + number / PER_SECOND).cast_signed(),
            nanos: 0,
        }),
        result: of(
            [
                OutcomeResult::Succeeded.into(),
                OutcomeResult::Failed.into(),
                OutcomeResult::Suppressed.into(),
            ],
            lot % 100,
        ),
        origin: of(
            [
                OutcomeOrigin::Scheduled.into(),
                OutcomeOrigin::OnDemand.into(),
                OutcomeOrigin::FutureDated.into(),
            ],
            lot / 100 % 100,
        ),
    }
}
