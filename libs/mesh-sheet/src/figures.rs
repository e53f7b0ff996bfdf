//! How is a figure written, for people and for programs?

use std::time::Duration;

use mesh_types::text::shown;
use unicode_width::UnicodeWidthChar;

use crate::cell::{Cell, Share};

/// What stands for a figure that the reader may not see.
pub(crate) const WITHHELD: &str = "withheld";
/// What stands where there is nothing.
pub(crate) const NOTHING: &str = "–";

/// The decimal places of a share, for programs.
const PLACES: u32 = 6;

impl Share {
    /// `numerator / denominator * scale`, rounded half up.
    fn scaled(self, scale: u128) -> Option<u128> {
        let (numerator, whole) = (u128::from(self.numerator), u128::from(self.denominator));
        (numerator * scale * 2 + whole).checked_div(whole * 2)
    }

    /// As a percentage with one decimal. Some is never shown as none, nor almost all as all.
    pub(crate) fn percent(self) -> String {
        match self.scaled(1_000) {
            None => NOTHING.to_owned(),
            Some(0) if self.numerator > 0 => "<0.1%".to_owned(),
            Some(1_000) if self.numerator < self.denominator => ">99.9%".to_owned(),
            Some(permille) => format!("{}.{}%", permille / 10, permille % 10),
        }
    }

    /// As a decimal for programs, without zeros at its end.
    pub(crate) fn decimal(self) -> Option<String> {
        let one = 10_u128.pow(PLACES);
        let scaled = self.scaled(one)?;
        let places = format!("{:06}", scaled % one);
        Some(decimal(scaled / one, &places))
    }

    /// As a part of 1.
    pub(crate) fn ratio(self) -> Option<f64> {
        (self.denominator > 0).then(|| self.numerator as f64 / self.denominator as f64)
    }
}

fn decimal(whole: u128, places: &str) -> String {
    match places.trim_end_matches('0') {
        "" => whole.to_string(),
        places => format!("{whole}.{places}"),
    }
}

/// Seconds as a decimal for programs.
pub(crate) fn seconds(of: Duration) -> String {
    decimal(of.as_secs().into(), &format!("{:09}", of.subsec_nanos()))
}

/// How long, for people: in its two largest units.
pub(crate) fn lasting(of: Duration) -> String {
    let millis = of.as_millis();
    let rounded = |unit: u128| (millis + unit / 2) / unit;
    let [seconds, minutes, hours] = [1_000, 60_000, 3_600_000].map(rounded);
    let tenths = rounded(100);
    match () {
        () if millis < 1_000 => format!("{millis} ms"),
        () if tenths < 600 => format!("{}.{} s", tenths / 10, tenths % 10),
        () if seconds < 3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        () if minutes < 1_440 => format!("{} h {} min", minutes / 60, minutes % 60),
        () => format!("{} d {} h", hours / 24, hours % 24),
    }
}

/// A count with thin spaces between thousands.
pub(crate) fn grouped(count: impl Into<u128>) -> String {
    let digits = count.into().to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups = groups.map(|group| group.iter().map(|digit| char::from(*digit)).collect());
    groups.collect::<Vec<String>>().join("\u{2009}")
}

/// A cell for people, on one line; nothing in it steers a terminal.
pub(crate) fn line(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => shown(text).to_string(),
        Cell::Count(count) => count.to_string(),
        Cell::Share(share) => share.percent(),
        Cell::Duration(duration) => lasting(*duration),
        Cell::Instant(at) => at.to_string(),
        Cell::Withheld => WITHHELD.to_owned(),
        Cell::Nothing => NOTHING.to_owned(),
    }
}

/// The same on a page, where large counts are easier to read.
pub(crate) fn on_page(cell: &Cell) -> String {
    match cell {
        Cell::Count(count) => grouped(*count),
        _ => line(cell),
    }
}

/// Text that takes `columns` columns of a terminal at most, with an ellipsis where it was cut.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    let width = |c: char| c.width().unwrap_or(0);
    if text.chars().map(width).sum::<usize>() <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let fits = |c: &char| {
        let rest = left.checked_sub(width(*c));
        left = rest.unwrap_or(0);
        rest.is_some()
    };
    let mut kept: String = text.chars().take_while(fits).collect();
    kept.truncate(kept.trim_end().len());
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_share_is_shown_with_one_decimal_and_some_is_never_none_nor_all() {
        for (numerator, denominator, percent, decimal) in [
            (0, 0, "–", None),
            (5, 0, "–", None),
            (0, 7, "0.0%", Some("0")),
            (7, 7, "100.0%", Some("1")),
            (1, 3, "33.3%", Some("0.333333")),
            (2, 3, "66.7%", Some("0.666667")),
            (1, 8, "12.5%", Some("0.125")),
            (1, 5_000, "<0.1%", Some("0.0002")),
            (4_999, 5_000, ">99.9%", Some("0.9998")),
            (3, 2, "150.0%", Some("1.5")),
            (u64::MAX, u64::MAX, "100.0%", Some("1")),
        ] {
            let share = Share {
                numerator,
                denominator,
            };
            assert_eq!(share.percent(), percent, "{share:?}");
            assert_eq!(share.decimal().as_deref(), decimal, "{share:?}");
        }
    }

    #[test]
    fn a_duration_is_told_in_units_that_fit() {
        for (millis, people, programs) in [
            (0, "0 ms", "0"),
            (250, "250 ms", "0.25"),
            (1_250, "1.3 s", "1.25"),
            (59_960, "1 min 0 s", "59.96"),
            (150_000, "2 min 30 s", "150"),
            (3_599_700, "1 h 0 min", "3599.7"),
            (7_530_000, "2 h 6 min", "7530"),
            (90_000_000, "1 d 1 h", "90000"),
        ] {
            let duration = Duration::from_millis(millis);
            assert_eq!(lasting(duration), people);
            assert_eq!(seconds(duration), programs);
        }
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(grouped(0_u64), "0");
        assert_eq!(grouped(999_u64), "999");
        assert_eq!(grouped(1_000_u64), "1\u{2009}000");
        assert_eq!(grouped(12_345_678_u64), "12\u{2009}345\u{2009}678");
    }

    proptest! {
        #[test]
        fn what_is_cut_fits_and_is_how_the_text_begins(text in ".{0,60}", columns in 1..40_usize) {
            let cut = cut(&text, columns);
            let width: usize = cut.chars().map(|c| c.width().unwrap_or(0)).sum();
            prop_assert!(width <= columns);
            let begins = cut.strip_suffix('…').is_some_and(|kept| text.starts_with(kept));
            prop_assert!(cut == text || begins);
        }

        #[test]
        fn a_decimal_is_the_share_to_six_places(numerator: u32, denominator in 1..u32::MAX) {
            let share = Share { numerator: numerator.into(), denominator: denominator.into() };
            let decimal: f64 = share.decimal().unwrap().parse().unwrap();
            let off = (decimal - share.ratio().unwrap()).abs();
            prop_assert!(off <= 0.500_001e-6 * f64::from(numerator / denominator + 1), "{}", off);
        }
    }
}
