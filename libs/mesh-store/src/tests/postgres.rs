//! The conformance suite on PostgreSQL, and what only a server has: other clients, settings and time-outs.

use std::error::Error as _;
use std::path::Path;

use mesh_testkit::postgres::{Server, database as on_server};
use mesh_types::Timestamp;

use super::no_migrations;
use crate::conformance::{Checked, Database};
use crate::sql::query_scalar;
use crate::{RequestKey, Store, StoreError, Unfit};

mod suite {
    crate::conformance!(super::Database::postgres);
}

async fn refused(url: &str, create: bool) -> String {
    let url = url.to_owned();
    let opened = Store::open(&crate::Database { url, create }, &no_migrations()).await;
    match opened {
        Err(StoreError::Unfit(unfit @ Unfit::Server { .. })) => unfit.to_string(),
        other => panic!("{other:?}"),
    }
}

/// What would lose an acknowledged write is refused in one line that says why, and nothing is changed.
#[tokio::test]
async fn a_server_that_does_not_keep_its_word_is_refused_unchanged() {
    for (setting, expected) in [
        ("fsync = off", "fsync is off"),
        ("synchronous_commit = off", "synchronous_commit is off"),
    ] {
        let Some(server) = Server::start_in(&std::env::temp_dir(), setting) else {
            return;
        };
        let database = server.database();
        let said = refused(&database.url(), true).await;
        assert!(said.contains(expected), "{said}");
        assert!(!said.contains(server.password()), "{said}");
        assert!(!said.contains('\n'), "{said}");
        assert_eq!(
            database.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"),
            "0"
        );
    }
}

#[tokio::test]
async fn a_standby_is_refused() {
    let Some(server) = Server::start() else {
        return;
    };
    let database = server.database();
    let standby = server.standby();
    let url = format!("{}/{}", standby.url(), database.name());
    let name = database.name();
    let there = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
    mesh_testkit::wait_until("the standby has the database", async || {
        let count = standby.sql(&there);
        if count == "1" { Ok(()) } else { Err(count) }
    })
    .await;
    let said = refused(&url, true).await;
    assert!(said.contains("standby"), "{said}");
}

/// Without the leave to make one, nothing is made in a database that holds nothing.
#[tokio::test]
async fn an_empty_database_is_refused_without_leave() {
    let Some(database) = on_server() else {
        return;
    };
    let said = refused(&database.url(), false).await;
    assert!(said.contains("--create"), "{said}");
    assert_eq!(
        database.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"),
        "0"
    );
}

#[tokio::test]
async fn an_encoding_that_does_not_hold_every_text_is_refused() {
    let Some(database) = on_server() else {
        return;
    };
    let server = database.server();
    let name = format!("{}_latin", database.name());
    server.sql(&format!(
        "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
    ));
    let said = refused(&format!("{}/{name}", server.url()), true).await;
    assert!(said.contains("LATIN1"), "{said}");
    server.sql(&format!("DROP DATABASE {name} WITH (FORCE)"));
}

/// Nothing that is said of a failure holds the password.
#[tokio::test]
async fn a_password_is_never_told() {
    let Some(database) = on_server() else {
        return;
    };
    let wrong = database
        .url()
        .replace(database.server().password(), "s3cret-word");
    for url in [
        wrong.clone(),
        wrong.replace("/test_", "/nothing_"),
        wrong.replace("postgres:s3cret", "nobody:s3cret"),
        "postgres://u:s3cret-word@127.0.0.1:1/x".to_owned(),
    ] {
        let named = crate::Database::existing_or_new(&url);
        assert!(!format!("{named:?}").contains("s3cret"));
        let error = Store::open(&named, &no_migrations()).await.unwrap_err();
        let mut told = format!("{error} {error:?}");
        let mut source = error.source();
        while let Some(error) = source {
            told += &format!(" {error} {error:?}");
            source = error.source();
        }
        assert!(!told.contains("s3cret"), "{told}");
    }
}

