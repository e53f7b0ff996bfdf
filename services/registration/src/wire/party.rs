//! Parties on the wire and as they are stored.

use std::collections::{BTreeMap, BTreeSet};

use mesh_api::registration::v1 as wire;
use mesh_authz::{Role, is_external};
use mesh_store::StoreError;
use mesh_types::{EntityId, Eui64Error, Sequence};
use prost::Message as _;

use super::{Fields, Numbered, numbered};
use crate::party::{Name, Party, Status};

numbered!(Status as wire::PartyStatus { Active, Suspended, Closed });

/// How the Entity Identifier of an identity is read.
type ReadEntity = fn(&str) -> Result<EntityId, Eui64Error>;

/// Reads a party that a caller sent; its status is not read.
pub(crate) fn read_party(party: &wire::Party, fields: &mut Fields<'_>) -> Option<Party> {
    let name = fields.keep("name", party.name.parse());
    read(party, name, EntityId::of_one, fields)
}

fn read(
    party: &wire::Party,
    name: Option<Name>,
    entity: ReadEntity,
    fields: &mut Fields<'_>,
) -> Option<Party> {
    let id = fields.required("party_id", &party.party_id);
    let csp = fields.optional("csp_id", &party.csp_id);
    let identities = read_identities(&party.identities, entity, fields);
    let mut acts_for = BTreeSet::new();
    for (n, id) in party.acts_for.iter().enumerate() {
        acts_for.extend(fields.required(&format!("acts_for[{n}]"), id));
    }
    let party = Party {
        id: id?,
        name: name?,
        status: Status::Active,
        identities,
        csp,
        acts_for,
    };
    if !fields.is_sound() {
        return None;
    }
    fields.add_all(party.problems());
    fields.is_sound().then_some(party)
}

fn read_identities(
    identities: &[wire::PartyIdentity],
    read_entity: ReadEntity,
    fields: &mut Fields<'_>,
) -> BTreeMap<EntityId, BTreeSet<Role>> {
    let mut read = BTreeMap::new();
    for (n, identity) in identities.iter().enumerate() {
        let field = format!("identities[{n}].entity_id");
        let entity = fields.keep(&field, read_entity(&identity.entity_id));
        let mut roles = BTreeSet::new();
        for &role in &identity.roles {
            match Role::try_from(role).ok().filter(|&role| is_external(role)) {
                Some(role) => {
                    roles.insert(role);
                }
                None => {
                    let field = format!("identities[{n}].roles");
                    fields.add(&field, "a party has external roles only");
                }
            }
        }
        let Some(entity) = entity else {
            continue;
        };
        if read.insert(entity, roles).is_some() {
            fields.add(&field, "is there twice");
        }
    }
    read
}

/// Reads a status that a caller sent.
pub(crate) fn read_status(status: i32, fields: &mut Fields<'_>) -> Option<Status> {
    fields.number("status", status)
}

/// The party, as the event at `recorded` made it.
#[must_use]
pub(crate) fn party_to_wire(party: &Party, recorded: Sequence) -> wire::Party {
    wire::Party {
        etag: recorded.to_string(),
        ..without_etag(party)
    }
}

fn without_etag(party: &Party) -> wire::Party {
    let identity = |(entity, roles): (&EntityId, &BTreeSet<Role>)| wire::PartyIdentity {
        entity_id: entity.to_string(),
        roles: roles.iter().map(|&role| role.into()).collect(),
    };
    wire::Party {
        party_id: party.id.to_string(),
        name: party.name.as_str().to_owned(),
        status: party.status.number(),
        identities: party.identities.iter().map(identity).collect(),
        csp_id: party
            .csp
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        acts_for: party.acts_for.iter().map(ToString::to_string).collect(),
        etag: String::new(),
    }
}

/// The party as its row holds it. Equal parties give equal octets.
#[must_use]
pub(crate) fn party_to_record(party: &Party) -> Vec<u8> {
    without_etag(party).encode_to_vec()
}

/// Reads a party's row, which may be older than what is asked of a name or an identity now.
pub(crate) fn party_from_record(record: &[u8]) -> Result<Party, StoreError> {
    let broken = || StoreError::inconsistent("party", "a record cannot be read");
    let record = wire::Party::decode(record).map_err(|_| broken())?;
    let status = Status::numbered(record.status).ok_or_else(broken)?;
    let mut errors = mesh_api::convert::FieldErrors::default();
    let name = Some(Name::recorded(&record.name));
    let mut fields = Fields::of_request(&mut errors);
    let party = read(&record, name, str::parse, &mut fields).ok_or_else(broken)?;
    Ok(Party { status, ..party })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_that_was_recorded_under_older_rules_can_be_read() {
        let record = wire::Party {
            party_id: "ACME".to_owned(),
            name: " Acme\u{1B}[2J\u{202E}\0 ".to_owned(),
            status: wire::PartyStatus::Suspended.into(),
            identities: vec![wire::PartyIdentity {
                entity_id: "FF-FF-FF-FF-FF-FF-FF-FF".to_owned(),
                roles: vec![Role::GasSupplier.into()],
            }],
            ..Default::default()
        };
        let octets = record.encode_to_vec();
        let party = party_from_record(&octets).unwrap();
        assert_eq!(party.name.as_str(), record.name);
        assert_eq!(party.status, Status::Suspended);
        assert_eq!(party_to_record(&party), octets);
        // Nobody could record it so today.
        let mut errors = mesh_api::convert::FieldErrors::default();
        assert!(read_party(&record, &mut Fields::of_request(&mut errors)).is_none());
        let fields: Vec<&str> = errors.violations().iter().map(|(f, _)| &**f).collect();
        assert_eq!(fields, ["name", "identities[0].entity_id"]);
    }
}
