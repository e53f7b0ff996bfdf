//! What is found out about a call on its way in, for whoever puts it on record.
//!
//! The layer that keeps the record puts [`Notes`] into the request. The authorization layer notes the
//! caller and the Devices that the request names; handlers note what they alone know. Where nobody
//! keeps a record, notes are written and not read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_api::common::v1 as wire;
use mesh_api::convert::position_from_wire;
use mesh_types::{DeviceId, EntityId, Position};

use crate::Caller;

/// The notes on one call. Cloning gives another handle to the same notes.
#[derive(Debug, Clone, Default)]
pub struct Notes(Arc<Mutex<Written>>);

#[derive(Debug, Default)]
struct Written {
    now: Noted,
    /// What was noted of requests on a stream that have been answered.
    answered: Vec<Noted>,
}

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
    /// What became of the rows of a load.
    pub rows: Option<Rows>,
    /// Whether the call asks what was, and not what is.
    pub asks_for_past: bool,
}

/// What became of the rows of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rows {
    /// Those that were recorded.
    pub recorded: u64,
    /// Those that were recorded just so before.
    pub unchanged: u64,
    /// Those that were refused.
    pub refused: u64,
}

impl Notes {
    /// One more Device.
    pub fn device(&self, device: DeviceId) {
        self.devices([device]);
    }

    /// More Devices; those that stand there already are not repeated by the callers of this.
    pub fn devices(&self, devices: impl IntoIterator<Item = DeviceId>) {
        self.written().now.devices.extend(devices);
    }

    /// Where the change that the call made stands, as the answer says it; of several the last.
    pub fn answered(&self, position: Option<&wire::Position>) {
        if let Some(Ok(position)) = position.map(position_from_wire) {
            self.written().now.position = Some(position);
        }
    }

    /// A request of a load is answered: what is noted from now on is of the next one.
    pub fn end_request(&self, rows: Rows) {
        let mut written = self.written();
        let noted = std::mem::take(&mut written.now);
        written.answered.push(Noted {
            rows: Some(rows),
            ..noted
        });
    }

    /// The call asks what was.
    pub fn asks_for_past(&self) {
        self.written().now.asks_for_past = true;
    }

    pub(crate) fn claims_to_act_for(&self, entity: Option<EntityId>) {
        if entity.is_some() {
            self.written().now.claims_to_act_for = entity;
        }
    }

    pub(crate) fn caller(&self, caller: &Arc<Caller>) {
        self.written().now.caller = Some(Arc::clone(caller));
    }

    /// Those of the Devices that were refused, while others were not.
    pub fn refused(&self, devices: impl IntoIterator<Item = DeviceId>) {
        self.written().now.refused.extend(devices);
    }

    /// What was noted so far, but for requests that have been answered; the notes start anew.
    #[must_use]
    pub fn take(&self) -> Noted {
        std::mem::take(&mut self.written().now)
    }

    /// What was noted of each request of a stream that was answered since.
    #[must_use]
    pub fn take_answered(&self) -> Vec<Noted> {
        std::mem::take(&mut self.written().answered)
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        // Each change is whole before the lock is let go, whatever panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
