//! The mesh as its users run it: the containers of `docker-compose.yml` are built, scaled, killed, paused and
//! cut off, while suppliers, the DSP and CSPs go on.
//!
//! Needs a docker engine, and takes minutes: tried only where `MP169_COMPOSE=1` is set.

mod docker;
mod load;
mod telemetry;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mesh_api::convert::timestamp_to_wire;
use mesh_types::{Clock as _, SystemClock};
use serde::{Deserialize, Serialize};

use docker::{Load, Project};

/// What the load has seen.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Summary {
    /// Changes of flags that were acknowledged.
    acknowledged: usize,
    /// Messages that were decided.
    classified: usize,
    /// Events of the log `flags`.
    events: usize,
    /// How many streams of each CSP ended.
    streams_ended: [usize; 2],
    /// How many processes of classification decide by the last event, and are fresh.
    classifiers: usize,
    /// How long the last of them took for that.
    slowest: Duration,
    /// How other calls ended.
    failures: BTreeMap<String, usize>,
}

/// Those of whom one container is killed, each in its turn.
const KILLED: [&str; 5] = [
    "classification",
    "flag-registry",
    "csp-notification",
    "reporting",
    "registration",
];

#[test]
fn containers_come_and_go_and_nothing_that_was_acknowledged_is_lost() {
    let Some(project) = Project::to_try() else {
        return;
    };
    let begun = Instant::now();
    project.compose(&["build"]);
    println!("built in {:?}", begun.elapsed());
    let begun = Instant::now();
    project.compose(&["up", "--detach", "--wait"]);
    println!("up and healthy in {:?}", begun.elapsed());
    project.compose(&["run", "--rm", "mp169", "demo", "--json"]);
    telemetry::a_change_is_one_trace(&project);
    for command in ["sample", "doctor"] {
        // Whatever the doctor finds is an exit code other than 0.
        project.compose(&["run", "--rm", "mp169", command]);
    }
    project.compose(&[
        "up",
        "--detach",
        "--wait",
        "--scale",
        "classification=3",
        "--scale",
        "flag-registry=2",
    ]);

    let load = project.start_load();
    for service in KILLED {
        let victim = &project.containers(service)[0];
        step(&format!("kill {service}"));
        project.docker(&["kill", victim]);
        project.docker(&["start", victim]);
        project.is_healthy(victim);
        load.goes_on();
    }
    the_database_goes_away(&project, &load);
    networks_are_cut(&project, &load);

    step("look at what has become of it");
    telemetry::every_panel_shows_something(&project);
    let summary = load.end();
    println!("{summary:#?}");
    assert_eq!(summary.classifiers, 3);
    let worst: Vec<_> = summary
        .failures
        .keys()
        .filter(|code| *code != "UNAVAILABLE")
        .collect();
    assert!(worst.is_empty(), "{worst:?}");
    println!(
        "{}",
        project.docker(&[
            "stats",
            "--no-stream",
            "--format",
            "{{.Name}} {{.MemUsage}}"
        ])
    );
    project.compose(&["run", "--rm", "mp169", "demo", "--json"]);
    project.compose(&["run", "--rm", "mp169", "log", "verify"]);
    project.compose(&["run", "--rm", "backup", "--to", "/tmp/copy"]);
}

/// Says when a step begins: what the load says that it failed at happened in one of them.
fn step(what: &str) {
    println!("{} {what}", utc());
}

/// The time, as people read it.
fn utc() -> String {
    timestamp_to_wire(SystemClock.now()).to_string()
}

fn the_database_goes_away(project: &Project, load: &Load) {
    step("restart postgres");
    project.compose(&["restart", "postgres"]);
    load.goes_on();
    let (database, registry) = (
        &project.containers("postgres")[0],
        &project.containers("registration")[0],
    );
    step("pause postgres");
    project.docker(&["pause", database]);
    project.does_not_serve(registry);
    let classifier = &project.containers("classification")[0];
    assert_eq!(
        project.probe(classifier).as_deref(),
        Ok("SERVING"),
        "it answers from memory"
    );
    step("unpause postgres");
    project.docker(&["unpause", database]);
    project.is_healthy(registry);
    load.goes_on();
}

/// One of several is cut off, and comes back.
fn networks_are_cut(project: &Project, load: &Load) {
    for service in ["flag-registry", "classification"] {
        let victim = &project.containers(service)[0];
        let network = project.network("mesh");
        step(&format!("cut off {service}"));
        project.docker(&["network", "disconnect", &network, victim]);
        load.goes_on();
        step(&format!("connect {service}"));
        project.docker(&["network", "connect", "--alias", service, &network, victim]);
        project.is_healthy(victim);
        load.goes_on();
    }
}

/// Not a test of its own: what the test above runs in a container beside the services.
#[tokio::test(flavor = "multi_thread")]
async fn calls_from_within() {
    if std::env::var_os(docker::WITHIN).is_none() {
        println!("not tried: this is no container of the mesh");
        return;
    }
    let summary = load::run().await;
    println!(
        "{}{}",
        docker::SUMMARY,
        serde_json::to_string(&summary).unwrap()
    );
}
