//! Who is registered for an MPxN when, and what does a new registration do to that?

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mesh_types::{Interval, Mpxn, PartyId, Position, Timestamp};

/// The name of a registration, given once by the service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistrationId(Arc<str>);

impl RegistrationId {
    /// The registration that the event at `position` is the first to tell of. With the epoch, a
    /// database restored from a backup never gives a name that was given before.
    #[must_use]
    pub fn recorded_at(position: &Position) -> Self {
        Self(format!("{:x}-{}", position.epoch.get(), position.sequence).into())
    }

    /// A name that was read back.
    #[must_use]
    pub fn recorded(text: &str) -> Self {
        Self(text.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RegistrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A supplier is registered for an MPxN in an interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Its name.
    pub id: RegistrationId,
    /// The metering point.
    pub mpxn: Mpxn,
    /// The supplier.
    pub party: PartyId,
    /// When.
    pub interval: Interval,
}

/// All registrations of one MPxN: in the order of their starts, never overlapping.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Supply(Vec<Registration>);

/// The registration would share an instant with another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the registration would overlap another one of the same MPxN")]
pub struct Overlap;

/// How there comes to be room for a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// The interval that is free for it.
    pub interval: Interval,
    /// The registration that is in the way and would end where the new one starts.
    pub ends: Option<RegistrationId>,
}

/// A registration cannot be withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotWithdrawn {
    /// It is not there.
    #[error("there is no such registration")]
    Unknown,
    /// Its start has come, or is about to.
    #[error("the registration has begun, or begins within a minute")]
    Begun,
}

/// For so long before it begins, a registration stands. Who is responsible is asked without a lock: a
/// withdrawal that is decided just before the start and recorded just after it would take away what was
/// told in between, and clocks of replicas differ.
pub const STANDS_BEFORE: Duration = Duration::from_secs(60);

/// What is left without a registration that does not come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// The registration that does not come.
    pub withdrawn: RegistrationId,
    /// The one before it, and when it ends instead; `None` if its end stays.
    pub resumed: Option<(RegistrationId, Timestamp)>,
}

/// What begins and what ends at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect<'a> {
    /// What begins; `None` if the last one ends with no successor.
    pub begins: Option<&'a Registration>,
    /// Who was registered until then.
    pub previous: Option<&'a PartyId>,
}

impl Supply {
    /// Registrations as they were recorded, in any order.
    #[must_use]
    pub fn of(mut registrations: Vec<Registration>) -> Self {
        registrations.sort_by_key(|registration| registration.interval.start());
        Self(registrations)
    }

    /// The registrations in the order of their starts.
    #[must_use]
    pub fn registrations(&self) -> &[Registration] {
        &self.0
    }

    /// Who is registered at an instant.
    #[must_use]
    pub fn at(&self, at: Timestamp) -> Option<&Registration> {
        let after = self.0.partition_point(|r| r.interval.start() <= at);
        self.0[..after]
            .last()
            .filter(|registration| registration.interval.contains(at))
    }

    /// Since when the party that is registered at an instant is so without a break.
    #[must_use]
    pub fn since(&self, at: Timestamp) -> Option<Timestamp> {
        let after = self.0.partition_point(|r| r.interval.start() <= at);
        let holds = self.at(at)?;
        let earlier = self.0[..after].iter().rev().skip(1);
        let mut since = holds.interval.start();
        for registration in earlier {
            if registration.party != holds.party || registration.interval.end() != since {
                break;
            }
            since = registration.interval.start();
        }
        Some(since)
    }

    /// The next instant after `at` at which a registration begins or ends.
    #[must_use]
    pub fn next_change(&self, at: Timestamp) -> Option<Timestamp> {
        let bounds = |r: &Registration| [r.interval.start(), r.interval.end()];
        self.0
            .iter()
            .flat_map(bounds)
            .filter(|&bound| bound > at && bound != Timestamp::FOREVER)
            .min()
    }

    /// Room for a supplier from `start` on. Whoever is registered then is registered until then;
    /// nothing may begin at `start` or later.
    pub fn change_at(&self, start: Timestamp) -> Result<Room, Overlap> {
        if self.0.last().is_some_and(|r| r.interval.start() >= start) {
            return Err(Overlap);
        }
        let interval = Interval::new(start, None).map_err(|_| Overlap)?;
        let ends = self.at(start).map(|registration| registration.id.clone());
        Ok(Room { interval, ends })
    }

