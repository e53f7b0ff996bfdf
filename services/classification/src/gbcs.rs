//! What the clear header of a GBCS message says: who sent it, to whom, and its message code.
//!
//! ```text
//! [ DD, 6 zero octets, length, 11, 4 zero octets ]     only with a MAC
//! DF, 09 CRA counter(8), 08 originator(8), 08 target(8), date-time (00, or 0C and 12 octets),
//!     other information (length; message code(2), then up to 3 × 8 octets or a certificate),
//!     content (length), signature (00, or 40 and 64 octets; absent in a Pre-Command)
//! [ MAC(12) ]                                           only with a MAC
//! ```
//!
//! No place is fixed: each part is found by the lengths before it, and every length is checked. The
//! content is stepped over; of an alert whose content is clear, the alert code is read. Nothing is
//! decrypted and no MAC or signature is verified.

use mesh_types::{DeviceId, Eui64};

use crate::codes::{AlertCode, MessageCode};
use crate::error::ReadError;
use crate::message::{Devices, GbcsCodes, Message, Origin, Subject};

/// The most octets of one message: its longest length field counts to 65,535.
pub const MAX_OCTETS: usize = 66_000;

const GENERAL_CIPHERING: u8 = 0xDD;
const GENERAL_SIGNING: u8 = 0xDF;
const GENERAL_BLOCK_TRANSFER: u8 = 0xE0;
const MAC_OCTETS: usize = 12;
const SIGNATURE_OCTETS: usize = 64;

/// What kind of message it is ("CRA flag").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// To a Device.
    Command,
    /// A Device's answer to a Command.
    Response,
    /// A Device's report of an event.
    Alert,
}

/// Whether the message is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// There is no place for one: a Pre-Command, still to be signed.
    Unsigned,
    /// The place for it is empty: the message is not critical.
    Empty,
    /// It is there.
    Present,
}

/// The header of a GBCS message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Command, Response or Alert.
    pub kind: Kind,
    /// Whether a MAC protects the message.
    pub has_mac: bool,
    /// Whether it is signed.
    pub signature: Signature,
    /// The originator's counter; of a Response, that of the Command which it answers.
    pub counter: u64,
    /// Who made the message. For an unknown remote party, the Access Control Broker.
    pub originator: Eui64,
    /// Whom it is for.
    pub target: Eui64,
    /// Message code and, where it can be read, alert code.
    pub codes: GbcsCodes,
    /// The User on whose behalf the Access Control Broker sends or receives.
    pub supplementary_party: Option<Eui64>,
}

impl Header {
    /// The Device: the target of a Command, the originator of a Response or an Alert.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        DeviceId::new(match self.kind {
            Kind::Command => self.target,
            Kind::Response | Kind::Alert => self.originator,
        })
    }

    /// The message as a decision sees it.
    #[must_use]
    pub const fn message(&self) -> Message {
        Message {
            origin: match self.kind {
                Kind::Command => Origin::OnDemand,
                Kind::Response => Origin::Response,
                Kind::Alert => Origin::Alert,
            },
            devices: Devices::One(self.device()),
            subject: Subject::Gbcs {
                codes: self.codes,
                srv: None,
            },
        }
    }
}

/// Reads the header of one whole message.
///
/// # Errors
/// [`ReadError::Truncated`], [`ReadError::Length`], [`ReadError::Gbcs`] or [`ReadError::Trailing`]
/// if the octets are not one message; [`ReadError::Segment`] if they are a part of one;
/// [`ReadError::TooLarge`].
pub fn read(bytes: &[u8]) -> Result<Header, ReadError> {
    if bytes.len() > MAX_OCTETS {
        return Err(ReadError::TooLarge { limit: MAX_OCTETS });
    }
    let mut rest = Octets(bytes);
    match rest.octet()? {
        GENERAL_CIPHERING => {
            let inner = protected_by_mac(rest)?;
            signed(inner, true)
        }
        GENERAL_SIGNING => signed(rest, false),
        GENERAL_BLOCK_TRANSFER => Err(ReadError::Segment),
        _ => Err(ReadError::Gbcs {
            field: "the first octet",
        }),
    }
}

/// Reads a message written as hexadecimal digits of either case; white space is skipped.
///
/// # Errors
/// [`ReadError::Hex`] if another character or half an octet is found; [`ReadError::TooLarge`].
pub fn from_hex(text: &[u8]) -> Result<Vec<u8>, ReadError> {
    let digits: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .take(2 * MAX_OCTETS + 1)
        .collect();
    if digits.len() > 2 * MAX_OCTETS {
        return Err(ReadError::TooLarge { limit: MAX_OCTETS });
    }
    hex::decode(digits).map_err(|_| ReadError::Hex)
}

