//! What is asked of the store?

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use mesh_api::flag_registry::v1 as wire;
use mesh_authz::{Authorized, DevicePermit, Refusal};
use mesh_store::cursor::Cursor;
use mesh_store::{Fingerprint, RequestKey, fingerprint};
use mesh_types::{DeviceId, Position, Sequence, Timestamp};

use crate::error::Error;
use crate::facts::Facts;
use crate::flag::By;
use crate::lifecycle::DeviceEvent;
use crate::preference::Wish;
use crate::request::Request;
use crate::wire::{restriction_octets, wish_octets};

/// One thing to be written.
#[derive(Debug)]
pub enum Command {
    /// A caller asks for a change.
    Change(Box<ChangeCommand>),
    /// The DSP tells that SRV 3.2 was sent to a Device.
    Note(Box<NoteCommand>),
    /// The log `devices` has gone on.
    Followed(FollowedBatch),
}

/// A caller's change, with the permit that allows it and what that permit rests on.
pub struct ChangeCommand {
    pub(super) authorized: Authorized,
    pub(super) device: DeviceId,
    pub(super) facts: Facts,
    /// Where the facts stand in the log `devices`, and until when they hold.
    pub(super) position: Position,
    pub(super) expires: Timestamp,
    /// From when on registration may tell others that the Device is not the caller's any more.
    pub(super) lease_ends: Instant,
    pub(super) by: By,
    pub(super) key: RequestKey,
    pub(super) fingerprint: Fingerprint,
    pub(super) wish: Wish,
    pub(super) etag: String,
    pub(super) validate_only: bool,
    pub(super) trace_parent: String,
    pub(super) still_allowed: StillAllowed,
}

/// Asks the party directory whether the caller is still who it was when it was permitted: a
/// suspension that comes before the commit counts.
pub type StillAllowed = Arc<dyn Fn() -> Result<(), Refusal> + Send + Sync>;

impl ChangeCommand {
    /// The change that `permit` allows. The Device is the permit's; a permit that does not rest on
    /// registration's answer, and on one with a lease, changes nothing.
    pub fn new(
        permit: DevicePermit,
        request: Request,
        trace_parent: String,
        still_allowed: StillAllowed,
    ) -> Result<Self, Error> {
        let authority = permit.authority().ok_or(Refusal::Internal)?;
        let lease_ends = permit.lease_ends().ok_or(Refusal::Internal)?;
        let facts = Facts::read(authority.facts())?;
        let octets = wish_octets(
            permit.device(),
            &request.wish,
            &request.etag,
            request.validate_only,
        );
        Ok(Self {
            device: permit.device(),
            position: authority.position().clone(),
            expires: permit.expires(),
            lease_ends,
            by: By {
                actor: permit.caller().actor(),
                registration_id: facts.registration_id.clone(),
                request_id: request.request_id.clone(),
            },
            facts,
            key: RequestKey {
                party: permit.caller().key().to_owned(),
                rpc: request.wish.kind.rpc().into(),
                request_id: request.request_id,
            },
            fingerprint: fingerprint([octets.as_slice()]),
            wish: request.wish,
            etag: request.etag,
            validate_only: request.validate_only,
            trace_parent,
            still_allowed,
            authorized: Authorized::Caller(permit),
        })
    }
}

impl fmt::Debug for ChangeCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeCommand")
            .field("device", &self.device)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// SRV 3.2 was sent to a Device. The permit may rest on the caller's role: whatever it rests on,
/// all that comes of the command is a prompt for a review.
pub struct NoteCommand {
    pub(super) authorized: Authorized,
    /// The Device that SRV 3.2 was sent to, which need not be the one that is flagged.
    pub(super) device: DeviceId,
    pub(super) by: By,
    pub(super) key: RequestKey,
    pub(super) fingerprint: Fingerprint,
    pub(super) trace_parent: String,
    pub(super) still_allowed: StillAllowed,
}

impl NoteCommand {
    /// What `permit` allows to be told of its Device.
    #[must_use]
    pub fn new(
        permit: DevicePermit,
        request_id: String,
        trace_parent: String,
        still_allowed: StillAllowed,
    ) -> Self {
        let octets = restriction_octets(permit.device());
        Self {
            device: permit.device(),
            by: By {
                actor: permit.caller().actor(),
                registration_id: String::new(),
                request_id: request_id.clone(),
            },
            key: RequestKey {
                party: permit.caller().key().to_owned(),
                rpc: permit.method().to_owned().into(),
                request_id,
            },
            fingerprint: fingerprint([octets.as_slice()]),
            trace_parent,
            still_allowed,
            authorized: Authorized::Caller(permit),
        }
    }
}

impl fmt::Debug for NoteCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoteCommand")
            .field("device", &self.device)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Events of the log `devices`, without a hole, and the cursor's step over them.
#[derive(Debug)]
pub struct FollowedBatch {
    /// Where the cursor stands; `None` before the first batch.
    pub from: Option<Cursor>,
    /// Where it stands afterwards.
    pub to: Cursor,
    /// The events between the two.
    pub events: Vec<(Sequence, DeviceEvent)>,
}

/// What a granted change is answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered(pub wire::RemoveFlagResponse);

/// Why a change was not made.
#[derive(Debug)]
pub enum Declined {
    /// The permit's facts may be out of date, or may be before this is committed: ask again at this
    /// position or later.
    AskAgain(Position),
    /// It is refused.
    Refused(Error),
}

impl<E: Into<Error>> From<E> for Declined {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}
