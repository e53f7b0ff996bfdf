//! What should the mesh answer? The same promises, kept in the plainest way.
//!
//! Everything that ever stood is kept: a log is the list of its events and of the states after each of
//! them. Nothing is fast, nothing is concurrent, and no code of the services is used.

mod admission;
mod batches;
mod downstream;
mod flags;
mod inventory;
mod quotas;
mod reads;
mod snapshots;

use std::collections::BTreeMap;

use mesh_api::common::v1::{AsOf, ErrorReason, Position, as_of::Known};
use mesh_api::convert::{timestamp_from_wire, timestamp_to_wire};
use mesh_api::flag_registry::v1 as flag;
use mesh_api::registration::v1 as registration;
use mesh_types::Timestamp;
use tonic::Code;

use super::calls::{Answer, Call, Refusal, Reply, Request};
use inventory::Inventory;
use quotas::Use;

/// The world as it should be.
pub(super) struct Reference {
    pub(super) now: Timestamp,
    pub(super) parties: Log<registration::PartyEvent, BTreeMap<String, registration::Party>>,
    pub(super) devices: Log<registration::DeviceEvent, Inventory>,
    pub(super) flags: Log<flag::FlagEvent, BTreeMap<String, flag::FlagEntry>>,
    /// What was accepted, by caller, kind of request and request id.
    accepted: Vec<(Call, Reply)>,
    /// What counts towards quotas.
    uses: Vec<Use>,
}

/// A log: its events, and what stood after each of them.
pub(super) struct Log<E, S> {
    /// Before the first event.
    beginning: Position,
    pub(super) events: Vec<E>,
    /// When each event was recorded.
    times: Vec<Timestamp>,
    /// What stood at each position, that before the first event included.
    states: Vec<S>,
}

impl<E, S: Clone + Default> Log<E, S> {
    fn beginning(beginning: Position) -> Self {
        Self {
            beginning,
            events: Vec::new(),
            times: Vec::new(),
            states: vec![S::default()],
        }
    }

    /// What stands now.
    pub(super) fn state(&self) -> &S {
        self.states.last().unwrap()
    }

    /// The position of the last event.
    pub(super) fn head(&self) -> Position {
        self.position(self.events.len())
    }

    /// When each event was recorded, in order.
    pub(super) fn times(&self) -> &[Timestamp] {
        &self.times
    }

    fn position(&self, sequence: usize) -> Position {
        Position {
            sequence: u64::try_from(sequence).unwrap(),
            ..self.beginning.clone()
        }
    }

    /// The sequence of the event that comes next.
    fn next(&self) -> u64 {
        self.head().sequence + 1
    }

    /// The sequence that `as_of` means at `now`: a position is what it says, and of a time that is
    /// over the last event by then.
    fn sequence(&self, as_of: Option<&AsOf>, now: Timestamp) -> Result<usize, Refusal> {
        match as_of.map(|as_of| as_of.known.as_ref().unwrap()) {
            None => Ok(self.events.len()),
            Some(Known::Position(position)) => Ok(usize::try_from(position.sequence).unwrap()),
            Some(Known::KnownTime(time)) => {
                let time = timestamp_from_wire(time).unwrap();
                if time >= now {
                    return Err(Refusal::of_field("as_of.known_time"));
                }
                Ok(self.times.iter().filter(|&&at| at <= time).count())
            }
        }
    }

    fn append(&mut self, at: Timestamp, event: E, state: S) {
        self.events.push(event);
        self.times.push(at);
        self.states.push(state);
    }
}

impl Reference {
    /// Nothing is recorded yet. The positions say in which histories the mesh's logs are.
    pub(super) fn new(now: Timestamp, [parties, devices, flags]: [Position; 3]) -> Self {
        let beginning = |head| Position {
            sequence: 0,
            ..head
        };
        Self {
            now,
            parties: Log::beginning(beginning(parties)),
            devices: Log::beginning(beginning(devices)),
            flags: Log::beginning(beginning(flags)),
            accepted: Vec::new(),
            uses: Vec::new(),
        }
    }

    /// The answer to a call, and what it changes.
    pub(super) fn answer(&mut self, call: &Call) -> Answer {
        self.admit(call)?;
        match &call.request {
            Request::Status(asked) => self.once(call, |world| world.set_status(call, asked)),
            Request::Put(asked) => self.once(call, |world| world.put_device(call, asked)),
            Request::Change(asked) => self.once(call, |world| world.change_supplier(call, asked)),
            Request::Withdraw(asked) => self.once(call, |world| world.withdraw(call, asked)),
            Request::Load(asked) => Ok(self.load(call, asked)),
            Request::Add(_) | Request::Remove(_) | Request::Tenancy(_) => {
                flags::check_form(call, self.now)?;
                self.once(call, |world| world.change_flag(call))
            }
            Request::AddAll(_) | Request::RemoveAll(_) => Ok(self.answer_each(call)),
            Request::Note(asked) => self.once(call, |world| Ok(world.note(call, asked))),
            _ => self.read(call),
        }
    }

    /// The same request again has one effect and the same answer.
    fn once(&mut self, call: &Call, act: impl FnOnce(&mut Self) -> Answer) -> Answer {
        let kind = std::mem::discriminant(&call.request);
        let before = self.accepted.iter().find(|(accepted, _)| {
            accepted.caller == call.caller
                && std::mem::discriminant(&accepted.request) == kind
                && accepted.request.id() == call.request.id()
        });
        if let Some((accepted, reply)) = before {
            if accepted != call {
                return refuse(Code::AlreadyExists, ErrorReason::RequestIdReused);
            }
            return Ok(reply.clone().replayed());
        }
        let reply = act(self)?;
        if !call.request.validates_only() {
            self.accepted.push((call.clone(), reply.clone()));
        }
        Ok(reply)
    }
}

impl Request {
    /// The caller's id for it; empty for a read.
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Status(asked) => &asked.request_id,
            Self::Put(asked) => &asked.request_id,
            Self::Change(asked) => &asked.request_id,
            Self::Withdraw(asked) => &asked.request_id,
            Self::Add(asked) => &asked.request_id,
            Self::Remove(asked) => &asked.request_id,
            Self::Tenancy(asked) => &asked.request_id,
            Self::Note(asked) => &asked.request_id,
            _ => "",
        }
    }

    fn validates_only(&self) -> bool {
        match self {
            Self::Add(asked) => asked.validate_only,
            Self::Remove(asked) => asked.validate_only,
            Self::Tenancy(asked) => asked.validate_only,
            _ => false,
        }
    }
}

impl Reply {
    fn replayed(mut self) -> Self {
        match &mut self {
            Self::Status(reply) => reply.replayed = true,
            Self::Put(reply) => reply.replayed = true,
            Self::Change(reply) => reply.replayed = true,
            Self::Withdraw(reply) => reply.replayed = true,
            Self::Add(reply) => reply.replayed = true,
            Self::Remove(reply) => reply.replayed = true,
            Self::Tenancy(reply) => reply.replayed = true,
            Self::Note(reply) => reply.replayed = true,
            _ => {}
        }
        self
    }
}

fn refuse<T>(code: Code, reason: ErrorReason) -> Result<T, Refusal> {
    Err(Refusal::of(code, reason))
}

fn wire(at: Timestamp) -> Option<prost_types::Timestamp> {
    Some(timestamp_to_wire(at))
}
