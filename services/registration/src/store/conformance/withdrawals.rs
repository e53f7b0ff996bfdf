//! What was announced and is withdrawn before it begins never does, and the others go on.

use std::sync::Arc;

use mesh_api::registration::v1 as wire;
use mesh_types::{Mpxn, Sequence};
use tokio::sync::Barrier;

use super::world::{
    Told, World, at, change, device, effect, head, id, mpan, open, put, registered, sequence,
    withdrawal,
};
use super::{Checked, Database};
use crate::device::DeviceType;
use crate::error::Error;
use crate::supply::NotWithdrawn;

/// An ESME whose import MPAN A supplies since second 0, perhaps up to an end.
async fn supplied(
    database: &Database,
    end: Option<i64>,
) -> Result<(World, Mpxn), mesh_store::StoreError> {
    let world = World::start(database).await?;
    let point = Mpxn::Mpan(mpan(1));
    world
        .load(vec![
            put(device(1, DeviceType::Esme)),
            registered(point, "A", 0, end),
        ])
        .await;
    Ok((world, point))
}

/// Supplier, start and end of every registration of an MPxN, as it was at a sequence.
async fn registrations(
    world: &World,
    point: Mpxn,
    at: Sequence,
) -> Vec<(String, i64, Option<i64>)> {
    let supply = world.inventory.supply(point, at).await.unwrap();
    let all = supply.registrations().iter();
    all.map(|r| {
        let seconds = |at: mesh_types::Timestamp| at.micros() / 1_000_000;
        let (start, end) = (r.interval.start(), r.interval.closed_end());
        (r.party.to_string(), seconds(start), end.map(seconds))
    })
    .collect()
}

async fn standing(world: &World, point: Mpxn) -> Vec<(String, i64, Option<i64>)> {
    registrations(world, point, head(world).await.sequence).await
}

fn holds(party: &str, start: i64, end: Option<i64>) -> (String, i64, Option<i64>) {
    (party.to_owned(), start, end)
}

/// Supplier and end of a registration on the wire.
fn told(registration: Option<&wire::Registration>) -> Option<(&str, Option<i64>)> {
    let end = |r: &wire::Registration| r.end_time.as_ref().map(|at| at.seconds);
    registration.map(|r| (r.party_id.as_str(), end(r)))
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Error>) -> NotWithdrawn {
    match answer {
        Err(Error::NotWithdrawn(why)) => why,
        other => panic!("it is not there to be withdrawn: {other:?}"),
    }
}

pub(in super::super) async fn what_is_withdrawn_never_begins(database: &Database) -> Checked {
    let (world, point) = supplied(database, None).await?;
    world.change(point, "B", Some(1_500)).await?;
    let before = world.told().await?.len();
    for (party, start) in [("A", 1_500), ("B", 1_501), ("G", 1_500)] {
        let answer = world.withdraw(point, party, start).await;
        assert_eq!(refused(answer), NotWithdrawn::Unknown);
    }
    let elsewhere = world.withdraw(Mpxn::Mpan(mpan(7)), "B", 1_500).await;
    assert_eq!(refused(elsewhere), NotWithdrawn::Unknown);
    assert_eq!(
        world.told().await?.len(),
        before,
        "a refusal writes nothing"
    );

    let answer = world.withdraw(point, "B", 1_500).await?;
    assert_eq!(told(answer.withdrawn.as_ref()), Some(("B", None)));
    assert_eq!(told(answer.resumed.as_ref()), Some(("A", None)));
    let end = head(&world).await.sequence;
    assert_eq!(sequence(answer.position.as_ref()), end);
    let events = world.told().await?.split_off(before);
    let withdrawn = Told::Withdrawn {
        party: "B".to_owned(),
    };
    let resumed = Told::Registration {
        party: "A".to_owned(),
        ended: true,
    };
    assert_eq!(events, [withdrawn, resumed]);
    assert_eq!(standing(&world, point).await, [holds("A", 0, None)]);
    let answer = world.withdraw(point, "B", 1_500).await;
    assert_eq!(refused(answer), NotWithdrawn::Unknown);

    // When its time comes, nothing happens.
    world.clock.set(at(2_000));
    world.settle().await;
    assert_eq!(world.effects().await?.len(), 1);
    assert_eq!(world.inventory.next_due().await?, None);
    assert_eq!(world.responsible(id(1), 2_000).await.as_deref(), Some("A"));
    world.stop().await;
    Ok(())
}

