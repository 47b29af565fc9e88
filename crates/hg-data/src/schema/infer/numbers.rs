//! Columns read as numbers: their notation, bounds, and values that mean "missing".

use super::cells::{Cells, Nature, Value};
use super::shape::{Suggestion, suggest};
use super::words::{listed, quoted, shown};
use crate::Transform;
use crate::notation::{Notation, is_beyond, is_code};
use std::borrow::Cow;
use std::fmt::Write;

/// Characters that group digits, the likeliest first; beside the decimal sign.
const THOUSANDS: [char; 6] = [',', '.', ' ', '\'', '\u{a0}', '\u{202f}'];
/// Numbers that people write for "missing".
const SENTINELS: [f64; 17] = [
    -1., -7., -8., -9., -88., -99., -888., -999., -9999., 77., 88., 99., 777., 888., 999., 9999.,
    99999.,
];
/// Texts among numbers that are proposed as missing, at most, and their share of the cells.
const MOST_ODD: usize = 3;
const MOST_ODD_SHARE: f64 = 0.2;
/// Different numbers at least beside them.
const FEW: usize = 10;
/// A slip is so many times the usual range away from it.
const FAR: f64 = 10.;
/// Slips at most, as a share of the cells.
const MOST_SLIPS: f64 = 0.01;
/// Cells that a slip is told from.
const ENOUGH: usize = 12;
/// Slips that are shown.
const SHOWN: usize = 4;

/// A text for "less than" or "more than".
#[derive(Clone, Debug, PartialEq)]
struct Bound<'c> {
    text: &'c str,
    bound: f64,
    above: bool,
}

/// From this share of the cells on, one exact value is a level beside the numbers.
const LEAST_SPIKE: f64 = 0.1;
/// Different numbers that there are besides at least.
const LEAST_BESIDES: usize = 20;
/// More of them are a scale.
const MOST_SPIKES: usize = 3;

/// A column read as numbers.
#[derive(Debug)]
pub(super) struct Number<'c> {
    /// Each text's number, where it is a finite one that counts.
    pub(super) of_text: Vec<Option<f64>>,
    /// Of the cells, ascending.
    pub(super) values: Vec<f64>,
    thousands: Option<char>,
    suffix: Option<&'c str>,
    bounds: Vec<Bound<'c>>,
    /// Texts that are not finite, or whole numbers that a double need not hold.
    infinite: Vec<&'c str>,
    /// Texts among the numbers, and numbers, that seem to mean "missing".
    guessed: Vec<&'c str>,
    /// Cells far outside the rest: (row from 0, text).
    pub(super) slips: Vec<(usize, &'c str)>,
    /// Whether these are not far, but below 0 alone.
    only_below_0: bool,
    decimals: usize,
}

/// A number and what follows it: `36.6`, `°C`.
pub(super) fn split_suffix(text: &str) -> Option<(&str, &str)> {
    let is_number = |c: char| c.is_ascii_digit() || "+-.,' ".contains(c);
    let end = text.find(|c: char| !is_number(c))?;
    let number = text[..end].trim_end_matches(['.', ',', ' ', '\'']);
    let suffix = &text[number.len()..];
    let sound = number.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        && number.contains(|c: char| c.is_ascii_digit())
        && !suffix.contains(|c: char| c.is_ascii_digit())
        && suffix.trim_start().starts_with(|c: char| c.is_alphabetic() || "°%µ‰".contains(c));
    sound.then_some((number, suffix))
}

/// The suffix that all of a column's numbers have; the error says why there is none where they
/// have several.
fn common_suffix(values: &[Value]) -> Result<Option<&str>, Option<String>> {
    let mut suffixes: Vec<&str> = Vec::new();
    let (mut bare, mut like_units) = (0, false);
    for value in values {
        let text = value.text.trim_start_matches(['<', '>', '=', '≤', '≥']).trim_start();
        match split_suffix(text) {
            Some((number, suffix)) => {
                // `1a` and `2b` are codes.
                like_units |= number.contains(['.', ','])
                    || suffix.starts_with(|c: char| !c.is_alphabetic() || c == 'µ');
                suffixes.push(suffix);
            }
            None if text.starts_with(|c: char| c.is_ascii_digit()) => bare += 1,
            None => {}
        }
    }
    let Some(first) = suffixes.first().copied() else { return Ok(None) };
    if bare == 0 && suffixes.iter().all(|suffix| suffix.trim() == first.trim()) {
        return Ok(Some(first));
    }
    let mostly = (suffixes.len() + bare) * 2 > values.len();
    let several = suffixes.iter().any(|suffix| suffix.trim() != first.trim());
    suffixes.sort_unstable();
    suffixes.dedup();
    let shown = listed(suffixes.iter().take(3).map(|suffix| suffix.trim()));
    let bare = if bare > 0 { ", and numbers without any" } else { "" };
    let why = format!("numbers with different units ({shown}{bare}); write all in one unit");
    Err((like_units && mostly && (several || !bare.is_empty())).then_some(why))
}

