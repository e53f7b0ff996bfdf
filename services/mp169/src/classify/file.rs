//! Which message is in a file, in whatever form it is kept?

use std::io::Read;
use std::path::Path;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use classification::duis::MAX_OCTETS;
use mesh_api::classification::v1::message::Content;
use mesh_api::classification::v1::{self as wire};

/// Base64 with or without the padding at its end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A file and what is in it, or why that is no message.
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) content: Result<Content, String>,
}

impl File {
    /// Reads a file, or standard input if its name is `-`.
    pub(super) fn read(path: &Path) -> Self {
        let octets = if path == Path::new("-") {
            limited(std::io::stdin().lock())
        } else {
            std::fs::File::open(path).and_then(limited)
        };
        let content = match octets {
            Ok(octets) => content(octets),
            Err(error) => Err(format!("cannot be read: {error}")),
        };
        Self {
            name: path.display().to_string(),
            content,
        }
    }

    /// The message, if there is one.
    pub(super) fn message(&self) -> Option<wire::Message> {
        let content = self.content.as_ref().ok()?;
        Some(wire::Message {
            content: Some(content.clone()),
            origin: wire::Origin::Unspecified.into(),
        })
    }

    /// How many octets a request with the message has.
    pub(super) fn octets(&self) -> usize {
        self.message()
            .map_or(0, |message| prost::Message::encoded_len(&message))
    }
}

/// All there is, or one octet more than a message can have.
fn limited(from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    from.take(MAX_OCTETS as u64 + 1).read_to_end(&mut octets)?;
    Ok(octets)
}

/// XML begins with an angle bracket, GBCS in binary with 0xDD or 0xDF; what is text besides is GBCS in
/// hexadecimal digits or in base64.
fn content(bytes: Vec<u8>) -> Result<Content, String> {
    if bytes.len() > MAX_OCTETS {
        return Err(format!(
            "too large: no message has more than {MAX_OCTETS} octets"
        ));
    }
    let text = bytes
        .strip_prefix(b"\xEF\xBB\xBF")
        .unwrap_or(&bytes)
        .trim_ascii();
    match text.first() {
        None => Err("the file is empty".into()),
        Some(b'<') => Ok(Content::DuisXml(bytes.into())),
        Some(0xDD | 0xDF) => Ok(Content::Gbcs(bytes.into())),
        Some(_) => match decoded(text) {
            Some(octets) => Ok(Content::Gbcs(octets.into())),
            None => Err("neither DUIS XML nor GBCS in binary, hexadecimal digits or base64".into()),
        },
    }
}

/// The octets that a text stands for. Any word could be base64, so that must begin as GBCS does: with
/// a MAC, without one, or as a segment. No such text is all hexadecimal digits.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    hex::decode(&digits).ok().or_else(|| {
        let octets = BASE64.decode(&digits).ok()?;
        matches!(octets.first(), Some(0xDD | 0xDF | 0xE0)).then_some(octets)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_a_file_is_found() {
        for xml in [&b"\xEF\xBB\xBF <a/>"[..], b"\n<a/>"] {
            assert!(matches!(content(xml.to_vec()), Ok(Content::DuisXml(_))));
        }
        for gbcs in [
            &b"DF 09\n01"[..],
            b"df0901",
            &[0xDF, 0x09, 0x01],
            b"3wkB",
            b"\xEF\xBB\xBF3w\r\nkB\n",
        ] {
            let octets = content(gbcs.to_vec());
            assert!(matches!(octets, Ok(Content::Gbcs(octets)) if octets.as_ref() == [0xDF, 9, 1]));
        }
        for padded in [&b"3wkBAg=="[..], b"3wkBAg"] {
            let octets = content(padded.to_vec());
            assert!(
                matches!(octets, Ok(Content::Gbcs(octets)) if octets.as_ref() == [0xDF, 9, 1, 2])
            );
        }
        for neither in [
            &b""[..],
            b" \n",
            b"a letter",
            b"aletters",
            b"DF0",
            b"3wk*",
            b"3wkBA===",
        ] {
            assert!(content(neither.to_vec()).is_err());
        }
    }

    #[test]
    fn a_file_is_read_no_further_than_the_largest_message() {
        let largest = limited(std::io::repeat(b'<').take(MAX_OCTETS as u64)).unwrap();
        assert!(content(largest).is_ok());
        let endless = content(limited(std::io::repeat(b'<')).unwrap());
        assert!(endless.unwrap_err().starts_with("too large"));
    }
}
