//! Which of its certificates does the authority revoke?

use rcgen::{
    CertificateRevocationListParams, Issuer, KeyIdMethod, RevokedCertParams, SerialNumber,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{Ca, Issued, PkiError, Validity};

impl Ca {
    /// A certificate revocation list (RFC 5280) in PEM form that lists `revoked`.
    ///
    /// It was made at the start of `validity`, and the next one is promised for its end; `number`
    /// grows from one to the next.
    pub fn revocation_list(
        &self,
        revoked: &[&Issued],
        number: u64,
        validity: Validity,
    ) -> Result<String, PkiError> {
        let (this_update, next_update) = validity.bounds()?;
        let revoked_certs = revoked.iter().map(|issued| {
            Ok(RevokedCertParams {
                serial_number: serial_number(issued)?,
                revocation_time: this_update,
                reason_code: None,
                invalidity_date: None,
            })
        });
        let params = CertificateRevocationListParams {
            this_update,
            next_update,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect::<Result<_, PkiError>>()?,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let issuer = Issuer::from_ca_cert_pem(self.certificate_pem(), self.key())?;
        Ok(params.signed_by(&issuer)?.pem()?)
    }
}

fn serial_number(issued: &Issued) -> Result<SerialNumber, PkiError> {
    let der = issued.certificate_der();
    let (_, certificate) = X509Certificate::from_der(&der)
        .map_err(|_| PkiError::Certificate(rcgen::Error::CouldNotParseCertificate))?;
    Ok(SerialNumber::from_slice(certificate.raw_serial()))
}
