//! Finds the values of one string field in an encoded message, without decoding the rest.
//!
//! The scan reads a message just as the decoder behind it will, or refuses it: the last value of a
//! singular field counts; a message field on the way that occurs twice, which a decoder would merge,
//! is refused, and so are groups.

use crate::Refusal;

/// The field numbers from the request's root to a string field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldPath {
    pub(crate) text: String,
    pub(crate) numbers: Vec<u32>,
    pub(crate) repeated: bool,
}

impl FieldPath {
    /// The field's values in `message`: at most one unless the field is repeated.
    pub(crate) fn values<'m>(&self, message: &'m [u8]) -> Result<Vec<&'m str>, Refusal> {
        let malformed = |problem| Refusal::Field {
            field: self.text.clone(),
            problem,
        };
        let Some((last, way)) = self.numbers.split_last() else {
            return Ok(vec![]);
        };
        let mut inner = message;
        for number in way {
            let mut found = occurrences(inner, *number).map_err(malformed)?;
            inner = match (found.pop(), found.is_empty()) {
                (None, _) => return Ok(vec![]),
                (Some(one), true) => one,
                (Some(_), false) => return Err(malformed("occurs twice")),
            };
        }
        let mut values = occurrences(inner, *last).map_err(malformed)?;
        if !self.repeated {
            values = values.pop().into_iter().collect();
        }
        values
            .into_iter()
            .map(|bytes| std::str::from_utf8(bytes).map_err(|_| malformed("is not UTF-8")))
            .collect()
    }
}

fn occurrences(mut message: &[u8], wanted: u32) -> Result<Vec<&[u8]>, &'static str> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let number = u32::try_from(key >> 3).map_err(|_| "has a field number out of range")?;
        let value = match key & 7 {
            0 => {
                varint(&mut message)?;
                None
            }
            1 => Some(take(&mut message, 8)?).and(None),
            5 => Some(take(&mut message, 4)?).and(None),
            2 => {
                let length = varint(&mut message)?;
                let length = usize::try_from(length).map_err(|_| "is cut short")?;
                Some(take(&mut message, length)?)
            }
            _ => return Err("is in a message with a wire type that is not supported"),
        };
        if number == wanted {
            found.push(value.ok_or("has the wrong wire type")?);
        }
    }
    Ok(found)
}

fn take<'m>(message: &mut &'m [u8], length: usize) -> Result<&'m [u8], &'static str> {
    let (head, tail) = message
        .split_at_checked(length)
        .ok_or("is in a message that is cut short")?;
    *message = tail;
    Ok(head)
}

fn varint(message: &mut &[u8]) -> Result<u64, &'static str> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let [byte, rest @ ..] = message else {
            return Err("is in a message that is cut short");
        };
        *message = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return if shift == 63 && *byte > 1 {
                Err("has a varint out of range")
            } else {
                Ok(value)
            };
        }
    }
    Err("has a varint out of range")
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use mesh_api::flag_registry::v1::{AddFlagRequest, BatchGetFlagsRequest};
    use mesh_api::registration::v1::{Device, PutDeviceRequest};

    use super::*;

    fn path(numbers: &[u32], repeated: bool) -> FieldPath {
        FieldPath {
            text: "f".into(),
            numbers: numbers.to_vec(),
            repeated,
        }
    }

    #[test]
    fn the_value_is_the_decoders() {
        let request = AddFlagRequest {
            request_id: "r".into(),
            device_id: "d".into(),
            choice: Some(mesh_api::flag_registry::v1::ConsumerChoice::default()),
            validate_only: true,
            ..AddFlagRequest::default()
        };
        let mut bytes = request.encode_to_vec();
        assert_eq!(path(&[2], false).values(&bytes).unwrap(), ["d"]);
        assert_eq!(path(&[6], false).values(&bytes).unwrap(), [""; 0]);

        // A second occurrence: the decoder takes the last, and so does the scan.
        bytes.extend(
            AddFlagRequest {
                device_id: "e".into(),
                ..Default::default()
            }
            .encode_to_vec(),
        );
        assert_eq!(path(&[2], false).values(&bytes).unwrap(), ["e"]);
        assert_eq!(
            AddFlagRequest::decode(bytes.as_slice()).unwrap().device_id,
            "e"
        );
    }

    #[test]
    fn repeated_and_nested_fields_are_found() {
        let ids = vec!["a".to_owned(), String::new(), "b".to_owned()];
        let batch = BatchGetFlagsRequest {
            device_ids: ids,
            ..Default::default()
        };
        assert_eq!(
            path(&[1], true).values(&batch.encode_to_vec()).unwrap(),
            ["a", "", "b"]
        );

        let device = Device {
            device_id: "x".into(),
            ..Device::default()
        };
        let put = PutDeviceRequest {
            device: Some(device),
            ..PutDeviceRequest::default()
        };
        let mut bytes = put.encode_to_vec();
        assert_eq!(path(&[2, 1], false).values(&bytes).unwrap(), ["x"]);
        bytes.extend(put.encode_to_vec());
        assert!(
            path(&[2, 1], false).values(&bytes).is_err(),
            "a decoder would merge the two"
        );
    }

    #[test]
    fn rubbish_is_refused_and_never_panics() {
        for rubbish in [
            &[0xFF; 11][..],
            &[0x12, 0x05, b'a'],
            &[
                0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01,
            ],
            &[0x13],
            &[0x10, 0x01],
            &[0x12, 0x01, 0xFF],
        ] {
            assert!(path(&[2], false).values(rubbish).is_err(), "{rubbish:?}");
        }
    }
}
