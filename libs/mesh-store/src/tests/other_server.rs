//! The server under an open store is another one of a sudden, or a later start finds what was said of it.

use mesh_testkit::{postgres, wait_until};
use mesh_types::{LogName, ManualClock, Timestamp};

use super::no_migrations;
use crate::conformance::Checked;
use crate::cursor::Cursor;
use crate::{
    Condition, Database, Decision, Resolve, Seen, Store, StoreError, Trouble, accept_loss,
};

fn log() -> LogName {
    "flags".parse().unwrap()
}

async fn open(database: &postgres::Database) -> Result<Store, StoreError> {
    let named = Database::existing_or_new(database.url());
    let store = Store::open(&named, &no_migrations()).await?;
    let clock = ManualClock::new(Timestamp::from_micros(1));
    store.make_logs(&[&log()], &clock).await?;
    Ok(store)
}

async fn append(store: &Store) -> Result<Cursor, StoreError> {
    let mut tx = store.begin_write(Timestamp::from_micros(7)).await?;
    tx.lock(&log()).await?;
    tx.append(&log(), |stamp| stamp.position.to_string().into_bytes())?;
    let seen = Cursor::from(tx.head(&log())?);
    tx.commit().await?;
    Ok(seen)
}

/// Takes the last event away, as if it had never reached this server.
fn forget_last(database: &postgres::Database) {
    database.sql(
        "DELETE FROM log_event WHERE sequence = (SELECT sequence FROM log_head); \
         UPDATE log_head SET (sequence, hash, recorded_time) = \
         (SELECT sequence, hash, recorded_time FROM log_event ORDER BY sequence DESC LIMIT 1)",
    );
}

fn refused<T: std::fmt::Debug>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::WentBack { log: named }) if *named == log())
}

async fn is_told(store: &Store) {
    let expected = Condition::Trouble(Trouble::WentBack { log: log() });
    wait_until("the log to be known to have gone back", async || {
        let said = store.condition().borrow().clone();
        if said == expected {
            Ok(())
        } else {
            Err(format!("{said:?}"))
        }
    })
    .await;
}

/// The very next write is refused: nobody has to tell, and nothing is numbered anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_acknowledged_an_event_does_not_write_without_it() -> Checked {
    let Some(database) = postgres::database() else {
        return Ok(());
    };
    let store = open(&database).await?;
    append(&store).await?;
    append(&store).await?;
    forget_last(&database);
    let next = append(&store).await;
    assert!(refused(&next), "{next:?}");
    assert_eq!(database.sql("SELECT max(sequence) FROM log_event"), "1");
    // Another replica, which has seen nothing, hears of it.
    let other = open(&database).await?;
    is_told(&other).await;
    store.close().await;
    other.close().await;
    Ok(())
}

/// Others have written on, so that the number is there again: its hash is another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_was_replaced_is_missed_within_seconds() -> Checked {
    let Some(database) = postgres::database() else {
        return Ok(());
    };
    let store = open(&database).await?;
    append(&store).await?;
    append(&store).await?;
    // At once: a look in between would find the log shortened and stop whoever writes on.
    database.sql(
        "UPDATE log_event SET hash = decode(repeat('02', 32), 'hex') WHERE sequence = 2; \
         INSERT INTO log_event (log, sequence, recorded_time, previous_hash, hash, event) \
         SELECT log, 3, recorded_time, hash, decode(repeat('03', 32), 'hex'), event \
         FROM log_event WHERE sequence = 2; \
         UPDATE log_head SET (sequence, hash) = \
         (SELECT sequence, hash FROM log_event WHERE sequence = 3)",
    );
    is_told(&store).await;
    let other = open(&database).await?;
    is_told(&other).await;
    Ok(())
}

/// What a follower has said outlives the process, until an operator decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_stays_stopped_until_an_operator_accepts_the_loss() -> Checked {
    let Some(database) = postgres::database() else {
        return Ok(());
    };
    let store = open(&database).await?;
    append(&store).await?;
    let last = append(&store).await?;
    store.close().await;
    drop(store);
    forget_last(&database);
    let store = open(&database).await?;
    assert_eq!(store.judge_seen(&last).await?, Seen::WentBack);
    store.went_back(&last, "classification");
    store.close().await;
    drop(store);

    let store = open(&database).await?;
    let next = append(&store).await;
    assert!(refused(&next), "{next:?}");
    let decision = Decision {
        by: "an operator".to_owned(),
        reason: "a standby was promoted".to_owned(),
        at: Timestamp::from_micros(9),
        seen: Vec::new(),
    };
    let at: crate::Location = database.url().parse()?;
    let in_use = accept_loss(&at, &decision, Resolve::CarryOut).await;
    assert!(matches!(in_use, Err(StoreError::Unfit(_))), "{in_use:?}");
    store.close().await;
    drop(store);

    let tried = accept_loss(&at, &decision, Resolve::Try).await?;
    assert_eq!(tried.logs[0].lost[0].by, "classification");
    assert_eq!(tried.logs[0].lost[0].seen_up_to, 2);
    let store = open(&database).await?;
    assert!(refused(&append(&store).await), "a trial accepts nothing");
    store.close().await;
    drop(store);

    let accepted = accept_loss(&at, &decision, Resolve::CarryOut).await?;
    assert_eq!(accepted.logs[0].goes_on_after, 1);
    assert_eq!(accepted.logs[0].lost, tried.logs[0].lost);
    let store = open(&database).await?;
    assert_eq!(store.judge_seen(&last).await?, Seen::Accepted);
    let next = append(&store).await?;
    assert_eq!(next.position.sequence, 2);
    assert_eq!(next.position.epoch, accepted.logs[0].begun);
    let whole = crate::verify::verify(store.readers(), &log()).await?;
    assert!(whole.is_ok(), "{whole:?}");
    Ok(())
}

/// The claim goes with the database that it was about.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_ends_when_the_right_state_is_back() -> Checked {
    let Some(database) = postgres::database() else {
        return Ok(());
    };
    let store = open(&database).await?;
    append(&store).await?;
    let last = append(&store).await?;
    let before = "CREATE TABLE aside AS SELECT * FROM log_event; CREATE TABLE ends AS SELECT * FROM log_head";
    database.sql(before);
    store.close().await;
    drop(store);
    forget_last(&database);
    let store = open(&database).await?;
    store.went_back(&last, "classification");
    store.close().await;
    drop(store);
    database.sql(
        "DELETE FROM log_event; INSERT INTO log_event SELECT * FROM aside; \
         DELETE FROM log_head; INSERT INTO log_head SELECT * FROM ends; DROP TABLE aside, ends",
    );
    let store = open(&database).await?;
    assert_eq!(append(&store).await?.position.sequence, 3);
    assert_eq!(database.sql("SELECT count(*) FROM log_claim"), "0");
    Ok(())
}
