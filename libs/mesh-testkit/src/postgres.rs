//! How does a test get a PostgreSQL server of its own, and how does it make that server fail?
//!
//! A server lives in a temporary folder and listens on loopback and on a socket in that folder. It ends
//! with the process that started it, however that process ends: a small shell script keeps it, and notices.
//!
//! ```no_run
//! let Some(database) = mesh_testkit::postgres::database() else {
//!     return; // PostgreSQL is not installed here, and a line was printed.
//! };
//! assert_eq!(database.sql("SELECT 1 + 1"), "2");
//! ```

mod keeper;
mod losses;
mod programs;
mod several;
mod signals;

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::process::Pid;
use tempfile::TempDir;
use uuid::Uuid;

use crate::certificates;
use keeper::Keeper;
pub use losses::{ARCHIVING, Files};
use programs::command;
pub use several::Databases;
pub use signals::Paused;
use signals::with_children;

/// What every server is told beside where it listens. What is needed for a commit to be durable stays as
/// PostgreSQL has it: on.
const SETTINGS: &str = "
# Small, for many of them run beside the tests.
shared_buffers = 16MB
max_wal_size = 256MB
max_connections = 300
# The other kinds outlive a server that is killed.
dynamic_shared_memory_type = mmap
listen_addresses = '127.0.0.1'
ssl = on
ssl_cert_file = '../server.crt.pem'
ssl_key_file = '../server.key.pem'
log_line_prefix = '%m [%p] %d '
";

/// How often another port is tried.
const PORTS: usize = 20;

/// A fresh database on the server that all tests of this process share. `None`, and a printed line, where
/// PostgreSQL 15 or newer is not installed.
///
/// It blocks for as long as PostgreSQL takes: the first time some seconds.
///
/// # Panics
/// If PostgreSQL is not installed and `MP169_REQUIRE_POSTGRES` is `1`, or if it does not work; so does
/// everything here.
#[must_use]
pub fn database() -> Option<Database> {
    Some(shared()?.database())
}

/// The same for several databases, which the test has made.
#[must_use]
pub fn databases() -> Option<Databases> {
    Some(shared()?.databases())
}

fn shared() -> Option<&'static Server> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    SHARED.get_or_init(Server::start).as_ref()
}

/// A server of one test, which may be killed, stopped and configured. It goes away with the last of its
/// clones and [databases](Database).
#[derive(Debug, Clone)]
pub struct Server(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    programs: PathBuf,
    home: PathBuf,
    port: u16,
    password: String,
    databases: AtomicU32,
    keeper: Keeper,
}

// === impl Server ===

