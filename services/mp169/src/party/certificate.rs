//! `mp169 party certificate`: what a party needs to talk to the mesh.

use std::time::Duration;

use anyhow::{Context as _, Result};
use mesh_api::authorization::v1::Role;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::registration::v1 as wire;
use mesh_pki::Validity;
use mesh_types::{EntityId, SystemClock};

use super::recognised::until_recognised;
use super::{USUAL, recorded};
use crate::cli::as_of::AsOfArgs;
use crate::cli::connection::Output;
use crate::cli::party::CertificateArgs;
use crate::clients::Clients;
use crate::exit::Usage;
use crate::output::{instant, print_fields, print_line};
use crate::p12::Wanted;
use crate::session::Session;

/// Remote Party Role Codes as certificates carry them. The mesh takes roles from the directory; the
/// code only makes the subject complete.
const SUPPLIER: u8 = 2;
const OTHER: u8 = 127;

/// Issues the certificate and keeps it. Ends when every service recognises it, so that the next
/// command can show it.
pub(super) async fn issue(args: CertificateArgs) -> Result<()> {
    let session = Session::open(&args.connection, USUAL)?;
    let name = args.party.to_string();
    let party = recorded(&session, &args.party, &AsOfArgs::default())
        .await?
        .party
        .unwrap_or_default();
    let identity = chosen(&party, args.entity.map(EntityId::new))?;
    let entity: EntityId = identity.entity_id.parse()?;
    let day = Duration::from_secs(86_400);
    let p12 = Wanted::read(&args.p12)?;
    let validity = Validity::starting_now(&SystemClock, day.saturating_mul(args.days));
    let authority = session.folder.authority()?;
    let issued =
        authority.issue_organisation(entity, role_code(identity), &party.name, validity)?;
    session.folder.note_issued(&name, &issued)?;
    let folder = match &args.out {
        Some(out) => session.folder.make_client(out, args.host.as_deref())?,
        None => session.folder,
    };
    let paths = folder.keep(&name, &issued)?;
    let p12 = p12.as_ref().map(|p12| p12.write(&name, &issued));
    let p12 = p12.transpose()?.map(|path| path.display().to_string());
    until_recognised(&Clients::of(&folder, &name)?).await?;
    let until = instant(Some(&timestamp_to_wire(validity.not_after())));
    if args.connection.output == Output::Json {
        return print_line(&serde_json::json!({
            "partyId": name,
            "entityId": identity.entity_id,
            "notAfter": until,
            "certificate": paths.certificate.display().to_string(),
            "key": paths.key.display().to_string(),
            "p12": p12,
        }));
    }
    let mut fields = vec![
        ("party", name.clone()),
        ("entity", identity.entity_id.clone()),
        ("holds until", until),
        ("certificate", paths.certificate.display().to_string()),
        ("key", paths.key.display().to_string()),
    ];
    fields.extend(p12.map(|path| ("for a browser", path)));
    print_fields(&fields)?;
    match args.out {
        Some(out) => print_line(&format_args!(
            "{} holds all that a client needs: give it to whom it is for, and use it with --home.",
            out.display()
        )),
        None => print_line(&format_args!("Show it with --as {name}.")),
    }
}

fn chosen(party: &wire::Party, entity: Option<EntityId>) -> Result<&wire::PartyIdentity> {
    match (entity, party.identities.as_slice()) {
        (None, [only]) => Ok(only),
        (None, identities) => {
            let ids: Vec<_> = identities.iter().map(|i| i.entity_id.as_str()).collect();
            Err(Usage(format!("say with --entity which one: {}", ids.join(", "))).into())
        }
        (Some(entity), identities) => identities
            .iter()
            .find(|identity| identity.entity_id == entity.to_string())
            .with_context(|| format!("{entity} is none of the party's")),
    }
}

fn role_code(identity: &wire::PartyIdentity) -> u8 {
    let supplies = identity.roles().any(|role| {
        matches!(
            role,
            Role::ImportSupplier | Role::ExportSupplier | Role::GasSupplier
        )
    });
    if supplies { SUPPLIER } else { OTHER }
}
