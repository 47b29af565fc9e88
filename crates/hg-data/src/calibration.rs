//! What training leaves of the difference between the columns of synthetic and real rows, put right
//! feature by feature.
//!
//! ```text
//! number   x ↦ Q(F(x)), F the share of the generator's numbers up to x, Q the quantiles of the
//!          real ones; one that then lies within w of the number before it in time becomes that
//!          one, w in each tenth of Q such that numbers there are repeated as often as real ones
//! block    p ↦ softmax(log p + b + d), with b such that each level is the greatest as often as it is
//!          in real rows, and d, which is not 0 at the level before in time alone, such that each is
//!          kept as often as in real rows
//! ```
//!
//! How long patients of about one number of visits and about one first time are followed is put right
//! after that, and then the times between visits once more.
//!
//! They keep the order of what the generator makes, so that who has more, when, and together with
//! what stays as it was learnt. A network cannot make the same number twice; but doses, settings of
//! devices and values that are carried forward often stay. Only cells that decoding looks at count: a static column's first
//! one, a number where it was measured, is no spike and is not carried, a time between visits from the
//! second on.
//!
//! A value that at least [`MIN_SHARED`] patients have is kept exactly, which gives back whole
//! numbers, detection limits and the like; between others Q goes on in a line, so that no value of
//! few patients stands out.

use crate::carried::CarriedWhen;
use crate::decode::greatest;
use crate::parsed::GAP;
use crate::spans::SpanMap;
use crate::{Encoded, Encoder, FittedKind, Shown};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Patients who must have a value for it to come back exactly, and who must repeat a number.
const MIN_SHARED: usize = 5;
/// Points of a quantile function, about; exact values have two.
const POINTS: usize = 400;
/// Rows that are looked at; of more, those of evenly spread patients are.
const MAX_ROWS: usize = 400_000;
/// How often all levels of a block get new biases, at most.
const SWEEPS: usize = 20;
/// How often the biases and those of levels that are kept are moved to where they belong.
const MOVES: usize = 40;
/// The share of the way that they are moved.
const MOVED: f32 = 0.7;
/// Parts of a distribution, in each of which numbers are repeated as often as real ones.
const TENTHS: usize = 10;
/// No distance is within this.
const NEVER: f32 = -1.;
/// The least probability that networks tell from others.
const LEAST: f32 = 1e-12;

/// How one feature, or block, of real rows is distributed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// Of a number: the points [share, value] of its quantile function, both ascending; none where
    /// there is no value.
    Quantiles(Vec<[f32; 2]>),
    /// Of a block: the share of each level.
    Levels(Vec<f32>),
}

/// Maps a generator's rows to rows whose features are distributed as in real ones.
#[derive(Clone, Debug)]
pub struct Calibration {
    maps: Vec<(Looked, Map)>,
    spans: Option<SpanMap>,
    /// Of the times between visits, whose sums have been put right.
    gaps: Vec<(Looked, Map)>,
}

/// What becomes of a feature, or block.
#[derive(Clone, Debug)]
enum Map {
    /// From the generator's quantiles to the real ones; then what is `within` so little of the number
    /// before becomes that one, by the tenth that this is in; nothing where none is repeated.
    Quantiles { from: Vec<[f32; 2]>, to: Vec<[f32; 2]>, within: Vec<f32> },
    /// By biases of the log-probabilities, and one more of the level before, by this; nothing where
    /// there is none before.
    Levels { biases: Vec<f32>, kept: Vec<f32> },
}

/// A feature, or block, and the cells of it that decoding looks at.
#[derive(Clone, Debug)]
struct Looked {
    /// The position of its column.
    column: usize,
    features: Range<usize>,
    stage: Stage,
    steps: Steps,
    /// The block that says whether it was measured.
    flag: Option<usize>,
    /// When it repeats the row before, whatever stands there.
    carried: Option<CarriedWhen>,
    /// The block of its spikes, whose last level is a number besides.
    spikes: Option<Range<usize>>,
}

/// The order in which features are calibrated: whether a cell counts depends on those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Carriers,
    Flags,
    Levels,
    Numbers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Steps {
    All,
    First,
    AfterFirst,
}

impl Encoder {
    /// Keeps what calibration aims at: how the features of these rows, real ones, are distributed, and
    /// how often numbers are repeated.
    pub(crate) fn fit_calibration(&mut self, real: &Encoded) {
        self.distributions = self.distributions_of(real);
        self.repeats = self.repeats_of(real);
        self.spans = self.spans_of(real);
    }

    /// Keeps how the features of these rows, which follow each other by chance, are distributed.
    pub(crate) fn fit_to_distributions(&mut self, rows: &Encoded) {
        self.distributions = self.distributions_of(rows);
        self.repeats = Vec::new();
        self.spans = Vec::new();
    }

    /// How the features of these rows are distributed.
    fn distributions_of(&self, real: &Encoded) -> Vec<Distribution> {
        let looked = self.looked();
        let distribution = |looked: &Looked| match looked.stage {
            Stage::Numbers => Distribution::Quantiles(real_quantiles(looked.numbers(real))),
            Stage::Carriers | Stage::Flags | Stage::Levels => {
                let rows = looked.rows(real).map(|(_, row)| greatest(row));
                Distribution::Levels(shares(rows, looked.features.len()))
            }
        };
        looked.par_iter().map(distribution).collect()
    }

