//! Who a peer proved to be: an organisation, or one of the mesh's own roles.

use std::fmt;
use std::str::FromStr;

use mesh_types::EntityId;

/// The one identity that a peer's certificate carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Identity {
    /// An organisation with the subject profile of an SMKI Organisation certificate. What it may
    /// do comes from the followed party directory, never from the certificate.
    Organisation(EntityId),
    /// A service of the mesh or an internal DCC system, named by the path of its SPIFFE URI.
    Internal(InternalRole),
}

macro_rules! internal_roles {
    ($($(#[$doc:meta])* $role:ident = $path:literal,)*) => {
        /// A role that a certificate of the mesh's own trust domain can carry.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum InternalRole {
            $($(#[$doc])* $role,)*
        }

        impl InternalRole {
            /// Every internal role.
            pub const ALL: &[Self] = &[$(Self::$role),*];

            /// The role whose SPIFFE path (without the leading `/`) is `path`.
            #[must_use]
            pub fn from_spiffe_path(path: &str) -> Option<Self> {
                match path {
                    $($path => Some(Self::$role),)*
                    _ => None,
                }
            }

            /// The path of the role's SPIFFE URI, without the leading `/`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$role => $path,)*
                }
            }
        }
    };
}

internal_roles! {
    /// The service `registration`.
    Registration = "registration",
    /// The service `flag-registry`.
    FlagRegistry = "flag-registry",
    /// The service `classification`.
    Classification = "classification",
    /// The service `csp-notification`.
    CspNotification = "csp-notification",
    /// The service `reporting`.
    Reporting = "reporting",
    /// The Data Service Provider: asks for classifications, reports outcomes.
    Dsp = "dsp",
    /// The loader of registration data and inventory.
    RegistrationData = "registration-data",
    /// An operator of the mesh.
    Operator = "operator",
    /// A performance analyst of the DCC.
    Analyst = "analyst",
    /// An auditor.
    Auditor = "auditor",
}

impl InternalRole {
    /// Whether it is one of the mesh's own services.
    #[must_use]
    pub const fn is_service(self) -> bool {
        match self {
            Self::Registration
            | Self::FlagRegistry
            | Self::Classification
            | Self::CspNotification
            | Self::Reporting => true,
            Self::Dsp | Self::RegistrationData | Self::Operator | Self::Analyst | Self::Auditor => {
                false
            }
        }
    }
}

impl fmt::Display for InternalRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organisation(entity) => write!(f, "organisation {entity}"),
            Self::Internal(role) => role.fmt(f),
        }
    }
}

/// A text is neither an organisation's EUI-64 nor an internal role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an identity is an internal role such as operator, or an organisation's EUI-64")]
pub struct IdentityTextError;

/// Reads what `Display` writes; an organisation also by its EUI-64 alone.
impl FromStr for Identity {
    type Err = IdentityTextError;

    fn from_str(text: &str) -> Result<Self, IdentityTextError> {
        if let Some(role) = InternalRole::from_spiffe_path(text) {
            return Ok(Self::Internal(role));
        }
        let entity = text.strip_prefix("organisation ").unwrap_or(text);
        entity
            .parse()
            .map(Self::Organisation)
            .map_err(|_| IdentityTextError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_read_as_they_are_written() {
        let entity: EntityId = "90-B3-D5-1F-30-00-00-02".parse().unwrap();
        for identity in [
            Identity::Organisation(entity),
            Identity::Internal(InternalRole::Dsp),
        ] {
            assert_eq!(identity.to_string().parse(), Ok(identity));
        }
        let bare = "90-B3-D5-1F-30-00-00-02".parse();
        assert_eq!(bare, Ok(Identity::Organisation(entity)));
        for text in ["", "organisation", "organisation operator", "ALBION"] {
            assert_eq!(text.parse::<Identity>(), Err(IdentityTextError), "{text}");
        }
    }

    #[test]
    fn roles_are_read_as_they_are_written() {
        for &role in InternalRole::ALL {
            assert_eq!(InternalRole::from_spiffe_path(role.as_str()), Some(role));
        }
        for path in ["", "/operator", "Operator", "operator/", "operator/x"] {
            assert_eq!(InternalRole::from_spiffe_path(path), None, "{path}");
        }
    }
}
