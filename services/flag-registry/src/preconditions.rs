//! What must hold before a flag is changed?
//!
//! Every rule looks on its own and all that are violated are reported together, so that a supplier
//! mends everything in one round.

use mesh_api::flag_registry::v1::{Declaration, Precondition, Preference};
use mesh_api::registration::v1::{SiteException, SmiStatus};
use mesh_types::Timestamp;

use crate::facts::Facts;
use crate::flag::Entry;
use crate::preference::{Attestation, Choice, Declarations, Given, Wish, WishKind};

/// A precondition that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub precondition: Precondition,
    /// What it is about: a Device, or the path of a field of the request.
    pub subject: String,
    /// What is wrong, for people.
    pub description: String,
}

/// Everything that stands in the way of `wish` at `now`; nothing if it may be granted.
#[must_use]
pub fn violations(
    wish: &Wish,
    entry: Option<&Entry>,
    facts: &Facts,
    now: Timestamp,
) -> Vec<Violation> {
    let mut found = Violations(Vec::new());
    found.meter(facts);
    if reduces(wish) {
        found.device(facts);
        found.hub(facts);
        found.site(facts, wish.given.declarations.as_ref());
        found.steps(wish.given.attestation.as_ref());
        found.twin_element(facts);
    }
    found.step_times(wish.given.attestation.as_ref(), now);
    found.choice(&wish.given.choice, facts, now);
    found.preference(wish);
    if wish.kind == WishKind::Tenancy && reduces(wish) {
        found.flagged(entry, facts);
    }
    found.0
}

/// The name of a precondition as it travels: without the enum's prefix.
#[must_use]
pub fn precondition_name(precondition: Precondition) -> &'static str {
    let name = precondition.as_str_name();
    name.strip_prefix("PRECONDITION_").unwrap_or(name)
}

/// Whether the flag is to be set or kept, which needs more than lifting it does.
fn reduces(Wish { kind, given }: &Wish) -> bool {
    match kind {
        WishKind::Add => true,
        WishKind::Remove => false,
        WishKind::Tenancy => wants_reduction(given),
    }
}

/// Whether the consumer wants reduced communications.
pub(crate) fn wants_reduction(given: &Given) -> bool {
    given.choice.preference == Preference::Reduced
}

struct Violations(Vec<Violation>);

impl Violations {
    fn add(
        &mut self,
        precondition: Precondition,
        subject: &(impl ToString + ?Sized),
        description: impl Into<String>,
    ) {
        self.0.push(Violation {
            precondition,
            subject: subject.to_string(),
            description: description.into(),
        });
    }

    fn meter(&mut self, facts: &Facts) {
        if facts.meter().is_none() {
            self.add(
                Precondition::DeviceIsAMeter,
                &facts.device,
                "only an ESME or a GSME carries the flag",
            );
        }
    }

    fn device(&mut self, facts: &Facts) {
        match facts.smets_major {
            Some(2..) => {}
            Some(major) => self.add(
                Precondition::Smets2OrLater,
                &facts.device,
                format!("the Device was built to SMETS{major}"),
            ),
            None => self.add(
                Precondition::Smets2OrLater,
                &facts.device,
                "no SMETS version is recorded for the Device",
            ),
        }
        if facts.smi_status != SmiStatus::Commissioned {
            self.add(
                Precondition::DeviceCommissioned,
                &facts.device,
                format!("the SMI status of the Device is {}", name(facts.smi_status)),
            );
        }
    }

    fn hub(&mut self, facts: &Facts) {
        match &facts.hub {
            Some(hub) if hub.smi_status == SmiStatus::Commissioned => {}
            Some(hub) => self.add(
                Precondition::HubCommissioned,
                &hub.device,
                format!(
                    "the SMI status of the Communications Hub is {}",
                    name(hub.smi_status)
                ),
            ),
            None => self.add(
                Precondition::HubCommissioned,
                &facts.device,
                "the Device is on no Communications Hub",
            ),
        }
    }

