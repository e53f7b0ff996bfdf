//! What a message's content is, how the policy treats it, and whether it is critical.

use std::fmt;

/// What the content of a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// A measured quantity or rate of energy drawn by the premises: the only class that can be suppressed.
    Consumption,
    /// A measured quantity of energy sent out of the premises.
    Export,
    /// Payment mode, credit, debt, top-up and balance.
    Prepayment,
    /// Voltage, current, outages and network operator settings.
    Network,
    /// Supply on or off, arming, limiting, and safety.
    Supply,
    /// Auxiliary loads, proportional controllers and boost.
    LoadControl,
    /// Credentials, certificates, authentication and tampering.
    Security,
    /// Firmware images, versions, checks and activation.
    Firmware,
    /// How a Device is set up, written or read back.
    Configuration,
    /// Inventory, commissioning, home network, Communications Hub and coverage.
    InventoryHan,
    /// What the householder sees or presses.
    Customer,
    /// Schedules that the DSP keeps.
    Schedule,
    /// Event logs and the health of Devices.
    Diagnostic,
    /// What the tables do not list.
    Unknown,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 14] = [
        Self::Consumption,
        Self::Export,
        Self::Prepayment,
        Self::Network,
        Self::Supply,
        Self::LoadControl,
        Self::Security,
        Self::Firmware,
        Self::Configuration,
        Self::InventoryHan,
        Self::Customer,
        Self::Schedule,
        Self::Diagnostic,
        Self::Unknown,
    ];

    /// Whether messages of the class must always be delivered. No policy can change this.
    #[must_use]
    pub const fn is_protected(self) -> bool {
        !matches!(self, Self::Consumption | Self::Schedule)
    }

    /// Whether a policy may suppress messages of the class by their own content.
    #[must_use]
    pub const fn may_be_suppressed(self) -> bool {
        matches!(self, Self::Consumption)
    }

    /// The name in the tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Consumption => "CONSUMPTION",
            Self::Export => "EXPORT",
            Self::Prepayment => "PREPAYMENT",
            Self::Network => "NETWORK",
            Self::Supply => "SUPPLY",
            Self::LoadControl => "LOAD_CONTROL",
            Self::Security => "SECURITY",
            Self::Firmware => "FIRMWARE",
            Self::Configuration => "CONFIGURATION",
            Self::InventoryHan => "INVENTORY_HAN",
            Self::Customer => "CUSTOMER",
            Self::Schedule => "SCHEDULE",
            Self::Diagnostic => "DIAGNOSTIC",
            Self::Unknown => "UNKNOWN",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a rule does with a message for a flagged Device. Without a flag everything is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Treatment {
    /// Delivered.
    Deliver,
    /// Suppressed.
    Suppress,
    /// By the type of the Device.
    ByDeviceType,
    /// By the Service Request Variant and Device of the schedule.
    BySchedule,
    /// By the GBCS message inside.
    ByPayload,
    /// By the alert code inside.
    ByAlertCode,
    /// Never reaches the DCC; delivered if it does.
    NotApplicable,
}

impl Treatment {
    const ALL: [Self; 7] = [
        Self::Deliver,
        Self::Suppress,
        Self::ByDeviceType,
        Self::BySchedule,
        Self::ByPayload,
        Self::ByAlertCode,
        Self::NotApplicable,
    ];

    /// The name in the tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deliver => "deliver",
            Self::Suppress => "suppress",
            Self::ByDeviceType => "by-device-type",
            Self::BySchedule => "by-schedule",
            Self::ByPayload => "by-payload",
            Self::ByAlertCode => "by-alert-code",
            Self::NotApplicable => "not-applicable",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|treatment| treatment.name() == name)
    }
}

impl fmt::Display for Treatment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Whether GBCS counts a message as critical, and how surely that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Criticality {
    /// Critical.
    Critical,
    /// Critical going by the code's family.
    CriticalByFamily,
    /// Critical going by messages of its kind.
    CriticalByKind,
    /// Some forms are critical.
    Mixed,
    /// Not critical.
    NonCritical,
    /// Not critical going by the code's family.
    NonCriticalByFamily,
    /// Stays in the home.
    HanOnly,
    /// Logged or shown, not sent.
    NotApplicable,
}

impl Criticality {
    const ALL: [Self; 8] = [
        Self::Critical,
        Self::CriticalByFamily,
        Self::CriticalByKind,
        Self::Mixed,
        Self::NonCritical,
        Self::NonCriticalByFamily,
        Self::HanOnly,
        Self::NotApplicable,
    ];

    /// Whether the message is treated as critical: where it is not sure, it is.
    #[must_use]
    pub const fn is_critical(self) -> bool {
        matches!(
            self,
            Self::Critical | Self::CriticalByFamily | Self::CriticalByKind | Self::Mixed
        )
    }

    /// The name in the tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::CriticalByFamily => "critical-by-family",
            Self::CriticalByKind => "critical-by-kind",
            Self::Mixed => "mixed",
            Self::NonCritical => "non-critical",
            Self::NonCriticalByFamily => "non-critical-by-family",
            Self::HanOnly => "han-only",
            Self::NotApplicable => "not-applicable",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|criticality| criticality.name() == name)
    }
}
