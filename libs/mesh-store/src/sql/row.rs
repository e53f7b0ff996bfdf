//! How is a row read, whichever engine gave it?

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, FromRow, Postgres, Row as _, Sqlite, Type};

use super::Value;
use super::value::Kind;
use crate::StoreError;

/// What a row of either engine can be read as: one `#[derive(sqlx::FromRow)]` is enough, and tuples are.
pub trait Record:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static
{
}

impl<T> Record for T where
    T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static
{
}

/// What a column of either engine can be read as.
pub trait Column:
    for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}

impl<T> Column for T where
    T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}

/// A row, for whoever reads it column by column.
pub struct Row(Of);

enum Of {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl std::fmt::Debug for Row {
    /// Without its values, which may be somebody's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Row(..)")
    }
}

impl From<SqliteRow> for Row {
    fn from(row: SqliteRow) -> Self {
        Self(Of::Sqlite(row))
    }
}

impl From<PgRow> for Row {
    fn from(row: PgRow) -> Self {
        Self(Of::Postgres(row))
    }
}

impl Row {
    /// The value of a column.
    pub fn try_get<T: Column>(&self, column: &str) -> Result<T, StoreError> {
        Ok(match &self.0 {
            Of::Sqlite(row) => row.try_get(column)?,
            Of::Postgres(row) => row.try_get(column)?,
        })
    }

    /// The values of all columns, which are of these kinds.
    pub(crate) fn values(
        &self,
        kinds: impl IntoIterator<Item = Kind>,
        into: &mut Vec<Value>,
    ) -> Result<(), StoreError> {
        match &self.0 {
            Of::Sqlite(row) => values(row, kinds, into)?,
            Of::Postgres(row) => values(row, kinds, into)?,
        }
        Ok(())
    }

    /// The record that stands in the columns of its names.
    pub fn read<T: Record>(&self) -> Result<T, StoreError> {
        Ok(match &self.0 {
            Of::Sqlite(row) => T::from_row(row)?,
            Of::Postgres(row) => T::from_row(row)?,
        })
    }
}

fn values<'r, R>(
    row: &'r R,
    kinds: impl IntoIterator<Item = Kind>,
    into: &mut Vec<Value>,
) -> Result<(), sqlx::Error>
where
    R: sqlx::Row,
    usize: sqlx::ColumnIndex<R>,
    Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
    Option<bool>: Decode<'r, R::Database> + Type<R::Database>,
    Option<String>: Decode<'r, R::Database> + Type<R::Database>,
    Option<Vec<u8>>: Decode<'r, R::Database> + Type<R::Database>,
{
    for (index, kind) in kinds.into_iter().enumerate() {
        into.push(match kind {
            Kind::Number => Value::I64(row.try_get(index)?),
            Kind::Flag => Value::Bool(row.try_get(index)?),
            Kind::Text => Value::Text(row.try_get(index)?),
            Kind::Octets => Value::Bytes(row.try_get(index)?),
        });
    }
    Ok(())
}
