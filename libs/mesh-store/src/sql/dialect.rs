//! How is a text that was put together written for each engine?
//!
//! SQLite is given a place for each value: it binds some thousands of them in no time, and counts them itself
//! (`?`), because it looks up each numbered one in the list of all. PostgreSQL is given lists and the columns of
//! tables as arrays, so that its text is the same however many there are, and stays prepared.

use super::Value;

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Written as it is.
    Text(String),
    /// The place of the next value.
    Value,
    /// That something is one of so many values, which come next.
    In(usize),
    /// A table, whose values come next, row by row.
    Rows(Table),
}

/// How large a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

/// What is bound to a place of PostgreSQL's.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Bound {
    One(Value),
    /// All of one type.
    Many(Vec<Value>),
}

/// A text for SQLite. Its values stay as they are.
#[derive(Debug, Default)]
pub(super) struct ForSqlite {
    pub(super) text: String,
    /// Whether it depends on how many values or rows there are.
    pub(super) varies: bool,
}

impl ForSqlite {
    pub(super) fn add(&mut self, pieces: &[Piece]) {
        for piece in pieces {
            match piece {
                Piece::Text(text) => self.text.push_str(text),
                Piece::Value => self.text.push('?'),
                Piece::In(values) => {
                    self.varies |= *values != 1;
                    self.text.push_str("IN ");
                    self.places(*values);
                }
                Piece::Rows(Table { rows, columns }) => {
                    self.varies |= *rows != 1;
                    self.text.push_str("VALUES ");
                    for row in 0..*rows {
                        self.text.push_str(if row == 0 { "" } else { ", " });
                        self.places(*columns);
                    }
                }
            }
        }
    }

    fn places(&mut self, count: usize) {
        self.text.push('(');
        for place in 0..count {
            self.text.push_str(if place == 0 { "?" } else { ", ?" });
        }
        self.text.push(')');
    }
}

/// A text for PostgreSQL, and what is bound to it.
#[derive(Debug, Default)]
pub(super) struct ForPostgres {
    pub(super) text: String,
    pub(super) bound: Vec<Bound>,
}

impl ForPostgres {
    /// `values` are those of `pieces`, in their order.
    pub(super) fn add(&mut self, pieces: &[Piece], values: Vec<Value>) {
        let mut values = values.into_iter();
        for piece in pieces {
            match piece {
                Piece::Text(text) => self.text.push_str(text),
                Piece::Value => {
                    self.place();
                    self.bound.extend(values.next().map(Bound::One));
                }
                Piece::In(count) => {
                    self.text.push_str("= ANY(");
                    self.place();
                    self.text.push(')');
                    let listed = values.by_ref().take(*count);
                    self.bound.push(Bound::Many(listed.collect()));
                }
                Piece::Rows(table) => {
                    let count = table.rows * table.columns;
                    self.table(*table, values.by_ref().take(count));
                }
            }
        }
        // Those whose places a text has itself.
        self.bound.extend(values.map(Bound::One));
    }

    fn table(&mut self, table: Table, values: impl Iterator<Item = Value>) {
        let column = || Vec::with_capacity(table.rows);
        let mut columns: Vec<Vec<Value>> = (0..table.columns).map(|_| column()).collect();
        for (index, value) in values.enumerate() {
            columns[index % table.columns].push(value);
        }
        self.text.push_str("SELECT * FROM UNNEST(");
        for (index, column) in columns.into_iter().enumerate() {
            self.text.push_str(if index == 0 { "" } else { ", " });
            self.place();
            self.bound.push(Bound::Many(column));
        }
        self.text.push(')');
    }

    /// The next number: what is bound to it comes after.
    fn place(&mut self) {
        self.text.push('$');
        self.text.push_str(&(self.bound.len() + 1).to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Query, QueryBuilder};
    use super::*;
    use crate::sql::query::Text;

    fn pieces(query: Query) -> (Vec<Piece>, Vec<Value>) {
        match query.text {
            Text::Built(pieces) => (pieces, query.values),
            Text::Fixed(text) => panic!("{text} was not put together"),
        }
    }

    fn asked(pairs: &[(i64, &str)], others: &[&str]) -> (Vec<Piece>, Vec<Value>) {
        let mut query = QueryBuilder::new("SELECT a FROM t WHERE (a, b) IN (");
        query.push_values(pairs, |mut row, (number, text)| {
            row.push_bind(*number).push_bind(*text);
        });
        query.push(") AND c = ").push_bind(true);
        query.push(" AND d ").push_in(others.iter().copied());
        pieces(query.build())
    }

    #[test]
    fn sqlite_has_a_place_for_each_value() {
        let (pieces, _) = asked(&[(1, "x"), (2, "y")], &["p", "q", "r"]);
        let mut sqlite = ForSqlite::default();
        sqlite.add(&pieces);
        let text =
            "SELECT a FROM t WHERE (a, b) IN (VALUES (?, ?), (?, ?)) AND c = ? AND d IN (?, ?, ?)";
        assert_eq!(sqlite.text, text);
        assert!(sqlite.varies);
        let (pieces, _) = asked(&[(1, "x")], &["p"]);
        let mut sqlite = ForSqlite::default();
        sqlite.add(&pieces);
        assert!(!sqlite.varies, "{}", sqlite.text);
    }

    #[test]
    fn postgres_has_one_for_each_column_and_list() {
        let (pieces, values) = asked(&[(1, "x"), (2, "y")], &["p", "q", "r"]);
        let mut postgres = ForPostgres::default();
        postgres.add(&pieces, values);
        let text = "SELECT a FROM t WHERE (a, b) IN (SELECT * FROM UNNEST($1, $2)) \
                    AND c = $3 AND d = ANY($4)";
        assert_eq!(postgres.text, text);
        let many = |values: &[Value]| Bound::Many(values.to_vec());
        let bound = [
            many(&[1_i64.into(), 2_i64.into()]),
            many(&["x".into(), "y".into()]),
            Bound::One(true.into()),
            many(&["p".into(), "q".into(), "r".into()]),
        ];
        assert_eq!(postgres.bound, bound);
    }
}
