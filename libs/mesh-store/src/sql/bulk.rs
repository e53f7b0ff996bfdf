//! How do many rows go into a table at once?
//!
//! SQLite takes many rows in one `INSERT`, PostgreSQL takes them as `COPY` has them
//! (<https://www.postgresql.org/docs/current/sql-copy.html>, binary format). Rows in that form are also what
//! two tables are compared by: it says of each value that it is there, how long it is, and what it is.

use sqlx::postgres::PgConnection;

use super::conn::Engine;
use super::{Conn, MAX_BINDS, QueryBuilder, Value};
use crate::StoreError;

/// Before the rows: the signature, no flags, no extension.
const BEGIN: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// After them.
const END: [u8; 2] = (-1_i16).to_be_bytes();

/// Some rows of one table.
#[derive(Debug, Default)]
pub(crate) struct Page {
    rows: u64,
    values: Vec<Value>,
    octets: Vec<u8>,
}

impl Page {
    /// Takes the row whose values `read` pushes.
    pub(crate) fn take(
        &mut self,
        read: impl FnOnce(&mut Vec<Value>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let before = self.values.len();
        read(&mut self.values)?;
        let values = &self.values[before..];
        let too_wide = |_| StoreError::inconsistent("a table", "it has too many columns");
        let columns = i16::try_from(values.len()).map_err(too_wide)?;
        self.octets.extend(columns.to_be_bytes());
        for value in values {
            encode(value, &mut self.octets)?;
        }
        self.rows += 1;
        Ok(())
    }

    /// How many rows it has.
    pub(crate) const fn rows(&self) -> u64 {
        self.rows
    }

    /// The rows in their one form.
    pub(crate) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Makes room for the next.
    pub(crate) fn clear(&mut self) {
        self.rows = 0;
        self.values.clear();
        self.octets.clear();
    }
}

fn encode(value: &Value, into: &mut Vec<u8>) -> Result<(), StoreError> {
    let mut put = |octets: Option<&[u8]>| {
        let length = octets.map_or(Ok(-1), |octets| i32::try_from(octets.len()));
        let too_long = |_| StoreError::inconsistent("a table", "a value is too long");
        into.extend(length.map_err(too_long)?.to_be_bytes());
        into.extend(octets.unwrap_or_default());
        Ok(())
    };
    match value {
        Value::I64(number) => put(number
            .map(i64::to_be_bytes)
            .as_ref()
            .map(<[u8; 8]>::as_slice)),
        Value::I32(number) => put(Some(&number.to_be_bytes())),
        Value::Bool(flag) => put(flag
            .map(|flag| [u8::from(flag)])
            .as_ref()
            .map(<[u8; 1]>::as_slice)),
        Value::Text(text) => put(text.as_deref().map(str::as_bytes)),
        Value::Bytes(octets) => put(octets.as_deref()),
    }
}

impl Conn {
    /// Adds the rows of `page` to `table`, whose `columns` they have in this order.
    pub(crate) async fn put(
        &mut self,
        table: &str,
        columns: &[&str],
        page: &mut Page,
    ) -> Result<(), StoreError> {
        let names: Vec<_> = columns.iter().map(|name| quoted(name)).collect();
        let into = format!("{} ({})", quoted(table), names.join(", "));
        if let Engine::Postgres(conn, _) = &mut self.0 {
            return copy_in(conn, &into, page.octets()).await;
        }
        let mut values = page.values.drain(..);
        let mut left = page.rows;
        let most = (MAX_BINDS / columns.len().max(1)).max(1) as u64;
        while left > 0 {
            let rows = left.min(most);
            let mut insert = QueryBuilder::new(format!("INSERT INTO {into} "));
            insert.push_values(0..rows, |mut row, _| {
                for value in values.by_ref().take(columns.len()) {
                    row.push_bind(value);
                }
            });
            // A table has as many texts as it has pages of another length: the last.
            let insert = insert.build().persistent(rows == most);
            insert.execute(self).await?;
            left -= rows;
        }
        Ok(())
    }
}

async fn copy_in(conn: &mut PgConnection, into: &str, rows: &[u8]) -> Result<(), StoreError> {
    let copy = format!("COPY {into} FROM STDIN (FORMAT binary)");
    let mut copy = conn.copy_in_raw(&copy).await?;
    copy.send(BEGIN)
        .await?
        .send(rows)
        .await?
        .send(END.as_slice())
        .await?;
    copy.finish().await?;
    Ok(())
}

/// A name as both engines take it, whatever it is.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
