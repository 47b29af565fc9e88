//! Steps at which there is something, where that is so of all of the table's.
//!
//! A generator says of each column by itself whether it was measured, or happened, at a step, so that
//! there are steps at which nothing was and nothing did. No table of events has a row of these, and a
//! patient who ends with such a step has a shorter course than was modelled. The nearest event of the
//! patient that stands beside something else moves to the empty step, which leaves all counts as they are;
//! where there is none, the column is shown that was most likely measured.

use crate::construct::Decoded;
use crate::grid::{HAPPENED, ResampledTable};
use crate::{Encoder, Result, Schema};

/// Whether a part of a table has a step at which no column has a value, and nothing happened.
pub(crate) fn has_empty_step(part: &ResampledTable, schema: &Schema) -> Result<bool> {
    let varying = schema.columns.iter().filter(|column| !column.is_static && !column.is_derived());
    let mut is_empty = vec![true; part.times.len()];
    for column in varying {
        let cells = part.frame.column(&column.name)?.f64()?;
        if !schema.is_occurrence(column) {
            if cells.null_count() == 0 {
                return Ok(false);
            }
            let rows = is_empty.iter_mut().zip(cells.iter());
            rows.for_each(|(is_empty, cell)| *is_empty &= cell.is_none());
            continue;
        }
        // Of what happens once, later steps have that it has happened by then.
        let happens_once = schema.happens_once(column);
        let (mut row, mut before) = (0, false);
        for &length in &part.lengths {
            for (step, at) in (row..row + length).enumerate() {
                let has_happened = cells.get(at) == Some(HAPPENED);
                is_empty[at] &= !has_happened || (happens_once && step > 0 && before);
                before = has_happened;
            }
            row += length;
        }
    }
    Ok(is_empty.contains(&true))
}

/// The decoded steps of one patient.
struct Steps<'a> {
    columns: &'a mut [Decoded],
    /// Columns of values, by their positions, and those of what happens.
    values: &'a [usize],
    occurrences: &'a [usize],
    /// The first step's row.
    first: usize,
    /// How much there is at each step.
    counts: Vec<usize>,
}

impl Steps<'_> {
    fn happens(&self, column: usize, step: usize) -> bool {
        self.columns[column].cells[self.first + step] == HAPPENED
    }

    fn count(&self, step: usize) -> usize {
        let shown = |n: &&usize| self.columns[**n].shown[self.first + step];
        let happening = |n: &&usize| self.happens(**n, step);
        self.values.iter().filter(shown).count() + self.occurrences.iter().filter(happening).count()
    }

    /// The nearest step, and the column, of an event that something stands beside.
    fn movable(&self, to: usize) -> Option<(usize, usize)> {
        let steps = self.counts.len();
        let around =
            (1..steps).flat_map(|d| [to.checked_sub(d), Some(to + d).filter(|&s| s < steps)]);
        around.flatten().find_map(|step| {
            let happening = || self.occurrences.iter().find(|&&n| self.happens(n, step));
            (self.counts[step] > 1).then(happening).flatten().map(|&n| (n, step))
        })
    }

    fn fill(&mut self, likelier: &dyn Fn(usize, usize) -> Option<f32>) {
        self.counts = (0..self.counts.len()).map(|step| self.count(step)).collect();
        let mut may_move = true;
        for step in 0..self.counts.len() {
            if self.counts[step] > 0 {
                continue;
            }
            let found = if may_move { self.movable(step) } else { None };
            if let Some((column, from)) = found {
                let cells = &mut self.columns[column].cells;
                (cells[self.first + from], cells[self.first + step]) = (0., HAPPENED);
                self.counts[from] -= 1;
                self.counts[step] = 1;
                continue;
            }
            may_move = false;
            let row = self.first + step;
            let measured = self.values.iter().filter_map(|&n| Some((n, likelier(n, row)?)));
            if let Some((column, _)) = measured.max_by(|a, b| a.1.total_cmp(&b.1)) {
                self.columns[column].shown[row] = true;
                self.counts[step] = 1;
            }
        }
    }
}

impl Encoder {
    /// Has every decoded step of sequences of these lengths show something, where the real ones do.
    /// `likelier` is by how much it is likelier that a column was measured in a row than that it was not.
    pub(crate) fn fill_steps(
        &self,
        columns: &mut [Decoded],
        lengths: &[usize],
        likelier: &dyn Fn(usize, usize) -> Option<f32>,
    ) {
        if !self.has_full_steps {
            return;
        }
        let of_schema = self.schema.columns.iter().enumerate();
        let varying = of_schema.filter(|(_, c)| !c.is_static && !c.is_derived());
        let (occurrences, values): (Vec<_>, Vec<_>) =
            varying.partition(|(_, column)| self.schema.is_occurrence(column));
        let positions =
            |of: Vec<(usize, _)>| of.into_iter().map(|(n, _)| n).collect::<Vec<usize>>();
        let (occurrences, values) = (positions(occurrences), positions(values));
        let mut first = 0;
        for &length in lengths {
            let (values, occurrences) = (values.as_slice(), occurrences.as_slice());
            let counts = vec![0; length];
            Steps { columns, values, occurrences, first, counts }.fill(likelier);
            first += length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Column 0 is measured, columns 1 and 2 happen.
    fn filled(shown: &[bool], happening: [&[f64]; 2], likelier: Option<f32>) -> Vec<Decoded> {
        let rows = shown.len();
        let mut columns = vec![Decoded { cells: vec![0.; rows], shown: shown.to_vec() }];
        columns.extend(
            happening.map(|cells| Decoded { cells: cells.to_vec(), shown: vec![true; rows] }),
        );
        let counts = vec![0; rows];
        Steps { columns: &mut columns, values: &[0], occurrences: &[1, 2], first: 0, counts }
            .fill(&|_, _| likelier);
        columns
    }

    #[test]
    fn the_nearest_event_beside_something_else_moves_to_an_empty_step() {
        let shown = [true, true, false, true, true];
        let columns = filled(&shown, [&[1., 0., 0., 0., 0.], &[0., 0., 0., 1., 0.]], Some(0.));
        assert_eq!(columns[0].shown, shown);
        assert_eq!(columns[1].cells, [1., 0., 0., 0., 0.]);
        assert_eq!(columns[2].cells, [0., 0., 1., 0., 0.]);
    }

    #[test]
    fn an_event_that_is_all_there_is_at_its_step_stays() {
        let shown = [false, false, true];
        let columns = filled(&shown, [&[0., 1., 0.], &[0., 0., 0.]], Some(-0.5));
        assert_eq!(columns[1].cells, [0., 1., 0.]);
        // Nothing can move: what was likeliest is shown.
        assert_eq!(columns[0].shown, [true, false, true]);
        // A column that is never said to be measured is not shown.
        assert_eq!(filled(&shown, [&[0., 1., 0.], &[0., 0., 0.]], None)[0].shown, shown);
    }
}
