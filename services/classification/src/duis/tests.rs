//! Documents of the project's own, in every form that the format allows, and hostile ones.

mod both_ways;
mod disguises;
mod forms;
mod kinds;
mod refusals;
mod sizes;

use mesh_types::DeviceId;
use proptest::prelude::*;

use super::*;
use crate::codes::{AlertCode, MessageCode};
use crate::decide::{Flag, Verdict};
use crate::message::{DeviceType, Devices, Origin, Subject};
use crate::samples::{self, AlertEncoding};

const USER: Eui64 = Eui64::from_u64(0x90B3_D51F_3001_0000);
const METER: DeviceId = DeviceId::new(Eui64::from_u64(0x00DB_1234_5678_90A0));
const GAS: DeviceId = DeviceId::new(Eui64::from_u64(0x00DB_1234_5678_90A1));

fn srv(text: &str) -> Srv {
    text.parse().unwrap()
}

fn read_text(document: &str) -> Result<Message, ReadError> {
    read(&Policy::builtin(), document.as_bytes())
}

fn request(variant: &str) -> String {
    samples::duis_request(&Policy::builtin(), srv(variant), USER, METER, 1000).unwrap()
}

/// The document with one piece replaced, which must be there.
fn with(document: &str, from: &str, to: &str) -> String {
    assert!(document.contains(from), "{from} is in the document");
    document.replacen(from, to, 1)
}

fn reason(document: &str) -> &'static str {
    read_text(document)
        .expect_err("the document is refused")
        .reason()
}

fn suppressed_for(device: DeviceId, document: &str) -> bool {
    let message = read_text(document).unwrap();
    let flag = Flag {
        device_type: DeviceType::Other,
    };
    let decision = Policy::builtin()
        .decide(&message, |id| (id == device).then_some(flag))
        .verdict;
    decision == Verdict::Suppress
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = read_text(&text);
    }

    #[test]
    fn no_markup_makes_the_reader_panic(text in "[<>/&;!\\[\\]?a:'\"= sr-]{0,120}") {
        let _ = read_text(&text);
        let _ = read_text(&with(&request("4.8.1"), "<sr:Body>", &format!("<sr:Body>{text}")));
    }

    #[test]
    fn no_damage_makes_the_reader_panic(
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<proptest::sample::Index>(),
    ) {
        let policy = Policy::builtin();
        let response = samples::gbcs_response(MessageCode(0x0037), METER, USER, 9);
        for document in [
            request("4.8.1"),
            samples::duis_schedule(&policy, srv("4.8.1"), USER, METER, 5).unwrap(),
            samples::duis_return_local(USER, &response, 10),
            samples::duis_response(srv("4.8.1"), USER, &response),
        ] {
            let mut octets = document.into_bytes();
            for (at, value) in &damage {
                let at = at.index(octets.len());
                octets[at] = *value;
            }
            let _ = read(&policy, &octets);
            let _ = read(&policy, &octets[..cut.index(octets.len())]);
        }
    }
}
