//! Following the log `flags`, from its first event on: only the whole of it tells when a Device was
//! flagged.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use mesh_api::flag_registry::v1 as wire;
use mesh_api::flag_registry::v1::flag_service_client::FlagServiceClient;
use mesh_follow::{Begin, FollowError, FollowedLog, Follower, LogEvent, follow};
use mesh_rpc::MeshChannel;
use mesh_store::cursor::Cursor;
use mesh_types::Timestamp;
use opentelemetry::metrics::Counter;
use prost::Message as _;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{REST, apply_span};
use crate::flags::FlagChange;
use crate::store::{ReportStore, Step};

/// An event has the time at which its transaction began. One that is being committed while the registry
/// looks at its log is older than that look by less than this.
const UNDER_WAY: i64 = 60 * 1_000_000;

/// Follows the log until `stop` is cancelled; says each time that more may be `settled`.
pub async fn follow_flags(
    channel: MeshChannel,
    store: ReportStore,
    log: FollowedLog,
    settled: Arc<Notify>,
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
    let late = opentelemetry::global::meter("reporting")
        .u64_counter("mp169.reporting.late_flag_events")
        .with_unit("{event}")
        .with_description(
            "Flag events that came after exceptions of their time were settled, which do not know them",
        )
        .build();
    late.add(0, &[]);
    let follower = FlagsFollower {
        store,
        at: None,
        anew: false,
        late,
        settled,
    };
    follow(log, follower, connect, stop).await;
}

struct FlagsFollower {
    store: ReportStore,
    /// Where the stored cursor stands, as far as this follower knows.
    at: Option<Cursor>,
    /// Whether the log has another history than the one that was applied: its first events replace
    /// all that is known.
    anew: bool,
    late: Counter<u64>,
    settled: Arc<Notify>,
}

#[async_trait]
impl Follower for FlagsFollower {
    type Response = wire::FollowFlagsResponse;

    async fn begin(&mut self) -> Result<Begin, FollowError> {
        self.at = self.store.flags_cursor().await?;
        if self.anew {
            return Ok(Begin::Start);
        }
        Ok(self.at.clone().map_or(Begin::Start, Begin::After))
    }

    fn rest(&self) -> Duration {
        REST
    }

    async fn apply(&mut self, events: Vec<LogEvent>, cursor: Cursor) -> Result<(), FollowError> {
        let mut changes = Vec::with_capacity(events.len());
        let mut causes = Vec::with_capacity(events.len());
        for event in events {
            let event = wire::FlagEvent::decode(event.event)
                .map_err(|_| FollowError::Malformed("an event of `flags`"))?;
            let change = FlagChange::read(&event)
                .map_err(|_| FollowError::Malformed("an event of `flags`"))?;
            changes.push(change);
            causes.push(event.trace_parent);
        }
        let span = apply_span("flags", causes.iter().map(String::as_str));
        self.step(cursor, changes).instrument(span).await
    }

    async fn checkpoint_at(&mut self, at: &Cursor, looked: Timestamp) -> Result<(), FollowError> {
        // An empty log has no event that could carry the cursor there.
        if at.position.sequence == 0 && (self.anew || self.at.is_none()) {
            self.step(at.clone(), Vec::new()).await?;
        }
        let until = looked.micros().saturating_sub(UNDER_WAY);
        let until = Timestamp::from_micros(until);
        self.store.settle(at, until).await?;
        self.settled.notify_one();
        Ok(())
    }

    async fn other_history(&mut self) -> bool {
        tracing::error!("the log flags has another history: exceptions are built anew from it");
        self.anew = true;
        true
    }
}

impl FlagsFollower {
    async fn step(&mut self, to: Cursor, changes: Vec<FlagChange>) -> Result<(), FollowError> {
        let step = Step {
            from: self.at.clone(),
            to: to.clone(),
        };
        let late = self.store.apply_flags(step, self.anew, changes).await??;
        if late > 0 {
            tracing::error!(
                late,
                "flag events are older than what the registry said was complete: exceptions that were settled do not know them"
            );
            self.late.add(late, &[]);
        }
        self.at = Some(to);
        self.anew = false;
        Ok(())
    }
}
