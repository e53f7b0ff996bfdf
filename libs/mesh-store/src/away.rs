//! Does the server of a database answer?
//!
//! A server that is stopped, paused or cut off may leave connections on which nobody ever answers. So one
//! connection of its own asks every second. Once it has no answer, whoever waits for the server is told, and
//! whoever comes is not made to wait; the next answer ends that.

use std::error::Error as _;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::StoreError;
use crate::guard::Guard;
use crate::postgres::Server;
use crate::presence::{Presence, no_answer};
use crate::sql::{Conn, query_scalar};
use crate::trouble::Trouble;

/// How long after an answer it asks again.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long an answer may take. With that, whoever asks for health learns of it within five seconds.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks a server again and again whether it is there.
#[derive(Debug)]
pub(crate) struct Lookout {
    server: Server,
    answers: watch::Sender<bool>,
}

impl Lookout {
    pub(crate) fn new(server: Server) -> Self {
        let (answers, _) = watch::channel(true);
        Self { server, answers }
    }

    /// What it finds out.
    pub(crate) fn presence(&self) -> Presence {
        Presence::of(self.answers.subscribe())
    }

    /// Asks until `stop` is cancelled.
    pub(crate) async fn run(&self, guard: &Guard, stop: &CancellationToken) {
        let mut conn = None;
        loop {
            match self.presence_of(&mut conn).await {
                Ok(()) => self.tell(true, guard),
                Err(error) => {
                    if *self.answers.borrow() {
                        let source = error.source().map(ToString::to_string);
                        tracing::error!(%error, source, "the database server has no answer");
                    }
                    conn = None;
                    self.tell(false, guard);
                }
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep(INTERVAL) => {}
            }
        }
    }

    /// First to health, so that it says why whoever is told next cannot go on.
    fn tell(&self, answers: bool, guard: &Guard) {
        if answers {
            guard.gate.lift(&Trouble::Away);
        } else {
            guard.gate.raise(Trouble::Away);
        }
        self.answers.send_if_modified(|before| {
            let news = *before != answers;
            *before = answers;
            news
        });
    }

    async fn presence_of(&self, conn: &mut Option<Conn>) -> Result<(), StoreError> {
        let asked = timeout(PATIENCE, self.ask(conn)).await;
        asked.unwrap_or_else(|_| Err(no_answer()))
    }

    async fn ask(&self, conn: &mut Option<Conn>) -> Result<(), StoreError> {
        let conn = match conn {
            Some(conn) => conn,
            None => conn.insert(self.server.connect().await?),
        };
        let _: i32 = query_scalar("SELECT 1").fetch_one(conn).await?;
        Ok(())
    }
}
