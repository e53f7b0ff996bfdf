//! Times that nobody can mean are refused where they come in, and say the bound.

use mesh_api::common::v1::{DeviceType, ErrorReason};
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::inventory_row::Row;
use mesh_api::status::item_status;
use mesh_types::Timestamp;
use registration::refusal_of_row;
use tonic::Status;

use crate::world::{NOW, World, at, device, instant, mpan, mprn, registered, request_id, row};

const DAY: i64 = 86_400;
/// The first second of the year 1, and the last one of the year 9999.
const YEAR_1: i64 = -62_135_596_800;
const YEAR_9999: i64 = 253_402_300_799;
/// The first instants that can be meant: of a registration, and of an SMI status.
const FIRST_SUPPLY: i64 = 504_921_600;
const FIRST_STATUS: i64 = 1_293_840_000;

/// What a refusal says of each field.
fn violations(status: &Status) -> Vec<(String, String)> {
    let item = item_status(status);
    assert_eq!(item.reason(), ErrorReason::FieldInvalid, "{status:?}");
    said(&item)
}

fn said(item: &mesh_api::common::v1::ItemStatus) -> Vec<(String, String)> {
    let violations = item.violations.iter();
    violations
        .map(|v| (v.subject.clone(), v.description.clone()))
        .collect()
}

fn one(field: &str, text: &str) -> Vec<(String, String)> {
    vec![(field.to_owned(), text.to_owned())]
}

const SUPPLY_EARLY: &str =
    "lies before 1986-01-01, when nobody was licensed to supply gas or electricity";
const SUPPLY_LATE: &str = "lies more than 90 days ahead";
const STATUS_EARLY: &str = "lies before 2011-01-01, when no Device was built to any SMETS";
const STATUS_LATE: &str = "lies more than 5 minutes ahead";

#[tokio::test]
async fn a_supplier_changes_within_bounds() {
    let world = World::with_inventory().await;
    for (start, text) in [
        (YEAR_1, SUPPLY_EARLY),
        (FIRST_SUPPLY - 1, SUPPLY_EARLY),
        (NOW + 90 * DAY + 1, SUPPLY_LATE),
        (YEAR_9999, SUPPLY_LATE),
    ] {
        let refused = world.change(mpan(1), "BOLT", Some(start)).await;
        let refused = violations(&refused.unwrap_err());
        assert_eq!(refused, one("start_time", text), "{start}");
    }
    let id = request_id();
    let last = || wire::ChangeSupplierRequest {
        request_id: id.clone(),
        mpxn: mpan(1),
        party_id: "BOLT".to_owned(),
        start_time: instant(NOW + 90 * DAY),
    };
    let mut operator = world.devices("operator");
    operator.change_supplier(last()).await.unwrap();
    // As long as answers are kept.
    world.clock.set(at(NOW + 20 * DAY));
    let again = operator.change_supplier(last()).await.unwrap();
    assert!(again.into_inner().replayed);
    world
        .change(mpan(7), "ACME", Some(FIRST_SUPPLY))
        .await
        .unwrap();
    world.stop().await;
}

#[tokio::test]
async fn a_device_has_its_status_since_a_time_that_can_be() {
    let world = World::with_inventory().await;
    let put = async |since: i64| {
        let device = wire::Device {
            smi_status_time: instant(since),
            ..device("00-DB-12-34-56-78-90-F0", DeviceType::Ppmid)
        };
        let request = wire::PutDeviceRequest {
            request_id: request_id(),
            device: Some(device),
            etag: String::new(),
        };
        world.devices("operator").put_device(request).await
    };
    for (since, text) in [
        (YEAR_1, STATUS_EARLY),
        (FIRST_STATUS - 1, STATUS_EARLY),
        (NOW + 301, STATUS_LATE),
        (YEAR_9999, STATUS_LATE),
    ] {
        let refused = violations(&put(since).await.unwrap_err());
        assert_eq!(refused, one("device.smi_status_time", text), "{since}");
    }
    for since in [FIRST_STATUS, NOW + 300] {
        put(since).await.unwrap();
    }
    world.stop().await;
}

/// Whether they are loaded, rehearsed, or judged without a mesh.
#[tokio::test]
async fn rows_are_within_bounds() {
    let world = World::with_inventory().await;
    let registration = |start, end| wire::Registration {
        end_time: instant(end),
        ..registered(&mprn(9), "GAS", start)
    };
    let ppmid = |since| wire::Device {
        smi_status_time: instant(since),
        ..device("00-DB-12-34-56-78-90-F0", DeviceType::Ppmid)
    };
    let wrong = [
        (
            row(registration(YEAR_1, NOW)),
            one("registration.start_time", SUPPLY_EARLY),
        ),
        (
            row(registration(NOW, YEAR_9999)),
            one("registration.end_time", SUPPLY_LATE),
        ),
        (
            row(registration(NOW + 91 * DAY, YEAR_9999)),
            [
                one("registration.start_time", SUPPLY_LATE),
                one("registration.end_time", SUPPLY_LATE),
            ]
            .concat(),
        ),
        (
            row(ppmid(YEAR_1)),
            one("device.smi_status_time", STATUS_EARLY),
        ),
        (
            row(ppmid(NOW + DAY)),
            one("device.smi_status_time", STATUS_LATE),
        ),
    ];
    let (rows, expected): (Vec<_>, Vec<_>) = wrong.into_iter().unzip();
    let alone = rows.iter().map(|row| refusal_of_row(row, at(NOW)).unwrap());
    let alone: Vec<_> = alone.map(|status| said(&status)).collect();
    assert_eq!(alone, expected);
    for validate_only in [true, false] {
        let request = wire::ImportInventoryRequest {
            rows: rows.clone(),
            validate_only,
        };
        let mut loader = world.devices("registration-data");
        let requests = futures::stream::iter([request]);
        let answers = loader.import_inventory(requests).await.unwrap();
        let answer = answers.into_inner().message().await.unwrap().unwrap();
        let told = answer.results.iter();
        let told: Vec<_> = told.map(|r| said(r.status.as_ref().unwrap())).collect();
        assert_eq!(told, expected, "validate_only: {validate_only}");
    }
    // With time, what is announced comes within bounds.
    let later = Row::Registration(registration(NOW + 91 * DAY, NOW + 92 * DAY));
    let later = wire::InventoryRow { row: Some(later) };
    let judged = |now: Timestamp| refusal_of_row(&later, now).is_none();
    assert_eq!(
        [NOW, NOW + 2 * DAY].map(|now| judged(at(now))),
        [false, true]
    );
    world.stop().await;
}
