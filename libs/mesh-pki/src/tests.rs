//! What the authority issues, read back by another implementation of X.509.

use std::time::Duration;

use mesh_types::{EntityId, Eui64, ManualClock, Timestamp};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::*;

/// 2026-11-23T00:00:00Z.
const NOW: Timestamp = Timestamp::from_micros(1_795_392_000_000_000);

fn day() -> Validity {
    Validity::starting_now(&ManualClock::new(NOW), Duration::from_hours(24))
}

fn ca() -> Ca {
    Ca::new("Test CA", day()).unwrap()
}

#[test]
fn an_authority_is_found_by_its_key_among_those_that_are_trusted() {
    let (own, other) = (ca(), ca());
    let folder = tempfile::tempdir().unwrap();
    own.write_to(folder.path()).unwrap();
    let trusted = folder.path().join(CA_CERTIFICATE_FILE);
    let both = format!("{}{}", other.certificate_pem(), own.certificate_pem());
    std::fs::write(&trusted, both).unwrap();
    let found = Ca::load(folder.path()).unwrap();
    assert_eq!(found.certificate_pem(), own.certificate_pem());
    std::fs::write(&trusted, other.certificate_pem()).unwrap();
    let refused = Ca::load(folder.path()).unwrap_err();
    assert!(matches!(refused, PkiError::NotItsKey), "{refused:?}");
}

fn entity(octets: u64) -> EntityId {
    EntityId::new(Eui64::from_u64(octets))
}

/// Reads the leaf after checking the authority's signature over it.
fn verified<T>(ca: &Ca, issued: &Issued, read: impl FnOnce(&X509Certificate<'_>) -> T) -> T {
    let (_, pem) = x509_parser::pem::parse_x509_pem(ca.certificate_pem().as_bytes()).unwrap();
    let authority = pem.parse_x509().unwrap();
    let der = issued.certificate_der();
    let (_, leaf) = X509Certificate::from_der(&der).unwrap();
    leaf.verify_signature(Some(authority.public_key())).unwrap();
    assert_eq!(leaf.issuer(), authority.subject());
    read(&leaf)
}

fn unique_identifiers(leaf: &X509Certificate<'_>) -> Vec<(u32, Vec<u8>)> {
    let oid = x509_parser::der_parser::oid!(2.5.4.45);
    leaf.subject()
        .iter_by_oid(&oid)
        .map(|attribute| {
            let value = attribute.attr_value();
            (value.tag().0, value.data.to_vec())
        })
        .collect()
}

#[test]
fn an_organisation_certificate_has_the_smki_subject() {
    let ca = ca();
    let issued = ca
        .issue_organisation(entity(0x90B3_D51F_3000_0002), 2, "Supplier A", day())
        .unwrap();
    verified(&ca, &issued, |leaf| {
        let subject = leaf.subject();
        let text = |mut values: Vec<&x509_parser::x509::AttributeTypeAndValue<'_>>| {
            assert_eq!(values.len(), 1);
            values.remove(0).as_str().unwrap().to_owned()
        };
        assert_eq!(text(subject.iter_common_name().collect()), "Supplier A");
        assert_eq!(text(subject.iter_organizational_unit().collect()), "02");
        let bit_string = 3;
        let content = vec![0, 0x90, 0xB3, 0xD5, 0x1F, 0x30, 0x00, 0x00, 0x02];
        assert_eq!(unique_identifiers(leaf), [(bit_string, content)]);
        assert!(!leaf.is_ca());
        assert!(leaf.subject_alternative_name().unwrap().is_none());
    });
}

#[test]
fn an_internal_certificate_has_one_uri_and_the_names_of_its_server() {
    let ca = ca();
    let issued = ca
        .issue_internal("reporting", &["reporting", "127.0.0.1"], day())
        .unwrap();
    verified(&ca, &issued, |leaf| {
        let names = leaf.subject_alternative_name().unwrap().unwrap();
        assert_eq!(
            names.value.general_names,
            [
                GeneralName::URI("spiffe://mp169.example/reporting"),
                GeneralName::DNSName("reporting"),
                GeneralName::IPAddress(&[127, 0, 0, 1]),
            ]
        );
        assert_eq!(unique_identifiers(leaf), []);
        assert_eq!(
            leaf.validity().not_after.timestamp(),
            1_795_392_000 + 86_400
        );
        assert_eq!(leaf.validity().not_before.timestamp(), 1_795_392_000 - 300);
    });
}

#[test]
fn a_profile_for_tests_can_carry_what_no_peer_should() {
    let ca = ca();
    let profile = Profile {
        entities: vec![entity(1), entity(2)],
        uris: vec![spiffe_uri("dsp"), spiffe_uri("operator")],
        ..Profile::default()
    };
    let issued = ca.issue(&profile, day()).unwrap();
    verified(&ca, &issued, |leaf| {
        let last: Vec<_> = unique_identifiers(leaf)
            .iter()
            .map(|(tag, content)| (*tag, content[8]))
            .collect();
        assert_eq!(last, [(3, 1), (3, 2)]);
        let names = leaf.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 2);
    });
}

#[test]
fn a_name_that_looks_like_the_placeholder_does_not_confuse_the_subject() {
    let ca = ca();
    let issued = ca.issue_organisation(entity(7), 2, "000000000", day());
    verified(&ca, &issued.unwrap(), |leaf| {
        assert_eq!(unique_identifiers(leaf)[0].1[8], 7);
        let name = leaf.subject().iter_common_name().next().unwrap();
        assert_eq!(name.as_str().unwrap(), "000000000");
    });
}

#[test]
fn serial_numbers_differ_and_are_positive() {
    let ca = ca();
    let serial = || {
        let issued = ca.issue_internal("dsp", &[], day()).unwrap();
        verified(&ca, &issued, |leaf| leaf.raw_serial().to_vec())
    };
    let (one, other) = (serial(), serial());
    assert_ne!(one, other);
    assert!(one[0] < 0x80 && other[0] < 0x80);
}

#[test]
fn a_saved_authority_goes_on_issuing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("pki");
    let ca = ca();
    ca.write_to(&folder).unwrap();
    let again = Ca::load(&folder).unwrap();
    let issued = again.issue_internal("dsp", &["localhost"], day()).unwrap();
    verified(&ca, &issued, |_| ());
    let paths = issued.write_to(&folder, "dsp").unwrap();
    assert_eq!(paths, IssuedPaths::of(&folder, "dsp"));
    let written = std::fs::read_to_string(&paths.certificate).unwrap();
    assert_eq!(written, issued.certificate_pem());
    assert_eq!(
        std::fs::read_dir(&folder).unwrap().count(),
        4,
        "no leftovers"
    );
}

#[cfg(unix)]
#[test]
fn keys_are_readable_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    ca().write_to(folder.path()).unwrap();
    let mode = |name| {
        let path = folder.path().join(name);
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode(CA_KEY_FILE), 0o600);
    assert_eq!(mode(CA_CERTIFICATE_FILE), 0o644);
}

#[test]
fn what_is_missing_or_malformed_is_an_error_with_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Ca::load(&folder.path().join("nowhere")).unwrap_err();
    assert!(missing.to_string().contains("ca.crt.pem"), "{missing}");
    let name = ca().issue_internal("dsp", &["exämple"], day()).unwrap_err();
    assert!(matches!(name, PkiError::Name(_)), "{name}");
}
