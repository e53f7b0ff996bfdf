//! Who changed what, and which Devices it was about, is on record.

use futures::SinkExt as _;
use futures::channel::mpsc;
use mesh_api::audit::v1::{CallPart, CallRecord, RowCounts};
use mesh_api::authorization::v1::Role;
use mesh_api::common::v1::{DeviceType, ErrorReason};
use mesh_api::registration::v1 as wire;
use mesh_api::status::reason_of;
use mesh_audit::testing::{OnDisk, refuse_events, take_events};
use mesh_testkit::wait_until;

use crate::world::{
    CHF, ESME, GPF, GSME, NOW, SINCE, World, device, mpan, mprn, party, registered, request_id, row,
};

/// Whether a record is about these Devices and no other ones.
fn is_about(disk: &OnDisk, found: &[Vec<u8>], devices: &[&str]) -> bool {
    let mut expected: Vec<_> = devices
        .iter()
        .map(|device| disk.pseudonym(device.parse().unwrap()))
        .collect();
    let mut found = found.to_vec();
    expected.sort();
    found.sort();
    found == expected
}

/// The one record of an RPC's calls.
fn only<'d>(disk: &'d OnDisk, method: &str) -> &'d CallRecord {
    let [call] = disk.calls(method)[..] else {
        panic!("{disk:?}");
    };
    call
}

#[tokio::test]
async fn a_change_is_on_record_with_its_devices_and_where_it_stands() {
    let world = World::with_inventory().await;
    let put = wire::PutDeviceRequest {
        request_id: request_id(),
        device: Some(device(CHF, DeviceType::Chf)),
        etag: String::new(),
    };
    let put = world.devices("operator").put_device(put).await.unwrap();
    let changed = world.change(mprn(1), "NOBODY", Some(NOW + 86_400)).await;
    let error = changed.unwrap_err();
    let changed = world.change(mpan(1), "BOLT", Some(NOW + 86_400)).await;
    let changed = changed.unwrap();
    let withdrawn = wire::WithdrawRegistrationRequest {
        request_id: request_id(),
        mpxn: mpan(1),
        party_id: "BOLT".to_owned(),
        start_time: crate::world::instant(NOW + 86_400),
    };
    let mut devices = world.devices("operator");
    let withdrawn = devices.withdraw_registration(withdrawn).await.unwrap();
    world.set_status("BOLT", wire::PartyStatus::Suspended).await;

    let disk = world.stopped().await;
    let call = only(&disk, "PutDevice");
    assert!(is_about(&disk, &call.device_pseudonyms, &[CHF]), "{call:?}");
    assert_eq!(call.position, put.into_inner().position);
    let [refused, call] = disk.calls("ChangeSupplier")[..] else {
        panic!("{disk:?}");
    };
    // The Devices of what was refused too, and the GPF with the meter.
    assert_eq!(Some(refused.reason()), reason_of(&error));
    assert!(is_about(&disk, &refused.device_pseudonyms, &[GSME, GPF]));
    assert_eq!(refused.position, None);
    assert!(is_about(&disk, &call.device_pseudonyms, &[ESME]));
    assert_eq!(call.position, changed.position);
    let call = only(&disk, "WithdrawRegistration");
    assert!(is_about(&disk, &call.device_pseudonyms, &[ESME]));
    assert_eq!(call.position, withdrawn.into_inner().position);
    let call = only(&disk, "SetPartyStatus");
    assert_eq!(call.position.as_ref().unwrap().log, "parties");
}

