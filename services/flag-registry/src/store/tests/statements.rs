//! How many statements make a change? Each is a way to the thread of SQLite's connection and back, or to
//! a server: that is most of what a change costs.

use mesh_store::conformance::Database;
use mesh_store::{Batch as _, StoreError};
use mesh_testkit::statements;
use mesh_types::{DeviceId, Eui64};

use super::world::{World, authority, command, quotas};
use crate::store::Command;
use crate::store::batch::Registry;
use crate::tests::fixtures::{NOW, add, at};

/// Those that lock and read: in one text on SQLite, which tells of its first words alone.
const READS: [&str; 4] = [
    "SELECT epoch, sequence, hash, …",
    "SELECT party, rpc, request_id, …",
    "SELECT log, epoch, sequence, …",
    "SELECT device, from_sequence, meter, …",
];

/// What a transaction of several processes begins with: the latest time of any of theirs.
const WHERE_OTHERS_WRITE: &str = "INSERT INTO last_time (id, …";
/// The head, the event, the entry, its tenure and the answer, on one way: in one text on SQLite, and in one
/// statement on a server.
const ON_SQLITE: &str = "UPDATE log_head SET sequence …";
const ON_A_SERVER: &str = "WITH s0 AS (UPDATE …";

pub(super) async fn a_batch_takes_as_many_statements_as_one_change(database: &Database) {
    let world = World::open(database).await;
    let registry = Registry::new(world.store.log.clone(), quotas(u32::MAX, u32::MAX));
    for devices in [1..=1, 2..=65] {
        let wish = |number| {
            let device = DeviceId::new(Eui64::from_u64(number));
            Command::Change(Box::new(command(authority(device, 1, None), add())))
        };
        let commands: Vec<Command> = devices.map(wish).collect();
        let write = async {
            let mut tx = world.store.database().begin_write(at(NOW)).await?;
            let answers = registry.apply(&mut tx, &commands).await?;
            tx.commit().await?;
            Ok::<_, StoreError>(answers)
        };
        let (answers, taken) = statements(write).await;
        for answer in answers.unwrap() {
            assert!(answer.is_ok(), "{answer:?}");
        }
        let taken = taken.iter().map(|taken| taken.summary.as_str());
        // Only PostgreSQL's driver tells of this one.
        let taken: Vec<&str> = taken.filter(|taken| *taken != "COMMIT").collect();
        let (written, read) = taken.split_last().unwrap();
        let mut expected = match *written {
            ON_SQLITE => READS[..1].to_vec(),
            ON_A_SERVER => READS.to_vec(),
            other => panic!("{other}"),
        };
        if world.store.database().is_shared() {
            expected.insert(0, WHERE_OTHERS_WRITE);
        }
        assert_eq!(read, expected);
    }
    world.close().await;
}
