//! Could a process serve with these settings?

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use mesh_rpc::Tls;

use crate::config::{Configuration, Problem};
use crate::error::SettingsError;
use crate::process::misused;

/// Prints what would be in force, and says whether it can be used.
pub(crate) async fn run<C: Parser>(service: &str, configuration: &Configuration) -> ExitCode {
    if let Ok(settings) = configuration.effective() {
        // Where nobody reads it the exit code says what counts.
        let _ = write!(std::io::stdout().lock(), "{settings}");
    }
    let mut problems = configuration.problems().to_vec();
    if let Ok(settings) = configuration.process_settings()
        && let Err(error) = Tls::from_files(settings.tls_files())
    {
        problems.push(Problem::general(error.to_string()));
    }
    let settled = match configuration.settings::<C>() {
        Err(SettingsError::Flags(error)) => Err(SettingsError::Flags(error)),
        _ if !problems.is_empty() => Err(SettingsError::Problems(problems)),
        _ => Ok(()),
    };
    match settled {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => misused(service, &error),
    }
}
