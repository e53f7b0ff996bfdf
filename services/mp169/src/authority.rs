//! `mp169 authority`: who may act on a Device.

use anyhow::Result;
use mesh_api::registration::v1 as wire;
use mesh_authz::InternalRole;

use crate::cli::authority::{AuthorityCommand, GetArgs};
use crate::cli::connection::Output;
use crate::output::{instant, print_fields, print_json, short};
use crate::reading;
use crate::session::Session;

/// Carries out a command.
pub(crate) async fn run(command: AuthorityCommand) -> Result<()> {
    match command {
        AuthorityCommand::Get(args) => get(args).await,
    }
}

async fn get(args: GetArgs) -> Result<()> {
    let session = Session::open(&args.question.connection, Some(InternalRole::Operator))?;
    let mut authority = session.clients.authority()?;
    let answer = reading::read(&args.question.known, async |as_of| {
        let request = wire::GetAuthorityRequest {
            device_id: args.device.to_string(),
            valid_time: args.valid_at,
            as_of,
            ..Default::default()
        };
        authority.get_authority(request).await
    })
    .await?;
    if args.question.connection.output == Output::Json {
        return print_json(&answer);
    }
    let authority = answer.authority.unwrap_or_default();
    let status = match authority.responsible_party_status() {
        wire::PartyStatus::Unspecified => "",
        status => short(status.as_str_name(), "PARTY_STATUS_"),
    };
    let hub = authority.communications_hub.unwrap_or_default();
    let registration = authority.registration.unwrap_or_default();
    print_fields(&[
        ("Device", authority.device_id),
        ("asked about", instant(answer.valid_time.as_ref())),
        ("Responsible Supplier", authority.responsible_party_id),
        ("status", status.to_owned()),
        ("since", instant(authority.responsible_since_time.as_ref())),
        ("until", instant(authority.authority_end_time.as_ref())),
        ("by the registration for", registration.mpxn),
        (
            "of the second element",
            authority.secondary_responsible_party_id,
        ),
        ("Communications Hub", hub.device_id),
        ("CSP", hub.csp_id),
    ])
}
