//! How long does a CSP not know that what it has differs from what the registry has?
//!
//! It knows once it is told of the change itself, once a checkpoint says since when flag-registry is
//! not heard from, or while no stream of its is attached.

use std::time::{Duration, Instant};

use mesh_testkit::wait_until;

use super::csp::Csp;

/// Nobody is to be longer without a word.
const LONGEST: Duration = Duration::from_secs(10);

/// A word that a CSP has heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// A stream is attached, or a checkpoint says nothing else than that all was sent.
    Current,
    /// A checkpoint says that news may be missing.
    Stale,
    /// The stream has ended.
    Detached,
    /// Whether a Device is reduced.
    Device { id: String, reduced: bool },
}

/// All words, with the instant of each.
#[derive(Debug, Default)]
pub(super) struct Heard(Vec<(Instant, Word)>);

/// From an instant on the registry has it that a Device is reduced, or that it is not.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) since: Instant,
    pub(super) csp: &'static str,
    pub(super) device: String,
    pub(super) reduced: bool,
}

impl Heard {
    pub(super) fn note(&mut self, word: Word) {
        self.0.push((Instant::now(), word));
    }

    /// Whether the last word about the stream says that nothing is missing.
    pub(super) fn is_current(&self) -> bool {
        let words = self.0.iter().rev().map(|(_, word)| word);
        let mut of_stream = words.filter(|word| !matches!(word, Word::Device { .. }));
        of_stream.next() == Some(&Word::Current)
    }

    /// How long nothing told of the change; `None` if nothing has done so yet.
    pub(super) fn silence(&self, change: &Change) -> Option<Duration> {
        let says_so = |word: &Word| match word {
            Word::Device { id, reduced } => *id == change.device && *reduced == change.reduced,
            Word::Stale | Word::Detached => true,
            Word::Current => false,
        };
        let (before, after) = self
            .0
            .split_at(self.0.partition_point(|(at, _)| *at <= change.since));
        let last = |of: fn(&Word, &str) -> bool| {
            let mut words = before.iter().rev().map(|(_, word)| word);
            words.find(|word| of(word, &change.device))
        };
        let of_device =
            last(|word, device| matches!(word, Word::Device { id, .. } if id == device));
        let of_stream = last(|word, _| !matches!(word, Word::Device { .. }));
        // Whoever never attached waits for nothing.
        if of_device.is_some_and(says_so) || of_stream.is_none_or(says_so) {
            return Some(Duration::ZERO);
        }
        let (at, _) = after.iter().find(|(_, word)| says_so(word))?;
        Some(*at - change.since)
    }
}

/// Fails if a CSP was without a word about one of its changes for longer than it may be. Says how long
/// it was.
pub(super) async fn never_silent(csps: &[Csp], changes: &[Change]) -> Duration {
    let mut longest = Duration::ZERO;
    for change in changes {
        let csp = csps.iter().find(|csp| csp.id == change.csp).unwrap();
        let silence = wait_until(&format!("a word about {change:?}"), async || {
            csp.silence(change).ok_or("none")
        })
        .await;
        assert!(silence <= LONGEST, "{silence:?} without a word: {change:?}");
        longest = longest.max(silence);
    }
    let number = changes.len();
    println!("the longest silence about one of {number} changes was {longest:?}");
    longest
}
