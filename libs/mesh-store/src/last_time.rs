//! What is the latest time of a transaction, whichever process made it?
//!
//! The clocks of several processes differ. What one has answered for a time that was over, another whose clock is
//! behind must not change. So on a server each transaction that writes takes up the latest time where the last one left it,
//! under the lock that they all take. A file has one process, which remembers.

use mesh_types::Timestamp;

use crate::StoreError;
use crate::sql::{Conn, query_scalar};

/// The time of a transaction that holds the write lock when the clock shows `shown`: the latest one, if that is later.
/// Committed, it is the latest. One that is later than `most` was a mistaken clock's, and is taken back.
pub(crate) async fn reach(
    conn: &mut Conn,
    shown: Timestamp,
    most: Timestamp,
) -> Result<Timestamp, StoreError> {
    let latest: i64 = query_scalar(
        "INSERT INTO last_time (id, latest) VALUES (1, $1) ON CONFLICT (id) DO UPDATE \
         SET latest = CASE WHEN last_time.latest BETWEEN $1 AND $2 THEN last_time.latest ELSE $1 END \
         RETURNING latest",
    )
    .bind(shown.micros())
    .bind(most.micros())
    .fetch_one(conn)
    .await?;
    Ok(Timestamp::from_micros(latest))
}

/// Whether `time` is earlier than whatever is still to be written.
pub(crate) async fn is_over(conn: &mut Conn, time: Timestamp) -> Result<bool, StoreError> {
    let over: Option<bool> = query_scalar("SELECT latest > $1 FROM last_time WHERE id = 1")
        .bind(time.micros())
        .fetch_optional(conn)
        .await?;
    Ok(over.unwrap_or(false))
}
