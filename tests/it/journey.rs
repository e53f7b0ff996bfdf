//! A year in the life of a home, through the whole mesh: what becomes of a flag when hub, GPF, site
//! and meter change, when services stop and come back, and when a party is suspended.
//!
//! After each act every view downstream is looked at: what classification makes of reads, what
//! either CSP was told, and how the meters stand in the obligation report.

mod late;
mod suspension;
pub(crate) mod town;
mod views;

use mesh_api::common::v1::{DeviceType, ErrorReason};
use mesh_api::csp_notification::v1::{self as csp, CauseClass};
use mesh_api::flag_registry::v1::{self as flags, Cause, FlagState, ReviewReason};
use mesh_api::registration::v1::{self as registration, SiteException, SmiStatus};
use mesh_api::status::reason_of;
use mesh_testkit::wait_until;
use mesh_types::{DeviceId, Eui64};
use mp169::load::Loaded;
use mp169::sample::{ALBION, CSP_SOUTH, Home};
use mp169::service::Service;
use tonic::{Code, Status};

use crate::downstream::Read::{Deliver, Suppress};
use crate::engine::{Databases, on_each_engine};
use crate::requests::{add, now, remove, rows};
use views::{Journey, told};

/// The home that the journey is about. Albion supplies both fuels; its CSP is that of the north.
const HOME: Home = Home::new(8);
/// A home of the CSP of the south, supplied by Albion too.
const NEIGHBOUR: Home = Home::new(7);

/// The mirror of the gas meter that replaces the first one.
fn new_gpf() -> DeviceId {
    DeviceId::new(Eui64::from_u64(HOME.gpf().eui64().to_u64() - 1))
}

on_each_engine!(a_flag_lives_through_everything_that_happens_to_a_home);

async fn a_flag_lives_through_everything_that_happens_to_a_home(databases: Databases) {
    let mut journey = loaded_twice(databases).await;
    both_fuels_are_flagged(&mut journey).await;
    the_hub_is_replaced_by_one_of_the_other_csp(&mut journey).await;
    the_gpf_is_replaced(&mut journey).await;
    an_excluded_fact_is_found_out_later(&mut journey).await;
    csp_notification_is_restarted(&mut journey).await;
    flag_registry_is_restarted(&mut journey).await;
    registration_is_down(&mut journey).await;
    the_meter_is_decommissioned(&mut journey).await;
    suspension::parties_are_suspended_and_reinstated(&mut journey).await;
}

/// Of Albion's nine ESMEs one is a SMETS1 meter and one not commissioned; its nine GSMEs count.
async fn loaded_twice(databases: Databases) -> Journey {
    let journey = Journey::begin(databases).await;
    let inventory = rows(9);
    let all = u64::try_from(inventory.len()).unwrap();
    assert_eq!(
        all,
        7 + 9 * 6 + 1,
        "parties, six rows a home, one more for the twin-element meter"
    );
    let first = journey.town.load(inventory.clone()).await;
    assert_eq!(
        first,
        Loaded {
            recorded: all,
            ..Loaded::default()
        }
    );
    let again = journey.town.load(inventory).await;
    assert_eq!(
        again,
        Loaded {
            unchanged: all,
            ..Loaded::default()
        }
    );
    journey
}

async fn both_fuels_are_flagged(journey: &mut Journey) {
    for device in [HOME.esme(), HOME.gsme()] {
        journey.flag(device).await;
    }
    journey
        .reads(&[
            (HOME.esme(), Suppress),
            (HOME.gsme(), Suppress),
            (HOME.gpf(), Suppress),
            (NEIGHBOUR.esme(), Deliver),
        ])
        .await;
    journey
        .north_is_told(&[
            told(CauseClass::Set, HOME.esme(), &[]),
            told(CauseClass::Set, HOME.gsme(), &[HOME.gpf()]),
        ])
        .await;
    journey.albion_has([7, 1, 9, 1]).await;
}

