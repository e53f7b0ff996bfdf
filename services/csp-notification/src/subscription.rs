//! How far is a CSP, and who may say so?

use mesh_api::convert::{position_to_wire, timestamp_to_wire};
use mesh_api::csp_notification::v1 as wire;
use mesh_authz::Authorization;
use mesh_store::dispute::Dispute;
use mesh_types::{CspId, LogName, Position, Sequence, Timestamp};

use crate::error::Error;

/// The CSP that a caller was found to be. Writes about a subscription take it, so that none can be
/// made about another CSP's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnCsp(CspId);

impl OwnCsp {
    /// The CSP of the call that the authorization layer let through; `None` for internal roles.
    pub(crate) fn of(authorization: &Authorization) -> Option<Self> {
        authorization.caller().csp().cloned().map(Self)
    }

    /// The CSP.
    pub(crate) const fn csp(&self) -> &CspId {
        &self.0
    }

    /// A CSP that nobody was found to be.
    #[cfg(test)]
    pub(crate) fn unchecked(csp: &str) -> Self {
        Self(csp.parse().unwrap())
    }
}

/// Which of a CSP's streams it is: each that takes the subscription over has the next number.
pub(crate) type StreamNumber = u64;

/// The log of a CSP.
pub(crate) fn log_of(csp: &CspId) -> LogName {
    let name = format!("csp/{csp}");
    name.parse()
        .expect("a CSP's name is short and of characters that a log's name may have")
}

/// How far a CSP is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) csp: CspId,
    /// The last event of the CSP's log.
    pub(crate) head: Position,
    /// Everything up to here is acknowledged.
    pub(crate) acknowledged: Sequence,
    /// When the last acknowledgement came.
    pub(crate) acknowledged_time: Option<Timestamp>,
    /// The last event that was put on a stream.
    pub(crate) sent: Sequence,
    /// When the first event that is not acknowledged was recorded.
    pub(crate) oldest_unacknowledged: Option<Timestamp>,
    /// The number of the stream that is the CSP's own.
    pub(crate) stream: StreamNumber,
    /// Whether a stream is attached, to whichever process.
    pub(crate) is_attached: bool,
    /// What the CSP has seen of its log, if the log lacks it.
    pub(crate) disputed: Option<Dispute>,
}

impl Subscription {
    /// The place in the CSP's log that `sequence` is.
    pub(crate) fn at(&self, sequence: Sequence) -> Position {
        Position {
            sequence,
            ..self.head.clone()
        }
    }

    /// How many events the CSP has not acknowledged.
    pub(crate) const fn lag(&self) -> u64 {
        self.head.sequence.saturating_sub(self.acknowledged)
    }

    /// Refuses what the CSP asks for while its log lacks what it has seen.
    pub(crate) fn undisputed(&self) -> Result<(), Error> {
        match &self.disputed {
            None => Ok(()),
            Some(Dispute { seen, .. }) => Err(Error::LogWentBack(seen.position.sequence)),
        }
    }

    pub(crate) fn to_wire(&self) -> wire::Subscription {
        let disputed = self.disputed.as_ref();
        wire::Subscription {
            csp_id: self.csp.to_string(),
            head: Some(position_to_wire(&self.head)),
            acknowledged: Some(position_to_wire(&self.at(self.acknowledged))),
            sent: Some(position_to_wire(&self.at(self.sent))),
            lag: self.lag(),
            oldest_unacknowledged_time: self.oldest_unacknowledged.map(timestamp_to_wire),
            acknowledged_time: self.acknowledged_time.map(timestamp_to_wire),
            attached: self.is_attached,
            went_back_seen: disputed.map(|disputed| position_to_wire(&disputed.seen.position)),
            went_back_since: disputed.map(|disputed| timestamp_to_wire(disputed.since)),
            ..wire::Subscription::default()
        }
    }
}
