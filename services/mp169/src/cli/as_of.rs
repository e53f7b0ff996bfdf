//! What reads can be told of time: what was known, and what was true.

use clap::Args;
use mesh_api::common::v1::as_of::Known;
use mesh_api::common::v1::{AsOf, Position};

use super::value::time;

/// What a read rests on.
#[derive(Debug, Clone, Default, Args)]
pub struct AsOfArgs {
    /// Answer as it would have been then: a time such as 2026-11-23T10:00:00Z, when what came later
    /// was not recorded yet, or the sequence of the last event in the log that counts.
    #[arg(long = "as-of", value_name = "TIME|SEQUENCE", value_parser = known)]
    pub known: Option<Known>,
}

impl AsOfArgs {
    /// As the contracts have it. A sequence is one of the log in which `head` stands.
    pub(crate) fn on(&self, head: Option<Position>) -> Option<AsOf> {
        let known = match (self.known.clone()?, head) {
            (Known::Position(asked), Some(head)) => Known::Position(Position {
                sequence: asked.sequence,
                ..head
            }),
            (known, _) => known,
        };
        Some(AsOf { known: Some(known) })
    }

    /// Whether the log has to be known before it can be asked.
    pub(crate) const fn needs_head(&self) -> bool {
        matches!(self.known, Some(Known::Position(_)))
    }
}

/// A number is a sequence, of a log that is found out later; anything else is a time.
fn known(text: &str) -> Result<Known, String> {
    match text.parse() {
        Ok(sequence) => Ok(Known::Position(Position {
            sequence,
            ..Position::default()
        })),
        Err(_) => time(text)
            .map(Known::KnownTime)
            .map_err(|problem| format!("it is the sequence of an event, or a time; {problem}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str, head: Option<Position>) -> Option<Known> {
        let args = AsOfArgs {
            known: known(text).ok(),
        };
        args.on(head)?.known
    }

    #[test]
    fn a_number_is_a_sequence_of_the_log_that_is_read() {
        let head = Position {
            log: "flags".to_owned(),
            epoch: 7,
            sequence: 40,
        };
        let expected = Position {
            sequence: 12,
            ..head.clone()
        };
        assert_eq!(asked("12", Some(head)), Some(Known::Position(expected)));
    }

    #[test]
    fn anything_else_is_a_time() {
        assert!(matches!(
            asked("2026-11-23", None),
            Some(Known::KnownTime(_))
        ));
        for text in ["", "-1", "yesterday", "12th"] {
            assert!(known(text).is_err(), "{text}");
        }
    }
}
