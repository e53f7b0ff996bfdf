//! Who gets a lease with an answer, and what waits until it has ended.

use std::time::{Duration, Instant};

use mesh_api::authorization::v1::Role;
use mesh_api::common::v1::{DeviceType, ErrorReason};
use mesh_api::registration::v1 as wire;
use tonic::{Code, Status};

use crate::world::{
    CHF, ESME, GSME, NOW, SINCE, TWIN, World, device, instant, mpan, mprn, party, refused,
    registered, request_id, row,
};

const LEASE: Duration = Duration::from_secs(1);

/// The lease that a party gets for a Device, if it gets one, and when it was asked for.
async fn lease(world: &World, device: &str, party: &str) -> Result<Option<Instant>, Status> {
    let question = wire::GetAuthorityRequest {
        device_id: device.to_owned(),
        for_party_id: party.to_owned(),
        for_write: true,
        ..Default::default()
    };
    let asked = Instant::now();
    let answer = world.authority().get_authority(question).await?;
    Ok(answer.into_inner().lease_duration.map(|lease| {
        assert_eq!(Duration::try_from(lease), Ok(LEASE));
        asked
    }))
}

/// For which of three Devices a party gets one when it asks for all at once.
async fn leases(world: &World, party: &str) -> Result<Vec<bool>, Status> {
    let question = wire::BatchGetAuthorityRequest {
        device_ids: [ESME, GSME, "rubbish"].map(str::to_owned).into(),
        for_party_id: party.to_owned(),
        for_write: true,
        ..Default::default()
    };
    let answer = world.authority().batch_get_authority(question).await?;
    let results = answer.into_inner().results.into_iter();
    Ok(results
        .map(|result| result.lease_duration.is_some())
        .collect())
}

#[tokio::test]
async fn who_may_write_gets_a_lease_and_nobody_else_does() {
    let world = World::with_inventory().await;
    assert!(lease(&world, ESME, "ACME").await.unwrap().is_some());
    for (device, party) in [(ESME, "BOLT"), (CHF, "ACME"), (TWIN, "BOLT")] {
        assert_eq!(lease(&world, device, party).await.unwrap(), None);
    }
    let reading = wire::GetAuthorityRequest {
        device_id: ESME.to_owned(),
        for_party_id: "ACME".to_owned(),
        ..Default::default()
    };
    let read = world.authority().get_authority(reading).await.unwrap();
    assert_eq!(read.into_inner().lease_duration, None);
    world.set_status("ACME", wire::PartyStatus::Suspended).await;
    assert_eq!(lease(&world, ESME, "ACME").await.unwrap(), None);
    assert_eq!(leases(&world, "GAS").await.unwrap(), [false, true, false]);
    let nobody = leases(&world, "").await.unwrap_err();
    assert_eq!(nobody.code(), Code::InvalidArgument);
    let nobody = lease(&world, ESME, "").await.unwrap_err();
    let malformed = (Code::InvalidArgument, Some(ErrorReason::FieldInvalid));
    assert_eq!(refused(&nobody), malformed);
    world.stop().await;
}

/// The same of several parties' questions in one call.
async fn leases_together(world: &World, asked: &[(&str, &str)]) -> Vec<Option<Instant>> {
    use wire::authority_for_party_result::Result as Told;
    let question = |&(device, party): &(&str, &str)| wire::AuthorityQuestion {
        device_id: device.to_owned(),
        for_party_id: party.to_owned(),
        for_write: true,
    };
    let request = wire::GetAuthorityForPartiesRequest {
        questions: asked.iter().map(question).collect(),
    };
    let asked = Instant::now();
    let told = world
        .authority()
        .get_authority_for_parties(request)
        .await
        .unwrap();
    let results = told.into_inner().results.into_iter();
    let leases = results.map(|result| match result.result.unwrap() {
        Told::Answer(answer) => answer.lease_duration.map(|lease| {
            assert_eq!(Duration::try_from(lease), Ok(LEASE));
            asked
        }),
        Told::Status(status) => panic!("{status:?}"),
    });
    leases.collect()
}

