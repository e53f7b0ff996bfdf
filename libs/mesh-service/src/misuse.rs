//! How does a process end whose settings cannot be used?

use std::io::Write as _;
use std::process::ExitCode;

use crate::config::SettingsError;

/// Of settings that cannot be used, as clap has it.
const MISUSED: u8 = 2;

/// Says why settings cannot be used; also that help was asked for.
pub(crate) fn misused(service: &str, error: &SettingsError) -> ExitCode {
    match error {
        SettingsError::Flags(error) => {
            // Where nobody reads it there is nobody to tell.
            let _ = error.print();
            u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
        }
        SettingsError::Problems(problems) => {
            let mut out = std::io::stderr().lock();
            for problem in problems {
                let _ = writeln!(out, "{service}: {problem}");
            }
            ExitCode::from(MISUSED)
        }
    }
}
