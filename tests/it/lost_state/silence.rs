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
        latest(&self.0, is_of_stream) == Some(&Word::Current)
    }

    /// Whether the last word about the stream says that news may be missing.
    pub(super) fn is_stale(&self) -> bool {
        latest(&self.0, is_of_stream) == Some(&Word::Stale)
    }

    /// The longest time in which nothing told of the change; `None` while nothing does.
    pub(super) fn silence(&self, change: &Change) -> Option<Duration> {
        let is_of_device =
            |word: &Word| matches!(word, Word::Device { id, .. } if *id == change.device);
        let told = Word::Device {
            id: change.device.clone(),
            reduced: change.reduced,
        };
        let since = self.0.partition_point(|(at, _)| *at <= change.since);
        let (before, after) = self.0.split_at(since);
        if latest(before, is_of_device) == Some(&told) {
            return Some(Duration::ZERO);
        }
        let is_silent = latest(before, is_of_stream) == Some(&Word::Current);
        let mut silent_since = is_silent.then_some(change.since);
        let mut longest = Duration::ZERO;
        for (at, word) in after {
            let silence = silent_since.map(|since| *at - since);
            longest = longest.max(silence.unwrap_or_default());
            match word {
                Word::Device { .. } if *word == told => return Some(longest),
                Word::Device { .. } => {}
                Word::Stale | Word::Detached => silent_since = None,
                Word::Current => silent_since = silent_since.or(Some(*at)),
            }
        }
        silent_since.is_none().then_some(longest)
    }
}

fn latest(words: &[(Instant, Word)], is_meant: impl Fn(&Word) -> bool) -> Option<&Word> {
    let mut words = words.iter().rev().map(|(_, word)| word);
    words.find(|word| is_meant(word))
}

const fn is_of_stream(word: &Word) -> bool {
    !matches!(word, Word::Device { .. })
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
