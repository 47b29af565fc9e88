//! A few sequences of a batch, packed time by time.

use hg_lstm::kernel::StepSchedule;

/// Which row each step of each sequence of a micro-batch has.
#[derive(Clone, Debug)]
pub(super) struct PackedBatch {
    /// The batch's sequences, longest first.
    pub(super) sequences: Vec<usize>,
    /// Their lengths.
    pub(super) lengths: Vec<usize>,
    /// The first row of each step.
    starts: Vec<usize>,
    /// All rows.
    pub(super) rows: usize,
    /// For one copy of the sequences, and for two below one another.
    pub(super) once: Directions,
    pub(super) twice: Directions,
}

/// The schedules of both directions.
#[derive(Clone, Debug)]
pub(super) struct Directions(pub(super) [StepSchedule; 2]);

impl PackedBatch {
    /// Packs these sequences of a batch with `lengths`.
    pub(super) fn new(mut sequences: Vec<usize>, lengths: &[usize]) -> Self {
        sequences.sort_by_key(|&sequence| std::cmp::Reverse(lengths[sequence]));
        let lengths: Vec<usize> = sequences.iter().map(|&sequence| lengths[sequence]).collect();
        let mut starts = Vec::new();
        let mut rows = 0;
        for step in 0..lengths.first().copied().unwrap_or(0) {
            starts.push(rows);
            rows += lengths.iter().take_while(|&&length| length > step).count();
        }
        let directions = |copies: usize| {
            let all: Vec<usize> = lengths.repeat(copies);
            let count = lengths.len();
            let row = |n: usize, time: usize| n / count * rows + starts[time] + n % count;
            Directions([
                StepSchedule::new(&all, row),
                StepSchedule::new(&all, |n, step| row(n, all[n] - 1 - step)),
            ])
        };
        let (once, twice) = (directions(1), directions(2));
        Self { sequences, lengths, starts, rows, once, twice }
    }

    /// The row of a step of the micro-batch's `n`-th sequence.
    pub(super) fn row(&self, n: usize, time: usize) -> usize {
        self.starts[time] + n
    }

    /// (n, sequence of the batch, time, row) of every step.
    pub(super) fn steps(&self) -> impl Iterator<Item = (usize, usize, usize, usize)> + '_ {
        self.sequences.iter().zip(&self.lengths).enumerate().flat_map(
            move |(n, (&sequence, &length))| {
                (0..length).map(move |time| (n, sequence, time, self.row(n, time)))
            },
        )
    }
}
