//! Records of parties, Devices and registrations that have something wrong in them.

use mesh_api::common::v1::{DeviceType, ErrorReason as R};
use mesh_api::registration::v1 as registration;
use mp169::sample::{ALBION, BRIGHT};
use tonic::Code;

use super::fields::{ABSURD, FAR_OFF, NO_EUI_64, NO_UUID, UNKNOWN};
use super::{HOME, Table, calls};
use crate::requests::{new_id, now};

/// A Device in whose record nothing is wrong.
fn device() -> registration::Device {
    registration::Device {
        device_id: "02-DC-C0-00-00-00-FF-E0".into(),
        r#type: DeviceType::Esme.into(),
        smets_version: Some(registration::SmetsVersion { major: 2, minor: 0 }),
        smi_status: registration::SmiStatus::Pending.into(),
        smi_status_time: Some(now()),
        ..Default::default()
    }
}

/// Records of a Device with one thing wrong each.
fn wrong_devices() -> Vec<(String, registration::Device)> {
    let mut wrong = Vec::new();
    let mut case = |what: &str, change: &dyn Fn(&mut registration::Device)| {
        let mut device = device();
        change(&mut device);
        wrong.push((what.to_owned(), device));
    };
    for text in NO_EUI_64 {
        case(&format!("id {text:?}"), &|device| {
            device.device_id = text.into();
        });
        if !text.is_empty() {
            case(&format!("hub {text:?}"), &|device| {
                device.communications_hub_id = text.into();
            });
        }
    }
    for number in [0, UNKNOWN, -1] {
        case(&format!("type {number}"), &|device| device.r#type = number);
        case(&format!("status {number}"), &|device| {
            device.smi_status = number;
        });
        case(&format!("exception {number}"), &|device| {
            device.site_exceptions = vec![number];
        });
    }
    for at in ABSURD.into_iter().chain(FAR_OFF) {
        case(&format!("status since {at:?}"), &|device| {
            device.smi_status_time = Some(at);
        });
    }
    for mpan in ["1", "1234567890123", "12345678901234567890", "abc"] {
        case(&format!("MPAN {mpan:?}"), &|device| {
            device.import_mpan = mpan.into();
        });
    }
    case("a CSP of its own", &|device| device.csp_id = "north".into());
    case("an MPRN", &|device| device.mprn = "100".into());
    wrong
}

pub(super) async fn of_registration(table: &mut Table) {
    for (what, device) in wrong_devices() {
        let request = registration::PutDeviceRequest {
            request_id: new_id(),
            device: Some(device),
            etag: String::new(),
        };
        let answer = calls::put_device(&table.mesh, request).await;
        table.refused(
            format!("a Device with {what}"),
            answer,
            Code::InvalidArgument,
            R::FieldInvalid,
        );
    }
    for id in NO_UUID {
        let request = registration::PutDeviceRequest {
            request_id: id.into(),
            device: Some(device()),
            etag: String::new(),
        };
        let answer = calls::put_device(&table.mesh, request).await;
        table.refused(
            format!("PutDevice as {id:?}"),
            answer,
            Code::InvalidArgument,
            R::FieldInvalid,
        );
    }
    let mut hubless = device();
    hubless.communications_hub_id = "02-DC-C0-00-00-00-FF-C0".into();
    let request = registration::PutDeviceRequest {
        request_id: new_id(),
        device: Some(hubless),
        etag: String::new(),
    };
    let answer = calls::put_device(&table.mesh, request).await;
    table.refused(
        "a hub that is not there",
        answer,
        Code::FailedPrecondition,
        R::ContradictsRecord,
    );
    of_parties(table).await;
    of_registrations(table).await;
}

async fn of_parties(table: &mut Table) {
    let party = |id: &str, entity: &str, role: i32| registration::Party {
        party_id: id.into(),
        name: "A new one".into(),
        identities: vec![registration::PartyIdentity {
            entity_id: entity.into(),
            roles: vec![role],
        }],
        ..Default::default()
    };
    let (entity, supplier) = ("9C-54-CA-00-00-00-00-77", ALBION.roles[0].into());
    for (what, party) in [
        ("an id in lower case", party("new", entity, supplier)),
        ("an id of 33", party(&"N".repeat(33), entity, supplier)),
        ("no EUI-64", party("NEW", "77", supplier)),
        ("an unknown role", party("NEW", entity, UNKNOWN)),
        ("an internal role", party("NEW", entity, 27)),
        (
            "nobody",
            registration::Party {
                identities: vec![],
                ..party("NEW", entity, supplier)
            },
        ),
        (
            "a CSP that is none",
            registration::Party {
                csp_id: "north".into(),
                ..party("NEW", entity, supplier)
            },
        ),
    ] {
        let request = registration::PutPartyRequest {
            request_id: new_id(),
            party: Some(party),
            etag: String::new(),
        };
        let answer = calls::put_party(&table.mesh, request).await;
        table.refused(
            format!("a party with {what}"),
            answer,
            Code::InvalidArgument,
            R::FieldInvalid,
        );
    }
    let mut client = table.mesh.clients("operator").parties().unwrap();
    for status in [0, UNKNOWN] {
        let request = registration::SetPartyStatusRequest {
            request_id: new_id(),
            party_id: ALBION.id.into(),
            status,
            reason: "a test".into(),
        };
        let answer = client.set_party_status(request).await;
        table.refused(
            format!("status {status}"),
            answer,
            Code::InvalidArgument,
            R::FieldInvalid,
        );
    }
}

async fn of_registrations(table: &mut Table) {
    let mut client = table.mesh.clients("registration-data").devices().unwrap();
    let mpan = HOME.import_mpan().unwrap().to_string();
    let other_digit = if mpan.ends_with('0') { '1' } else { '0' };
    let miscopied = format!("{}{other_digit}", &mpan[..mpan.len() - 1]);
    for (what, mpxn, party, start) in [
        ("a check digit", &*miscopied, ALBION.id, None),
        ("no MPxN", "", ALBION.id, None),
        ("a party", &mpan, "no party", None),
        ("a time", &mpan, ALBION.id, Some(ABSURD[1])),
        ("the year 1", &mpan, ALBION.id, Some(FAR_OFF[0])),
        ("the year 9999", &mpan, ALBION.id, Some(FAR_OFF[1])),
    ] {
        let request = registration::ChangeSupplierRequest {
            request_id: new_id(),
            mpxn: mpxn.into(),
            party_id: party.into(),
            start_time: start,
        };
        let answer = client.change_supplier(request).await;
        table.refused(
            format!("ChangeSupplier wrong in {what}"),
            answer,
            Code::InvalidArgument,
            R::FieldInvalid,
        );
    }
    withdrawals(table, &mpan, &miscopied).await;
    let request = registration::ListDevicesRequest {
        page_size: -1,
        ..Default::default()
    };
    let answer = client.list_devices(request).await;
    table.refused(
        "ListDevices backwards",
        answer,
        Code::InvalidArgument,
        R::FieldInvalid,
    );
}

async fn withdrawals(table: &mut Table, mpan: &str, miscopied: &str) {
    let mut client = table.mesh.clients("registration-data").devices().unwrap();
    let held = registration::ListRegistrationsRequest {
        mpxn: mpan.to_owned(),
        ..Default::default()
    };
    let held = client.list_registrations(held).await.unwrap().into_inner();
    let begun = held.registrations[0].start_time;
    let malformed = (Code::InvalidArgument, R::FieldInvalid);
    let unknown = (Code::NotFound, R::NotFound);
    for (what, mpxn, party, start, (code, reason)) in [
        ("a check digit", miscopied, ALBION.id, begun, malformed),
        ("no MPxN", "", ALBION.id, begun, malformed),
        ("a party", mpan, "no party", begun, malformed),
        ("no time", mpan, ALBION.id, None, malformed),
        ("a time", mpan, ALBION.id, Some(ABSURD[1]), malformed),
        ("the supplier", mpan, BRIGHT.id, begun, unknown),
        ("the year 1", mpan, ALBION.id, Some(FAR_OFF[0]), unknown),
        ("the year 9999", mpan, ALBION.id, Some(FAR_OFF[1]), unknown),
        (
            "that it has begun",
            mpan,
            ALBION.id,
            begun,
            (Code::FailedPrecondition, R::RegistrationBegun),
        ),
    ] {
        let request = registration::WithdrawRegistrationRequest {
            request_id: new_id(),
            mpxn: mpxn.into(),
            party_id: party.into(),
            start_time: start,
        };
        let answer = client.withdraw_registration(request).await;
        let what = format!("WithdrawRegistration wrong in {what}");
        table.refused(what, answer, code, reason);
    }
}

/// Rows of registrations with one thing wrong each.
fn wrong_registrations() -> Vec<(String, registration::Registration)> {
    let registration = |start, end| registration::Registration {
        mpxn: HOME.import_mpan().unwrap().to_string(),
        party_id: ALBION.id.into(),
        start_time: start,
        end_time: end,
        ..Default::default()
    };
    let mut wrong = vec![("no start".to_owned(), registration(None, None))];
    for at in ABSURD.into_iter().chain(FAR_OFF) {
        let starts = registration(Some(at), None);
        wrong.push((format!("a start at {at:?}"), starts));
        let ends = registration(Some(now()), Some(at));
        wrong.push((format!("an end at {at:?}"), ends));
    }
    wrong
}

pub(super) async fn of_imports(table: &mut Table) {
    use registration::inventory_row::Row;
    let row = |device| registration::InventoryRow {
        row: Some(Row::Device(device)),
    };
    let (mut names, devices): (Vec<String>, Vec<_>) = wrong_devices().into_iter().unzip();
    let mut rows: Vec<_> = devices.into_iter().map(row).collect();
    for (what, registration) in wrong_registrations() {
        names.push(what);
        let row = Some(Row::Registration(registration));
        rows.push(registration::InventoryRow { row });
    }
    rows.push(registration::InventoryRow { row: None });
    let results = calls::import(&table.mesh, rows).await.unwrap();
    assert_eq!(results.len(), names.len() + 1);
    for (what, result) in names
        .iter()
        .map(String::as_str)
        .chain(["nothing"])
        .zip(&results)
    {
        let status = result.status.as_ref();
        table.item_refused(
            format!("a row with {what}"),
            status,
            Code::InvalidArgument,
            R::FieldInvalid,
        );
    }
    let answer = calls::import(&table.mesh, vec![row(device()); 1_001]).await;
    table.refused("1,001 rows", answer, Code::InvalidArgument, R::TooManyItems);
}
