//! Synthetic cohorts from a generator.

use crate::checkpoint::{AVERAGED, Checkpoint, fill};
use crate::random::{Purpose, noise_of, stream};
use crate::{Error, Result, TrainConfig, layout_of};
use candle_core::{DType, Device};
use hg_data::{Calibration, DataFrame, Encoded, Encoder};
use hg_lstm::Lengths;
use hg_models::{Engine, Generator, RowLayout};
use rand::RngExt;

/// Sequences made at once.
const MADE_TOGETHER: usize = 256;

/// Patients, and about so many rows of fewer, that a generator is calibrated by.
const CALIBRATION_PATIENTS: usize = 4000;
const CALIBRATION_ROWS: f64 = 60_000.;

/// Where the random numbers of a cohort come from.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    pub(crate) seed: u64,
    pub(crate) noise: Purpose,
    pub(crate) lengths: Purpose,
}

/// `count` lengths, drawn with the frequencies of real ones: `frequencies[n]` have `n` steps.
pub(crate) fn draw_lengths(frequencies: &[usize], count: usize, source: Source) -> Vec<usize> {
    let mut rng = stream(source.seed, source.lengths, 0);
    let all: usize = frequencies.iter().sum();
    let mut draw = || {
        let mut position = rng.random_range(0..all.max(1));
        let found = frequencies.iter().position(|&count| {
            let here = position < count;
            position = position.saturating_sub(count);
            here
        });
        found.unwrap_or(1)
    };
    (0..count).map(|_| draw()).collect()
}

/// A cohort of these lengths, `steps` being the longest.
pub(crate) fn cohort(
    generator: &Generator,
    config: &TrainConfig,
    lengths: Vec<usize>,
    source: Source,
) -> Result<Encoded> {
    let values = rows(generator, config, &lengths, source)?.into();
    let steps = lengths.iter().copied().max().unwrap_or(1);
    let features = generator.config().layout.width();
    Ok(Encoded { values, lengths, steps, features, counts: Default::default() })
}

/// Rows `[sequences, steps, D]` of sequences of these lengths, `steps` being the longest.
fn rows(
    generator: &Generator,
    config: &TrainConfig,
    lengths: &[usize],
    source: Source,
) -> Result<Vec<f32>> {
    let layout: &RowLayout = &generator.config().layout;
    let steps = lengths.iter().copied().max().unwrap_or(1);
    let mut values = Vec::with_capacity(lengths.len() * steps * layout.width());
    // The engine is the processor's; weights that live on a GPU come down once.
    let generator = generator.on(&Device::Cpu)?;
    let mut engine = Engine::<f32>::new(generator.config(), &config.critic(layout));
    for (batch, lengths) in lengths.chunks(MADE_TOGETHER).enumerate() {
        let noise = |sequence: usize, values: &mut [f32]| {
            let sequence = batch * MADE_TOGETHER + sequence;
            noise_of(&config.model, source.seed, source.noise, 0, sequence, values);
        };
        let lengths = Lengths::new(lengths.to_vec(), steps)?;
        values.extend(engine.generate(generator.parameters(), &lengths, &noise)?);
    }
    Ok(values)
}

/// What makes synthetic cohorts: a trained generator with the encoder that reads its rows.
#[derive(Debug)]
pub struct Sampler {
    encoder: Encoder,
    config: TrainConfig,
    generator: Generator,
    calibration: Option<Calibration>,
}

impl Sampler {
    /// With the averaged generator of a checkpoint.
    ///
    /// # Errors
    /// When its weights do not fit encoder and settings.
    pub fn new(encoder: Encoder, config: &TrainConfig, checkpoint: &Checkpoint) -> Result<Self> {
        let layout = layout_of(&encoder);
        // What is drawn is overwritten.
        let mut rng = stream(0, Purpose::GeneratorWeights, 0);
        let generator =
            Generator::init(config.generator(&layout), &mut rng, DType::F32, &Device::Cpu)?;
        fill(generator.parameters(), &checkpoint.averaged()?, AVERAGED.as_ref())?;
        let mut sampler = Self { encoder, config: config.clone(), generator, calibration: None };
        if config.model.calibration {
            sampler.calibration = Some(sampler.calibrate()?);
        }
        Ok(sampler)
    }

    /// By a cohort that only the weights decide.
    fn calibrate(&self) -> Result<Calibration> {
        let frequencies = &self.encoder.lengths;
        let steps = frequencies.iter().enumerate().map(|(length, count)| length * count);
        let mean = steps.sum::<usize>() as f64 / frequencies.iter().sum::<usize>().max(1) as f64;
        let patients = (CALIBRATION_ROWS / mean.max(1.)).ceil() as usize;
        let purpose = Purpose::Calibration;
        let source = Source { seed: 0, noise: purpose, lengths: purpose };
        let lengths = draw_lengths(frequencies, patients.min(CALIBRATION_PATIENTS), source);
        Ok(self.encoder.calibration(&cohort(&self.generator, &self.config, lengths, source)?))
    }

    /// A cohort of so many patients. Lengths are drawn with the real cohort's frequencies; the
    /// same seed gives the same cohort.
    ///
    /// # Errors
    /// When `patients` is 0.
    pub fn sample(&self, patients: usize, seed: u64) -> Result<DataFrame> {
        if patients == 0 {
            let problem = "`patients` is 0\nhint: ask for at least 1 patient";
            return Err(Error::Config(problem.into()));
        }
        let source = Source { seed, noise: Purpose::Generation, lengths: Purpose::Lengths };
        let lengths = draw_lengths(&self.encoder.lengths, patients, source);
        let mut made = cohort(&self.generator, &self.config, lengths, source)?;
        if let Some(calibration) = &self.calibration {
            calibration.apply(&mut made);
        }
        Ok(self.encoder.decode(&made.values, &made.lengths, made.steps, seed)?)
    }

    /// What was fitted to the real table.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }
}
