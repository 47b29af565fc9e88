//! What a column's cells show besides their values: its type, and how they are written.

use crate::style::CellStyle;
use crate::{SourceType, TimeSource};
use std::collections::BTreeMap;

/// What the source of a column shows.
#[derive(Clone, Debug)]
pub(crate) struct ColumnFacts {
    /// Its type.
    pub(crate) source: SourceType,
    /// Whether it holds whole numbers only; texts that mean a bound do not count.
    pub(crate) integer: bool,
    /// Whether some gap is a NaN.
    pub(crate) has_nan: bool,
    /// Whether some gap is a null.
    pub(crate) has_null: bool,
    /// How often each sign for "missing" stands in a text column.
    pub(crate) missing: BTreeMap<String, usize>,
    /// How numbers are written in a text column.
    pub(crate) decimals: Decimals,
    /// What a column of dates or durations holds.
    pub(crate) time: Option<TimeSource>,
}

/// The decimals that a column's texts show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Decimals {
    /// No number was seen.
    #[default]
    Unseen,
    /// All numbers have so many.
    All(u32),
    /// They differ.
    Varied,
}

impl Decimals {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unseen, other) | (other, Self::Unseen) => other,
            (one, two) if one == two => one,
            _ => Self::Varied,
        }
    }

    /// Takes a number's text.
    pub(crate) fn see(&mut self, text: &str, decimal: char) {
        if *self == Self::Varied {
            return;
        }
        let here = match text.split_once(decimal) {
            Some((_, decimals)) => decimals.bytes().take_while(u8::is_ascii_digit).count() as u32,
            None => 0,
        };
        let scientific = text.contains(['e', 'E']);
        *self = if scientific { Self::Varied } else { self.and(Self::All(here)) };
    }
}

impl ColumnFacts {
    pub(crate) fn new(source: SourceType) -> Self {
        Self {
            source,
            integer: true,
            has_nan: false,
            has_null: false,
            missing: BTreeMap::new(),
            decimals: Decimals::default(),
            time: None,
        }
    }

    /// Takes a gap as it is written.
    pub(crate) fn see_gap(&mut self, cell: Option<&str>) {
        let sign = cell.map(str::trim).unwrap_or_default();
        match self.missing.get_mut(sign) {
            Some(count) => *count += 1,
            None => {
                self.missing.insert(sign.to_owned(), 1);
            }
        }
    }

    /// Takes what another part of the table shows.
    pub(crate) fn add(&mut self, other: Self) {
        self.integer &= other.integer;
        self.has_nan |= other.has_nan;
        self.has_null |= other.has_null;
        self.decimals = self.decimals.and(other.decimals);
        // The first zone that is written holds for all.
        self.time = self.time.take().or(other.time);
        for (sign, count) in other.missing {
            *self.missing.entry(sign).or_insert(0) += count;
        }
    }

    /// How cells are written, with the schema's separator of thousands and suffix.
    pub(crate) fn style(&self, thousands: Option<char>, suffix: Option<&str>) -> CellStyle {
        // The commonest sign; of equals the first.
        // What is infinite says more than that nothing is known, so it is not used for the others.
        let is_infinite = |sign: &str| sign.parse().is_ok_and(f64::is_infinite);
        let signs = self.missing.iter().filter(|(sign, _)| !is_infinite(sign));
        let missing = signs.rev().max_by_key(|(_, count)| **count);
        CellStyle {
            missing: missing.map(|(sign, _)| sign.clone()).unwrap_or_default(),
            decimals: match self.decimals {
                Decimals::All(decimals) if decimals > 0 => Some(decimals),
                _ => None,
            },
            thousands,
            suffix: suffix.unwrap_or_default().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_fixed_only_where_all_numbers_have_them() {
        let of = |texts: &[&str], decimal| {
            let mut decimals = Decimals::default();
            texts.iter().for_each(|text| decimals.see(text, decimal));
            decimals
        };
        assert_eq!(of(&["36.5", "37.0"], '.'), Decimals::All(1));
        assert_eq!(of(&["36,50", "7,00"], ','), Decimals::All(2));
        assert_eq!(of(&["36.5", "37"], '.'), Decimals::Varied);
        assert_eq!(of(&["36.5°C", "37.0°C"], '.'), Decimals::All(1));
        assert_eq!(of(&["1e3"], '.'), Decimals::Varied);
        assert_eq!(of(&[], '.'), Decimals::Unseen);
    }

    #[test]
    fn the_commonest_sign_for_missing_comes_back() {
        let mut facts = ColumnFacts::new(SourceType::Text);
        for sign in [None, Some("NA"), Some(" NA ")] {
            facts.see_gap(sign);
        }
        assert_eq!(facts.style(None, None).missing, "NA");
    }
}
