//! How does one text of SQL run on every engine?
//!
//! A statement is a text and typed values; which engine runs it is known by the connection that it is
//! given, and decided in one place (`run.rs`). The names are those of sqlx, which does the work; why it is not
//! sqlx's own `Any`, see `docs/adr/2026-11-29-one-text-of-sql-for-two-engines.md`.
//!
//! A text is portable if it
//!
//! - writes `$1`, `$2` … where it is fixed, or is put together by a [`QueryBuilder`];
//! - reads and compares columns of BIGINT, TEXT, BOOLEAN and BYTEA, and casts what is of another type:
//!   `CAST(SUM(octets) AS BIGINT)`;
//! - says `ON CONFLICT`, `RETURNING` and row values as both engines do.
//!
//! ```
//! use mesh_store::StoreError;
//! use mesh_store::sql::{Conn, query, query_scalar};
//!
//! # async fn f(conn: &mut Conn) -> Result<(), StoreError> {
//! let moved = query("UPDATE flag SET supplier = $1 WHERE device = $2")
//!     .bind("ALBION")
//!     .bind("00-DB-12-34-56-78-90-A0")
//!     .execute(&mut *conn)
//!     .await?;
//! let flags: i64 = query_scalar("SELECT count(*) FROM flag").fetch_one(conn).await?;
//! # Ok(()) }
//! ```

mod builder;
mod bulk;
mod conn;
mod dialect;
mod migrations;
mod query;
mod question;
mod row;
mod run;
mod together;
mod value;

pub use builder::{Columns, MAX_BINDS, QueryBuilder};
pub(crate) use bulk::{Page, quoted};
pub(crate) use conn::{Begin, LOCK_WRITERS_OUT};
pub use conn::{Conn, InTx, Lent, Pool, Tx};
pub use query::{As, Query, Scalar, Shape, query, query_as, query_scalar};
pub use question::{Question, Questions, ask};
pub use row::{Column, Record, Row};
pub(crate) use together::execute_together;
pub(crate) use value::Kind;
pub use value::Value;
