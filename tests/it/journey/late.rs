//! A change of supplier is recorded an hour late, after the earlier supplier has set a flag.

use std::time::Duration;

use mesh_api::common::v1::ErrorReason;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::csp_notification::v1::CauseClass;
use mesh_api::flag_registry::v1::{self as flags, Cause, FlagState, ReviewReason};
use mesh_api::registration::v1 as registration;
use mesh_types::{Clock as _, SystemClock, Timestamp};
use mp169::sample::{ALBION, BRIGHT};
use tonic::Code;

use super::views::{Journey, told};
use super::{HOME, assert_refused};
use crate::downstream::Read::Suppress;
use crate::engine::{Databases, on_each_engine};
use crate::requests::{add, new_id, rows};

const HOUR: Duration = Duration::from_hours(1);

on_each_engine!(a_registration_that_contradicts_a_flag_asks_for_a_review);

async fn a_registration_that_contradicts_a_flag_asks_for_a_review(databases: Databases) {
    let mut journey = Journey::begin(databases).await;
    journey.town.load(rows(9)).await;
    journey.flag(HOME.esme()).await;
    journey
        .north_is_told(&[told(CauseClass::Set, HOME.esme(), &[])])
        .await;
    let an_hour_ago = SystemClock.now().micros() - i64::try_from(HOUR.as_micros()).unwrap();
    let mut inventory = journey.town.clients("registration-data").devices().unwrap();
    let request = registration::ChangeSupplierRequest {
        request_id: new_id(),
        mpxn: HOME.import_mpan().unwrap().to_string(),
        party_id: BRIGHT.id.to_owned(),
        start_time: Some(timestamp_to_wire(Timestamp::from_micros(an_hour_ago))),
    };
    inventory.change_supplier(request).await.unwrap();

    let wanted = [i32::from(ReviewReason::BackdatedRegistration)];
    let entry = journey
        .entry(HOME.esme(), |entry| entry.reviews == wanted)
        .await;
    assert_eq!(entry.state(), FlagState::Flagged);
    assert_eq!(entry.responsible_party_id, BRIGHT.id);
    let mut bright = journey.town.clients(BRIGHT.id).flags().unwrap();
    let history = flags::ListFlagEventsRequest {
        device_id: HOME.esme().to_string(),
        ..Default::default()
    };
    let events = bright.list_flag_events(history).await.unwrap().into_inner();
    let causes: Vec<_> = events.events.iter().map(flags::FlagEvent::cause).collect();
    let expected = [
        Cause::ReviewNeeded,
        Cause::SupplierChanged,
        Cause::FlagAdded,
    ];
    assert_eq!(causes, expected);
    // Whoever set it can no longer change it; the flag itself stays, and nobody is told anything.
    let mut albion = journey.town.clients(ALBION.id).flags().unwrap();
    let refused = albion.add_flag(add(HOME.esme(), ALBION.id)).await;
    let refused = refused.unwrap_err();
    let reason = ErrorReason::NotResponsibleSupplier;
    assert_refused(&refused, Code::PermissionDenied, reason);
    journey.reads(&[(HOME.esme(), Suppress)]).await;
    journey.north_is_told(&[]).await;
    // The supplier that it fell to answers with a choice of its own.
    let request = add(HOME.esme(), BRIGHT.id);
    let answer = bright.add_flag(request).await.unwrap().into_inner();
    assert!(!answer.changed && answer.entry.unwrap().reviews.is_empty());
}
