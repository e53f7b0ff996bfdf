//! How do several statements that write share one way to the database?
//!
//! What a small statement costs is the way to the thread of SQLite's connection and back, or to a server. SQLite
//! is given their texts in one. A server takes one statement with values at a time: there they become the
//! parts of one `WITH`, which all see what was there before it, and run in any order.

use futures::TryStreamExt as _;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Either, Executor as _, Sqlite};

use super::conn::Engine;
use super::dialect::{ForPostgres, ForSqlite};
use super::query::{Shape as _, Text};
use super::run::{of_postgres, of_sqlite, put_together};
use super::{Conn, Query, QueryBuilder, Row};
use crate::StoreError;

/// Runs all of `statements`, each of which writes, and says how many rows each wrote. None may rest on what another
/// of them writes, and no two may write the same row.
///
/// After an error some may have had their effect: whoever calls undoes the transaction.
pub(crate) async fn execute_together(
    conn: &mut Conn,
    statements: Vec<QueryBuilder>,
) -> Result<Vec<u64>, StoreError> {
    match (&conn.0, statements.len()) {
        (_, 0 | 1) => {
            let mut written = Vec::with_capacity(statements.len());
            for statement in statements {
                written.push(statement.build().execute(&mut *conn).await?);
            }
            Ok(written)
        }
        (Engine::Sqlite(_), _) => in_one_text(conn, statements).await,
        (Engine::Postgres(..), _) => in_one_statement(conn, statements).await,
    }
}

/// SQLite's driver prepares and runs the statements of a text one after the other, and each takes as many of the
/// values as it has places.
pub(super) fn one_text(
    statements: Vec<QueryBuilder>,
) -> Result<sqlx::query::Query<'static, Sqlite, SqliteArguments>, StoreError> {
    let mut built = ForSqlite::default();
    let mut all = Vec::new();
    for (index, statement) in statements.into_iter().enumerate() {
        built.text.push_str(if index == 0 { "" } else { "; " });
        let Query { text, values, .. } = statement.build();
        if let Text::Built(pieces) = text {
            built.add(&pieces);
        }
        all.extend(values);
    }
    let query = sqlx::query_with(put_together(built.text), of_sqlite(all)?);
    Ok(query.persistent(!built.varies))
}

async fn in_one_text(
    conn: &mut Conn,
    statements: Vec<QueryBuilder>,
) -> Result<Vec<u64>, StoreError> {
    let Engine::Sqlite(held) = &mut conn.0 else {
        return Ok(Vec::new());
    };
    let mut steps = (&mut **held).fetch_many(one_text(statements)?);
    let mut written = Vec::new();
    while let Some(step) = steps.try_next().await? {
        if let Either::Left(done) = step {
            written.push(done.rows_affected());
        }
    }
    Ok(written)
}

async fn in_one_statement(
    conn: &mut Conn,
    statements: Vec<QueryBuilder>,
) -> Result<Vec<u64>, StoreError> {
    let Engine::Postgres(held, presence) = &mut conn.0 else {
        return Ok(Vec::new());
    };
    let count = statements.len();
    let mut built = ForPostgres::default();
    for (index, statement) in statements.into_iter().enumerate() {
        let begin = if index == 0 { "WITH " } else { ", " };
        built.text.push_str(&format!("{begin}s{index} AS ("));
        let Query { text, values, .. } = statement.build();
        if let Text::Built(pieces) = text {
            built.add(&pieces, values);
        }
        built.text.push_str(" RETURNING 1)");
    }
    for index in 0..count {
        let begin = if index == 0 { " SELECT" } else { "," };
        let part = format!("{begin} (SELECT count(*) FROM s{index}) AS s{index}");
        built.text.push_str(&part);
    }
    let query = sqlx::query_with(put_together(built.text), of_postgres(built.bound)?);
    let run = async { Ok(query.fetch_one(&mut **held).await?) };
    let row = Row::of_postgres(presence.during(run).await?)?;
    (0..count)
        .map(|index| {
            let written: i64 = row.try_get(&format!("s{index}"))?;
            Ok(u64::try_from(written).unwrap_or_default())
        })
        .collect()
}
