//! How answers are shown: a table for people, canonical JSON for programs.

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

/// An empty table that fits the terminal, or 120 columns where there is none.
#[must_use]
pub(crate) fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if table.width().is_none() {
        table.set_width(120);
    }
    table.set_header(header.to_vec());
    table
}

/// Prints a table.
pub(crate) fn print_table(header: &[&str], rows: Vec<Vec<String>>) {
    let mut table = new_table(header);
    table.add_rows(rows);
    println!("{table}");
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
