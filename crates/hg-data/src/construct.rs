//! Rules that hold by construction.
//!
//! Of `a <= b` the difference is modelled in place of b, and of `x <= time` in place of x:
//!
//! ```text
//! b' = b − max aᵢ  over b's lower bounds aᵢ,    x' = min bᵢ − x  over x's upper bounds bᵢ
//! ```
//!
//! row by row; where the constructed column is static and a bound is not, the bound is its greatest
//! (least) value of the sequence, so that `day <= futime` models the time from the last visit to the
//! end of follow-up. A sequence that may not fall becomes the nearest one that does not (least
//! squares: pool adjacent violators, Ayer et al., Ann. Math. Stat. 26, 1955); a level that is never
//! left stays once it is shown; of what happens once it is modelled whether it has happened by now; a
//! carried value repeats the one before. Where a bound is missing, and could be nothing that the table
//! has, the nearest possible one takes its place. A table in which the rules
//! hold is left as it is by all of these.

use crate::grid::{HAPPENED, sequences};
use crate::{Encoder, FittedKind, FittedTransform, Result, Rule, Schema, Transform};
use polars_core::prelude::*;
use std::ops::Range;

/// What is modelled in place of a table's columns, in the order in which decoding makes them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Construction(Vec<Constructed>);

/// A column that is modelled by its distance from its bounds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Constructed {
    /// Its position in the schema.
    pub(crate) column: usize,
    bounds: Vec<Bound>,
    side: Side,
}

/// On which side of its bounds a column lies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Above,
    Below,
}

#[derive(Clone, Debug, PartialEq)]
struct Bound {
    of: Source,
    strict: bool,
    /// Whether the bound varies within a patient for whom the column is constant.
    is_reduced: bool,
}

/// Where a bound comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    Time,
    Column(usize),
}

impl Construction {
    /// Of a schema's rules.
    ///
    /// # Errors
    /// Where they go round in a circle: the columns that do.
    pub(crate) fn of(schema: &Schema) -> std::result::Result<Self, Vec<String>> {
        let time = schema.time.column.as_str();
        let below_time = below(schema, time);
        let mut all: Vec<Constructed> = Vec::new();
        for rule in &schema.rules {
            let Rule::Order { lesser, greater, strict } = rule else { continue };
            let is_below = greater == time || below_time.contains(&greater.as_str());
            let (column, bound, side) = match is_below {
                true => (lesser, greater, Side::Below),
                false => (greater, lesser, Side::Above),
            };
            let position = |name: &str| schema.columns.iter().position(|c| c.name == name);
            // The time itself is never modelled by its distance from a column.
            let Some(column) = position(column) else { return Err(vec![bound.clone()]) };
            let is_static =
                |name: &str| position(name).is_some_and(|n| schema.columns[n].is_static);
            let of = match position(bound) {
                Some(bound) => Source::Column(bound),
                None => Source::Time,
            };
            let is_reduced = schema.columns[column].is_static && !is_static(bound);
            let bound = Bound { of, strict: *strict, is_reduced };
            match all.iter_mut().find(|made| made.column == column) {
                Some(made) => made.bounds.push(bound),
                None => all.push(Constructed { column, bounds: vec![bound], side }),
            }
        }
        in_order(all)
            .map(Self)
            .map_err(|left| left.iter().map(|&n| schema.columns[n].name.clone()).collect())
    }

    /// How a column is constructed, where it is.
    pub(crate) fn get(&self, column: usize) -> Option<&Constructed> {
        self.0.iter().find(|made| made.column == column)
    }

    /// Whether there is nothing to construct.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The columns that are constructed, and those that are their bounds.
    pub(crate) fn columns(&self) -> impl Iterator<Item = usize> {
        self.0.iter().flat_map(|made| {
            let bounds = made.bounds.iter().filter_map(|bound| match bound.of {
                Source::Column(column) => Some(column),
                Source::Time => None,
            });
            std::iter::once(made.column).chain(bounds)
        })
    }
}

