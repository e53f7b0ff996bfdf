//! What runs beside the server, and what health says of it?

use std::time::Duration;

use mesh_authz::Directory;
use mesh_rpc::Health;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often the service is asked whether it still can.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// The tasks that run beside the server and end after it.
#[derive(Debug, Default)]
pub struct Background {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Background {
    /// Cancelled when the tasks are to end.
    #[must_use]
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs a task that ends once [`Background::stop`] is cancelled.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(task);
    }

    /// Tells the tasks to end and waits for them.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Says SERVING while callers can be recognised and `able` says that the service can do its job.
pub async fn watch_health<F>(
    health: Health,
    directory: Directory,
    able: impl Fn() -> F + Send,
    stop: CancellationToken,
) where
    F: Future<Output = bool> + Send,
{
    let mut changes = directory.changes();
    loop {
        let ready = directory.is_loaded() && able().await;
        health.set_ready(ready);
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
