//! What do counted outcomes say of a supplier?
//!
//! Nothing is ever subtracted silently: each figure shows all requests, how many of them are
//! excepted by a consumer's choice, and the rate both ways.

use std::ops::{Add, AddAssign};

use crate::outcome::{Ending, Origin};

/// How some requests ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Delivered and answered.
    pub succeeded: u64,
    /// Failed.
    pub failed: u64,
    /// Suppressed by the flag.
    pub suppressed: u64,
    /// Those that are excepted, however they ended.
    pub excepted: u64,
    /// Of the excepted, those that were delivered all the same: each is a broken promise.
    pub excepted_but_delivered: u64,
}

/// How the requests of a supplier ended: those that Users sent apart from those that the DSP
/// executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Sent by Users.
    pub on_demand: Counts,
    /// Executions of schedules and future-dated requests.
    pub executions: Counts,
}

impl Counts {
    /// All requests, suppressed ones included.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.succeeded + self.failed + self.suppressed
    }

    /// `succeeded / sent`; `None` if nothing was sent.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        ratio(self.succeeded, self.sent())
    }

    /// `(succeeded − excepted that succeeded) / (sent − excepted)`; `None` if nothing is left to
    /// divide by.
    #[must_use]
    pub fn rate_with_exceptions(&self) -> Option<f64> {
        ratio(
            self.succeeded.saturating_sub(self.excepted_but_delivered),
            self.sent().saturating_sub(self.excepted),
        )
    }

    /// Counts `requests` that ended so.
    pub const fn count(&mut self, ending: Ending, requests: u64) {
        match ending {
            Ending::Succeeded => self.succeeded += requests,
            Ending::Failed => self.failed += requests,
            Ending::Suppressed => self.suppressed += requests,
        }
    }

    /// Notes that `requests` of those counted are excepted.
    pub const fn except(&mut self, ending: Ending, requests: u64) {
        self.excepted += requests;
        if matches!(ending, Ending::Succeeded) {
            self.excepted_but_delivered += requests;
        }
    }
}

impl Figures {
    /// All requests, whoever started them.
    #[must_use]
    pub fn total(&self) -> Counts {
        self.on_demand + self.executions
    }

    /// Counts `requests` of this origin that ended so.
    pub const fn count(&mut self, origin: Origin, ending: Ending, requests: u64) {
        self.of(origin).count(ending, requests);
    }

    /// Notes that `requests` of those counted are excepted.
    pub const fn except(&mut self, origin: Origin, ending: Ending, requests: u64) {
        self.of(origin).except(ending, requests);
    }

    const fn of(&mut self, origin: Origin) -> &mut Counts {
        match origin {
            Origin::OnDemand => &mut self.on_demand,
            Origin::Scheduled | Origin::FutureDated => &mut self.executions,
        }
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            succeeded: self.succeeded + other.succeeded,
            failed: self.failed + other.failed,
            suppressed: self.suppressed + other.suppressed,
            excepted: self.excepted + other.excepted,
            excepted_but_delivered: self.excepted_but_delivered + other.excepted_but_delivered,
        }
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.on_demand = self.on_demand + other.on_demand;
        self.executions = self.executions + other.executions;
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a rate needs no more than the 53 bits of a double"
)]
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decision 21 and its hard cases, by hand.
    #[test]
    fn both_rates_stand_side_by_side() {
        let table = [
            // succeeded, failed, suppressed, excepted, of these delivered, rate, with exceptions
            (0, 0, 0, 0, 0, None, None),
            (90, 10, 0, 0, 0, Some(0.9), Some(0.9)),
            // Ten reads suppressed by choice cost the supplier a tenth, and then nothing.
            (90, 0, 10, 10, 0, Some(0.9), Some(1.0)),
            // What was delivered against the choice leaves both sides of the second rate.
            (90, 5, 5, 15, 10, Some(0.9), Some(80.0 / 85.0)),
            // Suppressed with no flag at that time: counts as not succeeded.
            (3, 0, 1, 0, 0, Some(0.75), Some(0.75)),
            // All is excepted: nothing is left to divide by.
            (0, 0, 4, 4, 0, Some(0.0), None),
            (2, 1, 1, 4, 2, Some(0.5), None),
        ];
        for (succeeded, failed, suppressed, excepted, excepted_but_delivered, rate, with) in table {
            let counts = Counts {
                succeeded,
                failed,
                suppressed,
                excepted,
                excepted_but_delivered,
            };
            assert_eq!(
                (counts.rate(), counts.rate_with_exceptions()),
                (rate, with),
                "{counts:?}"
            );
        }
    }

    fn endings() -> impl Strategy<Value = Ending> {
        prop::sample::select(Ending::ALL)
    }

    fn origins() -> impl Strategy<Value = Origin> {
        prop::sample::select(Origin::ALL)
    }

    proptest! {
        /// However outcomes come, the sums hold.
        #[test]
        fn the_sums_hold(
            outcomes in prop::collection::vec((origins(), endings(), any::<bool>()), 0..200),
        ) {
            let mut figures = Figures::default();
            for &(origin, ending, excepted) in &outcomes {
                figures.count(origin, ending, 1);
                figures.except(origin, ending, u64::from(excepted));
            }
            let total = figures.total();
            prop_assert_eq!(total.sent(), outcomes.len() as u64);
            for counts in [total, figures.on_demand, figures.executions] {
                prop_assert_eq!(counts.sent(), counts.succeeded + counts.failed + counts.suppressed);
                prop_assert!(counts.sent() >= counts.excepted);
                prop_assert!(counts.excepted >= counts.excepted_but_delivered);
                prop_assert!(counts.succeeded >= counts.excepted_but_delivered);
                prop_assert_eq!(counts.rate().is_none(), counts.sent() == 0);
                prop_assert_eq!(
                    counts.rate_with_exceptions().is_none(),
                    counts.sent() == counts.excepted
                );
                for rate in [counts.rate(), counts.rate_with_exceptions()].into_iter().flatten() {
                    prop_assert!((0.0..=1.0).contains(&rate));
                }
            }
            let executed = outcomes.iter().filter(|(origin, ..)| *origin != Origin::OnDemand);
            prop_assert_eq!(figures.executions.sent(), executed.count() as u64);
        }

        /// Adding reports up gives the report over all of them.
        #[test]
        fn totals_are_sums(
            outcomes in prop::collection::vec((origins(), endings(), any::<bool>()), 0..200),
            cut in 0_usize..200,
        ) {
            let of = |part: &[(Origin, Ending, bool)]| {
                let mut figures = Figures::default();
                for &(origin, ending, excepted) in part {
                    figures.count(origin, ending, 1);
                    figures.except(origin, ending, u64::from(excepted));
                }
                figures
            };
            let (one, other) = outcomes.split_at(cut.min(outcomes.len()));
            let mut sum = of(one);
            sum += of(other);
            prop_assert_eq!(sum, of(&outcomes));
        }
    }
}