#[tokio::test]
async fn leases_given_together_are_waited_for_one_by_one() {
    let world = World::with_inventory().await;
    let none = leases_together(&world, &[(TWIN, "BOLT"), (ESME, "GAS")]).await;
    assert_eq!(none, [None, None]);
    world.change(mpan(1), "BOLT", None).await.unwrap();
    let given = leases_together(&world, &[(ESME, "ACME"), (GSME, "GAS"), (ESME, "BOLT")]).await;
    assert!(given[0].is_none() && given[1].is_some());
    let asked = given[2].expect("BOLT is responsible now");
    world.set_status("GAS", wire::PartyStatus::Suspended).await;
    assert!(asked.elapsed() >= LEASE);
    let asked = leases_together(&world, &[(GSME, "GAS"), (ESME, "BOLT")]).await;
    assert_eq!(asked[0], None);
    world.clock.advance(Duration::from_secs(10));
    world.change(mpan(1), "ACME", None).await.unwrap();
    assert!(asked[1].unwrap().elapsed() >= LEASE);
    world.stop().await;
}

#[tokio::test]
async fn what_takes_a_device_away_is_answered_when_its_lease_has_ended() {
    let world = World::with_inventory().await;
    let moved = || wire::Device {
        import_mpan: mpan(7),
        ..device(TWIN, DeviceType::Esme)
    };
    // The one that is asked about, whose it is, and what takes it away.
    for (name, meter, party) in [
        ("a change now", ESME, "ACME"),
        ("a change in the past", ESME, "BOLT"),
        ("a change of a Device", TWIN, "ACME"),
        ("a suspension", GSME, "GAS"),
    ] {
        let mut asked = lease(&world, meter, party).await.unwrap().expect(name);
        if meter == GSME {
            // One of several that are asked for at once is as good.
            asked = Instant::now();
            assert_eq!(leases(&world, party).await.unwrap(), [false, true, false]);
        }
        match name {
            "a change now" => drop(world.change(mpan(1), "BOLT", None).await.unwrap()),
            "a change in the past" => {
                world.clock.advance(Duration::from_secs(10));
                let past = Some(NOW + 5);
                drop(world.change(mpan(1), "ACME", past).await.unwrap());
            }
            "a change of a Device" => {
                let results = world.import(vec![row(moved())]).await.unwrap();
                assert_eq!(results[0].outcome(), wire::row_result::Outcome::Recorded);
            }
            _ => world.set_status(party, wire::PartyStatus::Closed).await,
        }
        assert!(asked.elapsed() >= LEASE, "{name}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_change_that_begins_within_a_lease_waits_too() {
    let world = World::with_inventory().await;
    let asked = lease(&world, GSME, "GAS").await.unwrap().unwrap();
    let gaining = party("FLUE", 9, &[Role::GasSupplier]);
    world.import(vec![row(gaining)]).await.unwrap();
    let request = wire::ChangeSupplierRequest {
        request_id: request_id(),
        mpxn: mprn(1),
        party_id: "FLUE".to_owned(),
        start_time: Some(prost_types::Timestamp {
            seconds: NOW,
            nanos: 500_000_000,
        }),
    };
    let mut devices = world.devices("operator");
    devices.change_supplier(request).await.unwrap();
    assert!(asked.elapsed() >= LEASE);
    world.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_given_again_waits_as_the_first_did() {
    let world = World::with_inventory().await;
    let request = wire::ChangeSupplierRequest {
        request_id: request_id(),
        mpxn: mpan(1),
        party_id: "BOLT".to_owned(),
        start_time: instant(SINCE + 1),
    };
    let mut devices = world.devices("operator");
    devices.change_supplier(request.clone()).await.unwrap();
    let asked = lease(&world, ESME, "BOLT").await.unwrap().unwrap();
    let again = devices.change_supplier(request).await.unwrap();
    assert!(again.into_inner().replayed);
    assert!(asked.elapsed() >= LEASE);
    world.stop().await;
}

/// The answer to the load that recorded it may have been cut off while it waited.
#[tokio::test]
async fn a_load_that_is_sent_again_waits_as_the_first_did() {
    let world = World::with_inventory().await;
    let newer = wire::Device {
        smets_version: Some(wire::SmetsVersion { major: 2, minor: 1 }),
        import_mpan: mpan(1),
        export_mpan: mpan(2),
        ..device(ESME, DeviceType::Esme)
    };
    let same = registered(&mpan(1), "ACME", SINCE);
    for row in [row(newer), row(same)] {
        world.import(vec![row.clone()]).await.unwrap();
        let asked = lease(&world, ESME, "ACME").await.unwrap().unwrap();
        let again = world.import(vec![row.clone()]).await.unwrap();
        assert_eq!(again[0].outcome(), wire::row_result::Outcome::Unchanged);
        assert!(asked.elapsed() >= LEASE, "{row:?}");
    }
    world.stop().await;
}
