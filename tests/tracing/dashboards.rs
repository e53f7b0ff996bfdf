//! Is each metric that the dashboard and the alerts ask for one that the services emit, with the labels that they
//! ask for; and does docs/telemetry.md say what each is?

mod documented;
mod journey;
mod promql;

use std::path::{Path, PathBuf};

use mesh_testkit::wait_until;
use promql::{Query, Series};
use serde::Deserialize;

use crate::{names_a_device, otlp};

/// A file or folder of the project.
fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap()
}

#[derive(Debug, Deserialize)]
struct Dashboard {
    panels: Vec<Panel>,
    templating: Templating,
}

#[derive(Debug, Deserialize)]
struct Panel {
    title: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    datasource: Datasource,
    #[serde(default)]
    expr: String,
    #[serde(default, rename = "legendFormat")]
    legend: String,
}

#[derive(Debug, Deserialize)]
struct Datasource {
    #[serde(rename = "type")]
    kind: String,
    uid: String,
}

#[derive(Debug, Deserialize)]
struct Templating {
    list: Vec<Variable>,
}

#[derive(Debug, Deserialize)]
struct Variable {
    definition: String,
}

#[derive(Debug, Deserialize)]
struct Alerts {
    groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
struct Rule {
    alert: String,
    expr: String,
    labels: RuleLabels,
    annotations: Annotations,
}

#[derive(Debug, Deserialize)]
struct RuleLabels {
    severity: String,
}

#[derive(Debug, Deserialize)]
struct Annotations {
    summary: String,
    description: String,
    action: String,
    runbook: String,
}

fn dashboard() -> Dashboard {
    serde_json::from_str(&read("deploy/grafana/dashboards/mp169.json")).unwrap()
}

fn rules() -> Vec<Rule> {
    let alerts: Alerts = serde_saphyr::from_str(&read("deploy/alerts/mp169.yaml")).unwrap();
    let groups = alerts.groups.into_iter();
    groups.flat_map(|group| group.rules).collect()
}

/// What the dashboard and the alerts ask Prometheus, each with the labels that its legend or its text shows.
fn queries() -> Vec<Query> {
    let dashboard = dashboard();
    let panels = dashboard.panels.iter().flat_map(|panel| {
        let targets = panel.targets.iter();
        let asked = targets.filter(|target| target.datasource.kind == "prometheus");
        asked.map(|target| Query::new(&panel.title, &target.expr, &target.legend))
    });
    let variables = dashboard.templating.list.iter().map(|variable| {
        let asked = variable.definition.strip_prefix("label_values(");
        let asked = asked.and_then(|asked| asked.strip_suffix(')')).unwrap();
        let (metric, label) = asked.split_once(", ").unwrap();
        Query::new("a variable", metric, &format!("{{{{{label}}}}}"))
    });
    let rules = rules().into_iter().map(|rule| {
        let shown = format!(
            "{} {}",
            rule.annotations.summary, rule.annotations.description
        );
        Query::new(&rule.alert, &rule.expr, &shown)
    });
    panels.chain(variables).chain(rules).collect()
}

/// Everything that Prometheus would fetch from this process now.
async fn fetched() -> Series {
    Series::read(&otlp::scraped().await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_of_dashboard_and_alerts_is_emitted_and_documented() {
    let queries = queries();
    assert!(queries.len() > 60, "{}", queries.len());
    let journey = journey::begin().await;
    wait_until("all that is asked for to be emitted", async || {
        let series = fetched().await;
        let faults: Vec<_> = queries
            .iter()
            .flat_map(|query| query.faults(&series))
            .collect();
        if faults.is_empty() {
            Ok(())
        } else {
            Err(format!("\n{}", faults.join("\n")))
        }
    })
    .await;
    documented::check();
    journey.end().await;
    let text = otlp::scraped().await + &otlp::records();
    let named = text.lines().find(|line| names_a_device(line));
    assert_eq!(named, None, "a Device is named");
}

#[test]
fn what_is_not_emitted_is_found() {
    let text = "# HELP a_seconds An age\n\
        a_seconds{mp169_service=\"registration\",log=\"a \\\"b\"} 3\n\
        b_total{outcome=\"accepted\"} 1\n\
        c_seconds_bucket{le=\"+Inf\"} 1\n";
    let series = Series::read(text);
    let faults = |expr: &str, shown: &str| Query::new("a panel", expr, shown).faults(&series);
    for sound in [
        "max by (mp169_service, instance) (a_seconds) > 3",
        "sum by (outcome) (rate(b_total[5m])) / sum by (outcome) (rate(b_total[5m]))",
        "histogram_quantile(0.9, sum by (le) (rate(c_seconds_bucket[$__rate_interval])))",
        "max by (log) (a_seconds) - on (log) group_right () a_seconds{mp169_service=~\"$service\"}",
    ] {
        assert_eq!(faults(sound, ""), [""; 0], "{sound}");
    }
    let many = "max by (log) (a_seconds) - on (log) group_right () a_seconds";
    assert_eq!(faults(many, "{{mp169_service}}"), [""; 0]);
    for (renamed, shown) in [
        ("a_second", ""),
        ("rate(b[5m])", ""),
        ("sum by (reason) (b_total)", ""),
        ("b_total{reason=\"x\"}", ""),
        ("b_total{outcome=\"refused\"}", ""),
        ("b_total", "{{reason}}"),
        ("b_total", "{{ $labels.reason }}"),
        ("sum(b_total)", "{{outcome}}"),
        ("sum by (outcome) (sum by (le) (b_total))", ""),
        ("histogram_quantile(0.9, rate(b_total[5m]))", ""),
        ("a_seconds * on (outcome) b_total", ""),
        (
            "a_seconds - on (log) group_right () max by (log) (a_seconds)",
            "{{mp169_service}}",
        ),
    ] {
        assert_ne!(faults(renamed, shown), [""; 0], "{renamed} {shown}");
    }
}

#[test]
fn every_panel_says_what_it_shows_and_every_alert_what_to_do() {
    for panel in dashboard()
        .panels
        .iter()
        .filter(|panel| panel.kind != "row")
    {
        let Panel {
            title,
            description,
            targets,
            ..
        } = panel;
        assert!(!title.is_empty() && !targets.is_empty(), "{panel:?}");
        assert!(description.ends_with('.'), "{title}: {description}");
        for Target { datasource, .. } in targets {
            assert_eq!(datasource.uid, datasource.kind, "{title}: the usual source");
        }
    }
    for Rule {
        alert,
        labels,
        annotations,
        ..
    } in rules()
    {
        assert!(["page", "ticket"].contains(&&*labels.severity), "{alert}");
        let said = [&annotations.description, &annotations.action];
        assert!(said.iter().all(|said| said.ends_with('.')), "{alert}");
        let (file, section) = annotations.runbook.split_once('#').unwrap();
        let text = read(file);
        let sections = text.lines().filter(|line| line.starts_with('#'));
        let found = sections.map(anchor).any(|anchor| anchor == section);
        assert!(found, "{alert}: {file} has no section {section}");
    }
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
