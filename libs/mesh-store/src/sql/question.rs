//! How do several questions share one way to the database?
//!
//! SQLite is asked all of them in one text, as it is given [statements that write](super::together) together. A
//! server is asked one after the other: it takes one text with values at a time, and answers of different
//! columns do not fit into one.

use std::fmt;
use std::vec::IntoIter;

use futures::TryStreamExt as _;
use sqlx::{Either, Executor as _};

use super::conn::Engine;
use super::query::Shape as _;
use super::together::one_text;
use super::{Conn, QueryBuilder, Row};
use crate::StoreError;

type Read<T> = Box<dyn FnOnce(Vec<Row>) -> Result<T, StoreError> + Send>;

/// What is asked by one statement, by several of the same columns or by none, and how the rows are read.
#[must_use = "a question does nothing until it is asked"]
pub struct Question<T> {
    statements: Vec<QueryBuilder>,
    count: usize,
    read: Read<T>,
}

impl<T> fmt::Debug for Question<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question")
            .field("statements", &self.count)
            .finish_non_exhaustive()
    }
}

impl<T> Question<T> {
    /// One whose answer is what `read` makes of the rows of all `statements`.
    pub fn new(
        statements: impl IntoIterator<Item = QueryBuilder>,
        read: impl FnOnce(Vec<Row>) -> Result<T, StoreError> + Send + 'static,
    ) -> Self {
        let statements: Vec<QueryBuilder> = statements.into_iter().collect();
        Self {
            count: statements.len(),
            statements,
            read: Box::new(read),
        }
    }
}

/// A question, or a tuple of some.
pub trait Questions: Send {
    /// The answers, in the same order.
    type Answers;

    /// Takes the statements out.
    #[doc(hidden)]
    fn statements(&mut self) -> Vec<QueryBuilder>;

    /// Reads the rows of each statement, which come next.
    #[doc(hidden)]
    fn read(self, rows: &mut IntoIter<Vec<Row>>) -> Result<Self::Answers, StoreError>;
}

impl<T> Questions for Question<T> {
    type Answers = T;

    fn statements(&mut self) -> Vec<QueryBuilder> {
        std::mem::take(&mut self.statements)
    }

    fn read(self, rows: &mut IntoIter<Vec<Row>>) -> Result<T, StoreError> {
        (self.read)(rows.by_ref().take(self.count).flatten().collect())
    }
}

/// Nothing is asked.
impl Questions for () {
    type Answers = ();

    fn statements(&mut self) -> Vec<QueryBuilder> {
        Vec::new()
    }

    fn read(self, _rows: &mut IntoIter<Vec<Row>>) -> Result<(), StoreError> {
        Ok(())
    }
}

macro_rules! tuples {
    ($(($($name:ident $place:tt),+);)*) => {
        $(impl<$($name: Questions),+> Questions for ($($name,)+) {
            type Answers = ($($name::Answers,)+);

            fn statements(&mut self) -> Vec<QueryBuilder> {
                let mut all = Vec::new();
                $(all.extend(self.$place.statements());)+
                all
            }

            fn read(self, rows: &mut IntoIter<Vec<Row>>) -> Result<Self::Answers, StoreError> {
                Ok(($(self.$place.read(rows)?,)+))
            }
        })*
    };
}

tuples! {
    (A 0, B 1);
    (A 0, B 1, C 2);
    (A 0, B 1, C 2, D 3);
}

/// Asks `questions`, on as few ways to the database as it can, and gives the answers. Within a transaction that
/// writes, or of a snapshot, all show one state.
pub async fn ask<Q: Questions>(
    conn: &mut Conn,
    mut questions: Q,
) -> Result<Q::Answers, StoreError> {
    let statements = questions.statements();
    let rows = match (&conn.0, statements.len()) {
        (Engine::Sqlite(_), 2..) => in_one_text(conn, statements).await?,
        _ => {
            let mut rows = Vec::with_capacity(statements.len());
            for statement in statements {
                rows.push(statement.build().fetch_all(&mut *conn).await?);
            }
            rows
        }
    };
    questions.read(&mut rows.into_iter())
}

async fn in_one_text(
    conn: &mut Conn,
    statements: Vec<QueryBuilder>,
) -> Result<Vec<Vec<Row>>, StoreError> {
    let Engine::Sqlite(held) = &mut conn.0 else {
        return Ok(Vec::new());
    };
    let mut steps = (&mut **held).fetch_many(one_text(statements)?);
    let (mut all, mut rows) = (Vec::new(), Vec::new());
    while let Some(step) = steps.try_next().await? {
        match step {
            Either::Right(row) => rows.push(Row::of_sqlite(row)?),
            // A statement has come to its end.
            Either::Left(_) => all.push(std::mem::take(&mut rows)),
        }
    }
    Ok(all)
}
