//! Clocks that are ahead: of one service, and of all of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use flag_registry::Quotas;
use mesh_api::common::v1::{AsOf, ErrorReason, as_of::Known};
use mesh_api::convert::timestamp_to_wire;
use mesh_api::flag_registry::v1::GetFlagRequest;
use mesh_api::registration::v1::ChangeSupplierRequest;
use mesh_api::status::reason_of;
use mesh_testkit::{TempDir, temp_dir, wait_until};
use mesh_types::{Clock, SystemClock, Timestamp, WatchedClock};
use mp169::clients::Clients;
use mp169::home::Folder;
use mp169::load::load;
use mp169::mesh::{Listen, Mesh};
use mp169::sample::{self, BRIGHT, Home};
use mp169::service::Service;
use tonic::Status;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::downstream::{Read, classify, heads, obligations};
use crate::mesh::everybody_knows;
use crate::requests::{add, new_id, rows};

/// Homes whose flag is set, one after another.
const FIRST: u16 = 10;
/// A home of Albion's whose flag is not.
const OTHER: u16 = 14;
const TWO_DAYS: i64 = 2 * 86_400 * 1_000_000;
/// Enough for the homes that these tests use; the first ten of the sample are special.
const HOMES: u16 = 16;

/// A machine's clock that somebody sets, by microseconds from the right time.
#[derive(Default)]
struct Set(AtomicI64);

impl Clock for Set {
    fn now(&self) -> Timestamp {
        let by = self.0.load(Ordering::SeqCst);
        Timestamp::from_micros(SystemClock.now().micros() + by)
    }
}

/// A mesh in which the clock of each service can be set.
struct Town {
    clocks: BTreeMap<Service, Arc<Set>>,
    mesh: Option<Mesh>,
    folder: Folder,
    _home: TempDir,
}

impl Town {
    /// No service runs, and all clocks are right.
    fn new() -> Self {
        let home = temp_dir();
        Self {
            clocks: Service::ALL.map(|service| (service, Arc::default())).into(),
            mesh: None,
            folder: Folder::open_or_make(home.path()).unwrap(),
            _home: home,
        }
    }

    /// All services serve, and know the first homes of the sample.
    async fn loaded() -> Self {
        let mut town = Self::new();
        town.start(false).await;
        for service in Service::ALL {
            town.shows(service, ServingStatus::Serving).await;
        }
        town.load().await;
        town
    }

    async fn load(&self) {
        load(&self.folder, rows(HOMES), |_| {}).await.unwrap();
        for party in sample::PARTIES {
            everybody_knows(&self.folder, party.id).await;
        }
    }

    async fn start(&mut self, accepted: bool) {
        let clock = |service| -> Arc<dyn Clock> {
            let began = Instant::now();
            let clock = WatchedClock::new(self.clocks[&service].clone(), move || began.elapsed());
            Arc::new(if accepted { clock.accepted() } else { clock })
        };
        let listen = Listen::default();
        let mesh = Mesh::start_by(&self.folder, &listen, clock, Quotas::default()).await;
        self.mesh = Some(mesh.unwrap());
    }

    async fn stop(&mut self) {
        self.mesh.take().unwrap().stop().await;
    }

    fn set_clock(&self, service: Service, by: i64) {
        self.clocks[&service].0.store(by, Ordering::SeqCst);
    }

    fn set_clocks(&self, by: i64) {
        for service in Service::ALL {
            self.set_clock(service, by);
        }
    }

    async fn shows(&self, service: Service, expected: ServingStatus) {
        let clients = Clients::of(&self.folder, "operator").unwrap();
        let mut health = clients.health(service).unwrap();
        let what = format!("{} to be {}", service.name(), expected.as_str_name());
        wait_until(&what, async || {
            let answer = health.check(HealthCheckRequest::default()).await?;
            match answer.get_ref().status() {
                status if status == expected => Ok(()),
                other => Err(Status::unavailable(other.as_str_name())),
            }
        })
        .await;
    }

    /// Sets the flag of the electricity meter of a home after the first.
    async fn set_flag(&self, home: u16) -> Result<(), Status> {
        let home = Home::new(FIRST + home);
        let party = home.electricity().id;
        let clients = Clients::of(&self.folder, party).unwrap();
        let mut flags = clients.flags().unwrap();
        let answer = flags.add_flag(add(home.esme(), party)).await?;
        assert!(answer.into_inner().changed);
        Ok(())
    }

