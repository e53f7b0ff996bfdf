//! How do tables of PostgreSQL's sort their text as those of SQLite's do?

use sqlx::migrate::{Migration, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr as _};

/// The same migrations with text that sorts by its octets. They keep the checksums of what is written in
/// the files.
pub(crate) fn by_octets(migrations: &Migrator) -> Migrator {
    let sorted = migrations.iter().map(|migration| Migration {
        sql: AssertSqlSafe(text_by_octets(migration.sql.as_str())).into_sql_str(),
        ..migration.clone()
    });
    Migrator::with_migrations(sorted.collect())
}

/// `sql` with `TEXT COLLATE "C"` for each type `TEXT`, which is written in capitals. Comments stay as they are.
fn text_by_octets(sql: &str) -> String {
    let part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let mut sorted = String::with_capacity(sql.len() + 1024);
    for line in sql.split_inclusive('\n') {
        let comment = line.find("--").unwrap_or(line.len());
        let (code, comment) = line.split_at(comment);
        for word in code.split_inclusive(|character| !part(character)) {
            let name = word.trim_end_matches(|character| !part(character));
            sorted.push_str(name);
            if name == "TEXT" {
                sorted.push_str(" COLLATE \"C\"");
            }
            sorted.push_str(&word[name.len()..]);
        }
        sorted.push_str(comment);
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_type_of_a_column_is_changed() {
        let sql = "CREATE TABLE a ( -- TEXT stays TEXT\n  b TEXT NOT NULL,\n  text_c TEXT, TEXTS BYTEA\n);";
        let sorted = "CREATE TABLE a ( -- TEXT stays TEXT\n  b TEXT COLLATE \"C\" NOT NULL,\n  \
                      text_c TEXT COLLATE \"C\", TEXTS BYTEA\n);";
        assert_eq!(text_by_octets(sql), sorted);
    }
}
