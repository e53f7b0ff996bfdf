//! A server on which databases can be made: how are they named, made and dropped there?

use std::fmt;

use sqlx::migrate::Migrator;

use crate::StoreError;
use crate::database::Unfit;
use crate::postgres::Server;
use crate::postgres::named::{self, MAINTENANCE, carry_out};
use crate::schema::{FORBIDDEN, merged};
use crate::sql::{Conn, query_scalar, quoted};

/// The most characters of a prefix: a name has 63, which a server cuts off without a word.
const PREFIX: usize = 40;
/// Names as they are given here: never anything that would have to be escaped.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz0123456789-_";

/// A server for the databases of a mesh: `postgres://USER@HOST:PORT`, with `/PREFIX` where several share one, so
/// that each name begins with `PREFIX-`. Its text names no user and no password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseServer {
    /// Up to the `/`.
    place: String,
    prefix: String,
    /// From the `?` on.
    parameters: String,
}

impl fmt::Debug for DatabaseServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseServer({self})")
    }
}

impl fmt::Display for DatabaseServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = Server::of(&self.url(MAINTENANCE)).map_err(|_| fmt::Error)?;
        f.write_str(&server.place())?;
        match self.prefix.strip_suffix('-') {
            Some(prefix) => write!(f, "/{prefix}"),
            None => Ok(()),
        }
    }
}

impl DatabaseServer {
    /// The one that `url` names.
    pub fn of(url: &str) -> Result<Self, StoreError> {
        const FORM: StoreError = StoreError::Url(
            "postgres://USER@HOST:PORT, or postgres://USER@HOST:PORT/PREFIX with a prefix of at most 40 small \
             letters, digits, - and _",
        );
        let (address, parameters) = url.split_at(url.find('?').unwrap_or(url.len()));
        let (scheme, rest) = address.split_once("://").ok_or(FORM)?;
        let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let sound = prefix.len() <= PREFIX && prefix.chars().all(|letter| LETTERS.contains(letter));
        if !["postgres", "postgresql"].contains(&scheme) || !sound {
            return Err(FORM);
        }
        let server = Self {
            place: format!("{scheme}://{authority}"),
            prefix: match prefix {
                "" => String::new(),
                prefix => format!("{prefix}-"),
            },
            parameters: parameters.to_owned(),
        };
        Server::of(&server.url(MAINTENANCE))?;
        Ok(server)
    }

