//! `mp169 log`: is a log whole, and what stands in it?

mod accept;
mod file;
pub(crate) mod followers;
mod line;
mod served;
mod state;

use anyhow::Result;
use mesh_api::common::v1::EventStamp;
use mesh_api::convert::timestamp_from_wire;
use mesh_authz::InternalRole;
use mesh_store::verify::{Stamp, Verified};
use mesh_types::LogName;
use prost::Message as _;
use serde_json::{Value, json};

use crate::cli::connection::Output;
use crate::cli::log::{ExportArgs, LogCommand, LogsArgs, VerifyArgs};
use crate::clients::Clients;
use crate::exit::{NotWhole, Unwell};
use crate::output::{print_line, print_table};
use crate::session::Session;

use followers::Followers;
use state::States;

/// Carries out a command.
pub(crate) async fn run(command: LogCommand) -> Result<()> {
    match command {
        LogCommand::Verify(args) => verify(args).await,
        LogCommand::Export(args) => export(args).await,
        LogCommand::AcceptLoss(args) => accept::run(args).await,
    }
}

/// `log export`
pub(crate) async fn export(args: ExportArgs) -> Result<()> {
    match &args.logs.database {
        Some(at) => file::export(at, &args).await,
        None => served::export(&clients(&args.logs)?, &args).await,
    }
}

/// `log verify`
pub(crate) async fn verify(args: VerifyArgs) -> Result<()> {
    let asked = &args.logs.logs;
    let mut followers = Followers::default();
    let mut states = States::default();
    let findings = match &args.logs.database {
        Some(at) => {
            let findings = file::verify(at, asked, args.state).await?;
            if args.state {
                states = state::of_copy(at).await?;
            }
            findings
        }
        None => {
            let clients = clients(&args.logs)?;
            if asked.is_empty() {
                followers = Followers::ask(&clients).await;
            }
            if args.state {
                states = state::served(&clients).await;
            }
            served::verify(&clients, asked, |at| followers.take(at)).await?
        }
    };
    let shown = findings
        .show(args.output)
        .and_then(|()| followers.show(args.output))
        .and_then(|()| states.show(args.output));
    // Whoever reads the exit code alone must learn it too.
    judge(
        findings
            .misfits()
            .chain(followers.misfits())
            .chain(states.misfits()),
    )?;
    findings.unread.map_or(Ok(()), Err)?;
    followers.unanswered()?;
    states.unanswered()?;
    match &followers.unwell()[..] {
        [] => shown,
        unwell => Err(Unwell(unwell.join("; ")).into()),
    }
}

/// An error if anything does not fit.
fn judge(misfits: impl Iterator<Item = String>) -> Result<()> {
    let misfits: Vec<_> = misfits.collect();
    if misfits.is_empty() {
        return Ok(());
    }
    Err(NotWhole(misfits.join("; ")).into())
}

fn clients(args: &LogsArgs) -> Result<Clients> {
    let usual = Some(InternalRole::Auditor);
    Ok(Session::of(&args.home, args.identity.as_deref(), usual)?.clients)
}

/// What was found out.
#[derive(Default)]
struct Findings {
    logs: Vec<Verified>,
    /// What is wrong with the file that the logs stand in.
    damage: Option<String>,
    /// Why a log could not be read to its end.
    unread: Option<anyhow::Error>,
}

impl Findings {
    fn show(&self, output: Output) -> Result<()> {
        match output {
            Output::Table => self.table(),
            Output::Json => self.lines(),
        }
    }

    fn table(&self) -> Result<()> {
        let rows = self.logs.iter().map(|log| {
            let (hash, finding) = match &log.found {
                Ok(head) => (hex::encode(head.hash), "whole".to_owned()),
                Err(misfit) => ("–".to_owned(), misfit.to_string()),
            };
            vec![log.log.clone(), log.fit.to_string(), hash, finding]
        });
        // A database without logs can be damaged all the same.
        if !self.logs.is_empty() {
            let header = ["log", "events that fit", "hash of the last", "finding"];
            print_table(&header, rows.collect())?;
        }
        if let Some(damage) = &self.damage {
            print_line(&format_args!("The database file is damaged: {damage}"))?;
        }
        Ok(())
    }

    fn lines(&self) -> Result<()> {
        for log in &self.logs {
            print_line(&finding(log))?;
        }
        if let Some(damage) = &self.damage {
            print_line(&json!({ "damage": damage }))?;
        }
        Ok(())
    }

    /// What does not fit.
    fn misfits(&self) -> impl Iterator<Item = String> {
        let misfits = self.logs.iter().filter_map(|log| {
            let misfit = log.found.as_ref().err()?;
            Some(format!("{} at {misfit}", log.log))
        });
        let damage = self.damage.iter().map(|_| "the database file".to_owned());
        misfits.chain(damage)
    }
}

/// One log's finding for programs.
fn finding(log: &Verified) -> Value {
    let mut line = json!({ "log": log.log, "fit": log.fit.to_string() });
    match &log.found {
        Ok(head) => {
            line["epoch"] = head.position.epoch.get().to_string().into();
            line["hash"] = hex::encode(head.hash).into();
        }
        Err(misfit) => {
            line["misfit"] = json!({
                "sequence": misfit.sequence.to_string(),
                "what": misfit.what.to_string(),
            });
        }
    }
    line
}

/// What any event says of itself.
pub(crate) fn read_stamp(event: &[u8]) -> Option<Stamp> {
    let stamp = EventStamp::decode(event).ok()?;
    Some(Stamp {
        sequence: stamp.sequence,
        recorded_time: timestamp_from_wire(&stamp.recorded_time?).ok()?,
    })
}

/// Whether a log is among those asked for; nobody asks for none.
fn is_asked(asked: &[LogName], log: &str) -> bool {
    asked.is_empty() || asked.iter().any(|asked| asked.as_str() == log)
}