    /// How often each number, and level, equals the one before it, in the order of the distributions,
    /// which are of these rows.
    fn repeats_of(&self, real: &Encoded) -> Vec<Vec<f32>> {
        let looked = self.looked();
        let pairs = looked.par_iter().zip(&self.distributions);
        let repeats = |(looked, target): (&Looked, &Distribution)| match target {
            Distribution::Quantiles(points) => looked.repeats(real, points),
            Distribution::Levels(_) => looked.keeps(real),
        };
        pairs.map(repeats).collect()
    }

    /// The map that takes rows like `made`, a generator's, to the distributions of the rows that
    /// the encoder was fitted to.
    pub fn calibration(&self, made: &Encoded) -> Calibration {
        let mut made = made.clone();
        // Encoders from before repeats have none.
        let repeats = self.repeats.iter().map(Vec::as_slice).chain(std::iter::repeat(&[][..]));
        let targets = self.distributions.iter().zip(repeats);
        let pairs: Vec<(Looked, (&Distribution, &[f32]))> =
            self.looked().into_iter().zip(targets).collect();
        let maps_of = |made: &Encoded, is_of: &(dyn Fn(&Looked) -> bool + Sync)| {
            let wanted = pairs.par_iter().filter(|(looked, _)| is_of(looked));
            let maps = wanted.map(|(looked, (target, repeats))| {
                let are_one = |a, b| self.are_one(looked.column, a, b);
                (looked.clone(), looked.map(made, target, repeats, &are_one))
            });
            maps.collect::<Vec<_>>()
        };
        let mut calibration = Calibration { maps: Vec::new(), spans: None, gaps: Vec::new() };
        for stage in [Stage::Carriers, Stage::Flags, Stage::Levels, Stage::Numbers] {
            let maps = maps_of(&made, &|looked| looked.stage == stage);
            // Of the numbers only spans depend.
            if stage != Stage::Numbers || !self.spans.is_empty() {
                each_sequence(&mut made, &|rows, width, length| apply(&maps, rows, width, length));
            }
            calibration.maps.extend(maps);
        }
        if let Some(spans) = self.span_map(&made) {
            each_sequence(&mut made, &|rows, _, length| spans.apply(rows, length));
            calibration.gaps =
                maps_of(&made, &|looked| self.schema.gap_column() == Some(looked.column));
            calibration.spans = Some(spans);
        }
        calibration
    }

    /// Whether two numbers of a column are decoded to one: they may differ by less than it is written
    /// with.
    fn are_one(&self, column: usize, a: f32, b: f32) -> bool {
        match &self.columns[column].kind {
            FittedKind::Numeric { transform, values, .. } => {
                let [a, b] = [a, b].map(|x| values.nearest(transform.decode(f64::from(x))));
                a == b
            }
            _ => a == b,
        }
    }

    /// All features and blocks, those of a stage in the order of the row.
    fn looked(&self) -> Vec<Looked> {
        let (mut carriers, mut flags, mut levels, mut numbers) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let carried = self.carried_by_rule();
        let starts: Vec<usize> = carried.iter().flatten().map(|when| when.block.start).collect();
        let columns = self.schema.columns.iter().zip(&self.columns).zip(self.places());
        for (position, ((column, fitted), place)) in columns.enumerate() {
            let looked = |features, stage, steps| Looked {
                column: position,
                features,
                stage,
                steps,
                flag: None,
                carried: carried[position].clone(),
                spikes: None,
            };
            let steps = match column.is_static {
                true => Steps::First,
                false if column.name == GAP => Steps::AfterFirst,
                false => Steps::All,
            };
            let flag = place.flag;
            if let Some(flag) = flag {
                let steps = if fitted.shown == Shown::Some { Steps::All } else { steps };
                let features = flag..flag + 2;
                flags.push(looked(features, Stage::Flags, steps));
            }
            let mut spikes = None;
            if let Some(width) = fitted.block().filter(|&width| width > 0) {
                let features = place.spikes..place.spikes + width;
                spikes = Some(features.clone());
                match starts.contains(&features.start) {
                    true => carriers.push(looked(features, Stage::Carriers, steps)),
                    false => levels.push(Looked { flag, ..looked(features, Stage::Levels, steps) }),
                }
            }
            if matches!(fitted.kind, FittedKind::Numeric { .. }) {
                let features = place.value..place.value + 1;
                numbers.push(Looked { flag, spikes, ..looked(features, Stage::Numbers, steps) });
            }
        }
        carriers.into_iter().chain(flags).chain(levels).chain(numbers).collect()
    }

