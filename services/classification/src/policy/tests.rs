//! The compiled-in policy is whole, and no faulty one is accepted.

use std::borrow::Cow;

use super::*;

/// The compiled-in text with one part edited.
fn edited(
    part: impl FnOnce(&mut PolicyText) -> &mut Cow<'static, str>,
    from: &str,
    to: &str,
) -> PolicyText {
    let mut text = PolicyText::builtin();
    let place = part(&mut text);
    assert!(place.contains(from), "{from} is in the text");
    *place = place.replace(from, to).into();
    text
}

fn problems(text: &PolicyText) -> Vec<Problem> {
    let error = Policy::load(text).expect_err("the policy has a fault");
    error
        .violations
        .into_iter()
        .map(|violation| violation.problem)
        .collect()
}

#[test]
fn the_builtin_policy_lists_every_code() {
    let policy = Policy::builtin();
    assert_eq!(policy.service_requests().len(), 129);
    assert_eq!(policy.messages().len(), 240);
    assert_eq!(policy.alerts().len(), 189);
    assert_eq!(policy.dcc_alerts().len(), 17);
    assert_eq!(policy.rows().count(), 129 + 240 + 189 + 17 + 3);
    for rule in policy.rules() {
        let used = policy.rows().any(|row| {
            let by_type = row
                .by_device_type
                .map(|by| [&by.esme, &by.gsme, &by.gpf, &by.other]);
            let mut entries = by_type.into_iter().flatten().chain([row.entry]);
            entries.any(|entry| policy.rule(entry).id == rule.id)
        });
        assert!(used, "{} has a row", rule.id);
    }
}

#[test]
fn the_builtin_policy_suppresses_consumption_that_is_not_critical_and_nothing_else() {
    let policy = Policy::builtin();
    for row in policy.rows() {
        let entry = row.entry;
        if entry.treatment == Treatment::Suppress {
            assert_eq!(
                (entry.class, entry.critical),
                (Class::Consumption, false),
                "{}",
                entry.id
            );
        } else if entry.class == Class::Consumption {
            assert!(
                entry.critical,
                "{} is delivered because it is critical",
                entry.id
            );
        }
    }
}

#[test]
fn messages_are_of_the_class_of_their_service_requests() {
    let policy = Policy::builtin();
    for message in policy.messages() {
        for srv in &message.service_requests {
            let row = policy.service_request(*srv).unwrap();
            let suppressed = message.entry.treatment == Treatment::Suppress;
            let may = match &row.by_device_type {
                None => row.entry.treatment == Treatment::Suppress,
                Some(_) => suppressed,
            };
            assert_eq!(suppressed, may, "{} and {srv}", message.entry.id);
        }
    }
}

#[test]
fn the_hash_is_of_the_content() {
    let text = PolicyText::builtin();
    let other = edited(|text| &mut text.rules, "rule,class", "rule,class");
    assert_eq!(text.hash(), other.hash());
    let moved = edited(|text| &mut text.manifest, "2026.11.1", "2026.11.2");
    assert_ne!(text.hash(), moved.hash());
    assert_eq!(Policy::builtin().hash(), &text.hash());
}

#[test]
fn a_protected_class_cannot_be_suppressed() {
    for class in Class::ALL.into_iter().filter(|class| class.is_protected()) {
        let from = format!(",{class},deliver,");
        let to = format!(",{class},suppress,");
        let text = edited(|text| &mut text.rules, &from, &to);
        assert!(
            problems(&text).contains(&Problem::ProtectedSuppressed(class)),
            "{class}"
        );
    }
    let schedule = edited(
        |text| &mut text.rules,
        ",SCHEDULE,deliver,",
        ",SCHEDULE,suppress,",
    );
    assert!(problems(&schedule).contains(&Problem::NotConsumption(Class::Schedule)));
}

#[test]
fn a_class_cannot_be_declared_unprotected() {
    let text = edited(|text| &mut text.classes, "SECURITY,yes", "SECURITY,no");
    assert_eq!(problems(&text), [Problem::Protection]);
}

