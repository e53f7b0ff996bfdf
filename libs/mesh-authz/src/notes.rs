//! What is found out about a call on its way in, for whoever puts it on record.
//!
//! The layer that keeps the record puts [`Notes`] into the request. The authorization layer notes the
//! caller and the Devices that the request names; handlers note what they alone know. Where nobody
//! keeps a record, notes are written and not read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_types::{DeviceId, EntityId, Position};

use crate::Caller;

/// The notes on one call. Cloning gives another handle to the same notes.
#[derive(Debug, Clone, Default)]
pub struct Notes(Arc<Mutex<Noted>>);

/// What was noted.
#[derive(Debug, Clone, Default)]
pub struct Noted {
    /// The caller, once the directory has recognised it.
    pub caller: Option<Arc<Caller>>,
    /// The entity that the caller says it acts for, whether it may or not.
    pub claims_to_act_for: Option<EntityId>,
    /// The Devices that were asked about, or that are in the answer to a question about the past.
    pub devices: Vec<DeviceId>,
    /// Those of a batch that were refused, while others were not.
    pub refused: Vec<DeviceId>,
    /// Where the change that the call made stands in a log.
    pub position: Option<Position>,
    /// Whether the call asks what was, and not what is.
    pub asks_for_past: bool,
}

impl Notes {
    /// One more Device.
    pub fn device(&self, device: DeviceId) {
        self.devices([device]);
    }

    /// More Devices; those that stand there already are not repeated by the callers of this.
    pub fn devices(&self, devices: impl IntoIterator<Item = DeviceId>) {
        self.noted().devices.extend(devices);
    }

    /// Where the change that the call made stands; of several the last.
    pub fn position(&self, position: Position) {
        self.noted().position = Some(position);
    }

    /// The call asks what was.
    pub fn asks_for_past(&self) {
        self.noted().asks_for_past = true;
    }

    pub(crate) fn claims_to_act_for(&self, entity: Option<EntityId>) {
        if entity.is_some() {
            self.noted().claims_to_act_for = entity;
        }
    }

    pub(crate) fn caller(&self, caller: &Arc<Caller>) {
        self.noted().caller = Some(Arc::clone(caller));
    }

    pub(crate) fn refused(&self, devices: impl IntoIterator<Item = DeviceId>) {
        self.noted().refused.extend(devices);
    }

    /// What was noted so far; the notes start anew.
    #[must_use]
    pub fn take(&self) -> Noted {
        std::mem::take(&mut *self.noted())
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        // Each change is one statement: there is nothing half-done to be found.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
