//! Which outcomes are in a file, line by line?

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, stdin};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use mesh_api::common::v1::MessageClass;
use mesh_api::reporting::v1::{Outcome, OutcomeOrigin, OutcomeResult};
use reporting::error::MAX_OUTCOMES;
use reporting::outcome::OutcomeId;

use crate::canonical::from_json;
use crate::cli::outcome::FormatArg;
use crate::cli::value::{device, one_of, time};
use crate::exit::Usage;
use crate::lines::Lines;
use crate::table::{Cells, NotRead, Rows, about, read};

/// The columns of CSV.
const COLUMNS: &[&str] = &[
    "outcome_id",
    "party_id",
    "device_id",
    "service_reference_variant",
    "message_class",
    "request_time",
    "result",
    "origin",
];

/// A file that was opened: what is in it, and how many octets it has, if anybody can know.
pub(super) struct Opened {
    pub(super) octets: Box<dyn Read + Send>,
    pub(super) length: Option<u64>,
}

/// The outcomes of a file.
pub(super) struct Source {
    pub(super) file: PathBuf,
    lines: Form,
    /// What was read and does not go with the lines before.
    ahead: Option<ReadLine>,
}

enum Form {
    Csv(Rows<'static>),
    Json(Lines<'static>),
}

/// A line that holds anything, and its outcome, or why it has none.
#[derive(Debug, PartialEq)]
pub(super) struct ReadLine {
    pub(super) number: u64,
    pub(super) outcome: Result<Outcome, String>,
}

/// How a file is written: as was said, or else as its name ends.
pub(super) fn format_of(file: &Path, said: Option<FormatArg>) -> Result<FormatArg, Usage> {
    let ending = file.extension().unwrap_or_default().to_ascii_lowercase();
    let by_name = match ending.to_str() {
        Some("csv") => Some(FormatArg::Csv),
        Some("jsonl" | "ndjson") => Some(FormatArg::Jsonl),
        _ => None,
    };
    said.or(by_name).ok_or_else(|| {
        let file = file.display();
        Usage(format!("say with --format how {file} is written"))
    })
}

/// Opens a file, or standard input if its name is `-`.
pub(super) fn open(file: &Path) -> Result<Opened> {
    if file == Path::new("-") {
        let octets = Box::new(stdin());
        return Ok(Opened {
            octets,
            length: None,
        });
    }
    let opened = File::open(file).and_then(|opened| Ok((opened.metadata()?, opened)));
    let (about, octets) = opened.with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Opened {
        octets: Box::new(octets),
        length: about.is_file().then_some(about.len()),
    })
}

impl Source {
    /// Reads the beginning, with the header if there is to be one.
    pub(super) fn of(file: &Path, format: FormatArg, opened: Opened) -> Result<Self, NotRead> {
        let lines = Lines::of(opened.octets).map_err(|error| (1, error.to_string()))?;
        let lines = match format {
            FormatArg::Jsonl => Form::Json(lines),
            FormatArg::Csv => Form::Csv(with_all_columns(lines)?),
        };
        Ok(Self {
            file: file.to_owned(),
            lines,
            ahead: None,
        })
    }

    /// How many octets were read so far.
    pub(super) const fn octets(&self) -> u64 {
        match &self.lines {
            Form::Csv(rows) => rows.octets(),
            Form::Json(lines) => lines.octets(),
        }
    }

    /// The next lines that go together, none at the end: as many as a call may have refusals that it
    /// names, and no id twice, so that an id that is refused is that of one line.
    pub(super) fn together(&mut self) -> Vec<ReadLine> {
        let (mut lines, mut ids) = (Vec::new(), HashSet::new());
        while lines.len() < MAX_OUTCOMES {
            let Some(line) = self.ahead.take().or_else(|| self.read()) else {
                break;
            };
            if let Ok(outcome) = &line.outcome
                && !ids.insert(outcome.outcome_id.clone())
            {
                self.ahead = Some(line);
                break;
            }
            lines.push(line);
        }
        lines
    }

    fn read(&mut self) -> Option<ReadLine> {
        let (number, outcome) = match &mut self.lines {
            Form::Csv(rows) => {
                let (number, row) = rows.next()?;
                (number, row.and_then(|row| of_cells(&rows.cells(&row))))
            }
            Form::Json(lines) => {
                let is_blank = |text: &Result<String, String>| {
                    text.as_ref().is_ok_and(|text| text.trim().is_empty())
                };
                let line = lines.find(|line| !is_blank(&line.text))?;
                (line.number, line.text.and_then(|text| from_json(&text)))
            }
        };
        Some(ReadLine {
            number,
            outcome: outcome.and_then(identified),
        })
    }
}

fn with_all_columns(lines: Lines<'static>) -> Result<Rows<'static>, NotRead> {
    let (_, rows) = Rows::of(lines, &[COLUMNS], "mp169 outcome load --help")?;
    let missing = COLUMNS.iter().filter(|name| !rows.columns().contains(name));
    let missing: Vec<&str> = missing.copied().collect();
    if missing.is_empty() {
        return Ok(rows);
    }
    Err((1, format!("its header has no {}", missing.join(", "))))
}

fn of_cells(cells: &Cells<'_>) -> Result<Outcome, String> {
    Ok(Outcome {
        outcome_id: cells.text("outcome_id").to_owned(),
        party_id: cells.text("party_id").to_owned(),
        device_id: read(cells, "device_id", device)?.to_string(),
        service_reference_variant: cells.text("service_reference_variant").to_owned(),
        message_class: read(cells, "message_class", class)?.into(),
        request_time: Some(read(cells, "request_time", instant)?),
        result: read(cells, "result", result)?.into(),
        origin: read(cells, "origin", origin)?.into(),
    })
}

/// An outcome whose id can be repeated in a refusal as it is.
fn identified(outcome: Outcome) -> Result<Outcome, String> {
    let id = &outcome.outcome_id;
    let read = id.parse::<OutcomeId>().map_err(|error| error.to_string());
    about("outcome_id", id, read)?;
    Ok(outcome)
}

/// Not a date alone: whether an outcome is excepted depends on the hour.
fn instant(text: &str) -> Result<prost_types::Timestamp, String> {
    if text.contains(':') {
        time(text)
    } else {
        Err("it is written as 2026-11-23T10:00:00Z".to_owned())
    }
}

fn class(text: &str) -> Result<MessageClass, String> {
    one_of(text, "MESSAGE_CLASS_", MessageClass::as_str_name, "")
}

fn result(text: &str) -> Result<OutcomeResult, String> {
    one_of(text, "OUTCOME_RESULT_", OutcomeResult::as_str_name, "")
}

fn origin(text: &str) -> Result<OutcomeOrigin, String> {
    one_of(text, "OUTCOME_ORIGIN_", OutcomeOrigin::as_str_name, "")
}
