//! What a DUIS document says: a Service Request, a Service Response, a Device alert or a DCC alert.
//!
//! Of a request that is the Service Request Variant, the Device, and what is nested: the read that a
//! schedule orders (5.1), the GBCS message that is handed in (8.13) or that was signed. Of a response
//! it is the GBCS message, by its clear header. Nothing is decrypted, and no signature is verified.
//!
//! # Which Devices
//!
//! Most requests name their Device in the RequestID. A request to the DCC itself (Command Variant 8)
//! names Devices in its body, and every element is read whose name says so: `DeviceID` (5.1, 8.2, 8.3,
//! 8.4, 8.6, 8.14, 12.2), `OtherDeviceID` (8.14.3) and `DeviceIDList` (11.1, 11.4). In a list, commas
//! and white space separate the Devices, one or many in a row; a list may begin and end with them. A
//! Device that is named twice counts once. A body that names only an MPxN, a property or a schedule
//! (5.2, 5.3, 8.2, 12.1) is about no Device: none of these requests depends on a flag.
//!
//! # What is not known
//!
//! The namespace of DUIS has no version; `schemaVersion` has, and is not looked at. What a document
//! says decides, whichever version said it first:
//!
//! - A response whose body is of an unknown kind, as `SMETS1ResponseMessage` is to a mesh of SMETS2
//!   Devices, is [`Subject::UnknownKind`](crate::message::Subject::UnknownKind).
//! - A request of the read service (4) with a body that no variant has, or a schedule (5.1) that orders
//!   one, is [`Subject::UnknownRead`](crate::message::Subject::UnknownRead): for a flagged Device it is
//!   stopped.
//! - Any other request whose body is not that of its header cannot be read. Its body could be a read.
//! - A root element that is neither `Request` nor `Response` cannot be read, for the same reason.
//!
//! The XML is read by its namespace, whatever prefix stands for it, and no further than needed. Nothing
//! of a firmware image is decoded or copied.

mod request;
mod response;
mod tail;
mod xml;

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mesh_types::Eui64;

use self::xml::Cursor;
use crate::codes::Srv;
use crate::error::ReadError;
use crate::gbcs;
use crate::message::Message;
use crate::policy::Policy;

/// The most octets of a document, unless the caller says otherwise. DUIS 5.4 allows some 16 million: an
/// image of 10,240,000 octets in base64, broken into lines of any usual length, and a full list of
/// Devices.
pub const MAX_OCTETS: usize = 16 * 1024 * 1024;

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
        response::read(&mut cursor, policy)?
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
        Ok(Self {
            originator: originator.parse()?,
            target: target.parse()?,
            counter: counter.parse().map_err(|_| ReadError::RequestId)?,
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

/// The Service Request Variant whose body has this element, or whose schedule has.
fn named_by(element: &str, policy: &Policy) -> Option<Srv> {
    let scheduled = || policy.by_body_element(element.strip_prefix("DSP")?);
    policy.by_body_element(element).or_else(scheduled)
}

#[cfg(test)]
mod tests;
