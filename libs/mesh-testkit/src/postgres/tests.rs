//! Does a throw-away server do what tests need of it, and does it leave nothing behind?

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::*;
use crate::wait_until;

/// Tells a copy of this test that it is the one to be killed.
const TO_BE_KILLED: &str = "MP169_TEST_TO_BE_KILLED";

#[test]
fn every_test_has_a_database_of_its_own_on_the_same_server() {
    let (Some(one), Some(other)) = (database(), database()) else {
        return;
    };
    assert_eq!(one.server().url(), other.server().url());
    one.sql("CREATE TABLE only_here (id bigint); INSERT INTO only_here VALUES (7), (8)");
    assert_eq!(one.sql("SELECT id, id + 1 FROM only_here"), "7|8\n8|9");
    assert_eq!(other.sql("SELECT to_regclass('only_here') IS NULL"), "t");
    assert_eq!(one.sql("SHOW server_encoding"), "UTF8");
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        assert_eq!(one.sql(&format!("SHOW {setting}")), "on");
    }
    // Whoever forgets to say how text sorts finds out.
    let sorted = "SELECT string_agg(t, '' ORDER BY t) FROM (VALUES ('B'), ('a'), ('_')) AS v (t)";
    assert_eq!(one.sql(sorted), "_aB");
    let name = one.name().to_owned();
    drop(one);
    let left = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
    assert_eq!(other.sql(&left), "0");
}

#[test]
fn a_url_leads_to_the_database_with_tls_and_without() {
    let Some(database) = database() else { return };
    let ask = |url: &str| {
        let mut psql = command(database.server().programs().join("psql"));
        let statement =
            "SELECT ssl, current_database() FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        psql.args(["--no-psqlrc", "-At", url, "-c", statement]);
        let ended = psql.output().unwrap();
        String::from_utf8_lossy(&ended.stdout).trim_end().to_owned()
    };
    let (url, name) = (database.url(), database.name());
    let plain = format!("{url}?sslmode=disable");
    assert_eq!(ask(&plain), format!("f|{name}"));
    let authority = database.server().authority();
    let verified = format!(
        "{url}?sslmode=verify-full&sslrootcert={}",
        authority.display()
    );
    assert_eq!(ask(&verified), format!("t|{name}"));
    let password = database.server().password();
    assert_eq!(
        ask(&plain.replace(password, "guessed")),
        "",
        "a wrong password"
    );
}

#[test]
fn a_server_that_is_killed_keeps_what_was_committed() {
    let Some(server) = Server::start() else {
        return;
    };
    let database = server.database();
    database.sql("CREATE TABLE kept (id bigint); INSERT INTO kept VALUES (1)");
    let began = "SELECT pg_postmaster_start_time()";
    let (first, url) = (server.sql(began), server.url());
    server.kill();
    assert!(server.psql("postgres", "SELECT 1").is_err(), "it answers");
    server.start_again();
    assert_eq!(database.sql("SELECT id FROM kept"), "1");
    assert!(
        server.log().contains("was not properly shut down"),
        "{}",
        server.log()
    );
    assert_ne!(server.sql(began), first);
    server.stop();
    assert!(server.psql("postgres", "SELECT 1").is_err(), "it answers");
    server.start_again();
    assert_eq!(database.sql("SELECT id FROM kept"), "1");
    assert_eq!(server.url(), url);
}

