//! The readers and the policy against the public reference test data, where it is at hand.
//!
//! What is expected comes from the names of the files and from the policy's tables, never from the
//! readers. A name starts with the use case and says the Service Request Variant:
//! `GCS16a_4.6.1_SUCCESS_REQUEST_DUIS.XML`. Use cases ECS are of the ESME, GCS of the gas Devices.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use classification::codes::{AlertCode, MessageCode, Srv};
use classification::decide::{Flag, Verdict};
use classification::message::{DeviceType, Message, Subject};
use classification::policy::{Class, Policy, Treatment};
use classification::{duis, gbcs};
use mesh_types::DeviceId;

type Flags = BTreeMap<DeviceId, DeviceType>;

/// The Devices of the reference data: ESME …A0, GSME …A1, and GPF …A3, which the GSME's flag covers.
fn flags(esme: bool, gas: bool) -> Flags {
    let device = |last: &str| format!("00-DB-12-34-56-78-90-{last}").parse().unwrap();
    let mut flags = Flags::new();
    if esme {
        flags.insert(device("A0"), DeviceType::Esme);
    }
    if gas {
        flags.insert(device("A1"), DeviceType::Gsme);
        flags.insert(device("A3"), DeviceType::Gpf);
    }
    flags
}

fn verdict(policy: &Policy, message: &Message, flags: &Flags) -> Verdict {
    let flag = |device| flags.get(&device).map(|&device_type| Flag { device_type });
    policy.decide(message, flag).verdict
}

/// The parts of a file's name, without the ending.
struct Name<'n> {
    use_case: &'n str,
    srv: Option<Srv>,
}

impl<'n> Name<'n> {
    fn of(file: &'n str) -> Self {
        let mut parts = file.split('_');
        let first = parts.next().unwrap();
        match first.parse() {
            Ok(srv) => Self {
                use_case: "",
                srv: Some(srv),
            },
            Err(_) => Self {
                use_case: first,
                srv: parts.next().and_then(|part| part.parse().ok()),
            },
        }
    }

    fn flagged(&self, flags: &Flags) -> bool {
        flags.values().any(|device_type| match device_type {
            DeviceType::Esme => self.use_case.starts_with("ECS"),
            _ => self.use_case.starts_with("GCS"),
        })
    }

    /// A request is of the fuel that its use case is of; 4.10 reads consumption on gas only.
    fn request_expected(&self, policy: &Policy, flags: &Flags) -> Verdict {
        let row = policy.service_request(self.srv.unwrap()).unwrap();
        let consumption = match row.entry.treatment {
            Treatment::Suppress => true,
            Treatment::ByDeviceType => self.use_case.starts_with("GCS"),
            _ => false,
        };
        suppress_if(consumption && self.flagged(flags))
    }

    /// Command, Response and Alert of a use case share its message code.
    fn gbcs_expected(&self, policy: &Policy, flags: &Flags) -> Verdict {
        let mut rows = policy
            .messages()
            .iter()
            .filter(|row| &*row.use_case == self.use_case);
        let consumption = rows.any(|row| row.entry.treatment == Treatment::Suppress);
        suppress_if(consumption && self.flagged(flags))
    }
}

fn suppress_if(suppress: bool) -> Verdict {
    if suppress {
        Verdict::Suppress
    } else {
        Verdict::Deliver
    }
}

/// The files of a folder of the reference data in order, if it is at hand.
fn files(folder: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/rtds")
        .join(folder);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: the reference test data is not here");
        return None;
    };
    let mut files: Vec<_> = entries
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    Some(files)
}

