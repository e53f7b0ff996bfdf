//! What an operator, a disk or a thief does to the files of a database, and what the next start says.

use std::path::{Path, PathBuf};

use mesh_types::{ManualClock, Timestamp};
use sqlx::Connection as _;

use crate::conformance::Checked;
use crate::cursor::{self, Cursor};
use crate::sqlite::beside;
use crate::{Database, Migrator, Resolve, Seen, Store, StoreError, Trouble, Unfit, log};

/// A database, and what stands beside it.
const FILES: [&str; 3] = ["", "-wal", ".witness"];

struct Attacked {
    folder: tempfile::TempDir,
}

impl Attacked {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }

    fn url(&self) -> String {
        format!("sqlite://{}", self.path().display())
    }

    async fn open(&self) -> Result<Store, StoreError> {
        open(Database::existing(self.url())).await
    }

    async fn open_or_make(&self) -> Result<Store, StoreError> {
        open(Database::existing_or_new(self.url())).await
    }

    /// A database with so many events, closed as a service does that is told to stop.
    async fn with_events(events: u64) -> Result<Self, StoreError> {
        let attacked = Self::new();
        let store = attacked.open_or_make().await?;
        append(&store, events).await?;
        store.close().await;
        Ok(attacked)
    }

    /// What a process that is killed now leaves of an open database.
    fn killed(&self) -> Self {
        let copy = Self::new();
        self.copy_to(&copy, &FILES);
        copy
    }

    fn copy_to(&self, other: &Self, files: &[&str]) {
        for suffix in FILES {
            let _ = std::fs::remove_file(beside(&other.path(), suffix));
        }
        for suffix in files {
            let (from, to) = (beside(&self.path(), suffix), beside(&other.path(), suffix));
            if from.exists() {
                std::fs::copy(from, to).unwrap();
            }
        }
    }

    /// All files and what is in them.
    fn content(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut content: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| !path.to_string_lossy().ends_with("-shm"))
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .filter(|(path, _)| !path.to_string_lossy().ends_with(".lock"))
            .collect();
        content.sort();
        content
    }

    /// The start is refused, and leaves everything as it was; so it is with the leave to make one.
    async fn refused(&self) -> Unfit {
        let before = self.content();
        let refused = unfit(self.open().await);
        assert_eq!(unfit(self.open_or_make().await), refused);
        assert!(self.content() == before, "{refused}: something was changed");
        refused
    }
}

async fn open(database: Database) -> Result<Store, StoreError> {
    Store::open(&database, &Migrator::with_migrations(Vec::new())).await
}

fn unfit(opened: Result<Store, StoreError>) -> Unfit {
    match opened {
        Err(StoreError::Unfit(unfit)) => unfit,
        other => panic!("{other:?}"),
    }
}

async fn append(store: &Store, events: u64) -> Result<(), StoreError> {
    let log = "flags".parse().unwrap();
    let clock = ManualClock::new(Timestamp::from_micros(7));
    store.make_logs(&[&log], &clock).await?;
    for _ in 0..events {
        let mut tx = store.begin_write(Timestamp::from_micros(7)).await?;
        tx.lock(&log).await?;
        tx.append(&log, |stamp| stamp.position.to_string().into_bytes())?;
        tx.commit().await?;
    }
    Ok(())
}

async fn reached(store: &Store) -> Result<Cursor, StoreError> {
    let mut conn = store.readers().acquire().await?;
    let head = log::head(&mut conn, &"flags".parse().unwrap()).await?;
    Ok(Cursor::from(&head.unwrap()))
}

fn flip(path: &Path, octet: usize) {
    let mut content = std::fs::read(path).unwrap();
    content[octet] ^= 1;
    std::fs::write(path, content).unwrap();
}