    /// Room for exactly `interval`, which no registration may touch.
    pub fn add(&self, interval: Interval) -> Result<Room, Overlap> {
        if self.0.iter().any(|r| r.interval.overlaps(interval)) {
            return Err(Overlap);
        }
        Ok(Room {
            interval,
            ends: None,
        })
    }

    /// What becomes of the others if `party` is not registered from `start` on after all: whoever comes
    /// before goes on to the end of its own, which `own_end` tells, or to the next start. What begins
    /// [`STANDS_BEFORE`] after `now` or earlier cannot be withdrawn.
    pub fn withdrawal(
        &self,
        party: &PartyId,
        start: Timestamp,
        now: Timestamp,
        own_end: impl Fn(&RegistrationId) -> Option<Timestamp>,
    ) -> Result<Withdrawal, NotWithdrawn> {
        let announced = |r: &Registration| r.interval.start() == start && r.party == *party;
        let place = self.0.iter().position(announced);
        let place = place.ok_or(NotWithdrawn::Unknown)?;
        if start <= now.saturating_add(STANDS_BEFORE) {
            return Err(NotWithdrawn::Begun);
        }
        let next = self.0.get(place + 1);
        let next = next.map_or(Timestamp::FOREVER, |next| next.interval.start());
        let before = place.checked_sub(1).and_then(|place| self.0.get(place));
        let resumed = before.and_then(|before| {
            let end = own_end(&before.id)?.min(next);
            (end > before.interval.end()).then(|| (before.id.clone(), end))
        });
        Ok(Withdrawal {
            withdrawn: self.0[place].id.clone(),
            resumed,
        })
    }

    /// Whether `party` is recorded for exactly `interval`.
    #[must_use]
    pub fn holds(&self, party: &PartyId, interval: Interval) -> bool {
        self.0
            .iter()
            .any(|r| r.interval == interval && r.party == *party)
    }

    /// Ends the registration `id` at `end`, and returns it as it was and as it is. `None` if there
    /// is no such registration or it does not hold just before `end`.
    pub fn end(
        &mut self,
        id: &RegistrationId,
        end: Timestamp,
    ) -> Option<(Registration, Registration)> {
        let holds = self
            .0
            .iter()
            .any(|r| r.id == *id && end <= r.interval.end());
        holds.then(|| self.move_end(id, end)).flatten()
    }

    /// Has the registration `id` end at `end`, up to which nobody else is registered, and returns it as
    /// it was and as it is. `None` if there is no such registration or it begins later.
    pub fn move_end(
        &mut self,
        id: &RegistrationId,
        end: Timestamp,
    ) -> Option<(Registration, Registration)> {
        let registration = self.0.iter_mut().find(|r| r.id == *id)?;
        let before = registration.clone();
        registration.interval = Interval::new(before.interval.start(), Some(end)).ok()?;
        Some((before, registration.clone()))
    }

    /// Takes out the registration `id`.
    pub fn remove(&mut self, id: &RegistrationId) -> Option<Registration> {
        let place = self.0.iter().position(|r| r.id == *id)?;
        Some(self.0.remove(place))
    }

    /// Puts in a registration for which there is room.
    pub fn insert(&mut self, registration: Registration) {
        let start = registration.interval.start();
        let place = self.0.partition_point(|r| r.interval.start() < start);
        self.0.insert(place, registration);
    }

    /// What takes effect at `at`: `None` if nothing begins or ends just then, or the same party
    /// goes on.
    #[must_use]
    pub fn effect_at(&self, at: Timestamp) -> Option<Effect<'_>> {
        let begins = self.at(at).filter(|r| r.interval.start() == at);
        let ended = self.0.iter().find(|r| r.interval.end() == at);
        let previous = ended.map(|registration| &registration.party);
        if begins.map(|registration| &registration.party) == previous {
            return None;
        }
        Some(Effect { begins, previous })
    }

    /// What the registration that holds at `now` means to whoever took `told` for the party that
    /// does: `None` if that is right.
    #[must_use]
    pub fn late_effect(&self, now: Timestamp, told: Option<&PartyId>) -> Option<Effect<'_>> {
        let holds = self.at(now).filter(|r| Some(&r.party) != told)?;
        let effect = self.effect_at(holds.interval.start());
        // With the same party before, there was a time of which the end was told and not what
        // followed it.
        let previous = effect.and_then(|effect| effect.previous);
        Some(Effect {
            begins: Some(holds),
            previous,
        })
    }
}

#[cfg(test)]
#[path = "supply/tests.rs"]
mod tests;
