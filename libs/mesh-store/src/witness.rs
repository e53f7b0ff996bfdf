//! What does a file beside the database remember of it?
//!
//! `PATH.witness` says which database `PATH` is, how far its logs and its followers' cursors were,
//! and how much of its `-wal` was acknowledged. A database that is missing, empty, replaced or older is
//! so recognised when it is opened; see `docs/adr/2026-11-28-a-database-remembers-beside-itself.md`.
//! The text can be read with `cat`.

pub(crate) mod file;
pub(crate) mod judge;
pub(crate) mod recorder;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use mesh_types::chain::Hash;
use mesh_types::{Epoch, LogName, Position};
use sha2::{Digest as _, Sha256};

use crate::cursor::Cursor;
use crate::wal::Mark;

const BEGIN: &str = "mp169 witness 1";
/// Room for a line, to begin with.
const LINE: usize = 128;

/// What names a database for good.
pub(crate) type Identity = [u8; 16];

/// Somebody's word that a log went back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// What they saw, which is not in the log.
    pub(crate) seen: Cursor,
    /// Who they are.
    pub(crate) by: String,
}

/// What is remembered of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// Which database it is.
    pub(crate) identity: Identity,
    /// How often its heart had beaten.
    pub(crate) pulse: i64,
    /// How much of its `-wal` was acknowledged; `None` once it was closed.
    pub(crate) wal: Option<Mark>,
    /// How far each of its logs was.
    pub(crate) logs: BTreeMap<LogName, Cursor>,
    /// How far each of its followers was in another's log.
    pub(crate) cursors: BTreeMap<String, Cursor>,
    /// Who said that one of its logs went back, without an operator's decision so far.
    pub(crate) claims: Vec<Claim>,
}

impl Remembered {
    /// The text, with what tells it from a torn one.
    pub(crate) fn encode(&self, generation: u64) -> String {
        let lines = 6 + self.logs.len() + self.cursors.len() + self.claims.len();
        let mut text = String::with_capacity(lines * LINE);
        // Writing into a text cannot fail.
        let _ = write!(text, "{BEGIN}\ngeneration {generation}\n");
        let _ = writeln!(text, "database {}", Hex(&self.identity));
        let _ = writeln!(text, "pulse {}", self.pulse);
        if let Some(mark) = &self.wal {
            let _ = writeln!(text, "wal {} {}", Hex(&mark.salts), mark.frames);
        }
        for seen in self.logs.values() {
            let _ = writeln!(text, "log {}", Line(seen));
        }
        for (follower, seen) in &self.cursors {
            let _ = writeln!(text, "cursor {} {follower}", Line(seen));
        }
        for claim in &self.claims {
            let by = claim.by.replace(char::is_control, " ");
            let _ = writeln!(text, "claim {} {by}", Line(&claim.seen));
        }
        let sum = Sha256::digest(&text);
        let _ = writeln!(text, "sha256 {}", Hex(&sum));
        text
    }

    /// Reads a text, whatever stands behind it; `None` if it is torn or none of ours.
    pub(crate) fn decode(octets: &[u8]) -> Option<(u64, Self)> {
        let sum = octets.windows(8).position(|at| at == b"\nsha256 ")? + 1;
        let (text, rest) = octets.split_at(sum);
        let expected = format!("sha256 {}\n", Hex(&Sha256::digest(text)));
        if !rest.starts_with(expected.as_bytes()) {
            return None;
        }
        let mut lines = std::str::from_utf8(text).ok()?.lines();
        if lines.next()? != BEGIN {
            return None;
        }
        let generation = lines.next()?.strip_prefix("generation ")?.parse().ok()?;
        let mut read = Self {
            identity: unhex(lines.next()?.strip_prefix("database ")?)?,
            pulse: lines.next()?.strip_prefix("pulse ")?.parse().ok()?,
            wal: None,
            logs: BTreeMap::new(),
            cursors: BTreeMap::new(),
            claims: Vec::new(),
        };
        for line in lines {
            read.take(line)?;
        }
        Some((generation, read))
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let (kind, rest) = line.split_once(' ')?;
        if kind == "wal" {
            let (salts, frames) = rest.split_once(' ')?;
            let (salts, frames) = (unhex(salts)?, frames.parse().ok()?);
            self.wal = Some(Mark { salts, frames });
            return Some(());
        }
        let mut words = rest.splitn(5, ' ');
        let seen = Cursor {
            position: Position {
                log: words.next()?.parse().ok()?,
                epoch: Epoch::new(words.next()?.parse().ok()?)?,
                sequence: words.next()?.parse().ok()?,
            },
            hash: unhex::<32>(words.next()?)?,
        };
        match (kind, words.next()) {
            ("log", None) => {
                self.logs.insert(seen.position.log.clone(), seen);
            }
            ("cursor", Some(follower)) => {
                self.cursors.insert(follower.to_owned(), seen);
            }
            ("claim", Some(by)) => {
                let by = by.to_owned();
                self.claims.push(Claim { seen, by });
            }
            _ => return None,
        }
        Some(())
    }
}

