//! What do those downstream make of the log `flags`?

use std::collections::BTreeMap;

use mesh_api::common::v1::DeviceType;
use mesh_api::csp_notification::v1::{CauseClass, CspFlagChange, CspFlagState};
use mesh_api::flag_registry::v1::{Cause, FlagEvent, FlagFacts, FlagState};
use mesh_api::registration::v1::SmiStatus;
use mesh_api::reporting::v1::ObligationRow;
use mesh_types::Timestamp;

use super::Reference;
use super::flags::is_meter;

/// Where a Device is that somebody is to be told about: flagged, and on a hub.
fn place<'a>(facts: &'a FlagFacts, csp: &str) -> Option<&'a FlagFacts> {
    (facts.state() == FlagState::Flagged && facts.csp_id == csp).then_some(facts)
}

impl Reference {
    /// Whether communications with a Device are reduced: by its own flag or by one that covers it.
    pub(in super::super) fn reduced(&self, device: &str) -> bool {
        let mut entries = self.flags.state().values();
        entries.any(|entry| {
            entry.state() == FlagState::Flagged
                && (entry.device_id == device
                    || entry
                        .covered_device_ids
                        .iter()
                        .any(|covered| covered == device))
        })
    }

    /// What a CSP is told in all, without when it was recorded.
    pub(in super::super) fn told(&self, csp: &str) -> Vec<CspFlagChange> {
        let changes = self.flags.events.iter().filter_map(|event| {
            let (before, after) = (event.previous.as_ref(), event.current.as_ref());
            let (before, after) = (before.unwrap(), after.unwrap());
            let (was, is) = (place(before, csp), place(after, csp));
            let cause = match (was, is) {
                (None, None) => return None,
                (None, Some(_)) if before.state() == FlagState::Flagged => CauseClass::Arrived,
                (None, Some(_)) => CauseClass::Set,
                (Some(_), None) if after.state() == FlagState::Flagged => CauseClass::Left,
                (Some(_), None) if event.cause() == Cause::DeviceEnded => CauseClass::DeviceEnded,
                (Some(_), None) => CauseClass::Lifted,
                (Some(was), Some(is)) if was.communications_hub_id != is.communications_hub_id => {
                    CauseClass::Arrived
                }
                (Some(was), Some(is)) if was.covered_device_ids != is.covered_device_ids => {
                    CauseClass::CoverageChanged
                }
                (Some(_), Some(_)) => return None,
            };
            Some(self.change(event, was, is, cause))
        });
        let numbered = (1..).zip(changes);
        numbered
            .map(|(sequence, change)| CspFlagChange { sequence, ..change })
            .collect()
    }

    fn change(
        &self,
        event: &FlagEvent,
        was: Option<&FlagFacts>,
        is: Option<&FlagFacts>,
        cause: CauseClass,
    ) -> CspFlagChange {
        let states = [CspFlagState::NotReduced, CspFlagState::Reduced];
        let state = |facts: Option<&FlagFacts>| states[usize::from(facts.is_some())].into();
        let facts = is.or(was).unwrap();
        CspFlagChange {
            sequence: 0,
            recorded_time: None,
            device_id: event.device_id.clone(),
            device_type: event.device_type,
            covered_device_ids: facts.covered_device_ids.clone(),
            communications_hub_id: facts.communications_hub_id.clone(),
            previous_state: state(was),
            state: state(is),
            effective_time: event.effective_time,
            cause_class: cause.into(),
            flag_position: Some(
                self.flags
                    .position(usize::try_from(event.sequence).unwrap()),
            ),
            trace_parent: String::new(),
        }
    }

    /// The meters that count towards each supplier's obligation.
    pub(in super::super) fn obligations(&self) -> Vec<ObligationRow> {
        let inventory = self.devices.state();
        let mut rows: BTreeMap<String, ObligationRow> = BTreeMap::new();
        for meter in inventory.devices.values().filter(|device| is_meter(device)) {
            let authority = inventory.authority(&meter.device_id, self.now);
            let party = authority.responsible_party_id;
            if party.is_empty() {
                continue;
            }
            let row = rows.entry(party.clone()).or_insert(ObligationRow {
                party_id: party,
                ..ObligationRow::default()
            });
            let version = meter.smets_version.unwrap_or_default();
            if version.major < 2 || meter.smi_status() != SmiStatus::Commissioned {
                continue;
            }
            let reduced = u64::from(self.reduced(&meter.device_id));
            if meter.r#type() == DeviceType::Esme {
                row.electricity += 1;
                row.electricity_reduced_by_choice += reduced;
            } else {
                row.gas += 1;
                row.gas_reduced_by_choice += reduced;
            }
        }
        rows.into_values().collect()
    }

    /// Whether a request at an instant is excepted by a consumer's choice: what the last event
    /// that was recorded by then says.
    pub(in super::super) fn excepted(&self, device: &str, at: Timestamp) -> bool {
        let until = self
            .flags
            .times()
            .iter()
            .filter(|&&time| time <= at)
            .count();
        let mut latest: BTreeMap<&str, &FlagEvent> = BTreeMap::new();
        for event in &self.flags.events[..until] {
            latest.insert(&event.device_id, event);
        }
        latest.values().any(|event| {
            let facts = event.current.as_ref().unwrap();
            let covers = facts
                .covered_device_ids
                .iter()
                .any(|covered| covered == device);
            facts.state() == FlagState::Flagged && (event.device_id == device || covers)
        })
    }

    /// Whether a meter is a SMETS1 one, which is outside of all reports.
    pub(in super::super) fn is_smets1(&self, device: &str) -> bool {
        let device = self.devices.state().devices.get(device).unwrap();
        device
            .smets_version
            .is_some_and(|version| version.major < 2)
    }
}