#[tokio::test]
async fn a_database_is_made_with_leave_only() -> Checked {
    let attacked = Attacked::new();
    let missing = unfit(attacked.open().await);
    assert!(matches!(missing, Unfit::Missing { .. }), "{missing}");
    assert!(missing.to_string().contains("--create"), "{missing}");
    attacked.open_or_make().await?.close().await;
    attacked.open().await?.close().await;

    let nowhere = attacked.folder.path().join("no/folder/store.db");
    let url = format!("sqlite://{}", nowhere.display());
    let missing = unfit(open(Database::existing(url)).await);
    assert!(matches!(missing, Unfit::Missing { .. }), "{missing}");
    assert!(!nowhere.parent().unwrap().exists());
    Ok(())
}

/// Each of these made an empty database, or was opened without a word.
#[tokio::test]
async fn a_database_that_went_missing_or_is_empty_is_refused_even_with_leave() -> Checked {
    let attacked = Attacked::with_events(3).await?;
    let whole = std::fs::read(attacked.path())?;
    std::fs::remove_file(attacked.path())?;
    let refused = attacked.refused().await;
    assert!(matches!(refused, Unfit::Lost { .. }), "{refused}");
    std::fs::write(attacked.path(), b"")?;
    let refused = attacked.refused().await;
    assert!(matches!(refused, Unfit::Empty { .. }), "{refused}");
    // A database without tables, as SQLite makes it.
    let mut conn = sqlx::SqliteConnection::connect(&attacked.url()).await?;
    sqlx::raw_sql("CREATE TABLE t (c); DROP TABLE t")
        .execute(&mut conn)
        .await?;
    conn.close().await?;
    let refused = attacked.refused().await;
    assert!(matches!(refused, Unfit::Empty { .. }), "{refused}");
    // The right file back.
    std::fs::write(attacked.path(), whole)?;
    assert_eq!(reached(&attacked.open().await?).await?.position.sequence, 3);
    Ok(())
}

#[tokio::test]
async fn an_older_database_is_refused_and_named_by_its_log() -> Checked {
    let attacked = Attacked::with_events(30).await?;
    let older = attacked.killed();
    let store = attacked.open().await?;
    append(&store, 254).await?;
    store.close().await;
    drop(store);

    let newer = attacked.killed();
    older.copy_to(&attacked, &[""]);
    std::fs::copy(
        beside(&newer.path(), ".witness"),
        beside(&attacked.path(), ".witness"),
    )?;
    let refused = attacked.refused().await;
    let expected = Unfit::Behind {
        path: attacked.path(),
        log: "flags".parse()?,
        remembered: 284,
        found: "ends at event 30".to_owned(),
    };
    assert_eq!(refused, expected);
    // The newest back.
    newer.copy_to(&attacked, &FILES);
    let store = attacked.open().await?;
    assert_eq!(reached(&store).await?.position.sequence, 284);
    Ok(())
}

/// Its own older witness beside it knows no better: that is for those who followed the log.
#[tokio::test]
async fn an_older_database_with_its_older_witness_is_told_by_who_followed_it() -> Checked {
    for files in [&["", ".witness"][..], &[""]] {
        let attacked = Attacked::with_events(30).await?;
        let older = attacked.killed();
        let store = attacked.open().await?;
        append(&store, 5).await?;
        let seen = reached(&store).await?;
        store.close().await;
        drop(store);

        older.copy_to(&attacked, files);
        let store = attacked.open().await?;
        assert_eq!(store.judge_seen(&seen).await?, Seen::WentBack);
        store.went_back(&seen, "csp-notification");
        store.close().await;
        drop(store);
        // The claim outlives the process, and ends with the newer file.
        let store = attacked.open().await?;
        let trouble = store.condition().borrow().trouble().cloned();
        let log = "flags".parse()?;
        assert_eq!(trouble, Some(Trouble::WentBack { log }));
        let refused = append(&store, 1).await;
        assert!(
            matches!(refused, Err(StoreError::WentBack { .. })),
            "{refused:?}"
        );
        store.close().await;
    }
    Ok(())
}

