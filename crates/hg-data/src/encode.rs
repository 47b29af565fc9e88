//! Fitting an encoder to a table, and the encoded sequences.
//!
//! Features of an encoded row: numeric columns in schema order, then a one-hot
//! block for each categorical, binary and binned column, then a block of two for
//! each column whose measuring is modelled (not measured, measured).

use crate::calibration::Distribution;
use crate::construct::{Constructed, Construction};
use crate::full_steps::has_empty_step;
use crate::grid::{ResampledTable, RowCounts, grid};
use crate::kept::Kept;
use crate::levels::settled;
use crate::notation::is_code;
use crate::notes::ColumnFacts;
use crate::parsed::{GAP, ParsedTable, START, check};
use crate::parts::{LARGE, ROWS, slices};
use crate::quantile_table::quantile;
use crate::sample::Sample;
use crate::saved::{MAX_ID_WIDTH, SavedColumn, SavedEncoder};
use crate::source::{SourceType, TimeSource};
use crate::spikes::{FittedSpikes, is_at};
use crate::statics::ShownSoFar;
use crate::style::CellStyle;
use crate::table_set::TableForm;
use crate::violations::refuse_violations;
use crate::visits::{Multiples, VisitGrid, latest};
use crate::{
    Aggregate, Column, ColumnKind, Cuts, Error, FittedBins, FittedTransform, Numeric, NumericModel,
    Origin, Result, Schema, Shown, SourceTable, SpanClass, Subset, Table, TableStyle, TimeModel,
    Transform, Values,
};
use polars_core::prelude::Float64Chunked;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

/// Everything needed to decode, and to encode again: a schema with what was
/// fitted to the data. Saved with a model, so that generating needs no access
/// to the private table.
///
/// # Invariants
/// [`Encoder::from_json`] checks that all of this belongs together; whoever changes a field
/// has to keep it so, or decoding may panic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "SavedEncoder")]
pub struct Encoder {
    /// The schema that it was fitted for, with the levels and edges that were found.
    pub schema: Schema,
    /// One entry per schema column.
    pub columns: Vec<FittedColumn>,
    /// What the patient column holds.
    pub patient: PatientSource,
    /// What the time column holds.
    pub time: TimeSource,
    /// How the table is written, where it is a CSV.
    pub style: TableStyle,
    /// The modelled columns, patient and time among them, in the table's order.
    pub order: Vec<String>,
    /// `lengths[n]` sequences have `n` steps.
    pub lengths: Vec<usize>,
    /// What the times of visits are multiples of, where rows are steps.
    pub visits: Option<VisitGrid>,
    /// Whether something was measured, or happened, at every step.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub has_full_steps: bool,
    /// How the tables are written, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableForm>,
    /// How the features are distributed in the rows that it was fitted to, which synthetic rows are
    /// [calibrated](Encoder::calibration) to; none in an encoder of version 0.1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub distributions: Vec<Distribution>,
    /// Of each of these, how often a number is exactly the one before it in time, by the tenth of the
    /// distribution that that one is in; nothing for blocks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repeats: Vec<Vec<f32>>,
    /// How long patients are followed, by numbers of visits and first times, ascending; none in an
    /// encoder from before it was kept, or of a grid.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<SpanClass>,
    /// How the schema's rules are made to hold.
    #[serde(skip)]
    pub(crate) construction: Construction,
}

/// What the patient column holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PatientSource {
    /// Its type.
    pub source: SourceType,
    /// The digits of every id, where they begin with zeros to have so many.
    pub width: Option<usize>,
}

/// What was fitted for one column.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(into = "SavedColumn")]
pub struct FittedColumn {
    /// By kind.
    pub kind: FittedKind,
    /// The source's type.
    pub source: SourceType,
    /// Static columns only: which rows of a patient show the value.
    pub shown: Shown,
    /// Whether gaps are NaN, not null.
    pub nan_gaps: bool,
    /// What a column of dates or durations holds, whose values are seconds.
    pub time: Option<TimeSource>,
    /// Of a column that is modelled by its distance from others: where its values lie.
    pub range: Option<[f64; 2]>,
}

