//! How are outcomes counted?
//!
//! By kind, hour and part, in the transaction that takes them. Of those that can be excepted, the ones that
//! are older than what is known of the flags are judged at once; the others are kept one by one until they are
//! settled (`open.rs`).

use std::collections::{BTreeMap, HashMap};

use mesh_api::common::v1::MessageClass;
use mesh_store::sql::{Conn, QueryBuilder, query_scalar};
use mesh_store::{MAX_BINDS, StoreError, insert_rows};
use mesh_types::{DeviceId, PartyId, Timestamp};

use super::open::{self, Open};
use super::{Recording, layers, total};
use crate::exception::exceptable;
use crate::outcome::{Ending, Origin, Producer, Variant};
use crate::period::{Hour, Part};

/// What outcomes have in common that are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    producer: Producer,
    party: PartyId,
    variant: Variant,
    class: MessageClass,
    origin: Origin,
    ending: Ending,
}

/// The same as a row of `outcome_kind` holds it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, sqlx::FromRow)]
struct Row {
    producer: String,
    party_id: String,
    variant: String,
    message_class: i64,
    origin: i64,
    result: i64,
    exceptable: bool,
}

#[derive(sqlx::FromRow)]
struct Stored {
    kind: i64,
    #[sqlx(flatten)]
    row: Row,
}

const KIND_COLUMNS: usize = 7;

/// Outcomes to add to the counts. Kinds are told by their places in the list of them.
#[derive(Debug, Default)]
pub(super) struct Rolls {
    kinds: Vec<Kind>,
    places: HashMap<Kind, usize>,
    hours: BTreeMap<(Hour, usize), i64>,
    parts: BTreeMap<(Part, usize), i64>,
    exceptable: BTreeMap<(DeviceId, Timestamp, usize), i64>,
}

impl Rolls {
    pub(super) fn add(&mut self, producer: &Producer, recording: &Recording) {
        let outcome = &recording.outcome;
        let kind = self.place(Kind {
            producer: producer.clone(),
            party: outcome.party.clone(),
            variant: outcome.variant.clone(),
            class: outcome.class,
            origin: outcome.origin,
            ending: outcome.ending,
        });
        let at = outcome.request_time;
        if exceptable(outcome.class) {
            let key = (recording.permit.device(), at, kind);
            *self.exceptable.entry(key).or_default() += 1;
        }
        *self.hours.entry((Hour::of(at), kind)).or_default() += 1;
        *self.parts.entry((outcome.part, kind)).or_default() += 1;
    }

    fn place(&mut self, kind: Kind) -> usize {
        if let Some(place) = self.places.get(&kind) {
            return *place;
        }
        let place = self.kinds.len();
        self.kinds.push(kind.clone());
        self.places.insert(kind, place);
        place
    }

    pub(super) async fn write(self, conn: &mut Conn, now: Timestamp) -> Result<(), StoreError> {
        if self.kinds.is_empty() {
            return Ok(());
        }
        let rows: Vec<Row> = self.kinds.iter().map(Row::of).collect();
        let numbers = numbers(conn, &rows).await?;
        self.write_hours(conn, &numbers).await?;
        let layer = layers::now(conn).await?;
        self.write_parts(conn, &numbers, layer).await?;
        let mut parts: Vec<Part> = self.parts.keys().map(|(part, _)| *part).collect();
        parts.dedup();
        layers::note_since(conn, &parts, layer, now).await?;
        total::add(conn, self.hours.values().sum()).await?;
        let each = self.exceptable.into_iter();
        let each = each.map(|((device, request_time, kind), outcomes)| Open {
            device,
            request_time,
            kind: numbers[kind],
            outcomes,
        });
        open::take(conn, each.collect(), layer).await
    }

