//! How many meters has each supplier, by what decides whether they count?
//!
//! SQL only groups and counts; the rule that decides is applied to the groups.

use std::collections::BTreeMap;

use mesh_api::common::v1::DeviceType;
use mesh_store::StoreError;
use mesh_store::sql::{Conn, query_as};
use mesh_types::{PartyId, Timestamp};

use super::count;
use crate::obligation::{Fuel, MeterFacts, Obligation};

const METERS: &str = "meter";

/// Supplier, type, SMETS version, SMI status, how many.
pub(super) type Group = (String, i64, i64, i64, i64);

/// The suppliers after `after` that are responsible for a meter.
pub(super) async fn rows(
    conn: &mut Conn,
    party: Option<&PartyId>,
    after: Option<&PartyId>,
) -> Result<Vec<(PartyId, Obligation)>, StoreError> {
    let all = groups(conn, party, after).await?;
    let party = party.map_or("", |party| party.as_str());
    let after = after.map_or("", |party| party.as_str());
    // From the flags to the meters: few of them are flagged.
    let reduced: Vec<Group> = query_as(
        "SELECT m.party_id, m.device_type, m.smets_major, m.smi_status, COUNT(*) \
         FROM flag_interval f JOIN meter m ON m.device_id = f.device_id \
         WHERE f.end_time = $3 AND f.source_id = f.device_id \
         AND m.party_id > $1 AND ($2 = '' OR m.party_id = $2) \
         GROUP BY m.party_id, m.device_type, m.smets_major, m.smi_status",
    )
    .bind(after)
    .bind(party)
    .bind(Timestamp::FOREVER.micros())
    .fetch_all(conn)
    .await?;
    Ok(sums(all, reduced)?.into_iter().collect())
}

/// All meters of the suppliers after `after`.
pub(super) async fn groups(
    conn: &mut Conn,
    party: Option<&PartyId>,
    after: Option<&PartyId>,
) -> Result<Vec<Group>, StoreError> {
    query_as(
        "SELECT party_id, device_type, smets_major, smi_status, COUNT(*) FROM meter \
         WHERE party_id > $1 AND ($2 = '' OR party_id = $2) \
         GROUP BY party_id, device_type, smets_major, smi_status",
    )
    .bind(after.map_or("", |party| party.as_str()))
    .bind(party.map_or("", |party| party.as_str()))
    .fetch_all(conn)
    .await
}

/// What meters come to, all of them and those that are reduced.
pub(super) fn sums(
    all: Vec<Group>,
    reduced: Vec<Group>,
) -> Result<BTreeMap<PartyId, Obligation>, StoreError> {
    let mut rows: BTreeMap<PartyId, Obligation> = BTreeMap::new();
    for group in all {
        let (party, facts, meters) = read(group)?;
        rows.entry(party).or_default().add(&facts, meters, 0);
    }
    for group in reduced {
        let (party, facts, meters) = read(group)?;
        rows.entry(party).or_default().add(&facts, 0, meters);
    }
    Ok(rows)
}

fn read(group: Group) -> Result<(PartyId, MeterFacts, u64), StoreError> {
    let (party, kind, smets_major, smi_status, meters) = group;
    let malformed = || StoreError::inconsistent(METERS, "a meter is malformed");
    let kind = i32::try_from(kind).ok();
    let kind = kind.and_then(|number| DeviceType::try_from(number).ok());
    let facts = MeterFacts {
        fuel: kind.and_then(Fuel::of).ok_or_else(malformed)?,
        smets_major: u32::try_from(smets_major).map_err(|_| malformed())?,
        smi_status: i32::try_from(smi_status).map_err(|_| malformed())?,
    };
    let party = party.parse().map_err(|_| malformed())?;
    Ok((party, facts, count(METERS, meters)?))
}
