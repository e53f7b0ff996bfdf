//! Sets of roles.

use mesh_api::authorization::v1::Role;

use crate::InternalRole;

/// A set of roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Roles(u64);

impl Roles {
    /// Whether the sets share a role.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether `role` is in the set.
    #[must_use]
    pub fn contains(self, role: Role) -> bool {
        self.intersects([role].into_iter().collect())
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        let bits = roles.into_iter().filter(|&role| role != Role::Unspecified);
        Self(bits.fold(0, |set, role| set | 1 << (i32::from(role) & 63)))
    }
}

impl FromIterator<Roles> for Roles {
    fn from_iter<I: IntoIterator<Item = Roles>>(sets: I) -> Self {
        Self(sets.into_iter().fold(0, |all, set| all | set.0))
    }
}

/// Whether a party can hold the role; the others are those of internal certificates.
#[must_use]
pub const fn is_external(role: Role) -> bool {
    match role {
        Role::ImportSupplier
        | Role::ExportSupplier
        | Role::GasSupplier
        | Role::RegisteredSupplierAgent
        | Role::ElectricityDistributor
        | Role::GasTransporter
        | Role::OtherUser
        | Role::Csp
        | Role::Gateway => true,
        Role::Unspecified
        | Role::Registration
        | Role::FlagRegistry
        | Role::Classification
        | Role::CspNotification
        | Role::Reporting
        | Role::Dsp
        | Role::RegistrationData
        | Role::Operator
        | Role::Analyst
        | Role::Auditor => false,
    }
}

impl From<InternalRole> for Role {
    fn from(role: InternalRole) -> Self {
        match role {
            InternalRole::Registration => Self::Registration,
            InternalRole::FlagRegistry => Self::FlagRegistry,
            InternalRole::Classification => Self::Classification,
            InternalRole::CspNotification => Self::CspNotification,
            InternalRole::Reporting => Self::Reporting,
            InternalRole::Dsp => Self::Dsp,
            InternalRole::RegistrationData => Self::RegistrationData,
            InternalRole::Operator => Self::Operator,
            InternalRole::Analyst => Self::Analyst,
            InternalRole::Auditor => Self::Auditor,
        }
    }
}
