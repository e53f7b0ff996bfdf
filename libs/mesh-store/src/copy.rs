//! How does all of a database move to another place, whichever engine is at either end?
//!
//! Its tables are what its own catalogue says, and its schema is one that this program knows: the same
//! migrations make the tables at the other end. Rows go in pages; then both ends are read again, table by
//! table and log by log. See `docs/adr/2026-11-29-a-database-moves-by-its-catalogue.md`.

mod source;
mod target;

use sha2::{Digest as _, Sha256};
use sqlx::migrate::Migrator;

use crate::StoreError;
use crate::catalogue::{Table, tables};
use crate::location::{Location, Place};
use crate::log::{self, Head};
use crate::sql::{Conn, Page, Query, QueryBuilder, Row, quoted};
use crate::verify::verify_still;
use futures::TryStreamExt as _;

pub(crate) use source::schema_of;
use source::stopped;
pub use source::{Kept, kept};
pub(crate) use target::{into_file, is_prepared, put_into_server, remembered};

/// How much goes at once, whichever is reached first.
const ROWS: u64 = 4_000;
const OCTETS: usize = 2 << 20;

/// What was copied, and was found at both ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Which of the schemas it has that were named.
    pub schema: usize,
    /// Its tables, in the order of their copying.
    pub tables: Vec<CopiedTable>,
    /// Its logs, each of which is whole.
    pub logs: Vec<Head>,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedTable {
    /// Its name.
    pub name: String,
    /// How many rows it has.
    pub rows: u64,
    /// The SHA-256 of its rows in the order of their key.
    pub sha256: [u8; 32],
}

/// Copies the database at `from` to `to`, where there is none or an empty one: [`Unfit::NotEmpty`]. Its service
/// must be stopped: [`StoreError::InUse`], or [`Unfit::Server`]. One that is damaged, older than it was or of
/// another schema than those of `schemas`, which are services' migrations, is refused. `step` hears how many
/// rows were copied since it last heard.
///
/// What was refused or has failed leaves both as they were. A file that is made gets its witness.
///
/// [`Unfit::NotEmpty`]: crate::Unfit::NotEmpty
/// [`Unfit::Server`]: crate::Unfit::Server
pub async fn copy(
    from: &Location,
    to: &Location,
    schemas: &[&Migrator],
    mut step: impl FnMut(u64),
) -> Result<Copied, StoreError> {
    let mut source = stopped(from).await?;
    let (schema, migrations) = schema_of(&mut source, schemas).await?;
    let (tables, logs) = match &to.0 {
        Place::File(path) => {
            target::put_into_file(source.conn(), path, &migrations, &mut step).await?
        }
        Place::Server(server) => {
            put_into_server(source.conn(), server, &migrations, &mut step).await?
        }
    };
    Ok(Copied {
        schema,
        tables,
        logs,
    })
}

/// Copies all rows into tables that were just made, and compares both ends.
async fn fill(
    from: &mut Conn,
    to: &mut Conn,
    step: &mut impl FnMut(u64),
) -> Result<(Vec<CopiedTable>, Vec<Head>), StoreError> {
    let tables = tables(from).await?;
    if tables != crate::catalogue::tables(to).await? {
        return Err(StoreError::inconsistent(
            "the schema",
            "the two ends have other tables, or other columns",
        ));
    }
    // Some migrations leave a row in a table that they make.
    for table in tables.iter().rev() {
        let text = format!("DELETE FROM {}", quoted(&table.name));
        let delete = QueryBuilder::new(text).build().persistent(false);
        delete.execute(to).await?;
    }
    let mut copied = Vec::with_capacity(tables.len());
    for table in &tables {
        copied.push(pour(from, to, table, step).await?);
    }
    for (table, copied) in tables.iter().zip(&copied) {
        if count(to, table).await? != *copied {
            return Err(differs(&table.name));
        }
    }
    let heads = log::heads(from, "").await?;
    for head in &heads {
        let log = &head.position.log;
        for end in [&mut *from, &mut *to] {
            if verify_still(end, log).await? != Ok(head.clone()) {
                return Err(StoreError::inconsistent(
                    "log_event",
                    format!("the log {log} is not whole: see `mp169 log verify --database`"),
                ));
            }
        }
    }
    Ok((copied, heads))
}

fn differs(table: &str) -> StoreError {
    StoreError::inconsistent("the copy", format!("the rows of {table} are not the same"))
}

/// Copies the rows of one table.
async fn pour(
    from: &mut Conn,
    to: &mut Conn,
    table: &Table,
    step: &mut impl FnMut(u64),
) -> Result<CopiedTable, StoreError> {
    let columns: Vec<_> = table.columns.iter().map(|it| it.name.as_str()).collect();
    let mut rows = select(table).fetch(from);
    let mut tally = Tally::default();
    let mut page = Page::default();
    loop {
        let more = next(&mut rows, table, &mut page).await?;
        if page.rows() > 0 {
            tally.add(&page);
            to.put(&table.name, &columns, &mut page).await?;
            step(page.rows());
        }
        if !more {
            return Ok(tally.of(&table.name));
        }
        page.clear();
    }
}

/// What is in a table.
async fn count(conn: &mut Conn, table: &Table) -> Result<CopiedTable, StoreError> {
    let mut rows = select(table).fetch(conn);
    let mut tally = Tally::default();
    let mut page = Page::default();
    while next(&mut rows, table, &mut page).await? {
        tally.add(&page);
        page.clear();
    }
    tally.add(&page);
    Ok(tally.of(&table.name))
}

/// All rows in the order of their key, which is that of octets on every engine.
fn select(table: &Table) -> Query<Row> {
    let columns = list(table.columns.iter().map(|column| column.name.as_str()));
    let (name, key) = (
        quoted(&table.name),
        list(table.key.iter().map(String::as_str)),
    );
    let text = format!("SELECT {columns} FROM {name} ORDER BY {key}");
    QueryBuilder::new(text).build().persistent(false)
}

fn list<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.map(quoted).collect::<Vec<_>>().join(", ")
}

/// Reads the next page; says whether others follow.
async fn next(
    rows: &mut futures::stream::BoxStream<'_, Result<Row, StoreError>>,
    table: &Table,
    page: &mut Page,
) -> Result<bool, StoreError> {
    while let Some(row) = rows.try_next().await? {
        let kinds = table.columns.iter().map(|column| column.kind);
        page.take(|values| row.values(kinds, values))?;
        if page.rows() >= ROWS || page.octets().len() >= OCTETS {
            return Ok(true);
        }
    }
    Ok(false)
}

#[derive(Default)]
struct Tally {
    rows: u64,
    sha256: Sha256,
}

impl Tally {
    fn add(&mut self, page: &Page) {
        self.rows += page.rows();
        self.sha256.update(page.octets());
    }

    fn of(self, name: &str) -> CopiedTable {
        CopiedTable {
            name: name.to_owned(),
            rows: self.rows,
            sha256: self.sha256.finalize().into(),
        }
    }
}
