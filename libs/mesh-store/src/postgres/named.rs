//! How are databases found, made, dropped and renamed on a server?
//!
//! That is done from another one, `postgres`, which every server has.

use super::Server;
use crate::StoreError;
use crate::sql::{Conn, QueryBuilder, query_scalar, quoted};

/// The database that every server has.
pub(crate) const MAINTENANCE: &str = "postgres";
/// The most octets of a name; the server cuts off longer ones without an error.
const NAME: usize = 63;

impl Server {
    /// The database's name.
    pub(crate) fn name(&self) -> &str {
        self.options.get_database().unwrap_or_default()
    }

    /// Another database of the same server.
    fn other(&self, name: &str) -> Self {
        let options = self.options.clone().database(name);
        Self { options }
    }

    async fn maintenance(&self) -> Result<Conn, StoreError> {
        self.other(MAINTENANCE).connect().await
    }

    /// Whether the server has the database.
    pub(crate) async fn exists(&self) -> Result<bool, StoreError> {
        let mut conn = self.maintenance().await?;
        let exists = exists(&mut conn, self.name()).await;
        conn.close().await.ok();
        exists
    }

    /// A new database beside this one, which is to take its place. What an attempt has left that was cut off is
    /// removed.
    pub(crate) async fn fresh(&self) -> Result<Self, StoreError> {
        let fresh = self.other(&with_suffix(self.name(), "_restoring"));
        let name = quoted(fresh.name());
        let mut conn = self.maintenance().await?;
        carry_out(&mut conn, format!("DROP DATABASE IF EXISTS {name}")).await?;
        make(&mut conn, fresh.name()).await?;
        conn.close().await?;
        Ok(fresh)
    }

    /// Gives the database a name that tells when it was replaced, and says which.
    pub(crate) async fn move_away(&self, at: i64) -> Result<String, StoreError> {
        let away = with_suffix(self.name(), &format!("_before_{at}"));
        self.rename(&away).await?;
        Ok(self.other(&away).to_string())
    }

    /// Renames the database, to which nobody may be connected.
    pub(crate) async fn rename(&self, to: &str) -> Result<(), StoreError> {
        let (from, to) = (quoted(self.name()), quoted(to));
        let mut conn = self.maintenance().await?;
        let statement = format!("ALTER DATABASE {from} RENAME TO {to}");
        carry_out(&mut conn, statement).await?;
        conn.close().await
    }
}

/// Whether there is a database of that name.
pub(crate) async fn exists(conn: &mut Conn, name: &str) -> Result<bool, StoreError> {
    query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)")
        .bind(name)
        .fetch_one(conn)
        .await
}

/// Makes a database that holds every text, and sorts it by its octets.
pub(crate) async fn make(conn: &mut Conn, name: &str) -> Result<(), StoreError> {
    let name = quoted(name);
    let make = format!(
        "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER libc LOCALE 'C'"
    );
    carry_out(conn, make).await
}

/// Runs a statement that takes no values.
pub(crate) async fn carry_out(conn: &mut Conn, statement: String) -> Result<(), StoreError> {
    let statement = QueryBuilder::new(statement).build();
    statement.persistent(false).execute(conn).await?;
    Ok(())
}

/// `name` with `suffix`, cut off before it if both are too long.
fn with_suffix(name: &str, suffix: &str) -> String {
    let room = NAME.saturating_sub(suffix.len());
    let end = (0..=room.min(name.len()))
        .rev()
        .find(|end| name.is_char_boundary(*end));
    format!("{}{suffix}", &name[..end.unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_is_never_cut_off() {
        assert_eq!(with_suffix("flags", "_restoring"), "flags_restoring");
        let long = with_suffix(&"é".repeat(40), "_restoring");
        assert_eq!(long, format!("{}_restoring", "é".repeat(26)));
    }
}
