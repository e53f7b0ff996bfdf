//! Does a database on a server still have what this process has seen in it?
//!
//! It is asked before each event that is written, and every second: a server that lacks what was
//! acknowledged takes no writes from then on, whoever tells it, and every replica hears of it by the
//! table of claims.

use crate::beside::Beside;
use crate::condition::tell_claim;
use crate::cursor::Cursor;
use crate::guard::Guard;
use crate::history::Seen;
use crate::log::{self, Head};
use crate::memory::Memory;
use crate::seen::judge;
use crate::sql::{Begin, Conn, Pool};
use crate::trouble::Trouble;
use crate::witness::Claim;
use crate::{StoreError, claim};

/// Who has seen what a process itself has acknowledged.
const ITSELF: &str = "the process that wrote it";

impl Guard {
    /// Stops all writing, because `by`, who is believed, has seen what the log no longer has.
    pub(crate) fn went_back(&self, seen: &Cursor, by: &str) {
        tell_claim(&seen.position, by);
        let (seen, by) = (seen.clone(), by.to_owned());
        self.gate.raise(Trouble::WentBack {
            log: seen.position.log.clone(),
        });
        let noted = self.beside.claim(Claim { seen, by });
        self.note(noted);
    }

    /// Refuses a log that was locked just now if it went back behind what this process knows of it.
    pub(crate) async fn recall(&self, conn: &mut Conn, head: &Head) -> Result<(), StoreError> {
        let Beside::Server(memory) = &self.beside else {
            return Ok(());
        };
        let Some(known) = memory.of(&head.position.log) else {
            return Ok(());
        };
        let (was, is) = (&known.position, &head.position);
        let fits = was.comparable(is)
            && (was.sequence < is.sequence
                || (was.sequence == is.sequence && known.hash == head.hash));
        if fits || judge(conn, &known).await? != Seen::WentBack {
            return Ok(());
        }
        self.went_back(&known, ITSELF);
        let log = head.position.log.clone();
        Err(StoreError::WentBack { log })
    }

    /// Looks for what went back, here or by the word of others, and has what is said written down.
    pub(crate) async fn recall_all(&self, readers: &Pool, writer: &Pool) -> Result<(), StoreError> {
        let Beside::Server(memory) = &self.beside else {
            return Ok(());
        };
        let mut conn = readers.acquire().await?;
        self.look_back(&mut conn, memory).await?;
        let claims = claim::all(&mut conn).await?;
        for claim in claim::standing(&mut conn, claims).await? {
            let log = claim.seen.position.log;
            self.gate.raise(Trouble::WentBack { log });
        }
        drop(conn);
        self.write_down(writer).await
    }

    /// Writes what was said into the database: a later start, and every other replica, finds it there.
    pub(crate) async fn write_down(&self, writer: &Pool) -> Result<(), StoreError> {
        let Beside::Server(memory) = &self.beside else {
            return Ok(());
        };
        let claims = memory.unwritten();
        if claims.is_empty() {
            return Ok(());
        }
        let mut tx = writer.begin(Begin::Write).await?;
        for claim in &claims {
            claim::keep(&mut tx, claim).await?;
        }
        tx.commit().await?;
        memory.written(&claims);
        Ok(())
    }

    async fn look_back(&self, conn: &mut Conn, memory: &Memory) -> Result<(), StoreError> {
        // Before the heads are read: what is acknowledged meanwhile is not expected in them.
        let known = memory.logs();
        let heads: Vec<_> = log::heads(conn, "")
            .await?
            .iter()
            .map(Cursor::from)
            .collect();
        for known in known.iter().filter(|known| !heads.contains(known)) {
            if judge(conn, known).await? == Seen::WentBack {
                self.went_back(known, ITSELF);
                return Ok(());
            }
        }
        memory.reached(heads);
        Ok(())
    }
}
