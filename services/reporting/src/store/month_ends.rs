//! How many meters had each supplier when a month ended?
//!
//! Meters are kept as they are now. So the figures of a month are taken when the log `devices` passes its end, before
//! anything later is applied. Which meters were flagged then may not be known yet, because the log `flags` is followed
//! by itself: until it is, what changes is kept as it was. A month whose end was not seen has no figures.

use std::collections::BTreeSet;

use mesh_store::cursor::{self, Cursor};
use mesh_store::sql::{Conn, QueryBuilder, query, query_as, query_scalar};
use mesh_store::{MAX_BINDS, StoreError, insert_rows, sequence_to_db};
use mesh_types::{DeviceId, PartyId, Timestamp};

use super::obligations::{self, Group};
use super::{Basis, DEVICES, ReportStore, Step, basis, count, meters, open};
use crate::obligation::{MeterChange, MeterEvent, Obligation};
use crate::period::{Period, ends_between};

const MONTHS: &str = "meter_month";

/// What is known of the meters when a month ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AtEnd {
    /// What each supplier had, by supplier.
    Known(Vec<(PartyId, Obligation)>),
    /// The logs are not followed up to there yet.
    NotYet,
    /// It had passed before the log was followed.
    NotSeen,
}

impl ReportStore {
    /// What the suppliers had when a month ended, or one of them.
    pub async fn obligations_at_end(
        &self,
        period: Period,
        party: Option<&PartyId>,
    ) -> Result<(AtEnd, Basis), StoreError> {
        let mut snapshot = self.store.snapshot().await?;
        let end = read(&mut snapshot, period.interval().end(), party).await?;
        Ok((end, basis(&mut snapshot, None).await?))
    }
}

/// Applies events, in their order, and takes the figures of the ends of months that they pass.
pub(super) async fn apply(
    conn: &mut Conn,
    step: &Step,
    events: &[MeterEvent],
) -> Result<(), StoreError> {
    let Some((first, last)) = events.first().zip(events.last()) else {
        return Ok(());
    };
    // How old what was loaded is nobody says, but no newer than the first event after it.
    let since = watched(conn, step.from.as_ref()).await?;
    let since = since.unwrap_or(first.at);
    let mut rest = events;
    for end in ends_between(since, last.at) {
        let (before, after) = rest.split_at(rest.partition_point(|event| event.at < end));
        change(conn, before).await?;
        take(conn, end).await?;
        rest = after;
    }
    change(conn, rest).await?;
    watch(conn, &step.to, since.max(last.at)).await
}

async fn change(conn: &mut Conn, events: &[MeterEvent]) -> Result<(), StoreError> {
    let changes: Vec<MeterChange> = events
        .iter()
        .filter_map(|event| event.change.clone())
        .collect();
    keep(conn, &changes).await?;
    meters::change(conn, &changes).await
}

/// As [`ReportStore::devices_known`].
pub(super) async fn known(
    conn: &mut Conn,
    at: &Cursor,
    until: Timestamp,
    looked: Timestamp,
) -> Result<(), StoreError> {
    let stands = cursor::get(conn, DEVICES).await?;
    if stands.is_none_or(|stands| stands.position != at.position) {
        return Ok(());
    }
    let Some(since) = watched(conn, Some(at)).await? else {
        return watch(conn, at, looked).await;
    };
    let ends = ends_between(since, until);
    for end in &ends {
        take(conn, *end).await?;
    }
    match ends.last() {
        Some(last) => watch(conn, at, *last).await,
        None => Ok(()),
    }
}

/// Forgets what is not complete, and from when on the log was seen: its Devices are loaded anew.
pub(super) async fn forget(conn: &mut Conn) -> Result<(), StoreError> {
    for forgotten in [
        "DELETE FROM meter_month WHERE end_time IN \
            (SELECT end_time FROM meter_month_end WHERE NOT complete)",
        "DELETE FROM meter_month_end WHERE NOT complete",
        "DELETE FROM meter_was",
        "DELETE FROM meter_watch",
    ] {
        query(forgotten).execute(&mut *conn).await?;
    }
    Ok(())
}

/// The instant after which each end of a month is seen, if the log was followed event by event up to `from`. A process
/// of an earlier version may have followed it meanwhile without a look at months.
async fn watched(conn: &mut Conn, from: Option<&Cursor>) -> Result<Option<Timestamp>, StoreError> {
    let row: Option<(i64, i64, i64)> =
        query_as("SELECT epoch, sequence, since_time FROM meter_watch WHERE id = 1")
            .fetch_optional(&mut *conn)
            .await?;
    let place = from.map(place);
    if let Some((epoch, sequence, since)) = row
        && place == Some((epoch, sequence))
    {
        return Ok(Some(Timestamp::from_micros(since)));
    }
    forget(conn).await?;
    Ok(None)
}

