//! Devices on the wire.

use mesh_api::common::v1 as common;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::registration::v1 as wire;
use mesh_types::{Bounds, Sequence, Timestamp};

use super::{Fields, Numbered, numbered};
use crate::device::{Device, DeviceType, SiteException, SmetsVersion, SmiStatus};

numbered!(DeviceType as common::DeviceType {
    Esme, Gsme, Gpf, Chf, Ppmid, Hcalcs, Ihd, Cad, Sapc,
});
numbered!(SmiStatus as wire::SmiStatus {
    Pending,
    Whitelisted,
    InstalledNotCommissioned,
    Commissioned,
    Suspended,
    Decommissioned,
    Recovery,
});
numbered!(SiteException as wire::SiteException {
    Economy7OrSimilar, RadioTeleswitch, NetworkManagedWithoutWan,
});

/// Reads a Device that a caller sent at `now`; its etag is not read.
pub(crate) fn read_device(
    device: &wire::Device,
    fields: &mut Fields<'_>,
    now: Timestamp,
) -> Option<Device> {
    let id = fields.device("device_id", &device.device_id);
    if device.device_id.is_empty() {
        fields.add("device_id", "is missing");
    }
    let device_type = fields.number("type", device.r#type);
    let status_sent = device.smi_status != i32::from(wire::SmiStatus::Unspecified);
    let status = status_sent
        .then(|| fields.number("smi_status", device.smi_status))
        .flatten();
    let site_exceptions = device
        .site_exceptions
        .iter()
        .enumerate()
        .filter_map(|(n, &number)| fields.number(&format!("site_exceptions[{n}]"), number))
        .collect();
    let read = Device {
        id: id?,
        device_type: device_type?,
        smets_version: device.smets_version.map(|version| SmetsVersion {
            major: version.major,
            minor: version.minor,
        }),
        status,
        status_since: fields.instant_within(
            "smi_status_time",
            device.smi_status_time.as_ref(),
            Bounds::SMI_STATUS,
            now,
        ),
        hub: fields.device("communications_hub_id", &device.communications_hub_id),
        csp: fields.optional("csp_id", &device.csp_id),
        gpf: fields.device("gas_proxy_function_id", &device.gas_proxy_function_id),
        import_mpan: fields.optional("import_mpan", &device.import_mpan),
        secondary_import_mpan: fields
            .optional("secondary_import_mpan", &device.secondary_import_mpan),
        export_mpan: fields.optional("export_mpan", &device.export_mpan),
        mprn: fields.optional("mprn", &device.mprn),
        site_exceptions,
    };
    if !fields.is_sound() {
        return None;
    }
    fields.add_all(read.problems());
    fields.is_sound().then_some(read)
}

/// The Device, as the event at `recorded` made it.
#[must_use]
pub(crate) fn device_to_wire(device: &Device, recorded: Sequence) -> wire::Device {
    wire::Device {
        device_id: device.id.to_string(),
        r#type: device.device_type.number(),
        smets_version: device.smets_version.map(|version| wire::SmetsVersion {
            major: version.major,
            minor: version.minor,
        }),
        smi_status: device.status.map(Numbered::number).unwrap_or_default(),
        smi_status_time: device.status_since.map(timestamp_to_wire),
        communications_hub_id: text(device.hub.as_ref()),
        csp_id: text(device.csp.as_ref()),
        gas_proxy_function_id: text(device.gpf.as_ref()),
        import_mpan: text(device.import_mpan.as_ref()),
        secondary_import_mpan: text(device.secondary_import_mpan.as_ref()),
        export_mpan: text(device.export_mpan.as_ref()),
        mprn: text(device.mprn.as_ref()),
        site_exceptions: device
            .site_exceptions
            .iter()
            .map(|exception| exception.number())
            .collect(),
        etag: recorded.to_string(),
    }
}

fn text(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}
