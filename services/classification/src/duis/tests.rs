//! Documents of the project's own, in every form that the format allows, and hostile ones.

use mesh_types::DeviceId;
use proptest::prelude::*;

use super::*;
use crate::codes::{AlertCode, MessageCode};
use crate::decide::{Flag, Verdict};
use crate::message::{DeviceType, Devices, Origin, Subject};
use crate::samples::{self, AlertEncoding};

const USER: Eui64 = Eui64::from_u64(0x90B3_D51F_3001_0000);
const METER: DeviceId = DeviceId::new(Eui64::from_u64(0x00DB_1234_5678_90A0));
const GAS: DeviceId = DeviceId::new(Eui64::from_u64(0x00DB_1234_5678_90A1));

fn srv(text: &str) -> Srv {
    text.parse().unwrap()
}

fn read_text(document: &str) -> Result<Message, ReadError> {
    read(&Policy::builtin(), document.as_bytes())
}

fn request(variant: &str) -> String {
    samples::duis_request(&Policy::builtin(), srv(variant), USER, METER, 1000).unwrap()
}

/// The document with one piece replaced, which must be there.
fn with(document: &str, from: &str, to: &str) -> String {
    assert!(document.contains(from), "{from} is in the document");
    document.replacen(from, to, 1)
}

fn reason(document: &str) -> &'static str {
    read_text(document)
        .expect_err("the document is refused")
        .reason()
}

fn suppressed_for(device: DeviceId, document: &str) -> bool {
    let message = read_text(document).unwrap();
    let flag = Flag {
        device_type: DeviceType::Other,
    };
    let decision = Policy::builtin()
        .decide(&message, |id| (id == device).then_some(flag))
        .verdict;
    decision == Verdict::Suppress
}

mod forms {
    use super::*;

    #[test]
    fn every_request_is_read_back() {
        let policy = Policy::builtin();
        for row in policy
            .service_requests()
            .iter()
            .filter(|row| !row.non_device)
        {
            let message = read_text(&request(&row.srv.to_string())).unwrap();
            assert_eq!(message.subject, Subject::Service(row.srv));
            assert_eq!(message.devices, Devices::One(METER));
            assert_eq!(message.origin, Origin::OnDemand);
        }
    }

    #[test]
    fn the_form_of_the_xml_does_not_matter() {
        let plain = request("4.8.1");
        let expected = read_text(&plain);
        let default_namespace = plain
            .replace("<sr:", "<")
            .replace("</sr:", "</")
            .replace("xmlns:sr=", "xmlns=");
        let variant = ">4.8.1<";
        for (form, document) in [
            (
                "another prefix",
                plain
                    .replace("sr:", "dcc.x-1:")
                    .replace(":sr=", ":dcc.x-1="),
            ),
            ("no prefix", default_namespace),
            (
                "declared again",
                plain.replace("<sr:Body>", &format!("<sr:Body xmlns:sr='{}'>", xml::DUIS)),
            ),
            ("white space", plain.replace("><", ">\n\t <")),
            ("white space around", with(&plain, variant, ">\n 4.8.1\t<")),
            ("a comment", with(&plain, variant, ">4.<!-- 4.2 -->8.1<")),
            ("CDATA", with(&plain, variant, "><![CDATA[4.8.1]]><")),
            ("references", with(&plain, variant, ">4&#46;8&#x2E;1<")),
            (
                "an instruction",
                with(&plain, "<sr:Body>", "<?note x?><sr:Body>"),
            ),
            (
                "a comment in the body",
                with(&plain, "<sr:Body>", "<sr:Body><!-- </sr:Body> -->"),
            ),
            ("a tag that closes itself", {
                let element = "<sr:ReadActiveImportProfileData></sr:ReadActiveImportProfileData>";
                with(&plain, element, "<sr:ReadActiveImportProfileData/>")
            }),
            (
                "spaces in tags",
                plain
                    .replace("Body>", "Body  >")
                    .replace("Request>", "Request\n>"),
            ),
            (
                "lower case",
                plain
                    .replace("00-DB", "00-db")
                    .replace("90-B3-D5", "90-b3-d5"),
            ),
            (
                "no declaration",
                plain.split_once('\n').unwrap().1.to_owned(),
            ),
            ("a byte order mark", format!("\u{FEFF}{plain}")),
            (
                "a header that is longer",
                with(
                    &plain,
                    "</sr:Header>",
                    "<sr:New><sr:A/></sr:New></sr:Header>",
                ),
            ),
        ] {
            assert_eq!(read_text(&document), expected, "{form}");
        }
    }

