//! What does an operator learn of a running service?

mod check;
mod status;

use std::sync::Arc;

use mesh_api::convert::timestamp_to_wire;
use mesh_api::operations::v1 as wire;
use mesh_api::operations::v1::operations_service_server::{
    OperationsService, OperationsServiceServer,
};
use mesh_rpc::{Health, Tls};
use mesh_store::Store;
use mesh_types::Clock;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::state::Compare;
use check::{Checked, Parts};
use status::{certificate_status, clock_status, database_status, deny_list_status};

pub use check::comparison_to_wire;
pub(crate) use status::Followed;

/// The full name of the service in the contracts: every service of the mesh serves it about itself.
pub const OPERATIONS: &str = "mp169.operations.v1.OperationsService";

/// Says how one service is.
pub(crate) struct Operations {
    pub(crate) service: &'static str,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) health: Health,
    /// Its certificate, and whom it trusts.
    pub(crate) tls: Tls,
    /// Its database, if it keeps one.
    pub(crate) store: Option<Store>,
    /// The database of its audit.
    pub(crate) audit: Store,
    /// The logs of other services that it follows.
    pub(crate) followed: Vec<Followed>,
    /// The comparisons of its rows with its logs, if there are any.
    pub(crate) compare: Option<Compare>,
    /// How many Devices it holds as flagged, if it holds flags in memory.
    pub(crate) flagged: Option<Flagged>,
    /// Cancelled when the server ends.
    pub(crate) draining: CancellationToken,
    /// One check at a time.
    pub(crate) checks: Arc<Semaphore>,
}

/// Counts the Devices that are held as flagged; `None` while the flags are not loaded.
pub(crate) type Flagged = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

impl Operations {
    pub(crate) fn server(self) -> OperationsServiceServer<Self> {
        OperationsServiceServer::new(self)
    }
}

#[tonic::async_trait]
impl OperationsService for Operations {
    type CheckStateStream = Parts;

    async fn get_status(
        &self,
        _request: Request<wire::GetStatusRequest>,
    ) -> Result<Response<wire::GetStatusResponse>, Status> {
        let database = match &self.store {
            Some(store) => database_status(store).await,
            None => None,
        };
        let reason = self.health.not_serving();
        let now = self.clock.now();
        Ok(Response::new(wire::GetStatusResponse {
            service: self.service.to_owned(),
            time: Some(timestamp_to_wire(now)),
            not_serving_reason: reason.map_or_else(String::new, |reason| reason.to_string()),
            database,
            audit_database: database_status(&self.audit).await,
            followed_logs: self.followed.iter().map(Followed::to_wire).collect(),
            clock: Some(clock_status(&*self.clock, self.store.as_ref()).await),
            certificate: certificate_status(&self.tls),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            health_since_time: Some(timestamp_to_wire(now.saturating_sub(self.health.lasts()))),
            deny_list: Some(deny_list_status(&self.tls)),
            flagged_devices: self.flagged.as_ref().and_then(|flagged| flagged()),
        }))
    }

    async fn check_state(
        &self,
        _request: Request<wire::CheckStateRequest>,
    ) -> Result<Response<Parts>, Status> {
        let checked = Checked {
            service: self.service,
            store: self.store.clone(),
            compare: self.compare.clone(),
            draining: self.draining.clone(),
        };
        Ok(Response::new(checked.parts(&self.checks)))
    }
}

#[cfg(test)]
mod tests {
    use mesh_follow::FollowedLog;
    use mesh_rpc::{NotReady, TlsPem};
    use mesh_store::cursor::Cursor;
    use mesh_store::log::random_epoch;
    use mesh_store::{Database, Migrator, WriteTx};
    use mesh_types::{LogName, ManualClock, Timestamp};

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(9_000_000);

    async fn write(store: &Store, write: impl AsyncFnOnce(&mut WriteTx)) {
        let mut tx = store.begin_write(NOW).await.unwrap();
        write(&mut tx).await;
        tx.commit().await.unwrap();
    }

    /// What every service here shows.
    fn shown() -> Tls {
        let issued = mesh_testkit::certificates().internal("flag-registry");
        let shown = TlsPem {
            certificate: issued.certificate_pem().to_owned(),
            key: issued.key_pem().to_owned(),
            trust: mesh_testkit::certificates().trust_pem().to_owned(),
        };
        Tls::from_pem(shown).unwrap()
    }

