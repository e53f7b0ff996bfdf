//! What is lost of a database, and how is it shown before an operator accepts it?

use std::path::Path;

use anyhow::{Result, anyhow};
use mesh_store::cursor::Cursor;
use mesh_store::{Accepted, Decision, Location, NewHistory, Resolve, StoreError};
use mesh_types::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::cli::connection::Output;
use crate::cli::restore::Consent;
use crate::exit::NotConfirmed;
use crate::output::{complain, print_line, print_table};

/// Who decides, as the history of a log keeps it: whoever may write the file.
const BY: &str = "operator";

/// What an operator decides now.
pub(crate) fn decision(reason: &str, seen: &[Cursor]) -> Decision {
    Decision {
        by: BY.to_owned(),
        reason: reason.to_owned(),
        at: SystemClock.now(),
        seen: seen.to_vec(),
    }
}

/// Whether it is carried out.
pub(crate) const fn resolve(consent: Consent) -> Resolve {
    if consent.yes {
        Resolve::CarryOut
    } else {
        Resolve::Try
    }
}

/// Shows what came of a decision about each database, or would; an error unless it was asked for.
pub(crate) fn show(
    all: &[(Location, Accepted)],
    output: Output,
    consent: Consent,
    done: &str,
) -> Result<()> {
    match output {
        Output::Json => all
            .iter()
            .flat_map(|(at, accepted)| accepted.logs.iter().map(|new| line(at, new)))
            .try_for_each(|line| print_line(&line))?,
        Output::Table => print_table(&HEADER, all.iter().flat_map(rows).collect())?,
    }
    for (at, accepted) in all {
        for cursor in &accepted.gone {
            complain(&format_args!(
                "{}: the log {} is gone, all {} events of it",
                at, cursor.position.log, cursor.position.sequence
            ));
        }
        if consent.yes {
            for kept in &accepted.kept {
                complain(&format_args!("Kept as it was: {kept}"));
            }
        }
    }
    if consent.yes {
        complain(&done);
    } else if !consent.dry_run {
        return Err(NotConfirmed("say --yes to accept this for good").into());
    }
    Ok(())
}

const HEADER: [&str; 5] = ["database", "log", "goes on after", "lost", "says"];

fn rows((at, accepted): &(Location, Accepted)) -> Vec<Vec<String>> {
    let name = at.file().and_then(Path::file_name);
    let file = name.map_or_else(
        || at.to_string(),
        |name| name.to_string_lossy().into_owned(),
    );
    let mut rows: Vec<_> = accepted
        .logs
        .iter()
        .map(|new| {
            let says = new.lost.iter().map(|lost| lost.by.clone());
            vec![
                file.to_string(),
                new.log.to_string(),
                new.goes_on_after.to_string(),
                what(new),
                says.collect::<Vec<_>>().join(", "),
            ]
        })
        .collect();
    rows.extend(accepted.cursors.iter().map(|cursor| {
        let at = &cursor.position;
        vec![
            file.to_string(),
            "–".to_owned(),
            "–".to_owned(),
            format!("what it made of {} up to event {}", at.log, at.sequence),
            "the witness".to_owned(),
        ]
    }));
    if rows.is_empty() {
        let none = ["–", "–", "what was recorded since, if anything", ""];
        rows.push([vec![file.to_string()], none.map(str::to_owned).to_vec()].concat());
    }
    rows
}

/// What is lost, as far as anybody knows.
fn what(new: &NewHistory) -> String {
    let last = new.lost.iter().map(|lost| lost.seen_up_to).max();
    match last {
        None => "nothing that is known".to_owned(),
        Some(last) if last == new.goes_on_after + 1 => format!("event {last}"),
        Some(last) if last > new.goes_on_after => {
            format!("events {} to {last}", new.goes_on_after + 1)
        }
        Some(last) => format!("event {last}, which is another one here"),
    }
}

/// The same for programs.
fn line(at: &Location, new: &NewHistory) -> Value {
    let lost = new.lost.iter().map(|lost| {
        json!({
            "by": lost.by,
            "epoch": lost.epoch.get().to_string(),
            "seen_up_to": lost.seen_up_to.to_string(),
        })
    });
    json!({
        "database": at.to_string(),
        "log": new.log.as_str(),
        "ended_epoch": new.ended.get().to_string(),
        "epoch": new.begun.get().to_string(),
        "goes_on_after": new.goes_on_after.to_string(),
        "lost": lost.collect::<Vec<_>>(),
    })
}

/// Says what can be done.
pub(crate) fn explain(at: &Location, error: StoreError) -> anyhow::Error {
    match error {
        StoreError::File(error) => anyhow!("cannot read {at}: {error}"),
        StoreError::InUse => anyhow!("a service has {at} open: stop it first"),
        error @ StoreError::Unfit(_) => anyhow::Error::new(error),
        other => anyhow::Error::new(other).context(at.to_string()),
    }
}
