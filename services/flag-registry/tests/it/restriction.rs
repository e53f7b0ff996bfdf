//! What SRV 3.2 does to a flag.

use mesh_api::common::v1::{DeviceType, ErrorReason};
use mesh_api::flag_registry::v1 as wire;
use mesh_api::flag_registry::v1::{Cause, FlagState, Preference, ReviewReason};
use tonic::Code;

use crate::world::{
    Client, GAS_METER, GPF, METER, OTHER_METER, World, add, before, choice, declarations,
    get_entry, refused, request_id, steps,
};

const OTHER_GPF: &str = "00-DB-12-34-56-78-90-B3";

fn restricted(device: &str) -> wire::NoteTenancyRestrictionRequest {
    wire::NoteTenancyRestrictionRequest {
        request_id: request_id(),
        device_id: device.into(),
    }
}

async fn note(
    dsp: &mut Client,
    request: &wire::NoteTenancyRestrictionRequest,
) -> wire::NoteTenancyRestrictionResponse {
    let answer = dsp.note_tenancy_restriction(request.clone()).await;
    answer.unwrap().into_inner()
}

/// Has ACME flag a GSME that the GPF mirrors.
async fn gas_meter_flagged(world: &World) {
    gas_meter(world, GPF);
    world.acme().add_flag(add(GAS_METER)).await.unwrap();
}

fn gas_meter(world: &World, gpf: &str) {
    world.registration.put(GAS_METER, |authority| {
        let device = authority.device.as_mut().unwrap();
        device.r#type = DeviceType::Gsme.into();
        device.gas_proxy_function_id = gpf.into();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn it_asks_for_a_review_until_a_choice_answers() {
    let world = World::start().await;
    gas_meter_flagged(&world).await;
    let mut dsp = world.internal("dsp");
    let request = restricted(GPF);
    let first = note(&mut dsp, &request).await;
    assert!(first.noted && !first.replayed);
    assert_eq!(first.position.as_ref().unwrap().sequence, 2);
    let replay = wire::NoteTenancyRestrictionResponse {
        replayed: true,
        ..first
    };
    assert_eq!(note(&mut dsp, &request).await, replay);
    for device in [GPF, GAS_METER] {
        let again = note(&mut dsp, &restricted(device)).await;
        assert_eq!(again, wire::NoteTenancyRestrictionResponse::default());
    }
    let other = wire::NoteTenancyRestrictionRequest {
        device_id: METER.into(),
        ..request.clone()
    };
    assert_eq!(
        refused(dsp.note_tenancy_restriction(other).await),
        (Code::AlreadyExists, ErrorReason::RequestIdReused)
    );

    let mut acme = world.acme();
    let entry = get_entry(&mut acme, GAS_METER).await;
    assert_eq!(
        (entry.state(), entry.cause(), entry.last_sequence),
        (FlagState::Flagged, Cause::FlagAdded, 2)
    );
    assert!(entry.reviews().eq([ReviewReason::TenancyRestricted]));
    let history = world.history(GAS_METER).await;
    let event = &history[1];
    assert_eq!(event.cause(), Cause::ReviewNeeded);
    assert_eq!(event.review_reason(), ReviewReason::TenancyRestricted);
    assert_eq!(event.previous, event.current);
    assert_eq!(event.actor.as_ref().unwrap().internal_role, "dsp");
    assert_eq!(event.request_id, request.request_id);
    assert!(event.registration_id.is_empty());

    let kept = wire::RecordTenancyChangeRequest {
        request_id: request_id(),
        device_id: GAS_METER.into(),
        tenancy_start_time: before(300),
        choice: choice("ACME", Preference::Reduced),
        reasonable_steps: steps(),
        site_declarations: declarations(),
        ..Default::default()
    };
    let kept = acme.record_tenancy_change(kept).await.unwrap().into_inner();
    assert!(kept.entry.unwrap().reviews.is_empty());
    assert!(note(&mut dsp, &restricted(GAS_METER)).await.noted);
}

/// Not even a registration that is out of reach keeps the supplier from being asked.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_flagged_is_left_alone() {
    let world = World::start().await;
    world.flagged(METER).await;
    gas_meter_flagged(&world).await;
    gas_meter(&world, OTHER_GPF);
    world.caught_up().await;
    world.registration.set_reachable(false);
    let mut dsp = world.internal("dsp");
    for device in [GPF, OTHER_METER] {
        let answer = note(&mut dsp, &restricted(device)).await;
        assert_eq!(answer, wire::NoteTenancyRestrictionResponse::default());
    }
    for device in [OTHER_GPF, METER] {
        assert!(note(&mut dsp, &restricted(device)).await.noted);
    }
    assert_eq!(
        world.causes(METER).await,
        [Cause::FlagAdded, Cause::ReviewNeeded]
    );
    assert_eq!(
        world.causes(GAS_METER).await,
        [
            Cause::FlagAdded,
            Cause::CoverageChanged,
            Cause::ReviewNeeded
        ]
    );
    assert!(world.history(OTHER_METER).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_the_dsp_tells_of_it() {
    let world = World::start().await;
    world.flagged(METER).await;
    for mut client in [world.acme(), world.agent(), world.internal("operator")] {
        assert_eq!(
            refused(client.note_tenancy_restriction(restricted(METER)).await),
            (Code::PermissionDenied, ErrorReason::RoleNotPermitted)
        );
    }
    let mut dsp = world.internal("dsp");
    assert_eq!(
        refused(dsp.note_tenancy_restriction(restricted("METER")).await),
        (Code::InvalidArgument, ErrorReason::FieldInvalid)
    );
    assert_eq!(world.causes(METER).await, [Cause::FlagAdded]);
}
