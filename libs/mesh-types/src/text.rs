//! Text that people wrote for people: the name of an organisation, a reason, a reference.
//!
//! It is read once, at the edge, and shown many times: in tables, logs and JSON, beside text that
//! the reader trusts. So it holds only what can be seen (Unicode Standard Annex 44, general
//! categories): no control and no format characters, nothing that changes the direction of text
//! (UAX 9), nothing that is drawn as nothing, no line ends, no code points that are unassigned or
//! for private use, and no space but U+0020. A name that needs a joiner or a variation selector is
//! written without.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{BidiControl, DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};

/// Text of `MIN` to `MAX` characters in Unicode Normalization Form C, without white space at either
/// end.
///
/// Spaces at the ends are taken off; anything else that is not allowed is refused. Characters are
/// Unicode scalar values, counted after all that. `Display` and `Debug` show the text with
/// [`shown`], so that one recorded before these rules does no harm in a log.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<const MIN: usize, const MAX: usize>(Arc<str>);

/// Why a text is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Too few or too many characters.
    #[error("has {min} to {max} characters")]
    Length {
        /// The fewest.
        min: usize,
        /// The most.
        max: usize,
    },
    /// A character that no text may hold.
    #[error("holds U+{code:04X}, {what}, as character {at}", code = u32::from(*character))]
    Character {
        /// The character.
        character: char,
        /// What it is.
        what: &'static str,
        /// Where it stands, from 1, as the text was sent.
        at: usize,
    },
}

impl<const MIN: usize, const MAX: usize> Text<MIN, MAX> {
    /// A text as it was recorded, perhaps before these rules: records stay readable.
    #[must_use]
    pub fn recorded(text: &str) -> Self {
        Self(text.into())
    }

    /// The text itself, to be stored and sent. Wherever people read it, show it with [`shown`].
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MIN: usize, const MAX: usize> FromStr for Text<MIN, MAX> {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        for (index, character) in text.chars().enumerate() {
            if let Some(what) = fault(character) {
                return Err(TextError::Character {
                    character,
                    what,
                    at: index + 1,
                });
            }
        }
        let text = ComposingNormalizerBorrowed::new_nfc().normalize(text.trim_matches(' '));
        // It would be drawn over whatever stands before the text.
        let first = text.chars().next().filter(|&first| is_mark(first));
        if let Some(character) = first {
            let what = "a combining mark with nothing to combine with";
            return Err(TextError::Character {
                character,
                what,
                at: 1,
            });
        }
        if !(MIN..=MAX).contains(&text.chars().count()) {
            return Err(TextError::Length { min: MIN, max: MAX });
        }
        Ok(Self(text.into()))
    }
}

impl<const MIN: usize, const MAX: usize> fmt::Display for Text<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown(&self.0).fmt(f)
    }
}

impl<const MIN: usize, const MAX: usize> fmt::Debug for Text<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", shown(&self.0))
    }
}

/// Shows text from anywhere: each character that [`Text`] refuses as `\u202e`, and one beyond the
/// Basic Multilingual Plane as two of them. That is the escape of JSON (RFC 8259), so that a line of
/// JSON that is shown means what it meant.
#[must_use]
pub fn shown(text: &str) -> Shown<'_> {
    Shown(text)
}

/// Text that is harmless wherever it is written.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some((at, character)) = rest.char_indices().find(|(_, c)| !is_visible(*c)) {
            f.write_str(&rest[..at])?;
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(f, "\\u{unit:04x}")?;
            }
            rest = &rest[at + character.len_utf8()..];
        }
        f.write_str(rest)
    }
}

/// Whether a character may stand in a [`Text`]: it can be seen, or is the ordinary space.
#[must_use]
pub fn is_visible(character: char) -> bool {
    matches!(character, ' '..='~') || fault(character).is_none()
}

/// What is wrong with a character.
fn fault(character: char) -> Option<&'static str> {
    use GeneralCategory as Category;
    if character == ' ' {
        return None;
    }
    if CodePointSetData::new::<BidiControl>().contains(character) {
        return Some("which changes the direction of text");
    }
    match CodePointMapData::<Category>::new().get(character) {
        Category::Control => Some("a control character"),
        Category::Format => Some("a format character"),
        Category::LineSeparator | Category::ParagraphSeparator => Some("a line end"),
        Category::SpaceSeparator => Some("a space other than U+0020"),
        Category::PrivateUse => Some("which is for private use"),
        Category::Unassigned | Category::Surrogate => Some("which is not assigned"),
        _ if is_invisible(character) => Some("which is not seen"),
        _ => None,
    }
}

