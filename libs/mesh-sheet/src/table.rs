//! What is a table? Columns that say what they hold, and rows that hold it.

use std::collections::HashSet;

use crate::cell::Cell;
use crate::kind::Kind;
use crate::malformed::Malformed;

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub(crate) key: String,
    pub(crate) title: String,
    pub(crate) kind: Kind,
    pub(crate) unit: String,
    pub(crate) meaning: String,
}

impl Column {
    /// A column that programs know by `key`, in `snake_case`, and people by a short `title`.
    #[must_use]
    pub fn new(key: impl Into<String>, title: impl Into<String>, kind: Kind) -> Self {
        Self {
            key: key.into(),
            title: title.into(),
            kind,
            unit: String::new(),
            meaning: String::new(),
        }
    }

    /// Says in which unit the figures are.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = unit.into();
        self
    }

    /// Says what the column means, in one sentence.
    #[must_use]
    pub fn meaning(mut self, meaning: impl Into<String>) -> Self {
        self.meaning = meaning.into();
        self
    }
}

/// Columns, rows, and perhaps a total.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Cell>>,
    pub(crate) total: Option<Vec<Cell>>,
}

impl Table {
    /// A table of these columns and rows.
    ///
    /// # Errors
    /// A key is no key or there twice, or a row does not hold what the columns hold.
    pub fn new(columns: Vec<Column>, rows: Vec<Vec<Cell>>) -> Result<Self, Malformed> {
        if columns.is_empty() {
            return Err(Malformed::NoColumns);
        }
        keys(columns.iter().map(|column| column.key.as_str()))?;
        for (index, row) in rows.iter().enumerate() {
            check(&columns, index, row)?;
        }
        Ok(Self {
            columns,
            rows,
            total: None,
        })
    }

    /// The table with a row that sums the others up, for people: in CSV a total would be one more record.
    ///
    /// # Errors
    /// The row does not hold what the columns hold.
    pub fn with_total(mut self, total: Vec<Cell>) -> Result<Self, Malformed> {
        check(&self.columns, self.rows.len(), &total)?;
        self.total = Some(total);
        Ok(self)
    }

    /// Where the column with this key stands.
    pub(crate) fn position(&self, key: &str) -> Result<usize, Malformed> {
        let found = self.columns.iter().position(|column| column.key == key);
        found.ok_or_else(|| Malformed::NoColumn(key.to_owned()))
    }
}

fn check(columns: &[Column], index: usize, row: &[Cell]) -> Result<(), Malformed> {
    if row.len() != columns.len() {
        return Err(Malformed::Cells {
            row: index,
            cells: row.len(),
            columns: columns.len(),
        });
    }
    let mut cells = columns.iter().zip(row);
    match cells.find(|(column, cell)| !column.kind.takes(cell)) {
        None => Ok(()),
        Some((column, _)) => Err(Malformed::Kind {
            row: index,
            column: column.key.clone(),
            kind: column.kind,
        }),
    }
}

/// Whether these can tell things apart, for programs.
pub(crate) fn keys<'a>(keys: impl IntoIterator<Item = &'a str>) -> Result<(), Malformed> {
    let mut seen = HashSet::new();
    for key in keys {
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !key.starts_with(|c: char| c.is_ascii_lowercase()) || !key.chars().all(letters) {
            return Err(Malformed::Key(key.to_owned()));
        }
        if !seen.insert(key) {
            return Err(Malformed::Twice(key.to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<Column> {
        vec![
            Column::new("name", "Name", Kind::Text),
            Column::new("meters", "Meters", Kind::Count),
        ]
    }

    #[test]
    fn a_row_holds_what_the_columns_hold() {
        let rows = vec![
            vec!["a".into(), 1.into()],
            vec![Cell::Nothing, Cell::Withheld],
        ];
        assert!(Table::new(columns(), rows).is_ok());
        let short = Table::new(columns(), vec![vec!["a".into()]]);
        let cells = Malformed::Cells {
            row: 0,
            cells: 1,
            columns: 2,
        };
        assert_eq!(short, Err(cells));
        let kind = Malformed::Kind {
            row: 0,
            column: "meters".to_owned(),
            kind: Kind::Count,
        };
        let wrong = Table::new(columns(), vec![vec!["a".into(), "b".into()]]);
        assert_eq!(wrong, Err(kind.clone()));
        let total = Table::new(columns(), vec![])
            .unwrap()
            .with_total(vec!["a".into(), "b".into()]);
        assert_eq!(total, Err(kind));
    }

    #[test]
    fn a_key_is_one_word_and_there_once() {
        for key in ["", "Name", "2nd", "a b", "a-b", "é", "=a"] {
            let table = Table::new(vec![Column::new(key, "", Kind::Text)], vec![]);
            assert_eq!(table, Err(Malformed::Key(key.to_owned())));
        }
        let twice = Table::new([columns(), columns()].concat(), vec![]);
        assert_eq!(twice, Err(Malformed::Twice("name".to_owned())));
        assert_eq!(Table::new(vec![], vec![]), Err(Malformed::NoColumns));
    }
}