impl<'c> Number<'c> {
    /// Of a column in a table with this decimal sign; the error may say why it holds no numbers.
    pub(super) fn read(cells: &'c Cells, decimal: char) -> Result<Self, Option<String>> {
        let is_text = matches!(cells.nature, Nature::Untyped | Nature::Text);
        if !is_text && !matches!(cells.nature, Nature::Integer | Nature::Real) {
            return Err(None);
        }
        let decimal = if is_text { decimal } else { '.' };
        let plain = Notation { decimal, ..Notation::PLAIN };
        if is_text && cells.values.iter().any(|value| is_code(&value.text)) {
            return Err(None);
        }
        let all_plain = cells.values.iter().all(|value| plain.read(&value.text).is_some());
        let suffix = if is_text && !all_plain { common_suffix(&cells.values)? } else { None };
        let with = |thousands| Notation { decimal, thousands, suffix: suffix.unwrap_or_default() };
        let unread = |thousands: Option<char>| {
            let no_number = |value: &&Value| with(thousands).read(unbound(&value.text).0).is_none();
            cells.values.iter().filter(no_number).count()
        };
        let mut thousands = None;
        if is_text && unread(None) > 0 {
            let signs = THOUSANDS.into_iter().filter(|c| *c != decimal).map(Some);
            thousands = [None].into_iter().chain(signs).min_by_key(|sign| unread(*sign)).flatten();
        }
        Self::with(cells, with(thousands), suffix)
    }

    fn with(
        cells: &'c Cells,
        notation: Notation<'_>,
        suffix: Option<&'c str>,
    ) -> Result<Self, Option<String>> {
        let mut number = Self {
            of_text: vec![None; cells.values.len()],
            values: Vec::new(),
            thousands: notation.thousands,
            suffix,
            bounds: Vec::new(),
            infinite: Vec::new(),
            guessed: Vec::new(),
            slips: Vec::new(),
            only_below_0: false,
            decimals: 0,
        };
        let (mut odd, mut odd_cells) = (Vec::new(), 0);
        for (at, value) in cells.values.iter().enumerate() {
            let (rest, above) = unbound(&value.text);
            match (notation.read(rest), above) {
                (Some(x), None) if x.is_finite() && !is_beyond(rest, x) => {
                    number.of_text[at] = Some(x)
                }
                (Some(x), Some(above)) if x.is_finite() => {
                    number.bounds.push(Bound { text: &value.text, bound: x, above });
                }
                (Some(_), None) => number.infinite.push(&value.text),
                _ => {
                    odd.push(value.text.as_str());
                    odd_cells += value.count;
                }
            }
            if let Some((_, decimals)) = rest.split_once(notation.decimal) {
                let digits = decimals.bytes().take_while(u8::is_ascii_digit).count();
                number.decimals = number.decimals.max(digits);
            }
        }
        let read = number.of_text.iter().flatten().count();
        if !odd.is_empty() {
            let few = odd.len() <= MOST_ODD
                && odd_cells as f64 <= MOST_ODD_SHARE * cells.present() as f64
                && read >= FEW;
            if !few {
                return Err(None);
            }
            number.guessed = odd;
        }
        if read == 0 && (number.infinite.is_empty() || !number.bounds.is_empty()) {
            return Err(None);
        }
        number.take_sentinels(&cells.values);
        number.find_slips(cells);
        Ok(number)
    }

    /// Distinct numbers, ascending, with their cells.
    fn distinct(&self, values: &[Value]) -> Vec<(f64, usize)> {
        let numbers = self.of_text.iter().zip(values);
        let mut counts: Vec<(f64, usize)> =
            numbers.filter_map(|(x, value)| Some(((*x)?, value.count))).collect();
        counts.sort_by(|a, b| a.0.total_cmp(&b.0));
        counts.dedup_by(|a, b| {
            let same = a.0 == b.0;
            if same {
                b.1 += a.1;
            }
            same
        });
        counts
    }