async fn the_hub_is_replaced_by_one_of_the_other_csp(journey: &mut Journey) {
    for device in [HOME.gpf(), HOME.gsme(), HOME.esme()] {
        journey
            .record(device, |device| {
                device.communications_hub_id = NEIGHBOUR.hub().to_string();
            })
            .await;
    }
    for device in [HOME.gsme(), HOME.esme()] {
        let entry = journey
            .entry(device, |entry| entry.csp_id == CSP_SOUTH.csp)
            .await;
        assert_eq!(entry.state(), FlagState::Flagged);
        assert_eq!(entry.communications_hub_id, NEIGHBOUR.hub().to_string());
    }
    journey
        .north_is_told(&[
            told(CauseClass::Left, HOME.gsme(), &[HOME.gpf()]),
            told(CauseClass::Left, HOME.esme(), &[]),
        ])
        .await;
    journey
        .south_is_told(&[
            told(CauseClass::Arrived, HOME.gsme(), &[HOME.gpf()]),
            told(CauseClass::Arrived, HOME.esme(), &[]),
        ])
        .await;
    journey
        .reads(&[(HOME.esme(), Suppress), (HOME.gpf(), Suppress)])
        .await;
    journey.albion_has([7, 1, 9, 1]).await;
}

async fn the_gpf_is_replaced(journey: &mut Journey) {
    journey
        .put(registration::Device {
            device_id: new_gpf().to_string(),
            r#type: DeviceType::Gpf.into(),
            smi_status: SmiStatus::Commissioned.into(),
            smi_status_time: Some(now()),
            communications_hub_id: NEIGHBOUR.hub().to_string(),
            ..Default::default()
        })
        .await;
    journey
        .record(HOME.gsme(), |device| {
            device.gas_proxy_function_id = new_gpf().to_string();
        })
        .await;
    let covers_it = |entry: &flags::FlagEntry| entry.covered_device_ids == [new_gpf().to_string()];
    let entry = journey.entry(HOME.gsme(), covers_it).await;
    assert_eq!(entry.state(), FlagState::Flagged);
    journey
        .south_is_told(&[told(CauseClass::CoverageChanged, HOME.gsme(), &[new_gpf()])])
        .await;
    journey
        .reads(&[
            (new_gpf(), Suppress),
            (HOME.gpf(), Deliver),
            (HOME.gsme(), Suppress),
        ])
        .await;
    journey.albion_has([7, 1, 9, 1]).await;
}

/// Decision 17: the supplier is asked for a review, and nothing changes for anybody else.
async fn an_excluded_fact_is_found_out_later(journey: &mut Journey) {
    journey
        .record(HOME.esme(), |device| {
            device.site_exceptions = vec![SiteException::Economy7OrSimilar.into()];
        })
        .await;
    let asks = |entry: &flags::FlagEntry| entry.reviews().eq([ReviewReason::Economy7OrSimilar]);
    let entry = journey.entry(HOME.esme(), asks).await;
    assert_eq!(
        (entry.state(), entry.cause()),
        (FlagState::Flagged, Cause::FlagAdded)
    );
    let causes = journey.history(HOME.esme()).await;
    assert_eq!(
        causes,
        [Cause::ReviewNeeded, Cause::HubReplaced, Cause::FlagAdded]
    );
    journey.south_is_told(&[]).await;
    journey.reads(&[(HOME.esme(), Suppress)]).await;
    journey.albion_has([7, 1, 9, 1]).await;
}

async fn csp_notification_is_restarted(journey: &mut Journey) {
    journey.town.stop(Service::CspNotification).await;
    journey.flag(NEIGHBOUR.esme()).await;
    journey.town.start_again(Service::CspNotification).await;
    journey
        .south_is_told(&[told(CauseClass::Set, NEIGHBOUR.esme(), &[])])
        .await;
    journey.north_is_told(&[]).await;
    journey.reads(&[(NEIGHBOUR.esme(), Suppress)]).await;
    journey.albion_has([7, 2, 9, 1]).await;
}

