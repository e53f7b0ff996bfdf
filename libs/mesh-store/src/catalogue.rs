//! Which tables does a database have, by its own word?
//!
//! What copies a database asks the database: a list written down here would miss the table that a later
//! migration adds.

use std::collections::BTreeSet;

use crate::StoreError;
use crate::sql::{Conn, Kind, query_as, query_scalar};

/// Where sqlx notes which migrations were applied.
pub(crate) const MIGRATIONS: &str = "_sqlx_migrations";

const TABLES_OF_FILE: &str =
    "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_'";
const TABLES_ON_SERVER: &str = "SELECT relname::text FROM pg_class \
     WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace";
const COLUMNS_OF_FILE: &str = "SELECT t.name, c.name, upper(c.type), c.pk \
     FROM sqlite_master AS t JOIN pragma_table_info(t.name) AS c \
     WHERE t.type = 'table' AND substr(t.name, 1, 7) <> 'sqlite_' ORDER BY t.name, c.cid";
const COLUMNS_ON_SERVER: &str = "SELECT t.relname::text, a.attname::text, upper(format_type(a.atttypid, a.atttypmod)), \
     COALESCE(array_position(k.indkey::int2[], a.attnum) + 1, 0)::bigint \
     FROM pg_class AS t JOIN pg_attribute AS a ON a.attrelid = t.oid \
     LEFT JOIN pg_index AS k ON k.indrelid = t.oid AND k.indisprimary \
     WHERE t.relkind = 'r' AND t.relnamespace = current_schema()::regnamespace \
     AND a.attnum > 0 AND NOT a.attisdropped ORDER BY t.relname, a.attnum";
const REFERENCES_OF_FILE: &str = "SELECT t.name, f.\"table\" \
     FROM sqlite_master AS t JOIN pragma_foreign_key_list(t.name) AS f WHERE t.type = 'table'";
const REFERENCES_ON_SERVER: &str = "SELECT t.relname::text, f.relname::text \
     FROM pg_constraint AS c JOIN pg_class AS t ON t.oid = c.conrelid \
     JOIN pg_class AS f ON f.oid = c.confrelid \
     WHERE c.contype = 'f' AND t.relnamespace = current_schema()::regnamespace";

/// A table, and how its rows are put in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: String,
    /// In the order in which they were made, which is the same on every engine.
    pub(crate) columns: Vec<Column>,
    /// The columns of its key, in their order.
    pub(crate) key: Vec<String>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// The names of all tables, whoever made them.
pub(crate) async fn names(conn: &mut Conn) -> Result<BTreeSet<String>, StoreError> {
    let text = conn.by_engine(TABLES_OF_FILE, TABLES_ON_SERVER);
    let names: Vec<String> = query_scalar(text).fetch_all(conn).await?;
    Ok(names.into_iter().collect())
}

/// All tables but the list of migrations, each after those that it refers to.
pub(crate) async fn tables(conn: &mut Conn) -> Result<Vec<Table>, StoreError> {
    let text = conn.by_engine(COLUMNS_OF_FILE, COLUMNS_ON_SERVER);
    let rows: Vec<(String, String, String, i64)> = query_as(text).fetch_all(&mut *conn).await?;
    let text = conn.by_engine(REFERENCES_OF_FILE, REFERENCES_ON_SERVER);
    let references: BTreeSet<(String, String)> =
        query_as(text).fetch_all(conn).await?.into_iter().collect();
    let mut keys: Vec<(i64, String)> = Vec::new();
    let mut tables: Vec<Table> = Vec::new();
    for (name, column, kind, place) in rows.into_iter().filter(|row| row.0 != MIGRATIONS) {
        if tables.last().is_none_or(|table| table.name != name) {
            tables.push(Table {
                name,
                columns: Vec::new(),
                key: Vec::new(),
            });
            keys.clear();
        }
        let kind = Kind::named(&kind).ok_or_else(|| {
            StoreError::inconsistent("a table", "a column is of no kind that is known")
        })?;
        if let Some(table) = tables.last_mut() {
            if place > 0 {
                keys.push((place, column.clone()));
                keys.sort();
                table.key = keys.iter().map(|(_, column)| column.clone()).collect();
            }
            table.columns.push(Column { name: column, kind });
        }
    }
    if tables.iter().any(|table| table.key.is_empty()) {
        return Err(StoreError::inconsistent("a table", "it has no key"));
    }
    Ok(in_order(tables, &references))
}

/// Those first to which others refer.
fn in_order(mut tables: Vec<Table>, references: &BTreeSet<(String, String)>) -> Vec<Table> {
    let mut ordered: Vec<Table> = Vec::with_capacity(tables.len());
    while !tables.is_empty() {
        let waits = |table: &Table| {
            tables.iter().any(|other| {
                other.name != table.name
                    && references.contains(&(table.name.clone(), other.name.clone()))
            })
        };
        let (waiting, ready): (Vec<_>, Vec<_>) = tables.iter().cloned().partition(waits);
        if ready.is_empty() {
            // They refer to one another in a circle, which no order resolves.
            ordered.extend(waiting);
            break;
        }
        ordered.extend(ready);
        tables = waiting;
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> Table {
        Table {
            name: name.to_owned(),
            columns: Vec::new(),
            key: Vec::new(),
        }
    }

    fn names(order: &[Table]) -> Vec<&str> {
        order.iter().map(|table| table.name.as_str()).collect()
    }

    #[test]
    fn a_table_comes_after_those_that_it_refers_to() {
        let tables = ["a", "b", "c", "d"].map(table).to_vec();
        let to = |(from, to): (&str, &str)| (from.to_owned(), to.to_owned());
        let references = [("a", "c"), ("c", "b"), ("d", "d")].map(to).into();
        let order = in_order(tables.clone(), &references);
        assert_eq!(names(&order), ["b", "d", "c", "a"]);
        let circle = [("a", "b"), ("b", "a")].map(to).into();
        assert_eq!(names(&in_order(tables, &circle)), ["c", "d", "a", "b"]);
    }
}
