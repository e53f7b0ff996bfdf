//! The messages of the follow RPCs in one form: each is a frame or a part of a snapshot.

use mesh_api::common::v1::{StreamFrame, stream_frame};
use mesh_api::{audit, csp_notification, flag_registry, registration};

/// A response message of a follow RPC.
pub trait FollowResponse: Send + 'static {
    /// A part of the log's snapshot.
    type Snapshot: Send + 'static;

    /// The response that carries a frame.
    fn from_frame(frame: stream_frame::Frame) -> Self;

    /// The response that carries a part of the snapshot.
    fn from_snapshot(part: Self::Snapshot) -> Self;

    /// How many items a part of the snapshot has.
    fn items(part: &Self::Snapshot) -> usize;

    /// What the response carries; `None` if it is of a kind that this build does not know.
    fn into_body(self) -> Option<Body<Self::Snapshot>>;
}

/// What a response carries.
#[derive(Debug)]
pub enum Body<S> {
    /// A frame of the log.
    Frame(stream_frame::Frame),
    /// A part of the snapshot.
    Snapshot(S),
}

macro_rules! follow_response {
    ($response:path, $body:path, $snapshot:path, $items:ident) => {
        impl FollowResponse for $response {
            type Snapshot = $snapshot;

            fn from_frame(frame: stream_frame::Frame) -> Self {
                use $body as Wire;
                Self {
                    body: Some(Wire::Frame(StreamFrame { frame: Some(frame) })),
                }
            }

            fn from_snapshot(part: Self::Snapshot) -> Self {
                use $body as Wire;
                Self {
                    body: Some(Wire::Snapshot(part)),
                }
            }

            fn items(part: &Self::Snapshot) -> usize {
                part.$items.len()
            }

            fn into_body(self) -> Option<Body<Self::Snapshot>> {
                use $body as Wire;
                match self.body? {
                    Wire::Frame(frame) => frame.frame.map(Body::Frame),
                    Wire::Snapshot(part) => Some(Body::Snapshot(part)),
                }
            }
        }
    };
}

follow_response!(
    registration::v1::FollowPartiesResponse,
    registration::v1::follow_parties_response::Body,
    registration::v1::PartySnapshot,
    parties
);
follow_response!(
    registration::v1::FollowDevicesResponse,
    registration::v1::follow_devices_response::Body,
    registration::v1::DeviceSnapshot,
    devices
);
follow_response!(
    flag_registry::v1::FollowFlagsResponse,
    flag_registry::v1::follow_flags_response::Body,
    flag_registry::v1::FlagSnapshot,
    entries
);
follow_response!(
    csp_notification::v1::FollowFlagChangesResponse,
    csp_notification::v1::follow_flag_changes_response::Body,
    csp_notification::v1::CspSnapshot,
    devices
);

/// The log of the audit has no state but its events: there is no part of a snapshot to send.
impl FollowResponse for audit::v1::FollowAuditResponse {
    type Snapshot = ();

    fn from_frame(frame: stream_frame::Frame) -> Self {
        use audit::v1::follow_audit_response::Body as Wire;
        Self {
            body: Some(Wire::Frame(StreamFrame { frame: Some(frame) })),
        }
    }

    fn from_snapshot((): ()) -> Self {
        Self { body: None }
    }

    fn items((): &()) -> usize {
        0
    }

    fn into_body(self) -> Option<Body<()>> {
        use audit::v1::follow_audit_response::Body as Wire;
        let Wire::Frame(frame) = self.body?;
        frame.frame.map(Body::Frame)
    }
}
