//! How fast does PostgreSQL commit single rows for pgbench, and take in many by `COPY`?
//!
//! A throw-away server of its own on the same disk. Nothing that makes a commit durable is turned off.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use mesh_testkit::postgres::{Database, Server};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::machine::{CountedIn, Processors};
use crate::outcomes::outcome;
use crate::turn::{Side, Turn, count, latencies};

/// As Debian sets it up, with the log of changes as large as a load needs it.
pub(crate) const SETTINGS: &str = "shared_buffers = 128MB\nmax_wal_size = 1GB\nautovacuum = on\n";
/// A row like those of a log: a hash, and an event of the log `flags`, about.
const ROW: &str = "INSERT INTO log (hash, event) \
                   VALUES (decode(repeat('5a', 32), 'hex'), decode(repeat('a5', 640), 'hex'));\n";
const TABLES: &str = "
    CREATE TABLE log (
        sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, hash bytea NOT NULL, event bytea NOT NULL);
    CREATE TABLE device (
        device_id text COLLATE \"C\" PRIMARY KEY, type int NOT NULL, hub_id text NOT NULL, csp_id text NOT NULL,
        mpxn text NOT NULL, smi_status int NOT NULL, since bigint NOT NULL);
    CREATE TABLE outcome (
        producer text NOT NULL, outcome_id text NOT NULL, party_id text NOT NULL, device_id text NOT NULL,
        variant text NOT NULL, message_class int NOT NULL, request_time bigint NOT NULL, result int NOT NULL,
        origin int NOT NULL);
";

/// A running PostgreSQL with one database.
struct Peer {
    database: Database,
    _counted: CountedIn,
}

impl Peer {
    fn start(parent: &Path) -> Option<Self> {
        let server = Server::start_in(parent, SETTINGS)?;
        let database = server.database();
        database.sql(TABLES);
        Some(Self {
            _counted: CountedIn::new(server.process()),
            database,
        })
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.database.server().programs().join(name));
        command.kill_on_drop(true);
        command
    }

    fn url(&self) -> String {
        format!("{}?sslmode=disable", self.database.url())
    }

    fn rows(&self, table: &str) -> Result<u64> {
        let rows = self.database.sql(&format!("SELECT count(*) FROM {table}"));
        Ok(rows.parse()?)
    }
}

/// Rows, each committed by itself, as pgbench sends them from some clients.
pub(crate) struct Commits {
    peer: Peer,
    folder: TempDir,
    clients: usize,
}

impl Commits {
    /// `None` if PostgreSQL or pgbench is not installed here.
    pub(crate) fn start(parent: &Path, clients: usize) -> Result<Option<Self>> {
        let Some(peer) = Peer::start(parent) else {
            return Ok(None);
        };
        let pgbench = peer.database.server().programs().join("pgbench");
        if !pgbench.is_file() {
            return Ok(None);
        }
        let folder = TempDir::new_in(parent)?;
        fs::write(folder.path().join("row.sql"), ROW)?;
        Ok(Some(Self {
            peer,
            folder,
            clients,
        }))
    }

    /// What every transaction took, from the files in which pgbench has written it down.
    fn latencies(&self) -> Result<Histogram<u64>> {
        let mut latencies = latencies();
        for file in fs::read_dir(self.folder.path())? {
            let file = file?;
            if !file.file_name().to_string_lossy().starts_with("took.") {
                continue;
            }
            for line in fs::read_to_string(file.path())?.lines() {
                let micros = line.split(' ').nth(2).context("a time is missing")?;
                count(&mut latencies, Duration::from_micros(micros.parse()?));
            }
            fs::remove_file(file.path())?;
        }
        Ok(latencies)
    }
}

impl Side for Commits {
    /// pgbench counts in whole seconds.
    async fn turn(&mut self, time: Duration) -> Result<Turn> {
        let before = self.peer.rows("log")?;
        let processors = Processors::now();
        let mut pgbench = self.peer.program("pgbench");
        let clients = self.clients.to_string();
        let threads = std::thread::available_parallelism()?.get();
        let threads = threads.min(self.clients).to_string();
        let seconds = time.as_secs_f64().ceil().to_string();
        pgbench.args(["--no-vacuum", "--protocol=prepared", "--log"]);
        pgbench.args(["--client", &clients, "--jobs", &threads]);
        pgbench.args(["--time", &seconds, "--log-prefix=took", "--file=row.sql"]);
        pgbench.arg(self.peer.url()).current_dir(self.folder.path());
        let told = pgbench.stdin(Stdio::null()).output().await?;
        let (told, error) = (text(&told.stdout), text(&told.stderr));
        let rate = told.lines().find_map(|line| line.strip_prefix("tps = "));
        let rate = rate.and_then(|rate| rate.split(' ').next()?.parse::<f64>().ok());
        let rate = rate.with_context(|| format!("pgbench says:\n{told}{error}"))?;
        let processors = Processors::ours_since(processors);
        let latencies = self.latencies()?;
        let done = latencies.len();
        let rows = self.peer.rows("log")? - before;
        ensure!(rows == done, "{done} transactions made {rows} rows");
        Ok(Turn {
            done,
            took: Duration::from_secs_f64(seconds_for(done, rate)),
            processors,
            latencies,
        })
    }