async fn watch(conn: &mut Conn, to: &Cursor, since: Timestamp) -> Result<(), StoreError> {
    let (epoch, sequence) = place(to);
    query(
        "INSERT INTO meter_watch (id, epoch, sequence, since_time) VALUES (1, $1, $2, $3) \
         ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, sequence = excluded.sequence, \
         since_time = excluded.since_time",
    )
    .bind(epoch)
    .bind(sequence)
    .bind(since.micros())
    .execute(conn)
    .await?;
    Ok(())
}

fn place(cursor: &Cursor) -> (i64, i64) {
    let position = &cursor.position;
    (
        sequence_to_db(position.epoch.get()),
        sequence_to_db(position.sequence),
    )
}

/// Takes the figures of the end of a month: the meters are as they were then.
async fn take(conn: &mut Conn, end: Timestamp) -> Result<(), StoreError> {
    let taken = query(
        "INSERT INTO meter_month_end (end_time, complete) VALUES ($1, FALSE) \
         ON CONFLICT (end_time) DO NOTHING",
    )
    .bind(end.micros())
    .execute(&mut *conn)
    .await?;
    if taken == 0 {
        // Another history of the log passed it before.
        return Ok(());
    }
    let groups = obligations::groups(conn, None, None).await?;
    let rows: Vec<_> = obligations::sums(groups, Vec::new())?.into_iter().collect();
    insert_rows(
        conn,
        "INSERT INTO meter_month (end_time, party_id, electricity, electricity_reduced, gas, gas_reduced)",
        &rows,
        6,
        "",
        |mut row, (party, meters)| {
            row.push_bind(end.micros())
                .push_bind(party.to_string())
                .push_bind(meters.electricity.cast_signed())
                .push_bind(0_i64)
                .push_bind(meters.gas.cast_signed())
                .push_bind(0_i64);
        },
    )
    .await?;
    complete(conn).await
}

/// Completes the ends of months up to which the flags are known.
pub(super) async fn complete(conn: &mut Conn) -> Result<(), StoreError> {
    let until = open::settled_until(conn).await?;
    let ends: Vec<i64> = query_scalar(
        "SELECT end_time FROM meter_month_end WHERE NOT complete AND end_time <= $1 ORDER BY end_time",
    )
    .bind(until.micros())
    .fetch_all(&mut *conn)
    .await?;
    for end in ends {
        let mut groups = reduced(conn, end, UNCHANGED).await?;
        groups.extend(reduced(conn, end, CHANGED).await?);
        for (party, meters) in obligations::sums(Vec::new(), groups)? {
            query(
                "UPDATE meter_month SET electricity_reduced = $3, gas_reduced = $4 \
                 WHERE end_time = $1 AND party_id = $2",
            )
            .bind(end)
            .bind(party.to_string())
            .bind(meters.electricity_reduced.cast_signed())
            .bind(meters.gas_reduced.cast_signed())
            .execute(&mut *conn)
            .await?;
        }
        for done in [
            "UPDATE meter_month_end SET complete = TRUE WHERE end_time = $1",
            "DELETE FROM meter_was WHERE end_time = $1",
        ] {
            query(done).bind(end).execute(&mut *conn).await?;
        }
    }
    Ok(())
}

/// The flagged meters that did not change since the end.
const UNCHANGED: &str = "\
    SELECT m.party_id, m.device_type, m.smets_major, m.smi_status, COUNT(*) \
    FROM flag_interval f JOIN meter m ON m.device_id = f.device_id \
    WHERE f.end_time >= $1 AND f.start_time < $1 AND f.source_id = f.device_id AND m.party_id > '' \
    AND NOT EXISTS (SELECT 1 FROM meter_was w WHERE w.end_time = $1 AND w.device_id = m.device_id) \
    GROUP BY m.party_id, m.device_type, m.smets_major, m.smi_status";

/// Those that did, as they were. What was not there then belonged to nobody.
const CHANGED: &str = "\
    SELECT w.party_id, w.device_type, w.smets_major, w.smi_status, COUNT(*) \
    FROM flag_interval f JOIN meter_was w ON w.device_id = f.device_id AND w.end_time = $1 \
    WHERE f.end_time >= $1 AND f.start_time < $1 AND f.source_id = f.device_id AND w.party_id > '' \
    GROUP BY w.party_id, w.device_type, w.smets_major, w.smi_status";

