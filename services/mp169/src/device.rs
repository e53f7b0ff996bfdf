//! `mp169 device`: the inventory and the registrations.

mod load;
mod registration;

use anyhow::Result;
use mesh_api::common::v1::DeviceType;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::registration::v1 as wire;
use mesh_authz::InternalRole;
use mesh_rpc::Retry;
use mesh_types::{Clock as _, DeviceId, SystemClock};
use tonic::Code;

use crate::cli::as_of::AsOfArgs;
use crate::cli::connection::Output;
use crate::cli::device::{DeviceCommand, GetArgs, ListArgs, PutArgs};
use crate::exit::Usage;
use crate::inventory::smets_version;
use crate::output::{instant, print_fields, print_json, short};
use crate::reading::{self, Columns};
use crate::session::{Session, new_request_id};

/// Who usually gives these commands.
const USUAL: Option<InternalRole> = Some(InternalRole::RegistrationData);

/// Carries out a command.
pub(crate) async fn run(command: DeviceCommand) -> Result<()> {
    match command {
        DeviceCommand::Load(args) => load::run(args).await,
        DeviceCommand::Put(args) => put(args).await,
        DeviceCommand::Get(args) => get(args).await,
        DeviceCommand::List(args) => list(args).await,
        DeviceCommand::ChangeSupplier(args) => registration::change(args).await,
        DeviceCommand::WithdrawRegistration(args) => registration::withdraw(args).await,
        DeviceCommand::Registrations(args) => registration::list(args).await,
    }
}

/// What is not given stays as it is recorded; the etag keeps a change that came between from being
/// undone.
async fn put(args: PutArgs) -> Result<()> {
    let session = Session::open(&args.connection, USUAL)?;
    let recorded = match recorded(&session, args.device, &AsOfArgs::default()).await {
        Ok(answer) => answer.device.unwrap_or_default(),
        Err(status) if status.code() == Code::NotFound => wire::Device {
            device_id: args.device.to_string(),
            r#type: args
                .kind
                .ok_or_else(|| Usage("it is a new Device: say with --type what it is".to_owned()))?
                .into(),
            etag: "0".to_owned(),
            ..Default::default()
        },
        Err(status) => return Err(status.into()),
    };
    let output = args.connection.output;
    let request = wire::PutDeviceRequest {
        request_id: new_request_id(),
        etag: recorded.etag.clone(),
        device: Some(changed(recorded, args)?),
    };
    let mut devices = session.clients.devices()?;
    let answer = Retry::default()
        .idempotent(async || devices.put_device(request.clone()).await)
        .await?
        .into_inner();
    if output == Output::Json {
        return print_json(&answer);
    }
    show_device(answer.device.as_ref())
}

fn changed(mut device: wire::Device, args: PutArgs) -> Result<wire::Device> {
    let replace = |text: &mut String, given: Option<String>| {
        if let Some(given) = given {
            *text = given;
        }
    };
    replace(
        &mut device.communications_hub_id,
        args.hub.map(|id| id.to_string()),
    );
    replace(&mut device.csp_id, args.csp.map(|csp| csp.to_string()));
    replace(
        &mut device.gas_proxy_function_id,
        args.gpf.map(|id| id.to_string()),
    );
    replace(
        &mut device.import_mpan,
        args.import_mpan.map(|mpan| mpan.to_string()),
    );
    replace(
        &mut device.secondary_import_mpan,
        args.secondary_import_mpan.map(|mpan| mpan.to_string()),
    );
    replace(
        &mut device.export_mpan,
        args.export_mpan.map(|mpan| mpan.to_string()),
    );
    replace(&mut device.mprn, args.mprn.map(|mprn| mprn.to_string()));
    if let Some(kind) = args.kind {
        device.set_type(kind);
    }
    if let Some(version) = args.smets {
        let version = smets_version(&version).map_err(anyhow::Error::msg)?;
        device.smets_version = Some(version);
    }
    if let Some(status) = args.status.filter(|&status| status != device.smi_status()) {
        device.set_smi_status(status);
        device.smi_status_time = Some(timestamp_to_wire(SystemClock.now()));
    }
    if args.status_since.is_some() {
        device.smi_status_time = args.status_since;
    }
    if args.no_site_exceptions || !args.site_exceptions.is_empty() {
        device.site_exceptions = args.site_exceptions.into_iter().map(i32::from).collect();
    }
    Ok(device)
}

