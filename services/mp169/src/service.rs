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

    /// The name of the file, in the folder of a mesh, whose database has a log; `None` if none has one of
    /// that name.
    #[must_use]
    pub fn database_of(log: &str) -> Option<String> {
        let (service, audit) = match log {
            "parties" | "devices" => (Self::Registration, ""),
            "flags" => (Self::FlagRegistry, ""),
            log if log.starts_with("csp/") => (Self::CspNotification, ""),
            log => {
                let audited = log.strip_prefix("audit/")?;
                let mut all = Self::ALL.into_iter();
                (all.find(|service| service.name() == audited)?, "-audit")
            }
        };
        Some(format!("{}{audit}.db", service.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_tells_in_which_file_it_is() {
        for (log, file) in [
            ("devices", Some("registration.db")),
            ("flags", Some("flag-registry.db")),
            ("csp/north", Some("csp-notification.db")),
            ("audit/classification", Some("classification-audit.db")),
            ("audit/nobody", None),
            ("outcomes", None),
        ] {
            assert_eq!(Service::database_of(log).as_deref(), file, "{log}");
        }
    }
}
