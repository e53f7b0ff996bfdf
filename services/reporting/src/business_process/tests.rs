//! The compiled-in table is whole, and no faulty one is accepted.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use super::*;

/// The compiled-in text with one part edited.
fn edited(
    part: impl FnOnce(&mut TableText) -> &mut Cow<'static, str>,
    from: &str,
    to: &str,
) -> TableText {
    let mut text = TableText::builtin();
    let place = part(&mut text);
    assert!(place.contains(from), "{from} is in the text");
    *place = place.replacen(from, to, 1).into();
    text
}

fn faults(text: &TableText) -> String {
    let error = BusinessProcesses::load(text).expect_err("the table has a fault");
    let faults = error.faults.iter().map(ToString::to_string);
    faults.collect::<Vec<_>>().join("; ")
}

fn manifest(text: &mut TableText) -> &mut Cow<'static, str> {
    &mut text.manifest
}

fn processes(text: &mut TableText) -> &mut Cow<'static, str> {
    &mut text.processes
}

fn service_requests(text: &mut TableText) -> &mut Cow<'static, str> {
    &mut text.service_requests
}

#[test]
fn a_variant_has_its_process_and_one_that_is_not_listed_is_shown_as_other() {
    let table = BusinessProcesses::builtin();
    let of = |variant: &str| table.of(&variant.parse().unwrap()).as_str();
    assert_eq!(of("4.8.1"), "billing-reads");
    assert_eq!(of("2.2"), "prepayment");
    assert_eq!(of("3.2"), "change-of-tenancy");
    for newer in ["4.8.4", "4.8", "99.1", "255.255.255"] {
        assert_eq!(of(newer), "other", "{newer}");
    }
    assert_eq!(table.unlisted().as_str(), "other");
    assert!(table.has(table.unlisted()));
    assert!(!table.has(&"billing".parse().unwrap()));
}

#[test]
fn every_fault_is_named() {
    let table = [
        (
            edited(manifest, "version", "verzion"),
            "policy.toml: cannot be read: ",
        ),
        (
            edited(manifest, "\"2026.11.1\"", "\" \""),
            "policy.toml: version cannot be \" \"",
        ),
        (
            edited(manifest, "\"other\"", "\"none\""),
            "policy.toml: names the process \"none\", which does not exist; \
             business_processes.csv, other: has no variant",
        ),
        (
            edited(manifest, "\"other\"", "\"The Others\""),
            "policy.toml: unlisted cannot be",
        ),
        (
            edited(processes, "prepayment,", "Prepayment,"),
            "business_processes.csv, Prepayment: process cannot be \"Prepayment\"; \
             service_requests.csv, 1.5: names the process \"prepayment\", which does not exist",
        ),
        (
            edited(processes, "prepayment,", "billing-reads,"),
            "business_processes.csv, billing-reads: has more than one row",
        ),
        (
            edited(processes, "prepayment,Prepayment", "prepayment,"),
            "business_processes.csv, prepayment: name cannot be \"\"",
        ),
        (
            edited(processes, "other,", "newer,Newer,What is newer\nother,"),
            "business_processes.csv, newer: has no variant",
        ),
        (
            edited(service_requests, "4.8.1,", "4.08.1,"),
            "service_requests.csv, 4.08.1: variant cannot be \"4.08.1\"",
        ),
        (
            edited(service_requests, "4.8.1,", "4.8.2,"),
            "service_requests.csv, 4.8.2: has more than one row",
        ),
        (
            edited(service_requests, "4.8.1,billing-reads", "4.8.1,other"),
            "service_requests.csv, 4.8.1: names the process of what is not listed",
        ),
        (
            edited(service_requests, "4.8.1,billing-reads", "4.8.1,billing"),
            "service_requests.csv, 4.8.1: names the process \"billing\", which does not exist",
        ),
        (
            edited(service_requests, "4.8.1,billing-reads", "4.8.1"),
            "service_requests.csv: cannot be read: ",
        ),
        (
            edited(service_requests, "variant,process", "variant,class"),
            "service_requests.csv: cannot be read: ",
        ),
    ];
    for (text, expected) in table {
        let found = faults(&text);
        assert!(found.starts_with(expected), "{found}\nand not\n{expected}");
    }
}

#[test]
fn keys_are_words_of_small_letters() {
    for text in ["a", "billing-reads", "phase-2", &"x".repeat(32)] {
        assert_eq!(text.parse::<ProcessKey>().unwrap().as_str(), text);
    }
    for text in [
        "",
        "Billing",
        "billing reads",
        "billing_reads",
        "é",
        &"x".repeat(33),
    ] {
        assert!(text.parse::<ProcessKey>().is_err(), "{text}");
    }
}

/// As people sort variants: `4.10` after `4.8.1`.
fn numbers(variant: &str) -> Vec<u8> {
    let numbers = variant.split('.');
    numbers.map(|number| number.parse().unwrap()).collect()
}

/// The table that a reviewer reads: each process with what belongs to it. `UPDATE_GOLDEN=1 cargo test -p
/// reporting` writes it anew; the difference is for review.
#[test]
fn the_table_is_the_golden_one() {
    let table = BusinessProcesses::builtin();
    let mut text = format!("{} {}\n", table.name(), table.version());
    let mut shown = BTreeSet::new();
    for process in table.processes() {
        let BusinessProcess { key, name, meaning } = process;
        let of_process = table.variants().into_iter().filter(|(_, of)| *of == key);
        let mut variants: Vec<&str> = of_process.map(|(variant, _)| variant.as_str()).collect();
        variants.sort_by_key(|variant| numbers(variant));
        writeln!(text, "\n{key}: {name}. {meaning}.").unwrap();
        for line in variants.chunks(12) {
            writeln!(text, "  {}", line.join(" ")).unwrap();
        }
        if key == table.unlisted() {
            text.push_str("  (whatever is not listed)\n");
        }
        shown.extend(variants);
    }
    assert_eq!(shown.len(), table.variants().len(), "each stands once");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/business_processes.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), text);
}
