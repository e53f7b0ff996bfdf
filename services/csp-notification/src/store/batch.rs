//! What is written, and what must hold for it to be written?

mod resync;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mesh_api::convert::{position_to_wire, timestamp_to_wire};
use mesh_api::csp_notification::v1::{CspFlagChange, CspFlagState};
use mesh_store::cursor::{self, Advance, Cursor};
use mesh_store::dispute;
use mesh_store::{Answers, Batch, EventStamp, ReplicaId, StoreError, WriteTx, log};
use mesh_types::{CspId, DeviceId, Position, Sequence, Timestamp};
use prost::Message as _;

use super::FOLLOWER;
use super::promptness::{count, put_counts};
use super::rows::{self, ReducedRow, ResyncRow, SubscriptionRow};
use crate::error::Error;
use crate::project::{Reduced, Told};
use crate::promptness::{Acknowledged, Counts};
use crate::resync::FlagsByCsp;
use crate::subscription::{OwnCsp, StreamNumber, log_of};

/// Weighs so much that no other command follows in the same transaction.
const WHOLE_TRANSACTION: usize = 1 << 20;

/// A request to write.
#[derive(Debug)]
pub(crate) enum Command {
    /// Events of `flags` are projected into the CSPs' logs.
    Project(Followed),
    /// The CSPs' logs are corrected after a snapshot of a new history of `flags`.
    Resync(SnapshotOfFlags),
    /// A CSP asks: it has a subscription from now on.
    Subscribe(OwnCsp),
    /// A stream becomes the CSP's own, and its older one is no longer. The process that serves it.
    Attach(OwnCsp, ReplicaId),
    /// The stream with this number has ended.
    Detach(OwnCsp, StreamNumber),
    /// A CSP says what it has seen of its log.
    Seen(OwnCsp, Cursor),
    /// Everything up to this event is about to be put on the stream with this number.
    Sent(OwnCsp, StreamNumber, Sequence),
    /// A CSP acknowledges everything up to a position.
    Acknowledge {
        /// Which CSP.
        csp: OwnCsp,
        /// The last position that it applied.
        up_to: Position,
        /// When, by its own clock.
        applied_time: Option<Timestamp>,
    },
}

/// Events of `flags` in a row, which is why they may be written.
#[derive(Debug, Clone)]
pub(crate) struct Followed {
    /// How far the log was projected before them.
    pub(crate) from: Option<Cursor>,
    /// How far it is with them.
    pub(crate) to: Cursor,
    /// What they mean.
    pub(crate) changes: Vec<FlagChange>,
}

/// What one event of `flags` means to CSPs.
#[derive(Debug, Clone)]
pub(crate) struct FlagChange {
    /// The event.
    pub(crate) position: Position,
    /// The trace context of the request behind it; empty if there was none.
    pub(crate) trace_parent: String,
    /// Who is told what.
    pub(crate) told: Vec<Told>,
}

/// A snapshot of a new history of `flags`.
#[derive(Debug)]
pub(crate) struct SnapshotOfFlags {
    /// How far the history before it was projected.
    pub(crate) from: Cursor,
    /// What the snapshot shows.
    pub(crate) to: Cursor,
    /// The flagged Devices.
    pub(crate) flags: FlagsByCsp,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// What was asked for.
    Written,
    /// The stream with this number is the CSP's own.
    Attached(StreamNumber),
}

/// The writer's part of this service.
#[derive(Debug)]
pub(crate) struct CspLogs;

impl Batch for CspLogs {
    type Command = Command;
    type Answer = Done;
    type Error = Error;

    async fn apply(
        &self,
        tx: &mut WriteTx,
        commands: &[Command],
    ) -> Result<Answers<Done, Error>, StoreError> {
        let mut work = Work::begin(tx, commands).await?;
        let mut answers = Vec::with_capacity(commands.len());
        for command in commands {
            answers.push(work.decide(tx, command).await?);
        }
        work.write(tx);
        Ok(answers)
    }

