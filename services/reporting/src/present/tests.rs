//! Do reports add up, and do they show what a reader has to see?

use mesh_api::reporting::v1 as wire;
use mesh_api::reporting::v1::Dimension;
use mesh_testkit::assert_golden;
use serde_json::Value;

use super::*;

fn counts(succeeded: u64, failed: u64, suppressed: u64, excepted: [u64; 2]) -> wire::Counts {
    wire::Counts {
        sent: succeeded + failed + suppressed,
        succeeded,
        failed,
        suppressed,
        excepted: excepted[0],
        excepted_but_delivered: excepted[1],
        ..wire::Counts::default()
    }
}

fn row(party: &str, process: &str, variant: &str, counts: wire::Counts) -> wire::ServiceRequestRow {
    wire::ServiceRequestRow {
        party_id: party.to_owned(),
        business_process: process.to_owned(),
        service_reference_variant: variant.to_owned(),
        figures: Some(wire::ServiceRequestFigures {
            total: Some(counts),
            ..wire::ServiceRequestFigures::default()
        }),
    }
}

fn basis() -> wire::ReportBasis {
    let position = |log: &str, sequence| Position {
        log: log.to_owned(),
        epoch: 7,
        sequence,
    };
    wire::ReportBasis {
        edition: None,
        flags: Some(position("flags", 12)),
        devices: Some(position("devices", 345)),
        outcomes: 3_400,
        flags_stale_since: Some(prost_types::Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        }),
        devices_stale_since: None,
        settled_until: Some(prost_types::Timestamp {
            seconds: 1_699_999_000,
            nanos: 0,
        }),
        open_outcomes: 1_234,
    }
}

fn march() -> wire::GetServiceRequestReportRequest {
    wire::GetServiceRequestReportRequest {
        month: "2026-03".to_owned(),
        ..Default::default()
    }
}

fn month() -> Grouped {
    Grouped {
        by: FINEST.to_vec(),
        rows: vec![
            row(
                "ALBION",
                "billing-reads",
                "4.8.1",
                counts(2_100, 30, 260, [280, 10]),
            ),
            row("ALBION", "firmware", "11.3", counts(0, 10, 0, [0, 0])),
            row(
                "BRIGHT",
                "billing-reads",
                "4.1.1",
                counts(1_000, 0, 0, [0, 0]),
            ),
            row("BRIGHT", "billing-reads", "4.8.1", counts(0, 0, 0, [0, 0])),
        ],
        basis: basis(),
        business_processes_version: "2026.11.1".to_owned(),
    }
}

#[test]
fn a_month_reads_as_it_did() {
    let report = performance(&march(), &month()).unwrap();
    let meters = [wire::ObligationRow {
        party_id: "ALBION".to_owned(),
        electricity: 142,
        electricity_reduced_by_choice: 3,
        gas: 0,
        gas_reduced_by_choice: 0,
    }];
    let obligation = {
        let now = wire::GetObligationReportRequest::default();
        obligation(&now, &meters, &basis()).unwrap()
    };
    let excepted = wire::ExceptedRequests {
        device_id: "02-DC-C0-00-00-00-08-E0".to_owned(),
        party_id: "ALBION".to_owned(),
        service_reference_variant: "4.8.1".to_owned(),
        excepted: 28,
        suppressed: 26,
        failed: 1,
        delivered: 1,
    };
    let asked = wire::ListExceptedRequestsRequest {
        month: "2026-03".to_owned(),
        ..Default::default()
    };
    let exceptions = exceptions(&asked, &[excepted], &basis()).unwrap();
    let flags = flags(&asked_for_flags("2026-03"), &flag_rows(), &basis()).unwrap();
    let texts =
        [report, obligation, exceptions, flags].map(|report| mesh_sheet::text(&report, Some(120)));
    assert_golden("golden/reports.txt", &texts.join("\n"));
}

fn asked_for_flags(month: &str) -> wire::GetFlagReportRequest {
    wire::GetFlagReportRequest {
        month: month.to_owned(),
        ..Default::default()
    }
}

fn flag_rows() -> Vec<wire::FlagRow> {
    let row = |party: &str, csp: &str, total, gained| wire::FlagRow {
        party_id: party.to_owned(),
        csp_id: csp.to_owned(),
        figures: Some(wire::FlagFigures {
            total: Some(total),
            gained_from_another: Some(gained),
        }),
    };
    let none = wire::FlagCounts::default();
    let gained = wire::FlagCounts {
        active_before: 2,
        gained: 4,
        lifted: 1,
        lost: 1,
        active: 4,
        confirmed: 3,
        ..none
    };
    let albion = wire::FlagCounts {
        active_before: 120,
        set: 17,
        gained: 4,
        lifted: 5,
        lifted_at_change_of_tenancy: 2,
        device_ended: 1,
        lost: 3,
        moved_out: 1,
        active: 129,
        kept_at_change_of_tenancy: 1,
        confirmed: 3,
        ..none
    };
    let moved = wire::FlagCounts {
        moved_in: 1,
        active: 1,
        ..none
    };
    let nobody = wire::FlagCounts {
        gained: 1,
        active: 1,
        ..none
    };
    vec![
        row("", "north", nobody, nobody),
        row("ALBION", "4g", moved, none),
        row("ALBION", "north", albion, gained),
    ]
}

