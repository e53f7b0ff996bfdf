//! Is what a `-wal` holds what was written into it?
//!
//! SQLite reads a `-wal` up to the first frame whose checksum does not fit, and says nothing about
//! the rest: a flipped bit looks like a log that ended earlier. So [`survey`] looks at the octets
//! before SQLite does, and [`mend`] gives the frames of a copy checksums that fit, so that what is in
//! them is read as it stands. The format: <https://sqlite.org/fileformat.html#walformat>.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::sqlite::beside;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

type Checksum = (u32, u32);
type ReadNumber = fn([u8; 4]) -> u32;

/// Makes every frame that was committed fit; says whether one did not, or whether the header does
/// not, without which nothing can be read.
pub(crate) fn mend(wal: &mut [u8]) -> bool {
    let Some((header, frames)) = wal.split_at_mut_checked(HEADER) else {
        return false;
    };
    let Some((number, mut sum)) = begin(header) else {
        return true;
    };
    let salts = header[16..24].to_vec();
    let size = FRAME_HEADER + usize::try_from(u32_at(header, 8)).unwrap_or_default();
    let mut damaged = false;
    let committed = committed(frames.chunks_exact(size), &salts);
    for frame in frames.chunks_exact_mut(size).take(committed) {
        sum = add(number, sum, &frame[..8]);
        sum = add(number, sum, &frame[FRAME_HEADER..]);
        let fitting = [&salts, &sum.0.to_be_bytes()[..], &sum.1.to_be_bytes()].concat();
        damaged |= frame[8..FRAME_HEADER] != fitting;
        frame[8..FRAME_HEADER].copy_from_slice(&fitting);
    }
    damaged
}

/// How the checksums of a `-wal` count, and that of its header; `None` if the header is damaged.
fn begin(header: &[u8]) -> Option<(ReadNumber, Checksum)> {
    let number: ReadNumber = match u32_at(header, 0) {
        0x377f_0682 => u32::from_le_bytes,
        0x377f_0683 => u32::from_be_bytes,
        _ => return None,
    };
    let sum = add(number, (0, 0), &header[..24]);
    (sum == (u32_at(header, 24), u32_at(header, 28))).then_some((number, sum))
}

/// How far a `-wal` was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Drawn when the `-wal` began anew; the first four octets count how often it did.
    pub(crate) salts: [u8; 8],
    /// So many frames.
    pub(crate) frames: u32,
}

/// What stands in a `-wal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Survey {
    /// Nothing.
    Empty,
    /// Something, with a header that is damaged.
    Unreadable,
    /// Frames.
    Frames {
        /// Those that SQLite will take: up to the last that ends a transaction before the first that
        /// does not fit.
        taken: Mark,
        /// Whether a transaction ends behind the first frame that does not fit.
        more: bool,
    },
}

/// Looks at a `-wal` as it stands.
pub(crate) fn survey(mut wal: impl Read) -> io::Result<Survey> {
    let mut header = Vec::new();
    wal.by_ref().take(32).read_to_end(&mut header)?;
    if header.is_empty() {
        return Ok(Survey::Empty);
    }
    if header.len() < HEADER {
        return Ok(Survey::Unreadable);
    }
    let page = u32_at(&header, 8);
    let Some((number, mut sum)) = begin(&header) else {
        return Ok(Survey::Unreadable);
    };
    if !page.is_power_of_two() || !(512..=65_536).contains(&page) {
        return Ok(Survey::Unreadable);
    }
    let mut salts = [0; 8];
    salts.copy_from_slice(&header[16..24]);
    let mut taken = Mark { salts, frames: 0 };
    let (mut frames, mut fits, mut more) = (0, true, false);
    let mut frame = vec![0; FRAME_HEADER + usize::try_from(page).unwrap_or_default()];
    while whole(&mut wal, &mut frame)? {
        frames += 1;
        let ends = ends_transaction(&frame, &salts);
        if fits {
            sum = add(number, sum, &frame[..8]);
            sum = add(number, sum, &frame[FRAME_HEADER..]);
            fits = frame[8..16] == salts && sum == (u32_at(&frame, 16), u32_at(&frame, 20));
        }
        if fits && ends {
            taken.frames = frames;
        }
        more |= !fits && ends;
    }
    Ok(Survey::Frames { taken, more })
}

