//! `mp169 classify`: what becomes of the messages in files.

use std::path::Path;

use anyhow::{Context as _, Result};
use mesh_api::classification::v1::{self as wire, decision_result, message::Content};

use crate::cli::{ClassifyArgs, Output};
use crate::clients::Clients;
use crate::home::Folder;
use crate::output::{json, print_table, short};

/// How many messages are asked about at once.
const BATCH: usize = 100;

/// Carries out the command. It succeeds if every message could be decided, whatever the verdicts.
pub(crate) async fn run(args: ClassifyArgs) -> Result<()> {
    let clients = Clients::of(&Folder::open(&args.home)?, &args.identity)?;
    let mut client = clients.classification()?;
    let mut rows = Vec::new();
    let mut undecided = 0_usize;
    for files in args.files.chunks(BATCH) {
        let messages = files
            .iter()
            .map(|file| read(file))
            .collect::<Result<Vec<_>>>()?;
        let request = wire::BatchClassifyRequest {
            messages,
            at_least: None,
        };
        let results = client.batch_classify(request).await?.into_inner().results;
        for (file, result) in files.iter().zip(results) {
            undecided += usize::from(!matches!(
                result.result,
                Some(decision_result::Result::Decision(_))
            ));
            match args.output {
                Output::Table => rows.push(row(file, result)),
                Output::Json => {
                    let result = json("mp169.classification.v1.DecisionResult", &result)?;
                    let line = serde_json::json!({ "file": file, "result": result });
                    println!("{line}");
                }
            }
        }
    }
    if args.output == Output::Table {
        print_table(
            &["file", "verdict", "reason", "class", "rule", "Device"],
            rows,
        );
    }
    if undecided > 0 {
        anyhow::bail!(
            "{undecided} of {} messages could not be decided",
            args.files.len()
        );
    }
    Ok(())
}

fn read(file: &Path) -> Result<wire::Message> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(wire::Message {
        content: Some(content(bytes)),
        origin: wire::Origin::Unspecified.into(),
    })
}

/// XML begins with an angle bracket, GBCS in binary with 0xDD or 0xDF; hexadecimal digits are ASCII.
fn content(bytes: Vec<u8>) -> Content {
    let text = bytes
        .strip_prefix(b"\xEF\xBB\xBF")
        .unwrap_or(&bytes)
        .trim_ascii();
    if text.first() == Some(&b'<') {
        return Content::DuisXml(bytes.into());
    }
    let digits: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    match hex::decode(&digits) {
        Ok(octets) if !octets.is_empty() => Content::Gbcs(octets.into()),
        _ => Content::Gbcs(bytes.into()),
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
    use super::*;

    #[test]
    fn the_form_of_a_file_is_found() {
        assert!(matches!(
            content(b"\xEF\xBB\xBF <a/>".to_vec()),
            Content::DuisXml(_)
        ));
        assert!(matches!(content(b"\n<a/>".to_vec()), Content::DuisXml(_)));
        let hex = content(b"DF 09\n01".to_vec());
        assert!(matches!(hex, Content::Gbcs(octets) if octets.as_ref() == [0xDF, 9, 1]));
        let binary = content(vec![0xDF, 0x09, 0x01]);
        assert!(matches!(binary, Content::Gbcs(octets) if octets.as_ref() == [0xDF, 9, 1]));
    }
}
