//! How is inventory loaded in bulk?
//!
//! The rows of one request go through the writer as one command, in their order, and are answered by
//! one response. The next request waits until then, so that its rows come after them.

use std::pin::Pin;

use futures::{Stream, StreamExt as _, stream};
use mesh_api::convert::FieldErrors;
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::inventory_row::Row as WireRow;
use mesh_api::registration::v1::row_result;
use mesh_api::status::item_status;
use mesh_authz::{Authorization, Authorized};
use mesh_store::StoreError;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::{Registry, complete, on_wire, origin};
use crate::error::Error;
use crate::store::Inventory;
use crate::store::command::{Answer, Command, Outcome, PutDevice, Row};
use crate::wire::{Fields, read_device, read_party, read_registration};

/// The most rows of one request.
const MOST_ROWS: usize = 1_000;

/// The responses, one for each request, in their order.
pub(crate) type Results =
    Pin<Box<dyn Stream<Item = Result<wire::ImportInventoryResponse, Status>> + Send>>;

/// Loads what comes until it ends, a request as a whole is refused, or the server stops.
pub(super) fn results(
    registry: &Registry,
    authorization: Authorization,
    requests: Streaming<wire::ImportInventoryRequest>,
) -> Results {
    let loading = Loading {
        inventory: registry.inventory.clone(),
        draining: registry.draining.clone(),
        authorization,
        requests,
    };
    let results = stream::unfold(Some(loading), async |loading| {
        let mut loading = loading?;
        let result = loading.next().await?;
        // After an error nothing follows.
        let loading = result.is_ok().then_some(loading);
        Some((result, loading))
    });
    Box::pin(results)
}

struct Loading {
    inventory: Inventory,
    draining: CancellationToken,
    authorization: Authorization,
    requests: Streaming<wire::ImportInventoryRequest>,
}

impl Loading {
    async fn next(&mut self) -> Option<Result<wire::ImportInventoryResponse, Status>> {
        let request = tokio::select! {
            biased;
            () = self.draining.cancelled() => {
                return Some(Err(Error::Store(StoreError::Stopped).into()));
            }
            request = self.requests.next() => request?,
        };
        Some(match request {
            Ok(request) => load(&self.inventory, &self.authorization, request.rows).await,
            Err(status) => Err(status),
        })
    }
}

async fn load(
    inventory: &Inventory,
    authorization: &Authorization,
    rows: Vec<wire::InventoryRow>,
) -> Result<wire::ImportInventoryResponse, Status> {
    authorization.still_allowed()?;
    if rows.len() > MOST_ROWS {
        return Err(Error::TooManyItems(MOST_ROWS).into());
    }
    let mut sound = Vec::with_capacity(rows.len());
    let mut refused = Vec::with_capacity(rows.len());
    for row in rows {
        match read_row(authorization, row) {
            Ok(row) => {
                sound.push(row);
                refused.push(None);
            }
            Err(error) => refused.push(Some(error)),
        }
    }
    let command = Command::Import {
        origin: origin(authorization),
        rows: sound,
    };
    let Answer::Rows(answers, position) = inventory.submit(command).await? else {
        return Err(mesh_api::status::internal());
    };
    let mut answers = answers.into_iter();
    let results = refused.into_iter().map(|refused| match refused {
        Some(error) => Err(error),
        None => answers.next().unwrap_or(Err(Error::NotFound("result"))),
    });
    Ok(wire::ImportInventoryResponse {
        results: results.map(row_result).collect(),
        position: on_wire(&position),
    })
}

fn read_row(authorization: &Authorization, row: wire::InventoryRow) -> Result<Row, Error> {
    let mut errors = FieldErrors::default();
    match row.row {
        Some(WireRow::Party(party)) => {
            let party = read_party(&party, &mut Fields::of("party", &mut errors));
            Ok(Row::Party(complete(party, errors)?))
        }
        Some(WireRow::Device(device)) => {
            let device = read_device(&device, &mut Fields::of("device", &mut errors));
            let device = complete(device, errors)?;
            let permit = authorization.permit_by_role(device.id)?;
            let put = PutDevice::new(Authorized::Caller(permit), device);
            Ok(Row::Device(put))
        }
        Some(WireRow::Registration(registration)) => {
            let mut fields = Fields::of("registration", &mut errors);
            let read = read_registration(&registration, &mut fields);
            let (mpxn, party, interval) = complete(read, errors)?;
            Ok(Row::Registration {
                mpxn,
                party,
                interval,
            })
        }
        None => {
            errors.add("row", "is missing");
            Err(Error::Fields(errors))
        }
    }
}

fn row_result(result: Result<Outcome, Error>) -> wire::RowResult {
    match result {
        Ok(outcome) => wire::RowResult {
            outcome: match outcome {
                Outcome::Recorded => row_result::Outcome::Recorded,
                Outcome::Unchanged => row_result::Outcome::Unchanged,
            }
            .into(),
            status: None,
        },
        Err(error) => wire::RowResult {
            outcome: row_result::Outcome::Unspecified.into(),
            status: Some(item_status(&error.into())),
        },
    }
}
