//! What is a question answered, of now or of what was known before?

use std::collections::BTreeMap;

use mesh_api::common::v1::{AsOf, ErrorReason, as_of::Known};
use mesh_api::convert::timestamp_from_wire;
use mesh_api::flag_registry::v1 as flag;
use mesh_api::flag_registry::v1::{FlagEntry, FlagEvent, FlagFacts, FlagState, flag_result};
use mesh_api::registration::v1::{self as registration, Authority, authority_result};
use mesh_types::Timestamp;
use tonic::Code;

use super::super::calls::{Answer, Call, Refusal, Reply, Request};
use super::inventory::Registration;
use super::{Inventory, Log, Reference, refuse, wire};

type Wire = Option<prost_types::Timestamp>;

impl Reference {
    /// The answer to a read.
    pub(super) fn read(&self, call: &Call) -> Answer {
        match &call.request {
            Request::Device(asked) => self.device(asked),
            Request::Devices(asked) => self.list_devices(asked),
            Request::Registrations(asked) => self.list_registrations(asked),
            Request::Party(asked) => self.party(asked),
            Request::Parties(asked) => self.list_parties(asked),
            Request::Authority(asked) => self.get_authority(asked),
            Request::Authorities(asked) => self.get_authorities(asked),
            Request::Flag(asked) => self.get_flag(call.caller, asked),
            Request::Flags(asked) => self.get_flags(call.caller, asked),
            Request::List(asked) => self.list_flags(call.caller, asked),
            Request::History(asked) => self.history(call.caller, asked),
            Request::PartySnapshot(asked) => self.party_snapshot(asked.start.as_ref()),
            Request::DeviceSnapshot(asked) => self.device_snapshot(asked.start.as_ref()),
            Request::FlagSnapshot(asked) => self.flag_snapshot(asked.start.as_ref()),
            other => panic!("{other:?} is no question"),
        }
    }

