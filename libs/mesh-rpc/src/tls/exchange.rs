//! What is told when a list of those who are accepted no more comes into use?

use std::path::PathBuf;

use crate::deny_list::{Denied, DenyList};

/// A list came into use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchanged {
    /// The deny-list.
    DenyList {
        /// What is denied now and was not before.
        added: Vec<Denied>,
        /// What was denied before and is not now.
        removed: Vec<Denied>,
        /// How many entries it has.
        entries: usize,
    },
    /// A file of authorities' revocation lists.
    Revocations {
        /// The file.
        path: PathBuf,
        /// How many certificates it revokes.
        certificates: usize,
    },
}

/// Who is told; says whether it wants to be told of the next one too.
pub(super) type Listener = Box<dyn Fn(&Exchanged) -> bool + Send + Sync>;

impl Exchanged {
    /// The deny-list `new` came into use after `old`.
    pub(super) fn deny_list(old: &DenyList, new: &DenyList) -> Self {
        let only_in = |one: &DenyList, other: &DenyList| {
            let entries = one.entries().iter().map(|entry| &entry.denied);
            let missing = entries.filter(|denied| !other.has(denied));
            missing.cloned().collect()
        };
        Self::DenyList {
            added: only_in(new, old),
            removed: only_in(old, new),
            entries: new.entries().len(),
        }
    }
}
