//! How long things took, as counts by bucket: quantiles of any number in a few rows.
//!
//! [`Durations`] takes durations one by one, and gives rows of a [`Bucket`] and how many fell into it. Rows can be
//! kept in a database, added up, and made into [`Durations`] again: what was recorded in parts is what would have
//! been recorded at once. The buckets are those of an `HdrHistogram` with two significant digits. They are integers,
//! so the same durations give the same rows on every machine, and rows that are kept stay true as long as
//! [`Bucket::LONGEST`] and the number of digits stay what they are.
//!
//! A bucket stands for the longest duration that falls into it. So whatever is asked of [`Durations`] is never less
//! than what was recorded, and more by 1 % or 1 ms at the most. Durations of more than 90 days count as 90 days.

mod bucket;

use std::time::Duration;

use hdrhistogram::Histogram;

pub use bucket::Bucket;

/// How long things took: how many durations fell into which bucket. Takes about 30 kB, however many they are.
#[derive(Debug, Clone)]
pub struct Durations(Histogram<u64>);

impl Durations {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self(bucket::empty())
    }

    /// Counts one more. One of more than [`Bucket::LONGEST`] counts as that long.
    pub fn record(&mut self, duration: Duration) {
        self.add(Bucket::of(duration), 1);
    }

    /// Counts `count` more that fell into a bucket. Counts end at [`u64::MAX`] instead of beginning again.
    pub fn add(&mut self, bucket: Bucket, count: u64) {
        self.0.saturating_record_n(bucket.millis(), count);
    }

    /// Counts all that `other` has as well.
    pub fn merge(&mut self, other: &Self) {
        self.extend(other.rows());
    }

    /// How many fell into which bucket, from the shortest on; buckets without any are left out.
    pub fn rows(&self) -> impl Iterator<Item = (Bucket, u64)> {
        self.0.iter_recorded().map(|found| {
            (
                Bucket::holding(found.value_iterated_to()),
                found.count_at_value(),
            )
        })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The shortest that at least `per_thousand` of a thousand do not exceed: 500 for the median, 950 for the 95th
    /// percentile, 1,000 or more for the longest. `None` if there are none.
    ///
    /// It is one that was recorded, or up to 1 % or 1 ms more, as its bucket stands for all that fell into it.
    #[must_use]
    pub fn quantile(&self, per_thousand: u16) -> Option<Duration> {
        // By whole numbers: a rank that is rounded differently somewhere would be another figure.
        let of_all = u128::from(self.count()) * u128::from(per_thousand.min(1_000));
        let rank = of_all.div_ceil(1_000).max(1);
        let mut seen = 0_u128;
        let reached = self.rows().find(|(_, count)| {
            seen += u128::from(*count);
            seen >= rank
        });
        reached.map(|(bucket, _)| bucket.longest())
    }

    /// The longest, as [`quantile`](Self::quantile) gives it. `None` if there are none.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        self.quantile(1_000)
    }
}

impl Default for Durations {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Durations {
    fn eq(&self, other: &Self) -> bool {
        self.rows().eq(other.rows())
    }
}

impl Eq for Durations {}

impl Extend<(Bucket, u64)> for Durations {
    fn extend<I: IntoIterator<Item = (Bucket, u64)>>(&mut self, rows: I) {
        for (bucket, count) in rows {
            self.add(bucket, count);
        }
    }
}

impl FromIterator<(Bucket, u64)> for Durations {
    fn from_iter<I: IntoIterator<Item = (Bucket, u64)>>(rows: I) -> Self {
        let mut durations = Self::new();
        durations.extend(rows);
        durations
    }
}
