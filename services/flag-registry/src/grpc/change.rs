//! How does a change get from permit to commit?

use std::sync::Arc;

use mesh_api::flag_registry::v1 as wire;
use mesh_authz::Authorization;

use super::Flags;
use crate::error::Error;
use crate::request::Request;
use crate::restriction::Restriction;
use crate::store::{Answered, ChangeCommand, Declined, NoteCommand};

/// How often authority is asked anew when facts change between check and commit. While an inventory is
/// loaded the log `devices` never rests, and on a busy database server five times were too few.
pub(super) const RENEWALS: usize = 20;

impl Flags {
    /// Makes the change that the caller was permitted to make.
    pub(super) async fn change(
        &self,
        authorization: &Authorization,
        asked: &Request,
    ) -> Result<wire::RemoveFlagResponse, Error> {
        let changed = self.attempts(authorization, asked).await;
        changed.inspect_err(|error| self.metrics.refused(error))
    }

    /// If the facts behind the permit may have changed by the time of the commit, authority is asked
    /// again, a few times.
    async fn attempts(
        &self,
        authorization: &Authorization,
        asked: &Request,
    ) -> Result<wire::RemoveFlagResponse, Error> {
        let trace_parent = mesh_rpc::current_traceparent().unwrap_or_default();
        let mut permit = authorization.device()?;
        for renewals_left in (0..=RENEWALS).rev() {
            let caller = authorization.clone();
            let still_allowed = Arc::new(move || caller.still_allowed());
            let (request, trace_parent) = (asked.clone(), trace_parent.clone());
            let command = ChangeCommand::new(permit.clone(), request, trace_parent, still_allowed)?;
            match self.store.change(command).await? {
                Ok(Answered(answer)) => {
                    authorization.notes().answered(answer.position.as_ref());
                    return Ok(answer);
                }
                Err(Declined::Refused(error)) => return Err(error),
                Err(Declined::AskAgain(position)) if renewals_left > 0 => {
                    permit = authorization.renew(&permit, &position).await?;
                }
                Err(Declined::AskAgain(_)) => break,
            }
        }
        Err(Error::AuthorityChanged)
    }

    /// Asks for a review of the flag that covers a Device which SRV 3.2 was sent to.
    pub(super) async fn note(
        &self,
        authorization: &Authorization,
        restriction: Restriction,
    ) -> Result<wire::NoteTenancyRestrictionResponse, Error> {
        let trace_parent = mesh_rpc::current_traceparent().unwrap_or_default();
        authorization.notes().device(restriction.device);
        let permit = authorization.permit_by_role(restriction.device)?;
        let caller = authorization.clone();
        let still_allowed = Arc::new(move || caller.still_allowed());
        let request_id = restriction.request_id;
        let command = NoteCommand::new(permit, request_id, trace_parent, still_allowed);
        let answer = self.store.note(command).await?;
        authorization.notes().answered(answer.position.as_ref());
        Ok(answer)
    }
}

/// What `AddFlag` answers a change that was granted.
pub(super) fn added(answer: wire::RemoveFlagResponse) -> wire::AddFlagResponse {
    wire::AddFlagResponse {
        entry: answer.entry,
        changed: answer.changed,
        replayed: answer.replayed,
        position: answer.position,
        advice: advice(),
    }
}

/// What a supplier should know after setting a flag.
///
/// Always the billing calendar: the registry does not know which calendar a meter has, and every
/// ESME and GSME can push its registers with the critical alert 0x8F0A, which is delivered
/// (decision 3).
fn advice() -> Vec<i32> {
    vec![wire::Advice::BillingCalendarMayPushRegisters.into()]
}