async fn recorded(
    session: &Session,
    device: DeviceId,
    known: &AsOfArgs,
) -> Result<wire::GetDeviceResponse, tonic::Status> {
    let unreachable = |error: anyhow::Error| tonic::Status::unknown(error.to_string());
    let mut devices = session.clients.devices().map_err(unreachable)?;
    reading::read(known, async |as_of| {
        let request = wire::GetDeviceRequest {
            device_id: device.to_string(),
            as_of,
        };
        devices.get_device(request).await
    })
    .await
}

async fn get(args: GetArgs) -> Result<()> {
    let session = Session::open(&args.question.connection, USUAL)?;
    let answer = recorded(&session, args.device, &args.question.known).await?;
    if args.question.connection.output == Output::Json {
        return print_json(&answer);
    }
    show_device(answer.device.as_ref())
}

async fn list(args: ListArgs) -> Result<()> {
    let mut devices = Session::open(&args.listing.connection, USUAL)?
        .clients
        .devices()?;
    let hub = args.hub.map(|hub| hub.to_string()).unwrap_or_default();
    let columns = Columns {
        header: &[
            "Device",
            "type",
            "SMETS",
            "SMI status",
            "hub or CSP",
            "MPxN",
            "site",
        ],
        row: &device_row,
        none: "No Device is recorded; `mp169 device load` loads some.",
    };
    reading::show_known(&args.listing, columns, async |wanted| {
        let request = wire::ListDevicesRequest {
            page_size: wanted.page_size,
            page_token: wanted.page_token,
            as_of: wanted.as_of,
            communications_hub_id: hub.clone(),
        };
        devices.list_devices(request).await
    })
    .await
}

fn show_device(device: Option<&wire::Device>) -> Result<()> {
    let Some(device) = device else { return Ok(()) };
    print_fields(&[
        ("Device", device.device_id.clone()),
        ("type", kind(device)),
        ("SMETS", version(device)),
        ("SMI status", status(device)),
        ("since", instant(device.smi_status_time.as_ref())),
        ("Communications Hub", device.communications_hub_id.clone()),
        ("CSP", device.csp_id.clone()),
        ("Gas Proxy Function", device.gas_proxy_function_id.clone()),
        ("import MPAN", device.import_mpan.clone()),
        (
            "secondary import MPAN",
            device.secondary_import_mpan.clone(),
        ),
        ("export MPAN", device.export_mpan.clone()),
        ("MPRN", device.mprn.clone()),
        ("site", exceptions(device)),
    ])
}

fn device_row(device: &wire::Device) -> Vec<String> {
    let place = if device.r#type() == DeviceType::Chf {
        &device.csp_id
    } else {
        &device.communications_hub_id
    };
    let mpxns = [
        &device.import_mpan,
        &device.secondary_import_mpan,
        &device.export_mpan,
        &device.mprn,
    ];
    let mpxns = mpxns.into_iter().filter(|mpxn| !mpxn.is_empty());
    vec![
        device.device_id.clone(),
        kind(device),
        version(device),
        status(device),
        place.clone(),
        mpxns.cloned().collect::<Vec<_>>().join(", "),
        exceptions(device),
    ]
}

fn kind(device: &wire::Device) -> String {
    short(device.r#type().as_str_name(), "DEVICE_TYPE_").to_owned()
}

fn version(device: &wire::Device) -> String {
    let version = device.smets_version;
    version.map_or_else(String::new, |v| format!("{}.{}", v.major, v.minor))
}

fn status(device: &wire::Device) -> String {
    match device.smi_status() {
        wire::SmiStatus::Unspecified => String::new(),
        status => short(status.as_str_name(), "SMI_STATUS_").to_owned(),
    }
}

fn exceptions(device: &wire::Device) -> String {
    let names: Vec<_> = device
        .site_exceptions()
        .map(|exception| short(exception.as_str_name(), "SITE_EXCEPTION_"))
        .collect();
    names.join(", ")
}