    fn weight(&self, command: &Command) -> usize {
        match command {
            Command::Project(followed) => followed.changes.len().max(1),
            Command::Resync(_) => WHOLE_TRANSACTION,
            Command::Subscribe(_)
            | Command::Attach(..)
            | Command::Detach(..)
            | Command::Seen(..)
            | Command::Sent(..)
            | Command::Acknowledge { .. } => 1,
        }
    }
}

/// What one transaction has read and is about to write.
struct Work {
    subscriptions: BTreeMap<CspId, SubscriptionRow>,
    /// What holds now of the Devices that are told about.
    reduced: HashMap<(CspId, DeviceId), Reduced>,
    touched: BTreeSet<CspId>,
    /// Rows that begin or end here, by the event with which they began.
    rows: BTreeMap<(CspId, DeviceId, Sequence), ReducedRow>,
    resyncs: Vec<ResyncRow>,
    /// What each acknowledgement covered for the first time.
    taken_over: Vec<(CspId, Counts)>,
}

impl Work {
    /// Makes the subscriptions that are needed, locks the logs and reads what decisions rest on.
    async fn begin(tx: &mut WriteTx, commands: &[Command]) -> Result<Self, StoreError> {
        let mut named = Named::in_commands(commands);
        if named.everybody {
            named.all.extend(rows::subscribed(tx.conn()).await?);
        }
        // In the order of the names of the CSPs, which is that of their logs.
        for csp in &named.all {
            let log = log_of(csp);
            if !tx.lock_if_there(&log).await? && named.made.contains(csp) {
                tx.create_log(&log, log::random_epoch()).await?;
                tx.lock(&log).await?;
            }
        }
        let mut work = Self {
            subscriptions: BTreeMap::new(),
            reduced: HashMap::new(),
            touched: BTreeSet::new(),
            rows: BTreeMap::new(),
            resyncs: Vec::new(),
            taken_over: Vec::new(),
        };
        for csp in &named.all {
            if let Some(row) = rows::subscription(tx.conn(), csp).await? {
                work.subscriptions.insert(csp.clone(), row);
            }
        }
        let csps: Vec<&CspId> = named.made.iter().collect();
        let devices: Vec<DeviceId> = named.devices.into_iter().collect();
        for row in rows::reduced_now(tx.conn(), &csps, &devices).await? {
            work.reduced.insert((row.csp, row.device), row.known);
        }
        Ok(work)
    }

    async fn decide(
        &mut self,
        tx: &mut WriteTx,
        command: &Command,
    ) -> Result<Result<Done, Error>, StoreError> {
        let done = match command {
            Command::Attach(csp, by) => {
                let number = self.attach(csp.csp(), *by);
                return Ok(number.map(Done::Attached));
            }
            Command::Project(followed) => self.project(tx, followed).await,
            Command::Resync(resync) => self.resync(tx, resync).await,
            Command::Subscribe(csp) => {
                self.make(csp.csp());
                Ok(Ok(()))
            }
            Command::Detach(csp, stream) => {
                self.detach(csp.csp(), *stream);
                Ok(Ok(()))
            }
            Command::Seen(csp, seen) => {
                dispute::hear(tx, seen, csp.csp().as_str()).await?;
                Ok(Ok(()))
            }
            Command::Sent(csp, stream, up_to) => match undisputed(tx, csp.csp()).await? {
                Ok(()) => self.sent(tx, csp.csp(), *stream, *up_to),
                refused => Ok(refused),
            },
            Command::Acknowledge {
                csp,
                up_to,
                applied_time,
            } => match undisputed(tx, csp.csp()).await? {
                Ok(()) => self.acknowledge(tx, csp.csp(), up_to, *applied_time).await,
                refused => Ok(refused),
            },
        };
        done.map(|done| done.map(|()| Done::Written))
    }

