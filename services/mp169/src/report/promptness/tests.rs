//! What people and programs read of an answer.

use mesh_api::csp_notification::v1::SourceTrouble;
use mesh_sheet::{csv, json, text};
use reporting::period::Zone;

use super::*;

fn november() -> Period {
    Period {
        month: "2026-11".parse().unwrap(),
        zone: Zone::London,
    }
}

fn at(text: &str) -> prost_types::Timestamp {
    let at: Timestamp = text.parse().unwrap();
    prost_types::Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    }
}

fn made(at_time: &str) -> DeliveryBasis {
    DeliveryBasis {
        made_time: Some(at(at_time)),
        ..DeliveryBasis::default()
    }
}

fn times(changes: u64, millis: [i64; 4]) -> Option<DeliveryTimes> {
    let [median, p95, p99, longest] = millis.map(|millis| {
        let seconds = millis / 1_000;
        let nanos = i32::try_from(millis % 1_000 * 1_000_000).unwrap();
        Some(prost_types::Duration { seconds, nanos })
    });
    Some(DeliveryTimes {
        changes,
        median_duration: median,
        p95_duration: p95,
        p99_duration: p99,
        longest_duration: longest,
    })
}

fn north() -> DeliveryRow {
    DeliveryRow {
        csp_id: "north".into(),
        changes: 5,
        acknowledged: 4,
        not_acknowledged: 1,
        oldest_not_acknowledged_time: Some(at("2026-11-30T10:00:00Z")),
        acknowledged_untimed: 1,
        until_acknowledged: times(3, [1_201, 65_000, 7_200_000, 172_800_000]),
        until_applied: times(2, [0, 255, 255, 255]),
        applied_before_recorded: 1,
    }
}

/// One to whom nothing was told.
fn quiet() -> DeliveryRow {
    DeliveryRow {
        csp_id: "quiet".into(),
        until_acknowledged: Some(DeliveryTimes::default()),
        ..DeliveryRow::default()
    }
}

#[test]
fn programs_read_seconds_and_people_what_they_can_grasp() {
    let rows = [north(), quiet()];
    let report = report(november(), &rows, &made("2026-12-01T00:00:00Z")).unwrap();
    let lines = csv(report.section(ALL).unwrap());
    let lines: Vec<&str> = lines.trim_end().split("\r\n").collect();
    assert_eq!(
        lines,
        [
            "csp,changes,acknowledged,not_acknowledged,oldest_not_acknowledged_time,acknowledged_untimed,\
             acknowledged_median_seconds,acknowledged_p95_seconds,acknowledged_p99_seconds,\
             acknowledged_longest_seconds,applied,applied_before_committed,applied_median_seconds,\
             applied_p95_seconds,applied_p99_seconds,applied_longest_seconds",
            "north,5,4,1,2026-11-30T10:00:00Z,1,1.201,65,7200,172800,2,1,0,0.255,0.255,0.255",
            "quiet,0,0,0,,0,,,,,0,0,,,,",
        ]
    );
    let shown = text(&report, None);
    for readable in ["1.2 s", "1 min 5 s", "2 h 0 min", "2 d 0 h", "255 ms"] {
        assert!(shown.contains(readable), "{readable}\n{shown}");
    }
    assert!(shown.contains("2026-11 (Europe/London)"), "{shown}");
    let total = &json(&report)["sections"][0]["total"];
    assert_eq!(
        (&total["changes"], &total["acknowledged"]),
        (&5.into(), &4.into())
    );
}

#[test]
fn what_a_reader_has_to_know_is_noted() {
    let notes = |rows: &[DeliveryRow], basis: &DeliveryBasis| {
        let report = report(november(), rows, basis).unwrap();
        json(&report)["notes"].to_string()
    };
    let over = made("2026-12-01T00:00:00Z");
    let timed = DeliveryRow {
        acknowledged_untimed: 0,
        ..north()
    };
    let nothing = notes(std::slice::from_ref(&timed), &over);
    for (noted, with) in [
        (
            "not over",
            notes(std::slice::from_ref(&timed), &made("2026-11-30T23:59:59Z")),
        ),
        ("No CSP", notes(&[], &over)),
        ("before the mesh kept", notes(&[north()], &over)),
        (
            "since 2026-11-30T10:00:00Z",
            notes(
                &[timed],
                &DeliveryBasis {
                    source_stale_since: Some(at("2026-11-30T10:00:00Z")),
                    source_trouble: SourceTrouble::NotFollowing.into(),
                    ..over
                },
            ),
        ),
    ] {
        assert!(with.contains(noted), "{noted}\n{with}");
        assert!(!nothing.contains(noted), "{noted}\n{nothing}");
    }
}