    /// What stood in a log, and where that is.
    fn shown<'a, E, S: Clone + Default>(
        &self,
        log: &'a Log<E, S>,
        as_of: &Option<AsOf>,
    ) -> Result<(&'a S, usize), Refusal> {
        let sequence = log.sequence(as_of.as_ref(), self.now)?;
        Ok((&log.states[sequence], sequence))
    }

    fn device(&self, asked: &registration::GetDeviceRequest) -> Answer {
        let (inventory, at) = self.shown(&self.devices, &asked.as_of)?;
        let Some(device) = inventory.devices.get(&asked.device_id).cloned() else {
            return refuse(Code::NotFound, ErrorReason::NotFound);
        };
        Ok(Reply::Device(registration::GetDeviceResponse {
            device: Some(device),
            position: Some(self.devices.position(at)),
        }))
    }

    fn list_devices(&self, asked: &registration::ListDevicesRequest) -> Answer {
        let (inventory, at) = self.shown(&self.devices, &asked.as_of)?;
        let hub = &asked.communications_hub_id;
        let all = inventory.devices.values();
        let on_hub = all.filter(|d| hub.is_empty() || d.communications_hub_id == *hub);
        Ok(Reply::Devices(registration::ListDevicesResponse {
            devices: on_hub.cloned().collect(),
            next_page_token: String::new(),
            position: Some(self.devices.position(at)),
        }))
    }

    fn list_registrations(&self, asked: &registration::ListRegistrationsRequest) -> Answer {
        let (inventory, at) = self.shown(&self.devices, &asked.as_of)?;
        let of_point = inventory.registrations_of(&asked.mpxn).into_iter();
        let wanted = of_point.filter(|r| instant(asked.valid_time).is_none_or(|at| r.holds(at)));
        let registrations = wanted.map(Registration::to_wire).collect();
        Ok(Reply::Registrations(
            registration::ListRegistrationsResponse {
                registrations,
                position: Some(self.devices.position(at)),
            },
        ))
    }

    fn party(&self, asked: &registration::GetPartyRequest) -> Answer {
        let (parties, at) = self.shown(&self.parties, &asked.as_of)?;
        let Some(party) = parties.get(&asked.party_id).cloned() else {
            return refuse(Code::NotFound, ErrorReason::NotFound);
        };
        Ok(Reply::Party(registration::GetPartyResponse {
            party: Some(party),
            position: Some(self.parties.position(at)),
        }))
    }

    fn list_parties(&self, asked: &registration::ListPartiesRequest) -> Answer {
        let (parties, at) = self.shown(&self.parties, &asked.as_of)?;
        Ok(Reply::Parties(registration::ListPartiesResponse {
            parties: parties.values().cloned().collect(),
            next_page_token: String::new(),
            position: Some(self.parties.position(at)),
        }))
    }

    fn get_authority(&self, asked: &registration::GetAuthorityRequest) -> Answer {
        let (inventory, at) = self.shown(&self.devices, &asked.as_of)?;
        let valid = self.valid(asked.valid_time, &asked.as_of, at);
        let authority = self.authority(inventory, &asked.device_id, valid, &asked.as_of);
        Ok(Reply::Authority(Box::new(
            registration::GetAuthorityResponse {
                authority: Some(authority),
                position: Some(self.devices.position(at)),
                valid_time: wire(valid),
                lease_duration: None,
            },
        )))
    }

    fn get_authorities(&self, asked: &registration::BatchGetAuthorityRequest) -> Answer {
        let (inventory, at) = self.shown(&self.devices, &asked.as_of)?;
        let valid = self.valid(asked.valid_time, &asked.as_of, at);
        let results = asked.device_ids.iter().map(|device| {
            let authority = self.authority(inventory, device, valid, &asked.as_of);
            registration::AuthorityResult {
                result: Some(authority_result::Result::Authority(authority)),
                lease_duration: None,
            }
        });
        Ok(Reply::Authorities(
            registration::BatchGetAuthorityResponse {
                results: results.collect(),
                position: Some(self.devices.position(at)),
                valid_time: wire(valid),
            },
        ))
    }

    /// The instant that an answer about authority is about: the one that is named, or when what it
    /// rests on was known.
    fn valid(&self, named: Wire, as_of: &Option<AsOf>, sequence: usize) -> Timestamp {
        let known = as_of.as_ref().and_then(|as_of| as_of.known.as_ref());
        let then = match known {
            None => None,
            Some(Known::KnownTime(time)) => instant(Some(*time)),
            Some(Known::Position(_)) => sequence.checked_sub(1).map(|n| self.devices.times[n]),
        };
        instant(named).or(then).unwrap_or(self.now)
    }

    /// A position of `devices` says nothing of whether a party may act.
    fn authority(
        &self,
        inventory: &Inventory,
        device: &str,
        at: Timestamp,
        as_of: &Option<AsOf>,
    ) -> Authority {
        let mut authority = inventory.authority(device, at);
        let known = as_of.as_ref().and_then(|as_of| as_of.known.as_ref());
        if !matches!(known, Some(Known::Position(_))) {
            let (parties, _) = self.shown(&self.parties, as_of).unwrap();
            let party = parties.get(&authority.responsible_party_id);
            authority.responsible_party_status = party.map_or(0, |party| party.status);
        }
        authority
    }

    fn get_flag(&self, caller: &str, asked: &flag::GetFlagRequest) -> Answer {
        self.not_to_come(asked.valid_time)?;
        let (entries, at) = self.shown(&self.flags, &asked.as_of)?;
        let entry = self.entry_at(entries, at, &asked.device_id, asked.valid_time);
        Ok(Reply::Flag(flag::GetFlagResponse {
            entry: Some(self.entry_seen_by(caller, entry)),
            position: Some(self.flags.position(at)),
        }))
    }

    fn get_flags(&self, caller: &str, asked: &flag::BatchGetFlagsRequest) -> Answer {
        self.not_to_come(asked.valid_time)?;
        let (entries, at) = self.shown(&self.flags, &asked.as_of)?;
        let results = asked.device_ids.iter().map(|device| {
            let result = match self.admit_to(caller, device) {
                Ok(()) => {
                    let entry = self.entry_at(entries, at, device, asked.valid_time);
                    flag_result::Result::Entry(self.entry_seen_by(caller, entry))
                }
                Err(refusal) => flag_result::Result::Status(refusal.of_item()),
            };
            let result = Some(result);
            flag::FlagResult { result }
        });
        Ok(Reply::Flags(flag::BatchGetFlagsResponse {
            results: results.collect(),
            position: Some(self.flags.position(at)),
        }))
    }

    fn not_to_come(&self, valid: Wire) -> Result<(), Refusal> {
        if instant(valid).is_some_and(|valid| valid > self.now) {
            return Err(Refusal::of_field("valid_time"));
        }
        Ok(())
    }

    /// The entry by the events up to a position. With an instant, flag, supplier, hub and coverage
    /// are each as the last event about it says that has become true by then.
    fn entry_at(
        &self,
        entries: &BTreeMap<String, FlagEntry>,
        at: usize,
        device: &str,
        valid: Wire,
    ) -> FlagEntry {
        let Some(known) = entries.get(device).cloned() else {
            return super::flags::never_flagged(device);
        };
        let Some(valid) = instant(valid) else {
            return known;
        };
        let mut entry = FlagEntry {
            device_id: known.device_id,
            device_type: known.device_type,
            state: FlagState::NotFlagged.into(),
            last_sequence: known.last_sequence,
            reviews: known.reviews,
            etag: known.etag,
            registration_position: known.registration_position,
            ..FlagEntry::default()
        };
        let of_device = self.flags.events[..at].iter();
        let of_device = of_device.filter(|event| event.device_id == device);
        for (number, event) in of_device.enumerate() {
            let (previous, current) = (event.previous.as_ref(), event.current.as_ref());
            let (previous, current) = (previous.unwrap(), current.unwrap());
            if instant(event.effective_time).unwrap() > valid {
                continue;
            }
            // The first event is about everything.
            let first = number == 0;
            if first || previous.state != current.state {
                entry.state = current.state;
                entry.since_time = event.effective_time;
                entry.cause = event.cause;
                entry.state_sequence = event.sequence;
            }
            if first || previous.responsible_party_id != current.responsible_party_id {
                entry.responsible_party_id = current.responsible_party_id.clone();
                entry.responsible_since_time = event.effective_time;
            }
            let hub =
                |facts: &FlagFacts| (facts.communications_hub_id.clone(), facts.csp_id.clone());
            if first || hub(previous) != hub(current) {
                (entry.communications_hub_id, entry.csp_id) = hub(current);
            }
            if first || previous.covered_device_ids != current.covered_device_ids {
                entry.covered_device_ids = current.covered_device_ids.clone();
            }
        }
        entry
    }

    /// A supplier is not told who was responsible before it (decision 14).
    fn entry_seen_by(&self, caller: &str, mut entry: FlagEntry) -> FlagEntry {
        if self.is_party(caller) && entry.responsible_party_id != caller {
            entry.responsible_party_id.clear();
        }
        entry
    }

    fn is_party(&self, caller: &str) -> bool {
        self.parties.state().contains_key(caller)
    }

    /// A supplier sees what was its own then and is now.
    fn list_flags(&self, caller: &str, asked: &flag::ListFlagsRequest) -> Answer {
        let (entries, at) = self.shown(&self.flags, &asked.as_of)?;
        let wanted = entries.values().filter(|entry| {
            let party = [String::new(), entry.responsible_party_id.clone()];
            let csp = [String::new(), entry.csp_id.clone()];
            let now = self.entry(&entry.device_id).responsible_party_id;
            party.contains(&asked.party_id)
                && csp.contains(&asked.csp_id)
                && [0, entry.state].contains(&asked.state)
                && (now == caller || !self.is_party(caller))
        });
        Ok(Reply::List(flag::ListFlagsResponse {
            entries: wanted.cloned().collect(),
            next_page_token: String::new(),
            position: Some(self.flags.position(at)),
        }))
    }

    fn history(&self, caller: &str, asked: &flag::ListFlagEventsRequest) -> Answer {
        let (_, at) = self.shown(&self.flags, &asked.as_of)?;
        let newest_first = self.flags.events[..at].iter().rev();
        let of_device = newest_first.filter(|event| event.device_id == asked.device_id);
        let events = of_device.cloned().map(|event| {
            if self.is_party(caller) {
                event_seen_by(caller, event)
            } else {
                event
            }
        });
        Ok(Reply::History(flag::ListFlagEventsResponse {
            events: events.collect(),
            next_page_token: String::new(),
            position: Some(self.flags.position(at)),
        }))
    }
}

fn instant(at: Wire) -> Option<Timestamp> {
    at.map(|at| timestamp_from_wire(&at).unwrap())
}

/// Of what others recorded a supplier sees states, times and causes, and nothing of what they said
/// or who they were (decision 14).
fn event_seen_by(supplier: &str, event: FlagEvent) -> FlagEvent {
    let actor = event.actor.as_ref();
    if actor.is_some_and(|actor| actor.party_id == supplier) {
        return event;
    }
    let hidden = |facts: Option<FlagFacts>| {
        let mut facts = facts.unwrap();
        if facts.responsible_party_id != supplier {
            facts.responsible_party_id.clear();
        }
        Some(facts)
    };
    FlagEvent {
        sequence: event.sequence,
        recorded_time: event.recorded_time,
        effective_time: event.effective_time,
        device_id: event.device_id,
        device_type: event.device_type,
        cause: event.cause,
        previous: hidden(event.previous),
        current: hidden(event.current),
        registration_position: event.registration_position,
        review_reason: event.review_reason,
        ..FlagEvent::default()
    }
}