    /// Where a service finds its database: the service's name is its name.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        self.under(&format!("{}{name}", self.prefix))
    }

    fn under(&self, database: &str) -> String {
        format!("{}/{database}{}", self.place, self.parameters)
    }

    /// Those of `names` that have a database here.
    pub async fn present(&self, names: &[String]) -> Result<Vec<String>, StoreError> {
        let mut conn = self.connect().await?;
        let present = self.present_by(&mut conn, names).await;
        conn.close().await.ok();
        present
    }

    /// Makes the databases that are missing, and gives the names of those. They hold every text, and sort it
    /// by its octets.
    pub async fn make(&self, names: &[String]) -> Result<Vec<String>, StoreError> {
        let mut conn = self.connect().await?;
        let made = self.make_by(&mut conn, names).await;
        conn.close().await.ok();
        made
    }

    /// Drops those of the databases that are there, whoever is connected to them.
    pub async fn drop(&self, names: &[String]) -> Result<(), StoreError> {
        let mut conn = self.connect().await?;
        for name in names {
            let database = quoted(&self.full(name)?);
            let drop = format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)");
            carry_out(&mut conn, drop).await?;
        }
        conn.close().await
    }

    /// Brings the schema of a database up to date, as a service does when it starts and its role may; `migrations`
    /// are that service's. Says how many it took. `role` is let read and write its rows, and nothing else.
    pub async fn migrate(
        &self,
        name: &str,
        migrations: &Migrator,
        role: Option<&str>,
    ) -> Result<usize, StoreError> {
        let server = Server::of(&self.url(name))?;
        let migrations = merged(migrations)?;
        let mut conn = server.connect().await?;
        server.promises(&mut conn).await?;
        let applied = server.migrate(&mut conn, &migrations).await?;
        if let Some(role) = role {
            grant(&mut conn, role).await?;
        }
        conn.close().await?;
        Ok(applied)
    }

    /// Lets a service log in with this password, as a role that is named as its database would be, and connect to
    /// the databases of these names; apart from their owner and superusers nobody else may. Gives the role's name.
    pub async fn admit(
        &self,
        service: &str,
        password: &str,
        names: &[String],
    ) -> Result<String, StoreError> {
        let role = self.full(service)?;
        let mut conn = self.connect().await?;
        let there: bool =
            query_scalar("SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1)")
                .bind(&role)
                .fetch_one(&mut conn)
                .await?;
        let template = if there {
            "SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', $1::text, $2::text)"
        } else {
            "SELECT format('CREATE ROLE %I LOGIN PASSWORD %L', $1::text, $2::text)"
        };
        let statement: String = query_scalar(template)
            .bind(&role)
            .bind(password)
            .fetch_one(&mut conn)
            .await?;
        carry_out(&mut conn, statement).await?;
        for name in names {
            let database = quoted(&self.full(name)?);
            let revoke = format!("REVOKE CONNECT, TEMPORARY ON DATABASE {database} FROM PUBLIC");
            carry_out(&mut conn, revoke).await?;
            let role = quoted(&role);
            let grant = format!("GRANT CONNECT ON DATABASE {database} TO {role}");
            carry_out(&mut conn, grant).await?;
        }
        conn.close().await?;
        Ok(role)
    }

    async fn connect(&self) -> Result<Conn, StoreError> {
        Server::of(&self.under(MAINTENANCE))?.connect().await
    }

    async fn present_by(
        &self,
        conn: &mut Conn,
        names: &[String],
    ) -> Result<Vec<String>, StoreError> {
        let mut present = Vec::new();
        for name in names {
            if named::exists(conn, &self.full(name)?).await? {
                present.push(name.clone());
            }
        }
        Ok(present)
    }

    async fn make_by(&self, conn: &mut Conn, names: &[String]) -> Result<Vec<String>, StoreError> {
        let server = Server::of(&self.under(MAINTENANCE))?;
        server.promises(conn).await?;
        let present = self.present_by(conn, names).await?;
        let mut made = Vec::new();
        for name in names.iter().filter(|name| !present.contains(name)) {
            match named::make(conn, &self.full(name)?).await {
                Ok(()) => made.push(name.clone()),
                Err(error) => match error.sqlstate().as_deref() {
                    // Somebody else made it at the same time.
                    Some("42P04" | "23505") => {}
                    Some(FORBIDDEN) => return Err(self.may_not(name)),
                    _ => return Err(error),
                },
            }
        }
        Ok(made)
    }

    /// The name of a database on the server.
    fn full(&self, name: &str) -> Result<String, StoreError> {
        if name.is_empty() || !name.chars().all(|letter| LETTERS.contains(letter)) {
            return Err(StoreError::Url(
                "the name of a database has small letters, digits, - and _",
            ));
        }
        Ok(format!("{}{name}", self.prefix))
    }

    fn may_not(&self, name: &str) -> StoreError {
        let what = "it is not there, and the user may not make databases: have it made by one who may, with \
                    the encoding UTF8 and the locale C";
        Unfit::Server {
            database: format!("{}{name} at {self}", self.prefix),
            what: what.to_owned(),
        }
        .into()
    }
}

/// Lets `role` do what a service does.
async fn grant(conn: &mut Conn, role: &str) -> Result<(), StoreError> {
    let role: String = query_scalar("SELECT quote_ident($1)")
        .bind(role)
        .fetch_one(conn)
        .await?;
    let schema: String = query_scalar("SELECT quote_ident(current_schema())")
        .fetch_one(conn)
        .await?;
    for statement in [
        format!("GRANT USAGE ON SCHEMA {schema} TO {role}"),
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}"),
        format!("REVOKE INSERT, UPDATE, DELETE ON _sqlx_migrations FROM {role}"),
    ] {
        carry_out(conn, statement).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_stands_before_each_name_and_no_password_is_told() {
        let alone = DatabaseServer::of("postgres://clerk:secret@db.example:5433").unwrap();
        assert_eq!(
            alone.url("flag-registry"),
            "postgres://clerk:secret@db.example:5433/flag-registry"
        );
        assert_eq!(alone.to_string(), "db.example:5433");
        let url = "postgres://clerk:secret@db.example:5433/town?sslmode=require";
        let shared = DatabaseServer::of(url).unwrap();
        assert_eq!(
            shared.url("registration"),
            "postgres://clerk:secret@db.example:5433/town-registration?sslmode=require"
        );
        assert_eq!(
            format!("{shared:?}"),
            "DatabaseServer(db.example:5433/town)"
        );
        assert_ne!(alone, shared);
    }

    #[test]
    fn what_names_no_server_is_refused_without_a_word_of_it() {
        for url in [
            "sqlite://secret.db",
            "secret",
            "postgres://clerk:secret@host/Town",
            "postgres://clerk:secret@host/a/b",
            "postgres://clerk:secret@host/x\"; DROP DATABASE y",
            "postgres://clerk:secret@host/a-prefix-that-is-longer-than-a-name-of-ours-may-be",
            "postgres://clerk:secret@host/town?sslmod=require",
        ] {
            let error = DatabaseServer::of(url).unwrap_err();
            let said = format!("{error} {error:?}");
            assert!(matches!(error, StoreError::Url(_)), "{said}");
            assert!(!said.contains("secret"), "{said}");
        }
    }
}
