//! `mp169 outcome load`: files of CSV or JSON Lines into outcomes.
//!
//! A file may be larger than memory: what is read goes on in parts, each of which is one call. A part has
//! no more outcomes than an answer names refusals, and no id twice: so each refusal is that of one line,
//! and nothing is kept of the parts before.

mod judge;
mod source;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use mesh_api::common::v1::ItemStatus;
use mesh_api::reporting::v1::RecordOutcomesResponse;
use tokio::sync::mpsc;

use self::judge::Judge;
use self::source::{ReadLine, Source, format_of, open};
use crate::cli::connection::Output;
use crate::cli::outcome::LoadArgs;
use crate::exit::Incomplete;
use crate::lines::Place;
use crate::output::{complain, json, length, print_line};
use crate::progress::Progress;
use crate::refusal::{unsent, why};

/// So many parts are read while another is judged.
const AHEAD: usize = 2;

/// Lines that go together.
struct Part {
    file: PathBuf,
    lines: Vec<ReadLine>,
    /// How many octets they have.
    octets: u64,
}

/// What became of all lines so far, or would.
#[derive(Debug, Default)]
struct Sums {
    read: u64,
    recorded: u64,
    duplicates: u64,
    refused: u64,
    unreadable: u64,
}

/// What goes on while outcomes are loaded.
struct Load {
    output: Output,
    sums: Sums,
    /// Whether all could be printed. If not, the load goes on without a word.
    said: Result<()>,
}

pub(super) async fn run(args: LoadArgs) -> Result<()> {
    let begun = Instant::now();
    let (sources, octets) = sources(&args)?;
    let mut judge = Judge::of(&args)?;
    if args.dry_run {
        complain(
            &"Not checked: whether parties are in the directory, whether Devices are SMETS1 meters, and \
              whether an id was used before.",
        );
    }
    let mut load = Load {
        output: args.connection.output,
        sums: Sums::default(),
        said: Ok(()),
    };
    load.all(sources, &mut judge, octets).await?;
    let Load { sums, said, .. } = load;
    let said = said.and_then(|()| sums.show(&args, begun));
    let what = match args.dry_run {
        true => "outcomes would be refused",
        false => "outcomes were not recorded",
    };
    // Whoever reads the exit code alone must learn it too.
    Incomplete::check(sums.refused + sums.unreadable, sums.read, what).and(said)
}

/// All files, each read as far as its header: one that is not understood keeps all from being loaded. With
/// how many octets they have, if anybody can know.
fn sources(args: &LoadArgs) -> Result<(Vec<Source>, Option<u64>)> {
    let formats = args.files.iter().map(|file| format_of(file, args.format));
    let formats = formats.collect::<Result<Vec<_>, _>>()?;
    let opened = args.files.iter().map(|file| open(file));
    let opened = opened.collect::<Result<Vec<_>>>()?;
    let octets = opened.iter().map(|opened| opened.length).sum();
    let mut sources = Vec::new();
    for ((file, format), opened) in args.files.iter().zip(formats).zip(opened) {
        match Source::of(file, format, opened) {
            Ok(source) => sources.push(source),
            Err((line, problem)) => {
                let file = file.clone();
                complain(&format_args!("{}: {problem}", Place { file, line }));
            }
        }
    }
    let (all, read) = (args.files.len() as u64, sources.len() as u64);
    let what = "files could not be read; nothing was loaded";
    Incomplete::check(all - read, all, what)?;
    Ok((sources, octets))
}

/// Reads in a thread of its own: from standard input that may wait for ever, and ends with the process.
fn parts(sources: Vec<Source>) -> (mpsc::Receiver<Part>, JoinHandle<()>) {
    let (give, parts) = mpsc::channel(AHEAD);
    let reader = thread::spawn(move || {
        for mut source in sources {
            let mut before = 0;
            loop {
                let lines = source.together();
                if lines.is_empty() {
                    break;
                }
                let (file, octets) = (source.file.clone(), source.octets() - before);
                before = source.octets();
                let part = Part {
                    file,
                    lines,
                    octets,
                };
                if give.blocking_send(part).is_err() {
                    return;
                }
            }
        }
    });
    (parts, reader)
}

