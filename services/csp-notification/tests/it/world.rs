//! The service among its neighbours, CSPs that attach to it, and flag events.

use std::net::SocketAddr;
use std::path::PathBuf;

use csp_notification::{Deps, run};
use mesh_api::common::v1::{DeviceType, Position, Seen, SnapshotStart};
use mesh_api::convert::timestamp_to_wire;
use mesh_api::csp_notification::v1 as wire;
use mesh_api::csp_notification::v1::csp_notification_service_client::CspNotificationServiceClient;
use mesh_api::csp_notification::v1::follow_flag_changes_request::Start;
use mesh_api::flag_registry::v1::{Cause, ConsumerChoice, FlagEvent, FlagFacts, FlagState};
use mesh_api::registration::v1::{Party, PartyEvent, PartyIdentity, PartyStatus};
use mesh_authz::Role;
use mesh_pki::Issued;
use mesh_rpc::{ClientOptions, Drained, MeshChannel, connect};
use mesh_testkit::{LIMIT, TempDir, certificates, postgres, wait_until};
use mesh_types::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::neighbours::{Neighbour, tls};
use crate::stream::Attached;

/// Entities by CSP, and of a supplier.
const NORTH: &str = "90-B3-D5-1F-30-02-00-00";
const SOUTH: &str = "90-B3-D5-1F-30-02-00-01";
const SUPPLIER: &str = "90-B3-D5-1F-30-01-00-00";

pub(crate) type Client = CspNotificationServiceClient<MeshChannel>;

/// The running service and what is around it.
pub(crate) struct World {
    pub(crate) flags: Neighbour,
    pub(crate) registration: Neighbour,
    service: Running,
    /// Another replica on the same database.
    other: Option<Running>,
    database: String,
    folder: TempDir,
}

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Drained>,
}

impl World {
    pub(crate) async fn start() -> Self {
        let folder = mesh_testkit::temp_dir();
        let url = format!("sqlite://{}", folder.path().join("csp.db").display());
        Self::start_on(url, folder).await
    }

    /// Two replicas on a server's database; the first is asked until they [swap](Self::swap).
    pub(crate) async fn start_two(database: &postgres::Database) -> Self {
        let folder = mesh_testkit::temp_dir();
        let mut world = Self::start_on(database.url(), folder).await;
        world.other = Some(world.serve("second").await);
        world.swap();
        world.knows_its_callers().await;
        world.swap();
        world
    }

    async fn start_on(database: String, folder: TempDir) -> Self {
        let (flags, registration) = (
            Neighbour::flag_registry().await,
            Neighbour::registration().await,
        );
        for party in [
            party("NORTH-CSP", NORTH, "north", Role::Csp),
            party("SOUTH-CSP", SOUTH, "south", Role::Csp),
            party("ACME", SUPPLIER, "", Role::GasSupplier),
        ] {
            registration.append(&party).await;
        }
        let service = serve(&flags, &registration, &database, &folder, "first").await;
        let world = Self {
            flags,
            registration,
            service,
            other: None,
            database,
            folder,
        };
        world.knows_its_callers().await;
        world
    }

    async fn serve(&self, name: &str) -> Running {
        let Self {
            flags,
            registration,
            database,
            folder,
            ..
        } = self;
        serve(flags, registration, database, folder, name).await
    }

    /// Has the other replica asked from now on.
    pub(crate) fn swap(&mut self) {
        let other = self.other.as_mut().expect("another replica");
        std::mem::swap(other, &mut self.service);
    }

    /// Stops the service and starts it again on the same database.
    pub(crate) async fn restart(self, between: impl AsyncFnOnce(&Neighbour)) -> Self {
        assert!(self.service.end().await.clean);
        between(&self.flags).await;
        let service = serve(
            &self.flags,
            &self.registration,
            &self.database,
            &self.folder,
            "first",
        )
        .await;
        let world = Self { service, ..self };
        world.knows_its_callers().await;
        world
    }