/// What happens meanwhile is caught up with, by the registry and by those who follow it.
async fn flag_registry_is_restarted(journey: &mut Journey) {
    journey.town.stop(Service::FlagRegistry).await;
    journey
        .record(NEIGHBOUR.esme(), |device| {
            device.communications_hub_id = HOME.hub().to_string();
        })
        .await;
    // Without its source, classification goes on with what it has, and says so.
    journey
        .reads_from_stale_flags(&[(HOME.esme(), Suppress), (HOME.gpf(), Deliver)])
        .await;
    journey.town.start_again(Service::FlagRegistry).await;
    journey
        .entry(NEIGHBOUR.esme(), |entry| entry.csp_id != CSP_SOUTH.csp)
        .await;
    journey
        .south_is_told(&[told(CauseClass::Left, NEIGHBOUR.esme(), &[])])
        .await;
    journey
        .north_is_told(&[told(CauseClass::Arrived, NEIGHBOUR.esme(), &[])])
        .await;
    journey
        .reads(&[(NEIGHBOUR.esme(), Suppress), (HOME.esme(), Suppress)])
        .await;
    journey.albion_has([7, 2, 9, 1]).await;
}

async fn registration_is_down(journey: &mut Journey) {
    journey.town.stop(Service::Registration).await;
    let mut albion = journey.town.clients(ALBION.id).flags().unwrap();
    let added = albion
        .add_flag(add(HOME.esme(), ALBION.id))
        .await
        .unwrap_err();
    assert_refused(&added, Code::Unavailable, ErrorReason::AuthorityUnreachable);
    let removed = albion
        .remove_flag(remove(HOME.esme(), ALBION.id))
        .await
        .unwrap_err();
    assert_refused(
        &removed,
        Code::Unavailable,
        ErrorReason::AuthorityUnreachable,
    );
    // A flagged Device is read by whoever its own history says is responsible.
    let get = |home: Home| flags::GetFlagRequest {
        device_id: home.esme().to_string(),
        ..Default::default()
    };
    let entry = albion
        .get_flag(get(HOME))
        .await
        .unwrap()
        .into_inner()
        .entry
        .unwrap();
    assert_eq!(entry.state(), FlagState::Flagged);
    let mut bright = journey.town.clients("BRIGHT").flags().unwrap();
    // A stranger learns the same of a flagged Device as of one that never was.
    let other = bright.get_flag(get(HOME)).await.unwrap_err();
    let unknown = albion.get_flag(get(Home::new(0))).await.unwrap_err();
    for refusal in [other, unknown] {
        assert_refused(
            &refusal,
            Code::Unavailable,
            ErrorReason::AuthorityUnreachable,
        );
    }

    journey
        .reads(&[(HOME.esme(), Suppress), (HOME.gpf(), Deliver)])
        .await;
    let mut csp = journey.town.clients(CSP_SOUTH.id).csp().unwrap();
    let request = csp::GetSubscriptionRequest {
        csp_id: CSP_SOUTH.csp.into(),
    };
    let subscription = csp
        .get_subscription(request)
        .await
        .unwrap()
        .into_inner()
        .subscription;
    assert!(subscription.unwrap().attached);
    journey.albion_has([7, 2, 9, 1]).await;
    journey.town.start_again(Service::Registration).await;
    wait_until("writes to be possible again", async || {
        albion
            .remove_flag(remove(NEIGHBOUR.esme(), ALBION.id))
            .await
    })
    .await;
    journey
        .entry(NEIGHBOUR.esme(), |entry| {
            entry.state() == FlagState::NotFlagged
        })
        .await;
    journey
        .north_is_told(&[told(CauseClass::Lifted, NEIGHBOUR.esme(), &[])])
        .await;
    journey.reads(&[(NEIGHBOUR.esme(), Deliver)]).await;
    journey.albion_has([7, 1, 9, 1]).await;
}

async fn the_meter_is_decommissioned(journey: &mut Journey) {
    journey
        .record(HOME.esme(), |device| {
            device.set_smi_status(SmiStatus::Decommissioned);
        })
        .await;
    let ended = |entry: &flags::FlagEntry| entry.state() == FlagState::NotFlagged;
    let entry = journey.entry(HOME.esme(), ended).await;
    assert_eq!(entry.cause(), Cause::DeviceEnded);
    journey
        .south_is_told(&[told(CauseClass::DeviceEnded, HOME.esme(), &[])])
        .await;
    journey
        .reads(&[(HOME.esme(), Deliver), (HOME.gsme(), Suppress)])
        .await;
    journey.albion_has([6, 0, 9, 1]).await;
}

fn assert_refused(status: &Status, code: Code, reason: ErrorReason) {
    assert_eq!(
        (status.code(), reason_of(status)),
        (code, Some(reason)),
        "{status:?}"
    );
}
