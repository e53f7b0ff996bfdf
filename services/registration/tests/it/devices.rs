//! Devices and registrations: records, lists, changes of supplier, and who may read them.

use mesh_api::common::v1::{DeviceType, ErrorReason};
use mesh_api::registration::v1 as wire;
use tonic::{Code, Status};

use crate::world::{
    CHF, ESME, GPF, GSME, NOW, SINCE, TWIN, World, at, device, entity, mpan, mprn, refused,
    request_id,
};

async fn put(
    world: &World,
    request_id: &str,
    device: wire::Device,
    etag: &str,
) -> Result<wire::PutDeviceResponse, Status> {
    let request = wire::PutDeviceRequest {
        request_id: request_id.to_owned(),
        device: Some(device),
        etag: etag.to_owned(),
    };
    let put = world
        .devices("registration-data")
        .put_device(request)
        .await?;
    Ok(put.into_inner())
}

#[tokio::test]
async fn a_device_is_recorded_once_and_changed_by_its_etag() {
    let world = World::with_inventory().await;
    let ppmid = device("00-db-12-34-56-78-90-f0", DeviceType::Ppmid);
    let id = request_id();
    let first = put(&world, &id, ppmid.clone(), "0").await.unwrap();
    let recorded = first.device.clone().unwrap();
    assert_eq!(recorded.device_id, "00-DB-12-34-56-78-90-F0");
    let position = first.position.clone().unwrap();
    assert_eq!(recorded.etag, position.sequence.to_string());

    let upper = wire::Device {
        device_id: recorded.device_id.clone(),
        ..ppmid.clone()
    };
    let again = put(&world, &id, upper, "0").await.unwrap();
    assert!(again.replayed && again.device == first.device && again.position == first.position);
    let suspended = wire::Device {
        smi_status: wire::SmiStatus::Suspended.into(),
        ..ppmid.clone()
    };
    let reused = put(&world, &id, suspended.clone(), "0").await.unwrap_err();
    assert_eq!(
        refused(&reused),
        (Code::AlreadyExists, Some(ErrorReason::RequestIdReused))
    );
    let stale = put(&world, &request_id(), suspended.clone(), "0")
        .await
        .unwrap_err();
    assert_eq!(
        refused(&stale),
        (Code::Aborted, Some(ErrorReason::EtagMismatch))
    );
    let changed = put(&world, &request_id(), suspended.clone(), &recorded.etag)
        .await
        .unwrap();
    let unchanged = put(&world, &request_id(), suspended, "").await.unwrap();
    assert_eq!(unchanged.device, changed.device);
    assert_eq!(unchanged.position, changed.position);
    world.stop().await;
}

#[tokio::test]
async fn what_contradicts_the_record_is_refused() {
    let world = World::with_inventory().await;
    let gone = wire::Device {
        smi_status: wire::SmiStatus::Decommissioned.into(),
        ..device(CHF, DeviceType::Chf)
    };
    put(&world, &request_id(), gone, "").await.unwrap();
    let esme = || device("00-DB-12-34-56-78-90-F1", DeviceType::Esme);
    for wrong in [
        device(CHF, DeviceType::Chf),
        device(ESME, DeviceType::Ppmid),
        wire::Device {
            communications_hub_id: GPF.to_owned(),
            ..esme()
        },
        wire::Device {
            communications_hub_id: "00-DB-12-34-56-78-90-FF".to_owned(),
            ..esme()
        },
        wire::Device {
            gas_proxy_function_id: CHF.to_owned(),
            mprn: mprn(7),
            ..device("00-DB-12-34-56-78-90-F2", DeviceType::Gsme)
        },
    ] {
        let status = put(&world, &request_id(), wrong.clone(), "")
            .await
            .unwrap_err();
        assert_eq!(
            refused(&status),
            (
                Code::FailedPrecondition,
                Some(ErrorReason::ContradictsRecord)
            ),
            "{wrong:?}"
        );
    }
    for malformed in [
        wire::Device::default(),
        wire::Device {
            r#type: 99,
            ..esme()
        },
        wire::Device {
            import_mpan: "1312345678111".to_owned(),
            ..esme()
        },
        wire::Device {
            mprn: mprn(1),
            ..esme()
        },
        wire::Device {
            smi_status: 0,
            ..esme()
        },
        wire::Device {
            site_exceptions: vec![0],
            ..esme()
        },
    ] {
        let status = put(&world, &request_id(), malformed.clone(), "")
            .await
            .unwrap_err();
        assert_eq!(
            refused(&status),
            (Code::InvalidArgument, Some(ErrorReason::FieldInvalid)),
            "{malformed:?}"
        );
    }
    world.stop().await;
}