/// The signed part of a message with a MAC, after the octet DD.
fn protected_by_mac(mut rest: Octets<'_>) -> Result<Octets<'_>, ReadError> {
    if rest.take(6)? != [0; 6] {
        return Err(ReadError::Gbcs {
            field: "the ciphering header",
        });
    }
    let length = rest.length()?;
    let mut ciphered = Octets(rest.take(length)?);
    rest.end()?;
    if ciphered.take(5)? != [0x11, 0, 0, 0, 0] {
        return Err(ReadError::Gbcs {
            field: "the security header",
        });
    }
    let inner = ciphered
        .0
        .len()
        .checked_sub(MAC_OCTETS)
        .ok_or(ReadError::Truncated)?;
    let mut inner = Octets(ciphered.take(inner)?);
    match inner.octet()? {
        GENERAL_SIGNING => Ok(inner),
        GENERAL_BLOCK_TRANSFER => Err(ReadError::Segment),
        _ => Err(ReadError::Gbcs {
            field: "the first octet within the MAC",
        }),
    }
}

/// The part after the octet DF.
fn signed(mut rest: Octets<'_>, has_mac: bool) -> Result<Header, ReadError> {
    rest.expect(9, "the transaction id")?;
    let kind = match rest.octet()? {
        1 => Kind::Command,
        2 => Kind::Response,
        3 => Kind::Alert,
        _ => {
            return Err(ReadError::Gbcs {
                field: "the CRA flag",
            });
        }
    };
    let counter = rest.number()?;
    rest.expect(8, "the originator")?;
    let originator = Eui64::from_u64(rest.number()?);
    rest.expect(8, "the target")?;
    let target = Eui64::from_u64(rest.number()?);
    match rest.octet()? {
        0 => {}
        12 => {
            rest.take(12)?;
        }
        _ => {
            return Err(ReadError::Length {
                field: "the date-time",
            });
        }
    }
    let other_length = rest.length()?;
    let other = rest.take(other_length)?;
    let (message, supplementary_party) = other_information(other)?;
    let content_length = rest.length()?;
    let content = rest.take(content_length)?;
    let signature = signature(&mut rest, kind, has_mac)?;
    rest.end()?;
    let alert = match kind {
        Kind::Alert => alert_code(content),
        Kind::Command | Kind::Response => None,
    };
    Ok(Header {
        kind,
        has_mac,
        signature,
        counter,
        originator,
        target,
        codes: GbcsCodes { message, alert },
        supplementary_party,
    })
}

/// Message code, then nothing, a party, its counter and the originator's, or a certificate after these.
fn other_information(other: &[u8]) -> Result<(MessageCode, Option<Eui64>), ReadError> {
    let mut rest = Octets(other);
    let (2 | 10 | 18 | 26..) = other.len() else {
        return Err(ReadError::Length {
            field: "the other information",
        });
    };
    let code = MessageCode(rest.short()?);
    let party = match rest.0.len() {
        0 => None,
        _ => Some(Eui64::from_u64(rest.number()?)),
    };
    Ok((code, party))
}

fn signature(rest: &mut Octets<'_>, kind: Kind, has_mac: bool) -> Result<Signature, ReadError> {
    // Only a Pre-Command leaves the field out, so anything else that ends here was cut off.
    if rest.0.is_empty() && kind == Kind::Command && !has_mac {
        return Ok(Signature::Unsigned);
    }
    match rest.length()? {
        0 => Ok(Signature::Empty),
        SIGNATURE_OCTETS => rest.take(SIGNATURE_OCTETS).map(|_| Signature::Present),
        _ => Err(ReadError::Length {
            field: "the signature",
        }),
    }
}

/// The alert code at the start of clear content, in each of the three encodings that Devices use.
fn alert_code(content: &[u8]) -> Option<AlertCode> {
    let mut rest = Octets(content);
    let code = match rest.octet().ok()? {
        // DLMS data-notification: invoke id, date-time, structure, then the code as long-unsigned.
        0x0F => {
            rest.take(4).ok()?;
            let date_time = rest.length().ok()?;
            rest.take(date_time).ok()?;
            rest.expect(2, "the structure").ok()?;
            rest.octet().ok()?;
            rest.expect(0x12, "the code").ok()?;
            rest.short().ok()?
        }
        // GBZ: profile 0109, the number of commands, then the code.
        0x01 => {
            rest.expect(9, "the profile").ok()?;
            rest.octet().ok()?;
            rest.short().ok()?
        }
        // ASN.1: a sequence that starts with the code as an integer.
        0x30 => {
            rest.length().ok()?;
            rest.expect(2, "the integer").ok()?;
            match rest.octet().ok()? {
                2 => rest.short().ok()?,
                3 => {
                    rest.expect(0, "the sign").ok()?;
                    rest.short().ok()?
                }
                _ => return None,
            }
        }
        _ => return None,
    };
    Some(AlertCode(code))
}

/// Octets still to be read. Every step is checked against what is left.
struct Octets<'a>(&'a [u8]);

impl<'a> Octets<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], ReadError> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(ReadError::Truncated)?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let (head, tail) = self.0.split_first_chunk().ok_or(ReadError::Truncated)?;
        self.0 = tail;
        Ok(*head)
    }

    fn octet(&mut self) -> Result<u8, ReadError> {
        self.array::<1>().map(|[octet]| octet)
    }

    fn short(&mut self) -> Result<u16, ReadError> {
        self.array().map(u16::from_be_bytes)
    }

    fn number(&mut self) -> Result<u64, ReadError> {
        self.array().map(u64::from_be_bytes)
    }

    fn expect(&mut self, value: u8, field: &'static str) -> Result<(), ReadError> {
        if self.octet()? == value {
            Ok(())
        } else {
            Err(ReadError::Gbcs { field })
        }
    }

    /// One octet below 0x80, or 0x81 or 0x82 and one or two octets.
    fn length(&mut self) -> Result<usize, ReadError> {
        Ok(match self.octet()? {
            short @ 0..=0x7F => usize::from(short),
            0x81 => usize::from(self.octet()?),
            0x82 => usize::from(self.short()?),
            _ => return Err(ReadError::Length { field: "a length" }),
        })
    }

    fn end(&self) -> Result<(), ReadError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(ReadError::Trailing)
        }
    }
}

#[cfg(test)]
mod tests;
