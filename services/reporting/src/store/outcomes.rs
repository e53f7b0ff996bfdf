//! Which outcomes are new, which were sent before, which only pretend to be, and which are outside?

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use mesh_store::sql::{Conn, QueryBuilder, query, query_scalar};
use mesh_store::{MAX_BINDS, StoreError, insert_rows};
use mesh_types::Timestamp;

use super::{Disposition, Recording};
use crate::exception::exceptable;

/// Producer and the producer's id.
type Key = (String, String);

/// An outcome as its row holds it, so that what is written differently and means the same is the
/// same.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
struct Content {
    party_id: String,
    device_id: String,
    variant: String,
    message_class: i64,
    request_time: i64,
    result: i64,
    origin: i64,
}

/// A row of the table.
struct Row {
    key: Key,
    content: Content,
    exceptable: bool,
    number: i64,
}

#[derive(sqlx::FromRow)]
struct Stored {
    producer: String,
    outcome_id: String,
    #[sqlx(flatten)]
    content: Content,
}

/// Month, supplier, variant, origin and result, in the order in which all replicas lock the rows.
type TallyKey = (String, String, String, i64, i64);

/// The outcomes of one transaction: those found stored, and those that it adds.
pub(super) struct Ledger {
    known: HashMap<Key, Content>,
    /// SMETS1 meters, by their ids.
    outside: HashSet<String>,
    rows: Vec<Row>,
    tally: BTreeMap<TallyKey, i64>,
    /// How many outcomes there are, which is the number of the last one.
    total: i64,
}

impl Ledger {
    /// Locks the table against other replicas, and reads what is stored under the ids of
    /// `recordings`.
    pub(super) async fn open<'a>(
        conn: &mut Conn,
        recordings: impl Iterator<Item = &'a [Recording]>,
    ) -> Result<Self, StoreError> {
        let recordings: Vec<&Recording> = recordings.flatten().collect();
        let keys: Vec<Key> = recordings.iter().map(|one| key(one)).collect();
        let (mut known, mut total) = (HashMap::new(), 0_i64);
        if !keys.is_empty() {
            total = query_scalar(
                "UPDATE outcome_total SET outcomes = outcomes WHERE id = 1 RETURNING outcomes",
            )
            .fetch_one(&mut *conn)
            .await?;
        }
        for chunk in keys.chunks(MAX_BINDS / 2) {
            let mut query = QueryBuilder::new(
                "SELECT producer, outcome_id, party_id, device_id, variant, message_class, \
                 request_time, result, origin FROM outcome WHERE (producer, outcome_id) IN (",
            );
            query.push_values(chunk, |mut row, (producer, id)| {
                row.push_bind(producer.as_str()).push_bind(id.as_str());
            });
            query.push(")");
            let stored: Vec<Stored> = query.build_query_as().fetch_all(&mut *conn).await?;
            let stored = stored.into_iter();
            known.extend(stored.map(|row| ((row.producer, row.outcome_id), row.content)));
        }
        Ok(Self {
            known,
            outside: smets1_among(conn, &recordings).await?,
            rows: Vec::new(),
            tally: BTreeMap::new(),
            total,
        })
    }

    /// Judges outcomes one after the other.
    pub(super) fn take(&mut self, recordings: &[Recording]) -> Vec<Disposition> {
        recordings.iter().map(|one| self.take_one(one)).collect()
    }

    fn take_one(&mut self, recording: &Recording) -> Disposition {
        let (key, content) = (key(recording), content(recording));
        match self.known.get(&key) {
            Some(known) if *known == content => return Disposition::Duplicate,
            Some(_) => return Disposition::Reused,
            None if self.outside.contains(&content.device_id) => return Disposition::Outside,
            None => {}
        }
        let tally_key = (
            recording.outcome.month.to_string(),
            content.party_id.clone(),
            content.variant.clone(),
            content.origin,
            content.result,
        );
        *self.tally.entry(tally_key).or_default() += 1;
        self.known.insert(key.clone(), content.clone());
        self.total += 1;
        self.rows.push(Row {
            key,
            content,
            exceptable: exceptable(recording.outcome.class),
            number: self.total,
        });
        Disposition::Recorded
    }

    /// Writes what was taken.
    pub(super) async fn close(self, conn: &mut Conn, now: Timestamp) -> Result<(), StoreError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        insert_rows(
            conn,
            "INSERT INTO outcome (producer, outcome_id, party_id, device_id, variant, \
             message_class, exceptable, request_time, result, origin, recorded_time, number)",
            &self.rows,
            12,
            "",
            |mut values, row| {
                values
                    .push_bind(row.key.0.as_str())
                    .push_bind(row.key.1.as_str())
                    .push_bind(row.content.party_id.as_str())
                    .push_bind(row.content.device_id.as_str())
                    .push_bind(row.content.variant.as_str())
                    .push_bind(row.content.message_class)
                    .push_bind(row.exceptable)
                    .push_bind(row.content.request_time)
                    .push_bind(row.content.result)
                    .push_bind(row.content.origin)
                    .push_bind(now.micros())
                    .push_bind(row.number);
            },
        )
        .await?;
        let tally: Vec<_> = self.tally.iter().collect();
        insert_rows(
            conn,
            "INSERT INTO outcome_tally (month, party_id, variant, origin, result, outcomes)",
            &tally,
            6,
            "ON CONFLICT (month, party_id, variant, origin, result) \
             DO UPDATE SET outcomes = outcome_tally.outcomes + excluded.outcomes",
            |mut values, ((month, party, variant, origin, result), outcomes)| {
                values
                    .push_bind(month.as_str())
                    .push_bind(party.as_str())
                    .push_bind(variant.as_str())
                    .push_bind(*origin)
                    .push_bind(*result)
                    .push_bind(**outcomes);
            },
        )
        .await?;
        query("UPDATE outcome_total SET outcomes = outcomes + $1 WHERE id = 1")
            .bind(self.tally.values().sum::<i64>())
            .execute(conn)
            .await?;
        Ok(())
    }
}

/// The Devices of `recordings` that are SMETS1 meters, as far as the log `devices` was followed.
async fn smets1_among(
    conn: &mut Conn,
    recordings: &[&Recording],
) -> Result<HashSet<String>, StoreError> {
    let devices: BTreeSet<_> = recordings.iter().map(|one| one.permit.device()).collect();
    let devices: Vec<_> = devices.into_iter().collect();
    let mut found = HashSet::new();
    for chunk in devices.chunks(MAX_BINDS) {
        let mut query =
            QueryBuilder::new("SELECT device_id FROM meter WHERE smets_major = 1 AND device_id ");
        query.push_in(chunk.iter().map(ToString::to_string));
        let rows: Vec<String> = query.build_query_scalar().fetch_all(&mut *conn).await?;
        found.extend(rows);
    }
    Ok(found)
}

fn key(recording: &Recording) -> Key {
    let id = recording.outcome.id.as_str();
    (recording.producer.as_str().to_owned(), id.to_owned())
}

fn content(recording: &Recording) -> Content {
    let outcome = &recording.outcome;
    Content {
        party_id: outcome.party.as_str().to_owned(),
        device_id: recording.permit.device().to_string(),
        variant: outcome.variant.as_str().to_owned(),
        message_class: i64::from(i32::from(outcome.class)),
        request_time: outcome.request_time.micros(),
        result: i64::from(outcome.ending.number()),
        origin: i64::from(outcome.origin.number()),
    }
}
