//! Real batches: grouped by length, or cut to windows; shortest first while the curriculum
//! lasts.

use crate::random::{Purpose, stream};
use crate::{Result, TrainConfig};
use candle_core::{DType, Device, Tensor};
use hg_data::Encoded;
use hg_lstm::Lengths;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use std::ops::Range;

/// A real batch, or a rank's share of its rows.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[share, steps, D]`, steps being those of the batch's longest patient.
    pub rows: Tensor,
    /// Steps of each patient of the batch.
    pub lengths: Lengths,
}

/// The cohort as batches. Which patients batch `n` of an epoch holds depends on
/// the seed and the epoch alone.
#[derive(Debug)]
pub struct Batches {
    cohort: Encoded,
    dtype: DType,
    device: Device,
    batch_size: usize,
    curriculum_epochs: u64,
    seed: u64,
    windows: Vec<usize>,
    epoch: Option<(u64, Vec<Planned>)>,
}

/// The patients of a batch, and the most steps that are taken of each.
#[derive(Clone, Debug)]
struct Planned {
    patients: Vec<usize>,
    window: usize,
}

impl Batches {
    /// Of an encoded cohort, whose values are shared, not copied.
    pub fn new(encoded: &Encoded, config: &TrainConfig, dtype: DType, device: &Device) -> Self {
        Self {
            cohort: encoded.clone(),
            dtype,
            device: device.clone(),
            batch_size: config.batching.batch_size.min(encoded.lengths.len()),
            curriculum_epochs: config.batching.curriculum_epochs,
            seed: config.seed,
            windows: config.batching.windows.lengths(encoded.steps),
            epoch: None,
        }
    }

    /// Batches in an epoch.
    pub fn per_epoch(&self) -> u64 {
        self.cohort.lengths.len().div_ceil(self.batch_size) as u64
    }

    /// Batches after which they are of the same kinds again.
    pub(crate) fn per_cycle(&self) -> u64 {
        self.per_epoch().max(self.windows.len() as u64)
    }

    /// The batch of an iteration, counted from 0 over all epochs.
    ///
    /// # Errors
    /// Only what candle reports.
    pub fn batch(&mut self, iteration: u64) -> Result<Batch> {
        self.shared(iteration, |batch| 0..batch)
    }

    /// The same with the rows of a share alone, which `share` tells for a batch of so many patients.
    pub(crate) fn shared(
        &mut self,
        iteration: u64,
        share: impl Fn(usize) -> Range<usize>,
    ) -> Result<Batch> {
        let (epoch, position) = (iteration / self.per_epoch(), iteration % self.per_epoch());
        let plan = match self.epoch.take() {
            Some((planned, plan)) if planned == epoch => plan,
            _ => self.plan(epoch),
        };
        let Planned { patients, window } = &plan[position as usize];
        let mut rng = stream(self.seed, Purpose::Windows, iteration);
        let batch = self.of(patients, share(patients.len()), *window, &mut rng);
        self.epoch = Some((epoch, plan));
        batch
    }

    /// A batch that each patient is in with probability `rate`, whoever else is (a Poisson sample); `None`
    /// for one without patients.
    ///
    /// # Errors
    /// Only what candle reports.
    pub(crate) fn sampled(
        &self,
        rate: f64,
        window: usize,
        rng: &mut impl Rng,
    ) -> Result<Option<Batch>> {
        let all = 0..self.cohort.lengths.len();
        let patients: Vec<usize> = all.filter(|_| rng.random::<f64>() < rate).collect();
        match patients.is_empty() {
            true => Ok(None),
            false => self.of(&patients, 0..patients.len(), window, rng).map(Some),
        }
    }

    /// Takes windows that do not follow from the cohort.
    pub(crate) fn set_windows(&mut self, windows: Vec<usize>) {
        self.windows = windows;
    }

    /// The most steps that are taken of a patient in an iteration, where every batch sees one window.
    pub(crate) fn window(&self, iteration: u64) -> usize {
        match self.windows.len() as u64 {
            0 => usize::MAX,
            count => self.windows[(iteration % count) as usize],
        }
    }