    /// Makes a new stream the CSP's own, and says its number.
    fn attach(&mut self, csp: &CspId, by: ReplicaId) -> Result<StreamNumber, Error> {
        let subscription = self.subscriptions.get_mut(csp).ok_or(Error::NotFound)?;
        subscription.stream += 1;
        subscription.attached_by = Some(by);
        self.touched.insert(csp.clone());
        Ok(subscription.stream)
    }

    fn detach(&mut self, csp: &CspId, stream: StreamNumber) {
        if let Some(subscription) = self.subscriptions.get_mut(csp)
            && subscription.stream == stream
        {
            subscription.attached_by = None;
            self.touched.insert(csp.clone());
        }
    }

    async fn project(
        &mut self,
        tx: &mut WriteTx,
        followed: &Followed,
    ) -> Result<Result<(), Error>, StoreError> {
        let (from, to) = (followed.from.as_ref(), &followed.to);
        if cursor::advance(tx.conn(), FOLLOWER, from, to).await? == Advance::Stale {
            return Ok(Err(Error::Stale));
        }
        for change in &followed.changes {
            for told in &change.told {
                self.make(&told.csp);
                self.tell(tx, told, &change.position, &change.trace_parent)?;
            }
        }
        Ok(Ok(()))
    }

    /// Appends the event that tells a CSP. `flags` is what it rests on.
    fn tell(
        &mut self,
        tx: &mut WriteTx,
        told: &Told,
        flags: &Position,
        trace_parent: &str,
    ) -> Result<(), StoreError> {
        let log = log_of(&told.csp);
        let stamp = tx.append(&log, |stamp| event(stamp, told, flags, trace_parent))?;
        self.know(told, stamp.position.sequence);
        Ok(())
    }

    /// Ends the row that held of the Device, and begins the one that holds now.
    fn know(&mut self, told: &Told, sequence: Sequence) {
        let key = (told.csp.clone(), told.device);
        let before = self.reduced.remove(&key);
        let now = Reduced::after(before.as_ref(), told, sequence);
        if let Some(before) = before {
            self.row(told, before).until = Some(sequence);
        }
        if let Some(now) = now {
            self.row(told, now.clone());
            self.reduced.insert(key, now);
        }
    }

    fn row(&mut self, told: &Told, known: Reduced) -> &mut ReducedRow {
        let key = (told.csp.clone(), told.device, known.sequence);
        self.rows.entry(key).or_insert_with(|| ReducedRow {
            csp: told.csp.clone(),
            device: told.device,
            known,
            until: None,
        })
    }

    fn sent(
        &mut self,
        tx: &WriteTx,
        csp: &CspId,
        stream: StreamNumber,
        up_to: Sequence,
    ) -> Result<Result<(), Error>, StoreError> {
        let Some(subscription) = self.subscriptions.get_mut(csp) else {
            return Ok(Err(Error::NotFound));
        };
        if subscription.stream != stream {
            return Ok(Err(Error::Superseded));
        }
        let up_to = up_to.min(tx.head(&log_of(csp))?.position.sequence);
        if up_to > subscription.sent {
            subscription.sent = up_to;
            self.touched.insert(csp.clone());
        }
        Ok(Ok(()))
    }

    async fn acknowledge(
        &mut self,
        tx: &mut WriteTx,
        csp: &CspId,
        up_to: &Position,
        applied_time: Option<Timestamp>,
    ) -> Result<Result<(), Error>, StoreError> {
        // Without a subscription there is no history that the position could belong to.
        let Some(subscription) = self.subscriptions.get_mut(csp) else {
            return Ok(Err(Error::OtherEpoch));
        };
        if !tx.head(&log_of(csp))?.position.comparable(up_to) {
            return Ok(Err(Error::OtherEpoch));
        }
        if up_to.sequence > subscription.sent {
            return Ok(Err(Error::AcknowledgedNotSent));
        }
        if up_to.sequence > subscription.acknowledged {
            let newly = (subscription.acknowledged, up_to.sequence);
            let by = Acknowledged {
                at: tx.now(),
                applied: applied_time,
            };
            subscription.acknowledged = up_to.sequence;
            subscription.acknowledged_time = Some(by.at);
            subscription.applied_time = applied_time;
            self.touched.insert(csp.clone());
            let counts = count(tx, csp, newly, by).await?;
            self.taken_over.push((csp.clone(), counts));
        }
        Ok(Ok(()))
    }

