//! Acts 4, 5, 7 and 9: flags are set, refused, told to the CSPs, and end with a tenancy.

use anyhow::Result;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::csp_notification::v1 as csp;
use mesh_api::flag_registry::v1 as flags;
use mesh_types::{DeviceId, Timestamp};

use super::watch::Told;
use super::{Story, line};
use crate::sample::{ALBION, BRIGHT, CALEDONIA, METERWORKS, SampleParty};

impl Story {
    /// Act 4.
    pub(super) async fn flags_are_set(&mut self) -> Result<()> {
        self.narrator.act(
            "Act 4: a supplier sets the flag",
            "A consumer in the north keeps the smart meters and refuses remote reading. Albion has\n\
             taken all reasonable steps and sets the flag on both meters.",
        );
        let mut client = self.clients(ALBION.id)?.flags()?;
        let request = self.add(self.home(0).esme(), ALBION);
        let answer = client.add_flag(request.clone()).await;
        self.step(
            ALBION.id,
            "adds the flag to the ESME",
            "FLAGGED, changed, covers only itself",
            line(answer, say_added),
        );
        let answer = client.add_flag(request).await;
        let expected = "FLAGGED, changed, covers only itself, replayed";
        self.step(
            ALBION.id,
            "sends the same request again",
            expected,
            line(answer, say_added),
        );
        let answer = client.add_flag(self.add(self.home(0).gsme(), ALBION)).await;
        let expected = format!("FLAGGED, changed, covers {}", self.home(0).gpf());
        self.step(
            ALBION.id,
            "adds the flag to the GSME",
            &expected,
            line(answer, say_added),
        );
        let answer = client.add_flag(self.add(self.home(0).gsme(), ALBION)).await;
        let expected = format!("FLAGGED, unchanged, covers {}", self.home(0).gpf());
        if let Ok(answer) = &answer {
            self.flag_position.clone_from(&answer.get_ref().position);
        }
        self.step(
            ALBION.id,
            "adds it once more: the preference is recorded",
            &expected,
            line(answer, say_added),
        );
        Ok(())
    }

    /// Act 5.
    pub(super) async fn others_are_refused(&mut self) -> Result<()> {
        self.narrator.act(
            "Act 5: who may not, and where not",
            "Only the Responsible Supplier changes a flag, and only where communications can be reduced.",
        );
        for (party, expected) in [
            (CALEDONIA, "PERMISSION_DENIED NOT_RESPONSIBLE_SUPPLIER"),
            (METERWORKS, "PERMISSION_DENIED ROLE_NOT_PERMITTED"),
        ] {
            let mut client = self.clients(party.id)?.flags()?;
            let answer = client.add_flag(self.add(self.home(0).esme(), party)).await;
            self.step(
                party.id,
                "tries the ESME that Albion supplies",
                expected,
                line(answer, say_added),
            );
        }
        let mut client = self.clients(ALBION.id)?.flags()?;
        for (home, what, precondition) in [
            (1, "tries an Economy 7 site", "NO_ECONOMY_7_OR_SIMILAR"),
            (2, "tries a Radio Teleswitch site", "NO_RADIO_TELESWITCH"),
            (
                3,
                "tries a network-managed site without WAN",
                "NOT_NETWORK_MANAGED_WITHOUT_WAN",
            ),
            (4, "tries a SMETS1 meter", "SMETS2_OR_LATER"),
            (
                5,
                "tries a meter that is not commissioned",
                "DEVICE_COMMISSIONED",
            ),
            (
                6,
                "tries a twin-element meter of two suppliers",
                "ONE_SUPPLIER_FOR_BOTH_ELEMENTS",
            ),
        ] {
            let answer = client
                .add_flag(self.add(self.home(home).esme(), ALBION))
                .await;
            let expected = format!("FAILED_PRECONDITION PRECONDITIONS_NOT_MET: {precondition}");
            self.step(ALBION.id, what, &expected, line(answer, say_added));
        }
        let bare = flags::AddFlagRequest {
            reasonable_steps: None,
            site_declarations: None,
            ..self.add(self.home(5).esme(), ALBION)
        };
        let answer = client.add_flag(bare).await;
        self.step(
            ALBION.id,
            "tries again without attestation and declarations: all reasons at once",
            "FAILED_PRECONDITION PRECONDITIONS_NOT_MET: DEVICE_COMMISSIONED, NO_ECONOMY_7_OR_SIMILAR, \
             NO_RADIO_TELESWITCH, NOT_NETWORK_MANAGED_WITHOUT_WAN, REASONABLE_STEPS_TAKEN",
            line(answer, say_added),
        );
        Ok(())
    }