/// What was fitted, by kind. `fill` is what fills cells of patients without any value.
#[derive(Clone, Debug, PartialEq)]
pub enum FittedKind {
    /// A numeric column.
    Numeric {
        /// Its transform.
        transform: FittedTransform,
        /// Its values' grid.
        values: ValueGrid,
        /// The exact values that are levels of their own.
        spikes: FittedSpikes,
        /// The median.
        fill: f64,
    },
    /// A numeric column by bins.
    Binned {
        /// Its bins.
        bins: FittedBins,
        /// Its values' grid.
        values: ValueGrid,
        /// The median.
        fill: f64,
    },
    /// A categorical or binary column.
    Discrete {
        /// Number of levels.
        levels: usize,
        /// The position of the commonest level.
        fill: usize,
    },
    /// First times, or times between visits, that are all the same: they have no features.
    Constant {
        /// Its value.
        value: f64,
        /// Its values' grid.
        values: ValueGrid,
    },
    /// A column in which nothing was measured: it has no features, and comes back empty.
    Empty,
}

/// The grid that a source's values lie on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValueGrid {
    /// Whether they are whole numbers only.
    pub integer: bool,
    /// Their decimals, where at most six.
    pub decimals: Option<u32>,
    /// Of dates and durations: the seconds that all are multiples of, as those of a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multiple: Option<f64>,
}

/// Where a column's features begin.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Place {
    /// The number, or the block of levels or bins.
    pub(crate) value: usize,
    /// The block of a number's spikes.
    pub(crate) spikes: usize,
    /// Whether it was measured, where that is modelled.
    pub(crate) flag: Option<usize>,
}

/// Encoded sequences.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    /// `[sequences, steps, features]`, row-major; 0 beyond a sequence's length.
    pub values: Values,
    /// Steps of each sequence.
    pub lengths: Vec<usize>,
    /// Steps of the longest sequence.
    pub steps: usize,
    /// Features of a row.
    pub features: usize,
    /// What became of the table's rows.
    pub counts: RowCounts,
}

impl Encoded {
    /// A row `[features]`: one step of a sequence.
    pub fn row(&self, sequence: usize, step: usize) -> &[f32] {
        &self.values[(sequence * self.steps + step) * self.features..][..self.features]
    }

    /// Every row within a sequence's length.
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        let sequences = self.lengths.iter().enumerate();
        sequences.flat_map(move |(n, &length)| (0..length).map(move |step| self.row(n, step)))
    }
}

impl Encoder {
    /// Fits to one subset of `table` and encodes it.
    ///
    /// # Errors
    /// Everything in the table that does not fit the schema, with the places and
    /// the way out.
    pub fn fit(schema: &Schema, table: &Table, subset: Subset) -> Result<(Self, Encoded)> {
        refuse_no_rows(table)?;
        if let Some(slices) = slices(schema, table, LARGE, ROWS) {
            return Self::fit_in_slices(schema, table, &slices, subset);
        }
        let schema = settled(schema, table)?;
        let mut fit = Fit::new(&schema, &table.name, table.csv.as_deref(), subset);
        let resampled = fit.part(table, 0)?;
        fit.add(&resampled)?;
        let mut encoder = fit.finish()?;
        let encoded = encoder.encode_one(&resampled)?;
        encoder.fit_calibration(&encoded);
        Ok((encoder, encoded))
    }

    /// Encodes one subset of another table with what was fitted.
    ///
    /// # Errors
    /// As [`Encoder::fit`].
    pub fn encode(&self, table: &Table, subset: Subset) -> Result<Encoded> {
        if let Some(slices) = slices(&self.schema, table, LARGE, ROWS) {
            return self.encode_slices(table, &slices, subset);
        }
        let parsed = check(table, &self.schema, 0, Origin::Real)?;
        refuse_empty_subset(subset, &parsed.patients, &table.name)?;
        let resampled = grid(subset.of(parsed)?, &self.schema, &table.name)?;
        refuse_no_sequence(&resampled.lengths, &self.schema, &table.name)?;
        self.encode_one(&resampled)
    }

    /// Numeric features, which lead every row.
    pub fn numeric_features(&self) -> usize {
        let is_numeric = |column: &&FittedColumn| matches!(column.kind, FittedKind::Numeric { .. });
        self.columns.iter().filter(is_numeric).count()
    }

