//! Why a message cannot be read: one enum, with a reason per case that machines can rely on.

use crate::codes::CodeError;
use mesh_types::Eui64Error;

/// The message cannot be read, so there is no decision about it.
///
/// Nothing of the message's text is repeated here: names are those of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The message is larger than the reader takes.
    #[error("the message is larger than {limit} octets")]
    TooLarge {
        /// The most octets that are read.
        limit: usize,
    },
    /// The firmware image is larger than DUIS allows.
    #[error("the firmware image has more than {limit} octets")]
    ImageTooLarge {
        /// The most octets of an image.
        limit: usize,
    },
    /// The XML is not UTF-8, or declares another encoding.
    #[error("DUIS XML is UTF-8")]
    Encoding,
    /// The XML is not well formed.
    #[error("the XML is not well formed")]
    Xml,
    /// A document type declaration: DUIS has none, and entities could be declared in it.
    #[error("a document type declaration is refused")]
    Doctype,
    /// A reference to an entity other than the five of XML itself.
    #[error("a reference to a declared entity is refused")]
    Entity,
    /// Elements are nested deeper than any DUIS message nests them.
    #[error("elements are nested deeper than {limit}")]
    TooDeep {
        /// The most levels that are read.
        limit: usize,
    },
    /// Tags, references and comments together are longer than those of any DUIS message.
    #[error("tags, references and comments have more than {limit} octets")]
    TooMuchMarkup {
        /// The most octets of them that are read.
        limit: usize,
    },
    /// More Devices are named than a list of DUIS has room for.
    #[error("more than {limit} Devices are named")]
    TooManyDevices {
        /// The most Devices that are read.
        limit: usize,
    },
    /// A tag, with its attributes, or a text is longer than any that is read.
    #[error("a tag or a text is too long")]
    TooLong,
    /// The document is not a DUIS request or response, or an element is of another namespace.
    #[error("this is not a DUIS request or response")]
    NotDuis,
    /// Text stands where only elements can.
    #[error("text stands where only elements can")]
    UnexpectedText,
    /// An element stands where it cannot.
    #[error("an element stands where it cannot, near {near}")]
    UnexpectedElement {
        /// The element that it stands in or in place of.
        near: &'static str,
    },
    /// An element that the message needs is not there.
    #[error("{element} is missing")]
    Missing {
        /// The element or field.
        element: &'static str,
    },
    /// An element is there twice.
    #[error("{element} is there more than once")]
    Duplicate {
        /// The element.
        element: &'static str,
    },
    /// A Device ID or party identifier is not an EUI-64.
    #[error(transparent)]
    Eui64(#[from] Eui64Error),
    /// A code does not have its form.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// A RequestID or ResponseID is not two EUI-64 and a counter joined by colons.
    #[error("a RequestID or ResponseID is two EUI-64 and a counter, joined by colons")]
    RequestId,
    /// RequestID and ResponseID name different Devices, parties or counters.
    #[error("RequestID and ResponseID do not belong together")]
    IdsDisagree,
    /// The Service Request Variant is not one of the Service Reference beside it.
    #[error("the Service Request Variant is not one of this Service Reference")]
    ReferenceMismatch,
    /// The body is not that of the Service Request Variant.
    #[error("the body is not the one of this Service Request Variant")]
    BodyMismatch,
    /// The Command Variant does not fit the Service Request Variant.
    #[error("the Command Variant does not fit the Service Request Variant")]
    CommandVariantMismatch,
    /// The alert code beside a GBCS message is not the one in it.
    #[error("the alert code is not the one in the GBCS message")]
    AlertMismatch,
    /// A GBCS message within DUIS is not base64.
    #[error("the GBCS message is not base64")]
    Base64,
    /// A GBCS message in text is not hexadecimal.
    #[error("the GBCS message is not hexadecimal")]
    Hex,
    /// Something follows the end of the message.
    #[error("something follows the end of the message")]
    Trailing,
    /// The GBCS message ends before it is complete.
    #[error("the GBCS message ends before it is complete")]
    Truncated,
    /// A length in the GBCS message does not fit what it measures.
    #[error("the length of {field} does not fit")]
    Length {
        /// The part of the message.
        field: &'static str,
    },
    /// An octet of the GBCS message that has one meaning has another value.
    #[error("{field} has a value that GBCS does not give it")]
    Gbcs {
        /// The part of the message.
        field: &'static str,
    },
    /// A segment of a general block transfer: to be put together before it can be read.
    #[error("this is one segment of a GBCS message")]
    Segment,
    /// Structured input names both or neither of what a message can be.
    #[error("{field} does not go with the rest of the message")]
    Contradiction {
        /// The field.
        field: &'static str,
    },
}

impl ReadError {
    /// The stable reason, for machines. A reason is never given another meaning.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TooLarge { .. } | Self::ImageTooLarge { .. } => "MESSAGE_TOO_LARGE",
            Self::Encoding => "XML_ENCODING",
            Self::Xml => "XML_NOT_WELL_FORMED",
            Self::Doctype => "XML_DOCTYPE_REFUSED",
            Self::Entity => "XML_ENTITY_REFUSED",
            Self::TooDeep { .. } => "XML_TOO_DEEP",
            Self::TooMuchMarkup { .. } => "XML_TOO_MUCH_MARKUP",
            Self::TooManyDevices { .. } => "TOO_MANY_DEVICES",
            Self::TooLong => "XML_TOO_LONG",
            Self::NotDuis => "DUIS_NOT_RECOGNISED",
            Self::UnexpectedText => "DUIS_UNEXPECTED_TEXT",
            Self::UnexpectedElement { .. } => "DUIS_UNEXPECTED_ELEMENT",
            Self::Missing { .. } => "FIELD_MISSING",
            Self::Duplicate { .. } => "FIELD_DUPLICATED",
            Self::Eui64(_) => "EUI64_MALFORMED",
            Self::Code(CodeError::Srv) => "SERVICE_REQUEST_VARIANT_MALFORMED",
            Self::Code(CodeError::Hex) => "CODE_MALFORMED",
            Self::Code(CodeError::DccAlert) => "DCC_ALERT_CODE_MALFORMED",
            Self::Code(CodeError::CommandVariant) => "COMMAND_VARIANT_MALFORMED",
            Self::RequestId => "REQUEST_ID_MALFORMED",
            Self::IdsDisagree => "REQUEST_AND_RESPONSE_ID_DISAGREE",
            Self::ReferenceMismatch => "SERVICE_REFERENCE_MISMATCH",
            Self::BodyMismatch => "BODY_MISMATCH",
            Self::CommandVariantMismatch => "COMMAND_VARIANT_MISMATCH",
            Self::AlertMismatch => "ALERT_CODE_MISMATCH",
            Self::Base64 => "PAYLOAD_NOT_BASE64",
            Self::Hex => "MESSAGE_NOT_HEXADECIMAL",
            Self::Trailing => "TRAILING_CONTENT",
            Self::Truncated => "GBCS_TRUNCATED",
            Self::Length { .. } => "GBCS_LENGTH_MISMATCH",
            Self::Gbcs { .. } => "GBCS_MALFORMED",
            Self::Segment => "GBCS_SEGMENT",
            Self::Contradiction { .. } => "FIELDS_CONTRADICT",
        }
    }
}