#[test]
fn a_server_that_is_paused_answers_when_it_goes_on() {
    let Some(server) = Server::start() else {
        return;
    };
    let mut psql = psql_of(&server);
    let mut psql = psql
        .args(["-c", "SELECT 1", "-c", "SELECT pg_sleep(3600)"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(psql.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "1");
    let paused = server.pause();
    let ask = || {
        let mut psql = psql_of(&server);
        psql.args(["-c", "SELECT 2"]).env("PGCONNECT_TIMEOUT", "2");
        psql.output().unwrap().stdout
    };
    assert_eq!(ask(), b"", "it answers");
    drop(paused);
    assert_eq!(ask(), b"2\n");
    let asleep = "query LIKE '%pg_sleep%'";
    let ended = server.sql(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {asleep} AND pid <> pg_backend_pid()"
    ));
    assert_eq!(ended, "t");
    assert!(!psql.wait().unwrap().success());
}

#[tokio::test]
async fn only_the_connections_that_are_meant_are_ended() {
    let (Some(database), Some(other)) = (crate::postgres::database(), crate::postgres::database())
    else {
        return;
    };
    let listen = |database: &Database| {
        let mut psql = psql_of(database.server());
        psql.args([
            "-d",
            database.name(),
            "-c",
            "LISTEN news",
            "-c",
            "SELECT pg_sleep(3600)",
        ]);
        psql.spawn().unwrap()
    };
    let (mut meant, mut beside) = (listen(&database), listen(&other));
    for database in [&database, &other] {
        let sleeping = "SELECT count(*) FROM pg_stat_activity \
                        WHERE datname = current_database() AND wait_event = 'PgSleep'";
        wait_until("the sleep to begin", async || {
            match database.sql(sleeping) {
                count if count == "1" => Ok(()),
                count => Err(count),
            }
        })
        .await;
    }
    assert_eq!(database.end_connections("query LIKE 'LISTEN%'"), 0);
    assert_eq!(database.end_connections("query LIKE 'SELECT pg_sleep%'"), 1);
    assert!(!meant.wait().unwrap().success());
    assert!(
        beside.try_wait().unwrap().is_none(),
        "the other one has ended"
    );
    drop(other);
    beside.wait().unwrap();
}

#[tokio::test]
async fn a_standby_follows_and_cannot_be_written() {
    let Some(primary) = Server::start() else {
        return;
    };
    let standby = primary.standby();
    assert_eq!(standby.sql("SELECT pg_is_in_recovery()"), "t");
    primary.sql("CREATE TABLE news (id bigint)");
    wait_until("the standby to follow", async || {
        standby.psql("postgres", "SELECT count(*) FROM news")
    })
    .await;
    let refused = standby.psql("postgres", "INSERT INTO news VALUES (1)");
    assert!(refused.unwrap_err().contains("read-only"));
    standby.sql("SELECT pg_promote()");
    standby.sql("INSERT INTO news VALUES (1)");
    assert_eq!(primary.sql("SELECT count(*) FROM news"), "0");
}

/// This process starts itself again, kills that one, and looks for what it has left.
#[tokio::test]
async fn a_server_ends_when_its_process_is_killed() {
    if std::env::var_os(TO_BE_KILLED).is_some() {
        let server = Server::start().unwrap();
        let _paused = server.pause();
        println!(
            "\nhome {} {}",
            server.home().display(),
            server.pid().as_raw_pid()
        );
        std::future::pending::<()>().await;
    }
    if programs::find().is_none() {
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([
        "--exact",
        "postgres::tests::a_server_ends_when_its_process_is_killed",
    ]);
    child.arg("--nocapture").env(TO_BE_KILLED, "true");
    let mut child = child.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told = lines.map(Result::unwrap).find_map(|line| {
        let (home, pid) = line.strip_prefix("home ")?.rsplit_once(' ')?;
        Some((PathBuf::from(home), pid.to_owned()))
    });
    let (home, pid) = told.unwrap();
    assert!(home.join("data/postmaster.pid").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the server to end and its folder to go", async || {
        let left = [&home, &Path::new("/proc").join(&pid)];
        if left.iter().any(|path| path.exists()) {
            Err(format!("{left:?}"))
        } else {
            Ok(())
        }
    })
    .await;
}

fn psql_of(server: &Server) -> Command {
    let mut psql = command(server.programs().join("psql"));
    psql.args(["--no-psqlrc", "-At", "--username=postgres", "--host"]);
    psql.arg(server.home())
        .args(["--port", &server.0.port.to_string()]);
    psql.stdout(Stdio::piped()).stderr(Stdio::null());
    psql
}
