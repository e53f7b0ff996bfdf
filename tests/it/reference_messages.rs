//! The public reference messages through the whole mesh, where they are at hand.
//!
//! What is expected comes from the names of the files and from the published tables of the policy,
//! never from the readers. A name starts with the use case and says the Service Request Variant:
//! `GCS16a_4.6.1_SUCCESS_REQUEST_DUIS.XML`. Use cases ECS are of the ESME, GCS of the gas Devices.

use std::path::Path;

use classification::policy::{Policy, Treatment};
use mesh_api::classification::v1::{self as wire, Verdict, decision_result, message::Content};
use mesh_api::common::v1::{DeviceType, Position};
use mesh_api::convert::timestamp_to_wire;
use mesh_api::registration::v1 as registration;
use mesh_types::{DeviceId, Mpan, Mprn};
use mp169::sample;

use crate::mesh::{TestMesh, a_year_ago};
use crate::requests;

/// Messages of one request of the stream.
const MESSAGES_PER_REQUEST: usize = 100;

/// A reference message as it is sent, and its file's name.
struct Reference {
    name: String,
    content: Content,
}

/// The files of a folder of the reference data in the order of their names, if it is at hand.
fn references(folder: &str, read: fn(Vec<u8>) -> Content) -> Option<Vec<Reference>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/rtds")
        .join(folder);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: the reference messages are not here");
        return None;
    };
    let mut files: Vec<Reference> = entries
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            Reference {
                name,
                content: read(std::fs::read(entry.path()).unwrap()),
            }
        })
        .collect();
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Some(files)
}

fn from_hex(text: Vec<u8>) -> Content {
    let digits: Vec<u8> = text
        .into_iter()
        .filter(|octet| !octet.is_ascii_whitespace())
        .collect();
    Content::Gbcs(hex::decode(digits).unwrap().into())
}

/// Which of the reference Devices are flagged.
#[derive(Debug, Clone, Copy)]
struct Flagged {
    esme: bool,
    gas: bool,
}

impl Flagged {
    /// Whether a use case is of a flagged Device. The GSME's flag covers the GPF.
    fn has(self, use_case: &str) -> bool {
        (self.esme && use_case.starts_with("ECS")) || (self.gas && use_case.starts_with("GCS"))
    }
}

/// Whether a DUIS request is suppressed: its variant stands in its name. 4.10 reads consumption on
/// gas only. Names of requests for no Device begin with the variant.
fn request_is_suppressed(policy: &Policy, name: &str, flagged: Flagged) -> bool {
    let mut parts = name.split('_');
    let first = parts.next().unwrap();
    let (use_case, variant) = if first.contains('.') {
        ("", first)
    } else {
        (first, parts.next().unwrap())
    };
    let row = policy.service_request(variant.parse().unwrap()).unwrap();
    let consumption = match row.entry.treatment {
        Treatment::Suppress => true,
        Treatment::ByDeviceType => use_case.starts_with("GCS"),
        _ => false,
    };
    consumption && flagged.has(use_case)
}

/// Whether a GBCS message is suppressed: command, response and alert of a use case share its
/// message code.
fn gbcs_is_suppressed(policy: &Policy, name: &str, flagged: Flagged) -> bool {
    let use_case = name.split('_').next().unwrap();
    let mut rows = policy
        .messages()
        .iter()
        .filter(|row| &*row.use_case == use_case);
    rows.any(|row| row.entry.treatment == Treatment::Suppress) && flagged.has(use_case)
}

fn device(last: &str) -> DeviceId {
    format!("00-DB-12-34-56-78-90-{last}").parse().unwrap()
}