/// Checks each file's verdict and returns how many are suppressed.
fn count(
    policy: &Policy,
    messages: &[(String, Message)],
    flags: &Flags,
    expected: impl Fn(&Name<'_>) -> Verdict,
) -> usize {
    let mut suppressed = 0;
    for (file, message) in messages {
        let found = verdict(policy, message, flags);
        assert_eq!(found, expected(&Name::of(file)), "{file}");
        suppressed += usize::from(found == Verdict::Suppress);
    }
    suppressed
}

#[test]
fn reference_requests_are_judged_as_their_names_say() {
    let Some(files) = files("duis") else { return };
    let policy = Policy::builtin();
    let messages: Vec<(String, Message)> = files
        .into_iter()
        .map(|(file, bytes)| {
            let message =
                duis::read(&policy, &bytes).unwrap_or_else(|error| panic!("{file}: {error}"));
            (file, message)
        })
        .collect();
    for (file, message) in &messages {
        let named = Name::of(file).srv.unwrap();
        match message.subject {
            Subject::Service(srv) => assert_eq!(srv, named, "{file}"),
            Subject::Returned(_) => assert_eq!(named, Srv::RETURN_LOCAL_COMMAND_RESPONSE),
            ref other => panic!("{file}: {other:?}"),
        }
    }
    let mut totals = Vec::new();
    for (esme, gas) in [(true, true), (true, false), (false, false)] {
        let flags = flags(esme, gas);
        let expected = |name: &Name<'_>| name.request_expected(&policy, &flags);
        totals.push(count(&policy, &messages, &flags, expected));
    }
    assert_eq!((messages.len(), totals), (183, vec![19, 11, 0]));
}

#[test]
fn reference_gbcs_messages_are_judged_as_their_names_say() {
    let Some(files) = files("gbcs") else { return };
    let policy = Policy::builtin();
    let mut messages = Vec::new();
    for (file, text) in files {
        let octets = gbcs::from_hex(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        let header = gbcs::read(&octets).unwrap_or_else(|error| panic!("{file}: {error}"));
        check_header(&policy, &file, &header);
        for length in 0..octets.len() {
            if let Ok(shorter) = gbcs::read(&octets[..length]) {
                // Only a signed Command without a MAC can lose a part and still be one: a Pre-Command.
                assert_eq!(
                    shorter.signature,
                    gbcs::Signature::Unsigned,
                    "{file} cut to {length}"
                );
                assert_eq!(
                    (shorter.codes, shorter.device()),
                    (header.codes, header.device())
                );
            }
        }
        messages.push((file, header.message()));
    }
    let mut totals = Vec::new();
    for (esme, gas) in [(true, true), (true, false), (false, false)] {
        let flags = flags(esme, gas);
        let expected = |name: &Name<'_>| name.gbcs_expected(&policy, &flags);
        totals.push(count(&policy, &messages, &flags, expected));
    }
    assert_eq!((messages.len(), totals), (738, vec![68, 36, 0]));
}

/// The header against what the file's name says of it.
fn check_header(policy: &Policy, file: &str, header: &gbcs::Header) {
    let kind = match header.kind {
        gbcs::Kind::Command => "COMMAND",
        gbcs::Kind::Response => "RESPONSE",
        gbcs::Kind::Alert => "ALERT",
    };
    assert!(file.contains(kind), "{file}: {kind}");
    assert_eq!(
        header.signature == gbcs::Signature::Unsigned,
        file.contains("PRECOMMAND"),
        "{file}: {:?}",
        header.signature
    );
    let named: Option<AlertCode> = file
        .split('_')
        .find_map(|part| part.starts_with('8').then(|| part.parse().ok())?);
    if header.kind == gbcs::Kind::Alert {
        let read = header
            .codes
            .alert
            .unwrap_or_else(|| panic!("{file}: no alert code"));
        assert!(policy.alert(read).is_some(), "{file}: {read}");
        assert!(named.is_none_or(|named| named == read), "{file}: {read}");
    }
    let row = policy
        .message(header.codes.message)
        .unwrap_or_else(|| panic!("{file}: unknown code"));
    let use_case = Name::of(file).use_case;
    let known = policy
        .messages()
        .iter()
        .any(|row| &*row.use_case == use_case);
    // The one use case of which some files carry the code of another.
    let quirk = file.starts_with("CS04B_8.8.2_ERROR") && row.code == MessageCode(0x000F);
    if known && header.kind != gbcs::Kind::Alert && !quirk {
        assert_eq!(&*row.use_case, use_case, "{file}");
    }
    if row.entry.class == Class::Consumption {
        assert!(
            use_case.starts_with("ECS") || use_case.starts_with("GCS"),
            "{file}"
        );
    }
}
