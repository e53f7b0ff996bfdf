//! Could a process serve with these settings?

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::Parser;
use mesh_api::convert::timestamp_to_wire;
use mesh_rpc::{CertificateFacts, Tls, TlsStatus};

use crate::config::{Configuration, Problem, SettingsError};
use crate::misuse::misused;

/// Prints what would be in force, and says whether it can be used.
pub(crate) async fn run<C: Parser>(service: &str, configuration: &Configuration) -> ExitCode {
    if let Ok(settings) = configuration.effective() {
        // Where nobody reads it the exit code says what counts.
        let _ = write!(stdout().lock(), "{settings}");
    }
    let mut problems = configuration.problems().to_vec();
    if let Ok(settings) = configuration.process_settings() {
        match Tls::from_files(settings.tls_files()) {
            Ok(tls) => problems.extend(tls.status().iter().flat_map(|tls| judge(service, tls))),
            Err(error) => problems.push(Problem::general(error.to_string())),
        }
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

/// Shows the certificates; gives what is wrong with them.
fn judge(service: &str, tls: &TlsStatus) -> Vec<Problem> {
    let mut out = stdout().lock();
    let mut show = |what, certificate: &CertificateFacts| {
        let CertificateFacts { id, subject, .. } = certificate;
        let ends = timestamp_to_wire(certificate.not_after);
        let _ = writeln!(out, "# {what}: {subject}, {id}, until {ends}");
    };
    show("certificate", &tls.own);
    for authority in &tls.authorities {
        show("trusted", authority);
    }
    let refused = tls.own_refused.as_ref();
    let refused = refused.map(|why| {
        format!("the certificate would be refused by those who trust the same authorities: {why}")
    });
    let stranger = match &tls.identity {
        Ok(identity) if identity.to_string() == service => None,
        Ok(identity) => Some(format!("the certificate is that of {identity}")),
        Err(error) => Some(error.to_string()),
    };
    let problems = refused.into_iter().chain(stranger);
    problems.map(Problem::general).collect()
}