    /// What is wrong with the distributions of a saved encoder.
    pub(crate) fn distributions_problem(&self) -> Option<String> {
        // Encoders of version 0.1 have none.
        if self.distributions.is_empty() {
            return None;
        }
        let looked = self.looked();
        if looked.len() != self.distributions.len() {
            let (expected, found) = (looked.len(), self.distributions.len());
            return Some(format!(
                "it has {found} distributions for {expected} features and blocks"
            ));
        }
        let fits = |(looked, distribution): (&Looked, &Distribution)| match distribution {
            Distribution::Quantiles(points) => {
                let is_sound = |point: &[f32; 2]| point.iter().all(|x| (0. ..=1.).contains(x));
                let ascends = |pair: &[[f32; 2]]| pair[0] <= pair[1] && pair[0][1] <= pair[1][1];
                looked.stage == Stage::Numbers
                    && points.iter().all(is_sound)
                    && points.windows(2).all(ascends)
            }
            Distribution::Levels(shares) => {
                looked.stage != Stage::Numbers
                    && shares.len() == looked.features.len()
                    && shares.iter().all(|share| (0. ..=1.).contains(share))
            }
        };
        let are_of = |(looked, shares): (&Looked, &Vec<f32>)| {
            let parts = if looked.stage == Stage::Numbers { TENTHS } else { looked.features.len() };
            shares.is_empty() || shares.len() == parts
        };
        let are_shares = looked.iter().zip(&self.repeats).all(are_of)
            && self.repeats.iter().flatten().all(|share| (0. ..=1.).contains(share));
        let all_fit = looked.iter().zip(&self.distributions).all(fits)
            && are_shares
            && (self.repeats.is_empty() || self.repeats.len() == looked.len());
        (!all_fit).then(|| "a distribution does not fit its feature".into())
    }
}

impl Looked {
    /// The cells that count, each with its sequence.
    fn rows<'a>(&'a self, cohort: &'a Encoded) -> impl Iterator<Item = (usize, &'a [f32])> {
        let rows: usize = cohort.lengths.iter().sum();
        let every = rows.div_ceil(MAX_ROWS).max(1);
        let sequences = cohort.lengths.iter().enumerate().step_by(every);
        sequences.flat_map(move |(sequence, &length)| {
            let steps = match self.steps {
                Steps::All => 0..length,
                Steps::First => 0..length.min(1),
                Steps::AfterFirst => 1..length.max(1),
            };
            steps.filter_map(move |step| {
                let row = cohort.row(sequence, step);
                let features = &row[self.features.clone()];
                let counts = self.counts(row, step) && features.iter().all(|x| x.is_finite());
                counts.then_some((sequence, features))
            })
        })
    }

    /// Whether decoding looks at the cell in the row of this step.
    fn counts(&self, row: &[f32], step: usize) -> bool {
        let is_carried = self.carried.as_ref().is_some_and(|CarriedWhen { block, level }| {
            step > 0 && greatest(&row[block.clone()]) == *level
        });
        let is_measured = self.flag.is_none_or(|flag| row[flag + 1] > row[flag]);
        let is_besides = |spikes: &Range<usize>| greatest(&row[spikes.clone()]) + 1 == spikes.len();
        !is_carried && is_measured && self.spikes.as_ref().is_none_or(is_besides)
    }

    /// A number's values, ascending, with their sequences.
    fn numbers(&self, cohort: &Encoded) -> Vec<(f32, usize)> {
        let rows = self.rows(cohort);
        let mut values: Vec<(f32, usize)> =
            rows.map(|(sequence, row)| (row[0], sequence)).collect();
        values.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        values
    }

    /// Pairs of a number and the one before it in time, with their sequences.
    fn successive(&self, cohort: &Encoded) -> Vec<([f32; 2], usize)> {
        if self.stage != Stage::Numbers || self.steps == Steps::First {
            return Vec::new();
        }
        let numbers: Vec<(usize, f32)> =
            self.rows(cohort).map(|(sequence, row)| (sequence, row[0])).collect();
        let pairs = numbers.windows(2).filter(|pair| pair[0].0 == pair[1].0);
        pairs.map(|pair| ([pair[0].1, pair[1].1], pair[0].0)).collect()
    }

    /// How often a number equals the one before it, by the tenth that this is in; never where few
    /// patients have that, and nothing where no number has one before it.
    fn repeats(&self, real: &Encoded, points: &[[f32; 2]]) -> Vec<f32> {
        let pairs = self.successive(real);
        if pairs.is_empty() {
            return Vec::new();
        }
        let mut counts = [0usize; TENTHS];
        let mut equal = vec![Vec::new(); TENTHS];
        for ([before, x], sequence) in pairs {
            let tenth = tenth(points, before);
            counts[tenth] += 1;
            if before == x {
                equal[tenth].push(sequence);
            }
        }
        let share =
            |(equal, &count): (&Vec<usize>, &usize)| match equal.chunk_by(|a, b| a == b).count()
                >= MIN_SHARED
            {
                true => (equal.len() as f64 / count as f64) as f32,
                false => 0.,
            };
        equal.iter().zip(&counts).map(share).collect()
    }

    /// How often each level is followed by itself; a level of few patients as often as all are, and
    /// nothing where no level has one before it.
    fn keeps(&self, real: &Encoded) -> Vec<f32> {
        let levels = self.features.len();
        let (mut counts, mut kept) = (vec![0usize; levels], vec![0usize; levels]);
        let mut patients = vec![0usize; levels];
        let mut last = vec![None; levels];
        let mut before = None;
        for (sequence, row) in self.rows(real).filter(|_| self.steps != Steps::First) {
            let level = greatest(row);
            if let Some((of, from)) = before.replace((sequence, level))
                && of == sequence
            {
                counts[from] += 1;
                kept[from] += usize::from(from == level);
                patients[from] += usize::from(last[from].replace(sequence) != Some(sequence));
            }
        }
        let share = |kept: usize, count: usize| (kept as f64 / count.max(1) as f64) as f32;
        let (all, all_kept) = (counts.iter().sum(), kept.iter().sum());
        if all == 0 {
            return Vec::new();
        }
        let of_level = |level: usize| match patients[level] >= MIN_SHARED {
            true => share(kept[level], counts[level]),
            false => share(all_kept, all),
        };
        (0..levels).map(of_level).collect()
    }

    /// What takes these rows to a distribution, with so many repeats of numbers that `are_one`.
    fn map(
        &self,
        made: &Encoded,
        target: &Distribution,
        repeats: &[f32],
        are_one: &dyn Fn(f32, f32) -> bool,
    ) -> Map {
        match target {
            Distribution::Quantiles(to) => {
                let from = made_quantiles(&self.numbers(made));
                // Without a value on a side there is nowhere to go.
                let to = if from.is_empty() { Vec::new() } else { to.clone() };
                let mapped = |x| if to.is_empty() { x } else { value_at(&to, share_of(&from, x)) };
                let mut changes = vec![Vec::new(); repeats.len()];
                if repeats.iter().any(|&share| share > 0.) {
                    for (pair, _) in self.successive(made) {
                        let [before, x] = pair.map(mapped);
                        let change = if are_one(before, x) { 0. } else { (x - before).abs() };
                        changes[tenth(&to, before)].push(change);
                    }
                }
                let within = changes.into_iter().zip(repeats).map(|(mut changes, &share)| {
                    changes.sort_by(f32::total_cmp);
                    let count = (f64::from(share) * changes.len() as f64).round() as usize;
                    count.checked_sub(1).map_or(NEVER, |last| changes[last])
                });
                let within = within.collect();
                Map::Quantiles { from, to, within }
            }
            Distribution::Levels(target) => {
                let log = |x: &f32| x.max(LEAST).ln();
                let rows: Vec<f32> =
                    self.rows(made).flat_map(|(_, row)| row.iter().map(log)).collect();
                let biases = biases(&rows, target);
                if repeats.len() != target.len() {
                    return Map::Levels { biases, kept: Vec::new() };
                }
                let sequences: Vec<usize> = self.rows(made).map(|(sequence, _)| sequence).collect();
                let logs = Logs { rows, sequences };
                logs.kept_as_well(biases, target, repeats)
            }
        }
    }
}

