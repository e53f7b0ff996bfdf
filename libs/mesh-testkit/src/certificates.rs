//! Where do tests get certificates that a test server trusts, and some that it does not?

use std::sync::OnceLock;
use std::time::Duration;

use mesh_pki::{Ca, Issued, Profile, Validity};
use mesh_types::{EntityId, SystemClock};

/// The Remote Party Role Code of a supplier in an SMKI Organisation certificate.
const SUPPLIER: u8 = 2;
const LENGTH: Duration = Duration::from_hours(1);

/// One authority, made once per test process, and what it issues.
#[derive(Debug)]
pub struct Certificates {
    ca: Ca,
}

/// The authority that test servers and clients trust.
pub fn certificates() -> &'static Certificates {
    static TRUSTED: OnceLock<Certificates> = OnceLock::new();
    TRUSTED.get_or_init(|| Certificates::new("Test CA"))
}

/// Another authority of the same name, which nobody trusts.
pub fn other_certificates() -> &'static Certificates {
    static OTHER: OnceLock<Certificates> = OnceLock::new();
    OTHER.get_or_init(|| Certificates::new("Test CA"))
}

impl Certificates {
    /// A new authority; its certificate and what it issues hold for an hour.
    ///
    /// # Panics
    /// If the certificate cannot be made; so do all methods here.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            ca: Ca::new(name, hour()).expect("a new authority"),
        }
    }

    /// The authority itself, to issue what is not offered here.
    #[must_use]
    pub fn ca(&self) -> &Ca {
        &self.ca
    }

    /// The authority's certificate, which peers trust, in PEM form.
    #[must_use]
    pub fn trust_pem(&self) -> &str {
        self.ca.certificate_pem()
    }

    /// A service or internal system, reachable as its role's name, `localhost` and `127.0.0.1`.
    #[must_use]
    pub fn internal(&self, role: &str) -> Issued {
        self.ca
            .issue_internal(role, &[role, "localhost", "127.0.0.1"], hour())
            .expect("an internal certificate")
    }

    /// An organisation, with the role code of a supplier.
    #[must_use]
    pub fn organisation(&self, entity: EntityId) -> Issued {
        self.ca
            .issue_organisation(entity, SUPPLIER, "Test organisation", hour())
            .expect("an organisation's certificate")
    }

    /// A certificate that says exactly what `profile` says.
    #[must_use]
    pub fn issue(&self, profile: &Profile) -> Issued {
        self.ca.issue(profile, hour()).expect("a certificate")
    }

    /// A certificate of an internal role that ended an hour ago.
    #[must_use]
    pub fn expired(&self, role: &str) -> Issued {
        let validity = Validity::over(&SystemClock);
        self.ca
            .issue_internal(role, &[role, "localhost", "127.0.0.1"], validity)
            .expect("an expired certificate")
    }

    /// A certificate of an internal role that starts to hold in an hour.
    #[must_use]
    pub fn not_yet_valid(&self, role: &str) -> Issued {
        let validity = Validity::to_come(&SystemClock);
        self.ca
            .issue_internal(role, &[role, "localhost", "127.0.0.1"], validity)
            .expect("a future certificate")
    }
}

fn hour() -> Validity {
    Validity::starting_now(&SystemClock, LENGTH)
}
