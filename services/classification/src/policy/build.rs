//! From text to policy: reads each table, names every fault, and indexes what has none.

mod codes;

use std::str::FromStr;

use hashbrown::{HashMap, HashSet};
use serde::de::DeserializeOwned;

use super::class::{Class, Criticality, Treatment};
use super::table::Table;
use super::text::{ClassRow, Fallback, Manifest, PolicyText, RuleRow};
use super::violation::{PolicyError, Problem, Violation};
use super::{Entry, Policy, Rule, RuleRef};
use crate::codes::MessageCode;

const MANIFEST: &str = "policy.toml";
const CLASSES: &str = "classes.csv";
const RULES: &str = "rules.csv";

pub(super) fn build(text: &PolicyText) -> Result<Policy, PolicyError> {
    let mut builder = Builder::default();
    let manifest = builder.manifest(&text.manifest);
    builder.classes(&text.classes);
    builder.rules(&text.rules);
    let service_requests = builder.service_requests(&text.service_requests);
    let messages = builder.messages(&text.messages);
    let alerts = builder.alerts(&text.alerts);
    let dcc_alerts = builder.dcc_alerts(&text.dcc_alerts);
    let fallbacks = manifest
        .as_ref()
        .and_then(|manifest| builder.fallbacks(&manifest.fallback));
    builder.idle_acknowledgements();
    let (Some(manifest), Some([unknown_code, unknown_read, receipt]), true) =
        (manifest, fallbacks, builder.violations.is_empty())
    else {
        return Err(PolicyError {
            violations: builder.violations,
        });
    };
    Ok(Policy {
        name: manifest.name.into(),
        version: manifest.version.into(),
        hash: text.hash(),
        by_body_element: service_requests
            .iter()
            .map(|(srv, row)| (row.body_element.clone(), *srv))
            .collect(),
        rules: builder.rules,
        service_requests: Table::new(service_requests),
        messages: Table::new(messages),
        alerts: Table::new(alerts),
        dcc_alerts: Table::new(dcc_alerts),
        unknown_code,
        unknown_read,
        receipt,
    })
}

#[derive(Default)]
struct Builder {
    violations: Vec<Violation>,
    rules: Vec<Rule>,
    rule_ids: HashMap<String, RuleRef>,
    /// The codes of `suppress_critical`, and whether a critical row was found for each.
    acknowledged: HashMap<u16, bool>,
}

/// Where something stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    table: &'static str,
    row: &'a str,
}

/// What a row adds to its rule.
#[derive(Clone, Copy)]
struct Standing {
    critical: bool,
    acknowledged: bool,
}

impl Standing {
    const ORDINARY: Self = Self {
        critical: false,
        acknowledged: false,
    };
}

impl Builder {
    fn fault(&mut self, place: Place<'_>, problem: Problem) {
        self.violations.push(Violation {
            table: place.table,
            row: place.row.to_owned(),
            problem,
        });
    }

    fn value(&mut self, place: Place<'_>, column: &'static str, value: &str) {
        let value = value.to_owned();
        self.fault(place, Problem::Value { column, value });
    }

    fn manifest(&mut self, text: &str) -> Option<Manifest> {
        let place = Place {
            table: MANIFEST,
            row: "",
        };
        let manifest: Manifest = match toml::from_str(text) {
            Ok(manifest) => manifest,
            Err(error) => {
                self.fault(place, Problem::Malformed(error.message().to_owned()));
                return None;
            }
        };
        self.filled(place, "name", &manifest.name);
        self.filled(place, "version", &manifest.version);
        for code in &manifest.suppress_critical {
            let Ok(MessageCode(key)) = code.parse() else {
                self.value(place, "suppress_critical", code);
                continue;
            };
            if self.acknowledged.insert(key, false).is_some() {
                self.fault(Place { row: code, ..place }, Problem::Duplicate);
            }
        }
        Some(manifest)
    }

    /// The rows of a table; the key of each must be new.
    fn rows<R: DeserializeOwned>(
        &mut self,
        table: &'static str,
        text: &str,
        key: impl Fn(&R) -> &str,
    ) -> Vec<R> {
        let mut seen = HashSet::new();
        let mut rows = Vec::new();
        for row in csv::Reader::from_reader(text.as_bytes()).into_deserialize::<R>() {
            match row {
                Ok(row) => {
                    if !seen.insert(key(&row).to_ascii_uppercase()) {
                        let row = key(&row);
                        self.fault(Place { table, row }, Problem::Duplicate);
                    }
                    rows.push(row);
                }
                Err(error) => {
                    let problem = Problem::Malformed(error.to_string());
                    self.fault(Place { table, row: "" }, problem);
                }
            }
        }
        rows
    }

    fn classes(&mut self, text: &str) {
        let table = CLASSES;
        let rows = self.rows(table, text, |row: &ClassRow| &row.class);
        for row in &rows {
            let place = Place {
                table,
                row: &row.class,
            };
            let Some(class) = Class::from_name(&row.class) else {
                self.value(place, "class", &row.class);
                continue;
            };
            let protected = self.yes_or_no(place, "protected", &row.protected);
            if protected.is_some_and(|protected| protected != class.is_protected()) {
                self.fault(place, Problem::Protection);
            }
            self.filled(place, "meaning", &row.meaning);
        }
        for class in Class::ALL {
            let row = class.name();
            if !rows.iter().any(|listed| listed.class == row) {
                self.fault(Place { table, row }, Problem::Absent);
            }
        }
    }

