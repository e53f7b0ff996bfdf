//! A recognised caller: who it is, for whom it acts, and with which roles.

use mesh_api::common::v1::Actor;
use mesh_types::{CspId, EntityId, PartyId};

use crate::{Identity, InternalRole, Role, Roles};

/// A caller whom the directory or its internal role vouches for.
///
/// Only [`Directory::resolve`](crate::Directory::resolve) makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub(crate) who: Who,
    pub(crate) roles: Roles,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    Internal(InternalRole),
    Party {
        party: PartyId,
        entity: EntityId,
        csp: Option<CspId>,
        gateway: Option<EntityId>,
    },
}

impl Caller {
    pub(crate) fn internal(role: InternalRole) -> Self {
        Self {
            who: Who::Internal(role),
            roles: Roles::from_iter([Role::from(role)]),
        }
    }

    /// The party that the call is made for; `None` for an internal role.
    #[must_use]
    pub fn party(&self) -> Option<&PartyId> {
        match &self.who {
            Who::Internal(_) => None,
            Who::Party { party, .. } => Some(party),
        }
    }

    /// The CSP that the caller is.
    #[must_use]
    pub fn csp(&self) -> Option<&CspId> {
        match &self.who {
            Who::Internal(_) => None,
            Who::Party { csp, .. } => csp.as_ref(),
        }
    }

    /// Which of the mesh's own services the caller is; `None` for everybody else.
    #[must_use]
    pub fn service(&self) -> Option<InternalRole> {
        match &self.who {
            Who::Internal(role) => Some(*role).filter(|role| role.is_service()),
            Who::Party { .. } => None,
        }
    }

    /// The caller's roles.
    #[must_use]
    pub const fn roles(&self) -> Roles {
        self.roles
    }

    /// What idempotency keys and page tokens are bound to: the party acted for, or the internal
    /// role. The two cannot be confused, because a party's id has no lower case.
    #[must_use]
    pub fn key(&self) -> &str {
        match &self.who {
            Who::Internal(role) => role.as_str(),
            Who::Party { party, .. } => party.as_str(),
        }
    }

    /// The caller as events record it.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match &self.who {
            Who::Internal(role) => Actor {
                internal_role: role.as_str().to_owned(),
                ..Actor::default()
            },
            Who::Party {
                party,
                entity,
                gateway,
                ..
            } => Actor {
                party_id: party.to_string(),
                entity_id: entity.to_string(),
                gateway_entity_id: gateway
                    .map(|gateway| gateway.to_string())
                    .unwrap_or_default(),
                ..Actor::default()
            },
        }
    }

    /// The identity that the caller's certificate carried.
    pub(crate) fn identity(&self) -> Identity {
        match &self.who {
            Who::Internal(role) => Identity::Internal(*role),
            Who::Party {
                entity, gateway, ..
            } => Identity::Organisation(gateway.unwrap_or(*entity)),
        }
    }

    /// The entity that the caller named as the one it acts for.
    pub(crate) fn on_behalf_of(&self) -> Option<EntityId> {
        match &self.who {
            Who::Party {
                entity,
                gateway: Some(_),
                ..
            } => Some(*entity),
            _ => None,
        }
    }
}