impl Server {
    /// A new server; `None`, and a printed line, where PostgreSQL 15 or newer is not installed.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_in(&std::env::temp_dir(), "")
    }

    /// A new server in a folder within `parent`, with more lines in its `postgresql.conf`.
    #[must_use]
    pub fn start_in(parent: &Path, settings: &str) -> Option<Self> {
        let programs = programs::find()?;
        let password = Uuid::new_v4().simple().to_string();
        Some(Self::new(programs, parent, password, "make", settings))
    }

    /// A new server that follows this one and can be read only, as `pg_basebackup` makes it.
    #[must_use]
    pub fn standby(&self) -> Self {
        let from = format!(
            "host={} port={} user=postgres",
            self.home().display(),
            self.0.port
        );
        let (programs, password) = (self.0.programs.clone(), self.0.password.clone());
        let parent = self.home().parent().expect("it is in a folder");
        Self::new(programs, parent, password, &format!("copy {from}"), "")
    }

    fn new(
        programs: PathBuf,
        parent: &Path,
        password: String,
        order: &str,
        settings: &str,
    ) -> Self {
        let user = programs::other_user();
        let home = TempDir::new_in(parent).expect("a temporary folder");
        let certificate = certificates().internal("localhost");
        let authority = certificates().trust_pem();
        let files = [
            ("password", password.as_str()),
            ("authority.crt.pem", authority),
            ("server.crt.pem", certificate.certificate_pem()),
            ("server.key.pem", certificate.key_pem()),
        ];
        for (name, content) in files {
            keeper::write(&home.path().join(name), content, user);
        }
        keeper::give(home.path(), user);
        let keeper = Keeper::new(&programs, home, user);
        keeper.order(order);
        let home = keeper.home().to_owned();
        let mut options = File::options();
        let file = options.append(true).open(home.join("data/postgresql.conf"));
        let mut file = file.expect("its settings");
        writeln!(
            file,
            "{SETTINGS}unix_socket_directories = '{}'\n{settings}",
            home.display()
        )
        .expect("settings");
        let started = (0..PORTS).find_map(|_| {
            let port = free_port();
            writeln!(file, "port = {port}").expect("a setting");
            keeper
                .try_order(&format!("start {port}"))
                .ok()
                .map(|_| port)
        });
        let Some(port) = started else {
            panic!("PostgreSQL does not start:\n{}", keeper.log());
        };
        Self(Arc::new(Inner {
            programs,
            home,
            port,
            password,
            databases: AtomicU32::new(0),
            keeper,
        }))
    }

    /// A fresh database. Text sorts in it as in a dictionary, not by octets, unless a statement says
    /// otherwise.
    #[must_use]
    pub fn database(&self) -> Database {
        let number = self.0.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.sql(&format!(
            "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' \
             LOCALE_PROVIDER icu ICU_LOCALE 'en-GB'"
        ));
        Database {
            server: self.clone(),
            name,
        }
    }

    /// Room for databases that the test has made, all with names of its own.
    #[must_use]
    pub fn databases(&self) -> Databases {
        Databases::new(self.clone())
    }

    /// Where it is, without a database: `postgres://postgres:<password>@127.0.0.1:<port>`. It offers TLS with a
    /// certificate for `localhost` and `127.0.0.1`, and does not insist on it.
    #[must_use]
    pub fn url(&self) -> String {
        let Inner { port, password, .. } = &*self.0;
        format!("postgres://postgres:{password}@127.0.0.1:{port}")
    }

    /// The password of the user `postgres`, in case a test looks for it where it must not be.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.0.password
    }

    /// The certificate of the authority that issued the server's, for `sslrootcert`.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.home().join("authority.crt.pem")
    }

    /// The folder of PostgreSQL's programs, for `pg_dump` and others.
    #[must_use]
    pub fn programs(&self) -> &Path {
        &self.0.programs
    }

    /// Does in the database `postgres` what [`Database::sql`] does.
    pub fn sql(&self, statements: &str) -> String {
        self.must("postgres", statements)
    }

    fn must(&self, database: &str, statements: &str) -> String {
        let answer = self.psql(database, statements);
        answer.unwrap_or_else(|error| panic!("{error}"))
    }

    fn psql(&self, database: &str, statements: &str) -> Result<String, String> {
        let mut psql = self.client(database);
        psql.args(["--command", statements]).stdin(Stdio::null());
        let ended = psql.output().expect("psql runs");
        if ended.status.success() {
            Ok(String::from_utf8_lossy(&ended.stdout).trim_end().to_owned())
        } else {
            let told = String::from_utf8_lossy(&ended.stderr);
            Err(format!("{statements}: {told}"))
        }
    }

    fn client(&self, database: &str) -> Command {
        let mut psql = command(self.0.programs.join("psql"));
        psql.args(["--no-psqlrc", "--no-align", "--tuples-only", "--quiet"]);
        psql.args(["--set=ON_ERROR_STOP=1", "--username=postgres"]);
        psql.arg("--host").arg(self.home());
        psql.args(["--port", &self.0.port.to_string()]);
        psql.args(["--dbname", database]);
        psql.env("PGCONNECT_TIMEOUT", "10");
        psql
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.0.keeper.log()
    }

    /// Kills all its processes at once, as a machine does that loses its power but keeps its disk.
    pub fn kill(&self) {
        signals::kill(self.pid());
        self.0.keeper.order("reap");
    }

    /// Stops it in good order: open connections are ended, transactions undone.
    pub fn stop(&self) {
        self.0.keeper.order("stop INT");
    }

    /// Starts it again on the same port, and waits until it takes connections.
    pub fn start_again(&self) {
        self.0.keeper.order(&format!("start {}", self.0.port));
    }

    /// Keeps all its processes from running until the value is dropped. Connections stay open and nobody
    /// answers on them.
    pub fn pause(&self) -> Paused {
        Paused::new(with_children(self.pid()))
    }

    /// The number of its first process, whose children do the work.
    #[must_use]
    pub fn process(&self) -> i32 {
        self.pid().as_raw_pid()
    }

    fn pid(&self) -> Pid {
        self.0.keeper.server().expect("the server runs")
    }

    fn home(&self) -> &Path {
        &self.0.home
    }
}

/// A database of one test, on a server of its own or on one that it shares. It is dropped with the value,
/// whoever is connected to it.
#[derive(Debug)]
pub struct Database {
    server: Server,
    name: String,
}

// === impl Database ===

impl Database {
    /// Where it is: [`Server::url`] and its name.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/{}", self.server.url(), self.name)
    }

    /// Its name on the server.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server it is on.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Runs statements in one transaction and gives the rows of the last: a line each, with `|` between columns.
    ///
    /// # Panics
    /// If one fails.
    pub fn sql(&self, statements: &str) -> String {
        self.server.must(&self.name, statements)
    }

    /// Ends the connections to this database for which `condition` holds, a condition on the columns of
    /// `pg_stat_activity`, and says how many these were.
    pub fn end_connections(&self, condition: &str) -> usize {
        let ended = self.sql(&format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid() AND ({condition})"
        ));
        ended.parse().expect("a number")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // A server that was killed takes the database with it when it goes.
        let _ = self.server.psql("postgres", &drop);
    }
}

/// A port that nobody listens on, and none of those that the system gives to who asks for any: a server that
/// is started again finds it free.
fn free_port() -> u16 {
    const LOWEST: u16 = 10_000;
    let given = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let given = given
        .split_whitespace()
        .next()
        .and_then(|first| first.parse().ok());
    let end = given.filter(|first| *first > LOWEST).unwrap_or(u16::MAX);
    let candidates = std::iter::repeat_with(|| {
        let [high, low, ..] = *Uuid::new_v4().as_bytes();
        LOWEST + u16::from_be_bytes([high, low]) % (end - LOWEST)
    });
    let mut free =
        candidates.filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    free.next().expect("there is no end of candidates")
}

#[cfg(test)]
mod tests;
