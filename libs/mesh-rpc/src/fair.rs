//! Whose turn is it?
//!
//! Work waits in one lane for each key, and lanes take turns by how much work they ask for: who asks
//! for a batch of a thousand has its next turn when others have had as much, if they want it. This is
//! deficit round robin (Shreedhar and Varghese, 1996) in the form in which a lane pays afterwards, with
//! two bounds: how much one key has in service, and all of them together. A key that has nothing in
//! service and owes nothing never waits.
//!
//! Plain data: no clock, no tasks, no locks.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use crate::limits::Bound;

/// What a lane that owes is forgiven each time that it is passed over.
const QUANTUM: i64 = 64;

/// Work that waits and work that is in service.
#[derive(Debug)]
pub(crate) struct Fair<K, T> {
    bound: Bound,
    lanes: HashMap<K, Lane<T>>,
    /// The lanes in which something waits, in the order in which they are looked at.
    ring: VecDeque<K>,
    in_service: usize,
    tickets: u64,
}

/// The work of one key. It is forgotten when nothing of it waits or is held.
#[derive(Debug)]
struct Lane<T> {
    waiting: VecDeque<Waiting<T>>,
    /// Below zero, it has had more than its turn.
    credit: i64,
    /// In service, or answered and not taken yet.
    held: usize,
}

#[derive(Debug)]
struct Waiting<T> {
    ticket: u64,
    cost: usize,
    what: T,
}

/// Something whose turn has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Granted<K, T> {
    pub(crate) key: K,
    /// What it counts as while it is in service; no more than a key may have.
    pub(crate) held: usize,
    pub(crate) what: T,
}

impl<K: Copy + Eq + Hash, T> Fair<K, T> {
    pub(crate) fn new(bound: Bound) -> Self {
        Self {
            bound,
            lanes: HashMap::new(),
            ring: VecDeque::new(),
            in_service: 0,
            tickets: 0,
        }
    }

    /// Puts `what` at the end of its key's lane. The ticket is for [`Fair::withdraw`].
    pub(crate) fn wait(&mut self, key: K, cost: usize, what: T) -> u64 {
        self.tickets += 1;
        let ticket = self.tickets;
        let lane = self.lanes.entry(key).or_insert_with(Lane::new);
        if lane.waiting.is_empty() {
            self.ring.push_back(key);
        }
        lane.waiting.push_back(Waiting { ticket, cost, what });
        ticket
    }

    /// Takes out what waits no longer; does nothing if its turn has come already.
    pub(crate) fn withdraw(&mut self, key: K, ticket: u64) {
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        let before = lane.waiting.len();
        lane.waiting.retain(|waiting| waiting.ticket != ticket);
        if before > 0 && lane.waiting.is_empty() {
            self.ring.retain(|waiting| *waiting != key);
        }
        self.forget(key);
    }

    /// What may go into service now, one after another until there is nothing.
    pub(crate) fn next(&mut self) -> Option<Granted<K, T>> {
        let lanes = &self.lanes;
        let first = |key: &K| lanes.get(key).is_some_and(Lane::is_new);
        if let Some(at) = self.ring.iter().position(first) {
            return self.grant(at);
        }
        if self.in_service >= self.bound.class {
            return None;
        }
        while self.ring.iter().any(|key| self.may_go(key)) {
            let key = *self.ring.front()?;
            if self.may_go(&key) {
                let lane = self.lanes.get_mut(&key)?;
                if lane.credit >= 0 {
                    return self.grant(0);
                }
                lane.credit += QUANTUM;
            }
            self.ring.rotate_left(1);
        }
        None
    }

    /// What was in service has its answer: it counts for its key alone until it is taken.
    pub(crate) fn answered(&mut self, held: usize) {
        self.in_service -= held;
    }

    /// What a key held is gone.
    pub(crate) fn leave(&mut self, key: K, held: usize) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.held -= held;
        }
        self.forget(key);
    }

    /// Whether the first in a lane fits beside what its key holds.
    fn may_go(&self, key: &K) -> bool {
        self.lanes.get(key).is_some_and(|lane| {
            let first = lane.waiting.front();
            first.is_some_and(|first| {
                lane.held == 0 || lane.held + self.bound.held(first.cost) <= self.bound.caller
            })
        })
    }

    /// Gives the first in the lane at `at` its turn. The lane stays where it is until it owes.
    fn grant(&mut self, at: usize) -> Option<Granted<K, T>> {
        let key = *self.ring.get(at)?;
        let lane = self.lanes.get_mut(&key)?;
        let Waiting { cost, what, .. } = lane.waiting.pop_front()?;
        if lane.waiting.is_empty() {
            self.ring.remove(at);
        }
        let held = self.bound.held(cost);
        lane.held += held;
        lane.credit -= i64::try_from(cost).unwrap_or(i64::MAX);
        self.in_service += held;
        Some(Granted { key, held, what })
    }

    fn forget(&mut self, key: K) {
        let over = |lane: &Lane<T>| lane.held == 0 && lane.waiting.is_empty();
        if self.lanes.get(&key).is_some_and(over) {
            self.lanes.remove(&key);
        }
    }
}

impl Bound {
    /// What work of this cost counts as while it is in service.
    fn held(self, cost: usize) -> usize {
        cost.clamp(1, self.caller.max(1))
    }
}

impl<T> Lane<T> {
    const fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            credit: 0,
            held: 0,
        }
    }

    /// Whether it has nothing in service and has not just had its turn.
    const fn is_new(&self) -> bool {
        self.held == 0 && self.credit >= 0
    }
}

#[cfg(test)]
mod tests;
