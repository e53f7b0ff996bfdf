//! How is a file of any size read line by line, whatever program wrote it?
//!
//! Lines end as on any system, and a byte order mark says what is UTF-16; all else has to be UTF-8. One
//! line is in memory at a time. One that is no text keeps no other from being read.

use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read};
use std::path::PathBuf;

/// The most octets of a line, far above that of any record: what never ends is not kept.
const LONGEST: usize = 1 << 20;
/// How much is read at a time.
const AT_ONCE: usize = 64 << 10;

/// Where a row stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file.
    pub(crate) file: PathBuf,
    /// The line in it, from 1.
    pub(crate) line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// The lines of a file.
pub(crate) struct Lines<'a> {
    source: BufReader<Box<dyn Read + Send + 'a>>,
    number: u64,
    octets: u64,
    /// The line before ended with CR: an LF that comes next belongs to that end.
    after_return: bool,
    failed: bool,
}

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// Its text, or why it has none.
    pub(crate) text: Result<String, String>,
}

impl<'a> Lines<'a> {
    /// Reads the beginning of the file, which says how it is written.
    ///
    /// # Errors
    /// If that cannot be read.
    pub(crate) fn of(mut source: impl Read + Send + 'a) -> io::Result<Self> {
        let mut mark = Vec::new();
        source.by_ref().take(3).read_to_end(&mut mark)?;
        let rest = |length: usize, source| Cursor::new(mark[length..].to_vec()).chain(source);
        let source: Box<dyn Read + Send + 'a> = match mark.as_slice() {
            [0xFF, 0xFE, ..] => Box::new(Utf16::of(rest(2, source), u16::from_le_bytes)),
            [0xFE, 0xFF, ..] => Box::new(Utf16::of(rest(2, source), u16::from_be_bytes)),
            [0xEF, 0xBB, 0xBF] => Box::new(source),
            _ => Box::new(rest(0, source)),
        };
        Ok(Self {
            source: BufReader::with_capacity(AT_ONCE, source),
            number: 0,
            octets: 0,
            after_return: false,
            failed: false,
        })
    }

    /// How many octets of UTF-8 were read so far.
    pub(crate) const fn octets(&self) -> u64 {
        self.octets
    }

    /// The octets of the next line, of one that is too long only the first; `None` at the end.
    fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        let (mut line, mut begun) = (Vec::new(), false);
        loop {
            let buffer = match self.source.fill_buf() {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                buffer => buffer?,
            };
            let Some(first) = buffer.first() else {
                return Ok(begun.then_some(line));
            };
            if std::mem::take(&mut self.after_return) && *first == b'\n' {
                self.source.consume(1);
                self.octets += 1;
                continue;
            }
            begun = true;
            let end = buffer.iter().position(|octet| b"\r\n".contains(octet));
            let part = &buffer[..end.unwrap_or(buffer.len())];
            // One octet more than a line may have tells that it has too many.
            let room = (LONGEST + 1).saturating_sub(line.len());
            line.extend_from_slice(&part[..part.len().min(room)]);
            self.after_return = end.is_some_and(|end| buffer[end] == b'\r');
            let used = part.len() + usize::from(end.is_some());
            self.source.consume(used);
            self.octets += used as u64;
            if end.is_some() {
                return Ok(Some(line));
            }
        }
    }
}

impl Iterator for Lines<'_> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        if self.failed {
            return None;
        }
        let text = match self.read() {
            Ok(line) => text(line?),
            Err(error) => {
                self.failed = true;
                Err(format!("the file cannot be read from here on: {error}"))
            }
        };
        self.number += 1;
        Some(Line {
            number: self.number,
            text,
        })
    }
}

fn text(line: Vec<u8>) -> Result<String, String> {
    if line.len() > LONGEST {
        return Err(format!("the line has more than {LONGEST} octets"));
    }
    match String::from_utf8(line) {
        Ok(text) if text.contains('\0') => Err(
            "the line holds NUL, as UTF-16 without a byte order mark does: save the file as UTF-8"
                .to_owned(),
        ),
        Ok(text) => Ok(text),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let octet = error.as_bytes().get(at).copied().unwrap_or_default();
            Err(format!(
                "the line is not UTF-8 (octet {octet:02X}), but perhaps Windows-1252: save the file as \"CSV UTF-8\""
            ))
        }
    }
}

/// UTF-16 as UTF-8.
struct Utf16<R> {
    source: BufReader<R>,
    unit: fn([u8; 2]) -> u16,
    /// What of a character is still to be given.
    left: Cursor<Vec<u8>>,
}

