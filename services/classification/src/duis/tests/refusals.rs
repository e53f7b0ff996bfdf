//! Everything that is wrong with a document has a reason.

use super::*;

/// Each fault of a document has its own reason.
#[test]
fn what_is_wrong_with_a_request_is_said() {
    let plain = request("4.8.1");
    let element = "ReadActiveImportProfileData";
    for (from, to, expected) in [
        ("<sr:RequestID>", "<sr:RequestId>", "XML_NOT_WELL_FORMED"),
        ("90-B3-D5-1F-30-01-00-00:", "", "REQUEST_ID_MALFORMED"),
        (":1000<", ":18446744073709551616<", "REQUEST_ID_MALFORMED"),
        (":1000<", ":+1<", "REQUEST_ID_MALFORMED"),
        (":1000<", ":1000:1<", "REQUEST_ID_MALFORMED"),
        (
            "00-DB-12-34-56-78-90-A0",
            "00-DB-12-34-56-78-90",
            "EUI64_MALFORMED",
        ),
        (
            "00-DB-12-34-56-78-90-A0",
            "00DB1234567890A0",
            "EUI64_MALFORMED",
        ),
        (
            "00-DB-12-34-56-78-90-A0",
            "00-DB-12-34-56-78-90-G0",
            "EUI64_MALFORMED",
        ),
        ("Variant>1<", "Variant>10<", "COMMAND_VARIANT_MALFORMED"),
        ("Variant>1<", "Variant>8<", "COMMAND_VARIANT_MISMATCH"),
        (">4.8.1<", ">4.8.01<", "SERVICE_REQUEST_VARIANT_MALFORMED"),
        (">4.8.1<", ">4.18.1<", "SERVICE_REFERENCE_MISMATCH"),
        (">4.8.1<", ">4.8.2<", "BODY_MISMATCH"),
        (">4.8.1<", ">4.8.9<", "BODY_MISMATCH"),
        ("<sr:Body>", "<sr:Body/><sr:Body>", "FIELD_MISSING"),
        ("<sr:Body>", "<sr:Body>4.2", "DUIS_UNEXPECTED_TEXT"),
        (
            "<sr:Header>",
            "<sr:Body/><sr:Header>",
            "DUIS_UNEXPECTED_ELEMENT",
        ),
        (
            "</sr:Header>",
            "</sr:Header><sr:Header/>",
            "DUIS_UNEXPECTED_ELEMENT",
        ),
        ("</sr:Body>", "</sr:Body><sr:Body/>", "FIELD_DUPLICATED"),
        ("</sr:Body>", "</sr:Body><sr:Header/>", "FIELD_DUPLICATED"),
        (
            "</sr:Body>",
            "<sr:ReadSupplyStatus/></sr:Body>",
            "FIELD_DUPLICATED",
        ),
        (
            "</sr:Request>",
            "</sr:Request><sr:Request/>",
            "TRAILING_CONTENT",
        ),
        ("</sr:Request>", "</sr:Request>x", "TRAILING_CONTENT"),
        ("</sr:Request>", "", "XML_NOT_WELL_FORMED"),
        (
            "ServiceUserGateway\"",
            "ServiceUserGateway2\"",
            "DUIS_NOT_RECOGNISED",
        ),
        ("encoding=\"UTF-8\"", "encoding=\"UTF-16\"", "XML_ENCODING"),
    ] {
        assert_eq!(reason(&with(&plain, from, to)), expected, "{from} -> {to}");
    }
    for field in [
        "RequestID",
        "CommandVariant",
        "ServiceReference",
        "ServiceReferenceVariant",
    ] {
        let start = plain.find(&format!("<sr:{field}>")).unwrap();
        let close = format!("</sr:{field}>");
        let end = plain.find(&close).unwrap() + close.len();
        let line = &plain[start..end];
        assert_eq!(reason(&with(&plain, line, "")), "FIELD_MISSING", "{field}");
        let twice = with(&plain, line, &format!("{line}{line}"));
        assert_eq!(reason(&twice), "FIELD_DUPLICATED", "{field}");
    }
    let foreign = plain.replace(&format!("<sr:{element}>"), &format!("<ds:{element}>"));
    let foreign = foreign.replace(&format!("</sr:{element}>"), &format!("</ds:{element}>"));
    assert_eq!(reason(&foreign), "BODY_MISMATCH");
    for other in ["", "   ", "x", "<a/>", "<Request/>", "{}"] {
        assert!(read_text(other).is_err(), "{other}");
    }
    assert_eq!(
        read(&Policy::builtin(), b"\xFF\xFE<"),
        Err(ReadError::Encoding)
    );
}

