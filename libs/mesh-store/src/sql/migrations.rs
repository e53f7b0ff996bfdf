//! What does PostgreSQL make of the migrations, which are the same files for every engine?
//!
//! Text sorts by its octets there, as SQLite's does. What a server alone can hold stands between a line
//! `/*postgres` and a line `*/`: a comment for SQLite.

use sqlx::migrate::{Migration, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr as _};

/// Where a part begins, and where it ends, that PostgreSQL alone carries out.
const BEGIN: &str = "/*postgres";
const END: &str = "*/";

/// The same migrations as PostgreSQL is to carry them out. They keep the checksums of what is written in the
/// files.
pub(crate) fn for_postgres(migrations: &Migrator) -> Migrator {
    let written = migrations.iter().map(|migration| Migration {
        sql: AssertSqlSafe(text_for_postgres(migration.sql.as_str())).into_sql_str(),
        ..migration.clone()
    });
    Migrator::with_migrations(written.collect())
}

/// `sql` with its own parts, and `TEXT COLLATE "C"` for each type `TEXT`, which is written in capitals. Other
/// comments stay as they are.
fn text_for_postgres(sql: &str) -> String {
    let mut text = String::with_capacity(sql.len() + 1024);
    for line in sql.split_inclusive('\n') {
        if ![BEGIN, END].contains(&line.trim_end()) {
            let comment = line.find("--").unwrap_or(line.len());
            let (code, comment) = line.split_at(comment);
            push_by_octets(&mut text, code);
            text.push_str(comment);
        }
    }
    text
}

fn push_by_octets(text: &mut String, code: &str) {
    let part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    for word in code.split_inclusive(|character| !part(character)) {
        let name = word.trim_end_matches(|character| !part(character));
        text.push_str(name);
        if name == "TEXT" {
            text.push_str(" COLLATE \"C\"");
        }
        text.push_str(&word[name.len()..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_type_of_a_column_is_changed() {
        let sql = "CREATE TABLE a ( -- TEXT stays TEXT\n  b TEXT NOT NULL,\n  text_c TEXT, TEXTS BYTEA\n);";
        let sorted = "CREATE TABLE a ( -- TEXT stays TEXT\n  b TEXT COLLATE \"C\" NOT NULL,\n  \
                      text_c TEXT COLLATE \"C\", TEXTS BYTEA\n);";
        assert_eq!(text_for_postgres(sql), sorted);
    }

    #[test]
    fn a_part_of_its_own_is_carried_out() {
        let sql = "SELECT 1;\n/*postgres\nSELECT 2;\n*/\n/* no part */\n";
        assert_eq!(
            text_for_postgres(sql),
            "SELECT 1;\nSELECT 2;\n/* no part */\n"
        );
    }
}
