//! Rows that are compared with their logs: where they are served, and in a copy.

use std::path::Path;

use mesh_testkit::wait_until;
use mp169::sample::Home;
use sqlx::{Connection as _, SqliteConnection};

use super::{flagged, json_lines, mp169};

const VERIFY: [&str; 5] = ["log", "verify", "--state", "--output", "json"];

async fn execute(database: &Path, statement: &'static str) {
    let url = format!("sqlite://{}", database.display());
    let mut conn = SqliteConnection::connect(&url).await.unwrap();
    let done = sqlx::query(statement).execute(&mut conn).await.unwrap();
    assert!(done.rows_affected() > 0, "{statement}");
    conn.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_compare_their_rows_with_their_logs_when_they_are_asked() {
    let world = flagged().await;
    // Once all of them serve.
    let lines = json_lines(&world.ends_with(0, &VERIFY).await);
    let states = |of: &str| {
        let of = of.to_owned();
        let lines = lines.iter().filter(move |line| line["state_of"] == *of);
        lines.cloned().collect::<Vec<_>>()
    };
    let compared = states("registration");
    let logs = compared
        .iter()
        .map(|line| line["comparison"]["log"].as_str());
    let logs: Vec<_> = logs.flatten().collect();
    assert_eq!(logs, ["parties", "devices", "devices"], "{compared:?}");
    let flags = states("flag-registry");
    assert_eq!(flags[0]["comparison"]["fit"], "3", "{flags:?}");
    assert_eq!(flags[1]["file_is_whole"], true, "{flags:?}");
    let figures = states("reporting");
    assert_eq!(figures[0]["comparison"]["log"], "outcomes", "{figures:?}");
    let none = states("classification");
    assert_eq!(none[0]["remark"], "it keeps no database", "{none:?}");
    let table = world.run(&["log", "verify", "--state"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("as they were made"), "{table}");

    // Behind the back of the running service, long before it looks by itself again.
    execute(
        &world.home().join("flag-registry.db"),
        "UPDATE flag_entry SET flagged = 1 - flagged WHERE from_sequence = 3",
    )
    .await;
    let found = world.run(&["log", "verify", "--state"]);
    assert_eq!(found.status.code(), Some(7), "{found:?}");
    let said = String::from_utf8(found.stdout).unwrap();
    let esme = Home::new(8).esme();
    let expected = format!("flag_entry: flagged of {esme} from event 3 is not as it was made");
    assert!(said.contains(&expected), "{said}");
    let said = String::from_utf8(found.stderr).unwrap();
    assert!(said.contains("the state of flag-registry"), "{said}");
    // From then on it says so itself, whoever asks, and takes no writes.
    let told = world.ends_with(7, &["log", "verify"]).await;
    let told = String::from_utf8(told).unwrap();
    assert!(
        told.contains("flag-registry does not serve: damaged"),
        "{told}"
    );
    let remove = "flag remove --as ALBION --channel online --evidence WEB-9";
    let gsme = Home::new(8).gsme().to_string();
    let remove: Vec<_> = remove.split(' ').chain([gsme.as_str()]).collect();
    wait_until("a write to be refused", async || {
        let refused = world.run(&remove);
        match refused.status.code() {
            Some(6) => Ok(()),
            _ => Err(format!("{refused:?}")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_copy_are_compared_with_its_logs() {
    let home = flagged().await.stop().await;
    let verify = |file: &str| {
        let database = home.path().join(file);
        mp169(&[&VERIFY[..], &["--database", database.to_str().unwrap()]].concat())
    };
    for (file, comparisons) in [
        ("flag-registry.db", 1),
        ("registration.db", 3),
        ("csp-notification.db", 1),
        // It has no log, and rows that say the same twice.
        ("reporting.db", 2),
    ] {
        let verified = verify(file);
        assert_eq!(verified.status.code(), Some(0), "{verified:?}");
        let lines = json_lines(&verified.stdout);
        let compared = lines.iter().filter(|line| line["comparison"].is_object());
        assert!(compared.count() >= comparisons, "{lines:?}");
    }
    let audit = verify("flag-registry-audit.db");
    assert_eq!(audit.status.code(), Some(0), "{audit:?}");

    execute(
        &home.path().join("flag-registry.db"),
        "UPDATE flag_entry SET since = 'long ago' WHERE from_sequence = 3",
    )
    .await;
    let found = verify("flag-registry.db");
    assert_eq!(found.status.code(), Some(7), "{found:?}");
    let said = String::from_utf8(found.stdout).unwrap();
    assert!(said.contains("not of its column's kind"), "{said}");

    execute(
        &home.path().join("registration.db"),
        "DELETE FROM registration WHERE from_sequence = (SELECT max(from_sequence) FROM registration)",
    )
    .await;
    let found = verify("registration.db");
    assert_eq!(found.status.code(), Some(7), "{found:?}");
    let lines = json_lines(&found.stdout);
    let differences = lines.iter().filter_map(|line| {
        let differences = line["comparison"]["differences"].as_array()?;
        Some(differences.clone())
    });
    let differences: Vec<_> = differences.flatten().collect();
    let [missing] = &differences[..] else {
        panic!("{lines:?}");
    };
    assert_eq!(missing["kind"], "STATE_DIFFERENCE_KIND_MISSING");
    assert_eq!(missing["table"], "registration");
}
