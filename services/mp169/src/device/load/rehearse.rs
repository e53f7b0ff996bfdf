//! `mp169 device load --dry-run`: which rows would a load refuse?
//!
//! The mesh says so without recording anything. Where it cannot be asked, the rules that need
//! nothing of what is recorded are those of registration itself, and the command says what it could
//! not check.

use anyhow::Result;
use mesh_api::registration::v1::inventory_row::Row;
use mesh_types::{Clock as _, SystemClock, Timestamp};
use registration::refusal_of_row;
use tonic::{Code, Status};

use super::{Refusal, count, in_message, send, show};
use crate::cli::connection::Output;
use crate::cli::device::LoadArgs;
use crate::exit::Incomplete;
use crate::lines::Place;
use crate::load::Mode;
use crate::output::{complain, print_line};
use crate::refusal::refusal;
use crate::session::Session;

/// What was found out.
struct Findings {
    refusals: Vec<Refusal>,
    /// How many would be recorded and how many are recorded just so; unknown without the mesh.
    sums: Option<(u64, u64)>,
}

/// Says which rows would be refused; `unread` were not even read.
pub(super) async fn run(
    args: &LoadArgs,
    rows: Vec<(Place, Row)>,
    unread: Vec<Refusal>,
) -> Result<()> {
    let all = count(rows.len() + unread.len());
    let mut found = judge(args, rows).await?;
    found.refusals.extend(unread);
    let order = |place: &Place| {
        let file = args.files.iter().position(|file| *file == place.file);
        (file, place.line)
    };
    found.refusals.sort_by_key(|(place, _)| order(place));
    let refused = count(found.refusals.len());
    let output = args.connection.output;
    let shown =
        show(found.refusals, output).and_then(|()| show_sums(all, refused, found.sums, output));
    // Whoever reads the exit code alone must learn it too.
    Incomplete::check(refused, all, "rows would be refused").and(shown)
}

async fn judge(args: &LoadArgs, rows: Vec<(Place, Row)>) -> Result<Findings> {
    let session = match Session::open(&args.connection, super::USUAL) {
        Ok(session) => session,
        Err(error) => return Ok(alone(rows, &format!("{error:#}"), SystemClock.now())),
    };
    match send(&session, rows.clone(), Mode::Rehearse).await {
        Ok((sums, refusals)) => Ok(Findings {
            refusals,
            sums: Some((sums.recorded, sums.unchanged)),
        }),
        Err(error) => match error.downcast_ref::<Status>() {
            Some(status) if status.code() == Code::Unavailable => {
                Ok(alone(rows, &refusal(status), SystemClock.now()))
            }
            _ => Err(error),
        },
    }
}

/// What can be found out at `now` without the mesh.
fn alone(rows: Vec<(Place, Row)>, why: &str, now: Timestamp) -> Findings {
    complain(&format_args!("mp169: the mesh cannot be asked: {why}"));
    complain(
        &"Not checked: whether the parties, hubs and Gas Proxy Functions that rows name are recorded, \
          whether registrations overlap, and whether rows contradict each other or what is recorded.",
    );
    let refusals = rows.into_iter().filter_map(|(place, row)| {
        let status = refusal_of_row(&in_message(row), now)?;
        Some((place, status))
    });
    Findings {
        refusals: refusals.collect(),
        sums: None,
    }
}

fn show_sums(read: u64, refused: u64, sums: Option<(u64, u64)>, output: Output) -> Result<()> {
    match (output, sums) {
        (Output::Table, Some((recorded, unchanged))) => print_line(&format_args!(
            "{read} rows were read and none was loaded: {recorded} would be recorded, \
             {unchanged} unchanged, {refused} refused"
        )),
        (Output::Table, None) => print_line(&format_args!(
            "{read} rows were read and none was loaded: {refused} would be refused whatever is recorded"
        )),
        (Output::Json, Some((recorded, unchanged))) => print_line(&serde_json::json!({
            "read": read,
            "wouldBeRecorded": recorded,
            "unchanged": unchanged,
            "refused": refused,
            "checkedWithMesh": true,
        })),
        (Output::Json, None) => print_line(&serde_json::json!({
            "read": read,
            "refused": refused,
            "checkedWithMesh": false,
        })),
    }
}