/// A position and its hash.
struct Line<'c>(&'c Cursor);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position {
            log,
            epoch,
            sequence,
        } = &self.0.position;
        let hash: &Hash = &self.0.hash;
        write!(f, "{log} {} {sequence} {}", epoch.get(), Hex(hash))
    }
}

/// Octets as digits, a few dozen at a time: this is written at every commit.
struct Hex<'o>(&'o [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for octets in self.0.chunks(32) {
            let mut digits = [0; 64];
            for (both, octet) in digits.chunks_exact_mut(2).zip(octets) {
                both[0] = DIGITS[usize::from(octet >> 4)];
                both[1] = DIGITS[usize::from(octet & 15)];
            }
            let digits = &digits[..2 * octets.len()];
            f.write_str(std::str::from_utf8(digits).map_err(|_| fmt::Error)?)?;
        }
        Ok(())
    }
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut octets = [0; N];
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    for (octet, at) in octets.iter_mut().zip((0..).step_by(2)) {
        *octet = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(octets)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn seen(log: &str, epoch: u64, sequence: u64) -> Cursor {
        Cursor {
            position: Position {
                log: log.parse().unwrap(),
                epoch: Epoch::new(epoch).unwrap(),
                sequence,
            },
            hash: [u8::try_from(sequence % 256).unwrap(); 32],
        }
    }

    pub(crate) fn remembered() -> Remembered {
        let flags = seen("flags", 7, 300);
        Remembered {
            identity: [0xab; 16],
            pulse: 12,
            wal: Some(Mark {
                salts: [1, 2, 3, 4, 5, 6, 7, 8],
                frames: 40,
            }),
            logs: [(flags.position.log.clone(), flags)].into(),
            cursors: [("devices".to_owned(), seen("devices", 9, 20))].into(),
            claims: vec![Claim {
                seen: seen("flags", 7, 400),
                by: "the service csp-notification".to_owned(),
            }],
        }
    }

    #[test]
    fn what_was_written_is_read_whatever_stands_behind_it() {
        let text = remembered().encode(5);
        assert_eq!(Remembered::decode(text.as_bytes()), Some((5, remembered())));
        let longer = text + "rest of a longer one\nsha256 00\n";
        let read = Remembered::decode(longer.as_bytes());
        assert_eq!(read, Some((5, remembered())));
    }

    #[test]
    fn a_flipped_bit_and_a_cut_are_noticed() {
        let text = remembered().encode(5).into_bytes();
        for bit in 0..text.len() * 8 {
            let mut flipped = text.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Remembered::decode(&flipped), None, "bit {bit}");
        }
        for length in 0..text.len() {
            assert_eq!(Remembered::decode(&text[..length]), None, "{length}");
        }
    }

    #[test]
    fn a_name_with_a_line_in_it_forges_none() {
        let mut odd = remembered();
        odd.claims[0].by = "a\nlog flags 1 1 00".to_owned();
        let (_, read) = Remembered::decode(odd.encode(1).as_bytes()).unwrap();
        assert_eq!(read.claims[0].by, "a log flags 1 1 00");
        assert_eq!(read.logs, odd.logs);
    }
}
