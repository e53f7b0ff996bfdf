//! `mp169 classify`: what becomes of the messages in files.

use std::path::Path;

use anyhow::Result;
use mesh_api::classification::v1::{self as wire, decision_result, message::Content};
use mesh_api::common::v1::ItemStatus;
use mesh_authz::InternalRole;
use mesh_rpc::Retry;

use crate::cli::classify::ClassifyArgs;
use crate::cli::connection::Output;
use crate::exit::Incomplete;
use crate::output::{json, print_line, print_table, short};
use crate::session::Session;

/// How many messages are asked about at once.
const BATCH: usize = 100;

/// Carries out the command. It succeeds if every message could be decided, whatever the verdicts; a
/// file that cannot be read does not keep the others from being decided.
pub(crate) async fn run(args: ClassifyArgs) -> Result<()> {
    let output = args.connection.output;
    let session = Session::open(&args.connection, Some(InternalRole::Dsp))?;
    let mut client = session.clients.classification()?;
    let mut rows = Vec::new();
    let mut undecided = 0;
    for files in args.files.chunks(BATCH) {
        let contents: Vec<_> = files.iter().map(|file| read(file)).collect();
        let messages = contents.iter().flatten().cloned().map(message).collect();
        let request = wire::BatchClassifyRequest {
            messages,
            at_least: None,
        };
        let mut results = Retry::default()
            .idempotent(async || client.batch_classify(request.clone()).await)
            .await?
            .into_inner()
            .results
            .into_iter();
        for (file, content) in files.iter().zip(contents) {
            let result = match content {
                Ok(_) => results.next().unwrap_or_default(),
                Err(problem) => unread(problem),
            };
            let decided = matches!(result.result, Some(decision_result::Result::Decision(_)));
            undecided += u64::from(!decided);
            match output {
                Output::Table => rows.push(row(file, result)),
                Output::Json => {
                    let (file, result) = (file.display().to_string(), json(&result)?);
                    print_line(&serde_json::json!({ "file": file, "result": result }))?;
                }
            }
        }
    }
    if output == Output::Table {
        print_table(
            &["file", "verdict", "reason", "class", "rule", "Device"],
            rows,
        )?;
    }
    let all = u64::try_from(args.files.len())?;
    Incomplete::check(undecided, all, "messages could not be decided")
}

fn message(content: Content) -> wire::Message {
    wire::Message {
        content: Some(content),
        origin: wire::Origin::Unspecified.into(),
    }
}

fn unread(problem: String) -> wire::DecisionResult {
    let status = ItemStatus {
        message: problem,
        ..ItemStatus::default()
    };
    wire::DecisionResult {
        result: Some(decision_result::Result::Status(status)),
    }
}

fn read(file: &Path) -> Result<Content, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("cannot be read: {error}"))?;
    content(bytes)
}

/// XML begins with an angle bracket, GBCS in binary with 0xDD or 0xDF; hexadecimal digits are ASCII.
fn content(bytes: Vec<u8>) -> Result<Content, String> {
    let text = bytes
        .strip_prefix(b"\xEF\xBB\xBF")
        .unwrap_or(&bytes)
        .trim_ascii();
    let digits = || {
        text.iter()
            .copied()
            .filter(|byte| !byte.is_ascii_whitespace())
    };
    match text.first() {
        None => Err("the file is empty".into()),
        Some(b'<') => Ok(Content::DuisXml(bytes.into())),
        Some(0xDD | 0xDF) => Ok(Content::Gbcs(bytes.into())),
        Some(_) => match hex::decode(digits().collect::<Vec<u8>>()) {
            Ok(octets) => Ok(Content::Gbcs(octets.into())),
            Err(_) => Err("neither DUIS XML nor GBCS, in binary or hexadecimal digits".into()),
        },
    }
}

fn row(file: &Path, result: wire::DecisionResult) -> Vec<String> {
    let name = file.display().to_string();
    match result.result {
        Some(decision_result::Result::Decision(decision)) => vec![
            name,
            short(decision.verdict().as_str_name(), "VERDICT_").to_owned(),
            short(decision.reason().as_str_name(), "DECISION_REASON_").to_owned(),
            short(decision.message_class().as_str_name(), "MESSAGE_CLASS_").to_owned(),
            decision.rule_id.clone(),
            decision.device_ids.join(", "),
        ],
        Some(decision_result::Result::Status(status)) => vec![name, "–".into(), status.message],
        None => vec![name, "–".into(), "no answer".into()],
    }
}

#[cfg(test)]
mod tests {
    use classification::codes::{AlertCode, MessageCode};
    use classification::policy::Policy;
    use classification::samples;

    use super::*;
    use crate::sample::{ALBION, Home};

    #[test]
    fn the_form_of_a_file_is_found() {
        for xml in [&b"\xEF\xBB\xBF <a/>"[..], b"\n<a/>"] {
            assert!(matches!(content(xml.to_vec()), Ok(Content::DuisXml(_))));
        }
        for gbcs in [&b"DF 09\n01"[..], &[0xDF, 0x09, 0x01]] {
            let octets = content(gbcs.to_vec());
            assert!(matches!(octets, Ok(Content::Gbcs(octets)) if octets.as_ref() == [0xDF, 9, 1]));
        }
        for neither in [&b""[..], b" \n", b"a letter", b"DF0"] {
            assert!(content(neither.to_vec()).is_err());
        }
    }

    /// The files that the README names, for a Device of the sample.
    #[test]
    fn the_examples_are_messages_of_the_samples_device() {
        let policy = Policy::builtin();
        let (supplier, meter) = (ALBION.entity().eui64(), Home::new(8).esme());
        let request = |variant: &str| {
            let variant = variant.parse().unwrap();
            samples::duis_request(&policy, variant, supplier, meter, 1_000).unwrap()
        };
        let registers = samples::gbcs_response(MessageCode(0x0027), meter, supplier, 1_001);
        let encoding = samples::AlertEncoding::Dlms;
        let (message, alert) = (MessageCode(0x0067), AlertCode(0x8F36));
        let restored = samples::gbcs_alert(message, alert, encoding, meter, supplier, 2_000);
        for (file, text) in [
            ("read-half-hours.xml", request("4.8.1")),
            ("top-up.xml", request("2.2")),
            (
                "registers-response.hex",
                hex::encode_upper(registers.octets()),
            ),
            (
                "supply-restored-alert.hex",
                hex::encode_upper(restored.octets()),
            ),
        ] {
            let path = format!("../../examples/messages/{file}");
            mesh_testkit::assert_golden(path, &format!("{}\n", text.trim_end()));
        }
    }
}
