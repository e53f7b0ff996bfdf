//! Who of those who are believed has said that a log went back, and is it still so?
//!
//! A file has a witness for that, which stays when the file goes back. A database on a server keeps it in
//! a table: an older database that is put in its place lacks the row, and those who follow the log say
//! it again.

use crate::history::Seen;
use crate::seen::judge;
use crate::sql::{Conn, query, query_as};
use crate::witness::Claim;
use crate::{StoreError, cursor, sequence_to_db};

pub(crate) const TABLE: &str = "log_claim";

/// Those of `claims` that are true of what `conn` reads: the log lacks what was seen, and nobody has accepted
/// that.
pub(crate) async fn standing(
    conn: &mut Conn,
    claims: impl IntoIterator<Item = Claim>,
) -> Result<Vec<Claim>, StoreError> {
    let mut standing = Vec::new();
    for claim in claims {
        if judge(conn, &claim.seen).await? == Seen::WentBack {
            standing.push(claim);
        }
    }
    Ok(standing)
}

/// What the table has, true or not.
pub(crate) async fn all(conn: &mut Conn) -> Result<Vec<Claim>, StoreError> {
    let rows: Vec<(String, i64, i64, Vec<u8>, String)> = query_as(
        "SELECT log, epoch, sequence, hash, said_by FROM log_claim ORDER BY log, epoch, said_by",
    )
    .fetch_all(conn)
    .await?;
    let read = |(log, epoch, sequence, hash, by)| {
        let seen = cursor::from_db(TABLE, (log, epoch, sequence, hash))?;
        Ok(Claim { seen, by })
    };
    rows.into_iter().map(read).collect()
}

/// Keeps what somebody says, the furthest of each history.
pub(crate) async fn keep(conn: &mut Conn, claim: &Claim) -> Result<(), StoreError> {
    let position = &claim.seen.position;
    query(
        "INSERT INTO log_claim (log, epoch, sequence, hash, said_by) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (log, epoch, said_by) DO UPDATE \
         SET sequence = excluded.sequence, hash = excluded.hash \
         WHERE excluded.sequence >= log_claim.sequence",
    )
    .bind(position.log.as_str())
    .bind(sequence_to_db(position.epoch.get()))
    .bind(sequence_to_db(position.sequence))
    .bind(claim.seen.hash.as_slice())
    .bind(&claim.by)
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets all of it: an operator has decided, or the right database is back.
pub(crate) async fn forget_all(conn: &mut Conn) -> Result<(), StoreError> {
    query("DELETE FROM log_claim").execute(conn).await?;
    Ok(())
}
