//! What may be recorded of a Device, and which changes contradict what is recorded?

use std::collections::BTreeSet;

use mesh_types::{CspId, DeviceId, Mpan, Mprn, Mpxn, Timestamp};

use crate::contradiction::Contradiction;
use crate::problem::Problem;

/// What a Device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceType {
    /// Electricity meter.
    Esme,
    /// Gas meter.
    Gsme,
    /// Gas proxy function, the mirror of a GSME on the hub.
    Gpf,
    /// Communications Hub function.
    Chf,
    /// Prepayment meter interface device.
    Ppmid,
    /// HAN connected auxiliary load control switch.
    Hcalcs,
    /// In-home display.
    Ihd,
    /// Consumer access device.
    Cad,
    /// Standalone auxiliary proportional controller.
    Sapc,
}

/// The SMI status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SmiStatus {
    /// Notified before delivery.
    Pending,
    /// On the hub's whitelist.
    Whitelisted,
    /// Installed, not yet commissioned.
    InstalledNotCommissioned,
    /// Commissioned.
    Commissioned,
    /// Suspended.
    Suspended,
    /// Decommissioned, for good.
    Decommissioned,
    /// In recovery after a compromise.
    Recovery,
}

/// A fact of the site that forbids reduced communications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SiteException {
    /// An Economy 7 or similar tariff.
    Economy7OrSimilar,
    /// Radio Teleswitch.
    RadioTeleswitch,
    /// A potential network-managed site with no WAN.
    NetworkManagedWithoutWan,
}

/// The version of the technical specification that a meter was built to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SmetsVersion {
    /// 1 for SMETS1, 2 and up for SMETS2+.
    pub major: u32,
    /// The number after the dot.
    pub minor: u32,
}

/// A Device as the Smart Metering Inventory has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The EUI-64.
    pub id: DeviceId,
    /// What it is.
    pub device_type: DeviceType,
    /// Of a meter.
    pub smets_version: Option<SmetsVersion>,
    /// The SMI status; a Type 2 Device has none.
    pub status: Option<SmiStatus>,
    /// Since when it has that status.
    pub status_since: Option<Timestamp>,
    /// The CHF of the hub that it is on.
    pub hub: Option<DeviceId>,
    /// The CSP of a CHF.
    pub csp: Option<CspId>,
    /// The GPF that mirrors a GSME.
    pub gpf: Option<DeviceId>,
    /// Of an ESME.
    pub import_mpan: Option<Mpan>,
    /// Of the second element of a twin-element ESME.
    pub secondary_import_mpan: Option<Mpan>,
    /// Of an ESME.
    pub export_mpan: Option<Mpan>,
    /// Of a GSME.
    pub mprn: Option<Mprn>,
    /// What is recorded of a meter's site.
    pub site_exceptions: BTreeSet<SiteException>,
}

/// What is recorded of the Devices that a change names.
#[derive(Debug, Clone, Copy, Default)]
pub struct Related<'a> {
    /// The Device that the change names as hub.
    pub hub: Option<&'a Device>,
    /// The Device that the change names as GPF.
    pub gpf: Option<&'a Device>,
    /// Another GSME, not decommissioned, that names the same GPF.
    pub mirrored: Option<DeviceId>,
}

