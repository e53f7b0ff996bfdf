//! How many outcomes are there?
//!
//! Whoever changes any of the counts locks this one first, so that replicas take turns.

use mesh_store::StoreError;
use mesh_store::sql::{Conn, query, query_scalar};

use super::count;

const TOTAL: &str = "outcome_total";

pub(super) async fn lock(conn: &mut Conn) -> Result<(), StoreError> {
    query("UPDATE outcome_total SET outcomes = outcomes WHERE id = 1")
        .execute(conn)
        .await?;
    Ok(())
}

pub(super) async fn add(conn: &mut Conn, outcomes: i64) -> Result<(), StoreError> {
    query("UPDATE outcome_total SET outcomes = outcomes + $1 WHERE id = 1")
        .bind(outcomes)
        .execute(conn)
        .await?;
    Ok(())
}

pub(super) async fn read(conn: &mut Conn) -> Result<u64, StoreError> {
    let outcomes = query_scalar("SELECT outcomes FROM outcome_total WHERE id = 1")
        .fetch_one(conn)
        .await?;
    count(TOTAL, outcomes)
}
