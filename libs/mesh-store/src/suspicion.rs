//! Has a read met damage?
//!
//! A read knows the error and not which database it came from, so that all of the process are looked at.

use std::sync::LazyLock;

use tokio::sync::watch;

/// Counts the reads of this process that met damage, in whichever database.
static SUSPICIONS: LazyLock<watch::Sender<u64>> = LazyLock::new(watch::Sender::default);

/// A read has met damage: every database of the process is to be looked at.
pub(crate) fn suspect() {
    SUSPICIONS.send_modify(|count| *count += 1);
}

/// Changes with every read that meets damage.
pub(crate) fn suspicions() -> watch::Receiver<u64> {
    SUSPICIONS.subscribe()
}
