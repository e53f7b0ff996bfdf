//! Which columns has each kind of file, and what does a row of it ask to record?

use mesh_api::authorization::v1::Role;
use mesh_api::registration::v1::inventory_row::Row;
use mesh_api::registration::v1::{self as wire, SiteException};

use super::words;
use crate::cli::value::{device, time};
use crate::table::{Cells, about, optional, read, several};

/// A file of one kind: its columns, the first of which only this kind has, and how a row is read.
pub(super) struct Kind {
    pub(super) columns: &'static [&'static str],
    pub(super) read: fn(&Cells<'_>) -> Result<Row, String>,
}

/// The kinds of files.
pub(super) const KINDS: [Kind; 3] = [
    Kind {
        columns: &[
            "device_id",
            "type",
            "smets_version",
            "smi_status",
            "smi_status_time",
            "communications_hub_id",
            "csp_id",
            "gas_proxy_function_id",
            "import_mpan",
            "secondary_import_mpan",
            "export_mpan",
            "mprn",
            "site_exceptions",
        ],
        read: read_device,
    },
    Kind {
        columns: &["mpxn", "party_id", "start_time", "end_time"],
        read: read_registration,
    },
    Kind {
        columns: &[
            "entity_id",
            "party_id",
            "name",
            "roles",
            "csp_id",
            "acts_for",
        ],
        read: read_party,
    },
];

fn read_device(cells: &Cells<'_>) -> Result<Row, String> {
    let text = |column| cells.text(column).to_owned();
    let exceptions = several(cells.text("site_exceptions")).map(|word| {
        let read = words::named(word, "SITE_EXCEPTION_", SiteException::from_str_name);
        about("site_exceptions", word, read).map(i32::from)
    });
    let status = optional(cells, "smi_status", words::status)?;
    Ok(Row::Device(wire::Device {
        device_id: read(cells, "device_id", device)?.to_string(),
        r#type: read(cells, "type", words::device_type)?.into(),
        smets_version: optional(cells, "smets_version", words::version)?,
        smi_status: status.unwrap_or_default().into(),
        smi_status_time: instant(cells, "smi_status_time")?,
        communications_hub_id: id(cells, "communications_hub_id")?,
        csp_id: optional(cells, "csp_id", words::csp)?.unwrap_or_default(),
        gas_proxy_function_id: id(cells, "gas_proxy_function_id")?,
        import_mpan: text("import_mpan"),
        secondary_import_mpan: text("secondary_import_mpan"),
        export_mpan: text("export_mpan"),
        mprn: text("mprn"),
        site_exceptions: exceptions.collect::<Result<_, _>>()?,
        etag: String::new(),
    }))
}

fn read_registration(cells: &Cells<'_>) -> Result<Row, String> {
    Ok(Row::Registration(wire::Registration {
        registration_id: String::new(),
        mpxn: cells.text("mpxn").to_owned(),
        party_id: cells.text("party_id").to_owned(),
        start_time: instant(cells, "start_time")?,
        end_time: instant(cells, "end_time")?,
    }))
}

fn read_party(cells: &Cells<'_>) -> Result<Row, String> {
    let roles = several(cells.text("roles")).map(|word| {
        let read = words::named(word, "ROLE_", Role::from_str_name);
        about("roles", word, read).map(i32::from)
    });
    let identity = wire::PartyIdentity {
        entity_id: read(cells, "entity_id", device)?.to_string(),
        roles: roles.collect::<Result<_, _>>()?,
    };
    Ok(Row::Party(wire::Party {
        party_id: cells.text("party_id").to_owned(),
        name: cells.text("name").to_owned(),
        identities: vec![identity],
        csp_id: optional(cells, "csp_id", words::csp)?.unwrap_or_default(),
        acts_for: several(cells.text("acts_for")).map(str::to_owned).collect(),
        ..Default::default()
    }))
}

/// The name of a Device that another names; empty if there is none.
fn id(cells: &Cells<'_>, column: &str) -> Result<String, String> {
    let id = optional(cells, column, device)?;
    Ok(id.map(|id| id.to_string()).unwrap_or_default())
}

fn instant(cells: &Cells<'_>, column: &str) -> Result<Option<prost_types::Timestamp>, String> {
    optional(cells, column, time)
}
