//! How does what is known of a call look as a record?

use mesh_api::audit::v1 as wire;
use mesh_api::common::v1::{Actor, ErrorReason};
use mesh_api::convert::{position_to_wire, timestamp_to_wire};
use mesh_authz::{Identity, Noted};
use mesh_rpc::Exchanged;
use mesh_rpc::audit::{Counted, Entry, Part};
use mesh_types::{EntityId, Timestamp};

use crate::pseudonym::Pseudonyms;
use crate::tally::Tally;

/// Changes of a deny-list that stand in one record: each takes some hundred octets.
const CHANGES_OF_A_RECORD: usize = 100;

/// The record of a call, or of one end of a stream.
pub(crate) fn of_call(entry: &Entry, pseudonyms: &Pseudonyms) -> wire::AuditRecord {
    let (part, messages_sent, octets_sent) = match entry.part {
        Part::Whole => (wire::CallPart::Whole, 0, 0),
        Part::StreamStarted => (wire::CallPart::StreamStarted, 0, 0),
        Part::StreamRequest => (wire::CallPart::StreamRequest, 0, 0),
        Part::StreamEnded { messages, octets } => (wire::CallPart::StreamEnded, messages, octets),
    };
    let of_all = |devices: &[_]| {
        devices
            .iter()
            .map(|device| pseudonyms.of(*device))
            .collect()
    };
    let call = wire::CallRecord {
        time: Some(timestamp_to_wire(entry.time)),
        rpc: entry.rpc.to_owned(),
        caller: Some(caller(entry.identity, &entry.noted)),
        part: part.into(),
        code: entry.answer.code.into(),
        reason: entry
            .answer
            .reason
            .unwrap_or(ErrorReason::Unspecified)
            .into(),
        device_pseudonyms: of_all(&entry.noted.devices),
        refused_device_pseudonyms: of_all(&entry.noted.refused),
        position: entry.noted.position.as_ref().map(position_to_wire),
        trace_id: entry.trace.map(Vec::from).unwrap_or_default(),
        messages_sent,
        octets_sent,
        rows: entry.noted.rows.map(|rows| wire::RowCounts {
            recorded: rows.recorded,
            unchanged: rows.unchanged,
            refused: rows.refused,
        }),
    };
    wire::AuditRecord {
        record: Some(wire::audit_record::Record::Call(call)),
    }
}

/// The record of calls that were counted.
pub(crate) fn of_count(
    what: Counted,
    tally: Tally,
    (from, until): (Timestamp, Timestamp),
) -> wire::AuditRecord {
    let count = wire::CallCount {
        from_time: Some(timestamp_to_wire(from)),
        until_time: Some(timestamp_to_wire(until)),
        rpc: what.rpc.to_owned(),
        caller: what.identity.map(|identity| shown(identity, None)),
        code: what.answer.code.into(),
        reason: what
            .answer
            .reason
            .unwrap_or(ErrorReason::Unspecified)
            .into(),
        calls: tally.calls,
        messages_sent: tally.messages,
    };
    wire::AuditRecord {
        record: Some(wire::audit_record::Record::Count(count)),
    }
}

/// The record of something other than a call.
pub(crate) fn of_service(service: wire::ServiceRecord) -> wire::AuditRecord {
    wire::AuditRecord {
        record: Some(wire::audit_record::Record::Service(service)),
    }
}

/// The records of a list of those who are accepted no more that came into use: one, or as many as its
/// changes need.
pub(crate) fn of_list(list: &Exchanged, now: Timestamp) -> Vec<wire::ServiceRecord> {
    let record = |change: wire::ServiceChange, detail| wire::ServiceRecord {
        time: Some(timestamp_to_wire(now)),
        change: change.into(),
        detail,
        ..wire::ServiceRecord::default()
    };
    match list {
        Exchanged::DenyList {
            added,
            removed,
            entries,
        } => {
            let added = added.iter().map(|denied| format!("denies {denied}"));
            let removed = removed
                .iter()
                .map(|denied| format!("denies no more {denied}"));
            let mut details = vec![format!("the list has {entries} entries")];
            details.extend(added.chain(removed));
            let parts = details.chunks(CHANGES_OF_A_RECORD);
            parts
                .map(|part| record(wire::ServiceChange::DenyListTaken, part.join("; ")))
                .collect()
        }
        Exchanged::Revocations { path, certificates } => {
            let detail = format!("{} revokes {certificates} certificates", path.display());
            vec![record(wire::ServiceChange::RevocationListsTaken, detail)]
        }
    }
}

/// As the directory has it; before that, as the certificate says.
fn caller(identity: Identity, noted: &Noted) -> Actor {
    match &noted.caller {
        Some(caller) => caller.actor(),
        None => shown(identity, noted.claims_to_act_for),
    }
}

fn shown(identity: Identity, claims_to_act_for: Option<EntityId>) -> Actor {
    match (identity, claims_to_act_for) {
        (Identity::Internal(role), _) => Actor {
            internal_role: role.as_str().to_owned(),
            ..Actor::default()
        },
        (Identity::Organisation(entity), None) => Actor {
            entity_id: entity.to_string(),
            ..Actor::default()
        },
        (Identity::Organisation(gateway), Some(claimed)) => Actor {
            entity_id: claimed.to_string(),
            gateway_entity_id: gateway.to_string(),
            ..Actor::default()
        },
    }
}