    /// Takes out numbers that seem to mean "missing".
    fn take_sentinels(&mut self, values: &'c [Value]) {
        loop {
            let counts = self.distinct(values);
            let found = [counts.len().checked_sub(1), Some(0)]
                .into_iter()
                .flatten()
                .find(|&at| counts.len() > 4 && is_sentinel(at, &counts));
            let Some(at) = found else { break };
            for (x, value) in self.of_text.iter_mut().zip(values) {
                if *x == Some(counts[at].0) {
                    *x = None;
                    self.guessed.push(&value.text);
                }
            }
        }
    }

    /// Finds cells far outside the rest, and gathers the values of the cells.
    fn find_slips(&mut self, cells: &'c Cells) {
        let counts = self.distinct(&cells.values);
        let of_cells = |&(x, count): &(f64, usize)| std::iter::repeat_n(x, count);
        self.values = counts.iter().flat_map(of_cells).collect();
        let n = self.values.len();
        let cut = (n / 100).max(1);
        if n < ENOUGH {
            return;
        }
        let few = |count: usize| count > 0 && count as f64 <= (MOST_SLIPS * n as f64).max(2.);
        let (low, high) = (self.values[cut], self.values[n - 1 - cut]);
        let reach = FAR * (high - low);
        let far = |x: f64| x > high + reach || x < low - reach;
        let is_far = |x: &&f64| far(**x);
        if reach > 0. && few(self.values.iter().filter(is_far).count()) {
            self.slips = self.cells_that(cells, far);
            self.values.retain(|&x| !far(x));
        } else if few(self.values.iter().filter(|x| **x < 0.).count()) {
            self.only_below_0 = true;
            self.slips = self.cells_that(cells, |x| x < 0.);
        }
    }

    /// Rows whose number is so, with their texts.
    fn cells_that(&self, cells: &'c Cells, is_so: impl Fn(f64) -> bool) -> Vec<(usize, &'c str)> {
        let of_row = |(row, at): (usize, &Option<u32>)| {
            let at = (*at)? as usize;
            self.of_text[at].is_some_and(&is_so).then(|| (row, cells.values[at].text.as_str()))
        };
        cells.rows.iter().enumerate().filter_map(of_row).collect()
    }

    /// Whether nothing but the plain numbers is there.
    pub(super) fn is_plain(&self) -> bool {
        self.thousands.is_none()
            && self.suffix.is_none()
            && self.bounds.is_empty()
            && self.infinite.is_empty()
            && self.guessed.is_empty()
            && self.slips.is_empty()
    }

    /// Each bound's text with a number of its own beyond it.
    fn censored(&self) -> Vec<(&'c str, f64)> {
        let unit = 10f64.powi(-(self.decimals.min(9) as i32));
        let shares: &[f64] =
            if self.decimals == 0 { &[1., 0.5, 0.25, 0.75] } else { &[0.5, 0.25, 0.75, 0.125] };
        let mut taken: Vec<(&str, f64)> = Vec::new();
        for Bound { text, bound, above } in &self.bounds {
            let beyond = |share: &f64| {
                let value = if *above { bound + share * unit } else { bound - share * unit };
                // Written and read, so that 0.045 is 0.045.
                format!("{value:.*}", self.decimals + 3).parse().unwrap_or(value)
            };
            let is_free = |x: &f64| {
                !self.of_text.contains(&Some(*x)) && taken.iter().all(|(_, other)| other != x)
            };
            let free = shares.iter().map(beyond).find(is_free);
            taken.push((text, free.unwrap_or_else(|| beyond(&shares[0]))));
        }
        taken
    }

