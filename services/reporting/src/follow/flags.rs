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

use super::{REST, apply_span, before};
use crate::flags::FlagChange;
use crate::store::{ReportStore, Step};

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
        uncounted: None,
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
    /// What was applied and not counted, if there is something.
    uncounted: Option<Uncounted>,
    late: Counter<u64>,
    settled: Arc<Notify>,
}

/// Events that a version of the service applied that did not count flags.
struct Uncounted {
    /// Up to where they were counted, as far as this follower knows.
    counted: Option<Cursor>,
    /// Whether what was counted is of another history, and is to be forgotten.
    anew: bool,
    /// The last of them.
    up_to: Cursor,
}

impl Uncounted {
    /// What is between the two cursors.
    fn between(counted: Option<Cursor>, applied: &Cursor) -> Option<Self> {
        let (found, applied_to) = (
            counted.as_ref().map(|cursor| &cursor.position),
            &applied.position,
        );
        if found == Some(applied_to) {
            return None;
        }
        let goes_on = found.is_some_and(|found| {
            found.comparable(applied_to) && found.sequence < applied_to.sequence
        });
        Some(Self {
            anew: counted.is_some() && !goes_on,
            counted,
            up_to: applied.clone(),
        })
    }

    /// After which event to go on.
    fn begin(&self) -> Begin {
        match &self.counted {
            Some(counted) if !self.anew => Begin::After(counted.clone()),
            _ => Begin::Start,
        }
    }
}

#[async_trait]
impl Follower for FlagsFollower {
    type Response = wire::FollowFlagsResponse;

    async fn begin(&mut self) -> Result<Begin, FollowError> {
        self.at = self.store.flags_cursor().await?;
        self.uncounted = None;
        let Some(at) = self.at.as_ref().filter(|_| !self.anew) else {
            return Ok(Begin::Start);
        };
        let counted = self.store.flags_counted().await?;
        self.uncounted = Uncounted::between(counted, at);
        if at.position.sequence == 0 && self.uncounted.take().is_some() {
            // There is nothing to count, and no event that could say so.
            let step = Step {
                from: None,
                to: at.clone(),
            };
            self.store.count_flags(step, true, Vec::new()).await??;
        }
        Ok(match &self.uncounted {
            Some(uncounted) => {
                tracing::info!(
                    "flags are counted that were followed before: the log is read once more"
                );
                uncounted.begin()
            }
            None => Begin::After(at.clone()),
        })
    }

    fn rest(&self) -> Duration {
        REST
    }

    async fn apply(&mut self, events: Vec<LogEvent>, cursor: Cursor) -> Result<(), FollowError> {
        self.check_history(&cursor)?;
        let up_to = self.uncounted.as_ref().map(|it| it.up_to.position.sequence);
        let before = events.partition_point(|event| up_to.is_some_and(|it| event.sequence <= it));
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
        let applied = changes.split_off(before);
        let step = async {
            self.count(&cursor, changes).await?;
            if applied.is_empty() {
                return Ok(());
            }
            self.step(cursor, applied).await
        };
        step.instrument(span).await
    }

    async fn checkpoint_at(&mut self, at: &Cursor, looked: Timestamp) -> Result<(), FollowError> {
        self.check_history(at)?;
        // An empty log has no event that could carry the cursor there.
        if at.position.sequence == 0 && (self.anew || self.at.is_none()) {
            self.step(at.clone(), Vec::new()).await?;
        }
        self.store.settle(at, before(looked)).await?;
        self.settled.notify_one();
        Ok(())
    }

    async fn other_history(&mut self) -> bool {
        self.begins_anew();
        true
    }
}

impl FlagsFollower {
    fn begins_anew(&mut self) {
        tracing::error!("the log flags has another history: exceptions are built anew from it");
        self.anew = true;
    }

    /// Whoever reads a log once more from its first event is not refused by an owner that has another one.
    fn check_history(&mut self, at: &Cursor) -> Result<(), FollowError> {
        let is_other = |it: &Uncounted| !it.up_to.position.comparable(&at.position);
        if self.uncounted.as_ref().is_some_and(is_other) {
            self.begins_anew();
            return Err(FollowError::Malformed(
                "another history than the one that was applied",
            ));
        }
        Ok(())
    }

    /// Counts what was applied before, of which `to` may be behind the last.
    async fn count(&mut self, to: &Cursor, changes: Vec<FlagChange>) -> Result<(), FollowError> {
        let Some(uncounted) = self.uncounted.as_mut().filter(|_| !changes.is_empty()) else {
            return Ok(());
        };
        let is_last = to.position.sequence >= uncounted.up_to.position.sequence;
        let to = if is_last { &uncounted.up_to } else { to };
        let step = Step {
            from: uncounted.counted.take(),
            to: to.clone(),
        };
        self.store
            .count_flags(step, uncounted.anew, changes)
            .await??;
        if is_last {
            self.uncounted = None;
        } else {
            uncounted.counted = Some(to.clone());
            uncounted.anew = false;
        }
        Ok(())
    }

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
