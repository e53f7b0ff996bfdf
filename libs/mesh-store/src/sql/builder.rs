//! How is a text put together whose length depends on what is asked?

use std::fmt::{Display, Write as _};

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
    text: String,
    marks: Vec<usize>,
    values: Vec<Value>,
}

impl QueryBuilder {
    /// One that begins with `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// Goes on with `text`, never anything that comes from outside.
    pub fn push(&mut self, text: impl Display) -> &mut Self {
        // Writing into a text cannot fail.
        let _ = write!(self.text, "{text}");
        self
    }

    /// Goes on with a place for `value`, and binds it.
    pub fn push_bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.marks.push(self.text.len());
        self.text.push('?');
        self.values.push(value.into());
        self
    }

    /// Goes on with a list.
    pub fn separated(&mut self, separator: &'static str) -> Separated<'_> {
        Separated {
            builder: self,
            separator,
            begun: false,
        }
    }

    /// Goes on with `VALUES`, and a row in brackets for each of `rows`.
    pub fn push_values<I: IntoIterator>(
        &mut self,
        rows: I,
        mut push_row: impl FnMut(Separated<'_>, I::Item),
    ) -> &mut Self {
        self.text.push_str("VALUES ");
        for (index, row) in rows.into_iter().enumerate() {
            self.text.push_str(if index == 0 { "(" } else { ", (" });
            push_row(self.separated(", "), row);
            self.text.push(')');
        }
        self
    }

    /// The statement.
    pub fn build(self) -> Query<Row> {
        let Self {
            text,
            marks,
            values,
        } = self;
        Query::new(Text::Built { text, marks }, values)
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

/// A list in the making.
#[derive(Debug)]
pub struct Separated<'q> {
    builder: &'q mut QueryBuilder,
    separator: &'static str,
    begun: bool,
}

impl Separated<'_> {
    /// Goes on with a place for `value`, and binds it.
    pub fn push_bind(&mut self, value: impl Into<Value>) -> &mut Self {
        if self.begun {
            self.builder.text.push_str(self.separator);
        }
        self.begun = true;
        self.builder.push_bind(value);
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
        let query = query.build();
        assert_eq!(
            query.values,
            [
                1_i64.into(),
                "x".into(),
                2_i64.into(),
                "y".into(),
                true.into()
            ] as [Value; 5]
        );
        let Text::Built { text, marks } = &query.text else {
            panic!("{query:?}");
        };
        let expected = "SELECT a FROM t WHERE (a, b) IN (VALUES (?, ?), (?, ?)) AND c > ?";
        assert_eq!(text, expected);
        let questions: Vec<_> = text.match_indices('?').map(|(at, _)| at).collect();
        assert_eq!(*marks, questions);
    }
}
