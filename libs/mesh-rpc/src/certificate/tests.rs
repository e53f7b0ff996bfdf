//! Which certificates carry an identity, and which are refused.

use mesh_pki::{Profile, spiffe_uri};
use mesh_testkit::certificates;
use mesh_types::Eui64;

use super::*;

fn entity_id() -> EntityId {
    EntityId::new(Eui64::from_u64(0x90B3_D51F_3000_0002))
}

fn read(profile: &Profile) -> Result<Identity, IdentityError> {
    identity_of(&certificates().issue(profile).certificate_der())
}

fn with_uris(uris: &[&str]) -> Profile {
    Profile {
        uris: uris.iter().map(|&uri| uri.to_owned()).collect(),
        ..Profile::default()
    }
}

fn organisation_with(unit: Option<&str>) -> Profile {
    Profile {
        entities: vec![entity_id()],
        organisational_unit: unit.map(str::to_owned),
        ..Profile::default()
    }
}

#[test]
fn each_profile_gives_its_identity() {
    let organisation = certificates().organisation(entity_id());
    assert_eq!(
        identity_of(&organisation.certificate_der()),
        Ok(Identity::Organisation(entity_id()))
    );
    for &role in InternalRole::ALL {
        let internal = certificates().internal(role.as_str());
        assert_eq!(
            identity_of(&internal.certificate_der()),
            Ok(Identity::Internal(role))
        );
    }
    assert_eq!(TRUST_DOMAIN, mesh_pki::TRUST_DOMAIN);
}

#[test]
fn a_certificate_carries_exactly_one_identity() {
    let operator = spiffe_uri("operator");
    assert_eq!(read(&Profile::default()), Err(IdentityError::None));
    let named = Profile {
        common_name: Some("operator".to_owned()),
        names: vec!["operator".to_owned()],
        ..Profile::default()
    };
    assert_eq!(read(&named), Err(IdentityError::None));
    let twice = with_uris(&[&operator, &operator]);
    assert_eq!(read(&twice), Err(IdentityError::Several));
    let both = Profile {
        uris: vec![operator.clone()],
        ..organisation_with(Some("02"))
    };
    assert_eq!(read(&both), Err(IdentityError::Several));
    let two_entities = Profile {
        entities: vec![entity_id(), entity_id()],
        ..organisation_with(Some("02"))
    };
    assert_eq!(read(&two_entities), Err(IdentityError::Several));
    let foreign_beside_ours = with_uris(&[&operator, "https://elsewhere.example/"]);
    assert_eq!(read(&foreign_beside_ours), Err(IdentityError::Several));
}

#[test]
fn look_alikes_of_a_spiffe_identity_are_refused() {
    for uri in [
        "spiffe://mp169.example.org/operator",
        "spiffe://mp169.exampl/operator",
        "spiffe://MP169.example/operator",
        "spiffe://user@mp169.example/operator",
        "spiffe://mp169.example:443/operator",
        "https://mp169.example/operator",
        "SPIFFE://mp169.example/operator",
        "spiffe://mp169.example",
    ] {
        assert_eq!(
            read(&with_uris(&[uri])),
            Err(IdentityError::TrustDomain),
            "{uri}"
        );
    }
    for uri in [
        "spiffe://mp169.example/",
        "spiffe://mp169.example/nobody",
        "spiffe://mp169.example/operator/",
        "spiffe://mp169.example//operator",
        "spiffe://mp169.example/operator?x=1",
        "spiffe://mp169.example/%6fperator",
    ] {
        assert_eq!(read(&with_uris(&[uri])), Err(IdentityError::Role), "{uri}");
    }
}

#[test]
fn an_organisation_needs_a_role_code_of_two_hex_digits() {
    let expected = Ok(Identity::Organisation(entity_id()));
    for unit in ["02", "7F", "7f", "87"] {
        assert_eq!(read(&organisation_with(Some(unit))), expected, "{unit}");
    }
    for unit in [
        None,
        Some(""),
        Some("2"),
        Some("002"),
        Some("0x"),
        Some("+2"),
    ] {
        let refused = read(&organisation_with(unit));
        assert_eq!(refused, Err(IdentityError::RoleCode), "{unit:?}");
    }
}

#[test]
fn what_is_no_certificate_or_an_authority_is_refused() {
    let authority = certificates().trust_pem();
    let (_, pem) = x509_parser::pem::parse_x509_pem(authority.as_bytes()).unwrap();
    assert_eq!(identity_of(&pem.contents), Err(IdentityError::Authority));
    let mut der = certificates().internal("dsp").certificate_der().to_vec();
    assert!(identity_of(&der).is_ok());
    for length in 0..der.len() {
        assert!(identity_of(&der[..length]).is_err(), "{length} octets");
    }
    der.push(0);
    assert_eq!(identity_of(&der), Err(IdentityError::Unreadable));
}
