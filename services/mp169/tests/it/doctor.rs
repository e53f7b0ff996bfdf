//! Does the doctor name what is wrong with a mesh, and say what to do? Does the screen show it?

mod world;

use std::process::Stdio;
use std::time::{Duration, Instant};

use mesh_testkit::wait_until;
use mp169::load::load;
use mp169::sample::{self, Home};
use mp169::service::Service;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use world::{Trouble, World};

/// Whether a finding is about this, and says that.
fn is(line: &Value, check: &str, subject: &str, says: &str) -> bool {
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    line["check"] == check
        && text("subject").contains(subject)
        && text("says").contains(says)
        && !text("do").is_empty()
        && text("see").starts_with("docs/operations.md: ")
}

fn has(lines: &[Value], check: &str, subject: &str, says: &str) -> bool {
    lines.iter().any(|line| is(line, check, subject, says))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_that_is_well_is_said_to_be_also_to_an_operator_elsewhere() {
    let world = World::start(Trouble::default()).await;
    world.is_well().await;
    let (code, said, _) = world.run(&["doctor"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("All is well, by "), "{said}");
    let elsewhere = world.folder().path().join("operator");
    let elsewhere = elsewhere.to_str().unwrap();
    let (code, ..) = world.run(&["certificate", "issue", "operator", "--out", elsewhere]);
    assert_eq!(code, Some(0));
    let (code, said, complaint) = world.run(&["doctor", "--home", elsewhere]);
    assert_eq!(code, Some(0), "{said}{complaint}");
    // Who may not ask is told so, and not that everything is broken.
    let (code, said, _) = world.run(&["doctor", "--as", "dsp"]);
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("name an identity with --as"), "{said}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_stopped_and_who_follows_it_are_named() {
    let mut world = World::start(Trouble::default()).await;
    world.is_well().await;
    world.stop(Service::FlagRegistry).await;
    let bad = world
        .diagnosis("what follows from that", |code, bad| {
            code == 6
                && has(bad, "answer", "flag-registry", "does not answer")
                && has(bad, "freshness", "classification of flags", "STALE")
                && has(bad, "follower", "reporting of flags", "does not follow")
        })
        .await;
    // Who has nothing to do with it is well.
    assert!(
        !bad.iter().any(|line| line["subject"] == "registration"),
        "{bad:?}"
    );
    let last = bad.last().unwrap();
    assert!(
        is(last, "answer", "flag-registry", "does not run"),
        "{last}"
    );
    let (code, screen, _) = world.run(&["status"]);
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("NOT WELL"), "{screen}");
    assert!(screen.contains("does not answer"), "{screen}");
    assert!(screen.contains("not reached"), "{screen}");
    let message = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/messages/read-half-hours.xml"
    );
    let (code, table, _) = world.run(&["classify", message]);
    assert_eq!(code, Some(0), "{table}");
    assert!(table.contains("the classifier is STALE"), "{table}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_near_its_end_and_a_clock_ahead_are_named() {
    let ahead = (Service::CspNotification, Duration::from_secs(45));
    let world = World::start(Trouble {
        ahead: Some(ahead),
        ..Trouble::default()
    })
    .await;
    world.let_certificate_near_its_end(Service::Registration);
    let bad = world
        .diagnosis("both to be named", |code, bad| {
            code == 6
                && has(bad, "certificate", "of registration", "in 3 days")
                && has(bad, "clock", "csp-notification", "ahead of this machine's")
        })
        .await;
    let certificate = bad
        .iter()
        .find(|line| line["check"] == "certificate")
        .unwrap();
    assert_eq!(certificate["grade"], "wrong");
    assert_eq!(certificate["see"], "docs/operations.md: Certificates");
    let clocks = bad.iter().filter(|line| line["check"] == "clock");
    assert_eq!(clocks.count(), 1, "{bad:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_is_held_back_is_named_with_how_far_it_is() {
    let world = World::start(Trouble {
        cuttable: true,
        ..Trouble::default()
    })
    .await;
    world.is_well().await;
    world.cut();
    let end = Home::new(9).hub().to_string();
    let rows = sample::rows(sample::SINCE).unwrap().into_iter();
    let rows = rows.take_while(|row| !format!("{row:?}").contains(&end));
    load(world.folder(), rows.collect::<Vec<_>>(), |_| {})
        .await
        .unwrap();
    let meter = Home::new(8).esme().to_string();
    let add = format!(
        "flag add --as ALBION {meter} --channel telephone --evidence CALL-7 --contact CRM-7 \
         --step benefits-explained --no-economy-7 --no-radio-teleswitch \
         --no-network-managed-without-wan"
    );
    let add: Vec<_> = add.split_whitespace().collect();
    wait_until("the flag to be set", async || match world.run(&add) {
        (Some(0), ..) => Ok(()),
        refused => Err(format!("{refused:?}")),
    })
    .await;
    world
        .diagnosis("reporting to be named", |_, bad| {
            has(bad, "follower", "reporting of flags", "does not follow")
                && !bad
                    .iter()
                    .any(|line| line["subject"] == "classification of flags")
        })
        .await;
    wait_until("the screen to tell of it", async || {
        let (code, screen, _) = world.run(&["status"]);
        assert_eq!(code, Some(0), "{screen}");
        let told = screen.contains("reporting 1 behind, LOST since")
            && screen.contains("classification up to date");
        if told { Ok(()) } else { Err(screen) }
    })
    .await;
    let (_, line, _) = world.run(&["status", "--output", "json"]);
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["well"], false);
    assert_eq!(line["services"].as_array().map(Vec::len), Some(5));
    assert_eq!(line["services"][2]["status"]["flaggedDevices"], "1");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_a_connection_and_says_nothing_is_one_finding() {
    let world = World::start(Trouble::default()).await;
    world.is_well().await;
    let _silent = world.lead_astray(Service::Reporting).await;
    let asked = Instant::now();
    let (code, said, complaint) = world.run(&["doctor", "--output", "json"]);
    // Two rounds of questions, each with its deadline.
    assert!(
        asked.elapsed() < Duration::from_secs(9),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(code, Some(6), "{said}{complaint}");
    let lines = said.lines().map(|line| serde_json::from_str(line).unwrap());
    let bad: Vec<Value> = lines.filter(|line: &Value| line["grade"] != "ok").collect();
    let [silent] = &bad[..] else {
        panic!("{bad:#?}");
    };
    assert!(
        is(silent, "answer", "reporting", "does not answer"),
        "{silent}"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_screen_that_is_watched_is_shown_again_until_ctrl_c() {
    let world = World::start(Trouble::default()).await;
    world.is_well().await;
    for output in ["table", "json"] {
        let mut watch = world.command(&["status", "--watch", "--output", output]);
        let mut child = watch.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut looks = 0;
        while looks < 2 {
            let line = lines.next_line().await.unwrap().unwrap();
            looks += u32::from(line.contains("All is well") || line.contains("\"well\":true"));
        }
        let process = child.id().unwrap().to_string();
        let told = Command::new("kill").args(["-INT", &process]).status().await;
        assert!(told.unwrap().success());
        assert_eq!(child.wait().await.unwrap().code(), Some(0), "{output}");
    }
    world.end().await;
}