/// The columns that are at most the time, by one rule or several.
fn below<'s>(schema: &'s Schema, time: &str) -> Vec<&'s str> {
    let mut found: Vec<&str> = Vec::new();
    loop {
        let before = found.len();
        for rule in &schema.rules {
            if let Rule::Order { lesser, greater, .. } = rule
                && (greater == time || found.contains(&greater.as_str()))
                && lesser != time
                && !found.contains(&lesser.as_str())
            {
                found.push(lesser);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// Each after its bounds; else those that are left.
fn in_order(mut left: Vec<Constructed>) -> std::result::Result<Vec<Constructed>, Vec<usize>> {
    let mut done: Vec<Constructed> = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let waits = |made: &Constructed| {
            let is_left = |of: usize| left.iter().any(|other| other.column == of);
            made.bounds.iter().any(|bound| matches!(bound.of, Source::Column(of) if is_left(of)))
        };
        let Some(next) = left.iter().position(|made| !waits(made)) else {
            return Err(left.iter().map(|made| made.column).collect());
        };
        done.push(left.remove(next));
    }
    Ok(done)
}

/// The cells of a part's columns, `None` where they are missing.
type Cells = Vec<Option<f64>>;

impl Constructed {
    /// The bound of each row of sequences of these lengths: `None` where one is missing.
    fn bounds(&self, of: &dyn Fn(usize) -> Cells, times: &[f64], lengths: &[usize]) -> Cells {
        let mut tightest: Cells = Vec::new();
        for bound in &self.bounds {
            let mut cells = match bound.of {
                Source::Time => times.iter().copied().map(Some).collect(),
                Source::Column(column) => of(column),
            };
            if bound.is_reduced {
                self.reduce(&mut cells, lengths);
            }
            tightest = match tightest.is_empty() {
                true => cells,
                false => {
                    let both = tightest.into_iter().zip(cells);
                    both.map(|(a, b)| Some(self.side.tighter(a?, b?))).collect()
                }
            };
        }
        tightest
    }

    /// Gives every row its sequence's tightest cell.
    fn reduce(&self, cells: &mut [Option<f64>], lengths: &[usize]) {
        let mut rest = cells;
        for &length in lengths {
            let (sequence, others) = rest.split_at_mut(length);
            let tightest =
                sequence.iter().flatten().copied().reduce(|a, b| self.side.tighter(a, b));
            sequence.fill(tightest);
            rest = others;
        }
    }

    /// The distances that stand for the column's cells, where these and their bounds are there.
    pub(crate) fn distances(
        &self,
        frame: &DataFrame,
        schema: &Schema,
        (times, lengths): (&[f64], &[usize]),
    ) -> Result<Float64Chunked> {
        let cells = |n: usize| -> Result<Cells> {
            Ok(frame.column(&schema.columns[n].name)?.f64()?.iter().collect())
        };
        let mut of_bounds = Vec::new();
        for bound in &self.bounds {
            if let Source::Column(n) = bound.of {
                of_bounds.push((n, cells(n)?));
            }
        }
        let of = |n: usize| {
            let found = of_bounds.iter().find(|(column, _)| *column == n);
            found.map(|(_, cells)| cells.clone()).unwrap_or_default()
        };
        let bounds = self.bounds(&of, times, lengths);
        let distance = |(cell, bound): (Option<f64>, Option<f64>)| {
            Some(self.side.distance(cell?, bound?).max(0.))
        };
        let own = cells(self.column)?;
        let distances: Float64Chunked = own.into_iter().zip(bounds).map(distance).collect();
        Ok(distances.with_name(schema.columns[self.column].name.as_str().into()))
    }

    /// The transform of distances, which may be 0 whatever the column's own values are.
    pub(crate) fn transform(own: Transform) -> Transform {
        match own {
            Transform::Identity => Transform::Identity,
            Transform::Quantile => Transform::Quantile,
            Transform::Log1p | Transform::Sqrt | Transform::BoxCox { .. } => Transform::Log1p,
        }
    }

    fn is_strict(&self) -> bool {
        self.bounds.iter().any(|bound| bound.strict)
    }
}

impl Side {
    fn tighter(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Above => a.max(b),
            Self::Below => a.min(b),
        }
    }

    fn distance(self, cell: f64, bound: f64) -> f64 {
        match self {
            Self::Above => cell - bound,
            Self::Below => bound - cell,
        }
    }

    fn from(self, bound: f64, distance: f64) -> f64 {
        match self {
            Self::Above => bound + distance,
            Self::Below => bound - distance,
        }
    }

    /// The bound from which a cell is so far.
    fn back(self, cell: f64, distance: f64) -> f64 {
        match self {
            Self::Above => cell - distance,
            Self::Below => cell + distance,
        }
    }

    /// Whether a cell lies on this side of `bound`.
    fn holds(self, cell: f64, bound: f64, strict: bool) -> bool {
        let distance = self.distance(cell, bound);
        distance > 0. || (distance == 0. && !strict)
    }
}

/// The cells of one column on their way into rows, all filled.
pub(crate) struct Filled<'a> {
    pub(crate) cells: &'a mut [f64],
    /// Whether each cell is the table's own.
    pub(crate) observed: &'a [bool],
    /// Whether each cell is the table's own, or was moved to where such a one asks for it.
    pub(crate) settled: Vec<bool>,
    /// What the column's values are multiples of, where that is known.
    pub(crate) unit: Option<f64>,
}