    /// The widths of the one-hot blocks that follow.
    pub fn blocks(&self) -> Vec<usize> {
        let levels = self.columns.iter().filter_map(FittedColumn::block).filter(|&width| width > 0);
        let measured = self.schema.columns.iter().zip(&self.columns);
        let measured = measured.filter(|(column, fitted)| fitted.has_flag(column)).map(|_| 2);
        levels.chain(measured).collect()
    }

    /// Features of a row.
    pub fn features(&self) -> usize {
        self.numeric_features() + self.blocks().iter().sum::<usize>()
    }

    /// The features of a column's value in a row: one of a number, a block of levels or bins.
    pub fn features_of(&self, column: usize) -> std::ops::Range<usize> {
        let first = self.places()[column].value;
        first..first + self.columns[column].width().unwrap_or(1)
    }

    /// Where each column's features begin.
    pub(crate) fn places(&self) -> Vec<Place> {
        let (mut numeric, mut discrete) = (0, self.numeric_features());
        let mut places: Vec<Place> = self
            .columns
            .iter()
            .map(|column| {
                let block = discrete;
                discrete += column.block().unwrap_or(0);
                if column.width().is_some() {
                    return Place { value: block, spikes: block, flag: None };
                }
                numeric += 1;
                Place { value: numeric - 1, spikes: block, flag: None }
            })
            .collect();
        let flagged = self.schema.columns.iter().zip(&self.columns).zip(&mut places);
        for (_, place) in flagged.filter(|((column, fitted), _)| fitted.has_flag(column)) {
            place.flag = Some(discrete);
            discrete += 2;
        }
        places
    }

    /// A checked part of a table, after `first_row` rows, on the grid.
    pub(crate) fn resampled(
        &self,
        table: &Table,
        first_row: usize,
        subset: Subset,
    ) -> Result<ResampledTable> {
        let parsed = check(table, &self.schema, first_row, Origin::Real)?;
        grid(subset.of(parsed)?, &self.schema, &table.name)
    }

    pub(crate) fn encode_one(&self, whole: &ResampledTable) -> Result<Encoded> {
        let mut kept = Kept::new(&self.schema);
        kept.add(whole)?;
        self.encode_kept(kept)
    }
}

/// Refuses a split that leaves no patient in the subset that is wanted.
pub(crate) fn refuse_empty_subset(subset: Subset, patients: &[String], table: &str) -> Result<()> {
    let is_empty = !patients.iter().any(|id| subset.takes(id));
    match subset.of_empty(patients.len(), false).filter(|_| is_empty) {
        Some(problem) => Err(Error::table(table, problem)),
        None => Ok(()),
    }
}

/// Refuses a table in memory that is empty; a file is refused when it is read.
pub(crate) fn refuse_no_rows(table: &Table) -> Result<()> {
    match table.frame.height() {
        0 => Err(Error::table(&table.name, "has no rows\nhint: the table needs at least one")),
        _ => Ok(()),
    }
}

/// Refuses a cohort in which every patient is too short.
pub(crate) fn refuse_no_sequence(lengths: &[usize], schema: &Schema, table: &str) -> Result<()> {
    if !lengths.is_empty() {
        return Ok(());
    }
    let shortest = schema.sequence.min_length;
    let problem = format!(
        "no patient has the {shortest} steps that sequence.min_length asks for\nhint: lower it"
    );
    Err(Error::table(table, problem))
}

/// A fit that sees the table part by part.
pub(crate) struct Fit<'a> {
    schema: &'a Schema,
    /// The table's name.
    table: &'a str,
    /// The CSV that it is read from, if it is one.
    csv: Option<&'a Path>,
    subset: Subset,
    columns: Vec<ColumnSoFar>,
    patient: Option<PatientSource>,
    time: Option<TimeSource>,
    time_facts: Option<ColumnFacts>,
    order: Vec<String>,
    tables: Vec<TableForm>,
    construction: Construction,
    /// What the first times, and the times between visits, are multiples of.
    multiples: [Multiples; 2],
    /// The latest time of a visit.
    latest: Option<f64>,
    /// Whether nothing was measured, and nothing happened, at some step.
    has_empty_step: bool,
    /// Patients on this subset of the split, and on the other.
    sides: [usize; 2],
    /// Steps of each sequence so far.
    pub(crate) lengths: Vec<usize>,
    pub(crate) counts: RowCounts,
}

