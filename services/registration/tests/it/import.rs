//! Inventory loaded in bulk: a result for each row, in order.

use mesh_api::authorization::v1::Role;
use mesh_api::common::v1::{DeviceType, ErrorReason};
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::row_result::Outcome;
use tonic::Code;

use crate::world::{CHF, ESME, SINCE, World, device, mpan, party, refused, registered, row};

/// What became of a row: its outcome, or the reason of its refusal.
fn told(result: &wire::RowResult) -> Result<Outcome, ErrorReason> {
    match &result.status {
        None => Ok(result.outcome()),
        Some(status) => Err(status.reason()),
    }
}

#[tokio::test]
async fn each_row_gets_its_own_result() {
    let world = World::start().await;
    let esme = wire::Device {
        import_mpan: mpan(1),
        ..device(ESME, DeviceType::Esme)
    };
    let rows = || {
        vec![
            row(party("ACME", 1, &[Role::ImportSupplier])),
            row(party("ACME", 2, &[Role::Auditor])),
            row(esme.clone()),
            row(device(CHF, DeviceType::Chf)),
            row(esme.clone()),
            row(wire::Device {
                import_mpan: "1200000000003".to_owned(),
                ..esme.clone()
            }),
            row(registered(&mpan(1), "ACME", SINCE + 10)),
            row(registered(&mpan(1), "ACME", SINCE + 20)),
            row(wire::Registration {
                end_time: registered("", "", SINCE + 5).start_time,
                ..registered(&mpan(2), "ACME", SINCE + 10)
            }),
            wire::InventoryRow { row: None },
            row(registered(&mpan(2), "NOBODY", SINCE + 10)),
        ]
    };
    let first: Vec<_> = world
        .import(rows())
        .await
        .unwrap()
        .iter()
        .map(told)
        .collect();
    assert_eq!(
        first,
        [
            Ok(Outcome::Recorded),
            Err(ErrorReason::FieldInvalid),
            Err(ErrorReason::ContradictsRecord),
            Ok(Outcome::Recorded),
            Ok(Outcome::Recorded),
            Err(ErrorReason::FieldInvalid),
            Ok(Outcome::Recorded),
            Err(ErrorReason::RegistrationOverlap),
            Err(ErrorReason::FieldInvalid),
            Err(ErrorReason::FieldInvalid),
            Err(ErrorReason::ContradictsRecord),
        ]
    );
    // Sent again, what was recorded is unchanged, and what had come too early now fits.
    let again: Vec<_> = world
        .import(rows())
        .await
        .unwrap()
        .iter()
        .map(told)
        .collect();
    for n in [0, 2, 3, 4, 6] {
        assert_eq!(again[n], Ok(Outcome::Unchanged), "{n}");
    }
    for n in [1, 5, 7, 8, 9, 10] {
        assert_eq!(again[n], first[n], "{n}");
    }
    assert_eq!(world.ask(ESME).await.responsible_party_id, "ACME");
    world.stop().await;
}