#[tokio::test]
async fn each_request_of_a_load_is_on_record() {
    let world = World::start().await;
    let hub = || row(device(CHF, DeviceType::Chf));
    let esme = wire::Device {
        import_mpan: mpan(1),
        ..device(ESME, DeviceType::Esme)
    };
    let first = vec![
        row(party("ACME", 1, &[Role::ImportSupplier])),
        // Its GPF is not there.
        row(wire::Device {
            mprn: mprn(1),
            gas_proxy_function_id: GPF.to_owned(),
            ..device(GSME, DeviceType::Gsme)
        }),
        hub(),
        row(esme),
    ];
    let second = vec![hub(), row(registered(&mpan(1), "ACME", SINCE))];
    let request = |rows| wire::ImportInventoryRequest {
        rows,
        validate_only: false,
    };
    let rehearsed = wire::ImportInventoryRequest {
        rows: vec![hub()],
        validate_only: true,
    };
    let requests = [request(first), rehearsed, request(second)];
    let mut devices = world.devices("registration-data");
    let loaded = devices.import_inventory(futures::stream::iter(requests));
    let mut loaded = loaded.await.unwrap().into_inner();
    let mut answers = Vec::new();
    while let Some(answer) = loaded.message().await.unwrap() {
        answers.push(answer);
    }

    let disk = world.stopped().await;
    let [started, first, second, ended] = disk.calls("ImportInventory")[..] else {
        panic!("{disk:?}");
    };
    let parts = [started, first, second, ended].map(CallRecord::part);
    let request = CallPart::StreamRequest;
    assert_eq!(
        parts,
        [
            CallPart::StreamStarted,
            request,
            request,
            CallPart::StreamEnded
        ]
    );
    for call in [started, first, second, ended] {
        let caller = call.caller.as_ref().unwrap();
        assert_eq!(caller.internal_role, "registration-data", "{call:?}");
    }
    let counts = |recorded, unchanged, refused| {
        Some(RowCounts {
            recorded,
            unchanged,
            refused,
        })
    };
    assert_eq!(first.rows, counts(3, 0, 1));
    assert!(is_about(
        &disk,
        &first.device_pseudonyms,
        &[GSME, CHF, ESME]
    ));
    assert!(is_about(&disk, &first.refused_device_pseudonyms, &[GSME]));
    assert_eq!(first.position, answers[0].position);
    // What was unchanged, and the meter at the MPxN of a registration.
    assert_eq!(second.rows, counts(1, 1, 0));
    assert!(is_about(&disk, &second.device_pseudonyms, &[CHF, ESME]));
    assert_eq!(second.position, answers[2].position);
    assert!(ended.device_pseudonyms.is_empty() && ended.rows.is_none());
}

/// A load lasts for hours: what cannot be put on record is refused in the middle of it too.
#[tokio::test]
async fn a_load_does_not_go_on_while_nothing_can_be_put_on_record() {
    let world = World::start().await;
    let hub = |id| wire::ImportInventoryRequest {
        rows: vec![row(device(id, DeviceType::Chf))],
        validate_only: false,
    };
    let (mut send, requests) = mpsc::channel(1);
    send.send(hub(CHF)).await.unwrap();
    let mut devices = world.devices("registration-data");
    let loaded = devices.import_inventory(requests);
    let mut loaded = loaded.await.unwrap().into_inner();
    loaded.message().await.unwrap().unwrap();

    refuse_events(&world.audit_path()).await;
    wait_until(
        "the service knows that nothing can be put on record",
        async || {
            let mut devices = world.devices("operator");
            let listed = devices
                .list_devices(wire::ListDevicesRequest::default())
                .await;
            match listed.err().as_ref().and_then(reason_of) {
                Some(ErrorReason::AuditUnavailable) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        },
    )
    .await;
    send.send(hub(ESME)).await.unwrap();
    let refused = loaded.message().await.unwrap_err();
    assert_eq!(reason_of(&refused), Some(ErrorReason::AuditUnavailable));

    take_events(&world.audit_path()).await;
    let listed = wait_until("calls are put on record again", async || {
        let mut devices = world.devices("operator");
        devices
            .list_devices(wire::ListDevicesRequest::default())
            .await
    })
    .await;
    let listed = listed.into_inner().devices;
    assert_eq!(listed.len(), 1, "{listed:?}");
    let disk = world.stopped().await;
    let parts: Vec<_> = disk
        .calls("ImportInventory")
        .into_iter()
        .map(CallRecord::part)
        .collect();
    let [started, request, ended] = [
        CallPart::StreamStarted,
        CallPart::StreamRequest,
        CallPart::StreamEnded,
    ];
    assert_eq!(parts, [started, request, ended]);
}
