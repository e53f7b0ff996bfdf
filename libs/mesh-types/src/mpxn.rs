//! Metering point numbers: MPAN core (electricity), MPRN (gas), and their union MPxN (DUIS).
//!
//! Check digits are validated here and therefore when registration data is loaded; the MPxN inside
//! a DUIS message is never parsed with these types, because the public reference messages fail
//! their check digits.

use std::fmt;
use std::str::FromStr;

/// Why a text is not a metering point number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MpxnError {
    /// Neither 13 digits (MPAN) nor 3 to 11 digits (MPRN).
    #[error("an MPAN core has 13 digits and an MPRN has 3 to 11")]
    Form,
    /// The digits do not fit their check digits.
    #[error("the check digits do not fit")]
    CheckDigits,
}

/// The 13-digit core of a Meter Point Administration Number.
///
/// Check digit: weigh digits 1 to 12 by 3, 5, 7, 13, 17, 19, 23, 29, 31, 37, 41, 43, add, take the
/// sum modulo 11 and that modulo 10.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mpan(u64);

/// A Meter Point Reference Number: up to 11 digits, the last two of them check digits.
///
/// Check digits: weigh the n leading digits n, n-1, … 1, add, and take the sum modulo 11 as two
/// digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mprn(u64);

/// A metering point of either fuel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mpxn {
    /// An electricity metering point.
    Mpan(Mpan),
    /// A gas metering point.
    Mprn(Mprn),
}

const MPAN_WEIGHTS: [u64; 12] = [3, 5, 7, 13, 17, 19, 23, 29, 31, 37, 41, 43];

fn digits(text: &str) -> Option<(Vec<u64>, u64)> {
    if text.len() > 13 {
        return None;
    }
    let digits: Vec<u64> = text
        .bytes()
        .map(|b| b.is_ascii_digit().then(|| u64::from(b - b'0')))
        .collect::<Option<_>>()?;
    let value = digits.iter().fold(0, |value, digit| value * 10 + digit);
    Some((digits, value))
}

impl FromStr for Mpan {
    type Err = MpxnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (digits, value) = digits(text).ok_or(MpxnError::Form)?;
        let [leading @ .., check] = digits.as_slice() else {
            return Err(MpxnError::Form);
        };
        if leading.len() != MPAN_WEIGHTS.len() {
            return Err(MpxnError::Form);
        }
        let sum: u64 = leading
            .iter()
            .zip(MPAN_WEIGHTS)
            .map(|(digit, weight)| digit * weight)
            .sum();
        if sum % 11 % 10 == *check {
            Ok(Self(value))
        } else {
            Err(MpxnError::CheckDigits)
        }
    }
}

impl FromStr for Mprn {
    type Err = MpxnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (digits, value) = digits(text).ok_or(MpxnError::Form)?;
        let [leading @ .., tens, units] = digits.as_slice() else {
            return Err(MpxnError::Form);
        };
        if leading.is_empty() || leading.len() > 9 || leading[0] == 0 {
            return Err(MpxnError::Form);
        }
        let sum: u64 = leading
            .iter()
            .rev()
            .zip(1..)
            .map(|(digit, weight)| digit * weight)
            .sum();
        if sum % 11 == tens * 10 + units {
            Ok(Self(value))
        } else {
            Err(MpxnError::CheckDigits)
        }
    }
}

impl Mpan {
    /// The MPAN whose twelve leading digits are those of `leading`, with its check digit.
    pub fn with_check_digit(leading: u64) -> Result<Self, MpxnError> {
        let text = format!("{leading:012}");
        (0..10)
            .find_map(|check| format!("{text}{check}").parse().ok())
            .ok_or(MpxnError::Form)
    }
}

impl Mprn {
    /// The MPRN that begins with the digits of `leading`, with its two check digits.
    pub fn with_check_digits(leading: u64) -> Result<Self, MpxnError> {
        (0..11)
            .find_map(|check| format!("{leading}{check:02}").parse().ok())
            .ok_or(MpxnError::Form)
    }
}

impl FromStr for Mpxn {
    type Err = MpxnError;

    /// Thirteen digits are an MPAN, fewer an MPRN.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() == 13 {
            text.parse().map(Self::Mpan)
        } else {
            text.parse().map(Self::Mprn)
        }
    }
}

impl fmt::Display for Mpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:013}", self.0)
    }
}

impl fmt::Display for Mprn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Mpxn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mpan(mpan) => mpan.fmt(f),
            Self::Mprn(mprn) => mprn.fmt(f),
        }
    }
}

impl fmt::Debug for Mpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Mprn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Mpxn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mpans_with_right_check_digits_are_read() {
        for text in [
            "1200000000002",
            "2298765432108",
            "1312345678118",
            "1099999999990",
            "1000000000003",
            "1400000000020",
            "1012345678806",
        ] {
            assert_eq!(text.parse::<Mpan>().unwrap().to_string(), text);
            assert!(matches!(text.parse::<Mpxn>(), Ok(Mpxn::Mpan(_))));
        }
    }

    #[test]
    fn mprns_with_right_check_digits_are_read() {
        for text in ["3938424403", "1000999809", "9999999905", "1234567810"] {
            assert_eq!(text.parse::<Mprn>().unwrap().to_string(), text);
            assert!(matches!(text.parse::<Mpxn>(), Ok(Mpxn::Mprn(_))));
        }
    }

    #[test]
    fn wrong_check_digits_and_forms_are_told_apart() {
        for text in [
            "1312345678111",
            "1312345678333",
            "1012345678809",
            "1234567890",
            "1000999888",
        ] {
            assert_eq!(text.parse::<Mpxn>(), Err(MpxnError::CheckDigits), "{text}");
        }
        for text in [
            "",
            "1",
            "01",
            "12000000000021",
            "120000000000A",
            "0000000000",
            "-938424403",
        ] {
            assert_eq!(text.parse::<Mpxn>(), Err(MpxnError::Form), "{text}");
        }
    }

    #[test]
    fn check_digits_are_made_as_they_are_checked() {
        assert_eq!(
            Mpan::with_check_digit(120_000_000_000).unwrap().to_string(),
            "1200000000002"
        );
        assert_eq!(
            Mprn::with_check_digits(39_384_244).unwrap().to_string(),
            "3938424403"
        );
    }
}
