//! Which engine runs a statement? The one place where that is decided.

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, AssertSqlSafe, Encode, SqlSafeStr as _, SqlStr, Type};

use super::conn::Engine;
use super::dialect::{Bound, ForPostgres, ForSqlite};
use super::query::{Query, Shape, Text};
use super::{Conn, Row, Value};
use crate::StoreError;
use crate::presence::Presence;

/// Makes a statement of sqlx's out of `$query`, for the engine of `$conn`, and goes on with `$run`: `$held` is
/// the connection, and `$read` reads a row of that engine's as `S` says.
macro_rules! on {
    ($query:expr, $conn:ident, |$ready:ident, $held:ident, $read:ident| $run:expr) => {{
        let Query {
            text,
            values,
            persistent,
            ..
        } = $query;
        match &mut $conn.0 {
            Engine::Sqlite(held) => {
                let (text, varies) = text.on_sqlite();
                let $ready = sqlx::query_with(text, of_sqlite(values)?)
                    .persistent(persistent.unwrap_or(!varies));
                let ($held, $read) = (&mut **held, S::of_sqlite);
                $run
            }
            Engine::Postgres(held, presence) => {
                let (text, values) = text.on_postgres(values)?;
                let $ready = sqlx::query_with(text, values).persistent(persistent.unwrap_or(true));
                let ($held, $read) = (&mut **held, S::of_postgres);
                presence.during(async { $run }).await
            }
        }
    }};
}

impl Query {
    /// Runs it, and says how many rows it wrote.
    pub async fn execute(self, conn: &mut Conn) -> Result<u64, StoreError> {
        type S = Row;
        on!(self, conn, |ready, held, _read| {
            Ok(ready.execute(held).await?.rows_affected())
        })
    }
}

impl<S: Shape> Query<S> {
    /// Runs it, and gives all rows.
    pub async fn fetch_all(self, conn: &mut Conn) -> Result<Vec<S::Output>, StoreError> {
        on!(self, conn, |ready, held, read| {
            let mut rows = ready.fetch(held);
            let mut all = Vec::new();
            while let Some(row) = rows.try_next().await? {
                all.push(read(row)?);
            }
            Ok(all)
        })
    }

    /// Runs it, and gives the first row if there is one.
    pub async fn fetch_optional(self, conn: &mut Conn) -> Result<Option<S::Output>, StoreError> {
        on!(self, conn, |ready, held, read| {
            let row = ready.fetch_optional(held).await?;
            Ok(row.map(read).transpose()?)
        })
    }

    /// Runs it, and gives the first row, without which it has failed.
    pub async fn fetch_one(self, conn: &mut Conn) -> Result<S::Output, StoreError> {
        on!(self, conn, |ready, held, read| {
            Ok(read(ready.fetch_one(held).await?)?)
        })
    }

    /// Runs it, and gives the rows as they come.
    pub fn fetch(self, conn: &mut Conn) -> BoxStream<'_, Result<S::Output, StoreError>> {
        self.begun(conn)
            .unwrap_or_else(|error| stream::once(async { Err(error) }).boxed())
    }

    fn begun(self, conn: &mut Conn) -> Result<Rows<'_, S>, StoreError> {
        let Self {
            text,
            values,
            persistent,
            ..
        } = self;
        Ok(match &mut conn.0 {
            Engine::Sqlite(held) => {
                let (text, varies) = text.on_sqlite();
                let ready = sqlx::query_with(text, of_sqlite(values)?)
                    .persistent(persistent.unwrap_or(!varies));
                let rows = ready.fetch(&mut **held);
                rows.map(|row| Ok(S::of_sqlite(row?)?)).boxed()
            }
            Engine::Postgres(held, presence) => {
                let (text, values) = text.on_postgres(values)?;
                let ready = sqlx::query_with(text, values).persistent(persistent.unwrap_or(true));
                let rows = ready.fetch(&mut **held);
                let rows = rows.map(|row| Ok(S::of_postgres(row?)?)).boxed();
                as_they_come(rows, presence).boxed()
            }
        })
    }
}

