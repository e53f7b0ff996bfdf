//! What does a log say to whoever follows it from its first event on?
//!
//! A tape connects again wherever it was cut off, and accepts no gap, no duplicate and no broken
//! chain. It checks them with no code of a follower of the mesh.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use mesh_api::common::v1::{
    FollowStart, LogEntry, Position, SnapshotStart, follow_start::Start, stream_frame::Frame,
};
use mesh_api::csp_notification::v1::{self as csp, follow_flag_changes_request::Start as CspStart};
use mesh_api::flag_registry::v1 as flags;
use mesh_api::registration::v1 as registration;
use mesh_follow::{Body, FollowResponse};
use mesh_testkit::wait_until;
use mesh_types::chain::{self, Hash};
use mesh_types::{Epoch, Sequence};
use mp169::clients::Clients;
use mp169::home::Folder;
use tokio::task::JoinHandle;
use tonic::{Status, Streaming};

/// The shortest time between two attempts to connect.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(20);

type Opened<R> = BoxFuture<'static, Result<Streaming<R>, Status>>;

/// One log, from its first event on, as far as it was sent.
pub(crate) struct Tape<E> {
    heard: Arc<Mutex<Heard<E>>>,
    task: JoinHandle<()>,
}

struct Heard<E> {
    /// The event of sequence 1 first.
    events: Vec<E>,
    /// Where to go on, and the chain's hash there.
    at: Option<(Position, Hash)>,
    /// How each stream ended; `None` for `OK`.
    ends: Vec<Option<Status>>,
}

impl Tape<flags::FlagEvent> {
    /// The log `flags`, as an auditor follows it.
    pub(crate) fn of_flags(folder: &Folder) -> Self {
        let clients = auditor(folder);
        Self::start(move |start| {
            let client = clients.flags();
            Box::pin(async move {
                let request = flags::FollowFlagsRequest { start: Some(start) };
                let answer = client.unwrap().follow_flags(request).await?;
                Ok(answer.into_inner())
            }) as Opened<flags::FollowFlagsResponse>
        })
    }
}

impl Tape<registration::DeviceEvent> {
    /// The log `devices`.
    pub(crate) fn of_devices(folder: &Folder) -> Self {
        let clients = auditor(folder);
        Self::start(move |start| {
            let client = clients.devices();
            Box::pin(async move {
                let request = registration::FollowDevicesRequest { start: Some(start) };
                let answer = client.unwrap().follow_devices(request).await?;
                Ok(answer.into_inner())
            }) as Opened<registration::FollowDevicesResponse>
        })
    }
}

impl Tape<registration::PartyEvent> {
    /// The log `parties`.
    pub(crate) fn of_parties(folder: &Folder) -> Self {
        let clients = auditor(folder);
        Self::start(move |start| {
            let client = clients.parties();
            Box::pin(async move {
                let request = registration::FollowPartiesRequest { start: Some(start) };
                let answer = client.unwrap().follow_parties(request).await?;
                Ok(answer.into_inner())
            }) as Opened<registration::FollowPartiesResponse>
        })
    }
}

impl Tape<csp::CspFlagChange> {
    /// A CSP's own log, as the party with this certificate follows it.
    pub(crate) fn of_csp(folder: &Folder, party: &str, csp_id: &'static str) -> Self {
        let clients = Clients::of(folder, party).unwrap();
        Self::start(move |start| {
            let client = clients.csp();
            let request = csp::FollowFlagChangesRequest {
                csp_id: csp_id.to_owned(),
                start: start.start.map(|start| match start {
                    Start::After(position) => CspStart::After(position),
                    Start::Snapshot(snapshot) => CspStart::Snapshot(snapshot),
                }),
                seen: start.seen,
            };
            Box::pin(async move {
                let answer = client.unwrap().follow_flag_changes(request).await?;
                Ok(answer.into_inner())
            }) as Opened<csp::FollowFlagChangesResponse>
        })
    }
}

fn auditor(folder: &Folder) -> Clients {
    Clients::of(folder, "auditor").unwrap()
}