impl Construction {
    /// Puts distances in place of the constructed columns' cells. `columns` has an entry for each
    /// column that takes part; cells that were filled in give way, so that those of the table come
    /// back as they were.
    pub(crate) fn apply(
        &self,
        columns: &mut [Option<Filled<'_>>],
        fitted: &dyn Fn(usize) -> Option<FittedTransform>,
        (times, lengths): (&[f64], &[usize]),
    ) {
        let ranges: Vec<(f64, f64)> =
            self.0.iter().map(|made| range(fitted(made.column))).collect();
        for (made, range) in self.0.iter().zip(&ranges).rev() {
            made.make_way(columns, *range);
        }
        for (made, (least, most)) in self.0.iter().zip(&ranges) {
            let of = |n: usize| {
                let cells = columns.get(n).and_then(Option::as_ref);
                cells.map(|c| c.cells.iter().copied().map(Some).collect()).unwrap_or_default()
            };
            let bounds = made.bounds(&of, times, lengths);
            let Some(Some(own)) = columns.get_mut(made.column) else { continue };
            let cells = own.cells.iter_mut().zip(&own.settled).zip(bounds);
            for ((cell, settled), bound) in cells {
                let Some(bound) = bound else { continue };
                let distance = made.side.distance(*cell, bound);
                if !settled {
                    *cell = made.side.from(bound, distance.clamp(*least, *most));
                }
            }
        }
        // All cells are settled now, so that distances may take their places, the last first.
        for made in self.0.iter().rev() {
            let of = |n: usize| {
                let cells = columns.get(n).and_then(Option::as_ref);
                cells.map(|c| c.cells.iter().copied().map(Some).collect()).unwrap_or_default()
            };
            let bounds = made.bounds(&of, times, lengths);
            let Some(Some(own)) = columns.get_mut(made.column) else { continue };
            for (cell, bound) in own.cells.iter_mut().zip(bounds) {
                if let Some(bound) = bound {
                    *cell = made.side.distance(*cell, bound).max(0.);
                }
            }
        }
    }
}

/// The least and the greatest distance that were fitted.
fn range(fitted: Option<FittedTransform>) -> (f64, f64) {
    fitted.map_or((0., f64::MAX), |fitted| (fitted.decode(0.).max(0.), fitted.decode(1.).max(0.)))
}

impl Constructed {
    /// Moves bounds that were filled in to where the table's own cells allow them.
    fn make_way(&self, columns: &mut [Option<Filled<'_>>], (least, most): (f64, f64)) {
        for bound in self.bounds.iter().filter(|bound| !bound.is_reduced) {
            let Source::Column(n) = bound.of else { continue };
            let Some(own) = columns.get_mut(self.column).and_then(Option::take) else { continue };
            if let Some(Some(bound)) = columns.get_mut(n) {
                let rows = own.cells.iter().zip(&own.settled);
                let Filled { cells, observed, settled, unit } = bound;
                let of_bound = cells.iter_mut().zip(*observed).zip(settled);
                for ((cell, is_settled), ((bound, is_fixed), settled)) in rows.zip(of_bound) {
                    if !is_settled {
                        continue;
                    }
                    *settled = true;
                    let distance = self.side.distance(*cell, *bound);
                    if !is_fixed && !(least..=most).contains(&distance) {
                        *bound = self.side.back(*cell, distance.clamp(least, most));
                        // Towards the cell where it was too far away, else away from it.
                        if let Some(unit) = unit {
                            let is_up = (self.side == Side::Above) == (distance > most);
                            let count = *bound / *unit;
                            *bound = *unit * if is_up { count.ceil() } else { count.floor() };
                        }
                    }
                }
            }
            columns[self.column] = Some(own);
        }
    }
}

/// The decoded cells of a column, one a row, and whether each is shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Decoded {
    pub(crate) cells: Vec<f64>,
    pub(crate) shown: Vec<bool>,
}

impl Decoded {
    /// The first value that is shown in these rows.
    pub(crate) fn first_shown(&self, mut rows: Range<usize>) -> Option<f64> {
        rows.find(|&row| self.shown[row]).map(|row| self.cells[row])
    }
}

impl Encoder {
    /// Makes the rules hold in decoded rows of sequences of these lengths: distances become values
    /// again, and what rules ask of one column alone is put right.
    pub(crate) fn construct(&self, columns: &mut [Decoded], times: &[f64], lengths: &[usize]) {
        for rule in &self.schema.rules {
            self.repair(rule, columns, lengths);
        }
        for made in &self.construction.0 {
            let of = |n: usize| columns[n].cells.iter().copied().map(Some).collect();
            let bounds = made.bounds(&of, times, lengths);
            let own = &mut columns[made.column];
            for (cell, bound) in own.cells.iter_mut().zip(bounds) {
                if let Some(bound) = bound {
                    let value = made.side.from(bound, cell.max(0.));
                    *cell = self.nearest_beyond(made, value, bound);
                }
            }
        }
    }

