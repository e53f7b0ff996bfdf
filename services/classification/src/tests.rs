//! The tables that a reviewer reads: what becomes of each code, as the code decides it.
//!
//! `UPDATE_GOLDEN=1 cargo test -p classification` writes them anew; the difference is for review.

use std::fmt::Write;
use std::path::Path;

use mesh_types::{DeviceId, Eui64};

use crate::decide::{Decision, Flag, Verdict};
use crate::message::{DeviceType, Devices, GbcsCodes, Message, Origin, Subject};
use crate::policy::Policy;

/// Compares `text` with the checked-in file, or writes the file if asked to.
fn golden(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = text
        .lines()
        .zip(written.lines())
        .find(|(now, then)| now != then);
    assert_eq!(differs, None, "{file} differs");
    assert_eq!(
        text.lines().count(),
        written.lines().count(),
        "{file} has as many lines"
    );
}

/// One line: the row, its class, what becomes of it unflagged and with each type of Device flagged.
fn line(policy: &Policy, subject: Subject, name: &str) -> String {
    let device = DeviceId::new(Eui64::from_u64(1));
    let message = Message {
        origin: Origin::OnDemand,
        devices: Devices::One(device),
        subject,
    };
    let types = [
        DeviceType::Esme,
        DeviceType::Gsme,
        DeviceType::Gpf,
        DeviceType::Other,
    ];
    let unflagged = policy.decide(&message, |_| None);
    let flagged = types.map(|device_type| policy.decide(&message, |_| Some(Flag { device_type })));
    let word = |decision: &Decision<'_>| match decision.verdict {
        Verdict::Deliver => "deliver",
        Verdict::Suppress => "SUPPRESS",
    };
    let mut text = format!(
        "{:<14} {:<13} {:<9}",
        unflagged.row,
        unflagged.class,
        word(&unflagged)
    );
    for decision in &flagged {
        write!(text, "{:<9}", word(decision)).unwrap();
    }
    let mark = if unflagged.critical_consumption {
        "critical consumption"
    } else {
        ""
    };
    format!("{text}{mark:<21}{:<35} {name}", unflagged.rule.id)
}

const HEAD: &str = "row            class         unflagged| flagged: ESME, GSME, GPF, other type        \
                    rule                                name\n";

fn table(lines: impl Iterator<Item = String>) -> String {
    lines.fold(HEAD.to_owned(), |text, line| text + line.trim_end() + "\n")
}

#[test]
fn service_requests() {
    let policy = Policy::builtin();
    let rows = policy.service_requests().iter();
    let lines = rows.map(|row| line(&policy, Subject::Service(row.srv), &row.name));
    golden("service_requests.txt", &table(lines));
}

#[test]
fn schedules() {
    let policy = Policy::builtin();
    let rows = policy.service_requests().iter();
    let lines = rows.map(|row| {
        let name = format!("(to schedule {}) {}", row.srv, row.name);
        line(&policy, Subject::Schedule { nested: row.srv }, &name)
    });
    golden("schedules.txt", &table(lines));
}

#[test]
fn messages() {
    let policy = Policy::builtin();
    let rows = policy.messages().iter();
    let lines = rows.map(|row| {
        let codes = GbcsCodes {
            message: row.code,
            alert: None,
        };
        line(&policy, Subject::Gbcs { codes, srv: None }, &row.title)
    });
    golden("messages.txt", &table(lines));
}

#[test]
fn alerts() {
    let policy = Policy::builtin();
    let device = policy.alerts().iter();
    let device = device.map(|row| line(&policy, Subject::Alert(row.code), &row.name));
    let dcc = policy.dcc_alerts().iter();
    let dcc = dcc.map(|row| line(&policy, Subject::DccAlert(row.code), &row.name));
    golden("alerts.txt", &table(device.chain(dcc)));
}

#[test]
fn rules() {
    let policy = Policy::builtin();
    let lines = policy.rules().iter().map(|rule| {
        format!(
            "{:<36}{:<14}{:<16}{}",
            rule.id, rule.class, rule.treatment, rule.reason
        )
    });
    let text = lines.fold(String::new(), |text, line| text + &line + "\n");
    golden("rules.txt", &text);
}