    /// What is written to disk later is written now, not while the other side is measured.
    async fn settle(&mut self) -> Result<()> {
        self.peer.database.sql("CHECKPOINT");
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn seconds_for(done: u64, rate: f64) -> f64 {
    done as f64 / rate
}

fn text(told: &[u8]) -> String {
    String::from_utf8_lossy(told).into_owned()
}

/// What is copied.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rows {
    /// Devices, by their ids.
    Inventory,
    /// Outcomes, without any index.
    Outcomes,
}

impl Rows {
    const fn table(self) -> &'static str {
        match self {
            Self::Inventory => "device",
            Self::Outcomes => "outcome",
        }
    }

    fn write(self, row: u64, rows: &mut String) -> Result<()> {
        match self {
            Self::Inventory => writeln!(
                rows,
                "02-DC-C0-{row:010X},1,02-DC-C1-{:010X},north,{},3,1735689600000000",
                row / 2,
                1_000_000_000_000 + row
            )?,
            Self::Outcomes => {
                let outcome = outcome(row);
                let at = outcome.request_time.context("a time")?;
                writeln!(
                    rows,
                    "bench,{},{},{},{},{},{},{},{}",
                    outcome.outcome_id,
                    outcome.party_id,
                    outcome.device_id,
                    outcome.service_reference_variant,
                    outcome.message_class,
                    at.seconds * 1_000_000 + i64::from(at.nanos / 1_000),
                    outcome.result,
                    outcome.origin
                )?;
            }
        }
        Ok(())
    }
}

/// Rows by `COPY` into one table, so many in each transaction.
pub(crate) struct Copies {
    peer: Peer,
    of: Rows,
    rows: u64,
    /// The first row that is not there.
    next: u64,
}

impl Copies {
    /// `None` if PostgreSQL is not installed here.
    pub(crate) fn start(parent: &Path, rows: u64, of: Rows) -> Option<Self> {
        Some(Self {
            peer: Peer::start(parent)?,
            of,
            rows,
            next: 0,
        })
    }

    async fn copy(&self, rows: &str) -> Result<()> {
        let mut psql = self.peer.program("psql");
        psql.args([
            "--no-psqlrc",
            "--set=ON_ERROR_STOP=1",
            "--quiet",
            "--command",
        ]);
        let copy = format!("COPY {} FROM STDIN (FORMAT csv)", self.of.table());
        psql.arg(copy).arg(self.peer.url());
        let mut psql = psql.stdin(Stdio::piped()).spawn()?;
        let mut input = psql.stdin.take().context("psql takes no rows")?;
        input.write_all(rows.as_bytes()).await?;
        drop(input);
        ensure!(psql.wait().await?.success(), "the rows were not copied");
        Ok(())
    }
}

impl Side for Copies {
    async fn turn(&mut self, time: Duration) -> Result<Turn> {
        let before = self.peer.rows(self.of.table())?;
        let processors = Processors::now();
        let (mut took, mut latencies) = (Duration::ZERO, latencies());
        while took < time {
            let mut rows = String::new();
            for row in self.next..self.next + self.rows {
                self.of.write(row, &mut rows)?;
            }
            let start = Instant::now();
            self.copy(&rows).await?;
            count(&mut latencies, start.elapsed());
            took += start.elapsed();
            self.next += self.rows;
        }
        let processors = Processors::ours_since(processors);
        let done = latencies.len() * self.rows;
        let rows = self.peer.rows(self.of.table())? - before;
        ensure!(rows == done, "{done} rows were copied and {rows} are there");
        Ok(Turn {
            done,
            took,
            processors,
            latencies,
        })
    }

    async fn settle(&mut self) -> Result<()> {
        self.peer.database.sql("CHECKPOINT");
        Ok(())
    }
}
