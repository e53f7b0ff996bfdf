//! Files as the DSP's programs write them.

use std::io::Cursor;
use std::path::Path;

use mesh_api::common::v1::MessageClass;
use mesh_api::reporting::v1::{Outcome, OutcomeOrigin, OutcomeResult};
use reporting::error::MAX_OUTCOMES;

use super::source::{Opened, ReadLine, Source, format_of};
use crate::cli::outcome::FormatArg;

const HEADER: &str = "outcome_id,party_id,device_id,service_reference_variant,message_class,\
    request_time,result,origin";
const ROW: &str =
    "1,ALBION,02-DC-C0-00-00-00-08-E0,4.8.1,consumption,2025-06-01T01:10:04Z,failed,on-demand";

fn source(format: FormatArg, octets: impl Into<Vec<u8>>) -> Result<Source, (u64, String)> {
    let opened = Opened {
        octets: Box::new(Cursor::new(octets.into())),
        length: None,
    };
    Source::of(Path::new("file"), format, opened)
}

/// All lines of a file.
fn read(format: FormatArg, octets: impl Into<Vec<u8>>) -> Vec<ReadLine> {
    source(format, octets).unwrap().together()
}

fn outcome() -> Outcome {
    Outcome {
        outcome_id: "1".into(),
        party_id: "ALBION".into(),
        device_id: "02-DC-C0-00-00-00-08-E0".into(),
        service_reference_variant: "4.8.1".into(),
        message_class: MessageClass::Consumption.into(),
        request_time: Some(prost_types::Timestamp {
            seconds: 1_748_740_204,
            nanos: 0,
        }),
        result: OutcomeResult::Failed.into(),
        origin: OutcomeOrigin::OnDemand.into(),
    }
}

#[test]
fn an_outcome_is_the_same_however_it_is_written() {
    let json = r#"{"outcomeId":"1","partyId":"ALBION","deviceId":"02-DC-C0-00-00-00-08-E0",
        "serviceReferenceVariant":"4.8.1","messageClass":"MESSAGE_CLASS_CONSUMPTION",
        "requestTime":"2025-06-01T02:10:04+01:00","result":2,"origin":"OUTCOME_ORIGIN_ON_DEMAND"}"#;
    let json = json.replace('\n', "");
    let names = json.replace("outcomeId", "outcome_id");
    let full = ROW
        .replace("consumption", "MESSAGE_CLASS_CONSUMPTION")
        .replace("failed", "outcome_result_failed")
        .replace("on-demand", "OUTCOME_ORIGIN_ON_DEMAND");
    let turned = "\u{FEFF}origin;result;outcome id;party_id;device_id;request_time;message_class;\
         service_reference_variant\r\n\r\n;;;;;;;\r\n\
         On Demand;FAILED;1;ALBION;02dcc000000008e0;2025-06-01T01:10:04Z;Consumption;4.8.1\r\n";
    for (format, number, text) in [
        (FormatArg::Csv, 2, format!("{HEADER}\n{ROW}\n")),
        (FormatArg::Csv, 2, format!("{HEADER}\n{full}")),
        (FormatArg::Csv, 4, turned.to_owned()),
        (FormatArg::Jsonl, 1, json),
        (FormatArg::Jsonl, 3, format!("\u{FEFF}\r\n \r\n{names}\r\n")),
    ] {
        let expected = ReadLine {
            number,
            outcome: Ok(outcome()),
        };
        assert_eq!(read(format, text.clone()), [expected], "{text}");
    }
}

