//! What a store is when it is opened again, and by which programs it may be.

use std::borrow::Cow;

use mesh_types::Timestamp;
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType};

use super::ledger::{Command, MIGRATIONS, World};
use super::{Checked, Database};
use crate::sql::query;
use crate::{Migrator, Scope, Store, StoreError, WriterSettings, log, verify};

/// Logs keep their epoch, their events and their chain; the writer goes on where it ended.
pub async fn a_store_that_is_opened_again_is_the_same(database: &Database) -> Checked {
    let world = World::start(database, WriterSettings::default()).await?;
    world.together((1..=3).map(Command::put)).await?;
    let before = world.events().await?;
    let head = verify::verify(world.store.readers(), &world.log).await??;
    world.stop().await;

    let world = World::start(database, WriterSettings::default()).await?;
    assert_eq!(world.store.committed().latest(&world.log), 3);
    assert_eq!(world.events().await?, before);
    assert_eq!(world.writer.submit(Command::put(4)).await??, 4);
    let after = verify::verify(world.store.readers(), &world.log).await??;
    assert_eq!(after.position.epoch, head.position.epoch);
    assert_eq!(world.events().await?[3].previous_hash, head.hash);
    Ok(())
}

/// A database that a newer program has changed, or in which a known migration reads differently,
/// is refused as it stands; so is a service that numbers within the library's range.
pub async fn migrations_that_do_not_fit_are_refused(database: &Database) -> Checked {
    World::start(database, WriterSettings::default())
        .await?
        .stop()
        .await;
    let renamed = "CREATE TABLE other (id BIGINT NOT NULL PRIMARY KEY)";
    let changed = Migrator::with_migrations(vec![migration(1000, renamed)]);
    let older = Migrator::with_migrations(Vec::new());
    let older_and_more = Migrator::with_migrations(vec![migration(2000, renamed)]);
    for migrations in [&changed, &older, &older_and_more] {
        let refused = Store::open(&database.with_leave(), migrations).await;
        assert!(
            matches!(refused, Err(StoreError::Migration(_))),
            "{refused:?}"
        );
    }
    let twice = Migrator::with_migrations(vec![migration(1000, renamed), migration(1000, "")]);
    let in_the_librarys_range = Migrator::with_migrations(vec![migration(999, renamed)]);
    for migrations in [&twice, &in_the_librarys_range] {
        let refused = Store::open(&database.with_leave(), migrations).await;
        assert!(
            matches!(refused, Err(StoreError::Inconsistent { .. })),
            "{refused:?}"
        );
    }
    let world = World::start(database, WriterSettings::default()).await?;
    let mut conn = world.store.readers().acquire().await?;
    let other = query("SELECT id FROM other").fetch_all(&mut conn).await;
    drop(conn);
    assert!(other.is_err(), "a refused migration was applied");
    world.stop().await;

    // A newer program adds its own, and what it adds is there.
    let mut newer: Vec<Migration> = MIGRATIONS.iter().cloned().collect();
    newer.push(migration(1001, renamed));
    let store = Store::open(&database.with_leave(), &Migrator::with_migrations(newer)).await?;
    let mut conn = store.readers().acquire().await?;
    query("SELECT id FROM other").fetch_all(&mut conn).await?;
    Ok(())
}

/// A page token is good after a restart; one of another database is not.
pub async fn one_secret_makes_the_tokens(database: &Database) -> Checked {
    let scope = Scope {
        rpc: "List",
        caller: "A",
        filter: &[1; 32],
    };
    let store = Store::open(&database.with_leave(), &MIGRATIONS).await?;
    let token = store.tokens().seal(&scope, b"last key");
    let mut tx = store.begin_write(Timestamp::from_micros(1)).await?;
    let log = super::ledger::ledger_log()?;
    tx.create_log(&log, log::random_epoch()).await?;
    tx.commit().await?;
    store.close().await;
    drop(store);
    let store = Store::open(&database.with_leave(), &MIGRATIONS).await?;
    assert_eq!(store.tokens().open(&scope, &token)?, b"last key");

    let mut tx = store.begin_write(Timestamp::from_micros(1)).await?;
    query("DELETE FROM token_key").execute(tx.conn()).await?;
    tx.commit().await?;
    store.close().await;
    drop(store);
    let another = Store::open(&database.with_leave(), &MIGRATIONS).await?;
    assert!(another.tokens().open(&scope, &token).is_err());
    Ok(())
}

fn migration(version: i64, sql: &'static str) -> Migration {
    let name = Cow::Borrowed("a test's own");
    Migration::new(
        version,
        name,
        MigrationType::Simple,
        sql.into_sql_str(),
        false,
    )
}
