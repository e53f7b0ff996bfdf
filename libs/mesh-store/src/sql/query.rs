//! What is a statement before it runs?

use std::fmt;
use std::marker::PhantomData;

use sqlx::FromRow as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use super::dialect::Piece;
use super::row::Record;
use super::{Row, Value};

/// A text and its values. `S` says what a row of the answer is read as.
#[must_use = "a statement does nothing until it is run"]
pub struct Query<S = Row> {
    pub(super) text: Text,
    pub(super) values: Vec<Value>,
    pub(super) persistent: Option<bool>,
    shape: PhantomData<fn() -> S>,
}

/// The text of a statement.
#[derive(Debug)]
pub(super) enum Text {
    /// Written as it is, with `$1` and so on.
    Fixed(&'static str),
    /// Put together, and written by `dialect.rs` for the engine that runs it.
    Built(Vec<Piece>),
}

/// A statement whose text is `text`.
pub fn query(text: &'static str) -> Query {
    Query::new(Text::Fixed(text), Vec::new())
}

/// The same whose rows are read as records, or as tuples.
pub fn query_as<T: Record>(text: &'static str) -> Query<As<T>> {
    query(text).shaped()
}

/// The same whose rows have one column.
pub fn query_scalar<T>(text: &'static str) -> Query<Scalar<T>>
where
    (T,): Record,
{
    query(text).shaped()
}

impl<S> fmt::Debug for Query<S> {
    /// Without the values, which may be somebody's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.text;
        f.debug_struct("Query")
            .field("text", text)
            .finish_non_exhaustive()
    }
}

impl Query {
    pub(super) fn new(text: Text, values: Vec<Value>) -> Self {
        Self {
            text,
            values,
            persistent: None,
            shape: PhantomData,
        }
    }
}

impl<S> Query<S> {
    pub(super) fn shaped<T>(self) -> Query<T> {
        Query {
            text: self.text,
            values: self.values,
            persistent: self.persistent,
            shape: PhantomData,
        }
    }

    /// Binds the next value.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Whether the connection keeps the statement prepared. Unless told, it does if the text does not depend on
    /// how much is asked for.
    pub fn persistent(mut self, persistent: bool) -> Self {
        self.persistent = Some(persistent);
        self
    }
}

/// What a row is read as.
pub trait Shape: 'static {
    /// What comes of a row.
    type Output: Send + Unpin + 'static;

    /// Reads a row of SQLite's.
    #[doc(hidden)]
    fn of_sqlite(row: SqliteRow) -> Result<Self::Output, sqlx::Error>;

    /// Reads a row of PostgreSQL's.
    #[doc(hidden)]
    fn of_postgres(row: PgRow) -> Result<Self::Output, sqlx::Error>;
}

/// The row itself.
impl Shape for Row {
    type Output = Self;

    fn of_sqlite(row: SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(row.into())
    }

    fn of_postgres(row: PgRow) -> Result<Self, sqlx::Error> {
        Ok(row.into())
    }
}

/// A record, or a tuple of the columns in their order.
#[derive(Debug)]
pub struct As<T>(PhantomData<fn() -> T>);

impl<T: Record> Shape for As<T> {
    type Output = T;

    fn of_sqlite(row: SqliteRow) -> Result<T, sqlx::Error> {
        T::from_row(&row)
    }

    fn of_postgres(row: PgRow) -> Result<T, sqlx::Error> {
        T::from_row(&row)
    }
}

/// The only column.
#[derive(Debug)]
pub struct Scalar<T>(PhantomData<fn() -> T>);

impl<T> Shape for Scalar<T>
where
    (T,): Record,
    T: Send + Unpin + 'static,
{
    type Output = T;

    fn of_sqlite(row: SqliteRow) -> Result<T, sqlx::Error> {
        <(T,)>::from_row(&row).map(|(column,)| column)
    }

    fn of_postgres(row: PgRow) -> Result<T, sqlx::Error> {
        <(T,)>::from_row(&row).map(|(column,)| column)
    }
}
