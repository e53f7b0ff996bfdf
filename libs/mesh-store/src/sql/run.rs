//! Which engine runs a statement? The one place where that is decided.

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use sqlx::error::BoxDynError;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, AssertSqlSafe, Encode, SqlSafeStr as _, SqlStr, Type};

use super::conn::Engine;
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
                let values: SqliteArguments = bound(values)?;
                let $ready = sqlx::query_with(text.on_sqlite(), values).persistent(persistent);
                let ($held, $read) = (&mut **held, S::of_sqlite);
                $run
            }
            Engine::Postgres(held, presence) => {
                let values: PgArguments = bound(values)?;
                let $ready = sqlx::query_with(text.on_postgres(), values).persistent(persistent);
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
                let values: SqliteArguments = bound(values)?;
                let ready = sqlx::query_with(text.on_sqlite(), values).persistent(persistent);
                let rows = ready.fetch(&mut **held);
                rows.map(|row| Ok(S::of_sqlite(row?)?)).boxed()
            }
            Engine::Postgres(held, presence) => {
                let values: PgArguments = bound(values)?;
                let ready = sqlx::query_with(text.on_postgres(), values).persistent(persistent);
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
    fn on_sqlite(self) -> SqlStr {
        match self {
            Self::Fixed(text) => text.into_sql_str(),
            // Put together of texts of this program's and of places for values.
            Self::Built { text, .. } => AssertSqlSafe(text).into_sql_str(),
        }
    }

    fn on_postgres(self) -> SqlStr {
        match self {
            Self::Fixed(text) => text.into_sql_str(),
            Self::Built { text, marks } => AssertSqlSafe(numbered(&text, &marks)).into_sql_str(),
        }
    }
}

/// `text` with `$1`, `$2` … in the places of `marks`.
fn numbered(text: &str, marks: &[usize]) -> String {
    let mut numbered = String::with_capacity(text.len() + 5 * marks.len());
    let mut done = 0;
    for (index, &mark) in marks.iter().enumerate() {
        numbered.push_str(&text[done..mark]);
        numbered.push('$');
        numbered.push_str(&(index + 1).to_string());
        done = mark + 1;
    }
    numbered.push_str(&text[done..]);
    numbered
}

fn bound<A: Arguments>(values: Vec<Value>) -> Result<A, StoreError>
where
    for<'t> Option<i64>: Encode<'t, A::Database> + Type<A::Database>,
    for<'t> i32: Encode<'t, A::Database> + Type<A::Database>,
    for<'t> Option<bool>: Encode<'t, A::Database> + Type<A::Database>,
    for<'t> Option<String>: Encode<'t, A::Database> + Type<A::Database>,
    for<'t> Option<Vec<u8>>: Encode<'t, A::Database> + Type<A::Database>,
{
    let mut arguments = A::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        let added = match value {
            Value::I64(value) => arguments.add(value),
            Value::I32(value) => arguments.add(value),
            Value::Bool(value) => arguments.add(value),
            Value::Text(value) => arguments.add(value),
            Value::Bytes(value) => arguments.add(value),
        };
        added.map_err(|error: BoxDynError| sqlx::Error::Encode(error))?;
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgres_is_told_the_numbers_of_the_places() {
        assert_eq!(numbered("a IN (?, ?) -- ?", &[6, 9]), "a IN ($1, $2) -- ?");
        assert_eq!(numbered("none", &[]), "none");
    }
}
