//! Which matrix row each sequence visits at each step.

/// The order in which a recurrence visits the rows of a matrix, step by step. Sequences are sorted
/// longest first, so that those that still run at a step are the first ones.
#[derive(Clone, Debug)]
pub struct StepSchedule {
    /// `rows[starts[s]..starts[s + 1]]` are the rows of step `s`.
    starts: Vec<usize>,
    rows: Vec<u32>,
    /// For each of `rows` from step 1 on, the row of the step before.
    before: Vec<u32>,
    /// Position in the schedule (longest first) → number of the sequence.
    order: Vec<usize>,
}

/// The rows of a few consecutive steps, step after step.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// The rows of all steps of the segment.
    pub rows: &'a [u32],
    /// Those of [`Segment::rows`] that are not a sequence's first step.
    pub later: &'a [u32],
    /// For each of [`Segment::later`], the row of the step before.
    pub before: &'a [u32],
}

impl StepSchedule {
    /// A schedule for sequences of these lengths: step `s` of sequence `n` is at row `row(n, s)` of
    /// the matrix. No two steps may share a row.
    pub fn new(lengths: &[usize], row: impl Fn(usize, usize) -> usize) -> Self {
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|&n| std::cmp::Reverse(lengths[n]));
        let longest = order.first().map_or(0, |&n| lengths[n]);
        let mut starts = vec![0];
        let mut rows: Vec<u32> = Vec::with_capacity(lengths.iter().sum());
        let mut before = Vec::with_capacity(rows.capacity());
        for step in 0..longest {
            let active = order.iter().take_while(|&&n| lengths[n] > step);
            rows.extend(active.map(|&n| row(n, step) as u32));
            if step > 0 {
                // The longest come first, so the first ones go on.
                let (earlier, count) = (starts[step - 1], rows.len() - starts[step]);
                before.extend_from_slice(&rows[earlier..earlier + count]);
            }
            starts.push(rows.len());
        }
        Self { starts, rows, before, order }
    }

    /// The number of steps of the longest sequence.
    pub fn steps(&self) -> usize {
        self.starts.len() - 1
    }

    /// The number of sequences.
    pub fn count(&self) -> usize {
        self.order.len()
    }

    /// Position in the schedule (longest first) → number of the sequence.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// The rows of the sequences that have step `step`, in the schedule's order.
    pub fn active(&self, step: usize) -> &[u32] {
        &self.rows[self.starts[step]..self.starts[step + 1]]
    }

    /// The rows of steps `from..until`, step after step, `until` being the first end at which
    /// there are `least` of them, or the last step's.
    pub(super) fn span(&self, from: usize, least: usize) -> (&[u32], usize) {
        let enough = |&until: &usize| self.starts[until] - self.starts[from] >= least;
        let until = (from + 1..self.steps()).find(enough).unwrap_or(self.steps());
        (&self.rows[self.starts[from]..self.starts[until]], until)
    }

    /// Where each sequence ends: (number of the sequence, row of its last step).
    pub fn ends(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.steps()).flat_map(move |step| {
            let active = self.active(step);
            let go_on = self.active_at_next(step).len();
            (go_on..active.len()).map(move |n| (self.order[n], active[n] as usize))
        })
    }

    /// The rows one step earlier of the sequences that have step `step`, in the
    /// schedule's order; empty at the first step.
    pub(super) fn active_before(&self, step: usize) -> &[u32] {
        if step > 0 { &self.before[self.later(step)..self.later(step + 1)] } else { &[] }
    }

    /// The rows of steps `from..until`.
    pub(super) fn segment(&self, from: usize, until: usize) -> Segment<'_> {
        let rows = &self.rows[self.starts[from]..self.starts[until]];
        let later = &self.rows[self.starts[from.max(1).min(until)]..self.starts[until]];
        Segment { rows, later, before: &self.before[self.later(from)..self.later(until)] }
    }

    /// How many rows from step 1 on come before `step`.
    fn later(&self, step: usize) -> usize {
        self.starts[step.max(1)] - self.starts[1]
    }

    /// [`StepSchedule::active`] with the row one step earlier, where there is one.
    pub(super) fn visits(&self, step: usize) -> impl Iterator<Item = (usize, Option<usize>)> + '_ {
        let before = self.active_before(step);
        let active = self.active(step).iter().enumerate();
        active.map(|(n, &row)| (row as usize, before.get(n).map(|&before| before as usize)))
    }

    /// [`StepSchedule::active`] of the step after, empty after the last.
    pub(super) fn active_at_next(&self, step: usize) -> &[u32] {
        if step + 1 < self.steps() { self.active(step + 1) } else { &[] }
    }

    /// The greatest row, plus 1.
    pub(super) fn extent(&self) -> usize {
        self.rows.iter().max().map_or(0, |&row| row as usize + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_come_first_and_each_stops_at_its_length() {
        let schedule = StepSchedule::new(&[1, 3, 2], |n, step| n * 10 + step);
        assert_eq!((schedule.steps(), schedule.count(), schedule.extent()), (3, 3, 22));
        assert_eq!(schedule.order(), [1, 2, 0]);
        assert_eq!(schedule.active(0), [10, 20, 0]);
        assert_eq!(schedule.active(1), [11, 21]);
        assert_eq!(schedule.active(2), [12]);
        assert_eq!(schedule.ends().collect::<Vec<_>>(), [(0, 0), (2, 21), (1, 12)]);
        let all = schedule.segment(0, 3);
        assert_eq!(all.rows, [10, 20, 0, 11, 21, 12]);
        assert_eq!((all.later, all.before), (&[11, 21, 12][..], &[10, 20, 11][..]));
        let last = schedule.segment(2, 3);
        assert_eq!((last.rows, last.later, last.before), (&[12][..], &[12][..], &[11][..]));
    }

    #[test]
    fn a_step_knows_its_neighbours() {
        let schedule = StepSchedule::new(&[1, 3, 2], |n, step| n * 10 + step);
        let before = |step| schedule.active_before(step).to_vec();
        assert_eq!([before(0), before(1), before(2)], [vec![], vec![10, 20], vec![11]]);
        let next = |step| schedule.active_at_next(step).to_vec();
        assert_eq!([next(0), next(1), next(2)], [vec![11, 21], vec![12], vec![]]);
        let visits = |step| schedule.visits(step).collect::<Vec<_>>();
        assert_eq!(visits(0), [(10, None), (20, None), (0, None)]);
        assert_eq!(visits(1), [(11, Some(10)), (21, Some(20))]);
        assert_eq!(visits(2), [(12, Some(11))]);
    }

    #[test]
    fn a_span_ends_at_the_first_step_with_enough_rows() {
        let schedule = StepSchedule::new(&[1, 4, 4, 2], |n, step| n * 10 + step);
        // Rows of the steps: 4, 3, 2, 2.
        let span = |from, least| {
            let (rows, until) = schedule.span(from, least);
            (rows.len(), until)
        };
        assert_eq!(span(0, 1), (4, 1));
        assert_eq!(span(0, 4), (4, 1));
        assert_eq!(span(0, 5), (7, 2));
        assert_eq!(span(1, 4), (5, 3));
        assert_eq!(span(1, 99), (7, 4));
        assert_eq!(span(3, 1), (2, 4));
        assert_eq!(schedule.span(1, 4).0, [11, 21, 31, 12, 22]);
    }

    #[test]
    fn a_schedule_of_nothing_has_no_steps() {
        let schedule = StepSchedule::new(&[], |_, _| 0);
        assert_eq!((schedule.steps(), schedule.count(), schedule.extent()), (0, 0, 0));
        assert_eq!(schedule.ends().count(), 0);
    }
}
