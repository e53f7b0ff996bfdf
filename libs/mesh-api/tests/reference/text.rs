//! How does the comment of a contract become Markdown?

use prost_reflect::{DescriptorPool, FileDescriptor};

/// The comment before the part of a file that has this path; empty if there is none.
pub(crate) fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let source = file.file_descriptor_proto().source_code_info.as_ref();
    let mut locations = source.into_iter().flat_map(|source| &source.location);
    let location = locations.find(|location| location.path == path);
    let comment = location.map_or("", |location| location.leading_comments());
    let lines = comment
        .lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// What links to the headings of reasons.
pub(crate) struct Reasons(Vec<String>);

impl Reasons {
    pub(crate) fn of(pool: &DescriptorPool) -> Self {
        let reasons = pool
            .get_enum_by_name("mp169.common.v1.ErrorReason")
            .unwrap();
        let names = reasons.values().filter_map(|value| {
            let name = value.name().strip_prefix("ERROR_REASON_")?;
            // NOT_FOUND and the like are words of their own right; the unspecified one is no reason.
            (name != "UNSPECIFIED").then(|| name.to_owned())
        });
        Self(names.collect())
    }

    /// The text with its reasons linked, but for what is in backticks.
    pub(crate) fn link(&self, text: &str, page: &str) -> String {
        let target = "mp169.common.v1.md";
        let target = if page == target { "" } else { target };
        let parts = text.split('`').enumerate().map(|(index, part)| {
            if index % 2 == 1 {
                return part.to_owned();
            }
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let mut linked = String::new();
            let mut rest = part;
            while let Some(start) = rest.find(is_word) {
                let (before, word) = rest.split_at(start);
                let end = word.find(|c| !is_word(c)).unwrap_or(word.len());
                let (word, after) = word.split_at(end);
                linked.push_str(before);
                if self.0.iter().any(|reason| reason == word) {
                    linked.push_str(&format!("[{word}]({target}#errorreason)"));
                } else {
                    linked.push_str(word);
                }
                rest = after;
            }
            linked + rest
        });
        parts.collect::<Vec<_>>().join("`")
    }
}

/// A comment in a cell of a table: one line.
pub(crate) fn cell(comment: &str) -> String {
    let paragraphs = comment.split("\n\n").map(|paragraph| {
        let lines = paragraph.lines().map(str::trim);
        lines.collect::<Vec<_>>().join(" ")
    });
    paragraphs
        .collect::<Vec<_>>()
        .join("<br><br>")
        .replace('|', "\\|")
}

/// The anchor that a heading gets.
pub(crate) fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}