type Rows<'c, S> = BoxStream<'c, Result<<S as Shape>::Output, StoreError>>;

/// The same rows, and an error in place of one that does not come.
fn as_they_come<'c, T: Send + 'c>(
    rows: BoxStream<'c, Result<T, StoreError>>,
    presence: &'c Presence,
) -> impl Stream<Item = Result<T, StoreError>> + Send + 'c {
    stream::try_unfold(rows, move |mut rows| async move {
        let row = presence.during(rows.try_next()).await?;
        Ok(row.map(|row| (row, rows)))
    })
}

impl Text {
    /// It, and whether it depends on how much there is of something.
    fn on_sqlite(self) -> (SqlStr, bool) {
        match self {
            Self::Fixed(text) => (text.into_sql_str(), false),
            Self::Built(pieces) => {
                let mut built = ForSqlite::default();
                built.add(&pieces);
                (put_together(built.text), built.varies)
            }
        }
    }

    fn on_postgres(self, values: Vec<Value>) -> Result<(SqlStr, PgArguments), StoreError> {
        match self {
            Self::Fixed(text) => {
                let bound = values.into_iter().map(Bound::One).collect();
                Ok((text.into_sql_str(), of_postgres(bound)?))
            }
            Self::Built(pieces) => {
                let mut built = ForPostgres::default();
                built.add(&pieces, values);
                Ok((put_together(built.text), of_postgres(built.bound)?))
            }
        }
    }
}

/// Of texts of this program's and of places for values.
pub(super) fn put_together(text: String) -> SqlStr {
    AssertSqlSafe(text).into_sql_str()
}

pub(super) fn of_sqlite(values: Vec<Value>) -> Result<SqliteArguments, StoreError> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        add(&mut arguments, value)?;
    }
    Ok(arguments)
}

pub(super) fn of_postgres(bound: Vec<Bound>) -> Result<PgArguments, StoreError> {
    let mut arguments = PgArguments::default();
    for value in bound {
        match value {
            Bound::One(value) => add(&mut arguments, value)?,
            Bound::Many(values) => add_array(&mut arguments, values)?,
        }
    }
    Ok(arguments)
}

fn add<A: Arguments>(arguments: &mut A, value: Value) -> Result<(), StoreError>
where
    for<'t> Option<i64>: Encode<'t, A::Database> + Type<A::Database>,
    for<'t> i32: Encode<'t, A::Database> + Type<A::Database>,
    for<'t> Option<bool>: Encode<'t, A::Database> + Type<A::Database>,
    for<'t> Option<String>: Encode<'t, A::Database> + Type<A::Database>,
    for<'t> Option<Vec<u8>>: Encode<'t, A::Database> + Type<A::Database>,
{
    let added = match value {
        Value::I64(value) => arguments.add(value),
        Value::I32(value) => arguments.add(value),
        Value::Bool(value) => arguments.add(value),
        Value::Text(value) => arguments.add(value),
        Value::Bytes(value) => arguments.add(value),
    };
    Ok(added.map_err(sqlx::Error::Encode)?)
}

/// Adds an array of the type of its first value; an empty one is of texts.
fn add_array(arguments: &mut PgArguments, values: Vec<Value>) -> Result<(), StoreError> {
    /// All that `values` hold, which is of the variant `$kind`.
    macro_rules! array {
        ($kind:ident) => {{
            let mut array = Vec::with_capacity(values.len());
            for value in values {
                match value {
                    Value::$kind(value) => array.push(value),
                    _ => return Err(sqlx::Error::Encode("a column of two types".into()).into()),
                }
            }
            arguments.add(array)
        }};
    }
    let added = match values.first() {
        Some(Value::I64(_)) => array!(I64),
        Some(Value::I32(_)) => array!(I32),
        Some(Value::Bool(_)) => array!(Bool),
        Some(Value::Bytes(_)) => array!(Bytes),
        Some(Value::Text(_)) | None => array!(Text),
    };
    Ok(added.map_err(sqlx::Error::Encode)?)
}
