//! After which edition was something counted?

use mesh_store::sql::{Conn, query_as, query_scalar};
use mesh_store::{StoreError, insert_rows};
use mesh_types::Timestamp;

use super::count;
use crate::edition::Counted;
use crate::period::Part;

const SINCE: &str = "outcome_since";

/// The layer into which counts go now.
pub(super) async fn now(conn: &mut Conn) -> Result<i64, StoreError> {
    query_scalar("SELECT COALESCE(MAX(number), 0) FROM edition")
        .fetch_one(conn)
        .await
}

/// Notes since when these parts have outcomes in this layer.
pub(super) async fn note_since(
    conn: &mut Conn,
    parts: &[Part],
    layer: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    insert_rows(
        conn,
        "INSERT INTO outcome_since (part, layer, since_time)",
        parts,
        3,
        "ON CONFLICT (part, layer) DO NOTHING",
        |mut row, part| {
            row.push_bind(part.to_string())
                .push_bind(layer)
                .push_bind(now.micros());
        },
    )
    .await?;
    Ok(())
}

/// Since when which parts have outcomes in which layers.
pub(super) async fn counted(conn: &mut Conn) -> Result<Vec<Counted>, StoreError> {
    let malformed = |_| StoreError::inconsistent(SINCE, "a part is malformed");
    let rows: Vec<(String, i64, i64)> =
        query_as("SELECT part, layer, since_time FROM outcome_since ORDER BY part, layer")
            .fetch_all(conn)
            .await?;
    rows.into_iter()
        .map(|(part, layer, since)| {
            Ok(Counted {
                part: part.parse().map_err(malformed)?,
                layer: count(SINCE, layer)?,
                since: Timestamp::from_micros(since),
            })
        })
        .collect()
}