/// A month that was not over when the events were last known is told so, and one that was is not.
#[test]
fn a_month_of_flags_that_is_not_over_is_told_so() {
    let text = |month: &str, zone: wire::MonthZone, basis: &wire::ReportBasis| {
        let asked = wire::GetFlagReportRequest {
            month_zone: zone.into(),
            ..asked_for_flags(month)
        };
        mesh_sheet::text(&flags(&asked, &[], basis).unwrap(), None)
    };
    let said = |text: String| text.contains("The month is not over");
    // 2026-11-01T00:00:00Z, and an hour before the end of September in UTC.
    for (seconds, month, zone, open) in [
        (1_793_491_200, "2026-10", wire::MonthZone::Utc, false),
        (1_793_491_199, "2026-10", wire::MonthZone::Utc, true),
        (
            1_790_809_200,
            "2026-09",
            wire::MonthZone::EuropeLondon,
            false,
        ),
        (1_790_809_200, "2026-09", wire::MonthZone::Utc, true),
    ] {
        let until = prost_types::Timestamp { seconds, nanos: 0 };
        let known = wire::ReportBasis {
            settled_until: Some(until),
            ..basis()
        };
        assert_eq!(
            said(text(month, zone, &known)),
            open,
            "{month} {zone:?} {seconds}"
        );
    }
    let unknown = wire::ReportBasis {
        settled_until: None,
        ..basis()
    };
    let shown = text("2020-01", wire::MonthZone::Utc, &unknown);
    assert!(shown.contains("nothing yet") && said(shown));
}

/// Wherever it is shown, what was there, came and went is what is there.
#[test]
fn flags_add_up() {
    let report =
        mesh_sheet::json(&flags(&asked_for_flags("2026-03"), &flag_rows(), &basis()).unwrap());
    let number = |row: &Value, key: &str| row[key].as_u64().map_or(0, u64::cast_signed);
    let mut checked = 0;
    for section in report["sections"].as_array().unwrap() {
        for row in section["rows"]
            .as_array()
            .unwrap()
            .iter()
            .chain([&section["total"]])
        {
            if row["active"].is_null() || row["active_before"].is_null() {
                continue;
            }
            let came = ["active_before", "set", "gained", "moved_in"].map(|key| number(row, key));
            let mut went: i64 = ["lost", "moved_out"]
                .map(|key| number(row, key))
                .iter()
                .sum();
            went += if row["ended"].is_null() {
                let ends = [
                    "lifted",
                    "lifted_at_change_of_tenancy",
                    "device_ended",
                    "ended_otherwise",
                ];
                ends.map(|key| number(row, key)).iter().sum::<i64>()
            } else {
                number(row, "ended")
            };
            let active = came.iter().sum::<i64>() - went;
            assert_eq!(active, number(row, "active"), "{row}");
            checked += 1;
        }
    }
    // Two suppliers and nobody, two CSPs, three rows of both, and a total of each.
    assert_eq!(checked, 3 + 3 + 4);
}

/// Whatever a report is grouped by, its sections have the same sums, and what is excepted is a part of what was sent.
#[test]
fn sections_add_up() {
    let report = mesh_sheet::json(&performance(&march(), &month()).unwrap());
    let number = |row: &Value, key: &str| row[key].as_u64();
    for section in report["sections"].as_array().unwrap() {
        let total = &section["total"];
        assert_eq!(number(total, "sent"), Some(3_400), "{section}");
        for row in section["rows"].as_array().unwrap().iter().chain([total]) {
            let parts = ["counted_succeeded", "counted_missed", "excepted"];
            let parts: Option<Vec<u64>> = parts.iter().map(|key| number(row, key)).collect();
            if let Some(parts) = parts {
                assert_eq!(Some(parts.iter().sum()), number(row, "sent"), "{row}");
            }
        }
    }
}

#[test]
fn a_grouping_of_its_own_is_one_table() {
    let group = Grouped {
        by: vec![Dimension::BusinessProcess],
        ..month()
    };
    let report = service_requests(&march(), &group).unwrap();
    let section = report.section(SERVICE_REQUESTS).unwrap();
    assert_eq!(
        mesh_sheet::csv(section).lines().collect::<Vec<_>>()[1..],
        [
            "billing-reads,3390,3100,30,260,280,10,0.914454,0.993569",
            "firmware,10,0,10,0,0,0,0,0"
        ]
    );
    assert_eq!(report.sections().len(), 1);
}

#[test]
fn nothing_reported_is_said() {
    let none = Grouped {
        rows: Vec::new(),
        ..month()
    };
    let text = mesh_sheet::text(&performance(&march(), &none).unwrap(), None);
    assert!(
        text.contains("No outcome of such a Service Request was reported."),
        "{text}"
    );
}
