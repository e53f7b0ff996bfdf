//! Until when may writes rest on answers that were given?
//!
//! Who asks on behalf of a write gets a lease with the answer. What takes a Device away from a
//! supplier, or suspends it, is answered only once the leases have ended that were given before: see
//! `docs/adr/2026-11-28-a-permit-has-a-lease.md`.
//!
//! A lease is noted before the answer to it is read. A change that commits after that read therefore
//! finds it here, and one that commits before it is what the answer shows.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mesh_types::{DeviceId, PartyId};

/// How long a lease is. A write needs milliseconds, and this is how long the operator of a change of
/// supplier waits at most: long enough for a queue of writes, short enough for somebody who waits.
pub(crate) const LEASE: Duration = Duration::from_secs(1);

/// How many leases are remembered one by one: as many as a service of this kind answers in the time of
/// a lease, and some megabytes. Of those beyond it only the last end is, for all Devices.
const MOST: usize = 65_536;

/// From whom something was taken that a lease may have been given for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Devices whose supplier is, or whose facts are, other ones now.
    pub(crate) devices: BTreeSet<DeviceId>,
    /// Parties that may not act any more.
    pub(crate) parties: BTreeSet<PartyId>,
}

impl Taken {
    /// Whether nothing was.
    pub(crate) fn is_empty(&self) -> bool {
        self.devices.is_empty() && self.parties.is_empty()
    }
}

/// The leases that this process has given and that have not ended. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Leases(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    /// Those of which it is not known yet whether they will be given.
    open: HashMap<u64, Lease>,
    /// The number of the last one of these.
    last: u64,
    /// Those that were given, in the order of their ends.
    given: VecDeque<Lease>,
    /// When the last of them ends, by Device and by party.
    devices: HashMap<DeviceId, Instant>,
    parties: HashMap<PartyId, Instant>,
    /// Until when every Device and party may have one.
    all: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Lease {
    device: DeviceId,
    party: PartyId,
    ends: Instant,
}

/// A lease that may still be given; if it is dropped it was not.
#[derive(Debug)]
pub(crate) struct Open<'l> {
    leases: &'l Leases,
    number: u64,
}

impl Leases {
    /// None was given, by any process on this database.
    pub(crate) fn none() -> Self {
        Self(Arc::default())
    }

    /// Another process may have given some until just now.
    pub(crate) fn unknown() -> Self {
        let table = Table {
            all: Some(Instant::now() + LEASE),
            ..Table::default()
        };
        Self(Arc::new(Mutex::new(table)))
    }

