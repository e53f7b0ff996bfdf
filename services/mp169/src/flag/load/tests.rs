//! Rows as files have them.

use super::*;

const HEADER: &str = "device_id;action;channel;captured_time;evidence_reference;steps;\
    contact_reference;economy_7_or_similar;radio_teleswitch;network_managed_without_wan";

fn read(lines: &[&str]) -> Vec<Row> {
    let text = format!("\u{FEFF}{HEADER}\r\n{}\r\n", lines.join("\r\n"));
    let (_, table) = Table::read(text.as_bytes(), &[COLUMNS], "help").unwrap();
    rows(&table, "DRAGON")
}

fn id(row: &Row) -> String {
    match row.change.as_ref().unwrap() {
        Change::Add(request) => request.request_id.clone(),
        Change::Remove(request) => request.request_id.clone(),
    }
}

const ADD: &str =
    "02-DC-C1-00-00-00-01-E0;add;telephone;2025-07-01;CALL-1;other;CRM-1;absent;;absent";

#[test]
fn a_row_is_the_request_that_it_says() {
    let rows = read(&[
        ADD,
        "02dcc100000001a0;REMOVE;In-Person;2025-07-01T10:00:00Z;L-1;;;;;",
    ]);
    let Ok(Change::Add(add)) = &rows[0].change else {
        panic!("{:?}", rows[0].change);
    };
    let choice = add.choice.as_ref().unwrap();
    assert_eq!(choice.preference(), wire::Preference::Reduced);
    assert_eq!(choice.captured_by_party_id, "DRAGON");
    let attested = add.reasonable_steps.as_ref().unwrap();
    assert_eq!(attested.steps[0].kind(), wire::StepKind::Other);
    assert_eq!(attested.steps[0].taken_time, choice.captured_time);
    let declared = add.site_declarations.as_ref().unwrap();
    assert_eq!(declared.economy_7_or_similar(), wire::Declaration::Absent);
    assert_eq!(declared.radio_teleswitch(), wire::Declaration::Unspecified);
    let Ok(Change::Remove(remove)) = &rows[1].change else {
        panic!("{:?}", rows[1].change);
    };
    assert_eq!(remove.device_id, "02-DC-C1-00-00-00-01-A0");
    let choice = remove.choice.as_ref().unwrap();
    assert_eq!(choice.channel(), wire::Channel::InPerson);
    assert_eq!(choice.preference(), wire::Preference::Full);
}

/// What is written differently and says the same is the same request; anything else is another.
#[test]
fn a_rows_id_is_made_from_what_it_says() {
    let same = ADD
        .to_lowercase()
        .replace("crm-1", "CRM-1")
        .replace("call-1", "CALL-1");
    let other = ADD.replace("CALL-1", "CALL-2");
    let lifted = "02-DC-C1-00-00-00-01-E0;remove;telephone;2025-07-01;CALL-1;;;;;";
    let rows = read(&[ADD, &same, &other, lifted]);
    let ids: Vec<String> = rows.iter().map(id).collect();
    assert_eq!(ids[0], ids[1]);
    // Whoever has loaded a file must find it known after an upgrade, too.
    assert_eq!(ids[0], "dd591f9b-0135-81ae-9a09-c385b9736e82");
    assert!(ids[0] != ids[2] && ids[0] != ids[3] && ids[2] != ids[3]);
    let ids: Vec<mesh_types::RequestId> = ids.iter().map(|id| id.parse().unwrap()).collect();
    assert_eq!(ids.len(), 4);
}

#[test]
fn what_a_row_does_not_say_right_is_told_by_its_column() {
    for (row, problem) in [
        ("x;add;online;2025-07-01;E;;;;;", "device_id"),
        (
            "02-DC-C1-00-00-00-01-E0;;online;2025-07-01;E;;;;;",
            "action",
        ),
        (
            "02-DC-C1-00-00-00-01-E0;add;pigeon;2025-07-01;E;;;;;",
            "channel",
        ),
        // "Now" would make another request of it each time.
        (
            "02-DC-C1-00-00-00-01-E0;add;online;;E;;;;;",
            "captured_time",
        ),
        (
            "02-DC-C1-00-00-00-01-E0;add;online;2025-07-01;E;hope;;;;",
            "steps",
        ),
        (
            "02-DC-C1-00-00-00-01-E0;add;online;2025-07-01;E;;;maybe;;",
            "economy_7",
        ),
        (
            "02-DC-C1-00-00-00-01-E0;remove;online;2025-07-01;E;;;absent;;",
            "add a flag",
        ),
    ] {
        let rows = read(&[row]);
        let told = rows[0].change.as_ref().unwrap_err();
        assert!(told.contains(problem), "{row}: {told}");
    }
}

#[test]
fn rows_go_together_until_a_device_comes_again() {
    let of = |device: usize| {
        ADD.replace(
            "01-E0",
            &format!("{:02X}-{:02X}", device >> 8, device & 255),
        )
    };
    let lines = |devices: &[usize]| devices.iter().map(|&device| of(device)).collect::<Vec<_>>();
    let parts = |devices: &[usize]| {
        let lines = lines(devices);
        let rows = read(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let (mut rest, mut parts) = (rows.as_slice(), Vec::new());
        while !rest.is_empty() {
            let part = together(rest);
            parts.push(part);
            rest = &rest[part..];
        }
        parts
    };
    assert_eq!(parts(&[1, 2, 3]), [3]);
    assert_eq!(parts(&[1, 2, 1, 1, 2, 3]), [2, 1, 3]);
    assert_eq!(parts(&(0..2_500).collect::<Vec<_>>()), [1_000, 1_000, 500]);
}
