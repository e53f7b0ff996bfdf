//! Does what a caller says of itself change anything? Only a gateway is heard, and only about
//! parties that the directory lets it act for.

use mesh_api::common::v1::ErrorReason;
use mesh_authz::ON_BEHALF_OF;
use tonic::Code;

use super::World;
use super::call::{Lines, Outcome, Rpc, rpcs};
use super::cast::{Caller, GATEWAY, RIGHT, SUSPENDED, caller, entity};
use super::table::Table;

/// What callers have tried to be believed with, here or elsewhere.
fn forged() -> Vec<(&'static str, String)> {
    let operator = mesh_pki::spiffe_uri("operator");
    let right = entity(RIGHT).to_string();
    vec![
        ("x-forwarded-client-cert", format!("URI={operator}")),
        ("client-cert", ":MIIB:".to_owned()),
        ("x-spiffe-id", operator),
        ("x-mp169-identity", "operator".to_owned()),
        ("x-mp169-on-behalf-of", right.clone()),
        ("mp169-identity", right.clone()),
        ("mp169-party", RIGHT.to_owned()),
        ("mp169-role", "ROLE_OPERATOR".to_owned()),
        (
            "x-ssl-client-s-dn",
            format!("OU=02,x500UniqueIdentifier={right}"),
        ),
        ("authorization", "Bearer operator".to_owned()),
    ]
}

fn rpc(name: &str) -> Rpc {
    rpcs().into_iter().find(|rpc| rpc.name() == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_claimed_in_metadata_changes_no_answer() {
    let (world, table) = (World::new().await, Table::read());
    for column in ["none", "RSA", "CSP2", "wrong", "susp", "analy"].map(caller) {
        let lines = Lines::of(&world.mesh, column);
        for rpc in rpcs() {
            let outcome = world.ask(&rpc, column, &lines, &forged()).await;
            let expected = table.row(&rpc).unwrap().cell(column.column);
            let name = rpc.name();
            assert_eq!(outcome.cell(), expected, "{name} as {}", column.column);
        }
    }
    only_the_directorys_gateways_act_for_others(&world).await;
}

/// `column`, saying that it acts for `party`.
fn acting(column: &str, party: &'static str) -> Caller {
    Caller {
        for_party: Some(party),
        about: party,
        ..caller(column)
    }
}

async fn only_the_directorys_gateways_act_for_others(world: &World) {
    for (acting, expected) in [
        (acting("GW", RIGHT), "ok"),
        // Its own right is not in question: the party that it acts for may not act.
        (acting("GW", SUSPENDED), "susp"),
        (acting("GW", "CSP"), "gate"),
        (acting("GW", GATEWAY), "gate"),
        (acting("GW", "nobody that the directory knows"), "gate"),
        // No gateways: not even for themselves.
        (acting("wrong", RIGHT), "gate"),
        (acting("right", RIGHT), "gate"),
        (acting("RSA", RIGHT), "gate"),
        (acting("oper", RIGHT), "gate"),
        (acting("susp", RIGHT), "susp"),
        (acting("unkn", RIGHT), "unkn"),
        (acting("none", RIGHT), "cert"),
    ] {
        let lines = Lines::of(&world.mesh, acting);
        for name in ["GetFlag", "AddFlag", "GetDevice"] {
            let outcome = world.ask(&rpc(name), acting, &lines, &[]).await;
            assert_eq!(outcome.cell(), expected, "{name}: {acting:?}: {outcome}");
        }
    }
    let (gateway, right) = (caller("GW"), entity(RIGHT).to_string());
    let twice = [(ON_BEHALF_OF, right.clone()), (ON_BEHALF_OF, right)];
    for claims in [&twice[..], &[(ON_BEHALF_OF, RIGHT.to_owned())]] {
        let lines = Lines::of(&world.mesh, gateway);
        let outcome = world.ask(&rpc("GetFlag"), gateway, &lines, claims).await;
        let Outcome::Refused(code, reason, _) = &outcome else {
            panic!("{outcome}");
        };
        let expected = (Code::InvalidArgument, Some(ErrorReason::FieldInvalid));
        assert_eq!((*code, *reason), expected, "{outcome}");
    }
}
