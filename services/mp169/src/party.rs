//! `mp169 party`: the directory of parties, and their certificates.

mod certificate;
pub(crate) mod recognised;

use anyhow::Result;
use mesh_api::authorization::v1::Role;
use mesh_api::registration::v1::{self as wire, PartyStatus};
use mesh_authz::InternalRole;
use mesh_rpc::Retry;
use mesh_types::{EntityId, Eui64, PartyId};

use crate::cli::as_of::AsOfArgs;
use crate::cli::connection::Output;
use crate::cli::party::{AddArgs, GetArgs, ListArgs, PartyCommand, StatusArgs};
use crate::output::{print_fields, print_json, short};
use crate::reading::{self, Columns};
use crate::session::{Session, new_request_id};

/// Who usually gives these commands.
const USUAL: Option<InternalRole> = Some(InternalRole::Operator);

/// Carries out a command.
pub(crate) async fn run(command: PartyCommand) -> Result<()> {
    match command {
        PartyCommand::Add(args) => add(args).await,
        PartyCommand::Certificate(args) => certificate::issue(args).await,
        PartyCommand::Get(args) => get(args).await,
        PartyCommand::List(args) => list(args).await,
        PartyCommand::Suspend(args) => set_status(args, PartyStatus::Suspended).await,
        PartyCommand::Resume(args) => set_status(args, PartyStatus::Active).await,
        PartyCommand::Close(args) => set_status(args, PartyStatus::Closed).await,
    }
}

async fn add(args: AddArgs) -> Result<()> {
    let identity = wire::PartyIdentity {
        entity_id: args
            .entity
            .map_or_else(drawn_entity, EntityId::new)
            .to_string(),
        roles: args.roles.into_iter().map(i32::from).collect(),
    };
    let request = wire::PutPartyRequest {
        request_id: new_request_id(),
        party: Some(wire::Party {
            party_id: args.party.to_string(),
            name: args.name,
            identities: vec![identity],
            csp_id: args.csp,
            acts_for: args.acts_for.iter().map(ToString::to_string).collect(),
            ..Default::default()
        }),
        etag: "0".to_owned(),
    };
    let mut parties = Session::open(&args.connection, USUAL)?.clients.parties()?;
    let answer = Retry::default()
        .idempotent(async || parties.put_party(request.clone()).await)
        .await?
        .into_inner();
    if args.connection.output == Output::Json {
        return print_json(&answer);
    }
    show_party(answer.party.as_ref())
}

/// Of the range for local use, which no manufacturer is given.
fn drawn_entity() -> EntityId {
    let [_, rest @ ..] = rand::random::<u64>().to_be_bytes();
    let mut octets = [0x02; 8];
    octets[1..].copy_from_slice(&rest);
    EntityId::new(Eui64::from_u64(u64::from_be_bytes(octets)))
}

async fn get(args: GetArgs) -> Result<()> {
    let session = Session::open(&args.question.connection, USUAL)?;
    let answer = recorded(&session, &args.party, &args.question.known).await?;
    if args.question.connection.output == Output::Json {
        return print_json(&answer);
    }
    show_party(answer.party.as_ref())
}

/// What is recorded of a party.
async fn recorded(
    session: &Session,
    party: &PartyId,
    known: &AsOfArgs,
) -> Result<wire::GetPartyResponse> {
    let mut parties = session.clients.parties()?;
    let answer = reading::read(known, async |as_of| {
        let request = wire::GetPartyRequest {
            party_id: party.to_string(),
            as_of,
        };
        parties.get_party(request).await
    });
    Ok(answer.await?)
}

async fn list(args: ListArgs) -> Result<()> {
    let mut parties = Session::open(&args.listing.connection, USUAL)?
        .clients
        .parties()?;
    let columns = Columns {
        header: &["party", "name", "status", "roles", "CSP"],
        row: &|party: &wire::Party| {
            vec![
                party.party_id.clone(),
                party.name.clone(),
                status(party),
                roles(party),
                party.csp_id.clone(),
            ]
        },
        none: "No party is recorded yet; `mp169 party add` records one.",
    };
    reading::show_known(&args.listing, columns, async |wanted| {
        let request = wire::ListPartiesRequest {
            page_size: wanted.page_size,
            page_token: wanted.page_token,
            as_of: wanted.as_of,
        };
        parties.list_parties(request).await
    })
    .await
}

async fn set_status(args: StatusArgs, status: PartyStatus) -> Result<()> {
    let request = wire::SetPartyStatusRequest {
        request_id: new_request_id(),
        party_id: args.party.to_string(),
        status: status.into(),
        reason: args.reason,
    };
    let mut parties = Session::open(&args.connection, USUAL)?.clients.parties()?;
    let answer = Retry::default()
        .idempotent(async || parties.set_party_status(request.clone()).await)
        .await?
        .into_inner();
    if args.connection.output == Output::Json {
        return print_json(&answer);
    }
    show_party(answer.party.as_ref())
}

fn show_party(party: Option<&wire::Party>) -> Result<()> {
    let Some(party) = party else { return Ok(()) };
    let entities = party.identities.iter().map(|i| i.entity_id.as_str());
    print_fields(&[
        ("party", party.party_id.clone()),
        ("name", party.name.clone()),
        ("status", status(party)),
        ("roles", roles(party)),
        ("entity", entities.collect::<Vec<_>>().join(", ")),
        ("CSP", party.csp_id.clone()),
        ("acts for", party.acts_for.join(", ")),
    ])
}

fn status(party: &wire::Party) -> String {
    short(party.status().as_str_name(), "PARTY_STATUS_").to_owned()
}

fn roles(party: &wire::Party) -> String {
    let roles = party.identities.iter().flat_map(wire::PartyIdentity::roles);
    let names: Vec<_> = roles
        .map(|role: Role| short(role.as_str_name(), "ROLE_"))
        .collect();
    names.join(", ")
}
