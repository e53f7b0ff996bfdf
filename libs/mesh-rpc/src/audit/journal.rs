//! Who keeps the record, and what is handed over?

use std::fmt;
use std::pin::Pin;

use mesh_api::common::v1::ErrorReason;
use mesh_authz::{Identity, Noted};
use mesh_types::Timestamp;
use tonic::Code;

use crate::tls::Exchanged;

/// How the calls of an RPC are put on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    /// Each has a record of its own.
    Each {
        /// When the record must be on disk before the answer is sent.
        before_answer: OnDisk,
    },
    /// They are counted by caller and answer.
    Counted,
    /// Those of the mesh's own services are counted, each of the others has a record.
    CountedOfServices,
}

/// Which calls must be on disk before they are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDisk {
    /// None: their records are written soon after.
    Never,
    /// Those that ask what was.
    ThePast,
    /// All.
    Always,
}

impl Recording {
    /// When a caller's call has a record of its own: which must be on disk before the answer.
    pub(super) const fn of_its_own(self, identity: Option<Identity>) -> Option<OnDisk> {
        match (self, identity) {
            (Self::CountedOfServices, Some(Identity::Internal(role))) if role.is_service() => None,
            (Self::CountedOfServices, _) => Some(OnDisk::Never),
            (Self::Each { before_answer }, _) => Some(before_answer),
            (Self::Counted, _) => None,
        }
    }
}

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Answer {
    /// The code; CANCELLED if nobody waited for one any more.
    pub code: Code,
    /// Why it was refused.
    pub reason: Option<ErrorReason>,
}

impl Answer {
    /// Nothing was refused.
    pub const OK: Self = Self {
        code: Code::Ok,
        reason: None,
    };
}

/// A call, or one end of a stream, that is put on record.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When the call came in; of a stream's end, when that was.
    pub time: Timestamp,
    /// The RPC's name, such as `mp169.flag_registry.v1.FlagService/AddFlag`.
    pub rpc: &'static str,
    /// Who called.
    pub identity: Identity,
    /// What was found out about it.
    pub noted: Noted,
    /// What of the call it is.
    pub part: Part,
    /// What was answered.
    pub answer: Answer,
    /// The trace that it belongs to.
    pub trace: Option<[u8; 16]>,
}

/// What of a call is put on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// The start of a stream.
    StreamStarted,
    /// A request of a load that was answered.
    StreamRequest,
    /// The end of a stream.
    StreamEnded {
        /// Messages that were sent.
        messages: u64,
        /// Octets that were sent.
        octets: u64,
    },
}

/// What calls are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Counted {
    /// Who called; `None` without a certificate that names somebody.
    pub identity: Option<Identity>,
    /// The RPC's name; empty for methods that do not exist.
    pub rpc: &'static str,
    /// What was answered.
    pub answer: Answer,
}

/// The place of an entry: all up to it are on disk or none of it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Nothing can be put on record now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing can be put on record")]
pub struct NotOnRecord;

/// What a call waits for.
pub type Admission = Pin<Box<dyn Future<Output = Result<(), NotOnRecord>> + Send>>;

/// Keeps the record of a server's calls.
pub trait Journal: fmt::Debug + Send + Sync + 'static {
    /// How the calls of the RPC at `path` are put on record: `/package.Service/Method`.
    fn recording(&self, path: &str) -> Recording;

    /// The time.
    fn now(&self) -> Timestamp;

    /// Whether a call may begin that will be put on record. `None`: at once. Otherwise the call waits
    /// for room, or is refused.
    fn admit(&self) -> Option<Admission>;

    /// Takes an entry. A call that was admitted is always taken.
    fn enter(&self, entry: Entry) -> Ticket;

    /// Resolves when the entry is on disk.
    fn on_disk(&self, ticket: Ticket) -> Admission;

    /// Takes that a list of those who are accepted no more came into use.
    fn exchanged(&self, list: &Exchanged);

    /// Counts calls, and messages that were sent on streams.
    fn count(&self, what: Counted, calls: u64, messages: u64);
}
