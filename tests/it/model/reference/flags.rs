//! What does a supplier's call do to a flag, and what does an event of the log `devices`?

use std::collections::BTreeSet;

use mesh_api::common::v1::{DeviceType, ErrorReason};
use mesh_api::convert::timestamp_from_wire;
use mesh_api::flag_registry::v1::{self as api, Cause, Declaration, FlagState, Precondition};
use mesh_api::flag_registry::v1::{FlagEvent, FlagFacts, Preference, ReviewReason};
use mesh_api::registration::v1::{Authority, SiteException, SmiStatus, device_event};
use mesh_api::registration::v1::{Device, DeviceEvent};
use mesh_types::Timestamp;
use tonic::Code;

use super::super::calls::{Answer, Call, Refusal, Reply, Request};
use super::inventory::is_decommissioned;
use super::quotas::Spends;
use super::{Reference, refuse, wire};

/// What a supplier asks for: the three kinds of requests have the same parts.
struct Wish<'a> {
    device: &'a str,
    /// What becomes of the flag.
    flagged: bool,
    /// What the event says if the flag changes.
    cause: Cause,
    choice: &'a api::ConsumerChoice,
    steps: Option<&'a api::ReasonableSteps>,
    declared: Option<&'a api::SiteDeclarations>,
    tenancy_start: Option<prost_types::Timestamp>,
    request_id: &'a str,
    etag: &'a str,
    validate_only: bool,
}

impl<'a> Wish<'a> {
    fn of(request: &'a Request) -> Self {
        match request {
            Request::Add(asked) => Self {
                device: &asked.device_id,
                flagged: true,
                cause: Cause::FlagAdded,
                choice: asked.choice.as_ref().unwrap(),
                steps: asked.reasonable_steps.as_ref(),
                declared: asked.site_declarations.as_ref(),
                tenancy_start: None,
                request_id: &asked.request_id,
                etag: &asked.etag,
                validate_only: asked.validate_only,
            },
            Request::Remove(asked) => Self {
                device: &asked.device_id,
                flagged: false,
                cause: Cause::FlagRemoved,
                choice: asked.choice.as_ref().unwrap(),
                steps: None,
                declared: None,
                tenancy_start: None,
                request_id: &asked.request_id,
                etag: &asked.etag,
                validate_only: asked.validate_only,
            },
            Request::Tenancy(asked) => {
                let choice = asked.choice.as_ref().unwrap();
                let kept = choice.preference() == Preference::Reduced;
                let causes = [Cause::TenancyRemoved, Cause::TenancyKept];
                Self {
                    device: &asked.device_id,
                    flagged: kept,
                    cause: causes[usize::from(kept)],
                    choice,
                    steps: asked.reasonable_steps.as_ref(),
                    declared: asked.site_declarations.as_ref(),
                    tenancy_start: asked.tenancy_start_time,
                    request_id: &asked.request_id,
                    etag: &asked.etag,
                    validate_only: asked.validate_only,
                }
            }
            other => panic!("{other:?} changes no flag"),
        }
    }
}

/// Whether the request is well formed: of what cases send, only a tenancy to come is not.
pub(super) fn check_form(call: &Call, now: Timestamp) -> Result<(), Refusal> {
    let start = Wish::of(&call.request).tenancy_start;
    if start.is_some_and(|start| timestamp_from_wire(&start).unwrap() > now) {
        return Err(Refusal::of_field("tenancy_start_time"));
    }
    Ok(())
}

