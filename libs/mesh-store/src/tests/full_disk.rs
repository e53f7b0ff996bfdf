//! A disk that is really full: a small tmpfs, where the test may mount one.

use std::time::Duration;

use mesh_testkit::SmallDisk;
use mesh_types::Timestamp;

use super::no_migrations;
use crate::conformance::Checked;
use crate::{Condition, Database, Store, StoreError, Trouble, log};

/// Of 400 writes 400 failed, and health said SERVING.
#[tokio::test]
async fn a_full_disk_is_told_and_heals_by_itself() -> Checked {
    let Some(disk) = SmallDisk::of(4) else {
        return Ok(());
    };
    let path = disk.path().join("store.db");
    let database = Database::existing_or_new(format!("sqlite://{}", path.display()));
    let store = Store::open(&database, &no_migrations()).await?;
    let log = "kept".parse()?;
    let mut tx = store.begin_write(Timestamp::from_micros(1)).await?;
    tx.create_log(&log, log::random_epoch()).await?;
    tx.commit().await?;
    let write = async || -> Result<(), StoreError> {
        let mut tx = store.begin_write(Timestamp::from_micros(1)).await?;
        tx.lock(&log).await?;
        tx.append(&log, |_| vec![0; 64 << 10])?;
        tx.commit().await
    };
    let mut condition = store.condition();
    let mut written = 0;
    let full = loop {
        match write().await {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 100, "the disk never fills");
    };
    assert!(matches!(full, StoreError::Unavailable(_)), "{full:?}");
    // Nobody writes any more: the store tries by itself.
    let limit = Duration::from_secs(60);
    let told = condition.wait_for(|condition| condition.trouble() == Some(&Trouble::CannotWrite));
    tokio::time::timeout(limit, told).await??;
    disk.grow(64);
    let healed = condition.wait_for(|condition| *condition == Condition::Sound);
    tokio::time::timeout(limit, healed).await??;
    write().await?;
    let head = crate::verify::verify(store.readers(), &log).await??;
    assert_eq!(head.position.sequence, written + 1);
    store.close().await;
    Ok(())
}
