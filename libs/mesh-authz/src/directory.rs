//! The party directory in memory: who an organisation's certificate stands for, and whether it may
//! act.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use mesh_api::registration::v1 as wire;
use mesh_types::{CspId, EntityId, PartyId};
use tokio::sync::watch;

use crate::caller::Who;
use crate::roles::is_external;
use crate::{Caller, Identity, Refusal, Role, Roles};

/// The directory that a chain asks. It is filled from the followed log `parties`.
#[derive(Debug, Clone)]
pub struct Directory {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    parties: ArcSwapOption<Parties>,
    version: watch::Sender<u64>,
}

#[derive(Debug, Clone, Default)]
struct Parties {
    by_id: HashMap<PartyId, Arc<Party>>,
    by_entity: HashMap<EntityId, Arc<Party>>,
}

#[derive(Debug)]
struct Party {
    id: PartyId,
    active: bool,
    identities: Vec<(EntityId, Roles)>,
    csp: Option<CspId>,
    acts_for: Vec<PartyId>,
}

/// A party in the log that is not well formed: a defect of the log's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the party record is not well formed")]
pub struct MalformedParty;

impl Directory {
    /// A directory that has not been loaded: organisations are answered `UNAVAILABLE`.
    #[must_use]
    pub fn not_loaded() -> Self {
        let version = watch::Sender::new(0);
        Self {
            inner: Arc::new(Inner {
                parties: ArcSwapOption::empty(),
                version,
            }),
        }
    }

    /// Whether it has been loaded.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.inner.parties.load().is_some()
    }

    /// Replaces everything.
    pub fn load<'a>(
        &self,
        parties: impl IntoIterator<Item = &'a wire::Party>,
    ) -> Result<(), MalformedParty> {
        let mut fresh = Parties::default();
        for party in parties {
            fresh.put(read(party)?);
        }
        self.publish(fresh);
        Ok(())
    }

    /// Takes changed parties over. One reader task per process calls this, so that no change is
    /// lost between two.
    pub fn apply<'a>(
        &self,
        parties: impl IntoIterator<Item = &'a wire::Party>,
    ) -> Result<(), MalformedParty> {
        let current = self.inner.parties.load_full();
        let mut fresh = current
            .map(|parties| Parties::clone(&parties))
            .unwrap_or_default();
        for party in parties {
            fresh.put(read(party)?);
        }
        self.publish(fresh);
        Ok(())
    }

    fn publish(&self, parties: Parties) {
        self.inner.parties.store(Some(Arc::new(parties)));
        self.inner.version.send_modify(|version| *version += 1);
    }

    /// Whether there is such a party, active or not. Nobody is known before the directory was loaded.
    #[must_use]
    pub fn knows(&self, party: &PartyId) -> bool {
        let parties = self.inner.parties.load();
        parties
            .as_ref()
            .is_some_and(|parties| parties.by_id.contains_key(party))
    }

    /// Wakes whenever the directory changes, so that open streams check their right again.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.version.subscribe()
    }

    /// Recognises a caller: its identity, and the entity that it says it acts for.
    pub fn resolve(
        &self,
        identity: Identity,
        on_behalf_of: Option<EntityId>,
    ) -> Result<Caller, Refusal> {
        let entity = match (identity, on_behalf_of) {
            (Identity::Internal(role), None) => return Ok(Caller::internal(role)),
            (Identity::Internal(_), Some(_)) => return Err(Refusal::NotItsGateway),
            (Identity::Organisation(entity), _) => entity,
        };
        let parties = self.inner.parties.load();
        let parties = parties.as_ref().ok_or(Refusal::DirectoryNotLoaded)?;
        let (party, roles) = parties.find(entity).ok_or(Refusal::PartyUnknown)?;
        if !party.active {
            return Err(Refusal::PartyNotActive);
        }
        let Some(other) = on_behalf_of else {
            return Ok(party.as_caller(entity, roles, None));
        };
        let represented = parties.find(other);
        let (represented, other_roles) = represented
            .filter(|(represented, _)| {
                roles.contains(Role::Gateway) && party.acts_for.contains(&represented.id)
            })
            .ok_or(Refusal::NotItsGateway)?;
        if !represented.active {
            return Err(Refusal::PartyNotActive);
        }
        Ok(represented.as_caller(other, other_roles, Some(entity)))
    }

    /// Whether the caller, recognised earlier, would still be recognised just so.
    pub fn still_recognises(&self, caller: &Caller) -> Result<(), Refusal> {
        let now = self.resolve(caller.identity(), caller.on_behalf_of())?;
        if now == *caller {
            Ok(())
        } else {
            Err(Refusal::RoleNotPermitted)
        }
    }
}