#[tokio::test]
async fn only_the_responsible_supplier_and_internal_readers_see_a_device() {
    let world = World::with_inventory().await;
    for (n, device, reason) in [
        (1, ESME, None),
        (2, ESME, Some(ErrorReason::NotResponsibleSupplier)),
        (3, ESME, Some(ErrorReason::NotResponsibleSupplier)),
        (3, GSME, None),
        (3, GPF, None),
        (1, CHF, Some(ErrorReason::NotResponsibleSupplier)),
        (
            1,
            "00-DB-12-34-56-78-90-FF",
            Some(ErrorReason::NotResponsibleSupplier),
        ),
        (1, "rubbish", Some(ErrorReason::FieldInvalid)),
    ] {
        world.wait_for_get(&entity(n), device, reason).await;
    }
    let get = async |role: &str, device: &str| {
        let request = wire::GetDeviceRequest {
            device_id: device.to_owned(),
            ..Default::default()
        };
        world.devices(role).get_device(request).await
    };
    let found = get("operator", &ESME.to_lowercase())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(found.device.unwrap().device_id, ESME);
    let unknown = get("operator", "00-DB-12-34-56-78-90-FF")
        .await
        .unwrap_err();
    assert_eq!(
        refused(&unknown),
        (Code::NotFound, Some(ErrorReason::NotFound))
    );
    let other_role = get("analyst", ESME).await.unwrap_err();
    assert_eq!(
        refused(&other_role),
        (Code::PermissionDenied, Some(ErrorReason::RoleNotPermitted))
    );
    // From the instant at which the gaining supplier takes over, the losing one sees nothing.
    world.change(mpan(1), "BOLT", Some(NOW + 60)).await.unwrap();
    world.wait_for_get(&entity(1), ESME, None).await;
    world.clock.set(at(NOW + 60));
    world
        .wait_for_get(&entity(1), ESME, Some(ErrorReason::NotResponsibleSupplier))
        .await;
    world.wait_for_get(&entity(2), ESME, None).await;
    world.stop().await;
}

#[tokio::test]
async fn lists_go_by_pages_and_by_hub() {
    let world = World::with_inventory().await;
    let other_hub = "00-DB-12-34-56-78-90-02";
    put(
        &world,
        &request_id(),
        device(other_hub, DeviceType::Chf),
        "",
    )
    .await
    .unwrap();
    let list = async |role: &str, hub: &str, token: &str| {
        let request = wire::ListDevicesRequest {
            page_size: 2,
            page_token: token.to_owned(),
            communications_hub_id: hub.to_owned(),
            ..Default::default()
        };
        world
            .devices(role)
            .list_devices(request)
            .await
            .map(tonic::Response::into_inner)
    };
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let page = list("operator", CHF, &token).await.unwrap();
        seen.extend(page.devices.into_iter().map(|device| device.device_id));
        if page.next_page_token.is_empty() {
            break;
        }
        token = page.next_page_token;
        // Leaves the hub; the list that began before still shows it.
        let moved = wire::Device {
            communications_hub_id: other_hub.to_owned(),
            import_mpan: mpan(3),
            ..device(TWIN, DeviceType::Esme)
        };
        put(&world, &request_id(), moved, "").await.unwrap();
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted() && seen.contains(&TWIN.to_owned()));
    let first = list("operator", "", "").await.unwrap();
    assert_eq!(first.devices[0].device_id, other_hub);
    for (role, hub) in [("auditor", ""), ("operator", CHF)] {
        let status = list(role, hub, &first.next_page_token).await.unwrap_err();
        assert_eq!(
            refused(&status),
            (Code::InvalidArgument, Some(ErrorReason::PageTokenInvalid))
        );
    }
    world.stop().await;
}