pub(in super::super) async fn a_chain_is_withdrawn_from_either_end(database: &Database) -> Checked {
    let (world, point) = supplied(database, None).await?;
    let announce = async || {
        world.change(point, "B", Some(2_000)).await?;
        world.change(point, "A", Some(3_000)).await
    };
    // The first of two: A goes on until it is registered anew.
    announce().await?;
    let first = world.withdraw(point, "B", 2_000).await?;
    assert_eq!(told(first.withdrawn.as_ref()), Some(("B", Some(3_000))));
    assert_eq!(told(first.resumed.as_ref()), Some(("A", Some(3_000))));
    let all = standing(&world, point).await;
    assert_eq!(all, [holds("A", 0, Some(3_000)), holds("A", 3_000, None)]);
    // Then the other, and its end is taken back too.
    let second = world.withdraw(point, "A", 3_000).await?;
    assert_eq!(told(second.resumed.as_ref()), Some(("A", None)));
    assert_eq!(standing(&world, point).await, [holds("A", 0, None)]);

    // The last of two: B goes on.
    announce().await?;
    let last = world.withdraw(point, "A", 3_000).await?;
    assert_eq!(told(last.resumed.as_ref()), Some(("B", None)));
    world.clock.set(at(4_000));
    world.settle().await;
    let effects = world.effects().await?;
    assert_eq!(effects[1..], [effect("A", "B", 2_000, 1)]);
    world.stop().await;
    Ok(())
}

pub(in super::super) async fn an_end_of_its_own_stays(database: &Database) -> Checked {
    let (world, point) = supplied(database, Some(3_000)).await?;
    // It was to end just then, whoever comes.
    world.change(point, "B", Some(3_000)).await?;
    let answer = world.withdraw(point, "B", 3_000).await?;
    assert_eq!(answer.resumed, None);
    assert_eq!(standing(&world, point).await, [holds("A", 0, Some(3_000))]);
    // Its end was moved forward, and is what it was again.
    world.change(point, "B", Some(2_000)).await?;
    world.change(point, "A", Some(4_000)).await?;
    let answer = world.withdraw(point, "B", 2_000).await?;
    assert_eq!(told(answer.resumed.as_ref()), Some(("A", Some(3_000))));
    let all = standing(&world, point).await;
    assert_eq!(all, [holds("A", 0, Some(3_000)), holds("A", 4_000, None)]);
    world.clock.set(at(5_000));
    world.settle().await;
    let effects = world.effects().await?;
    let gap = [effect("A", "", 3_000, 1), effect("", "A", 4_000, 1)];
    assert_eq!(effects[1..], gap);
    world.stop().await;
    Ok(())
}

/// With names that sort one way and were given in the other, and in one transaction.
pub(in super::super) async fn what_is_withdrawn_can_be_announced_again(
    database: &Database,
) -> Checked {
    let (world, point) = supplied(database, None).await?;
    world.change(point, "B", Some(1_500)).await?;
    for round in 0..4 {
        let again = [
            withdrawal(&round.to_string(), point, "B", 1_500),
            change(point, "B", Some(1_500)),
        ];
        world.together(&again).await?;
    }
    let other = [
        withdrawal("other", point, "B", 1_500),
        change(point, "A", Some(1_500)),
        withdrawal("again", point, "A", 1_500),
    ];
    world.together(&other).await?;
    assert_eq!(standing(&world, point).await, [holds("A", 0, None)]);
    // A load finds what it would have found before.
    let row = || vec![registered(point, "A", 0, None)];
    let unchanged = world.import(row()).await.remove(0)?;
    assert_eq!(unchanged, crate::store::command::Outcome::Unchanged);
    let overlaps = world
        .import(vec![registered(point, "B", 1_500, None)])
        .await;
    assert!(matches!(overlaps[..], [Err(Error::Overlap(_))]));
    let devices = &world.inventory.logs().devices;
    mesh_store::verify::verify(world.inventory.store().readers(), devices).await??;
    world.stop().await;
    Ok(())
}

