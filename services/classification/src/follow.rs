//! How does the replica keep up with the flag registry?
//!
//! Its state is in memory only: it begins with a snapshot and goes on with the tail, and begins anew
//! whenever what it has can no longer be continued.

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt as _;
use mesh_api::flag_registry::v1 as wire;
use mesh_api::flag_registry::v1::flag_service_client::FlagServiceClient;
use mesh_follow::{Begin, FollowError, FollowedLog, Follower, LogEvent, follow};
use mesh_rpc::{MeshChannel, link_to};
use mesh_store::cursor::Cursor;
use mesh_types::{Clock, Timestamp};
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::flags::{FlagChange, FlagSet, Flags, MalformedFlag};

/// Follows the log `flags` into memory, until `stop` is cancelled.
pub async fn follow_flags(
    channel: MeshChannel,
    flags: Flags,
    clock: Arc<dyn Clock>,
    log: FollowedLog,
    stop: CancellationToken,
) {
    let client = FlagServiceClient::new(channel);
    let connect = move |start| {
        let mut client = client.clone();
        async move {
            let request = wire::FollowFlagsRequest { start: Some(start) };
            Ok(client.follow_flags(request).await?.into_inner())
        }
        .boxed()
    };
    let follower = FlagsFollower {
        began: clock.now(),
        flags,
        clock,
        at: None,
        loading: FlagSet::default(),
    };
    follow(log, follower, connect, stop).await;
}

/// Notices when no checkpoint comes any more although the stream is open, until `stop` is cancelled.
pub async fn watch_source(flags: Flags, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let mut changes = flags.changes();
    loop {
        let overdue = flags.overdue();
        let silence = async {
            match overdue {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            // A checkpoint that comes at the last moment counts.
            () = silence => if flags.overdue() == overdue {
                flags.lost(clock.now());
            },
            changed = changes.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

struct FlagsFollower {
    flags: Flags,
    clock: Arc<dyn Clock>,
    /// What has been applied; `None` asks for a snapshot.
    at: Option<Cursor>,
    /// The snapshot under way.
    loading: FlagSet,
    /// When the stream was asked for: a snapshot shows all there was then.
    began: Timestamp,
}

#[async_trait]
impl Follower for FlagsFollower {
    type Response = wire::FollowFlagsResponse;

    async fn begin(&mut self) -> Result<Begin, FollowError> {
        self.began = self.clock.now();
        self.loading = FlagSet::default();
        Ok(self.at.clone().map_or(Begin::Snapshot, Begin::After))
    }

    fn connected(&mut self, silence: std::time::Duration) {
        self.flags.connected(silence);
    }

    async fn snapshot_part(&mut self, part: wire::FlagSnapshot) -> Result<(), FollowError> {
        for entry in &part.entries {
            let entry = FlagChange::of_entry(entry).map_err(malformed)?;
            self.loading.apply(&entry);
        }
        Ok(())
    }

    async fn snapshot_complete(&mut self, cursor: Cursor) -> Result<(), FollowError> {
        let set = std::mem::take(&mut self.loading);
        tracing::info!(position = %cursor.position, devices = set.len(), "flags loaded");
        self.flags.replace(set, cursor.position.clone(), self.began);
        self.at = Some(cursor);
        Ok(())
    }

    async fn apply(&mut self, events: Vec<LogEvent>, cursor: Cursor) -> Result<(), FollowError> {
        // Only what was applied may be continued: after an error everything is loaded anew.
        self.at = None;
        let mut changes = Vec::with_capacity(events.len());
        let mut spans = Vec::new();
        for event in events {
            let read = wire::FlagEvent::decode(event.event)
                .map_err(|_| FollowError::Malformed("an event cannot be decoded"))?;
            let change = FlagChange::of_event(event.sequence, &read).map_err(malformed)?;
            if let Some(change) = change {
                spans.push(apply_span(&change, &read));
                changes.push(change);
            }
        }
        self.flags.apply(&changes, cursor.position.clone());
        // From here on decisions rest on the changes: the spans end.
        drop(spans);
        self.at = Some(cursor);
        Ok(())
    }

    async fn checkpoint_at(&mut self, _at: &Cursor, looked: Timestamp) -> Result<(), FollowError> {
        self.flags.checkpoint(looked);
        Ok(())
    }

    async fn other_history(&mut self) -> bool {
        tracing::error!("the flag registry has another history: all flags are loaded anew");
        self.at = None;
        true
    }

    fn disconnected(&mut self) {
        self.flags.lost(self.clock.now());
    }
}

/// The span of a change, from its arrival until decisions rest on it. It is no part of the trace of
/// the request that caused the change, but links to it.
fn apply_span(change: &FlagChange, event: &wire::FlagEvent) -> Span {
    let span = tracing::info_span!(
        parent: None,
        "apply flag event",
        mp169.service = "classification",
        mp169.log = "flags",
        mp169.sequence = change.sequence,
        mp169.cause = event.cause().as_str_name(),
    );
    link_to(&span, &event.trace_parent);
    span
}

fn malformed(error: MalformedFlag) -> FollowError {
    tracing::error!(%error, "what the flag registry sent cannot be read");
    FollowError::Malformed("a flag is malformed")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mesh_types::{Epoch, ManualClock, Position};

    use super::*;
    use crate::metrics::Metrics;

    const NOW: Timestamp = Timestamp::from_micros(1_000);

    fn loaded() -> Flags {
        let flags = Flags::not_loaded(Metrics::new(&opentelemetry::global::meter("tests")));
        let position = Position {
            log: "flags".parse().unwrap(),
            epoch: Epoch::new(1).unwrap(),
            sequence: 3,
        };
        flags.connected(Duration::from_secs(15));
        flags.replace(FlagSet::default(), position, NOW);
        flags
    }

    fn stale_since(flags: &Flags) -> Option<Timestamp> {
        flags.view().unwrap().stale_since
    }

    /// Events alone do not show that the replica is at the head.
    #[tokio::test(start_paused = true)]
    async fn flags_are_stale_when_no_checkpoint_comes() {
        let flags = loaded();
        let clock = Arc::new(ManualClock::new(NOW));
        let stop = CancellationToken::new();
        let watching = tokio::spawn(watch_source(flags.clone(), clock.clone(), stop.clone()));
        let position = flags.view().unwrap().position.clone();
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(4)).await;
            flags.apply(&[], position.clone());
            assert_eq!(stale_since(&flags), None);
        }
        flags.checkpoint(NOW);
        tokio::time::sleep(Duration::from_secs(14)).await;
        assert_eq!(stale_since(&flags), None);
        let late = Timestamp::from_micros(5_000);
        clock.set(late);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(stale_since(&flags), Some(late));

        // What is lost stays so until a checkpoint comes, and only its beginning is told.
        flags.apply(&[], position);
        flags.lost(Timestamp::from_micros(6_000));
        assert_eq!(stale_since(&flags), Some(late));
        flags.checkpoint(late);
        let view = flags.view().unwrap();
        assert_eq!((view.stale_since, view.fresh_time), (None, late));
        stop.cancel();
        watching.await.unwrap();
    }
}
