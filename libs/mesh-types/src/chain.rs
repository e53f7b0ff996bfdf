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

    /// A log of two events, for whoever writes the chain in another language.
    #[test]
    fn the_hashes_of_a_small_log_are_these() {
        let hex = |hash: &Hash| hash.map(|octet| format!("{octet:02x}")).concat();
        let before = genesis(&"flags".parse().unwrap(), Epoch::new(7).unwrap());
        let first = link(&before, 1, b"first");
        let second = link(&first, 2, b"second");
        assert_eq!(
            [before, first, second].map(|hash| hex(&hash)),
            [
                "853c902dad03ae7cce485ac35e34b0403f9668c674443c5159dba1e4987d1946",
                "2319d6a4194a70bacf08c07df1588d0d42b37e68b483e65e1893471ff2a9fc49",
                "04343880a3987fc5bc6dadf347b66eb6ae1733675236079f1c13170e0a55def0",
            ]
        );
    }
}
