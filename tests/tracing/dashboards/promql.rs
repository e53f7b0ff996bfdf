//! Which metrics and labels does a query need, and are there such series?

use std::collections::{BTreeMap, BTreeSet};

use promql_parser::parser::{self, Expr, LabelModifier, VectorMatchCardinality, VectorSelector};

/// Labels that Prometheus adds to whatever it gets.
const OF_THE_TARGET: [&str; 2] = ["job", "instance"];
/// A label whose values are those of a specification, of which a healthy mesh shows few.
const CODE: &str = "rpc_response_status_code";

type Labels = BTreeMap<String, String>;

/// Series by the names of their metrics.
#[derive(Debug)]
pub(super) struct Series(BTreeMap<String, Vec<Labels>>);

impl Series {
    /// Of what Prometheus fetches. The part of a line before its value is a selector, too.
    pub(super) fn read(text: &str) -> Self {
        let mut series: BTreeMap<String, Vec<Labels>> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (selector, _value) = line.rsplit_once(' ').unwrap();
            let Ok(Expr::VectorSelector(one)) = parser::parse(selector) else {
                panic!("{line}");
            };
            let labels = one.matchers.matchers.into_iter();
            let labels = labels.map(|label| (label.name, label.value)).collect();
            series.entry(one.name.unwrap()).or_default().push(labels);
        }
        Self(series)
    }
}

/// What somebody asks Prometheus.
#[derive(Debug)]
pub(super) struct Query {
    of: String,
    expr: Expr,
    /// The labels that are shown of its answer.
    shown: BTreeSet<String>,
}

impl Query {
    /// `text` shows labels of the answer, as `{{label}}` or `{{ $labels.label }}`.
    pub(super) fn new(of: &str, expr: &str, text: &str) -> Self {
        let filled = expr
            .replace("$__rate_interval", "5m")
            .replace("$service", ".*");
        let parsed = parser::parse(&filled);
        let shown = text.split("{{").skip(1).map(|rest| {
            let inside = rest.split("}}").next().unwrap().trim();
            let inside = inside.split(' ').next().unwrap();
            inside.trim_start_matches("$labels.").to_owned()
        });
        Self {
            of: of.to_owned(),
            expr: parsed.unwrap_or_else(|error| panic!("{of}: {error}: {expr}")),
            shown: shown.filter(|label| label != "$value").collect(),
        }
    }

    /// What it asks for and `series` do not have.
    pub(super) fn faults(&self, series: &Series) -> Vec<String> {
        let mut faults = Vec::new();
        check(&self.expr, &self.shown, series, &mut faults);
        let of = &self.of;
        faults
            .into_iter()
            .map(|fault| format!("{of}: {fault}"))
            .collect()
    }
}

/// Looks for what `expr` needs so that its answer has the labels `needed`.
fn check(expr: &Expr, needed: &BTreeSet<String>, series: &Series, faults: &mut Vec<String>) {
    match expr {
        Expr::Aggregate(aggregate) => {
            let kept = match &aggregate.modifier {
                Some(LabelModifier::Include(kept)) => kept.labels.iter().cloned().collect(),
                Some(LabelModifier::Exclude(_)) => panic!("`by` says what is left: {expr}"),
                None => BTreeSet::new(),
            };
            for missing in needed.difference(&kept) {
                faults.push(format!("{missing} is aggregated away in {expr}"));
            }
            check(&aggregate.expr, &kept, series, faults);
        }
        Expr::Binary(binary) => {
            let how = binary.modifier.as_ref();
            let on: BTreeSet<String> = match how.and_then(|how| how.matching.as_ref()) {
                Some(LabelModifier::Include(on)) => on.labels.iter().cloned().collect(),
                Some(LabelModifier::Exclude(_)) => panic!("`on` says what has to match: {expr}"),
                None => BTreeSet::new(),
            };
            // The answer has the labels of the side of which there are many.
            let all: BTreeSet<String> = needed.union(&on).cloned().collect();
            let (left, right) = match how.map(|how| &how.card) {
                Some(VectorMatchCardinality::ManyToOne(_)) => (&all, &on),
                Some(VectorMatchCardinality::OneToMany(_)) => (&on, &all),
                _ => (&all, &all),
            };
            for (side, needed) in [(&binary.lhs, left), (&binary.rhs, right)] {
                if !matches!(**side, Expr::NumberLiteral(_)) {
                    check(side, needed, series, faults);
                }
            }
        }
        Expr::Call(call) => {
            let mut needed = needed.clone();
            if call.func.name == "histogram_quantile" {
                needed.insert("le".to_owned());
            }
            for argument in &call.args.args {
                check(argument, &needed, series, faults);
            }
        }
        Expr::Paren(inner) => check(&inner.expr, needed, series, faults),
        Expr::Unary(inner) => check(&inner.expr, needed, series, faults),
        Expr::Subquery(inner) => check(&inner.expr, needed, series, faults),
        Expr::MatrixSelector(range) => select(&range.vs, needed, series, faults),
        Expr::VectorSelector(selector) => select(selector, needed, series, faults),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

fn select(
    selector: &VectorSelector,
    needed: &BTreeSet<String>,
    series: &Series,
    faults: &mut Vec<String>,
) {
    let name = selector.name.as_deref().unwrap_or_default();
    let Some(all) = series.0.get(name) else {
        faults.push(format!("nobody emits {name}"));
        return;
    };
    let has = |label: &str| all.iter().any(|labels| labels.contains_key(label));
    for label in needed {
        if !has(label) && !OF_THE_TARGET.contains(&&**label) {
            faults.push(format!("{name} has no label {label}"));
        }
    }
    let matchers = || selector.matchers.matchers.iter();
    for matcher in matchers() {
        if !has(&matcher.name) {
            faults.push(format!("{name} has no label {}", matcher.name));
        }
    }
    let matches = |labels: &Labels| {
        let mut asked = matchers().filter(|matcher| matcher.name != CODE);
        asked.all(|asked| {
            labels
                .get(&asked.name)
                .is_some_and(|value| asked.is_match(value))
        })
    };
    if !all.iter().any(matches) {
        faults.push(format!("no series is {selector}"));
    }
}
