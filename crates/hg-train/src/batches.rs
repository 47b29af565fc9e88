//! Real batches: grouped by length, shortest first while the curriculum lasts.

use crate::random::{Purpose, stream};
use crate::{Result, TrainConfig};
use candle_core::{DType, Device, Tensor};
use hg_data::Encoded;
use hg_lstm::Lengths;
use rand::seq::SliceRandom;

/// A real batch.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[batch, steps, D]`, steps being those of its longest patient.
    pub rows: Tensor,
    /// Steps of each patient.
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
    epoch: Option<(u64, Vec<Vec<usize>>)>,
}

impl Batches {
    /// Of an encoded cohort, whose values are shared, not copied.
    pub fn new(encoded: &Encoded, config: &TrainConfig, dtype: DType, device: &Device) -> Self {
        Self {
            cohort: encoded.clone(),
            dtype,
            device: device.clone(),
            batch_size: config.batch_size.min(encoded.lengths.len()),
            curriculum_epochs: config.curriculum_epochs,
            seed: config.seed,
            epoch: None,
        }
    }

    /// Batches in an epoch.
    pub fn per_epoch(&self) -> u64 {
        self.cohort.lengths.len().div_ceil(self.batch_size) as u64
    }

    /// The batch of an iteration, counted from 0 over all epochs.
    ///
    /// # Errors
    /// Only what candle reports.
    pub fn batch(&mut self, iteration: u64) -> Result<Batch> {
        let (epoch, position) = (iteration / self.per_epoch(), iteration % self.per_epoch());
        let plan = match self.epoch.take() {
            Some((planned, plan)) if planned == epoch => plan,
            _ => self.plan(epoch),
        };
        let patients = &plan[position as usize];
        let Encoded { values, lengths: all, steps: longest, features, .. } = &self.cohort;
        let lengths: Vec<usize> = patients.iter().map(|&patient| all[patient]).collect();
        let steps = lengths.iter().copied().max().unwrap_or(1);
        let mut rows = Vec::with_capacity(patients.len() * steps * features);
        for &patient in patients {
            rows.extend_from_slice(&values[patient * longest * features..][..steps * features]);
        }
        let shape = (patients.len(), steps, *features);
        let rows = Tensor::from_vec(rows, shape, &self.device)?.to_dtype(self.dtype)?;
        self.epoch = Some((epoch, plan));
        Ok(Batch { rows, lengths: Lengths::new(lengths, steps)? })
    }

    /// Patients in random order, sorted by length, cut into batches. The last
    /// batch is filled up with patients of the one before.
    fn plan(&self, epoch: u64) -> Vec<Vec<usize>> {
        let mut rng = stream(self.seed, Purpose::Shuffle, epoch);
        let mut patients: Vec<usize> = (0..self.cohort.lengths.len()).collect();
        patients.shuffle(&mut rng);
        patients.sort_by_key(|&patient| self.cohort.lengths[patient]);
        let last_start = patients.len() - self.batch_size;
        let mut plan: Vec<Vec<usize>> = (0..patients.len())
            .step_by(self.batch_size)
            .map(|start| start.min(last_start))
            .map(|start| patients[start..start + self.batch_size].to_vec())
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
        Encoded { values, lengths, steps: 3, features: 1, dropped_patients: 0 }
    }

    #[test]
    fn an_epoch_visits_everybody_shortest_first() -> Result<()> {
        let config = TrainConfig { batch_size: 2, ..Default::default() };
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
}
