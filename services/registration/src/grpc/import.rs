//! How is inventory loaded in bulk?
//!
//! The rows of one request go through the writer as one command, in their order, and are answered by
//! one response. The next request waits until then, so that its rows come after them.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt as _, stream};
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::row_result;
use mesh_api::status::item_status;
use mesh_authz::{Authorization, Authorized};
use mesh_store::StoreError;
use mesh_types::{Clock, Position, Timestamp};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::{Registry, audit, on_wire, origin, store_failed};
use crate::error::Error;
use crate::store::command::{Answer, Command, Outcome, PutDevice, Row};
use crate::store::{Inventory, Rehearsal};
use crate::wire::{Loadable, read_row};

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
        rehearsal: Rehearsal::new(registry.inventory.clone()),
        clock: Arc::clone(&registry.clock),
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
    rehearsal: Rehearsal,
    clock: Arc<dyn Clock>,
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
            () = self.authorization.ending().begun() => {
                return Some(Err(Error::Store(StoreError::Stopped).into()));
            }
            request = self.requests.next() => request?,
        };
        Some(match request {
            Ok(request) => self.answer(request).await,
            Err(status) => Err(status),
        })
    }

    async fn answer(
        &mut self,
        request: wire::ImportInventoryRequest,
    ) -> Result<wire::ImportInventoryResponse, Status> {
        self.authorization.still_allowed()?;
        if request.rows.len() > MOST_ROWS {
            return Err(Error::TooManyItems(MOST_ROWS).into());
        }
        let mut sound = Vec::with_capacity(request.rows.len());
        let mut refused = Vec::with_capacity(request.rows.len());
        let now = self.clock.now();
        for row in &request.rows {
            match permitted(&self.authorization, row, now) {
                Ok(row) => {
                    sound.push(row);
                    refused.push(None);
                }
                Err(error) => refused.push(Some(error)),
            }
        }
        let (answers, position) = if request.validate_only {
            let head = self.inventory.devices_head().await.map_err(store_failed)?;
            (self.rehearsal.judge(sound).await?, head)
        } else {
            audit::note_rows(&self.inventory, &self.authorization, &request.rows).await?;
            self.load(sound).await?
        };
        let mut answers = answers.into_iter();
        let results = refused.into_iter().map(|refused| match refused {
            Some(error) => Err(error),
            None => answers.next().unwrap_or(Err(Error::NotFound("result"))),
        });
        let answer = wire::ImportInventoryResponse {
            results: results.map(row_result).collect(),
            position: on_wire(&position),
        };
        if !request.validate_only {
            audit::note_results(&self.authorization, &request.rows, &answer);
        }
        Ok(answer)
    }

    async fn load(
        &self,
        rows: Vec<Row>,
    ) -> Result<(Vec<Result<Outcome, Error>>, Position), Status> {
        let origin = origin(&self.authorization);
        let command = Command::Import { origin, rows };
        match self.inventory.submit(command).await? {
            Answer::Rows(answers, position) => Ok((answers, position)),
            _ => Err(mesh_api::status::internal()),
        }
    }
}

/// The row with the permit to record it.
fn permitted(
    authorization: &Authorization,
    row: &wire::InventoryRow,
    now: Timestamp,
) -> Result<Row, Error> {
    Ok(match read_row(row, now).map_err(Error::Fields)? {
        Loadable::Party(party) => Row::Party(party),
        Loadable::Device(device) => {
            let permit = authorization.permit_by_role(device.id)?;
            Row::Device(PutDevice::new(Authorized::Caller(permit), device))
        }
        Loadable::Registration(mpxn, party, interval) => Row::Registration {
            mpxn,
            party,
            interval,
        },
    })
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
