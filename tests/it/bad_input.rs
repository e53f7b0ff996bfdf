//! What becomes of input that is wrong in every way that could be thought of?
//!
//! Against every service, over real sockets: a clear code with a machine-readable reason, no panic,
//! nothing half written, and a service that goes on serving. Each table gives input, code and reason.

mod as_of;
mod calls;
mod fields;
mod frames;
mod inventory;
mod messages;
mod outcomes;
mod positions;
mod tokens;

use std::fmt::{Debug, Display};
use std::sync::{Mutex, Once};

use mesh_api::common::v1::{ErrorReason, ItemStatus, Position};
use mesh_api::csp_notification::v1 as csp;
use mesh_api::flag_registry::v1 as flags;
use mesh_api::registration::v1 as registration;
use mesh_api::reporting::v1 as reporting;
use mesh_api::status::reason_of;
use mp169::sample::{ALBION, BRIGHT, CSP_NORTH, CSP_SOUTH, Home};
use tonic::{Code, Status};

use crate::mesh::TestMesh;
use crate::requests::{add, rows};

/// The home whose meters are flagged; Albion supplies both fuels.
const HOME: Home = Home::new(8);
/// Homes that are loaded: enough for more than one supplier.
const HOMES: u16 = 12;

/// A mesh with something in every log, and what did not come out as told.
struct Table {
    mesh: TestMesh,
    /// A change that was made, whose request id is used up.
    added: flags::AddFlagRequest,
    faults: Vec<String>,
}

impl Table {
    async fn begin() -> Self {
        let mesh = TestMesh::start().await;
        mesh.load(rows(HOMES)).await;
        for party in [ALBION, BRIGHT, CSP_NORTH, CSP_SOUTH] {
            mesh.knows(party.id).await;
        }
        let mut supplier = mesh.clients(ALBION.id).flags().unwrap();
        let added = add(HOME.esme(), ALBION.id);
        supplier.add_flag(added.clone()).await.unwrap();
        supplier
            .add_flag(add(HOME.gsme(), ALBION.id))
            .await
            .unwrap();
        // Sets nothing, and is recorded all the same: a second event of the Device.
        supplier
            .add_flag(add(HOME.esme(), ALBION.id))
            .await
            .unwrap();
        for party in [CSP_NORTH, CSP_SOUTH] {
            let request = csp::GetSubscriptionRequest {
                csp_id: party.csp.into(),
            };
            let mut client = mesh.clients(party.id).csp().unwrap();
            client.get_subscription(request).await.unwrap();
        }
        Self {
            mesh,
            added,
            faults: Vec::new(),
        }
    }

    /// The call must be refused just so.
    fn refused<T: Debug>(
        &mut self,
        what: impl Display,
        answer: Result<T, Status>,
        code: Code,
        reason: ErrorReason,
    ) {
        match answer {
            Err(status) if (status.code(), reason_of(&status)) == (code, Some(reason)) => {}
            Err(status) => {
                let found = reason_of(&status).map(|reason| reason.as_str_name());
                let (found_code, message) = (status.code(), status.message());
                self.fault(
                    what,
                    code,
                    reason,
                    &format!("{found_code:?} {found:?} {message:?}"),
                );
            }
            Ok(answer) => {
                let answer: String = format!("{answer:?}").chars().take(200).collect();
                self.fault(what, code, reason, &answer);
            }
        }
    }

    /// One item of a call must be refused just so.
    fn item_refused(
        &mut self,
        what: impl Display,
        item: Option<&ItemStatus>,
        code: Code,
        reason: ErrorReason,
    ) {
        match item {
            Some(item) if (item.code, item.reason()) == (i32::from(code), reason) => {}
            other => self.fault(what, code, reason, &format!("{other:?}")),
        }
    }

    fn fault(&mut self, what: impl Display, code: Code, reason: ErrorReason, found: &str) {
        let reason = reason.as_str_name();
        self.faults
            .push(format!("{what}: wanted {code:?} {reason}, found {found}"));
    }
}

/// Everything that a refused change could have moved.
#[derive(Debug, PartialEq)]
struct Heads {
    parties: Option<Position>,
    devices: Option<Position>,
    flags: Option<Position>,
    csps: Vec<Option<Position>>,
    outcomes: u64,
}

async fn heads(mesh: &TestMesh) -> Heads {
    let operator = mesh.clients("operator");
    let parties = registration::ListPartiesRequest::default();
    let devices = registration::ListDevicesRequest::default();
    let flags = flags::ListFlagsRequest::default();
    let csps = csp::ListSubscriptionsRequest::default();
    let report = reporting::GetObligationReportRequest::default();
    let parties = operator
        .parties()
        .unwrap()
        .list_parties(parties)
        .await
        .unwrap();
    let devices = operator
        .devices()
        .unwrap()
        .list_devices(devices)
        .await
        .unwrap();
    let flags = operator.flags().unwrap().list_flags(flags).await.unwrap();
    let csps = operator
        .csp()
        .unwrap()
        .list_subscriptions(csps)
        .await
        .unwrap()
        .into_inner();
    let report = operator
        .reporting()
        .unwrap()
        .get_obligation_report(report)
        .await
        .unwrap();
    Heads {
        parties: parties.into_inner().position,
        devices: devices.into_inner().position,
        flags: flags.into_inner().position,
        csps: csps
            .subscriptions
            .into_iter()
            .map(|subscription| subscription.head)
            .collect(),
        outcomes: report.into_inner().basis.unwrap().outcomes,
    }
}

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Notes every panic of the services from here on. The tests' own are theirs.
fn watch_panics() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            if !place.starts_with("tests/") && !place.contains("mesh-testkit") {
                PANICS.lock().unwrap().push(place);
            }
            before(info);
        }));
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_refused_for_a_reason_and_leaves_nothing_behind() {
    watch_panics();
    let mut table = Table::begin().await;
    let before = heads(&table.mesh).await;
    fields::of_flag_registry(&mut table).await;
    inventory::of_registration(&mut table).await;
    outcomes::of_reporting(&mut table).await;
    inventory::of_imports(&mut table).await;
    messages::that_cannot_be_read(&mut table).await;
    messages::that_are_too_many_or_too_large(&mut table).await;
    positions::that_are_not_there(&mut table).await;
    as_of::that_is_not_there(&mut table).await;
    tokens::that_were_given_to_somebody_else(&mut table).await;
    frames::that_are_no_grpc(&mut table).await;
    assert!(table.faults.is_empty(), "\n{}", table.faults.join("\n"));
    assert_eq!(heads(&table.mesh).await, before, "something was written");
    let panics = PANICS.lock().unwrap().clone();
    assert!(panics.is_empty(), "{panics:#?}");
    assert!(table.mesh.stop().await, "a call did not end");
}