#[test]
fn what_is_wrong_with_a_schedule_or_a_payload_is_said() {
    let schedule =
        samples::duis_schedule(&Policy::builtin(), srv("4.8.1"), USER, METER, 5).unwrap();
    let device = format!("<sr:DeviceID>{METER}</sr:DeviceID>");
    for (from, to, expected) in [
        (device.as_str(), "", "FIELD_MISSING"),
        (
            "Variant>4.8.1<",
            "Variant>5.2<",
            "SERVICE_REFERENCE_MISMATCH",
        ),
        ("Variant>4.8.1<", "Variant>4.8.3<", "BODY_MISMATCH"),
        (
            "<sr:DSPRead",
            "<sr:DSPReadSupplyStatus/><sr:DSPRead",
            "FIELD_DUPLICATED",
        ),
        ("Variant>8<", "Variant>1<", "COMMAND_VARIANT_MISMATCH"),
        (
            "<sr:DeviceID>00-DB",
            "<sr:DeviceID>00:DB",
            "EUI64_MALFORMED",
        ),
    ] {
        assert_eq!(
            reason(&with(&schedule, from, to)),
            expected,
            "{from} -> {to}"
        );
    }
    let response = samples::gbcs_response(MessageCode(0x0037), METER, USER, 9);
    let answer = samples::duis_response(srv("4.8.1"), USER, &response);
    for (from, to, expected) in [
        (
            "<sr:GBCSPayload>",
            "<sr:GBCSPayload>*",
            "PAYLOAD_NOT_BASE64",
        ),
        (
            "<sr:GBCSPayload>",
            "<sr:GBCSPayload/><sr:GBCSPayload>",
            "GBCS_TRUNCATED",
        ),
        ("<sr:GBCSPayload>3Q", "<sr:GBCSPayload>4A", "GBCS_SEGMENT"),
        ("I0<", "<", "FIELD_MISSING"),
        (
            "<sr:ResponseID>00-DB",
            "<sr:ResponseID>00-DC",
            "REQUEST_AND_RESPONSE_ID_DISAGREE",
        ),
        (
            "</sr:ResponseMessage>",
            "</sr:ResponseMessage><sr:ResponseMessage/>",
            "FIELD_MISSING",
        ),
        (
            "<sr:ResponseMessage>",
            "<sr:Other/><sr:ResponseMessage>",
            "FIELD_DUPLICATED",
        ),
    ] {
        assert_eq!(reason(&with(&answer, from, to)), expected, "{from} -> {to}");
    }
}

#[test]
fn entities_of_the_documents_own_are_refused() {
    let plain = request("4.8.1");
    let bomb = "<!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\">]>\n<sr:Request";
    assert_eq!(
        reason(&with(&plain, "<sr:Request", bomb)),
        "XML_DOCTYPE_REFUSED"
    );
    let external = "<!DOCTYPE x SYSTEM \"file:///etc/passwd\">\n<sr:Request";
    assert_eq!(
        reason(&with(&plain, "<sr:Request", external)),
        "XML_DOCTYPE_REFUSED"
    );
    assert_eq!(
        reason(&with(&plain, "</sr:Body>", "</sr:Body><!DOCTYPE x>")),
        "XML_DOCTYPE_REFUSED"
    );
    assert_eq!(
        reason(&with(&plain, ">4.8.1<", ">&a;<")),
        "XML_ENTITY_REFUSED"
    );
    assert_eq!(
        reason(&with(&plain, "</sr:Body>", "</sr:Body><x>&a;</x>")),
        "XML_ENTITY_REFUSED"
    );
}

#[test]
fn what_is_too_large_too_deep_or_too_long_is_refused() {
    let plain = request("4.8.1");
    let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
    let deep = with(&plain, "</sr:Read", &format!("{deep}</sr:Read"));
    assert_eq!(reason(&deep), "XML_TOO_DEEP");
    let levels = |count| format!("{}{}", "<a>".repeat(count), "</a>".repeat(count));
    for (count, taken) in [(29, true), (30, false)] {
        let document = with(&plain, "</sr:Read", &format!("{}</sr:Read", levels(count)));
        assert_eq!(read_text(&document).is_ok(), taken, "{count}");
    }
    let long = "9".repeat(5000);
    assert_eq!(
        reason(&with(&plain, ">4.8.1<", &format!(">{long}<"))),
        "XML_TOO_LONG"
    );
    let tag = format!("<sr:Header a=\"{long}\">");
    assert_eq!(reason(&with(&plain, "<sr:Header>", &tag)), "XML_TOO_LONG");
    let policy = Policy::builtin();
    let limit = plain.len();
    assert!(read_up_to(&policy, plain.as_bytes(), limit).is_ok());
    let refused = read_up_to(&policy, plain.as_bytes(), limit - 1);
    assert_eq!(refused, Err(ReadError::TooLarge { limit: limit - 1 }));
}