impl Reference {
    pub(super) fn change_flag(&mut self, call: &Call) -> Answer {
        let wish = Wish::of(&call.request);
        let authority = self.devices.state().authority(wish.device, self.now);
        let before = self.entry(wish.device);
        if !wish.etag.is_empty() && wish.etag != before.etag {
            return refuse(Code::Aborted, ErrorReason::EtagMismatch);
        }
        let flagged = before.state() == FlagState::Flagged;
        let violated = self.violated(&wish, &authority, flagged);
        if !violated.is_empty() {
            return Err(Refusal {
                violated,
                ..Refusal::of(Code::FailedPrecondition, ErrorReason::PreconditionsNotMet)
            });
        }
        let changed = flagged != wish.flagged;
        let party = authority.responsible_party_id.clone();
        let spends = Spends::of(&before, wish.flagged);
        if spends.is_some_and(|spends| !self.has_room(spends, &party, wish.device)) {
            return refuse(Code::ResourceExhausted, ErrorReason::QuotaExhausted);
        }
        let mut position = None;
        if !wish.validate_only {
            let cause = match wish.cause {
                cause if changed || cause == Cause::TenancyKept => cause,
                _ => Cause::PreferenceRecorded,
            };
            let device = authority.device.clone().unwrap();
            self.record_flag(FlagEvent {
                device_id: wish.device.to_owned(),
                device_type: device.r#type,
                cause: cause.into(),
                current: Some(facts(&authority, wish.flagged)),
                effective_time: wire(self.now),
                actor: Some(self.actor(call.caller)),
                registration_position: Some(self.devices.head()),
                registration_id: authority.registration.unwrap().registration_id,
                choice: Some(wish.choice.clone()),
                reasonable_steps: wish.steps.cloned(),
                site_declarations: wish.declared.copied(),
                tenancy_start_time: wish.tenancy_start,
                request_id: wish.request_id.to_owned(),
                ..FlagEvent::default()
            });
            position = Some(self.flags.head());
            if let Some(spends) = spends {
                self.spend(spends, &party, wish.device);
            }
        }
        let entry = Some(self.entry(wish.device));
        let advice = api::Advice::BillingCalendarMayPushRegisters.into();
        Ok(match &call.request {
            Request::Add(_) => Reply::Add(api::AddFlagResponse {
                entry,
                changed,
                replayed: false,
                position,
                advice: vec![advice],
            }),
            Request::Remove(_) => Reply::Remove(api::RemoveFlagResponse {
                entry,
                changed,
                replayed: false,
                position,
            }),
            _ => Reply::Tenancy(api::RecordTenancyChangeResponse {
                entry,
                changed,
                replayed: false,
                position,
            }),
        })
    }

    /// The preconditions that do not hold (decisions 12 and 13).
    fn violated(&self, wish: &Wish<'_>, authority: &Authority, flagged: bool) -> BTreeSet<String> {
        use Precondition as P;
        let device = authority.device.as_ref().unwrap();
        let hub = authority.communications_hub.as_ref();
        let commissioned = |device: &Device| device.smi_status() == SmiStatus::Commissioned;
        let instant = |at: &Option<prost_types::Timestamp>| timestamp_from_wire(&at.unwrap());
        let captured = instant(&wish.choice.captured_time).unwrap();
        let since = instant(&authority.responsible_since_time).unwrap();
        let wants_flag = wish.choice.preference() == Preference::Reduced;
        let tenancy = wish.tenancy_start.is_some();
        let taken = wish.steps.iter().flat_map(|attested| &attested.steps);
        let mut taken = taken.map(|step| instant(&step.taken_time).unwrap());
        let attested = wish.steps.is_some_and(|attested| {
            !attested.steps.is_empty() && !attested.contact_reference.is_empty()
        });
        let absent = |exception, declared: fn(&api::SiteDeclarations) -> Declaration| {
            !device
                .site_exceptions()
                .any(|recorded| recorded == exception)
                && wish.declared.map(declared) == Some(Declaration::Absent)
        };
        let mut rules = vec![
            (P::DeviceIsAMeter, is_meter(device)),
            (
                P::ChoiceCapturedByThisSupplier,
                wish.choice.captured_by_party_id == authority.responsible_party_id
                    && since <= captured
                    && captured <= self.now,
            ),
            (P::PreferenceFits, tenancy || wants_flag == wish.flagged),
            // Also where none are asked for, because what is attested is recorded.
            (
                P::ReasonableStepsTaken,
                taken.all(|taken| taken <= self.now),
            ),
        ];
        if wish.flagged {
            let version = device.smets_version.unwrap_or_default();
            rules.extend([
                (P::Smets2OrLater, version.major >= 2),
                (P::DeviceCommissioned, commissioned(device)),
                (P::HubCommissioned, hub.is_some_and(commissioned)),
                (
                    P::NoEconomy7OrSimilar,
                    absent(SiteException::Economy7OrSimilar, |d| {
                        d.economy_7_or_similar()
                    }),
                ),
                (
                    P::NoRadioTeleswitch,
                    absent(SiteException::RadioTeleswitch, |d| d.radio_teleswitch()),
                ),
                (
                    P::NotNetworkManagedWithoutWan,
                    absent(SiteException::NetworkManagedWithoutWan, |d| {
                        d.network_managed_without_wan()
                    }),
                ),
                (P::ReasonableStepsTaken, attested),
                (
                    P::OneSupplierForBothElements,
                    device.secondary_import_mpan.is_empty()
                        || authority.secondary_responsible_party_id
                            == authority.responsible_party_id,
                ),
                (P::DeviceFlagged, flagged || !tenancy),
            ]);
        }
        let violated = rules.into_iter().filter(|(_, holds)| !holds);
        let name = |rule: P| rule.as_str_name().replace("PRECONDITION_", "");
        violated.map(|(rule, _)| name(rule)).collect()
    }

