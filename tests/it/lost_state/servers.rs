//! A PostgreSQL server that lost what it had acknowledged, whatever the way: nothing is written on the strength of
//! what is left until an operator decides, and then everybody agrees and each CSP's log goes on.

use mesh_api::common::v1::ErrorReason;
use mesh_api::status::reason_of;
use mesh_testkit::postgres::{self, ARCHIVING, Server};
use mesh_testkit::wait_until;
use mp169::sample::{CSP_NORTH, CSP_SOUTH, Home};
use mp169::service::Service;

use super::check::all_agree;
use super::csp::Csp;
use super::gate::Gate;
use super::silence::never_silent;
use super::town::Town;

const FOLLOWERS: [Service; 3] = [
    Service::Classification,
    Service::CspNotification,
    Service::Reporting,
];

fn attach(town: &Town) -> [Csp; 2] {
    [CSP_NORTH, CSP_SOUTH].map(|party| Csp::attach(town.folder(), party))
}

/// Waits until a write is refused because the log went back. One that is acknowledged before is one too many.
async fn writes_nothing(town: &Town, homes: impl IntoIterator<Item = u16>) {
    for home in homes.into_iter().map(Home::new) {
        wait_until("a refusal", async || match town.try_set(home).await {
            Ok(written) => panic!("{home:?} was acknowledged: {written:?}"),
            Err(status) if reason_of(&status) == Some(ErrorReason::LogWentBack) => Ok(()),
            Err(status) => Err(status),
        })
        .await;
    }
}

/// A registry that was started says what has happened, and refuses every write from then on.
async fn says_it_went_back(town: &Town) {
    town.fails(Service::FlagRegistry, "log-went-back: flags")
        .await;
    writes_nothing(town, 37..39).await;
}

/// The registry's first ten flags are in what is put back, and half of them are lifted afterwards.
async fn goes_on_after(town: &Town) {
    town.lift(7..12).await;
    town.set(17..27).await;
}

/// The same in the older state: what the suppliers' changes since then have come to.
async fn accept_and_agree(town: &mut Town, csps: &[Csp]) {
    town.stop(Service::FlagRegistry).await;
    let accepted = town.accept_loss(Service::FlagRegistry).await;
    assert_eq!(accepted.logs[0].goes_on_after, 10);
    let seen = accepted.logs[0].lost.iter().map(|lost| lost.seen_up_to);
    assert_eq!(seen.max(), Some(25), "{accepted:?}");
    town.start_service(Service::FlagRegistry).await;
    town.now_has((7..12).map(Home::new), true);
    town.now_has((17..27).map(Home::new), false);
    town.set(27..32).await;
    all_agree(town.folder(), csps).await;
    for csp in csps {
        assert_eq!(csp.snapshots(), 1, "its log goes on");
    }
    never_silent(csps, &town.changes()).await;
}

/// Over the running registry, whose own process notices; and under a stopped one, when its followers do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_that_is_put_back_is_a_log_that_went_back() {
    let Some(database) = postgres::database() else {
        return;
    };
    let (server, name) = (database.server(), database.name());
    let mut town = Town::with_registry_at(&database.url()).await;
    let csps = attach(&town);
    town.set(7..17).await;
    let dump = server.dump(name);
    goes_on_after(&town).await;
    all_agree(town.folder(), &csps).await;

    server.put_back(name, &dump);
    writes_nothing(&town, 37..39).await;
    says_it_went_back(&town).await;

    // Nobody is there to say it again, and it is known all the same.
    for service in FOLLOWERS {
        town.stop(service).await;
    }
    town.stop(Service::FlagRegistry).await;
    town.launch(Service::FlagRegistry);
    says_it_went_back(&town).await;

    // Put back once more, it knows nothing. Its followers do.
    town.stop(Service::FlagRegistry).await;
    server.put_back(name, &dump);
    for service in FOLLOWERS {
        town.launch(service);
    }
    town.launch(Service::FlagRegistry);
    says_it_went_back(&town).await;
    accept_and_agree(&mut town, &csps).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_data_folder_is_a_log_that_went_back() {
    let Some(server) = Server::start() else {
        return;
    };
    let database = server.database();
    let mut town = Town::with_registry_at(&database.url()).await;
    let csps = attach(&town);
    town.set(7..17).await;
    town.stop(Service::FlagRegistry).await;
    server.stop();
    let older = server.copy_files();
    server.start_again();
    town.start_service(Service::FlagRegistry).await;
    goes_on_after(&town).await;
    all_agree(town.folder(), &csps).await;

    town.stop(Service::FlagRegistry).await;
    server.stop();
    server.put_files_back(&older);
    server.start_again();
    town.launch(Service::FlagRegistry);
    says_it_went_back(&town).await;
    accept_and_agree(&mut town, &csps).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_to_a_point_in_time_is_a_log_that_went_back() {
    let Some(server) = Server::start_in(&std::env::temp_dir(), ARCHIVING) else {
        return;
    };
    let database = server.database();
    server.stop();
    let base = server.copy_files();
    server.start_again();
    let mut town = Town::with_registry_at(&database.url()).await;
    let csps = attach(&town);
    town.set(7..17).await;
    server.mark_moment();
    goes_on_after(&town).await;
    all_agree(town.folder(), &csps).await;

    town.stop(Service::FlagRegistry).await;
    server.close_log();
    server.stop();
    server.recover_to_moment(&base);
    wait_until("the server to take writes", async || {
        let recovers = server.sql("SELECT pg_is_in_recovery()");
        if recovers == "f" {
            Ok(())
        } else {
            Err(recovers)
        }
    })
    .await;
    town.launch(Service::FlagRegistry);
    says_it_went_back(&town).await;
    accept_and_agree(&mut town, &csps).await;
}

/// The registry stays up all through it, and its name leads to another server of a sudden.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_standby_that_lacks_commits_is_a_log_that_went_back() {
    let Some(primary) = Server::start() else {
        return;
    };
    let database = primary.database();
    let gate = Gate::to(primary.address()).await;
    let listens = primary.address().to_string();
    let url = database
        .url()
        .replace(&listens, &gate.address().to_string());
    let mut town = Town::with_registry_at(&url).await;
    let csps = attach(&town);
    let standby = primary.standby();
    town.set(7..17).await;
    has_flags(&standby, database.name(), 10).await;
    standby.cut_off();
    goes_on_after(&town).await;
    all_agree(town.folder(), &csps).await;

    primary.kill();
    standby.promote();
    gate.turn_to(standby.address());
    writes_nothing(&town, 37..39).await;
    says_it_went_back(&town).await;
    accept_and_agree(&mut town, &csps).await;
}

/// Waits until a standby has so many flags.
async fn has_flags(standby: &Server, database: &str, events: u64) {
    wait_until("the standby to follow", async || {
        let count = standby.sql_in(
            database,
            "SELECT sequence FROM log_head WHERE log = 'flags'",
        );
        let has = count.parse::<u64>().is_ok_and(|has| has >= events);
        if has { Ok(()) } else { Err(count) }
    })
    .await;
}
