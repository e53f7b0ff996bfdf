//! What a DUIS document says: a Service Request, a Service Response, a Device alert or a DCC alert.
//!
//! Of a request that is the Service Request Variant, the Device, and what is nested: the read that a
//! schedule orders (5.1), the GBCS message that is handed in (8.13) or that was signed. Of a response
//! it is the GBCS message, by its clear header. Nothing is decrypted, and no signature is verified.
//!
//! The XML is read by its namespace, whatever prefix stands for it, and no further than needed.

mod request;
mod response;
mod tail;
mod xml;

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mesh_types::{DeviceId, Eui64};

use self::xml::Cursor;
use crate::codes::Srv;
use crate::error::ReadError;
use crate::gbcs;
use crate::message::Message;
use crate::policy::Policy;

/// The most octets of a document, unless the caller says otherwise.
pub const MAX_OCTETS: usize = 1024 * 1024;

/// The most characters of a GBCS message in base64.
const MAX_PAYLOAD: usize = gbcs::MAX_OCTETS / 3 * 4 + 4096;

/// Reads one document of at most [`MAX_OCTETS`].
///
/// # Errors
/// [`ReadError`], with the reason why there can be no decision.
pub fn read(policy: &Policy, document: &[u8]) -> Result<Message, ReadError> {
    read_up_to(policy, document, MAX_OCTETS)
}

/// Reads one document of at most `limit` octets.
///
/// # Errors
/// As [`read`].
pub fn read_up_to(policy: &Policy, document: &[u8], limit: usize) -> Result<Message, ReadError> {
    if document.len() > limit {
        return Err(ReadError::TooLarge { limit });
    }
    let document = std::str::from_utf8(document).map_err(|_| ReadError::Encoding)?;
    let mut cursor = Cursor::new(document.strip_prefix('\u{FEFF}').unwrap_or(document));
    let root = cursor.root()?;
    let message = if root.is("Request") {
        request::read(&mut cursor, &root, policy)?
    } else if root.is("Response") {
        response::read(&mut cursor)?
    } else {
        return Err(ReadError::NotDuis);
    };
    policy.complete(message)
}

/// `originator:target:counter`. In a RequestID the target is the Device, in a ResponseID the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ExchangeId {
    originator: Eui64,
    target: Eui64,
    counter: u64,
}

impl FromStr for ExchangeId {
    type Err = ReadError;

    fn from_str(text: &str) -> Result<Self, ReadError> {
        let mut parts = text.split(':');
        let (Some(originator), Some(target), Some(counter), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(ReadError::RequestId);
        };
        if counter.is_empty() || !counter.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ReadError::RequestId);
        }
        let counter: u64 = counter.parse().map_err(|_| ReadError::RequestId)?;
        if counter == 0 {
            return Err(ReadError::RequestId);
        }
        Ok(Self {
            originator: originator.parse()?,
            target: target.parse()?,
            counter,
        })
    }
}

/// Stores an element's value, of which there can be only one.
fn once<T>(place: &mut Option<T>, value: T, element: &'static str) -> Result<(), ReadError> {
    if place.is_some() {
        return Err(ReadError::Duplicate { element });
    }
    *place = Some(value);
    Ok(())
}

/// The Service Request Variant, which must be one of the Service Reference beside it.
fn variant_of(
    reference: Option<Srv>,
    variant: Option<Srv>,
    names: [&'static str; 2],
) -> Result<Srv, ReadError> {
    let [reference_name, variant_name] = names;
    let reference = reference.ok_or(ReadError::Missing {
        element: reference_name,
    })?;
    let variant = variant.ok_or(ReadError::Missing {
        element: variant_name,
    })?;
    if reference != variant.reference() {
        return Err(ReadError::ReferenceMismatch);
    }
    Ok(variant)
}

/// The clear header of the GBCS message in the open element.
fn payload(cursor: &mut Cursor<'_>) -> Result<gbcs::Header, ReadError> {
    let text = cursor.text(MAX_PAYLOAD)?;
    let decoded = if text.bytes().any(|byte| byte.is_ascii_whitespace()) {
        let dense: Vec<u8> = text
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        STANDARD.decode(dense)
    } else {
        STANDARD.decode(text.as_bytes())
    };
    gbcs::read(&decoded.map_err(|_| ReadError::Base64)?)
}

/// Walks on to the end of the document; a second `Header` or `Body` of the root is refused.
fn finish(cursor: &mut Cursor<'_>) -> Result<(), ReadError> {
    while let Some(tag) = cursor.child()? {
        for element in ["Header", "Body"] {
            if tag.is(element) {
                return Err(ReadError::Duplicate { element });
            }
        }
        cursor.skip()?;
    }
    cursor.end()
}

/// A Device ID, or several separated by white space.
fn device_ids(text: &str, into: &mut Vec<DeviceId>) -> Result<(), ReadError> {
    for id in text.split_ascii_whitespace() {
        into.push(id.parse()?);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
