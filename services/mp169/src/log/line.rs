//! How does an event look as a line of JSON that another program can check?

use mesh_api::audit::v1::AuditEvent;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::csp_notification::v1::CspFlagChange;
use mesh_api::flag_registry::v1::FlagEvent;
use mesh_api::registration::v1::{DeviceEvent, PartyEvent};
use mesh_types::Timestamp;
use prost::{Message, Name};
use serde_json::{Value, json};

use crate::output::json;

/// An event as it was found, nothing of it believed.
pub(super) struct Line<'a> {
    pub(super) log: &'a str,
    /// Zero if the log has no head that tells it.
    pub(super) epoch: u64,
    pub(super) sequence: i64,
    pub(super) recorded_time: Option<Timestamp>,
    pub(super) previous_hash: &'a [u8],
    pub(super) hash: &'a [u8],
    pub(super) event: &'a [u8],
}

impl Line<'_> {
    pub(super) fn json(&self) -> Value {
        let recorded_time = self.recorded_time.map(timestamp_to_wire);
        // Written as in the event, so that the two can be compared; a time that protobuf cannot
        // express stands in no event.
        let recorded_time = recorded_time.and_then(|at| json(&at).ok());
        json!({
            "log": self.log,
            "epoch": self.epoch.to_string(),
            "sequence": self.sequence.to_string(),
            "recorded_time": recorded_time,
            "previous_hash": hex::encode(self.previous_hash),
            "hash": hex::encode(self.hash),
            "event": hex::encode(self.event),
            "decoded": self.decoded(),
        })
    }

    /// The event as the log's type has it, if it can be read as that.
    fn decoded(&self) -> Option<Value> {
        match self.log {
            "parties" => decoded::<PartyEvent>(self.event),
            "devices" => decoded::<DeviceEvent>(self.event),
            "flags" => decoded::<FlagEvent>(self.event),
            log if log.starts_with("audit/") => decoded::<AuditEvent>(self.event),
            log if log.starts_with("csp/") => decoded::<CspFlagChange>(self.event),
            _ => None,
        }
    }
}

fn decoded<M: Message + Name + Default>(event: &[u8]) -> Option<Value> {
    json(&M::decode(event).ok()?).ok()
}
