//! Which texts make sense as values? So that a slip is told at once, and not when something is first needed.

use mesh_rpc::TelemetryOptions;
use mesh_store::Location;

/// The URL of a database.
///
/// # Errors
/// What it has to look like. Nothing of the text, which may hold a password, is in that.
pub fn database_url(text: &str) -> Result<String, String> {
    if !text.contains("://") {
        return Err("it has to be sqlite://PATH or postgres://USER@HOST:PORT/DATABASE".to_owned());
    }
    match text.parse::<Location>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Where a service listens: `host:port`.
///
/// # Errors
/// What it has to look like.
pub fn service_address(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(1..)) => Ok(text.to_owned()),
        _ => Err("it has to be host:port".to_owned()),
    }
}

/// Which events are logged.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    let checked = TelemetryOptions::check_filter(text);
    checked.map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_told_without_its_secrets() {
        for good in ["sqlite:///a.db", "postgres://a:b@host/db?sslmode=require"] {
            assert_eq!(database_url(good).as_deref(), Ok(good));
        }
        for bad in [
            "/a.db",
            "mysql://a:s3cret@host/db",
            "postgres://a:s3cret@host",
        ] {
            let refused = database_url(bad).unwrap_err();
            assert!(!refused.contains("s3cret"), "{refused}");
        }
        for good in ["registration:7001", "[::1]:7001", "127.0.0.1:1"] {
            assert_eq!(service_address(good).as_deref(), Ok(good));
        }
        for bad in [
            "registration",
            "registration:",
            ":7001",
            "registration:0",
            "registration:x",
        ] {
            service_address(bad).unwrap_err();
        }
        log_filter("info,mesh_rpc=debug").unwrap();
        log_filter("mesh_rpc=loud").unwrap_err();
    }
}