impl Load {
    async fn all(
        &mut self,
        sources: Vec<Source>,
        judge: &mut Judge,
        octets: Option<u64>,
    ) -> Result<()> {
        let what = match judge {
            Judge::Service(_) => "loading",
            Judge::Rules => "checking",
        };
        let progress = Progress::of_octets(what, octets);
        let (mut parts, reader) = parts(sources);
        while let Some(part) = parts.recv().await {
            let outcomes = part.lines.iter().flat_map(|line| &line.outcome);
            let answer = judge.judge(outcomes.cloned().collect()).await;
            let answer = answer.with_context(|| {
                let read = self.sums.read;
                format!("{read} outcomes were answered; the same files can be given again")
            })?;
            self.note(&part, answer);
            progress.step(part.octets);
        }
        let ended = reader.join();
        ended.map_err(|_| anyhow!("the files could not be read to their end"))
    }

    fn note(&mut self, part: &Part, answer: RecordOutcomesResponse) {
        self.sums.recorded += answer.recorded;
        self.sums.duplicates += answer.duplicates;
        self.sums.refused += answer.refused;
        self.sums.read += part.lines.len() as u64;
        let refusals = answer.refusals.into_iter();
        let mut refusals: HashMap<_, _> = refusals
            .map(|refusal| (refusal.outcome_id, refusal.status.unwrap_or_default()))
            .collect();
        for line in &part.lines {
            let (id, status) = match &line.outcome {
                Ok(outcome) => {
                    let id = outcome.outcome_id.as_str();
                    (Some(id), refusals.remove(id))
                }
                Err(problem) => {
                    self.sums.unreadable += 1;
                    (None, Some(unsent(problem.clone())))
                }
            };
            if let (Some(status), true) = (status, self.said.is_ok()) {
                let place = Place {
                    file: part.file.clone(),
                    line: line.number,
                };
                self.said = say(self.output, &place, id, &status);
            }
        }
    }
}

/// Says what keeps a line from being recorded; it has no id if it could not be read.
fn say(output: Output, place: &Place, id: Option<&str>, status: &ItemStatus) -> Result<()> {
    match (output, id) {
        (Output::Table, Some(id)) => {
            print_line(&format_args!("{place}  {id}  refused: {}", why(status)))
        }
        (Output::Table, None) => {
            print_line(&format_args!("{place}  –  unreadable: {}", why(status)))
        }
        (Output::Json, id) => {
            let mut line = serde_json::json!({
                "file": place.file.display().to_string(),
                "line": place.line,
                "status": json(status)?,
            });
            if let Some(id) = id {
                line["outcomeId"] = id.into();
            }
            print_line(&line)
        }
    }
}

impl Sums {
    fn show(&self, args: &LoadArgs, begun: Instant) -> Result<()> {
        let Self {
            read,
            recorded,
            duplicates,
            refused,
            unreadable,
        } = self;
        let (took, seconds) = (length(begun.elapsed()), begun.elapsed().as_secs_f64());
        match (args.connection.output, args.dry_run) {
            (Output::Table, false) => print_line(&format_args!(
                "{recorded} recorded, {duplicates} duplicates, {refused} refused, {unreadable} unreadable, in {took}"
            )),
            (Output::Table, true) => print_line(&format_args!(
                "{read} outcomes were read and none was loaded: {refused} would be refused whatever is recorded, \
                 {unreadable} unreadable, in {took}"
            )),
            (Output::Json, false) => print_line(&serde_json::json!({
                "recorded": recorded,
                "duplicates": duplicates,
                "refused": refused,
                "unreadable": unreadable,
                "seconds": seconds,
            })),
            (Output::Json, true) => print_line(&serde_json::json!({
                "read": read,
                "refused": refused,
                "unreadable": unreadable,
                "seconds": seconds,
                "checkedWithMesh": false,
            })),
        }
    }
}
