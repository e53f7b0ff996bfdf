//! Which durations count as one?

use std::sync::LazyLock;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Two digits that mean something: an error of 1 % at the most.
const DIGITS: u8 = 2;
const LONGEST_MILLIS: u64 = 90 * 24 * 3_600 * 1_000;

/// Knows the bounds of all buckets; nothing is ever recorded in it.
static BOUNDS: LazyLock<Histogram<u64>> = LazyLock::new(empty);

/// Durations that count as one, named by the longest of them in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u64);

pub(crate) fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_MILLIS, DIGITS)
        .expect("the bounds and the number of digits are some that it takes")
}

impl Bucket {
    /// The longest duration that can be told from shorter ones: 90 days. Longer ones count as this.
    pub const LONGEST: Duration = Duration::from_millis(LONGEST_MILLIS);

    /// The bucket into which a duration falls. Parts of a millisecond are rounded up, so that 0 is no time at all.
    #[must_use]
    pub fn of(duration: Duration) -> Self {
        let millis = duration.as_nanos().div_ceil(1_000_000);
        Self::holding(u64::try_from(millis).unwrap_or(LONGEST_MILLIS))
    }

    /// The bucket of this name, to read back what was kept; `None` if no bucket has it.
    #[must_use]
    pub fn named(millis: u64) -> Option<Self> {
        let bucket = Self::holding(millis);
        (bucket.0 == millis).then_some(bucket)
    }

    /// Its name: the longest duration that falls into it, in milliseconds.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// The longest duration that falls into it; those of more than 90 days left aside.
    #[must_use]
    pub const fn longest(self) -> Duration {
        Duration::from_millis(self.0)
    }

    pub(crate) fn holding(millis: u64) -> Self {
        let within = millis.min(LONGEST_MILLIS);
        Self(BOUNDS.highest_equivalent(within).min(LONGEST_MILLIS))
    }
}
