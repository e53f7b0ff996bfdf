//! Does a watch end cleanly, and say where to go on?

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::world::World;

const METER: &str = "02-DC-C1-00-00-00-01-E0";
const OTHER: &str = "02-DC-C1-00-00-00-02-E0";

async fn ended(mut child: Child) -> (Option<i32>, String) {
    let mut said = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut said).await.unwrap();
    (child.wait().await.unwrap().code(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_a_watch_with_the_place_to_go_on() {
    let world = World::with_examples().await;
    let line = "exec mp169 csp watch --as CSP-CENTRAL --output json";
    let mut child = world.shell(line).spawn().unwrap();
    world.flag(METER).await;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let change = lines.next_line().await.unwrap().unwrap();
    assert!(
        change.contains(METER) && change.contains("REDUCED"),
        "{change}"
    );
    let process = child.id().unwrap().to_string();
    let told = Command::new("kill").args(["-INT", &process]).status().await;
    assert!(told.unwrap().success());
    let (code, said) = ended(child).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("--after 1"), "{said}");

    world.flag(OTHER).await;
    let rest = "mp169 csp watch --as CSP-CENTRAL --after 1 --output json | head -n 1";
    let rest = world.ok(rest).await;
    assert!(rest.contains(OTHER) && !rest.contains(METER), "{rest}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_whose_reader_went_away_ends_by_itself() {
    let world = World::with_examples().await;
    let (reader, writer) = std::io::pipe().unwrap();
    let line = "exec mp169 csp watch --as CSP-CENTRAL --acknowledge";
    let mut watch = world.shell(line);
    let child = watch.stdout(Stdio::from(writer)).spawn().unwrap();
    drop((reader, watch));
    let (code, said) = ended(child).await;
    assert_eq!(code, Some(0), "{said}");

    // What nobody read is not acknowledged.
    world.flag(METER).await;
    let next = "mp169 csp watch --as CSP-CENTRAL --output json | head -n 1";
    let next = world.ok(next).await;
    assert!(next.contains(METER), "{next}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_says_what_it_has_seen_and_what_to_do_when_the_log_went_back() {
    let world = World::with_examples().await;
    world.flag(METER).await;
    let watch = "mp169 csp watch --as CSP-CENTRAL";
    let one = format!("{watch} --output json | head -n 1");
    let first = world.run(&one).await.stderr;
    let (_, right) = first.trim_end().rsplit_once("--after ").unwrap();
    assert!(right.starts_with("1@"), "{first}");
    // The same event with another hash: what was seen is gone.
    let last = if right.ends_with('0') { '1' } else { '0' };
    let wrong = format!("{}{last}", &right[..right.len() - 1]);
    let refused = world.run(&format!("{watch} --after {wrong}")).await;
    assert_eq!(refused.code, Some(6), "{refused:?}");
    for said in ["LOG_WENT_BACK", "--from snapshot", "tell the operator"] {
        assert!(refused.stderr.contains(said), "{said}\n{refused:?}");
    }
    for lag in ["mp169 csp lag", "mp169 csp lag --as CSP-CENTRAL"] {
        let lag = world.run(lag).await;
        assert_eq!(lag.code, Some(7), "{lag:?}");
        assert!(lag.stdout.contains("WENT BACK behind event 1"), "{lag:?}");
        assert!(lag.stderr.contains("central"), "{lag:?}");
    }
    world.ok(&format!("{watch} --once --after {right}")).await;
    let lag = world.ok("mp169 csp lag").await;
    assert!(lag.contains("whole"), "{lag}");
    world.stop().await;
}
