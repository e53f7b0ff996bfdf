//! Is the whole request here?
//!
//! A request that is still arriving waits at its caller's own expense: it is an open call of the
//! caller, its octets are counted, and nothing else is taken until it is whole. So whoever sends half
//! of a request holds up nobody.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use mesh_api::common::v1::ErrorReason;
use tonic::body::Body;

use crate::limits::{Caller, Full as NoRoom, Place, Places, Shares};
use crate::status::{refuse, shed};

/// When a caller whose requests are too many octets should come back.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Holds requests until they are whole.
#[derive(Debug, Clone)]
pub(crate) struct Arrivals(Arc<Places>);

/// A request that has arrived.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) octets: Bytes,
    /// The octets as they count for the caller, given back when dropped.
    pub(crate) place: Place,
}

impl Arrivals {
    pub(crate) fn new(shares: &Shares) -> Self {
        Self(Places::new(shares, |share| share.octets))
    }

    /// Takes in all of `body`, or gives the refusal.
    pub(crate) async fn whole(
        &self,
        mut body: Body,
        caller: Caller,
    ) -> Result<Arrived, Response<Body>> {
        let mut place = Place::none(&self.0, caller);
        let mut pieces = BytesMut::new();
        while let Some(frame) = body.frame().await {
            // Whoever broke the request off knows, and the layer that did says why.
            let Ok(data) = frame.map_err(refuse)?.into_data() else {
                continue;
            };
            place.grow(data.len()).map_err(no_room)?;
            if pieces.is_empty() && body.is_end_stream() {
                let octets = data;
                return Ok(Arrived { octets, place });
            }
            // Copied, because a small piece keeps the whole buffer that it was read into.
            pieces.extend_from_slice(&data);
        }
        let octets = pieces.freeze();
        Ok(Arrived { octets, place })
    }
}

impl Arrived {
    /// The message in its frame. Framing that is wrong is for others to refuse.
    pub(crate) fn message(&self) -> &[u8] {
        self.octets.get(5..).unwrap_or_default()
    }
}

fn no_room(no_room: NoRoom) -> Response<Body> {
    match no_room {
        NoRoom::Caller => {
            let message = "the requests of the caller that are under way are too many octets";
            shed(ErrorReason::CallerLimit, message, RETRY_AFTER)
        }
        NoRoom::Class => {
            let message = "the requests that are under way are too many octets";
            shed(ErrorReason::Overloaded, message, RETRY_AFTER)
        }
    }
}
