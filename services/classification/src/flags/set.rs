//! Which Devices are flagged, and which are covered by another one's flag?

use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use mesh_types::{DeviceId, Sequence};

use super::FlagChange;
use crate::decide::Flag;
use crate::message::DeviceType;

/// A change copies one part of the set for each Device that it touches: with two million Devices
/// some 500 slots of 32 octets.
const SHARDS: u16 = 4096;

/// The flag that holds for a Device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flagged {
    /// The Device that is flagged: the Device itself, or the GSME whose flag covers it.
    pub by: DeviceId,
    /// The event in the log `flags` that set the flag.
    pub sequence: Sequence,
    /// What the Device itself is.
    pub device_type: DeviceType,
}

impl Flagged {
    /// What a decision needs of it.
    #[must_use]
    pub const fn flag(&self) -> Flag {
        Flag {
            device_type: self.device_type,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    device: DeviceId,
    flagged: Flagged,
}

type Shard = HashTable<Slot>;

/// All Devices for which a flag holds.
///
/// A clone shares everything with its original until one of the two changes, and then everything
/// but the parts that changed. So a reader that holds one is never waited for and never waits, and
/// what it sees is one state, however many Devices it asks about.
#[derive(Clone)]
pub struct FlagSet {
    shards: Vec<Arc<Shard>>,
    hasher: RandomState,
    devices: usize,
}

impl Default for FlagSet {
    fn default() -> Self {
        Self {
            // All the same empty shard, until one is written.
            shards: vec![Arc::default(); usize::from(SHARDS)],
            hasher: RandomState::default(),
            devices: 0,
        }
    }
}

impl fmt::Debug for FlagSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlagSet")
            .field("devices", &self.devices)
            .finish_non_exhaustive()
    }
}

impl FlagSet {
    /// The flag that holds for `device`, if one does.
    #[must_use]
    pub fn get(&self, device: DeviceId) -> Option<&Flagged> {
        let hash = self.hasher.hash_one(device);
        self.shards[shard_of(hash)]
            .find(hash, |slot| slot.device == device)
            .map(|slot| &slot.flagged)
    }

    /// How many Devices a flag holds for, covered ones included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.devices
    }

    /// Whether no Device is flagged.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.devices == 0
    }

    /// Makes the change.
    pub fn apply(&mut self, change: &FlagChange) {
        let device = change.device;
        // What keeps a flag as it is, such as another GPF, keeps the event that set it.
        let sequence = match self.get(device) {
            Some(flagged) if flagged.by == device => flagged.sequence,
            _ => change.sequence,
        };
        for &covered in &change.no_longer_covered {
            self.remove(covered, device);
        }
        if !change.flagged {
            self.remove(device, device);
            return;
        }
        let flagged = |device_type| Flagged {
            by: device,
            sequence,
            device_type,
        };
        self.insert(device, flagged(change.device_type));
        for &covered in &change.covered {
            // Only a GSME's flag covers another Device: its GPF.
            self.insert(covered, flagged(DeviceType::Gpf));
        }
    }

    fn insert(&mut self, device: DeviceId, flagged: Flagged) {
        let hash = self.hasher.hash_one(device);
        let hasher = &self.hasher;
        let slot = Slot { device, flagged };
        let entry = Arc::make_mut(&mut self.shards[shard_of(hash)]).entry(
            hash,
            |slot| slot.device == device,
            |slot| hasher.hash_one(slot.device),
        );
        match entry {
            Entry::Occupied(mut found) => *found.get_mut() = slot,
            Entry::Vacant(free) => {
                free.insert(slot);
                self.devices += 1;
            }
        }
    }

    /// Removes what the flag of `by` means for `device`; another Device's flag may cover it by now.
    fn remove(&mut self, device: DeviceId, by: DeviceId) {
        if self.get(device).is_none_or(|flagged| flagged.by != by) {
            return;
        }
        let hash = self.hasher.hash_one(device);
        let shard = Arc::make_mut(&mut self.shards[shard_of(hash)]);
        if let Ok(found) = shard.find_entry(hash, |slot| slot.device == device) {
            found.remove();
            self.devices -= 1;
        }
    }
}

/// Bits 32 to 43: a table finds its slots by the lowest bits and tells them apart by the highest.
fn shard_of(hash: u64) -> usize {
    let [_, _, high, low, ..] = hash.to_be_bytes();
    usize::from(u16::from_be_bytes([high, low]) % SHARDS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mesh_types::Eui64;
    use proptest::prelude::*;

    use super::*;

    const fn device(number: u64) -> DeviceId {
        DeviceId::new(Eui64::from_u64(number))
    }

    fn change(sequence: Sequence, gsme: u64, flagged: bool) -> FlagChange {
        FlagChange {
            sequence,
            device: device(gsme),
            device_type: DeviceType::Gsme,
            flagged,
            covered: vec![],
            no_longer_covered: vec![],
        }
    }

    fn covering(mut change: FlagChange, before: &[u64], after: &[u64]) -> FlagChange {
        change.no_longer_covered = before.iter().copied().map(device).collect();
        change.covered = after.iter().copied().map(device).collect();
        change
    }

    #[test]
    fn a_flag_covers_the_gpf_and_moves_with_it() {
        let mut set = FlagSet::default();
        set.apply(&covering(change(7, 1, true), &[], &[10]));
        let found = *set.get(device(10)).unwrap();
        assert_eq!((found.by, found.sequence), (device(1), 7));
        assert_eq!(found.device_type, DeviceType::Gpf);
        assert_eq!(set.get(device(1)).unwrap().device_type, DeviceType::Gsme);

        set.apply(&covering(change(9, 1, true), &[10], &[11]));
        assert_eq!(set.get(device(10)), None);
        assert_eq!(
            set.get(device(11)).unwrap().sequence,
            7,
            "the flag is as old as it was"
        );

        set.apply(&covering(change(12, 1, false), &[11], &[]));
        assert!(set.is_empty() && set.get(device(1)).is_none());
    }

    #[test]
    fn a_gpf_that_went_to_another_gsme_stays_covered() {
        let mut set = FlagSet::default();
        set.apply(&covering(change(1, 1, true), &[], &[10]));
        set.apply(&covering(change(2, 2, true), &[], &[10]));
        set.apply(&covering(change(3, 1, false), &[10], &[]));
        assert_eq!(set.get(device(10)).unwrap().by, device(2));
        assert_eq!(set.len(), 2);
    }

    #[test]
    fn a_clone_keeps_what_it_showed() {
        let mut set = FlagSet::default();
        set.apply(&change(1, 1, true));
        let before = set.clone();
        set.apply(&change(2, 1, false));
        set.apply(&change(3, 2, true));
        assert!(before.get(device(1)).is_some() && before.get(device(2)).is_none());
        assert!(set.get(device(1)).is_none() && set.get(device(2)).is_some());
    }

    proptest! {
        #[test]
        fn the_set_is_what_a_plain_map_would_be(
            steps in proptest::collection::vec((0_u64..40, any::<bool>()), 0..200),
        ) {
            let mut set = FlagSet::default();
            let mut model = BTreeMap::new();
            for (sequence, (number, flagged)) in (1..).zip(steps) {
                set.apply(&change(sequence, number, flagged));
                if flagged {
                    model.entry(number).or_insert(sequence);
                } else {
                    model.remove(&number);
                }
            }
            prop_assert_eq!(set.len(), model.len());
            for number in 0..40 {
                let found = set.get(device(number)).map(|flagged| flagged.sequence);
                prop_assert_eq!(found, model.get(&number).copied());
            }
        }
    }
}