    /// Notes that `party` asks for a lease of a Device. To be called before the answer is read.
    pub(crate) fn open(&self, device: DeviceId, party: PartyId) -> Open<'_> {
        let mut table = self.table();
        let ends = Instant::now() + LEASE;
        table.last += 1;
        let number = table.last;
        table.open.insert(
            number,
            Lease {
                device,
                party,
                ends,
            },
        );
        Open {
            leases: self,
            number,
        }
    }

    /// Waits until the leases have ended that may rest on what held before `taken` was. To be called
    /// when that has been committed.
    pub(crate) async fn have_ended(&self, taken: &Taken) {
        let ends = self.table().ends(taken);
        if let Some(ends) = ends {
            tokio::time::sleep_until(ends.into()).await;
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open<'_> {
    /// Gives the lease, for so long from when it was asked for.
    pub(crate) fn give(self) -> Duration {
        let mut table = self.leases.table();
        if let Some(lease) = table.open.remove(&self.number) {
            table.give(lease);
        }
        LEASE
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.leases.table().open.remove(&self.number);
    }
}

impl Table {
    fn give(&mut self, lease: Lease) {
        self.forget(Instant::now());
        if self.given.len() >= MOST {
            self.all = self.all.max(Some(lease.ends));
            return;
        }
        let end = |ends: &mut Instant| *ends = lease.ends.max(*ends);
        let device = self.devices.entry(lease.device);
        device.and_modify(end).or_insert(lease.ends);
        let party = self.parties.entry(lease.party.clone());
        party.and_modify(end).or_insert(lease.ends);
        self.given.push_back(lease);
    }

    /// Forgets those that have ended.
    fn forget(&mut self, now: Instant) {
        while let Some(lease) = self.given.pop_front_if(|lease| lease.ends <= now) {
            let ended = |ends: &Instant| *ends <= now;
            if self.devices.get(&lease.device).is_some_and(ended) {
                self.devices.remove(&lease.device);
            }
            if self.parties.get(&lease.party).is_some_and(ended) {
                self.parties.remove(&lease.party);
            }
        }
    }

    /// When the last of those ends that may rest on what was taken.
    fn ends(&self, taken: &Taken) -> Option<Instant> {
        let open = self.open.values();
        let open = open.filter(|lease| {
            taken.devices.contains(&lease.device) || taken.parties.contains(&lease.party)
        });
        let devices = taken.devices.iter();
        let devices = devices.filter_map(|device| self.devices.get(device));
        let parties = taken.parties.iter();
        let parties = parties.filter_map(|party| self.parties.get(party));
        let ends = open.map(|lease| lease.ends);
        let ends = ends.chain(devices.chain(parties).copied());
        ends.chain(self.all).max()
    }
}

#[cfg(test)]
mod tests {
    use mesh_types::Eui64;

    use super::*;

    fn device(number: u64) -> DeviceId {
        DeviceId::new(Eui64::from_u64(number))
    }

    fn party(id: &str) -> PartyId {
        id.parse().unwrap()
    }

    fn of_device(number: u64) -> Taken {
        Taken {
            devices: [device(number)].into(),
            ..Taken::default()
        }
    }

    fn of_party(id: &str) -> Taken {
        Taken {
            parties: [party(id)].into(),
            ..Taken::default()
        }
    }

    fn waits(leases: &Leases, taken: &Taken) -> bool {
        leases.table().ends(taken).is_some()
    }

    #[test]
    fn what_is_asked_for_counts_until_it_is_known_that_it_is_not_given() {
        let leases = Leases::none();
        let open = leases.open(device(1), party("ACME"));
        for taken in [of_device(1), of_party("ACME")] {
            assert!(waits(&leases, &taken));
        }
        for taken in [of_device(2), of_party("RIVAL"), Taken::default()] {
            assert!(!waits(&leases, &taken));
        }
        drop(open);
        assert!(!waits(&leases, &of_device(1)));
    }

    #[test]
    fn what_is_given_counts_until_it_ends_and_is_forgotten_then() {
        let leases = Leases::none();
        let before = Instant::now();
        for number in [1, 1, 2] {
            assert_eq!(leases.open(device(number), party("ACME")).give(), LEASE);
        }
        let ends = leases.table().ends(&of_device(1)).unwrap();
        assert!(ends >= before + LEASE && ends <= Instant::now() + LEASE);
        assert!(waits(&leases, &of_party("ACME")));
        let mut table = leases.table();
        table.forget(Instant::now() + LEASE);
        assert_eq!(
            table.given.len() + table.devices.len() + table.parties.len(),
            0
        );
    }

    #[test]
    fn beyond_the_bound_every_device_counts() {
        let leases = Leases::none();
        // So that none of them ends while the others are given.
        let ends = Instant::now() + Duration::from_hours(1);
        for number in 0..=u64::try_from(MOST).unwrap() {
            let (device, party) = (device(number), party("ACME"));
            leases.table().give(Lease {
                device,
                party,
                ends,
            });
        }
        assert!(waits(&leases, &of_device(u64::MAX)));
        assert_eq!(leases.table().given.len(), MOST);
    }

    #[test]
    fn what_another_process_has_given_counts_for_every_device_and_party() {
        let leases = Leases::unknown();
        assert!(waits(&leases, &of_device(1)));
        assert!(waits(&leases, &of_party("ACME")));
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_is_over_when_the_last_lease_is() {
        let leases = Leases::none();
        leases.open(device(1), party("ACME")).give();
        let ends = leases.table().ends(&of_device(1)).unwrap();
        leases.have_ended(&of_device(2)).await;
        let asked = tokio::time::Instant::now();
        leases.have_ended(&of_device(1)).await;
        assert!(tokio::time::Instant::now() >= ends.into());
        assert!(tokio::time::Instant::now() - asked <= LEASE + Duration::from_millis(1));
    }
}
