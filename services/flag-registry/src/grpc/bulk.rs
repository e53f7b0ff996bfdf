//! How does a batch of changes get from permits to commits?
//!
//! Each request is the command that it would be alone, so that it is decided and answered alike; only
//! that commands go to the writer together, and that authority is asked for many at once.

use std::sync::Arc;

use mesh_api::common::v1 as common;
use mesh_api::convert::FieldErrors;
use mesh_api::flag_registry::v1 as wire;
use mesh_api::flag_registry::v1::{add_flag_result, remove_flag_result};
use mesh_api::status::item_status;
use mesh_authz::{Authorization, DevicePermit, Refusal};
use mesh_store::StoreError;
use mesh_types::{DeviceId, Position};
use tonic::Status;

use super::Flags;
use super::change::{self, RENEWALS};
use crate::error::Error;
use crate::request::Request;
use crate::store::{Answered, ChangeCommand, Declined, StillAllowed};

/// So many changes of a batch go into one transaction: a commit is a small part of it then, and what
/// others write waits no longer than for a transaction of theirs.
const MOST_TOGETHER: usize = 256;

/// What became of one request.
pub(super) type Outcome = Result<wire::RemoveFlagResponse, Error>;

/// What all changes of a batch have in common.
struct Asked<'a> {
    authorization: &'a Authorization,
    trace_parent: String,
    still_allowed: StillAllowed,
}

/// A change that is to be made.
struct Item {
    /// Which one of the batch it is.
    place: usize,
    permit: DevicePermit,
    request: Request,
}

impl Flags {
    /// Makes the changes that the caller was permitted to make: an outcome for each request in their
    /// order, and the last position of what was granted.
    pub(super) async fn change_all(
        &self,
        authorization: &Authorization,
        requests: Vec<Result<Request, FieldErrors>>,
    ) -> Result<(Vec<Outcome>, Option<common::Position>), Error> {
        let permits = authorization.batch()?;
        if permits.len() != requests.len() {
            return Err(Refusal::Internal.into());
        }
        let caller = authorization.clone();
        let asked = Asked {
            authorization,
            trace_parent: mesh_rpc::current_traceparent().unwrap_or_default(),
            still_allowed: Arc::new(move || caller.still_allowed()),
        };
        let mut outcomes = Outcomes::of(requests.len());
        let mut granted = Vec::with_capacity(requests.len());
        for (place, (permit, request)) in permits.iter().zip(requests).enumerate() {
            match (permit, request) {
                // Who may not act is told nothing about its fields.
                (Err(refusal), _) => outcomes.set(place, Err(refusal.clone().into())),
                (Ok(permit), Err(errors)) => {
                    authorization.notes().refused([permit.device()]);
                    outcomes.set(place, Err(Error::Fields(errors)));
                }
                (Ok(permit), Ok(request)) => granted.push(Item {
                    place,
                    permit: permit.clone(),
                    request,
                }),
            }
        }
        let mut granted = granted.into_iter();
        loop {
            let part: Vec<Item> = granted.by_ref().take(MOST_TOGETHER).collect();
            if part.is_empty() {
                break;
            }
            self.change_part(&asked, part, &mut outcomes).await;
        }
        let outcomes = outcomes.all()?;
        for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            self.metrics.refused(error);
        }
        let position = last_position(&outcomes);
        authorization.notes().answered(position.as_ref());
        Ok((outcomes, position))
    }

    /// Makes the changes of one part. Where the facts behind a permit may have changed by the time of
    /// the commit, authority is asked again, a few times.
    async fn change_part(&self, asked: &Asked<'_>, part: Vec<Item>, outcomes: &mut Outcomes) {
        let mut part = part;
        for renewals_left in (0..=RENEWALS).rev() {
            let (again, at_least) = self.attempt(asked, part, outcomes).await;
            let Some(at_least) = at_least else { return };
            if renewals_left == 0 {
                for item in again {
                    outcomes.refuse(asked, &item, Error::AuthorityChanged);
                }
                return;
            }
            part = renewed(asked, again, &at_least, outcomes).await;
        }
    }

    /// Has the changes decided once. Returns those of which authority has to be asked again, and as of
    /// where; of several positions the last.
    async fn attempt(
        &self,
        asked: &Asked<'_>,
        part: Vec<Item>,
        outcomes: &mut Outcomes,
    ) -> (Vec<Item>, Option<Position>) {
        let mut items = Vec::with_capacity(part.len());
        let mut commands = Vec::with_capacity(part.len());
        for item in part {
            match asked.command(&item) {
                Ok(command) => {
                    commands.push(command);
                    items.push(item);
                }
                Err(error) => outcomes.refuse(asked, &item, error),
            }
        }
        let decided = match self.store.change_all(commands).await {
            Ok(decided) => decided,
            Err(error) => {
                for item in items {
                    outcomes.refuse(asked, &item, error.clone().into());
                }
                return (Vec::new(), None);
            }
        };
        let mut again = Vec::new();
        let mut at_least: Option<Position> = None;
        for (item, decided) in items.into_iter().zip(decided) {
            match decided {
                Ok(Ok(Answered(answer))) => outcomes.set(item.place, Ok(answer)),
                Ok(Err(Declined::Refused(error))) => {
                    outcomes.refuse(asked, &item, error);
                }
                Ok(Err(Declined::AskAgain(position))) => {
                    let later = at_least.as_ref().is_none_or(|at_least| {
                        !at_least.comparable(&position) || at_least.sequence < position.sequence
                    });
                    if later {
                        at_least = Some(position);
                    }
                    again.push(item);
                }
                Err(error) => outcomes.refuse(asked, &item, error.into()),
            }
        }
        (again, at_least)
    }
}

