//! How fast is the mesh, beside what the machine could do without it?
//!
//! `cargo run --release -p mesh-bench`. Every figure stands beside a baseline that is measured in the
//! same run, in turns, so that a busy machine slows both. A wrong answer ends the run with exit code 1.
//!
//! | question | file |
//! |---|---|
//! | which figures are there, and what are they compared with | `figure.rs`, `figure/words.rs` |
//! | which mesh is measured, on which engine | `town.rs`, `engine.rs` |
//! | how are calls kept in flight | `turn.rs` |
//! | which messages, and what must be decided | `messages.rs` |
//! | one by one, and in streams | `classify.rs`, `codec.rs` |
//! | beside which bare server | `echo.rs` |
//! | flags, beside which commits | `flags.rs`, `bulk.rs`, `commits.rs`, `bare.rs` |
//! | and beside which peers | `postgres.rs`, `etcd.rs` |
//! | from a supplier's call to the CSP | `deliveries.rs` |
//! | rows of an inventory | `imports.rs` |
//! | outcomes for reports | `outcomes.rs` |
//! | changes of supplier, with and without a loser that writes | `supplier.rs` |
//! | reads with a record of each beside reads without | `recorded.rs` |
//! | a quiet supplier beside a hog | `beside.rs` |
//! | another's Devices beside ones that do not exist | `foreign.rs` |
//! | new clients beside a crowd at the door | `door.rs` |
//! | the memory of readers that take nothing | `readers.rs` |
//! | what came out, and where | `report.rs`, `machine.rs` |

mod bare;
mod beside;
mod bulk;
mod classify;
mod codec;
mod commits;
mod deliveries;
mod door;
mod echo;
mod engine;
mod etcd;
mod figure;
mod flags;
mod foreign;
mod imports;
mod machine;
mod messages;
mod outcomes;
mod postgres;
mod readers;
mod recorded;
mod report;
mod supplier;
mod town;
mod turn;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use mesh_rpc::{Telemetry, TelemetryOptions};

use engine::Engine;
use figure::{Effort, Figure, Peers};
use machine::Machine;
use readers::IdleReaders;
use report::Report;
use town::Town;

/// Measures the mesh on this machine, each figure beside a baseline of the same run.
#[derive(Debug, Parser)]
struct Args {
    /// Turns of each side of a figure.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long a turn lasts.
    #[arg(long, default_value_t = 2.5)]
    seconds: f64,
    /// Measure only this; may be given several times.
    #[arg(long, value_enum)]
    only: Vec<Figure>,
    /// Measure no memory of readers that take nothing.
    #[arg(long)]
    no_readers: bool,
    /// Be such readers, of the log `flags` at this address, for another process.
    #[arg(long, hide = true, requires = "folder")]
    read_nothing_from: Option<String>,
    /// Homes with a meter whose flag can be set.
    #[arg(long, default_value_t = 8_000, value_parser = clap::value_parser!(u16).range(8..=30_000))]
    homes: u16,
    /// Rows of an inventory in one stream.
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// On which engine the mesh keeps its databases.
    #[arg(long, value_enum, default_value_t = Engine::Sqlite)]
    engine: Engine,
    /// Where to make the folder of the databases, which goes away at the end.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// Reach etcd without TLS. The mesh is reached with mTLS all the same.
    #[arg(long)]
    plain_etcd: bool,
    /// How to show what came out.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// How to show what came out.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// One JSON object.
    Json,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mesh-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<()> {
    if let Some(address) = &args.read_nothing_from {
        return readers::hold(&args.folder, address).await;
    }
    let turn = Duration::try_from_secs_f64(args.seconds)?;
    let (rounds, seconds) = (args.rounds, args.seconds);
    let effort = Effort {
        rounds,
        turn,
        rows: args.rows,
    };
    // As `mp169 up` logs by default.
    let telemetry = Telemetry::install(&TelemetryOptions {
        filter: "warn".to_owned(),
        ..TelemetryOptions::new("mesh-bench")
    })?;
    let town = Town::build(&args.folder, args.engine, args.homes).await?;
    flags::set_all(&town, town.flagged()).await?;
    let peers = Peers {
        folder: args.folder,
        plain_etcd: args.plain_etcd,
    };
    let mut figures = Vec::new();
    for figure in Figure::value_variants() {
        if args.only.is_empty() || args.only.contains(figure) {
            let measured = figure.measure(&town, effort, &peers).await?;
            if measured.is_none() {
                eprintln!("not measured: {figure}, for its peer is not installed");
            }
            figures.extend(measured);
        }
    }
    let idle_readers = match args.no_readers {
        true => None,
        false => IdleReaders::measure(&town).await?,
    };
    town.stop().await?;
    telemetry.shutdown().await;
    let machine = Machine::this();
    let report = Report {
        machine,
        engine: args.engine,
        rounds,
        seconds,
        figures,
        idle_readers,
    };
    match args.output {
        Output::Table => println!("{report}"),
        Output::Json => println!("{}", serde_json::to_string(&report)?),
    }
    Ok(())
}
