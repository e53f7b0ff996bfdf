//! Which outcomes are new, which were sent before, which only pretend to be, and which are outside?

use std::collections::{BTreeSet, HashMap, HashSet};

use mesh_store::sql::{Conn, QueryBuilder, query_as};
use mesh_store::{MAX_BINDS, StoreError, insert_rows};
use mesh_types::{DeviceId, Timestamp};

use super::rolls::Rolls;
use super::{Delivery, Disposition, Misnumbered, Numbered, Recording, Taken};
use crate::outcome::{Outcome, Producer};

/// Producer and the producer's id.
type Key = (String, String);

/// The last batch of a producer.
#[derive(Debug, Clone)]
struct Last {
    number: u64,
    content: String,
}

/// The outcomes of one transaction: those found stored, and those that it adds.
#[derive(Default)]
pub(super) struct Ledger {
    /// What was recorded under an id.
    seen: HashMap<Key, String>,
    /// The producers that number their batches.
    batches: HashMap<Producer, Last>,
    /// SMETS1 meters.
    outside: HashSet<DeviceId>,
    new: Vec<Key>,
    numbered: BTreeSet<Producer>,
    rolls: Rolls,
}

impl Ledger {
    /// Reads what is stored of what `deliveries` hold. The counts are locked.
    pub(super) async fn open<'a>(
        conn: &mut Conn,
        deliveries: impl Iterator<Item = &'a Delivery>,
    ) -> Result<Self, StoreError> {
        let deliveries: Vec<&Delivery> = deliveries.collect();
        if deliveries.is_empty() {
            return Ok(Self::default());
        }
        Ok(Self {
            seen: seen(conn, &deliveries).await?,
            batches: batches(conn, &deliveries).await?,
            outside: smets1_among(conn, &deliveries).await?,
            ..Self::default()
        })
    }

    /// Judges a delivery as a whole, and then its outcomes one after the other.
    pub(super) fn take(&mut self, delivery: &Delivery) -> Result<Taken, Misnumbered> {
        let last = self.batches.get(&delivery.producer).cloned();
        let dispositions = match (&delivery.numbered, &last) {
            (None, Some(last)) if !delivery.outcomes.is_empty() => {
                let next = last.number + 1;
                return Err(Misnumbered::Without { next });
            }
            (None, _) => self.take_by_id(delivery),
            (Some(numbered), last) => self.take_numbered(delivery, numbered, last.as_ref())?,
        };
        let last = self.batches.get(&delivery.producer);
        Ok(Taken {
            dispositions,
            last_number: last.map_or(0, |last| last.number),
        })
    }

    fn take_by_id(&mut self, delivery: &Delivery) -> Vec<Disposition> {
        let producer = &delivery.producer;
        let each = delivery.outcomes.iter().map(|recording| {
            let (key, content) = (key(producer, recording), content(recording));
            let disposition = self.judge(recording, self.seen.get(&key), &content);
            if disposition == Disposition::Recorded {
                self.rolls.add(producer, recording);
                self.new.push(key.clone());
                self.seen.insert(key, content);
            }
            disposition
        });
        each.collect()
    }

    fn take_numbered(
        &mut self,
        delivery: &Delivery,
        numbered: &Numbered,
        last: Option<&Last>,
    ) -> Result<Vec<Disposition>, Misnumbered> {
        let number = numbered.number.get();
        let next = last.map_or(0, |last| last.number) + 1;
        if number > next {
            return Err(Misnumbered::Missing { next });
        }
        if let Some(last) = last.filter(|last| number <= last.number) {
            return if number == last.number && numbered.content != last.content {
                Err(Misnumbered::Reused)
            } else {
                Ok(vec![Disposition::Duplicate; delivery.outcomes.len()])
            };
        }
        let producer = &delivery.producer;
        let mut within: HashMap<&str, String> = HashMap::new();
        let each = delivery.outcomes.iter().map(|recording| {
            let (id, content) = (recording.outcome.id.as_str(), content(recording));
            let disposition = self.judge(recording, within.get(id), &content);
            if disposition == Disposition::Recorded {
                self.rolls.add(producer, recording);
                within.insert(id, content);
            }
            disposition
        });
        let dispositions = each.collect();
        self.numbered.insert(producer.clone());
        let content = numbered.content.clone();
        self.batches
            .insert(producer.clone(), Last { number, content });
        Ok(dispositions)
    }

    /// What becomes of an outcome of this content, where `known` was recorded under its id.
    fn judge(&self, recording: &Recording, known: Option<&String>, content: &str) -> Disposition {
        match known {
            Some(known) if known == content => Disposition::Duplicate,
            Some(_) => Disposition::Reused,
            None if self.outside.contains(&recording.permit.device()) => Disposition::Outside,
            None => Disposition::Recorded,
        }
    }

    /// Writes what was taken.
    pub(super) async fn close(self, conn: &mut Conn, now: Timestamp) -> Result<(), StoreError> {
        insert_rows(
            conn,
            "INSERT INTO outcome_seen (producer, outcome_id, content, recorded_time)",
            &self.new,
            4,
            "",
            |mut row, key| {
                row.push_bind(key.0.as_str())
                    .push_bind(key.1.as_str())
                    .push_bind(self.seen[key].as_str())
                    .push_bind(now.micros());
            },
        )
        .await?;
        let numbered: Vec<_> = self.numbered.iter().collect();
        insert_rows(
            conn,
            "INSERT INTO outcome_batch (producer, number, content)",
            &numbered,
            3,
            "ON CONFLICT (producer) DO UPDATE SET number = excluded.number, \
             content = excluded.content",
            |mut row, producer| {
                let last = &self.batches[*producer];
                row.push_bind(producer.as_str())
                    .push_bind(last.number.cast_signed())
                    .push_bind(last.content.as_str());
            },
        )
        .await?;
        self.rolls.write(conn, now).await
    }
}

