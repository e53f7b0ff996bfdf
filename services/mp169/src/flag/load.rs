//! `mp169 flag load`: a file of CSV into flags.
//!
//! Rows go in batches; two about one Device never in the same, so that they are carried out in their
//! order.

mod rows;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};
use csv::StringRecord;
use mesh_api::common::v1::ItemStatus;
use mesh_api::flag_registry::v1::flag_service_client::FlagServiceClient;
use mesh_api::flag_registry::v1::{self as wire, add_flag_result, remove_flag_result};
use mesh_rpc::{MeshChannel, Retry};

use self::rows::{COLUMNS, Change, WHY};
use crate::cli::connection::Output;
use crate::cli::flag::LoadArgs;
use crate::exit::{Incomplete, Usage};
use crate::lines::Place;
use crate::output::{complain, json, one_line, print_line};
use crate::progress::Progress;
use crate::refusal::{unsent, why};
use crate::session::Session;
use crate::table::Table;

/// So many rows are sent at a time: as many as a batch may hold.
const MOST: usize = 1_000;

/// A row of the file: where it stands, its cells, and what it asks for.
struct Row {
    line: u64,
    cells: StringRecord,
    change: Result<Change, String>,
}

/// What became of a row.
type Answer = Result<wire::RemoveFlagResponse, ItemStatus>;

/// What became of all rows so far.
#[derive(Debug, Default)]
struct Sums {
    changed: u64,
    unchanged: u64,
    replayed: u64,
    refused: u64,
}

/// What goes on while rows are loaded.
struct Load<'a> {
    args: &'a LoadArgs,
    sums: Sums,
    /// The rows that were refused, with why.
    refused: Vec<(StringRecord, String)>,
}

pub(super) async fn run(args: LoadArgs) -> Result<()> {
    if args.refused.as_ref() == Some(&args.file) {
        let same = "--refused names the file that is loaded, which would be written over";
        return Err(Usage(same.to_owned()).into());
    }
    let session = Session::open(&args.connection, None)?;
    let octets = std::fs::read(&args.file);
    let octets = octets.with_context(|| format!("cannot read {}", args.file.display()))?;
    let table = Table::read(&octets, &[COLUMNS], "mp169 flag load --help");
    let (_, table) = match table {
        Ok(read) => read,
        Err((line, problem)) => {
            complain(&format_args!("{}: {problem}", place(&args.file, line)));
            return Incomplete::check(1, 1, "files could not be read; nothing was loaded");
        }
    };
    let rows = rows(&table, &session.own_party());
    let all = count(rows.len());
    let mut load = Load {
        args: &args,
        sums: Sums::default(),
        refused: Vec::new(),
    };
    let loaded = load.all(&session, rows).await;
    let written = match &args.refused {
        Some(file) => write_refused(file, table.columns(), &load.refused),
        None => Ok(()),
    };
    loaded?;
    written?;
    load.show_sums()?;
    Incomplete::check(load.sums.refused, all, "rows were refused")
}

fn rows(table: &Table, party: &str) -> Vec<Row> {
    let rows = table.rows.iter().map(|(line, row)| Row {
        line: *line,
        cells: row.clone().unwrap_or_default(),
        change: match row {
            Ok(cells) => Change::read(&table.cells(cells), party),
            Err(problem) => Err(problem.clone()),
        },
    });
    rows.collect()
}

/// The first of the rows that can go together: those before a Device comes again.
fn together(rows: &[Row]) -> usize {
    let mut devices = BTreeSet::new();
    let comes_again = |row: &Row| {
        let device = row.change.as_ref().ok().map(Change::device);
        device.is_some_and(|device| !devices.insert(device.to_owned()))
    };
    let first = rows.iter().take(MOST).position(comes_again);
    first.unwrap_or(rows.len().min(MOST))
}

