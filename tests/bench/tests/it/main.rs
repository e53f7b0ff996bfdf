//! Does the benchmark still run to its end, and are its answers right?

use std::process::Command;

use serde_json::Value;

/// What comes out of very short turns, and what is said meanwhile.
fn measured(args: &[&str]) -> (Value, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_mesh-bench"))
        .args(["--rounds", "1", "--seconds", "0.1", "--rows", "900"])
        .args(["--homes", "600", "--output", "json"])
        .args(args)
        .output()
        .expect("the benchmark runs");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{said}");
    let report = serde_json::from_slice(&ran.stdout).expect("a report");
    (report, said)
}

#[test]
fn every_figure_is_measured_beside_its_baseline() {
    let (report, said) = measured(&[]);
    let figures = report["figures"].as_array().unwrap();
    let names: Vec<_> = figures.iter().map(|f| f["figure"].as_str()).collect();
    let figures_in_order = [
        "classify",
        "classify-firmware",
        "stream",
        "stream-raw",
        "add",
        "add-bare",
        "add-8",
        "add-64",
        "add-batch",
        "add-batch-etcd",
        "add-pgbench",
        "add-8-pgbench",
        "add-64-pgbench",
        "add-etcd",
        "add-8-etcd",
        "add-64-etcd",
        "deliver",
        "deliver-recorded",
        "recorded",
        "recorded-past",
        "beside-50",
        "beside-700",
        "foreign",
        "foreign-batch",
        "foreign-beside-own",
        "door",
        "door-flood",
        "door-hellos",
        "change-supplier",
        "change-supplier-written",
        "import",
        "outcomes",
    ];
    // A peer that is not installed is told of, and only what stands beside one may be missing.
    let left_out = |name: &str| said.contains(&format!("not measured: {name}, "));
    let beside_a_peer = |name: &str| {
        name.ends_with("-pgbench")
            || name.ends_with("-etcd")
            || ["deliver", "deliver-recorded", "import", "outcomes"].contains(&name)
    };
    let expected: Vec<_> = figures_in_order
        .into_iter()
        .filter(|name| !(beside_a_peer(name) && left_out(name)))
        .map(Some)
        .collect();
    assert_eq!(names, expected);
    for figure in figures {
        let ratio = figure["ratio"]["median"].as_f64();
        assert!(ratio.is_some_and(|ratio| ratio > 0.0), "{figure}");
    }
    let readers = &report["idle_readers"];
    assert_eq!(readers["readers"].as_u64(), Some(200), "{readers}");
}

#[test]
fn what_writes_is_measured_on_a_server_too() {
    if mesh_testkit::postgres::Server::start().is_none() {
        return;
    }
    let (report, _) = measured(&[
        "--engine=postgres",
        "--no-readers",
        "--only=add",
        "--only=add-bare",
        "--only=add-batch",
        "--only=recorded-past",
        "--only=import",
    ]);
    assert_eq!(report["engine"], "postgres");
    let figures = report["figures"].as_array().unwrap();
    let names: Vec<_> = figures
        .iter()
        .map(|f| f["figure"].as_str().unwrap())
        .collect();
    let expected = ["add", "add-bare", "add-batch", "recorded-past", "import"];
    assert_eq!(names, expected);
}
