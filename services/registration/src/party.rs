//! What may be recorded of a party, and which changes contradict what is recorded?

use std::collections::{BTreeMap, BTreeSet};

use mesh_authz::{Role, is_external};
use mesh_types::{CspId, EntityId, Mpxn, PartyId, Text};

use crate::contradiction::Contradiction;
use crate::problem::Problem;

/// The name of an organisation.
pub type Name = Text<1, 200>;

/// Why a status was changed; may be left out.
pub type Reason = Text<0, 500>;

/// Whether a party may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// May act.
    Active,
    /// Refused everywhere until reinstated.
    Suspended,
    /// Refused for good.
    Closed,
}

/// A SEC Party, a CSP or a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// The short name.
    pub id: PartyId,
    /// The organisation's name.
    pub name: Name,
    /// Whether it may act.
    pub status: Status,
    /// The Entity Identifiers that its certificates carry, each with its roles.
    pub identities: BTreeMap<EntityId, BTreeSet<Role>>,
    /// Which CSP it is.
    pub csp: Option<CspId>,
    /// The parties that it may act on behalf of.
    pub acts_for: BTreeSet<PartyId>,
}

impl Party {
    /// Everything about the record that cannot be right by itself.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut note = |wrong, field, text| {
            if wrong {
                problems.push(Problem { field, text });
            }
        };
        note(
            self.identities.is_empty(),
            "identities",
            "a party has at least one",
        );
        note(
            self.identities.values().any(BTreeSet::is_empty),
            "identities.roles",
            "each identity has at least one role",
        );
        note(
            self.roles().any(|role| !is_external(role)),
            "identities.roles",
            "a party has external roles only",
        );
        note(
            self.has(Role::Csp) != self.csp.is_some(),
            "csp_id",
            "is set exactly if an identity has ROLE_CSP",
        );
        note(
            !self.acts_for.is_empty() && !self.has(Role::Gateway),
            "acts_for",
            "only a party with ROLE_GATEWAY acts for others",
        );
        note(
            self.acts_for.contains(&self.id),
            "acts_for",
            "a party does not act on its own behalf as a gateway",
        );
        problems
    }

    /// Whether one of the identities has `role`.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.roles().any(|held| held == role)
    }

    fn roles(&self) -> impl Iterator<Item = Role> {
        self.identities.values().flatten().copied()
    }

    /// Whether the party can be registered for `mpxn`. An MPAN does not tell import from export, so
    /// either electricity role will do.
    #[must_use]
    pub fn supplies(&self, mpxn: Mpxn) -> bool {
        match mpxn {
            Mpxn::Mpan(_) => self.has(Role::ImportSupplier) || self.has(Role::ExportSupplier),
            Mpxn::Mprn(_) => self.has(Role::GasSupplier),
        }
    }

    /// The record that results when this one, sent by a caller, meets what is recorded: the status
    /// stays, a new party is active. `holder` names the party that has an Entity Identifier.
    pub fn recorded_over<'a>(
        self,
        recorded: Option<&Self>,
        holder: impl Fn(EntityId) -> Option<&'a PartyId>,
    ) -> Result<Self, Contradiction> {
        for &entity in self.identities.keys() {
            if holder(entity).is_some_and(|other| *other != self.id) {
                return Err(Contradiction::EntityOfAnotherParty(entity));
            }
        }
        let status = recorded.map_or(Status::Active, |recorded| recorded.status);
        Ok(Self { status, ..self })
    }

    /// The record with another status. Nothing leads out of `Closed`.
    pub fn with_status(&self, status: Status) -> Result<Self, Contradiction> {
        if self.status == Status::Closed && status != Status::Closed {
            return Err(Contradiction::PartyClosed(self.id.clone()));
        }
        Ok(Self {
            status,
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(n: u64) -> EntityId {
        EntityId::new(mesh_types::Eui64::from_u64(n))
    }

    fn party(roles: &[Role]) -> Party {
        Party {
            id: "ACME".parse().unwrap(),
            name: "Acme Energy".parse().unwrap(),
            status: Status::Active,
            identities: [(entity(1), roles.iter().copied().collect())].into(),
            csp: None,
            acts_for: BTreeSet::new(),
        }
    }

    fn fields(party: &Party) -> Vec<&'static str> {
        party.problems().into_iter().map(|p| p.field).collect()
    }

    #[test]
    fn each_field_rule_is_told_by_its_field() {
        let good = party(&[Role::ImportSupplier]);
        assert_eq!(fields(&good), Vec::<&str>::new());
        assert_eq!(fields(&party(&[])), ["identities.roles"]);
        assert_eq!(fields(&party(&[Role::Operator])), ["identities.roles"]);
        assert_eq!(fields(&party(&[Role::Csp])), ["csp_id"]);
        let nobody = Party {
            identities: BTreeMap::new(),
            ..good.clone()
        };
        assert_eq!(fields(&nobody), ["identities"]);
        let csp = Party {
            csp: Some("north".parse().unwrap()),
            ..good.clone()
        };
        assert_eq!(fields(&csp), ["csp_id"]);
        let acting = Party {
            acts_for: ["OTHER".parse().unwrap()].into(),
            ..good
        };
        assert_eq!(fields(&acting), ["acts_for"]);
        let gateway = Party {
            acts_for: ["ACME".parse().unwrap()].into(),
            ..party(&[Role::Gateway])
        };
        assert_eq!(fields(&gateway), ["acts_for"]);
    }

    #[test]
    fn suppliers_are_told_apart_by_fuel() {
        let mpan: Mpxn = "1200000000002".parse().unwrap();
        let mprn: Mpxn = "3938424403".parse().unwrap();
        for (role, electricity, gas) in [
            (Role::ImportSupplier, true, false),
            (Role::ExportSupplier, true, false),
            (Role::GasSupplier, false, true),
            (Role::RegisteredSupplierAgent, false, false),
            (Role::OtherUser, false, false),
        ] {
            let party = party(&[role]);
            assert_eq!(party.supplies(mpan), electricity, "{role:?}");
            assert_eq!(party.supplies(mprn), gas, "{role:?}");
        }
    }

    #[test]
    fn closing_is_final_and_a_put_keeps_the_status() {
        let active = party(&[Role::GasSupplier]);
        let suspended = active.with_status(Status::Suspended).unwrap();
        assert_eq!(suspended.with_status(Status::Active).unwrap(), active);
        let closed = suspended.with_status(Status::Closed).unwrap();
        assert_eq!(closed.with_status(Status::Closed).unwrap(), closed);
        for status in [Status::Active, Status::Suspended] {
            assert_eq!(
                closed.with_status(status),
                Err(Contradiction::PartyClosed(closed.id.clone()))
            );
        }
        let put = active.recorded_over(Some(&suspended), |_| None);
        assert_eq!(put.unwrap().status, Status::Suspended);
        let new = suspended.recorded_over(None, |_| None);
        assert_eq!(new.unwrap().status, Status::Active);
    }

    #[test]
    fn an_entity_has_one_party() {
        let acme = party(&[Role::GasSupplier]);
        let (own, other) = (acme.id.clone(), "OTHER".parse().unwrap());
        assert!(acme.clone().recorded_over(None, |_| Some(&own)).is_ok());
        assert_eq!(
            acme.recorded_over(None, |_| Some(&other)),
            Err(Contradiction::EntityOfAnotherParty(entity(1)))
        );
    }
}
