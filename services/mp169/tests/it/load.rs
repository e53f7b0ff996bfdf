//! Does a load say which rows were refused, and can it be given again?

use std::fs;

use serde_json::Value;

use crate::world::World;

const HEADER: &str = "device_id,type,smi_status,smi_status_time,communications_hub_id,csp_id";

fn write(world: &World, name: &str, rows: &[&str]) {
    let text = format!("{HEADER}\n{}\n", rows.join("\n"));
    fs::write(world.path().join(name), text).unwrap();
}

fn lines(stdout: &str) -> Vec<Value> {
    let lines = stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_told_by_its_line_and_keeps_nothing_else_out() {
    let world = World::start().await;
    let hub = "02-DC-C1-00-00-00-09-C0,CHF,COMMISSIONED,2025-03-01,,central";
    let lost = "02-DC-C1-00-00-00-09-AF,GPF,COMMISSIONED,2025-03-01,02-DC-C1-00-00-00-77-C0,";
    let ppmid = "02-DC-C1-00-00-00-09-BB,PPMID,COMMISSIONED,2025-03-01,02-DC-C1-00-00-00-09-C0,";
    // The hub comes last, and is loaded first.
    write(&world, "devices.csv", &[lost, ppmid, hub]);
    let line = "mp169 device load devices.csv --output json";
    let first = world.run(line).await;
    assert_eq!(first.code, Some(5), "{first:?}");
    assert!(
        first.stderr.contains("1 of 3 rows were refused"),
        "{first:?}"
    );
    let told = lines(&first.stdout);
    let [refusal, sums] = told.as_slice() else {
        panic!("{first:?}");
    };
    assert_eq!(
        (&refusal["file"], &refusal["line"]),
        (&"devices.csv".into(), &2.into())
    );
    assert_eq!(
        refusal["status"]["reason"],
        "ERROR_REASON_CONTRADICTS_RECORD"
    );
    assert_eq!(
        (&sums["recorded"], &sums["refused"]),
        (&2.into(), &1.into())
    );

    // Put right and given again.
    write(&world, "devices.csv", &[ppmid, hub]);
    let again = world.ok("mp169 device load devices.csv").await;
    assert_eq!(again, "0 recorded, 2 unchanged, 0 refused\n");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_understood_changes_nothing() {
    let world = World::start().await;
    let hub = "02-DC-C1-00-00-00-09-C0,CHF,COMMISSIONED,2025-03-01,,central";
    write(
        &world,
        "devices.csv",
        &[hub, "02-DC-C1-00-00-00-09-AF,TOASTER,,,,"],
    );
    let ended = world.run("mp169 device load devices.csv").await;
    assert_eq!(ended.code, Some(5), "{ended:?}");
    assert!(ended.stdout.contains("devices.csv:3"), "{ended:?}");
    assert!(ended.stderr.contains("nothing was loaded"), "{ended:?}");
    assert!(world.ok("mp169 device list").await.contains("No Device"));
    world.stop().await;
}

const REGISTRATIONS: &str = "mpxn,party_id,start_time,end_time\n";

/// Every row of which only the mesh or only its own rules know that it is refused.
const BLIND: [(&str, &str); 11] = [
    ("1300000000016,DRAGON,2025-03-01,", ""),
    ("1.3E+12,DRAGON,2025-03-01,", "scientific notation"),
    ("1300000000016,\u{201C}DRAGON\u{201D},2025-03-01,", "U+201C"),
    ("13000\u{A0}00000016,DRAGON,2025-03-01,", "U+00A0"),
    ("130000000\u{200B}0016,DRAGON,2025-03-01,", "U+200B"),
    ("1300000000017,DRAGON,2025-03-01,", "check digits"),
    ("0000000000000,DRAGON,2025-03-01,", "all zeros"),
    ("0003938424403,DRAGON,2025-03-01,", "zeros in front"),
    ("1300000000025,DRAGON,0025-03-01,", "1986-01-01"),
    ("1300000000025,DRAGON,2025-03-01,9999-12-01", "90 days"),
    ("1300000000025,NOBODY,2025-03-01,", "NOBODY"),
];

fn write_registrations(world: &World, rows: &[&str]) {
    let text = format!("{REGISTRATIONS}{}\n", rows.join("\n"));
    fs::write(world.path().join("registrations.csv"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_names_every_row_that_the_load_refuses() {
    let world = World::start().await;
    world
        .ok("mp169 party add DRAGON --name Dragon --role import-supplier")
        .await;
    write_registrations(&world, &BLIND.map(|(row, _)| row));
    let dry = "mp169 device load registrations.csv --dry-run --output json";
    let rehearsed = world.run(dry).await;
    assert_eq!(rehearsed.code, Some(5), "{rehearsed:?}");
    let mut told = lines(&rehearsed.stdout);
    let sums = told.pop().unwrap();
    assert_eq!(
        (&sums["read"], &sums["wouldBeRecorded"], &sums["refused"]),
        (&11.into(), &1.into(), &10.into())
    );
    assert_eq!(sums["checkedWithMesh"], true);
    assert_eq!(told.len(), 10, "{told:?}");
    for ((number, (row, why)), told) in (2_u64..).zip(BLIND).skip(1).zip(&told) {
        assert_eq!(told["line"], number, "{row}");
        assert!(told["status"].to_string().contains(why), "{row}: {told}");
    }
    // The load refuses just those.
    let loaded = world
        .run("mp169 device load registrations.csv --output json")
        .await;
    let mut refused = lines(&loaded.stdout);
    let sums = refused.pop().unwrap();
    assert_eq!(
        (&sums["recorded"], &sums["refused"]),
        (&1.into(), &10.into())
    );
    assert_eq!(refused, told);

    // Without a mesh the last one cannot be found, and the command says so.
    let alone = world.run_after_the_end(dry).await;
    assert_eq!(alone.code, Some(5), "{alone:?}");
    assert!(alone.stderr.contains("Not checked"), "{alone:?}");
    let mut found = lines(&alone.stdout);
    assert_eq!(found.pop().unwrap()["checkedWithMesh"], false);
    assert_eq!(found, told[..9]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_knows_what_the_files_themselves_name() {
    let world = World::start().await;
    let parties = "entity_id;party_id;name;roles\n\
        02-00-00-00-00-00-00-01;DRAGON;Dragon;import-supplier gas-supplier\n\
        02-00-00-00-00-00-00-02;EAGLE;Eagle;import-supplier\n";
    fs::write(world.path().join("parties.csv"), parties).unwrap();
    let files = "examples/inventory/registrations.csv examples/inventory/devices.csv parties.csv";
    let dry = format!("mp169 device load {files} --dry-run");
    let told = world.ok(&dry).await;
    assert!(told.contains("0 unchanged, 0 refused"), "{told}");
    assert!(world.ok("mp169 device list").await.contains("No Device"));
    world.ok(&format!("mp169 device load {files}")).await;
    let told = world.ok(&dry).await;
    assert!(told.contains("0 would be recorded"), "{told}");
    let alone = world.run_after_the_end(&dry).await;
    assert_eq!(alone.code, Some(0), "{alone:?}");
    assert!(alone.stderr.contains("Not checked"), "{alone:?}");
}

/// As the DCC's inventory writes them; each that is not read is answered with what is.
#[tokio::test(flavor = "multi_thread")]
async fn the_words_of_duis_are_loaded() {
    let world = World::start().await;
    let rows = [
        "02-DC-C9-00-00-00-01-C0,CHF,,Commissioned,2025-03-01,,Central,",
        "02-DC-C9-00-00-00-02-C0,CHF,,InstalledNotCommissioned,2025-03-01,,central,",
        "02-DC-C9-00-00-00-05-E0,ESME,SMETS V5.0,Commissioned,2025-03-01,02-DC-C9-00-00-00-01-C0,,",
        "02-DC-C9-00-00-00-06-E0,ESME,SMETS2 V5.1,Pending,2025-03-01,02-DC-C9-00-00-00-01-C0,,",
        "02-DC-C9-00-00-00-07-E0,ESME,2,Suspended,2025-03-01,02-DC-C9-00-00-00-01-C0,,1300000000016",
    ];
    let write = |rows: &[&str]| {
        let header = "device_id,type,smets_version,smi_status,smi_status_time,\
                      communications_hub_id,csp_id,import_mpan";
        let text = format!("{header}\n{}\n", rows.join("\n"));
        fs::write(world.path().join("devices.csv"), text).unwrap();
    };
    write(&rows);
    let line = "mp169 device load devices.csv";
    assert_eq!(world.ok(line).await, "5 recorded, 0 unchanged, 0 refused\n");
    let version = world.ok("mp169 device get 02-DC-C9-00-00-00-05-E0").await;
    assert!(version.contains("5.0"), "{version}");
    write(&[
        "02-DC-C9-00-00-00-01-C0,CHF,CHTS V1.4,Pending,2025-03-01,,central,",
        "02-DC-C9-00-00-00-01-C0,CHF,,Pending,2025-03-01,,4G Central,",
        "02-DC-C9-00-00-00-01-C0,CHF,,Withdrawn,2025-03-01,,central,",
        "02-DC-C9-00-00-00-01-C0,CHF,,Recovered,2025-03-01,,central,",
        "00-00-00-00-00-00-00-00,CHF,,Commissioned,2025-03-01,,central,",
        "02-DC-C9-00-00-00-09-E0,ESME,2.0,Commissioned,2025-03-01,02-DC-C9-00-00-00-01-C0,,0000000000000",
    ]);
    let refused = world.run(&format!("{line} --dry-run")).await;
    assert_eq!(refused.code, Some(5), "{refused:?}");
    let hints = [
        "leave it empty",
        "4g, perhaps",
        "DECOMMISSIONED",
        "COMMISSIONED again",
        "all zeros and all ones",
        "all zeros are no metering point",
    ];
    for (number, hint) in (2..).zip(hints) {
        let place = format!("devices.csv:{number} ");
        let row = refused.stdout.lines().find(|row| row.contains(&place));
        assert!(row.is_some_and(|row| row.contains(hint)), "{refused:?}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_separators_only_are_passed_over() {
    let world = World::with_examples().await;
    let row = "1300000000169,DRAGON,2025-03-01,";
    write_registrations(&world, &[row, "", ",,,", ",,,"]);
    let line = "mp169 device load registrations.csv";
    assert_eq!(world.ok(line).await, "1 recorded, 0 unchanged, 0 refused\n");
    assert_eq!(world.ok(line).await, "0 recorded, 1 unchanged, 0 refused\n");
    world.stop().await;
}

const CHOICES: &str = "device_id,action,channel,captured_time,evidence_reference,steps,\
    contact_reference,economy_7_or_similar,radio_teleswitch,network_managed_without_wan";

/// A row that has all that is needed.
fn add(device: &str, evidence: &str) -> String {
    format!(
        "{device},add,online,2025-07-01,{evidence},privacy-explained,CRM-1,absent,absent,absent"
    )
}

fn write_choices(world: &World, rows: &[&str]) {
    let text = format!("{CHOICES}\n{}\n", rows.join("\n"));
    fs::write(world.path().join("choices.csv"), text).unwrap();
}

const OWN: &str = "02-DC-C1-00-00-00-01-E0";
const OWN_GAS: &str = "02-DC-C1-00-00-00-01-A0";
const FOREIGN: &str = "02-DC-C1-00-00-00-03-E0";

#[tokio::test(flavor = "multi_thread")]
async fn flags_are_loaded_and_what_is_refused_can_be_mended_and_loaded() {
    let world = World::with_examples().await;
    let undeclared = add(OWN_GAS, "WEB-2").replace(",absent,absent,absent", ",absent,,absent");
    let rows = [
        &add(OWN, "WEB-1"),
        &undeclared,
        &add(FOREIGN, "WEB-3"),
        "not a device,add,online,2025-07-01,WEB-4,,,,,",
    ];
    write_choices(&world, &rows);
    let line = "mp169 flag load --as DRAGON choices.csv --refused refused.csv --output json";
    let dry = world.run(&format!("{line} --validate-only")).await;
    assert_eq!(dry.code, Some(5), "{dry:?}");
    let first = world.run(line).await;
    assert_eq!(first.code, Some(5), "{first:?}");
    assert!(
        first.stderr.contains("3 of 4 rows were refused"),
        "{first:?}"
    );
    let told = lines(&first.stdout);
    assert_eq!(told[0]["response"]["changed"], true, "{first:?}");
    let places: Vec<_> = told[..4].iter().map(|told| &told["line"]).collect();
    assert_eq!(places, [2, 3, 4, 5]);
    let reasons = [&told[1], &told[2]].map(|told| told["status"]["reason"].as_str().unwrap());
    let expected = [
        "ERROR_REASON_PRECONDITIONS_NOT_MET",
        "ERROR_REASON_NOT_RESPONSIBLE_SUPPLIER",
    ];
    assert_eq!(reasons, expected);
    assert_eq!(
        (&told[4]["changed"], &told[4]["refused"]),
        (&1.into(), &3.into())
    );

    // What was refused is given as it stood, with why, and can be loaded as it is.
    let refused = fs::read_to_string(world.path().join("refused.csv")).unwrap();
    let kept: Vec<&str> = refused.lines().collect();
    assert_eq!(kept[0], format!("{CHOICES},refused_because"));
    assert!(kept[1].starts_with(&undeclared), "{refused}");
    assert!(kept[1].contains("NO_RADIO_TELESWITCH"), "{refused}");
    assert!(kept[3].contains("not a device"), "{refused}");
    let mended = refused.replace(",absent,,absent", ",absent,absent,absent");
    let mended: Vec<&str> = mended.lines().take(2).collect();
    fs::write(world.path().join("mended.csv"), mended.join("\n")).unwrap();
    let again = world.ok("mp169 flag load --as DRAGON mended.csv").await;
    assert!(again.contains("mended.csv:2"), "{again}");
    assert!(
        again.ends_with("1 changed, 0 unchanged, 0 answered before, 0 refused\n"),
        "{again}"
    );
    world.stop().await;
}

/// After a cut the same file is given again: what was recorded is answered as before.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_flags_that_is_loaded_again_changes_nothing() {
    let world = World::with_examples().await;
    let lift = format!("{OWN},remove,written,2025-07-02,LETTER-1,,,,,");
    write_choices(&world, &[&add(OWN, "WEB-1"), &lift, &add(OWN, "WEB-2")]);
    let line = "mp169 flag load --as DRAGON choices.csv --refused refused.csv";
    let first = world.ok(line).await;
    assert!(
        first.ends_with("3 changed, 0 unchanged, 0 answered before, 0 refused\n"),
        "{first}"
    );
    // In another order and notation, with one row more.
    let lower = add(&OWN.to_lowercase(), "WEB-1");
    write_choices(
        &world,
        &[&lower, &lift, &add(OWN, "WEB-2"), &add(OWN_GAS, "WEB-3")],
    );
    let again = world.ok(line).await;
    assert!(
        again.ends_with("1 changed, 0 unchanged, 3 answered before, 0 refused\n"),
        "{again}"
    );
    let history = world
        .ok(&format!(
            "mp169 flag history --as DRAGON {OWN} --output json"
        ))
        .await;
    let events: usize = lines(&history)
        .iter()
        .map(|page| page["events"].as_array().map_or(0, Vec::len))
        .sum();
    assert_eq!(events, 3, "{history}");
    let refused = fs::read_to_string(world.path().join("refused.csv")).unwrap();
    assert_eq!(refused.lines().count(), 1, "{refused}");

    // Not even by mistake is the file itself written over, nor another kind taken for it.
    let over = world
        .run("mp169 flag load --as DRAGON choices.csv --refused choices.csv")
        .await;
    assert_eq!(over.code, Some(2), "{over:?}");
    let other = world
        .run("mp169 flag load --as DRAGON examples/inventory/parties.csv")
        .await;
    assert_eq!(other.code, Some(5), "{other:?}");
    assert!(other.stderr.contains("mp169 flag load --help"), "{other:?}");
    world.stop().await;
}
