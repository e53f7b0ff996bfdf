//! What runs beside the server, and what health says of it?

use std::time::Duration;

use mesh_authz::Directory;
use mesh_follow::{FollowedLog, FollowerStatus};
use mesh_rpc::{Health, NotReady};
use mesh_store::{Store, StoreError, Trouble};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often the service is asked whether it still can.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// The tasks that run beside the server and end after it.
#[derive(Debug, Default)]
pub(crate) struct Background {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Background {
    /// Cancelled when the tasks are to end.
    #[must_use]
    pub(crate) fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs a task that ends once [`Background::stop`] is cancelled.
    pub(crate) fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(task);
    }

    /// Tells the tasks to end and waits for them.
    pub(crate) async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// What was read from a database, unless the read failed or the database must not be written to; in
/// the words of health.
pub fn usable<T>(store: &Store, read: Result<T, StoreError>) -> Result<T, NotReady> {
    let condition = store.condition().borrow().clone();
    match condition.trouble() {
        None => read.map_err(|_| NotReady::because("storage-unavailable")),
        Some(trouble @ Trouble::WentBack { log }) => {
            Err(NotReady::because(format!("{}: {log}", trouble.reason())))
        }
        Some(trouble) => Err(NotReady::because(trouble.reason())),
    }
}

/// Whether what the owner of a followed log sends can be understood. Nobody but an operator ends that it
/// cannot. That a log is out of reach, or went back, is its owner's to say.
pub(crate) fn understood(log: &FollowedLog) -> Result<(), NotReady> {
    match *log.status().borrow() {
        FollowerStatus::Malformed { .. } => {
            let name = log.name();
            Err(NotReady::because(format!("followed-log-malformed: {name}")))
        }
        _ => Ok(()),
    }
}

/// Says SERVING while callers can be recognised and `able` says that the service can do its job, and
/// otherwise why not.
pub(crate) async fn watch_health<F>(
    health: Health,
    directory: Directory,
    able: impl Fn() -> F + Send,
    stop: CancellationToken,
) where
    F: Future<Output = Result<(), NotReady>> + Send,
{
    let mut changes = directory.changes();
    loop {
        health.set(if directory.is_loaded() {
            able().await
        } else {
            Err(NotReady::because("directory-not-loaded"))
        });
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = tokio::time::sleep(HEALTH_INTERVAL) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use mesh_store::Migrator;
    use mesh_store::cursor::Cursor;
    use mesh_store::log::random_epoch;
    use mesh_types::Position;

    use super::*;

    #[tokio::test]
    async fn health_names_what_troubles_the_database() {
        let folder = mesh_testkit::temp_dir();
        let url = format!("sqlite://{}", folder.path().join("a.db").display());
        let migrations = Migrator::with_migrations(vec![]);
        let store = Store::open(&mesh_store::Database::existing_or_new(&url), &migrations)
            .await
            .unwrap();
        let told = |read| usable(&store, read).map_err(|reason| reason.to_string());
        assert_eq!(told(Ok(7)), Ok(7));
        let unreadable = told(Err(StoreError::Busy));
        assert_eq!(unreadable, Err("storage-unavailable".to_owned()));

        let position = Position {
            log: "flags".parse().unwrap(),
            epoch: random_epoch(),
            sequence: 30,
        };
        let hash = [0; 32];
        store.went_back(&Cursor { position, hash }, "classification");
        // Reads go on, and the service is not well all the same.
        assert_eq!(told(Ok(7)), Err("log-went-back: flags".to_owned()));
    }
}
