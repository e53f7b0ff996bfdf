//! When were communications with a Device reduced?
//!
//! A flag holds from the moment at which it was recorded up to the moment at which its lifting was:
//! between the two the mesh could suppress, before and after it could not. Why that time and not
//! another: `docs/adr/2026-11-23-exceptions-are-decided-when-read.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use mesh_api::convert::timestamp_from_wire;
use mesh_api::flag_registry::v1 as wire;
use mesh_types::{DeviceId, Timestamp};

use crate::movement::{Cause, Holder};

/// What an event of the log `flags` says of reduced communications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagChange {
    /// The meter that the event is about.
    pub source: DeviceId,
    /// When it was recorded.
    pub at: Timestamp,
    /// The Devices that the meter's flag reduces from then on: itself and those it covers; none if
    /// it is not flagged.
    pub reduced: BTreeSet<DeviceId>,
    /// For whom the meter's flag counts from then on.
    pub holder: Holder,
    /// Why it was recorded.
    pub cause: Cause,
}

/// Communications with a Device were reduced from `start` up to but not including `end`. An interval
/// that ended at the very instant at which it began holds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reduced {
    /// The Device.
    pub device: DeviceId,
    /// The first instant.
    pub start: Timestamp,
    /// The meter that is flagged: the Device itself or the GSME that covers it.
    pub source: DeviceId,
    /// The first instant after; [`Timestamp::FOREVER`] while the flag is set.
    pub end: Timestamp,
}

/// An event that is not well formed: a defect of the log's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the flag event is not well formed")]
pub struct MalformedEvent;

impl FlagChange {
    /// Reads an event. When communications were reduced only the state says that it leaves; the cause says why a flag
    /// ended.
    pub fn read(event: &wire::FlagEvent) -> Result<Self, MalformedEvent> {
        let source = event.device_id.parse().map_err(|_| MalformedEvent)?;
        let at = event.recorded_time.as_ref().ok_or(MalformedEvent)?;
        let current = event.current.as_ref().ok_or(MalformedEvent)?;
        let mut reduced = BTreeSet::new();
        if current.state() == wire::FlagState::Flagged {
            reduced.insert(source);
            for covered in &current.covered_device_ids {
                reduced.insert(covered.parse().map_err(|_| MalformedEvent)?);
            }
        }
        let holder = Holder {
            supplier: optional(&current.responsible_party_id)?,
            csp: optional(&current.csp_id)?,
        };
        Ok(Self {
            source,
            at: timestamp_from_wire(at).map_err(|_| MalformedEvent)?,
            reduced,
            holder,
            cause: event.cause().into(),
        })
    }

    /// Whether the meter is flagged afterwards.
    #[must_use]
    pub fn is_flagged(&self) -> bool {
        !self.reduced.is_empty()
    }
}

fn optional<T: FromStr>(text: &str) -> Result<Option<T>, MalformedEvent> {
    match text {
        "" => Ok(None),
        text => Ok(Some(text.parse().map_err(|_| MalformedEvent)?)),
    }
}

