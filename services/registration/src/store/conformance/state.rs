//! What changes behind the service's back is found by name, and after any history nothing is.

use std::time::Duration;

use mesh_store::conformance::{behind, carry_out};
use mesh_store::fold::{self, Difference, Unlike};
use mesh_store::{CURRENT, StoreError, Trouble};
use mesh_types::Mpxn;

use super::world::{World, device, id, mpan, put, registered, withdrawal};
use super::{Checked, Database};
use crate::device::{DeviceType, SmiStatus};
use crate::store::command::{Command, Origin};
use crate::store::foldings;

/// Numbers that look drawn, the same each time.
struct Drawn(u64);

impl Drawn {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

async fn differences(world: &World) -> Result<Vec<Difference>, StoreError> {
    let mut differences = Vec::new();
    let mut conn = world.inventory.store().readers().acquire().await?;
    let begun = foldings(&mut conn).await?;
    drop(conn);
    for folding in begun {
        let compared = fold::compare(world.inventory.store(), folding, Duration::ZERO).await?;
        differences.extend(compared.differences);
    }
    Ok(differences)
}

pub(in crate::store) async fn any_history_leaves_rows_as_its_log_has_them(
    database: &Database,
) -> Checked {
    let world = World::start(database).await?;
    let mut drawn = Drawn(169);
    for round in 0..300 {
        let meter = drawn.below(4) + 1;
        let point = Mpxn::Mpan(mpan(meter));
        let supplier = if drawn.below(2) == 0 { "A" } else { "B" };
        world.clock.advance(Duration::from_secs(1));
        let start = 950 + round + i64::try_from(drawn.below(200))?;
        // Many of these are refused; what is accepted makes the history.
        match drawn.below(5) {
            0 => {
                let mut record = device(meter, DeviceType::Esme);
                let suspended = drawn.below(2) == 0;
                record.status = suspended.then_some(SmiStatus::Suspended).or(record.status);
                world.import(vec![put(record)]).await;
            }
            1 => drop(
                world
                    .import(vec![registered(point, supplier, start, None)])
                    .await,
            ),
            2 => drop(world.change(point, supplier, Some(start)).await),
            3 => {
                let request = round.to_string();
                let command = withdrawal(&request, point, supplier, start);
                drop(world.inventory.submit(command).await);
                let supply = world.inventory.supply(point, u64::MAX >> 1).await?;
                if let Some(last) = supply.registrations().last() {
                    let (party, begins) = (last.party.as_str(), last.interval.start());
                    drop(
                        world
                            .withdraw(point, party, begins.micros() / 1_000_000)
                            .await,
                    );
                }
            }
            _ => {
                let mut party = super::world::party("A", 1, mesh_authz::Role::ImportSupplier);
                party.name = format!("A in round {round}").parse()?;
                let rows = vec![crate::store::command::Row::Party(party)];
                world
                    .inventory
                    .submit(Command::Import {
                        origin: Origin::default(),
                        rows,
                    })
                    .await?;
            }
        }
    }
    assert!(super::world::head(&world).await.sequence > 60);
    assert_eq!(differences(&world).await?, []);
    let condition = world.inventory.store().condition();
    assert_eq!(condition.borrow().trouble(), None);
    Ok(())
}

pub(in crate::store) async fn what_changes_behind_the_back_is_found(
    database: &Database,
) -> Checked {
    let world = World::start(database).await?;
    let point = Mpxn::Mpan(mpan(1));
    let rows = vec![
        put(device(1, DeviceType::Esme)),
        registered(point, "A", 0, None),
    ];
    world.load(rows).await;
    world.change(point, "B", Some(2_000)).await?;
    world.withdraw(point, "B", 2_000).await?;
    assert_eq!(differences(&world).await?, []);
    let mut file = behind(&database.url).await?;
    let meter = id(1).to_string();
    let standing = format!("to_sequence = {CURRENT}");
    let cases = [
        (
            "device",
            format!("device_id = '{meter}'"),
            "import_mpan = '1000000000008'",
            "import_mpan",
        ),
        (
            "device",
            format!("device_id = '{meter}'"),
            "smi_status = 6",
            "smi_status",
        ),
        (
            "registration",
            standing.clone(),
            "party_id = 'B'",
            "party_id",
        ),
        (
            "registration",
            standing.clone(),
            "end_time = 5000000000",
            "end_time",
        ),
        (
            "registration",
            "party_id = 'B'".to_owned(),
            "to_sequence = 9000",
            "to_sequence",
        ),
        (
            "party",
            "party_id = 'G'".to_owned(),
            "record = (SELECT record FROM party WHERE party_id = 'A')",
            "record",
        ),
    ];
    for (table, row, change, column) in cases {
        let kept = format!("CREATE TEMP TABLE kept AS SELECT * FROM {table} WHERE {row}");
        carry_out(&mut file, &kept).await?;
        let changed = carry_out(
            &mut file,
            &format!("UPDATE {table} SET {change} WHERE {row}"),
        )
        .await?;
        assert_eq!(changed, 1, "{table}: {change}");
        let found = differences(&world).await?;
        let named = found
            .iter()
            .find(|found| found.unlike == Unlike::Column(column));
        assert!(
            named.is_some_and(|found| found.table == table),
            "{change}: {found:?}"
        );
        carry_out(
            &mut file,
            &format!(
                "DELETE FROM {table} WHERE ({table}_id, from_sequence) = \
                 (SELECT {table}_id, from_sequence FROM kept)"
            ),
        )
        .await?;
        let missing = differences(&world).await?;
        let missing = missing.iter().find(|found| found.table == table);
        assert_eq!(
            missing.map(|found| found.unlike),
            Some(Unlike::Missing),
            "{table}"
        );
        carry_out(
            &mut file,
            &format!("INSERT INTO {table} SELECT * FROM kept"),
        )
        .await?;
        carry_out(&mut file, "DROP TABLE kept").await?;
        assert_eq!(differences(&world).await?, [], "{table}");
    }
    let another = format!(
        "INSERT INTO registration SELECT 'none', from_sequence, to_sequence, '1000000000008', party_id, \
         start_time, end_time FROM registration WHERE {standing}"
    );
    carry_out(&mut file, &another).await?;
    let found = differences(&world).await?;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&*found[0].key, found[0].unlike), ("none", Unlike::Surplus));
    let condition = world.inventory.store().condition();
    assert_eq!(condition.borrow().trouble(), Some(&Trouble::Damaged));
    Ok(())
}
