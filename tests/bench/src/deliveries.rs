//! How soon does a CSP have what a supplier has set?

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mesh_api::common::v1::stream_frame::Frame;
use mesh_api::convert::timestamp_from_wire;
use mesh_api::csp_notification::v1::csp_notification_service_client::CspNotificationServiceClient;
use mesh_api::csp_notification::v1::follow_flag_changes_request::Start;
use mesh_api::csp_notification::v1::follow_flag_changes_response::Body;
use mesh_api::csp_notification::v1::{
    CspFlagChange, CspFlagState, FollowFlagChangesRequest, GetSubscriptionRequest,
};
use mesh_types::{Clock as _, SystemClock, Timestamp};
use mp169::sample::CSP_NORTH;
use mp169::service::Service;
use prost::Message as _;
use tokio::sync::mpsc;

use crate::flags::Flags;
use crate::machine::Processors;
use crate::town::Town;
use crate::turn::{Side, Turn, count, latencies};

/// From when on it is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// The supplier calls.
    TheCall,
    /// The flag's event is stamped, within the transaction that is committed then.
    ItsRecord,
}

/// Flags that are set one after another, each until its CSP has it.
pub(crate) struct Deliveries<'t> {
    town: &'t Town,
    flags: Flags,
    from: From,
    told: mpsc::UnboundedReceiver<Told>,
    /// How many were set in the last turn.
    set: usize,
}

/// That a Device's communications are reduced, and when it came.
struct Told {
    device: String,
    recorded: Timestamp,
    at: Instant,
    time: Timestamp,
}

impl<'t> Deliveries<'t> {
    pub(crate) async fn start(town: &'t Town, from: From) -> Result<Self> {
        Ok(Self {
            flags: Flags::new(town, town.unflagged())?,
            told: follow(town).await?,
            town,
            from,
            set: 0,
        })
    }
}

impl Side for Deliveries<'_> {
    async fn turn(&mut self, time: Duration) -> Result<Turn> {
        let (start, processors) = (Instant::now(), Processors::now());
        let mut latencies = latencies();
        self.set = 0;
        for &device in self.flags.devices() {
            if start.elapsed() >= time {
                break;
            }
            let asked = Instant::now();
            self.flags.set(device).await?;
            self.set += 1;
            let told = self.told.recv().await.context("the stream has ended")?;
            let (expected, device) = (device.to_string(), &told.device);
            ensure!(*device == expected, "{expected} was set and {device} told");
            let took = match self.from {
                From::TheCall => told.at.duration_since(asked),
                From::ItsRecord => told.time.since(told.recorded),
            };
            count(&mut latencies, took);
        }
        Ok(Turn {
            done: latencies.len(),
            took: start.elapsed(),
            processors: Processors::ours_since(processors),
            latencies,
        })
    }

    async fn settle(&mut self) -> Result<()> {
        self.flags.lift(self.town, self.set).await
    }
}

/// Attaches as the CSP that has all Devices, after what is in its log; gives what it is told is reduced.
async fn follow(town: &Town) -> Result<mpsc::UnboundedReceiver<Told>> {
    let csp_id = CSP_NORTH.csp.to_owned();
    let ask = GetSubscriptionRequest {
        csp_id: csp_id.clone(),
    };
    let answer = town
        .clients("operator")?
        .csp()?
        .get_subscription(ask)
        .await?;
    let subscription = answer.into_inner().subscription;
    let head = subscription.and_then(|north| north.head);
    let request = FollowFlagChangesRequest {
        csp_id,
        start: Some(Start::After(head.context("its log is empty")?)),
        seen: None,
    };
    let mut channels = town.channels(Service::CspNotification, CSP_NORTH.id)?;
    let channel = channels.pop().context("there is a channel")?;
    let mut client = CspNotificationServiceClient::new(channel);
    let mut frames = client.follow_flag_changes(request).await?.into_inner();
    // The stream is attached when its first frame is here.
    frames.message().await?.context("the stream has ended")?;
    let (sender, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(Some(frame)) = frames.message().await {
            let (at, time) = (Instant::now(), SystemClock.now());
            let Some(Body::Frame(frame)) = frame.body else {
                continue;
            };
            let Some(Frame::Entries(entries)) = frame.frame else {
                continue;
            };
            for entry in entries.entries {
                let Ok(change) = CspFlagChange::decode(entry.event) else {
                    return;
                };
                let recorded = change.effective_time.as_ref().map(timestamp_from_wire);
                let Some(Ok(recorded)) = recorded else {
                    return;
                };
                let is_reduced = change.state() == CspFlagState::Reduced;
                let device = change.device_id;
                let told = Told {
                    device,
                    recorded,
                    at,
                    time,
                };
                if is_reduced && sender.send(told).is_err() {
                    return;
                }
            }
        }
    });
    Ok(told)
}
