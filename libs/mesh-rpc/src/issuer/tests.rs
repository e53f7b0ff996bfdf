//! Is a name recognised, whoever wrote it?

use proptest::prelude::*;

use super::*;

fn name(text: &str) -> IssuerName {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// One authority, as programs write it: `openssl x509 -issuer` of two versions, with
/// `-nameopt RFC2253`, by object identifiers, and as this file does.
#[test]
fn the_same_name_in_the_words_of_many_programs() {
    let spellings = [
        r#"C = GB, O = "N\C3\A4me, \"quoted\" ", CN = A  b/c, serialNumber = 12"#,
        r#"C=GB, O="N\C3\A4me, \"quoted\" ", CN=A  b/c, serialNumber=12"#,
        r#"serialNumber=12,CN=A  b/c,O=N\C3\A4me\, \"quoted\"\ ,C=GB"#,
        r#"2.5.4.6=GB,OID.2.5.4.10=Näme\, \"quoted\",2.5.4.3=a b/c,2.5.4.5=12"#,
        r#"countryName=gb + o = NÄME\2C \"QUOTED\", cn=A b/c, SERIALNUMBER=12"#,
    ];
    let one = name(spellings[0]);
    for spelling in spellings {
        assert_eq!(name(spelling), one, "{spelling}");
        assert_eq!(name(&name(spelling).to_string()), one, "{spelling}");
    }
    assert_eq!(
        one.to_string(),
        r#"C=GB, O=Näme\, \"quoted\"\ , CN=A  b/c, serialNumber=12"#
    );
}

#[test]
fn another_name_is_another() {
    let one = name("O=Power, CN=Issuer");
    for other in [
        "O=Power",
        "O=Power, CN=Issuer, CN=Issuer",
        "O=Issuer, CN=Power",
        "OU=Power, CN=Issuer",
        "O=Power, CN=Issu er",
        "O=Power\\, CN=Issuer",
    ] {
        assert_ne!(name(other), one, "{other}");
    }
}

#[test]
fn what_is_no_name_is_refused() {
    for text in [
        "",
        "CN",
        "Issuer",
        "CN=Issuer,",
        "CN=Issuer, ",
        "CN=\"Issuer",
        "CN=\"Issuer\" x",
        "CN=Issuer\\",
        "CN=\\FF",
    ] {
        assert_eq!(
            text.parse::<IssuerName>().unwrap_err(),
            IssuerNameError::Form,
            "{text}"
        );
    }
    for text in ["XY=1", "=1", "CN=a, 2.=b", "2=b"] {
        let error = text.parse::<IssuerName>().unwrap_err();
        assert!(matches!(error, IssuerNameError::Type(_)), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(values in proptest::collection::vec(any::<String>(), 1..4)) {
        let attributes = values.iter().map(|value| Attribute {
            kind: "2.5.4.3".to_owned(),
            value: value.clone(),
            is_der: false,
        });
        let one = IssuerName::new(attributes.collect());
        prop_assert_eq!(&name(&one.to_string()), &one);
    }

    #[test]
    fn no_text_breaks_the_reader(text in any::<String>()) {
        let _ = text.parse::<IssuerName>();
        let _ = format!("CN={text}").parse::<IssuerName>();
    }
}
