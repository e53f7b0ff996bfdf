//! Who may call what: rules from the contracts, the party directory, permits.
