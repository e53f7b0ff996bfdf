//! How is a text put together whose length depends on what is asked?

use std::fmt::{Display, Write as _};

use super::dialect::{Piece, Table};
use super::query::{As, Query, Scalar, Text};
use super::row::Record;
use super::{Row, Value};

/// How many values may be bound to one statement: SQLite takes 32,766, PostgreSQL 65,535.
///
/// A query over many keys goes through `keys.chunks(MAX_BINDS / binds_per_key)`.
pub const MAX_BINDS: usize = 32_000;

/// A text and its values, in the making.
#[derive(Debug, Default)]
pub struct QueryBuilder {
    pieces: Vec<Piece>,
    values: Vec<Value>,
}

impl QueryBuilder {
    /// One that begins with `text`.
    #[must_use]
    pub fn new(text: impl Display) -> Self {
        let mut builder = Self::default();
        builder.push(text);
        builder
    }

    /// Goes on with `text`, never anything that comes from outside.
    pub fn push(&mut self, text: impl Display) -> &mut Self {
        if let Some(Piece::Text(before)) = self.pieces.last_mut() {
            // Writing into a text cannot fail.
            let _ = write!(before, "{text}");
        } else {
            self.pieces.push(Piece::Text(text.to_string()));
        }
        self
    }

    /// Goes on with a place for `value`, and binds it.
    pub fn push_bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.pieces.push(Piece::Value);
        self.values.push(value.into());
        self
    }

    /// Goes on with the condition that what comes before is one of `values`, which are all of one type and
    /// at most [`MAX_BINDS`] with all others of the statement.
    pub fn push_in<V: Into<Value>>(&mut self, values: impl IntoIterator<Item = V>) -> &mut Self {
        let before = self.values.len();
        self.values.extend(values.into_iter().map(Into::into));
        self.pieces.push(Piece::In(self.values.len() - before));
        self
    }

    /// Goes on with a table of `rows`: `push_row` binds the values of one, the same number of the same
    /// types for each. It can be inserted, and stand behind `IN` or `AS` in brackets.
    pub fn push_values<I: IntoIterator>(
        &mut self,
        rows: I,
        mut push_row: impl FnMut(Columns<'_>, I::Item),
    ) -> &mut Self {
        let before = self.values.len();
        let mut count = 0;
        for row in rows {
            push_row(Columns(&mut self.values), row);
            count += 1;
        }
        let columns = (self.values.len() - before) / count.max(1);
        self.pieces.push(Piece::Rows(Table {
            rows: count,
            columns,
        }));
        self
    }

    /// The statement. The connection keeps it prepared if its text does not depend on how much there is of
    /// anything.
    pub fn build(self) -> Query<Row> {
        Query::new(Text::Built(self.pieces), self.values)
    }

    /// The statement, whose rows are read as records, or as tuples.
    pub fn build_query_as<T: Record>(self) -> Query<As<T>> {
        self.build().shaped()
    }

    /// The statement, whose rows have one column.
    pub fn build_query_scalar<T>(self) -> Query<Scalar<T>>
    where
        (T,): Record,
    {
        self.build().shaped()
    }
}

/// The values of one row.
#[derive(Debug)]
pub struct Columns<'q>(&'q mut Vec<Value>);

impl Columns<'_> {
    /// Binds the value of the next column.
    pub fn push_bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.0.push(value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_where_they_were_pushed() {
        let mut query = QueryBuilder::new("SELECT a FROM t WHERE (a, b) IN (");
        query.push_values([(1_i64, "x"), (2, "y")], |mut row, (number, text)| {
            row.push_bind(number).push_bind(text);
        });
        query.push(") AND c > ").push_bind(true);
        query.push(" AND d ").push_in(["p", "q", "r"]);
        let query = query.build();
        let pairs: [Value; 4] = [1_i64.into(), "x".into(), 2_i64.into(), "y".into()];
        let rest: [Value; 4] = [true.into(), "p".into(), "q".into(), "r".into()];
        assert_eq!(query.values, [pairs, rest].concat());
        let Text::Built(pieces) = &query.text else {
            panic!("{query:?}");
        };
        let text = |text: &str| Piece::Text(text.to_owned());
        let table = Table {
            rows: 2,
            columns: 2,
        };
        let expected = [
            text("SELECT a FROM t WHERE (a, b) IN ("),
            Piece::Rows(table),
            text(") AND c > "),
            Piece::Value,
            text(" AND d "),
            Piece::In(3),
        ];
        assert_eq!(*pieces, expected);
    }
}