impl Load<'_> {
    /// Sends the rows and says what became of each, in their order.
    async fn all(&mut self, session: &Session, rows: Vec<Row>) -> Result<()> {
        let what = match self.args.validate_only {
            true => "checking",
            false => "loading",
        };
        let progress = Progress::new(what, count(rows.len()));
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let (part, later) = rest.split_at(together(rest));
            let answers = self.send(session, part).await.with_context(|| {
                let (done, all) = (rows.len() - rest.len(), rows.len());
                format!("{done} of {all} rows were answered; the same file can be given again")
            })?;
            for (row, answer) in part.iter().zip(answers) {
                self.say(row, answer)?;
                progress.step(1);
            }
            rest = later;
        }
        Ok(())
    }

    /// What becomes of each of the rows, in their order.
    async fn send(&self, session: &Session, rows: &[Row]) -> Result<Vec<Answer>> {
        let (mut adds, mut removes) = (Vec::new(), Vec::new());
        let validate_only = self.args.validate_only;
        for change in rows.iter().flat_map(|row| &row.change).cloned() {
            match change {
                Change::Add(request) => adds.push(wire::AddFlagRequest {
                    validate_only,
                    ..request
                }),
                Change::Remove(request) => removes.push(wire::RemoveFlagRequest {
                    validate_only,
                    ..request
                }),
            }
        }
        let mut flags = session.clients.flags()?;
        let mut added = add_all(&mut flags, adds).await?.into_iter();
        let mut removed = remove_all(&mut flags, removes).await?.into_iter();
        let answers = rows.iter().map(|row| match &row.change {
            Ok(Change::Add(_)) => added.next().unwrap_or_else(unanswered),
            Ok(Change::Remove(_)) => removed.next().unwrap_or_else(unanswered),
            Err(problem) => Err(unsent(problem.clone())),
        });
        Ok(answers.collect())
    }

    fn say(&mut self, row: &Row, answer: Answer) -> Result<()> {
        let change = row.change.as_ref().ok();
        let said = match &answer {
            Ok(answer) => self.sums.note(answer, change, self.args.validate_only),
            Err(status) => {
                self.sums.refused += 1;
                let why = why(status);
                self.refused.push((row.cells.clone(), why.clone()));
                format!("refused: {why}")
            }
        };
        let place = place(&self.args.file, row.line);
        match (self.args.connection.output, answer) {
            (Output::Table, _) => {
                let device = change.map_or("–", Change::device);
                print_line(&format_args!("{place}  {device}  {said}"))
            }
            (Output::Json, Ok(answer)) => print_line(&serde_json::json!({
                "file": place.file.display().to_string(),
                "line": row.line,
                "response": json(&answer)?,
            })),
            (Output::Json, Err(status)) => print_line(&serde_json::json!({
                "file": place.file.display().to_string(),
                "line": row.line,
                "status": json(&status)?,
            })),
        }
    }

    fn show_sums(&self) -> Result<()> {
        let Sums {
            changed,
            unchanged,
            replayed,
            refused,
        } = self.sums;
        match self.args.connection.output {
            Output::Table => print_line(&format_args!(
                "{changed} changed, {unchanged} unchanged, {replayed} answered before, {refused} refused"
            )),
            Output::Json => print_line(&serde_json::json!({
                "changed": changed,
                "unchanged": unchanged,
                "replayed": replayed,
                "refused": refused,
            })),
        }
    }
}

impl Sums {
    /// Counts a row that was granted, and says what became of it.
    fn note(
        &mut self,
        answer: &wire::RemoveFlagResponse,
        change: Option<&Change>,
        validate_only: bool,
    ) -> String {
        let counted = match (answer.replayed, answer.changed) {
            (true, _) => &mut self.replayed,
            (false, true) => &mut self.changed,
            (false, false) => &mut self.unchanged,
        };
        *counted += 1;
        let what = match (change, answer.changed) {
            (Some(Change::Add(_)), true) => "flag set",
            (Some(Change::Add(_)), false) => "set already; preference recorded",
            (_, true) => "flag lifted",
            (_, false) => "not set already; preference recorded",
        };
        match (validate_only, answer.replayed) {
            (true, _) => "would be accepted".to_owned(),
            (false, true) => format!("{what} (answered before)"),
            (false, false) => what.to_owned(),
        }
    }
}

async fn add_all(
    flags: &mut FlagServiceClient<MeshChannel>,
    requests: Vec<wire::AddFlagRequest>,
) -> Result<Vec<Answer>> {
    use add_flag_result::Result as Told;
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let request = wire::BatchAddFlagsRequest { requests };
    let answer = Retry::default()
        .idempotent(async || flags.batch_add_flags(request.clone()).await)
        .await?;
    let results = answer.into_inner().results.into_iter();
    let told = results.map(|result| match result.result {
        Some(Told::Response(answer)) => Ok(wire::RemoveFlagResponse {
            entry: answer.entry,
            changed: answer.changed,
            replayed: answer.replayed,
            position: answer.position,
        }),
        Some(Told::Status(status)) => Err(status),
        None => unanswered(),
    });
    Ok(told.collect())
}

async fn remove_all(
    flags: &mut FlagServiceClient<MeshChannel>,
    requests: Vec<wire::RemoveFlagRequest>,
) -> Result<Vec<Answer>> {
    use remove_flag_result::Result as Told;
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let request = wire::BatchRemoveFlagsRequest { requests };
    let answer = Retry::default()
        .idempotent(async || flags.batch_remove_flags(request.clone()).await)
        .await?;
    let results = answer.into_inner().results.into_iter();
    let told = results.map(|result| match result.result {
        Some(Told::Response(answer)) => Ok(answer),
        Some(Told::Status(status)) => Err(status),
        None => unanswered(),
    });
    Ok(told.collect())
}

fn unanswered() -> Answer {
    Err(unsent("the service gave no answer".to_owned()))
}

/// Writes rows as they stood, with why each was refused.
fn write_refused(
    file: &Path,
    columns: &[&'static str],
    rows: &[(StringRecord, String)],
) -> Result<()> {
    let kept: Vec<usize> = (0..columns.len())
        .filter(|&at| columns[at] != WHY)
        .collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = kept.iter().filter_map(|&at| columns.get(at).copied());
    writer.write_record(header.chain([WHY]))?;
    for (cells, why) in rows {
        let cells = kept
            .iter()
            .map(|&at| cells.get(at).unwrap_or_default().to_owned());
        writer.write_record(cells.chain([one_line(why)]))?;
    }
    let written = writer.into_inner().map_err(|error| error.into_error());
    written
        .and_then(|octets| std::fs::write(file, octets))
        .with_context(|| format!("cannot write {}", file.display()))
}

fn place(file: &Path, line: u64) -> Place {
    Place {
        file: file.to_owned(),
        line,
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