/// `verify-full` takes the server whose certificate the named root has issued, and no other.
#[tokio::test]
async fn tls_is_used_with_the_server_that_the_named_root_vouches_for() -> Checked {
    let Some(database) = on_server() else {
        return Ok(());
    };
    let (url, server) = (database.url(), database.server());
    let with = |root: &Path| {
        let root = root.display();
        crate::Database::existing_or_new(format!("{url}?sslmode=verify-full&sslrootcert={root}"))
    };
    let root = server.authority();
    let store = Store::open(&with(&root), &no_migrations()).await?;
    let mut conn = store.readers().acquire().await?;
    let encrypted: bool = query_scalar("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        .fetch_one(&mut conn)
        .await?;
    assert!(encrypted);
    drop(conn);
    store.close().await;

    let folder = mesh_testkit::temp_dir();
    let other = folder.path().join("other.crt.pem");
    std::fs::write(&other, mesh_testkit::other_certificates().trust_pem())?;
    let said = refused(&with(&other).url, true).await;
    println!("{said}");
    assert!(said.contains("certificate"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(!said.contains(server.password()), "{said}");
    let said = refused(&with(&folder.path().join("none.pem")).url, true).await;
    println!("{said}");
    assert!(said.contains("sslrootcert"), "{said}");
    Ok(())
}

/// Text sorts by its octets whatever the database's own order is.
#[tokio::test]
async fn every_text_sorts_by_octets() -> Checked {
    let Some(database) = on_server() else {
        return Ok(());
    };
    let named = crate::Database::existing_or_new(database.url());
    let store = Store::open(&named, &no_migrations()).await?;
    let other = "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'public' \
                 AND data_type = 'text' AND table_name <> '_sqlx_migrations' \
                 AND collation_name IS DISTINCT FROM 'C'";
    assert_eq!(database.sql(other), "0");
    store.close().await;
    drop(store);
    // Somebody has made a table otherwise: keys would come in another order than they are asked for.
    database.sql("ALTER TABLE cursor ALTER COLUMN follower TYPE text COLLATE \"default\"");
    let said = refused(&database.url(), false).await;
    assert!(said.contains("cursor.follower"), "{said}");
    Ok(())
}

/// Replicas start at once on an empty database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_start_together() -> Checked {
    let Some(database) = on_server() else {
        return Ok(());
    };
    let named = crate::Database::existing_or_new(database.url());
    let migrations = no_migrations();
    let starts = (0..4).map(|_| Store::open(&named, &migrations));
    let stores = futures::future::try_join_all(starts).await?;
    let scope = crate::Scope {
        rpc: "List",
        caller: "A",
        filter: &[1; 32],
    };
    let token = stores[0].tokens().seal(&scope, b"key");
    for store in &stores {
        assert_eq!(store.tokens().open(&scope, &token)?, b"key");
    }
    Ok(())
}

/// Callers leave while a transaction begins: nobody reads or writes within what they have left.
#[tokio::test]
async fn a_begin_that_is_given_up_leaves_no_transaction() -> Checked {
    let Some(database) = on_server() else {
        return Ok(());
    };
    let named = crate::Database::existing_or_new(database.url());
    let store = Store::open(&named, &no_migrations()).await?;
    drop(store.snapshot().await?);
    for _ in 0..20 {
        {
            let snapshot = std::pin::pin!(store.snapshot());
            // It is asked for, and hardly ever waited for.
            let _ = futures::poll!(snapshot);
        }
        let mut conn = store.readers().acquire().await?;
        let isolation: String = query_scalar("SELECT current_setting('transaction_isolation')")
            .fetch_one(&mut conn)
            .await?;
        assert_eq!(isolation, "read committed");
    }
    Ok(())
}

/// A statement that was prepared while a table was small does not read all of it once it is large.
#[tokio::test]
async fn a_table_that_has_grown_is_read_by_its_index() -> Checked {
    let Some(database) = on_server() else {
        return Ok(());
    };
    let url = crate::Database::existing_or_new(database.url());
    let store = Store::open(&url, &no_migrations()).await?;
    let fill = |from: u32, to: u32| {
        database.sql(&format!(
            "INSERT INTO idempotency SELECT 'ALBION', 'AddFlag', number::text, sha256(''), '', 0 \
             FROM generate_series({from}, {to}) AS number"
        ))
    };
    let key = RequestKey {
        party: "ALBION".to_owned(),
        rpc: "AddFlag".into(),
        request_id: "none".to_owned(),
    };
    let rows_passed = async || {
        let mut tx = store.begin_write(Timestamp::from_micros(1)).await?;
        tx.look_up([&key]).await?;
        let passed: i64 = query_scalar(
            "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'idempotency'",
        )
        .fetch_one(tx.conn())
        .await?;
        tx.rollback().await?;
        Ok::<_, StoreError>(passed)
    };
    fill(1, 300);
    // Often enough for a plan to be kept.
    for _ in 0..20 {
        rows_passed().await?;
    }
    fill(301, 20_000);
    assert_eq!(rows_passed().await?, 0);
    store.close().await;
    Ok(())
}