    /// A batch of these patients, of each `window` steps at most, with the rows of a share.
    fn of(
        &self,
        patients: &[usize],
        share: Range<usize>,
        window: usize,
        rng: &mut impl Rng,
    ) -> Result<Batch> {
        let Encoded { values, lengths: all, steps: longest, features, .. } = &self.cohort;
        let taken = |&patient: &usize| all[patient].min(window);
        let lengths: Vec<usize> = patients.iter().map(taken).collect();
        let steps = lengths.iter().copied().max().unwrap_or(1);
        let mut rows = Vec::with_capacity(share.len() * steps * features);
        for (n, (&patient, &length)) in patients.iter().zip(&lengths).enumerate() {
            let first = match all[patient] - length {
                0 => 0,
                beyond => rng.random_range(0..=beyond),
            };
            if !share.contains(&n) {
                continue;
            }
            let start = (patient * longest + first) * features;
            rows.extend_from_slice(&values[start..start + length * features]);
            rows.resize(rows.len() + (steps - length) * features, 0.);
        }
        let shape = (share.len(), steps, *features);
        // A GPU takes no tensor of nothing.
        let device = if share.is_empty() { &Device::Cpu } else { &self.device };
        let rows = Tensor::from_vec(rows, shape, device)?.to_dtype(self.dtype)?;
        Ok(Batch { rows, lengths: Lengths::new(lengths, steps)? })
    }

    /// Patients in random order, sorted by length, cut into batches. The last
    /// batch is filled up with patients of the one before. Windows need no sorting; they
    /// are shared out over the batches, over several epochs where those are few.
    fn plan(&self, epoch: u64) -> Vec<Planned> {
        let mut rng = stream(self.seed, Purpose::Shuffle, epoch);
        let mut patients: Vec<usize> = (0..self.cohort.lengths.len()).collect();
        patients.shuffle(&mut rng);
        if self.windows.is_empty() {
            patients.sort_by_key(|&patient| self.cohort.lengths[patient]);
        }
        let last_start = patients.len() - self.batch_size;
        let (count, cycle) = (self.windows.len() as u64, self.per_cycle());
        let first = epoch * self.per_epoch();
        let mut plan: Vec<Planned> = (0..patients.len())
            .step_by(self.batch_size)
            .zip(first..)
            .map(|(start, n)| Planned {
                patients: patients[start.min(last_start)..][..self.batch_size].to_vec(),
                window: match self.windows.get((n % cycle * count / cycle) as usize) {
                    Some(&window) => window,
                    None => self.cohort.steps,
                },
            })
            .collect();
        if epoch >= self.curriculum_epochs {
            plan.shuffle(&mut rng);
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cohort() -> Encoded {
        let lengths = vec![3, 1, 2, 3, 1];
        let values = (0..15u8).map(f32::from).collect::<Vec<_>>().into();
        Encoded { values, lengths, steps: 3, features: 1, counts: Default::default() }
    }

    fn config(batch_size: usize, windows: Vec<usize>) -> TrainConfig {
        let mut config = TrainConfig::default();
        config.batching.batch_size = batch_size;
        config.batching.windows = windows.into();
        config
    }

    #[test]
    fn an_epoch_visits_everybody_shortest_first() -> Result<()> {
        let config = config(2, Vec::new());
        let mut batches = Batches::new(&cohort(), &config, DType::F64, &Device::Cpu);
        let mut seen = Vec::new();
        let mut steps = Vec::new();
        for iteration in 0..batches.per_epoch() {
            let batch = batches.batch(iteration)?;
            steps.push(batch.lengths.steps());
            let firsts = batch.rows.narrow(1, 0, 1)?.flatten_all()?.to_vec1::<f64>()?;
            seen.extend(firsts.into_iter().map(|first| first as usize / 3));
        }
        assert_eq!(steps, [1, 3, 3]);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [0, 1, 2, 3, 4]);
        Ok(())
    }

    #[test]
    fn windows_are_cut_at_random_and_go_round_shortest_first() -> Result<()> {
        let config = config(3, vec![1, 2]);
        let mut batches = Batches::new(&cohort(), &config, DType::F64, &Device::Cpu);
        let mut firsts = std::collections::BTreeSet::new();
        for iteration in 0..40 {
            let batch = batches.batch(iteration)?;
            let window = if iteration < 10 { 1 + iteration as usize % 2 } else { 2 };
            assert!(batch.lengths.rows().iter().all(|&length| length <= window));
            for (row, &length) in batch.lengths.rows().iter().enumerate() {
                let values = batch.rows.get(row)?.flatten_all()?.to_vec1::<f64>()?;
                let consecutive = values[..length].windows(2).all(|pair| pair[1] == pair[0] + 1.);
                assert!(consecutive && values[length..].iter().all(|&x| x == 0.), "{values:?}");
                // The first value says patient and step.
                firsts.insert(values[0] as usize);
            }
        }
        // Patient 0 has three steps, so windows begin at each of them.
        assert!(firsts.is_superset(&[0, 1, 2].into()), "{firsts:?}");
        Ok(())
    }
}
