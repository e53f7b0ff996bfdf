//! What does a store do by itself while it is open?
//!
//! Every second it looks whether its files are still there, and has the witness on the disk. Every few
//! seconds it writes something small: that tells that the disk takes writes, and how old a copy of the
//! database is. And it has the file checked.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::away::Lookout;
use crate::cursor::{self, Cursor};
use crate::guard::Guard;
use crate::hints::Hints;
use crate::replicas::Replica;
use crate::sql::{Begin, Conn, Pool, query_as, query_scalar};
use crate::trouble::Trouble;
use crate::witness::Identity;
use crate::{Committed, StoreError, check, log};

/// How often it looks.
const BEAT: Duration = Duration::from_secs(1);
/// How many looks there are to one write.
const BEATS_PER_PULSE: u64 = 3;
/// How soon after the last time, at the earliest, it looks for what others have committed.
const SOONEST: Duration = Duration::from_millis(350);
/// Up to so much later, so that replicas do not all ask at once. Half a second is the most in all.
const SPREAD: Duration = Duration::from_millis(100);
/// How long the end waits for the check of a table. A connection that still reads then leaves the
/// `-wal` where it is, for the next start.
const CHECK_PATIENCE: Duration = Duration::from_secs(2);

/// What is looked after.
#[derive(Debug)]
pub(crate) struct Attended {
    /// The file, if it is one.
    pub(crate) file: Option<PathBuf>,
    pub(crate) writer: Pool,
    pub(crate) readers: Pool,
    pub(crate) guard: Arc<Guard>,
    pub(crate) committed: Committed,
    pub(crate) replica: Replica,
    /// If there can be others.
    pub(crate) hints: Option<Hints>,
    /// Who looks whether the server answers, if it is on one.
    pub(crate) lookout: Option<Lookout>,
}

/// The task that looks after an open database.
#[derive(Debug)]
pub(crate) struct Attendant {
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Attendant {
    pub(crate) fn start(attended: Attended) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(attended.run(stop.clone()));
        let task = Mutex::new(Some(task));
        Self { stop, task }
    }

    /// Ends what it does at once, or as soon as what is under way is done.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Stops and waits for the end.
    pub(crate) async fn ended(&self) {
        self.stop();
        let task = self.task.lock().map_or_else(
            |poisoned| PoisonError::into_inner(poisoned).take(),
            |mut task| task.take(),
        );
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the task that looks after the database ended by itself");
        }
    }
}

impl Attended {
    async fn run(self, stop: CancellationToken) {
        let too_late = async {
            stop.cancelled().await;
            tokio::time::sleep(CHECK_PATIENCE).await;
        };
        let checks = async {
            tokio::select! {
                () = self.checks(&stop) => {}
                () = too_late => {}
            }
        };
        let replica = self.replica.attend(&self.writer, &stop);
        futures::join!(
            self.beats(&stop),
            self.hears(&stop),
            self.looks_out(&stop),
            replica,
            checks
        );
    }

    async fn looks_out(&self, stop: &CancellationToken) {
        if let Some(lookout) = &self.lookout {
            lookout.run(&self.guard, stop).await;
        }
    }

    /// Has the file checked. A server checks its own.
    async fn checks(&self, stop: &CancellationToken) {
        match &self.file {
            Some(file) => check::checks(file, &self.guard, stop).await,
            None => stop.cancelled().await,
        }
    }

