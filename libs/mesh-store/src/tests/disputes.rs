//! An operator's answer to what is disputed.

use mesh_types::Timestamp;

use super::{database, no_migrations};
use crate::conformance::Checked;
use crate::cursor::Cursor;
use crate::dispute::{self, Word};
use crate::sql::query_scalar;
use crate::{Decision, Lost, Resolve, Seen, Store, log};

/// The history that only the one knows who disputes the log is over with the others.
#[tokio::test]
async fn an_accepted_loss_answers_what_is_disputed() -> Checked {
    let folder = tempfile::tempdir()?;
    let store = Store::open(&database(&folder), &no_migrations()).await?;
    let (north, south) = ("csp/north".parse()?, "csp/south".parse()?);
    let mut tx = store.begin_write(Timestamp::from_micros(1)).await?;
    tx.create_log(&north, log::random_epoch()).await?;
    tx.create_log(&south, log::random_epoch()).await?;
    tx.lock(&north).await?;
    let mut seen = Cursor::from(tx.head(&north)?);
    seen.position.epoch = log::random_epoch();
    seen.position.sequence = 7;
    assert_eq!(
        dispute::hear(&mut tx, &seen, "north").await?,
        Word::Disputes
    );
    tx.commit().await?;
    store.close().await;
    drop(store);

    let decision = Decision {
        by: "an operator".to_owned(),
        reason: "an older file".to_owned(),
        at: Timestamp::from_micros(9),
        seen: Vec::new(),
    };
    let accepted = crate::accept_loss(
        &folder.path().join("store.db"),
        &decision,
        Resolve::CarryOut,
    )
    .await?;
    let lost: Vec<_> = accepted.logs.iter().map(|log| log.lost.clone()).collect();
    let expected = Lost {
        epoch: seen.position.epoch,
        seen_up_to: 7,
        by: "north".to_owned(),
    };
    assert_eq!(lost, [vec![expected], vec![]]);
    let store = Store::open(&database(&folder), &no_migrations()).await?;
    assert_eq!(store.judge_seen(&seen).await?, Seen::Accepted);
    let mut conn = store.readers().acquire().await?;
    assert_eq!(dispute::of(&mut conn, &north).await?, None);
    let kept: i64 = query_scalar("SELECT COUNT(*) FROM log_dispute")
        .fetch_one(&mut conn)
        .await?;
    assert_eq!(kept, 0);
    Ok(())
}
