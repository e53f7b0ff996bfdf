//! How are flags and their history read?

use std::collections::HashMap;

use mesh_api::common::v1 as common;
use mesh_api::convert::{FieldErrors, position_to_wire, timestamp_from_wire};
use mesh_api::flag_registry::v1 as wire;
use mesh_api::flag_registry::v1::flag_result;
use mesh_api::status::item_status;
use mesh_authz::{Authorization, Caller, DevicePermit, Notes, Refusal};
use mesh_follow::AsOf;
use mesh_store::fingerprint;
use mesh_types::{DeviceId, Eui64, Position, Timestamp};
use prost::Message as _;
use tonic::Status;

use super::Flags;
use crate::error::Error;
use crate::paging::{Listing, Mark};
use crate::store::EntryFilter;
use crate::wire::{as_seen_by, entry, entry_at, entry_seen_by, no_history};

/// Devices of a batch that are read at a time: the reads of others come between, and all are at one
/// position.
const MAX_READ: usize = 128;

/// What an answer is about.
pub(super) struct About {
    /// Up to where events count.
    shown: Position,
    /// The instant at which it is asked what held; `None` for what holds after all of those.
    valid: Option<Timestamp>,
}

impl Flags {
    /// What an answer is about. Waits for what it is to show. Whoever asks often enough what a flag was
    /// reads its history, so a question about the past is noted (decision 28).
    pub(super) async fn about(
        &self,
        notes: &Notes,
        at_least: Option<common::Position>,
        as_of: Option<common::AsOf>,
        valid_time: Option<prost_types::Timestamp>,
    ) -> Result<About, Status> {
        if as_of.is_some() || valid_time.is_some() {
            notes.asks_for_past();
        }
        let mut errors = FieldErrors::default();
        let as_of = AsOf::read(&mut errors, as_of.as_ref());
        let valid = valid_time.as_ref().map(timestamp_from_wire);
        let valid = valid.and_then(|valid| errors.keep("valid_time", valid));
        if valid.is_some_and(|valid| valid > self.clock.now()) {
            errors.add("valid_time", "lies in the future");
        }
        if !errors.is_empty() {
            return Err(Error::Fields(errors).into());
        }
        self.feed.wait_for(at_least.as_ref()).await?;
        let shown = self.feed.shown(as_of.as_ref()).await?;
        Ok(About { shown, valid })
    }

    pub(super) async fn get(
        &self,
        permit: &DevicePermit,
        about: &About,
    ) -> Result<wire::GetFlagResponse, Error> {
        let entries = self.entries(&[permit.device()], about).await?;
        Ok(wire::GetFlagResponse {
            entry: Some(told_to(permit, &entries)),
            position: Some(position_to_wire(&about.shown)),
        })
    }

    pub(super) async fn batch_get(
        &self,
        permits: &[Result<DevicePermit, Refusal>],
        about: &About,
    ) -> Result<wire::BatchGetFlagsResponse, Error> {
        let mut results = Vec::with_capacity(permits.len());
        for part in permits.chunks(MAX_READ) {
            let devices: Vec<DeviceId> = part.iter().flatten().map(DevicePermit::device).collect();
            let entries = self.entries(&devices, about).await?;
            results.extend(part.iter().map(|permit| result_of(permit, &entries)));
            tokio::task::yield_now().await;
        }
        Ok(wire::BatchGetFlagsResponse {
            results,
            position: Some(position_to_wire(&about.shown)),
        })
    }

    async fn entries(
        &self,
        devices: &[DeviceId],
        about: &About,
    ) -> Result<HashMap<DeviceId, wire::FlagEntry>, Error> {
        let at = about.shown.sequence;
        let found = self.store.entries(devices, at).await?;
        let pasts = match about.valid {
            Some(valid) => self.store.pasts(devices, at, valid).await?,
            None => HashMap::new(),
        };
        let entries = found.iter().map(|(device, found)| {
            let known = entry(found);
            let told = match pasts.get(device) {
                Some(past) => entry_at(known, past),
                None => known,
            };
            (*device, told)
        });
        Ok(entries.collect())
    }

