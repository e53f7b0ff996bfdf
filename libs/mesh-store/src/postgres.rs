//! How is a database on a PostgreSQL server opened, and which one is refused?
//!
//! What is acknowledged must be on the server's disk, and text must sort by its octets as it does on SQLite. A
//! database that cannot promise that is refused as it stands, before anything in it is changed.

mod alone;
pub(crate) mod named;

use std::fmt;
use std::io::ErrorKind;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgPool};

use crate::database::Unfit;
use crate::presence::Presence;
use crate::sql::{Conn, Pool, query_as, query_scalar};
use crate::{StoreError, catalogue, log, schema};

/// What may stand behind the `?` of a URL. One that is not known would be left out without a word: a
/// mistyped `sslmode` would give up TLS.
const PARAMETERS: [&str; 6] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "application_name",
];
/// The oldest server whose promises are known: 15, as its number is written.
const OLDEST: i32 = 150_000;

/// How long a start waits for the server to answer.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a connection is waited for.
const ACQUIRE: Duration = Duration::from_secs(5);
/// How long the lock of the writers, or of a row, is waited for.
const LOCK: &str = "5s";
/// How long a statement may take. Reads are pages, writes are batches.
const STATEMENT: &str = "30s";
/// How long a transaction may do nothing: a process that hangs gives up its locks.
const IDLE: &str = "30s";
/// Reads of one process at a time.
const READERS: u32 = 8;
/// A connection that was not used for so long is asked first whether it is still there.
const RESTED: Duration = Duration::from_secs(2);

/// An open database.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) writer: Pool,
    pub(crate) readers: Pool,
    /// For what processes tell one another.
    pub(crate) hints: PgPool,
}

/// Where a database is, as a URL says. Its text names no user and no password.
#[derive(Clone)]
pub(crate) struct Server {
    options: PgConnectOptions,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({self})")
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let database = self.options.get_database().unwrap_or_default();
        write!(f, "{database} at {}", self.place())
    }
}

impl Server {
    /// The one that `url` names.
    pub(crate) fn of(url: &str) -> Result<Self, StoreError> {
        const FORM: StoreError =
            StoreError::Url("postgres://USER@HOST:PORT/DATABASE, with ?sslmode=… if need be");
        let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
        let known = |parameter: &str| {
            let name = parameter.split_once('=').map_or("", |(name, _)| name);
            PARAMETERS.contains(&name)
        };
        if !parameters.is_empty() && !parameters.split('&').all(known) {
            return Err(StoreError::Url(
                "of a postgres:// URL these parameters are known: sslmode, sslrootcert, sslcert, \
                 sslkey, host, application_name",
            ));
        }
        // What the parser says may repeat the URL, and the password in it.
        let options = PgConnectOptions::from_str(url).map_err(|_| FORM)?;
        if options.get_database().is_none_or(str::is_empty) {
            return Err(FORM);
        }
        let options = match options.get_application_name() {
            None => options.application_name("mp169"),
            Some(_) => options,
        };
        Ok(Self { options })
    }

    /// Where the server is.
    pub(crate) fn place(&self) -> String {
        let options = &self.options;
        match options.get_socket() {
            Some(folder) => format!("{}:{}", folder.display(), options.get_port()),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        }
    }

    /// A connection of its own, without limits to what is asked on it.
    pub(crate) async fn connect(&self) -> Result<Conn, StoreError> {
        let connected = tokio::time::timeout(CONNECT, self.options.clone().connect()).await;
        let connected = connected.unwrap_or_else(|_| {
            let what = std::io::Error::other("it does not answer");
            Err(sqlx::Error::Io(what))
        });
        let conn = connected.map_err(|error| self.not_connected(error))?;
        Ok(conn.into())
    }

    /// Why there is no connection, in the words of whoever can do something about it.
    fn not_connected(&self, error: sqlx::Error) -> StoreError {
        let what = match &error {
            sqlx::Error::Database(refusal) => match refusal.code().as_deref() {
                Some("3D000") => "there is none of that name: name the right one, or have it made \
                     (`mp169 up --create`, `mp169 db migrate --create`)"
                    .to_owned(),
                Some("28000" | "28P01") => "the server does not accept the user".to_owned(),
                _ => return error.into(),
            },
            // By an address there is nothing else that could be missing.
            sqlx::Error::Io(why)
                if why.kind() == ErrorKind::NotFound && self.options.get_socket().is_none() =>
            {
                "there is no such file as its sslrootcert, sslcert or sslkey names".to_owned()
            }
            sqlx::Error::Io(why) => format!("the server cannot be reached ({why})"),
            sqlx::Error::Tls(why) => format!("TLS with the server fails ({why})"),
            _ => return error.into(),
        };
        self.unfit(&what)
    }