    #[test]
    fn a_time_of_execution_makes_a_request_future_dated() {
        let dated = "<sr:ExecutionDateTime>2026-12-01T00:00:00Z</sr:ExecutionDateTime></sr:Read";
        let message = read_text(&with(&request("4.8.1"), "</sr:Read", dated)).unwrap();
        assert_eq!(message.origin, Origin::FutureDated);
    }

    #[test]
    fn a_schedule_is_judged_by_what_it_orders() {
        let policy = Policy::builtin();
        let schedule =
            |nested| samples::duis_schedule(&policy, srv(nested), USER, METER, 5).unwrap();
        let message = read_text(&schedule("4.8.1")).unwrap();
        assert_eq!(
            message.subject,
            Subject::Schedule {
                nested: srv("4.8.1")
            }
        );
        assert_eq!(message.devices, Devices::One(METER));
        assert!(suppressed_for(METER, &schedule("4.8.1")));
        assert!(!suppressed_for(GAS, &schedule("4.8.1")));
        assert!(!suppressed_for(METER, &schedule("4.8.3")));
    }

    #[test]
    fn what_is_handed_in_is_judged_by_its_message_code() {
        let handed_in = |code| {
            let response = samples::gbcs_response(MessageCode(code), METER, USER, 9);
            samples::duis_return_local(USER, &response, 10)
        };
        assert!(suppressed_for(METER, &handed_in(0x0027)));
        assert!(!suppressed_for(GAS, &handed_in(0x0027)));
        assert!(!suppressed_for(METER, &handed_in(0x0012)));
    }

    #[test]
    fn requests_to_the_dcc_name_their_devices_in_the_body() {
        let policy = Policy::builtin();
        let firmware = |devices: &[DeviceId]| {
            samples::duis_device_list(&policy, srv("11.1"), USER, devices, 3).unwrap()
        };
        let message = read_text(&firmware(&[METER, GAS, METER])).unwrap();
        assert_eq!(message.devices.as_slice(), [METER, GAS]);
        let list = format!("<sr:DeviceIDList>{METER}</sr:DeviceIDList>");
        for (form, text) in [
            (
                "in one text",
                format!("<sr:DeviceIDList>{METER} \n {GAS}</sr:DeviceIDList>"),
            ),
            (
                "in elements of the list",
                format!(
                    "<sr:DeviceIDList><sr:DeviceID>{METER}</sr:DeviceID><sr:DeviceID>{GAS}</sr:DeviceID></sr:DeviceIDList>"
                ),
            ),
            (
                "in elements",
                format!(
                    "<sr:A><sr:DeviceID>{METER}</sr:DeviceID></sr:A><sr:DeviceID>{GAS}</sr:DeviceID>"
                ),
            ),
        ] {
            let message = read_text(&with(&firmware(&[METER]), &list, &text)).unwrap();
            assert_eq!(message.devices.as_slice(), [METER, GAS], "{form}");
        }
    }

    #[test]
    fn an_unknown_read_is_suppressed_and_anything_else_unknown_is_not() {
        let unknown = |reference: &str, variant: &str| {
            request("4.8.1")
                .replace(">4.8<", &format!(">{reference}<"))
                .replace(">4.8.1<", &format!(">{variant}<"))
                .replace("ReadActiveImportProfileData", "ReadSomethingNew")
        };
        assert!(suppressed_for(METER, &unknown("4.8", "4.8.9")));
        assert!(!suppressed_for(METER, &unknown("9.7", "9.7")));
        assert!(!suppressed_for(GAS, &unknown("4.8", "4.8.9")));
        let to_dcc = with(&unknown("4.8", "4.8.9"), "Variant>1<", "Variant>8<");
        assert_eq!(reason(&to_dcc), "FIELD_MISSING");
    }