    fn rules(&mut self, text: &str) {
        for (at, row) in (0_u16..).zip(self.rows(RULES, text, |row: &RuleRow| &row.rule)) {
            let place = Place {
                table: RULES,
                row: &row.rule,
            };
            self.filled(place, "rule", &row.rule);
            self.filled(place, "reason", &row.reason);
            // A rule that cannot be read is kept as one that delivers, so that the rows that name it
            // are not reported too.
            let class = Class::from_name(&row.class).unwrap_or_else(|| {
                self.value(place, "class", &row.class);
                Class::Unknown
            });
            let treatment = Treatment::from_name(&row.treatment).unwrap_or_else(|| {
                self.value(place, "treatment", &row.treatment);
                Treatment::Deliver
            });
            if treatment == Treatment::Suppress {
                self.check_class(place, class);
            }
            self.rules.push(Rule {
                id: row.rule.as_str().into(),
                class,
                treatment,
                reason: row.reason.into(),
            });
            self.rule_ids.insert(row.rule, RuleRef(at));
        }
    }

    fn fallbacks(&mut self, fallback: &Fallback) -> Option<[Entry; 3]> {
        let rows = [
            ("unknown-code", &fallback.unknown_code),
            ("unknown-read", &fallback.unknown_read),
            ("receipt", &fallback.receipt),
        ];
        let [unknown_code, unknown_read, receipt] = rows.map(|(row, rule)| {
            let place = Place {
                table: MANIFEST,
                row,
            };
            self.plain_entry(place, "fallback", rule, Standing::ORDINARY)
        });
        for entry in [&unknown_code, &receipt].into_iter().flatten() {
            if entry.treatment != Treatment::Deliver {
                let place = Place {
                    table: MANIFEST,
                    row: &entry.id,
                };
                self.misplaced(place, "this fallback must deliver");
            }
        }
        Some([unknown_code?, unknown_read?, receipt?])
    }

    /// What a row of the given criticality adds to its rule, if `suppress_critical` names one of its
    /// codes; remembers that the name meets a row.
    fn standing(&mut self, critical: bool, codes: [Option<u16>; 2]) -> Standing {
        let mut acknowledged = false;
        for code in codes.into_iter().flatten() {
            if let Some(met) = self.acknowledged.get_mut(&code) {
                *met |= critical;
                acknowledged = critical;
            }
        }
        Standing {
            critical,
            acknowledged,
        }
    }

    fn idle_acknowledgements(&mut self) {
        let idle = self.acknowledged.iter().filter(|(_, met)| !**met);
        let mut idle: Vec<u16> = idle.map(|(code, _)| *code).collect();
        idle.sort_unstable();
        for code in idle {
            let row = &MessageCode(code).to_string();
            let table = MANIFEST;
            self.fault(Place { table, row }, Problem::NotCritical);
        }
    }

    /// As [`Builder::entry`], for a row whose treatment leaves nothing open.
    fn plain_entry(
        &mut self,
        place: Place<'_>,
        kind: &str,
        rule: &str,
        standing: Standing,
    ) -> Option<Entry> {
        let entry = self.entry(place, kind, rule, standing)?;
        if !matches!(entry.treatment, Treatment::Deliver | Treatment::Suppress) {
            self.misplaced(place, "nothing else decides");
        }
        Some(entry)
    }

    /// What a row says, if its rule exists. `kind` starts the row's id.
    fn entry(
        &mut self,
        place: Place<'_>,
        kind: &str,
        rule: &str,
        standing: Standing,
    ) -> Option<Entry> {
        let Some(&rule_ref) = self.rule_ids.get(rule) else {
            self.fault(place, Problem::NoSuchRule(rule.to_owned()));
            return None;
        };
        let rule = &self.rules[usize::from(rule_ref.0)];
        let (class, mut treatment) = (rule.class, rule.treatment);
        let Standing {
            critical,
            acknowledged,
        } = standing;
        if acknowledged {
            self.check_class(place, class);
            treatment = Treatment::Suppress;
        } else if treatment == Treatment::Suppress && critical {
            self.fault(place, Problem::CriticalSuppressed);
        }
        Some(Entry {
            id: format!("{kind}/{}", place.row).into(),
            rule: rule_ref,
            class,
            treatment,
            critical,
            acknowledged,
        })
    }

    /// Faults what suppresses a class that must be delivered.
    fn check_class(&mut self, place: Place<'_>, class: Class) {
        if class.is_protected() {
            self.fault(place, Problem::ProtectedSuppressed(class));
        } else if !class.may_be_suppressed() {
            self.fault(place, Problem::NotConsumption(class));
        }
    }

    fn misplaced(&mut self, place: Place<'_>, why: &'static str) {
        self.fault(place, Problem::TreatmentMisplaced(why));
    }

    fn filled(&mut self, place: Place<'_>, column: &'static str, value: &str) {
        if value.trim().is_empty() {
            self.value(place, column, value);
        }
    }

    /// Faults a `;`-separated value with a part that is not among `allowed`.
    fn among(&mut self, place: Place<'_>, column: &'static str, value: &str, allowed: &[&str]) {
        if value.split(';').any(|part| !allowed.contains(&part)) {
            self.value(place, column, value);
        }
    }

    fn code<C: FromStr>(
        &mut self,
        place: Place<'_>,
        column: &'static str,
        text: &str,
    ) -> Option<C> {
        let code = text.parse().ok();
        if code.is_none() {
            self.value(place, column, text);
        }
        code
    }

    fn criticality(&mut self, place: Place<'_>, text: &str) -> Criticality {
        Criticality::from_name(text).unwrap_or_else(|| {
            self.value(place, "criticality", text);
            Criticality::Critical
        })
    }

    fn yes_or_no(&mut self, place: Place<'_>, column: &'static str, text: &str) -> Option<bool> {
        match text {
            "yes" => Some(true),
            "no" => Some(false),
            _ => {
                self.value(place, column, text);
                None
            }
        }
    }
}