    /// Opens the database and brings its schema up to date. Without the leave to `create` one, a database
    /// without tables is refused.
    pub(crate) async fn open(
        &self,
        create: bool,
        migrations: &Migrator,
        presence: &Presence,
    ) -> Result<Opened, StoreError> {
        // Another replica may be bringing the schema up to date, and that may take long.
        let mut conn = self.connect().await?;
        let prepared = self.prepare(&mut conn, create, migrations).await;
        // Whatever it holds is given up with it.
        conn.close().await.ok();
        prepared?;
        let settings = [
            ("statement_timeout", STATEMENT),
            ("lock_timeout", LOCK),
            ("idle_in_transaction_session_timeout", IDLE),
            // A plan that is kept is that of the tables as they were. Of small ones it reads every row, and goes on
            // to while they grow, until they are analyzed: a minute of a first load.
            ("plan_cache_mode", "force_custom_plan"),
        ];
        let options = self.options.clone().options(settings);
        let pool = |connections| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE)
                .test_before_acquire(false)
                .before_acquire(|conn, known| {
                    Box::pin(async move {
                        if known.idle_for >= RESTED {
                            conn.ping().await?;
                        }
                        Ok(true)
                    })
                })
        };
        let writer = pool(1).connect_lazy_with(options.clone());
        // One that listens is never at rest.
        let hints = pool(2).idle_timeout(None).max_lifetime(None);
        let hints = hints.connect_lazy_with(options.clone());
        let reading = options.options([("default_transaction_read_only", "on")]);
        let readers = pool(READERS).connect_lazy_with(reading);
        Ok(Opened {
            writer: Pool::on_server(writer, presence.clone()),
            readers: Pool::on_server(readers, presence.clone()),
            hints,
        })
    }

    async fn prepare(
        &self,
        conn: &mut Conn,
        create: bool,
        migrations: &Migrator,
    ) -> Result<(), StoreError> {
        self.promises(conn).await?;
        self.encodes(conn).await?;
        let there = catalogue::names(conn).await?.contains(log::HEADS);
        if !there && !create {
            return Err(self.unfit(
                "it holds nothing: name the right one, or restore a backup; if there never was anything \
                 in it, start with --create",
            ));
        }
        self.migrate(conn, migrations).await?;
        let other: Option<String> = query_scalar(
            "SELECT a.attrelid::regclass || '.' || a.attname FROM pg_attribute AS a \
             JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_collation AS l ON l.oid = a.attcollation \
             WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace \
             AND a.attnum > 0 AND NOT a.attisdropped AND c.relname <> '_sqlx_migrations' \
             AND l.collname <> 'C' LIMIT 1",
        )
        .fetch_optional(conn)
        .await?;
        match other {
            None => Ok(()),
            Some(column) => Err(self.unfit(&format!("{column} does not sort by octets"))),
        }
    }

    /// Brings the schema up to date where it is not, and says how many migrations that took. A role that may not
    /// alter tables needs nothing more than a schema that is right.
    pub(crate) async fn migrate(
        &self,
        conn: &mut Conn,
        migrations: &Migrator,
    ) -> Result<usize, StoreError> {
        let migrated = async {
            let missing = schema::missing(conn, migrations).await?;
            if missing != Some(0) {
                // What does not fit is refused by it in its own words.
                conn.migrate(migrations).await?;
            }
            Ok(missing.unwrap_or_default())
        };
        migrated.await.map_err(|error| {
            if schema::is_forbidden(&error) {
                self.unfit(
                    "its schema is not the one of this program, or hidden, and the user may not change it: \
                     `mp169 db migrate` does, as a user who may, and --grant lets this one use it",
                )
            } else {
                error
            }
        })
    }

    /// Whether what the server acknowledges is on its disk.
    pub(crate) async fn promises(&self, conn: &mut Conn) -> Result<(), StoreError> {
        let (version, standby, fsync, commit): (i32, bool, String, String) = query_as(
            "SELECT current_setting('server_version_num')::integer, pg_is_in_recovery(), \
             current_setting('fsync'), current_setting('synchronous_commit')",
        )
        .fetch_one(conn)
        .await?;
        if version < OLDEST {
            let version = version / 10_000;
            return Err(self.unfit(&format!(
                "the server is PostgreSQL {version}, and 15 is needed"
            )));
        }
        if standby {
            return Err(
                self.unfit("the server is a standby and can only be read: name the primary")
            );
        }
        if fsync != "on" {
            return Err(self.unfit("fsync is off: what is acknowledged could be lost"));
        }
        if commit == "off" {
            return Err(self.unfit("synchronous_commit is off: what is acknowledged could be lost"));
        }
        Ok(())
    }

    /// Whether the database holds every text.
    async fn encodes(&self, conn: &mut Conn) -> Result<(), StoreError> {
        let encoding: String = query_scalar("SELECT current_setting('server_encoding')")
            .fetch_one(conn)
            .await?;
        match encoding.as_str() {
            "UTF8" => Ok(()),
            other => Err(self.unfit(&format!("its encoding is {other}, and UTF8 is needed"))),
        }
    }

    pub(crate) fn unfit(&self, what: &str) -> StoreError {
        Unfit::Server {
            database: self.to_string(),
            what: what.to_owned(),
        }
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_told_without_its_user_and_password() {
        let server = Server::of("postgres://clerk:secret@db.example:5433/flags?sslmode=require");
        let server = server.unwrap();
        assert_eq!(server.to_string(), "flags at db.example:5433");
        assert_eq!(format!("{server:?}"), "Server(flags at db.example:5433)");
    }

    #[test]
    fn a_url_that_could_be_misread_is_refused() {
        for url in [
            "postgres://host",
            "postgres://host/",
            "postgres://clerk:secret@host:port/flags",
            "postgres://clerk:secret@host/flags?sslmod=verify-full",
            "postgres://clerk:secret@host/flags?sslmode=surely",
            "postgres://host/flags?sslmode",
        ] {
            let error = Server::of(url).unwrap_err();
            let said = format!("{error} {error:?}");
            assert!(matches!(error, StoreError::Url(_)), "{said}");
            assert!(!said.contains("secret"), "{said}");
        }
    }
}