    /// Writes the column's keys.
    pub(super) fn write(&self, entry: &mut String) {
        let _ = writeln!(entry, "kind = \"numeric\"");
        let censored = self.censored();
        let mut all = self.values.clone();
        all.extend(censored.iter().map(|(_, value)| *value));
        all.extend(self.slips.iter().filter_map(|(_, text)| self.value_of(text)));
        all.sort_by(f64::total_cmp);
        let spikes = self.spikes();
        let mut values = Cow::Borrowed(&self.values);
        if !spikes.is_empty() {
            let is_number = |x: &f64| !spikes.iter().any(|(spike, _)| spike == x);
            all.retain(is_number);
            values.to_mut().retain(is_number);
        }
        write_transform(entry, suggest(&values, &all));
        if !spikes.is_empty() {
            let named: Vec<String> = spikes.iter().map(|(spike, _)| format!("{spike:?}")).collect();
            let shares: Vec<String> =
                spikes.iter().map(|(_, share)| format!("{:.0} %", 100. * share)).collect();
            let (named, shares) = (named.join(", "), shares.join(", "));
            let _ = writeln!(entry, "spikes = [{named}] # exactly so in {shares} of the cells");
        }
        if let Some(thousands) = self.thousands {
            let _ = writeln!(entry, "thousands = {}", quoted(&thousands.to_string()));
        }
        if let Some(suffix) = self.suffix {
            let _ = writeln!(entry, "suffix = {}", quoted(suffix));
        }
        let table = |(text, value): &(&str, f64)| {
            format!("{{ text = {}, value = {value:?} }}", quoted(text))
        };
        match censored.as_slice() {
            [] => {}
            [one] => {
                let _ = writeln!(entry, "censored = {}", table(one));
            }
            many => {
                let many: Vec<String> = many.iter().map(table).collect();
                let _ = writeln!(entry, "censored = [{}]", many.join(", "));
            }
        }
        self.write_missing(entry);
    }

    /// Values that are taken so often that they are levels rather than numbers, with their shares,
    /// where the others are many.
    fn spikes(&self) -> Vec<(f64, f64)> {
        let runs: Vec<&[f64]> = self.values.chunk_by(|a, b| a == b).collect();
        let share = |run: &&[f64]| run.len() as f64 / self.values.len() as f64;
        let (spikes, others): (Vec<&[f64]>, Vec<&[f64]>) =
            runs.into_iter().partition(|run| share(run) >= LEAST_SPIKE);
        let is_level = others.len() >= LEAST_BESIDES && spikes.len() <= MOST_SPIKES;
        match is_level {
            true => spikes.iter().map(|run| (run[0], share(run))).collect(),
            false => Vec::new(),
        }
    }

    fn value_of(&self, text: &str) -> Option<f64> {
        let suffix = self.suffix.unwrap_or_default();
        let decimals =
            [',', '.'].map(|decimal| Notation { decimal, thousands: self.thousands, suffix });
        decimals.iter().find_map(|notation| notation.read(text))
    }

    /// Cells whose text is proposed as missing.
    pub(super) fn proposed_missing(&self, cells: &Cells) -> usize {
        let is_proposed =
            |text: &str| self.infinite.contains(&text) || self.guessed.contains(&text);
        let values = cells.values.iter().filter(|value| is_proposed(&value.text));
        values.map(|value| value.count).sum()
    }

    fn write_missing(&self, entry: &mut String) {
        let missing: Vec<String> =
            self.infinite.iter().chain(&self.guessed).map(|text| quoted(text)).collect();
        if missing.is_empty() {
            return;
        }
        let why = match (self.infinite.is_empty(), self.guessed.is_empty()) {
            (false, true) => "not finite, or too big to be kept".to_owned(),
            (true, _) => format!("guess: {} for `missing`", stands(&self.guessed)),
            (false, false) => {
                format!("some too big to be kept; guess: {} for `missing`", stands(&self.guessed))
            }
        };
        let _ = writeln!(entry, "missing = [{}] # {why}", missing.join(", "));
    }

    /// What to say about values that seem to mean "missing".
    pub(super) fn guesses(&self) -> Option<String> {
        let guessed = !self.guessed.is_empty();
        guessed.then(|| format!("{} for `missing`, as it seems", stands(&self.guessed)))
    }

    /// What to say about cells that are probably slips.
    pub(super) fn doubts(&self) -> Option<String> {
        if self.slips.is_empty() {
            return None;
        }
        let shown: Vec<String> = self
            .slips
            .iter()
            .take(SHOWN)
            .map(|(row, text)| format!("row {}: {}", row + 1, shown(text)))
            .collect();
        let more = self.slips.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let (low, high) = (self.values.first().unwrap_or(&0.), self.values.last().unwrap_or(&0.));
        let what = if self.only_below_0 {
            "below 0, as no other is".to_owned()
        } else {
            format!("far outside the rest ({low} to {high})")
        };
        Some(format!(
            "{what}: {}{more}; correct the cells, or list them under `missing`",
            shown.join(", ")
        ))
    }
}

fn stands(texts: &[&str]) -> String {
    format!("{} stand{}", listed(texts.iter().copied()), if texts.len() == 1 { "s" } else { "" })
}

