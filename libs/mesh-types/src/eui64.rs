//! EUI-64 identifiers: of Devices, and of the organisations that the SMKI names.
//!
//! Text form (DUIS): eight octets of two hex digits joined by `-`. Either case is read; upper case
//! is written.

use std::fmt;
use std::str::FromStr;

/// A 64-bit extended unique identifier.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Eui64(u64);

/// Why a text or a byte string is not an EUI-64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Eui64Error {
    /// The text is not eight groups of two hex digits joined by `-`.
    #[error(
        "an EUI-64 is eight octets of two hex digits joined by '-', such as 00-DB-12-34-56-78-90-A0"
    )]
    Form,
    /// All zeros or all ones: IEEE gives them to nobody, and they stand for "none" and "all".
    #[error("all zeros and all ones identify nothing")]
    Null,
    /// The byte string is not eight octets long.
    #[error("an EUI-64 has eight octets")]
    Length,
}

impl Eui64 {
    /// The identifier whose big-endian octets make up `value`.
    #[must_use]
    pub const fn from_u64(value: u64) -> Self {
        Self(value)
    }

    /// The identifier, if it can be that of one thing: IEEE, *Guidelines for Use of EUI*, keeps all
    /// zeros and all ones as null identifiers. Asked where something is recorded under a name; a
    /// message may hold either.
    pub const fn of_one(self) -> Result<Self, Eui64Error> {
        match self.0 {
            0 | u64::MAX => Err(Eui64Error::Null),
            _ => Ok(self),
        }
    }

    /// The octets read as one big-endian number.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// The eight octets in transmission order.
    #[must_use]
    pub const fn octets(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// Reads eight octets in transmission order.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, Eui64Error> {
        let octets: [u8; 8] = bytes.try_into().map_err(|_| Eui64Error::Length)?;
        Ok(Self(u64::from_be_bytes(octets)))
    }
}

impl FromStr for Eui64 {
    type Err = Eui64Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = text.as_bytes();
        if bytes.len() != 23 {
            return Err(Eui64Error::Form);
        }
        let mut value = 0_u64;
        for (index, &byte) in bytes.iter().enumerate() {
            if index % 3 == 2 {
                if byte != b'-' {
                    return Err(Eui64Error::Form);
                }
                continue;
            }
            let digit = char::from(byte).to_digit(16).ok_or(Eui64Error::Form)?;
            value = value << 4 | u64::from(digit);
        }
        Ok(Self(value))
    }
}

impl fmt::Display for Eui64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g, h, i] = self.octets();
        write!(
            f,
            "{a:02X}-{b:02X}-{c:02X}-{d:02X}-{e:02X}-{g:02X}-{h:02X}-{i:02X}"
        )
    }
}

impl fmt::Debug for Eui64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! eui64_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Eui64);

        impl $name {
            /// Names what this EUI-64 identifies.
            #[must_use]
            pub const fn new(eui: Eui64) -> Self {
                Self(eui)
            }

            /// The bare identifier.
            #[must_use]
            pub const fn eui64(self) -> Eui64 {
                self.0
            }

            /// Reads eight octets in transmission order.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, Eui64Error> {
                Eui64::from_slice(bytes).map(Self)
            }

            /// Reads the name of something that is to be recorded.
            pub fn of_one(text: &str) -> Result<Self, Eui64Error> {
                text.parse::<Eui64>()?.of_one().map(Self)
            }
        }

        impl FromStr for $name {
            type Err = Eui64Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

eui64_newtype! {
    /// A Device of the smart metering system: ESME, GSME, GPF, CHF and the rest.
    DeviceId
}
eui64_newtype! {
    /// The Entity Identifier in an SMKI Organisation certificate. A party holds one or more.
    EntityId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_case_is_read_and_upper_case_written() {
        let device: DeviceId = "00-db-12-34-56-78-90-a0".parse().unwrap();
        assert_eq!(device.to_string(), "00-DB-12-34-56-78-90-A0");
        assert_eq!(device, "00-DB-12-34-56-78-90-A0".parse().unwrap());
        assert_eq!(device.eui64().to_u64(), 0x00DB_1234_5678_90A0);
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "00DB1234567890A0",
            "00:DB:12:34:56:78:90:A0",
            "00-DB-12-34-56-78-90-A",
            "00-DB-12-34-56-78-90-A0-",
            "00-DB-12-34-56-78-90-G0",
            "00-DB-12-34-56-78-9-0A0",
            " 0-DB-12-34-56-78-90-A0",
            "+0-DB-12-34-56-78-90-A0",
            "é-DB-12-34-56-78-90-A00",
        ] {
            assert_eq!(text.parse::<Eui64>(), Err(Eui64Error::Form), "{text}");
        }
        assert_eq!(Eui64::from_slice(&[0; 7]), Err(Eui64Error::Length));
    }

    #[test]
    fn nothing_is_recorded_under_a_null_identifier() {
        for text in ["00-00-00-00-00-00-00-00", "ff-FF-ff-ff-ff-ff-ff-ff"] {
            assert!(text.parse::<DeviceId>().is_ok(), "a message may name it");
            assert_eq!(DeviceId::of_one(text), Err(Eui64Error::Null), "{text}");
            assert_eq!(EntityId::of_one(text), Err(Eui64Error::Null), "{text}");
        }
        let id = DeviceId::of_one("00-DB-12-34-56-78-90-A0");
        assert_eq!(id, "00-DB-12-34-56-78-90-A0".parse());
    }
}