    pub(super) fn note(
        &mut self,
        call: &Call,
        asked: &api::NoteTenancyRestrictionRequest,
    ) -> Reply {
        let reason = ReviewReason::TenancyRestricted;
        let concerned = self.flags.state().values().filter(|entry| {
            let means = entry.device_id == asked.device_id
                || entry.covered_device_ids.contains(&asked.device_id);
            means && entry.state() == FlagState::Flagged && !entry.reviews().any(|r| r == reason)
        });
        let concerned: Vec<_> = concerned.cloned().collect();
        for entry in &concerned {
            self.record_flag(FlagEvent {
                device_id: entry.device_id.clone(),
                device_type: entry.device_type,
                cause: Cause::ReviewNeeded.into(),
                current: Some(facts_of(entry)),
                effective_time: wire(self.now),
                actor: Some(self.actor(call.caller)),
                registration_position: entry.registration_position.clone(),
                review_reason: reason.into(),
                request_id: asked.request_id.clone(),
                ..FlagEvent::default()
            });
        }
        Reply::Note(api::NoteTenancyRestrictionResponse {
            noted: !concerned.is_empty(),
            replayed: false,
            position: (!concerned.is_empty()).then(|| self.flags.head()),
        })
    }

    /// What an event of the log `devices` does to the flags of Devices that have a history.
    pub(super) fn follow(&mut self, event: &DeviceEvent) {
        match event.change.as_ref().unwrap() {
            device_event::Change::DeviceRecorded(recorded) => {
                let device = recorded.device.as_ref().unwrap();
                if is_meter(device) {
                    let (csp, party) = (&recorded.csp_id, &recorded.responsible_party_id);
                    self.follow_meter(event, device, csp, party);
                }
            }
            device_event::Change::SupplierTookEffect(effect) => {
                let registration = effect.registration.as_ref();
                let party = registration.map_or("", |registration| &registration.party_id);
                for device in &effect.device_ids {
                    self.follow_supplier(event, device, party, effect.effective_time);
                }
            }
            device_event::Change::RegistrationRecorded(_)
            | device_event::Change::RegistrationWithdrawn(_) => {}
        }
    }