/// What has been seen of a column.
#[derive(Default)]
struct ColumnSoFar {
    sample: Sample,
    /// Of a column that is constructed: its distances from its bounds.
    distances: Sample,
    facts: Option<ColumnFacts>,
    shown: ShownSoFar,
    /// Whether a row of the table has no value; of a static column, whether a patient has none.
    has_gaps: bool,
    /// Whether any row has a value, whatever subset of the patients it is of.
    is_there: bool,
}

impl<'a> Fit<'a> {
    /// Nothing seen yet. The schema's levels are settled.
    pub(crate) fn new(
        schema: &'a Schema,
        table: &'a str,
        csv: Option<&'a Path>,
        subset: Subset,
    ) -> Self {
        Self {
            schema,
            table,
            csv,
            subset,
            columns: schema.columns.iter().map(|_| ColumnSoFar::default()).collect(),
            patient: None,
            time: None,
            time_facts: None,
            order: Vec::new(),
            tables: Vec::new(),
            // Invariant: a schema is checked, so that its rules do not go round in a circle.
            construction: Construction::of(schema).unwrap_or_default(),
            multiples: Default::default(),
            latest: None,
            has_empty_step: false,
            sides: [0; 2],
            lengths: Vec::new(),
            counts: RowCounts::default(),
        }
    }

    /// Checks a part and puts it on the grid.
    pub(crate) fn part(&mut self, table: &Table, first_row: usize) -> Result<ResampledTable> {
        let parsed = check(table, self.schema, first_row, Origin::Real)?;
        for (column, facts) in self.columns.iter_mut().zip(&parsed.facts) {
            add_facts(&mut column.facts, facts);
        }
        for (column, so_far) in self.schema.columns.iter().zip(&mut self.columns) {
            let cells = parsed.frame.column(&column.name);
            so_far.is_there |= cells.is_ok_and(|cells| cells.null_count() < cells.len());
        }
        add_facts(&mut self.time_facts, &parsed.time_facts);
        self.see_patients(&parsed);
        for id in &parsed.patients {
            self.sides[usize::from(!self.subset.takes(id))] += 1;
        }
        let names = table.frame.get_column_names().into_iter().map(|name| name.as_str());
        let modelled = names.filter(|name| self.schema.names().any(|n| n == *name));
        self.order = modelled.map(str::to_owned).collect();
        self.tables = table.set.as_ref().map(|set| set.forms.clone()).unwrap_or_default();
        self.time = Some(match (self.time.take(), parsed.time.clone()) {
            // A part of whole numbers among others is one of numbers.
            (
                Some(TimeSource::Number { source, integer: before }),
                TimeSource::Number { integer, .. },
            ) => TimeSource::Number { source, integer: before && integer },
            (Some(before @ TimeSource::Text { .. }), _) => before,
            (_, here) => here,
        });
        refuse_violations(&parsed, self.schema, (table, first_row))?;
        let mut resampled = grid(self.subset.of(parsed)?, self.schema, self.table)?;
        if let Some(set) = &table.set {
            resampled.counts += set.counts;
        }
        Ok(resampled)
    }

    /// What is known of each column's cells besides their values.
    pub(crate) fn facts_of_columns(&mut self) -> impl Iterator<Item = (&Column, &mut ColumnFacts)> {
        let columns = self.schema.columns.iter().zip(&mut self.columns);
        columns.filter_map(|(column, so_far)| Some((column, so_far.facts.as_mut()?)))
    }

    fn see_patients(&mut self, parsed: &ParsedTable) {
        let is_text = parsed.patient_source.is_text();
        let digits = |id: &String| id.bytes().all(|b| b.is_ascii_digit());
        let width = parsed.patients.first().map(String::len);
        let same = |id: &String| Some(id.len()) == width && digits(id);
        let padded = is_text
            && parsed.patients.iter().all(same)
            && parsed.patients.iter().any(|id| is_code(id));
        let width = width.filter(|&width| padded && width <= MAX_ID_WIDTH);
        self.patient = Some(match self.patient.take() {
            None => PatientSource { source: parsed.patient_source.clone(), width },
            // A part whose ids all happen to begin with other digits has no say.
            Some(before) => PatientSource { width: before.width.or(width), ..before },
        });
    }

