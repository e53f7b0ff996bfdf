//! What is said on a stream beside the events of its log?

use async_trait::async_trait;
use mesh_api::common::v1::stream_frame::Frame;
use mesh_store::StoreError;
use mesh_types::{Position, Sequence};

/// A frame with a place in the log, to be sent when a stream passes it.
#[derive(Debug)]
pub struct Notice {
    /// Tells it from others; grows in the order in which they are sent.
    pub number: u64,
    /// It is sent after this event and before the next one.
    pub after: Sequence,
    /// What is sent.
    pub frame: Frame,
}

/// Where the notices of a log come from. They last, so that a reader who comes later gets them too.
#[async_trait]
pub trait Notices: Send + Sync + 'static {
    /// The first notice after number `last` whose place is `at` or follows it.
    ///
    /// A notice must be committed no later than the event that follows it.
    async fn next(&self, at: &Position, last: u64) -> Result<Option<Notice>, StoreError>;
}
