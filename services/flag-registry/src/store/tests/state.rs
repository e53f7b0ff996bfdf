//! What changes behind the service's back is found, and nothing else is.

use std::time::Duration;

use mesh_store::conformance::{Database, behind, carry_out};
use mesh_store::cursor::Advance;
use mesh_store::fold::{self, Difference, Folded, Unlike};
use mesh_store::{CURRENT, Trouble};

use super::world::{World, authority, command, cursor, moved};
use crate::store::EntryFolding;
use crate::tests::fixtures::{ESME, OTHER_CHF, add, id, remove};

/// Of a meter with four events, of others with fewer, of hubs that changed.
async fn history(world: &World) {
    let others =
        [2, 3].map(|number| mesh_types::DeviceId::new(mesh_types::Eui64::from_u64(number)));
    for wish in [add(), remove(), add()] {
        world
            .granted(command(authority(id(ESME), 1, None), wish))
            .await;
    }
    for device in others {
        world
            .granted(command(authority(device, 1, None), add()))
            .await;
    }
    let batch = vec![
        (2, moved(id(ESME), OTHER_CHF, "south")),
        (3, moved(others[0], OTHER_CHF, "south")),
    ];
    assert_eq!(world.follow(None, &cursor(3), batch).await, Advance::Moved);
    assert_eq!(world.head().await, 7);
}

async fn compared(world: &World) -> Folded {
    let folding = EntryFolding::new(&world.store.head().await.unwrap());
    let compared = fold::compare(world.store.database(), folding, Duration::ZERO);
    compared.await.unwrap()
}

/// Compares after `statement` was carried out behind the service's back.
async fn after(database: &Database, statement: &str) -> Vec<Difference> {
    let world = World::open(database).await;
    history(&world).await;
    let mut conn = behind(&database.url).await.unwrap();
    let done = carry_out(&mut conn, statement).await.unwrap();
    assert_eq!(done, 1, "{statement}");
    let mut condition = world.store.database().condition();
    let folded = compared(&world).await;
    assert_eq!((folded.log.as_str(), folded.up_to), ("flags", 7));
    let trouble = condition.borrow_and_update().trouble().cloned();
    assert_eq!(trouble, Some(Trouble::Damaged));
    let refused = world
        .store
        .change(command(authority(id(ESME), 3, None), add()));
    assert!(refused.await.is_err());
    folded.differences
}

fn difference(sequence: u64, unlike: Unlike) -> Difference {
    Difference {
        table: "flag_entry",
        key: ESME.to_owned(),
        sequence,
        unlike,
    }
}

pub(super) async fn an_untouched_database_is_what_its_log_says(database: &Database) {
    let world = World::open(database).await;
    history(&world).await;
    let folded = compared(&world).await;
    assert_eq!((folded.fit, folded.is_sound()), (7, true), "{folded:?}");
    assert_eq!(world.store.database().condition().borrow().trouble(), None);
}

/// The Device would be read again.
pub(super) async fn a_flag_that_vanished_is_found(database: &Database) {
    let statement =
        format!("DELETE FROM flag_entry WHERE device = '{ESME}' AND to_sequence = {CURRENT}");
    let found = after(database, &statement).await;
    assert!(found.contains(&difference(6, Unlike::Missing)), "{found:?}");
}

pub(super) async fn a_flag_that_was_lifted_behind_the_back_is_found(database: &Database) {
    let statement = format!(
        "UPDATE flag_entry SET flagged = FALSE WHERE device = '{ESME}' AND to_sequence = {CURRENT}"
    );
    let found = after(database, &statement).await;
    assert_eq!(found, [difference(6, Unlike::Column("flagged"))]);
}

pub(super) async fn every_column_counts(database: &Database) {
    let world = World::open(database).await;
    history(&world).await;
    let mut conn = behind(&database.url).await.unwrap();
    for (column, value) in [
        ("meter", "'GSME'"),
        ("covered", "'00-DB-12-34-56-78-90-FF'"),
        ("hub", "''"),
        ("csp", "'west'"),
        ("supplier", "'RIVAL'"),
        ("responsible_since", "responsible_since + 1"),
        ("since", "since + 1"),
        ("cause", "2"),
        ("state_sequence", "state_sequence - 1"),
        ("reviews", "'5'"),
        ("registration_sequence", "registration_sequence + 1"),
        ("to_sequence", "7"),
    ] {
        let row = format!("device = '{ESME}' AND from_sequence = 6");
        let kept = format!("CREATE TEMP TABLE kept AS SELECT * FROM flag_entry WHERE {row}");
        let spoil = format!("UPDATE flag_entry SET {column} = {value} WHERE {row}");
        let remove = format!("DELETE FROM flag_entry WHERE {row}");
        let restore = "INSERT INTO flag_entry SELECT * FROM kept".to_owned();
        let forget = "DROP TABLE kept".to_owned();
        for statement in [kept, spoil] {
            carry_out(&mut conn, &statement).await.unwrap();
        }
        let found = compared(&world).await.differences;
        assert_eq!(found, [difference(6, Unlike::Column(column))]);
        for statement in [remove, restore, forget] {
            carry_out(&mut conn, &statement).await.unwrap();
        }
    }
    assert!(compared(&world).await.is_sound());
}

pub(super) async fn a_row_that_no_event_made_is_found(database: &Database) {
    let statement = format!(
        "INSERT INTO flag_entry SELECT '00-DB-12-34-56-78-90-FE', from_sequence, to_sequence, meter, \
         flagged, covered, hub, csp, supplier, responsible_since, since, cause, state_sequence, \
         reviews, registration_epoch, registration_sequence, chosen, lifts, repeats \
         FROM flag_entry WHERE device = '{ESME}' AND to_sequence = {CURRENT}"
    );
    let found = after(database, &statement).await;
    let surplus = Difference {
        key: "00-DB-12-34-56-78-90-FE".to_owned(),
        ..difference(6, Unlike::Surplus)
    };
    assert_eq!(found, [surplus]);
}
