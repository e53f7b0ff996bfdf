//! The services of a mesh by their names.

/// A service of the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Parties, Devices, authority.
    Registration,
    /// Flags.
    FlagRegistry,
    /// Deliver or suppress.
    Classification,
    /// The CSPs' streams.
    CspNotification,
    /// Reports.
    Reporting,
}

impl Service {
    /// All of them, in the direction in which data flows.
    pub const ALL: [Self; 5] = [
        Self::Registration,
        Self::FlagRegistry,
        Self::Classification,
        Self::CspNotification,
        Self::Reporting,
    ];

    /// The service's one name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::FlagRegistry => "flag-registry",
            Self::Classification => "classification",
            Self::CspNotification => "csp-notification",
            Self::Reporting => "reporting",
        }
    }
}
