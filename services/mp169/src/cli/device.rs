//! What can be asked of `mp169 device`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use mesh_api::common::v1::DeviceType;
use mesh_api::registration::v1::{SiteException, SmiStatus};
use mesh_types::{CspId, DeviceId, Mpan, Mprn, Mpxn, PartyId};

use super::connection::Connection;
use super::question::{Listing, Question};
use super::value::{device, named, time};

const TYPES: &[&str] = &[
    "esme", "gsme", "gpf", "chf", "ppmid", "hcalcs", "ihd", "cad", "sapc",
];
const STATUSES: &[&str] = &[
    "pending",
    "whitelisted",
    "installed-not-commissioned",
    "commissioned",
    "suspended",
    "decommissioned",
    "recovery",
];
const EXCEPTIONS: &[&str] = &[
    "economy-7-or-similar",
    "radio-teleswitch",
    "network-managed-without-wan",
];

/// `device`
#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// Loads Devices, registrations and parties from CSV files.
    ///
    /// The header of a file says what its rows are. Columns are named as the fields of the contracts
    /// and come in any order; those that stay empty can be left out.
    ///
    /// Devices: device_id, type, smets_version, smi_status, smi_status_time, communications_hub_id,
    /// csp_id, gas_proxy_function_id, import_mpan, secondary_import_mpan, export_mpan, mprn,
    /// site_exceptions.
    ///
    /// Registrations: mpxn, party_id, start_time, end_time.
    ///
    /// Parties: party_id, name, entity_id, roles, csp_id, acts_for. A party with several EUI-64s has a row
    /// for each.
    ///
    /// Several values in one column are separated by spaces; times are 2026-11-23T10:00:00Z or
    /// 2026-11-23. Files and rows may come in any order. A load that was cut off can be given again:
    /// what is recorded already stays as it is.
    ///
    /// Commas, semicolons, tabs or bars separate columns; files are UTF-8, or UTF-16 with a byte order
    /// mark. Rows without anything are passed over. The words of DUIS for statuses and versions are
    /// read, such as InstalledNotCommissioned and SMETS V5.0.
    #[command(after_help = "Examples:\n  \
        mp169 device load examples/inventory/devices.csv examples/inventory/registrations.csv\n  \
        mp169 device load examples/inventory/parties.csv --dry-run")]
    Load(LoadArgs),
    /// Records a Device, or changes what is given of one that is recorded.
    #[command(after_help = "Examples:\n  \
        mp169 device put 02-DC-C1-00-00-00-04-C0 --type chf --status commissioned --csp central\n  \
        mp169 device put 02-DC-C1-00-00-00-01-E0 --hub 02-DC-C1-00-00-00-04-C0\n  \
        mp169 device put 02-DC-C1-00-00-00-03-E0 --no-site-exceptions")]
    Put(PutArgs),
    /// Shows a Device.
    #[command(after_help = "Example:\n  mp169 device get 02-DC-C1-00-00-00-01-E0")]
    Get(GetArgs),
    /// Lists Devices.
    #[command(after_help = "Examples:\n  \
        mp169 device list --limit 20\n  \
        mp169 device list --hub 02-DC-C1-00-00-00-02-C0 --output json")]
    List(ListArgs),
    /// Registers a supplier for an MPAN or MPRN from an instant on.
    #[command(after_help = "Example:\n  mp169 device change-supplier 1300000000025 EAGLE")]
    ChangeSupplier(ChangeSupplierArgs),
    /// Withdraws a registration that was announced and has not begun.
    ///
    /// Whoever was registered before it stays registered. In the last minute before a registration
    /// begins, it can no longer be withdrawn.
    #[command(after_help = "Examples:\n  \
        mp169 device change-supplier 1300000000025 DRAGON --from \"$(date -u -d '+7 days' +%F)\"\n  \
        mp169 device withdraw-registration 1300000000025 DRAGON")]
    WithdrawRegistration(WithdrawRegistrationArgs),
    /// Lists the registrations of an MPAN or MPRN: past, present and future.
    #[command(
        after_help = "Example:\n  mp169 device registrations 1300000000025 --valid-at 2025-06-30"
    )]
    Registrations(RegistrationsArgs),
}

/// `device load`
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// The files.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Say which rows a load would refuse, and record nothing. Where the mesh cannot be asked, the files
    /// are checked by themselves, and what was not checked is said.
    #[arg(long)]
    pub dry_run: bool,
    /// Where to ask; usually as registration-data.
    #[command(flatten)]
    pub connection: Connection,
}

