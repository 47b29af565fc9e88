//! Fitting under a privacy guarantee.
//!
//! Nothing of a private table is fitted to. What may be known of it is released once, by the Gaussian
//! mechanism: how the values of each column are distributed over bins that the schema alone gives, how
//! often it is not measured, and how long sequences are.
//!
//! ```text
//! h = Σᵢ hᵢ + N(0, σ² Δ²)      hᵢ [bins of all columns, and lengths]: of each column, and of the lengths,
//!                              shares that add up to 1 over patient i's rows; so ‖hᵢ‖ ≤ √(columns + 1) = Δ
//! ```
//!
//! From h a stand-in table is drawn, whose columns know nothing of each other, and the encoder is fitted to
//! that one (Dwork & Roth 2014, doi:10.1561/0400000042, theorem A.1 and proposition 2.1: what is computed
//! from a private release is private). So whatever an encoder fits, be it one day something new, it fits to
//! what was released. The table's form is taken to be public: the names and types of its columns, and the
//! signs by which a text file is written.

use crate::encode::Fit;
use crate::grid::ResampledTable;
use crate::levels::settled;
use crate::notes::{ColumnFacts, Decimals};
use crate::parsed::PATIENT;
use crate::spikes::is_at;
use crate::{
    Column, ColumnKind, Cuts, Encoded, Encoder, Error, Numeric, NumericModel, Result, RowCounts,
    Rule, Schema, Start, Subset, Table, TimeModel, Transform,
};
use polars_core::prelude::{
    DataFrame, Float64Chunked, IntoColumn, IntoSeries, NewChunkedArray, Series,
};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Bins of a column of numbers, at most.
const MOST_BINS: usize = 64;
/// A count below so many standard deviations of the noise is taken for none.
const THRESHOLD: f64 = 3.5;
/// Patients of the stand-in table.
const STAND_INS: usize = 2000;

/// Noise for what is released.
pub struct ReleaseNoise<'a> {
    /// The standard deviation over the sensitivity.
    pub multiplier: f64,
    /// Draws from N(0, 1).
    pub draw: &'a mut dyn FnMut() -> f64,
}

impl std::fmt::Debug for ReleaseNoise<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReleaseNoise").field("multiplier", &self.multiplier).finish_non_exhaustive()
    }
}

impl Encoder {
    /// Encodes one subset of `table` with an encoder that knows of it what one release by the Gaussian
    /// mechanism shows: every column's distribution, the shares of gaps, and the lengths. A patient is one
    /// sequence, and the schema says everything else: levels, ranges of numbers, the greatest length.
    ///
    /// `noise` is told how many patients there are, which is taken to be public.
    ///
    /// # Errors
    /// As [`Encoder::fit`], and for everything that the schema leaves to the table; what `noise` reports.
    pub fn fit_private<'n, E: From<Error>>(
        schema: &Schema,
        table: &Table,
        subset: Subset,
        noise: impl FnOnce(usize) -> std::result::Result<ReleaseNoise<'n>, E>,
    ) -> std::result::Result<(Self, Encoded), E> {
        crate::encode::refuse_no_rows(table)?;
        refuse_open(schema)?;
        let schema = settled(schema, table)?;
        let mut fit = Fit::new(&schema, &table.name, table.csv.as_deref(), subset);
        let private = fit.part(table, 0)?;
        crate::encode::refuse_no_sequence(&private.lengths, &schema, &table.name)?;
        let noise = noise(private.lengths.len())?;
        let stand_in = Release::of(&private, &schema, noise)?.stand_in()?;
        fit.forget_numbers();
        fit.add(&stand_in)?;
        let mut encoder = fit.finish()?;
        encoder.fit_to_distributions(&encoder.encode_one(&stand_in)?);
        let encoded = encoder.encode_one(&private)?;
        Ok((encoder, encoded))
    }
}