    fn follow_supplier(
        &mut self,
        event: &DeviceEvent,
        device: &str,
        party: &str,
        effective: Option<prost_types::Timestamp>,
    ) {
        let before = self.entry(device);
        self.follow_change(event, device, Cause::SupplierChanged, effective, |facts| {
            facts.responsible_party_id = party.to_owned();
        });
        let instant = |at: Option<prost_types::Timestamp>| timestamp_from_wire(&at.unwrap());
        let changed = before.responsible_party_id != party;
        // Somebody else set or kept the flag, or lifted it, as it turns out.
        let lifted = matches!(before.cause(), Cause::FlagRemoved | Cause::TenancyRemoved);
        let decided = match before.state() {
            FlagState::Flagged => self.last_choice(device),
            _ if lifted => before.since_time,
            _ => None,
        };
        if changed && decided.is_some() && instant(effective).unwrap() < instant(decided).unwrap() {
            self.follow_review(
                event,
                device,
                ReviewReason::BackdatedRegistration,
                effective,
            );
        }
    }

    /// When the consumer's choice was last recorded.
    fn last_choice(&self, device: &str) -> Option<prost_types::Timestamp> {
        let mut choices = self.flags.events.iter().rev();
        let last = choices.find(|event| event.device_id == device && event.choice.is_some());
        last?.recorded_time
    }

    fn follow_meter(&mut self, event: &DeviceEvent, meter: &Device, csp: &str, party: &str) {
        let (id, at) = (&meter.device_id, event.recorded_time);
        if is_decommissioned(meter) {
            self.follow_change(event, id, Cause::DeviceEnded, at, |facts| {
                facts.set_state(FlagState::NotFlagged);
            });
        }
        self.follow_change(event, id, Cause::SupplierChanged, at, |facts| {
            facts.responsible_party_id = party.to_owned();
        });
        self.follow_change(event, id, Cause::HubReplaced, at, |facts| {
            facts.communications_hub_id = meter.communications_hub_id.clone();
            facts.csp_id = csp.to_owned();
        });
        self.follow_change(event, id, Cause::CoverageChanged, at, |facts| {
            facts.covered_device_ids = covered(meter);
        });
        let entry = self.entry(id);
        if entry.state() != FlagState::Flagged {
            return;
        }
        for exception in meter.site_exceptions() {
            let reason = match exception {
                SiteException::Economy7OrSimilar => ReviewReason::Economy7OrSimilar,
                SiteException::RadioTeleswitch => ReviewReason::RadioTeleswitch,
                _ => ReviewReason::NetworkManagedWithoutWan,
            };
            if !entry.reviews().any(|asked| asked == reason) {
                self.follow_review(event, id, reason, at);
            }
        }
    }

    /// Records a change of what a flag rests on, if the Device has a history and it is a change.
    fn follow_change(
        &mut self,
        event: &DeviceEvent,
        device: &str,
        cause: Cause,
        effective: Option<prost_types::Timestamp>,
        change: impl FnOnce(&mut FlagFacts),
    ) {
        let Some(entry) = self.flags.state().get(device) else {
            return;
        };
        let (previous, mut current) = (facts_of(entry), facts_of(entry));
        change(&mut current);
        if previous != current {
            self.record_flag(FlagEvent {
                cause: cause.into(),
                current: Some(current),
                ..self.followed(event, device, effective)
            });
        }
    }

    fn follow_review(
        &mut self,
        event: &DeviceEvent,
        device: &str,
        reason: ReviewReason,
        effective: Option<prost_types::Timestamp>,
    ) {
        self.record_flag(FlagEvent {
            cause: Cause::ReviewNeeded.into(),
            current: Some(facts_of(&self.entry(device))),
            review_reason: reason.into(),
            ..self.followed(event, device, effective)
        });
    }

    fn followed(
        &self,
        event: &DeviceEvent,
        device: &str,
        effective: Option<prost_types::Timestamp>,
    ) -> FlagEvent {
        let position = self.devices.head();
        assert_eq!(position.sequence, event.sequence);
        FlagEvent {
            device_id: device.to_owned(),
            device_type: self.entry(device).device_type,
            effective_time: effective,
            registration_position: Some(position),
            ..FlagEvent::default()
        }
    }

