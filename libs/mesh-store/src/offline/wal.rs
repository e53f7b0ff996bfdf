//! Is what a `-wal` holds what was written into it?
//!
//! SQLite reads a `-wal` up to the first frame whose checksum does not fit, and says nothing about
//! the rest: a flipped bit looks like a log that ended earlier. So the frames of a copy are given
//! checksums that fit, and what is in them is read as it stands. The format:
//! <https://sqlite.org/fileformat.html#walformat>.

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

type Checksum = (u32, u32);

/// Makes every frame that was committed fit; says whether one did not, or whether the header does
/// not, without which nothing can be read.
pub(super) fn mend(wal: &mut [u8]) -> bool {
    let Some((header, frames)) = wal.split_at_mut_checked(HEADER) else {
        return false;
    };
    let number: fn([u8; 4]) -> u32 = match u32_at(header, 0) {
        0x377f_0682 => u32::from_le_bytes,
        0x377f_0683 => u32::from_be_bytes,
        _ => return true,
    };
    let mut sum = add(number, (0, 0), &header[..24]);
    if sum != (u32_at(header, 24), u32_at(header, 28)) {
        return true;
    }
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

/// How many frames there are up to the last that ends a transaction. Frames behind it have other
/// salts and are left from before, or their transaction was not committed.
fn committed<'a>(frames: impl Iterator<Item = &'a [u8]>, salts: &[u8]) -> usize {
    let ends = |frame: &[u8]| {
        let differ = frame[8..16]
            .iter()
            .zip(salts)
            .map(|(one, other)| one ^ other);
        // One bit of the salts may be the one that flipped.
        differ.map(u8::count_ones).sum::<u32>() <= 1 && u32_at(frame, 4) != 0
    };
    let ending = frames.enumerate().filter(|(_, frame)| ends(frame));
    ending.last().map_or(0, |(index, _)| index + 1)
}

/// The checksum after more octets.
fn add(number: fn([u8; 4]) -> u32, sum: Checksum, octets: &[u8]) -> Checksum {
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
