//! Cells of numbers.

use crate::compact::with_nan_gaps;
use crate::encode::undefined;
use crate::notation::{EXACT, Notation, is_beyond};
use crate::notes::ColumnFacts;
use crate::parsed::{Checker, Strays, present};
use crate::source::SourceType;
use crate::spikes::is_at;
use crate::{Column, Cuts, FittedBins, NumericModel, Result, Transform};
use polars_core::prelude::*;
use std::collections::HashMap;

/// How a column's numbers are read.
struct Reading<'c> {
    name: &'c str,
    source: SourceType,
    notation: Notation<'c>,
    /// Texts that mean a number.
    labels: HashMap<String, f64>,
    /// The column's own texts for a missing value.
    missing: &'c [String],
    /// Where every number must lie.
    domain: Option<Domain<'c>>,
}

impl Checker<'_> {
    /// Finite numbers, missing ones as nulls. Without a schema column they are times.
    pub(crate) fn numbers(
        &mut self,
        name: &str,
        column: Option<&Column>,
    ) -> Result<(Float64Chunked, ColumnFacts)> {
        let (cells, source) = self.source(name)?;
        let reading = Reading {
            name,
            source: source.clone(),
            notation: Notation::of(self.schema, column),
            labels: column.map(labels_of).unwrap_or_default(),
            missing: column.map(|column| column.missing.as_slice()).unwrap_or_default(),
            domain: column.and_then(Domain::of).filter(|_| !self.counts_strays()),
        };
        let mut facts = ColumnFacts::new(source.clone());
        facts.has_null = cells.null_count() > 0;

        // polars reads most cells; those that it cannot read are looked at one by one.
        let plain = match source {
            SourceType::Categorical | SourceType::Enum(_) => cells.cast(&DataType::String)?,
            _ => cells.clone(),
        };
        let read = plain.cast(&DataType::Float64)?;
        let read = read.f64()?;
        let has_signs = !(self.schema.missing.is_empty() && reading.missing.is_empty());
        let is_integer = source.is_integer();
        if source.is_number() && !has_signs && is_sound(read, is_integer, reading.domain) {
            facts.integer = is_integer;
            return Ok((read.clone(), facts));
        }
        if source.is_number()
            && !has_signs
            && reading.labels.is_empty()
            && let Some(values) = without_nan(read, reading.domain)
        {
            (facts.integer, facts.has_nan) = (is_integer, true);
            return Ok((values.with_name(name.into()), facts));
        }
        facts.has_nan = source.is_number() && read.iter().flatten().any(f64::is_nan);
        let values = self.numbers_one_by_one(&reading, read, &mut facts)?;
        Ok((values, facts))
    }

    /// The numbers of a column in which not all are plain; `read` is what polars made of it.
    fn numbers_one_by_one(
        &mut self,
        reading: &Reading<'_>,
        read: &Float64Chunked,
        facts: &mut ColumnFacts,
    ) -> Result<Float64Chunked> {
        let Reading { name, source, notation, .. } = reading;
        let texts = self.texts(name)?;
        // What polars takes for a number only counts where the notation says the same.
        let trusts_polars = !source.is_text() || *notation == Notation::PLAIN;
        let mut strays: Option<Strays> = None;
        let mut whole = true;
        let mut values = Vec::with_capacity(read.len());
        for (row, (value, text)) in read.iter().zip(texts.iter()).enumerate() {
            let Some(present) = present(text, &self.schema.missing, reading.missing) else {
                facts.see_gap(text);
                values.push(None);
                continue;
            };
            let label = reading.labels.get(present).copied();
            let value = match value.filter(|x| trusts_polars && x.is_finite() && x.abs() < EXACT) {
                _ if label.is_some() => label,
                Some(value) => Some(value),
                // A float's NaN is a gap.
                None if source.is_number() && value.is_some_and(f64::is_nan) => None,
                None => self.number(present, row, name, *notation, &mut strays),
            };
            if let Some(value) = value {
                self.check_domain(value, reading.domain, row, name);
            }
            if let Some(value) = value.filter(|_| label.is_none()) {
                whole &= value.fract() == 0.;
                if source.is_text() {
                    facts.decimals.see(present, notation.decimal);
                }
            }
            values.push(value);
        }
        if let Some(strays) = strays {
            self.stray(name, "is not finite, and counts as missing", strays);
        }
        // A column of floats stays one, whatever it holds.
        facts.integer = source.is_integer() || (source.is_text() && whole);
        Ok(Float64Chunked::from_iter_options((*name).into(), values.into_iter()))
    }

    /// Refuses a value outside its column's range, or at which the transform is not defined.
    fn check_domain(&mut self, x: f64, domain: Option<Domain<'_>>, row: usize, name: &str) {
        if let Some(domain) = domain.filter(|domain| !domain.holds(x)) {
            self.say(row, name, domain.problem(x));
        }
    }

    fn number(
        &mut self,
        text: &str,
        row: usize,
        name: &str,
        notation: Notation<'_>,
        strays: &mut Option<Strays>,
    ) -> Option<f64> {
        let as_plain =
            |decimal, thousands| Notation { decimal, thousands, suffix: notation.suffix };
        let problem = match notation.read(text) {
            Some(value) if value.is_finite() && !is_beyond(text, value) => return Some(value),
            Some(value) if value.is_finite() => format!(
                "`{text}` is a whole number beyond 2⁵³, which no calculation keeps exactly\nhint: leave an identifier out of the schema, or make a code categorical"
            ),
            Some(_) if self.counts_strays() => {
                let first = || Strays { cells: 0, example: text.to_owned(), row };
                strays.get_or_insert_with(first).cells += 1;
                return None;
            }
            Some(_) => format!(
                "`{text}` is not finite\nhint: empty the cell, or list `{text}` under `missing` in the schema"
            ),
            None if notation.decimal == '.' && as_plain('.', Some(',')).read(text).is_some() => {
                format!(
                    "`{text}` is not a number\nhint: if the comma groups digits, set thousands = \",\" for the column; if it stands before decimals, set decimal = \",\" in the schema"
                )
            }
            None if as_plain(',', Some('.')).read(text).is_some() => format!(
                "`{text}` is not a number\nhint: if the comma stands before decimals, set decimal = \",\" in the schema, and thousands = \".\" for the column if points group digits"
            ),
            None if text.starts_with(['<', '>', '≤', '≥']) => format!(
                "`{text}` is not a number\nhint: set censored = {{ text = \"{text}\", value = … }} for the column, or add it to the list there"
            ),
            None if let Some((_, suffix)) = split_suffix(text) => format!(
                "`{text}` is not a number\nhint: if every cell ends so, set suffix = \"{suffix}\" for the column"
            ),
            None => format!(
                "`{text}` is not a number\nhint: correct the cell, or list `{text}` under `missing` in the schema"
            ),
        };
        self.say(row, name, problem);
        None
    }
}

