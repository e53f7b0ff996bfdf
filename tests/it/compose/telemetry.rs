//! Does what the containers send arrive: something for each panel, and one trace with all that belongs to it?

use std::collections::BTreeSet;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::docker::{Project, succeeded, until};

/// The services that one change of a flag goes through.
const HOPS: [&str; 3] = ["mp169", "flag-registry", "registration"];
/// Those who apply it later.
const LINKED: [&str; 2] = ["classification", "csp-notification"];
const ADD: &str = "mp169.flag_registry.v1.FlagService/AddFlag";

/// Waits until each panel of the dashboard that asks Prometheus gets something for one of its questions.
pub(super) fn every_panel_shows_something(project: &Project) {
    let dashboard = project.read("deploy/grafana/dashboards/mp169.json");
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let prometheus = project.address("telemetry", 9090);
    let mut panels = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        let targets = panel["targets"].as_array();
        let asked = targets
            .into_iter()
            .flatten()
            .filter(|target| target["datasource"]["type"] == "prometheus");
        let asked: Vec<_> = asked
            .map(|target| target["expr"].as_str().unwrap())
            .collect();
        if asked.is_empty() {
            continue;
        }
        panels += 1;
        until(
            &format!("something in the panel {}", panel["title"]),
            || {
                let shows = asked
                    .iter()
                    .any(|expression| !results(&prometheus, expression).is_empty());
                if shows {
                    Ok(())
                } else {
                    Err(format!("{asked:?}"))
                }
            },
        );
    }
    assert!(panels > 20, "{panels}");
}

fn results(prometheus: &str, expression: &str) -> Vec<Value> {
    let expression = expression
        .replace("$service", ".*")
        .replace("$__rate_interval", "10m");
    let answer = get(&[
        &format!("http://{prometheus}/api/v1/query"),
        "--data-urlencode",
        &format!("query={expression}"),
    ]);
    assert_eq!(answer["status"], "success", "{expression}: {answer}");
    answer["data"]["result"].as_array().unwrap().clone()
}

/// Waits until there is a trace of a change with every hop, to which those who applied it link.
pub(super) fn a_change_is_one_trace(project: &Project) {
    let tempo = project.address("telemetry", 3200);
    let hops: BTreeSet<_> = HOPS.into_iter().collect();
    until("a trace with every hop and its links", || {
        let mut seen = Vec::new();
        for id in traces(&tempo, &format!("rpc.method={ADD}")) {
            let trace = trace(&tempo, &id);
            let services: BTreeSet<_> = HOPS
                .into_iter()
                .filter(|service| !spans_of(&trace, service).is_empty())
                .collect();
            if services != hops {
                seen.push(format!("{id}: {services:?}"));
                continue;
            }
            let unlinked: Vec<_> = LINKED
                .into_iter()
                .filter(|service| !links(&tempo, service, &id))
                .collect();
            if unlinked.is_empty() {
                return Ok(());
            }
            seen.push(format!("{id}: no link of {unlinked:?}"));
        }
        Err(format!("{seen:?}"))
    });
}

/// Whether a span of the service links to the trace.
fn links(tempo: &str, service: &str, wanted: &str) -> bool {
    traces(tempo, &format!("service.name={service}"))
        .iter()
        .any(|id| {
            let trace = trace(tempo, id);
            let spans = spans_of(&trace, service);
            let linked = spans
                .iter()
                .flat_map(|span| span["links"].as_array().into_iter().flatten());
            linked
                .filter_map(|link| link["traceId"].as_str())
                .any(|id| hexadecimal(id) == wanted)
        })
}

/// In JSON an id is base64, or hexadecimal digits.
fn hexadecimal(id: &str) -> String {
    match BASE64_STANDARD.decode(id) {
        Ok(octets) if octets.len() == 16 => hex::encode(octets),
        _ => id.to_owned(),
    }
}

fn traces(tempo: &str, tag: &str) -> Vec<String> {
    let answer = get(&[
        &format!("http://{tempo}/api/search"),
        "--data-urlencode",
        &format!("tags={tag}"),
        "--data-urlencode",
        "limit=300",
    ]);
    let found = answer["traces"].as_array().into_iter().flatten();
    found
        .map(|trace| trace["traceID"].as_str().unwrap().to_owned())
        .collect()
}

fn trace(tempo: &str, id: &str) -> Value {
    get(&[&format!("http://{tempo}/api/traces/{id}")])
}

fn spans_of<'t>(trace: &'t Value, service: &str) -> Vec<&'t Value> {
    let name = format!("\"{service}\"");
    let batches = trace["batches"].as_array().into_iter().flatten();
    let of_service = batches.filter(|batch| batch["resource"].to_string().contains(&name));
    let scopes = of_service.flat_map(|batch| {
        let scopes = batch["scopeSpans"].as_array().into_iter().flatten();
        scopes.chain([batch])
    });
    scopes
        .flat_map(|scope| scope["spans"].as_array().into_iter().flatten())
        .collect()
}

fn get(arguments: &[&str]) -> Value {
    let mut curl = Command::new("curl");
    let answer = succeeded(
        curl.args(["--silent", "--show-error", "--fail", "--get"])
            .args(arguments),
    );
    serde_json::from_str(&answer).unwrap()
}