/// Also one that has no log, such as that of reporting.
#[tokio::test]
async fn an_older_database_without_logs_is_refused() -> Checked {
    let attacked = Attacked::new();
    let store = attacked.open_or_make().await?;
    move_cursor(&store, 0, 20).await?;
    store.close().await;
    drop(store);
    let older = attacked.killed();
    let store = attacked.open().await?;
    move_cursor(&store, 20, 25).await?;
    store.close().await;
    drop(store);
    let witness = std::fs::read(beside(&attacked.path(), ".witness"))?;
    older.copy_to(&attacked, &[""]);
    std::fs::write(beside(&attacked.path(), ".witness"), witness)?;
    let refused = attacked.refused().await;
    assert!(matches!(refused, Unfit::Older { .. }), "{refused}");
    Ok(())
}

async fn move_cursor(store: &Store, from: u64, to: u64) -> Checked {
    let at = |sequence| crate::witness::tests::seen("flags", 7, sequence);
    let mut tx = store.begin_write(Timestamp::from_micros(7)).await?;
    let from = (from > 0).then(|| at(from));
    let moved = cursor::advance(tx.conn(), "reporting", from.as_ref(), &at(to)).await?;
    assert_eq!(moved, cursor::Advance::Moved);
    Ok(tx.commit().await?)
}

