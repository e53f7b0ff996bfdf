//! The mesh on one machine, and the operator's client.
//!
//! | command | file |
//! |---|---|
//! | `mp169 demo`: the main job as a story | `story.rs` and `story/` |
//! | `mp169 up`: the five services until Ctrl-C | `mesh.rs`, `up.rs` |
//! | `mp169 flag`, `mp169 classify` | `flag.rs`, `classify.rs` |
//! | `mp169 log` | `log.rs` and `log/` |
//!
//! This is the one crate besides the tests that depends on the services' code.

mod classify;
mod cli;
pub mod clients;
pub mod clock;
mod flag;
pub mod home;
pub mod load;
mod log;
pub mod mesh;
mod outcome;
mod output;
mod progress;
pub mod sample;
mod signals;
mod story;
mod up;

pub use cli::Cli;

use std::process::ExitCode;

use mesh_rpc::{LogFormat, Telemetry, TelemetryOptions};
use story::Audience;
use tonic::{Code, Status};

/// Carries out a command and says how the process should end.
pub async fn run(cli: Cli) -> ExitCode {
    let otlp = cli.otlp;
    let ended = match cli.command {
        cli::Command::Demo(args) => demo(args, otlp).await,
        cli::Command::Up(args) => up::run(args, otlp).await,
        cli::Command::Flag(command) => traced(otlp, flag::run(command)).await,
        cli::Command::Classify(args) => traced(otlp, classify::run(args)).await,
        cli::Command::Log(command) => traced(otlp, log::run(command)).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

async fn demo(args: cli::services::DemoArgs, otlp_endpoint: Option<String>) -> anyhow::Result<()> {
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
    // Dropping the story removes its folder, keys included.
    let told = tokio::select! {
        told = story::tell(audience) => told,
        stop = signals::told_to_stop() => stop.and(Err(anyhow::anyhow!("interrupted"))),
    };
    telemetry.shutdown().await;
    told
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

fn failed(error: &anyhow::Error) -> ExitCode {
    let status = error.downcast_ref::<Status>();
    match status {
        Some(status) => {
            let contexts = error.chain().take_while(|cause| !cause.is::<Status>());
            contexts.for_each(|context| eprintln!("mp169: {context}"));
            eprintln!(
                "mp169: {}\n{}",
                outcome::refusal(status),
                outcome::explain(status)
            );
        }
        None => eprintln!("mp169: {error:#}"),
    }
    if status.is_some_and(|status| status.code() == Code::Unavailable) {
        eprintln!("Is the mesh running (`mp169 up`)? If it is: try again in a moment.");
    }
    if error.is::<classify::Undecided>() {
        return ExitCode::from(5);
    }
    if error.is::<log::NotWhole>() {
        return ExitCode::from(7);
    }
    ExitCode::from(match status.map(Status::code) {
        Some(Code::Unauthenticated | Code::PermissionDenied) => 3,
        Some(Code::FailedPrecondition) => 4,
        Some(
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented,
        ) => 5,
        Some(Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted) => 6,
        _ => 1,
    })
}
