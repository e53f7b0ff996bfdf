//! Writes GBCS messages.

use mesh_types::{DeviceId, Eui64};

use crate::codes::{AlertCode, MessageCode};
use crate::gbcs::{Kind, Signature};

/// In which of the encodings of clear content an alert code is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertEncoding {
    /// A DLMS data-notification, as an ESME sends it.
    Dlms,
    /// A GBZ command, as a GSME sends it.
    Gbz,
    /// An ASN.1 sequence.
    Asn1,
}

/// A GBCS message to be written.
#[derive(Debug, Clone)]
pub struct Gbcs {
    /// Command, Response or Alert.
    pub kind: Kind,
    /// Whether a MAC protects it.
    pub has_mac: bool,
    /// Whether it is signed.
    pub signature: Signature,
    /// The originator's counter.
    pub counter: u64,
    /// Who makes it.
    pub originator: Eui64,
    /// Whom it is for.
    pub target: Eui64,
    /// Whether it says when it was made.
    pub dated: bool,
    /// The message code.
    pub code: MessageCode,
    /// The User on whose behalf the Access Control Broker acts.
    pub supplementary_party: Option<Eui64>,
    /// The content.
    pub content: Vec<u8>,
}

/// A Command to `device`, with a MAC and not signed, as those that are not critical are.
#[must_use]
pub fn gbcs_command(code: MessageCode, party: Eui64, device: DeviceId, counter: u64) -> Gbcs {
    Gbcs {
        kind: Kind::Command,
        has_mac: true,
        signature: Signature::Empty,
        counter,
        originator: party,
        target: device.eui64(),
        dated: false,
        code,
        supplementary_party: None,
        content: vec![0xD9, 0x20, 0, 0, 0, 0],
    }
}

/// The Response of `device` to such a Command; the content stands for an encrypted one.
#[must_use]
pub fn gbcs_response(code: MessageCode, device: DeviceId, party: Eui64, counter: u64) -> Gbcs {
    Gbcs {
        kind: Kind::Response,
        originator: device.eui64(),
        target: party,
        dated: true,
        content: (0..=255).collect(),
        ..gbcs_command(code, party, device, counter)
    }
}

/// An Alert of `device`, signed and without a MAC, as critical ones are.
#[must_use]
pub fn gbcs_alert(
    code: MessageCode,
    alert: AlertCode,
    encoding: AlertEncoding,
    device: DeviceId,
    party: Eui64,
    counter: u64,
) -> Gbcs {
    let [high, low] = alert.0.to_be_bytes();
    let content = match encoding {
        AlertEncoding::Dlms => vec![0x0F, 0x20, 0, 0, 1, 0, 0x02, 0x01, 0x12, high, low],
        AlertEncoding::Gbz => vec![0x01, 0x09, 0x01, high, low],
        AlertEncoding::Asn1 => vec![0x30, 0x05, 0x02, 0x03, 0x00, high, low],
    };
    Gbcs {
        kind: Kind::Alert,
        has_mac: false,
        signature: Signature::Present,
        dated: false,
        content,
        ..gbcs_response(code, device, party, counter)
    }
}

impl Gbcs {
    /// The octets of the message.
    #[must_use]
    pub fn octets(&self) -> Vec<u8> {
        let signed = self.signed_part();
        if !self.has_mac {
            return signed;
        }
        let mut octets = vec![0xDD, 0, 0, 0, 0, 0, 0];
        length(5 + signed.len() + 12, &mut octets);
        octets.extend([0x11, 0, 0, 0, 0]);
        octets.extend(signed);
        octets.extend([0xA5; 12]);
        octets
    }

    fn signed_part(&self) -> Vec<u8> {
        let kind = match self.kind {
            Kind::Command => 1,
            Kind::Response => 2,
            Kind::Alert => 3,
        };
        let mut octets = vec![0xDF, 9, kind];
        octets.extend(self.counter.to_be_bytes());
        for party in [self.originator, self.target] {
            octets.push(8);
            octets.extend(party.octets());
        }
        if self.dated {
            octets.extend([12, 0x07, 0xEA, 11, 23, 1, 12, 0, 0, 0, 0x80, 0, 0]);
        } else {
            octets.push(0);
        }
        let mut other = self.code.0.to_be_bytes().to_vec();
        if let Some(party) = self.supplementary_party {
            other.extend(party.octets());
            other.extend(self.counter.to_be_bytes());
        }
        length(other.len(), &mut octets);
        octets.extend(other);
        length(self.content.len(), &mut octets);
        octets.extend(&self.content);
        match self.signature {
            Signature::Unsigned => {}
            Signature::Empty => octets.push(0),
            Signature::Present => {
                octets.push(64);
                octets.extend([0x5A; 64]);
            }
        }
        octets
    }
}

/// Writes a length in as few octets as it needs.
fn length(length: usize, octets: &mut Vec<u8>) {
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..0x80), _) => octets.push(short),
        (Ok(long), _) => octets.extend([0x81, long]),
        (_, Ok(longer)) => {
            octets.push(0x82);
            octets.extend(longer.to_be_bytes());
        }
        // GBCS has no longer form; readers refuse what comes of it.
        _ => octets.push(0x84),
    }
}
