//! `mp169 db copy`: a stopped service's database in another place.

use anyhow::{Result, anyhow};
use mesh_store::{Copied, StoreError, copy};
use serde_json::json;

use crate::cli::connection::Output;
use crate::cli::db::CopyArgs;
use crate::output::{complain, print_line, print_table};
use crate::progress::Progress;
use crate::schemas::{self, SCHEMAS};

/// Carries out the command.
pub(super) async fn run(args: CopyArgs) -> Result<()> {
    // How many rows there are is known when all are read.
    let progress = Progress::new("rows", 0);
    let schemas = schemas::all();
    let copied = copy(&args.from, &args.to, &schemas, |rows| progress.step(rows)).await;
    let copied = copied.map_err(|error| explain(&args, error))?;
    drop(progress);
    match args.output {
        Output::Json => lines(&copied)?,
        Output::Table => table(&copied)?,
    }
    let (of, _) = SCHEMAS[copied.schema];
    complain(&format_args!(
        "Copied, and the same at both ends: {of}. Put {} away before the service is started with {}.",
        args.from, args.to
    ));
    Ok(())
}

fn table(copied: &Copied) -> Result<()> {
    let rows = copied.tables.iter().map(|table| {
        let sha256 = hex::encode(table.sha256);
        vec![table.name.clone(), table.rows.to_string(), sha256]
    });
    print_table(&["table", "rows", "SHA-256"], rows.collect())?;
    let rows = copied.logs.iter().map(|head| {
        let at = &head.position;
        vec![
            at.log.to_string(),
            at.sequence.to_string(),
            hex::encode(head.hash),
        ]
    });
    print_table(&["log", "events", "hash of the last"], rows.collect())
}

fn lines(copied: &Copied) -> Result<()> {
    for table in &copied.tables {
        print_line(&json!({
            "table": table.name,
            "rows": table.rows.to_string(),
            "sha256": hex::encode(table.sha256),
        }))?;
    }
    for head in &copied.logs {
        print_line(&json!({
            "log": head.position.log.as_str(),
            "epoch": head.position.epoch.get().to_string(),
            "sequence": head.position.sequence.to_string(),
            "hash": hex::encode(head.hash),
        }))?;
    }
    Ok(())
}

/// Says what can be done.
fn explain(args: &CopyArgs, error: StoreError) -> anyhow::Error {
    let CopyArgs { from, to, .. } = args;
    match error {
        StoreError::InUse => anyhow!("a service has {from} or {to} open: stop it first"),
        StoreError::WentBack { log } => anyhow!(
            "somebody has seen more of the log {log} than {from} has: find the right database, or accept the \
             loss with `mp169 log accept-loss`, and copy then"
        ),
        other => anyhow::Error::new(other).context(format!("cannot copy {from} to {to}")),
    }
}