    /// Takes what a part shows.
    pub(crate) fn add(&mut self, part: &ResampledTable) -> Result<()> {
        self.lengths.extend(&part.lengths);
        self.counts += part.counts;
        for (name, multiples) in [START, GAP].into_iter().zip(&mut self.multiples) {
            if let Ok(times) = part.frame.column(name) {
                times.f64()?.iter().flatten().for_each(|time| multiples.add(time));
            }
        }
        self.latest = latest(part)?.into_iter().chain(self.latest).reduce(f64::max);
        self.has_empty_step = self.has_empty_step || has_empty_step(part, self.schema)?;
        let (schema, construction) = (self.schema, &self.construction);
        let columns = schema.columns.par_iter().zip(&mut self.columns).enumerate();
        columns.try_for_each(|(n, (column, so_far))| {
            let cells = part.frame.column(&column.name)?.f64()?;
            so_far.sample.add(cells);
            if let Some(made) = construction.get(n) {
                let of_part = (part.times.as_slice(), part.lengths.as_slice());
                so_far.distances.add(&made.distances(&part.frame, schema, of_part)?);
            }
            so_far.has_gaps |= !column.is_derived() && has_gaps(cells, part, column.is_static);
            if column.is_static {
                so_far.shown.add(cells, &part.invented, &part.lengths);
            }
            Ok(())
        })
    }

    /// Refuses columns whose code no row of their table has.
    fn refuse_unknown_codes(&self) -> Result<()> {
        let mut problems = Vec::new();
        for (column, so_far) in self.schema.columns.iter().zip(&self.columns) {
            let (Some(source), false) = (&column.source, so_far.is_there) else { continue };
            let of_events = self.schema.table_of(column).is_some_and(SourceTable::is_of_events);
            if of_events {
                let problem = format!(
                    "no row of the table `{}` has a value of the code `{}`\nhint: correct the column's source, or remove the column",
                    source.table, source.name
                );
                problems.push(Error::column(self.table, &column.name, problem));
            }
        }
        Error::all(problems)
    }

    /// Fits every column.
    pub(crate) fn finish(self) -> Result<Encoder> {
        // A split that leaves a subset empty is the cause, whatever else would be said of it.
        if let Some(empty) = self.sides.iter().position(|&patients| patients == 0)
            && let Some(problem) = self.subset.of_empty(self.sides.iter().sum(), empty == 1)
        {
            return Err(Error::table(self.table, problem));
        }
        refuse_no_sequence(&self.lengths, self.schema, self.table)?;
        self.refuse_unknown_codes()?;
        let mut schema = self.schema.clone();
        let of_column = |n: usize| FitOf {
            is_made: self.construction.get(n).is_some(),
            gap_unit: self.multiples[1].unit(),
            table: self.table,
        };
        let columns = schema.columns.par_iter_mut().zip(self.columns).enumerate();
        let fitted: Vec<Result<(FittedColumn, CellStyle)>> =
            columns.map(|(n, (column, so_far))| of_column(n).fit(column, so_far)).collect();
        let (mut columns, mut problems) = (Vec::with_capacity(fitted.len()), Vec::new());
        let mut styles = BTreeMap::new();
        for (name, fitted) in self.schema.columns.iter().map(|c| &c.name).zip(fitted) {
            match fitted {
                Ok((fitted, style)) => {
                    columns.push(fitted);
                    styles.insert(name.clone(), style);
                }
                Err(problem) => problems.push(problem),
            }
        }
        Error::all(problems)?;
        refuse_nothing(&columns, self.table)?;
        let lengths = frequencies(&self.lengths);
        let untyped = || PatientSource { source: SourceType::Text, width: None };
        let patient = self.patient.unwrap_or_else(untyped);
        let whole = || TimeSource::Number { source: SourceType::Text, integer: true };
        let time = self.time.unwrap_or_else(whole);
        let time_facts = self.time_facts.filter(|_| matches!(time, TimeSource::Number { .. }));
        let styles = unusual(styles, &schema, &patient, time_facts.as_ref());
        let style = TableStyle::of(&schema, self.csv, styles);
        let (order, tables, construction) = (self.order, self.tables, self.construction);
        let is_visits = schema.time.model == TimeModel::Visits;
        let visits = is_visits.then(|| VisitGrid::of(&self.multiples, self.latest));
        let has_full_steps = !self.has_empty_step;
        Ok(Encoder {
            schema,
            columns,
            patient,
            time,
            style,
            order,
            lengths,
            visits,
            has_full_steps,
            tables,
            distributions: Vec::new(),
            repeats: Vec::new(),
            spans: Vec::new(),
            construction,
        })
    }
}

