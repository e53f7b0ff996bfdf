//! Which words of the field stand for a value of the contracts?
//!
//! The names of the contracts are read in any case, with dashes, underscores, spaces or nothing
//! between their words, so that those of DUIS (`InstalledNotCommissioned`) are among them. A word
//! of DUIS that the contracts do not have is refused with the one that is meant.

use mesh_api::common::v1::DeviceType;
use mesh_api::registration::v1::{SmetsVersion, SmiStatus};
use mesh_types::CspId;

use crate::cli::value::{enum_value, one_of};
use crate::table::plain;

/// Reads the name of an enum's value, without `prefix`.
pub(crate) fn named<E>(text: &str, prefix: &str, read: fn(&str) -> Option<E>) -> Result<E, String> {
    enum_value(text, prefix, read).ok_or_else(|| "there is none of that name".to_owned())
}

/// The SMI status (DUIS: `DeviceStatus`).
pub(super) fn status(text: &str) -> Result<SmiStatus, String> {
    let hint = match plain(text).as_str() {
        "withdrawn" => {
            "a Device that was withdrawn before it was installed is left out; DECOMMISSIONED if it was in use"
        }
        "recovered" => "after a recovery a Device is COMMISSIONED again; RECOVERY while it lasts",
        "notapplicable" => "leave it empty for a Type 2 Device, which has none",
        _ => "",
    };
    one_of(text, "SMI_STATUS_", SmiStatus::as_str_name, hint)
}

/// The type of a Device (DUIS: `DeviceType`).
pub(super) fn device_type(text: &str) -> Result<DeviceType, String> {
    let hint = match plain(text).as_str() {
        "ihdorcad" | "type2" | "type2device" => "say which: IHD or CAD",
        _ => "",
    };
    one_of(text, "DEVICE_TYPE_", DeviceType::as_str_name, hint)
}

/// The version of the specification that a meter was built to, such as 2.0 or 5: also as DUIS
/// writes it (`SMETSCHTSVersion`), such as `SMETS V5.0` or `SMETS2 V5.0`.
pub(crate) fn version(text: &str) -> Result<SmetsVersion, String> {
    let malformed = || "a version is written as 2.0, or as SMETS V2.0".to_owned();
    let upper = text.trim().to_ascii_uppercase();
    if upper.starts_with("CHTS") {
        return Err(
            "CHTS is the specification of Communications Hubs, which have no SMETS version: leave it empty"
                .to_owned(),
        );
    }
    let after_smets = upper.strip_prefix("SMETS");
    let (generation, number) = match after_smets {
        Some(rest) => match rest.split_once([' ', 'V']) {
            Some((generation, number)) => (generation, number),
            None => (rest, rest),
        },
        None => ("", upper.as_str()),
    };
    let number = number.trim_start_matches([' ', 'V']);
    let (major, minor) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !(digits(major) && digits(minor)) {
        return Err(malformed());
    }
    let version = SmetsVersion {
        major: major.parse().map_err(|_| malformed())?,
        minor: minor.parse().map_err(|_| malformed())?,
    };
    // SMETS2 goes on with the versions 3, 4 and 5.
    let fits = match generation {
        "" => true,
        "1" => version.major == 1,
        "2" => version.major >= 2,
        _ => return Err(malformed()),
    };
    if fits {
        Ok(version)
    } else {
        Err(format!(
            "version {}.{} is not one of SMETS{generation}",
            version.major, version.minor
        ))
    }
}

/// The name of a CSP, in any case.
pub(super) fn csp(text: &str) -> Result<String, String> {
    let name = text.to_ascii_lowercase();
    match name.parse::<CspId>() {
        Ok(name) => Ok(name.to_string()),
        Err(error) => {
            let usual = ["4g", "north", "central", "south"];
            let word = usual.into_iter().find(|usual| name.contains(usual));
            let meant = word.map_or_else(String::new, |word| format!("; {word}, perhaps"));
            Err(format!("{error}{meant}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_duis_for_statuses_are_read_or_answered_with_the_right_one() {
        for (text, expected) in [
            ("Pending", SmiStatus::Pending),
            ("Whitelisted", SmiStatus::Whitelisted),
            (
                "InstalledNotCommissioned",
                SmiStatus::InstalledNotCommissioned,
            ),
            (
                "installed-not-commissioned",
                SmiStatus::InstalledNotCommissioned,
            ),
            (
                "Installed not Commissioned",
                SmiStatus::InstalledNotCommissioned,
            ),
            ("COMMISSIONED", SmiStatus::Commissioned),
            ("Suspended", SmiStatus::Suspended),
            ("Decommissioned", SmiStatus::Decommissioned),
            ("Recovery", SmiStatus::Recovery),
        ] {
            assert_eq!(status(text), Ok(expected), "{text}");
        }
        for (text, hint) in [
            ("Withdrawn", "DECOMMISSIONED"),
            ("Recovered", "COMMISSIONED"),
            ("In stock", "WHITELISTED"),
        ] {
            assert!(status(text).unwrap_err().contains(hint), "{text}");
        }
    }

    #[test]
    fn versions_are_read_as_the_field_writes_them() {
        let read = |text| version(text).map(|v| (v.major, v.minor)).ok();
        for (text, expected) in [
            ("2.0", (2, 0)),
            ("5.1", (5, 1)),
            ("2", (2, 0)),
            ("SMETS V5.0", (5, 0)),
            ("SMETS2 V5.0", (5, 0)),
            ("SMETS V1.58", (1, 58)),
            ("SMETS2V4.2", (4, 2)),
            ("smets2 v2.0", (2, 0)),
            ("SMETS2", (2, 0)),
            ("SMETS1 1.2", (1, 2)),
            ("SMETS1", (1, 0)),
            ("V3.1", (3, 1)),
        ] {
            assert_eq!(read(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "x",
            "2.0.1",
            "SMETS",
            "SMETS2 V1.2",
            "SMETS1 V2.0",
            "SMETS3 V2.0",
            "+2.0",
            "2.",
            ".2",
            "99999999999.0",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert!(version("CHTS V1.4").unwrap_err().contains("leave it empty"));
    }

    #[test]
    fn types_and_csps_are_read_or_answered_with_the_right_one() {
        assert_eq!(device_type("esme"), Ok(DeviceType::Esme));
        assert!(device_type("IHDorCAD").unwrap_err().contains("IHD or CAD"));
        assert!(device_type("TOASTER").unwrap_err().contains("PPMID"));
        assert_eq!(csp("North").as_deref(), Ok("north"));
        assert_eq!(csp("4G").as_deref(), Ok("4g"));
        assert!(csp("4G Central").unwrap_err().contains("4g, perhaps"));
    }
}
