//! Who is refused, and why.

use mesh_api::common::v1::{DeviceType, ErrorReason};
use mesh_api::flag_registry::v1 as wire;
use mesh_api::registration::v1::{SiteException, SmetsVersion, SmiStatus};
use mesh_testkit::wait_until;
use mesh_types::Clock as _;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::world::{METER, NOW, World, add, choice, get, get_entry, refused, remove};

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_the_responsible_supplier() {
    let world = World::start().await;
    world.flagged(METER).await;
    let denied = |reason| (Code::PermissionDenied, reason);
    assert_eq!(
        refused(world.rival().remove_flag(remove(METER)).await),
        denied(ErrorReason::NotResponsibleSupplier)
    );
    // A Device that does not exist is not told apart.
    assert_eq!(
        refused(world.rival().get_flag(get("00-DB-00-00-00-00-00-00")).await),
        denied(ErrorReason::NotResponsibleSupplier)
    );
    assert_eq!(
        refused(world.agent().remove_flag(remove(METER)).await),
        denied(ErrorReason::RoleNotPermitted)
    );
    assert_eq!(
        refused(world.internal("operator").remove_flag(remove(METER)).await),
        denied(ErrorReason::RoleNotPermitted)
    );
    let mut acme = world.acme();
    acme.get_flag(get(METER)).await.unwrap();
    world.suspend_acme();
    wait_until("the suspension acts", async || {
        match acme.get_flag(get(METER)).await {
            Ok(_) => Err("not yet"),
            Err(_) => Ok(()),
        }
    })
    .await;
    assert_eq!(
        refused(acme.remove_flag(remove(METER)).await),
        denied(ErrorReason::PartyNotActive)
    );
    assert_eq!(world.history(METER).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_violated_preconditions_come_at_once() {
    let world = World::start().await;
    world.registration.put(METER, |authority| {
        let device = authority.device.as_mut().unwrap();
        device.r#type = DeviceType::Ppmid.into();
        device.smets_version = Some(SmetsVersion { major: 1, minor: 2 });
        device.smi_status = SmiStatus::InstalledNotCommissioned.into();
        device.secondary_import_mpan = "1200000000002".into();
        device.site_exceptions = vec![
            SiteException::Economy7OrSimilar.into(),
            SiteException::RadioTeleswitch.into(),
            SiteException::NetworkManagedWithoutWan.into(),
        ];
        authority.secondary_responsible_party_id = "RIVAL".into();
        let hub = authority.communications_hub.as_mut().unwrap();
        hub.smi_status = SmiStatus::Pending.into();
    });
    let request = wire::AddFlagRequest {
        choice: choice("RIVAL", wire::Preference::Full),
        reasonable_steps: None,
        ..add(METER)
    };
    let status = world.acme().add_flag(request).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let details = status.get_error_details();
    let violations = &details.precondition_failure().unwrap().violations;
    let found: Vec<_> = violations
        .iter()
        .map(|violation| violation.r#type.as_str())
        .collect();
    assert_eq!(
        found,
        [
            "DEVICE_IS_A_METER",
            "SMETS2_OR_LATER",
            "DEVICE_COMMISSIONED",
            "HUB_COMMISSIONED",
            "NO_ECONOMY_7_OR_SIMILAR",
            "NO_RADIO_TELESWITCH",
            "NOT_NETWORK_MANAGED_WITHOUT_WAN",
            "REASONABLE_STEPS_TAKEN",
            "ONE_SUPPLIER_FOR_BOTH_ELEMENTS",
            "CHOICE_CAPTURED_BY_THIS_SUPPLIER",
            "PREFERENCE_FITS",
        ]
    );
    assert!(
        world.history(METER).await.is_empty(),
        "a refusal writes nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_may_be_sent_again() {
    let world = World::start().await;
    world.registration.put(METER, |authority| {
        authority.device.as_mut().unwrap().smi_status = SmiStatus::Pending.into();
    });
    let mut acme = world.acme();
    let request = add(METER);
    assert_eq!(
        refused(acme.add_flag(request.clone()).await).1,
        ErrorReason::PreconditionsNotMet
    );
    world.registration.put(METER, |authority| {
        authority.device.as_mut().unwrap().smi_status = SmiStatus::Commissioned.into();
    });
    let added = acme.add_flag(request).await.unwrap().into_inner();
    assert!(added.changed && !added.replayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_fields_come_before_preconditions() {
    let world = World::start().await;
    world.meter(METER);
    let mut acme = world.acme();
    let request = wire::AddFlagRequest {
        request_id: "one".into(),
        choice: None,
        reasonable_steps: None,
        ..add(METER)
    };
    let status = acme.add_flag(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let details = status.get_error_details();
    let fields = &details.bad_request().unwrap().field_violations;
    let fields: Vec<_> = fields.iter().map(|field| field.field.as_str()).collect();
    assert_eq!(fields, ["choice", "request_id"]);
    assert_eq!(
        refused(acme.add_flag(add("not a device")).await),
        (Code::InvalidArgument, ErrorReason::FieldInvalid)
    );
}

/// A choice captured a moment ago by a clock that is ahead is refused, and not an hour later.
#[tokio::test(flavor = "multi_thread")]
async fn the_services_clock_decides_what_is_the_future() {
    let world = World::start().await;
    world.meter(METER);
    let mut acme = world.acme();
    let mut request = add(METER);
    request.choice.as_mut().unwrap().captured_time = crate::world::before(-60);
    assert_eq!(
        refused(acme.add_flag(request.clone()).await).1,
        ErrorReason::PreconditionsNotMet
    );
    world.clock.advance(std::time::Duration::from_secs(3600));
    assert!(world.clock.now() > NOW);
    acme.add_flag(request).await.unwrap();
    let entry = get_entry(&mut acme, METER).await;
    assert_eq!(entry.since_time, crate::world::before(-3600));
}
