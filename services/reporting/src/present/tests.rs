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
    let obligation = obligation(&meters, &basis()).unwrap();
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
    let texts = [report, obligation, exceptions].map(|report| mesh_sheet::text(&report, Some(120)));
    assert_golden("golden/reports.txt", &texts.join("\n"));
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
