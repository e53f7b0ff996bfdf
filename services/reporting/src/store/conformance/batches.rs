//! Numbered batches: once each, in their order, and without a memory of ids.

use mesh_store::conformance::Database;
use mesh_store::sql::query_scalar;

use super::Checked;
use super::world::{World, delivery, hour, read};
use crate::outcome::Ending;
use crate::store::Disposition::{Duplicate, Recorded, Reused};
use crate::store::{Misnumbered, Taken};

/// A batch counts once, however often it comes, and not before those before it; each producer has numbers of
/// its own.
pub(in crate::store) async fn each_is_taken_once_and_in_order(database: &Database) -> Checked {
    let world = World::open(database).await?;
    let batch = |number: u64| {
        delivery(
            "dsp",
            number,
            [read("a", 1, hour(1)), read("b", 1, hour(2))],
        )
    };
    let missing = |next| Err(Misnumbered::Missing { next });
    assert_eq!(world.store.record(batch(2)).await?, missing(1));
    for number in 1..=3 {
        let taken = Taken {
            // The ids are those of the batches before.
            dispositions: vec![Recorded; 2],
            last_number: number,
        };
        assert_eq!(world.store.record(batch(number)).await?, Ok(taken));
    }
    for number in 1..=3 {
        let taken = Taken {
            dispositions: vec![Duplicate; 2],
            last_number: 3,
        };
        assert_eq!(world.store.record(batch(number)).await?, Ok(taken));
    }
    assert_eq!(world.store.record(batch(5)).await?, missing(4));
    let other = delivery("dsp-2", 1, [read("a", 1, hour(1))]);
    let taken = world.store.record(other).await?.expect("the first");
    assert_eq!(taken.last_number, 1);
    assert_eq!(world.november().await?.basis.outcomes, 7);

    // A producer that does not know where it was asks with nothing.
    let nothing = world.store.record(delivery("dsp", 0, [])).await?;
    assert_eq!(nothing.map(|taken| taken.last_number), Ok(3));
    let mut conn = world.store.database().readers().acquire().await?;
    let seen: i64 = query_scalar("SELECT COUNT(*) FROM outcome_seen")
        .fetch_one(&mut conn)
        .await?;
    assert_eq!(seen, 0);
    Ok(())
}

/// Of the last batch the content is known. Within a batch an id stands for one outcome.
pub(in crate::store) async fn a_number_with_another_content_is_told_apart(
    database: &Database,
) -> Checked {
    let world = World::open(database).await?;
    let mut failed = read("a", 1, hour(1));
    failed.outcome.ending = Ending::Failed;
    let batch = [read("a", 1, hour(1)), read("a", 1, hour(1)), failed.clone()];
    let taken = world.store.record(delivery("dsp", 1, batch)).await?;
    let taken = taken.expect("the first").dispositions;
    assert_eq!(taken, [Recorded, Duplicate, Reused]);
    let other = delivery("dsp", 1, [failed]);
    assert_eq!(world.store.record(other).await?, Err(Misnumbered::Reused));
    assert_eq!(world.november().await?.basis.outcomes, 1);
    Ok(())
}

/// What came without a number might be what a batch held.
pub(in crate::store) async fn whoever_has_numbered_numbers(database: &Database) -> Checked {
    let world = World::open(database).await?;
    let by_id = || delivery("dsp", 0, [read("a", 1, hour(1))]);
    assert!(world.store.record(by_id()).await?.is_ok());
    let first = delivery("dsp", 1, [read("b", 1, hour(1))]);
    assert!(world.store.record(first).await?.is_ok());
    let without = Err(Misnumbered::Without { next: 2 });
    assert_eq!(world.store.record(by_id()).await?, without);
    assert_eq!(world.november().await?.basis.outcomes, 2);
    Ok(())
}
