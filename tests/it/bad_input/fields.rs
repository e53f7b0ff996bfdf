//! Fields that are missing, malformed, unknown, absurd or out of bounds, and requests about flags
//! that have them.

use mesh_api::common::v1::ErrorReason as R;
use mesh_api::flag_registry::v1 as flags;
use mp169::sample::ALBION;
use prost_types::Timestamp;
use tonic::Code;

use super::{HOME, Table, calls};
use crate::requests::{add, choice, new_id, now, remove};

/// A number that no enum has.
pub(super) const UNKNOWN: i32 = 99;

/// Texts that are no EUI-64.
pub(super) const NO_EUI_64: [&str; 11] = [
    "",
    "00",
    "00-DB-12-34-56-78-90",
    "00-DB-12-34-56-78-90-A0-11",
    "00DB1234567890A0",
    "00:DB:12:34:56:78:90:A0",
    "00-DB-12-34-56-78-90-G0",
    " 00-DB-12-34-56-78-90-A",
    "00-DB-12-34-56-78-90-+1",
    "00-DB-12-34-56-78-90-é",
    "' OR 1=1; DROP TABLE--\0",
];

/// Instants that protobuf does not have.
pub(super) const ABSURD: [Timestamp; 5] = [
    Timestamp {
        seconds: i64::MAX,
        nanos: 0,
    },
    Timestamp {
        seconds: i64::MIN,
        nanos: 0,
    },
    Timestamp {
        seconds: 253_402_300_800,
        nanos: 0,
    },
    Timestamp {
        seconds: 0,
        nanos: -1,
    },
    Timestamp {
        seconds: 0,
        nanos: 1_000_000_000,
    },
];

/// Instants that protobuf has and nobody can mean: the first of the year 1, the last second of 9999.
pub(super) const FAR_OFF: [Timestamp; 2] = [
    Timestamp {
        seconds: -62_135_596_800,
        nanos: 0,
    },
    Timestamp {
        seconds: 253_402_300_799,
        nanos: 0,
    },
];

pub(super) const NO_UUID: [&str; 4] = [
    "",
    "1",
    "00000000-0000-0000-0000-000000000000",
    "{not a uuid at all!}",
];

pub(super) async fn of_flag_registry(table: &mut Table) {
    for text in NO_EUI_64 {
        for who in [ALBION.id, "operator"] {
            let request = flags::GetFlagRequest {
                device_id: text.into(),
                ..Default::default()
            };
            let answer = calls::get(&table.mesh, who, request).await;
            table.refused(
                format!("GetFlag {text:?} by {who}"),
                answer,
                Code::InvalidArgument,
                R::FieldInvalid,
            );
        }
        let request = flags::AddFlagRequest {
            device_id: text.into(),
            ..add(HOME.esme(), ALBION.id)
        };
        let answer = calls::add(&table.mesh, request).await;
        table.refused(
            format!("AddFlag {text:?}"),
            answer,
            Code::InvalidArgument,
            R::FieldInvalid,
        );
    }
    for (what, request) in wrong_additions() {
        let answer = calls::add(&table.mesh, request).await;
        table.refused(
            format!("AddFlag with {what}"),
            answer,
            Code::InvalidArgument,
            R::FieldInvalid,
        );
    }
    let early = flags::AddFlagRequest {
        etag: "7".into(),
        ..add(HOME.esme(), ALBION.id)
    };
    let answer = calls::add(&table.mesh, early).await;
    table.refused(
        "an etag of long ago",
        answer,
        Code::Aborted,
        R::EtagMismatch,
    );
    let mut reused = table.added.clone();
    reused.choice.as_mut().unwrap().evidence_reference.push('x');
    let answer = calls::add(&table.mesh, reused).await;
    table.refused(
        "a request id used before",
        answer,
        Code::AlreadyExists,
        R::RequestIdReused,
    );
    let mut future = add(HOME.esme(), ALBION.id);
    let captured = Timestamp {
        seconds: now().seconds + 86_400,
        nanos: 0,
    };
    future.choice.as_mut().unwrap().captured_time = Some(captured);
    let answer = calls::add(&table.mesh, future).await;
    table.refused(
        "a choice of tomorrow",
        answer,
        Code::FailedPrecondition,
        R::PreconditionsNotMet,
    );
    of_other_changes(table).await;
    of_lists_of_flags(table).await;
}

