//! How does a stream of outcomes become records?
//!
//! One request of the stream at a time: it is read, judged and on disk before the next is taken, so
//! that however long the stream is, one request of it is in memory. A malformed outcome is refused
//! by itself; what is wrong with a request as a whole ends the stream, and what came before stays.

use std::num::NonZeroU64;

use mesh_api::convert::FieldErrors;
use mesh_api::reporting::v1 as wire;
use mesh_api::status::item_status;
use mesh_authz::{Authorization, Directory};
use mesh_types::Clock;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tonic::Status;

use crate::error::{Error, MAX_OUTCOMES};
use crate::outcome::{self, Producer};
use crate::store::{Delivery, Disposition, Numbered, Recording, ReportStore};

/// Refusals that the answer explains; further ones are only counted.
const MAX_REFUSALS: usize = 1_000;
/// Characters of a refused id that the answer repeats: as many as a good one has.
const ID_CHARACTERS: usize = 64;

/// What outcomes are judged and kept with.
pub(crate) struct Desk<'a> {
    pub(crate) store: &'a ReportStore,
    /// Whose outcomes there can be.
    pub(crate) directory: &'a Directory,
    pub(crate) clock: &'a dyn Clock,
}

/// What came of a stream so far.
pub(crate) struct Intake<'a> {
    desk: Desk<'a>,
    authorization: &'a Authorization,
    producer: Option<Producer>,
    answer: wire::RecordOutcomesResponse,
}

impl<'a> Intake<'a> {
    pub(crate) fn new(desk: Desk<'a>, authorization: &'a Authorization) -> Self {
        Self {
            desk,
            authorization,
            producer: None,
            answer: wire::RecordOutcomesResponse::default(),
        }
    }

    /// Takes one request of the stream; once this returns, its outcomes are on disk.
    pub(crate) async fn take(&mut self, request: wire::RecordOutcomesRequest) -> Result<(), Error> {
        let producer = self.producer(&request.producer)?;
        if request.outcomes.len() > MAX_OUTCOMES {
            return Err(Error::TooManyOutcomes);
        }
        let (now, directory) = (self.desk.clock.now(), self.desk.directory);
        // Outcomes have no other source, so they are taken also before the directory was followed.
        let is_known = |party: &_| !directory.is_loaded() || directory.knows(party);
        let mut recordings = Vec::with_capacity(request.outcomes.len());
        // Of each outcome, why it is refused so far.
        let mut refusals = Vec::with_capacity(request.outcomes.len());
        for outcome in &request.outcomes {
            match outcome::read(outcome, now, is_known) {
                Ok((device, outcome)) => {
                    recordings.push(Recording {
                        permit: self.authorization.permit_by_role(device)?,
                        outcome,
                    });
                    refusals.push(None);
                }
                Err(errors) => refusals.push(Some(Error::Fields(errors))),
            }
        }
        let delivery = Delivery {
            producer: producer.clone(),
            numbered: numbered(&request),
            outcomes: recordings,
        };
        let taken = self.desk.store.record(delivery).await??;
        self.answer.last_batch_number = taken.last_number;
        let mut dispositions = taken.dispositions.into_iter();
        for (outcome, refusal) in request.outcomes.iter().zip(refusals) {
            let judged = refusal.map_or_else(
                || dispositions.next(),
                |error| {
                    self.refuse(&outcome.outcome_id, error);
                    None
                },
            );
            match judged {
                Some(Disposition::Recorded) => self.answer.recorded += 1,
                Some(Disposition::Duplicate) => self.answer.duplicates += 1,
                Some(Disposition::Reused) => {
                    self.refuse(&outcome.outcome_id, Error::OutcomeIdReused);
                }
                Some(Disposition::Outside) => {
                    let mut errors = FieldErrors::default();
                    errors.add("device_id", "is a SMETS1 meter, which reports leave out");
                    self.refuse(&outcome.outcome_id, Error::Fields(errors));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// What the stream is answered at its end.
    pub(crate) fn finish(self) -> wire::RecordOutcomesResponse {
        self.answer
    }

    /// The producer of this request, which is that of the stream.
    fn producer(&mut self, text: &str) -> Result<Producer, Error> {
        let mut errors = FieldErrors::default();
        let producer: Option<Producer> = errors.parse("producer", text);
        let Some(producer) = producer else {
            return Err(Error::Fields(errors));
        };
        let of_stream = self.producer.get_or_insert_with(|| producer.clone());
        if *of_stream == producer {
            Ok(producer)
        } else {
            errors.add("producer", "is not the one that the stream began with");
            Err(Error::Fields(errors))
        }
    }

    fn refuse(&mut self, id: &str, error: Error) {
        self.answer.refused += 1;
        if self.answer.refusals.len() < MAX_REFUSALS {
            self.answer.refusals.push(wire::RefusedOutcome {
                outcome_id: id.chars().take(ID_CHARACTERS).collect(),
                status: Some(item_status(&Status::from(error))),
            });
        }
    }
}

/// The number of the request, if it has one. Its content is what was sent and not what was read: which
/// outcomes are refused may be another matter when it comes again.
fn numbered(request: &wire::RecordOutcomesRequest) -> Option<Numbered> {
    let number = NonZeroU64::new(request.batch_number)?;
    let content = Sha256::digest(request.encode_to_vec());
    let content = content.iter().map(|octet| format!("{octet:02x}")).collect();
    Some(Numbered { number, content })
}
