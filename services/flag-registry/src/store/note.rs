//! How is a prompt of the DSP decided?
//!
//! It rests on what the log `flags` shows and on nothing else, so that there are no facts of
//! registration that could be out of date.

use mesh_api::convert::position_to_wire;
use mesh_api::flag_registry::v1::NoteTenancyRestrictionResponse;
use mesh_store::{Outcome, StoreError};
use prost::Message as _;

use super::batch::Transaction;
use super::command::{Declined, NoteCommand};
use super::ledger::Recorded;
use crate::error::Error;
use crate::restriction::prompt;

impl Transaction<'_> {
    /// Asks for a review of what covers the command's Device. The outer error undoes the whole
    /// transaction.
    pub(super) fn note(
        &mut self,
        command: &NoteCommand,
    ) -> Result<Result<NoteTenancyRestrictionResponse, Declined>, StoreError> {
        if let Err(refusal) = (command.still_allowed)() {
            return Ok(Err(refusal.into()));
        }
        match self.tx.outcome(&command.key, &command.fingerprint)? {
            Outcome::Replay(answer) => return replayed(&answer).map(Ok),
            Outcome::Reused => return Ok(Err(Error::RequestIdReused.into())),
            Outcome::New => {}
        }
        let mut answer = NoteTenancyRestrictionResponse::default();
        for news in self.prompts(command) {
            let position = self.ledger.record(self.tx, &command.authorized, news)?;
            answer.noted = true;
            answer.position = Some(position_to_wire(&position));
        }
        let kept = answer.encode_to_vec();
        self.tx.keep(&command.key, command.fingerprint, kept)?;
        Ok(Ok(answer))
    }

    /// One, or none; more only if inventory has given the same GPF to several meters.
    fn prompts(&self, command: &NoteCommand) -> Vec<Recorded> {
        let covering = self.ledger.covering(command.device).into_iter();
        covering
            .filter_map(|entry| {
                Some(Recorded {
                    device: entry.device,
                    meter: entry.meter,
                    change: prompt(entry, command.device)?,
                    by: Some(command.by.clone()),
                    trace_parent: command.trace_parent.clone(),
                })
            })
            .collect()
    }
}

fn replayed(answer: &[u8]) -> Result<NoteTenancyRestrictionResponse, StoreError> {
    let answer = NoteTenancyRestrictionResponse::decode(answer)
        .map_err(|_| StoreError::inconsistent("idempotency", "an answer is malformed"))?;
    Ok(NoteTenancyRestrictionResponse {
        replayed: true,
        ..answer
    })
}