#[tokio::test]
async fn another_database_is_refused() -> Checked {
    let attacked = Attacked::with_events(3).await?;
    let other = Attacked::with_events(30).await?;
    std::fs::copy(other.path(), attacked.path())?;
    let refused = attacked.refused().await;
    assert!(matches!(refused, Unfit::Replaced { .. }), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_cut_off_is_refused() -> Checked {
    let attacked = Attacked::with_events(300).await?;
    let whole = std::fs::read(attacked.path())?;
    for left in [1, 50, 99, 512, 4096, whole.len() / 2, whole.len() - 4096] {
        std::fs::write(attacked.path(), &whole[..left])?;
        let refused = attacked.refused().await;
        assert!(
            matches!(refused, Unfit::Damaged { .. }),
            "{left}: {refused}"
        );
    }
    Ok(())
}

/// SQLite takes a `-wal` up to the frame that does not fit, and at the next checkpoint destroys the
/// rest: of 95 acknowledged writes 28 were gone.
#[tokio::test]
async fn a_flipped_octet_of_the_wal_after_a_kill_is_refused_and_nothing_is_touched() -> Checked {
    let attacked = Attacked::new();
    let store = attacked.open_or_make().await?;
    append(&store, 95).await?;
    let killed = attacked.killed();
    let length = std::fs::read(beside(&killed.path(), "-wal"))?.len();
    // What the last frames hold is told by their own checksums; the header's page count is not used.
    for octet in (0..length).step_by(length / 40) {
        let flipped = attacked.killed();
        flip(&beside(&flipped.path(), "-wal"), octet);
        let refused = flipped.refused().await;
        assert!(
            matches!(refused, Unfit::WalDamaged { .. }),
            "{octet}: {refused}"
        );
    }
    for left in [0, 32, length / 2, length - 1] {
        let cut = attacked.killed();
        let whole = std::fs::read(beside(&cut.path(), "-wal"))?;
        std::fs::write(beside(&cut.path(), "-wal"), &whole[..left])?;
        cut.refused().await;
    }
    // As it was, it holds all.
    assert_eq!(reached(&killed.open().await?).await?.position.sequence, 95);
    Ok(())
}

/// A power cut may tear what was never acknowledged: that is no damage.
#[tokio::test]
async fn a_torn_write_that_was_never_acknowledged_is_dropped() -> Checked {
    let attacked = Attacked::new();
    let store = attacked.open_or_make().await?;
    append(&store, 20).await?;
    let killed = attacked.killed();
    append(&store, 1).await?;
    let longer = std::fs::read(beside(&attacked.path(), "-wal"))?;
    let acknowledged = std::fs::read(beside(&killed.path(), "-wal"))?.len();
    for torn in (acknowledged + 30..longer.len()).step_by(1_000) {
        let mut content = longer.clone();
        content[torn] ^= 1;
        let case = killed.killed();
        std::fs::write(beside(&case.path(), "-wal"), &content)?;
        assert_eq!(reached(&case.open().await?).await?.position.sequence, 20);
    }
    Ok(())
}

/// A `-wal` from before another database was put in place would be played into it.
#[tokio::test]
async fn a_wal_that_belongs_to_another_database_is_refused() -> Checked {
    let attacked = Attacked::new();
    let store = attacked.open_or_make().await?;
    append(&store, 20).await?;
    let other = Attacked::new();
    let another = other.open_or_make().await?;
    append(&another, 20).await?;
    let killed = attacked.killed();
    std::fs::copy(
        beside(&other.path(), "-wal"),
        beside(&killed.path(), "-wal"),
    )?;
    let refused = killed.refused().await;
    assert!(matches!(refused, Unfit::WalDamaged { .. }), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_damaged_witness_is_said_to_be() -> Checked {
    let attacked = Attacked::with_events(3).await?;
    std::fs::write(beside(&attacked.path(), ".witness"), b"a letter")?;
    let refused = attacked.refused().await;
    assert!(matches!(refused, Unfit::WitnessDamaged { .. }), "{refused}");
    std::fs::remove_file(beside(&attacked.path(), ".witness"))?;
    attacked.open().await?;
    Ok(())
}

/// Of what is acknowledged after each commit the witness knows, wherever the process ends.
#[tokio::test]
async fn whatever_a_killed_process_acknowledged_is_missed_if_it_is_gone() -> Checked {
    let attacked = Attacked::new();
    let store = attacked.open_or_make().await?;
    append(&store, 1).await?;
    let mut before = attacked.killed();
    for sequence in 2..=40 {
        append(&store, 1).await?;
        let now = attacked.killed();
        // The files of before, with the witness of now.
        std::fs::copy(
            beside(&now.path(), ".witness"),
            beside(&before.path(), ".witness"),
        )?;
        before.refused().await;
        assert_eq!(
            reached(&now.open().await?).await?.position.sequence,
            sequence
        );
        before = attacked.killed();
    }
    Ok(())
}

fn decision() -> crate::Decision {
    crate::Decision {
        by: "an operator".to_owned(),
        reason: "the disk was lost".to_owned(),
        at: Timestamp::from_micros(9),
        seen: Vec::new(),
    }
}

/// A log that went back goes on in a new history once that is accepted: by number and by hash.
#[tokio::test]
async fn an_accepted_loss_begins_a_new_history() -> Checked {
    let attacked = Attacked::with_events(30).await?;
    let older = attacked.killed();
    let store = attacked.open().await?;
    append(&store, 254).await?;
    let in_use = crate::accept_loss(&attacked.path(), &decision(), Resolve::CarryOut).await;
    assert!(matches!(in_use, Err(StoreError::InUse)), "{in_use:?}");
    let seen = reached(&store).await?;
    store.close().await;
    drop(store);
    let newer = attacked.killed();
    older.copy_to(&attacked, &[""]);
    std::fs::copy(
        beside(&newer.path(), ".witness"),
        beside(&attacked.path(), ".witness"),
    )?;
    attacked.refused().await;

    let accepted = crate::accept_loss(&attacked.path(), &decision(), Resolve::CarryOut).await?;
    let [history] = &accepted.logs[..] else {
        panic!("{accepted:?}");
    };
    assert_eq!(history.goes_on_after, 30);
    let expected = crate::Lost {
        epoch: seen.position.epoch,
        seen_up_to: 284,
        by: "the witness".to_owned(),
    };
    assert_eq!(history.lost, [expected]);
    let store = attacked.open().await?;
    assert_eq!(store.judge_seen(&seen).await?, Seen::Accepted);
    append(&store, 1).await?;
    let head = crate::verify::verify(store.readers(), &"flags".parse()?).await??;
    assert_eq!(head.position.sequence, 31);
    assert_eq!(head.position.epoch, history.begun);
    assert_eq!(head.first_epoch, seen.position.epoch);
    store.close().await;
    drop(store);
    // The old file is not taken for it any more.
    older.copy_to(&newer, &[""]);
    std::fs::copy(newer.path(), attacked.path())?;
    let refused = attacked.refused().await;
    assert!(matches!(refused, Unfit::Replaced { .. }), "{refused}");
    Ok(())
}

/// The disk is lost but for a backup that was taken while the service ran.
#[tokio::test]
async fn a_backup_is_put_in_place_and_what_is_lost_is_said() -> Checked {
    let attacked = Attacked::with_events(30).await?;
    let store = attacked.open().await?;
    let backup = attacked.folder.path().join("backup.db");
    crate::backup(&attacked.path(), &backup, &[]).await?;
    append(&store, 5).await?;
    let seen = reached(&store).await?;
    store.close().await;
    drop(store);

    let (path, decision) = (attacked.path(), decision());
    let restore = |over| crate::restore(&backup, &path, over, &[], &decision, Resolve::CarryOut);
    let occupied = restore(false).await.unwrap_err();
    assert!(
        matches!(occupied, StoreError::Unfit(Unfit::Occupied { .. })),
        "{occupied:?}"
    );
    std::fs::remove_file(attacked.path())?;
    let restored = restore(false).await?;
    assert_eq!(restored.logs[0].goes_on_after, 30);
    assert_eq!(restored.logs[0].lost[0].seen_up_to, 35);
    assert_eq!(restored.kept.len(), 1);
    let store = attacked.open().await?;
    assert_eq!(store.judge_seen(&seen).await?, Seen::Accepted);
    append(&store, 1).await?;
    assert_eq!(reached(&store).await?.position.sequence, 31);
    store.close().await;
    drop(store);
    // Once more, over what is there, which is kept.
    let restored = restore(true).await?;
    assert!(restored.kept.iter().all(|kept| Path::new(kept).exists()));
    assert_eq!(restored.logs[0].lost[0].seen_up_to, 31);
    attacked.open().await?;
    Ok(())
}

/// The disk is lost with the witness, and somebody else knows how far the log was.
#[tokio::test]
async fn what_somebody_has_seen_is_lost_though_the_witness_is_gone() -> Checked {
    let attacked = Attacked::with_events(30).await?;
    let store = attacked.open().await?;
    let backup = attacked.folder.path().join("backup.db");
    crate::backup(&attacked.path(), &backup, &[]).await?;
    let known = reached(&store).await?;
    append(&store, 5).await?;
    let seen = reached(&store).await?;
    store.close().await;
    drop(store);
    for suffix in ["", ".witness"] {
        std::fs::remove_file(beside(&attacked.path(), suffix))?;
    }
    // What is there is not lost.
    let decision = crate::Decision {
        seen: vec![known, seen.clone()],
        ..decision()
    };
    let restored = crate::restore(
        &backup,
        &attacked.path(),
        false,
        &[],
        &decision,
        Resolve::CarryOut,
    )
    .await?;
    let [lost] = &restored.logs[0].lost[..] else {
        panic!("{restored:?}");
    };
    assert_eq!(lost.seen_up_to, 35);
    let store = attacked.open().await?;
    assert_eq!(store.judge_seen(&seen).await?, Seen::Accepted);
    let mut conn = store.readers().acquire().await?;
    let [history] = &crate::history::histories(&mut conn, &"flags".parse()?).await?[..] else {
        panic!("one history is over");
    };
    assert_eq!((history.ended_after, history.seen_up_to), (30, 35));
    Ok(())
}

/// 224 more writes were acknowledged into a file that was deleted.
#[tokio::test]
async fn nothing_is_acknowledged_into_a_file_that_is_gone() -> Checked {
    for suffix in ["", "-wal"] {
        let attacked = Attacked::new();
        let store = attacked.open_or_make().await?;
        append(&store, 30).await?;
        std::fs::remove_file(beside(&attacked.path(), suffix))?;
        for _ in 0..3 {
            let refused = append(&store, 1).await;
            let gone = matches!(refused, Err(StoreError::InTrouble(Trouble::FileGone)));
            assert!(gone, "{refused:?}");
        }
        assert_eq!(reached(&store).await?.position.sequence, 30);
    }
    Ok(())
}

/// Nobody writes, and it is noticed all the same.
#[tokio::test]
async fn a_file_that_was_replaced_or_emptied_is_noticed_by_itself() -> Checked {
    for attack in [
        |path: &Path| std::fs::write(path, b"").unwrap(),
        |path: &Path| {
            let other = beside(path, ".other");
            std::fs::copy(path, &other).unwrap();
            std::fs::rename(other, path).unwrap();
        },
    ] {
        let attacked = Attacked::new();
        let store = attacked.open_or_make().await?;
        let mut condition = store.condition();
        attack(&attacked.path());
        let noticed = condition.wait_for(|condition| condition.trouble().is_some());
        let noticed = tokio::time::timeout(std::time::Duration::from_secs(60), noticed).await??;
        assert_eq!(noticed.trouble(), Some(&Trouble::FileGone));
    }
    Ok(())
}

/// A bit that flips where nobody reads at a start: 32 of 60 were seen by nobody who did not ask.
#[tokio::test]
async fn a_flipped_bit_gives_no_wrong_answer_in_silence() -> Checked {
    let attacked = Attacked::with_events(300).await?;
    let whole = std::fs::read(attacked.path())?;
    let never = tokio_util::sync::CancellationToken::new();
    let (mut at_start, mut by_check, mut by_hash, mut harmless) = (0, 0, 0, 0);
    for bit in 0..60 {
        let case = attacked.killed();
        let mut content = whole.clone();
        content[100 + bit * ((whole.len() - 100) / 60)] ^= 1 << (bit % 8);
        std::fs::write(case.path(), content)?;
        let Ok(store) = case.open().await else {
            at_start += 1;
            continue;
        };
        let file = crate::check::damage(&case.path(), &never).await?;
        let log = crate::verify::verify(store.readers(), &"flags".parse()?).await;
        match (file, log) {
            (Some(_), _) => by_check += 1,
            (None, Ok(Ok(head))) if head.position.sequence == 300 => harmless += 1,
            (None, _) => by_hash += 1,
        }
    }
    println!(
        "of 60 flipped bits: {at_start} seen at the start, {by_check} by the check of the file, \
         {by_hash} by the hashes; {harmless} harmless to the log"
    );
    assert_eq!(at_start + by_check + by_hash + harmless, 60);
    assert!(at_start > 0 && by_check > 0);
    Ok(())
}

/// An index that does not know a row: what is asked through it has vanished.
#[tokio::test]
async fn an_index_that_contradicts_its_table_stops_the_writes() -> Checked {
    let attacked = Attacked::with_events(300).await?;
    let mut content = std::fs::read(attacked.path())?;
    let mut conn = sqlx::SqliteConnection::connect(&attacked.url()).await?;
    let root: u32 =
        sqlx::query_scalar("SELECT rootpage FROM sqlite_master WHERE name = 'log_event_by_time'")
            .fetch_one(&mut conn)
            .await?;
    conn.close().await?;
    // A page of the index becomes one without cells.
    let page = (usize::try_from(root)? - 1) * 4096;
    content[page..page + 8].copy_from_slice(&[10, 0, 0, 0, 0, 16, 0, 0]);
    std::fs::write(attacked.path(), content)?;
    let store = attacked.open().await?;
    let mut condition = store.condition();
    let noticed = condition.wait_for(|condition| condition.trouble().is_some());
    let noticed = tokio::time::timeout(std::time::Duration::from_secs(60), noticed).await??;
    assert_eq!(noticed.trouble(), Some(&Trouble::Damaged));
    drop(noticed);
    let refused = append(&store, 1).await;
    let damaged = matches!(refused, Err(StoreError::InTrouble(Trouble::Damaged)));
    assert!(damaged, "{refused:?}");
    Ok(())
}