/// The same changes with new permits, those that are still permitted.
async fn renewed(
    asked: &Asked<'_>,
    items: Vec<Item>,
    at_least: &Position,
    outcomes: &mut Outcomes,
) -> Vec<Item> {
    let permits: Vec<&DevicePermit> = items.iter().map(|item| &item.permit).collect();
    let renewed = match asked.authorization.renew_all(&permits, at_least).await {
        Ok(renewed) => renewed,
        Err(refusal) => vec![Err(refusal); items.len()],
    };
    let mut permitted = Vec::with_capacity(items.len());
    for (item, renewed) in items.into_iter().zip(renewed) {
        match renewed {
            Ok(permit) => permitted.push(Item { permit, ..item }),
            Err(refusal) => outcomes.refuse(asked, &item, refusal.into()),
        }
    }
    permitted
}

impl Asked<'_> {
    fn command(&self, item: &Item) -> Result<ChangeCommand, Error> {
        ChangeCommand::new(
            item.permit.clone(),
            item.request.clone(),
            self.trace_parent.clone(),
            Arc::clone(&self.still_allowed),
        )
    }
}

/// What became of each request of a batch, as far as is known.
struct Outcomes(Vec<Option<Outcome>>);

impl Outcomes {
    fn of(requests: usize) -> Self {
        Self(std::iter::repeat_with(|| None).take(requests).collect())
    }

    fn set(&mut self, place: usize, outcome: Outcome) {
        if let Some(slot) = self.0.get_mut(place) {
            *slot = Some(outcome);
        }
    }

    /// Refuses a change that was permitted, which is noted of its Device.
    fn refuse(&mut self, asked: &Asked<'_>, item: &Item, error: Error) {
        let device: DeviceId = item.permit.device();
        asked.authorization.notes().refused([device]);
        self.set(item.place, Err(error));
    }

    fn all(self) -> Result<Vec<Outcome>, Error> {
        let all: Option<Vec<Outcome>> = self.0.into_iter().collect();
        all.ok_or_else(|| StoreError::inconsistent("a batch", "a request has no answer").into())
    }
}

/// Where the last of the events stands that record what was granted. A replay's is before those of now,
/// or of an epoch that has ended.
fn last_position(outcomes: &[Outcome]) -> Option<common::Position> {
    let granted = outcomes.iter().flatten();
    let positions = granted.filter_map(|answer| Some((answer.replayed, answer.position.as_ref()?)));
    let last = positions.max_by_key(|(replayed, position)| (!replayed, position.sequence));
    last.map(|(_, position)| position.clone())
}

/// What one request to set a flag is answered.
pub(super) fn added(outcome: Outcome) -> wire::AddFlagResult {
    use add_flag_result::Result as Told;
    let result = match outcome {
        Ok(answer) => Told::Response(change::added(answer)),
        Err(error) => Told::Status(item_status(&Status::from(error))),
    };
    wire::AddFlagResult {
        result: Some(result),
    }
}

/// What one request to lift a flag is answered.
pub(super) fn removed(outcome: Outcome) -> wire::RemoveFlagResult {
    use remove_flag_result::Result as Told;
    let result = match outcome {
        Ok(answer) => Told::Response(answer),
        Err(error) => Told::Status(item_status(&Status::from(error))),
    };
    wire::RemoveFlagResult {
        result: Some(result),
    }
}
