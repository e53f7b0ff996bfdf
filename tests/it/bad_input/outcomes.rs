//! Outcomes and requests for reports that have something wrong in them.

use mesh_api::common::v1::{ErrorReason as R, MessageClass};
use mesh_api::reporting::v1 as reporting;
use mp169::sample::ALBION;
use tonic::Code;

use super::fields::{ABSURD, NO_EUI_64, UNKNOWN};
use super::{HOME, Table, calls};
use crate::requests::now;

pub(super) async fn of_reporting(table: &mut Table) {
    let good = reporting::Outcome {
        outcome_id: "1".into(),
        party_id: ALBION.id.into(),
        device_id: HOME.esme().to_string(),
        service_reference_variant: "4.8.1".into(),
        message_class: MessageClass::Consumption.into(),
        request_time: Some(now()),
        result: reporting::OutcomeResult::Succeeded.into(),
        origin: reporting::OutcomeOrigin::OnDemand.into(),
    };
    let answer = calls::record(&table.mesh, "no such producer!", vec![good.clone()]).await;
    table.refused(
        "a malformed producer",
        answer,
        Code::InvalidArgument,
        R::FieldInvalid,
    );
    let answer = calls::record(&table.mesh, "dsp", vec![good.clone(); 1_001]).await;
    table.refused(
        "1,001 outcomes",
        answer,
        Code::InvalidArgument,
        R::TooManyItems,
    );
    let wrong = wrong_outcomes(&good);
    let outcomes = wrong.iter().map(|(_, outcome)| outcome.clone()).collect();
    let answer = calls::record(&table.mesh, "dsp", outcomes).await.unwrap();
    assert_eq!(
        (answer.recorded, answer.refused),
        (0, u64::try_from(wrong.len()).unwrap())
    );
    for ((what, _), refused) in wrong.iter().zip(&answer.refusals) {
        let status = refused.status.as_ref();
        table.item_refused(
            format!("an outcome with {what}"),
            status,
            Code::InvalidArgument,
            R::FieldInvalid,
        );
    }
    let mut client = table.mesh.clients("analyst").reporting().unwrap();
    for month in [
        "",
        "2026",
        "2026-13",
        "2026-00",
        "26-01",
        "2026-1",
        "20-26-01",
        "２０２６-01",
    ] {
        let request = reporting::GetServiceRequestReportRequest {
            month: month.into(),
            ..Default::default()
        };
        let answer = client.get_service_request_report(request).await;
        table.refused(
            format!("the month {month:?}"),
            answer,
            Code::InvalidArgument,
            R::FieldInvalid,
        );
    }
}

/// The first second of 2016-11, when the DCC went live.
const FIRST_SECOND: i64 = 1_477_958_400;

/// Outcomes with one thing wrong each.
fn wrong_outcomes(good: &reporting::Outcome) -> Vec<(String, reporting::Outcome)> {
    let mut wrong = Vec::new();
    let mut case = |what: &str, change: &dyn Fn(&mut reporting::Outcome)| {
        let mut outcome = good.clone();
        change(&mut outcome);
        wrong.push((what.to_owned(), outcome));
    };
    for text in NO_EUI_64 {
        case(&format!("Device {text:?}"), &|outcome| {
            outcome.device_id = text.into();
        });
    }
    for number in [0, UNKNOWN, -1] {
        case(&format!("class {number}"), &|outcome| {
            outcome.message_class = number;
        });
        case(&format!("result {number}"), &|outcome| {
            outcome.result = number;
        });
        case(&format!("origin {number}"), &|outcome| {
            outcome.origin = number;
        });
    }
    for at in ABSURD {
        case(&format!("the time {at:?}"), &|outcome| {
            outcome.request_time = Some(at);
        });
    }
    case("no id", &|outcome| outcome.outcome_id = String::new());
    case("an id of 65", &|outcome| {
        outcome.outcome_id = "x".repeat(65);
    });
    case("no party", &|outcome| outcome.party_id = String::new());
    case("an unknown party", &|outcome| {
        outcome.party_id = "NOBODY".into();
    });
    for text in ["", "four", "4", "4.08.1", "4.8.0", "4.8.256", "4.8.1.1"] {
        case(&format!("variant {text:?}"), &|outcome| {
            outcome.service_reference_variant = text.into();
        });
    }
    for (what, seconds) in [
        ("a time in 2016-10", FIRST_SECOND - 1),
        ("a time 10 minutes ahead", now().seconds + 600),
    ] {
        case(what, &|outcome| {
            outcome.request_time = Some(prost_types::Timestamp { seconds, nanos: 0 });
        });
    }
    wrong
}
