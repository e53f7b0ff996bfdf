//! What has changed in this transaction so far?
//!
//! Later commands of a batch see what earlier ones did: entries are read once, changed here, and
//! written together.

use std::collections::HashMap;

use mesh_authz::{Authorized, Basis};
use mesh_store::sql::ask;
use mesh_store::{CURRENT, EventStamp, StoreError, WriteTx, sequence_to_db};
use mesh_types::{DeviceId, LogName, Position, Timestamp};

use super::rows::{self, Version};
use crate::flag::{By, Change, Draft, Entry, Meter, Place};
use crate::quota::Effect;
use crate::restriction::only_prompts;
use crate::wire::event_octets;

/// The entries of one transaction.
#[derive(Debug)]
pub(super) struct Ledger {
    log: LogName,
    slots: HashMap<DeviceId, Slot>,
}

/// What is to be recorded of a Device.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) device: DeviceId,
    pub(super) meter: Meter,
    pub(super) change: Change,
    pub(super) by: Option<By>,
    pub(super) trace_parent: String,
}

#[derive(Debug)]
struct Slot {
    stored: Option<Entry>,
    /// What the transaction made of it, one for each event.
    versions: Vec<Entry>,
}

impl Slot {
    const fn holding(stored: Option<Entry>) -> Self {
        Self {
            stored,
            versions: Vec::new(),
        }
    }

    fn current(&self) -> Option<&Entry> {
        self.versions.last().or(self.stored.as_ref())
    }
}

impl Ledger {
    /// That of a transaction that can be about `devices`: those of them that have an entry are among `entries`,
    /// with any others.
    pub(super) fn of(
        log: &LogName,
        devices: impl IntoIterator<Item = DeviceId>,
        entries: Vec<Entry>,
    ) -> Self {
        let mut ledger = Self {
            log: log.clone(),
            slots: HashMap::new(),
        };
        ledger.hold(devices, entries);
        ledger
    }

    /// Reads the entries of further Devices.
    pub(super) async fn learn(
        &mut self,
        tx: &mut WriteTx,
        devices: impl IntoIterator<Item = DeviceId>,
    ) -> Result<(), StoreError> {
        let devices: Vec<DeviceId> = devices
            .into_iter()
            .filter(|device| !self.slots.contains_key(device))
            .collect();
        let entries = ask(tx.conn(), rows::present(&devices, &[], &[])).await?;
        self.hold(devices, entries);
        Ok(())
    }

    fn hold(&mut self, devices: impl IntoIterator<Item = DeviceId>, entries: Vec<Entry>) {
        for device in devices {
            self.slots.insert(device, Slot::holding(None));
        }
        for entry in entries {
            self.slots.insert(entry.device, Slot::holding(Some(entry)));
        }
    }

    /// The entry of a Device as it stands now.
    pub(super) fn entry(&self, device: DeviceId) -> Option<&Entry> {
        self.slots.get(&device).and_then(Slot::current)
    }

    /// The Devices on `hub` as they stand now, in order.
    pub(super) fn on_hub(&self, hub: DeviceId) -> Vec<DeviceId> {
        let entries = self.slots.values().filter_map(Slot::current);
        let mut devices: Vec<DeviceId> = entries
            .filter(|entry| entry.standing.hub == Some(hub))
            .map(|entry| entry.device)
            .collect();
        devices.sort_unstable();
        devices
    }

    /// The entries whose flag means `device`, its own and those that cover it, in order.
    pub(super) fn covering(&self, device: DeviceId) -> Vec<&Entry> {
        let entries = self.slots.values().filter_map(Slot::current);
        let mut covering: Vec<&Entry> = entries.filter(|entry| entry.covers(device)).collect();
        covering.sort_unstable_by_key(|entry| entry.device);
        covering
    }

    /// Appends the event that does `change` to the Device, and makes it the Device's entry. What
    /// it rests on is what allows it.
    pub(super) fn record(
        &mut self,
        tx: &mut WriteTx,
        authorized: &Authorized,
        news: Recorded,
    ) -> Result<Position, StoreError> {
        let slot = self
            .slots
            .get_mut(&news.device)
            .ok_or_else(|| inconsistent("an entry was changed before it was read"))?;
        let before = slot.current();
        let rests_on = allowed(authorized, before, &news)?;
        let event = Draft {
            device: news.device,
            meter: news.meter,
            previous: before.map_or_else(
                || news.change.current.with_flag(false),
                |entry| entry.standing.clone(),
            ),
            change: news.change,
            by: news.by,
            trace_parent: news.trace_parent,
            rests_on,
        };
        let place = |stamp: &EventStamp| Place {
            sequence: stamp.position.sequence,
            recorded_time: stamp.recorded_time,
        };
        let stamp = tx.append(&self.log, |stamp| event_octets(&event, place(stamp)))?;
        let entry = Entry::after(before, event.happened(place(&stamp)));
        slot.versions.push(entry);
        Ok(stamp.position)
    }

    /// Counts what the supplier did last to the Device, when the clock shows `clock`.
    pub(super) fn spend(&mut self, device: DeviceId, effect: Effect, clock: Timestamp) {
        let slot = self.slots.get_mut(&device);
        if let Some(entry) = slot.and_then(|slot| slot.versions.last_mut()) {
            entry.spent.note(effect, clock);
        }
    }

    /// Writes every version that the transaction made, and closes those before them.
    pub(super) fn write(self, tx: &mut WriteTx) {
        let mut versions = Vec::new();
        for slot in self.slots.into_values() {
            if slot.versions.is_empty() {
                continue;
            }
            let mut to = CURRENT;
            for entry in slot.stored.into_iter().chain(slot.versions).rev() {
                let from = sequence_to_db(entry.last_sequence);
                versions.push(Version { entry, to });
                to = from;
            }
        }
        rows::write(tx, &versions);
    }
}

/// The position in the log `devices` that the news rests on, if it is allowed. `before` is what the
/// Device's entry was.
fn allowed(
    authorized: &Authorized,
    before: Option<&Entry>,
    news: &Recorded,
) -> Result<Position, StoreError> {
    let permit = match authorized {
        Authorized::Caller(permit) => permit,
        Authorized::Followed(position) => return Ok(position.clone()),
        // No change of a flag is made by the passing of time.
        Authorized::Scheduled(_) => return Err(inconsistent("nothing is scheduled for a flag")),
    };
    match permit.basis() {
        Basis::Responsible(authority) if permit.device() == news.device => {
            Ok(authority.position().clone())
        }
        Basis::Responsible(_) => Err(inconsistent("a permit is for another Device")),
        // A role says nothing of the Device: the facts are those that the entry shows.
        Basis::Role => before
            .filter(|entry| entry.covers(permit.device()) && only_prompts(&news.change, entry))
            .map(|entry| entry.rests_on.clone())
            .ok_or_else(|| inconsistent("a permit without authority cannot change a flag")),
        Basis::Followed => Err(inconsistent("a permit to read cannot change a flag")),
    }
}

fn inconsistent(what: &'static str) -> StoreError {
    StoreError::inconsistent(rows::TABLE, what)
}