impl Calibration {
    /// Maps rows.
    pub fn apply(&self, cohort: &mut Encoded) {
        each_sequence(cohort, &|rows, width, length| {
            apply(&self.maps, rows, width, length);
            if let Some(spans) = &self.spans {
                spans.apply(rows, length);
                apply(&self.gaps, rows, width, length);
            }
        });
    }
}

/// Changes the rows of each sequence, of a width and a length.
fn each_sequence(cohort: &mut Encoded, change: &(dyn Fn(&mut [f32], usize, usize) + Sync)) {
    let mut values = cohort.values.to_vec();
    let width = cohort.features.max(1);
    let sequences = values.par_chunks_mut((cohort.steps * width).max(1)).zip(&cohort.lengths);
    sequences.for_each(|(rows, &length)| change(rows, width, length));
    cohort.values = values.into();
}

/// Maps the features of a sequence's rows.
fn apply(maps: &[(Looked, Map)], rows: &mut [f32], width: usize, length: usize) {
    let mut before = vec![Before::default(); maps.len()];
    for (step, row) in rows.chunks_exact_mut(width).take(length).enumerate() {
        for ((looked, map), before) in maps.iter().zip(&mut before) {
            map.apply(&mut row[looked.features.clone()], before.level);
            let is_first = looked.steps == Steps::AfterFirst && step == 0;
            if !is_first && looked.counts(row, step) {
                before.keep(map, &mut row[looked.features.clone()]);
            }
        }
    }
}

/// What a sequence has had so far in a feature, or block, of the cells that count.
#[derive(Clone, Default)]
struct Before {
    level: Option<usize>,
    /// A number, as it was mapped and as it was left.
    number: Option<[f32; 2]>,
}

impl Before {
    /// Keeps what was mapped; a number that lies close enough to the one before becomes that one.
    fn keep(&mut self, map: &Map, features: &mut [f32]) {
        match map {
            Map::Levels { .. } => self.level = Some(greatest(features)),
            Map::Quantiles { within, to, .. } if !within.is_empty() => {
                let x = features[0];
                if let Some([mapped, left]) = self.number
                    && (x - mapped).abs() <= within[tenth(to, mapped)]
                {
                    features[0] = left;
                }
                self.number = Some([x, features[0]]);
            }
            Map::Quantiles { .. } => {}
        }
    }
}

