//! How do decisions and rules look on the wire?

use mesh_api::classification::v1 as wire;
use mesh_api::common::v1::DeviceType as WireType;
use mesh_api::convert::{position_to_wire, timestamp_to_wire};
use mesh_types::DeviceId;

use crate::codes::Srv;
use crate::decide::Decision;
use crate::flags::{Flagged, View};
use crate::message::{DeviceType, Message};
use crate::policy::{Entry, Policy, Row, Treatment};
use crate::terms::{message_class, origin, reason, verdict};

/// The decision about `message`; `flag` is the one that holds for the decision's flagged Device.
#[must_use]
pub fn decision(
    policy: &Policy,
    message: &Message,
    decision: &Decision<'_>,
    flag: Option<&Flagged>,
    view: Option<&View>,
) -> wire::Decision {
    let srv = message.subject.srv().map(|srv| srv_text(policy, srv));
    let freshness = match view {
        Some(view) if decision.depends_on_flag && view.is_stale() => wire::Freshness::Stale,
        Some(_) if decision.depends_on_flag => wire::Freshness::Current,
        _ => wire::Freshness::Unspecified,
    };
    wire::Decision {
        verdict: verdict(decision.verdict).into(),
        reason: reason(decision.reason).into(),
        message_class: message_class(decision.class).into(),
        rule_id: str::to_owned(decision.row),
        policy_version: str::to_owned(policy.version()),
        device_ids: message.devices.as_slice().iter().map(device_id).collect(),
        flagged_device_id: flag.map(|flag| device_id(&flag.by)).unwrap_or_default(),
        flag_sequence: flag.map(|flag| flag.sequence).unwrap_or_default(),
        freshness: freshness.into(),
        origin: origin(message.origin).into(),
        service_reference_variant: srv.unwrap_or_default(),
    }
}

/// What all decisions of an answer rest on.
#[must_use]
pub fn basis(view: &View) -> wire::FlagBasis {
    wire::FlagBasis {
        position: Some(position_to_wire(&view.position)),
        fresh_time: Some(timestamp_to_wire(view.fresh_time)),
    }
}

/// A row of the policy.
#[must_use]
pub fn rule(policy: &Policy, row: &Row<'_>) -> wire::PolicyRule {
    let types = [
        (DeviceType::Esme, WireType::Esme),
        (DeviceType::Gsme, WireType::Gsme),
        (DeviceType::Gpf, WireType::Gpf),
    ];
    let by_type = row.by_device_type;
    let exceptions = by_type.into_iter().flat_map(|by_type| {
        types.map(|(device_type, on_wire)| {
            let entry = by_type.entry(device_type);
            wire::DeviceTypeRule {
                device_type: on_wire.into(),
                message_class: message_class(entry.class).into(),
                verdict_while_flagged: while_flagged(entry).into(),
            }
        })
    });
    let otherwise = by_type.map_or(row.entry, |by_type| by_type.entry(DeviceType::Other));
    wire::PolicyRule {
        rule_id: str::to_owned(&row.entry.id),
        name: row.name.to_owned(),
        message_class: message_class(otherwise.class).into(),
        verdict_while_flagged: while_flagged(otherwise).into(),
        device_type_rules: exceptions.collect(),
        critical: row.entry.critical,
        reason: str::to_owned(&policy.rule(row.entry).reason),
    }
}

const fn while_flagged(entry: &Entry) -> wire::Verdict {
    match entry.treatment {
        Treatment::Suppress if entry.may_be_suppressed() => wire::Verdict::Suppress,
        _ => wire::Verdict::Deliver,
    }
}

/// The variant's text, which the id of its row ends with; so there is nothing to format.
fn srv_text(policy: &Policy, srv: Srv) -> String {
    let row = policy.service_request(srv);
    let known = row.and_then(|row| row.entry.id.strip_prefix("srv/"));
    known.map_or_else(|| srv.to_string(), str::to_owned)
}

/// The Device's text, without the detour over a formatter: there is one in nearly every decision.
fn device_id(device: &DeviceId) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    let mut text = String::with_capacity(23);
    for (at, octet) in device.eui64().octets().into_iter().enumerate() {
        if at > 0 {
            text.push('-');
        }
        text.push(DIGITS[usize::from(octet >> 4)]);
        text.push(DIGITS[usize::from(octet & 0x0F)]);
    }
    text
}

#[cfg(test)]
mod tests {
    use mesh_types::Eui64;

    use super::*;

    #[test]
    fn a_device_is_written_as_everywhere() {
        for number in [0, 1, 0x00DB_1234_5678_90A0, u64::MAX] {
            let device = DeviceId::new(Eui64::from_u64(number));
            assert_eq!(device_id(&device), device.to_string());
        }
    }

    #[test]
    fn a_variant_is_written_as_everywhere() {
        let policy = Policy::builtin();
        let known = policy.service_requests().iter().map(|row| row.srv);
        for srv in known.chain([Srv::new(4, 99, 1), Srv::new(250, 1, 0)]) {
            assert_eq!(srv_text(&policy, srv), srv.to_string());
        }
    }

    #[test]
    fn a_row_says_what_each_type_of_device_makes_of_it() {
        let policy = Policy::builtin();
        let find = |id: &str| {
            let row = policy.rows().find(|row| &*row.entry.id == id).unwrap();
            rule(&policy, &row)
        };
        let read = find("srv/4.8.1");
        assert_eq!(read.verdict_while_flagged(), wire::Verdict::Suppress);
        assert!(read.device_type_rules.is_empty() && !read.name.is_empty());
        let network = find("srv/4.10");
        let verdicts: Vec<_> = network
            .device_type_rules
            .iter()
            .map(|rule| (rule.device_type(), rule.verdict_while_flagged()))
            .collect();
        assert_eq!(
            verdicts,
            [
                (WireType::Esme, wire::Verdict::Deliver),
                (WireType::Gsme, wire::Verdict::Suppress),
                (WireType::Gpf, wire::Verdict::Suppress),
            ]
        );
        assert_eq!(network.verdict_while_flagged(), wire::Verdict::Suppress);
        let billing = find("alert/0x8F0A");
        assert!(billing.critical);
        assert_eq!(billing.verdict_while_flagged(), wire::Verdict::Deliver);
    }
}
