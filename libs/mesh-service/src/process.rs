//! How does a process start, serve and end?

use std::error::Error;
use std::pin::Pin;
use std::process::ExitCode;

use mesh_rpc::{Drained, Telemetry, Tls};
use mesh_types::text::shown;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::{ProcessSettings, RunError};

/// Resolves when the process is told to stop.
type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs a service until SIGTERM or Ctrl-C: telemetry first, so that the start is logged; then
/// certificate and listener, so that `run` is handed what is known to work; at the end what was
/// recorded is sent. The exit code says whether every call came to its end.
pub async fn process<F>(
    service: &'static str,
    settings: &ProcessSettings,
    run: impl FnOnce(Tls, TcpListener, Stop) -> F,
) -> ExitCode
where
    F: Future<Output = Result<Drained, RunError>>,
{
    let telemetry = match Telemetry::install(&settings.telemetry(service)) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("{service}: {}", shown(&error.to_string()));
            return ExitCode::FAILURE;
        }
    };
    let ended = serve(settings, run).await;
    if let Err(error) = &ended {
        let source = error.source().map(ToString::to_string);
        tracing::error!(%error, source, service, "the service ended");
    }
    telemetry.shutdown().await;
    match ended {
        Ok(drained) if drained.clean => ExitCode::SUCCESS,
        Ok(_) | Err(_) => ExitCode::FAILURE,
    }
}

async fn serve<F>(
    settings: &ProcessSettings,
    run: impl FnOnce(Tls, TcpListener, Stop) -> F,
) -> Result<Drained, Box<dyn Error>>
where
    F: Future<Output = Result<Drained, RunError>>,
{
    let tls = Tls::from_files(settings.tls_files())?;
    let listener = TcpListener::bind(settings.listen).await?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = Box::pin(async move {
        tokio::select! {
            // If Ctrl-C cannot be waited for, SIGTERM still ends the process.
            Ok(()) = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    });
    Ok(run(tls, listener, stop).await?)
}
