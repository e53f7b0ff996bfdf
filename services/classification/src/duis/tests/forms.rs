//! Everything that the format allows is read, and means the same in every form.

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
    let schedule = |nested| samples::duis_schedule(&policy, srv(nested), USER, METER, 5).unwrap();
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
    let nobody = with(
        &firmware(&[METER]),
        &list,
        "<sr:DeviceIDList> , </sr:DeviceIDList>",
    );
    assert_eq!(read_text(&nobody).unwrap().devices, Devices::None);
    for (form, text) in [
        (
            "by commas",
            format!("<sr:DeviceIDList>{METER},{GAS}</sr:DeviceIDList>"),
        ),
        (
            "by white space",
            format!("<sr:DeviceIDList>{METER} \n {GAS}</sr:DeviceIDList>"),
        ),
        (
            "by commas in lines",
            format!("<sr:DeviceIDList>\n  {METER} ,\r\n\t{GAS}\n</sr:DeviceIDList>"),
        ),
        (
            "with stray commas",
            format!("<sr:DeviceIDList>,{METER},, ,{GAS},</sr:DeviceIDList>"),
        ),
        (
            "in pieces",
            format!("<sr:DeviceIDList>{METER}&#44;<!-- , --><![CDATA[{GAS}]]></sr:DeviceIDList>"),
        ),
        (
            "in two lists",
            format!(
                "<sr:DeviceIDList>{METER},{METER}</sr:DeviceIDList><sr:DeviceIDList>{GAS},{METER}</sr:DeviceIDList>"
            ),
        ),
        (
            "in elements of the list",
            format!(
                "<sr:DeviceIDList><sr:DeviceID>{METER}</sr:DeviceID><sr:DeviceID>{GAS}</sr:DeviceID></sr:DeviceIDList>"
            ),
        ),
        (
            "in an element of another name",
            format!("<sr:DeviceID>{METER}</sr:DeviceID><sr:OtherDeviceID>{GAS}</sr:OtherDeviceID>"),
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

/// Where a Device can stand in each of them; 5.1 and 8.13 have tests of their own.
#[test]
fn every_request_to_the_dcc_is_read_with_the_devices_that_it_names() {
    let policy = Policy::builtin();
    let device = format!("<sr:DeviceID>{METER}</sr:DeviceID>");
    let two = format!("{device}<sr:A>1</sr:A><sr:OtherDeviceID>{GAS}</sr:OtherDeviceID>");
    let list = format!(
        "<sr:FirmwareImage>AAAA</sr:FirmwareImage><sr:DeviceIDList>{METER},{GAS}</sr:DeviceIDList>"
    );
    let mpxn = "<sr:MPxN>1312345678111</sr:MPxN>";
    let schedule = "<sr:DSPScheduleID>123</sr:DSPScheduleID>";
    let address = "<sr:PartialAddress><sr:PostCode>M22 0RR</sr:PostCode></sr:PartialAddress>";
    let table: [(&str, &str, &[DeviceId]); 16] = [
        ("5.2", schedule, &[]),
        ("5.3", schedule, &[]),
        ("8.2", &device, &[METER]),
        ("8.2", mpxn, &[]),
        ("8.2", "<sr:UPRN>123456789012</sr:UPRN>", &[]),
        ("8.3", &device, &[METER]),
        ("8.4", &format!("{device}<sr:DeleteDevice/>"), &[METER]),
        (
            "8.6",
            &format!("{device}<sr:MPxNs>{mpxn}</sr:MPxNs>"),
            &[METER],
        ),
        ("8.14.1", &format!("{device}{mpxn}"), &[METER]),
        ("8.14.2", &format!("{device}{mpxn}"), &[METER]),
        ("8.14.3", &two, &[METER, GAS]),
        ("8.14.4", &device, &[METER]),
        ("11.1", &list, &[METER, GAS]),
        ("11.4", &list, &[METER, GAS]),
        ("12.1", address, &[]),
        ("12.2", &device, &[METER]),
    ];
    for (variant, content, devices) in table {
        let empty = samples::duis_device_list(&policy, srv(variant), USER, &[], 3).unwrap();
        let document = with(&empty, "<sr:DeviceIDList></sr:DeviceIDList>", content);
        let message = read_text(&document).unwrap();
        assert_eq!(message.devices.as_slice(), devices, "{variant}");
        assert!(!suppressed_for(METER, &document), "{variant}");
    }
    let to_dcc = policy
        .service_requests()
        .iter()
        .filter(|row| row.non_device);
    for row in to_dcc.filter(|row| !["5.1", "8.13"].contains(&row.srv.to_string().as_str())) {
        let named = table.iter().any(|(variant, ..)| srv(variant) == row.srv);
        assert!(named, "{} has no test", row.srv);
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
        let subject = read_text(&receipt).unwrap().subject;
        assert_eq!(
            subject,
            Subject::Receipt {
                srv: Some(srv("4.8.1"))
            }
        );
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