#[test]
fn a_critical_message_is_suppressed_only_if_it_is_named() {
    let text = edited(
        |text| &mut text.rules,
        "consumption.billing-push,CONSUMPTION,deliver",
        "consumption.billing-push,CONSUMPTION,suppress",
    );
    let three = vec![Problem::CriticalSuppressed; 3];
    assert_eq!(problems(&text), three);

    let named = "suppress_critical = [\"0x8F0A\"]";
    let text = edited(|text| &mut text.manifest, "suppress_critical = []", named);
    let policy = Policy::load(&text).unwrap();
    let suppressed = |entry: &Entry| entry.treatment == Treatment::Suppress;
    assert!(suppressed(&policy.alert(AlertCode(0x8F0A)).unwrap().entry));
    for code in [0x0061, 0x008B] {
        assert!(suppressed(
            &policy.message(MessageCode(code)).unwrap().entry
        ));
    }
    let count = |policy: &Policy| policy.rows().filter(|row| suppressed(row.entry)).count();
    assert_eq!(count(&policy), count(&Policy::builtin()) + 3);
}

#[test]
fn only_critical_consumption_can_be_named() {
    for (code, problem) in [
        ("0x8F36", Problem::ProtectedSuppressed(Class::Network)),
        ("0x8006", Problem::NotCritical),
        ("0x0027", Problem::NotCritical),
        ("0x9999", Problem::NotCritical),
    ] {
        let named = format!("suppress_critical = [\"{code}\"]");
        let text = edited(|text| &mut text.manifest, "suppress_critical = []", &named);
        assert!(problems(&text).contains(&problem), "{code}");
    }
    let named = "suppress_critical = [\"0x8F0A\", \"0x8f0a\"]";
    let text = edited(|text| &mut text.manifest, "suppress_critical = []", named);
    assert_eq!(problems(&text), [Problem::Duplicate]);
}

#[test]
fn every_fault_is_reported_at_once() {
    let mut text = edited(|text| &mut text.alerts, "0x8002,", "0x8003,");
    text.manifest = text.manifest.replace("version", "verison").into();
    text.rules = text
        .rules
        .replace("network.outage,", "network.outages,")
        .into();
    text.messages = text
        .messages
        .replace("non-critical,command", "uncritical,command")
        .into();
    text.service_requests = text
        .service_requests
        .replace(
            "ReadInstantaneousImportTOUMatrices",
            "ReadInstantaneousImportRegisters",
        )
        .replace("4.16,", "4.0,")
        .into();
    let found = problems(&text);
    let has = |wanted: fn(&Problem) -> bool| found.iter().any(wanted);
    assert!(
        has(|problem| matches!(problem, Problem::Malformed(_))),
        "{found:?}"
    );
    assert!(
        has(|problem| matches!(problem, Problem::Duplicate)),
        "{found:?}"
    );
    assert!(
        has(|problem| matches!(problem, Problem::NoSuchRule(_))),
        "{found:?}"
    );
    assert!(
        has(|problem| matches!(problem, Problem::BodyElementShared(_))),
        "{found:?}"
    );
    assert!(has(|problem| matches!(
        problem,
        Problem::Value {
            column: "criticality",
            ..
        }
    )));
    assert!(has(|problem| matches!(
        problem,
        Problem::Value {
            column: "variant",
            ..
        }
    )));
}

#[test]
fn a_treatment_stands_only_where_it_has_a_meaning() {
    for (from, to) in [
        ("schedule.read\n", "schedule.create\n"),
        ("schedule.read,", "diagnostic.container,"),
        ("schedule.read,", "inventory.returned-response,"),
        ("schedule.read,", "network.data-by-device-type,"),
    ] {
        let mut text = PolicyText::builtin();
        let changed = text
            .service_requests
            .replace(from.trim_end(), to.trim_end());
        assert_ne!(changed, text.service_requests);
        text.service_requests = changed.into();
        assert!(Policy::load(&text).is_err(), "{to}");
    }
    let text = edited(
        |text| &mut text.service_requests,
        ";GPF=consumption",
        ";GFP=consumption",
    );
    assert!(Policy::load(&text).is_err());
    let text = edited(
        |text| &mut text.service_requests,
        "ESME=network.voltage-log",
        "ESME=schedule.create",
    );
    assert!(Policy::load(&text).is_err());
    for fallback in [
        "unknown_code = \"unknown.code\"",
        "receipt = \"diagnostic.receipt\"",
    ] {
        let name = fallback.split(' ').next().unwrap();
        let to = format!("{name} = \"consumption.unknown-read\"");
        let text = edited(|text| &mut text.manifest, fallback, &to);
        assert!(Policy::load(&text).is_err(), "{name}");
    }
}
