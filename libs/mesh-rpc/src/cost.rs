//! How much work does a request ask for?
//!
//! Counted before it is decoded, by what its contract shows: the values of its repeated fields, the
//! rows of the page that it asks for, and its octets.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_reflect::{Kind, MessageDescriptor};

/// Rows of a page for which the request names no number, as the contracts have it.
const USUAL_PAGE: u64 = 100;
/// Octets that are as much work as an item.
const OCTETS: usize = 1024;
/// No request counts as more: a larger one is refused when it is read.
const MOST: usize = 32 * 1024;

/// Where a request says how much it asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Cost {
    repeated: Vec<u32>,
    page_size: Option<u32>,
}

impl Cost {
    /// Of requests of this type.
    pub(crate) fn of(request: &MessageDescriptor) -> Self {
        let repeated = request
            .fields()
            .filter(|field| field.is_list() && !field.is_packed());
        let page_size = request
            .get_field_by_name("page_size")
            .filter(|field| field.kind() == Kind::Int32);
        Self {
            repeated: repeated.map(|field| field.number()).collect(),
            page_size: page_size.map(|field| field.number()),
        }
    }

    /// The items of one encoded request, at least one. What cannot be read is counted as far as it
    /// can be: the handler refuses it.
    pub(crate) fn items(&self, request: &[u8]) -> usize {
        let (values, page) = self.scan(request);
        let page = self.page_size.map_or(0, |_| page.unwrap_or(USUAL_PAGE));
        let page = usize::try_from(page).unwrap_or(MOST);
        let octets = request.len() / OCTETS;
        values
            .saturating_add(page)
            .saturating_add(octets)
            .clamp(1, MOST)
    }

    /// How many values the repeated fields have, and how large a page is asked for.
    fn scan(&self, mut request: &[u8]) -> (usize, Option<u64>) {
        let (mut values, mut page) = (0, None);
        while let Ok((number, wire_type)) = decode_key(&mut request) {
            values += usize::from(self.repeated.contains(&number));
            if Some(number) == self.page_size && wire_type == WireType::Varint {
                let Ok(size) = decode_varint(&mut request) else {
                    break;
                };
                page = Some(size).filter(|size| *size > 0);
            } else if skip_field(wire_type, number, &mut request, DecodeContext::default()).is_err()
            {
                break;
            }
        }
        (values, page)
    }
}

#[cfg(test)]
mod tests {
    use mesh_api::flag_registry::v1 as wire;
    use prost::Message;

    use prost_reflect::DescriptorPool;

    use super::*;

    fn cost(request: &str) -> Cost {
        let contracts = DescriptorPool::decode(mesh_api::FILE_DESCRIPTOR_SET).unwrap();
        let name = format!("mp169.flag_registry.v1.{request}");
        Cost::of(&contracts.get_message_by_name(&name).unwrap())
    }

    fn items(name: &str, request: &impl Message) -> usize {
        cost(name).items(&request.encode_to_vec())
    }

    #[test]
    fn a_batch_costs_its_items_a_list_its_rows_and_all_else_one() {
        let batch = |ids: usize| wire::BatchGetFlagsRequest {
            device_ids: vec![String::new(); ids],
            ..wire::BatchGetFlagsRequest::default()
        };
        assert_eq!(items("GetFlagRequest", &wire::GetFlagRequest::default()), 1);
        assert_eq!(items("BatchGetFlagsRequest", &batch(0)), 1);
        assert_eq!(items("BatchGetFlagsRequest", &batch(999)), 999 + 1);
        let add = |_| wire::AddFlagRequest {
            device_id: "00-DB-12-34-56-78-90-A0".into(),
            ..wire::AddFlagRequest::default()
        };
        let adds = wire::BatchAddFlagsRequest {
            requests: (0..999).map(add).collect(),
        };
        assert_eq!(items("BatchAddFlagsRequest", &adds), 999 + 26);
        let list = |page_size| wire::ListFlagsRequest {
            page_size,
            ..wire::ListFlagsRequest::default()
        };
        assert_eq!(items("ListFlagsRequest", &list(0)), 100);
        assert_eq!(items("ListFlagsRequest", &list(7)), 7);
        assert_eq!(items("ListFlagsRequest", &list(-1)), MOST, "refused later");
        let long = wire::GetFlagRequest {
            device_id: "x".repeat(10_240),
            ..wire::GetFlagRequest::default()
        };
        assert_eq!(items("GetFlagRequest", &long), 10);
    }

    #[test]
    fn rubbish_costs_what_can_be_read_of_it() {
        let cost = cost("BatchGetFlagsRequest");
        for rubbish in [&[][..], &[0xFF; 20], &[0x0A], &[0x0A, 0x05, 1], &[0x0B; 50]] {
            assert!(cost.items(rubbish) <= 2, "{rubbish:?}");
        }
    }
}
