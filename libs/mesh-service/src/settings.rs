//! What can be set from outside, the same for every service?

mod telemetry;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use mesh_rpc::TlsFiles;
use mesh_types::Clock;

use crate::machine_clock;
use mesh_store::Database;

pub use telemetry::{LogLines, TelemetryDetails, TelemetrySettings};
pub use values::{database_url, service_address};

/// The settings of a process that serves. A service's own settings flatten them in.
#[derive(Debug, Clone, Args)]
pub struct ProcessSettings {
    /// Where to listen: `address:port`.
    #[arg(long, env = "MP169_LISTEN")]
    pub listen: SocketAddr,
    /// The service's certificate, PEM. Read again when it changes; so are the next two.
    #[arg(long, env = "MP169_TLS_CERTIFICATE")]
    pub tls_certificate: PathBuf,
    /// The private key of the certificate, PEM.
    #[arg(long, env = "MP169_TLS_KEY")]
    pub tls_key: PathBuf,
    /// The authorities whose certificates are accepted, PEM.
    #[arg(long, env = "MP169_TLS_TRUST")]
    pub tls_trust: PathBuf,
    /// Which certificates and identities are accepted no more, TOML: what `mp169 certificate revoke`
    /// writes. Read again when it changes; connections that are open end within 10 seconds. A file
    /// that is named must be there; an empty one denies nobody. A new file is moved over the old one:
    /// in a container mount its folder, since a mounted file would stay the old one.
    #[arg(long, env = "MP169_TLS_DENY_LIST")]
    pub tls_deny_list: Option<PathBuf>,
    /// What authorities revoked: files of certificate revocation lists (RFC 5280), PEM or DER,
    /// separated by commas. Read again when they change, and must be there.
    #[arg(long, env = "MP169_TLS_CRLS", value_delimiter = ',')]
    pub tls_crls: Vec<PathBuf>,
    /// Take the machine's clock for right at this start, though it is further ahead of the last one
    /// than is explained.
    #[arg(long, env = "MP169_ACCEPT_CLOCK")]
    pub accept_clock: bool,
    /// Logs, spans and metrics.
    #[command(flatten)]
    pub telemetry: TelemetrySettings,
}

/// The settings of a service that keeps a database.
#[derive(Clone, Args)]
pub struct DatabaseSettings {
    /// The database: `sqlite://PATH`, or `postgres://USER@HOST:PORT/DATABASE` with `?sslmode=verify-full` for TLS. It
    /// must be there, unless --create is given; a database on a server must be there, and may be empty then.
    #[arg(long, env = "MP169_DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    pub database_url: String,
    /// The database of the audit, which is the record of all calls. Beside the other, with `-audit`
    /// before its ending, if not given.
    #[arg(long, env = "MP169_AUDIT_DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    pub audit_database_url: Option<String>,
    /// Make both databases if there are none and never were: for the first start of a service. Later it
    /// changes nothing: a database that went missing is refused all the same, because the file
    /// PATH.witness remembers it.
    #[arg(long, env = "MP169_CREATE")]
    pub create: bool,
}

impl std::fmt::Debug for DatabaseSettings {
    /// Without the URLs, which may hold passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseSettings")
            .field("create", &self.create)
            .finish_non_exhaustive()
    }
}

impl DatabaseSettings {
    /// Which database to open.
    #[must_use]
    pub fn database(&self) -> Database {
        Database {
            url: self.database_url.clone(),
            create: self.create,
        }
    }

    /// That of the audit, if it is not beside the other.
    #[must_use]
    pub fn audit_database(&self) -> Option<Database> {
        let (url, create) = (self.audit_database_url.clone()?, self.create);
        Some(Database { url, create })
    }
}

impl ProcessSettings {
    /// The files of TLS.
    pub(crate) fn tls_files(&self) -> TlsFiles {
        TlsFiles {
            certificate: self.tls_certificate.clone(),
            key: self.tls_key.clone(),
            trust: self.tls_trust.clone(),
            denied: self.tls_deny_list.clone(),
            crls: self.tls_crls.clone(),
        }
    }

    /// The machine's clock, watched.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        machine_clock(self.accept_clock)
    }
}