/// Requests to set a flag with one thing wrong each.
fn wrong_additions() -> Vec<(String, flags::AddFlagRequest)> {
    let mut wrong = Vec::new();
    let mut case = |what: &str, change: &dyn Fn(&mut flags::AddFlagRequest)| {
        let mut request = add(HOME.esme(), ALBION.id);
        change(&mut request);
        wrong.push((what.to_owned(), request));
    };
    for id in NO_UUID {
        case(&format!("request id {id:?}"), &|request| {
            request.request_id = id.into();
        });
    }
    case("no choice", &|request| request.choice = None);
    for number in [0, UNKNOWN, -1] {
        case(&format!("preference {number}"), &|request| {
            choice_of(request).preference = number;
        });
        case(&format!("channel {number}"), &|request| {
            choice_of(request).channel = number;
        });
        case(&format!("step {number}"), &|request| {
            steps_of(request).steps[0].kind = number;
        });
    }
    case("a declaration that is not known", &|request| {
        request.site_declarations.as_mut().unwrap().radio_teleswitch = UNKNOWN;
    });
    case("a choice of no time", &|request| {
        choice_of(request).captured_time = None;
    });
    // What lies in the future is for the preconditions.
    for at in ABSURD.into_iter().chain([FAR_OFF[0]]) {
        case(&format!("a choice of {at:?}"), &|request| {
            choice_of(request).captured_time = Some(at);
        });
        case(&format!("a step of {at:?}"), &|request| {
            steps_of(request).steps[0].taken_time = Some(at);
        });
    }
    for text in ["", "two\nlines", "caf\u{e9}", &"x".repeat(101)] {
        case(&format!("evidence {text:?}"), &|request| {
            choice_of(request).evidence_reference = text.into();
        });
    }
    case("a contact of two lines", &|request| {
        steps_of(request).contact_reference = "a\nb".into();
    });
    case("a party in lower case", &|request| {
        choice_of(request).captured_by_party_id = "albion".into();
    });
    case("21 steps", &|request| {
        let steps = &mut steps_of(request).steps;
        *steps = vec![steps[0]; 21];
    });
    wrong
}

fn choice_of(request: &mut flags::AddFlagRequest) -> &mut flags::ConsumerChoice {
    request.choice.as_mut().unwrap()
}

fn steps_of(request: &mut flags::AddFlagRequest) -> &mut flags::ReasonableSteps {
    request.reasonable_steps.as_mut().unwrap()
}

async fn of_other_changes(table: &mut Table) {
    let mut client = table.mesh.clients(ALBION.id).flags().unwrap();
    let request = flags::RemoveFlagRequest {
        request_id: "1".into(),
        ..remove(HOME.esme(), ALBION.id)
    };
    let answer = client.remove_flag(request).await;
    table.refused(
        "RemoveFlag without a UUID",
        answer,
        Code::InvalidArgument,
        R::FieldInvalid,
    );
    let tomorrow = Timestamp {
        seconds: now().seconds + 86_400,
        nanos: 0,
    };
    let starts = [tomorrow, ABSURD[0], FAR_OFF[0], FAR_OFF[1]].map(Some);
    for start in starts.into_iter().chain([None]) {
        let request = flags::RecordTenancyChangeRequest {
            request_id: new_id(),
            device_id: HOME.esme().to_string(),
            tenancy_start_time: start,
            choice: Some(choice(flags::Preference::Full, ALBION.id)),
            ..Default::default()
        };
        let answer = client.record_tenancy_change(request).await;
        table.refused(
            format!("a tenancy from {start:?}"),
            answer,
            Code::InvalidArgument,
            R::FieldInvalid,
        );
    }
    for taken in [tomorrow, FAR_OFF[1]] {
        let mut steps = add(HOME.esme(), ALBION.id).reasonable_steps;
        for step in steps.iter_mut().flat_map(|steps| &mut steps.steps) {
            step.taken_time = Some(taken);
        }
        let request = flags::RecordTenancyChangeRequest {
            request_id: new_id(),
            device_id: HOME.esme().to_string(),
            tenancy_start_time: Some(now()),
            choice: Some(choice(flags::Preference::Full, ALBION.id)),
            reasonable_steps: steps,
            ..Default::default()
        };
        let answer = client.record_tenancy_change(request).await;
        table.refused(
            format!("a tenancy with a step of {taken:?}"),
            answer,
            Code::FailedPrecondition,
            R::PreconditionsNotMet,
        );
    }
}

async fn of_lists_of_flags(table: &mut Table) {
    let list = flags::ListFlagsRequest::default;
    for (what, request) in [
        (
            "a negative page",
            flags::ListFlagsRequest {
                page_size: -1,
                ..list()
            },
        ),
        (
            "an unknown state",
            flags::ListFlagsRequest {
                state: UNKNOWN,
                ..list()
            },
        ),
        (
            "a malformed party",
            flags::ListFlagsRequest {
                party_id: "a b".into(),
                ..list()
            },
        ),
        (
            "a malformed CSP",
            flags::ListFlagsRequest {
                csp_id: "NORTH!".into(),
                ..list()
            },
        ),
    ] {
        let mut client = table.mesh.clients("operator").flags().unwrap();
        let answer = client.list_flags(request).await;
        table.refused(
            format!("ListFlags with {what}"),
            answer,
            Code::InvalidArgument,
            R::FieldInvalid,
        );
    }
    let mut client = table.mesh.clients(ALBION.id).flags().unwrap();
    let device_ids = vec![HOME.esme().to_string(); 1_001];
    let request = flags::BatchGetFlagsRequest {
        device_ids,
        ..Default::default()
    };
    let answer = client.batch_get_flags(request).await;
    table.refused(
        "1,001 Devices",
        answer,
        Code::InvalidArgument,
        R::TooManyItems,
    );
    let device_ids = NO_EUI_64.map(str::to_owned).to_vec();
    let request = flags::BatchGetFlagsRequest {
        device_ids,
        ..Default::default()
    };
    let answer = client.batch_get_flags(request).await.unwrap().into_inner();
    for (text, result) in NO_EUI_64.iter().zip(answer.results) {
        let status = match &result.result {
            Some(flags::flag_result::Result::Status(status)) => Some(status),
            _ => None,
        };
        table.item_refused(
            format!("item {text:?}"),
            status,
            Code::InvalidArgument,
            R::FieldInvalid,
        );
    }
}