#[tokio::test]
async fn a_supplier_changes_now_later_or_late() {
    let world = World::with_inventory().await;
    let now = world.change(mpan(1), "BOLT", None).await.unwrap();
    assert_eq!(now.ended.unwrap().end_time.unwrap().seconds, NOW);
    assert_eq!(now.registration.unwrap().start_time.unwrap().seconds, NOW);
    assert_eq!(world.ask(ESME).await.responsible_party_id, "BOLT");

    let later = world
        .change(mpan(1), "ACME", Some(NOW + 100))
        .await
        .unwrap();
    let told = world.ask(ESME).await;
    assert_eq!(told.responsible_party_id, "BOLT");
    assert_eq!(told.authority_end_time.unwrap().seconds, NOW + 100);
    // Whoever was to come is in the way of everything before.
    for start in [None, Some(NOW + 50), Some(NOW + 100), Some(SINCE)] {
        let status = world.change(mpan(1), "BOLT", start).await.unwrap_err();
        assert_eq!(
            refused(&status),
            (
                Code::FailedPrecondition,
                Some(ErrorReason::RegistrationOverlap)
            )
        );
    }
    for (mpxn, to) in [(mpan(1), "NOBODY"), (mpan(1), "GAS"), (mprn(1), "ACME")] {
        let status = world.change(mpxn, to, None).await.unwrap_err();
        assert_eq!(
            refused(&status),
            (
                Code::FailedPrecondition,
                Some(ErrorReason::ContradictsRecord)
            )
        );
    }
    let status = world
        .change("1312345678111".to_owned(), "ACME", None)
        .await
        .unwrap_err();
    assert_eq!(refused(&status).1, Some(ErrorReason::FieldInvalid));

    world.clock.set(at(NOW + 100));
    assert_eq!(world.ask(ESME).await.responsible_party_id, "ACME");
    // A loss of mpan(3) half a day ago is learnt of only now.
    let late = world
        .change(mpan(3), "BOLT", Some(NOW - 43_200))
        .await
        .unwrap();
    assert_eq!(late.ended.unwrap().end_time.unwrap().seconds, NOW - 43_200);
    assert_eq!(world.ask(TWIN).await.responsible_party_id, "BOLT");

    let request = wire::ListRegistrationsRequest {
        mpxn: mpan(1),
        ..Default::default()
    };
    let listed = world
        .devices("auditor")
        .list_registrations(request)
        .await
        .unwrap();
    let registrations = listed.into_inner().registrations;
    let parties: Vec<&str> = registrations.iter().map(|r| r.party_id.as_str()).collect();
    assert_eq!(parties, ["ACME", "BOLT", "ACME"]);
    assert_eq!(registrations.last(), later.registration.as_ref());
    world.stop().await;
}

#[tokio::test]
async fn a_change_is_replayed_by_its_request_id() {
    let world = World::with_inventory().await;
    let request = |to: &str| wire::ChangeSupplierRequest {
        request_id: "6ba7b810-9dad-11d1-80b4-00c04fd430c8".to_owned(),
        mpxn: mpan(1),
        party_id: to.to_owned(),
        start_time: None,
    };
    let mut operator = world.devices("operator");
    let first = operator
        .change_supplier(request("BOLT"))
        .await
        .unwrap()
        .into_inner();
    world.clock.set(at(NOW + 5));
    let again = operator
        .change_supplier(request("BOLT"))
        .await
        .unwrap()
        .into_inner();
    assert!(!first.replayed && again.replayed);
    assert_eq!(first.registration, again.registration);
    let other = operator.change_supplier(request("ACME")).await.unwrap_err();
    assert_eq!(
        refused(&other),
        (Code::AlreadyExists, Some(ErrorReason::RequestIdReused))
    );
    // Another caller's ids are its own: the same id is a request of its own.
    let mut loader = world.devices("registration-data");
    let own = loader
        .change_supplier(request("ACME"))
        .await
        .unwrap()
        .into_inner();
    assert!(!own.replayed);
    let request = wire::ListRegistrationsRequest {
        mpxn: mpan(1),
        ..Default::default()
    };
    let listed = operator.list_registrations(request).await.unwrap();
    assert_eq!(listed.into_inner().registrations.len(), 3);
    world.stop().await;
}