/// Refuses what a schema leaves to the table.
fn refuse_open(schema: &Schema) -> Result<()> {
    let of_table = [
        (!schema.tables.is_empty(), "several tables\nhint: join them into one"),
        (
            !schema.rules.iter().all(|rule| matches!(rule, Rule::Carried { .. })),
            "rules of distances and orders, which are fitted to the table\nhint: remove all but those \
             of what is carried",
        ),
        (
            !matches!(schema.time.model, TimeModel::Grid { start: Start::Zero, .. }),
            "times that are modelled\nhint: set time.model = \"grid\" with a time.step, and no time.start",
        ),
        (
            schema.sequence.max_length.is_none(),
            "sequences of any length\nhint: set sequence.max_length",
        ),
        (
            schema.sequence.window.is_some(),
            "patients in several sequences, and it is kept for one\nhint: remove sequence.window",
        ),
    ];
    let open =
        of_table.into_iter().filter(|(is_open, _)| *is_open).map(|(_, what)| what.to_owned());
    let of_columns = schema.columns.iter().filter_map(|column| {
        open_in(column).map(|what| format!("column `{}`: {what}", column.name))
    });
    let named = |what: String| {
        let problem = format!("a privacy guarantee cannot be kept with {what}");
        Error::Schema { schema: schema.name.clone(), line: None, problem }
    };
    Error::all(open.chain(of_columns).map(named).collect())
}

/// What a column leaves to the table, and the way out.
fn open_in(column: &Column) -> Option<&'static str> {
    match &column.kind {
        ColumnKind::Numeric(Numeric { format: Some(_), .. }) => {
            Some("dates or elapsed time\nhint: leave it out, or give it as a number")
        }
        ColumnKind::Numeric(Numeric { range: None, .. }) => Some(
            "no range\nhint: set range = [least, greatest], from what is known of such values and \
             not from this table",
        ),
        ColumnKind::Numeric(_) => None,
        ColumnKind::Categorical(levels) if levels.rare.is_some() => {
            Some("rare levels\nhint: name the levels to keep, and remove `rare`")
        }
        ColumnKind::Categorical(_) | ColumnKind::Binary(_) => column.levels().is_empty().then_some(
            "no levels\nhint: name all that there can be, from what is known of the column",
        ),
    }
}

/// How a column's cells are counted.
enum Bins {
    /// So many levels.
    Levels(usize),
    /// Between these edges, ascending; spikes come first, and have bins of their own.
    Numbers { spikes: Vec<f64>, edges: Vec<f64>, scale: Transform, unit: Option<f64> },
}

impl Bins {
    fn of(column: &Column) -> Self {
        let Some(numbers) = column.numbers() else { return Self::Levels(column.levels().len()) };
        // INVARIANT: a column of numbers without a range was refused.
        let [least, greatest] = numbers.range.unwrap_or([0., 1.]);
        let spikes = numbers.spikes.clone();
        let unit = numbers.decimals.map(|decimals| 10f64.powi(-(decimals as i32)));
        let steps = unit.map(|unit| ((greatest - least) / unit).round() + 1.);
        if let (Some(unit), Some(steps)) = (unit, steps.filter(|&n| n <= MOST_BINS as f64)) {
            let edges = (0..=steps as usize).map(|n| least + unit * (n as f64 - 0.5)).collect();
            return Self::Numbers { spikes, edges, scale: Transform::Identity, unit: Some(unit) };
        }
        if let NumericModel::Bin(crate::Bins { cuts: Cuts::Edges(inner), .. }) = &numbers.model {
            let inside = inner.iter().copied().filter(|&edge| edge > least && edge < greatest);
            let edges = [least].into_iter().chain(inside).chain([greatest]).collect();
            return Self::Numbers { spikes, edges, scale: Transform::Identity, unit };
        }
        let scale = match numbers.model {
            NumericModel::Value { transform, .. } if transform.is_defined_at(least) => transform,
            _ => Transform::Identity,
        };
        let [low, high] = [least, greatest].map(|x| forward(scale, x));
        let at = |n: usize| low + (high - low) * n as f64 / MOST_BINS as f64;
        let mut edges: Vec<f64> = (0..=MOST_BINS).map(|n| inverse(scale, at(n))).collect();
        // What is rounded must not lead out of the range.
        (edges[0], edges[MOST_BINS]) = (least, greatest);
        Self::Numbers { spikes, edges, scale, unit }
    }