/// Characters of ordinary categories that are drawn as nothing: Hangul fillers, variation
/// selectors, the combining grapheme joiner, and the braille pattern without dots.
fn is_invisible(character: char) -> bool {
    character == '\u{2800}'
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character)
}

fn is_mark(character: char) -> bool {
    use GeneralCategory as Category;
    matches!(
        CodePointMapData::<Category>::new().get(character),
        Category::NonspacingMark | Category::SpacingMark | Category::EnclosingMark
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    type Name = Text<1, 10>;

    #[test]
    fn names_of_any_script_are_read_as_they_are() {
        for text in [
            "x",
            "Söhne & Co",
            "Ynni Môn",
            "Ενέργεια",
            "電力会社",
            "a b",
            "⚡ Ltd",
        ] {
            assert_eq!(text.parse::<Name>().unwrap().as_str(), text);
            assert_eq!(shown(text).to_string(), text);
        }
    }

    #[test]
    fn what_cannot_be_seen_is_refused_and_named() {
        for (character, what) in [
            ('\0', "a control character"),
            ('\n', "a control character"),
            ('\r', "a control character"),
            ('\t', "a control character"),
            ('\u{1B}', "a control character"),
            ('\u{7F}', "a control character"),
            ('\u{9B}', "a control character"),
            ('\u{61C}', "which changes the direction of text"),
            ('\u{200F}', "which changes the direction of text"),
            ('\u{202E}', "which changes the direction of text"),
            ('\u{2066}', "which changes the direction of text"),
            ('\u{AD}', "a format character"),
            ('\u{200B}', "a format character"),
            ('\u{200D}', "a format character"),
            ('\u{FEFF}', "a format character"),
            ('\u{E0041}', "a format character"),
            ('\u{2028}', "a line end"),
            ('\u{2029}', "a line end"),
            ('\u{A0}', "a space other than U+0020"),
            ('\u{3000}', "a space other than U+0020"),
            ('\u{E000}', "which is for private use"),
            ('\u{10FFFF}', "which is not assigned"),
            ('\u{378}', "which is not assigned"),
            ('\u{34F}', "which is not seen"),
            ('\u{115F}', "which is not seen"),
            ('\u{3164}', "which is not seen"),
            ('\u{FE0F}', "which is not seen"),
            ('\u{2800}', "which is not seen"),
        ] {
            let text = format!("ab{character}c");
            let wrong = TextError::Character {
                character,
                what,
                at: 3,
            };
            assert_eq!(text.parse::<Name>(), Err(wrong));
            let code = u32::from(character);
            assert!(wrong.to_string().contains(&format!("U+{code:04X}")));
            let seen = shown(&text).to_string();
            assert!(seen.chars().all(is_visible), "{seen}");
            assert!(seen.starts_with("ab\\u") && seen.ends_with('c'), "{seen}");
        }
    }

    #[test]
    fn one_text_has_one_form_and_a_length_in_characters() {
        assert_eq!("  Acme ".parse::<Name>().unwrap().as_str(), "Acme");
        let composed: Name = "Mo\u{302}n".parse().unwrap();
        assert_eq!(composed.as_str(), "M\u{F4}n");
        assert_eq!(composed, "M\u{F4}n".parse().unwrap());
        let length = Err(TextError::Length { min: 1, max: 10 });
        for text in ["", "   ", &"é".repeat(11)] {
            assert_eq!(text.parse::<Name>(), length, "{text:?}");
        }
        // Twenty code points as they are sent, ten as they are recorded.
        assert!("e\u{301}".repeat(10).parse::<Name>().is_ok());
        assert!("".parse::<Text<0, 10>>().is_ok());
        assert!("\u{301}e".parse::<Name>().is_err());
    }

    #[test]
    fn what_was_recorded_before_these_rules_is_kept_and_shown_without_harm() {
        let old = Name::recorded("Acme\u{1B}[2J\u{202E}");
        assert_eq!(old.as_str(), "Acme\u{1B}[2J\u{202E}");
        assert_eq!(old.to_string(), r"Acme\u001b[2J\u202e");
        assert_eq!(format!("{old:?}"), r#""Acme\u001b[2J\u202e""#);
        assert_eq!(shown("\u{E0041}").to_string(), r"\udb40\udc41");
    }
}
