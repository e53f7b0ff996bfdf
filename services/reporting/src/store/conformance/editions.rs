//! Months that are closed, and what comes after that.

use std::time::Duration;

use mesh_store::conformance::Database;

use super::Checked;
use super::world::{HOUR, World, excepted_of, flag, hour, of_month, party, read, totals};
use crate::edition::{Choice, Edition, Grace, Layers};
use crate::outcome::{Ending, Origin};
use crate::period::{Period, Zone};
use crate::store::batch::{Answer, Command};
use crate::store::{Beginning, ExceptedQuery, FiguresQuery, NotBegun, NotChosen};

/// The hour at which November ends.
const END: i64 = 30 * 24;
const DAY: u64 = 24 * HOUR.cast_unsigned();

fn november() -> Period {
    of_month("2026-11").period
}

fn beginning(restatement: u32) -> Beginning {
    Beginning {
        period: november(),
        restatement,
        by_operator: true,
    }
}

/// A meter whose flag covers a GPF and is lifted within November.
async fn world(database: &Database) -> Result<World, Box<dyn std::error::Error + Send + Sync>> {
    let world = World::open(database).await?;
    let changes = [flag(1, hour(10), &[1, 7]), flag(1, hour(200), &[])];
    world.flags(&changes).await?.expect("in step");
    Ok(world)
}

async fn record(world: &World, numbers: impl Iterator<Item = u64>) -> Checked {
    let outcomes = numbers.map(|number| {
        let at = hour((number * 7 % 720).cast_signed());
        let mut one = read(&number.to_string(), number % 9, at);
        one.outcome.party = party(["ONE", "TWO"][usize::from(number.is_multiple_of(3))]);
        let variant = ["4.8.1", "4.10", "11.3"][usize::try_from(number % 3).expect("small")];
        one.outcome.variant = variant.parse().expect("a variant");
        one.outcome.ending = Ending::ALL[usize::try_from(number % 5).expect("small") % 3];
        one.outcome.origin = Origin::ALL[usize::try_from(number % 4).expect("small") % 3];
        one
    });
    world.record(outcomes).await?;
    Ok(())
}

async fn closed(
    world: &World,
    restatement: u32,
) -> Result<Edition, Box<dyn std::error::Error + Send + Sync>> {
    let edition = world.store.close_month(beginning(restatement)).await?;
    Ok(edition.map_err(|why| format!("{why:?}"))?)
}

/// The text is that of the golden file, in whatever order the outcomes came, also after later ones.
pub(in crate::store) async fn an_edition_says_the_same_on_every_engine(
    database: &Database,
) -> Checked {
    let world = world(database).await?;
    record(&world, (0..900).rev()).await?;
    world.settle(hour(END + 1)).await?;
    let edition = closed(&world, 0).await?;
    let text = world.store.edition_content(&edition).await?;
    mesh_testkit::assert_golden("golden/edition.txt", &text);
    record(&world, 900..1_000).await?;
    let restated = closed(&world, 1).await?;
    world.close().await;

    let world = World::open(database).await?;
    assert_eq!(world.store.edition_content(&edition).await?, text);
    let again = world.store.edition_content(&restated).await?;
    assert_ne!(again.replace("restatement 1", "restatement 0"), text);
    let listed = world.store.editions(None).await?;
    assert_eq!(listed, [(edition, 100), (restated, 0)]);
    world.close().await;
    Ok(())
}

pub(in crate::store) async fn an_edition_is_the_next_one_or_none(database: &Database) -> Checked {
    let world = world(database).await?;
    record(&world, 0..90).await?;
    let refused = async |restatement| world.store.close_month(beginning(restatement)).await;
    let not_settled = |until: Option<i64>| NotBegun::NotSettled {
        settled_until: until.map(hour),
    };
    assert_eq!(refused(0).await?, Err(not_settled(None)));
    world.settle(hour(END - 1)).await?;
    assert_eq!(refused(0).await?, Err(not_settled(Some(END - 1))));
    world.settle(hour(END)).await?;
    assert_eq!(refused(1).await?, Err(NotBegun::NotNext { next: 0 }));
    let first = closed(&world, 0).await?;
    assert_eq!((first.number, first.previous, first.outcomes), (1, 0, 90));
    assert_eq!(first.flags.as_ref().map(|at| at.sequence), Some(2));
    assert_eq!(first.devices, None);
    assert_eq!(refused(1).await?, Err(NotBegun::NothingNew));
    // Whoever did not hear the answer asks again.
    assert_eq!(closed(&world, 0).await?, first);
    record(&world, 90..91).await?;
    assert_eq!(closed(&world, 0).await?, first);
    assert_eq!(refused(2).await?, Err(NotBegun::NotNext { next: 1 }));
    let second = closed(&world, 1).await?;
    assert_eq!((second.number, second.previous), (2, 1));
    world.close().await;
    Ok(())
}

