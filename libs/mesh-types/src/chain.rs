//! The hash chain that makes a copy of a log checkable offline.
//!
//! `hash(0) = SHA-256("mp169 log" ‖ 0x00 ‖ name ‖ 0x00 ‖ epoch)` and
//! `hash(n) = SHA-256(hash(n-1) ‖ n ‖ event bytes)`, numbers as eight big-endian octets. The event
//! bytes are those that were stored and are sent: nobody has to encode a message again to check.

use sha2::{Digest, Sha256};

use crate::{Epoch, LogName, Sequence};

/// One link of the chain.
pub type Hash = [u8; 32];

/// The hash before the first event: it binds the chain to its log and epoch.
#[must_use]
pub fn genesis(log: &LogName, epoch: Epoch) -> Hash {
    Sha256::new()
        .chain_update(b"mp169 log\0")
        .chain_update(log.as_str())
        .chain_update([0])
        .chain_update(epoch.get().to_be_bytes())
        .finalize()
        .into()
}

/// The hash of event number `sequence` after `previous`.
#[must_use]
pub fn link(previous: &Hash, sequence: Sequence, event: &[u8]) -> Hash {
    Sha256::new()
        .chain_update(previous)
        .chain_update(sequence.to_be_bytes())
        .chain_update(event)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_changes_the_link() {
        let log: LogName = "flags".parse().unwrap();
        let start = genesis(&log, Epoch::new(7).unwrap());
        assert_ne!(start, genesis(&log, Epoch::new(8).unwrap()));
        assert_ne!(
            start,
            genesis(&"parties".parse().unwrap(), Epoch::new(7).unwrap())
        );
        let first = link(&start, 1, b"a");
        assert_ne!(first, link(&start, 2, b"a"));
        assert_ne!(first, link(&start, 1, b"b"));
        assert_ne!(first, link(&first, 1, b"a"));
    }
}