    /// Has those who wait for a log know what other processes have committed. A file has no others.
    async fn hears(&self, stop: &CancellationToken) {
        let Some(hints) = &self.hints else {
            return;
        };
        let hint = Notify::new();
        let looking = async {
            loop {
                let pause = SOONEST + rand::random_range(Duration::ZERO..SPREAD);
                // Whichever comes first.
                let _ = tokio::time::timeout(pause, hint.notified()).await;
                if let Err(error) = self.hear().await {
                    tracing::debug!(%error, "the logs could not be looked at");
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = looking => {}
            () = hints.hear_all(&hint) => {}
            () = hints.tell_all(&self.committed) => {}
        }
        hints.close().await;
    }

    async fn hear(&self) -> Result<(), StoreError> {
        let mut conn = self.readers.acquire().await?;
        self.committed.refresh(&mut conn).await
    }

    async fn beats(&self, stop: &CancellationToken) {
        let mut beats = tokio::time::interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failures = self.guard.failures();
        for beat in 1_u64.. {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = beats.tick() => {}
            }
            if let Err(error) = self.recall().await {
                tracing::debug!(%error, "what is known of the logs could not be compared");
            }
            // A failure is told by the writes that fail, too.
            if let Err(error) = self.look().await {
                tracing::debug!(%error, "the database could not be looked at");
            }
            self.sync().await;
            // Last, because it waits for transactions that are under way.
            if beat % BEATS_PER_PULSE == 0 {
                self.try_to_write(&mut failures).await;
            }
        }
    }

    /// Writes something small, if nothing forbids it. Once that goes, and nothing else has failed
    /// since the last time, the disk takes writes again. `failures` are those until then.
    async fn try_to_write(&self, failures: &mut u64) {
        if self.guard.before_commit().is_err() {
            return;
        }
        let written = self.beat().await;
        match &written {
            Ok(()) if self.guard.failures() == *failures => {
                self.guard.gate.lift(&Trouble::CannotWrite);
            }
            Ok(()) => {}
            Err(error) => self.guard.failed(error),
        }
        *failures = self.guard.failures();
    }

    async fn beat(&self) -> Result<(), StoreError> {
        let mut tx = self.writer.begin(Begin::Write).await?;
        let pulse = beat(&mut tx).await?;
        self.guard.before_commit()?;
        tx.commit().await?;
        let noted = self.guard.beside.beat(pulse);
        self.guard.note(noted);
        Ok(())
    }

    /// Has the witness know what no commit tells it: logs that were made, and cursors.
    async fn look(&self) -> Result<(), StoreError> {
        self.guard.before_commit()?;
        let mut conn = self.readers.acquire().await?;
        let heads = log::heads(&mut conn, "").await?;
        let cursors = cursor::all(&mut conn).await?;
        drop(conn);
        let logs = heads.iter().map(Cursor::from).collect();
        let noted = self.guard.beside.looked(logs, cursors);
        self.guard.note(noted);
        Ok(())
    }

    /// Compares a database on a server with what is known of it.
    async fn recall(&self) -> Result<(), StoreError> {
        self.guard.recall_all(&self.readers, &self.writer).await
    }

    async fn sync(&self) {
        let Some(recorder) = self.guard.beside.unsynced() else {
            return;
        };
        let synced = tokio::task::spawn_blocking(move || recorder.sync()).await;
        // A runtime that is shutting down runs nothing more.
        if let Ok(synced) = synced {
            self.guard.note(synced);
        }
    }
}

/// Which database this is, and its pulse, which beats once. A new one is given its name.
pub(crate) async fn first_beat(conn: &mut Conn) -> Result<(Identity, i64), StoreError> {
    let new: Identity = rand::random();
    let (identity, pulse): (Vec<u8>, i64) = query_as(
        "INSERT INTO database_identity (id, identity, pulse) VALUES (1, $1, 1) \
         ON CONFLICT (id) DO UPDATE SET pulse = database_identity.pulse + 1 \
         RETURNING identity, pulse",
    )
    .bind(new.as_slice())
    .fetch_one(conn)
    .await?;
    let malformed =
        |_| StoreError::inconsistent("database_identity", "the identity has not 16 octets");
    Ok((identity.try_into().map_err(malformed)?, pulse))
}

async fn beat(conn: &mut Conn) -> Result<i64, StoreError> {
    let pulse =
        query_scalar("UPDATE database_identity SET pulse = pulse + 1 WHERE id = 1 RETURNING pulse");
    pulse.fetch_one(conn).await
}
