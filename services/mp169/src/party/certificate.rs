//! `mp169 party certificate`: what a party needs to talk to the mesh.

use std::time::Duration;

use anyhow::{Context as _, Result};
use mesh_api::authorization::v1::Role;
use mesh_api::common::v1::ErrorReason;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::registration::v1 as wire;
use mesh_api::status::reason_of;
use mesh_pki::Validity;
use mesh_types::{EntityId, SystemClock};
use tonic::Status;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use super::{USUAL, recorded};
use crate::cli::as_of::AsOfArgs;
use crate::cli::connection::Output;
use crate::cli::party::CertificateArgs;
use crate::clients::Clients;
use crate::exit::Usage;
use crate::output::{instant, print_fields, print_line};
use crate::service::Service;
use crate::session::Session;

/// Remote Party Role Codes as certificates carry them. The mesh takes roles from the directory; the
/// code only makes the subject complete.
const SUPPLIER: u8 = 2;
const OTHER: u8 = 127;
/// The services follow the directory within a second; what takes longer is no matter of waiting.
const FOLLOW_LIMIT: Duration = Duration::from_secs(10);

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
    until_known(&Clients::of(&folder, &name)?).await?;
    let until = instant(Some(&timestamp_to_wire(validity.not_after())));
    if args.connection.output == Output::Json {
        return print_line(&serde_json::json!({
            "partyId": name,
            "entityId": identity.entity_id,
            "notAfter": until,
            "certificate": paths.certificate.display().to_string(),
            "key": paths.key.display().to_string(),
        }));
    }
    print_fields(&[
        ("party", name.clone()),
        ("entity", identity.entity_id.clone()),
        ("holds until", until),
        ("certificate", paths.certificate.display().to_string()),
        ("key", paths.key.display().to_string()),
    ])?;
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

/// Waits until no service says that it does not know the party.
async fn until_known(clients: &Clients) -> Result<()> {
    let deadline = tokio::time::Instant::now() + FOLLOW_LIMIT;
    for service in Service::ALL {
        while let Err(status) = ask(clients, service).await {
            match reason_of(&status) {
                Some(ErrorReason::PartyUnknown | ErrorReason::DirectoryNotLoaded)
                    if tokio::time::Instant::now() < deadline =>
                {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                // Recognised: what it may do is another matter.
                Some(ErrorReason::RoleNotPermitted | ErrorReason::PartyNotActive) => break,
                _ => return Err(status.into()),
            }
        }
    }
    Ok(())
}

/// Reflection is the one method that all services have and that asks who the caller is.
async fn ask(clients: &Clients, service: Service) -> Result<(), Status> {
    let channel = clients
        .channel(service)
        .map_err(|error| Status::unknown(error.to_string()))?;
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel);
    let answers = client.server_reflection_info(tokio_stream::once(request));
    answers.await?.into_inner().message().await?;
    Ok(())
}
