//! The process `classification`: settings in, a served listener, an orderly end.

use std::error::Error;
use std::process::ExitCode;

use clap::Parser as _;
use classification::{Deps, config::Config, run};
use mesh_rpc::{Telemetry, Tls};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    let telemetry = match Telemetry::install(&config.telemetry()) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("classification: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = serve(&config).await;
    if let Err(error) = &ended {
        tracing::error!(%error, "classification ended");
    }
    telemetry.shutdown().await;
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

/// Serves until the process is told to stop; says whether all calls came to their end.
async fn serve(config: &Config) -> Result<bool, Box<dyn Error>> {
    let tls = Tls::from_files(config.tls_files())?;
    let listener = TcpListener::bind(config.listen).await?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    let deps = Deps::new(&config.registration, &config.flag_registry, tls);
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    };
    Ok(run(deps, listener, stop).await?.clean)
}