    async fn asked(
        health: &Health,
        store: Option<&Store>,
        audit: &Store,
    ) -> wire::GetStatusResponse {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(NOW));
        let operations = Operations {
            service: "flag-registry",
            health: health.clone(),
            tls: shown(),
            store: store.cloned(),
            audit: audit.clone(),
            followed: vec![Followed {
                owner: "registration",
                log: FollowedLog::new("flag-registry", "devices", Arc::clone(&clock)),
            }],
            clock,
            compare: None,
            flagged: Some(Arc::new(|| Some(7))),
            draining: CancellationToken::new(),
            checks: Arc::new(Semaphore::new(1)),
        };
        let request = Request::new(wire::GetStatusRequest {});
        operations.get_status(request).await.unwrap().into_inner()
    }

    async fn store_in(folder: &std::path::Path, file: &str) -> Store {
        let url = format!("sqlite://{}", folder.join(file).display());
        let migrations = Migrator::with_migrations(vec![]);
        let opened = Store::open(&Database::existing_or_new(&url), &migrations).await;
        opened.unwrap()
    }

    #[tokio::test]
    async fn an_operator_learns_how_a_service_is() {
        let folder = mesh_testkit::temp_dir();
        let store = store_in(folder.path(), "a.db").await;
        let audit = store_in(folder.path(), "a-audit.db").await;
        let (flags, quiet): (LogName, LogName) =
            ("flags".parse().unwrap(), "quiet".parse().unwrap());
        let epoch = random_epoch();
        write(&store, async |tx| {
            tx.create_log(&flags, epoch).await.unwrap();
            tx.create_log(&quiet, random_epoch()).await.unwrap();
        })
        .await;
        write(&store, async |tx| {
            tx.lock(&flags).await.unwrap();
            tx.append(&flags, |_| b"an event".to_vec()).unwrap();
        })
        .await;
        let health = Health::new(&[]);
        health.set(Ok(()));

        let status = asked(&health, Some(&store), &audit).await;
        assert_eq!(status.service, "flag-registry");
        assert_eq!(status.time, Some(timestamp_to_wire(NOW)));
        assert_eq!(status.not_serving_reason, "");
        let audited = status.audit_database.unwrap();
        assert_eq!(audited.condition(), wire::DatabaseCondition::Sound);
        let [devices] = &status.followed_logs[..] else {
            panic!("{:?}", status.followed_logs);
        };
        assert_eq!(
            (&*devices.owner, &*devices.log),
            ("registration", "devices")
        );
        assert_eq!(devices.state(), wire::FollowState::Starting);
        assert_eq!((&devices.position, &devices.stale_since), (&None, &None));
        assert_eq!(status.clock, Some(wire::ClockStatus::default()));
        let certificate = status.certificate.unwrap();
        assert_eq!(certificate.issuer, "CN=Test CA");
        assert_eq!(certificate.serial.len() % 2, 0);
        assert!(certificate.not_after.unwrap().seconds > 1_700_000_000);
        let [authority] = &certificate.authorities[..] else {
            panic!("{:?}", certificate.authorities);
        };
        assert_eq!(authority.subject, "CN=Test CA");
        assert_eq!((certificate.generation, certificate.failed_reloads), (0, 0));
        assert_eq!(certificate.last_failure, None);
        assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
        assert_eq!(status.flagged_devices, Some(7));
        let denied = status.deny_list.unwrap();
        assert_eq!((denied.entries, denied.sha256.len()), (0, 32));
        let since = status.health_since_time.unwrap();
        assert!(since.seconds <= 9, "{since:?}");
        let database = status.database.unwrap();
        assert_eq!(database.condition(), wire::DatabaseCondition::Sound);
        let schema = database.schema.unwrap();
        assert!(schema.fits && schema.known > 0, "{schema:?}");
        assert_eq!(schema.known, schema.applied);
        let [of_flags, of_quiet] = &database.logs[..] else {
            panic!("{database:?}");
        };
        let head = of_flags.head.as_ref().unwrap();
        assert_eq!((head.log.as_str(), head.epoch), ("flags", epoch.get()));
        assert_eq!((head.sequence, of_flags.hash.len()), (1, 32));
        assert_eq!(of_flags.first_epoch, epoch.get());
        assert_eq!(of_flags.recorded_time, Some(timestamp_to_wire(NOW)));
        assert_eq!(of_quiet.recorded_time, None, "nothing was recorded");

        let position = mesh_types::Position {
            log: flags,
            epoch,
            sequence: 30,
        };
        let hash = [0; 32];
        store.went_back(&Cursor { position, hash }, "classification");
        health.set(Err(NotReady::because("log-went-back: flags")));
        let status = asked(&health, Some(&store), &audit).await;
        assert_eq!(status.not_serving_reason, "log-went-back: flags");
        let condition = status.database.unwrap().condition();
        assert_eq!(condition, wire::DatabaseCondition::LogWentBack);
    }

    #[tokio::test]
    async fn a_service_whose_database_cannot_be_read_says_the_rest() {
        let folder = mesh_testkit::temp_dir();
        let store = store_in(folder.path(), "a.db").await;
        let audit = store_in(folder.path(), "a-audit.db").await;
        store.close().await;
        let health = Health::new(&[]);
        for store in [Some(&store), None] {
            let status = asked(&health, store, &audit).await;
            assert_eq!(status.database, None);
            assert!(status.audit_database.is_some());
            assert_eq!(status.not_serving_reason, "starting");
        }
    }
}