/// The intervals that `changes` begin or end, in log order, where `open` are those that had not
/// ended before. An interval that does not change is not among them.
#[must_use]
pub fn fold(open: &[Reduced], changes: &[FlagChange]) -> Vec<Reduced> {
    // By the meter that is flagged: what its flag reduces, and since when.
    let mut standing: BTreeMap<DeviceId, BTreeMap<DeviceId, Timestamp>> = BTreeMap::new();
    for interval in open {
        let of_source = standing.entry(interval.source).or_default();
        of_source.insert(interval.device, interval.start);
    }
    let mut changed = BTreeMap::new();
    for change in changes {
        let source = change.source;
        let of_source = standing.entry(source).or_default();
        of_source.retain(|&device, &mut start| {
            let stays = change.reduced.contains(&device);
            if !stays {
                changed.insert((device, start, source), change.at);
            }
            stays
        });
        for &device in &change.reduced {
            of_source.entry(device).or_insert_with(|| {
                changed.insert((device, change.at, source), Timestamp::FOREVER);
                change.at
            });
        }
    }
    let rows = changed.into_iter();
    rows.map(|((device, start, source), end)| Reduced {
        device,
        start,
        source,
        end,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOREVER: i64 = i64::MAX;

    fn device(number: u64) -> DeviceId {
        DeviceId::new(mesh_types::Eui64::from_u64(number))
    }

    fn change(source: u64, at: i64, reduced: &[u64]) -> FlagChange {
        FlagChange {
            source: device(source),
            at: Timestamp::from_micros(at),
            reduced: reduced.iter().copied().map(device).collect(),
            holder: Holder::default(),
            cause: Cause::Other,
        }
    }

    fn reduced(rows: &[(u64, i64, u64, i64)]) -> Vec<Reduced> {
        let row = |&(number, start, source, end)| Reduced {
            device: device(number),
            start: Timestamp::from_micros(start),
            source: device(source),
            end: Timestamp::from_micros(end),
        };
        rows.iter().map(row).collect()
    }

    #[test]
    fn a_flag_holds_from_its_record_to_that_of_its_lifting() {
        let changes = [change(1, 10, &[1]), change(1, 20, &[]), change(1, 30, &[1])];
        let all = reduced(&[(1, 10, 1, 20), (1, 30, 1, FOREVER)]);
        assert_eq!(fold(&[], &changes), all);
        // The same in two steps, which is how a log arrives.
        let first = fold(&[], &changes[..1]);
        assert_eq!(first, reduced(&[(1, 10, 1, FOREVER)]));
        assert_eq!(fold(&first, &changes[1..]), all);
    }

    #[test]
    fn coverage_moves_with_the_proxy_and_the_meter_stays() {
        let open = reduced(&[(1, 10, 1, FOREVER), (7, 10, 1, FOREVER)]);
        assert_eq!(
            fold(&open, &[change(1, 20, &[1, 8])]),
            reduced(&[(7, 10, 1, 20), (8, 20, 1, FOREVER)])
        );
    }

    #[test]
    fn what_changes_no_state_changes_no_interval() {
        let open = reduced(&[(1, 10, 1, FOREVER)]);
        assert_eq!(fold(&open, &[change(1, 20, &[1]), change(2, 20, &[])]), []);
    }

    #[test]
    fn lifted_and_set_within_one_instant_is_one_interval_without_a_hole() {
        let open = reduced(&[(1, 10, 1, FOREVER)]);
        let changes = [
            change(1, 20, &[]),
            change(1, 20, &[1]),
            change(1, 20, &[]),
            change(1, 20, &[1]),
        ];
        assert_eq!(
            fold(&open, &changes),
            reduced(&[(1, 10, 1, 20), (1, 20, 1, FOREVER)])
        );
    }

    #[test]
    fn two_meters_may_cover_one_proxy() {
        let changes = [
            change(1, 10, &[1, 7]),
            change(2, 15, &[2, 7]),
            change(1, 20, &[]),
        ];
        assert_eq!(
            fold(&[], &changes),
            reduced(&[
                (1, 10, 1, 20),
                (2, 15, 2, FOREVER),
                (7, 10, 1, 20),
                (7, 15, 2, FOREVER)
            ])
        );
    }

    #[test]
    fn an_event_is_read_by_the_state_it_leaves() {
        let facts = wire::FlagFacts {
            state: wire::FlagState::Flagged.into(),
            covered_device_ids: vec![device(7).to_string()],
            ..wire::FlagFacts::default()
        };
        let event = wire::FlagEvent {
            device_id: device(1).to_string(),
            recorded_time: Some(prost_types::Timestamp {
                seconds: 0,
                nanos: 10_000,
            }),
            // Back-dated: what it says became true earlier, but nothing was suppressed then.
            effective_time: Some(prost_types::Timestamp::default()),
            current: Some(facts.clone()),
            ..wire::FlagEvent::default()
        };
        assert_eq!(FlagChange::read(&event), Ok(change(1, 10, &[1, 7])));
        let lifted = wire::FlagEvent {
            current: Some(wire::FlagFacts {
                state: wire::FlagState::NotFlagged.into(),
                ..facts
            }),
            ..event.clone()
        };
        assert_eq!(FlagChange::read(&lifted), Ok(change(1, 10, &[])));
        let without = wire::FlagEvent {
            current: None,
            ..event
        };
        assert_eq!(FlagChange::read(&without), Err(MalformedEvent));
        let held = wire::FlagEvent {
            cause: wire::Cause::TenancyRemoved.into(),
            current: Some(wire::FlagFacts {
                responsible_party_id: "ONE".into(),
                csp_id: "4g".into(),
                ..wire::FlagFacts::default()
            }),
            ..lifted
        };
        let read = FlagChange::read(&held).unwrap();
        let holder = Holder {
            supplier: "ONE".parse().ok(),
            csp: "4g".parse().ok(),
        };
        assert_eq!((read.holder, read.cause), (holder, Cause::TenancyLifted));
    }
}
