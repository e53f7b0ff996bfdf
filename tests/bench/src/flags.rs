//! How fast are flags set, through the whole mesh?

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mesh_api::convert::timestamp_to_wire;
use mesh_api::flag_registry::v1 as wire;
use mesh_api::flag_registry::v1::flag_service_client::FlagServiceClient;
use mesh_types::{Clock as _, DeviceId, SystemClock};
use mp169::sample::{ALBION, SampleParty};
use mp169::service::Service;
use tonic::transport::Channel;

use crate::town::Town;
use crate::turn::{Side, Turn, keep_in_flight};

/// Callers that set or lift many flags when that is not measured.
pub(crate) const HELPERS: usize = 64;
/// Longer than any number of flags takes.
const UNTIL_DONE: Duration = Duration::from_secs(600);

/// What is done to a flag.
#[derive(Debug, Clone, Copy)]
enum Change {
    Set,
    Lift,
}

/// Sets flags that are not set, with some callers at a time.
pub(crate) struct Adds<'t> {
    town: &'t Town,
    flags: Flags,
    callers: usize,
    /// How many were set in the last turn.
    set: usize,
}

impl<'t> Adds<'t> {
    pub(crate) fn new(town: &'t Town, callers: usize) -> Result<Self> {
        Ok(Self {
            town,
            flags: Flags::new(town, town.unflagged())?,
            callers,
            set: 0,
        })
    }
}

impl Side for Adds<'_> {
    async fn turn(&mut self, time: Duration) -> Result<Turn> {
        let all = self.flags.devices.len();
        let (turn, _) = self
            .flags
            .change(Change::Set, all, self.callers, time)
            .await?;
        self.set = usize::try_from(turn.done)?;
        Ok(turn)
    }

    async fn settle(&mut self) -> Result<()> {
        self.flags.lift(self.town, self.set).await
    }
}

/// Sets the flags of Devices for good, and waits until every service knows it.
pub(crate) async fn set_all(town: &Town, devices: Vec<DeviceId>) -> Result<()> {
    let all = devices.len();
    let flags = Flags::new(town, devices)?;
    let set = flags.change(Change::Set, all, HELPERS, UNTIL_DONE);
    let (_, last) = set.await?;
    town.follows(last).await
}

/// The flags of some Devices, as their supplier sees them.
pub(crate) struct Flags {
    clients: Arc<[FlagServiceClient<Channel>]>,
    devices: Arc<[DeviceId]>,
}

impl Flags {
    pub(crate) fn new(town: &Town, devices: Vec<DeviceId>) -> Result<Self> {
        let channels = town.channels(Service::FlagRegistry, ALBION.id)?;
        Ok(Self {
            clients: channels.into_iter().map(FlagServiceClient::new).collect(),
            devices: devices.into(),
        })
    }

    /// Their Devices.
    pub(crate) fn devices(&self) -> &[DeviceId] {
        &self.devices
    }

    /// Sets one flag.
    pub(crate) async fn set(&self, device: DeviceId) -> Result<()> {
        let client = self.clients[0].clone();
        Change::Set.make(client, device).await?;
        Ok(())
    }

    /// Lifts the first `count`, and waits until every service knows it.
    pub(crate) async fn lift(&self, town: &Town, count: usize) -> Result<()> {
        let lifted = self.change(Change::Lift, count, HELPERS, UNTIL_DONE);
        let (_, last) = lifted.await?;
        town.follows(last).await
    }

    /// Changes the first `count` one after another, until `time` is over. Gives the sequence of the
    /// last event too, once it is sure that there is exactly one for each change.
    async fn change(
        &self,
        change: Change,
        count: usize,
        callers: usize,
        time: Duration,
    ) -> Result<(Turn, u64)> {
        let (clients, devices) = (Arc::clone(&self.clients), Arc::clone(&self.devices));
        let next = Arc::new(AtomicUsize::new(0));
        let events: Arc<Mutex<Vec<u64>>> = Arc::default();
        let recorded = Arc::clone(&events);
        let turn = keep_in_flight(callers, time, move |caller| {
            let client = clients[caller % clients.len()].clone();
            let number = next.fetch_add(1, Ordering::Relaxed);
            let device = devices[..count].get(number).copied();
            let events = Arc::clone(&events);
            async move {
                let Some(device) = device else {
                    return Ok(ControlFlow::Break(()));
                };
                let sequence = change.make(client, device).await?;
                let mut events = events.lock().unwrap_or_else(PoisonError::into_inner);
                events.push(sequence);
                Ok(ControlFlow::Continue(()))
            }
        });
        let turn = turn.await?;
        let mut events = recorded.lock().unwrap_or_else(PoisonError::into_inner);
        events.sort_unstable();
        let is_whole = events.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        ensure!(is_whole, "the changes' events do not follow one another");
        let last = events.last().copied().unwrap_or_default();
        Ok((turn, last))
    }
}

impl Change {
    /// Makes it, checks the answer, and gives the sequence of its event.
    async fn make(self, mut client: FlagServiceClient<Channel>, device: DeviceId) -> Result<u64> {
        let (expected, entry, changed, position) = match self {
            Self::Set => {
                let answer = client.add_flag(add(device, ALBION)).await?.into_inner();
                let expected = wire::FlagState::Flagged;
                (expected, answer.entry, answer.changed, answer.position)
            }
            Self::Lift => {
                let answer = client.remove_flag(remove(device)).await?.into_inner();
                let expected = wire::FlagState::NotFlagged;
                (expected, answer.entry, answer.changed, answer.position)
            }
        };
        let entry = entry.context("the entry is missing")?;
        let is_right =
            changed && entry.state() == expected && entry.device_id == device.to_string();
        ensure!(is_right, "{self:?} of {device} left {entry:?}");
        Ok(position.context("the position is missing")?.sequence)
    }
}

/// What `supplier` asks for who has its consumer's choice.
pub(crate) fn add(device: DeviceId, supplier: SampleParty) -> wire::AddFlagRequest {
    let absent = wire::Declaration::Absent.into();
    let choice = choice(wire::Preference::Reduced, supplier);
    wire::AddFlagRequest {
        request_id: uuid::Uuid::new_v4().to_string(),
        device_id: device.to_string(),
        reasonable_steps: Some(wire::ReasonableSteps {
            steps: vec![wire::ReasonableStep {
                kind: wire::StepKind::ConsequencesExplained.into(),
                taken_time: choice.captured_time,
            }],
            contact_reference: "CRM-55".to_owned(),
        }),
        choice: Some(choice),
        site_declarations: Some(wire::SiteDeclarations {
            economy_7_or_similar: absent,
            radio_teleswitch: absent,
            network_managed_without_wan: absent,
        }),
        ..wire::AddFlagRequest::default()
    }
}

/// What Albion asks for when a consumer has changed their mind.
pub(crate) fn remove(device: DeviceId) -> wire::RemoveFlagRequest {
    wire::RemoveFlagRequest {
        request_id: uuid::Uuid::new_v4().to_string(),
        device_id: device.to_string(),
        choice: Some(choice(wire::Preference::Full, ALBION)),
        ..wire::RemoveFlagRequest::default()
    }
}

fn choice(preference: wire::Preference, by: SampleParty) -> wire::ConsumerChoice {
    wire::ConsumerChoice {
        preference: preference.into(),
        captured_time: Some(timestamp_to_wire(SystemClock.now())),
        channel: wire::Channel::Telephone.into(),
        captured_by_party_id: by.id.to_owned(),
        evidence_reference: "CALL-117".to_owned(),
    }
}
