//! Can a supplier find out which Devices and parties there are? It gets the same refusal, octet for
//! octet, for another supplier's Device, for one that nobody supplies, and for one that does not
//! exist; for another party, and for one that does not exist.

use tonic::Status;

use super::World;
use super::call::{Lines, Rpc, rpcs};
use super::cast::{HUB, NOBODYS, RIGHT, UNKNOWN, caller, meter_of};
use super::requests::{About, request};
use super::table::Table;

/// Everything of an answer that a caller sees and that is not about the single call.
fn seen(answer: Result<Vec<u8>, Status>) -> String {
    match answer {
        Ok(message) => format!("OK {}", hex::encode(message)),
        Err(status) => {
            let mut headers = status.metadata().clone().into_headers();
            headers.remove("date");
            headers.remove("mp169-time");
            format!(
                "{:?} {} {} {headers:?}",
                status.code(),
                status.message(),
                hex::encode(status.details())
            )
        }
    }
}

/// Calls an RPC about several things; every answer is to be `cell`, and the same.
async fn indistinguishable(lines: &Lines, rpc: &Rpc, cell: &str, about: &[About]) {
    let mut answers = Vec::new();
    for about in about {
        let message = request(&rpc.service(), rpc.name(), about);
        let answer = rpc.call(lines, message, &[]).await;
        let outcome = rpc.outcome(answer.clone());
        assert_eq!(outcome.cell(), cell, "{} of {about:?}", rpc.name());
        answers.push(seen(answer));
    }
    let same = answers.iter().all(|answer| *answer == answers[0]);
    assert!(same, "{}: {answers:#?}", rpc.name());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_probe_for_devices_or_parties() {
    let (world, table) = (World::new().await, Table::read());
    let wrong = caller("wrong");
    let lines = Lines::of(&world.mesh, wrong);
    let about = About::of(wrong, &world.sent);
    let devices = [meter_of(RIGHT), UNKNOWN, NOBODYS, HUB].map(|device| About {
        device,
        ..about.clone()
    });
    let parties = [RIGHT, "NO-SUCH-PARTY"].map(|party| About {
        party,
        ..about.clone()
    });
    let (mut of_devices, mut of_parties) = (0, 0);
    for rpc in rpcs() {
        match table.row(&rpc).unwrap().cell(wrong.column) {
            cell @ ("resp" | "item") => {
                indistinguishable(&lines, &rpc, cell, &devices).await;
                of_devices += 1;
            }
            cell @ "own" => {
                indistinguishable(&lines, &rpc, cell, &parties).await;
                of_parties += 1;
            }
            _ => {}
        }
    }
    assert!(of_devices >= 6, "only {of_devices} RPCs are about a Device");
    assert!(of_parties >= 4, "only {of_parties} RPCs are about a party");
}
