//! Numbers as tables write them: `1,234.5`, `9.123,4`, `36.6°C`.

use crate::{Column, Schema};

/// How the numbers of a column are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Notation<'a> {
    /// Between whole digits and decimals.
    pub(crate) decimal: char,
    /// Between groups of three digits.
    pub(crate) thousands: Option<char>,
    /// What follows the number.
    pub(crate) suffix: &'a str,
}

impl Notation<'static> {
    /// `1234.5`
    pub(crate) const PLAIN: Self = Self { decimal: '.', thousands: None, suffix: "" };
}

impl<'a> Notation<'a> {
    /// Of a schema's column; of its times where there is none.
    pub(crate) fn of(schema: &Schema, column: Option<&'a Column>) -> Self {
        let decimal = schema.decimal.unwrap_or('.');
        let numbers = column.and_then(Column::numbers);
        let thousands = numbers.and_then(|numbers| numbers.thousands);
        let suffix = numbers.and_then(|numbers| numbers.suffix.as_deref()).unwrap_or_default();
        Self { decimal, thousands, suffix }
    }

    /// The number that a text is; it may be infinite, or none (`NaN`).
    pub(crate) fn read(self, text: &str) -> Option<f64> {
        // The minus of typesetters.
        if let Some(digits) = text.strip_prefix('−') {
            return self.read(digits).filter(|_| !digits.starts_with(['-', '+', '−'])).map(|x| -x);
        }
        let text = match self.suffix.trim() {
            "" => text,
            suffix => text.strip_suffix(suffix).unwrap_or(text).trim_end(),
        };
        let grouped = self.thousands.is_some_and(|separator| text.contains(separator));
        if self.decimal == '.' && !grouped {
            return text.parse().ok();
        }
        if self.decimal != '.' && text.contains('.') && self.thousands != Some('.') {
            return None;
        }
        let (whole, decimals) = match text.split_once(self.decimal) {
            Some((whole, decimals)) => (whole, Some(decimals)),
            None => (text, None),
        };
        let mut plain = match self.thousands {
            Some(separator) if grouped => ungrouped(whole, separator)?,
            _ => whole.to_owned(),
        };
        if let Some(decimals) = decimals {
            if !decimals.starts_with(|c: char| c.is_ascii_digit()) {
                return None;
            }
            plain.push('.');
            plain += decimals;
        }
        plain.parse().ok()
    }
}

/// Whole digits without their separators, which must stand between groups of three.
fn ungrouped(whole: &str, separator: char) -> Option<String> {
    let mut groups = whole.split(separator);
    let first = groups.next()?.trim_start_matches(['-', '+']);
    let is_group = |group: &str| group.bytes().all(|b| b.is_ascii_digit());
    let sound = (1..=3).contains(&first.len())
        && is_group(first)
        && groups.all(|group| group.len() == 3 && is_group(group));
    sound.then(|| whole.replace(separator, ""))
}

/// From here on a double need not be the whole number that stood there: 2⁵³.
pub(crate) const EXACT: f64 = 9_007_199_254_740_992.;

/// Whether a text is a whole number that a double need not hold.
pub(crate) fn is_beyond(text: &str, value: f64) -> bool {
    let digits = text.trim_start_matches(['-', '+']);
    value.abs() >= EXACT && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// A finite number, plainly written.
pub(crate) fn finite(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|x| x.is_finite())
}

/// Whether a text of digits is a code rather than a number: `0417`, `01`, `038.9`.
pub(crate) fn is_code(text: &str) -> bool {
    let digits = text.trim_start_matches(['-', '+']);
    let mut characters = digits.chars();
    characters.next() == Some('0') && characters.next().is_some_and(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_meant() {
        let comma = |thousands| Notation { decimal: ',', thousands, suffix: "" };
        let point = |thousands| Notation { decimal: '.', thousands, suffix: "" };
        let cases = [
            (point(Some(',')), "12,500", Some(12_500.)),
            (point(Some(',')), "-1,234,567.5", Some(-1_234_567.5)),
            (point(Some(',')), "7", Some(7.)),
            (point(Some(',')), "1,5", None),
            (point(Some(',')), "1234,567", None),
            (point(Some(',')), ",500", None),
            (point(Some(',')), "12,5000", None),
            (point(Some(' ')), "12 500.5", Some(12_500.5)),
            (point(None), "4,934", None),
            (point(None), "1e3", Some(1000.)),
            (point(None), "−2.6", Some(-2.6)),
            (point(None), "−−2.6", None),
            (comma(None), "4,934", Some(4.934)),
            (comma(None), "-0,5", Some(-0.5)),
            (comma(None), "4.934", None),
            (comma(None), "4,", None),
            (comma(Some('.')), "9.123,4", Some(9123.4)),
            (comma(Some('.')), "1.234.567", Some(1_234_567.)),
            (comma(Some('.')), "9.12,4", None),
        ];
        for (notation, text, value) in cases {
            assert_eq!(notation.read(text), value, "{notation:?} {text}");
        }
        let celsius = Notation { decimal: ',', thousands: None, suffix: "°C" };
        assert_eq!(celsius.read("36,6°C"), Some(36.6));
        assert_eq!(celsius.read("36,6 °C"), Some(36.6));
        assert_eq!(celsius.read("36,6"), Some(36.6));
        assert_eq!(celsius.read("36,6 bpm"), None);
    }

    #[test]
    fn leading_zeros_make_a_code() {
        assert!(["0417", "01", "038.9", "-01"].into_iter().all(is_code));
        assert!(!["0", "0.5", "417", "-0.5", "x01", ""].into_iter().any(is_code));
    }
}
