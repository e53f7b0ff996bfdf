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
    /// Something that is not a digit.
    #[error("U+{:04X} is not a digit", u32::from(*.0))]
    NotADigit(char),
    /// A spreadsheet has taken the number for one to calculate with.
    #[error(
        "is a number in scientific notation, which has lost digits: make the column one of text"
    )]
    Scientific,
    /// Nothing but zeros, which stand for a number that is not known.
    #[error("all zeros are no metering point")]
    AllZeros,
    /// An MPRN that was filled up to the length of an MPAN.
    #[error("is an MPRN with zeros in front, not an MPAN")]
    PaddedMprn,
    /// An MPRN with zeros in front.
    #[error("an MPRN has no zeros in front")]
    LeadingZero,
    /// No distributor has the number that the MPAN begins with.
    #[error("its first two digits name no distributor: their numbers begin at 10")]
    NoDistributor,
    /// The digits do not fit their check digits.
    #[error("the check digits do not fit")]
    CheckDigits,
}

/// The 13-digit core of a Meter Point Administration Number.
///
/// The first two digits are the distributor's number: 10 to 23 are the public distribution areas,
/// and independent distributors are given numbers from 24 on (Balancing and Settlement Code, market
/// domain data). None is below 10, so that no MPAN begins with a zero. From 24 on any number is
/// taken: new ones are given out, and a meter must not wait for a release.
///
/// Check digit: weigh digits 1 to 12 by 3, 5, 7, 13, 17, 19, 23, 29, 31, 37, 41, 43, add, take the
/// sum modulo 11 and that modulo 10.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mpan(u64);

/// A Meter Point Reference Number: up to 11 digits, the first of them no zero, the last two of them
/// check digits.
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

/// The digits of a number of at most 13 of them, and their value.
fn digits(text: &str) -> Result<(Vec<u64>, u64), MpxnError> {
    let not_a_digit = |c: &char| !c.is_ascii_digit();
    if let Some(wrong) = text.chars().find(not_a_digit) {
        let scientific = text.contains(['E', 'e']) && text.parse::<f64>().is_ok();
        return Err(if scientific {
            MpxnError::Scientific
        } else {
            MpxnError::NotADigit(wrong)
        });
    }
    if text.len() > 13 {
        return Err(MpxnError::Form);
    }
    let digits: Vec<u64> = text.bytes().map(|b| u64::from(b - b'0')).collect();
    let value = digits.iter().fold(0, |value, digit| value * 10 + digit);
    if !digits.is_empty() && value == 0 {
        return Err(MpxnError::AllZeros);
    }
    Ok((digits, value))
}

impl FromStr for Mpan {
    type Err = MpxnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (digits, value) = digits(text)?;
        let [leading @ .., check] = digits.as_slice() else {
            return Err(MpxnError::Form);
        };
        if leading.len() != MPAN_WEIGHTS.len() {
            return Err(MpxnError::Form);
        }
        if leading[0] == 0 {
            let is_mprn = text.trim_start_matches('0').parse::<Mprn>().is_ok();
            return Err(if is_mprn {
                MpxnError::PaddedMprn
            } else {
                MpxnError::NoDistributor
            });
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
        let (digits, value) = digits(text)?;
        let [leading @ .., tens, units] = digits.as_slice() else {
            return Err(MpxnError::Form);
        };
        if leading.is_empty() || leading.len() > 9 {
            return Err(MpxnError::Form);
        }
        if leading[0] == 0 {
            return Err(MpxnError::LeadingZero);
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
    /// An MPAN as it was recorded, perhaps when less was asked of it: records stay readable.
    pub fn recorded(text: &str) -> Result<Self, MpxnError> {
        if text.len() == 13 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            text.parse().map(Self).map_err(|_| MpxnError::Form)
        } else {
            Err(MpxnError::Form)
        }
    }

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

impl Mpxn {
    /// A metering point as it was recorded, perhaps when less was asked of it.
    pub fn recorded(text: &str) -> Result<Self, MpxnError> {
        match Mpan::recorded(text) {
            Ok(mpan) => Ok(Self::Mpan(mpan)),
            Err(_) => text.parse().map(Self::Mprn),
        }
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
        for text in ["", "1", "10", "12000000000021", "123456789012"] {
            assert_eq!(text.parse::<Mpxn>(), Err(MpxnError::Form), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_of_a_metering_point_is_refused_with_its_reason() {
        for (text, reason) in [
            ("0000000000000", MpxnError::AllZeros),
            ("0000000000", MpxnError::AllZeros),
            // The check digit fits.
            ("0400000000021", MpxnError::NoDistributor),
            ("0912345678905", MpxnError::NoDistributor),
            ("0003938424403", MpxnError::PaddedMprn),
            ("0001234567810", MpxnError::PaddedMprn),
            ("03938424403", MpxnError::LeadingZero),
            ("120000000000A", MpxnError::NotADigit('A')),
            ("-938424403", MpxnError::NotADigit('-')),
            ("1300000000016\u{A0}", MpxnError::NotADigit('\u{A0}')),
            ("13\u{200B}00000000016", MpxnError::NotADigit('\u{200B}')),
            ("١٢٣٤٥٦٧٨١٠", MpxnError::NotADigit('١')),
            ("1.3E+12", MpxnError::Scientific),
            ("1.3e12", MpxnError::Scientific),
        ] {
            assert_eq!(text.parse::<Mpxn>(), Err(reason), "{text}");
        }
    }

    #[test]
    fn every_number_of_a_distributor_is_taken_and_none_below_ten() {
        for distributor in 0..100 {
            let mpan = Mpan::with_check_digit(distributor * 10_000_000_000 + 7);
            assert_eq!(mpan.is_ok(), distributor >= 10, "{distributor}");
        }
    }

    #[test]
    fn what_was_recorded_when_less_was_asked_can_be_read() {
        let zeros = Mpxn::recorded("0000000000000").unwrap();
        assert_eq!(zeros.to_string(), "0000000000000");
        for text in ["1200000000002", "3938424403"] {
            assert_eq!(Mpxn::recorded(text), text.parse());
        }
        assert!(Mpxn::recorded("12000000000").is_err());
        assert!(Mpan::recorded("3938424403").is_err());
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
