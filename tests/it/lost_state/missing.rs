//! Another database than the one that was here, or none, while what lies beside it remembers: no
//! service starts, and nothing is touched.

use mp169::sample::{CALEDONIA, CSP_NORTH, CSP_SOUTH};
use mp169::service::Service;

use super::check::all_agree;
use super::csp::Csp;
use super::files::{Copy, Database};
use super::town::Town;

/// The services that have a database, and how each says that it is older.
const KEEPING: [(Service, &str); 4] = [
    (Service::Registration, "the log parties was at event"),
    (Service::FlagRegistry, "the log flags was at event 20"),
    (
        Service::CspNotification,
        "the log csp/north was at event 10",
    ),
    (
        Service::Reporting,
        "is older than the database that was here",
    ),
];

#[derive(Debug, Clone, Copy)]
enum Damage {
    Older,
    Missing,
    MissingWithItsWitness,
    Emptied,
    CutInHalf,
    ShorterByAPage,
}

impl Damage {
    const ALL: [Self; 6] = [
        Self::Older,
        Self::Missing,
        Self::MissingWithItsWitness,
        Self::Emptied,
        Self::CutInHalf,
        Self::ShorterByAPage,
    ];

    fn strike(self, database: &Database, older: &Copy) {
        match self {
            Self::Older => database.put_back_under_the_witness(older),
            Self::Missing => database.remove(""),
            Self::MissingWithItsWitness => {
                database.remove("");
                database.remove(".witness");
            }
            Self::Emptied => database.write("", &[]),
            Self::CutInHalf | Self::ShorterByAPage => {
                let whole = database.read("").unwrap();
                let left = match self {
                    Self::CutInHalf => whole.len() / 2,
                    _ => whole.len() - 4_096,
                };
                database.write("", &whole[..left]);
            }
        }
    }

    /// What the line says with which the start is refused.
    const fn said(self, older: &'static str) -> &'static str {
        match self {
            Self::Older => older,
            Self::Missing => "is gone: ",
            Self::MissingWithItsWitness => "there is no database at",
            Self::Emptied => "is empty",
            Self::CutInHalf | Self::ShorterByAPage => "is damaged",
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_service_starts_without_the_database_that_it_had() {
    let mut town = Town::start().await;
    let csps = [CSP_NORTH, CSP_SOUTH].map(|party| Csp::attach(town.folder(), party));
    town.set(7..17).await;
    all_agree(town.folder(), &csps).await;
    town.stop_all().await;
    let older = KEEPING.map(|(service, _)| town.database(service).copy());
    town.start_all().await;
    town.suspend(CALEDONIA).await;
    town.set(17..27).await;
    all_agree(town.folder(), &csps).await;
    town.stop_all().await;

    for ((service, as_older), older) in KEEPING.into_iter().zip(&older) {
        let database = town.database(service);
        let newest = database.copy();
        for damage in Damage::ALL {
            damage.strike(&database, older);
            let said = town.refused(service).await;
            let times = said.matches(damage.said(as_older)).count();
            assert_eq!(times, 1, "{damage:?}: {said}");
            database.put_back(&newest);
        }
    }
    town.start_all().await;
    town.set(27..30).await;
    all_agree(town.folder(), &csps).await;
}

/// What is on record of calls is not to go back, either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_service_starts_without_the_record_of_calls_that_it_had() {
    let mut town = Town::start().await;
    town.stop_all().await;
    let older = Service::ALL.map(|service| town.audit(service).copy());
    town.start_all().await;
    town.set(7..17).await;
    all_agree(town.folder(), &[]).await;
    town.stop_all().await;
    for (service, older) in Service::ALL.into_iter().zip(&older) {
        let audit = town.audit(service);
        let newest = audit.copy();
        for damage in Damage::ALL {
            damage.strike(&audit, older);
            let said = town.refused_for(service, &audit).await;
            let as_older = "is older than the database that was here";
            assert!(said.contains(damage.said(as_older)), "{damage:?}: {said}");
            audit.put_back(&newest);
        }
    }
    town.start_all().await;
    town.set([17]).await;
    all_agree(town.folder(), &[]).await;
}
