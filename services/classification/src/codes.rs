//! The codes by which messages are known: Service Request Variants, message, alert and DCC alert codes.
//!
//! Each is parsed once, into a number that the policy's tables are keyed by.

use std::fmt;
use std::str::FromStr;

/// A Service Request Variant such as 4.1.1, or 5.1 where the service has no variants.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Srv(u32);

/// The text does not have the form of the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// Not two or three numbers from 1 to 255 joined by dots.
    #[error("a Service Request Variant is two or three numbers joined by dots, such as 4.1.1")]
    Srv,
    /// Not four hexadecimal digits.
    #[error("a message or alert code is four hexadecimal digits, such as 0x8F0A")]
    Hex,
    /// Not one to eight letters and digits.
    #[error("a DCC alert code is up to eight letters and digits, such as N24")]
    DccAlert,
    /// Not a number from 1 to 9.
    #[error("a Command Variant is a number from 1 to 9")]
    CommandVariant,
}

impl Srv {
    /// 5.1 Create Schedule.
    pub const CREATE_SCHEDULE: Self = Self::new(5, 1, 0);
    /// 8.13 Return Local Command Response.
    pub const RETURN_LOCAL_COMMAND_RESPONSE: Self = Self::new(8, 13, 0);

    /// 11.1 Update Firmware.
    pub const UPDATE_FIRMWARE: Self = Self::new(11, 1, 0);

    /// The variant `service.reference.variant`; a `variant` of 0 stands for none.
    #[must_use]
    pub const fn new(service: u8, reference: u8, variant: u8) -> Self {
        Self(u32::from_be_bytes([0, service, reference, variant]))
    }

    /// The first number: 4 is the service that reads meters.
    #[must_use]
    pub const fn service(self) -> u8 {
        self.0.to_be_bytes()[1]
    }

    /// Whether it is a variant of the read service.
    #[must_use]
    pub const fn reads_meters(self) -> bool {
        self.service() == 4
    }

    /// The Service Reference that this is a variant of: 4.1 for 4.1.1, and 5.1 for 5.1.
    #[must_use]
    pub const fn reference(self) -> Self {
        Self(self.0 & 0x00FF_FF00)
    }

    /// One octet for each number: 0x040101 for 4.1.1.
    #[must_use]
    pub const fn to_u32(self) -> u32 {
        self.0
    }
}

impl FromStr for Srv {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        let mut numbers = [0_u8; 3];
        let mut count = 0;
        for part in text.as_bytes().split(|&byte| byte == b'.') {
            *numbers.get_mut(count).ok_or(CodeError::Srv)? = number(part)?;
            count += 1;
        }
        match (count, numbers) {
            (2 | 3, [service, reference, variant]) => Ok(Self::new(service, reference, variant)),
            _ => Err(CodeError::Srv),
        }
    }
}

/// A number from 1 to 255 without a leading zero, so that each variant has one text and one key.
fn number(digits: &[u8]) -> Result<u8, CodeError> {
    if digits.first() == Some(&b'0') || digits.is_empty() || digits.len() > 3 {
        return Err(CodeError::Srv);
    }
    let mut value = 0_u16;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(CodeError::Srv);
        }
        value = value * 10 + u16::from(digit - b'0');
    }
    u8::try_from(value).map_err(|_| CodeError::Srv)
}

impl fmt::Display for Srv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, service, reference, variant] = self.0.to_be_bytes();
        write!(f, "{service}.{reference}")?;
        if variant == 0 {
            Ok(())
        } else {
            write!(f, ".{variant}")
        }
    }
}

impl fmt::Debug for Srv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! hex_code {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u16);

        impl FromStr for $name {
            type Err = CodeError;

            /// Reads four hexadecimal digits of either case, with or without `0x`.
            fn from_str(text: &str) -> Result<Self, CodeError> {
                let digits = text
                    .strip_prefix("0x")
                    .or_else(|| text.strip_prefix("0X"))
                    .unwrap_or(text);
                if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return Err(CodeError::Hex);
                }
                u16::from_str_radix(digits, 16)
                    .map(Self)
                    .map_err(|_| CodeError::Hex)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "0x{:04X}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

hex_code! {
    /// The code of a GBCS message; Command, Response and Alert of one use case share it.
    MessageCode
}
hex_code! {
    /// The code of an event that a Device reports.
    AlertCode
}

/// The code of an alert that the DCC makes itself, such as N24 or AD1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DccAlertCode([u8; 8]);

impl FromStr for DccAlertCode {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        let bytes = text.as_bytes();
        let mut code = [0; 8];
        let place = code.get_mut(..bytes.len()).ok_or(CodeError::DccAlert)?;
        if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_alphanumeric) {
            return Err(CodeError::DccAlert);
        }
        place.copy_from_slice(bytes);
        Ok(Self(code))
    }
}