    #[test]
    fn responses_are_judged_by_the_message_in_them() {
        let answer = |variant, code| {
            let response = samples::gbcs_response(MessageCode(code), METER, USER, 9);
            samples::duis_response(srv(variant), USER, &response)
        };
        let read = answer("4.8.1", 0x0037);
        let message = read_text(&read).unwrap();
        assert_eq!(
            (message.origin, message.devices),
            (Origin::Response, Devices::One(METER))
        );
        assert!(suppressed_for(METER, &read));
        assert!(!suppressed_for(METER, &answer("7.4", 0x0052)));
        // A scheduled read is answered in an element of its own, and a read for local delivery too.
        for element in ["DSPScheduledMessage", "LocalCommand", "PreCommand"] {
            let nested = read
                .replace(
                    "<sr:GBCSPayload>",
                    &format!("<sr:{element}><sr:X>1</sr:X><sr:GBCSPayload>"),
                )
                .replace(
                    "</sr:GBCSPayload>",
                    &format!("</sr:GBCSPayload></sr:{element}>"),
                );
            assert_eq!(read_text(&nested), read_text(&read), "{element}");
        }
        let wrapped = read.replace("sr:GBCSPayload>3", "sr:GBCSPayload>&#13;\n 3");
        assert_ne!(wrapped, read);
        assert_eq!(read_text(&wrapped), read_text(&read));
    }

    #[test]
    fn a_receipt_is_delivered_so_that_a_refusal_is_no_time_out() {
        for code in ["I99", "E65", "I0"] {
            let receipt = samples::duis_receipt(srv("4.8.1"), USER, METER, 4, code);
            assert_eq!(read_text(&receipt).unwrap().subject, Subject::Receipt);
            assert!(!suppressed_for(METER, &receipt));
        }
        let data = with(
            &samples::duis_receipt(srv("4.8.1"), USER, METER, 4, "I0"),
            "</sr:ResponseMessage>",
            "<sr:NewReading>7</sr:NewReading></sr:ResponseMessage>",
        );
        assert!(suppressed_for(METER, &data));
    }

    #[test]
    fn alerts_are_judged_by_their_codes() {
        let encoding = AlertEncoding::Dlms;
        let alert = AlertCode(0x8F0A);
        let push = samples::gbcs_alert(MessageCode(0x0061), alert, encoding, METER, USER, 8);
        let document = samples::duis_device_alert(USER, alert, &push);
        let message = read_text(&document).unwrap();
        assert_eq!(
            (message.origin, message.devices.clone()),
            (Origin::Alert, Devices::One(METER))
        );
        let policy = Policy::builtin();
        let decision = policy.decide(&message, |_| None);
        assert!(decision.critical_consumption);
        assert!(!suppressed_for(METER, &document));
        assert_eq!(
            reason(&with(&document, ">8F0A<", ">8F0B<")),
            "ALERT_CODE_MISMATCH"
        );

        let hidden = samples::Gbcs {
            content: vec![0; 30],
            ..push
        };
        let hidden = read_text(&samples::duis_device_alert(USER, alert, &hidden));
        assert_eq!(hidden, Ok(message));

        let dcc = samples::duis_dcc_alert(USER, "N24".parse().unwrap(), 6);
        assert!(matches!(
            read_text(&dcc).unwrap().subject,
            Subject::DccAlert(_)
        ));
    }

    #[test]
    fn a_signed_precommand_is_judged_by_what_will_be_sent() {
        let command = |code| {
            let command = samples::gbcs_command(MessageCode(code), USER, METER, 2);
            samples::duis_signed_precommand(srv("7.1"), USER, &command)
        };
        assert!(!suppressed_for(METER, &command(0x004F)));
        assert!(suppressed_for(METER, &command(0x0037)));
        let unsigned = with(&command(0x004F), "Variant>5<", "Variant>1<");
        assert_eq!(reason(&unsigned), "BODY_MISMATCH");
        assert_eq!(
            reason(&with(&request("7.1"), "Variant>1<", "Variant>5<")),
            "BODY_MISMATCH"
        );
    }
}

mod refusals {
    use super::*;