fn write_transform(entry: &mut String, suggestion: Suggestion) {
    let Suggestion { why, transform } = suggestion;
    if transform == Transform::Identity {
        let _ = writeln!(entry, "# {why}");
        return;
    }
    let _ = writeln!(entry, "transform = \"{transform}\" # {why}");
    if let Some(shift) = transform.shift() {
        let _ = writeln!(entry, "shift = {shift:?}");
    }
}

/// Whether the number at one end of `counts` means "missing": one that people write so,
/// far from the rest.
fn is_sentinel(at: usize, counts: &[(f64, usize)]) -> bool {
    let (x, count) = counts[at];
    // There may be several, as −9 and −99.
    let is_like_it = |other: f64| SENTINELS.contains(&other) && (other < 0.) == (x < 0.);
    let rest: Vec<f64> = counts.iter().map(|(x, _)| *x).filter(|x| !is_like_it(*x)).collect();
    let (Some(low), Some(high)) = (rest.first(), rest.last()) else { return false };
    if !SENTINELS.contains(&x) {
        return false;
    }
    if x < 0. {
        // −1 beside small counts from 0 may be a value.
        let alone = *low >= 0. && (count > 1 || low - x > 1.);
        let span = high - low;
        return at == 0
            && (alone && (*low > 0. || span > 10.) || (count > 1 && low - x > 2. * span));
    }
    at > 0 && count > 1 && x - high > high - low
}

/// A text without its sign for a bound, and whether that is an upper side (`> 89`).
fn unbound(text: &str) -> (&str, Option<bool>) {
    let above = match text.chars().next() {
        Some('<' | '≤') => false,
        Some('>' | '≥') => true,
        _ => return (text, None),
    };
    let rest = text.trim_start_matches(['<', '>', '≤', '≥']);
    (rest.trim_start_matches('=').trim_start(), Some(above))
}

/// The table's decimal sign: `,` where its cells show one, else `.`; `separated` by something
/// else than a comma, `4,934` may show it too.
pub(super) fn decimal_sign(columns: &[Cells], separated: bool) -> char {
    let (mut commas, mut points, mut perhaps) = (0, 0, 0);
    for cells in columns.iter().filter(|cells| cells.nature == Nature::Untyped) {
        match shown_decimal(&cells.values) {
            Some(Shown::Comma) => commas += 1,
            Some(Shown::Point) => points += 1,
            Some(Shown::PerhapsComma) => perhaps += 1,
            None => {}
        }
    }
    let by_groups = separated && perhaps > 0 && points == 0;
    if commas > points || (commas == 0 && by_groups) { ',' } else { '.' }
}

/// Which decimal sign a column's numbers show.
#[derive(Debug, PartialEq)]
enum Shown {
    Comma,
    Point,
    /// `4,934` alone, which may be thousands.
    PerhapsComma,
}