impl fmt::Display for DccAlertCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .take_while(|&&byte| byte != 0)
            .try_for_each(|&byte| write!(f, "{}", char::from(byte)))
    }
}

impl fmt::Debug for DccAlertCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a User asks to be done with a Service Request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandVariant {
    /// 1: send the Command.
    Send,
    /// 2: hand the Command back for local delivery.
    Return,
    /// 3: send it and hand it back.
    SendAndReturn,
    /// 4: transform a critical request into a Pre-Command.
    Transform,
    /// 5: send the signed Pre-Command.
    SendSigned,
    /// 6: hand the Command of a signed Pre-Command back.
    ReturnSigned,
    /// 7: both.
    SendAndReturnSigned,
    /// 8: a request to the DCC itself, not to a Device.
    NonDevice,
    /// 9: the schema's type allows it and DUIS gives it no meaning. Read like [`Self::Send`].
    Unassigned,
}

impl CommandVariant {
    /// Whether the body is a signed Pre-Command and not the request's own element.
    #[must_use]
    pub const fn is_signed(self) -> bool {
        matches!(
            self,
            Self::SendSigned | Self::ReturnSigned | Self::SendAndReturnSigned
        )
    }

    /// The digit that DUIS writes.
    #[must_use]
    pub const fn digit(self) -> u8 {
        match self {
            Self::Send => 1,
            Self::Return => 2,
            Self::SendAndReturn => 3,
            Self::Transform => 4,
            Self::SendSigned => 5,
            Self::ReturnSigned => 6,
            Self::SendAndReturnSigned => 7,
            Self::NonDevice => 8,
            Self::Unassigned => 9,
        }
    }
}

impl FromStr for CommandVariant {
    type Err = CodeError;

    /// Reads every form that XML Schema gives an integer: a sign and leading zeros are allowed.
    fn from_str(text: &str) -> Result<Self, CodeError> {
        let digits = text.strip_prefix('+').unwrap_or(text);
        Ok(match digits.trim_start_matches('0') {
            "1" => Self::Send,
            "2" => Self::Return,
            "3" => Self::SendAndReturn,
            "4" => Self::Transform,
            "5" => Self::SendSigned,
            "6" => Self::ReturnSigned,
            "7" => Self::SendAndReturnSigned,
            "8" => Self::NonDevice,
            "9" => Self::Unassigned,
            _ => return Err(CodeError::CommandVariant),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_has_one_text() {
        for text in ["4.1.1", "4.10", "5.1", "8.14.4", "6.20.1"] {
            assert_eq!(text.parse::<Srv>().unwrap().to_string(), text);
        }
        for text in [
            "", "4", "4.", ".1", "4.0", "4.1.0", "04.1", "4.1.1.1", "4.256", "4.+1", "4. 1", "4,1",
        ] {
            assert_eq!(text.parse::<Srv>(), Err(CodeError::Srv), "{text}");
        }
        let read: Srv = "4.10".parse().unwrap();
        assert_eq!((read.to_u32(), read.service()), (0x04_0A_00, 4));
        assert_eq!(
            "4.1.1".parse::<Srv>().unwrap().reference(),
            Srv::new(4, 1, 0)
        );
    }

    #[test]
    fn codes_are_read_in_each_of_their_forms() {
        for text in ["8F0A", "8f0a", "0x8F0A"] {
            assert_eq!(text.parse(), Ok(AlertCode(0x8F0A)));
        }
        for text in ["", "8F0", "08F0A", "0x", "+F0A", "8F0G"] {
            assert_eq!(text.parse::<AlertCode>(), Err(CodeError::Hex), "{text}");
        }
        assert_eq!("N24".parse::<DccAlertCode>().unwrap().to_string(), "N24");
        for text in ["", "N 24", "N24567890"] {
            assert_eq!(text.parse::<DccAlertCode>(), Err(CodeError::DccAlert));
        }
        for digit in 1..=9 {
            for text in [
                format!("{digit}"),
                format!("+{digit}"),
                format!("00{digit}"),
            ] {
                let variant: CommandVariant = text.parse().unwrap();
                assert_eq!(variant.digit(), digit);
            }
        }
        for text in ["", "+", "0", "10", "-1", "++1", "1.0", "one"] {
            assert!(text.parse::<CommandVariant>().is_err(), "{text}");
        }
    }
}
