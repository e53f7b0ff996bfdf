//! Can what was known be asked for, by a time or by an event's number, and what was true?

use jiff::{SignedDuration, Timestamp, Unit};

use crate::world::World;

const METER: &str = "02-DC-C1-00-00-00-01-E0";
const MPAN: &str = "1300000000016";

/// Whether every line ends well and prints all of these and none of those.
async fn shows(world: &World, line: &str, all: &[&str], none: &[&str]) {
    let printed = world.ok(line).await;
    for text in all {
        assert!(
            printed.contains(text),
            "{line} does not show {text}\n{printed}"
        );
    }
    for text in none {
        assert!(!printed.contains(text), "{line} shows {text}\n{printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_or_a_time_says_what_counts() {
    let world = World::with_examples().await;
    world.flag(METER).await;
    let flagged = Timestamp::now();
    let remove = format!("mp169 flag remove --as DRAGON {METER} --channel online --evidence E-2");
    world.ok(&remove).await;

    let get = format!("mp169 flag get --as DRAGON {METER}");
    shows(&world, &get, &["NOT_FLAGGED"], &[]).await;
    for then in ["1", &flagged.to_string()] {
        let get = format!("{get} --as-of {then}");
        shows(&world, &get, &["FLAGGED", "FLAG_ADDED"], &["NOT_FLAGGED"]).await;
        let history = format!("mp169 flag history --as DRAGON {METER} --as-of {then}");
        shows(&world, &history, &["E-1"], &["E-2"]).await;
        let list = format!("mp169 flag list --as DRAGON --state flagged --as-of {then}");
        shows(&world, &list, &[METER], &[]).await;
    }
    let true_then = format!("{get} --valid-at {flagged}");
    shows(&world, &true_then, &["FLAG_ADDED"], &["NOT_FLAGGED"]).await;
    let before = format!("{get} --valid-at 2025-06-30");
    shows(&world, &before, &["NOT_FLAGGED"], &[]).await;
    for (then, reason) in [
        ("99", "POSITION_NOT_REACHED"),
        ("2999-01-01", "FIELD_INVALID"),
    ] {
        let ended = world.run(&format!("{get} --as-of {then}")).await;
        assert_eq!(ended.code, Some(5), "{ended:?}");
        assert!(ended.stderr.contains(reason), "{ended:?}");
    }
    world.stop().await;
}

/// Which registration is withdrawn need not be said if it is the supplier's last one.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_announced_withdrawn_and_still_known() {
    let world = World::with_examples().await;
    let hours = |hours| {
        let at = Timestamp::now() + SignedDuration::from_hours(hours);
        at.round(Unit::Second).unwrap()
    };
    let change = format!("mp169 device change-supplier {MPAN} EAGLE --from");
    let late = world.run(&format!("{change} {}", hours(91 * 24))).await;
    assert_eq!(late.code, Some(5), "{late:?}");
    assert!(late.stderr.contains("more than 90 days ahead"), "{late:?}");
    let start = hours(48);
    world.ok(&format!("{change} {start}")).await;
    let announced = Timestamp::now();

    let withdraw = format!("mp169 device withdraw-registration {MPAN}");
    let told = world.ok(&format!("{withdraw} EAGLE")).await;
    assert!(told.contains(&format!("EAGLE from {start}")), "{told}");
    assert!(told.contains("DRAGON"), "{told}");
    let registrations = format!("mp169 device registrations {MPAN}");
    shows(&world, &registrations, &["DRAGON"], &["EAGLE"]).await;
    let known = format!("{registrations} --as-of {announced}");
    shows(&world, &known, &["DRAGON", "EAGLE"], &[]).await;

    for (line, code, said) in [
        (format!("{withdraw} EAGLE --start {start}"), 5, "NOT_FOUND"),
        (format!("{withdraw} EAGLE"), 5, "NOT_FOUND"),
        (format!("{withdraw} DRAGON"), 4, "change-supplier"),
        (format!("{withdraw} DRAGON --as auditor"), 3, "--as"),
    ] {
        let ended = world.run(&line).await;
        assert_eq!(ended.code, Some(code), "{line}\n{ended:?}");
        assert!(ended.stderr.contains(said), "{line}\n{ended:?}");
    }
    world.ok(&format!("{change} {start}")).await;
    let json = world
        .ok(&format!("{withdraw} EAGLE --start {start} --output json"))
        .await;
    let answer: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(answer["withdrawn"]["partyId"], "EAGLE", "{answer}");
    assert_eq!(answer["resumed"]["partyId"], "DRAGON", "{answer}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn registration_and_parties_answer_as_of_before() {
    let world = World::with_examples().await;
    let before = Timestamp::now();
    world
        .ok(&format!("mp169 device change-supplier {MPAN} EAGLE"))
        .await;

    let authority = format!("mp169 authority get {METER}");
    shows(&world, &authority, &["EAGLE"], &["DRAGON"]).await;
    for then in [format!("--as-of {before}"), format!("--valid-at {before}")] {
        let authority = format!("{authority} {then}");
        shows(&world, &authority, &["DRAGON"], &["EAGLE"]).await;
    }
    let registrations = format!("mp169 device registrations {MPAN}");
    shows(&world, &registrations, &["DRAGON", "EAGLE"], &[]).await;
    let known = format!("{registrations} --as-of {before}");
    shows(&world, &known, &["DRAGON"], &["EAGLE"]).await;
    let held = format!("{registrations} --valid-at {before}");
    shows(&world, &held, &["DRAGON"], &["EAGLE"]).await;

    let device = format!("mp169 device get {METER} --as-of {before}");
    shows(&world, &device, &[MPAN], &[]).await;
    shows(&world, "mp169 device list --as-of 1", &["CHF"], &["ESME"]).await;
    shows(
        &world,
        "mp169 party list --as-of 1",
        &["DRAGON"],
        &["EAGLE"],
    )
    .await;
    let unknown = world.run("mp169 party get EAGLE --as-of 1").await;
    assert_eq!(unknown.code, Some(5), "{unknown:?}");
    world.stop().await;
}
