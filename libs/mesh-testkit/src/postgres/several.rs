//! How does a test get several databases that somebody else makes?

use std::io::Write as _;
use std::process::Stdio;

use uuid::Uuid;

use super::Server;

/// Names that begin alike, on a server of a test or on one that it shares. The databases with such names are
/// dropped with the value, whoever is connected to them.
#[derive(Debug)]
pub struct Databases {
    server: Server,
    prefix: String,
}

// === impl Databases ===

impl Databases {
    pub(super) fn new(server: Server) -> Self {
        let random = Uuid::new_v4().simple().to_string();
        let prefix = format!("town{}", &random[..12]);
        Self { server, prefix }
    }

    /// [`Server::url`], and how their names begin, up to a dash.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/{}", self.server.url(), self.prefix)
    }

    /// Where one of them is.
    #[must_use]
    pub fn url_of(&self, name: &str) -> String {
        format!("{}-{name}", self.url())
    }

    /// The server they are on.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The names of those that there are, without how they begin.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let names = self.server.sql(&format!(
            "SELECT substr(datname, length('{0}-') + 1) FROM pg_database \
             WHERE starts_with(datname, '{0}-') ORDER BY 1",
            self.prefix
        ));
        names.lines().map(str::to_owned).collect()
    }

    /// Does in one of them what [`Database::sql`](super::Database::sql) does.
    pub fn sql(&self, name: &str, statements: &str) -> String {
        let database = format!("{}-{name}", self.prefix);
        self.server.must(&database, statements)
    }
}

impl Drop for Databases {
    fn drop(&mut self) {
        let mut psql = self.server.client("postgres");
        psql.stdin(Stdio::piped()).stdout(Stdio::null());
        // A server that was killed takes the databases with it when it goes.
        let Ok(mut psql) = psql.stderr(Stdio::null()).spawn() else {
            return;
        };
        if let Some(mut input) = psql.stdin.take() {
            let _ = writeln!(
                input,
                "SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database \
                 WHERE starts_with(datname, '{}-') \\gexec",
                self.prefix
            );
        }
        let _ = psql.wait();
    }
}
