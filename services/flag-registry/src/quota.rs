//! How often may a supplier lift flags, and record what changes nothing?
//!
//! The log is never compacted, so nobody may fill it in a loop. Only two things can be repeated
//! without end: lifting a flag that was set, and recording a preference that leaves everything as it
//! is. Each has a quota for every Device and one for every supplier. What a consumer needs has none: a
//! flag that is not set can be set whatever was done before, which cannot be repeated before it was
//! lifted; and a repeat that is refused leaves the flag as the consumer wants it (see `docs/adr/2026-11-28-quotas-count-what-a-supplier-can-repeat.md`).

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use mesh_types::Timestamp;

/// What is spent comes back after so many hours.
const HOURS: i64 = 24;
const HOUR: i64 = 3_600 * 1_000_000;
/// How far the clock may have gone back behind what it was spent by.
const SKEW: i64 = 1;

const DEVICE_LIFTS: NonZeroU32 = of(10);
const DEVICE_REPEATS: NonZeroU32 = of(20);
const SUPPLIER_LIFTS: NonZeroU32 = of(200_000);
const SUPPLIER_REPEATS: NonZeroU32 = of(50_000);

/// The quotas, each for 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub struct Quotas {
    /// How often a supplier may lift the flag of one Device in 24 hours.
    #[arg(long = "quota-device-lifts", value_name = "NUMBER", env = "MP169_QUOTA_DEVICE_LIFTS", default_value_t = DEVICE_LIFTS)]
    pub device_lifts: NonZeroU32,
    /// How many preferences of one Device that change nothing a supplier may record in 24 hours.
    #[arg(long = "quota-device-repeats", value_name = "NUMBER", env = "MP169_QUOTA_DEVICE_REPEATS", default_value_t = DEVICE_REPEATS)]
    pub device_repeats: NonZeroU32,
    /// How many flags a supplier may lift in 24 hours.
    #[arg(long = "quota-supplier-lifts", value_name = "NUMBER", env = "MP169_QUOTA_SUPPLIER_LIFTS", default_value_t = SUPPLIER_LIFTS)]
    pub supplier_lifts: NonZeroU32,
    /// How many preferences that change nothing a supplier may record in 24 hours.
    #[arg(long = "quota-supplier-repeats", value_name = "NUMBER", env = "MP169_QUOTA_SUPPLIER_REPEATS", default_value_t = SUPPLIER_REPEATS)]
    pub supplier_repeats: NonZeroU32,
}

const fn of(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            device_lifts: DEVICE_LIFTS,
            device_repeats: DEVICE_REPEATS,
            supplier_lifts: SUPPLIER_LIFTS,
            supplier_repeats: SUPPLIER_REPEATS,
        }
    }
}

/// What a supplier's wish does, as far as quotas go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It sets a flag that is not set, or answers a prompt for a review. Never counted.
    Needed,
    /// It lifts a flag.
    Lifts,
    /// It leaves everything as it is.
    Repeats,
}

impl Effect {
    /// Of a wish that makes of a flag that `was` set or not one that `is`, with or without prompts that
    /// it answers.
    #[must_use]
    pub const fn of(was: bool, is: bool, prompted: bool) -> Self {
        match (was, is) {
            (true, false) => Self::Lifts,
            (false, true) => Self::Needed,
            _ if prompted => Self::Needed,
            _ => Self::Repeats,
        }
    }
}

/// How often something was done, by the hours of UTC since 1970 in which it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Used(BTreeMap<i64, u32>);

/// The text is not what [`Used`] is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a count by hours")]
pub struct UsedError;

impl Used {
    /// Counts once more. What does not count any more is left out.
    pub fn note(&mut self, at: Timestamp) {
        let hour = hour(at);
        self.0.retain(|&used, _| counts(used, hour));
        let times = self.0.entry(hour).or_default();
        *times = times.saturating_add(1);
    }

    /// From when on there is room again for one more within `size`; `None` if there is now.
    #[must_use]
    pub fn full_until(&self, size: NonZeroU32, now: Timestamp) -> Option<Timestamp> {
        let now = hour(now);
        let counted = || self.0.iter().filter(|&(&used, _)| counts(used, now));
        let mut used: u64 = counted().map(|(_, &times)| u64::from(times)).sum();
        let size = u64::from(size.get());
        let mut until = None;
        for (&hour, &times) in counted() {
            if used < size {
                break;
            }
            used -= u64::from(times);
            until = Some(Timestamp::from_micros((hour + HOURS + 1) * HOUR));
        }
        until
    }
}

fn hour(at: Timestamp) -> i64 {
    at.micros().div_euclid(HOUR)
}