    pub(super) async fn list(
        &self,
        authorization: &Authorization,
        request: &wire::ListFlagsRequest,
    ) -> Result<wire::ListFlagsResponse, Status> {
        let mut errors = FieldErrors::default();
        let mut filter = read_filter(&mut errors, request);
        // A supplier names itself, and reads of no Device that it is no longer responsible for.
        filter.still = authorization.caller().party().is_some();
        let as_of = AsOf::read(&mut errors, request.as_of.as_ref());
        let limit = read_limit(errors, request.page_size)?;
        let first = as_of.filter(|_| request.page_token.is_empty());
        let shown = self.feed.shown(first.as_ref()).await?;
        let bound = fingerprint([
            request.party_id.as_bytes(),
            request.csp_id.as_bytes(),
            &request.state.to_be_bytes(),
            &octets(request.as_of.as_ref()),
        ]);
        let listing = Listing::new(self.store.database().tokens(), authorization, &bound);
        let mark = listing.open(&request.page_token, &shown)?;
        let at = mark.map_or(shown.sequence, |mark| mark.at);
        let after = mark.map(|mark| DeviceId::new(Eui64::from_u64(mark.key)));
        // One more than asked tells whether there is another page.
        let found = self.store.list(&filter, at, after, limit + 1).await;
        let mut entries = found.map_err(Error::from)?;
        let more = entries.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        if more {
            entries.pop();
        }
        if request.as_of.is_some() {
            let notes = authorization.notes();
            notes.asks_for_past();
            notes.devices(entries.iter().map(|entry| entry.device));
        }
        let next = entries.last().filter(|_| more).map(|last| Mark {
            epoch: shown.epoch,
            at,
            key: last.device.eui64().to_u64(),
        });
        Ok(wire::ListFlagsResponse {
            entries: entries.iter().map(entry).collect(),
            next_page_token: listing.seal(next),
            position: Some(position_to_wire(&shown.at(at))),
        })
    }

    pub(super) async fn history(
        &self,
        authorization: &Authorization,
        request: &wire::ListFlagEventsRequest,
    ) -> Result<wire::ListFlagEventsResponse, Status> {
        let mut errors = FieldErrors::default();
        let as_of = AsOf::read(&mut errors, request.as_of.as_ref());
        let limit = read_limit(errors, request.page_size)?;
        let first = as_of.filter(|_| request.page_token.is_empty());
        let shown = self.feed.shown(first.as_ref()).await?;
        let device = authorization.device()?.device();
        let bound = fingerprint([
            device.eui64().octets().as_slice(),
            &octets(request.as_of.as_ref()),
        ]);
        let listing = Listing::new(self.store.database().tokens(), authorization, &bound);
        let mark = listing.open(&request.page_token, &shown)?;
        let at = mark.map_or(shown.sequence, |mark| mark.at);
        let before = mark.map(|mark| mark.key);
        let page = self.store.history(device, at, before, limit).await;
        let page = page.map_err(Error::from)?;
        let next = page.next_before.map(|key| Mark {
            epoch: shown.epoch,
            at,
            key,
        });
        let caller = authorization.caller();
        let events = page.events.into_iter();
        Ok(wire::ListFlagEventsResponse {
            events: events.map(|event| shown_to(caller, event)).collect(),
            next_page_token: listing.seal(next),
            position: Some(position_to_wire(&shown.at(at))),
        })
    }
}

fn result_of(
    permit: &Result<DevicePermit, Refusal>,
    entries: &HashMap<DeviceId, wire::FlagEntry>,
) -> wire::FlagResult {
    let result = match permit {
        Ok(permit) => flag_result::Result::Entry(told_to(permit, entries)),
        Err(refusal) => flag_result::Result::Status(item_status(&Status::from(refusal.clone()))),
    };
    wire::FlagResult {
        result: Some(result),
    }
}

/// The entry of the Device that a caller may read. Internal roles see everything.
fn told_to(permit: &DevicePermit, entries: &HashMap<DeviceId, wire::FlagEntry>) -> wire::FlagEntry {
    let device = permit.device();
    let entry = entries.get(&device).cloned();
    let entry = entry.unwrap_or_else(|| no_history(device));
    match permit.caller().party() {
        Some(party) => entry_seen_by(party, entry),
        None => entry,
    }
}

/// Internal roles see everything.
fn shown_to(caller: &Caller, event: wire::FlagEvent) -> wire::FlagEvent {
    match caller.party() {
        Some(party) => as_seen_by(party, event),
        None => event,
    }
}

/// What all pages of a list rest on.
fn octets(as_of: Option<&common::AsOf>) -> Vec<u8> {
    as_of.map(common::AsOf::encode_to_vec).unwrap_or_default()
}

/// How many items a page has, unless that or anything before was found wrong.
fn read_limit(mut errors: FieldErrors, page_size: i32) -> Result<u32, Error> {
    match errors.page_size(page_size) {
        Some(limit) if errors.is_empty() => Ok(limit.into()),
        _ => Err(Error::Fields(errors)),
    }
}

fn read_filter(errors: &mut FieldErrors, request: &wire::ListFlagsRequest) -> EntryFilter {
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
    filter
}
