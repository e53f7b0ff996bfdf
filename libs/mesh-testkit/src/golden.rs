//! Does a text still equal the one that is checked in?

use std::fs;
use std::path::Path;

/// Set this environment variable to `1` to write golden files instead of comparing with them.
const UPDATE: &str = "UPDATE_GOLDEN";

/// Compares `actual` with the file at `path`, which is relative to the crate under test.
///
/// With `UPDATE_GOLDEN=1` in the environment the file is written instead; the change is then
/// reviewed like any other.
///
/// # Panics
/// If the file is missing or differs; the message names the first line that does.
pub fn assert_golden(path: impl AsRef<Path>, actual: &str) {
    let update = std::env::var_os(UPDATE).is_some_and(|value| value == "1");
    if let Err(difference) = compare(path.as_ref(), actual, update) {
        panic!("{difference}");
    }
}

fn compare(path: &Path, actual: &str, update: bool) -> Result<(), String> {
    let shown = path.display();
    if update {
        return write(path, actual).map_err(|error| format!("{shown}: {error}"));
    }
    let expected = fs::read_to_string(path)
        .map_err(|error| format!("{shown}: {error}; write it with {UPDATE}=1"))?;
    if expected == actual {
        return Ok(());
    }
    let difference = first_difference(&expected, actual);
    Err(format!(
        "{shown} differs {difference}\nIf the change is meant, write it with {UPDATE}=1."
    ))
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}

fn first_difference(expected: &str, actual: &str) -> String {
    let (mut expected, mut actual) = (expected.lines(), actual.lines());
    let mut number = 1;
    loop {
        match (expected.next(), actual.next()) {
            (Some(one), Some(other)) if one == other => number += 1,
            (None, None) => return "in its line ends".to_owned(),
            (expected, actual) => {
                let end = "(end of text)";
                return format!(
                    "in line {number}\n  expected: {}\n  actual:   {}",
                    expected.unwrap_or(end),
                    actual.unwrap_or(end)
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_golden_file_is_written_compared_and_explained() {
        let folder = crate::temp_dir();
        let path = folder.path().join("golden/table.txt");
        let missing = compare(&path, "one\n", false).unwrap_err();
        assert!(missing.contains("UPDATE_GOLDEN=1"), "{missing}");
        compare(&path, "one\ntwo\n", true).unwrap();
        compare(&path, "one\ntwo\n", false).unwrap();
        let other = compare(&path, "one\n2\n", false).unwrap_err();
        assert!(other.contains("line 2"), "{other}");
        assert!(other.contains("expected: two"), "{other}");
        let shorter = compare(&path, "one\n", false).unwrap_err();
        assert!(shorter.contains("actual:   (end of text)"), "{shorter}");
        assert!(
            compare(&path, "one\ntwo", false).is_err(),
            "the line end counts"
        );
    }
}
