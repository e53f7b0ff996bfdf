//! A CSP's end of its stream.

use mesh_api::common::v1::{LogEntry, Position, Resync, Seen, stream_frame::Frame};
use mesh_api::convert::{position_from_wire, position_to_wire};
use mesh_api::csp_notification::v1 as wire;
use mesh_api::csp_notification::v1::follow_flag_changes_response::Body;
use mesh_store::cursor::Cursor;
use mesh_testkit::LIMIT;
use mesh_types::chain;
use prost::Message as _;
use tonic::{Status, Streaming};

/// A CSP's stream, checked as a CSP would check it.
pub(crate) struct Attached {
    stream: Streaming<wire::FollowFlagChangesResponse>,
    /// The log's end when the stream was opened.
    pub(crate) head: Position,
    at: Option<Cursor>,
    /// What the last checkpoint said of the service's source, in seconds.
    pub(crate) stale_since: Option<i64>,
}

/// What a stream brought.
#[derive(Debug)]
pub(crate) enum Got {
    Devices(Vec<wire::ReducedDevice>),
    Complete(u64),
    Changes(Vec<wire::CspFlagChange>),
    Checkpoint(u64),
    Draining(u64),
    Resync(Resync),
}

impl Attached {
    pub(crate) async fn begin(
        stream: Streaming<wire::FollowFlagChangesResponse>,
    ) -> Result<Self, Status> {
        let mut attached = Self {
            stream,
            head: Position::default(),
            at: None,
            stale_since: None,
        };
        match attached.message().await?.expect("a hello").body {
            Some(Body::Frame(frame)) => match frame.frame {
                Some(Frame::Hello(hello)) => attached.head = hello.head.unwrap(),
                other => panic!("{other:?} instead of a hello"),
            },
            other => panic!("{other:?} instead of a hello"),
        }
        Ok(attached)
    }

    async fn message(&mut self) -> Result<Option<wire::FollowFlagChangesResponse>, Status> {
        let message = tokio::time::timeout(LIMIT, self.stream.message()).await;
        let message = message.expect("a message before the limit")?;
        if let Some(message) = &message {
            let octets = message.encode_to_vec();
            let leaks = octets.windows(6).any(|octets| octets == b"SECRET");
            assert!(!leaks, "the consumer's choice went to a CSP");
        }
        Ok(message)
    }

    /// The next message; `Ok(None)` if the stream ended with `OK`.
    pub(crate) async fn try_next(&mut self) -> Result<Option<Got>, Status> {
        let Some(message) = self.message().await? else {
            return Ok(None);
        };
        let frame = match message.body.unwrap() {
            Body::Snapshot(part) => return Ok(Some(Got::Devices(part.devices))),
            Body::Frame(frame) => frame.frame.unwrap(),
        };
        Ok(Some(match frame {
            Frame::Entries(entries) => {
                let entries = entries.entries.into_iter();
                Got::Changes(entries.map(|entry| self.change(entry)).collect())
            }
            Frame::SnapshotComplete(complete) => {
                self.at = Some(Cursor {
                    position: read(&complete.position.unwrap()),
                    hash: complete.hash.try_into().unwrap(),
                });
                Got::Complete(complete.items)
            }
            Frame::Checkpoint(checkpoint) => {
                self.stale_since = checkpoint.source_stale_since.map(|since| since.seconds);
                Got::Checkpoint(checkpoint.position.unwrap().sequence)
            }
            Frame::Draining(draining) => Got::Draining(draining.resume_after.unwrap().sequence),
            Frame::Resync(resync) => Got::Resync(resync),
            Frame::Hello(_) => panic!("a second hello"),
        }))
    }

    /// The change in an entry, which must fit the chain.
    fn change(&mut self, entry: LogEntry) -> wire::CspFlagChange {
        let position = read(&entry.position.unwrap());
        if let Some(at) = &self.at {
            assert_eq!(position.sequence, at.position.sequence + 1);
            assert_eq!(entry.previous_hash.as_ref(), at.hash);
        }
        let previous = entry.previous_hash.as_ref().try_into().unwrap();
        let hash = chain::link(&previous, position.sequence, &entry.event);
        assert_eq!(entry.hash.as_ref(), hash);
        let change = wire::CspFlagChange::decode(entry.event).unwrap();
        assert_eq!(change.sequence, position.sequence);
        self.at = Some(Cursor { position, hash });
        change
    }

    pub(crate) async fn next(&mut self) -> Got {
        self.try_next().await.unwrap().expect("a further message")
    }

    /// The first that comes and is no checkpoint.
    pub(crate) async fn news(&mut self) -> Result<Option<Got>, Status> {
        loop {
            match self.try_next().await {
                Ok(Some(Got::Checkpoint(_))) => {}
                news => return news,
            }
        }
    }

    /// The changes up to the checkpoint at `at`.
    pub(crate) async fn until(&mut self, at: u64) -> Vec<wire::CspFlagChange> {
        let mut changes = Vec::new();
        loop {
            match self.next().await {
                Got::Changes(more) => changes.extend(more),
                Got::Checkpoint(position) if position >= at => return changes,
                _ => {}
            }
        }
    }

    /// The last event that was seen.
    pub(crate) fn seen(&self) -> Seen {
        let at = self.at.as_ref().expect("a place");
        Seen {
            position: Some(position_to_wire(&at.position)),
            hash: at.hash.to_vec(),
        }
    }

    /// The last place that was reached.
    pub(crate) fn position(&self) -> Position {
        position_to_wire(&self.at.as_ref().expect("a place").position)
    }
}

fn read(position: &Position) -> mesh_types::Position {
    position_from_wire(position).unwrap()
}

/// The sequences of changes.
pub(crate) fn sequences(changes: &[wire::CspFlagChange]) -> Vec<u64> {
    changes.iter().map(|change| change.sequence).collect()
}
