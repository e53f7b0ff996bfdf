//! What is a question answered?

use mesh_api::common::v1::ErrorReason;
use mesh_api::convert::timestamp_from_wire;
use mesh_api::flag_registry::v1::{self as flag, FlagEvent, FlagFacts, flag_result};
use mesh_api::registration::v1::{self as registration, Authority, authority_result};
use mesh_types::Timestamp;
use tonic::Code;

use super::super::calls::{Answer, Call, Reply, Request};
use super::inventory::Registration;
use super::{Reference, refuse, wire};

impl Reference {
    /// The answer to a read.
    pub(super) fn read(&self, call: &Call) -> Answer {
        let devices = Some(self.devices.head());
        let flags = Some(self.flags.head());
        Ok(match &call.request {
            Request::Device(asked) => {
                let device = self.devices.state().devices.get(&asked.device_id);
                let Some(device) = device.cloned() else {
                    return refuse(Code::NotFound, ErrorReason::NotFound);
                };
                Reply::Device(registration::GetDeviceResponse {
                    device: Some(device),
                    position: devices,
                })
            }
            Request::Devices(asked) => {
                let all = self.devices.state().devices.values();
                let hub = &asked.communications_hub_id;
                let on_hub = all.filter(|d| hub.is_empty() || d.communications_hub_id == *hub);
                Reply::Devices(registration::ListDevicesResponse {
                    devices: on_hub.cloned().collect(),
                    next_page_token: String::new(),
                    position: devices,
                })
            }
            Request::Registrations(asked) => {
                let of_point = self.devices.state().registrations_of(&asked.mpxn);
                let registrations = of_point.into_iter().map(Registration::to_wire);
                Reply::Registrations(registration::ListRegistrationsResponse {
                    registrations: registrations.collect(),
                    position: devices,
                })
            }
            Request::Party(asked) => Reply::Party(registration::GetPartyResponse {
                party: self.parties.state().get(&asked.party_id).cloned(),
                position: Some(self.parties.head()),
            }),
            Request::Parties(_) => Reply::Parties(registration::ListPartiesResponse {
                parties: self.parties.state().values().cloned().collect(),
                next_page_token: String::new(),
                position: Some(self.parties.head()),
            }),
            Request::Authority(asked) => {
                let valid = self.instant(asked.valid_time);
                Reply::Authority(Box::new(registration::GetAuthorityResponse {
                    authority: Some(self.authority(&asked.device_id, valid)),
                    position: devices,
                    valid_time: wire(valid),
                }))
            }
            Request::Authorities(asked) => {
                let valid = self.instant(asked.valid_time);
                let answer = |device: &String| self.authority(device, valid);
                let answers = asked.device_ids.iter().map(answer);
                Reply::Authorities(registration::BatchGetAuthorityResponse {
                    results: answers.map(authority_answer).collect(),
                    position: devices,
                    valid_time: wire(valid),
                })
            }
            Request::Flag(asked) => Reply::Flag(flag::GetFlagResponse {
                entry: Some(self.entry(&asked.device_id)),
                position: flags,
            }),
            Request::Flags(asked) => {
                let devices = asked.device_ids.iter();
                let results = devices.map(|device| self.flag_result(call.caller, device));
                Reply::Flags(flag::BatchGetFlagsResponse {
                    results: results.collect(),
                    position: flags,
                })
            }
            Request::List(asked) => Reply::List(self.list(asked)),
            Request::History(asked) => Reply::History(self.history(call.caller, &asked.device_id)),
            other => panic!("{other:?} is no question"),
        })
    }

    fn instant(&self, at: Option<prost_types::Timestamp>) -> Timestamp {
        at.map_or(self.now, |at| timestamp_from_wire(&at).unwrap())
    }

    fn authority(&self, device: &str, at: Timestamp) -> Authority {
        let mut authority = self.devices.state().authority(device, at);
        let party = self.parties.state().get(&authority.responsible_party_id);
        authority.responsible_party_status = party.map_or(0, |party| party.status);
        authority
    }

    fn flag_result(&self, caller: &str, device: &str) -> flag::FlagResult {
        let result = match self.admit_to(caller, device) {
            Ok(()) => flag_result::Result::Entry(self.entry(device)),
            Err(refusal) => flag_result::Result::Status(refusal.of_item()),
        };
        flag::FlagResult {
            result: Some(result),
        }
    }

    fn list(&self, asked: &flag::ListFlagsRequest) -> flag::ListFlagsResponse {
        let entries = self.flags.state().values().filter(|entry| {
            let party = [String::new(), entry.responsible_party_id.clone()];
            let csp = [String::new(), entry.csp_id.clone()];
            party.contains(&asked.party_id)
                && csp.contains(&asked.csp_id)
                && [0, entry.state].contains(&asked.state)
        });
        flag::ListFlagsResponse {
            entries: entries.cloned().collect(),
            next_page_token: String::new(),
            position: Some(self.flags.head()),
        }
    }

    fn history(&self, caller: &str, device: &str) -> flag::ListFlagEventsResponse {
        let newest_first = self.flags.events.iter().rev();
        let of_device = newest_first.filter(|event| event.device_id == device);
        let supplier = self.parties.state().contains_key(caller);
        let events = of_device.cloned().map(|event| {
            if supplier {
                as_seen_by(caller, event)
            } else {
                event
            }
        });
        flag::ListFlagEventsResponse {
            events: events.collect(),
            next_page_token: String::new(),
            position: Some(self.flags.head()),
        }
    }
}

fn authority_answer(authority: Authority) -> registration::AuthorityResult {
    registration::AuthorityResult {
        result: Some(authority_result::Result::Authority(authority)),
    }
}

/// Of what others recorded a supplier sees states, times and causes, and nothing of what they said
/// or who they were (decision 14).
fn as_seen_by(supplier: &str, event: FlagEvent) -> FlagEvent {
    let own = event
        .actor
        .as_ref()
        .is_some_and(|actor| actor.party_id == supplier);
    if own {
        return event;
    }
    let hidden = |facts: Option<FlagFacts>| {
        let facts = facts.unwrap();
        let own = facts.responsible_party_id == supplier;
        Some(FlagFacts {
            responsible_party_id: if own {
                supplier.to_owned()
            } else {
                String::new()
            },
            ..facts
        })
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
