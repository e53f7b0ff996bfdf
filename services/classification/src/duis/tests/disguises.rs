//! Ways to pass off a read of a flagged Device as something else. None is delivered: it is suppressed, or
//! there is no decision. The golden file says which, and why.

use std::fmt::Write as _;

use super::*;

const OTHER: DeviceId = GAS;
const READ: &str = "ReadActiveImportProfileData";
const READ_ELEMENT: &str = "<sr:ReadActiveImportProfileData></sr:ReadActiveImportProfileData>";

type Disguise = (&'static str, String);

/// The header says one thing and the body another.
fn headers() -> Vec<Disguise> {
    let read = request("4.8.1");
    let claims = |reference: &str, variant: &str| {
        let claimed = with(&read, ">4.8<", &format!(">{reference}<"));
        with(&claimed, ">4.8.1<", &format!(">{variant}<"))
    };
    let to_dcc = |document: &str| with(document, "Variant>1<", "Variant>8<");
    let body = |document: &str, element: &str| document.replace(READ, element);
    let for_other = format!("ReadEverything><sr:DeviceID>{OTHER}</sr:DeviceID></sr:ReadEverything");
    let for_other = with(
        &claims("4.8", "4.8.9"),
        &READ_ELEMENT[1..READ_ELEMENT.len() - 1],
        &format!("sr:{for_other}"),
    );
    vec![
        ("a header of firmware", to_dcc(&claims("11.1", "11.1"))),
        ("a header of a top-up", claims("2.2", "2.2")),
        ("a header of an export read", claims("4.8", "4.8.3")),
        ("a header of balances", claims("4.3", "4.3")),
        ("a header that nobody knows", claims("9.7", "9.7")),
        (
            "a header that nobody knows, a read as schedules write it",
            body(&claims("9.7", "9.7"), &format!("DSP{READ}")),
        ),
        ("an unknown variant of the read", claims("4.8", "4.8.9")),
        (
            "an unknown variant and an unknown body",
            body(&claims("4.8", "4.8.9"), "ReadEverything"),
        ),
        ("an unknown body", body(&read, "ReadEverything")),
        (
            "an unknown body under a header of balances",
            body(&claims("4.3", "4.3"), "ReadEverything"),
        ),
        (
            "an unknown body under a header of firmware",
            body(&to_dcc(&claims("11.1", "11.1")), "ReadEverything"),
        ),
        (
            "an unknown body under a header of a top-up",
            body(&claims("2.2", "2.2"), "ReadEverything"),
        ),
        ("the Service Reference of another", claims("2.2", "4.8.1")),
        ("the variant of another", claims("4.8", "2.2")),
        ("a request to the DCC", to_dcc(&read)),
        (
            "an unknown read to the DCC, of another Device in the body",
            to_dcc(&for_other),
        ),
        ("Command Variant 9", with(&read, "Variant>1<", "Variant>9<")),
        (
            "Command Variant 01",
            with(&read, "Variant>1<", "Variant>01<"),
        ),
        (
            "Command Variant 08",
            with(&read, "Variant>1<", "Variant>08<"),
        ),
        ("Command Variant 5", with(&read, "Variant>1<", "Variant>5<")),
        ("counter 0", with(&read, ":1000<", ":0<")),
        ("a Device in lower case", read.replace("00-DB", "00-db")),
        (
            "a variant in pieces",
            with(&read, ">4.8.1<", ">4.<!-- 3 --><![CDATA[8]]>&#46;1<"),
        ),
        ("a version to come", with(&read, "\"5.4\"", "\"99\"")),
        (
            "a time to come",
            with(
                &read,
                "</sr:Read",
                "<sr:ExecutionDateTime>2030-01-01T00:00:00Z</sr:ExecutionDateTime></sr:Read",
            ),
        ),
    ]
}

/// The document says two things, or says it where nobody looks.
fn documents() -> Vec<Disguise> {
    let read = request("4.8.1");
    let top_up = request("2.2");
    let firmware = samples::duis_firmware(USER, b"an image", "", &[OTHER], 7);
    let twice = |name: &str, second: &str| {
        let close = format!("</sr:{name}>");
        let both = format!("{close}<sr:{name}>{second}{close}");
        with(&top_up, &close, &both)
    };
    let second_read = "<sr:Body><sr:ReadActiveImportProfileData/></sr:Body>";
    vec![
        ("two variants", twice("ServiceReferenceVariant", "4.8.1")),
        ("two Service References", twice("ServiceReference", "4.8")),
        ("two Command Variants", twice("CommandVariant", "1")),
        ("two headers", twice("Header", "")),
        (
            "a body after that of a top-up",
            with(&top_up, "</sr:Body>", &format!("</sr:Body>{second_read}")),
        ),
        (
            "a body behind the signature",
            with(
                &top_up,
                "</sr:Request>",
                &format!("{second_read}</sr:Request>"),
            ),
        ),
        (
            "an element beside a top-up",
            with(&top_up, "</sr:Body>", &format!("{READ_ELEMENT}</sr:Body>")),
        ),
        (
            "an element before a top-up",
            with(&top_up, "<sr:Body>", &format!("<sr:Body>{READ_ELEMENT}")),
        ),
        (
            "an element beside firmware",
            with(
                &firmware,
                "</sr:Body>",
                &format!("{READ_ELEMENT}</sr:Body>"),
            ),
        ),
        (
            "an element in an image",
            with(
                &firmware,
                "</sr:FirmwareImage>",
                &format!("{READ_ELEMENT}</sr:FirmwareImage>"),
            ),
        ),
        (
            "an image that closes the request",
            with(
                &firmware,
                "</sr:FirmwareImage>",
                "</sr:FirmwareImage></sr:UpdateFirmware></sr:Body></sr:Request>",
            ),
        ),
        ("a document after another", format!("{top_up}{read}")),
        (
            "a document in another",
            with(
                &top_up,
                "</sr:Body>",
                &format!("{}</sr:Body>", read.split_once('\n').unwrap().1),
            ),
        ),
        (
            "a read of a foreign namespace",
            read.replace(READ_ELEMENT, "<ds:ReadActiveImportProfileData/>"),
        ),
        (
            "a prefix that is bound anew",
            with(&read, "<sr:Body>", "<sr:Body xmlns:sr='urn:other'>"),
        ),
        (
            "a prefix that is bound twice",
            with(
                &read,
                "<sr:Body>",
                &format!("<sr:Body xmlns:sr='urn:other' xmlns:sr='{}'>", xml::DUIS),
            ),
        ),
        (
            "a namespace in references",
            read.replace("ServiceUserGateway\"", "&#83;erviceUserGateway\""),
        ),
        (
            "a body in a comment",
            with(&read, READ_ELEMENT, &format!("<!--{READ_ELEMENT}-->")),
        ),
        (
            "a body in CDATA",
            with(&read, READ_ELEMENT, &format!("<![CDATA[{READ_ELEMENT}]]>")),
        ),
        (
            "a body from an entity",
            with(
                &read,
                "<sr:Request",
                "<!DOCTYPE r [<!ENTITY b \"x\">]>\n<sr:Request",
            ),
        ),
        (
            "an unknown root",
            read.replace("sr:Request ", "sr:BulkRequest ")
                .replace("</sr:Request>", "</sr:BulkRequest>"),
        ),
        (
            "the root of a response",
            read.replace("sr:Request ", "sr:Response ")
                .replace("</sr:Request>", "</sr:Response>"),
        ),
        (
            "a response with the body of a read",
            with(
                &samples::duis_receipt(srv("4.8.1"), USER, METER, 4, "I0"),
                "<sr:ResponseMessage>",
                &format!("{READ_ELEMENT}<sr:ResponseMessage>"),
            ),
        ),
        (
            "a response with a request in its body",
            with(
                &samples::duis_receipt(srv("4.8.1"), USER, METER, 4, "I0"),
                "<sr:ResponseMessage>",
                &format!("{}<sr:ResponseMessage>", read.split_once('\n').unwrap().1),
            ),
        ),
        (
            "a response with the header of a request",
            with(
                &samples::duis_receipt(srv("4.8.1"), USER, METER, 4, "I0"),
                "</sr:Header>",
                "<sr:CommandVariant>1</sr:CommandVariant></sr:Header>",
            ),
        ),
        (
            "white space up to the largest firmware",
            with(
                &read,
                "</sr:Body>",
                &format!("{}</sr:Body>", " ".repeat(12 << 20)),
            ),
        ),
        (
            "white space beyond",
            with(
                &read,
                "</sr:Body>",
                &format!("{}</sr:Body>", " ".repeat(17 << 20)),
            ),
        ),
        (
            "more tags than anybody counts",
            with(
                &read,
                "</sr:Read",
                &format!("{}</sr:Read", "<a/>".repeat(1 << 20)),
            ),
        ),
        ("no end", read.replace("</sr:Request>", "")),
        ("another encoding", with(&read, "\"UTF-8\"", "\"UTF-7\"")),
    ]
}

/// The read stands inside a request that is always delivered.
fn nested() -> Vec<Disguise> {
    let policy = Policy::builtin();
    let schedule = samples::duis_schedule(&policy, srv("4.8.1"), USER, METER, 5).unwrap();
    let device = format!("<sr:DeviceID>{METER}</sr:DeviceID>");
    let devices = |text: &str| with(&schedule, &device, text);
    let response = samples::gbcs_response(MessageCode(0x0037), METER, USER, 9);
    let handed_in = samples::duis_return_local(USER, &response, 10);
    let command = |to| samples::gbcs_command(MessageCode(0x0037), USER, to, 2);
    let signed = |to| samples::duis_signed_precommand(srv("7.1"), USER, &command(to));
    let payload = "<sr:DeviceGBCSResponse>";
    vec![
        ("a schedule", schedule.clone()),
        (
            "a schedule that claims to read exports",
            with(&schedule, "Variant>4.8.1<", "Variant>4.8.3<"),
        ),
        (
            "a schedule that claims an unknown variant",
            with(&schedule, "Variant>4.8.1<", "Variant>4.8.9<"),
        ),
        (
            "a schedule of what nobody knows that claims to read exports",
            with(&schedule, "Variant>4.8.1<", "Variant>4.8.3<").replace(READ, "ReadEverything"),
        ),
        (
            "a schedule of a read by its own name that claims to read exports",
            with(&schedule, "Variant>4.8.1<", "Variant>4.8.3<").replace("sr:DSPRead", "sr:Read"),
        ),
        (
            "a schedule of exports and of what nobody knows",
            with(&schedule, "Variant>4.8.1<", "Variant>4.8.3<")
                .replace(READ, "ReadExportProfileData")
                .replace(
                    "</sr:CreateSchedule>",
                    "<sr:DSPReadMore/></sr:CreateSchedule>",
                ),
        ),
        (
            "a schedule of two Devices",
            devices(&format!("<sr:DeviceID>{OTHER}</sr:DeviceID>{device}")),
        ),
        (
            "a schedule of two Devices in one element",
            devices(&format!("<sr:DeviceID>{OTHER},{METER}</sr:DeviceID>")),
        ),
        (
            "a schedule of a list",
            devices(&format!(
                "<sr:DeviceIDList>{OTHER},{METER}</sr:DeviceIDList>"
            )),
        ),
        (
            "a schedule of a Device by another name",
            devices(&format!(
                "<sr:DeviceID>{OTHER}</sr:DeviceID><sr:NewDeviceID>{METER}</sr:NewDeviceID>"
            )),
        ),
        ("a schedule of no Device", devices("")),
        ("a response that is handed in", handed_in.clone()),
        (
            "a response beside an empty one",
            with(
                &handed_in,
                payload,
                &format!("{payload}</sr:DeviceGBCSResponse>{payload}"),
            ),
        ),
        ("a signed Pre-Command", signed(METER)),
        (
            "a signed Pre-Command that is addressed to another Device",
            signed(METER).replacen(&METER.to_string(), &OTHER.to_string(), 1),
        ),
        (
            "a signed Pre-Command to another Device under this one's name",
            signed(OTHER).replacen(&OTHER.to_string(), &METER.to_string(), 1),
        ),
    ]
}

#[test]
fn none_is_delivered() {
    let policy = Policy::builtin();
    let flag = Flag {
        device_type: DeviceType::Esme,
    };
    let mut table = String::new();
    let mut delivered = Vec::new();
    for (disguise, document) in [headers(), documents(), nested()].concat() {
        let outcome = match read_text(&document) {
            Err(error) => format!("no decision, {}", error.reason()),
            Ok(message) => {
                let decision = policy.decide(&message, |id| (id == METER).then_some(flag));
                if decision.verdict == Verdict::Deliver {
                    delivered.push(disguise);
                }
                format!("{:?}, {}", decision.verdict, decision.row)
            }
        };
        writeln!(table, "{disguise}: {outcome}").unwrap();
    }
    assert_eq!(delivered, [""; 0]);
    mesh_testkit::assert_golden("golden/disguises.txt", &table);
}
