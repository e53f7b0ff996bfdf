//! Who has to go when one more comes than there is room for?
//!
//! Whoever is behind the address that holds most places, and there the one that has been there
//! longest. So one address, however many connections it makes, pushes out its own; and a caller
//! that does what is asked of it has left before it is the oldest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};

/// Whose connections are counted together: those of an IPv4 address, or of an IPv6 network of 64
/// bits, all of whose addresses one subscriber has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Origin(IpAddr);

impl Origin {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                Self(Ipv6Addr::from_bits(network).into())
            }
            address => Self(address),
        }
    }
}

/// Those who are there, by origin and in the order in which they came. `T` is what it takes to tell
/// one of them to go.
#[derive(Debug)]
pub(super) struct Crowd<T> {
    places: usize,
    inside: usize,
    last: u64,
    by_origin: HashMap<Origin, BTreeMap<u64, T>>,
    /// One entry for each origin; the last one's oldest goes first.
    ranks: BTreeSet<Rank>,
}

/// The more places the higher, and of equals the one whose oldest is the oldest.
type Rank = (usize, Reverse<u64>, Origin);

impl<T> Crowd<T> {
    pub(super) fn new(places: usize) -> Self {
        Self {
            places,
            inside: 0,
            last: 0,
            by_origin: HashMap::new(),
            ranks: BTreeSet::new(),
        }
    }

    /// Lets one in. Gives its number, and who has to go for it, who is no longer counted.
    pub(super) fn enter(&mut self, origin: Origin, one: T) -> (u64, Option<T>) {
        let goes = match self.inside < self.places {
            true => None,
            false => self.first_to_go(),
        };
        self.last += 1;
        let number = self.last;
        self.change(origin, |there| there.insert(number, one));
        self.inside += 1;
        (number, goes)
    }

    /// Takes out the one that has to go first.
    pub(super) fn first_to_go(&mut self) -> Option<T> {
        let &(_, Reverse(number), origin) = self.ranks.last()?;
        self.leave(origin, number)
    }

    /// Takes out one that leaves; `None` if it had to go before.
    pub(super) fn leave(&mut self, origin: Origin, number: u64) -> Option<T> {
        let left = self.change(origin, |there| there.remove(&number))?;
        self.inside -= 1;
        Some(left)
    }

    /// Changes who of an origin is there, and its rank with that.
    fn change<R>(&mut self, origin: Origin, change: impl FnOnce(&mut BTreeMap<u64, T>) -> R) -> R {
        let there = self.by_origin.entry(origin).or_default();
        if let Some(rank) = rank(origin, there) {
            self.ranks.remove(&rank);
        }
        let result = change(there);
        match rank(origin, there) {
            Some(rank) => {
                self.ranks.insert(rank);
            }
            None => {
                self.by_origin.remove(&origin);
            }
        }
        result
    }
}

fn rank<T>(origin: Origin, there: &BTreeMap<u64, T>) -> Option<Rank> {
    let (&oldest, _) = there.first_key_value()?;
    Some((there.len(), Reverse(oldest), origin))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin(address: &str) -> Origin {
        Origin::of(address.parse().unwrap())
    }

    /// Lets in those named, from these addresses, and tells who had to go, in order.
    fn gone(places: usize, arrivals: &[(&'static str, &'static str)]) -> Vec<&'static str> {
        let mut crowd = Crowd::new(places);
        let arrivals = arrivals.iter();
        arrivals
            .filter_map(|&(address, name)| crowd.enter(origin(address), name).1)
            .collect()
    }

    #[test]
    fn the_oldest_of_the_address_that_holds_most_goes() {
        let (hog, quiet, other) = ("192.0.2.1", "192.0.2.2", "192.0.2.3");
        let arrivals = [
            (quiet, "quiet"),
            (hog, "first"),
            (hog, "second"),
            (hog, "third"),
            (other, "other"),
            (hog, "fourth"),
        ];
        assert_eq!(gone(4, &arrivals), ["first", "second"]);
    }

    #[test]
    fn among_equals_the_oldest_goes() {
        let arrivals = [
            ("192.0.2.1", "one"),
            ("192.0.2.2", "two"),
            ("192.0.2.3", "three"),
            ("192.0.2.4", "four"),
        ];
        assert_eq!(gone(2, &arrivals), ["one", "two"]);
    }

    #[test]
    fn an_ipv6_network_is_one_origin_and_so_is_a_mapped_address() {
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:0:0:1"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
        assert_eq!(origin("::ffff:192.0.2.1"), origin("192.0.2.1"));
        assert_ne!(origin("192.0.2.1"), origin("192.0.2.2"));
    }

    #[test]
    fn who_leaves_by_itself_makes_room_and_leaves_nothing_behind() {
        let mut crowd = Crowd::new(1);
        let one = origin("192.0.2.1");
        let (number, _) = crowd.enter(one, "one");
        assert_eq!(crowd.leave(one, number), Some("one"));
        assert_eq!(crowd.leave(one, number), None);
        assert_eq!(crowd.enter(one, "two").1, None);
        assert_eq!(crowd.first_to_go(), Some("two"));
        assert_eq!(crowd.first_to_go(), None);
        assert!(crowd.by_origin.is_empty() && crowd.ranks.is_empty());
    }

    proptest! {
        /// Whoever comes and goes: the places are kept, and nobody goes while another address
        /// holds more than theirs.
        #[test]
        fn who_goes_is_as_a_plain_list_says(
            places in 1_usize..6,
            steps in prop::collection::vec((0_u8..4, prop::bool::weighted(0.7)), 1..60),
        ) {
            let mut crowd = Crowd::new(places);
            let mut list: Vec<(Origin, u64)> = Vec::new();
            for (last, enters) in steps {
                let from = Origin::of(IpAddr::from([192, 0, 2, last]));
                if !enters {
                    let Some(at) = list.iter().position(|&(origin, _)| origin == from) else {
                        continue;
                    };
                    let (_, number) = list.remove(at);
                    prop_assert!(crowd.leave(from, number).is_some());
                    continue;
                }
                let held = |of: Origin| list.iter().filter(|&&(origin, _)| origin == of).count();
                let goes = (list.len() == places).then(|| {
                    let at = (0..list.len()).max_by_key(|&at| (held(list[at].0), Reverse(at)));
                    at.unwrap()
                });
                let goes = goes.map(|at| list.remove(at).1);
                let next = crowd.last + 1;
                let (number, gone) = crowd.enter(from, next);
                prop_assert_eq!(gone, goes);
                list.push((from, number));
                prop_assert_eq!(crowd.inside, list.len());
            }
        }
    }
}
