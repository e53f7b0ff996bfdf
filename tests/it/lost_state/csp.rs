//! A CSP's system: it attaches, and attaches again, and keeps what it has.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use mesh_api::common::v1::{
    ErrorReason, LogEntry, Position, Seen, SnapshotComplete, stream_frame::Frame,
};
use mesh_api::csp_notification::v1 as wire;
use mesh_api::csp_notification::v1::follow_flag_changes_request::Start;
use mesh_api::csp_notification::v1::follow_flag_changes_response::Body;
use mesh_api::status::reason_of;
use mesh_testkit::wait_until;
use mesh_types::chain::{self, Hash};
use mp169::clients::Clients;
use mp169::home::Folder;
use mp169::sample::SampleParty;
use prost::Message as _;
use tokio::task::JoinHandle;
use tonic::Status;

use super::silence::{Change, Heard, Word};
use crate::downstream::Known;

/// The shortest time between two attempts to attach.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(20);

/// The system of one CSP.
pub(super) struct Csp {
    /// The CSP's name.
    pub(super) id: &'static str,
    kept: Arc<Mutex<Kept>>,
    task: JoinHandle<()>,
}

/// What it keeps. A gap, a duplicate or a broken chain ends it.
#[derive(Default)]
struct Kept {
    /// The last event that it has applied, and the chain's hash there.
    at: Option<(Position, Hash)>,
    /// The Devices that are reduced.
    table: BTreeMap<String, Known>,
    /// The events that it was told.
    told: Vec<wire::CspFlagChange>,
    /// How often it has begun with a snapshot.
    snapshots: usize,
    /// Whether it has to begin with another one.
    anew: bool,
    /// Why its last stream ended or was refused.
    refused: Option<ErrorReason>,
    heard: Heard,
}

impl Csp {
    pub(super) fn attach(folder: &Folder, party: SampleParty) -> Self {
        let clients = Clients::of(folder, party.id).unwrap();
        let kept = Arc::new(Mutex::new(Kept::default()));
        let shared = Arc::clone(&kept);
        let task = tokio::spawn(async move {
            let mut attempts = tokio::time::interval(BETWEEN_ATTEMPTS);
            loop {
                attempts.tick().await;
                // Whatever ends a stream, the next attempt goes on where this one came to.
                let ended = attend(&clients, party.csp, &shared).await;
                let mut kept = shared.lock().unwrap();
                kept.heard.note(Word::Detached);
                kept.refused = ended.err().as_ref().and_then(reason_of);
                kept.anew |= kept.refused == Some(ErrorReason::PositionOfAnotherEpoch);
            }
        });
        Self {
            id: party.csp,
            kept,
            task,
        }
    }

    /// Waits until the CSP's table is this one, and it has heard that nothing is missing.
    pub(super) async fn has(&self, table: &BTreeMap<String, Known>) {
        wait_until(
            &format!("{} to have what is reduced", self.id),
            async || {
                let kept = self.kept();
                if kept.table == *table {
                    let current = kept.heard.is_current();
                    return current.then_some(()).ok_or("stale, or away".to_owned());
                }
                let missing = table.keys().filter(|key| !kept.table.contains_key(*key));
                let too_many = kept.table.keys().filter(|key| !table.contains_key(*key));
                Err(format!(
                    "missing {:?}, too many {:?}",
                    missing.collect::<Vec<_>>(),
                    too_many.collect::<Vec<_>>()
                ))
            },
        )
        .await;
    }

    /// The events that it was told.
    pub(super) fn told(&self) -> Vec<wire::CspFlagChange> {
        self.kept().told.clone()
    }

    /// How often it has begun with a snapshot.
    pub(super) fn snapshots(&self) -> usize {
        self.kept().snapshots
    }

