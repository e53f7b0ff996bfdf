//! What does a list deny, and which texts are none?

use mesh_authz::InternalRole;

use super::*;

const LIST: &str = r#"
# What was stolen.
[[certificate]]
serial = "0a:bc"
issuer = "C = GB, CN = Issuer"
reason = "laptop stolen"
time = 2026-11-28T10:00:00Z

[[certificate]]
serial = "0ABD"
issuer = "CN=Issuer,C=GB"

[[identity]]
identity = "operator"

[[identity]]
identity = "organisation 90-B3-D5-1F-30-00-00-02"
reason = "left the market"
"#;

fn id(serial: &str, issuer: &str) -> CertificateId {
    CertificateId {
        serial: serial.parse().unwrap(),
        issuer: issuer.parse().unwrap(),
    }
}

#[test]
fn a_certificate_is_denied_by_serial_and_issuer_and_an_identity_with_all_of_its_certificates() {
    let list = DenyList::parse(LIST).unwrap();
    let operator = Some(Identity::Internal(InternalRole::Operator));
    let dsp = Some(Identity::Internal(InternalRole::Dsp));
    let supplier: Option<Identity> = "90-B3-D5-1F-30-00-00-02".parse().ok();
    let other: Option<Identity> = "90-B3-D5-1F-30-00-00-03".parse().ok();
    for (serial, issuer, identity, denied) in [
        ("ABC", "CN=issuer, C=gb", None, true),
        ("ABC", "CN=issuer, C=gb", dsp, true),
        ("ABD", "C=GB, CN=Issuer", other, true),
        ("ABE", "C=GB, CN=Issuer", dsp, false),
        ("ABC", "C=GB, CN=Another", dsp, false),
        ("1", "CN=Another", operator, true),
        ("1", "CN=Another", supplier, true),
        ("1", "CN=Another", other, false),
        ("1", "CN=Another", None, false),
    ] {
        let judged = list.judge(&id(serial, issuer), identity);
        assert_eq!(judged.is_some(), denied, "{serial} {issuer} {identity:?}");
    }
    let entries = list.entries();
    assert_eq!(entries.len(), 4);
    assert_eq!(entries[0].time.as_deref(), Some("2026-11-28T10:00:00Z"));
    let reason = entries[3].reason.as_ref();
    assert_eq!(reason.map(Text::as_str), Some("left the market"));
}

#[test]
fn nothing_is_denied_by_nothing() {
    for text in ["", "# nobody\n"] {
        let list = DenyList::parse(text).unwrap();
        assert!(list.entries().is_empty());
        assert_eq!(list.judge(&id("1", "CN=Issuer"), None), None);
    }
}

#[test]
fn whatever_is_not_understood_is_refused_with_its_line() {
    let certificate = "[[certificate]]\nserial = \"1\"\nissuer = \"CN=I\"\n";
    for (text, line, problem) in [
        ("[[certificates]]\nserial = \"1\"", 1, "unknown field"),
        ("[[certificate]]\nserial = \"1\"", 1, "issuer"),
        ("[[certificate]]\nissuer = \"CN=I\"", 1, "serial"),
        (
            "\n[[certificate]]\nserial = \"one\"\nissuer = \"CN=I\"",
            3,
            "hexadecimal",
        ),
        (
            "[[certificate]]\nserial = 17\nissuer = \"CN=I\"",
            2,
            "string",
        ),
        (
            "[[certificate]]\nserial = \"1\"\nissuer = \"I\"",
            3,
            "CN=Name",
        ),
        (
            "[[certificate]]\nserial = \"1\"\nissuer = \"XY=I\"",
            3,
            "XY",
        ),
        (
            "[certificate]\nserial = \"1\"\nissuer = \"CN=I\"",
            1,
            "sequence",
        ),
        (
            &format!("{certificate}until = 2026-11-28"),
            4,
            "unknown field",
        ),
        (
            &format!("{certificate}time = 2026-11-28"),
            4,
            "2026-11-28T10:00:00Z",
        ),
        (&format!("{certificate}reason = \"a\\u202E\""), 4, "U+202E"),
        ("[[identity]]\nidentity = \"ALBION\"", 2, "EUI-64"),
        ("[[identity]]\nidentity = \"king\"", 2, "role"),
        ("[[identity]]\nparty = \"ALBION\"", 2, "unknown field"),
        ("[[identity]]", 1, "identity"),
        (&format!("{certificate}[[ident"), 4, ""),
    ] {
        let error = DenyList::parse(text).unwrap_err();
        assert_eq!(error.line, line, "{text}\n{error}");
        assert!(error.problem.contains(problem), "{text}\n{error}");
    }
}
