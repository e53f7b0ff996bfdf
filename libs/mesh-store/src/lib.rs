//! How does a service keep its state, so that nothing acknowledged is lost and nothing is half written?
//!
//! | Question | File |
//! |---|---|
//! | Which database, and is its schema the one this program knows? | [`Store`] (`open.rs`) |
//! | Which schema is that, and who may change it? | `schema.rs` |
//! | May it be made, is it the one that was here, and is it whole? | [`Database`] (`database.rs`), `examine.rs` |
//! | How is a loss accepted, or a backup put in place? | [`accept_loss`], [`restore`] (`accept.rs`) |
//! | Is all of the file whole? | `check.rs` |
//! | What remembers it when it is gone? | `witness.rs` |
//! | How does one text of SQL run on every engine? | [`sql`] |
//! | How are databases made on a server? | [`DatabaseServer`] (`database_server.rs`) |
//! | What is SQLite's own? | `sqlite.rs` |
//! | How do many requests become one transaction? | [`Writer`], [`Batch`] (`writer.rs`) |
//! | What does one transaction write? | [`WriteTx`] (`tx.rs`) |
//! | What stands in a log, and is it whole? | [`log`], [`verify`](mod@verify) |
//! | And in a copy of a database, or behind its service's back? | [`offline`], named by a [`Location`] |
//! | How does a database move to another place? | [`copy()`](copy()) (`copy.rs`), `catalogue.rs` |
//! | What was known at a time, for good? | [`Store::known_at`] (`known.rs`) |
//! | What is the latest time of all processes' transactions? | `last_time.rs` |
//! | Was this request answered before? | [`RequestKey`], [`Outcome`] (`idempotency.rs`) |
//! | How long is that remembered? | `life.rs`, `keeping.rs` |
//! | How far has a follower come? | [`cursor`] |
//! | Is this page token ours? | [`Tokens`] (`token.rs`) |
//! | What if a server does not answer? | `away.rs`, `presence.rs` |
//! | Who hears of a commit? | [`Committed`] (`committed.rs`) |
//! | And of another process's? | `hints.rs`, `attend.rs` |
//! | Which processes have it open? | [`replicas`], [`Store::has_others`] (`others.rs`) |
//! | Do a service's rows say what its log says? | [`fold`] (`fold.rs`) |
//! | What is measured of it? | `meters.rs` |
//! | Can it be written to, and why not? | [`Condition`] (`condition.rs`), `guard.rs`, `files.rs` |
//! | Does a server still have what was written to it? | `memory.rs`, `recall.rs`, `claim.rs` |
//! | Did a log go back behind what was seen of it? | [`Store::judge_seen`] (`seen.rs`), [`history`] |
//! | And what if somebody from outside says so? | [`dispute`] |
//!
//! # Invariants
//!
//! - Positions of a log are contiguous and in commit order: its head row is locked before anything
//!   is read that the decision rests on, and advanced in the same transaction.
//! - `recorded_time` never goes back along a log.
//! - An answer is kept for thirty days at least, whatever the clock does, and forgotten in steps.
//! - An answer leaves only after a commit that is on disk; a commit is published only after it.
//! - SQL is the same text for every engine: `$1` placeholders; BIGINT, TEXT, BOOLEAN and BYTEA
//!   columns. What only one engine knows stands in its own file. A migration may have a part for
//!   PostgreSQL alone, between a line `/*postgres` and a line `*/`.
//! - This crate decides nothing for a particular service.
//!
//! # A service's part
//!
//! ```no_run
//! # use mesh_store::{Answers, Batch, Outcome, RequestKey, Fingerprint, StoreError, WriteTx};
//! # use mesh_types::{LogName, Position};
//! struct Add { key: RequestKey, fingerprint: Fingerprint, device: String }
//! enum Refusal { RequestIdReused }
//! struct Registry { log: LogName }
//!
//! impl Batch for Registry {
//!     type Command = Add;
//!     type Answer = Vec<u8>;
//!     type Error = Refusal;
//!
//!     async fn apply(
//!         &self,
//!         tx: &mut WriteTx,
//!         commands: &[Add],
//!     ) -> Result<Answers<Vec<u8>, Refusal>, StoreError> {
//!         tx.lock(&self.log).await?;
//!         tx.look_up(commands.iter().map(|add| &add.key)).await?;
//!         // … read the states of all Devices named, in one query …
//!         let mut answers = Vec::with_capacity(commands.len());
//!         for add in commands {
//!             answers.push(match tx.outcome(&add.key, &add.fingerprint)? {
//!                 Outcome::Replay(answer) => Ok(answer),
//!                 Outcome::Reused => Err(Refusal::RequestIdReused),
//!                 Outcome::New => {
//!                     // … decide; a refused item answers `Err` and writes nothing …
//!                     let stamp = tx.append(&self.log, |stamp| {
//!                         format!("{} {}", stamp.position, add.device).into_bytes()
//!                     })?;
//!                     let answer = stamp.position.to_string().into_bytes();
//!                     tx.keep(&add.key, add.fingerprint, answer.clone())?;
//!                     Ok(answer)
//!                 }
//!             });
//!         }
//!         // … write the changed state rows with `tx.insert_rows(…)` …
//!         Ok(answers)
//!     }
//! }
//! ```

mod accept;
mod ahead;
mod alive;
mod attend;
mod away;
mod backup;
mod beside;
mod catalogue;
mod check;
mod claim;
mod committed;
mod condition;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod copy;
pub mod cursor;
mod database;
mod database_server;
pub mod dispute;
mod error;
mod examine;
#[cfg(feature = "faults")]
pub mod faults;
mod files;
pub mod fold;
mod guard;
mod hints;
pub mod history;
mod idempotency;
mod keeping;
mod known;
mod last_time;
mod life;
mod location;
pub mod log;
mod measure;
mod memory;
mod meters;
pub mod offline;
mod open;
mod others;
mod postgres;
mod presence;
mod recall;
pub mod replicas;
mod rows;
mod schema;
mod seen;
pub mod sql;
mod sqlite;
mod suspicion;
#[cfg(test)]
mod tests;
mod token;
mod trouble;
mod tx;
pub mod verify;
mod wal;
mod witness;
mod witnesses;
mod writer;

pub use accept::{Accepted, Decision, Lost, NewHistory, Resolve, accept_loss, restore};
pub use alive::Uptime;
pub use backup::backup;
pub use committed::Committed;
pub use condition::Condition;
pub use copy::{Copied, CopiedTable, Kept, copy, kept};
pub use database::{Database, Unfit};
pub use database_server::DatabaseServer;
pub use error::StoreError;
pub use history::Seen;
pub use idempotency::{Fingerprint, Outcome, RequestKey, fingerprint};
pub use location::Location;
pub use open::Store;
pub use replicas::ReplicaId;
pub use rows::{CURRENT, insert_rows, sequence_from_db, sequence_to_db};
pub use schema::Schema;
pub use sql::MAX_BINDS;
pub use token::{Scope, TokenError, Tokens};
pub use trouble::Trouble;
pub use tx::{EventStamp, WriteTx};
pub use writer::{Answers, Batch, Writer, WriterSettings, WriterTask};

/// The type of a service's own migrations: `static MIGRATIONS: Migrator = sqlx::migrate!();`.
pub use sqlx::migrate::Migrator;
