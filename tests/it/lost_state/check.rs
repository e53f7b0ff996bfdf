//! What must hold after every attack, once an operator has done what is to be done?

use std::collections::BTreeSet;

use mesh_api::flag_registry::v1::{FlagEvent, FlagState, ListFlagsRequest};
use mp169::clients::Clients;
use mp169::home::Folder;

use super::csp::Csp;
use crate::downstream;
use crate::tape::Tape;

/// Fails unless everybody has made of the log `flags`, read anew from its first event, what its
/// events say: flag-registry itself, classification, reporting, and each CSP's own system.
pub(super) async fn all_agree<'a>(folder: &Folder, csps: impl IntoIterator<Item = &'a Csp>) {
    let (flags, devices) = downstream::heads(folder).await;
    let events = Tape::of_flags(folder).up_to(flags.sequence).await;
    registry_agrees(folder, &events).await;
    downstream::services_agree(folder, &events, &flags, &devices).await;
    for csp in csps {
        csp.has(&downstream::reduced(&events, csp.id)).await;
    }
}

/// The registry's own table is the fold of its log.
async fn registry_agrees(folder: &Folder, events: &[FlagEvent]) {
    let mut flags = Clients::of(folder, "operator").unwrap().flags().unwrap();
    let request = ListFlagsRequest {
        page_size: 1_000,
        ..Default::default()
    };
    let entries = flags
        .list_flags(request)
        .await
        .unwrap()
        .into_inner()
        .entries;
    let flagged = entries
        .into_iter()
        .filter(|entry| entry.state() == FlagState::Flagged);
    let flagged: BTreeSet<_> = flagged.map(|entry| entry.device_id).collect();
    assert_eq!(flagged, downstream::flagged(events), "what is flagged");
}
