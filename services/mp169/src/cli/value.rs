//! How are values read as people type them?

use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use mesh_types::{DeviceId, Eui64};

use crate::service::Service;
use crate::table::plain;

/// Reads a Device's id.
pub(crate) fn device(text: &str) -> Result<DeviceId, String> {
    eui64(text).map(DeviceId::new)
}

/// Reads an EUI-64: with dashes, with colons, or with nothing between the octets.
pub(crate) fn eui64(text: &str) -> Result<Eui64, String> {
    const FORM: &str = "it has eight octets, such as 02-DC-C0-00-00-00-08-E0";
    let foreign = |c: &char| !(c.is_ascii_hexdigit() || "-:".contains(*c));
    if let Some(c) = text.chars().find(foreign) {
        return Err(format!(
            "{FORM}, and U+{:04X} is no part of one",
            u32::from(c)
        ));
    }
    let dashed = if text.contains('-') {
        text.to_owned()
    } else if text.contains(':') {
        text.replace(':', "-")
    } else {
        let octets: Vec<&str> = (0..text.len())
            .step_by(2)
            .filter_map(|at| text.get(at..at + 2))
            .collect();
        // An odd digit at the end would get lost.
        if text.len().is_multiple_of(2) {
            octets.join("-")
        } else {
            String::new()
        }
    };
    dashed.parse().map_err(|_| FORM.to_owned())
}

/// Reads an instant: RFC 3339, or a date, which stands for its first instant in UTC.
pub(crate) fn time(text: &str) -> Result<prost_types::Timestamp, String> {
    let at: Option<Timestamp> = if text.len() == "2026-11-23".len() {
        let date = text.parse::<Date>().ok();
        date.and_then(|date| date.to_zoned(TimeZone::UTC).ok())
            .map(|midnight| midnight.timestamp())
    } else {
        text.parse().ok()
    };
    let at = at.ok_or("it is written as 2026-11-23T10:00:00Z, or as 2026-11-23")?;
    Ok(prost_types::Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    })
}

/// Reads a service's name.
pub(super) fn service(text: &str) -> Result<Service, String> {
    let mut all = Service::ALL.into_iter();
    let found = all.find(|service| service.name() == text);
    found.ok_or_else(|| {
        let names = Service::ALL.map(Service::name).join(", ");
        format!("the services are {names}")
    })
}

/// Reads one of `names`, which are those of an enum of the contracts: `import-supplier` with the
/// prefix `ROLE_` is `ROLE_IMPORT_SUPPLIER`.
pub(super) fn named<E: Clone + Send + Sync + 'static>(
    names: &'static [&'static str],
    prefix: &'static str,
    read: fn(&str) -> Option<E>,
) -> impl TypedValueParser<Value = E> {
    PossibleValuesParser::new(names).try_map(move |name| {
        enum_value(&name, prefix, read).ok_or("the contracts have no such name")
    })
}

/// Reads the name of an enum's value, in either case and with or without dashes.
pub(crate) fn enum_value<E>(text: &str, prefix: &str, read: fn(&str) -> Option<E>) -> Option<E> {
    let name = text.trim().to_ascii_uppercase().replace('-', "_");
    read(&format!("{prefix}{name}"))
}

/// Reads the name of one of an enum's values but the first, with the prefix of the contracts or without, in any case and with
/// anything or nothing between its words. Whoever gives another is told `hint`, or all there are.
pub(crate) fn one_of<E: Copy + TryFrom<i32>>(
    text: &str,
    prefix: &str,
    name: fn(&E) -> &'static str,
    hint: &str,
) -> Result<E, String> {
    // 0 says that a value is missing, and no number is left out.
    let all: Vec<E> = (1..).map_while(|number| E::try_from(number).ok()).collect();
    let short = |value: &E| name(value).strip_prefix(prefix).unwrap_or_default();
    let text = plain(text);
    let is_named = |value: &&E| [short(value), name(value)].iter().any(|n| plain(n) == text);
    let found = all.iter().find(is_named);
    found.copied().ok_or_else(|| {
        if !hint.is_empty() {
            return hint.to_owned();
        }
        let names: Vec<_> = all.iter().map(short).collect();
        format!("there is none of that name; there are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use mesh_api::authorization::v1::Role;

    use super::*;

    #[test]
    fn devices_are_read_as_people_type_them() {
        let expected = "02-DC-C0-00-00-00-08-E0".parse();
        for text in [
            "02-DC-C0-00-00-00-08-E0",
            "02:dc:c0:00:00:00:08:e0",
            "02DCC000000008E0",
        ] {
            assert_eq!(device(text).ok(), expected.ok(), "{text}");
        }
        for text in [
            "",
            "02DCC000000008E",
            "02-DC-C0-00-00-00-08-E0-00",
            "an ESME",
            "02-DC-C0:00-00-00-08-E0",
            "02DCC0-00000008E0",
            "0-2D-CC0-00-00-00-08-E0",
            "02DCC000000008E0F",
        ] {
            assert!(device(text).is_err(), "{text}");
        }
        let hidden = device("02-DC-C0-00-00-00-08-E0\u{200B}").unwrap_err();
        assert!(hidden.contains("U+200B"), "{hidden}");
    }

    #[test]
    fn instants_are_read_with_a_zone_or_as_dates() {
        let seconds = |text| time(text).map(|at| at.seconds).ok();
        let noon = 1_795_435_200;
        assert_eq!(seconds("2026-11-23T12:00:00Z"), Some(noon));
        assert_eq!(seconds("2026-11-23T13:00:00+01:00"), Some(noon));
        assert_eq!(seconds("2026-11-23"), Some(noon - 12 * 3_600));
        for text in ["2026-11-23T12:00:00", "2026-11-31", "today", "", "20261123"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn names_of_the_contracts_are_read_in_either_case() {
        for text in ["import-supplier", "IMPORT_SUPPLIER", " Import-Supplier "] {
            let role = enum_value(text, "ROLE_", Role::from_str_name);
            assert_eq!(role, Some(Role::ImportSupplier), "{text}");
        }
        assert_eq!(enum_value("king", "ROLE_", Role::from_str_name), None);
    }
}
