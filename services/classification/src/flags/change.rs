//! What does an event or an entry of the flag registry change here?

use mesh_api::common::v1::DeviceType as WireType;
use mesh_api::flag_registry::v1 as wire;
use mesh_types::{DeviceId, Eui64Error, Sequence};

use crate::message::DeviceType;

/// A change of one Device's flag, or of what it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagChange {
    /// The event that made the change.
    pub sequence: Sequence,
    /// The Device.
    pub device: DeviceId,
    /// What it is.
    pub device_type: DeviceType,
    /// Whether it is flagged after the change.
    pub flagged: bool,
    /// The Devices that its flag covers after the change, while it is flagged.
    pub covered: Vec<DeviceId>,
    /// The Devices that it covered before. One may be among those of after, too.
    pub no_longer_covered: Vec<DeviceId>,
}

/// What the flag registry sent cannot be read: a defect of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedFlag {
    /// A Device ID is none.
    #[error(transparent)]
    Device(#[from] Eui64Error),
    /// An event does not say what holds before and after it.
    #[error("an event says what holds before and after it")]
    Facts,
    /// An entry in a snapshot of what is flagged is not flagged.
    #[error("a snapshot holds what is flagged")]
    NotFlagged,
}

impl FlagChange {
    /// What the event at `sequence` changes; `None` if neither the flag nor what it covers, as with
    /// a preference that was only recorded or with another supplier.
    pub fn of_event(
        sequence: Sequence,
        event: &wire::FlagEvent,
    ) -> Result<Option<Self>, MalformedFlag> {
        let (Some(before), Some(after)) = (&event.previous, &event.current) else {
            return Err(MalformedFlag::Facts);
        };
        let (was, is) = (is_flagged(before.state())?, is_flagged(after.state())?);
        let same_cover = before.covered_device_ids == after.covered_device_ids;
        if was == is && (!is || same_cover) {
            return Ok(None);
        }
        Ok(Some(Self {
            sequence,
            device: event.device_id.parse()?,
            device_type: device_type(event.device_type()),
            flagged: is,
            covered: devices(&after.covered_device_ids)?,
            no_longer_covered: devices(&before.covered_device_ids)?,
        }))
    }

    /// How an entry of a snapshot came to be.
    pub fn of_entry(entry: &wire::FlagEntry) -> Result<Self, MalformedFlag> {
        if !is_flagged(entry.state())? {
            return Err(MalformedFlag::NotFlagged);
        }
        Ok(Self {
            sequence: entry.state_sequence,
            device: entry.device_id.parse()?,
            device_type: device_type(entry.device_type()),
            flagged: true,
            covered: devices(&entry.covered_device_ids)?,
            no_longer_covered: Vec::new(),
        })
    }
}

const fn is_flagged(state: wire::FlagState) -> Result<bool, MalformedFlag> {
    match state {
        wire::FlagState::Flagged => Ok(true),
        wire::FlagState::NotFlagged => Ok(false),
        wire::FlagState::Unspecified => Err(MalformedFlag::Facts),
    }
}

fn devices(texts: &[String]) -> Result<Vec<DeviceId>, MalformedFlag> {
    let devices = texts.iter().map(|text| text.parse());
    Ok(devices.collect::<Result<_, _>>()?)
}

const fn device_type(device_type: WireType) -> DeviceType {
    match device_type {
        WireType::Esme => DeviceType::Esme,
        WireType::Gsme => DeviceType::Gsme,
        WireType::Gpf => DeviceType::Gpf,
        WireType::Unspecified
        | WireType::Chf
        | WireType::Ppmid
        | WireType::Hcalcs
        | WireType::Ihd
        | WireType::Cad
        | WireType::Sapc => DeviceType::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GSME: &str = "00-DB-12-34-56-78-90-A1";
    const GPF: &str = "00-DB-12-34-56-78-90-A3";

    fn facts(state: wire::FlagState, covered: &[&str]) -> Option<wire::FlagFacts> {
        Some(wire::FlagFacts {
            state: state.into(),
            covered_device_ids: covered.iter().map(ToString::to_string).collect(),
            ..wire::FlagFacts::default()
        })
    }

    fn event(
        previous: Option<wire::FlagFacts>,
        current: Option<wire::FlagFacts>,
    ) -> wire::FlagEvent {
        wire::FlagEvent {
            device_id: GSME.to_owned(),
            device_type: WireType::Gsme.into(),
            previous,
            current,
            ..wire::FlagEvent::default()
        }
    }

    #[test]
    fn only_what_changes_flag_or_coverage_is_a_change() {
        use wire::FlagState::{Flagged, NotFlagged};
        let read = |before, after| FlagChange::of_event(5, &event(before, after)).unwrap();
        let on = |covered| facts(Flagged, covered);
        let off = |covered| facts(NotFlagged, covered);
        let added = read(off(&[GPF]), on(&[GPF])).unwrap();
        assert!(added.flagged && added.sequence == 5);
        assert_eq!(added.covered, [GPF.parse().unwrap()]);
        assert!(!read(on(&[GPF]), off(&[GPF])).unwrap().flagged);
        assert!(read(on(&[]), on(&[GPF])).is_some());
        for (before, after) in [
            (on(&[GPF]), on(&[GPF])),
            (off(&[]), off(&[])),
            (off(&[]), off(&[GPF])),
        ] {
            assert_eq!(read(before, after), None);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        use wire::FlagState::{Flagged, NotFlagged, Unspecified};
        for (before, after) in [
            (None, facts(Flagged, &[])),
            (facts(Flagged, &[]), None),
            (facts(NotFlagged, &[]), facts(Unspecified, &[])),
            (facts(NotFlagged, &[]), facts(Flagged, &["GPF"])),
        ] {
            assert!(FlagChange::of_event(1, &event(before, after)).is_err());
        }
        let entry = wire::FlagEntry {
            device_id: GSME.to_owned(),
            state: NotFlagged.into(),
            ..wire::FlagEntry::default()
        };
        assert_eq!(FlagChange::of_entry(&entry), Err(MalformedFlag::NotFlagged));
    }
}