/// The styles of columns, and of ids and times, that are not as usual.
fn unusual(
    mut styles: BTreeMap<String, CellStyle>,
    schema: &Schema,
    patient: &PatientSource,
    time_facts: Option<&ColumnFacts>,
) -> BTreeMap<String, CellStyle> {
    if patient.source == SourceType::Float64 {
        // A CSV's ids as 1.0.
        let style = CellStyle { decimals: Some(1), ..CellStyle::default() };
        styles.insert(schema.patient.column.clone(), style);
    }
    if let Some(facts) = time_facts {
        styles.insert(schema.time.column.clone(), facts.style(None, None));
    }
    styles.retain(|_, style| *style != CellStyle::default());
    styles
}

/// `[n]`: how many sequences have `n` steps.
fn frequencies(lengths: &[usize]) -> Vec<usize> {
    let mut frequencies = vec![0; lengths.iter().max().map_or(0, |longest| longest + 1)];
    lengths.iter().for_each(|&length| frequencies[length] += 1);
    frequencies
}

/// What the fit of one column rests on besides its cells.
struct FitOf<'a> {
    /// Whether the column is modelled by its distance from others.
    is_made: bool,
    /// What the times between visits are multiples of.
    gap_unit: Option<f64>,
    /// The table's name.
    table: &'a str,
}

impl FitOf<'_> {
    fn fit(self, column: &mut Column, so_far: ColumnSoFar) -> Result<(FittedColumn, CellStyle)> {
        let facts = so_far.facts.unwrap_or_else(|| ColumnFacts::new(SourceType::Float64));
        let observed = so_far.sample.sorted();
        if column.name == GAP {
            keep_gaps_apart(column, &observed, self.gap_unit);
        }
        if column.is_derived()
            && let Some(kind) = constant(column, &observed)
        {
            let (source, shown) = (facts.source, Shown::default());
            let (nan_gaps, time, range) = (false, None, None);
            let fitted = FittedColumn { kind, source, shown, nan_gaps, time, range };
            return Ok((fitted, CellStyle::default()));
        }

        let distances = self.is_made.then(|| so_far.distances.sorted());
        let multiple = facts.time.as_ref().and_then(|_| multiple(&observed));
        let range = column.numbers().filter(|_| self.is_made).and_then(|n| range(n, &observed));
        let mut kind = match distances.filter(|distances| !distances.is_empty()) {
            Some(distances) => {
                fit_distances(column, (&observed, &distances), facts.integer, self.table)?
            }
            None => fit_kind(column, observed, facts.integer, self.table)?,
        };
        if let FittedKind::Numeric { values, .. } = &mut kind {
            values.multiple = multiple;
        }
        let numbers = column.numbers();
        let suffix = numbers.and_then(|numbers| numbers.suffix.as_deref());
        let style = facts.style(numbers.and_then(|numbers| numbers.thousands), suffix);
        let shown = if column.is_static { so_far.shown.shown() } else { Shown::default() };
        let shows_some = so_far.has_gaps || shown == Shown::Some;
        column.missing_indicator.get_or_insert(shows_some && !column.is_derived());
        let nan_gaps = facts.has_nan && !facts.has_null;
        let (source, time) = (facts.source, facts.time);
        Ok((FittedColumn { kind, source, shown, nan_gaps, time, range }, style))
    }
}

impl FittedColumn {
    /// How many features its value has in place of a number; `None` for a number.
    pub(crate) fn width(&self) -> Option<usize> {
        match &self.kind {
            FittedKind::Numeric { .. } => None,
            FittedKind::Binned { bins, .. } => Some(bins.count()),
            FittedKind::Discrete { levels, .. } => Some(*levels),
            FittedKind::Constant { .. } | FittedKind::Empty => Some(0),
        }
    }

    /// Whether it has features.
    pub(crate) fn is_modelled(&self) -> bool {
        self.width() != Some(0)
    }

    /// The width of its one-hot block; `None` for a number without spikes.
    pub(crate) fn block(&self) -> Option<usize> {
        match &self.kind {
            FittedKind::Numeric { spikes, .. } => spikes.width(),
            _ => self.width(),
        }
    }

