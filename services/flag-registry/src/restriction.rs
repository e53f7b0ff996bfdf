//! What does a restriction of access for a change of tenancy do to a flag?
//!
//! SRV 3.2 is the only trace of a change of tenancy that the DCC sees, and it does not say what the
//! incoming tenant wants. It asks the supplier for a review and never lifts the flag (decision 15).
//! Of gas it is sent to the GPF, which has no flag of its own, and so concerns the GSME whose flag
//! covers it.

use mesh_api::flag_registry::v1::{Cause, ReviewReason};
use mesh_types::DeviceId;

use crate::flag::{Change, Entry};

/// SRV 3.2 was sent to a Device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restriction {
    /// The caller's id for the request, a UUID in lower case with dashes.
    pub request_id: String,
    /// The Device.
    pub device: DeviceId,
}

/// The prompt that SRV 3.2, sent to `device`, makes of `entry`: none if it is not flagged, does not
/// cover the Device, or has such a prompt that nobody has answered yet.
#[must_use]
pub fn prompt(entry: &Entry, device: DeviceId) -> Option<Change> {
    let reason = ReviewReason::TenancyRestricted;
    let concerned = entry.standing.flagged && entry.covers(device);
    (concerned && !entry.reviews.contains(&reason)).then(|| Change {
        cause: Cause::ReviewNeeded,
        current: entry.standing.clone(),
        effective: None,
        given: None,
        review: Some(reason),
    })
}

/// Whether `change` asks for a review of `entry` and leaves everything else as it is.
#[must_use]
pub fn only_prompts(change: &Change, entry: &Entry) -> bool {
    change.cause == Cause::ReviewNeeded
        && change.review.is_some()
        && change.given.is_none()
        && change.current == entry.standing
}
