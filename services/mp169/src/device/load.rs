//! `mp169 device load`: files of CSV into the inventory.

mod rehearse;

use anyhow::Result;
use mesh_api::common::v1::ItemStatus;
use mesh_api::registration::v1::InventoryRow;
use mesh_api::registration::v1::inventory_row::Row;

use super::USUAL;
use crate::cli::connection::Output;
use crate::cli::device::LoadArgs;
use crate::exit::Incomplete;
use crate::inventory::Inventory;
use crate::lines::Place;
use crate::load::{Loaded, Mode, load_as};
use crate::output::{json, print_line, print_table};
use crate::progress::Progress;
use crate::refusal::{faults, unsent};
use crate::session::Session;

/// A row that is refused, and why.
type Refusal = (Place, ItemStatus);

/// Reads everything before it sends anything: a file that is not understood changes nothing.
pub(super) async fn run(args: LoadArgs) -> Result<()> {
    let output = args.connection.output;
    let Inventory { rows, problems, .. } = Inventory::read(&args.files)?;
    let unread: Vec<Refusal> = problems.into_iter().map(unread).collect();
    if args.dry_run {
        return rehearse::run(&args, rows, unread).await;
    }
    let (read, problems) = (count(rows.len()), count(unread.len()));
    if problems > 0 {
        let shown = show(unread, output);
        let what = "rows could not be read; nothing was loaded";
        return Incomplete::check(problems, read + problems, what).and(shown);
    }
    let session = Session::open(&args.connection, USUAL)?;
    let (loaded, refusals) = send(&session, rows, Mode::Record).await?;
    let shown = show(refusals, output).and_then(|()| show_sums(&loaded, output));
    // Whoever reads the exit code alone must learn it too.
    Incomplete::check(loaded.refused, read, "rows were refused").and(shown)
}

/// Sends the rows, and says what became of them or would.
async fn send(
    session: &Session,
    rows: Vec<(Place, Row)>,
    mode: Mode,
) -> Result<(Loaded, Vec<Refusal>)> {
    let (places, rows): (Vec<Place>, Vec<_>) = rows.into_iter().unzip();
    let rows: Vec<_> = rows.into_iter().map(in_message).collect();
    let what = match mode {
        Mode::Record => "loading",
        Mode::Rehearse => "checking",
    };
    let progress = Progress::new(what, count(rows.len()));
    let mut refusals = Vec::new();
    let loaded = load_as(&session.clients, rows, mode, |index, result| {
        progress.step(1);
        if let (Some(place), Some(status)) = (places.get(index), &result.status) {
            refusals.push((place.clone(), status.clone()));
        }
    });
    Ok((loaded.await?, refusals))
}

fn in_message(row: Row) -> InventoryRow {
    InventoryRow { row: Some(row) }
}

fn unread((place, message): (Place, String)) -> Refusal {
    (place, unsent(message))
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
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

fn show(refusals: Vec<Refusal>, output: Output) -> Result<()> {
    if output == Output::Json {
        for (Place { file, line }, status) in refusals {
            let (file, status) = (file.display().to_string(), json(&status)?);
            print_line(&serde_json::json!({ "file": file, "line": line, "status": status }))?;
        }
        return Ok(());
    }
    let rows: Vec<_> = refusals
        .into_iter()
        .map(|(place, status)| vec![place.to_string(), faults(&status)])
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    print_table(&["row", "why it was refused"], rows)
}
