//! Is a stolen certificate stopped while the mesh runs, and its holder's new one let in?

use mesh_rpc::HandshakeOutcome;
use mesh_testkit::{LIMIT, wait_until};
use mp169::service::Service;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::time::timeout;
use tonic_health::pb::HealthCheckRequest;

use crate::world::{Ended, World};

const METER: &str = "02-DC-C1-00-00-00-01-E0";

/// Runs a line again and again until it ends with this code.
async fn until(world: &World, line: &str, code: i32) -> Ended {
    wait_until(&format!("{line} to end with {code}"), async || {
        let ended = world.run(line).await;
        if ended.code == Some(code) {
            Ok(ended)
        } else {
            Err(format!("{ended:?}"))
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_certificate_of_an_operator_is_stopped_and_a_new_one_works() {
    let world = World::with_examples().await;
    // What the thief has open: a stream at one of the services.
    let stolen = world.clients("operator");
    let mut health = stolen.health(Service::FlagRegistry).unwrap();
    let watch = health.watch(HealthCheckRequest::default()).await.unwrap();
    let mut watch = watch.into_inner();
    watch.message().await.unwrap().unwrap();
    world.ok("cp -r mp169-data stolen").await;

    let line = "mp169 certificate revoke operator --reason 'laptop stolen'";
    let told = world.ok(line).await;
    assert!(told.contains("within 10 seconds"), "{told}");
    assert!(told.contains("mp169 certificate issue operator"), "{told}");
    let end = async {
        loop {
            match watch.message().await {
                Ok(Some(_)) => {}
                end => break end,
            }
        }
    };
    let end = timeout(LIMIT, end).await.unwrap();
    assert!(end.is_err(), "{end:?}");
    let ended = until(&world, "mp169 party list --home stolen --as operator", 3).await;
    assert!(ended.stderr.contains("revoked"), "{ended:?}");
    let refused = world.handshakes(Service::Registration, HandshakeOutcome::Revoked);
    assert!(refused > 0);

    // The operator's own commands go on with a new one, which the thief has not.
    world.ok("mp169 certificate issue operator").await;
    world.ok("mp169 party list").await;
    let ended = world
        .run("mp169 party list --home stolen --as operator")
        .await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let listed = world.ok("mp169 certificate list --output json").await;
    assert_eq!(listed.lines().count(), 1, "{listed}");
    for part in ["\"operator\"", "laptop stolen", "CN=MP169 mesh"] {
        assert!(listed.contains(part), "{listed}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_a_party_ends_and_says_why_it_does_not_come_back() {
    let world = World::with_examples().await;
    let out = "mp169 party certificate CSP-CENTRAL --out clients/central";
    world.ok(out).await;
    let line = "exec mp169 csp watch --home clients/central --output json";
    let mut child = world.shell(line).spawn().unwrap();
    world.flag(METER).await;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next_line().await.unwrap().unwrap().contains(METER));

    // By its name: also what was handed out, and what was issued before.
    let told = world.ok("mp169 certificate revoke CSP-CENTRAL").await;
    assert_eq!(told.matches("CN=MP169").count(), 2, "{told}");
    let mut said = String::new();
    let mut stderr = child.stderr.take().unwrap();
    let all = stderr.read_to_string(&mut said);
    timeout(LIMIT, all).await.unwrap().unwrap();
    assert_ne!(child.wait().await.unwrap().code(), Some(0), "{said}");
    assert!(said.contains("--after 1"), "{said}");
    let again = "mp169 csp watch --home clients/central --once";
    let ended = until(&world, again, 3).await;
    assert!(
        ended.stderr.contains("mp169 party certificate"),
        "{ended:?}"
    );

    world.ok(out).await;
    world.ok(again).await;
    let told = world.ok("mp169 certificate revoke CSP-CENTRAL").await;
    assert_eq!(told.matches("already denied").count(), 2, "{told}");
    until(&world, again, 3).await;
    world.ok("mp169 certificate restore CSP-CENTRAL").await;
    until(&world, again, 0).await;
    world.stop().await;
}

/// Its neighbours leave it and come back by themselves.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_certificate_was_revoked_comes_back_with_a_new_one() {
    let world = World::with_examples().await;
    let accepted = || world.handshakes(Service::Registration, HandshakeOutcome::Accepted);
    let before = accepted();
    let line =
        "mp169 certificate revoke registration --yes && mp169 certificate issue registration";
    world.ok(line).await;
    wait_until("the followers to come back", async || {
        let now = accepted();
        if now > before { Ok(()) } else { Err(now) }
    })
    .await;
    until(&world, "mp169 party list", 0).await;
    world.flag(METER).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_is_stopped_with_all_of_its_certificates_until_it_is_restored() {
    let world = World::with_examples().await;
    world.ok("mp169 certificate revoke --identity EAGLE").await;
    until(&world, "mp169 party get EAGLE --as EAGLE", 3).await;
    let ended = world.run("mp169 party certificate EAGLE").await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let listed = world.ok("mp169 certificate list").await;
    assert!(listed.contains("EAGLE organisation"), "{listed}");
    world.ok("mp169 certificate restore --identity EAGLE").await;
    until(&world, "mp169 party get EAGLE --as EAGLE", 0).await;
    let listed = world.ok("mp169 certificate list").await;
    assert!(listed.contains("denies nobody"), "{listed}");
    // Each service says so in its own audit, when it takes a list in.
    for service in Service::ALL {
        let line = format!("mp169 audit list --service {}", service.name());
        wait_until("both lists are on record", async || {
            let listed = world.ok(&line).await;
            let lists = listed
                .lines()
                .filter(|line| line.contains("DENY_LIST_TAKEN"));
            let lists: Vec<_> = lists.collect();
            let said = ["denies no more all of", "denies all of", "has 0 entries"];
            match lists[..] {
                [_, _, _]
                    if lists
                        .iter()
                        .zip(said)
                        .all(|(line, part)| line.contains(part)) =>
                {
                    Ok(())
                }
                _ => Err(format!("{service:?}: {lists:?}")),
            }
        })
        .await;
    }
    let ended = world
        .run("mp169 certificate list --home clients/none")
        .await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    world.stop().await;
}