    async fn write_hours(&self, conn: &mut Conn, numbers: &[i64]) -> Result<(), StoreError> {
        let hours: Vec<_> = self.hours.iter().collect();
        insert_rows(
            conn,
            "INSERT INTO outcome_hour (hour, kind, outcomes, excepted)",
            &hours,
            4,
            "ON CONFLICT (hour, kind) \
             DO UPDATE SET outcomes = outcome_hour.outcomes + excluded.outcomes",
            |mut row, ((hour, kind), outcomes)| {
                row.push_bind(hour.number())
                    .push_bind(numbers[*kind])
                    .push_bind(**outcomes)
                    .push_bind(0_i64);
            },
        )
        .await?;
        Ok(())
    }

    async fn write_parts(
        &self,
        conn: &mut Conn,
        numbers: &[i64],
        layer: i64,
    ) -> Result<(), StoreError> {
        let parts: Vec<_> = self.parts.iter().collect();
        insert_rows(
            conn,
            "INSERT INTO outcome_part (part, kind, layer, outcomes, excepted)",
            &parts,
            5,
            "ON CONFLICT (part, kind, layer) \
             DO UPDATE SET outcomes = outcome_part.outcomes + excluded.outcomes",
            |mut row, ((part, kind), outcomes)| {
                row.push_bind(part.to_string())
                    .push_bind(numbers[*kind])
                    .push_bind(layer)
                    .push_bind(**outcomes)
                    .push_bind(0_i64);
            },
        )
        .await?;
        Ok(())
    }
}

impl Row {
    fn of(kind: &Kind) -> Self {
        Self {
            producer: kind.producer.as_str().to_owned(),
            party_id: kind.party.as_str().to_owned(),
            variant: kind.variant.as_str().to_owned(),
            message_class: i64::from(i32::from(kind.class)),
            origin: i64::from(kind.origin.number()),
            result: i64::from(kind.ending.number()),
            exceptable: exceptable(kind.class),
        }
    }
}

/// The numbers of these kinds, in their order; the next ones for those that are new.
async fn numbers(conn: &mut Conn, kinds: &[Row]) -> Result<Vec<i64>, StoreError> {
    let mut known: HashMap<Row, i64> = HashMap::new();
    for chunk in kinds.chunks(MAX_BINDS / KIND_COLUMNS) {
        let mut query = QueryBuilder::new(
            "SELECT kind, producer, party_id, variant, message_class, origin, result, exceptable \
             FROM outcome_kind WHERE (producer, party_id, variant, message_class, origin, result, \
             exceptable) IN (",
        );
        query.push_values(chunk, |mut row, kind| {
            row.push_bind(kind.producer.as_str())
                .push_bind(kind.party_id.as_str())
                .push_bind(kind.variant.as_str())
                .push_bind(kind.message_class)
                .push_bind(kind.origin)
                .push_bind(kind.result)
                .push_bind(kind.exceptable);
        });
        query.push(")");
        let rows: Vec<Stored> = query.build_query_as().fetch_all(&mut *conn).await?;
        known.extend(rows.into_iter().map(|stored| (stored.row, stored.kind)));
    }
    let mut last: i64 = query_scalar("SELECT COALESCE(MAX(kind), 0) FROM outcome_kind")
        .fetch_one(&mut *conn)
        .await?;
    let mut new: Vec<(i64, &Row)> = Vec::new();
    let each = kinds.iter().map(|kind| {
        known.get(kind).copied().unwrap_or_else(|| {
            last += 1;
            new.push((last, kind));
            last
        })
    });
    let numbers = each.collect();
    insert_rows(
        conn,
        "INSERT INTO outcome_kind \
         (kind, producer, party_id, variant, message_class, origin, result, exceptable)",
        &new,
        1 + KIND_COLUMNS,
        "",
        |mut row, (number, kind)| {
            row.push_bind(*number)
                .push_bind(kind.producer.as_str())
                .push_bind(kind.party_id.as_str())
                .push_bind(kind.variant.as_str())
                .push_bind(kind.message_class)
                .push_bind(kind.origin)
                .push_bind(kind.result)
                .push_bind(kind.exceptable);
        },
    )
    .await?;
    Ok(numbers)
}
