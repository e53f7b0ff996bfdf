//! The largest documents that DUIS allows are read, and nothing is read that is larger.

use super::*;
use crate::message::MAX_DEVICES;

/// The most octets of a `FirmwareImage` in DUIS 5.4.
const MAX_IMAGE: usize = 10_240_000;

fn some_devices(count: usize) -> Vec<DeviceId> {
    let numbers = (0_u64..).take(count);
    let devices = numbers.map(|number| DeviceId::new(Eui64::from_u64(number)));
    devices.collect()
}

#[test]
fn the_largest_firmware_update_is_read_however_its_lines_end() {
    let devices = some_devices(MAX_DEVICES);
    let image = vec![0xA5; MAX_IMAGE];
    for line_end in ["", "\r\n", "&#13;\n"] {
        let document = samples::duis_firmware(USER, &image, line_end, &devices, 7);
        let octets = document.len();
        assert!(octets <= MAX_OCTETS, "{octets} octets with {line_end:?}");
        let message = read_text(&document).unwrap();
        assert_eq!(message.subject, Subject::Service(Srv::UPDATE_FIRMWARE));
        assert!(message.devices.as_slice() == devices, "other Devices");
    }
    let list = devices.len() * 24 - 1;
    assert_eq!(list, 1_199_999, "the characters that DUIS gives a list");
}

/// The schema counts octets of the image, and base64 is counted here: four characters for three.
#[test]
fn an_image_that_is_larger_than_any_is_refused() {
    for line_end in ["", "\n"] {
        let document =
            samples::duis_firmware(USER, &vec![0xA5; MAX_IMAGE + 3], line_end, &[METER], 7);
        assert_eq!(reason(&document), "MESSAGE_TOO_LARGE", "{line_end:?}");
    }
    let referred = format!("<sr:FirmwareImage>{}", "&#65;".repeat(1_000));
    let document = samples::duis_firmware(USER, &vec![0xA5; MAX_IMAGE], "", &[METER], 7);
    assert_eq!(
        reason(&with(&document, "<sr:FirmwareImage>", &referred)),
        "MESSAGE_TOO_LARGE"
    );
}

#[test]
fn one_device_more_than_a_list_has_room_for_is_refused() {
    let mut devices = some_devices(MAX_DEVICES);
    // Twice the same: what counts is how many are named.
    devices.push(devices[0]);
    let document = samples::duis_firmware(USER, b"", "", &devices, 7);
    assert_eq!(reason(&document), "TOO_MANY_DEVICES");
}

#[test]
fn a_document_that_is_larger_than_any_is_refused() {
    let plain = request("4.8.1");
    let padded = |octets: usize| {
        with(
            &plain,
            "</sr:Request>",
            &format!("{}</sr:Request>", " ".repeat(octets - plain.len())),
        )
    };
    assert!(suppressed_for(METER, &padded(MAX_OCTETS)));
    assert_eq!(reason(&padded(MAX_OCTETS + 1)), "MESSAGE_TOO_LARGE");
}

/// What costs time is markup, and an image has none.
#[test]
fn more_markup_than_any_document_has_is_refused() {
    let plain = request("4.8.1");
    let filled = |piece: &str, count: usize| {
        let filling = piece.repeat(count);
        with(&plain, "</sr:Read", &format!("{filling}</sr:Read"))
    };
    for piece in [
        "<a/>",
        "&amp;",
        "<!-- a comment -->",
        "<?note x?>",
        "<![CDATA[]]>",
    ] {
        let fits = 2_000_000 / piece.len();
        assert!(suppressed_for(METER, &filled(piece, fits)), "{piece}");
        let document = filled(piece, 3_000_000 / piece.len());
        assert_eq!(reason(&document), "XML_TOO_MUCH_MARKUP", "{piece}");
    }
    assert!(suppressed_for(METER, &filled("text", 500_000)));
    assert!(suppressed_for(
        METER,
        &filled("<![CDATA[text of some length]]>", 100_000)
    ));
}

#[test]
fn only_so_many_prefixes_are_bound_at_a_time() {
    let bound = |count: usize| {
        let prefixes: String = (0..count)
            .map(|at| format!(" xmlns:p{at}='urn:x'"))
            .collect();
        with(
            &request("4.8.1"),
            "<sr:Body>",
            &format!("<sr:Body{prefixes}>"),
        )
    };
    assert!(suppressed_for(METER, &bound(60)));
    assert_eq!(reason(&bound(70)), "XML_TOO_LONG");
}
