//! How are the logs of a database read behind its service's back, and what can be done if they cannot?

use anyhow::{Result, anyhow, bail};
use futures::TryStreamExt as _;
use mesh_store::offline::Offline;
use mesh_store::{Location, StoreError};
use mesh_types::{LogName, Sequence};

use super::line::Line;
use super::{Findings, is_asked, read_stamp};
use crate::cli::log::ExportArgs;
use crate::output::print_line;
use crate::progress::Progress;

/// Checks the logs of the database at `at` that are asked for, and its file. One without logs is refused,
/// unless there is `more` to check in it.
pub(super) async fn verify(at: &Location, asked: &[LogName], more: bool) -> Result<Findings> {
    let explain = |error| explain(at, error);
    let mut file = Offline::open(at).await.map_err(explain)?;
    let heads = file.heads().await.map_err(explain)?;
    let events: Sequence = heads
        .values()
        .flatten()
        .map(|head| head.position.sequence)
        .sum();
    let progress = Progress::new("events", events);
    let logs = file
        .verify(read_stamp, || progress.step(1))
        .await
        .map_err(explain)?;
    let damage = file.damage().await.map_err(explain)?;
    drop(progress);
    let names: Vec<_> = logs.iter().map(|log| log.log.as_str()).collect();
    if !more || !names.is_empty() {
        all_are_there(at, asked, &names)?;
    }
    Ok(Findings {
        logs: logs
            .into_iter()
            .filter(|log| is_asked(asked, &log.log))
            .collect(),
        damage,
        unread: None,
    })
}

/// Prints the events of the database at `at` that are asked for.
pub(super) async fn export(at: &Location, args: &ExportArgs) -> Result<()> {
    let explain = |error| explain(at, error);
    let asked = &args.logs.logs;
    let mut file = Offline::open(at).await.map_err(explain)?;
    let heads = file.heads().await.map_err(explain)?;
    let names: Vec<_> = heads.keys().map(String::as_str).collect();
    all_are_there(at, asked, &names)?;
    let mut events = file.events();
    while let Some(event) = events.try_next().await.map_err(explain)? {
        let epoch = heads.get(&event.log).and_then(Option::as_ref);
        // A number that is none, because the file is damaged, is not left out.
        let sequence = Sequence::try_from(event.sequence).unwrap_or(Sequence::MAX);
        let until = args.until.unwrap_or(Sequence::MAX);
        if is_asked(asked, &event.log) && (args.after < sequence && sequence <= until) {
            let line = Line {
                log: &event.log,
                epoch: epoch.map_or(0, |head| head.position.epoch.get()),
                sequence: event.sequence,
                recorded_time: Some(event.recorded_time),
                previous_hash: &event.previous_hash,
                hash: &event.hash,
                event: &event.event,
            };
            print_line(&line.json())?;
        }
    }
    Ok(())
}

fn all_are_there(at: &Location, asked: &[LogName], names: &[&str]) -> Result<()> {
    if names.is_empty() {
        bail!("no service has written a log into {at}");
    }
    if let Some(missing) = asked.iter().find(|log| !names.contains(&log.as_str())) {
        bail!("{at} has no log {missing}; there are: {}", names.join(", "));
    }
    Ok(())
}

/// Says what can be done.
pub(super) fn explain(at: &Location, error: StoreError) -> anyhow::Error {
    match error {
        StoreError::File(error) => anyhow!("cannot read {at}: {error}"),
        StoreError::InUse => anyhow!(
            "a service has {at} open: ask the service, without --database; or stop it; or take a \
             copy with `mp169 backup --to FOLDER --database {at}`"
        ),
        StoreError::Inconsistent { .. } | StoreError::Statement(_) => anyhow!(
            "{at} is damaged, or no database of registration, flag-registry or csp-notification: \
             take the copy again, or another one"
        ),
        other => anyhow::Error::new(other).context(format!("cannot read {at}")),
    }
}