#[test]
fn a_line_that_cannot_be_read_keeps_no_other_out() {
    let wrong = [
        ("x".repeat(2 << 20), "more than"),
        (ROW.replace("02-DC", "02-D"), "device_id"),
        (
            ROW.replace("failed", "lost"),
            "SUCCEEDED, FAILED, SUPPRESSED",
        ),
        (
            ROW.replace("failed", "OUTCOME_RESULT_UNSPECIFIED"),
            "result",
        ),
        (ROW.replace("T01:10:04Z", ""), "request_time"),
        (ROW.replacen('1', "", 1), "outcome_id"),
        (ROW.replacen('1', &"1".repeat(65), 1), "outcome_id"),
        (ROW.replacen('1', "\u{1B}[2J", 1), "outcome_id"),
        (ROW.replace("ALBION", "\"ALBION"), "quotation mark"),
        (ROW.replace(",on-demand", ""), "7 columns"),
        (format!("{ROW},more"), "9 columns"),
    ];
    let lines: Vec<&str> = wrong.iter().map(|(line, _)| line.as_str()).collect();
    let mut octets = format!("{HEADER}\n{}\n", lines.join("\n")).into_bytes();
    octets.extend(b"1,\x93ALBION\x94\n");
    octets.extend(ROW.as_bytes());
    let read = read(FormatArg::Csv, octets);
    assert_eq!(read.len(), wrong.len() + 2);
    let told = wrong.iter().map(|(_, told)| *told).chain(["octet 93"]);
    for ((number, told), line) in (2..).zip(told).zip(&read) {
        assert_eq!(line.number, number, "{told}: {line:?}");
        let problem = line.outcome.as_ref().unwrap_err();
        assert!(problem.contains(told), "{told}: {problem}");
        assert!(problem.chars().count() < 250, "{problem}");
    }
    let last = read.last().unwrap();
    assert_eq!((last.number, last.outcome.is_ok()), (14, true));
}

#[test]
fn a_line_of_json_that_cannot_be_read_keeps_no_other_out() {
    let text = "{\"outcomeId\": \"1\"}\n{\"outcomeID\": \"2\"}\n[]\n{\n{\"outcomeId\": \"3\"}";
    let read = read(FormatArg::Jsonl, text);
    let are_read: Vec<bool> = read.iter().map(|line| line.outcome.is_ok()).collect();
    assert_eq!(are_read, [true, false, false, false, true]);
    let problem = read[1].outcome.as_ref().unwrap_err();
    assert!(problem.contains("did you mean outcomeId?"), "{problem}");
}

#[test]
fn a_header_has_all_columns_and_no_other() {
    for (header, told) in [
        (HEADER.replace(",origin", ""), "has no origin"),
        (format!("{HEADER},supplier"), "no column \"supplier\""),
        (
            HEADER.replace("request_time", "requested_time"),
            "no column \"requested_time\", did you mean request_time?",
        ),
        (HEADER.replace("outcome_id", "id"), "has no outcome_id"),
        (String::new(), "empty"),
    ] {
        let Err((1, problem)) = source(FormatArg::Csv, header.clone()) else {
            panic!("{header} is read");
        };
        assert!(problem.contains(told), "{header}: {problem}");
    }
}

/// How many lines there are in each part of a file with outcomes of these ids.
fn parts(ids: impl Iterator<Item = u32>) -> Vec<usize> {
    let lines: String = ids
        .map(|id| format!("{{\"outcomeId\":\"{id}\"}}\n"))
        .collect();
    let length = lines.len() as u64;
    let mut source = source(FormatArg::Jsonl, lines).unwrap();
    let mut parts = Vec::new();
    loop {
        let lines = source.together();
        if lines.is_empty() {
            assert_eq!(source.octets(), length);
            return parts;
        }
        parts.push(lines.len());
    }
}

#[test]
fn a_part_has_as_many_outcomes_as_a_request_and_no_id_twice() {
    let most = u32::try_from(MAX_OUTCOMES).unwrap();
    assert_eq!(parts(0..0), [0; 0]);
    assert_eq!(parts(0..most), [MAX_OUTCOMES]);
    assert_eq!(parts(0..most + 1), [MAX_OUTCOMES, 1]);
    assert_eq!(parts([1, 2, 1, 1, 2, 3].into_iter()), [2, 1, 3]);
}

#[test]
fn how_a_file_is_written_is_told_by_its_name_unless_it_is_said() {
    let format = |file, said| format_of(Path::new(file), said).ok();
    assert_eq!(format("a.b/JUNE.CSV", None), Some(FormatArg::Csv));
    assert_eq!(format("june.jsonl", None), Some(FormatArg::Jsonl));
    assert_eq!(format("june.ndjson", None), Some(FormatArg::Jsonl));
    for unknown in ["-", "june", "june.txt", ".csv"] {
        assert_eq!(format(unknown, None), None, "{unknown}");
        assert_eq!(format(unknown, Some(FormatArg::Csv)), Some(FormatArg::Csv));
    }
    assert_eq!(
        format("june.csv", Some(FormatArg::Jsonl)),
        Some(FormatArg::Jsonl)
    );
}
