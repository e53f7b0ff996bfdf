//! Who issued a certificate, and when are two texts the same name?
//!
//! People copy names from other programs, which write one name in many ways: RFC 4514 puts the last
//! part first, `openssl` the first one; some put quotes around a value and others backslashes, some
//! blanks around `=`. A name that is misread would let a denied certificate in, so names are
//! compared by what all of these have in common.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::x509::X509Name;

/// The types of attributes that have names, by the names that programs write (in lower case).
/// The first name of a type is the one that is written here.
const TYPES: [(&str, &str); 24] = [
    ("CN", "2.5.4.3"),
    ("commonname", "2.5.4.3"),
    ("SN", "2.5.4.4"),
    ("serialNumber", "2.5.4.5"),
    ("C", "2.5.4.6"),
    ("countryname", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("S", "2.5.4.8"),
    ("street", "2.5.4.9"),
    ("O", "2.5.4.10"),
    ("organizationname", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("organizationalunitname", "2.5.4.11"),
    ("title", "2.5.4.12"),
    ("GN", "2.5.4.42"),
    ("givenname", "2.5.4.42"),
    ("x500UniqueIdentifier", "2.5.4.45"),
    ("dnQualifier", "2.5.4.46"),
    ("organizationIdentifier", "2.5.4.97"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("emailAddress", "1.2.840.113549.1.9.1"),
    ("email", "1.2.840.113549.1.9.1"),
];

/// The distinguished name of an authority.
///
/// Read as `openssl x509 -issuer` prints it and as RFC 4514 has it. Two names are the same if they
/// have the same attributes: in whatever order, whatever the case of letters, and however many
/// blanks stand between words. Written in the certificate's order, with the escapes of RFC 4514.
#[derive(Debug, Clone)]
pub struct IssuerName {
    attributes: Vec<Attribute>,
    /// What names are compared by.
    key: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
struct Attribute {
    /// The type, as a dotted object identifier.
    kind: String,
    value: String,
    /// The value is `#` and the hexadecimal digits of its DER.
    is_der: bool,
}

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuerNameError {
    /// Something that is no `type=value`.
    #[error("a name is written as CN=Name, O=Organisation")]
    Form,
    /// An attribute type that is not known by name.
    #[error("{0} is no known type of attribute; write it as an object identifier such as 2.5.4.3")]
    Type(String),
}

impl IssuerName {
    /// The name as it stands in a certificate.
    pub(crate) fn of(name: &X509Name<'_>) -> Self {
        let attributes = name.iter_attributes().map(|attribute| {
            let value = text_of(attribute.attr_value());
            Attribute {
                kind: attribute.attr_type().to_id_string(),
                is_der: value.is_none(),
                value: value.unwrap_or_else(|| der_of(attribute.attr_value())),
            }
        });
        Self::new(attributes.collect())
    }

    fn new(attributes: Vec<Attribute>) -> Self {
        let mut key: Vec<_> = attributes
            .iter()
            .map(|attribute| (attribute.kind.clone(), folded(&attribute.value)))
            .collect();
        key.sort();
        Self { attributes, key }
    }
}

fn folded(value: &str) -> String {
    let words: Vec<&str> = value.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

/// The text of a value that is one, whichever of the many kinds of strings it is.
fn text_of(value: &Any<'_>) -> Option<String> {
    match value.tag() {
        Tag::BmpString => {
            let units: Vec<u16> = value
                .data
                .chunks(2)
                .map(|pair| {
                    pair.iter()
                        .fold(0, |unit, &octet| unit << 8 | u16::from(octet))
                })
                .collect();
            String::from_utf16(&units).ok()
        }
        Tag::NumericString
        | Tag::PrintableString
        | Tag::Utf8String
        | Tag::Ia5String
        | Tag::VisibleString
        | Tag::T61String => std::str::from_utf8(value.data).ok().map(str::to_owned),
        _ => None,
    }
}

/// `#` and the DER of a value, as RFC 4514 writes what is no text. Values are short.
fn der_of(value: &Any<'_>) -> String {
    let length = u8::try_from(value.data.len()).unwrap_or(u8::MAX);
    let tag = u8::try_from(value.tag().0).unwrap_or(u8::MAX);
    let octets = [&[tag, length], value.data].concat();
    octets.iter().fold("#".to_owned(), |mut text, octet| {
        text.push_str(&format!("{octet:02x}"));
        text
    })
}

impl PartialEq for IssuerName {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for IssuerName {}

impl Hash for IssuerName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl FromStr for IssuerName {
    type Err = IssuerNameError;

    fn from_str(text: &str) -> Result<Self, IssuerNameError> {
        let mut rest = text;
        let mut attributes = Vec::new();
        loop {
            let (kind, after) = rest.split_once('=').ok_or(IssuerNameError::Form)?;
            let kind = oid_of(kind.trim())?;
            let after = after.trim_start_matches(' ');
            let is_der = after.starts_with('#');
            let (value, end) = value(after).ok_or(IssuerNameError::Form)?;
            attributes.push(Attribute {
                kind,
                value,
                is_der,
            });
            match end {
                Some(more) => rest = more,
                None => return Ok(Self::new(attributes)),
            }
        }
    }
}

fn oid_of(kind: &str) -> Result<String, IssuerNameError> {
    let known = TYPES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(kind));
    if let Some((_, oid)) = known {
        return Ok((*oid).to_owned());
    }
    let dotted = kind
        .get(..4)
        .filter(|prefix| prefix.eq_ignore_ascii_case("oid."))
        .map_or(kind, |_| &kind[4..]);
    let is_oid = dotted.contains('.')
        && dotted
            .split('.')
            .all(|arc| !arc.is_empty() && arc.bytes().all(|b| b.is_ascii_digit()));
    if is_oid {
        Ok(dotted.to_owned())
    } else {
        Err(IssuerNameError::Type(kind.to_owned()))
    }
}

/// Reads a value and says what follows the separator behind it, if there is one.
fn value(text: &str) -> Option<(String, Option<&str>)> {
    let quoted = text.starts_with('"');
    let mut octets = Vec::new();
    let mut chars = text.char_indices().skip(usize::from(quoted)).peekable();
    let mut closed = !quoted;
    let mut rest = None;
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                let (_, next) = chars.next()?;
                let second = chars.peek().map(|(_, c)| *c);
                let pair = next.to_digit(16).zip(second.and_then(|c| c.to_digit(16)));
                if let Some((high, low)) = pair {
                    chars.next();
                    octets.push(u8::try_from(high << 4 | low).ok()?);
                } else {
                    push(&mut octets, next);
                }
            }
            '"' if quoted && !closed => closed = true,
            ',' | '+' if closed => {
                rest = Some(&text[at + 1..]);
                break;
            }
            // Nothing but blanks between the quote and the separator.
            c if quoted && closed && c != ' ' => return None,
            _ if quoted && closed => {}
            c => push(&mut octets, c),
        }
    }
    if !closed {
        return None;
    }
    Some((String::from_utf8(octets).ok()?, rest))
}

fn push(octets: &mut Vec<u8>, c: char) {
    octets.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

impl fmt::Display for IssuerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, attribute) in self.attributes.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            let known = TYPES.iter().find(|(_, oid)| *oid == attribute.kind);
            f.write_str(known.map_or(attribute.kind.as_str(), |(name, _)| name))?;
            f.write_str("=")?;
            if attribute.is_der {
                f.write_str(&attribute.value)?;
            } else {
                write_escaped(f, &attribute.value)?;
            }
        }
        Ok(())
    }
}

fn write_escaped(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        let special = matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=');
        let at_an_end = (at == 0 && matches!(c, '#' | ' ')) || (at == last && c == ' ');
        if special || at_an_end {
            write!(f, "\\{c}")?;
        } else if mesh_types::text::is_visible(c) {
            write!(f, "{c}")?;
        } else {
            for octet in c.encode_utf8(&mut [0; 4]).bytes() {
                write!(f, "\\{octet:02X}")?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
