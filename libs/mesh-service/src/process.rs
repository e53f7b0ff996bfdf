//! How does a process start, serve and end?

use std::error::Error;
use std::pin::Pin;
use std::process::ExitCode;

use clap::Parser;
use mesh_rpc::{Drained, Telemetry, Tls};
use mesh_types::text::shown;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Configuration, Way};
use crate::misuse::misused;
use crate::{ProcessSettings, RunError, check, probe};

/// Resolves when the process is told to stop.
type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs a service, whose settings are a `C`, until SIGTERM or Ctrl-C: telemetry first, so that the
/// start is logged; then certificate and listener, so that `run` is handed what is known to work; at the
/// end what was recorded is sent. The exit code says whether every call came to its end.
///
/// With `--probe` or `--check-config` it does that instead.
pub async fn process<C, F>(
    service: &'static str,
    run: impl FnOnce(C, Tls, TcpListener, Stop) -> F,
) -> ExitCode
where
    C: Parser,
    F: Future<Output = Result<Drained, RunError>>,
{
    let configuration = match Configuration::of::<C>() {
        Ok(configuration) => configuration,
        Err(error) => return misused(service, &error.into()),
    };
    match configuration.way() {
        Way::Probe => probe::run(service, &configuration).await,
        Way::Check => check::run::<C>(service, &configuration).await,
        Way::Serve => match configuration.settings::<C>() {
            Ok((settings, process)) => {
                let serve = |tls, listener, stop| run(settings, tls, listener, stop);
                observed(service, &configuration, &process, serve).await
            }
            Err(error) => misused(service, &error),
        },
    }
}

async fn observed<F>(
    service: &'static str,
    configuration: &Configuration,
    settings: &ProcessSettings,
    run: impl FnOnce(Tls, TcpListener, Stop) -> F,
) -> ExitCode
where
    F: Future<Output = Result<Drained, RunError>>,
{
    let telemetry = match Telemetry::install(&settings.telemetry.options(service)) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("{service}: {}", shown(&error.to_string()));
            return ExitCode::FAILURE;
        }
    };
    if let Ok(settings) = configuration.effective() {
        let settings = settings.in_one_line();
        tracing::info!(service, %settings, "the settings in force");
    }
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
    // A service's future is deep; whoever awaits this one need not be deeper.
    Ok(Box::pin(run(tls, listener, stop)).await?)
}
