//! Does a log have what somebody saw of it?

use crate::cursor::Cursor;
use crate::history::{self, Seen, histories};
use crate::sql::Conn;
use crate::{StoreError, log};

/// Judges `seen` against what `conn` reads.
pub(crate) async fn judge(conn: &mut Conn, seen: &Cursor) -> Result<Seen, StoreError> {
    let position = &seen.position;
    let head = log::head(conn, &position.log).await?;
    let histories = histories(conn, &position.log).await?;
    let stored = log::hash_at(conn, &position.log, position.sequence).await?;
    Ok(history::judge(
        seen,
        head.as_ref(),
        &histories,
        stored.as_ref(),
    ))
}
