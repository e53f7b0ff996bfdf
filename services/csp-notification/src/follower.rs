//! How do the events of the log `flags` get into the CSPs' logs?

use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use mesh_api::common::v1::ErrorReason;
use mesh_api::csp_notification::v1::SourceTrouble;
use mesh_api::flag_registry::v1::flag_service_client::FlagServiceClient;
use mesh_api::flag_registry::v1::{
    FlagEvent, FlagSnapshot, FollowFlagsRequest, FollowFlagsResponse,
};
use mesh_api::status::reason_of;
use mesh_follow::{Begin, FollowError, FollowedLog, Follower, LogEvent, follow};
use mesh_rpc::{MeshChannel, link_to};
use mesh_store::cursor::Cursor;
use mesh_store::{Store, StoreError, Writer};
use mesh_types::Position;
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::error::Error;
use crate::project::{Malformed, project};
use crate::resync::FlagsByCsp;
use crate::source::Source;
use crate::store::{Command, CspLogs, FlagChange, Followed, SnapshotOfFlags, projected};

/// Projects `flags`, from its first event on, until `stop` is cancelled.
pub(crate) async fn follow_flags(
    channel: MeshChannel,
    store: Store,
    writer: Writer<CspLogs>,
    log: FollowedLog,
    source: Source,
    stop: CancellationToken,
) {
    let follower = Projector {
        store,
        writer,
        source: source.clone(),
        at: None,
        refused: None,
        snapshot: FlagsByCsp::default(),
    };
    let client = FlagServiceClient::new(channel);
    let connect = move |start| {
        let (mut client, source) = (client.clone(), source.clone());
        async move {
            let request = FollowFlagsRequest { start: Some(start) };
            let followed = client.follow_flags(request).await;
            let followed = followed.inspect_err(|refused| {
                if reason_of(refused) == Some(ErrorReason::LogWentBack) {
                    source.troubled(SourceTrouble::LogWentBack);
                }
            });
            Ok(followed?.into_inner())
        }
        .boxed()
    };
    follow(log, follower, connect, stop).await;
}

struct Projector {
    store: Store,
    writer: Writer<CspLogs>,
    source: Source,
    /// Where the store's cursor stands as far as this replica knows.
    at: Option<Cursor>,
    /// A place that is not in the log's present history.
    refused: Option<Cursor>,
    /// What has come of the snapshot under way.
    snapshot: FlagsByCsp,
}

#[async_trait]
impl Follower for Projector {
    type Response = FollowFlagsResponse;

    async fn begin(&mut self) -> Result<Begin, FollowError> {
        self.at = projected(&self.store).await?;
        self.snapshot = FlagsByCsp::default();
        Ok(match &self.at {
            None => Begin::Start,
            // Unless another replica has been quicker.
            Some(at) if self.refused.as_ref() == Some(at) => Begin::Snapshot,
            Some(at) => Begin::After(at.clone()),
        })
    }

    fn connected(&mut self, silence: Duration) {
        self.source.connected(silence);
    }

    async fn checkpoint(&mut self, _at: &Cursor) -> Result<(), FollowError> {
        self.source.heard();
        Ok(())
    }

    async fn snapshot_part(&mut self, part: FlagSnapshot) -> Result<(), FollowError> {
        for entry in &part.entries {
            let added = self.snapshot.add(entry);
            added.map_err(|Malformed(what)| FollowError::Malformed(what))?;
        }
        Ok(())
    }

    async fn snapshot_complete(&mut self, cursor: Cursor) -> Result<(), FollowError> {
        let flags = std::mem::take(&mut self.snapshot);
        let Some(from) = self.at.clone() else {
            return Err(FollowError::Malformed("a snapshot that nobody asked for"));
        };
        tracing::warn!(
            from = %from.position,
            to = %cursor.position,
            "the log `flags` has a new history: what each CSP was told is corrected"
        );
        let to = cursor.clone();
        let resync = Command::Resync(SnapshotOfFlags { from, to, flags });
        self.write(resync, cursor).await
    }

    async fn apply(&mut self, events: Vec<LogEvent>, cursor: Cursor) -> Result<(), FollowError> {
        let mut changes = Vec::with_capacity(events.len());
        // Each ends when its event's effects are committed.
        let mut spans = Vec::with_capacity(events.len());
        for event in events {
            let change = read(event, &cursor.position)?;
            spans.push(span(&change));
            changes.push(change);
        }
        let followed = Followed {
            from: self.at.clone(),
            to: cursor.clone(),
            changes,
        };
        self.write(Command::Project(followed), cursor).await
    }

    async fn other_history(&mut self) -> bool {
        tracing::error!(
            "the log `flags` has another history than the one that was projected: a snapshot of it \
             is compared with what each CSP was told"
        );
        self.source.troubled(SourceTrouble::Resync);
        self.refused.clone_from(&self.at);
        true
    }
}

impl Projector {
    /// Writes what moves the store's cursor to `to`.
    async fn write(&mut self, command: Command, to: Cursor) -> Result<(), FollowError> {
        match self.writer.submit(command).await? {
            Ok(_) => {
                self.at = Some(to);
                self.source.heard();
                Ok(())
            }
            Err(Error::Stale) => {
                // Another replica has taken it over: the CSPs' logs have what this one heard.
                self.source.heard();
                Err(FollowError::Stale)
            }
            Err(_) => {
                let refused = StoreError::inconsistent("cursor", "a projection was refused");
                Err(refused.into())
            }
        }
    }
}

fn read(event: LogEvent, log: &Position) -> Result<FlagChange, FollowError> {
    let wire = FlagEvent::decode(event.event)
        .map_err(|_| FollowError::Malformed("an event of `flags` cannot be read"))?;
    let told = project(&wire).map_err(|Malformed(what)| FollowError::Malformed(what))?;
    Ok(FlagChange {
        position: Position {
            sequence: event.sequence,
            ..log.clone()
        },
        trace_parent: wire.trace_parent,
        told,
    })
}

/// The span of one event's projection: caused by the request behind the event, not part of it.
fn span(change: &FlagChange) -> Span {
    let span = tracing::info_span!(
        parent: None,
        "project flag change",
        otel.kind = "consumer",
        mp169.service = "csp-notification",
        mp169.log.sequence = change.position.sequence,
    );
    link_to(&span, &change.trace_parent);
    span
}