impl<E: prost::Message + Default + Clone + 'static> Tape<E> {
    fn start<R: FollowResponse>(
        open: impl Fn(FollowStart) -> Opened<R> + Send + Sync + 'static,
    ) -> Self {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let shared = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            let mut attempts = tokio::time::interval(BETWEEN_ATTEMPTS);
            loop {
                attempts.tick().await;
                let end = attend(&open, &shared).await.err();
                shared.lock().unwrap().ends.push(end);
            }
        });
        Self { heard, task }
    }

    /// The events after the first `known`, once there are at least `new` of them.
    pub(crate) async fn after(&self, known: usize, new: usize) -> Vec<E> {
        wait_until("a log to go on", async || {
            assert!(!self.task.is_finished(), "the log is broken");
            let heard = self.heard.lock().unwrap();
            if heard.events.len() >= known + new {
                Ok(heard.events[known..].to_vec())
            } else {
                Err(format!("{} of {}", heard.events.len(), known + new))
            }
        })
        .await
    }

    /// All events, once `head` is among them.
    pub(crate) async fn up_to(&self, head: Sequence) -> Vec<E> {
        self.after(0, usize::try_from(head).unwrap()).await
    }

    /// How the first stream that ended after the first `known` ends did so.
    pub(crate) async fn ended(&self, known: usize) -> Option<Status> {
        wait_until("the stream to end", async || {
            let heard = self.heard.lock().unwrap();
            heard.ends.get(known).cloned().ok_or("it goes on")
        })
        .await
    }

    /// How many streams have ended.
    pub(crate) fn ends(&self) -> usize {
        self.heard.lock().unwrap().ends.len()
    }
}

impl<E> Drop for Tape<E> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn attend<E: prost::Message + Default, R: FollowResponse>(
    open: &impl Fn(FollowStart) -> Opened<R>,
    shared: &Mutex<Heard<E>>,
) -> Result<(), Status> {
    let known = shared.lock().unwrap().at.clone();
    let after = match known {
        Some((position, _)) => position,
        None => first(open, shared).await?,
    };
    let start = Some(Start::After(after));
    let mut stream = open(FollowStart { start, seen: None }).await?;
    while let Some(response) = stream.message().await? {
        if let Some(Body::Frame(Frame::Entries(entries))) = response.into_body() {
            let mut heard = shared.lock().unwrap();
            entries
                .entries
                .into_iter()
                .for_each(|entry| heard.take(entry));
        }
    }
    Ok(())
}

/// The place before the first event. Only the log's owner knows its epoch, and that of its first
/// history, and tells them first on every stream.
async fn first<E, R: FollowResponse>(
    open: &impl Fn(FollowStart) -> Opened<R>,
    shared: &Mutex<Heard<E>>,
) -> Result<Position, Status> {
    let start = Some(Start::Snapshot(SnapshotStart::default()));
    let mut stream = open(FollowStart { start, seen: None }).await?;
    let hello = stream.message().await?.and_then(R::into_body);
    let Some(Body::Frame(Frame::Hello(hello))) = hello else {
        panic!("no hello")
    };
    let first = Position {
        sequence: 0,
        ..hello.head.clone().unwrap()
    };
    let epoch = Epoch::new(hello.first_epoch).unwrap();
    let hash = chain::genesis(&first.log.parse().unwrap(), epoch);
    shared.lock().unwrap().at = Some((first.clone(), hash));
    Ok(first)
}

impl<E> Default for Heard<E> {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            at: None,
            ends: Vec::new(),
        }
    }
}

impl<E: prost::Message + Default> Heard<E> {
    fn take(&mut self, entry: LogEntry) {
        let (at, hash) = self.at.as_mut().unwrap();
        let position = entry.position.unwrap();
        let expected = Position {
            sequence: at.sequence + 1,
            ..at.clone()
        };
        assert_eq!(position, expected, "a gap or a duplicate");
        assert_eq!(entry.previous_hash, hash.as_slice());
        let linked = chain::link(hash, position.sequence, &entry.event);
        assert_eq!(entry.hash.as_ref(), linked);
        self.events.push(E::decode(entry.event).unwrap());
        *hash = linked;
        *at = position;
    }
}