async fn reduced(
    conn: &mut Conn,
    end: i64,
    meters: &'static str,
) -> Result<Vec<Group>, StoreError> {
    query_as(meters).bind(end).fetch_all(conn).await
}

/// Keeps meters as they are, before they change, for the ends of months that are not complete.
async fn keep(conn: &mut Conn, changes: &[MeterChange]) -> Result<(), StoreError> {
    let ends: Vec<i64> = query_scalar("SELECT end_time FROM meter_month_end WHERE NOT complete")
        .fetch_all(&mut *conn)
        .await?;
    if ends.is_empty() {
        return Ok(());
    }
    let mut changing: BTreeSet<DeviceId> = BTreeSet::new();
    let mut recorded: BTreeSet<DeviceId> = BTreeSet::new();
    for change in changes {
        match change {
            MeterChange::Recorded(meter) => drop(recorded.insert(meter.device)),
            MeterChange::Supplier { devices, .. } => changing.extend(devices),
        }
    }
    changing.extend(&recorded);
    let changing: Vec<DeviceId> = changing.into_iter().collect();
    for end in ends {
        for chunk in changing.chunks(MAX_BINDS - 1) {
            let mut query = QueryBuilder::new(
                "INSERT INTO meter_was \
                 (end_time, device_id, device_type, smets_major, smi_status, party_id) \
                 SELECT e.end_time, m.device_id, m.device_type, m.smets_major, m.smi_status, m.party_id \
                 FROM meter m JOIN meter_month_end e ON e.end_time = ",
            );
            query.push_bind(end).push(" WHERE m.device_id ");
            query.push_in(chunk.iter().map(ToString::to_string));
            query.push(" ON CONFLICT (end_time, device_id) DO NOTHING");
            query.build().execute(&mut *conn).await?;
        }
        let recorded: Vec<&DeviceId> = recorded.iter().collect();
        insert_rows(
            conn,
            "INSERT INTO meter_was (end_time, device_id, device_type, smets_major, smi_status, party_id)",
            &recorded,
            6,
            "ON CONFLICT (end_time, device_id) DO NOTHING",
            |mut row, device| {
                row.push_bind(end)
                    .push_bind(device.to_string())
                    .push_bind(0_i64)
                    .push_bind(0_i64)
                    .push_bind(0_i64)
                    .push_bind("");
            },
        )
        .await?;
    }
    Ok(())
}

/// A supplier, its ESMEs and how many of them were reduced, and its GSMEs.
type Row = (String, i64, i64, i64, i64);

async fn read(
    conn: &mut Conn,
    end: Timestamp,
    party: Option<&PartyId>,
) -> Result<AtEnd, StoreError> {
    let complete: Option<bool> =
        query_scalar("SELECT complete FROM meter_month_end WHERE end_time = $1")
            .bind(end.micros())
            .fetch_optional(&mut *conn)
            .await?;
    if complete != Some(true) {
        let since: Option<i64> = query_scalar("SELECT since_time FROM meter_watch WHERE id = 1")
            .fetch_optional(conn)
            .await?;
        let comes = complete.is_some() || since.is_some_and(|since| since < end.micros());
        return Ok(if comes { AtEnd::NotYet } else { AtEnd::NotSeen });
    }
    let rows: Vec<Row> = query_as(
        "SELECT party_id, electricity, electricity_reduced, gas, gas_reduced FROM meter_month \
         WHERE end_time = $1 AND ($2 = '' OR party_id = $2) ORDER BY party_id",
    )
    .bind(end.micros())
    .bind(party.map_or("", |party| party.as_str()))
    .fetch_all(conn)
    .await?;
    let malformed = |_| StoreError::inconsistent(MONTHS, "a supplier is malformed");
    let rows = rows.into_iter().map(
        |(party, electricity, electricity_reduced, gas, gas_reduced)| {
            let meters = Obligation {
                electricity: count(MONTHS, electricity)?,
                electricity_reduced: count(MONTHS, electricity_reduced)?,
                gas: count(MONTHS, gas)?,
                gas_reduced: count(MONTHS, gas_reduced)?,
            };
            Ok((party.parse().map_err(malformed)?, meters))
        },
    );
    rows.collect::<Result<_, StoreError>>().map(AtEnd::Known)
}
