//! Who sees to it that what happens at a time is logged when the time comes?
//!
//! Any replica may: the writer deals with what is due under the head's lock, in every transaction,
//! so each instant is logged once. This task only makes sure that there is a transaction.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use mesh_types::{Clock, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::store::Inventory;
use crate::store::command::{Answer, Command};

/// The longest time between two looks: what another replica has recorded, or a clock that was set,
/// is noticed after so long.
const POLL: Duration = Duration::from_secs(1);

/// Has what is due logged, at the instants at which it is, until `stop` is cancelled.
pub(crate) async fn run(inventory: Inventory, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let mut commits = inventory
        .store()
        .committed()
        .subscribe(&inventory.logs().devices);
    loop {
        commits.borrow_and_update();
        let pause = match settle(&inventory, clock.as_ref()).await {
            Ok(pause) => pause,
            Err(error) => {
                let source = error.source().map(ToString::to_string);
                tracing::error!(%error, source, "what is due cannot be logged; it is tried again");
                POLL
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            changed = commits.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Has everything that is due logged, and says how long nothing more will be.
async fn settle(inventory: &Inventory, clock: &dyn Clock) -> Result<Duration, Error> {
    loop {
        let next = inventory.next_due().await?;
        let now = clock.now();
        if next.is_none_or(|due| due > now) {
            return Ok(pause(next, now));
        }
        match inventory.submit(Command::Settle).await? {
            // More than one transaction deals with may have been due.
            Answer::Settled(1..) => {}
            // The writer's clock is behind; or another replica was faster.
            _ => return Ok(POLL),
        }
    }
}

fn pause(next: Option<Timestamp>, now: Timestamp) -> Duration {
    next.map_or(POLL, |next| next.since(now).min(POLL))
}
