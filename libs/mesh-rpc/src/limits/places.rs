//! Is there room for one more, for this caller and for all of its class?

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_authz::Identity;

use super::shares::{Bound, Class, Share, Shares};
use crate::peer::Peer;

/// By whom something is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Caller {
    /// The certificate says so.
    Known(Identity),
    /// Nobody has said who it is: one connection.
    Guest(Option<SocketAddr>),
}

impl Caller {
    /// Whoever is at the other end of a request's connection.
    pub(crate) fn of(peer: Option<&Peer>) -> Self {
        match peer.and_then(Peer::identity) {
            Some(Ok(identity)) => Self::Known(identity),
            Some(Err(_)) | None => Self::Guest(peer.map(Peer::address)),
        }
    }

    const fn class(self) -> Class {
        match self {
            Self::Known(identity) => Class::of(Some(identity)),
            Self::Guest(_) => Class::of(None),
        }
    }
}

/// What is taken of one thing, such as streams or octets, by class and by caller.
#[derive(Debug)]
pub(crate) struct Places {
    bounds: [Bound; Class::ALL.len()],
    taken: Mutex<Taken>,
}

/// Callers that have taken nothing are not in it.
#[derive(Debug, Default)]
struct Taken {
    by_class: [usize; Class::ALL.len()],
    by_caller: HashMap<Caller, usize>,
}

/// Who has taken all that it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Caller,
    Class,
}

/// What one caller has taken; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    caller: Caller,
    amount: usize,
}

impl Places {
    /// Places of the kind that `kind` names in the shares.
    pub(crate) fn new(shares: &Shares, kind: impl Fn(&Share) -> Bound) -> Arc<Self> {
        Arc::new(Self {
            bounds: Class::ALL.map(|class| kind(shares.of(class))),
            taken: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Counts stay right even if a holder of the lock panicked between two statements.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// One place.
    pub(crate) fn take(places: &Arc<Places>, caller: Caller) -> Result<Self, Full> {
        let mut place = Self::none(places, caller);
        place.grow(1)?;
        Ok(place)
    }

    /// Nothing yet.
    pub(crate) fn none(places: &Arc<Places>, caller: Caller) -> Self {
        Self {
            places: Arc::clone(places),
            caller,
            amount: 0,
        }
    }

    /// Takes more, or nothing more.
    pub(crate) fn grow(&mut self, more: usize) -> Result<(), Full> {
        let class = self.caller.class();
        let bound = self.places.bounds[class as usize];
        let mut taken = self.places.lock();
        let by_caller = taken.by_caller.get(&self.caller).copied().unwrap_or(0);
        if by_caller + more > bound.caller {
            return Err(Full::Caller);
        }
        if taken.by_class[class as usize] + more > bound.class {
            return Err(Full::Class);
        }
        if more > 0 {
            taken.by_class[class as usize] += more;
            taken.by_caller.insert(self.caller, by_caller + more);
        }
        drop(taken);
        self.amount += more;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.by_class[self.caller.class() as usize] -= self.amount;
        match taken.by_caller.get_mut(&self.caller) {
            Some(amount) if *amount > self.amount => *amount -= self.amount,
            _ => {
                taken.by_caller.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mesh_authz::InternalRole;
    use mesh_types::{EntityId, Eui64};

    use super::*;

    fn party(number: u64) -> Caller {
        let entity = EntityId::new(Eui64::from_u64(number));
        Caller::Known(Identity::Organisation(entity))
    }

    fn places() -> Arc<Places> {
        let mut shares = Shares::default();
        shares.parties.calls = Bound {
            class: 3,
            caller: 2,
        };
        Places::new(&shares, |share| share.calls)
    }

    #[test]
    fn a_caller_has_its_bound_and_a_class_its_share() {
        let places = places();
        let first = Place::take(&places, party(1)).unwrap();
        let second = Place::take(&places, party(1)).unwrap();
        assert_eq!(Place::take(&places, party(1)).unwrap_err(), Full::Caller);
        let other = Place::take(&places, party(2)).unwrap();
        assert_eq!(Place::take(&places, party(2)).unwrap_err(), Full::Class);
        for role in InternalRole::ALL {
            let caller = Caller::Known(Identity::Internal(*role));
            Place::take(&places, caller).unwrap();
        }
        Place::take(&places, Caller::Guest(None)).unwrap();
        drop(first);
        let third = Place::take(&places, party(2)).unwrap();
        drop((second, third, other));
        let taken = places.lock();
        assert!(taken.by_caller.is_empty(), "nothing is left behind");
        assert_eq!(taken.by_class, [0; 5]);
    }

    #[test]
    fn what_grows_is_given_back_whole() {
        let places = places();
        let mut growing = Place::none(&places, party(1));
        growing.grow(0).unwrap();
        growing.grow(2).unwrap();
        assert_eq!(growing.grow(1), Err(Full::Caller));
        drop(growing);
        let mut again = Place::none(&places, party(1));
        again.grow(2).unwrap();
    }
}