    /// Makes a subscription if there is none.
    fn make(&mut self, csp: &CspId) {
        if !self.subscriptions.contains_key(csp) {
            let row = SubscriptionRow::new(csp.clone());
            self.subscriptions.insert(csp.clone(), row);
            self.touched.insert(csp.clone());
        }
    }

    fn write(&mut self, tx: &mut WriteTx) {
        let touched = std::mem::take(&mut self.touched);
        let changed: Vec<_> = touched
            .iter()
            .filter_map(|csp| self.subscriptions.get(csp))
            .collect();
        rows::put_subscriptions(tx, &changed);
        let rows: Vec<_> = std::mem::take(&mut self.rows).into_values().collect();
        rows::put_reduced(tx, &rows);
        rows::put_resyncs(tx, &std::mem::take(&mut self.resyncs));
        for (csp, counts) in std::mem::take(&mut self.taken_over) {
            put_counts(tx, &csp, counts);
        }
    }
}

/// Refuses what a CSP asks for while its log lacks what it has seen.
async fn undisputed(tx: &mut WriteTx, csp: &CspId) -> Result<Result<(), Error>, StoreError> {
    let disputed = dispute::of(tx.conn(), &log_of(csp)).await?;
    Ok(match disputed {
        None => Ok(()),
        Some(disputed) => Err(Error::LogWentBack(disputed.seen.position.sequence)),
    })
}

/// Whom and what commands name.
#[derive(Default)]
struct Named {
    /// The CSPs whose subscription is made if there is none.
    made: BTreeSet<CspId>,
    all: BTreeSet<CspId>,
    /// Whether every CSP that has a subscription is meant as well.
    everybody: bool,
    devices: BTreeSet<DeviceId>,
}

impl Named {
    fn in_commands(commands: &[Command]) -> Self {
        let mut named = Self::default();
        for command in commands {
            match command {
                Command::Project(followed) => {
                    for told in followed.changes.iter().flat_map(|change| &change.told) {
                        named.made.insert(told.csp.clone());
                        named.devices.insert(told.device);
                    }
                }
                Command::Resync(resync) => {
                    named.everybody = true;
                    named.made.extend(resync.flags.csps().cloned());
                }
                Command::Subscribe(csp) => {
                    named.made.insert(csp.csp().clone());
                }
                Command::Attach(csp, _)
                | Command::Detach(csp, _)
                | Command::Seen(csp, _)
                | Command::Sent(csp, ..)
                | Command::Acknowledge { csp, .. } => {
                    named.all.insert(csp.csp().clone());
                }
            }
        }
        named.all.extend(named.made.iter().cloned());
        named
    }
}

/// The octets of an event of a CSP's log.
fn event(stamp: &EventStamp, told: &Told, flags: &Position, trace_parent: &str) -> Vec<u8> {
    let state = |reduced| match reduced {
        true => CspFlagState::Reduced,
        false => CspFlagState::NotReduced,
    };
    let event = CspFlagChange {
        sequence: stamp.position.sequence,
        recorded_time: Some(timestamp_to_wire(stamp.recorded_time)),
        device_id: told.device.to_string(),
        device_type: told.device_type,
        covered_device_ids: told.covered.iter().map(ToString::to_string).collect(),
        communications_hub_id: told.hub.to_string(),
        previous_state: state(told.was_reduced).into(),
        state: state(told.is_reduced).into(),
        effective_time: Some(timestamp_to_wire(told.effective_time)),
        cause_class: told.cause.into(),
        flag_position: Some(position_to_wire(flags)),
        trace_parent: trace_parent.to_owned(),
    };
    event.encode_to_vec()
}