    /// Waits until it is refused for this reason.
    pub(super) async fn is_refused(&self, reason: ErrorReason) {
        wait_until(&format!("{} to be refused", self.id), async || {
            match self.kept().refused {
                Some(refused) if refused == reason => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// Waits until it has heard that news may be missing.
    pub(super) async fn is_stale(&self) {
        wait_until(
            &format!("{} to know that it is stale", self.id),
            async || {
                let is_stale = self.kept().heard.is_stale();
                is_stale.then_some(()).ok_or("it does not")
            },
        )
        .await;
    }

    /// The longest time in which nothing told it of a change; `None` while nothing does.
    pub(super) fn silence(&self, change: &Change) -> Option<Duration> {
        self.kept().heard.silence(change)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        assert!(!self.task.is_finished(), "the log of {} is broken", self.id);
        self.kept.lock().unwrap()
    }
}

impl Drop for Csp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Attaches until the stream ends.
async fn attend(clients: &Clients, csp: &str, shared: &Mutex<Kept>) -> Result<(), Status> {
    let (at, anew) = {
        let kept = shared.lock().unwrap();
        (kept.at.clone(), kept.anew)
    };
    let seen = at.clone().map(|(position, hash)| Seen {
        position: Some(position),
        hash: hash.to_vec(),
    });
    let start = match at {
        Some((position, _)) if !anew => Start::After(position),
        _ => Start::Snapshot(Default::default()),
    };
    let request = wire::FollowFlagChangesRequest {
        csp_id: csp.to_owned(),
        start: Some(start),
        seen,
    };
    let answer = clients.csp().unwrap().follow_flag_changes(request).await;
    let mut stream = answer?.into_inner();
    let mut snapshot = BTreeMap::new();
    while let Some(response) = stream.message().await? {
        match response.body {
            Some(Body::Snapshot(part)) => snapshot.extend(part.devices.into_iter().map(reduced)),
            Some(Body::Frame(frame)) => {
                let mut kept = shared.lock().unwrap();
                match frame.frame {
                    Some(Frame::Hello(_)) => kept.heard.note(Word::Current),
                    Some(Frame::Checkpoint(checkpoint)) => {
                        kept.heard.note(match checkpoint.source_stale_since {
                            None => Word::Current,
                            Some(_) => Word::Stale,
                        });
                    }
                    Some(Frame::SnapshotComplete(complete)) => {
                        kept.begin(std::mem::take(&mut snapshot), complete);
                    }
                    Some(Frame::Entries(entries)) => {
                        entries
                            .entries
                            .into_iter()
                            .for_each(|entry| kept.take(entry));
                    }
                    _ => {}
                }
            }
            None => {}
        }
    }
    Ok(())
}

fn reduced(device: wire::ReducedDevice) -> (String, Known) {
    let known = (device.communications_hub_id, device.covered_device_ids);
    (device.device_id, known)
}

impl Kept {
    fn begin(&mut self, table: BTreeMap<String, Known>, complete: SnapshotComplete) {
        assert_eq!(complete.items, u64::try_from(table.len()).unwrap());
        let hash = (*complete.hash).try_into().unwrap();
        self.at = Some((complete.position.unwrap(), hash));
        self.snapshots += 1;
        self.anew = false;
        let gone = self.table.keys().filter(|id| !table.contains_key(*id));
        let words = gone
            .map(|id| (id, false))
            .chain(table.keys().map(|id| (id, true)));
        for (id, reduced) in words {
            let id = id.clone();
            self.heard.note(Word::Device { id, reduced });
        }
        self.table = table;
    }

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
        *hash = linked;
        *at = position;
        let change = wire::CspFlagChange::decode(entry.event).unwrap();
        self.told.push(change.clone());
        let (id, reduced) = (
            change.device_id.clone(),
            change.state() == wire::CspFlagState::Reduced,
        );
        self.heard.note(Word::Device { id, reduced });
        if reduced {
            let known = (change.communications_hub_id, change.covered_device_ids);
            self.table.insert(change.device_id, known);
        } else {
            self.table.remove(&change.device_id).unwrap();
        }
    }
}