    fn site(&mut self, facts: &Facts, declared: Option<&Declarations>) {
        let rules = [
            (
                Precondition::NoEconomy7OrSimilar,
                SiteException::Economy7OrSimilar,
                "economy_7_or_similar",
                declared.map(|declared| declared.economy_7_or_similar),
            ),
            (
                Precondition::NoRadioTeleswitch,
                SiteException::RadioTeleswitch,
                "radio_teleswitch",
                declared.map(|declared| declared.radio_teleswitch),
            ),
            (
                Precondition::NotNetworkManagedWithoutWan,
                SiteException::NetworkManagedWithoutWan,
                "network_managed_without_wan",
                declared.map(|declared| declared.network_managed_without_wan),
            ),
        ];
        for (precondition, exception, field, declared) in rules {
            if facts.exceptions.contains(&exception) {
                self.add(precondition, &facts.device, "it is recorded for the site");
            }
            let problem = match declared.unwrap_or_default() {
                Declaration::Absent => continue,
                Declaration::Present => "the supplier declares that it is there",
                Declaration::Unspecified => "the supplier does not declare that it is absent",
            };
            self.add(precondition, &format!("site_declarations.{field}"), problem);
        }
    }

    fn steps(&mut self, attestation: Option<&Attestation>) {
        const RULE: Precondition = Precondition::ReasonableStepsTaken;
        let Some(attestation) = attestation else {
            self.add(RULE, "reasonable_steps", "the attestation is missing");
            return;
        };
        if attestation.steps.is_empty() {
            self.add(RULE, "reasonable_steps.steps", "no step is named");
        }
        if attestation.contact.is_none() {
            self.add(
                RULE,
                "reasonable_steps.contact_reference",
                "it is not said where the contact is recorded",
            );
        }
    }

    /// Of an attestation that nobody asks for too, because it is recorded all the same.
    fn step_times(&mut self, attestation: Option<&Attestation>, now: Timestamp) {
        let steps = attestation.map_or(&[][..], |attestation| &attestation.steps);
        for (index, step) in steps.iter().enumerate() {
            if step.taken > now {
                self.add(
                    Precondition::ReasonableStepsTaken,
                    &format!("reasonable_steps.steps[{index}].taken_time"),
                    "the step lies in the future",
                );
            }
        }
    }

    fn twin_element(&mut self, facts: &Facts) {
        match &facts.second_element {
            Some(Some(supplier)) if *supplier != facts.supplier => self.add(
                Precondition::OneSupplierForBothElements,
                &facts.device,
                "the second element has another supplier",
            ),
            Some(None) => self.add(
                Precondition::OneSupplierForBothElements,
                &facts.device,
                "nobody is registered for the second element",
            ),
            Some(Some(_)) | None => {}
        }
    }

    fn choice(&mut self, choice: &Choice, facts: &Facts, now: Timestamp) {
        const RULE: Precondition = Precondition::ChoiceCapturedByThisSupplier;
        if choice.captured_by != facts.supplier {
            self.add(
                RULE,
                "choice.captured_by_party_id",
                "the choice was captured by another party than the supplier now responsible",
            );
        }
        if choice.captured < facts.supplier_since {
            self.add(
                RULE,
                "choice.captured_time",
                "the choice was captured before the supplier became responsible",
            );
        }
        if choice.captured > now {
            self.add(
                RULE,
                "choice.captured_time",
                "the choice lies in the future",
            );
        }
    }

    fn preference(&mut self, wish: &Wish) {
        let problem = match (wish.kind, wants_reduction(&wish.given)) {
            (WishKind::Add, false) => "the flag is set for a consumer who wants REDUCED",
            (WishKind::Remove, true) => "the flag is lifted for a consumer who wants FULL",
            (WishKind::Add, true) | (WishKind::Remove, false) | (WishKind::Tenancy, _) => return,
        };
        self.add(Precondition::PreferenceFits, "choice.preference", problem);
    }

    fn flagged(&mut self, entry: Option<&Entry>, facts: &Facts) {
        if !entry.is_some_and(|entry| entry.standing.flagged) {
            self.add(
                Precondition::DeviceFlagged,
                &facts.device,
                "there is no flag to keep: add it with the incoming tenant's choice",
            );
        }
    }
}

fn name(status: SmiStatus) -> &'static str {
    let name = status.as_str_name();
    name.strip_prefix("SMI_STATUS_").unwrap_or(name)
}
