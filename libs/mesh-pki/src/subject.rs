//! How does the BIT STRING of `x500UniqueIdentifier` get into a certificate?
//!
//! The certificate builder writes only character strings into a subject. So each identifier first
//! goes in as a nine-character string, and the octets of that attribute are exchanged for a BIT
//! STRING of the same length: in the bytes that are about to be signed, and again in the finished
//! certificate, whose signature then fits.

use mesh_types::EntityId;
use rcgen::{
    CertificateParams, DnType, DnValue, PublicKeyData, SignatureAlgorithm, SigningKey,
    string::PrintableString,
};

use crate::PkiError;

/// The last arc of OID 2.5.4.45, `x500UniqueIdentifier`.
const UNIQUE_IDENTIFIER: u8 = 45;
/// DER of an attribute type below 2.5.4: OBJECT IDENTIFIER, three octets, 55 04 and the last arc.
const ATTRIBUTE_TYPE: [u8; 4] = [0x06, 0x03, 0x55, 0x04];
const PRINTABLE_STRING: u8 = 0x13;
const BIT_STRING: u8 = 0x03;
const PLACEHOLDER: &str = "000000000";
/// Nine octets of content either way: nine characters, or "no unused bits" and eight octets.
const CONTENT_LENGTH: u8 = 9;

/// The exchanges that turn the placeholders of one certificate into its identifiers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identifiers(Vec<(Vec<u8>, Vec<u8>)>);

impl Identifiers {
    /// Puts one placeholder per entity into the subject of `params`.
    ///
    /// A subject holds one value per attribute type, so every further placeholder stands under a
    /// type of its own and gets the right one in the exchange.
    pub(crate) fn prepare(
        params: &mut CertificateParams,
        entities: &[EntityId],
    ) -> Result<Self, PkiError> {
        let mut exchanges = Vec::new();
        for (arc, entity) in (UNIQUE_IDENTIFIER..).zip(entities) {
            let value = DnValue::PrintableString(PrintableString::try_from(PLACEHOLDER)?);
            let kind = DnType::CustomDnType(vec![2, 5, 4, u64::from(arc)]);
            params.distinguished_name.push(kind, value);
            let placeholder = [
                &ATTRIBUTE_TYPE[..],
                &[arc, PRINTABLE_STRING, CONTENT_LENGTH],
                PLACEHOLDER.as_bytes(),
            ];
            let identifier = [
                &ATTRIBUTE_TYPE[..],
                &[UNIQUE_IDENTIFIER, BIT_STRING, CONTENT_LENGTH, 0],
                &entity.eui64().octets(),
            ];
            exchanges.push((placeholder.concat(), identifier.concat()));
        }
        Ok(Self(exchanges))
    }

    /// `der` with every placeholder exchanged; each must be there exactly once.
    pub(crate) fn exchange(&self, der: &[u8]) -> Result<Vec<u8>, PkiError> {
        let mut der = der.to_vec();
        for (placeholder, identifier) in &self.0 {
            let mut places = der
                .windows(placeholder.len())
                .enumerate()
                .filter_map(|(at, window)| (window == placeholder).then_some(at));
            let (Some(at), None) = (places.next(), places.next()) else {
                return Err(PkiError::Subject);
            };
            der[at..at + identifier.len()].copy_from_slice(identifier);
        }
        Ok(der)
    }
}

/// The authority's key, signing what the certificate will hold after the exchange.
pub(crate) struct ExchangingKey<'a, K> {
    pub(crate) key: &'a K,
    pub(crate) identifiers: &'a Identifiers,
}

impl<K: PublicKeyData> PublicKeyData for ExchangingKey<'_, K> {
    fn der_bytes(&self) -> &[u8] {
        self.key.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.key.algorithm()
    }
}

impl<K: SigningKey> SigningKey for ExchangingKey<'_, K> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let message = self
            .identifiers
            .exchange(message)
            .map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
        self.key.sign(&message)
    }
}