    /// The file of its database.
    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("csp.db")
    }

    /// Tells the service to stop; the result comes when it has drained.
    pub(crate) fn stop(self) -> (JoinHandle<Drained>, impl Sized) {
        let Running { stop, ended, .. } = self.service;
        stop.send(()).unwrap();
        (ended, (self.flags, self.registration, self.folder))
    }

    async fn knows_its_callers(&self) {
        wait_until("the directory", async || {
            let mut supplier = self.client(&certificates().organisation(id(SUPPLIER)));
            let refused = supplier
                .list_subscriptions(wire::ListSubscriptionsRequest::default())
                .await
                .unwrap_err();
            match refused.code() {
                Code::PermissionDenied => Ok(()),
                _ => Err(refused.to_string()),
            }
        })
        .await;
    }

    fn client(&self, issued: &Issued) -> Client {
        CspNotificationServiceClient::new(self.channel(issued))
    }

    fn channel(&self, issued: &Issued) -> MeshChannel {
        let address = self.service.address.to_string();
        connect(ClientOptions::new("csp-notification", address, tls(issued)))
    }

    pub(crate) async fn health(&self) -> ServingStatus {
        let channel = self.channel(&certificates().internal("operator"));
        let request = HealthCheckRequest {
            service: csp_notification::SERVICE.into(),
        };
        let answer = HealthClient::new(channel).check(request).await.unwrap();
        answer.into_inner().status()
    }

    /// A connection of its own, as a CSP.
    pub(crate) fn csp(&self, name: &str) -> Client {
        let entity = if name == "north" { NORTH } else { SOUTH };
        self.client(&certificates().organisation(id(entity)))
    }

    pub(crate) fn supplier(&self) -> Client {
        self.client(&certificates().organisation(id(SUPPLIER)))
    }

    pub(crate) fn internal(&self, role: &str) -> Client {
        self.client(&certificates().internal(role))
    }

    /// Attaches a CSP on a connection of its own.
    pub(crate) async fn attach(&self, csp: &str, start: Start) -> Result<Attached, Status> {
        self.attach_having_seen(csp, start, None).await
    }

    /// The same for one that says what it has seen.
    pub(crate) async fn attach_having_seen(
        &self,
        csp: &str,
        start: Start,
        seen: Option<Seen>,
    ) -> Result<Attached, Status> {
        let request = wire::FollowFlagChangesRequest {
            csp_id: csp.into(),
            start: Some(start),
            seen,
        };
        let stream = self.csp(csp).follow_flag_changes(request).await?;
        Attached::begin(stream.into_inner()).await
    }

    pub(crate) async fn subscription(&self, csp: &str) -> wire::Subscription {
        let request = wire::GetSubscriptionRequest { csp_id: csp.into() };
        let answer = self.csp(csp).get_subscription(request).await.unwrap();
        answer.into_inner().subscription.unwrap()
    }

    /// Waits until no stream of the CSP is attached.
    pub(crate) async fn is_detached(&self, csp: &str) {
        wait_until("the end of the stream", async || {
            match self.subscription(csp).await.attached {
                false => Ok(()),
                true => Err("attached"),
            }
        })
        .await;
    }

    pub(crate) async fn acknowledge(
        &self,
        csp: &str,
        up_to: Position,
    ) -> Result<wire::Subscription, Status> {
        let request = wire::AcknowledgeFlagChangesRequest {
            csp_id: csp.into(),
            up_to: Some(up_to),
            applied_time: Some(timestamp_to_wire(Timestamp::from_micros(
                1_760_000_000_000_000,
            ))),
        };
        let answer = self.csp(csp).acknowledge_flag_changes(request).await?;
        Ok(answer.into_inner().subscription.unwrap())
    }

    /// Appends flags set on `count` Devices of a CSP, from Device number `first` on, and waits until
    /// they are in the CSP's log.
    pub(crate) async fn set(&self, csp: &str, first: u8, count: u8) {
        for number in first..first + count {
            self.flags.append(&set(number, csp)).await;
        }
        self.logged(csp, u64::from(first + count)).await;
    }

    /// Waits until a CSP's log has so many events.
    pub(crate) async fn logged(&self, csp: &str, events: u64) {
        wait_until("the CSP's log", async || {
            match self.subscription(csp).await.head.unwrap().sequence {
                head if head >= events => Ok(()),
                head => Err(head),
            }
        })
        .await;
    }

    pub(crate) async fn record(&self, party: PartyEvent) {
        self.registration.append(&party).await;
    }
}