    /// What fills the cells of patients without any value.
    pub(crate) fn fill(&self) -> f64 {
        match self.kind {
            FittedKind::Numeric { fill, .. } | FittedKind::Binned { fill, .. } => fill,
            FittedKind::Discrete { fill, .. } => fill as f64,
            FittedKind::Constant { value, .. } => value,
            FittedKind::Empty => 0.,
        }
    }

    /// Whether it is modelled whether the column was measured.
    pub(crate) fn has_flag(&self, column: &Column) -> bool {
        column.missing_indicator == Some(true) && self.kind != FittedKind::Empty
    }
}

/// Whether a step at which the table has a row has no value; of a static column, whether a sequence
/// has none.
fn has_gaps(cells: &Float64Chunked, part: &ResampledTable, is_static: bool) -> bool {
    if cells.null_count() == 0 {
        return false;
    }
    let is_real = |row: usize| !part.invented.get(row).copied().unwrap_or(false);
    let is_gap = |row: usize| cells.get(row).is_none();
    if !is_static {
        return (0..cells.len()).any(|row| is_gap(row) && is_real(row));
    }
    let mut first = 0;
    part.lengths.iter().any(|length| {
        let mut rows = first..first + length;
        first = rows.end;
        rows.all(is_gap)
    })
}

fn add_facts(so_far: &mut Option<ColumnFacts>, here: &ColumnFacts) {
    match so_far {
        Some(so_far) => so_far.add(here.clone()),
        None => *so_far = Some(here.clone()),
    }
}

/// Refuses a table without any value to model.
fn refuse_nothing(columns: &[FittedColumn], table: &str) -> Result<()> {
    if columns.iter().any(FittedColumn::is_modelled) {
        return Ok(());
    }
    let problem =
        "nothing was measured in any of the schema's columns\nhint: add a column that was";
    Err(Error::table(table, problem))
}

/// Fits a column to its values, ascending, and writes what is found of its bins to the
/// schema's `column`.
fn fit_kind(
    column: &mut Column,
    observed: Vec<f64>,
    integer: bool,
    table: &str,
) -> Result<FittedKind> {
    if observed.is_empty() {
        return Ok(FittedKind::Empty);
    }
    let levels = column.levels().len();
    match &mut column.kind {
        ColumnKind::Numeric(numbers) => fit_numbers(numbers, &observed, integer)
            .map_err(|problem| Error::column(table, &column.name, problem)),
        ColumnKind::Categorical(_) | ColumnKind::Binary(_) => Ok(fit_levels(levels, &observed)),
    }
}

/// A column that only the steps have, and whose ascending values are all the same: every patient
/// is first seen on day 0, for one.
fn constant(column: &Column, observed: &[f64]) -> Option<FittedKind> {
    let (least, greatest) = (*observed.first()?, *observed.last()?);
    let values = value_grid(column.numbers()?, observed, false);
    (least == greatest).then_some(FittedKind::Constant { value: least, values })
}

/// Has ascending gaps, which are multiples of `unit`, modelled by their logarithm where by quantiles
/// an encoded number would not tell all of them apart.
fn keep_gaps_apart(column: &mut Column, gaps: &[f64], unit: Option<f64>) {
    let (ColumnKind::Numeric(numbers), Some(unit)) = (&mut column.kind, unit) else { return };
    let NumericModel::Value { transform, margin } = &mut numbers.model else { return };
    let Ok(fitted) = FittedTransform::fit(*transform, *margin, gaps) else { return };
    let back = |gap: f64| fitted.decode(f64::from(fitted.encode(gap) as f32));
    if gaps.iter().any(|&gap| (back(gap) - gap).abs() >= 0.4 * unit) {
        *transform = Transform::Log1p;
    }
}

/// Fits a column of ascending values `observed` to its ascending distances from others.
fn fit_distances(
    column: &mut Column,
    (observed, distances): (&[f64], &[f64]),
    integer: bool,
    table: &str,
) -> Result<FittedKind> {
    let ColumnKind::Numeric(numbers) = &mut column.kind else {
        // Invariant: the schema's check allows no other columns in such a rule.
        return fit_kind(column, observed.to_vec(), integer, table);
    };
    let values = value_grid(numbers, observed, integer);
    let (own, margin) = match numbers.model {
        NumericModel::Value { transform, margin } => (transform, margin),
        NumericModel::Bin(_) => (Transform::Identity, 0.),
    };
    let transform = Constructed::transform(own);
    let fitted = FittedTransform::fit(transform, margin, distances)
        .map_err(|value| Error::column(table, &column.name, undefined(transform, value)))?;
    let (spikes, fill) = (FittedSpikes::default(), quantile(observed, 0.5));
    Ok(FittedKind::Numeric { transform: fitted, values, spikes, fill })
}