    fn count(&self) -> usize {
        match self {
            Self::Levels(levels) => *levels,
            Self::Numbers { spikes, edges, .. } => spikes.len() + edges.len() - 1,
        }
    }

    /// The bin of a cell.
    fn bin(&self, x: f64) -> usize {
        match self {
            Self::Levels(levels) => (x as usize).min(levels - 1),
            Self::Numbers { spikes, edges, .. } => {
                if let Some(spike) = spikes.iter().position(|&spike| is_at(x, spike)) {
                    return spike;
                }
                let inner = &edges[1..edges.len() - 1];
                spikes.len() + inner.partition_point(|&edge| edge <= x)
            }
        }
    }

    /// The value at `position` in (0, 1) of a bin.
    fn value(&self, bin: usize, position: f64) -> f64 {
        match self {
            Self::Levels(_) => bin as f64,
            Self::Numbers { spikes, .. } if bin < spikes.len() => spikes[bin],
            Self::Numbers { spikes, edges, scale, unit } => {
                let bin = bin - spikes.len();
                let [low, high] = [edges[bin], edges[bin + 1]].map(|x| forward(*scale, x));
                let x = inverse(*scale, low + position * (high - low));
                let x = unit.map_or(x, |unit| (x / unit).round() * unit);
                // Rounded, it stays in the range; edges of whole values lie half of one outside.
                x.clamp(edges[0], edges[edges.len() - 1])
            }
        }
    }
}

/// The scale on which bins have one width: a transform that nothing is fitted of.
fn forward(scale: Transform, x: f64) -> f64 {
    match scale {
        Transform::Identity | Transform::Quantile => x,
        Transform::Log1p => x.ln_1p(),
        Transform::Sqrt => x.max(0.).sqrt(),
        Transform::BoxCox { shift } => (x + shift).ln(),
    }
}

fn inverse(scale: Transform, y: f64) -> f64 {
    match scale {
        Transform::Identity | Transform::Quantile => y,
        Transform::Log1p => y.exp_m1(),
        Transform::Sqrt => y * y,
        Transform::BoxCox { shift } => y.exp() - shift,
    }
}

/// What was released.
struct Release<'a> {
    schema: &'a Schema,
    bins: Vec<Bins>,
    /// Of each column: how many patients' worth of cells each bin has; the last one those that are empty.
    columns: Vec<Vec<f64>>,
    /// How many patients have each length, from 0 on.
    lengths: Vec<f64>,
}

impl<'a> Release<'a> {
    fn of(private: &ResampledTable, schema: &'a Schema, noise: ReleaseNoise<'_>) -> Result<Self> {
        let bins: Vec<Bins> = schema.columns.iter().map(Bins::of).collect();
        let mut columns = Vec::with_capacity(bins.len());
        for (column, bins) in schema.columns.iter().zip(&bins) {
            let cells: Vec<Option<f64>> =
                private.frame.column(&column.name)?.f64()?.iter().collect();
            let is_carried = carried(private, schema, &column.name)?;
            let counted = Counted { cells: &cells, is_carried: is_carried.as_deref() };
            columns.push(counted.shares(&private.lengths, bins, column.is_static));
        }
        // INVARIANT: a schema without a greatest length was refused.
        let longest = schema.sequence.max_length.unwrap_or(1);
        let mut lengths = vec![0.; longest + 1];
        private.lengths.iter().for_each(|&length| lengths[length.min(longest)] += 1.);

        let sensitivity = ((columns.len() + 1) as f64).sqrt();
        let deviation = noise.multiplier * sensitivity;
        for counts in columns.iter_mut().chain([&mut lengths]) {
            release(counts, deviation, noise.draw);
        }
        let shortest = schema.sequence.min_length.min(longest);
        lengths[..shortest].fill(0.);
        if lengths.iter().all(|&count| count == 0.) {
            lengths[longest] = 1.;
        }
        Ok(Self { schema, bins, columns, lengths })
    }

