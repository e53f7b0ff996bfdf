//! `mp169 device change-supplier`, `withdraw-registration` and `registrations`: who supplies what when.

use anyhow::Result;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::device_service_client::DeviceServiceClient;
use mesh_authz::InternalRole;
use mesh_rpc::{MeshChannel, Retry};
use mesh_types::{Clock as _, SystemClock};

use crate::cli::connection::Output;
use crate::cli::device::{ChangeSupplierArgs, RegistrationsArgs, WithdrawRegistrationArgs};
use crate::output::{instant, print_json, print_line, print_table};
use crate::reading;
use crate::session::{Session, new_request_id};

/// Who usually gives these commands.
const USUAL: Option<InternalRole> = Some(InternalRole::RegistrationData);

const REGISTRATION: [&str; 4] = ["MPxN", "supplier", "from", "until"];

pub(super) async fn change(args: ChangeSupplierArgs) -> Result<()> {
    let request = wire::ChangeSupplierRequest {
        request_id: new_request_id(),
        mpxn: args.mpxn.to_string(),
        party_id: args.supplier.to_string(),
        start_time: args.from,
    };
    let mut devices = Session::open(&args.connection, USUAL)?.clients.devices()?;
    let answer = Retry::default()
        .idempotent(async || devices.change_supplier(request.clone()).await)
        .await?
        .into_inner();
    if args.connection.output == Output::Json {
        return print_json(&answer);
    }
    show(answer.ended.iter().chain(&answer.registration))
}

/// Whether it can be withdrawn is for registration to say, whichever it is.
pub(super) async fn withdraw(args: WithdrawRegistrationArgs) -> Result<()> {
    let mut devices = Session::open(&args.connection, USUAL)?.clients.devices()?;
    let (mpxn, party_id) = (args.mpxn.to_string(), args.supplier.to_string());
    let start_time = match args.start {
        Some(start) => start,
        None => last_start(&mut devices, &mpxn, &party_id).await?,
    };
    let request = wire::WithdrawRegistrationRequest {
        request_id: new_request_id(),
        mpxn,
        party_id,
        start_time: Some(start_time),
    };
    let answer = Retry::default()
        .idempotent(async || devices.withdraw_registration(request.clone()).await)
        .await?
        .into_inner();
    if args.connection.output == Output::Json {
        return print_json(&answer);
    }
    if let Some(registration) = &answer.withdrawn {
        print_line(&format_args!(
            "Withdrawn: the registration of {} from {}.",
            registration.party_id,
            instant(registration.start_time.as_ref())
        ))?;
    }
    match &answer.resumed {
        Some(resumed) => show([resumed]),
        None => print_line(&"No other registration has changed."),
    }
}

/// When a supplier's last registration begins; of one that has none, now, when none begins either.
async fn last_start(
    devices: &mut DeviceServiceClient<MeshChannel>,
    mpxn: &str,
    party_id: &str,
) -> Result<prost_types::Timestamp> {
    let request = wire::ListRegistrationsRequest {
        mpxn: mpxn.to_owned(),
        ..Default::default()
    };
    let known = devices.list_registrations(request).await?.into_inner();
    let mut all = known.registrations.iter();
    let last = all.rfind(|registration| registration.party_id == party_id);
    let start = last.and_then(|last| last.start_time);
    Ok(start.unwrap_or_else(|| timestamp_to_wire(SystemClock.now())))
}

pub(super) async fn list(args: RegistrationsArgs) -> Result<()> {
    let mut devices = Session::open(&args.question.connection, USUAL)?
        .clients
        .devices()?;
    let answer = reading::read(&args.question.known, async |as_of| {
        let request = wire::ListRegistrationsRequest {
            mpxn: args.mpxn.to_string(),
            as_of,
            valid_time: args.valid_at,
        };
        devices.list_registrations(request).await
    })
    .await?;
    if args.question.connection.output == Output::Json {
        return print_json(&answer);
    }
    if answer.registrations.is_empty() {
        return print_line(&"Nobody is registered.");
    }
    show(&answer.registrations)
}

fn show<'a>(registrations: impl IntoIterator<Item = &'a wire::Registration>) -> Result<()> {
    let rows = registrations.into_iter().map(row);
    print_table(&REGISTRATION, rows.collect())
}

fn row(registration: &wire::Registration) -> Vec<String> {
    vec![
        registration.mpxn.clone(),
        registration.party_id.clone(),
        instant(registration.start_time.as_ref()),
        instant(registration.end_time.as_ref()),
    ]
}