    /// Each fault of a document has its own reason.
    #[test]
    fn what_is_wrong_with_a_request_is_said() {
        let plain = request("4.8.1");
        let element = "ReadActiveImportProfileData";
        for (from, to, expected) in [
            ("<sr:RequestID>", "<sr:RequestId>", "XML_NOT_WELL_FORMED"),
            ("90-B3-D5-1F-30-01-00-00:", "", "REQUEST_ID_MALFORMED"),
            (":1000<", ":0<", "REQUEST_ID_MALFORMED"),
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
            ("Variant>1<", "Variant>9<", "COMMAND_VARIANT_MALFORMED"),
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
                "DUIS_UNEXPECTED_ELEMENT",
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
        let huge = with(&plain, "</sr:Request>", &" ".repeat(5 * 1024 * 1024));
        assert_eq!(reason(&huge), "MESSAGE_TOO_LARGE");
        let policy = Policy::builtin();
        let limit = plain.len();
        assert!(read_up_to(&policy, plain.as_bytes(), limit).is_ok());
        let refused = read_up_to(&policy, plain.as_bytes(), limit - 1);
        assert_eq!(refused, Err(ReadError::TooLarge { limit: limit - 1 }));
    }
}

/// The short way of reading and the long one agree; a comment in the body forces the long one.
mod both_ways {
    use super::*;

    fn long_way(document: &str) -> Result<Message, ReadError> {
        read_text(&with(document, "</sr:Body>", "<!-- --></sr:Body>"))
    }

    #[test]
    fn on_documents_that_hide_a_second_body() {
        let plain = request("4.8.1");
        let second = "<sr:Body><sr:ReadSupplyStatus/></sr:Body>";
        let names = format!("<o:Body xmlns:o=\"{}\"/>", xml::DUIS);
        for insert in [
            second,
            &names,
            "<sr:Body />",
            "<sr:Header/>",
            "<sr:Body\n/>",
        ] {
            for place in ["</sr:Request>", "<ds:Signature>"] {
                let document = with(&plain, place, &format!("{insert}{place}"));
                assert_eq!(reason(&document), "FIELD_DUPLICATED", "{insert}");
                assert_eq!(long_way(&document), read_text(&document));
            }
        }
        for insert in [
            "<o:Body xmlns:o=\"urn:other\"/>",
            "<!-- <sr:Body> -->",
            "<Body/>",
        ] {
            let document = with(&plain, "</sr:Request>", &format!("{insert}</sr:Request>"));
            assert_eq!(read_text(&document), read_text(&plain), "{insert}");
            assert_eq!(long_way(&document), read_text(&plain), "{insert}");
        }
    }

    proptest! {
        #[test]
        fn on_documents_with_pieces_put_in(
            piece in proptest::sample::select(vec![
                "<sr:Body>", "</sr:Body>", "<sr:Body/>", "<sr:Header/>", "<x/>", "<!-- x -->",
                "</sr:ReadActiveImportProfileData>", "<sr:ReadActiveImportProfileData>", "<?x y?>",
                "<sr:ReadActiveImportProfileData/>", "<sr:ExecutionDateTime/>", "&amp;", "&x;", "Body",
                "</sr:Request>", "<sr:Request>", "<![CDATA[</sr:Body>]]>", "<!DOCTYPE x>", "\n",
            ]),
            at in any::<proptest::sample::Index>(),
        ) {
            let plain = request("4.8.1");
            let places: Vec<usize> = plain.match_indices('<').map(|(at, _)| at).collect();
            let mut document = plain;
            document.insert_str(places[at.index(places.len())], piece);
            // What the long way takes, the short way takes too, and says the same of it.
            if let (Ok(long), true) = (long_way(&document), document.contains("</sr:Body>")) {
                prop_assert_eq!(read_text(&document), Ok(long));
            }
        }
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = read_text(&text);
    }

    #[test]
    fn no_markup_makes_the_reader_panic(text in "[<>/&;!\\[\\]?a:'\"= sr-]{0,120}") {
        let _ = read_text(&text);
        let _ = read_text(&with(&request("4.8.1"), "<sr:Body>", &format!("<sr:Body>{text}")));
    }

    #[test]
    fn no_damage_makes_the_reader_panic(
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<proptest::sample::Index>(),
    ) {
        let policy = Policy::builtin();
        let response = samples::gbcs_response(MessageCode(0x0037), METER, USER, 9);
        for document in [
            request("4.8.1"),
            samples::duis_schedule(&policy, srv("4.8.1"), USER, METER, 5).unwrap(),
            samples::duis_return_local(USER, &response, 10),
            samples::duis_response(srv("4.8.1"), USER, &response),
        ] {
            let mut octets = document.into_bytes();
            for (at, value) in &damage {
                let at = at.index(octets.len());
                octets[at] = *value;
            }
            let _ = read(&policy, &octets);
            let _ = read(&policy, &octets[..cut.index(octets.len())]);
        }
    }
}