impl Map {
    /// Maps the features of a row; `before` is the level before in time.
    fn apply(&self, features: &mut [f32], before: Option<usize>) {
        match self {
            Self::Quantiles { from, to, .. } if !to.is_empty() => {
                features[0] = value_at(to, share_of(from, features[0]));
            }
            Self::Quantiles { .. } => {}
            Self::Levels { biases, kept } => {
                let shifted = |(x, bias): (&f32, &f32)| x.max(LEAST).ln() + bias;
                let mut logs: Vec<f32> = features.iter().zip(biases).map(shifted).collect();
                if let Some((level, kept)) = before.and_then(|n| Some((n, kept.get(n)?))) {
                    logs[level] += kept;
                }
                let most = logs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let sum: f32 = logs.iter().map(|x| (x - most).exp()).sum();
                features.iter_mut().zip(logs).for_each(|(x, log)| *x = (log - most).exp() / sum);
            }
        }
    }
}

/// The share of levels.
fn shares(rows: impl Iterator<Item = usize>, levels: usize) -> Vec<f32> {
    let mut counts = vec![0usize; levels];
    rows.for_each(|level| counts[level] += 1);
    let all: usize = counts.iter().sum::<usize>().max(1);
    counts.into_iter().map(|count| (count as f64 / all as f64) as f32).collect()
}

/// The points of the quantile function of real values, ascending, with their patients.
pub(crate) fn real_quantiles(values: Vec<(f32, usize)>) -> Vec<[f32; 2]> {
    let all = values.len() as f64;
    let share = |count: usize| (count as f64 / all) as f32;
    let mut points: Vec<[f32; 2]> = Vec::new();
    let mut first = 0;
    for equal in values.chunk_by(|a, b| a.0 == b.0) {
        let (end, value) = (first + equal.len(), equal[0].0);
        let patients = equal.chunk_by(|a, b| a.1 == b.1).count();
        let mass = equal.len() as f64 / all;
        let last = points.last().map_or(-1., |point| f64::from(point[0]));
        let middle =
            share(first + equal.len() / 2).midpoint(share(first + equal.len().div_ceil(2)));
        if patients >= MIN_SHARED && mass * 2. * POINTS as f64 >= 1. {
            points.extend([[share(first), value], [share(end), value]]);
        } else if f64::from(middle) - last >= 1. / POINTS as f64 || end == values.len() {
            points.push([middle, value]);
        }
        first = end;
    }
    points
}

/// The points of the quantile function of a generator's values, ascending.
pub(crate) fn made_quantiles(values: &[(f32, usize)]) -> Vec<[f32; 2]> {
    let last = values.len().saturating_sub(1);
    let every = (last / POINTS).max(1);
    let point = |n: usize| [((n as f64 + 0.5) / values.len() as f64) as f32, values[n].0];
    let inner = (0..last).step_by(every);
    inner.chain(values.last().map(|_| last)).map(point).collect()
}

/// The share up to `x`: in the middle of what equals it, and in a line between points.
pub(crate) fn share_of(points: &[[f32; 2]], x: f32) -> f32 {
    let below = points.partition_point(|point| point[1] < x);
    let up_to = points.partition_point(|point| point[1] <= x);
    if below < up_to {
        return points[below][0].midpoint(points[up_to - 1][0]);
    }
    match (below.checked_sub(1).map(|n| points[n]), points.get(below)) {
        (Some(before), Some(after)) => {
            before[0] + (after[0] - before[0]) * (x - before[1]) / (after[1] - before[1])
        }
        (Some(_), None) => 1.,
        // Below all, or NaN, which is nowhere.
        (None, _) => 0.,
    }
}

/// The tenth of a distribution that a value is in, from 0.
fn tenth(points: &[[f32; 2]], x: f32) -> usize {
    ((share_of(points, x) * TENTHS as f32) as usize).min(TENTHS - 1)
}

/// The value at a share: in a line between points, the outermost beyond them.
pub(crate) fn value_at(points: &[[f32; 2]], share: f32) -> f32 {
    let below = points.partition_point(|point| point[0] < share);
    match (below.checked_sub(1).map(|n| points[n]), points.get(below)) {
        (Some(before), Some(after)) => {
            let along = (share - before[0]) / (after[0] - before[0]);
            before[1] + (after[1] - before[1]) * along
        }
        (Some(outermost), None) => outermost[1],
        (None, Some(outermost)) => outermost[1],
        (None, None) => 0.,
    }
}

/// Biases of log-probabilities `[rows, levels]` with which each level is the greatest as often as
/// its target says, as far as there are such: level by level the bias that gives it as many rows as
/// it shall have beside the others, until that is so of all.
fn biases(rows: &[f32], target: &[f32]) -> Vec<f32> {
    let levels = target.len();
    let mut biases = vec![0f32; levels];
    let count = rows.len() / levels.max(1);
    let mut best = (f32::INFINITY, biases.clone());
    for _ in 0..if count > 0 { SWEEPS } else { 0 } {
        let found = shares(rows.chunks_exact(levels).map(|row| winner(row, &biases)), levels);
        let distance: f32 = found.iter().zip(target).map(|(a, b)| (a - b).abs()).sum();
        if distance < best.0 {
            best = (distance, biases.clone());
        }
        if distance * count as f32 <= levels as f32 {
            break;
        }
        for level in 0..levels {
            biases[level] = bias(rows, &biases, level, target[level]);
        }
    }
    best.1
}