impl Parties {
    fn put(&mut self, party: Party) {
        if let Some(old) = self.by_id.get(&party.id) {
            for (entity, _) in &old.identities {
                // An identity that has gone over to another party stays that party's.
                if self.by_entity.get(entity).is_some_and(|p| p.id == party.id) {
                    self.by_entity.remove(entity);
                }
            }
        }
        let party = Arc::new(party);
        for (entity, _) in &party.identities {
            self.by_entity.insert(*entity, Arc::clone(&party));
        }
        self.by_id.insert(party.id.clone(), party);
    }

    fn find(&self, entity: EntityId) -> Option<(&Party, Roles)> {
        let party = self.by_entity.get(&entity)?;
        let (_, roles) = party
            .identities
            .iter()
            .find(|(other, _)| *other == entity)?;
        Some((party, *roles))
    }
}

impl Party {
    fn as_caller(&self, entity: EntityId, roles: Roles, gateway: Option<EntityId>) -> Caller {
        let csp = self.csp.clone().filter(|_| roles.contains(Role::Csp));
        Caller {
            who: Who::Party {
                party: self.id.clone(),
                entity,
                csp,
                gateway,
            },
            roles,
        }
    }
}

fn read(party: &wire::Party) -> Result<Party, MalformedParty> {
    let mut identities = Vec::with_capacity(party.identities.len());
    for identity in &party.identities {
        let entity = identity.entity_id.parse().map_err(|_| MalformedParty)?;
        // A role that this build does not know grants nothing; an internal one in the log neither.
        identities.push((
            entity,
            identity.roles().filter(|&role| is_external(role)).collect(),
        ));
    }
    let csp = match party.csp_id.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| MalformedParty)?),
    };
    let acts_for = party.acts_for.iter().map(|id| id.parse());
    Ok(Party {
        id: party.party_id.parse().map_err(|_| MalformedParty)?,
        active: party.status() == wire::PartyStatus::Active,
        identities,
        csp,
        acts_for: acts_for
            .collect::<Result<_, _>>()
            .map_err(|_| MalformedParty)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTITY: &str = "90-B3-D5-1F-30-01-00-00";

    fn party(id: &str, entities: &[&str]) -> wire::Party {
        let identity = |entity: &&str| wire::PartyIdentity {
            entity_id: (*entity).into(),
            roles: vec![Role::GasSupplier.into()],
        };
        wire::Party {
            party_id: id.into(),
            status: wire::PartyStatus::Active.into(),
            identities: entities.iter().map(identity).collect(),
            ..Default::default()
        }
    }

    fn holder(directory: &Directory) -> Result<String, Refusal> {
        let identity = Identity::Organisation(ENTITY.parse().unwrap());
        let caller = directory.resolve(identity, None)?;
        Ok(caller.party().unwrap().to_string())
    }

    #[test]
    fn an_identity_is_the_partys_that_was_given_it_last() {
        let directory = Directory::not_loaded();
        assert!(!directory.knows(&"A".parse().unwrap()));
        directory.load([&party("A", &[ENTITY])]).unwrap();
        assert!(directory.knows(&"A".parse().unwrap()) && !directory.knows(&"B".parse().unwrap()));
        assert_eq!(holder(&directory).unwrap(), "A");
        directory.apply([&party("B", &[ENTITY])]).unwrap();
        assert_eq!(holder(&directory).unwrap(), "B");
        directory.apply([&party("A", &[])]).unwrap();
        assert_eq!(holder(&directory).unwrap(), "B");
        directory.apply([&party("B", &[])]).unwrap();
        assert_eq!(holder(&directory), Err(Refusal::PartyUnknown));
    }
}