    /// Waits until that is answered by a refusal for the clock, and no longer by one of a service that
    /// has just started.
    async fn refuses_flag(&self, home: u16) {
        wait_until("the clock to be refused", async || {
            match self.set_flag(home).await {
                Err(status) if is_for_the_clock(&status) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    async fn change_supplier(&self) -> Result<(), Status> {
        let clients = Clients::of(&self.folder, "registration-data").unwrap();
        let request = ChangeSupplierRequest {
            request_id: new_id(),
            mpxn: Home::new(OTHER).import_mpan().unwrap().to_string(),
            party_id: BRIGHT.id.to_owned(),
            start_time: None,
        };
        let answer = clients.devices().unwrap().change_supplier(request).await;
        answer.map(|_| ())
    }

    /// What was known of a home's flag just now.
    async fn flag_as_of_now(&self, home: u16) -> Result<(), Status> {
        let now = SystemClock.now().micros() - 1_000_000;
        let known = timestamp_to_wire(Timestamp::from_micros(now));
        let request = GetFlagRequest {
            device_id: Home::new(FIRST + home).esme().to_string(),
            as_of: Some(AsOf {
                known: Some(Known::KnownTime(known)),
            }),
            ..Default::default()
        };
        let clients = Clients::of(&self.folder, "operator").unwrap();
        clients.flags().unwrap().get_flag(request).await.map(|_| ())
    }

    async fn read(&self, home: u16) -> Read {
        self.try_read(home).await.unwrap()
    }

    async fn try_read(&self, home: u16) -> Result<Read, Status> {
        let device = Home::new(FIRST + home).esme().to_string();
        let answer = classify(&self.folder, [device], None).await?;
        Ok(answer[0].0)
    }

    async fn is_read_as(&self, home: u16, expected: Read) {
        wait_until("classification to know", async || {
            match self.try_read(home).await {
                Ok(read) if read == expected => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }
}

fn is_for_the_clock(status: &Status) -> bool {
    reason_of(status) == Some(ErrorReason::ClockNotBelieved)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_clock_is_set_ahead_records_nothing_until_it_is_right() {
    let town = Town::loaded().await;
    town.set_flag(0).await.unwrap();
    town.is_read_as(0, Read::Suppress).await;

    town.set_clock(Service::FlagRegistry, TWO_DAYS);
    let refused = town.set_flag(1).await.unwrap_err();
    assert!(is_for_the_clock(&refused), "at once: {refused:?}");
    town.shows(Service::FlagRegistry, ServingStatus::NotServing)
        .await;
    // The others go on, and what is there can be read.
    town.shows(Service::Registration, ServingStatus::Serving)
        .await;
    town.change_supplier().await.unwrap();
    assert_eq!(town.read(0).await, Read::Suppress);
    assert_eq!(town.read(1).await, Read::Deliver);
    heads(&town.folder).await;

    // So does what follows the flags: held back, and nothing of it lost.
    town.set_clock(Service::FlagRegistry, 0);
    town.set_clock(Service::Reporting, TWO_DAYS);
    town.shows(Service::Reporting, ServingStatus::NotServing)
        .await;
    town.set_flag(1).await.unwrap();
    town.is_read_as(1, Read::Suppress).await;
    town.set_clock(Service::Reporting, 0);
    let (flags, devices) = heads(&town.folder).await;
    obligations(&town.folder, &flags, &devices).await;
    // Which they would not be, were one of their logs ahead.
    for service in Service::ALL {
        town.shows(service, ServingStatus::Serving).await;
    }
}

/// It has no past, and hears the others before it can recognise a caller.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_starts_ahead_of_the_others_is_not_believed() {
    let mut town = Town::new();
    town.set_clock(Service::FlagRegistry, TWO_DAYS);
    town.start(false).await;
    town.shows(Service::Registration, ServingStatus::Serving)
        .await;
    town.load().await;
    town.refuses_flag(0).await;
    town.set_clock(Service::FlagRegistry, 0);
    town.shows(Service::FlagRegistry, ServingStatus::Serving)
        .await;
    town.set_flag(0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_that_starts_two_days_ahead_records_nothing_unless_an_operator_says_so() {
    let mut town = Town::loaded().await;
    town.set_flag(0).await.unwrap();
    town.stop().await;

    town.set_clocks(TWO_DAYS);
    town.start(false).await;
    town.refuses_flag(1).await;
    let refused = town.change_supplier().await.unwrap_err();
    assert!(is_for_the_clock(&refused), "{refused:?}");
    town.is_read_as(0, Read::Suppress).await;
    // They have heard each other by now, and none has confirmed what none believes.
    town.shows(Service::Classification, ServingStatus::Serving)
        .await;
    town.refuses_flag(1).await;
    town.set_clocks(0);
    town.shows(Service::FlagRegistry, ServingStatus::Serving)
        .await;
    town.set_flag(1).await.unwrap();
    town.stop().await;

    // An operator accepts the wrong clock, and finds out.
    town.set_clocks(TWO_DAYS);
    town.start(true).await;
    town.shows(Service::FlagRegistry, ServingStatus::Serving)
        .await;
    town.shows(Service::Registration, ServingStatus::Serving)
        .await;
    town.set_flag(2).await.unwrap();
    town.change_supplier().await.unwrap();
    town.stop().await;

    town.set_clocks(0);
    town.start(false).await;
    town.refuses_flag(3).await;
    town.is_read_as(2, Read::Suppress).await;
    let refused = town.flag_as_of_now(2).await.unwrap_err();
    assert!(
        is_for_the_clock(&refused),
        "no answer of before: {refused:?}"
    );
    let refused = town.change_supplier().await.unwrap_err();
    assert!(is_for_the_clock(&refused), "{refused:?}");
    town.stop().await;

    // Whoever cannot wait: events go on, and nothing takes effect two days late.
    town.start(true).await;
    town.shows(Service::FlagRegistry, ServingStatus::NotServing)
        .await;
    wait_until("events to be recorded", async || town.set_flag(3).await).await;
    town.is_read_as(3, Read::Suppress).await;
    let refused = town.change_supplier().await.unwrap_err();
    assert!(is_for_the_clock(&refused), "{refused:?}");
}
