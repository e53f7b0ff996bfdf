//! A database on a server, with the commands that know files: copied, verified, exported, backed up, restored, and
//! given up in part.

use mesh_testkit::postgres;

use crate::world::World;

const METER: &str = "02-DC-C1-00-00-00-01-E0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_on_a_server_is_treated_like_a_file() {
    let Some(database) = postgres::database() else {
        return;
    };
    let world = World::with_examples().await;
    world.flag(METER).await;
    let here = "mp169-data/flag-registry.db";
    let moved = database.url();
    let restored = format!("{moved}-restored");
    // Each step must succeed but those after `!`.
    let steps = format!(
        "set -ex
         ! mp169 db copy --from {here} --to {here}
         mp169 db copy --from {here} --to {moved} > copied
         grep flag_entry copied
         ! mp169 db copy --from {here} --to {moved}
         mp169 log verify --database {moved} --state
         mp169 log export --database {here} > of-file
         mp169 log export --database {moved} > of-server
         cmp of-file of-server
         mp169 backup --to backup --database {moved} --database mp169-data/registration.db
         mp169 log verify --database backup/flag-registry.db --state
         mp169 restore --from backup --into flag-registry.db={restored} --reason drill --dry-run
         mp169 restore --from backup --into flag-registry.db={restored} --reason drill --yes
         mp169 log verify --database {restored} --state
         ! mp169 restore --from backup --into flag-registry.db={restored} --reason drill --yes
         mp169 restore --from backup --into flag-registry.db={restored} --replace --reason again --yes
         mp169 log accept-loss --database {restored} --reason 'a standby' --dry-run
         mp169 log accept-loss --database {restored} --reason 'a standby' --yes
         mp169 log verify --database {restored} --output json > verified
         mp169 db copy --from {restored} --to sqlite://again/flag-registry.db
         mp169 log verify --database again/flag-registry.db --output json > copied-back
         cmp verified copied-back",
    );
    let ended = world
        .run_after_the_end(&format!(
            "( {steps} ) 2> told; code=$?; grep -v '^+' told >&2; exit $code"
        ))
        .await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let told = format!("{} {}", ended.stdout, ended.stderr);
    let server = database.server();
    assert!(!told.contains(server.password()), "{told}");
    assert!(told.contains("is not empty"), "{told}");
    assert!(told.contains("_before_"), "{told}");
    let made = format!("starts_with(datname, '{}-restored')", database.name());
    let made = server.sql(&format!("SELECT datname FROM pg_database WHERE {made}"));
    assert_eq!(made.lines().count(), 2, "{made}");
    for name in made.lines() {
        server.sql(&format!("DROP DATABASE \"{name}\""));
    }
}
