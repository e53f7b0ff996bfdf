//! How is a database on a server opened?

use std::sync::Arc;

use sqlx::migrate::Migrator;

use super::{Opened, Place};
use crate::attend::first_beat;
use crate::away::Lookout;
use crate::beside::Beside;
use crate::condition::{Gate, tell_claim};
use crate::guard::Guard;
use crate::memory::Memory;
use crate::postgres::Server;
use crate::trouble::Trouble;
use crate::witness::Claim;
use crate::{StoreError, claim};

/// Opens the database on `server` and brings its schema up to date.
pub(super) async fn open(
    server: &Server,
    create: bool,
    migrations: &Migrator,
) -> Result<Opened, StoreError> {
    let lookout = Lookout::new(server.clone());
    let opened = server.open(create, migrations, &lookout.presence()).await?;
    let mut conn = opened.writer.acquire().await?;
    first_beat(&mut conn).await?;
    let gate = Gate::default();
    let said = claim::all(&mut conn).await?;
    let standing = claim::standing(&mut conn, said.clone()).await?;
    for Claim { seen, by } in &standing {
        tell_claim(&seen.position, by);
        let log = seen.position.log.clone();
        gate.raise(Trouble::WentBack { log });
    }
    if standing.is_empty() && !said.is_empty() {
        // The right database is back.
        claim::forget_all(&mut conn).await?;
    }
    drop(conn);
    let guard = Guard::new(gate, Beside::Server(Memory::default()));
    Ok(Opened {
        writer: opened.writer,
        readers: opened.readers,
        guard: Arc::new(guard),
        place: Place::Server,
        hints: Some(opened.hints),
        lookout: Some(lookout),
    })
}
