//! Is an outcome well formed, and what does it say?

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use mesh_api::common::v1::MessageClass;
use mesh_api::convert::{FieldErrors, timestamp_from_wire};
use mesh_api::reporting::v1 as wire;
use mesh_types::{Bounds, DeviceId, OutOfBounds, PartyId, Timestamp};

use crate::period::Part;

/// How a Service Request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// It was delivered and answered.
    Succeeded,
    /// It failed.
    Failed,
    /// It was suppressed.
    Suppressed,
}

/// Who started a Service Request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// A User sent it.
    OnDemand,
    /// An execution of a schedule.
    Scheduled,
    /// An execution of a future-dated request.
    FutureDated,
}

/// A Service Reference Variant, such as `4.8.1` or `5.1`: two or three numbers from 1 to 255 without
/// leading zeros, joined by dots. Variants that are newer than this build are taken as they come.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Variant(Arc<str>);

/// The name of a producer of outcomes: 1 to 32 of a-z, 0-9 and '-'.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Producer(Arc<str>);

/// A producer's own id of an outcome: 1 to 64 printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutcomeId(Arc<str>);

/// Why a text is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TextError(&'static str);

/// Why a time is none at which a request was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum TimeError {
    #[error("is missing")]
    Missing,
    #[error("is no time of the years 1 to 9999")]
    NoTime,
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),
}

/// What became of one Service Request, without its Device: that comes from the permit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The producer's own id.
    pub id: OutcomeId,
    /// The supplier.
    pub party: PartyId,
    /// What was asked.
    pub variant: Variant,
    /// What it is about.
    pub class: MessageClass,
    /// When it was sent or executed.
    pub request_time: Timestamp,
    /// The part of the calendar in which that was.
    pub part: Part,
    /// How it ended.
    pub ending: Ending,
    /// Who started it.
    pub origin: Origin,
}

/// Reads an outcome and the Device that it is about, or says everything that is wrong with it: also
/// that there is no such party as far as `is_known` knows, or that `now` it cannot have happened yet.
pub fn read(
    outcome: &wire::Outcome,
    now: Timestamp,
    is_known: impl Fn(&PartyId) -> bool,
) -> Result<(DeviceId, Outcome), FieldErrors> {
    let mut errors = FieldErrors::default();
    let id = errors.parse("outcome_id", &outcome.outcome_id);
    let party: Option<PartyId> = errors.parse("party_id", &outcome.party_id);
    if party.as_ref().is_some_and(|party| !is_known(party)) {
        errors.add("party_id", "is no party of the directory");
    }
    let device = errors.parse("device_id", &outcome.device_id);
    let variant = &outcome.service_reference_variant;
    let variant = errors.parse("service_reference_variant", variant);
    let class = errors.keep("message_class", class(outcome.message_class));
    let request_time = errors.keep("request_time", request_time(outcome, now));
    let ending = errors.keep("result", Ending::try_from(outcome.result));
    let origin = errors.keep("origin", Origin::try_from(outcome.origin));
    let read = (|| {
        let (request_time, part) = request_time?;
        let outcome = Outcome {
            id: id?,
            party: party?,
            variant: variant?,
            class: class?,
            request_time,
            part,
            ending: ending?,
            origin: origin?,
        };
        Some((device?, outcome))
    })();
    match read {
        Some(read) if errors.is_empty() => Ok(read),
        _ => Err(errors),
    }
}

fn class(number: i32) -> Result<MessageClass, TextError> {
    match MessageClass::try_from(number) {
        Ok(MessageClass::Unspecified) | Err(_) => Err(TextError("is missing or unknown")),
        Ok(class) => Ok(class),
    }
}

fn request_time(outcome: &wire::Outcome, now: Timestamp) -> Result<(Timestamp, Part), TimeError> {
    let at = outcome.request_time.as_ref();
    let at = timestamp_from_wire(at.ok_or(TimeError::Missing)?).map_err(|_| TimeError::NoTime)?;
    let at = Bounds::SENT.check(at, now)?;
    let part = Part::of(at).map_err(|_| TimeError::NoTime)?;
    Ok((at, part))
}

/// The numbers of the contract's enum, as the database holds them too.
macro_rules! numbered {
    ($name:ident, $wire:path { $($variant:ident = $wire_variant:ident),* $(,)? }) => {
        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The number in the contract and in the database.
            #[must_use]
            pub fn number(self) -> i32 {
                use $wire as Wire;
                i32::from(match self {
                    $(Self::$variant => Wire::$wire_variant),*
                })
            }
        }

        impl TryFrom<i32> for $name {
            type Error = TextError;

            fn try_from(number: i32) -> Result<Self, TextError> {
                let of_number = |known: &&Self| known.number() == number;
                let known = Self::ALL.iter().find(of_number);
                known.copied().ok_or(TextError("is missing or unknown"))
            }
        }
    };
}

numbered!(Ending, wire::OutcomeResult {
    Succeeded = Succeeded,
    Failed = Failed,
    Suppressed = Suppressed,
});
numbered!(Origin, wire::OutcomeOrigin {
    OnDemand = OnDemand,
    Scheduled = Scheduled,
    FutureDated = FutureDated,
});