/// Whether a field is set, and its path.
type Field = (bool, &'static str);

impl DeviceType {
    /// Whether it measures what premises draw: only these can be flagged.
    #[must_use]
    pub const fn is_meter(self) -> bool {
        matches!(self, Self::Esme | Self::Gsme)
    }

    /// Whether it is of Type 2, which has no SMI status.
    #[must_use]
    pub const fn is_type_2(self) -> bool {
        matches!(self, Self::Ihd | Self::Cad)
    }
}

impl Device {
    /// Whether it is out of use for good.
    #[must_use]
    pub fn is_decommissioned(&self) -> bool {
        self.status == Some(SmiStatus::Decommissioned)
    }

    /// The MPxN whose supplier is responsible for the meter: the import MPAN, with none the export
    /// MPAN; for gas the MPRN. Other Devices have none of their own.
    #[must_use]
    pub fn decisive_mpxn(&self) -> Option<Mpxn> {
        match self.device_type {
            DeviceType::Esme => self.import_mpan.or(self.export_mpan).map(Mpxn::Mpan),
            DeviceType::Gsme => self.mprn.map(Mpxn::Mprn),
            _ => None,
        }
    }

    /// Everything about the record that cannot be right by itself.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = self.misplaced();
        let mut note = |wrong, field, text| {
            if wrong {
                problems.push(Problem { field, text });
            }
        };
        let kind = self.device_type;
        note(
            kind.is_meter() && self.smets_version.is_none_or(|version| version.major == 0),
            "smets_version",
            "a meter has one, from 1.0 on",
        );
        note(
            !kind.is_type_2() && self.status.is_none(),
            "smi_status",
            "is missing",
        );
        note(
            self.status.is_some() && self.status_since.is_none(),
            "smi_status_time",
            "is missing",
        );
        note(
            kind == DeviceType::Chf && self.csp.is_none(),
            "csp_id",
            "a CHF has one",
        );
        note(
            self.gpf == Some(self.id),
            "gas_proxy_function_id",
            "is the Device itself",
        );
        if let Some(secondary) = self.secondary_import_mpan {
            note(
                self.import_mpan.is_none(),
                "secondary_import_mpan",
                "needs an import MPAN for the first element",
            );
            note(
                self.import_mpan == Some(secondary),
                "secondary_import_mpan",
                "is the import MPAN of the first element",
            );
        }
        note(
            self.export_mpan.is_some()
                && (self.export_mpan == self.import_mpan
                    || self.export_mpan == self.secondary_import_mpan),
            "export_mpan",
            "is an import MPAN too",
        );
        problems
    }

    /// The fields that a Device of this type does not have.
    fn misplaced(&self) -> Vec<Problem> {
        let kind = self.device_type;
        let meters = [
            (self.smets_version.is_some(), "smets_version"),
            (!self.site_exceptions.is_empty(), "site_exceptions"),
        ];
        let esmes = [
            (self.import_mpan.is_some(), "import_mpan"),
            (
                self.secondary_import_mpan.is_some(),
                "secondary_import_mpan",
            ),
            (self.export_mpan.is_some(), "export_mpan"),
        ];
        let gsmes = [
            (self.mprn.is_some(), "mprn"),
            (self.gpf.is_some(), "gas_proxy_function_id"),
        ];
        let with_status = [
            (self.status.is_some(), "smi_status"),
            (self.status_since.is_some(), "smi_status_time"),
        ];
        let not_hubs = [(self.hub.is_some(), "communications_hub_id")];
        let hubs = [(self.csp.is_some(), "csp_id")];
        let rules: [(bool, &[Field], &'static str); 6] = [
            (kind.is_meter(), &meters, "only a meter has one"),
            (kind == DeviceType::Esme, &esmes, "only an ESME has one"),
            (kind == DeviceType::Gsme, &gsmes, "only a GSME has one"),
            (!kind.is_type_2(), &with_status, "a Type 2 Device has none"),
            (kind != DeviceType::Chf, &not_hubs, "a CHF has none"),
            (kind == DeviceType::Chf, &hubs, "only a CHF has one"),
        ];
        let broken = rules.into_iter().filter(|(allowed, ..)| !allowed);
        broken
            .flat_map(|(_, fields, text)| {
                let set = fields.iter().filter(|(set, _)| *set);
                set.map(move |&(_, field)| Problem { field, text })
            })
            .collect()
    }

    /// Whether this record may follow `recorded`, and names what it says it names.
    pub fn check_over(
        &self,
        recorded: Option<&Self>,
        related: Related<'_>,
    ) -> Result<(), Contradiction> {
        if let Some(recorded) = recorded {
            self.check_change(recorded)?;
        }
        if let Some(id) = self.hub {
            let hub = related.hub.ok_or(Contradiction::HubUnknown(id))?;
            if hub.device_type != DeviceType::Chf {
                return Err(Contradiction::NotAHub(id));
            }
        }
        if let Some(id) = self.gpf {
            let gpf = related.gpf.ok_or(Contradiction::GpfUnknown(id))?;
            if gpf.device_type != DeviceType::Gpf {
                return Err(Contradiction::NotAGpf(id));
            }
            if let (Some(other), false) = (related.mirrored, self.is_decommissioned()) {
                return Err(Contradiction::GpfTaken(other));
            }
        }
        Ok(())
    }

    fn check_change(&self, recorded: &Self) -> Result<(), Contradiction> {
        if self.device_type != recorded.device_type {
            return Err(Contradiction::TypeChanged);
        }
        if self.csp != recorded.csp {
            return Err(Contradiction::CspChanged);
        }
        if recorded.is_decommissioned() && !self.is_decommissioned() {
            return Err(Contradiction::Decommissioned);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "device/tests.rs"]
mod tests;
