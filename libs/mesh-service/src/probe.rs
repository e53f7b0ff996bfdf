//! Does the process serve that has the same settings? For orchestrators, which need no other program
//! then.
//!
//! The question goes the way that callers go, over the network and TLS. No database is opened, and
//! settings that have nothing to do with it may be missing or wrong.

use std::error::Error as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use mesh_rpc::{ClientOptions, Tls, code_name, connect};
use mesh_types::text::shown;
use tonic::Status;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::ProcessSettings;
use crate::config::Configuration;

/// Whoever serves answers within this time.
const LIMIT: Duration = Duration::from_secs(3);
/// Where a check says why the server does not serve.
const REASON: &str = "mp169-health-reason";

/// Says in one line whether the process serves; so does the exit code.
pub(crate) async fn run(service: &'static str, configuration: &Configuration) -> ExitCode {
    let asked = match configuration.process_settings() {
        Ok(settings) => ask(service, &settings).await,
        Err(error) => Err(error.to_string()),
    };
    let mut out = std::io::stdout().lock();
    // Where nobody reads it the exit code says the same.
    let _ = match &asked {
        Ok(()) => writeln!(out, "SERVING"),
        Err(reason) => {
            let reason = reason.lines().collect::<Vec<_>>().join("; ");
            writeln!(out, "NOT_SERVING: {}", shown(&reason))
        }
    };
    asked.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

/// Asks; an error says why the process does not serve.
async fn ask(service: &'static str, settings: &ProcessSettings) -> Result<(), String> {
    let address = reachable(settings.listen)?;
    let tls = Tls::from_files(settings.tls_files()).map_err(|error| error.to_string())?;
    let options = ClientOptions {
        deadline: LIMIT,
        ..ClientOptions::new(service, address.to_string(), tls)
    };
    let mut health = HealthClient::new(connect(options));
    let answer = health.check(HealthCheckRequest::default()).await;
    let answer = answer.map_err(|status| told(&status))?;
    if answer.get_ref().status() == ServingStatus::Serving {
        return Ok(());
    }
    let reason = answer.metadata().get(REASON);
    let reason = reason.and_then(|reason| reason.to_str().ok());
    Err(reason.unwrap_or("it does not say why").to_owned())
}

/// Where a process can be reached that listens at `address`.
fn reachable(address: SocketAddr) -> Result<SocketAddr, String> {
    if address.port() == 0 {
        return Err("it listens at a port that only it knows".to_owned());
    }
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(SocketAddr::new(ip, address.port()))
}

/// A failed call with what is behind it, such as a connection that was refused.
fn told(status: &Status) -> String {
    let mut told = format!("{}: {}", code_name(status.code()), status.message());
    let mut source = status.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
        source = error.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_asked_by_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:7001", Some("127.0.0.1:7001")),
            ("[::]:7001", Some("[::1]:7001")),
            ("192.0.2.7:7001", Some("192.0.2.7:7001")),
            ("127.0.0.1:0", None),
        ] {
            let reached = reachable(listen.parse().unwrap()).ok();
            assert_eq!(reached.map(|at| at.to_string()).as_deref(), asked);
        }
    }
}
