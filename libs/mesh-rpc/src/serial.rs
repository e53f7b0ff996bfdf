//! How is a certificate's serial number written?

use std::fmt;
use std::str::FromStr;

/// The serial number that an authority gave a certificate.
///
/// Read as `openssl x509 -serial` or `-text` prints it: hexadecimal digits of either case, with
/// colons between octets or without, and with any number of zeros in front. Written as
/// `openssl x509 -serial` does: upper-case digits, two for each octet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SerialNumber(Box<[u8]>);

/// A text is no serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a serial number is hexadecimal digits, with or without colons between octets")]
pub struct SerialNumberError;

impl SerialNumber {
    /// From the octets of the number in a certificate.
    #[must_use]
    pub fn from_octets(octets: &[u8]) -> Self {
        let zeros = octets.iter().take_while(|&&octet| octet == 0).count();
        Self(octets[zeros..].into())
    }
}

impl FromStr for SerialNumber {
    type Err = SerialNumberError;

    fn from_str(text: &str) -> Result<Self, SerialNumberError> {
        let groups = text.split(':');
        let with_colons = text.contains(':');
        let mut digits = Vec::with_capacity(text.len());
        for group in groups {
            if group.is_empty() || (with_colons && group.len() != 2) {
                return Err(SerialNumberError);
            }
            for digit in group.chars() {
                let digit = digit.to_digit(16).ok_or(SerialNumberError)?;
                digits.push(u8::try_from(digit).map_err(|_| SerialNumberError)?);
            }
        }
        if digits.len() % 2 == 1 {
            digits.insert(0, 0);
        }
        let octets: Vec<u8> = digits
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect();
        Ok(Self::from_octets(&octets))
    }
}

impl fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("00");
        }
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02X}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_has_many_spellings_and_is_written_in_one() {
        for text in ["0ABC", "abc", "0a:bc", "00:00:0A:BC", "000abc"] {
            let serial: SerialNumber = text.parse().unwrap();
            assert_eq!(serial.to_string(), "0ABC", "{text}");
            assert_eq!(serial, SerialNumber::from_octets(&[0, 0x0A, 0xBC]));
        }
        let zero: SerialNumber = "0".parse().unwrap();
        assert_eq!(zero.to_string(), "00");
        assert_eq!(zero, SerialNumber::from_octets(&[0, 0]));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "", ":", "0a:", ":0a", "0a::bc", "a:bc", "0x0A", "-01", "0A BC", "１",
        ] {
            assert_eq!(
                text.parse::<SerialNumber>(),
                Err(SerialNumberError),
                "{text:?}"
            );
        }
    }
}