/// `device put`
#[derive(Debug, Args)]
pub struct PutArgs {
    /// The Device, an EUI-64 such as 02-DC-C1-00-00-00-01-E0.
    #[arg(value_parser = device)]
    pub device: DeviceId,
    /// What it is: needed for a new Device, and never changes.
    #[arg(long = "type", value_parser = named(TYPES, "DEVICE_TYPE_", DeviceType::from_str_name))]
    pub kind: Option<DeviceType>,
    /// The version of SMETS that a meter was built to, such as 2.0.
    #[arg(long, value_name = "VERSION")]
    pub smets: Option<String>,
    /// Its SMI status.
    #[arg(long, value_parser = named(STATUSES, "SMI_STATUS_", SmiStatus::from_str_name))]
    pub status: Option<SmiStatus>,
    /// Since when it has that status; now if a new status is given without.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub status_since: Option<prost_types::Timestamp>,
    /// The CHF of the Communications Hub that it is on.
    #[arg(long, value_name = "DEVICE", value_parser = device)]
    pub hub: Option<DeviceId>,
    /// The CSP of a CHF, such as north.
    #[arg(long)]
    pub csp: Option<CspId>,
    /// The GPF that mirrors a GSME.
    #[arg(long, value_name = "DEVICE", value_parser = device)]
    pub gpf: Option<DeviceId>,
    /// The import MPAN of an ESME.
    #[arg(long, value_name = "MPAN")]
    pub import_mpan: Option<Mpan>,
    /// The import MPAN of the second element of an ESME.
    #[arg(long, value_name = "MPAN")]
    pub secondary_import_mpan: Option<Mpan>,
    /// The export MPAN of an ESME.
    #[arg(long, value_name = "MPAN")]
    pub export_mpan: Option<Mpan>,
    /// The MPRN of a GSME.
    #[arg(long)]
    pub mprn: Option<Mprn>,
    /// What is known of a meter's site, instead of what was recorded; give it once for each.
    #[arg(
        long = "site-exception",
        value_name = "EXCEPTION",
        value_parser = named(EXCEPTIONS, "SITE_EXCEPTION_", SiteException::from_str_name)
    )]
    pub site_exceptions: Vec<SiteException>,
    /// Nothing of the kind is known of the site any more.
    #[arg(long, conflicts_with = "site_exceptions")]
    pub no_site_exceptions: bool,
    /// Where to ask; usually as registration-data.
    #[command(flatten)]
    pub connection: Connection,
}

/// `device get`
#[derive(Debug, Args)]
pub struct GetArgs {
    /// The Device.
    #[arg(value_parser = device)]
    pub device: DeviceId,
    /// As of when, and where to ask; usually as registration-data.
    #[command(flatten)]
    pub question: Question,
}

/// `device list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only Devices on this hub.
    #[arg(long, value_name = "DEVICE", value_parser = device)]
    pub hub: Option<DeviceId>,
    /// How much of it, as of when, and where to ask; usually as registration-data.
    #[command(flatten)]
    pub listing: Listing,
}

/// `device change-supplier`
#[derive(Debug, Args)]
pub struct ChangeSupplierArgs {
    /// The MPAN or MPRN.
    pub mpxn: Mpxn,
    /// The gaining supplier.
    pub supplier: PartyId,
    /// From when on: past, present, or up to 90 days ahead; now if not given.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub from: Option<prost_types::Timestamp>,
    /// Where to ask; usually as registration-data.
    #[command(flatten)]
    pub connection: Connection,
}

/// `device withdraw-registration`
#[derive(Debug, Args)]
pub struct WithdrawRegistrationArgs {
    /// The MPAN or MPRN.
    pub mpxn: Mpxn,
    /// The supplier whose registration is withdrawn.
    pub supplier: PartyId,
    /// When the registration was to begin, as `device registrations` shows it. If not given, the
    /// supplier's last registration is withdrawn.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub start: Option<prost_types::Timestamp>,
    /// Where to ask; usually as registration-data.
    #[command(flatten)]
    pub connection: Connection,
}

/// `device registrations`
#[derive(Debug, Args)]
pub struct RegistrationsArgs {
    /// The MPAN or MPRN.
    pub mpxn: Mpxn,
    /// Only the registration that holds at this instant.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub valid_at: Option<prost_types::Timestamp>,
    /// As of when, and where to ask; usually as registration-data.
    #[command(flatten)]
    pub question: Question,
}