/// What is recorded under the ids of the deliveries that have no number.
async fn seen(
    conn: &mut Conn,
    deliveries: &[&Delivery],
) -> Result<HashMap<Key, String>, StoreError> {
    let by_id = deliveries.iter().filter(|one| one.numbered.is_none());
    let keys = by_id.flat_map(|one| one.outcomes.iter().map(|each| key(&one.producer, each)));
    let keys: Vec<Key> = keys.collect();
    let mut seen = HashMap::new();
    for chunk in keys.chunks(MAX_BINDS / 2) {
        let mut query = QueryBuilder::new(
            "SELECT producer, outcome_id, content FROM outcome_seen \
             WHERE (producer, outcome_id) IN (",
        );
        query.push_values(chunk, |mut row, (producer, id)| {
            row.push_bind(producer.as_str()).push_bind(id.as_str());
        });
        query.push(")");
        let rows: Vec<(String, String, String)> =
            query.build_query_as().fetch_all(&mut *conn).await?;
        let rows = rows.into_iter();
        seen.extend(rows.map(|(producer, id, content)| ((producer, id), content)));
    }
    Ok(seen)
}

/// The last batches of the producers that number theirs.
async fn batches(
    conn: &mut Conn,
    deliveries: &[&Delivery],
) -> Result<HashMap<Producer, Last>, StoreError> {
    let producers: BTreeSet<&Producer> = deliveries.iter().map(|one| &one.producer).collect();
    let mut batches = HashMap::new();
    for producer in producers {
        let row: Option<(i64, String)> =
            query_as("SELECT number, content FROM outcome_batch WHERE producer = $1")
                .bind(producer.as_str())
                .fetch_optional(&mut *conn)
                .await?;
        if let Some((number, content)) = row {
            let number = super::count("outcome_batch", number)?;
            batches.insert(producer.clone(), Last { number, content });
        }
    }
    Ok(batches)
}

/// The Devices of `deliveries` that are SMETS1 meters, as far as the log `devices` was followed.
async fn smets1_among(
    conn: &mut Conn,
    deliveries: &[&Delivery],
) -> Result<HashSet<DeviceId>, StoreError> {
    let outcomes = deliveries.iter().flat_map(|one| &one.outcomes);
    let devices: BTreeSet<_> = outcomes.map(|one| one.permit.device()).collect();
    let devices: Vec<_> = devices.into_iter().collect();
    let malformed = |_| StoreError::inconsistent("meter", "a Device's id is malformed");
    let mut found = HashSet::new();
    for chunk in devices.chunks(MAX_BINDS) {
        let mut query =
            QueryBuilder::new("SELECT device_id FROM meter WHERE smets_major = 1 AND device_id ");
        query.push_in(chunk.iter().map(ToString::to_string));
        let rows: Vec<String> = query.build_query_scalar().fetch_all(&mut *conn).await?;
        for device in rows {
            found.insert(device.parse().map_err(malformed)?);
        }
    }
    Ok(found)
}

fn key(producer: &Producer, recording: &Recording) -> Key {
    let id = recording.outcome.id.as_str();
    (producer.as_str().to_owned(), id.to_owned())
}

/// What an outcome says, so that what is written differently and means the same is the same. The migration
/// `1002_roll_ups.sql` writes it, too.
fn content(recording: &Recording) -> String {
    let Outcome {
        id: _,
        party,
        variant,
        class,
        request_time,
        part: _,
        ending,
        origin,
    } = &recording.outcome;
    format!(
        "{party} {} {variant} {} {} {} {}",
        recording.permit.device(),
        i32::from(*class),
        request_time.micros(),
        ending.number(),
        origin.number()
    )
}
