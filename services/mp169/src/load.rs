//! Loading an inventory in one stream, with a result for each row.

use std::fmt;

use anyhow::{Context as _, Result};
use mesh_api::registration::v1::{self as wire, row_result::Outcome};

use crate::clients::Clients;
use crate::home::Folder;

/// Rows in one request: below the contract's limit, and well below that on a message's size.
const ROWS_PER_REQUEST: usize = 500;

/// What became of the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Recorded now.
    pub recorded: u64,
    /// Were recorded just so.
    pub unchanged: u64,
    /// Refused.
    pub refused: u64,
    /// Why the first of them was refused; empty if none was.
    pub first_refusal: String,
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            recorded,
            unchanged,
            refused,
            first_refusal,
        } = self;
        write!(
            f,
            "{recorded} recorded, {unchanged} unchanged, {refused} refused"
        )?;
        if first_refusal.is_empty() {
            Ok(())
        } else {
            write!(f, " (first: {first_refusal})")
        }
    }
}

/// Loads `rows` in their order as the loader of registration data; `done` hears how many more were
/// answered.
pub async fn load(
    folder: &Folder,
    rows: Vec<wire::InventoryRow>,
    done: impl Fn(u64),
) -> Result<Loaded> {
    let clients = Clients::of(folder, "registration-data")?;
    load_as(&clients, rows, Mode::Record, |_, _| done(1)).await
}

/// What is to be done with rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Record them.
    Record,
    /// Say what would become of them.
    Rehearse,
}

/// Loads `rows` in their order as whose `clients` they are; `heard` hears what became of each, or
/// would, by its index.
pub(crate) async fn load_as(
    clients: &Clients,
    rows: Vec<wire::InventoryRow>,
    mode: Mode,
    mut heard: impl FnMut(usize, &wire::RowResult),
) -> Result<Loaded> {
    let mut devices = clients.devices()?;
    let requests: Vec<_> = rows
        .chunks(ROWS_PER_REQUEST)
        .map(|rows| wire::ImportInventoryRequest {
            rows: rows.to_vec(),
            validate_only: mode == Mode::Rehearse,
        })
        .collect();
    let answer = devices.import_inventory(tokio_stream::iter(requests)).await;
    let mut answers = answer
        .context("the inventory cannot be loaded")?
        .into_inner();
    let mut loaded = Loaded::default();
    let mut index = 0;
    while let Some(answer) = answers.message().await? {
        for result in &answer.results {
            match result.outcome() {
                Outcome::Recorded => loaded.recorded += 1,
                Outcome::Unchanged => loaded.unchanged += 1,
                Outcome::Unspecified => {
                    if let (0, Some(status)) = (loaded.refused, &result.status) {
                        loaded.first_refusal.clone_from(&status.message);
                    }
                    loaded.refused += 1;
                }
            }
            heard(index, result);
            index += 1;
        }
    }
    Ok(loaded)
}
