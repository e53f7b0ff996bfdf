//! `mp169 classify`: what becomes of the messages in files.

mod batch;
mod file;

use anyhow::Result;
use mesh_api::classification::v1::{self as wire, decision_result};
use mesh_api::common::v1::ItemStatus;
use mesh_api::status::reason_of;
use mesh_authz::InternalRole;
use mesh_rpc::Retry;
use tonic::{Response, Status};

use crate::cli::classify::ClassifyArgs;
use crate::cli::connection::Output;
use crate::exit::Incomplete;
use crate::output::{instant, json, print_line, print_table, short};
use crate::refusal::refusal;
use crate::session::Session;

use self::batch::batches;
use self::file::File;

/// How many Devices of a message a table shows.
const SHOWN_DEVICES: usize = 3;

/// Carries out the command. It succeeds if every message could be decided, whatever the verdicts. A
/// file that cannot be read keeps no other from being decided, nor does a call that fails.
pub(crate) async fn run(args: ClassifyArgs) -> Result<()> {
    let output = args.connection.output;
    let session = Session::open(&args.connection, Some(InternalRole::Dsp))?;
    let mut client = session.clients.classification()?;
    let retry = Retry::default();
    let (mut rows, mut undecided, mut failed) = (Vec::new(), 0, None);
    let mut stale = None;
    for files in batches(args.files.iter().map(|path| File::read(path))) {
        let messages = files.iter().filter_map(File::message).collect();
        let request = wire::BatchClassifyRequest {
            messages,
            at_least: None,
        };
        let answer = retry.idempotent(async || client.batch_classify(request.clone()).await);
        let answer = answer.await.map(Response::into_inner);
        stale = stale.or_else(|| staleness(answer.as_ref().ok()?));
        let answer = answer.map(|answer| answer.results);
        for (name, result) in paired(files, &answer) {
            let decided = matches!(result.result, Some(decision_result::Result::Decision(_)));
            undecided += u64::from(!decided);
            match output {
                Output::Table => rows.push(row(name, result)),
                Output::Json => {
                    let result = json(&result)?;
                    print_line(&serde_json::json!({ "file": name, "result": result }))?;
                }
            }
        }
        failed = failed.or(answer.err());
    }
    if output == Output::Table {
        print_table(
            &["file", "verdict", "reason", "class", "rule", "Device"],
            rows,
        )?;
        stale.iter().try_for_each(print_line)?;
    }
    if let Some(status) = failed {
        return Err(status.into());
    }
    let all = u64::try_from(args.files.len())?;
    Incomplete::check(undecided, all, "messages could not be decided")
}

/// What is said of an answer for which flags were not followed, if it rests on any.
fn staleness(answer: &wire::BatchClassifyResponse) -> Option<String> {
    let mut results = answer.results.iter();
    let is_stale = |result: &wire::DecisionResult| match &result.result {
        Some(decision_result::Result::Decision(decision)) => {
            decision.freshness() == wire::Freshness::Stale
        }
        _ => false,
    };
    results.any(is_stale).then(|| {
        let basis = answer.basis.as_ref();
        let as_of = instant(basis.and_then(|basis| basis.fresh_time.as_ref()));
        format!(
            "Decided by flags as of {as_of}: the classifier is STALE. What it says is to be acted on all the same."
        )
    })
}

/// Each file of a batch with its own result: the service's, or why it was not asked.
fn paired<'a>(
    files: Vec<File>,
    answer: &'a Result<Vec<wire::DecisionResult>, Status>,
) -> impl Iterator<Item = (String, wire::DecisionResult)> + 'a {
    let mut results = answer.iter().flatten();
    files.into_iter().map(move |file| {
        let result = match (file.content, answer) {
            (Err(problem), _) => undecided(problem),
            (Ok(_), Ok(_)) => results.next().cloned().unwrap_or_default(),
            (Ok(_), Err(status)) => wire::DecisionResult {
                result: Some(decision_result::Result::Status(ItemStatus {
                    code: status.code().into(),
                    reason: reason_of(status).unwrap_or_default().into(),
                    message: refusal(status),
                    violations: Vec::new(),
                })),
            },
        };
        (file.name, result)
    })
}

fn undecided(problem: String) -> wire::DecisionResult {
    let status = ItemStatus {
        message: problem,
        ..ItemStatus::default()
    };
    wire::DecisionResult {
        result: Some(decision_result::Result::Status(status)),
    }
}

fn row(name: String, result: wire::DecisionResult) -> Vec<String> {
    match result.result {
        Some(decision_result::Result::Decision(decision)) => vec![
            name,
            short(decision.verdict().as_str_name(), "VERDICT_").to_owned(),
            short(decision.reason().as_str_name(), "DECISION_REASON_").to_owned(),
            short(decision.message_class().as_str_name(), "MESSAGE_CLASS_").to_owned(),
            decision.rule_id.clone(),
            devices(&decision.device_ids),
        ],
        Some(decision_result::Result::Status(status)) => vec![name, "–".into(), status.message],
        None => vec![name, "–".into(), "no answer".into()],
    }
}

/// The first Devices, and how many more there are.
fn devices(ids: &[String]) -> String {
    match ids.split_at_checked(SHOWN_DEVICES) {
        Some((first, more)) if !more.is_empty() => {
            format!("{} and {} more", first.join(", "), more.len())
        }
        _ => ids.join(", "),
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
    fn a_table_shows_few_devices_and_says_how_many_there_are() {
        let ids: Vec<String> = (1..=5).map(|id| id.to_string()).collect();
        assert_eq!(devices(&ids[..0]), "");
        assert_eq!(devices(&ids[..3]), "1, 2, 3");
        assert_eq!(devices(&ids), "1, 2, 3 and 2 more");
    }

    #[test]
    fn a_table_says_that_the_flags_are_not_followed() {
        let answer = |freshness: wire::Freshness| {
            let decision = wire::Decision {
                freshness: freshness.into(),
                ..wire::Decision::default()
            };
            let fresh = wire::FlagBasis {
                fresh_time: Some(prost_types::Timestamp {
                    seconds: 1_700_000_000,
                    nanos: 0,
                }),
                ..wire::FlagBasis::default()
            };
            staleness(&wire::BatchClassifyResponse {
                results: vec![
                    undecided("not read".to_owned()),
                    wire::DecisionResult {
                        result: Some(decision_result::Result::Decision(decision)),
                    },
                ],
                basis: Some(fresh),
            })
        };
        let said = answer(wire::Freshness::Stale).unwrap();
        assert!(
            said.starts_with("Decided by flags as of 2023-11-14T22:13:20"),
            "{said}"
        );
        assert!(said.contains("STALE"), "{said}");
        for other in [wire::Freshness::Current, wire::Freshness::Unspecified] {
            assert_eq!(answer(other), None);
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