/// The Devices of the reference data, all commissioned, both meters supplied by Albion.
fn inventory() -> Vec<registration::InventoryRow> {
    use registration::inventory_row::Row;
    let (esme, gsme, hub, gpf) = (device("A0"), device("A1"), device("A2"), device("A3"));
    let since = Some(timestamp_to_wire(a_year_ago()));
    let on_hub = |id: DeviceId, kind: DeviceType| registration::Device {
        device_id: id.to_string(),
        r#type: kind.into(),
        smi_status: registration::SmiStatus::Commissioned.into(),
        smi_status_time: since,
        communications_hub_id: hub.to_string(),
        ..Default::default()
    };
    let smets2 = Some(registration::SmetsVersion { major: 2, minor: 0 });
    let mpan = Mpan::with_check_digit(300_000_000_001).unwrap().to_string();
    let mprn = Mprn::with_check_digits(30_000_001).unwrap().to_string();
    let devices = [
        registration::Device {
            communications_hub_id: String::new(),
            csp_id: sample::CSP_SOUTH.csp.into(),
            ..on_hub(hub, DeviceType::Chf)
        },
        registration::Device {
            smets_version: smets2,
            import_mpan: mpan.clone(),
            ..on_hub(esme, DeviceType::Esme)
        },
        on_hub(gpf, DeviceType::Gpf),
        registration::Device {
            smets_version: smets2,
            mprn: mprn.clone(),
            gas_proxy_function_id: gpf.to_string(),
            ..on_hub(gsme, DeviceType::Gsme)
        },
    ];
    let registrations = [mpan, mprn].map(|mpxn| registration::Registration {
        mpxn,
        party_id: sample::ALBION.id.into(),
        start_time: since,
        ..Default::default()
    });
    let rows = devices
        .map(Row::Device)
        .into_iter()
        .chain(registrations.map(Row::Registration));
    let mut inventory = requests::rows(0);
    inventory.extend(rows.map(|row| registration::InventoryRow { row: Some(row) }));
    inventory
}

/// Sends all messages through one stream and compares each verdict with what the file's name says;
/// gives the number that is suppressed.
async fn suppressed(
    mesh: &TestMesh,
    messages: &[Reference],
    at_least: Option<Position>,
    expected: impl Fn(&str) -> bool,
) -> usize {
    let requests: Vec<_> = messages
        .chunks(MESSAGES_PER_REQUEST)
        .map(|part| wire::ClassifyStreamRequest {
            messages: part
                .iter()
                .map(|reference| wire::Message {
                    content: Some(reference.content.clone()),
                    origin: wire::Origin::Unspecified.into(),
                })
                .collect(),
            at_least: at_least.clone(),
        })
        .collect();
    let mut client = mesh.clients("dsp").classification().unwrap();
    let answer = client
        .classify_stream(tokio_stream::iter(requests))
        .await
        .unwrap();
    let mut answers = answer.into_inner();
    let mut results = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        results.extend(answer.results);
    }
    assert_eq!(results.len(), messages.len());
    let mut count = 0;
    for (reference, result) in messages.iter().zip(results) {
        let Some(decision_result::Result::Decision(decision)) = result.result else {
            panic!("{}: {result:?}", reference.name);
        };
        let suppressed = decision.verdict() == Verdict::Suppress;
        assert_eq!(
            suppressed,
            expected(&reference.name),
            "{}: {decision:?}",
            reference.name
        );
        count += usize::from(suppressed);
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reference_messages_are_judged_as_their_names_say() {
    let read_duis = |text: Vec<u8>| Content::DuisXml(text.into());
    let (Some(duis), Some(gbcs)) = (references("duis", read_duis), references("gbcs", from_hex))
    else {
        return;
    };
    assert_eq!((duis.len(), gbcs.len()), (183, 738));
    let mesh = TestMesh::start().await;
    mesh.load(inventory()).await;
    mesh.knows(sample::ALBION.id).await;
    let mut supplier = mesh.clients(sample::ALBION.id).flags().unwrap();
    let policy = Policy::builtin();

    let mut position = None;
    let steps = [
        (None, false, false),
        (Some("A0"), true, false),
        (Some("A1"), true, true),
    ];
    let mut totals = Vec::new();
    for (newly, esme, gas) in steps {
        if let Some(last) = newly {
            let added = supplier
                .add_flag(requests::add(device(last), sample::ALBION.id))
                .await;
            position = added.unwrap().into_inner().position;
        }
        let flagged = Flagged { esme, gas };
        let requests = |name: &str| request_is_suppressed(&policy, name, flagged);
        let messages = |name: &str| gbcs_is_suppressed(&policy, name, flagged);
        totals.push((
            suppressed(&mesh, &duis, position.clone(), requests).await,
            suppressed(&mesh, &gbcs, position.clone(), messages).await,
        ));
    }
    assert_eq!(totals, [(0, 0), (11, 36), (19, 68)]);
}