/// Whether every cell is a finite number that a double holds exactly, and the transform is defined
/// there.
fn is_sound(cells: &Float64Chunked, integers: bool, domain: Option<Domain<'_>>) -> bool {
    let is_defined = |x: f64| domain.is_none_or(|domain| domain.holds(x));
    let sound = |x: &f64| x.is_finite() && !(integers && x.abs() >= EXACT) && is_defined(*x);
    cells.downcast_iter().all(|chunk| match chunk.validity() {
        None => chunk.values().iter().all(sound),
        // What an empty cell holds mostly is a number as sound as others.
        Some(_) if chunk.values().iter().all(sound) => true,
        Some(valid) => {
            chunk.values().iter().zip(valid.iter()).all(|(x, is_there)| !is_there || sound(x))
        }
    })
}

/// The cells with nulls for NaN, where every other one is a number that a double holds exactly,
/// and the transform is defined there.
fn without_nan(cells: &Float64Chunked, domain: Option<Domain<'_>>) -> Option<Float64Chunked> {
    let cells = with_nan_gaps(cells);
    let is_defined = |x: f64| domain.is_none_or(|domain| domain.holds(x));
    let sound = |x: &f64| x.is_nan() || (x.abs() < EXACT && is_defined(*x));
    let is_there = |x: &f64| Some(*x).filter(|x| !x.is_nan());
    cells.iter().all(sound).then(|| cells.iter().map(is_there).collect())
}

/// Where the numbers of a column lie.
#[derive(Clone, Copy)]
struct Domain<'a> {
    transform: Transform,
    /// These need no transform.
    spikes: &'a [f64],
    range: Option<[f64; 2]>,
}

impl<'a> Domain<'a> {
    fn of(column: &'a Column) -> Option<Self> {
        let numbers = column.numbers()?;
        let transform = match numbers.model {
            NumericModel::Value { transform, .. } => transform,
            NumericModel::Bin(_) => Transform::Identity,
        };
        Some(Self { transform, spikes: column.spikes(), range: numbers.range })
    }

    fn holds(self, x: f64) -> bool {
        let is_defined =
            self.transform.is_defined_at(x) || self.spikes.iter().any(|&spike| is_at(x, spike));
        is_defined && self.is_in_range(x)
    }

    fn is_in_range(self, x: f64) -> bool {
        self.range.is_none_or(|[least, greatest]| (least..=greatest).contains(&x))
    }

    /// What is wrong with a value that it does not hold, and the way out.
    fn problem(self, x: f64) -> String {
        match self.range.filter(|_| !self.is_in_range(x)) {
            Some([least, greatest]) => format!(
                "{x} lies outside the column's range from {least} to {greatest}\nhint: correct the cell, or widen the range in the schema"
            ),
            None => undefined(self.transform, x),
        }
    }
}

/// `36.6°C` → (`36.6`, `°C`)
pub(crate) fn split_suffix(text: &str) -> Option<(&str, &str)> {
    let end = text.rfind(|c: char| c.is_ascii_digit())? + 1;
    let (number, suffix) = text.split_at(end);
    let is_number = number.trim().parse::<f64>().is_ok();
    (is_number && !suffix.trim().is_empty()).then_some((number.trim(), suffix))
}

/// Texts that mean a number: the censored ones, and the labels of bins.
fn labels_of(column: &Column) -> HashMap<String, f64> {
    let mut labels = HashMap::new();
    for censored in column.censored() {
        labels.insert(censored.text.clone(), censored.value);
    }
    if let Some(bins) = column.bins().filter(|bins| bins.shows_labels())
        && let Cuts::Edges(edges) = &bins.cuts
        && !edges.is_empty()
    {
        let fitted = FittedBins::fit(bins, edges);
        let names = fitted.labels(bins);
        for (bin, name) in names.into_iter().enumerate() {
            // Below the first edge lies what is nearest to it from below.
            let value = if bin == 0 { edges[0].next_down() } else { edges[bin - 1] };
            labels.insert(name, value);
        }
    }
    labels
}
