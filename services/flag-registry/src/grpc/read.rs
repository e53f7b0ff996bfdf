//! How are flags and their history read?

use mesh_api::convert::{FieldErrors, position_to_wire};
use mesh_api::flag_registry::v1 as wire;
use mesh_api::flag_registry::v1::flag_result;
use mesh_api::status::item_status;
use mesh_authz::{Authorization, Caller, DevicePermit, Refusal};
use mesh_store::fingerprint;
use mesh_types::{DeviceId, Eui64, Position};
use tonic::Status;

use super::Flags;
use crate::error::Error;
use crate::paging::{Listing, Mark, page_size};
use crate::store::EntryFilter;
use crate::wire::{as_seen_by, entry, entry_of};

impl Flags {
    pub(super) async fn get(&self, permit: &DevicePermit) -> Result<wire::GetFlagResponse, Error> {
        let device = permit.device();
        let position = self.store.head().await?.position;
        let entries = self.store.entries(&[device], position.sequence).await?;
        Ok(wire::GetFlagResponse {
            entry: Some(entry_of(device, entries.get(&device))),
            position: Some(position_to_wire(&position)),
        })
    }

    pub(super) async fn batch_get(
        &self,
        permits: &[Result<DevicePermit, Refusal>],
    ) -> Result<wire::BatchGetFlagsResponse, Error> {
        let devices: Vec<DeviceId> = permits.iter().flatten().map(DevicePermit::device).collect();
        let position = self.store.head().await?.position;
        let entries = self.store.entries(&devices, position.sequence).await?;
        let results = permits.iter().map(|permit| match permit {
            Ok(permit) => {
                let device = permit.device();
                flag_result::Result::Entry(entry_of(device, entries.get(&device)))
            }
            Err(refusal) => {
                flag_result::Result::Status(item_status(&Status::from(refusal.clone())))
            }
        });
        Ok(wire::BatchGetFlagsResponse {
            results: results
                .map(|result| wire::FlagResult {
                    result: Some(result),
                })
                .collect(),
            position: Some(position_to_wire(&position)),
        })
    }

    pub(super) async fn list(
        &self,
        authorization: &Authorization,
        request: &wire::ListFlagsRequest,
    ) -> Result<wire::ListFlagsResponse, Error> {
        let (filter, limit) = read_filter(request).map_err(Error::Fields)?;
        let bound = fingerprint([
            request.party_id.as_bytes(),
            request.csp_id.as_bytes(),
            &request.state.to_be_bytes(),
        ]);
        let listing = Listing::new(self.store.database().tokens(), authorization, &bound);
        let head = self.store.head().await?.position;
        let mark = listing.open(&request.page_token, &head)?;
        let at = mark.map_or(head.sequence, |mark| mark.at);
        let after = mark.map(|mark| DeviceId::new(Eui64::from_u64(mark.key)));
        // One more than asked tells whether there is another page.
        let mut entries = self.store.list(&filter, at, after, limit + 1).await?;
        let more = entries.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        if more {
            entries.pop();
        }
        let next = entries.last().filter(|_| more).map(|last| Mark {
            epoch: head.epoch,
            at,
            key: last.device.eui64().to_u64(),
        });
        Ok(wire::ListFlagsResponse {
            entries: entries.iter().map(entry).collect(),
            next_page_token: listing.seal(next),
            position: Some(shown(&head, at)),
        })
    }

    pub(super) async fn history(
        &self,
        authorization: &Authorization,
        request: &wire::ListFlagEventsRequest,
    ) -> Result<wire::ListFlagEventsResponse, Error> {
        let limit = page_size(request.page_size).ok_or_else(|| {
            let mut errors = FieldErrors::default();
            errors.add("page_size", "is negative");
            Error::Fields(errors)
        })?;
        let device = authorization.device()?.device();
        let bound = fingerprint([device.eui64().octets().as_slice()]);
        let listing = Listing::new(self.store.database().tokens(), authorization, &bound);
        let head = self.store.head().await?.position;
        let mark = listing.open(&request.page_token, &head)?;
        let at = mark.map_or(head.sequence, |mark| mark.at);
        let before = mark.map(|mark| mark.key);
        let page = self.store.history(device, at, before, limit).await?;
        tracing::info!(
            target: "audit",
            caller = authorization.caller().key(),
            %device,
            events = page.events.len(),
            "history of a flag read"
        );
        let next = page.next_before.map(|key| Mark {
            epoch: head.epoch,
            at,
            key,
        });
        let caller = authorization.caller();
        let events = page.events.into_iter();
        Ok(wire::ListFlagEventsResponse {
            events: events.map(|event| shown_to(caller, event)).collect(),
            next_page_token: listing.seal(next),
            position: Some(shown(&head, at)),
        })
    }
}

/// Internal roles see everything.
fn shown_to(caller: &Caller, event: wire::FlagEvent) -> wire::FlagEvent {
    match caller.party() {
        Some(party) => as_seen_by(party, event),
        None => event,
    }
}

fn shown(head: &Position, at: u64) -> mesh_api::common::v1::Position {
    position_to_wire(&Position {
        sequence: at,
        ..head.clone()
    })
}

fn read_filter(request: &wire::ListFlagsRequest) -> Result<(EntryFilter, u32), FieldErrors> {
    let mut errors = FieldErrors::default();
    let mut filter = EntryFilter::default();
    if !request.party_id.is_empty() {
        filter.supplier = errors.parse("party_id", &request.party_id);
    }
    if !request.csp_id.is_empty() {
        filter.csp = errors.parse("csp_id", &request.csp_id);
    }
    match wire::FlagState::try_from(request.state) {
        Ok(wire::FlagState::Unspecified) => {}
        Ok(state) => filter.flagged = Some(state == wire::FlagState::Flagged),
        Err(_) => errors.add("state", "is a value that is not known"),
    }
    let limit = page_size(request.page_size);
    if limit.is_none() {
        errors.add("page_size", "is negative");
    }
    match limit {
        Some(limit) if errors.is_empty() => Ok((filter, limit)),
        _ => Err(errors),
    }
}