    /// A table that has what was released, and no more.
    fn stand_in(&self) -> Result<ResampledTable> {
        // The same for every table: it knows nothing.
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut lengths: Vec<usize> = Vec::with_capacity(STAND_INS);
        for (length, count) in quotas(&self.lengths, STAND_INS).into_iter().enumerate() {
            lengths.extend(std::iter::repeat_n(length, count));
        }
        lengths.shuffle(&mut rng);
        let rows: usize = lengths.iter().sum();

        let patients = lengths.iter().zip(0u32..).flat_map(|(&n, id)| std::iter::repeat_n(id, n));
        let patients = Series::from_iter(patients).with_name(PATIENT.into());
        let mut columns = vec![patients.into_column()];
        for ((column, bins), counts) in
            self.schema.columns.iter().zip(&self.bins).zip(&self.columns)
        {
            let cells = match column.is_static {
                true => {
                    let of_patients = drawn(bins, counts, lengths.len(), &mut rng);
                    let pairs = of_patients.into_iter().zip(&lengths);
                    pairs.flat_map(|(cell, &length)| std::iter::repeat_n(cell, length)).collect()
                }
                false => drawn(bins, counts, rows, &mut rng),
            };
            let cells =
                Float64Chunked::from_iter_options(column.name.as_str().into(), cells.into_iter());
            columns.push(cells.into_series().into_column());
        }
        let times =
            lengths.iter().flat_map(|&length| (0..length).map(|step| step as f64)).collect();
        let frame = DataFrame::new(rows, columns)?;
        let (invented, counts) = (Vec::new(), RowCounts::default());
        Ok(ResampledTable { frame, lengths, times, invented, counts })
    }
}

/// Of each row, whether a rule has the column carried there: such cells say nothing of how values are
/// distributed. `None` for a column that no rule carries.
fn carried(private: &ResampledTable, schema: &Schema, carried: &str) -> Result<Option<Vec<bool>>> {
    for rule in &schema.rules {
        let Rule::Carried { column, flag, level } = rule else { continue };
        let of_flag = schema.columns.iter().find(|column| column.name == *flag);
        let Some(level) = of_flag.and_then(|flag| flag.position_of(level)) else { continue };
        if column == carried {
            let flags = private.frame.column(flag)?.f64()?;
            return Ok(Some(flags.iter().map(|flag| flag == Some(level)).collect()));
        }
    }
    Ok(None)
}

/// The cells of a column, and which of them are carried from the row before.
struct Counted<'a> {
    cells: &'a [Option<f64>],
    is_carried: Option<&'a [bool]>,
}

impl Counted<'_> {
    /// Of each bin, and last of gaps, the patients' shares, added up. Those of one patient add up to 1.
    fn shares(&self, lengths: &[usize], bins: &Bins, is_static: bool) -> Vec<f64> {
        let gap = bins.count();
        let bin = |cell: Option<f64>| cell.map_or(gap, |x| bins.bin(x));
        let mut counts = vec![0.; gap + 1];
        let mut first = 0;
        for &length in lengths {
            let rows = first..first + length;
            first = rows.end;
            let of_patient = &self.cells[rows.clone()];
            if is_static {
                counts[bin(of_patient.iter().flatten().next().copied())] += 1.;
                continue;
            }
            // At the first row there is nothing to carry.
            let counts_here = |row: &usize| {
                *row == rows.start || self.is_carried.is_none_or(|is_carried| !is_carried[*row])
            };
            let counted: Vec<usize> = rows.clone().filter(counts_here).collect();
            for &row in &counted {
                counts[bin(self.cells[row])] += 1. / counted.len() as f64;
            }
        }
        counts
    }
}

/// Adds noise to counts, and takes those that do not stand out of it for 0; the greatest always counts.
fn release(counts: &mut [f64], deviation: f64, draw: &mut dyn FnMut() -> f64) {
    for count in &mut *counts {
        *count += deviation * draw();
    }
    let greatest = counts.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for count in counts {
        let is_noise = *count < THRESHOLD * deviation || *count <= 0.;
        *count = match *count == greatest {
            true => count.max(1.),
            false if is_noise => 0.,
            false => *count,
        };
    }
}