/// The bias with which a level is the greatest in a share of the rows, beside the others' biases.
fn bias(rows: &[f32], biases: &[f32], level: usize, share: f32) -> f32 {
    let margin = |row: &[f32]| {
        let others = (0..row.len()).filter(|&other| other != level);
        let most = others.map(|other| row[other] + biases[other]).fold(f32::NEG_INFINITY, f32::max);
        most - row[level]
    };
    let mut margins: Vec<f32> = rows.chunks_exact(biases.len()).map(margin).collect();
    margins.sort_by(f32::total_cmp);
    let wanted = (f64::from(share) * margins.len() as f64).round() as usize;
    let bias = match (wanted.checked_sub(1).map(|n| margins[n]), margins.get(wanted)) {
        (Some(last), Some(next)) => last.midpoint(*next),
        (None, Some(first)) => first - 1.,
        (Some(last), None) => last + 1.,
        (None, None) => 0.,
    };
    // A block of one level has no others.
    if bias.is_finite() { bias } else { 0. }
}

/// Log-probabilities `[rows, levels]`, and the sequence of each row.
struct Logs {
    rows: Vec<f32>,
    sequences: Vec<usize>,
}

impl Logs {
    /// The share of each level, and how often each is followed by itself, with these biases.
    fn found(&self, biases: &[f32], kept: &[f32]) -> [Vec<f32>; 2] {
        let levels = biases.len();
        let [mut counts, mut followed, mut stayed] = [0, 1, 2].map(|_| vec![0usize; levels]);
        let mut before = None;
        let mut with = vec![0f32; levels];
        for (row, &sequence) in self.rows.chunks_exact(levels).zip(&self.sequences) {
            let from = before.filter(|(of, _)| *of == sequence).map(|(_, level)| level);
            with.copy_from_slice(biases);
            if let Some(from) = from {
                with[from] += kept[from];
            }
            let level = winner(row, &with);
            counts[level] += 1;
            if let Some(from) = from {
                followed[from] += 1;
                stayed[from] += usize::from(level == from);
            }
            before = Some((sequence, level));
        }
        let share = |(part, all): (usize, usize)| (part as f64 / all.max(1) as f64) as f32;
        let rows = self.sequences.len();
        let shares = counts.into_iter().map(|count| share((count, rows))).collect();
        [shares, stayed.into_iter().zip(followed).map(share).collect()]
    }

    /// From biases with which shares are right to a map with which levels are also kept as often as
    /// `keeps` says: both kinds of biases are moved, again and again, by what is wanting, and the best
    /// that were met are taken.
    fn kept_as_well(&self, biases: Vec<f32>, target: &[f32], keeps: &[f32]) -> Map {
        let logit = |x: f32| {
            let x = x.clamp(1e-3, 1. - 1e-3);
            (x / (1. - x)).ln()
        };
        let mut now = [biases, vec![0f32; target.len()]];
        let mut best = (f32::INFINITY, now.clone());
        for _ in 0..MOVES {
            let [shares, kept] = self.found(&now[0], &now[1]);
            let off = |(n, share): (usize, &f32)| {
                (share - target[n]).abs() + target[n] * (kept[n] - keeps[n]).abs()
            };
            let distance: f32 = shares.iter().enumerate().map(off).sum();
            if distance < best.0 {
                best = (distance, now.clone());
            }
            for n in (0..target.len()).filter(|&n| target[n] > 0.) {
                now[0][n] += MOVED * (target[n] / shares[n].max(1e-4)).ln().clamp(-1., 1.);
                now[1][n] += MOVED * (logit(keeps[n]) - logit(kept[n])).clamp(-2., 2.);
            }
        }
        let [biases, kept] = best.1;
        Map::Levels { biases, kept }
    }
}

