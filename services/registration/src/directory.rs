//! How does this service's own chain know the parties?
//!
//! From its own log `parties`, read as every other service reads it over the wire.

use std::time::Duration;

use mesh_api::registration::v1 as wire;
use mesh_authz::Directory;
use mesh_store::StoreError;
use mesh_store::log::{self, PageLimit};
use mesh_types::Sequence;
use prost::Message as _;
use tokio_util::sync::CancellationToken;

use crate::store::Inventory;
use crate::store::read::Page;
use crate::wire::party_to_wire;

/// How often the log is read without a commit of this process: a suspension that another replica
/// recorded acts after so long.
const POLL: Duration = Duration::from_millis(500);

/// How many parties one read takes.
const PAGE: u32 = 1_000;

/// Keeps `directory` as the log has it, until `stop` is cancelled.
pub(crate) async fn follow(inventory: Inventory, directory: Directory, stop: CancellationToken) {
    let mut commits = inventory
        .store()
        .committed()
        .subscribe(&inventory.logs().parties);
    let mut at = None;
    loop {
        commits.borrow_and_update();
        match catch_up(&inventory, &directory, at).await {
            Ok(reached) => at = Some(reached),
            Err(error) => {
                tracing::error!(%error, "the party directory cannot be read; it is tried again");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = commits.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

/// Takes over what follows `at`, or everything at first, and says up to where.
async fn catch_up(
    inventory: &Inventory,
    directory: &Directory,
    at: Option<Sequence>,
) -> Result<Sequence, StoreError> {
    let mut at = match at {
        Some(at) => at,
        None => load(inventory, directory).await?,
    };
    loop {
        let mut conn = inventory.store().readers().acquire().await?;
        let parties = &inventory.logs().parties;
        let events = log::read(&mut conn, parties, at, PageLimit::default()).await?;
        drop(conn);
        let Some(last) = events.last() else {
            return Ok(at);
        };
        at = last.sequence;
        let mut changed = Vec::with_capacity(events.len());
        for event in &events {
            let event = wire::PartyEvent::decode(event.event.as_slice());
            changed.extend(event.map_err(|_| malformed())?.party);
        }
        directory.apply(&changed).map_err(|_| malformed())?;
    }
}

async fn load(inventory: &Inventory, directory: &Directory) -> Result<Sequence, StoreError> {
    let at = inventory.parties_head().await?.sequence;
    let mut parties: Vec<wire::Party> = Vec::new();
    loop {
        let after = parties.last().map(|party| party.party_id.clone());
        let page = Page {
            at,
            after: after.as_deref(),
            limit: PAGE,
        };
        let found = inventory.party_page(page).await?;
        let last = found.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
        parties.extend(
            found
                .iter()
                .map(|party| party_to_wire(&party.value, party.since)),
        );
        if last {
            break;
        }
    }
    directory.load(&parties).map_err(|_| malformed())?;
    Ok(at)
}

fn malformed() -> StoreError {
    StoreError::inconsistent("log_event", "a party is not well formed")
}
