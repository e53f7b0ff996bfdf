//! What processes on one server tell one another of their commits, and what becomes of a listener whose connection is killed.

use std::sync::Arc;

use futures::future::{Either, select};
use mesh_testkit::postgres::{Database as OnServer, database as on_server};
use mesh_testkit::{LIMIT, wait_until};
use mesh_types::{LogName, Timestamp};
use sqlx::PgPool;
use tokio::sync::Notify;

use super::no_migrations;
use crate::conformance::Checked;
use crate::hints::Hints;
use crate::replicas::Replica;
use crate::{Store, log};

/// The connections that listen.
const LISTENERS: &str = "query LIKE 'LISTEN%'";

fn listeners(database: &OnServer) -> String {
    database.sql(&format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {LISTENERS}"
    ))
}

async fn open(database: &OnServer) -> Result<Store, crate::StoreError> {
    let named = crate::Database::existing_or_new(database.url());
    Store::open(&named, &no_migrations()).await
}

/// Without anybody who looks: what is told arrives, also after the connection was killed, and a kill is told itself.
#[tokio::test]
async fn a_hint_arrives_and_so_does_the_end_of_the_connection() -> Checked {
    let Some(database) = on_server() else {
        return Ok(());
    };
    // Makes the tables; it would listen, too.
    open(&database).await?.close().await;
    let hints = async || -> Result<Hints, Box<dyn std::error::Error + Send + Sync>> {
        let mut conn = crate::conformance::behind(&database.url()).await?;
        let replica = Replica::enter(&mut conn, true).await?;
        Ok(Hints::new(PgPool::connect(&database.url()).await?, replica))
    };
    let (teller, listener) = (hints().await?, hints().await?);
    let hint = Notify::new();
    let hearing = std::pin::pin!(listener.hear(&hint));
    let telling = std::pin::pin!(async {
        let heard = async || {
            let heard = tokio::time::timeout(LIMIT, hint.notified()).await;
            heard.expect("a hint before the limit");
        };
        // It listens now.
        heard().await;
        for _ in 0..3 {
            teller.tell().await?;
            heard().await;
            assert_eq!(database.end_connections(LISTENERS), 1);
            heard().await;
        }
        Ok::<_, sqlx::Error>(())
    });
    match select(hearing, telling).await {
        Either::Left((ended, _)) => panic!("it listens no more: {ended:?}"),
        Either::Right((told, _)) => told?,
    }
    Ok(())
}

/// A process that is alone does not listen. Two do, and come back to it; nothing is missed meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_is_killed_during_writes() -> Checked {
    let Some(database) = on_server() else {
        return Ok(());
    };
    let writing = open(&database).await?;
    assert_eq!(listeners(&database), "0");
    let log: LogName = "ledger".parse()?;
    let at = Timestamp::from_micros;
    let mut tx = writing.begin_write(at(1)).await?;
    tx.create_log(&log, log::random_epoch()).await?;
    tx.commit().await?;
    let hearing = open(&database).await?;
    let both_listen = async || {
        let listen = async || match listeners(&database) {
            both if both == "2" => Ok(()),
            other => Err(other),
        };
        wait_until("both to listen", listen).await;
    };
    both_listen().await;
    let heard = Arc::new(hearing.clone());
    let mut committed = heard.committed().subscribe(&log);
    for event in 1..=60_u64 {
        let mut tx = writing.begin_write(at(1)).await?;
        tx.lock(&log).await?;
        tx.append(&log, |_| vec![1])?;
        tx.commit().await?;
        if event % 20 == 0 {
            assert!(database.end_connections(LISTENERS) > 0);
        }
        let latest = committed.wait_for(|latest| *latest >= event);
        tokio::time::timeout(LIMIT, latest).await??;
    }
    both_listen().await;
    writing.close().await;
    hearing.close().await;
    Ok(())
}
