//! `mp169 device load`: files of CSV into the inventory.

use anyhow::Result;
use mesh_api::common::v1::ItemStatus;
use mesh_api::registration::v1::InventoryRow;

use super::USUAL;
use crate::cli::connection::Output;
use crate::cli::device::LoadArgs;
use crate::exit::Incomplete;
use crate::inventory::{Inventory, Place};
use crate::load::{Loaded, load_as};
use crate::output::{json, print_line, print_table};
use crate::progress::Progress;
use crate::session::Session;

/// Reads everything before it sends anything: a file that is not understood changes nothing.
pub(super) async fn run(args: LoadArgs) -> Result<()> {
    let output = args.connection.output;
    let Inventory { rows, problems, .. } = Inventory::read(&args.files)?;
    let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
    let (read, unread) = (count(rows.len()), count(problems.len()));
    if unread > 0 {
        let refusals = problems.into_iter().map(|(place, message)| {
            let status = ItemStatus {
                message,
                ..Default::default()
            };
            (place, status)
        });
        let shown = show(refusals.collect(), output);
        let what = "rows could not be read; nothing was loaded";
        return Incomplete::check(unread, read + unread, what).and(shown);
    }
    if args.dry_run {
        return match output {
            Output::Table => print_line(&format_args!("{read} rows were read; none was loaded.")),
            Output::Json => print_line(&serde_json::json!({ "read": read })),
        };
    }
    let session = Session::open(&args.connection, USUAL)?;
    let (places, rows): (Vec<Place>, Vec<_>) = rows.into_iter().unzip();
    let rows = rows.into_iter().map(|row| InventoryRow { row: Some(row) });
    let progress = Progress::new("loading", read);
    let mut refusals = Vec::new();
    let loaded = load_as(&session.clients, rows.collect(), |index, result| {
        progress.step(1);
        if let (Some(place), Some(status)) = (places.get(index), &result.status) {
            refusals.push((place.clone(), status.clone()));
        }
    })
    .await;
    drop(progress);
    let loaded = loaded?;
    let shown = show(refusals, output).and_then(|()| show_sums(&loaded, output));
    // Whoever reads the exit code alone must learn it too.
    Incomplete::check(loaded.refused, read, "rows were refused").and(shown)
}

fn show_sums(loaded: &Loaded, output: Output) -> Result<()> {
    match output {
        Output::Table => print_line(&format_args!(
            "{} recorded, {} unchanged, {} refused",
            loaded.recorded, loaded.unchanged, loaded.refused
        )),
        Output::Json => print_line(&serde_json::json!({
            "recorded": loaded.recorded,
            "unchanged": loaded.unchanged,
            "refused": loaded.refused,
        })),
    }
}

fn show(refusals: Vec<(Place, ItemStatus)>, output: Output) -> Result<()> {
    if output == Output::Json {
        for (Place { file, line }, status) in refusals {
            let (file, status) = (file.display().to_string(), json(&status)?);
            print_line(&serde_json::json!({ "file": file, "line": line, "status": status }))?;
        }
        return Ok(());
    }
    let rows: Vec<_> = refusals
        .into_iter()
        .map(|(place, status)| vec![place.to_string(), why(&status)])
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    print_table(&["row", "why it was refused"], rows)
}

fn why(status: &ItemStatus) -> String {
    let violations = status.violations.iter();
    let details: Vec<_> = violations
        .map(|v| format!("{} {}", v.subject, v.description))
        .collect();
    if details.is_empty() {
        status.message.clone()
    } else {
        details.join("; ")
    }
}