    /// Gives an event its place in the log, and makes of the Device's entry what it says.
    fn record_flag(&mut self, event: FlagEvent) {
        let mut entries = self.flags.state().clone();
        let before = entries.get(&event.device_id);
        let current = event.current.clone().unwrap();
        let event = FlagEvent {
            sequence: self.flags.next(),
            recorded_time: wire(self.now),
            previous: Some(before.map_or(
                FlagFacts {
                    state: FlagState::NotFlagged.into(),
                    ..current.clone()
                },
                facts_of,
            )),
            ..event
        };
        let previous = event.previous.as_ref().unwrap();
        let mut entry = before.cloned().unwrap_or_else(|| api::FlagEntry {
            device_id: event.device_id.clone(),
            device_type: event.device_type,
            ..api::FlagEntry::default()
        });
        let first = before.is_none();
        if first || previous.state != current.state {
            entry.since_time = event.effective_time;
            entry.cause = event.cause;
            entry.state_sequence = event.sequence;
        }
        if first || previous.responsible_party_id != current.responsible_party_id {
            entry.responsible_since_time = event.effective_time;
        }
        let ended =
            previous.state() == FlagState::Flagged && current.state() == FlagState::NotFlagged;
        if event.choice.is_some() || ended {
            entry.reviews.clear();
        }
        if event.review_reason() != ReviewReason::Unspecified {
            entry.reviews.push(event.review_reason);
        }
        entry.state = current.state;
        entry.covered_device_ids = current.covered_device_ids;
        entry.communications_hub_id = current.communications_hub_id;
        entry.csp_id = current.csp_id;
        entry.responsible_party_id = current.responsible_party_id;
        entry.last_sequence = event.sequence;
        entry.etag = event.sequence.to_string();
        entry.registration_position = event.registration_position.clone();
        entries.insert(entry.device_id.clone(), entry);
        self.flags.append(self.now, event, entries);
    }

    /// The flag of a Device, which may never have been flagged.
    pub(in super::super) fn entry(&self, device: &str) -> api::FlagEntry {
        let entry = self.flags.state().get(device);
        entry.cloned().unwrap_or_else(|| never_flagged(device))
    }
}

pub(super) fn never_flagged(device: &str) -> api::FlagEntry {
    api::FlagEntry {
        device_id: device.to_owned(),
        state: FlagState::NotFlagged.into(),
        etag: "0".to_owned(),
        ..api::FlagEntry::default()
    }
}

pub(super) fn is_meter(device: &Device) -> bool {
    matches!(device.r#type(), DeviceType::Esme | DeviceType::Gsme)
}

fn covered(meter: &Device) -> Vec<String> {
    let gpf = &meter.gas_proxy_function_id;
    let gpf = (!gpf.is_empty()).then(|| gpf.clone());
    gpf.into_iter().collect()
}

/// What a flag rests on by what registration says.
fn facts(authority: &Authority, flagged: bool) -> FlagFacts {
    let device = authority.device.as_ref().unwrap();
    let hub = authority.communications_hub.clone().unwrap_or_default();
    let states = [FlagState::NotFlagged, FlagState::Flagged];
    FlagFacts {
        state: states[usize::from(flagged)].into(),
        covered_device_ids: covered(device),
        communications_hub_id: hub.device_id,
        csp_id: hub.csp_id,
        responsible_party_id: authority.responsible_party_id.clone(),
    }
}

fn facts_of(entry: &api::FlagEntry) -> FlagFacts {
    FlagFacts {
        state: entry.state,
        covered_device_ids: entry.covered_device_ids.clone(),
        communications_hub_id: entry.communications_hub_id.clone(),
        csp_id: entry.csp_id.clone(),
        responsible_party_id: entry.responsible_party_id.clone(),
    }
}
