//! Headers of the project's own messages, and of octets that are none.

use mesh_types::DeviceId;
use proptest::prelude::*;

use super::*;
use crate::samples::{AlertEncoding, Gbcs, gbcs_alert, gbcs_command, gbcs_response};

const CODE: MessageCode = MessageCode(0x0027);

fn party() -> Eui64 {
    "90-B3-D5-1F-30-01-00-00".parse().unwrap()
}

fn meter() -> DeviceId {
    "00-DB-12-34-56-78-90-A0".parse().unwrap()
}

fn alert(encoding: AlertEncoding) -> Gbcs {
    gbcs_alert(
        MessageCode(0x0061),
        AlertCode(0x8F0A),
        encoding,
        meter(),
        party(),
        7,
    )
}

/// One message of each form.
fn forms() -> Vec<Gbcs> {
    let command = gbcs_command(CODE, party(), meter(), 1);
    let response = gbcs_response(CODE, meter(), party(), 1);
    vec![
        Gbcs {
            has_mac: false,
            signature: Signature::Unsigned,
            ..command.clone()
        },
        Gbcs {
            signature: Signature::Present,
            ..command.clone()
        },
        Gbcs {
            has_mac: false,
            signature: Signature::Present,
            ..response.clone()
        },
        Gbcs {
            supplementary_party: Some(party()),
            ..response.clone()
        },
        Gbcs {
            content: vec![0; 40_000],
            ..response.clone()
        },
        command,
        response,
        alert(AlertEncoding::Dlms),
        alert(AlertEncoding::Gbz),
        alert(AlertEncoding::Asn1),
    ]
}

#[test]
fn each_form_is_read_back() {
    for sent in forms() {
        let header = read(&sent.octets()).unwrap();
        assert_eq!(header.kind, sent.kind);
        assert_eq!(header.has_mac, sent.has_mac);
        assert_eq!(header.signature, sent.signature);
        assert_eq!(
            (header.originator, header.target),
            (sent.originator, sent.target)
        );
        assert_eq!(
            (header.counter, header.codes.message),
            (sent.counter, sent.code)
        );
        assert_eq!(header.supplementary_party, sent.supplementary_party);
        assert_eq!(header.device(), meter(), "{:?}", sent.kind);
        let alert = (sent.kind == Kind::Alert).then_some(AlertCode(0x8F0A));
        assert_eq!(header.codes.alert, alert);
    }
}

#[test]
fn a_message_that_was_cut_off_is_not_a_message() {
    for sent in forms() {
        let octets = sent.octets();
        for length in 0..octets.len() {
            assert!(read(&octets[..length]).is_err(), "{sent:?} cut to {length}");
        }
    }
}

#[test]
fn what_follows_a_message_is_refused() {
    for sent in forms() {
        let mut octets = sent.octets();
        octets.push(0);
        let refused = read(&octets);
        let unsigned = sent.signature == Signature::Unsigned;
        // After a Pre-Command an octet 00 is the empty place of a signature.
        assert_eq!(refused.is_ok(), unsigned, "{sent:?}");
        octets.extend([0x5A; 3]);
        assert_eq!(read(&octets), Err(ReadError::Trailing), "{sent:?}");
    }
}

#[test]
fn a_length_that_does_not_fit_is_refused() {
    let octets = alert(AlertEncoding::Dlms).octets();
    let with = |at: usize, value: u8| {
        let mut octets = octets.clone();
        octets[at] = value;
        read(&octets)
    };
    for (at, value, field) in [
        (29, 11, "the date-time"),
        (30, 3, "the other information"),
        (30, 0x80, "a length"),
        (30, 0x83, "a length"),
    ] {
        assert_eq!(with(at, value), Err(ReadError::Length { field }), "{at}");
    }
    for (at, value, field) in [
        (0, 0xDE, "the first octet"),
        (1, 8, "the transaction id"),
        (2, 0, "the CRA flag"),
        (2, 4, "the CRA flag"),
        (11, 7, "the originator"),
        (20, 9, "the target"),
    ] {
        assert_eq!(with(at, value), Err(ReadError::Gbcs { field }), "{at}");
    }
    // The content's length reaches into the signature, or past the end.
    assert!(with(33, 0x0C).is_err());
    assert_eq!(with(33, 0x7F), Err(ReadError::Truncated));
    assert_eq!(with(0, 0xE0), Err(ReadError::Segment));

    let command = gbcs_command(CODE, party(), meter(), 1).octets();
    let mut other_header = command.clone();
    other_header[1] = 1;
    assert_eq!(
        read(&other_header),
        Err(ReadError::Gbcs {
            field: "the ciphering header"
        })
    );
    let mut short_length = command;
    short_length[7] -= 1;
    assert_eq!(read(&short_length), Err(ReadError::Trailing));
    assert_eq!(
        read(&vec![0; MAX_OCTETS + 1]),
        Err(ReadError::TooLarge { limit: MAX_OCTETS })
    );
}

#[test]
fn an_alert_whose_content_is_not_clear_has_no_alert_code() {
    for content in [
        vec![],
        vec![0x0F],
        vec![0x31; 40],
        vec![0x01, 0x0A, 1, 0x8F, 0x0A],
    ] {
        let hidden = Gbcs {
            content,
            ..alert(AlertEncoding::Dlms)
        };
        let codes = read(&hidden.octets()).unwrap().codes;
        assert_eq!((codes.message, codes.alert), (MessageCode(0x0061), None));
    }
}

#[test]
fn hexadecimal_text_is_read_in_either_case() {
    let octets = gbcs_command(CODE, party(), meter(), 1).octets();
    let text = format!(" {}\r\n", hex::encode(&octets));
    assert_eq!(from_hex(text.as_bytes()), Ok(octets.clone()));
    assert_eq!(from_hex(text.to_uppercase().as_bytes()), Ok(octets));
    for text in ["0", "0g", "0x00", "é"] {
        assert_eq!(from_hex(text.as_bytes()), Err(ReadError::Hex), "{text}");
    }
}

proptest! {
    #[test]
    fn no_octets_make_the_reader_panic(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&octets);
    }

    #[test]
    fn no_damage_makes_the_reader_panic(
        form in 0_usize..10,
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<proptest::sample::Index>(),
    ) {
        let mut octets = forms()[form].octets();
        for (at, value) in damage {
            let at = at.index(octets.len());
            octets[at] = value;
        }
        let _ = read(&octets);
        let _ = read(&octets[..cut.index(octets.len())]);
    }

    #[test]
    fn any_message_is_read_back(
        code in any::<u16>(),
        counter in any::<u64>(),
        originator in any::<u64>(),
        target in any::<u64>(),
        dated in any::<bool>(),
        content in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let sent = Gbcs {
            code: MessageCode(code),
            counter,
            originator: Eui64::from_u64(originator),
            target: Eui64::from_u64(target),
            dated,
            content,
            ..gbcs_response(CODE, meter(), party(), 1)
        };
        let header = read(&sent.octets()).unwrap();
        prop_assert_eq!(header.codes.message, sent.code);
        prop_assert_eq!(header.counter, counter);
        prop_assert_eq!(header.device(), DeviceId::new(sent.originator));
        prop_assert_eq!(header.target, sent.target);
    }
}
