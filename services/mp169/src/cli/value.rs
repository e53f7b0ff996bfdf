//! How are values read as people type them?

use mesh_types::DeviceId;

/// Reads an EUI-64 as people type it: with dashes, with colons, or with nothing between the octets.
pub(super) fn device(text: &str) -> Result<DeviceId, String> {
    let digits: Vec<char> = text.chars().filter(|&c| c != '-' && c != ':').collect();
    let octets: Vec<String> = digits
        .chunks(2)
        .map(|octet| octet.iter().collect())
        .collect();
    let device = octets.join("-").parse();
    device.map_err(|_| "a Device is named by eight octets, such as 02-DC-C0-00-00-00-08-E0".into())
}

#[cfg(test)]
mod tests {
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
        ] {
            assert!(device(text).is_err(), "{text}");
        }
    }
}