/// Every row that a load would refuse is found without one, and nothing is recorded.
#[tokio::test]
async fn a_rehearsal_answers_as_the_load_would() {
    let world = World::start().await;
    let gsme = wire::Device {
        mprn: "3938424403".to_owned(),
        gas_proxy_function_id: "00-DB-12-34-56-78-90-AF".to_owned(),
        ..device("00-DB-12-34-56-78-90-A1", DeviceType::Gsme)
    };
    let esme = |mpan: String| wire::Device {
        import_mpan: mpan,
        ..device(ESME, DeviceType::Esme)
    };
    let null = "00-00-00-00-00-00-00-00";
    let requests = [
        vec![
            row(party("ACME", 1, &[Role::ImportSupplier])),
            row(party("THIEF", 1, &[Role::ImportSupplier])),
            row(party("GAS", 2, &[Role::GasSupplier])),
            row(device(null, DeviceType::Chf)),
            row(esme(mpan(1))),
            row(device(CHF, DeviceType::Chf)),
        ],
        // On a hub and by a party of the request before.
        vec![
            row(esme(mpan(1))),
            row(esme("0000000000000".to_owned())),
            row(esme("0003938424403".to_owned())),
            row(device(ESME, DeviceType::Ppmid)),
            row(gsme),
            row(registered(&mpan(1), "ACME", SINCE + 10)),
            row(registered(&mpan(1), "ACME", SINCE + 10)),
            row(registered(&mpan(1), "ACME", SINCE + 20)),
            row(registered(&mpan(2), "GAS", SINCE + 10)),
            row(registered(&mpan(2), "NOBODY", SINCE + 10)),
        ],
    ];
    let send = async |validate_only| {
        let requests = requests.clone().map(|rows| wire::ImportInventoryRequest {
            rows,
            validate_only,
        });
        let mut loader = world.devices("registration-data");
        let requests = futures::stream::iter(requests);
        let answers = loader.import_inventory(requests).await.unwrap();
        let mut answers = answers.into_inner();
        let mut results = Vec::new();
        while let Some(answer) = answers.message().await.unwrap() {
            results.extend(answer.results.iter().map(told));
        }
        results
    };
    let rehearsed = send(true).await;
    let again = send(true).await;
    assert_eq!(rehearsed, again, "nothing was recorded");
    let loaded = send(false).await;
    assert_eq!(rehearsed, loaded);
    assert_eq!(loaded.iter().filter(|told| told.is_err()).count(), 10);
    // Of what is recorded now, a rehearsal says that nothing would change.
    let after = send(true).await;
    let changed = after.iter().filter(|told| **told == Ok(Outcome::Recorded));
    assert_eq!(changed.count(), 0, "{after:?}");
    assert_eq!(after, send(false).await);
    world.stop().await;
}

#[tokio::test]
async fn requests_are_answered_in_their_order() {
    let world = World::start().await;
    let numbered = |n: u64| format!("00-DB-12-34-56-78-{:02X}-{:02X}", n >> 8, n & 0xFF);
    let hub = wire::ImportInventoryRequest {
        rows: vec![row(device(CHF, DeviceType::Chf))],
        ..Default::default()
    };
    let full = |from: u64| wire::ImportInventoryRequest {
        rows: (from..from + 1_000)
            .map(|n| row(device(&numbered(n), DeviceType::Ppmid)))
            .collect(),
        ..Default::default()
    };
    let requests = vec![
        hub,
        full(0),
        full(1_000),
        full(500),
        wire::ImportInventoryRequest::default(),
    ];
    let mut loader = world.devices("registration-data");
    let responses = loader
        .import_inventory(futures::stream::iter(requests))
        .await;
    let mut responses = responses.unwrap().into_inner();
    let mut counts = Vec::new();
    let mut last = 0;
    while let Some(response) = responses.message().await.unwrap() {
        let recorded = response
            .results
            .iter()
            .filter(|r| r.outcome() == Outcome::Recorded);
        counts.push((response.results.len(), recorded.count()));
        last = response.position.unwrap().sequence;
    }
    assert_eq!(
        counts,
        [(1, 1), (1_000, 1_000), (1_000, 1_000), (1_000, 0), (0, 0)]
    );
    assert_eq!(last, 2_001);
    world.stop().await;
}

#[tokio::test]
async fn a_request_with_too_many_rows_ends_the_load_and_writes_nothing() {
    let world = World::start().await;
    let many = wire::ImportInventoryRequest {
        rows: vec![row(device(CHF, DeviceType::Chf)); 1_001],
        ..Default::default()
    };
    let mut loader = world.devices("operator");
    let responses = loader.import_inventory(futures::stream::iter([many])).await;
    let status = responses.unwrap().into_inner().message().await.unwrap_err();
    assert_eq!(
        refused(&status),
        (Code::InvalidArgument, Some(ErrorReason::TooManyItems))
    );
    assert!(world.ask(CHF).await.device.is_none());
    let by_auditor = world
        .devices("auditor")
        .import_inventory(futures::stream::iter([
            wire::ImportInventoryRequest::default(),
        ]))
        .await
        .unwrap_err();
    assert_eq!(
        refused(&by_auditor),
        (Code::PermissionDenied, Some(ErrorReason::RoleNotPermitted))
    );
    world.stop().await;
}
