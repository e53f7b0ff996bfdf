//! While registration is out of reach, nobody finds out by what an answer takes which Devices have a
//! flag.

use mesh_store::conformance::Database;
use mesh_testkit::statements;
use mesh_types::DeviceId;

use super::world::{World, authority, command};
use crate::tests::fixtures::{CHF, ESME, GSME, NOW, add, at, id, party};

pub(super) async fn what_is_followed_is_found_with_the_same_work(database: &Database) {
    let world = World::open(database).await;
    world
        .granted(command(authority(id(ESME), 1, None), add()))
        .await;
    let asked = async |who: &str, device: DeviceId| {
        let party = party(who);
        let (found, taken) = statements(world.store.is_followed(&party, device, at(NOW))).await;
        (found.unwrap(), taken)
    };
    let (found, _) = asked("ACME", id(ESME)).await;
    assert!(found, "its own supplier reads on");
    let (found, missing) = asked("RIVAL", id(GSME)).await;
    assert!(!found && !missing.is_empty(), "{missing:?}");
    for (who, device) in [("RIVAL", ESME), ("ACME", GSME), ("ACME", CHF)] {
        let (found, taken) = asked(who, id(device)).await;
        assert!(!found, "{who} {device}");
        assert_eq!(taken, missing, "{who} {device}");
    }
    world.close().await;
}
