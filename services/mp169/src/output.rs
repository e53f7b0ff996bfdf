//! How answers are shown: a table for people, canonical JSON for programs.

use std::fmt::Display;
use std::io::Write as _;

use anyhow::{Context as _, Result};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use jiff::Timestamp;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;

/// A protobuf message as canonical JSON. `name` is its full name, such as
/// `mp169.flag_registry.v1.FlagEntry`.
pub(crate) fn json<M: Message>(name: &str, message: &M) -> Result<Value> {
    let pool = DescriptorPool::decode(mesh_api::FILE_DESCRIPTOR_SET)?;
    let descriptor = pool
        .get_message_by_name(name)
        .with_context(|| format!("no message {name}"))?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    let options = SerializeOptions::new().skip_default_fields(true);
    Ok(dynamic.serialize_with_options(serde_json::value::Serializer, &options)?)
}

/// An empty table that fits the terminal, or `COLUMNS` (120 if unset) where there is none.
#[must_use]
pub(crate) fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if table.width().is_none() {
        let columns = std::env::var("COLUMNS")
            .ok()
            .and_then(|columns| columns.parse().ok());
        table.set_width(columns.unwrap_or(120));
    }
    table.set_header(header.to_vec());
    table
}

/// Prints a table.
pub(crate) fn print_table(header: &[&str], rows: Vec<Vec<String>>) {
    let mut table = new_table(header);
    table.add_rows(rows);
    print_line(&table);
}

/// Prints a line. A reader who went away, as `head` does, is no failure of ours.
pub(crate) fn print_line(line: &impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints a protobuf message as one line of JSON, so that the answers to many commands are JSON
/// Lines.
pub(crate) fn print_json<M: Message>(name: &str, message: &M) -> Result<()> {
    print_line(&json(name, message)?);
    Ok(())
}

/// An instant for people: RFC 3339, or a dash.
#[must_use]
pub(crate) fn instant(at: Option<&prost_types::Timestamp>) -> String {
    at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok())
        .map_or_else(|| "–".to_owned(), |at| at.to_string())
}

/// A name of an enum's value without its prefix.
#[must_use]
pub(crate) fn short(name: &'static str, prefix: &str) -> &'static str {
    name.strip_prefix(prefix).unwrap_or(name)
}
