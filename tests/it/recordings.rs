//! Is every RPC put on record as the table says? Somebody decided it for each of them, on one page.

use std::collections::BTreeMap;

use mesh_api::audit::v1::Recording;
use prost_reflect::DescriptorPool;

const TABLE: &str = include_str!("../golden/recordings.txt");

/// What the contracts declare, by `service/method`.
fn declared() -> BTreeMap<String, Recording> {
    let pool = DescriptorPool::decode(mesh_api::FILE_DESCRIPTOR_SET).unwrap();
    let option = pool
        .get_extension_by_name("mp169.audit.v1.recording")
        .unwrap();
    let ours = pool
        .services()
        .filter(|service| service.full_name().starts_with("mp169."));
    let methods = ours.flat_map(|service| service.methods().collect::<Vec<_>>());
    let declared = methods.map(|method| {
        let service = method.parent_service().full_name().to_owned();
        let number = method.options().get_extension(&option).as_enum_number();
        let recording = Recording::try_from(number.unwrap()).unwrap();
        (format!("{service}/{}", method.name()), recording)
    });
    declared.collect()
}

/// What the table says.
fn table() -> BTreeMap<String, Recording> {
    let mut service = "";
    let mut table = BTreeMap::new();
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] => {}
            [name] => service = name,
            [method, how] => {
                let recording = match how {
                    "each" => Recording::Each,
                    "first" => Recording::EachBeforeAnswer,
                    "past" => Recording::EachPastBeforeAnswer,
                    "counted" => Recording::Counted,
                    "ours" => Recording::CountedOfServices,
                    other => panic!("{service}/{method}: {other}"),
                };
                let twice = table.insert(format!("{service}/{method}"), recording);
                assert_eq!(twice, None, "{service}/{method} is there twice");
            }
            _ => panic!("{line}"),
        }
    }
    table
}

#[test]
fn every_rpc_is_put_on_record_as_the_table_says() {
    let declared = declared();
    assert!(declared.len() > 35, "{declared:?}");
    assert_eq!(declared, table());
}