/// The level that is the greatest with its bias; of equal ones the first.
fn winner(row: &[f32], biases: &[f32]) -> usize {
    let mut first = 0;
    for level in 1..row.len() {
        if row[level] + biases[level] > row[first] + biases[first] {
            first = level;
        }
    }
    first
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Schema, Subset};
    use std::path::Path;

    /// The shipped cohort, encoded.
    pub(crate) fn pbc() -> (Encoder, Encoded) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let schema = Schema::load(&root.join("data-schemas/pbc.toml")).expect("a schema");
        let table = root.join("data/pbc/pbcseq.csv");
        Encoder::fit_file(&schema, &table, Subset::Whole).expect("encodes")
    }

    /// A generator that is off in every column: numbers squeezed, levels pulled to the first one.
    fn off(encoder: &Encoder, real: &Encoded) -> Encoded {
        let numeric = encoder.numeric_features();
        let mut values = real.values.to_vec();
        for (n, row) in values.chunks_exact_mut(real.features).enumerate() {
            // A trace of its own for each row, as a network's numbers have.
            let trace = (n * 7919 % 1000) as f32 * 1e-5;
            row[..numeric].iter_mut().for_each(|x| *x = 0.3 + 0.2 * x.powi(2) + trace * 0.01);
            let mut from = numeric;
            for width in encoder.blocks() {
                let block = &mut row[from..from + width];
                block.iter_mut().for_each(|x| *x = 0.1 * *x + trace);
                block[0] += 0.2 + (n * 104_729 % 1000) as f32 * 1e-4;
                let sum: f32 = block.iter().sum();
                block.iter_mut().for_each(|x| *x /= sum);
                from += width;
            }
        }
        Encoded { values: values.into(), ..real.clone() }
    }

    #[test]
    fn columns_that_are_off_come_back_as_the_real_ones_are() {
        let (encoder, real) = pbc();
        let made = off(&encoder, &real);
        let mut calibrated = made.clone();
        encoder.calibration(&made).apply(&mut calibrated);
        for looked in encoder.looked() {
            let before = distance(&looked, &real, &made);
            let after = distance(&looked, &real, &calibrated);
            // Exact values are as wide as the steps between them.
            assert!(after < 0.02, "{looked:?}: {before} became {after}");
            // Where the flag says that nothing was measured there is nothing to be off.
            if looked.stage == Stage::Numbers && !looked.numbers(&made).is_empty() {
                assert!(before > 0.2, "{looked:?}: {before}");
            }
        }
    }

    /// Kolmogorov and Smirnov's distance of numbers, total variation of levels.
    fn distance(looked: &Looked, real: &Encoded, made: &Encoded) -> f32 {
        if looked.stage != Stage::Numbers {
            let of = |cohort| {
                shares(looked.rows(cohort).map(|(_, row)| greatest(row)), looked.features.len())
            };
            return of(real).iter().zip(of(made)).map(|(a, b)| (a - b).abs()).sum::<f32>() / 2.;
        }
        let (real, made) = (looked.numbers(real), looked.numbers(made));
        let share = |values: &[(f32, usize)], x: f32| {
            values.partition_point(|(value, _)| *value <= x) as f32 / values.len() as f32
        };
        real.iter().map(|&(x, _)| (share(&real, x) - share(&made, x)).abs()).fold(0., f32::max)
    }

    #[test]
    fn the_order_of_numbers_stays_and_shared_values_come_back_exactly() {
        let (mut encoder, real) = pbc();
        // A repeated number takes the place of one that lies near it, and spans move a patient's gaps.
        encoder.repeats.clear();
        encoder.spans.clear();
        let made = off(&encoder, &real);
        let mut calibrated = made.clone();
        encoder.calibration(&made).apply(&mut calibrated);
        for looked in encoder.looked().iter().filter(|looked| looked.stage == Stage::Numbers) {
            let feature = looked.features.start;
            let mut pairs: Vec<(f32, f32)> =
                made.rows().zip(calibrated.rows()).map(|(a, b)| (a[feature], b[feature])).collect();
            pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(pairs.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{looked:?}");
            // What many have among the real ones, as many have here.
            let share = |cohort: &Encoded, x: f32| {
                let values = looked.numbers(cohort);
                values.iter().filter(|(value, _)| *value == x).count() as f32 / values.len() as f32
            };
            let values = looked.numbers(&real);
            let common = values.chunk_by(|a, b| a.0 == b.0).max_by_key(|equal| equal.len());
            let common = common.expect("a value")[0].0;
            let (real, made) = (share(&real, common), share(&calibrated, common));
            if real > 0.05 {
                assert!((real - made).abs() < 0.02, "{looked:?}: {real} and {made}");
            }
        }
    }

    #[test]
    fn numbers_are_repeated_as_often_as_the_real_ones_and_where_they_change_least() {
        let (encoder, real) = pbc();
        let made = off(&encoder, &real);
        let mut calibrated = made.clone();
        encoder.calibration(&made).apply(&mut calibrated);
        let mut repeated = 0;
        for looked in &encoder.looked() {
            // Of those in one half of the distribution.
            let share_in = |cohort: &Encoded, half: [f32; 2]| {
                let pairs = looked.successive(cohort).into_iter();
                let pairs: Vec<[f32; 2]> = pairs.map(|(pair, _)| pair).collect();
                let pairs = || pairs.iter().filter(|[x, _]| half[0] <= *x && *x < half[1]);
                let equal = pairs().filter(|[a, b]| encoder.are_one(looked.column, *a, *b)).count();
                equal as f32 / pairs().count().max(1) as f32
            };
            let numbers = looked.numbers(&real);
            let middle = numbers.get(numbers.len() / 2).map_or(0.5, |(x, _)| *x);
            for half in [[f32::MIN, middle], [middle, f32::MAX]] {
                let [after, target] = [&calibrated, &real].map(|cohort| share_in(cohort, half));
                assert!(
                    (after - target).abs() < 0.04,
                    "{looked:?}: {after}, not {target}, {half:?}"
                );
            }
            let is_number = looked.stage == Stage::Numbers && looked.steps != Steps::First;
            repeated += usize::from(is_number && share_in(&real, [f32::MIN, f32::MAX]) > 0.03);
        }
        assert!(repeated >= 3, "some are repeated: {:?}", encoder.repeats);

        // 0.12 is close to 0.1, and the next one to that; 0.5 is far, and nothing is close to it.
        let looked = Looked {
            column: 0,
            features: 0..1,
            stage: Stage::Numbers,
            steps: Steps::All,
            flag: None,
            carried: None,
            spikes: None,
        };
        let to = (0..=10).map(|n| [n as f32 / 10., n as f32 / 10.]).collect();
        let within = [0.03, 0.03, 0., NEVER, NEVER, NEVER, NEVER, NEVER, NEVER, NEVER].into();
        let map = Map::Quantiles { from: vec![[0., 0.], [1., 1.]], to, within };
        let mut cohort = Encoded {
            values: vec![0.1, 0.12, 0.14, 0.5, 0.2, 0.21].into(),
            lengths: vec![4, 1],
            steps: 4,
            features: 1,
            counts: Default::default(),
        };
        cohort.values = [&cohort.values[..], &[0.; 2]].concat().into();
        let maps = vec![(looked, map)];
        Calibration { maps, spans: None, gaps: Vec::new() }.apply(&mut cohort);
        // The second patient's one row has none before it, and what is beyond its length stays.
        assert_eq!(cohort.values[..], [0.1, 0.1, 0.1, 0.5, 0.2, 0.21, 0., 0.]);
    }

    #[test]
    fn levels_are_kept_as_often_as_the_real_ones() {
        let (encoder, real) = pbc();
        let made = off(&encoder, &real);
        let mut calibrated = made.clone();
        encoder.calibration(&made).apply(&mut calibrated);
        let mut compared = 0;
        for looked in encoder.looked().iter().filter(|looked| looked.stage != Stage::Numbers) {
            let [real, before, after] =
                [&real, &made, &calibrated].map(|cohort| (looked.keeps(cohort), cohort));
            let shares =
                shares(looked.rows(real.1).map(|(_, row)| greatest(row)), looked.features.len());
            // A level of few rows is kept by chance.
            for n in (0..real.0.len()).filter(|&n| shares[n] > 0.1) {
                // Where the flag says that nothing was measured no level is followed by another.
                let of = |(keeps, _): &(Vec<f32>, _)| keeps.get(n).map(|x| (x - real.0[n]).abs());
                let (Some(before), Some(after)) = (of(&before), of(&after)) else { continue };
                assert!(after < 0.05, "{looked:?} {n}: {before} became {after}");
                compared += usize::from(before > 0.2);
            }
        }
        assert!(compared > 3, "{compared} were off");
    }

    #[test]
    fn values_of_few_patients_are_no_points_of_their_own() {
        // 0.5 of five patients is kept, 0.2 of one patient who has it five times is not.
        let values = [0.2; 5].iter().map(|&x| (x, 0));
        let values = values.chain((1..6).map(|patient| (0.5, patient))).chain([(0.9, 7)]);
        let points = real_quantiles(values.collect());
        let expected = [[2.5 / 11., 0.2], [5. / 11., 0.5], [10. / 11., 0.5], [10.5 / 11., 0.9]];
        for (found, expected) in points.iter().zip(expected) {
            assert!((found[0] - expected[0]).abs() < 1e-6 && found[1] == expected[1], "{points:?}");
        }
        assert_eq!(points.len(), expected.len());
        assert_eq!(value_at(&points, 0.7), 0.5);
        let between = value_at(&points, 4. / 11.);
        assert!(between > 0.2 && between < 0.5, "{between}");
        assert_eq!((value_at(&points, 0.), value_at(&points, 1.)), (0.2, 0.9));
    }

    #[test]
    fn levels_of_a_generator_that_hardly_tells_them_apart_come_back_too() {
        // As an untrained one: all rows are nearly alike, and one level always the greatest.
        let mut draws = 1u32;
        let mut draw = || {
            draws = draws.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (draws >> 8) as f32 / (1 << 24) as f32 * 1e-4
        };
        let row =
            |draw: &mut dyn FnMut() -> f32| [0.3, 0.4, 0.2, 0.1].map(|p: f32| p.ln() + draw());
        let rows: Vec<f32> = (0..2000).flat_map(|_| row(&mut draw)).collect();
        let target = [0.05, 0.3, 0.65, 0.];
        let biases = biases(&rows, &target);
        let found = shares(rows.chunks_exact(4).map(|row| winner(row, &biases)), 4);
        for (found, target) in found.iter().zip(target) {
            assert!((found - target).abs() < 0.01, "{found} for {target}");
        }
    }

    #[test]
    fn nothing_to_go_by_changes_nothing() {
        assert_eq!(value_at(&[], 0.5), 0.);
        let mut features = [0.25f32];
        Map::Quantiles { from: Vec::new(), to: Vec::new(), within: Vec::new() }
            .apply(&mut features, None);
        assert_eq!(features, [0.25]);
        assert_eq!(biases(&[], &[0.5, 0.5]), [0., 0.]);
        // A collapsed generator's one value becomes one value.
        let made = made_quantiles(&[(0.3, 0), (0.3, 1), (0.3, 2)]);
        assert_eq!(share_of(&made, 0.3), 0.5);
        assert_eq!((share_of(&made, 0.2), share_of(&made, 0.4)), (0., 1.));
        assert_eq!(share_of(&made, f32::NAN), 0.);
    }
}
