//! How is a protobuf message written and read as JSON?

use std::sync::LazyLock;

use anyhow::{Context as _, Result};
use mesh_service::nearest;
use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::{Deserializer, Map, Value};

/// How much of a problem is told: it may repeat what it found.
const TOLD: usize = 200;

/// A protobuf message as canonical JSON.
pub(crate) fn json<M: Message + Name>(message: &M) -> Result<Value> {
    let encoded = message.encode_to_vec();
    let dynamic = DynamicMessage::decode(descriptor::<M>()?, encoded.as_slice())?;
    let options = SerializeOptions::new().skip_default_fields(true);
    Ok(dynamic.serialize_with_options(serde_json::value::Serializer, &options)?)
}

/// The message that a line of JSON says, or what is wrong with it.
pub(crate) fn from_json<M: Message + Name + Default>(text: &str) -> Result<M, String> {
    let descriptor = descriptor::<M>().map_err(|error| error.to_string())?;
    let mut source = Deserializer::from_str(text);
    let read = DynamicMessage::deserialize(descriptor.clone(), &mut source);
    let read = read.and_then(|read| source.end().map(|()| read));
    let read = read.map_err(|error| problem(&error, text, &descriptor))?;
    read.transcode_to().map_err(|error| error.to_string())
}

fn descriptor<M: Name>() -> Result<MessageDescriptor> {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        DescriptorPool::decode(mesh_api::FILE_DESCRIPTOR_SET).expect("it was made by the build")
    });
    let name = M::full_name();
    let descriptor = POOL.get_message_by_name(&name);
    descriptor.with_context(|| format!("no message {name}"))
}

fn problem(error: &serde_json::Error, text: &str, descriptor: &MessageDescriptor) -> String {
    let (line, column) = (error.line(), error.column());
    let told = error.to_string();
    // The text is one line of a file, which is named by its number there.
    let told = told.trim_end_matches(&format!(" at line {line} column {column}"));
    let short: String = told.chars().take(TOLD).collect();
    let meant = meant(text, descriptor).unwrap_or_default();
    match column {
        0 => format!("{short}{meant}"),
        _ => format!("column {column}: {short}{meant}"),
    }
}

/// Which field is meant by the first name that is that of none.
fn meant(text: &str, descriptor: &MessageDescriptor) -> Option<String> {
    let read: Map<String, Value> = serde_json::from_str(text).ok()?;
    let is_known = |name: &str| {
        let by_json_name = descriptor.get_field_by_json_name(name);
        by_json_name.is_some() || descriptor.get_field_by_name(name).is_some()
    };
    let unknown = read.keys().find(|name| !is_known(name))?;
    // A text that long is no name, and would take long to compare.
    let unknown = Some(unknown).filter(|name| name.len() <= TOLD)?;
    let fields: Vec<_> = descriptor.fields().collect();
    let meant = nearest(unknown, fields.iter().map(|field| field.json_name()))?;
    Some(format!(", did you mean {meant}?"))
}

#[cfg(test)]
mod tests {
    use mesh_api::reporting::v1::Outcome;

    use super::*;

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let outcome = Outcome {
            outcome_id: "a\u{1B}[2J".to_owned(),
            request_time: Some(prost_types::Timestamp {
                seconds: 1_795_435_200,
                nanos: 5_000,
            }),
            result: 3,
            ..Default::default()
        };
        let text = json(&outcome).unwrap().to_string();
        assert_eq!(from_json(&text), Ok(outcome));
    }

    #[test]
    fn what_is_wrong_is_told_by_its_column_and_the_field_that_is_meant() {
        let long = format!(r#"{{"{}": 1}}"#, "x".repeat(100_000));
        for (text, told) in [
            (r#"{"outcomeID": "1"}"#, "did you mean outcomeId?"),
            (r#"{"partyid": "A", "result": 1}"#, "did you mean partyId?"),
            (r#"{"result": "DONE"}"#, "column 17: "),
            (r#"{"outcomeId": "1"} {}"#, "trailing"),
            (r#"{"outcomeId": "#, "EOF"),
            ("[]", "expected a map"),
            ("", "EOF"),
            (long.as_str(), "unrecognized"),
        ] {
            let problem = from_json::<Outcome>(text).unwrap_err();
            assert!(problem.contains(told), "{text}: {problem}");
            assert!(problem.chars().count() < 300, "{problem}");
        }
    }
}
