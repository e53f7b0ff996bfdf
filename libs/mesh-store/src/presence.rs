//! What becomes of whoever waits for a server that does not answer?

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::StoreError;

/// How long an answer is waited for, whatever the matter is. Longer than the server lets a statement take, so
/// that it says so itself as long as it says anything.
const PATIENCE: Duration = Duration::from_secs(35);

/// Whether a server answers, as far as is known. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Presence(watch::Receiver<bool>);

impl Presence {
    /// A server of which that is found out: it answers while the value is true.
    pub(crate) const fn of(answers: watch::Receiver<bool>) -> Self {
        Self(answers)
    }

    /// A server of which nobody finds that out.
    pub(crate) fn assumed() -> Self {
        Self(watch::channel(true).1)
    }

    /// What `work` comes to, unless the server is found not to answer meanwhile.
    pub(crate) async fn during<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.ended() => Err(no_answer()),
            () = sleep(PATIENCE) => Err(no_answer()),
        }
    }

    /// Refuses what would have to wait for a server that does not answer.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if *self.0.borrow() {
            Ok(())
        } else {
            Err(no_answer())
        }
    }

    async fn ended(&self) {
        let mut answers = self.0.clone();
        if answers.wait_for(|answers| !answers).await.is_err() {
            // Nobody finds it out.
            std::future::pending::<()>().await;
        }
    }
}

/// What is said of a server that does not answer.
pub(crate) fn no_answer() -> StoreError {
    let why = io::Error::new(io::ErrorKind::TimedOut, "the server does not answer");
    StoreError::Unavailable(Arc::new(sqlx::Error::Io(why)))
}
