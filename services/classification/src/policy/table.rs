//! Rows in order, found by a small key in a few nanoseconds.

use std::hash::Hash;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// Rows in the order of their keys, with an index. Keys come from the policy, never from a peer, so
/// the hash needs no random seed.
#[derive(Debug, Clone)]
pub(super) struct Table<K, V> {
    rows: Vec<V>,
    index: HashMap<K, u16, FixedState>,
}

impl<K: Copy + Ord + Hash, V> Table<K, V> {
    /// The table of `rows`; of rows with one key, the last is found.
    pub(super) fn new(mut rows: Vec<(K, V)>) -> Self {
        rows.sort_by_key(|(key, _)| *key);
        let index = (0_u16..)
            .zip(&rows)
            .map(|(at, (key, _))| (*key, at))
            .collect();
        Self {
            rows: rows.into_iter().map(|(_, row)| row).collect(),
            index,
        }
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        self.index
            .get(&key)
            .and_then(|&at| self.rows.get(usize::from(at)))
    }

    pub(super) fn rows(&self) -> &[V] {
        &self.rows
    }

    #[cfg(test)]
    pub(super) fn rows_mut(&mut self) -> &mut [V] {
        &mut self.rows
    }
}