/// Whether what was done in the hour `used` counts in the hour `now`: for twenty-four hours after the
/// end of its hour, so that no 24 hours hold more than a quota. What lies further in the future than a
/// clock is put right by was written under a wrong clock, and says nothing.
const fn counts(used: i64, now: i64) -> bool {
    now - HOURS <= used && used <= now + SKEW
}

impl fmt::Display for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (hour, times)) in self.0.iter().enumerate() {
            let space = if index > 0 { " " } else { "" };
            write!(f, "{space}{hour}:{times}")?;
        }
        Ok(())
    }
}

impl FromStr for Used {
    type Err = UsedError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = |item: &str| {
            let (hour, times) = item.split_once(':')?;
            Some((hour.parse().ok()?, times.parse().ok()?))
        };
        let read: Option<_> = text.split_ascii_whitespace().map(read).collect();
        read.map(Self).ok_or(UsedError)
    }
}

/// What was done of all that has a quota: of a Device by its supplier, or by a supplier.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spent {
    /// Flags lifted.
    pub lifts: Used,
    /// Preferences recorded that changed nothing.
    pub repeats: Used,
}

impl Spent {
    /// Counts a wish that was granted.
    pub fn note(&mut self, effect: Effect, at: Timestamp) {
        match effect {
            Effect::Needed => {}
            Effect::Lifts => self.lifts.note(at),
            Effect::Repeats => self.repeats.note(at),
        }
    }
}

/// Which quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quota {
    /// Of liftings of one Device's flag.
    DeviceLifts,
    /// Of preferences of one Device that change nothing.
    DeviceRepeats,
    /// Of a supplier's liftings.
    SupplierLifts,
    /// Of a supplier's preferences that change nothing.
    SupplierRepeats,
}

impl Quota {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::DeviceLifts,
        Self::DeviceRepeats,
        Self::SupplierLifts,
        Self::SupplierRepeats,
    ];

    /// Its name in refusals and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeviceLifts => "DEVICE_LIFTS",
            Self::DeviceRepeats => "DEVICE_REPEATS",
            Self::SupplierLifts => "SUPPLIER_LIFTS",
            Self::SupplierRepeats => "SUPPLIER_REPEATS",
        }
    }

    /// Whether each Device has one, and not the supplier alone.
    #[must_use]
    pub const fn is_of_a_device(self) -> bool {
        matches!(self, Self::DeviceLifts | Self::DeviceRepeats)
    }
}

/// A quota is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsedUp {
    /// Which.
    pub quota: Quota,
    /// How much it allows in 24 hours.
    pub size: NonZeroU32,
    /// How long it is until there is room again.
    pub wait: Duration,
}

impl UsedUp {
    /// For how long what is spent is counted.
    pub const WINDOW: Duration = Duration::from_hours(24);
}

impl fmt::Display for UsedUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.size;
        f.write_str("the quota is used up: one supplier may ")?;
        match self.quota {
            Quota::DeviceLifts => write!(f, "lift the flag of a Device {size} times"),
            Quota::DeviceRepeats => {
                write!(
                    f,
                    "record {size} preferences of one Device that change nothing"
                )
            }
            Quota::SupplierLifts => write!(f, "lift {size} flags"),
            Quota::SupplierRepeats => write!(f, "record {size} preferences that change nothing"),
        }?;
        let minutes = self.wait.as_secs().div_ceil(60);
        let (hours, minutes) = (minutes / 60, minutes % 60);
        write!(
            f,
            " in 24 hours; there is room again in {hours} h {minutes} min"
        )
    }
}

/// Whether there is room for a wish with this effect, given what its supplier did so far: to the
/// Device, and in all. Of two quotas that are used up the one is told that is for longer.
pub fn judge(
    effect: Effect,
    device: &Spent,
    supplier: &Spent,
    quotas: &Quotas,
    now: Timestamp,
) -> Result<(), UsedUp> {
    let judged = match effect {
        Effect::Needed => return Ok(()),
        Effect::Lifts => [
            (Quota::DeviceLifts, &device.lifts, quotas.device_lifts),
            (Quota::SupplierLifts, &supplier.lifts, quotas.supplier_lifts),
        ],
        Effect::Repeats => [
            (Quota::DeviceRepeats, &device.repeats, quotas.device_repeats),
            (
                Quota::SupplierRepeats,
                &supplier.repeats,
                quotas.supplier_repeats,
            ),
        ],
    };
    let used_up = judged.into_iter().filter_map(|(quota, used, size)| {
        let wait = used.full_until(size, now)?.since(now);
        Some(UsedUp { quota, size, wait })
    });
    used_up
        .max_by_key(|used_up| used_up.wait)
        .map_or(Ok(()), Err)
}
