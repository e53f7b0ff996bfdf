//! How is a line taken apart into cells?

use std::io::{self, Cursor, Read};

use csv::{Reader, ReaderBuilder, StringRecord};

use super::quoted;

/// Takes lines apart, one after the other. To make one takes far longer than a line does.
pub(super) struct Splitter {
    separator: u8,
    reader: Reader<Fed>,
}

/// What is given to the reader: one line and its end.
struct Fed {
    line: Cursor<Vec<u8>>,
    /// The reader went on beyond the end.
    is_at_end: bool,
}

impl Read for Fed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let given = self.line.read(buffer)?;
        self.is_at_end = given == 0;
        Ok(given)
    }
}

impl Splitter {
    pub(super) fn of(separator: u8) -> Self {
        Self {
            separator,
            reader: reader(separator),
        }
    }

    /// The cells of a line, without what is empty around them.
    pub(super) fn cells(&mut self, line: &str) -> Result<StringRecord, String> {
        let mut record = StringRecord::new();
        if line.trim().is_empty() {
            return Ok(record);
        }
        self.reader.get_mut().line = Cursor::new([line.as_bytes(), b"\n"].concat());
        let read = self.reader.read_record(&mut record);
        // The end of the line is that of the row, unless it stands between quotation marks.
        if self.reader.get_ref().is_at_end {
            self.reader = reader(self.separator);
            let open = quoted(record.iter().next_back().unwrap_or_default().trim());
            return Err(format!(
                "column {} goes on over lines, {open}: is a quotation mark not closed?",
                record.len()
            ));
        }
        read.map_err(|error| error.to_string())?;
        Ok(record.iter().map(str::trim).collect())
    }
}

fn reader(separator: u8) -> Reader<Fed> {
    let nothing = Fed {
        line: Cursor::default(),
        is_at_end: false,
    };
    ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .from_reader(nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart_whatever_the_one_before_was() {
        let mut splitter = Splitter::of(b',');
        let long = "x".repeat(100_000);
        for _ in 0..2 {
            for (line, expected) in [
                ("a,b", &["a", "b"][..]),
                ("", &[]),
                (" \t", &[]),
                (",,", &["", "", ""]),
                ("\" a \"\"b\"\"\", c,", &["a \"b\"", "c", ""]),
                ("a\"b,c", &["a\"b", "c"]),
                (long.as_str(), &[long.as_str()]),
                ("\"\"", &[""]),
            ] {
                let cells = splitter.cells(line).unwrap();
                assert_eq!(cells.iter().collect::<Vec<_>>(), expected, "{line}");
            }
            for line in ["a,\"b", "\"", "a,\"b\"\""] {
                let problem = splitter.cells(line).unwrap_err();
                assert!(problem.contains("goes on over lines"), "{line}: {problem}");
            }
        }
    }
}
