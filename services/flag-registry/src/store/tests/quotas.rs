//! Quotas, between writers and over a restart.

use std::time::Duration;

use futures::future::join_all;
use mesh_store::conformance::Database;
use mesh_store::cursor::Advance;
use mesh_types::{Clock as _, DeviceId, Eui64};

use super::world::{World, authority, command, cursor, moved, quotas, requested};
use crate::error::Error;
use crate::preference::Wish;
use crate::quota::Quota;
use crate::store::{Answered, ChangeCommand, Declined};
use crate::tests::fixtures::{OTHER_CHF, add, remove};

const DAY: Duration = Duration::from_hours(24);
const DAY_AND_HOUR: Duration = Duration::from_hours(25);

fn device(number: u64) -> DeviceId {
    DeviceId::new(Eui64::from_u64(number))
}

fn wish(number: u64, wish: Wish) -> ChangeCommand {
    command(authority(device(number), 1, None), wish)
}

/// The quota that refuses an answer; `None` if it is granted.
fn refused_by(answer: &Result<Answered, Declined>) -> Option<Quota> {
    match answer {
        Ok(_) => None,
        Err(Declined::Refused(Error::QuotaExhausted { used_up, .. })) => Some(used_up.quota),
        Err(other) => panic!("{other:?}"),
    }
}

async fn ask(world: &World, command: ChangeCommand) -> Option<Quota> {
    refused_by(&world.change(command).await)
}

/// In one batch, in several and in those of another replica.
pub(super) async fn no_two_writers_take_the_last_one(database: &Database) {
    let world = World::with_quotas(database, quotas(3, 8)).await;
    let (replica, task) = world.replica();
    let mut granted = 0;
    for (number, room) in [(1, 3), (2, 3), (3, 2)] {
        let asked = (0..40).map(|index| {
            let store = if index % 2 == 0 {
                &world.store
            } else {
                &replica
            };
            store.change(wish(number, remove()))
        });
        let answers = join_all(asked).await.into_iter().map(Result::unwrap);
        let refusals: Vec<_> = answers.map(|answer| refused_by(&answer)).collect();
        granted += room;
        assert_eq!(refusals.iter().filter(|one| one.is_none()).count(), room);
        let expected = if room == 3 {
            Quota::DeviceRepeats
        } else {
            Quota::SupplierRepeats
        };
        assert!(refusals.iter().flatten().all(|quota| *quota == expected));
        assert_eq!(world.head().await, u64::try_from(granted).unwrap());
    }
    task.shutdown().await;
}

/// Lifting is counted apart; a flag that is not set is set and a Device is followed all the same.
pub(super) async fn a_loop_keeps_nobody_from_what_is_needed(database: &Database) {
    let world = World::with_quotas(database, quotas(2, 3)).await;
    for round in 0..3 {
        world.granted(wish(1, add())).await;
        let lifted = ask(&world, wish(1, remove())).await;
        assert_eq!(lifted, (round == 2).then_some(Quota::DeviceLifts));
    }
    for _ in 0..2 {
        assert_eq!(ask(&world, wish(1, add())).await, None);
    }
    assert_eq!(
        ask(&world, wish(1, add())).await,
        Some(Quota::DeviceRepeats)
    );
    // Of other Devices too, until the supplier's own quotas are used up.
    world.granted(wish(2, remove())).await;
    assert_eq!(
        ask(&world, wish(2, remove())).await,
        Some(Quota::SupplierRepeats)
    );
    world.granted(wish(2, add())).await;
    world.granted(wish(2, remove())).await;
    world.granted(wish(2, add())).await;
    assert_eq!(
        ask(&world, wish(2, remove())).await,
        Some(Quota::SupplierLifts)
    );
    for number in 3..30 {
        world.granted(wish(number, add())).await;
    }
    let head = world.head().await;
    let batch = vec![(2, moved(device(1), OTHER_CHF, "south"))];
    assert_eq!(world.follow(None, &cursor(2), batch).await, Advance::Moved);
    assert_eq!(world.head().await, head + 1);
}

/// What was spent is known after a restart, and comes back.
pub(super) async fn what_was_spent_survives_and_comes_back(database: &Database) {
    let world = World::with_quotas(database, quotas(2, 3)).await;
    for number in [1, 1, 2] {
        world.granted(wish(number, remove())).await;
    }
    let later = world.clock.now().saturating_add(DAY_AND_HOUR);
    world.close().await;
    let world = World::with_quotas(database, quotas(2, 3)).await;
    assert_eq!(
        ask(&world, wish(1, remove())).await,
        Some(Quota::SupplierRepeats)
    );
    assert_eq!(
        ask(&world, wish(3, remove())).await,
        Some(Quota::SupplierRepeats)
    );
    world.clock.set(later);
    for number in [1, 1, 2] {
        assert_eq!(ask(&world, wish(number, remove())).await, None);
    }
    assert_eq!(
        ask(&world, wish(3, remove())).await,
        Some(Quota::SupplierRepeats)
    );
    assert_eq!(world.head().await, 6);
}

/// A clock that was a year ahead for one write keeps nothing for a year, and has nothing forgotten by
/// a restart.
pub(super) async fn a_clock_that_was_wrong_holds_no_quota_up(database: &Database) {
    let mut world = World::with_quotas(database, quotas(2, 100)).await;
    for (number, restarted) in [(1, false), (2, true)] {
        let right = world.clock.now();
        world.clock.set(right.saturating_add(365 * DAY));
        world.granted(wish(number, add())).await;
        world.clock.set(right);
        for _ in 0..3 {
            world.granted(wish(number, remove())).await;
        }
        if restarted {
            world.close().await;
            world = World::with_quotas(database, quotas(2, 100)).await;
            world.clock.set(right);
        }
        let full = ask(&world, wish(number, remove())).await;
        assert_eq!(full, Some(Quota::DeviceRepeats), "restarted: {restarted}");
        world.clock.advance(DAY_AND_HOUR);
        for _ in 0..2 {
            let again = ask(&world, wish(number, remove())).await;
            assert_eq!(again, None, "restarted: {restarted}");
        }
    }
}

/// A request that was granted is answered as before; one that was refused is judged anew; one that is
/// only checked is judged and spends nothing.
pub(super) async fn a_used_up_quota_changes_no_answer(database: &Database) {
    let world = World::with_quotas(database, quotas(2, 100)).await;
    let known = || authority(device(1), 1, None);
    let checked = || requested(known(), remove(), "checked", true);
    for _ in 0..5 {
        assert_eq!(ask(&world, checked()).await, None);
    }
    let Answered(first) = world
        .change(requested(known(), remove(), "first", false))
        .await
        .unwrap();
    assert_eq!(ask(&world, wish(1, remove())).await, None);
    let late = || requested(known(), remove(), "late", false);
    let full = Some(Quota::DeviceRepeats);
    assert_eq!(ask(&world, late()).await, full);
    assert_eq!(ask(&world, checked()).await, full);
    let again = requested(known(), remove(), "first", false);
    let Answered(again) = world.change(again).await.unwrap();
    assert!(again.replayed && again.position == first.position);
    assert_eq!((ask(&world, late()).await, world.head().await), (full, 2));
    world.clock.advance(DAY_AND_HOUR);
    assert_eq!((ask(&world, late()).await, world.head().await), (None, 3));
}