    /// Act 7.
    pub(super) async fn csps_are_told(&mut self) -> Result<()> {
        self.narrator.act(
            "Act 7: the CSP of the hub is told",
            "Each CSP has its own ordered, durable stream and sees only Devices on its own hubs.",
        );
        let told = self.csp_north.told(2).await;
        let expected = format!(
            "SET {} covering only itself; SET {} covering {}",
            self.home(0).esme(),
            self.home(0).gsme(),
            self.home(0).gpf()
        );
        self.step(
            "CSP-NORTH",
            "follows its stream",
            &expected,
            say_told(&told.changes),
        );
        self.acknowledges("acknowledges both", told).await?;
        // Both logs are projected in one transaction: what is in the one would be in the other.
        let mut client = self.clients("CSP-SOUTH")?.csp()?;
        let request = csp::GetSubscriptionRequest {
            csp_id: "south".into(),
        };
        let answer = client.get_subscription(request).await;
        let expected = format!("{} events", self.before.south);
        self.step(
            "CSP-SOUTH",
            "has no Device of this home",
            &expected,
            line(answer, |answer| {
                let head = answer
                    .subscription
                    .and_then(|subscription| subscription.head);
                head.map_or_else(String::new, |head| format!("{} events", head.sequence))
            }),
        );
        let request = csp::GetSubscriptionRequest {
            csp_id: "north".into(),
        };
        let answer = client.get_subscription(request).await;
        self.step(
            "CSP-SOUTH",
            "asks about the other CSP's stream",
            "PERMISSION_DENIED NOT_OWN_DATA",
            line(answer, |_| "an answer".into()),
        );
        Ok(())
    }

    /// Act 9.
    pub(super) async fn tenancy_changes(&mut self) -> Result<()> {
        self.narrator.act(
            "Act 9: a change of tenancy",
            "New people move in and want full smart functionality. The supplier of the day records it.",
        );
        let mut client = self.clients(BRIGHT.id)?.flags()?;
        let request = flags::RecordTenancyChangeRequest {
            request_id: new_id(),
            device_id: self.home(0).esme().to_string(),
            tenancy_start_time: Some(timestamp_to_wire(self.stage.clock.now())),
            choice: Some(choice(
                flags::Preference::Full,
                BRIGHT,
                self.stage.clock.now(),
            )),
            ..Default::default()
        };
        let answer = client.record_tenancy_change(request).await;
        self.settled = self.stage.clock.now();
        if let Ok(answer) = &answer {
            self.flag_position.clone_from(&answer.get_ref().position);
        }
        self.step(
            BRIGHT.id,
            "records the change of tenancy on the ESME",
            "NOT_FLAGGED, changed",
            line(answer, |answer| {
                say_state(answer.entry.as_ref(), answer.changed)
            }),
        );
        let told = self.csp_north.told(3).await;
        let lifted = format!("LIFTED {} covering only itself", self.home(0).esme());
        self.step(
            "CSP-NORTH",
            "is told",
            &lifted,
            say_told(told.changes.get(2..).unwrap_or_default()),
        );
        // On a mesh that goes on, a change that nobody acknowledges is a CSP that does not keep up.
        self.acknowledges("acknowledges that, too", told).await?;
        self.read_is_delivered_again().await
    }

