//! Files as programs write them.

use std::fs;

use mesh_testkit::temp_dir;

use super::*;

fn read(octets: impl AsRef<[u8]>) -> Result<Inventory> {
    let folder = temp_dir();
    let file = folder.path().join("rows.csv");
    fs::write(&file, octets).unwrap();
    Inventory::read(&[file])
}

fn problems(text: &str) -> Vec<(u64, String)> {
    let inventory = read(text).unwrap();
    let problems = inventory.problems.into_iter();
    problems.map(|(place, text)| (place.line, text)).collect()
}

#[test]
fn the_examples_are_ten_devices_in_an_order_that_can_be_loaded() {
    let files = ["registrations.csv", "parties.csv", "devices.csv"];
    let files = files.map(|file| format!("../../examples/inventory/{file}").into());
    let inventory = Inventory::read(&files).unwrap();
    assert_eq!(inventory.problems, []);
    let ranks: Vec<u8> = inventory.rows.iter().map(|(_, row)| rank(row)).collect();
    assert!(ranks.is_sorted(), "{ranks:?}");
    let devices = ranks.iter().filter(|rank| (1..=3).contains(*rank));
    assert_eq!(devices.count(), 10);
}

#[test]
fn a_row_is_read_whatever_program_wrote_it() {
    let text = "\u{FEFF}site_exceptions,type, device_id ,smets_version\r\n\
        \"radio-teleswitch ECONOMY_7_OR_SIMILAR\",esme,02dcc100000001e0,2.0\r\n";
    let inventory = read(text).unwrap();
    assert_eq!(inventory.problems, []);
    let [(place, Row::Device(device))] = inventory.rows.as_slice() else {
        panic!("{inventory:?}");
    };
    assert_eq!(place.line, 2);
    assert_eq!(device.device_id, "02-DC-C1-00-00-00-01-E0");
    assert_eq!(device.r#type(), DeviceType::Esme);
    assert_eq!(device.site_exceptions, [2, 1]);
}

#[test]
fn what_cannot_be_read_is_told_with_its_line_and_its_column() {
    let wrong = problems(
        "device_id,type,smi_status_time\n\
         02-DC-C1-00-00-00-01-E0,TOASTER,\n\
         02-DC-C1-00-00-00-01-E0,ESME,yesterday\n\
         \n\
         E0,ESME,\n\
         02-DC-C1-00-00-00-01-E0\n",
    );
    let lines: Vec<u64> = wrong.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [2, 3, 5, 6], "{wrong:?}");
    for ((_, text), column) in wrong.iter().zip(["type", "smi_status_time", "device_id"]) {
        assert!(text.starts_with(column), "{text}");
    }
    let unknown = problems("device_id,colour\n02-DC-C1-00-00-00-01-E0,red\n");
    assert!(unknown[0].1.contains("colour"), "{unknown:?}");
}

#[test]
fn a_header_that_is_not_understood_is_named() {
    for (text, line, told) in [
        ("name,colour\nmeter,red\n", 1, "mpxn"),
        ("\n\nname,colour\nmeter,red\n", 3, "name, colour"),
        ("mpxn,party_id,colour\n", 1, "no column \"colour\""),
        ("mpxn,party_id,start\n", 1, "no column \"start\""),
        (
            "mpxn,party_id,Party ID,start_time\n",
            1,
            "party_id is there twice",
        ),
        ("mpxn,,party_id,start_time\n", 1, "column 2 has no name"),
        ("", 1, "empty"),
        ("\r\n,,,\r\n", 1, "empty"),
        ("sep=;\n", 1, "empty"),
    ] {
        let wrong = problems(text);
        let [(at, problem)] = wrong.as_slice() else {
            panic!("{text:?}: {wrong:?}");
        };
        assert!(*at == line && problem.contains(told), "{text:?}: {wrong:?}");
    }
    assert_eq!(problems("mpxn,party_id,start_time,end_time\n"), []);
}

