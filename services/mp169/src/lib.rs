//! The mesh on one machine, and the operator's client.
//!
//! | command | file |
//! |---|---|
//! | `mp169 demo`: the main job as a story | `story.rs` and `story/` |
//! | `mp169 up`: the five services until Ctrl-C | `mesh.rs`, `up.rs` |
//! | `mp169 sample`: the sample inventory into a mesh that runs | `load_sample.rs` |
//! | `mp169 prepare`: what services need that run apart | `prepare.rs` |
//! | where the databases of a mesh are | `databases.rs` |
//! | `mp169 backup`: copies of the databases | `backup.rs` and `backup/` |
//! | `mp169 restore`: copies put in place, and what is lost | `restore.rs`, `loss.rs` |
//! | `mp169 db`: a database moves to another place | `db.rs` and `db/` |
//! | `mp169 doctor`, `mp169 status`: what is learnt of a mesh, and what is wrong with it | `learnt.rs`, `doctor.rs`, `status.rs` |
//! | the client: `mp169 flag`, `mp169 party` and so on | the file of that name; its arguments in `cli/` |
//!
//! This is the one crate besides the tests that depends on the services' code.

mod audit;
mod authority;
mod backup;
mod canonical;
mod certificate;
mod classify;
mod cli;
pub mod clients;
pub mod clock;
mod csp;
pub mod databases;
mod db;
mod denied;
mod device;
mod doctor;
mod exit;
mod failure;
mod flag;
pub mod home;
mod inventory;
mod issued;
mod learnt;
mod lines;
pub mod load;
mod load_sample;
mod log;
mod loss;
pub mod mesh;
mod outcome;
mod output;
mod p12;
mod party;
mod prepare;
mod progress;
mod reading;
mod refusal;
mod replace;
mod report;
mod restore;
pub mod sample;
pub mod schemas;
pub mod service;
mod session;
mod signals;
mod status;
mod story;
mod table;
mod up;

pub use cli::Cli;
pub use failure::misread;

use std::process::ExitCode;

use clap::CommandFactory as _;
use cli::server::ServerUrl;
use mesh_rpc::{LogFormat, Telemetry, TelemetryOptions};
use mesh_store::DatabaseServer;
use story::{Audience, Where};

/// Carries out a command and says how the process should end.
pub async fn run(cli: Cli) -> ExitCode {
    let otlp = cli.otlp;
    let ended = match cli.command {
        cli::Command::Demo(args) => demo(args, otlp).await,
        cli::Command::Up(args) => up::run(args, otlp).await,
        cli::Command::Sample(connection) => traced(otlp, load_sample::run(connection)).await,
        cli::Command::Prepare(args) => prepare::run(&args),
        cli::Command::Party(command) => traced(otlp, party::run(command)).await,
        cli::Command::Certificate(command) => certificate::run(command).await,
        cli::Command::Device(command) => traced(otlp, device::run(command)).await,
        cli::Command::Flag(command) => traced(otlp, flag::run(command)).await,
        cli::Command::Authority(command) => traced(otlp, authority::run(command)).await,
        cli::Command::Classify(args) => traced(otlp, classify::run(args)).await,
        cli::Command::Csp(command) => traced(otlp, csp::run(command)).await,
        cli::Command::Outcome(command) => traced(otlp, outcome::run(command)).await,
        cli::Command::Report(command) => traced(otlp, report::run(command)).await,
        cli::Command::Log(command) => traced(otlp, log::run(command)).await,
        cli::Command::Audit(command) => traced(otlp, audit::run(command)).await,
        cli::Command::Backup(args) => backup::run(args).await,
        cli::Command::Restore(args) => restore::run(args).await,
        cli::Command::Db(command) => db::run(command).await,
        cli::Command::Doctor(connection) => traced(otlp, doctor::run(connection)).await,
        cli::Command::Status(args) => traced(otlp, status::run(args)).await,
        cli::Command::Completions { shell } => completions(shell),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::failed(&error),
    }
}

/// Runs a service as a process of its own, as the program of its name does.
pub async fn process(service: service::Service) -> ExitCode {
    use service::Service;

    match service {
        Service::Registration => Box::pin(registration::process()).await,
        Service::FlagRegistry => Box::pin(flag_registry::process()).await,
        Service::Classification => Box::pin(classification::process()).await,
        Service::CspNotification => Box::pin(csp_notification::process()).await,
        Service::Reporting => Box::pin(reporting::process()).await,
    }
}

fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "mp169", &mut script);
    output::print_text(&String::from_utf8_lossy(&script).trim_end())
}

async fn demo(args: cli::services::DemoArgs, otlp_endpoint: Option<String>) -> anyhow::Result<()> {
    let server = args.database.as_ref().map(ServerUrl::read).transpose()?;
    if let Some(server) = &server {
        refuse_present(server).await?;
    }
    let options = TelemetryOptions {
        format: if args.log.is_some() {
            LogFormat::Text
        } else {
            LogFormat::Off
        },
        filter: args.log.unwrap_or_else(|| "off".to_owned()),
        otlp_endpoint,
        ..TelemetryOptions::new("mp169")
    };
    let telemetry = Telemetry::install(&options)?;
    let audience = if args.json {
        Audience::Programs
    } else {
        Audience::People
    };
    let place = match &args.home {
        Some(home) => Where::Running(home),
        None => Where::Own(server.as_ref()),
    };
    let told = tokio::select! {
        told = story::tell(audience, place) => told,
        stop = signals::told_to_stop() => stop.and(Err(anyhow::anyhow!("interrupted"))),
    };
    // Dropping the story has removed its folder, keys included.
    let dropped = match &server {
        Some(server) => server.drop(&databases::names()).await,
        None => Ok(()),
    };
    telemetry.shutdown().await;
    told.and(dropped.map_err(Into::into))
}

/// Whatever has databases there is no demonstration, which drops its own at the end.
async fn refuse_present(server: &DatabaseServer) -> anyhow::Result<()> {
    let present = server.present(&databases::names()).await?;
    match present.first() {
        None => Ok(()),
        Some(name) => anyhow::bail!(
            "there is a database for {name} on {server}: name a prefix that nobody has, as in \
             postgres://USER@HOST:PORT/demo"
        ),
    }
}

/// Runs a client's command; its spans are sent if somebody wants them.
async fn traced(
    otlp_endpoint: Option<String>,
    command: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    if otlp_endpoint.is_none() {
        return command.await;
    }
    let options = TelemetryOptions {
        format: LogFormat::Off,
        otlp_endpoint,
        ..TelemetryOptions::new("mp169")
    };
    let telemetry = Telemetry::install(&options)?;
    let ended = command.await;
    telemetry.shutdown().await;
    ended
}