/// So many cells by the shares of bins, the last of which are gaps, in random order.
fn drawn(bins: &Bins, counts: &[f64], cells: usize, rng: &mut ChaCha8Rng) -> Vec<Option<f64>> {
    let mut drawn = Vec::with_capacity(cells);
    for (bin, quota) in quotas(counts, cells).into_iter().enumerate() {
        let is_gap = bin == bins.count();
        drawn.extend((0..quota).map(|n| {
            let position = (n as f64 + rng.random::<f64>()) / quota as f64;
            (!is_gap).then(|| bins.value(bin, position))
        }));
    }
    drawn.shuffle(rng);
    drawn
}

/// Whole numbers that add up to `total` in the shares of `counts`, by the largest remainders.
fn quotas(counts: &[f64], total: usize) -> Vec<usize> {
    let sum: f64 = counts.iter().sum();
    let exact: Vec<f64> = counts.iter().map(|count| total as f64 * count / sum).collect();
    let mut quotas: Vec<usize> = exact.iter().map(|x| *x as usize).collect();
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()).then(a.cmp(&b)));
    let missing = total.saturating_sub(quotas.iter().sum());
    order.iter().take(missing).for_each(|&n| quotas[n] += 1);
    quotas
}

impl ColumnFacts {
    /// Forgets what the numbers themselves show, in place of which the schema says how they are written.
    fn forget_numbers(&mut self, numbers: Option<&Numeric>) {
        let given = numbers.and_then(|numbers| numbers.decimals);
        self.integer = self.source.is_integer() || given == Some(0);
        self.decimals = given.map_or(Decimals::Varied, Decimals::All);
    }
}