    /// The northern CSP has applied all that it was told.
    async fn acknowledges(&mut self, what: &str, told: Told) -> Result<()> {
        let mut client = self.clients("CSP-NORTH")?.csp()?;
        let request = csp::AcknowledgeFlagChangesRequest {
            csp_id: self.csp_north.csp_id.to_owned(),
            up_to: told.position,
            applied_time: Some(timestamp_to_wire(self.stage.clock.now())),
        };
        let answer = client.acknowledge_flag_changes(request).await;
        let came_out = line(answer, |answer| {
            answer
                .subscription
                .map_or_else(String::new, |s| format!("lag {}", s.lag))
        });
        self.step("CSP-NORTH", what, "lag 0", came_out);
        Ok(())
    }

    fn add(&self, device: DeviceId, party: SampleParty) -> flags::AddFlagRequest {
        let now = self.stage.clock.now();
        flags::AddFlagRequest {
            request_id: new_id(),
            device_id: device.to_string(),
            choice: Some(choice(flags::Preference::Reduced, party, now)),
            reasonable_steps: Some(steps(now)),
            site_declarations: Some(nothing_in_the_way()),
            ..Default::default()
        }
    }
}

pub(super) fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

pub(super) fn choice(
    preference: flags::Preference,
    party: SampleParty,
    at: Timestamp,
) -> flags::ConsumerChoice {
    flags::ConsumerChoice {
        preference: preference.into(),
        captured_time: Some(timestamp_to_wire(at)),
        channel: flags::Channel::Telephone.into(),
        captured_by_party_id: party.id.to_owned(),
        evidence_reference: "CALL-2026-0302-117".into(),
    }
}

fn steps(at: Timestamp) -> flags::ReasonableSteps {
    let taken = [
        flags::StepKind::BenefitsExplained,
        flags::StepKind::ConsequencesExplained,
        flags::StepKind::LessFrequentReadsOffered,
    ];
    flags::ReasonableSteps {
        steps: taken
            .map(|kind| flags::ReasonableStep {
                kind: kind.into(),
                taken_time: Some(timestamp_to_wire(at)),
            })
            .to_vec(),
        contact_reference: "CRM-55-2231".into(),
    }
}

fn nothing_in_the_way() -> flags::SiteDeclarations {
    let absent = flags::Declaration::Absent.into();
    flags::SiteDeclarations {
        economy_7_or_similar: absent,
        radio_teleswitch: absent,
        network_managed_without_wan: absent,
    }
}

fn say_added(answer: flags::AddFlagResponse) -> String {
    let state = say_state(answer.entry.as_ref(), answer.changed);
    let covered = answer
        .entry
        .map(|entry| entry.covered_device_ids)
        .unwrap_or_default();
    let replayed = if answer.replayed { ", replayed" } else { "" };
    format!("{state}, covers {}{replayed}", say_covered(&covered))
}

pub(super) fn say_state(entry: Option<&flags::FlagEntry>, changed: bool) -> String {
    let state = entry
        .map(flags::FlagEntry::state)
        .unwrap_or_default()
        .as_str_name();
    let state = state.strip_prefix("FLAG_STATE_").unwrap_or(state);
    format!("{state}, {}", if changed { "changed" } else { "unchanged" })
}

fn say_covered(covered: &[String]) -> String {
    if covered.is_empty() {
        "only itself".into()
    } else {
        covered.join(" and ")
    }
}

fn say_told(changes: &[csp::CspFlagChange]) -> String {
    let said = changes.iter().map(|change| {
        let cause = change.cause_class().as_str_name();
        let cause = cause.strip_prefix("CAUSE_CLASS_").unwrap_or(cause);
        let covered = say_covered(&change.covered_device_ids);
        format!("{cause} {} covering {covered}", change.device_id)
    });
    said.collect::<Vec<_>>().join("; ")
}
