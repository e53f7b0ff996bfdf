//! How does each RPC go from request to answer?
//!
//! The layers in front have judged the caller; what they found is the request's
//! [`Authorization`]. One file for each service of the contract.

mod audit;
mod authority;
mod device;
mod import;
mod list;
mod party;

pub(crate) use authority::OwnAuthority;

use std::sync::Arc;

use mesh_api::convert::{FieldErrors, position_to_wire};
use mesh_authz::Authorization;
use mesh_follow::Feed;
use mesh_store::{RequestKey, fingerprint};
use mesh_types::{Clock, LogName, Position};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::error::Error;
use crate::present::Present;
use crate::store::Inventory;
use crate::store::command::{Origin, Request};

/// The three services behind the chain. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Registry {
    inventory: Inventory,
    present: Present,
    parties: Feed,
    devices: Feed,
    clock: Arc<dyn Clock>,
    draining: CancellationToken,
}

impl Registry {
    /// Answers from `inventory` until `draining` is cancelled, which ends its streams.
    #[must_use]
    pub(crate) fn new(
        inventory: Inventory,
        present: Present,
        clock: Arc<dyn Clock>,
        draining: CancellationToken,
    ) -> Self {
        let feed = |log: &LogName| {
            let (store, clock) = (inventory.store().clone(), Arc::clone(&clock));
            Feed::new(store, log.clone(), clock, draining.clone())
        };
        Self {
            parties: feed(&inventory.logs().parties),
            devices: feed(&inventory.logs().devices),
            present,
            inventory,
            clock,
            draining,
        }
    }
}

/// Whose change it is.
fn origin(authorization: &Authorization) -> Origin {
    Origin {
        actor: Some(authorization.caller().actor()),
        trace_parent: mesh_rpc::current_traceparent().unwrap_or_default(),
    }
}

/// What makes the request the same one when it comes again: `parts` is its parsed value.
fn request<'a>(
    authorization: &Authorization,
    request_id: String,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> Request {
    Request {
        key: RequestKey {
            party: authorization.caller().key().to_owned(),
            rpc: authorization.method().to_owned().into(),
            request_id,
        },
        fingerprint: fingerprint(parts),
    }
}

/// What is read of a request's fields: either everything, or all that is wrong.
fn complete<T>(read: Option<T>, errors: FieldErrors) -> Result<T, Error> {
    match read {
        Some(read) if errors.is_empty() => Ok(read),
        _ => Err(Error::Fields(errors)),
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "messages hold other messages as options"
)]
fn on_wire(position: &Position) -> Option<mesh_api::common::v1::Position> {
    Some(position_to_wire(position))
}

/// A failure of the storage as this service tells it.
fn store_failed(error: mesh_store::StoreError) -> Status {
    Error::Store(error).into()
}