pub(in super::super) async fn what_was_known_before_a_withdrawal_stays_known(
    database: &Database,
) -> Checked {
    let (world, point) = supplied(database, None).await?;
    let nothing = head(&world).await.sequence;
    world.change(point, "B", Some(1_500)).await?;
    let announced = head(&world).await.sequence;
    world.withdraw(point, "B", 1_500).await?;
    world.stop().await;

    let world = World::open(database).await?;
    let then = registrations(&world, point, announced).await;
    assert_eq!(then, [holds("A", 0, Some(1_500)), holds("B", 1_500, None)]);
    // Between the two events of the withdrawal nobody is registered twice.
    let between = registrations(&world, point, announced + 1).await;
    assert_eq!(between, [holds("A", 0, Some(1_500))]);
    for at in [nothing, announced + 2] {
        let found = registrations(&world, point, at).await;
        assert_eq!(found, [holds("A", 0, None)]);
    }
    // An answer says until when it holds.
    let (answers, _) = world
        .inventory
        .authorities(&[open(id(1))], None, at(1_000))
        .await?;
    assert_eq!(answers[0].to_wire().authority_end_time, None);
    world.stop().await;
    Ok(())
}

/// Recorded before times that come in had bounds: it is read as it is, and bars nobody for ever.
pub(in super::super) async fn what_was_announced_for_no_time_that_can_be_is_withdrawn(
    database: &Database,
) -> Checked {
    const YEAR_9999: i64 = 253_402_300_799;
    let (world, point) = supplied(database, None).await?;
    world.change(point, "B", Some(YEAR_9999)).await?;
    world.stop().await;

    let world = World::open(database).await?;
    let all = standing(&world, point).await;
    assert_eq!(
        all,
        [holds("A", 0, Some(YEAR_9999)), holds("B", YEAR_9999, None)]
    );
    let barred = world.change(point, "B", None).await;
    assert!(matches!(barred, Err(Error::Overlap(_))), "{barred:?}");
    world.withdraw(point, "B", YEAR_9999).await?;
    world.change(point, "B", None).await?;
    let all = standing(&world, point).await;
    assert_eq!(all, [holds("A", 0, Some(1_000)), holds("B", 1_000, None)]);
    world.stop().await;
    Ok(())
}

/// Two replicas, a withdrawal at each, and the time that comes meanwhile.
pub(in super::super) async fn a_registration_begins_or_is_withdrawn(
    database: &Database,
) -> Checked {
    let (world, point) = supplied(database, None).await?;
    let (other, task) = world.replica();
    let world = Arc::new(world);
    for round in 1..=10 {
        let start = 1_000 + round * 1_000;
        world.change(point, "B", Some(start)).await?;
        let effects = world.effects().await?.len();
        let barrier = Arc::new(Barrier::new(3));
        let withdraw = |inventory: &crate::store::Inventory, name: &str| {
            let (inventory, barrier) = (inventory.clone(), barrier.clone());
            let command = withdrawal(&format!("{name}{round}"), point, "B", start);
            tokio::spawn(async move {
                barrier.wait().await;
                inventory
                    .ask::<wire::WithdrawRegistrationResponse>(command)
                    .await
            })
        };
        let withdrawals = [withdraw(&world.inventory, "one"), withdraw(&other, "two")];
        barrier.wait().await;
        world.clock.set(at(start));
        world.settle().await;
        let mut withdrawn = 0;
        for withdrawal in withdrawals {
            match withdrawal.await? {
                Ok(_) => withdrawn += 1,
                Err(Error::NotWithdrawn(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let begun = world.effects().await?.len() - effects;
        assert_eq!(withdrawn + begun, 1, "round {round}");
        if begun == 1 {
            world.change(point, "A", Some(start + 1)).await?;
            world.clock.set(at(start + 2));
            world.settle().await;
        }
    }
    drop(other);
    task.shutdown().await;
    Ok(())
}