    /// The value of the column's grid that is nearest to `value` and on the right side of `bound`.
    fn nearest_beyond(&self, made: &Constructed, value: f64, bound: f64) -> f64 {
        let (column, fitted) = (&self.schema.columns[made.column], &self.columns[made.column]);
        let FittedKind::Numeric { values, .. } = &fitted.kind else { return value };
        // Within the column's own range, where the rule leaves it there.
        let value = fitted.range.map_or(value, |[least, greatest]| value.clamp(least, greatest));
        let nearest = crate::decode::nearest_or_bound(value, values, column.censored());
        let holds = |value: f64| made.side.holds(value, bound, made.is_strict());
        match values.unit() {
            _ if holds(nearest) => nearest,
            None => value,
            Some(unit) => {
                let ahead = match made.side {
                    Side::Above => (bound / unit).ceil() * unit,
                    Side::Below => (bound / unit).floor() * unit,
                };
                let ahead = values.nearest(ahead);
                if holds(ahead) { ahead } else { values.nearest(made.side.from(ahead, unit)) }
            }
        }
    }

    /// What a rule asks of one column alone.
    fn repair(&self, rule: &Rule, columns: &mut [Decoded], lengths: &[usize]) {
        let position = |name: &str| self.schema.columns.iter().position(|c| c.name == name);
        let level_of = |n: usize, level: &crate::Level| self.schema.columns[n].position_of(level);
        match rule {
            Rule::Order { .. } => {}
            Rule::Monotone { column, rises } => {
                let Some(n) = position(column) else { return };
                let values = match &self.columns[n].kind {
                    FittedKind::Numeric { values, .. } => *values,
                    _ => return,
                };
                for sequence in sequences(&mut columns[n].cells, lengths) {
                    pool_adjacent_violators(sequence, *rises);
                    sequence.iter_mut().for_each(|cell| *cell = values.nearest(*cell));
                }
            }
            Rule::NeverLeft { column, level } => {
                let Some(n) = position(column) else { return };
                let Some(level) = level_of(n, level) else { return };
                let Decoded { cells, shown } = &mut columns[n];
                let mut row = 0;
                for &length in lengths {
                    let rows = row..row + length;
                    row = rows.end;
                    let first = rows.clone().find(|&row| shown[row] && cells[row] == level);
                    if let Some(first) = first {
                        cells[first..rows.end].fill(level);
                    }
                }
            }
            Rule::Once { column } => {
                let Some(n) = position(column) else { return };
                for sequence in sequences(&mut columns[n].cells, lengths) {
                    let first = sequence.iter().position(|&cell| cell == HAPPENED);
                    let at = |step: usize| if Some(step) == first { HAPPENED } else { 0. };
                    sequence.iter_mut().enumerate().for_each(|(step, cell)| *cell = at(step));
                }
            }
            Rule::Carried { column, flag, level } => {
                let (Some(n), Some(flag)) = (position(column), position(flag)) else { return };
                let Some(level) = level_of(flag, level) else { return };
                let carries: Vec<bool> =
                    columns[flag].cells.iter().map(|&cell| cell == level).collect();
                let Decoded { cells, shown } = &mut columns[n];
                let mut row = 0;
                for &length in lengths {
                    for at in row + 1..row + length {
                        if carries[at] {
                            (cells[at], shown[at]) = (cells[at - 1], shown[at - 1]);
                        }
                    }
                    row += length;
                }
            }
        }
    }
}

/// The nearest sequence that never falls, or never rises, by least squares.
fn pool_adjacent_violators(cells: &mut [f64], rises: bool) {
    let mut pools: Vec<(f64, usize)> = Vec::with_capacity(cells.len());
    for &cell in cells.iter() {
        let mut pool = (cell, 1);
        while let Some(&(before, count)) = pools.last() {
            if if rises { before <= pool.0 } else { before >= pool.0 } {
                break;
            }
            let both = count + pool.1;
            pool = ((before * count as f64 + pool.0 * pool.1 as f64) / both as f64, both);
            pools.pop();
        }
        pools.push(pool);
    }
    let values = pools.into_iter().flat_map(|(value, count)| std::iter::repeat_n(value, count));
    cells.iter_mut().zip(values).for_each(|(cell, value)| *cell = value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_sequence_that_never_falls_is_found() {
        for (cells, rises, expected) in [
            (vec![1., 3., 2., 4.], true, vec![1., 2.5, 2.5, 4.]),
            (vec![3., 2., 1.], true, vec![2., 2., 2.]),
            (vec![1., 1., 2.], true, vec![1., 1., 2.]),
            (vec![1., 3., 2.], false, vec![2., 2., 2.]),
            (vec![5.], true, vec![5.]),
            (vec![], true, vec![]),
        ] {
            let mut found = cells.clone();
            pool_adjacent_violators(&mut found, rises);
            assert_eq!(found, expected, "{cells:?}");
        }
    }
}