fn shown_decimal(values: &[Value]) -> Option<Shown> {
    // A code as `038.9` has its point whatever the table's decimal sign is.
    if values.iter().any(|value| is_code(&value.text)) {
        return None;
    }
    let comma = Notation { decimal: ',', thousands: Some('.'), suffix: "" };
    let point = Notation { decimal: '.', thousands: Some(','), suffix: "" };
    let (mut as_comma, mut as_point, mut groups, mut numbers) = (0, 0, 0, 0);
    for value in values {
        let text = unbound(&value.text).0;
        let text = split_suffix(text).map_or(text, |(number, _)| number);
        if !text.contains(|c: char| c.is_ascii_digit()) {
            continue;
        }
        match (comma.read(text).is_some(), point.read(text).is_some()) {
            (true, true) if text.contains(',') => groups += 1,
            (true, true) => {}
            (true, false) => as_comma += 1,
            (false, true) => as_point += 1,
            (false, false) => return None,
        }
        numbers += 1;
    }
    match () {
        () if numbers == 0 || (as_comma > 0 && as_point > 0) => None,
        () if as_comma > 0 => Some(Shown::Comma),
        // `1,234.5` is read by the point alone, and so is `36.6`.
        () if as_point > 0 => Some(Shown::Point),
        () if groups > 0 => Some(Shown::PerhapsComma),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(texts: &[&str], decimal: char) -> String {
        let cells = Cells::of_texts("x", texts);
        let mut entry = String::new();
        match Number::read(&cells, decimal) {
            Ok(number) => number.write(&mut entry),
            Err(why) => entry = format!("no: {}", why.unwrap_or_default()),
        }
        entry
    }

    #[test]
    fn numbers_are_told_with_their_notation() {
        let cases: [(&[&str], char, &[&str]); 17] = [
            (&["1,250", "7", "1,234,567.5"], '.', &["thousands = \",\""]),
            (&["9.123,4", "5,5"], ',', &["thousands = \".\""]),
            (&["4,934", "5,2"], ',', &["kind = \"numeric\"\n#"]),
            (&["36.6°C", "37°C"], '.', &["suffix = \"°C\""]),
            (&["82 bpm", "90 bpm"], '.', &["suffix = \" bpm\""]),
            (&["5 %", "12 %"], '.', &["suffix = \" %\""]),
            (&["36.6 C", "98 F"], '.', &["no: numbers with different units (`C`, `F`)"]),
            (&["36.6 C", "37.1"], '.', &["no: numbers with different units (`C`, and numbers"]),
            (&["<0.05", "0.10", "0.25"], '.', &["censored = { text = \"<0.05\", value = 0.045 }"]),
            (
                &["<0.05", "0.10", "<0.08", ">2.5"],
                '.',
                &[
                    "censored = [{ text = \"<0.05\", value = 0.045 }, ",
                    "{ text = \"<0.08\", value = 0.075 }, { text = \">2.5\", value = 2.505 }]",
                ],
            ),
            (&["> 89", "70", "75"], '.', &["censored = { text = \"> 89\", value = 90.0 }"]),
            (
                &[">=90", "> 89", "70"],
                '.',
                &["{ text = \">=90\", value = 91.0 }, { text = \"> 89\", value = 90.0 }"],
            ),
            (&["< 5", "≤5", "7"], '.', &["\"< 5\", value = 4.0 }, { text = \"≤5\", value = 4.5 }"]),
            (&["1.5", "inf", "-inf"], '.', &["missing = [\"inf\", \"-inf\"] # not finite"]),
            (&["0417", "417"], '.', &["no: "]),
            (&["<5", "low"], '.', &["no: "]),
            (&["120/80", "118/75"], '.', &["no: "]),
        ];
        for (texts, decimal, parts) in cases {
            let entry = entry(texts, decimal);
            for part in parts {
                assert!(entry.contains(part), "{texts:?}: {part}\n{entry}");
            }
        }
    }

    #[test]
    fn sentinels_are_proposed_as_missing_and_slips_are_named() {
        let base: Vec<String> = (0..60).map(|n| format!("{}", 60 + n % 40)).collect();
        let with = |more: &[&str]| {
            let texts: Vec<&str> =
                base.iter().map(String::as_str).chain(more.iter().copied()).collect();
            let cells = Cells::of_texts("hr", &texts);
            let number = Number::read(&cells, '.').expect("numbers");
            let mut entry = String::new();
            number.write(&mut entry);
            (entry, number.doubts().unwrap_or_default())
        };
        for (more, missing) in [
            (&["-1", "-1"][..], "missing = [\"-1\"] # guess"),
            (&["-1"], "missing = [\"-1\"]"),
            (&["999", "999"], "missing = [\"999\"]"),
            (&["-9", "-99", "-99"], "missing = [\"-99\", \"-9\"]"),
            (&["hemolyzed"], "missing = [\"hemolyzed\"]"),
        ] {
            assert!(with(more).0.contains(missing), "{more:?}\n{}", with(more).0);
        }
        for more in [&["110"][..], &["999"], &["101", "101"]] {
            assert!(!with(more).0.contains("missing"), "{more:?}");
        }
        let (entry, doubts) = with(&["10000000"]);
        assert!(doubts.contains("row 61: 10000000"), "{doubts}");
        assert!(entry.contains("# skewness 0.4"), "{entry}");
        assert_eq!(with(&["120"]).1, "");
    }

    #[test]
    fn a_table_has_one_decimal_sign() {
        let cases: [(&[&[&str]], bool, char); 8] = [
            (&[&["4,934", "3,741"], &["36,6"]], true, ','),
            (&[&["4,934", "3,741"]], true, ','),
            (&[&["4,934", "3,741"]], false, '.'),
            (&[&["4,934", "3,741"], &["36.6"]], true, '.'),
            (&[&["12,5"]], false, ','),
            (&[&["9.123,4", "1.000"]], true, ','),
            (&[&["1,234,567", "1,250"]], false, '.'),
            (&[&["01.02.2018"], &["a,b"]], true, '.'),
        ];
        for (columns, separated, sign) in cases {
            let columns: Vec<Cells> =
                columns.iter().map(|texts| Cells::of_texts("x", texts)).collect();
            assert_eq!(decimal_sign(&columns, separated), sign, "{columns:?}");
        }
    }
}