macro_rules! text {
    ($name:ident, $form:literal, $well_formed:expr) => {
        impl $name {
            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = TextError;

            fn from_str(text: &str) -> Result<Self, TextError> {
                let well_formed: fn(&str) -> bool = $well_formed;
                if well_formed(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(TextError($form))
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text!(
    Variant,
    "is two or three numbers from 1 to 255 without leading zeros, joined by dots, such as 4.8.1",
    |text| {
        let number = |part: &str| {
            let digits = part.bytes().all(|byte| byte.is_ascii_digit());
            digits && !part.starts_with('0') && part.parse::<u8>().is_ok()
        };
        matches!(text.split('.').count(), 2 | 3) && text.split('.').all(number)
    }
);
text!(Producer, "has 1 to 32 of a-z, 0-9 and '-'", |text| {
    let known = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=32).contains(&text.len()) && text.bytes().all(known)
});
text!(
    OutcomeId,
    "has 1 to 64 printable ASCII characters",
    |text| {
        let printable = |byte| matches!(byte, b' '..=b'~');
        (1..=64).contains(&text.len()) && text.bytes().all(printable)
    }
);

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn well_formed() -> wire::Outcome {
        wire::Outcome {
            outcome_id: "42".into(),
            party_id: "ACME".into(),
            device_id: "00-db-12-34-56-78-90-a0".into(),
            service_reference_variant: "4.8.1".into(),
            message_class: MessageClass::Consumption.into(),
            request_time: Some(prost_types::Timestamp {
                seconds: 1_793_491_200,
                nanos: 1_999,
            }),
            result: wire::OutcomeResult::Suppressed.into(),
            origin: wire::OutcomeOrigin::Scheduled.into(),
        }
    }

    /// The end of November 2026.
    pub(crate) const NOW: Timestamp = Timestamp::from_micros(1_796_083_200 * 1_000_000);

    #[test]
    fn a_well_formed_outcome_is_read() {
        let (device, outcome) = read(&well_formed(), NOW, |_| true).unwrap();
        assert_eq!(device.to_string(), "00-DB-12-34-56-78-90-A0");
        assert_eq!(outcome.request_time.micros(), 1_793_491_200_000_001);
        assert_eq!(outcome.part.to_string(), "2026-11");
        assert_eq!(
            (outcome.ending, outcome.origin),
            (Ending::Suppressed, Origin::Scheduled)
        );
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let wrong = |change: fn(&mut wire::Outcome)| {
            let mut outcome = well_formed();
            change(&mut outcome);
            let errors = read(&outcome, NOW, |party| party.as_str() == "ACME").unwrap_err();
            let fields = errors.violations().iter().map(|(field, _)| field.clone());
            fields.collect::<Vec<_>>().join(" ")
        };
        let all = "outcome_id party_id device_id service_reference_variant message_class \
                   request_time result origin";
        assert_eq!(wrong(|outcome| *outcome = wire::Outcome::default()), all);
        assert_eq!(
            wrong(|outcome| outcome.outcome_id = "x".repeat(65)),
            "outcome_id"
        );
        assert_eq!(
            wrong(|outcome| outcome.outcome_id = "a\n".into()),
            "outcome_id"
        );
        assert_eq!(wrong(|outcome| outcome.message_class = 99), "message_class");
        assert_eq!(
            wrong(|outcome| outcome.party_id = "OTHER".into()),
            "party_id"
        );
        assert_eq!(wrong(|outcome| outcome.result = 4), "result");
        assert_eq!(wrong(|outcome| outcome.origin = -1), "origin");
        assert_eq!(
            wrong(|outcome| {
                outcome.request_time = Some(prost_types::Timestamp {
                    seconds: i64::MAX,
                    nanos: 0,
                });
            }),
            "request_time"
        );
    }

    #[test]
    fn what_happened_lies_between_the_first_request_and_now() {
        let at = |micros: i64| {
            let mut outcome = well_formed();
            let at = Timestamp::from_micros(micros);
            outcome.request_time = Some(mesh_api::convert::timestamp_to_wire(at));
            read(&outcome, NOW, |_| true).is_ok()
        };
        let first = 1_477_958_400 * 1_000_000;
        let last = NOW.micros() + 300 * 1_000_000;
        assert!(at(first) && at(NOW.micros()) && at(last));
        assert!(!at(first - 1) && !at(last + 1));
    }

    #[test]
    fn variants_are_two_or_three_numbers() {
        for text in ["4.8.1", "5.1", "11.1", "8.14.4", "6.31.100", "255.255"] {
            assert_eq!(text.parse::<Variant>().unwrap().as_str(), text);
        }
        for text in [
            "", "4", "4.", "4.8.1.1", "4..1", "a.b.c", "4.8.1000", "4.8.1 ", "-4.8.1", "4.08.1",
            "04.8", "4.0", "0.1", "4.256", "+4.8",
        ] {
            assert!(text.parse::<Variant>().is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_are_those_of_the_contract() {
        for &ending in Ending::ALL {
            assert_eq!(Ending::try_from(ending.number()), Ok(ending));
        }
        for &origin in Origin::ALL {
            assert_eq!(Origin::try_from(origin.number()), Ok(origin));
        }
        assert!(Ending::try_from(0).is_err() && Origin::try_from(0).is_err());
    }
}
