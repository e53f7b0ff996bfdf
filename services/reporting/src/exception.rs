//! Is a Service Request excepted from a supplier's figures by a consumer's choice?
//!
//! Excepted means: the request is directly about consumption, and at the time of the request its
//! Device was flagged, or (a GPF) covered by the flag of its GSME. How the request ended does not
//! matter here. A firmware update that fails on a flagged Device counts like any other failure.

use mesh_api::common::v1::MessageClass;
use mesh_types::{DeviceId, Interval, PartyId, Timestamp};

use crate::outcome::Variant;

/// What is counted together: requests that a supplier sent to a Device with a variant. In the order of its rows.
pub type ExceptedKey = (DeviceId, PartyId, Variant);

/// How excepted requests ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Excepted {
    /// Suppressed by the flag.
    pub suppressed: u64,
    /// Failed.
    pub failed: u64,
    /// Delivered all the same: each is a broken promise.
    pub delivered: u64,
}

impl Excepted {
    /// All of them.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.suppressed + self.failed + self.delivered
    }
}

/// Whether requests of this class can be excepted at all.
#[must_use]
pub fn exceptable(class: MessageClass) -> bool {
    class == MessageClass::Consumption
}

/// Whether a request is excepted. `reduced` is when communications with its Device were reduced: by
/// a flag of its own or by one that covers it.
///
/// A report asks the same of many requests at once, in SQL; the store's suite compares the two.
#[must_use]
pub fn excepted(class: MessageClass, request_time: Timestamp, reduced: &[Interval]) -> bool {
    exceptable(class) && reduced.iter().any(|flag| flag.contains(request_time))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: [MessageClass; 14] = [
        MessageClass::Unspecified,
        MessageClass::Consumption,
        MessageClass::Export,
        MessageClass::Prepayment,
        MessageClass::Network,
        MessageClass::Supply,
        MessageClass::LoadControl,
        MessageClass::Security,
        MessageClass::Firmware,
        MessageClass::Configuration,
        MessageClass::InventoryHan,
        MessageClass::Customer,
        MessageClass::Schedule,
        MessageClass::Diagnostic,
    ];

    #[test]
    fn only_consumption_of_a_device_flagged_at_that_instant_is_excepted() {
        let at = Timestamp::from_micros;
        let flagged = [
            Interval::new(at(10), Some(at(20))).unwrap(),
            Interval::new(at(30), None).unwrap(),
        ];
        for (time, expected) in [
            (9, false),
            (10, true),
            (19, true),
            (20, false),
            (29, false),
            (30, true),
            (i64::MAX - 1, true),
        ] {
            for class in CLASSES {
                let expected = expected && class == MessageClass::Consumption;
                assert_eq!(
                    excepted(class, at(time), &flagged),
                    expected,
                    "{class:?} at {time}"
                );
                assert!(!excepted(class, at(time), &[]));
            }
        }
        assert!(
            MessageClass::try_from(14).is_err(),
            "a class is missing in this table"
        );
    }
}