/// Fills `frame`, unless what is left is shorter.
fn whole(wal: &mut impl Read, frame: &mut [u8]) -> io::Result<bool> {
    match wal.read_exact(frame) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// What is wrong with a `-wal` of which `acknowledged` is known, or of which nothing is known because
/// nobody remembers the database. A transaction that was never acknowledged may be torn.
pub(crate) fn judge(acknowledged: Option<Mark>, remembered: bool, found: Survey) -> Option<String> {
    // A -wal begins anew, with the next count, only once all of it is in the database.
    let count = |mark: Mark| u32_at(&mark.salts, 0);
    match (acknowledged, found) {
        // What was in it is missed by its logs, if it was not all in the database.
        (_, Survey::Empty) => None,
        (None, Survey::Frames { more: true, .. }) if !remembered => {
            Some("a frame before its end does not fit".to_owned())
        }
        (None, Survey::Unreadable) if !remembered => Some("its header does not fit".to_owned()),
        (None, _) => None,
        (Some(mark), Survey::Unreadable) if mark.frames > 0 => {
            Some("its header does not fit".to_owned())
        }
        (Some(_), Survey::Unreadable) => None,
        (Some(mark), Survey::Frames { taken, .. }) if taken.salts == mark.salts => {
            (taken.frames < mark.frames).then(|| {
                let Mark { frames, .. } = mark;
                format!("{} of {frames} acknowledged frames fit", taken.frames)
            })
        }
        (Some(mark), Survey::Frames { taken, .. }) => {
            let later = count(taken).wrapping_sub(count(mark));
            let later = (1..1_000).contains(&later);
            // The new count is in the -shm before it is in the -wal.
            let just_begun = mark.frames == 0 && count(mark).wrapping_sub(count(taken)) == 1;
            (!later && !just_begun)
                .then(|| "it belongs to another database, or to an older one".to_owned())
        }
    }
}

/// The file that tells SQLite's connections what is in the `-wal`.
/// <https://sqlite.org/walformat.html#the_wal_index_file_format>. Held as long as the database is
/// open: to close it would give up the locks that SQLite has on it.
#[derive(Debug)]
pub(crate) struct WalIndex(File);

impl WalIndex {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        File::open(beside(path, "-shm")).map(Self)
    }

    /// How much of the `-wal` was committed; `None` if the file is not what this program knows.
    pub(crate) fn mark(&self) -> Option<Mark> {
        const COPY: usize = 48;
        const VERSION: u32 = 3_007_000;
        let mut both = [0; 2 * COPY];
        self.0.read_exact_at(&mut both, 0).ok()?;
        let (one, other) = both.split_at(COPY);
        let native = |at: usize| Some(u32::from_ne_bytes(one.get(at..at + 4)?.try_into().ok()?));
        if one != other || native(0)? != VERSION || one[12] != 1 {
            return None;
        }
        Some(Mark {
            salts: one[32..40].try_into().ok()?,
            frames: native(16)?,
        })
    }
}

/// How many frames there are up to the last that ends a transaction. Frames behind it have other
/// salts and are left from before, or their transaction was not committed.
fn committed<'a>(frames: impl Iterator<Item = &'a [u8]>, salts: &[u8]) -> usize {
    let ending = frames
        .enumerate()
        .filter(|(_, frame)| ends_transaction(frame, salts));
    ending.last().map_or(0, |(index, _)| index + 1)
}

fn ends_transaction(frame: &[u8], salts: &[u8]) -> bool {
    let differ = frame[8..16]
        .iter()
        .zip(salts)
        .map(|(one, other)| one ^ other);
    // One bit of the salts may be the one that flipped.
    differ.map(u8::count_ones).sum::<u32>() <= 1 && u32_at(frame, 4) != 0
}

/// The checksum after more octets.
fn add(number: ReadNumber, sum: Checksum, octets: &[u8]) -> Checksum {
    octets.chunks_exact(8).fold(sum, |(first, second), pair| {
        let [a, b, c, d, e, f, g, h] = *pair else {
            return (first, second);
        };
        let first = first
            .wrapping_add(number([a, b, c, d]))
            .wrapping_add(second);
        let second = second
            .wrapping_add(number([e, f, g, h]))
            .wrapping_add(first);
        (first, second)
    })
}

fn u32_at(octets: &[u8], at: usize) -> u32 {
    octets[at..at + 4]
        .iter()
        .fold(0, |number, octet| number << 8 | u32::from(*octet))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(count: u32, frames: u32) -> Mark {
        let mut salts = [7; 8];
        salts[..4].copy_from_slice(&count.to_be_bytes());
        Mark { salts, frames }
    }

    fn frames(taken: Mark, more: bool) -> Survey {
        Survey::Frames { taken, more }
    }

    #[test]
    fn what_was_acknowledged_must_be_there_and_nothing_else() {
        let whole = |acknowledged, found| judge(acknowledged, true, found).is_none();
        let at = Some(mark(5, 40));
        assert!(whole(at, frames(mark(5, 40), false)));
        assert!(whole(at, frames(mark(5, 41), false)));
        // Torn behind what was acknowledged.
        assert!(whole(at, frames(mark(5, 40), true)));
        assert!(!whole(at, frames(mark(5, 39), true)));
        assert!(!whole(at, frames(mark(5, 39), false)));
        assert!(!whole(at, Survey::Unreadable));
        // Begun anew since, and of an older database or another one.
        assert!(whole(at, frames(mark(6, 1), false)));
        assert!(!whole(at, frames(mark(4, 90), false)));
        assert!(!whole(at, frames(mark(5_000_000, 90), false)));
        // The count goes round.
        assert!(whole(Some(mark(u32::MAX, 4)), frames(mark(0, 1), false)));
        assert!(whole(Some(mark(5, 0)), Survey::Unreadable));
        assert!(whole(None, frames(mark(5, 3), true)));
    }

    #[test]
    fn nobody_believes_a_torn_one_whose_database_nobody_remembers() {
        let whole = |found| judge(None, false, found).is_none();
        assert!(whole(Survey::Empty));
        assert!(whole(frames(mark(5, 3), false)));
        assert!(!whole(frames(mark(5, 3), true)));
        assert!(!whole(Survey::Unreadable));
    }
}
