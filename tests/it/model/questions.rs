//! Which call does a question come to, in the world as it is?

use mesh_api::common::v1::{self as common, Position, as_of::Known, follow_start::Start};
use mesh_api::convert::timestamp_to_wire;
use mesh_api::flag_registry::v1 as flags;
use mesh_api::registration::v1 as registration;

use super::calls::{Call, Request};
use super::cast::{self, CSPS, DEVICES, METERS, PARTIES};
use super::reference::Reference;
use super::script::{OPERATOR, moment, who, wire};
use super::step::{AsOf, Log, Moment, Question, Who};

/// The call that asks the question.
pub(super) fn ask(world: &Reference, asker: Who, question: Question, as_of: AsOf) -> Call {
    // What is about no Device and about nobody's own data only the operator may ask.
    let caller = match question {
        Question::Device(device) | Question::Flag { device, .. } | Question::History { device } => {
            who(world, asker, device)
        }
        Question::Party(_) | Question::Flags { .. } | Question::List { .. } => {
            who(world, asker, METERS.start)
        }
        Question::Snapshot(_) => "auditor",
        _ => OPERATOR,
    };
    let request = match question {
        Question::Flag { .. }
        | Question::Flags { .. }
        | Question::List { .. }
        | Question::History { .. } => of_flags(world, caller, question, as_of),
        Question::Snapshot(log) => of_snapshot(world, log, as_of),
        _ => of_inventory(world, question, as_of),
    };
    Call { caller, request }
}

fn of_inventory(world: &Reference, question: Question, as_of: AsOf) -> Request {
    let parties = known(world, world.parties.head(), as_of);
    let devices = known(world, world.devices.head(), as_of);
    let at = |valid: Option<Moment>| valid.and_then(|valid| wire(world, valid));
    match question {
        Question::Device(device) => Request::Device(registration::GetDeviceRequest {
            device_id: cast::device(device),
            as_of: devices,
        }),
        Question::Devices { hub } => Request::Devices(registration::ListDevicesRequest {
            page_size: 5,
            communications_hub_id: hub.map(cast::device).unwrap_or_default(),
            as_of: devices,
            ..Default::default()
        }),
        Question::Registrations { point, valid } => {
            Request::Registrations(registration::ListRegistrationsRequest {
                mpxn: cast::point(point),
                as_of: devices,
                valid_time: at(valid),
            })
        }
        Question::Party(party) => Request::Party(registration::GetPartyRequest {
            party_id: PARTIES[party].to_owned(),
            as_of: parties,
        }),
        Question::Parties => Request::Parties(registration::ListPartiesRequest {
            page_size: 3,
            as_of: parties,
            ..Default::default()
        }),
        Question::Authority { device, valid } => {
            Request::Authority(registration::GetAuthorityRequest {
                device_id: cast::device(device),
                valid_time: at(valid),
                as_of: devices,
                ..Default::default()
            })
        }
        Question::Authorities { valid } => {
            Request::Authorities(registration::BatchGetAuthorityRequest {
                device_ids: (0..DEVICES).map(cast::device).collect(),
                valid_time: at(valid),
                as_of: devices,
                ..Default::default()
            })
        }
        other => panic!("{other:?} is not about the inventory"),
    }
}

fn of_flags(world: &Reference, caller: &str, question: Question, as_of: AsOf) -> Request {
    let as_of = known(world, world.flags.head(), as_of);
    let at = |valid: Option<Moment>| valid.and_then(|valid| wire(world, valid));
    match question {
        Question::Flag { device, valid } => Request::Flag(flags::GetFlagRequest {
            device_id: cast::device(device),
            as_of,
            valid_time: at(valid),
            ..Default::default()
        }),
        Question::Flags { valid } => Request::Flags(flags::BatchGetFlagsRequest {
            device_ids: (0..DEVICES).map(cast::device).collect(),
            as_of,
            valid_time: at(valid),
            ..Default::default()
        }),
        Question::List { named, state, csp } => {
            // A party that names nobody else names itself.
            let own = PARTIES.into_iter().find(|party| *party == caller);
            let named = named.map(|party| PARTIES[party]).or(own);
            Request::List(flags::ListFlagsRequest {
                page_size: 2,
                party_id: named.unwrap_or_default().to_owned(),
                state: state.into(),
                csp_id: csp.map(|csp| CSPS[csp].1.to_owned()).unwrap_or_default(),
                as_of,
                ..Default::default()
            })
        }
        Question::History { device } => Request::History(flags::ListFlagEventsRequest {
            device_id: cast::device(device),
            page_size: 4,
            as_of,
            ..Default::default()
        }),
        other => panic!("{other:?} is not about flags"),
    }
}

/// A snapshot is of a position, or of the last one.
fn of_snapshot(world: &Reference, log: Log, as_of: AsOf) -> Request {
    let start = |head: Position| {
        let known = known(world, head, as_of).and_then(|as_of| as_of.known);
        let position = known.and_then(|known| match known {
            Known::Position(position) => Some(position),
            Known::KnownTime(_) => None,
        });
        let start = Some(Start::Snapshot(common::SnapshotStart { position }));
        Some(common::FollowStart { start, seen: None })
    };
    match log {
        Log::Parties => Request::PartySnapshot(registration::FollowPartiesRequest {
            start: start(world.parties.head()),
        }),
        Log::Devices => Request::DeviceSnapshot(registration::FollowDevicesRequest {
            start: start(world.devices.head()),
        }),
        Log::Flags => Request::FlagSnapshot(flags::FollowFlagsRequest {
            start: start(world.flags.head()),
        }),
    }
}

/// What `as_of` says of a log that has come to `head`.
fn known(world: &Reference, head: Position, as_of: AsOf) -> Option<common::AsOf> {
    let known = match as_of {
        AsOf::Now => return None,
        AsOf::Position(part) => Known::Position(Position {
            sequence: head.sequence * u64::from(part) / u64::from(u8::MAX),
            ..head
        }),
        AsOf::Known(at) => Known::KnownTime(timestamp_to_wire(moment(world, at))),
    };
    Some(common::AsOf { known: Some(known) })
}
