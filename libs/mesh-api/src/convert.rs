//! Wire values read into domain types, once, at the edge, and written back.

use std::str::FromStr;
use std::time::Duration;

use mesh_types::{Epoch, LogName, Position, Timestamp};

use crate::common::v1 as wire;

/// What is wrong with a request: every field that is missing or malformed, gathered so that the
/// caller learns of all of them at once; of very many the first [`FieldErrors::MOST`], because a
/// refusal travels in headers, which clients bound.
#[derive(Debug, Default)]
pub struct FieldErrors(Vec<(String, String)>);

/// Longest name of a field and longest description, in characters.
const LONGEST: usize = 100;

impl FieldErrors {
    /// How many are told.
    pub const MOST: usize = 32;

    /// Notes what is wrong with `field`.
    pub fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        if self.0.len() < Self::MOST {
            self.0
                .push((short(field.into()), short(description.into())));
        }
    }

    /// No more of them than so many, the first.
    pub fn shorten(&mut self, most: usize) {
        self.0.truncate(most);
    }

    /// The value, or `None` after noting what is wrong with `field`.
    pub fn keep<T, E: ToString>(&mut self, field: &str, parsed: Result<T, E>) -> Option<T> {
        parsed
            .map_err(|error| self.add(field, error.to_string()))
            .ok()
    }

    /// Reads the text of `field`, noting what is wrong with it.
    pub fn parse<T>(&mut self, field: &str, text: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: ToString,
    {
        self.keep(field, text.parse())
    }

    /// The items of a page: 100 if the caller does not say, at most 1,000, as every list of the
    /// contracts has it.
    pub fn page_size(&mut self, asked: i32) -> Option<u16> {
        match u16::try_from(asked.min(1_000)) {
            Ok(0) => Some(100),
            Ok(size) => Some(size),
            Err(_) => {
                self.add("page_size", "is negative");
                None
            }
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Field and description of everything that is wrong.
    #[must_use]
    pub fn violations(&self) -> &[(String, String)] {
        &self.0
    }
}

fn short(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
    }
    text
}

/// Why a wire value is none of the domain's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(&'static str);

/// The instant on the wire.
#[must_use]
pub fn timestamp_to_wire(at: Timestamp) -> prost_types::Timestamp {
    let nanos = at.micros().rem_euclid(1_000_000) * 1_000;
    prost_types::Timestamp {
        seconds: at.micros().div_euclid(1_000_000),
        nanos: i32::try_from(nanos).unwrap_or_default(),
    }
}

/// Reads an instant; what is finer than a microsecond is cut off.
///
/// The instants of protobuf lie in the years 1 to 9999.
pub fn timestamp_from_wire(at: &prost_types::Timestamp) -> Result<Timestamp, Malformed> {
    const YEARS_1_TO_9999: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
    if !YEARS_1_TO_9999.contains(&at.seconds) || !(0..1_000_000_000).contains(&at.nanos) {
        return Err(Malformed(
            "a time lies in the years 1 to 9999 and has 0 to 999999999 nanos",
        ));
    }
    Ok(Timestamp::from_micros(
        at.seconds * 1_000_000 + i64::from(at.nanos) / 1_000,
    ))
}

/// A length of time on the wire.
#[must_use]
pub fn duration_to_wire(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

/// The position on the wire.
#[must_use]
pub fn position_to_wire(position: &Position) -> wire::Position {
    wire::Position {
        log: position.log.as_str().to_owned(),
        epoch: position.epoch.get(),
        sequence: position.sequence,
    }
}

/// Reads a position.
pub fn position_from_wire(position: &wire::Position) -> Result<Position, Malformed> {
    let log: LogName = position
        .log
        .parse()
        .map_err(|_| Malformed("a position names its log"))?;
    let epoch = Epoch::new(position.epoch).ok_or(Malformed(
        "an epoch is a number from 1 to 9223372036854775807",
    ))?;
    if i64::try_from(position.sequence).is_err() {
        return Err(Malformed(
            "a sequence is a number from 0 to 9223372036854775807",
        ));
    }
    Ok(Position {
        log,
        epoch,
        sequence: position.sequence,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_keep_their_microseconds() {
        for micros in [0, 1, -1, 1_700_000_000_123_456, -62_135_596_800_000_000] {
            let at = Timestamp::from_micros(micros);
            assert_eq!(timestamp_from_wire(&timestamp_to_wire(at)), Ok(at));
        }
        for (seconds, nanos) in [
            (i64::MAX, 0),
            (253_402_300_800, 0),
            (0, -1),
            (0, 1_000_000_000),
        ] {
            assert!(timestamp_from_wire(&prost_types::Timestamp { seconds, nanos }).is_err());
        }
    }

    #[test]
    fn a_page_has_a_size_within_bounds() {
        let mut errors = FieldErrors::default();
        let sizes = [0, 1, 1_000, 1_001, i32::MAX].map(|asked| errors.page_size(asked));
        assert_eq!(sizes, [100, 1, 1_000, 1_000, 1_000].map(Some));
        assert!(errors.is_empty());
        assert_eq!(errors.page_size(-1), None);
        assert_eq!(errors.violations().len(), 1);
    }

    #[test]
    fn positions_are_read_as_written_and_rubbish_is_refused() {
        let position = wire::Position {
            log: "flags".into(),
            epoch: 7,
            sequence: 3,
        };
        assert_eq!(
            position_to_wire(&position_from_wire(&position).unwrap()),
            position
        );
        for rubbish in [
            wire::Position {
                log: String::new(),
                ..position.clone()
            },
            wire::Position {
                epoch: 0,
                ..position.clone()
            },
            wire::Position {
                epoch: u64::MAX,
                ..position.clone()
            },
            wire::Position {
                sequence: u64::MAX,
                ..position
            },
        ] {
            assert!(position_from_wire(&rubbish).is_err(), "{rubbish:?}");
        }
    }
}