impl<R: Read> Utf16<R> {
    fn of(source: R, unit: fn([u8; 2]) -> u16) -> Self {
        Self {
            source: BufReader::with_capacity(AT_ONCE, source),
            unit,
            left: Cursor::default(),
        }
    }

    fn next_unit(&mut self) -> io::Result<Option<u16>> {
        let mut octets = Vec::with_capacity(2);
        self.source.by_ref().take(2).read_to_end(&mut octets)?;
        match octets.as_slice() {
            [] => Ok(None),
            [one, other] => Ok(Some((self.unit)([*one, *other]))),
            _ => Err(damaged()),
        }
    }

    fn next_character(&mut self) -> io::Result<Option<char>> {
        let Some(first) = self.next_unit()? else {
            return Ok(None);
        };
        let pair = match first {
            0xD800..0xDC00 => vec![first, self.next_unit()?.unwrap_or_default()],
            _ => vec![first],
        };
        let character = char::decode_utf16(pair).next();
        character.transpose().map_err(|_| damaged())
    }
}

fn damaged() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "it is UTF-16 and damaged")
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let given = self.left.read(buffer)?;
        if given > 0 || buffer.is_empty() {
            return Ok(given);
        }
        let Some(character) = self.next_character()? else {
            return Ok(0);
        };
        self.left = Cursor::new(character.to_string().into_bytes());
        self.left.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives one octet at a time, as a pipe may.
    struct Slowly<'a>(&'a [u8]);

    impl Read for Slowly<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let room = buffer.len().min(1);
            self.0.read(&mut buffer[..room])
        }
    }

    fn texts(octets: &[u8]) -> Vec<Result<String, String>> {
        let lines = Lines::of(octets).unwrap();
        lines.map(|line| line.text).collect()
    }

    fn utf_16(text: &str) -> Vec<u8> {
        let units = text.encode_utf16().flat_map(u16::to_be_bytes);
        [0xFE, 0xFF].into_iter().chain(units).collect()
    }

    proptest! {
        #[test]
        fn lines_are_read_as_they_were_written(
            lines in prop::collection::vec(("[^\r\n\0\u{FEFF}]{0,20}", "\r\n|\r|\n"), 0..20),
        ) {
            // A line of CR and an empty one of LF would be one end.
            let ends = |lines: &[(String, String)]| {
                lines.windows(2).any(|two| two[0].1 == "\r" && two[1].0.is_empty() && two[1].1 == "\n")
            };
            prop_assume!(!ends(&lines));
            let text: String = lines.iter().flat_map(|(line, end)| [line.as_str(), end]).collect();
            let expected: Vec<_> = lines.into_iter().map(|(line, _)| Ok(line)).collect();
            let mut slow = Lines::of(Slowly(text.as_bytes())).unwrap();
            let read: Vec<_> = slow.by_ref().collect();
            prop_assert!(read.iter().map(|line| line.number).eq(1..=expected.len() as u64));
            let read: Vec<_> = read.into_iter().map(|line| line.text).collect();
            prop_assert_eq!(&read, &expected);
            prop_assert_eq!(slow.octets(), text.len() as u64);
            prop_assert_eq!(&texts(format!("\u{FEFF}{text}").as_bytes()), &expected);
            prop_assert_eq!(texts(&utf_16(&text)), expected);
        }
    }

    #[test]
    fn what_is_no_text_keeps_no_other_line_from_being_read() {
        let mut octets = b"one\n\x93two\nth\0ree\n".to_vec();
        octets.extend(vec![b'x'; LONGEST]);
        octets.extend(b"\n");
        octets.extend(vec![b'x'; LONGEST + 1]);
        octets.extend(b"\nlast");
        let read = texts(&octets);
        let are_text: Vec<bool> = read.iter().map(Result::is_ok).collect();
        assert_eq!(are_text, [true, false, false, true, false, true]);
        assert_eq!(read.last(), Some(&Ok("last".to_owned())));
    }

    #[test]
    fn a_line_without_end_is_not_kept() {
        let endless = io::repeat(b'x').take(64 << 20);
        let line = Lines::of(endless).unwrap().read().unwrap().unwrap();
        assert_eq!(line.len(), LONGEST + 1);
    }

    #[test]
    fn a_file_that_ends_within_a_character_is_damaged() {
        let whole = utf_16("one\ntwo\u{1F525}");
        let read = texts(&whole[..whole.len() - 2]);
        assert_eq!(read[0], Ok("one".to_owned()));
        assert!(
            read[1].as_ref().unwrap_err().contains("damaged"),
            "{read:?}"
        );
        assert_eq!(read.len(), 2);
    }
}
