//! What does a row of a file ask for, and which request is it?

use mesh_api::flag_registry::v1 as wire;
use sha2::{Digest as _, Sha256};
use uuid::Builder;

use crate::cli::value::{device, time};
use crate::inventory::named;
use crate::table::{Cells, about, optional, read, several};

/// Why a row was refused, in a file of such rows. Passed over when it is read.
pub(super) const WHY: &str = "refused_because";

/// The columns of a file.
pub(super) const COLUMNS: &[&str] = &[
    "device_id",
    "action",
    "channel",
    "captured_time",
    "evidence_reference",
    "steps",
    "contact_reference",
    "economy_7_or_similar",
    "radio_teleswitch",
    "network_managed_without_wan",
    WHY,
];

/// What a row asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    Add(wire::AddFlagRequest),
    Remove(wire::RemoveFlagRequest),
}

impl Change {
    /// Reads a row; the choice was captured by `party`.
    pub(super) fn read(cells: &Cells<'_>, party: &str) -> Result<Self, String> {
        let adds = read(cells, "action", action)?;
        let device_id = read(cells, "device_id", device)?.to_string();
        let captured_time = read(cells, "captured_time", time)?;
        let preference = if adds {
            wire::Preference::Reduced
        } else {
            wire::Preference::Full
        };
        let choice = Some(wire::ConsumerChoice {
            preference: preference.into(),
            captured_time: Some(captured_time),
            channel: read(cells, "channel", channel)?.into(),
            captured_by_party_id: party.to_owned(),
            evidence_reference: cells.text("evidence_reference").to_owned(),
        });
        let (reasonable_steps, site_declarations) =
            (steps(cells, captured_time)?, declarations(cells)?);
        Ok(if adds {
            Self::Add(with_id(wire::AddFlagRequest {
                device_id,
                choice,
                reasonable_steps,
                site_declarations,
                ..Default::default()
            }))
        } else if reasonable_steps.is_some() || site_declarations.is_some() {
            return Err("what is attested and declared is for rows that add a flag".to_owned());
        } else {
            Self::Remove(with_id(wire::RemoveFlagRequest {
                device_id,
                choice,
                ..Default::default()
            }))
        })
    }

    pub(super) fn device(&self) -> &str {
        match self {
            Self::Add(request) => &request.device_id,
            Self::Remove(request) => &request.device_id,
        }
    }
}

/// A request that has an id.
trait Identified: prost::Message {
    /// What tells it from other kinds of requests.
    const KIND: u8;
    fn id(&mut self) -> &mut String;
}

impl Identified for wire::AddFlagRequest {
    const KIND: u8 = 1;
    fn id(&mut self) -> &mut String {
        &mut self.request_id
    }
}

impl Identified for wire::RemoveFlagRequest {
    const KIND: u8 = 2;
    fn id(&mut self) -> &mut String {
        &mut self.request_id
    }
}

/// Gives a request the id that is made from all the rest of it: a UUID of version 8 from the first
/// sixteen octets of a SHA-256.
fn with_id<R: Identified>(mut request: R) -> R {
    let hash = Sha256::new()
        .chain_update(b"mp169 flag load")
        .chain_update([R::KIND])
        .chain_update(request.encode_to_vec())
        .finalize();
    let octets = hash.first_chunk().copied().unwrap_or_default();
    let id = Builder::from_custom_bytes(octets).into_uuid();
    *request.id() = id.to_string();
    request
}

fn action(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "add" => Ok(true),
        "remove" => Ok(false),
        _ => Err("it is add or remove".to_owned()),
    }
}

fn channel(text: &str) -> Result<wire::Channel, String> {
    named(text, "CHANNEL_", wire::Channel::from_str_name)
}

/// The steps that were taken, all of them when the choice was captured.
fn steps(
    cells: &Cells<'_>,
    taken: prost_types::Timestamp,
) -> Result<Option<wire::ReasonableSteps>, String> {
    let text = cells.text("steps");
    let steps = several(text).map(|word| {
        let kind = named(word, "STEP_KIND_", wire::StepKind::from_str_name);
        Ok(wire::ReasonableStep {
            kind: about("steps", word, kind)?.into(),
            taken_time: Some(taken),
        })
    });
    let steps: Vec<_> = steps.collect::<Result<_, String>>()?;
    let contact_reference = cells.text("contact_reference").to_owned();
    let said = !steps.is_empty() || !contact_reference.is_empty();
    Ok(said.then_some(wire::ReasonableSteps {
        steps,
        contact_reference,
    }))
}

fn declarations(cells: &Cells<'_>) -> Result<Option<wire::SiteDeclarations>, String> {
    let declared = |column| -> Result<i32, String> {
        let word = |text: &str| named(text, "DECLARATION_", wire::Declaration::from_str_name);
        Ok(optional(cells, column, word)?.unwrap_or_default().into())
    };
    let declared = wire::SiteDeclarations {
        economy_7_or_similar: declared("economy_7_or_similar")?,
        radio_teleswitch: declared("radio_teleswitch")?,
        network_managed_without_wan: declared("network_managed_without_wan")?,
    };
    Ok((declared != wire::SiteDeclarations::default()).then_some(declared))
}
