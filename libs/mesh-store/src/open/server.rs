//! How is a database on a server opened?

use std::sync::Arc;

use sqlx::migrate::Migrator;

use super::{Opened, Place};
use crate::StoreError;
use crate::attend::first_beat;
use crate::beside::Beside;
use crate::condition::Gate;
use crate::guard::Guard;
use crate::postgres::Server;

/// Opens the database on `server` and brings its schema up to date.
pub(super) async fn open(
    server: &Server,
    create: bool,
    migrations: &Migrator,
) -> Result<Opened, StoreError> {
    let opened = server.open(create, migrations).await?;
    let mut conn = opened.writer.acquire().await?;
    first_beat(&mut conn).await?;
    drop(conn);
    let guard = Guard::new(Gate::default(), Beside::Server);
    Ok(Opened {
        writer: opened.writer,
        readers: opened.readers,
        guard: Arc::new(guard),
        place: Place::Server,
    })
}