impl Fit<'_> {
    /// Forgets what the numbers of the table's cells show besides their types.
    fn forget_numbers(&mut self) {
        for (column, facts) in self.facts_of_columns() {
            facts.forget_numbers(column.numbers());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars_core::df;

    const SCHEMA: &str = r#"
        name = "ward"
        sequence = { max_length = 4 }
        [patient]
        column = "id"
        [time]
        column = "hour"
        step = 1.0
        [[columns]]
        name = "dose"
        kind = "numeric"
        range = [0.0, 100.0]
        transform = "log1p"
        decimals = 1
        spikes = [0.0]
        [[columns]]
        name = "sex"
        kind = "binary"
        levels = ["f", "m"]
        static = true
        [[columns]]
        name = "stage"
        kind = "categorical"
        levels = ["1", "2", "3"]
    "#;

    fn schema() -> Schema {
        Schema::parse(SCHEMA, "ward.toml".as_ref()).expect("a schema")
    }

    /// Patients of 2 to 4 hours; of one in five no stage is known.
    fn table(patients: usize) -> Table {
        let (mut id, mut hour, mut dose, mut sex, mut stage) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for n in 0..patients {
            for step in 0..2 + n % 3 {
                id.push(n as u32);
                hour.push(step as i64);
                dose.push(if n % 2 == 0 { 0. } else { 5. + (n * 7 % 31) as f64 / 8. });
                sex.push(["f", "m"][usize::from(n % 4 == 0)]);
                stage.push((n % 5 > 0).then_some(["1", "2"][n % 2]));
            }
        }
        df!("id" => id, "hour" => hour, "dose" => dose, "sex" => sex, "stage" => stage)
            .expect("a table")
            .into()
    }

    fn fitted(table: &Table, multiplier: f64) -> (Encoder, Encoded) {
        let mut draw = || 0.5;
        Encoder::fit_private(&schema(), table, Subset::Whole, |patients| {
            assert!(patients > 0);
            Ok::<_, Error>(ReleaseNoise { multiplier, draw: &mut draw })
        })
        .expect("a fit")
    }

    /// The whole point: but for its release, nothing of a table reaches the encoder.
    #[test]
    fn tables_with_one_release_have_one_encoder() {
        let (encoder, encoded) = fitted(&table(300), 0.01);
        // Other doses in the same bins, and other patients with the same sex and stage.
        let mut other = table(300);
        let dose = other.frame.column("dose").expect("dose").f64().expect("numbers").clone();
        let moved: Float64Chunked =
            dose.iter().map(|x| x.map(|x| if x == 0. { 0. } else { x + 0.0003 })).collect();
        other
            .frame
            .with_column(moved.with_name("dose".into()).into_series().into_column())
            .expect("a column");
        let (of_other, encoded_other) = fitted(&other, 0.01);
        assert!(encoder.to_json().expect("JSON") == of_other.to_json().expect("JSON"));
        assert_ne!(encoded.values, encoded_other.values);
    }

    #[test]
    fn what_is_released_comes_back_in_the_stand_in() {
        let (encoder, encoded) = fitted(&table(600), 1e-6);
        assert_eq!(encoded.lengths.len(), 600);
        let third = STAND_INS as f64 / 3.;
        for length in 2..=4 {
            assert!((encoder.lengths[length] as f64 - third).abs() < 2., "{:?}", encoder.lengths);
        }
        let crate::Distribution::Levels(sex) = &encoder.distributions
            [encoder.distributions.iter().position(|d| matches!(d, crate::Distribution::Levels(s) if s.len() == 2 && (s[1] - 0.25).abs() < 0.01)).expect("sex")]
        else {
            panic!("levels")
        };
        assert!((sex[0] - 0.75).abs() < 0.01);
        assert!(encoder.schema.columns[2].missing_indicator == Some(true), "stage has gaps");
        assert!(encoder.repeats.is_empty(), "a stand-in's columns have no memory");
    }

    /// By which the noise is measured.
    #[test]
    fn no_patient_adds_more_than_the_sensitivity() {
        let schema = settled(&schema(), &table(9)).expect("a schema");
        let released = |patients: usize| {
            let table = table(patients);
            let mut fit = Fit::new(&schema, "ward", None, Subset::Whole);
            let private = fit.part(&table, 0).expect("a part");
            let mut silent = || 0.;
            let noise = ReleaseNoise { multiplier: 0., draw: &mut silent };
            let release = Release::of(&private, &schema, noise).expect("a release");
            release.columns.concat().into_iter().chain(release.lengths).collect::<Vec<f64>>()
        };
        for patients in 5..15 {
            let (before, after) = (released(patients), released(patients + 1));
            let moved: f64 = before.iter().zip(&after).map(|(a, b)| (a - b).powi(2)).sum();
            assert!(moved > 1. && moved.sqrt() <= 2. + 1e-9, "{moved}");
        }
    }

    #[test]
    fn what_a_schema_leaves_to_the_table_is_refused_all_at_once() {
        let open = SCHEMA
            .replace("range = [0.0, 100.0]", "")
            .replace("levels = [\"1\", \"2\", \"3\"]", "")
            .replace("sequence = { max_length = 4 }", "");
        let schema = Schema::parse(&open, "ward.toml".as_ref()).expect("a schema");
        let mut draw = || 0.;
        let problem = Encoder::fit_private(&schema, &table(9), Subset::Whole, |_| {
            Ok::<_, Error>(ReleaseNoise { multiplier: 1., draw: &mut draw })
        })
        .expect_err("refused")
        .to_string();
        for part in ["sequence.max_length", "column `dose`: no range", "column `stage`: no levels"]
        {
            assert!(problem.contains(part), "{part}: {problem}");
        }
        assert!(!problem.contains("`sex`"));
    }

    #[test]
    fn a_value_outside_the_range_is_refused_with_its_place() {
        let mut table = table(9);
        let dose = table.frame.column("dose").expect("dose").f64().expect("numbers").clone();
        let moved: Float64Chunked = dose.iter().map(|x| x.map(|x| x * 40.)).collect();
        table
            .frame
            .with_column(moved.with_name("dose".into()).into_series().into_column())
            .expect("a column");
        let problem =
            Encoder::fit(&schema(), &table, Subset::Whole).expect_err("refused").to_string();
        assert!(problem.contains("lies outside the column's range from 0 to 100"), "{problem}");
        assert!(problem.contains("hint: "), "{problem}");
    }

    #[test]
    fn quotas_add_up() {
        assert_eq!(quotas(&[1., 1., 1.], 10), [4, 3, 3]);
        assert_eq!(quotas(&[0., 2.5, 0.5], 6), [0, 5, 1]);
    }
}