/// One registration, in line 2 or where it says, whatever wrote the file.
#[test]
fn files_of_many_programs_are_read_alike() {
    let plain = "mpxn,party_id,start_time,end_time\n1300000000016,ALBION,2025-03-01,\n";
    let [(_, expected)] = &read(plain).unwrap().rows[..] else {
        panic!("one row");
    };
    let utf_16 = |text: &str, mark: [u8; 2], octets: fn(u16) -> [u8; 2]| {
        let mut all = mark.to_vec();
        all.extend(text.encode_utf16().flat_map(octets));
        all
    };
    let semicolons = plain.replace(',', ";");
    let tabs = plain.replace(',', "\t");
    for (line, octets) in [
        (2, plain.replace('\n', "\r\n").into_bytes()),
        (2, plain.replace('\n', "\r").into_bytes()),
        (2, plain.trim_end().as_bytes().to_vec()),
        (2, semicolons.clone().into_bytes()),
        (2, tabs.clone().into_bytes()),
        (2, plain.replace(',', "|").into_bytes()),
        (3, format!("sep=,\n{plain}").into_bytes()),
        (3, format!("sep=;\r\n{semicolons}").into_bytes()),
        (3, format!("\"sep=;\"\n{semicolons}").into_bytes()),
        (3, format!("sep=\t\n{tabs}").into_bytes()),
        (2, format!("\u{FEFF}{plain}").into_bytes()),
        (2, utf_16(plain, [0xFF, 0xFE], u16::to_le_bytes)),
        (2, utf_16(&tabs, [0xFE, 0xFF], u16::to_be_bytes)),
        (
            2,
            plain
                .replace("mpxn,party_id", " MPxN , \"Party ID\" ")
                .into_bytes(),
        ),
        (2, plain.to_uppercase().into_bytes()),
        (2, plain.replace('_', "").into_bytes()),
        (
            2,
            plain
                .replace("01,", "01,,,")
                .replace("end_time", "end_time,,")
                .into_bytes(),
        ),
        (2, plain.replace("ALBION", "  ALBION\u{A0}").into_bytes()),
        (2, format!("{plain}\n,,,\n , ,,\r\n,,,").into_bytes()),
        (5, plain.replacen('\n', "\n\n,,,\n\n", 1).into_bytes()),
    ] {
        let inventory = read(&octets).unwrap();
        let text = String::from_utf8_lossy(&octets).into_owned();
        assert_eq!(inventory.problems, [], "{text:?}");
        let [(place, row)] = &inventory.rows[..] else {
            panic!("{text:?}: {inventory:?}");
        };
        assert_eq!((place.line, row), (line, expected), "{text:?}");
    }
}

#[test]
fn what_cannot_be_told_apart_for_sure_is_refused_with_its_name() {
    let header = "mpxn,party_id,start_time\n";
    let unmarked: Vec<u8> = header.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut odd = vec![0xFF, 0xFE];
    odd.extend(&unmarked[1..]);
    let windows = [
        header.as_bytes(),
        b"1300000000016,\x93ALBION\x94,2025-03-01\n",
    ]
    .concat();
    for (octets, line, told) in [
        (unmarked, 1, "UTF-16"),
        (odd, 1, "damaged"),
        (windows, 2, "octet 93"),
        (
            format!("{header}\"1300000000016,ALBION,2025-03-01\n1,B,2025-03-01\n").into_bytes(),
            2,
            "quotation mark",
        ),
        (
            format!("{header}1300000000016,\"ALBION\n").into_bytes(),
            2,
            "column 2 goes on over lines",
        ),
        (
            format!("{header}1300000000016,A,{}\n", "9".repeat(100_000)).into_bytes(),
            2,
            "start_time",
        ),
    ] {
        let wrong = read(&octets).unwrap().problems;
        let [(place, problem)] = &wrong[..] else {
            panic!("{told}: {wrong:?}");
        };
        assert!(place.line == line && problem.contains(told), "{wrong:?}");
        assert!(problem.chars().count() < 200, "{problem}");
    }
}

#[test]
fn rows_of_one_party_are_its_identities_wherever_they_stand() {
    let inventory = read(
        "party_id,name,entity_id,roles\n\
         ACME,Acme,02-00-00-00-00-00-00-01,IMPORT_SUPPLIER\n\
         ACME,Acme,02-00-00-00-00-00-00-02,GAS_SUPPLIER\n\
         OTHER,Other,02-00-00-00-00-00-00-03,OTHER_USER\n\
         ACME,Acme,02-00-00-00-00-00-00-04,EXPORT_SUPPLIER\n",
    );
    let rows = inventory.unwrap().rows;
    let identities = rows.iter().map(|(_, row)| match row {
        Row::Party(party) => party.identities.len(),
        other => panic!("{other:?}"),
    });
    assert_eq!(identities.collect::<Vec<_>>(), [3, 1]);
}

#[test]
fn rows_of_one_party_that_contradict_each_other_are_told() {
    let wrong = problems(
        "party_id,name,entity_id,roles\n\
         ACME,Acme,02-00-00-00-00-00-00-01,IMPORT_SUPPLIER\n\
         ACME,Acme Gas,02-00-00-00-00-00-00-02,GAS_SUPPLIER\n",
    );
    let [(3, problem)] = wrong.as_slice() else {
        panic!("{wrong:?}");
    };
    assert!(problem.starts_with("party_id"), "{problem}");
}