fn fit_levels(levels: usize, observed: &[f64]) -> FittedKind {
    let mut counts = vec![0usize; levels];
    for &level in observed {
        counts[level as usize] += 1;
    }
    // The first of the commonest.
    let fill = (0..levels).rev().max_by_key(|&level| counts[level]).unwrap_or(0);
    FittedKind::Discrete { levels, fill }
}

/// # Errors
/// Where the transform is not defined, and the way out.
fn fit_numbers(
    numbers: &mut Numeric,
    observed: &[f64],
    integer: bool,
) -> std::result::Result<FittedKind, String> {
    let fill = quantile(observed, 0.5);
    let values = value_grid(numbers, observed, integer);
    match &mut numbers.model {
        NumericModel::Bin(bins) => {
            let fitted = FittedBins::fit(bins, observed);
            bins.cuts = Cuts::Edges(fitted.edges().to_vec());
            Ok(FittedKind::Binned { bins: fitted, values, fill })
        }
        NumericModel::Value { transform, margin } => {
            let is_spike = |x: &f64| numbers.spikes.iter().any(|&spike| is_at(*x, spike));
            let mut besides = Cow::Borrowed(observed);
            if !numbers.spikes.is_empty() {
                besides = observed.iter().copied().filter(|x| !is_spike(x)).collect();
            }
            let mut of_others = *transform;
            if besides.is_empty() {
                // Nothing besides: any of the spikes stands for it.
                (besides, of_others) = (vec![observed[0]].into(), Transform::Identity);
            }
            let fitted = FittedTransform::fit(of_others, *margin, &besides);
            let transform = fitted.map_err(|value| undefined(*transform, value))?;
            let spikes = FittedSpikes::new(&numbers.spikes, quantile(&besides, 0.5));
            Ok(FittedKind::Numeric { transform, values, spikes, fill })
        }
    }
}

/// The grid of a column's ascending values.
fn value_grid(numbers: &Numeric, observed: &[f64], integer: bool) -> ValueGrid {
    let is_mean = numbers.aggregate == Aggregate::Mean;
    // A bound is modelled as a number that the column's own numbers need not be like.
    let is_bound = |x: f64| numbers.censored.iter().any(|censored| censored.value == x);
    let exact: Vec<f64> = observed.iter().copied().filter(|&x| !is_bound(x)).collect();
    let (integer, decimals) = match numbers.decimals {
        Some(given) => (given == 0, Some(given)),
        None if is_mean => (false, None),
        None => (integer, decimals(&exact)),
    };
    ValueGrid { integer, decimals, multiple: None }
}

/// Where synthetic values of a column lie, whose own are `observed`, ascending.
fn range(numbers: &Numeric, observed: &[f64]) -> Option<[f64; 2]> {
    let (least, greatest) = (*observed.first()?, *observed.last()?);
    let beyond = match numbers.model {
        NumericModel::Value { margin, .. } => margin * (greatest - least),
        NumericModel::Bin(_) => 0.,
    };
    Some([least - beyond, greatest + beyond])
}

/// What all values are multiples of.
fn multiple(values: &[f64]) -> Option<f64> {
    let mut multiples = Multiples::default();
    values.iter().for_each(|&value| multiples.add(value));
    multiples.unit()
}

/// That a transform is not defined at a value, and the way out.
pub(crate) fn undefined(transform: Transform, value: f64) -> String {
    let or_shift = match transform {
        Transform::BoxCox { .. } => ", or a greater shift",
        _ => "",
    };
    format!(
        "the transform is not defined at {value}\nhint: choose \"identity\" or \"quantile\"{or_shift}"
    )
}

/// The fewest decimals, up to six, that write every value exactly.
fn decimals(values: &[f64]) -> Option<u32> {
    (0..=6).find(|&decimals| {
        let scale = 10f64.powi(decimals as i32);
        values.iter().all(|&x| (x * scale).round() / scale == x)
    })
}
