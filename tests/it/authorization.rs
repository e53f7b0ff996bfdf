//! Who may call what? Every RPC of the contracts as every kind of caller, over real sockets and
//! mTLS, held to the table in `golden/authorization.txt`.

mod call;
mod cast;
mod claims;
mod requests;
mod rules;
mod secrecy;
mod standard;
mod table;

use std::collections::BTreeSet;

use futures::future::join_all;
use mesh_api::common::v1 as common;
use mesh_api::csp_notification::v1 as csp;
use mesh_authz::{InternalRole, Role, is_external};
use mesh_testkit::wait_until;

use crate::mesh::TestMesh;
use call::{Lines, Outcome, Rpc, rpcs};
use cast::{CALLERS, CSP, CSP_ID, Caller, PARTIES};
use requests::{About, closed_month, request};
use table::Table;

/// A mesh with everybody in it who calls.
struct World {
    mesh: TestMesh,
    /// The position up to which the CSP was sent its log.
    sent: common::Position,
}

impl World {
    async fn new() -> Self {
        let mesh = TestMesh::start().await;
        cast::enter(&mesh).await;
        let sent = attach(&mesh).await;
        close_a_month(&mesh).await;
        Self { mesh, sent }
    }

    /// Calls an RPC with a valid request of the caller's.
    async fn ask(
        &self,
        rpc: &Rpc,
        caller: Caller,
        lines: &Lines,
        claims: &[(&'static str, String)],
    ) -> Outcome {
        let about = About::of(caller, &self.sent);
        let message = request(&rpc.service(), rpc.name(), &about);
        rpc.outcome(rpc.call(lines, message, claims).await)
    }

    /// What of a caller's column is not as the table says.
    async fn column(&self, table: &Table, rpcs: &[Rpc], caller: Caller) -> Vec<String> {
        let lines = Lines::of(&self.mesh, caller);
        let mut wrong = Vec::new();
        for rpc in rpcs {
            let Some(row) = table.row(rpc) else { continue };
            let expected = row.cell(caller.column);
            let outcome = self.ask(rpc, caller, &lines, &[]).await;
            if outcome.cell() != expected {
                let (name, column) = (rpc.name(), caller.column);
                wrong.push(format!("{name} as {column}: not {expected}, but {outcome}"));
            }
        }
        wrong
    }
}

/// Attaches the CSP once, which makes its subscription; says up to where it was sent its log.
async fn attach(mesh: &TestMesh) -> common::Position {
    let request = csp::FollowFlagChangesRequest {
        csp_id: CSP_ID.to_owned(),
        start: Some(csp::follow_flag_changes_request::Start::Snapshot(
            common::SnapshotStart::default(),
        )),
        seen: None,
    };
    let mut client = mesh.clients(CSP).csp().unwrap();
    let frames = client.follow_flag_changes(request).await.unwrap();
    let mut frames = frames.into_inner();
    loop {
        let frame = frames.message().await.unwrap().expect("a snapshot ends");
        let Some(csp::follow_flag_changes_response::Body::Frame(frame)) = frame.body else {
            continue;
        };
        if let Some(common::stream_frame::Frame::SnapshotComplete(complete)) = frame.frame {
            return complete.position.unwrap();
        }
    }
}

/// As soon as the flags of it are known.
async fn close_a_month(mesh: &TestMesh) {
    let mut operator = mesh.clients("operator").reporting().unwrap();
    wait_until("a month to be closed", async || {
        operator.close_month(closed_month()).await
    })
    .await;
}

#[test]
fn the_table_has_every_rpc_of_the_contracts_and_no_other() {
    let contracts: BTreeSet<String> = rpcs()
        .iter()
        .map(|rpc| format!("{}/{}", rpc.service(), rpc.name()))
        .collect();
    assert!(contracts.len() >= 25, "{contracts:?}");
    let table = Table::read().methods();
    let missing: Vec<_> = contracts.difference(&table).collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
    let unknown: Vec<_> = table.difference(&contracts).collect();
    assert!(unknown.is_empty(), "not in the contracts: {unknown:?}");
}

#[test]
fn the_table_has_a_caller_of_every_role() {
    for role in InternalRole::ALL {
        let held = CALLERS
            .iter()
            .any(|caller| caller.shows == Some(role.as_str()));
        assert!(held, "no column for {role}");
    }
    let roles = (1..64).filter_map(|number| Role::try_from(number).ok());
    for role in roles.filter(|&role| is_external(role)) {
        let held = PARTIES.iter().any(|party| {
            let column = CALLERS
                .iter()
                .any(|caller| caller.shows == Some(party.id) && caller.for_party.is_none());
            party.roles == [role] && column
        });
        assert!(held, "no column for {role:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rpc_answers_every_caller_as_the_table_says() {
    let (table, rpcs) = (Table::read(), rpcs());
    let world = World::new().await;
    let columns = CALLERS.map(|caller| world.column(&table, &rpcs, caller));
    let wrong = join_all(columns).await.concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
