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
    pub(crate) shape: Shape,
}

/// How many values a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// At most one.
    One,
    /// A list.
    List,
    /// One in each of a list of messages, which is the path's first field. Where it is missing it is
    /// empty, as a decoder has it.
    Items,
}

impl FieldPath {
    /// The field's values in `message`.
    pub(crate) fn values<'m>(&self, message: &'m [u8]) -> Result<Vec<&'m str>, Refusal> {
        self.scan(message).map_err(|problem| Refusal::Field {
            field: self.text.clone(),
            problem,
        })
    }

    /// The field's path from one item on.
    pub(crate) fn of_one(&self) -> &str {
        self.in_items().map_or(&self.text, |(_, field)| field)
    }

    /// The list, and the field's path from one of its items on.
    pub(crate) fn in_items(&self) -> Option<(&str, &str)> {
        (self.shape == Shape::Items).then(|| self.text.split_once('.'))?
    }

    fn scan<'m>(&self, message: &'m [u8]) -> Result<Vec<&'m str>, &'static str> {
        if self.shape == Shape::Items {
            let Some((list, way)) = self.numbers.split_first() else {
                return Ok(vec![]);
            };
            let items = occurrences(message, *list)?.into_iter();
            let only = |item| Ok(values(item, way, false)?.pop().unwrap_or_default());
            return items.map(only).collect();
        }
        values(message, &self.numbers, self.shape == Shape::List)
    }
}

/// The values of the field at the end of `numbers`, the last or all of them.
fn values<'m>(message: &'m [u8], numbers: &[u32], all: bool) -> Result<Vec<&'m str>, &'static str> {
    let Some((last, way)) = numbers.split_last() else {
        return Ok(vec![]);
    };
    let mut inner = message;
    for number in way {
        let mut found = occurrences(inner, *number)?;
        inner = match (found.pop(), found.is_empty()) {
            (None, _) => return Ok(vec![]),
            (Some(one), true) => one,
            (Some(_), false) => return Err("occurs twice"),
        };
    }
    let mut values = occurrences(inner, *last)?;
    if !all {
        values = values.pop().into_iter().collect();
    }
    let read = |bytes| std::str::from_utf8(bytes).map_err(|_| "is not UTF-8");
    values.into_iter().map(read).collect()
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

    use mesh_api::flag_registry::v1::{AddFlagRequest, BatchAddFlagsRequest, BatchGetFlagsRequest};
    use mesh_api::registration::v1::{Device, PutDeviceRequest};

    use super::*;

    fn path(numbers: &[u32], shape: Shape) -> FieldPath {
        FieldPath {
            text: "f".into(),
            numbers: numbers.to_vec(),
            shape,
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
        assert_eq!(path(&[2], Shape::One).values(&bytes).unwrap(), ["d"]);
        assert_eq!(path(&[6], Shape::One).values(&bytes).unwrap(), [""; 0]);

        // A second occurrence: the decoder takes the last, and so does the scan.
        bytes.extend(
            AddFlagRequest {
                device_id: "e".into(),
                ..Default::default()
            }
            .encode_to_vec(),
        );
        assert_eq!(path(&[2], Shape::One).values(&bytes).unwrap(), ["e"]);
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
            path(&[1], Shape::List)
                .values(&batch.encode_to_vec())
                .unwrap(),
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
        assert_eq!(path(&[2, 1], Shape::One).values(&bytes).unwrap(), ["x"]);
        bytes.extend(put.encode_to_vec());
        assert!(
            path(&[2, 1], Shape::One).values(&bytes).is_err(),
            "a decoder would merge the two"
        );
    }

    #[test]
    fn each_item_of_a_list_has_one_value_or_an_empty_one() {
        let item = |device_id: &str| AddFlagRequest {
            request_id: "r".into(),
            device_id: device_id.into(),
            ..Default::default()
        };
        let batch = |ids: &[&str]| BatchAddFlagsRequest {
            requests: ids.iter().map(|id| item(id)).collect(),
        };
        let of_items = path(&[1, 2], Shape::Items);
        let bytes = batch(&["a", "", "b", "a"]).encode_to_vec();
        assert_eq!(of_items.values(&bytes).unwrap(), ["a", "", "b", "a"]);
        assert_eq!(of_items.values(&[]).unwrap(), [""; 0]);
        // A field that occurs twice in an item: the decoder takes the last, and so does the scan.
        let mut twice = item("a").encode_to_vec();
        twice.extend(item("b").encode_to_vec());
        let length = u8::try_from(twice.len()).unwrap();
        let twice = [&[0x0A, length][..], &twice].concat();
        assert_eq!(of_items.values(&twice).unwrap(), ["b"]);
        let decoded = BatchAddFlagsRequest::decode(twice.as_slice()).unwrap();
        assert_eq!(decoded.requests[0].device_id, "b");
        // An item that is cut short is cut short for the decoder, too.
        let cut = [0x0A, 0x02, 0x12, 0x05];
        assert!(of_items.values(&cut).is_err());
        assert!(BatchAddFlagsRequest::decode(cut.as_slice()).is_err());
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
            assert!(
                path(&[2], Shape::One).values(rubbish).is_err(),
                "{rubbish:?}"
            );
        }
    }
}
