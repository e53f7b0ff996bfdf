//! What holds at a position of a log?
//!
//! Each function is one short read; several that must agree are given the same position.

use std::collections::{BTreeSet, HashMap};

use mesh_store::sql::{Conn, QueryBuilder, query_as, query_scalar};
use mesh_store::{MAX_BINDS, StoreError, sequence_to_db};
use mesh_types::{DeviceId, EntityId, Mpxn, PartyId, Sequence, Timestamp};

use super::rows::{DEVICE, DeviceRow, PARTY, PartyRow, REGISTRATION, RegistrationRow, Row, point};
use crate::device::{Device, DeviceType};
use crate::party::Party;
use crate::supply::{Registration, RegistrationId, Supply};

pub(crate) use super::rows::Recorded;

/// Reads what stands now, for a transaction that holds the log's head: no event has this number.
pub(super) const STANDING: Sequence = i64::MAX.unsigned_abs() - 1;

/// A part of a list: keys after `after`, at most `limit`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page<'a> {
    /// The position that the list shows.
    pub(crate) at: Sequence,
    /// The last key of the page before; nothing for the first.
    pub(crate) after: Option<&'a str>,
    /// At most so many rows.
    pub(crate) limit: u32,
}

/// The rows whose `column` is one of `keys`.
async fn among<R: Row>(
    conn: &mut Conn,
    select: &'static str,
    column: &'static str,
    keys: &[String],
    at: Sequence,
) -> Result<Vec<Recorded<R::Record>>, StoreError> {
    among_those::<R>(conn, select, column, keys, "", at).await
}

/// The same, of the rows that `only` says.
async fn among_those<R: Row>(
    conn: &mut Conn,
    select: &'static str,
    column: &'static str,
    keys: &[String],
    only: &'static str,
    at: Sequence,
) -> Result<Vec<Recorded<R::Record>>, StoreError> {
    let mut found = Vec::new();
    for chunk in keys.chunks(MAX_BINDS - 2) {
        let mut query = QueryBuilder::new(select);
        query.push(" WHERE ").push(column).push(" ");
        query.push_in(chunk);
        query.push(only);
        push_held(&mut query, at);
        let rows: Vec<R> = query.build_query_as().fetch_all(&mut *conn).await?;
        for row in rows {
            found.push(row.read()?);
        }
    }
    Ok(found)
}

/// Only what holds at a position. What stands is found by an index of its own, however often it was
/// changed before.
fn push_held(query: &mut QueryBuilder, at: Sequence) {
    if at == STANDING {
        query.push(" AND to_sequence = 9223372036854775807");
    } else {
        query.push(" AND from_sequence <= ");
        query.push_bind(sequence_to_db(at));
        query.push(" AND to_sequence > ");
        query.push_bind(sequence_to_db(at));
    }
}