/// The service ended in between, and outcomes came.
pub(in crate::store) async fn one_that_was_only_begun_is_made_later(
    database: &Database,
) -> Checked {
    let world = world(database).await?;
    record(&world, 0..90).await?;
    world.settle(hour(END)).await?;
    let begun = world
        .store
        .writer
        .submit(Command::BeginEdition(beginning(0)));
    assert!(matches!(begun.await?, Ok(Answer::Begun(1))));
    // It is there for nobody yet.
    assert_eq!(world.store.editions(None).await?, []);
    let chosen = world.store.choose(november(), Choice::Latest).await?;
    assert_eq!(chosen.expect("what is recorded").layers, Layers::All);
    world.close().await;

    let world = World::open(database).await?;
    record(&world, 90..100).await?;
    let made = world.store.close_due_months(hour(END), Grace::default());
    let [edition] = &made.await?[..] else {
        panic!("one edition");
    };
    let query = FiguresQuery {
        layers: edition.layers(),
        ..of_month("2026-11")
    };
    let figures = world.store.figures(&query).await?;
    assert_eq!(totals(&figures).total().sent(), 90);
    let listed = world.store.editions(Some(november())).await?;
    assert_eq!(listed, [(edition.clone(), 10)]);
    world.close().await;
    Ok(())
}

/// Both zones' November, after the grace; and a restatement after what came late.
pub(in crate::store) async fn months_are_closed_as_they_become_due(database: &Database) -> Checked {
    let world = world(database).await?;
    record(&world, 0..90).await?;
    let grace = Grace(Duration::from_hours(24));
    let names = async |world: &World, now| {
        let made = world.store.close_due_months(now, grace).await?;
        let names = made.iter().map(|edition| {
            assert!(!edition.by_operator);
            let Period { month, zone } = edition.period;
            format!("{month} {zone:?} {}", edition.restatement)
        });
        Ok::<Vec<String>, mesh_store::StoreError>(names.collect())
    };
    // The outcomes came at hour 1,000.
    world.later(20 * DAY);
    world.settle(hour(END + 23)).await?;
    assert!(names(&world, hour(1_480)).await?.is_empty());
    world.settle(hour(END + 24)).await?;
    assert!(names(&world, hour(1_023)).await?.is_empty());
    let both = ["2026-11 Utc 0", "2026-11 London 0"];
    assert_eq!(names(&world, hour(1_024)).await?, both);
    assert!(names(&world, hour(1_500)).await?.is_empty());
    // They come at hour 1,480.
    record(&world, 90..91).await?;
    assert!(names(&world, hour(1_503)).await?.is_empty());
    let both = ["2026-11 Utc 1", "2026-11 London 1"];
    assert_eq!(names(&world, hour(1_504)).await?, both);
    world.close().await;
    Ok(())
}

pub(in crate::store) async fn a_choice_means_its_layers(database: &Database) -> Checked {
    let world = world(database).await?;
    record(&world, 0..90).await?;
    world.settle(hour(END)).await?;
    let (all, some) = (Choice::Latest, Choice::Restatement(0));
    let sent = async |choice: Choice| {
        let chosen = world.store.choose(november(), choice).await?;
        let Ok(chosen) = chosen else {
            return Ok::<_, mesh_store::StoreError>(None);
        };
        let query = FiguresQuery {
            layers: chosen.layers.clone(),
            ..of_month("2026-11")
        };
        let figures = world.store.figures(&query).await?;
        let total = totals(&figures).total();
        let query = ExceptedQuery {
            layers: chosen.layers,
            ..excepted_of("2026-11")
        };
        let rows = world.excepted(&query, 3).await?;
        let excepted: u64 = rows.iter().map(|(_, excepted)| excepted.all()).sum();
        assert_eq!(excepted, total.excepted, "{choice:?}");
        Ok(Some(total.sent()))
    };
    assert_eq!(sent(all).await?, Some(90));
    assert_eq!(sent(some).await?, None);
    let london = Period {
        zone: Zone::London,
        ..november()
    };
    closed(&world, 0).await?;
    record(&world, 90..110).await?;
    for (choice, expected) in [
        (all, Some(90)),
        (some, Some(90)),
        (Choice::AddedBy(0), Some(90)),
        (Choice::Now, Some(110)),
        (Choice::Restatement(1), None),
        (Choice::AddedBy(1), None),
    ] {
        assert_eq!(sent(choice).await?, expected, "{choice:?}");
    }
    closed(&world, 1).await?;
    for (choice, expected) in [
        (all, Some(110)),
        (some, Some(90)),
        (Choice::AddedBy(1), Some(20)),
    ] {
        assert_eq!(sent(choice).await?, expected, "{choice:?}");
    }
    let other = world.store.choose(london, Choice::Restatement(0)).await?;
    assert_eq!(other, Err(NotChosen));
    world.close().await;
    Ok(())
}
