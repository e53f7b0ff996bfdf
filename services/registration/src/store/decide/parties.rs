//! What do commands change about parties?

use mesh_api::convert::timestamp_to_wire;
use mesh_api::registration::v1 as wire;
use mesh_store::StoreError;
use mesh_types::{PartyId, Position};
use prost::Message as _;

use super::super::command::{Origin, Outcome};
use super::super::rows::Recorded;
use super::{Deciding, check_etag, on_wire, outcome};
use crate::error::Error;
use crate::party::{Party, Status};
use crate::wire::party_to_wire;

/// A party as it stands after a command.
struct Put {
    party: wire::Party,
    position: Position,
    changed: bool,
}

impl Deciding<'_> {
    pub(super) fn put_party(
        &mut self,
        origin: &Origin,
        party: Party,
        etag: Option<u64>,
    ) -> Result<wire::PutPartyResponse, Error> {
        let recorded = self.known.party(&party.id).map(|recorded| recorded.since);
        check_etag(etag, recorded)?;
        let put = self.put(origin, party)?;
        Ok(wire::PutPartyResponse {
            party: Some(put.party),
            replayed: false,
            position: on_wire(&put.position),
        })
    }

    pub(super) fn import_party(&mut self, origin: &Origin, party: Party) -> Result<Outcome, Error> {
        Ok(outcome(self.put(origin, party)?.changed))
    }

    fn put(&mut self, origin: &Origin, party: Party) -> Result<Put, Error> {
        let recorded = self.known.party(&party.id).cloned();
        let party = self.known.judge_party(party)?;
        Ok(self.record(origin, recorded.as_ref(), party, "")?)
    }

    pub(super) fn set_party_status(
        &mut self,
        origin: &Origin,
        party: &PartyId,
        status: Status,
        reason: &str,
    ) -> Result<wire::SetPartyStatusResponse, Error> {
        let recorded = self.known.party(party).cloned();
        let recorded = recorded.ok_or(Error::NotFound("party"))?;
        let party = recorded.value.with_status(status)?;
        if status != Status::Active {
            self.taken.parties.insert(party.id.clone());
        }
        let put = self.record(origin, Some(&recorded), party, reason)?;
        Ok(wire::SetPartyStatusResponse {
            party: Some(put.party),
            replayed: false,
            position: on_wire(&put.position),
        })
    }

    fn record(
        &mut self,
        origin: &Origin,
        before: Option<&Recorded<Party>>,
        party: Party,
        reason: &str,
    ) -> Result<Put, StoreError> {
        if let Some(before) = before.filter(|before| before.value == party) {
            return Ok(Put {
                party: party_to_wire(&party, before.since),
                position: self.tx.head(&self.logs.parties)?.position.clone(),
                changed: false,
            });
        }
        let stamp = self.tx.append(&self.logs.parties, |stamp| {
            wire::PartyEvent {
                sequence: stamp.position.sequence,
                recorded_time: Some(timestamp_to_wire(stamp.recorded_time)),
                party: Some(party_to_wire(&party, stamp.position.sequence)),
                actor: origin.actor.clone(),
                trace_parent: origin.trace_parent.clone(),
                reason: reason.to_owned(),
            }
            .encode_to_vec()
        })?;
        let since = stamp.position.sequence;
        self.changes.party(before, party.clone(), since);
        let put = Put {
            party: party_to_wire(&party, since),
            position: stamp.position,
            changed: true,
        };
        let value = party;
        self.known.put_party(Recorded { value, since });
        Ok(put)
    }
}