/// The rows of a page in the order of their keys, perhaps only those with a value in a column.
async fn page<R: Row>(
    conn: &mut Conn,
    select: &'static str,
    key: &'static str,
    only: Option<(&'static str, String)>,
    page: Page<'_>,
) -> Result<Vec<Recorded<R::Record>>, StoreError> {
    let mut query = QueryBuilder::new(select);
    query.push(" WHERE ").push(key).push(" > ");
    query.push_bind(page.after.unwrap_or_default());
    if let Some((column, value)) = only {
        query
            .push(" AND ")
            .push(column)
            .push(" = ")
            .push_bind(value);
    }
    push_held(&mut query, page.at);
    query.push(" ORDER BY ").push(key).push(" LIMIT ");
    query.push_bind(i64::from(page.limit));
    let rows: Vec<R> = query.build_query_as().fetch_all(conn).await?;
    rows.into_iter().map(Row::read).collect()
}

fn texts<T: ToString>(keys: impl IntoIterator<Item = T>) -> Vec<String> {
    keys.into_iter().map(|key| key.to_string()).collect()
}

/// Parties by their ids.
pub(crate) async fn parties(
    conn: &mut Conn,
    ids: impl IntoIterator<Item = &PartyId>,
    at: Sequence,
) -> Result<Vec<Recorded<Party>>, StoreError> {
    among::<PartyRow>(conn, PARTY, "party_id", &texts(ids), at).await
}

/// The parties that hold Entity Identifiers.
pub(crate) async fn parties_of_entities(
    conn: &mut Conn,
    entities: impl IntoIterator<Item = &EntityId>,
    at: Sequence,
) -> Result<Vec<Recorded<Party>>, StoreError> {
    let mut holders = Vec::new();
    for chunk in texts(entities).chunks(MAX_BINDS - 2) {
        let mut query = QueryBuilder::new("SELECT party_id FROM party_identity");
        query.push(" WHERE entity_id ");
        query.push_in(chunk);
        query.push(" AND from_sequence <= ");
        query.push_bind(sequence_to_db(at));
        query.push(" AND to_sequence > ");
        query.push_bind(sequence_to_db(at));
        let found: Vec<String> = query.build_query_scalar().fetch_all(&mut *conn).await?;
        holders.extend(found);
    }
    holders.sort_unstable();
    holders.dedup();
    among::<PartyRow>(conn, PARTY, "party_id", &holders, at).await
}

/// A page of all parties.
pub(crate) async fn party_page(
    conn: &mut Conn,
    of: Page<'_>,
) -> Result<Vec<Recorded<Party>>, StoreError> {
    page::<PartyRow>(conn, PARTY, "party_id", None, of).await
}

/// Devices by their ids.
pub(crate) async fn devices(
    conn: &mut Conn,
    ids: impl IntoIterator<Item = &DeviceId>,
    at: Sequence,
) -> Result<Vec<Recorded<Device>>, StoreError> {
    among::<DeviceRow>(conn, DEVICE, "device_id", &texts(ids), at).await
}

/// A page of the Devices, of all or of one hub.
pub(crate) async fn device_page(
    conn: &mut Conn,
    hub: Option<DeviceId>,
    of: Page<'_>,
) -> Result<Vec<Recorded<Device>>, StoreError> {
    let only = hub.map(|hub| ("hub_id", hub.to_string()));
    page::<DeviceRow>(conn, DEVICE, "device_id", only, of).await
}

/// The GSMEs that name GPFs.
pub(crate) async fn meters_of_gpfs(
    conn: &mut Conn,
    gpfs: impl IntoIterator<Item = &DeviceId>,
    at: Sequence,
) -> Result<Vec<Recorded<Device>>, StoreError> {
    among::<DeviceRow>(conn, DEVICE, "gpf_id", &texts(gpfs), at).await
}

/// The GSMEs that GPFs mirror as it stands: those that are not decommissioned, at most one of each.
pub(super) async fn mirrored_by(
    conn: &mut Conn,
    gpfs: impl IntoIterator<Item = &DeviceId>,
) -> Result<Vec<Recorded<Device>>, StoreError> {
    // In the words of the index `device_mirrored_standing`.
    let only = " AND smi_status <> 6";
    among_those::<DeviceRow>(conn, DEVICE, "gpf_id", &texts(gpfs), only, STANDING).await
}

/// The meters at MPxNs, by what can decide who is responsible for them.
pub(crate) async fn meters_at(
    conn: &mut Conn,
    mpxns: impl IntoIterator<Item = &Mpxn>,
    at: Sequence,
) -> Result<Vec<Recorded<Device>>, StoreError> {
    let (mut mpans, mut mprns) = (Vec::new(), Vec::new());
    for mpxn in mpxns {
        match mpxn {
            Mpxn::Mpan(_) => mpans.push(mpxn.to_string()),
            Mpxn::Mprn(_) => mprns.push(mpxn.to_string()),
        }
    }
    let mut meters = among::<DeviceRow>(conn, DEVICE, "import_mpan", &mpans, at).await?;
    meters.extend(among::<DeviceRow>(conn, DEVICE, "export_mpan", &mpans, at).await?);
    meters.extend(among::<DeviceRow>(conn, DEVICE, "mprn", &mprns, at).await?);
    Ok(meters)
}

/// The registrations of MPxNs.
pub(crate) async fn registrations(
    conn: &mut Conn,
    mpxns: impl IntoIterator<Item = &Mpxn>,
    at: Sequence,
) -> Result<Vec<Recorded<Registration>>, StoreError> {
    among::<RegistrationRow>(conn, REGISTRATION, "mpxn", &texts(mpxns), at).await
}

/// Of MPxNs, the registrations that stand and hold at an instant. What is no MPxN has none.
pub(super) async fn registered_at(
    conn: &mut Conn,
    mpxns: &[String],
    valid: Timestamp,
) -> Result<Vec<Registration>, StoreError> {
    let mut found = Vec::new();
    for chunk in mpxns.chunks(MAX_BINDS - 2) {
        let mut query = QueryBuilder::new(REGISTRATION);
        query.push(" WHERE mpxn ");
        query.push_in(chunk);
        push_held(&mut query, STANDING);
        query.push(" AND start_time <= ").push_bind(valid.micros());
        query.push(" AND end_time > ").push_bind(valid.micros());
        let rows: Vec<RegistrationRow> = query.build_query_as().fetch_all(&mut *conn).await?;
        for row in rows {
            found.push(row.read()?.value);
        }
    }
    Ok(found)
}

/// Reads any Devices and registrations that stand, so many of each if there are, and says nothing of
/// them, not even that one is damaged.
pub(super) async fn any(
    conn: &mut Conn,
    devices: usize,
    registrations: usize,
) -> Result<(), StoreError> {
    first::<DeviceRow>(conn, DEVICE, "device_id", devices).await?;
    first::<RegistrationRow>(conn, REGISTRATION, "mpxn", registrations).await
}

async fn first<R: Row>(
    conn: &mut Conn,
    select: &'static str,
    key: &'static str,
    count: usize,
) -> Result<(), StoreError> {
    let mut query = QueryBuilder::new(select);
    query.push(" WHERE ").push(key).push(" > ''");
    push_held(&mut query, STANDING);
    query.push(" ORDER BY ").push(key).push(" LIMIT ");
    query.push_bind(i64::try_from(count).unwrap_or(i64::MAX));
    let rows: Vec<R> = query.build_query_as().fetch_all(conn).await?;
    for row in rows {
        // Read like those that are told, for what that takes.
        drop(row.read());
    }
    Ok(())
}

/// The ends with which the registrations of MPxNs were first recorded, those that do not stand any
/// more included. Only what began after them has moved an end since.
pub(super) async fn own_ends(
    conn: &mut Conn,
    mpxns: impl IntoIterator<Item = &Mpxn>,
) -> Result<HashMap<RegistrationId, Timestamp>, StoreError> {
    let mut ends = HashMap::new();
    for chunk in texts(mpxns).chunks(MAX_BINDS) {
        let mut query =
            QueryBuilder::new("SELECT registration_id, end_time FROM registration WHERE mpxn ");
        query.push_in(chunk);
        query.push(" ORDER BY from_sequence");
        let rows: Vec<(String, i64)> = query.build_query_as().fetch_all(&mut *conn).await?;
        for (id, end) in rows {
            let id = RegistrationId::recorded(&id);
            ends.entry(id).or_insert(Timestamp::from_micros(end));
        }
    }
    Ok(ends)
}

/// The registrations of MPxNs, by MPxN.
pub(crate) async fn supplies(
    conn: &mut Conn,
    mpxns: impl IntoIterator<Item = &Mpxn>,
    at: Sequence,
) -> Result<HashMap<Mpxn, Supply>, StoreError> {
    let mut supplies: HashMap<Mpxn, Supply> = HashMap::new();
    for Recorded { value, .. } in registrations(conn, mpxns, at).await? {
        supplies.entry(value.mpxn).or_default().insert(value);
    }
    Ok(supplies)
}

/// What was due up to and with `now`, the earliest first: at most `limit`, and besides all of
/// `points`, because what is about to change them must not be told before.
pub(super) async fn due(
    conn: &mut Conn,
    now: Timestamp,
    limit: u32,
    points: &BTreeSet<Mpxn>,
) -> Result<BTreeSet<(Timestamp, Mpxn)>, StoreError> {
    let mut rows: Vec<(i64, String)> = query_as(
        "SELECT at_time, mpxn FROM effect_due WHERE at_time <= $1 ORDER BY at_time, mpxn LIMIT $2",
    )
    .bind(now.micros())
    .bind(i64::from(limit))
    .fetch_all(&mut *conn)
    .await?;
    if rows.len() as u64 == u64::from(limit) {
        for chunk in texts(points).chunks(MAX_BINDS - 1) {
            rows.extend(due_among(conn, now, chunk).await?);
        }
    }
    rows.into_iter()
        .map(|(at, mpxn)| {
            let mpxn = point("effect_due", Mpxn::recorded(&mpxn))?;
            Ok((Timestamp::from_micros(at), mpxn))
        })
        .collect()
}

async fn due_among(
    conn: &mut Conn,
    now: Timestamp,
    points: &[String],
) -> Result<Vec<(i64, String)>, StoreError> {
    let mut query = QueryBuilder::new("SELECT at_time, mpxn FROM effect_due WHERE at_time <= ");
    query.push_bind(now.micros()).push(" AND mpxn ");
    query.push_in(points);
    query.build_query_as().fetch_all(conn).await
}

/// The next instant at which something takes effect.
pub(crate) async fn next_due(conn: &mut Conn) -> Result<Option<Timestamp>, StoreError> {
    let at: Option<i64> = query_scalar("SELECT min(at_time) FROM effect_due")
        .fetch_one(conn)
        .await?;
    Ok(at.map(Timestamp::from_micros))
}

/// What other records say about Devices: their hubs, the meters behind GPFs, the registrations.
#[derive(Debug, Default)]
pub(crate) struct Context {
    hubs: HashMap<DeviceId, Recorded<Device>>,
    meters: HashMap<DeviceId, Vec<Device>>,
    supplies: HashMap<Mpxn, Supply>,
}

impl Context {
    /// Reads it for `devices` at a position, each kind in one query.
    pub(crate) async fn of(
        conn: &mut Conn,
        of: &[Recorded<Device>],
        at: Sequence,
    ) -> Result<Self, StoreError> {
        let mut hub_ids: Vec<DeviceId> = of.iter().filter_map(|device| device.value.hub).collect();
        hub_ids.sort_unstable();
        hub_ids.dedup();
        let hubs = devices(conn, &hub_ids, at).await?;
        let gpfs = of
            .iter()
            .filter(|device| device.value.device_type == DeviceType::Gpf)
            .map(|device| &device.value.id);
        let mut meters: HashMap<DeviceId, Vec<Device>> = HashMap::new();
        for Recorded { value, .. } in meters_of_gpfs(conn, gpfs, at).await? {
            if let Some(gpf) = value.gpf {
                meters.entry(gpf).or_default().push(value);
            }
        }
        let mut context = Self {
            hubs: hubs.into_iter().map(|hub| (hub.value.id, hub)).collect(),
            meters,
            supplies: HashMap::new(),
        };
        let mut mpxns: Vec<Mpxn> = of
            .iter()
            .flat_map(|device| context.points(&device.value).all())
            .collect();
        mpxns.sort_unstable();
        mpxns.dedup();
        context.supplies = supplies(conn, &mpxns, at).await?;
        Ok(context)
    }

    /// The hub that the Device is on.
    #[must_use]
    pub(crate) fn hub(&self, device: &Device) -> Option<&Recorded<Device>> {
        self.hubs.get(&device.hub?)
    }

    fn points(&self, device: &Device) -> crate::authority::Points {
        let meters = self.meters.get(&device.id);
        let mirrored = crate::authority::mirrored(meters.into_iter().flatten());
        crate::authority::Points::of(device, mirrored)
    }

    /// Who is responsible for the Device at an instant.
    #[must_use]
    pub(crate) fn authority(
        &self,
        device: &Device,
        at: Timestamp,
    ) -> crate::authority::Authority<'_> {
        let supply = |mpxn| self.supplies.get(&mpxn);
        crate::authority::authority(self.points(device), supply, at)
    }
}