impl Running {
    async fn end(self) -> Drained {
        self.stop.send(()).unwrap();
        let ended = tokio::time::timeout(LIMIT, self.ended).await;
        ended.expect("an end before the limit").unwrap()
    }
}

async fn serve(
    flags: &Neighbour,
    registration: &Neighbour,
    database: &str,
    folder: &TempDir,
    name: &str,
) -> Running {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut deps = Deps::new(
        mesh_store::Database::existing_or_new(database),
        &registration.address.to_string(),
        &flags.address.to_string(),
        tls(&certificates().internal("csp-notification")),
    );
    let audit = folder.path().join(format!("{name}-audit.db"));
    let audit = format!("sqlite://{}", audit.display());
    deps.audit_database = mesh_store::Database::existing_or_new(audit);
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(async move {
        let shutdown = async {
            // A test that does not stop the service drops the sender.
            let _ = stopped.await;
        };
        run(deps, listener, shutdown).await.unwrap()
    });
    Running {
        address,
        stop,
        ended,
    }
}

fn id(text: &str) -> mesh_types::EntityId {
    text.parse().unwrap()
}

fn party(name: &str, entity: &str, csp: &str, role: Role) -> PartyEvent {
    let party = Party {
        party_id: name.into(),
        status: PartyStatus::Active.into(),
        identities: vec![PartyIdentity {
            entity_id: entity.into(),
            roles: vec![role.into()],
        }],
        csp_id: csp.into(),
        ..Party::default()
    };
    PartyEvent {
        party: Some(party),
        ..PartyEvent::default()
    }
}

/// The CSP `north` is suspended.
pub(crate) fn suspended() -> PartyEvent {
    let mut event = party("NORTH-CSP", NORTH, "north", Role::Csp);
    event.party.as_mut().unwrap().status = PartyStatus::Suspended.into();
    event
}

pub(crate) fn device(number: u8) -> String {
    format!("00-DB-12-34-56-78-90-{number:02X}")
}

/// A flagged Device's facts, or those of one that is not.
pub(crate) fn facts(flagged: bool, csp: &str) -> FlagFacts {
    let state = if flagged {
        FlagState::Flagged
    } else {
        FlagState::NotFlagged
    };
    FlagFacts {
        state: state.into(),
        covered_device_ids: vec![device(0xF0)],
        communications_hub_id: device(0xC0),
        csp_id: csp.into(),
        responsible_party_id: "ACME".into(),
    }
}

/// An event of `flags`, with a consumer's choice that nobody else may see.
pub(crate) fn event(
    number: u8,
    cause: Cause,
    previous: FlagFacts,
    current: FlagFacts,
) -> FlagEvent {
    FlagEvent {
        effective_time: Some(timestamp_to_wire(Timestamp::from_micros(1_000))),
        device_id: device(number),
        device_type: DeviceType::Esme.into(),
        cause: cause.into(),
        previous: Some(previous),
        current: Some(current),
        choice: Some(ConsumerChoice {
            evidence_reference: "SECRET".into(),
            ..ConsumerChoice::default()
        }),
        ..FlagEvent::default()
    }
}

pub(crate) fn set(number: u8, csp: &str) -> FlagEvent {
    event(
        number,
        Cause::FlagAdded,
        facts(false, csp),
        facts(true, csp),
    )
}

pub(crate) fn snapshot() -> Start {
    Start::Snapshot(SnapshotStart::default())
}

pub(crate) fn acknowledged() -> Start {
    Start::Acknowledged(wire::AcknowledgedStart {})
}
