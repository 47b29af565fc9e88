//! Synthetic cohorts from a generator.

use crate::checkpoint::{AVERAGED, Checkpoint, fill};
use crate::random::{Purpose, noise_of, stream};
use crate::{Error, Result, TrainConfig, layout_of};
use candle_core::{DType, Device};
use hg_data::{Calibration, Cells, DataFrame, Encoded, Encoder, Given};
use hg_lstm::Lengths;
use hg_models::{Engine, Generator, RowLayout};
use rand::RngExt;

/// Sequences made at once.
const MADE_TOGETHER: usize = 256;

/// Patients, and about so many rows of fewer, that a generator is calibrated by.
const CALIBRATION_PATIENTS: usize = 4000;
const CALIBRATION_ROWS: f64 = 60_000.;

/// Patients that are made at once where some are chosen among them.
const MADE_IN_PART: usize = 1000;
/// Patients that are made for each one who is wanted, at most, and at least before it is said that
/// nobody is so.
const MADE_FOR_EACH: usize = 1000;
const LEAST_MADE: usize = 20_000;
/// Seeds of the parts lie so far apart: the golden ratio of 2⁶⁴.
const APART: u64 = 0x9e37_79b9_7f4a_7c15;

/// Where the random numbers of a cohort come from.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    pub(crate) seed: u64,
    pub(crate) noise: Purpose,
    pub(crate) lengths: Purpose,
    /// Which cohort of this seed, from 0.
    pub(crate) part: u64,
}

/// `count` lengths, drawn with the frequencies of real ones: `frequencies[n]` have `n` steps.
pub(crate) fn draw_lengths(frequencies: &[usize], count: usize, source: Source) -> Vec<usize> {
    let mut rng = stream(source.seed, source.lengths, source.part);
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
            noise_of(&config.model, source.seed, source.noise, source.part, sequence, values);
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
        let source = Source { seed: 0, noise: purpose, lengths: purpose, part: 0 };
        let lengths = draw_lengths(frequencies, patients.min(CALIBRATION_PATIENTS), source);
        Ok(self.encoder.calibration(&cohort(&self.generator, &self.config, lengths, source)?))
    }

    /// A cohort of so many patients. Lengths are drawn with the real cohort's frequencies; the
    /// same seed gives the same cohort.
    ///
    /// # Errors
    /// When `patients` is 0.
    pub fn sample(&self, patients: usize, seed: u64) -> Result<DataFrame> {
        self.refuse_none(patients)?;
        Ok(self.encoder.table_of(&self.cells(patients, seed, 0)?)?)
    }

    /// A cohort of so many patients who meet all of the conditions: patients are made until as many
    /// do. With it goes how many were made. The same seed gives the same cohort.
    ///
    /// # Errors
    /// [`Error::Rare`] where too few meet them; when `patients` is 0.
    pub fn sample_given(
        &self,
        patients: usize,
        seed: u64,
        given: &Given,
    ) -> Result<(DataFrame, usize)> {
        self.refuse_none(patients)?;
        let most = MADE_FOR_EACH.saturating_mul(patients).max(LEAST_MADE);
        let (mut found, mut made) = (Cells::default(), 0);
        for part in 0.. {
            let next = self.cells(MADE_IN_PART, seed, part)?;
            found.add_given(&next, given, patients);
            made += next.patients();
            if found.patients() == patients {
                return Ok((self.encoder.table_of(&found)?, made));
            }
            if made >= most || (found.patients() == 0 && made >= LEAST_MADE) {
                break;
            }
        }
        Err(Error::Rare { given: given.to_string(), found: found.patients(), made })
    }

    fn refuse_none(&self, patients: usize) -> Result<()> {
        if patients > 0 {
            return Ok(());
        }
        let problem = "`patients` is 0\nhint: ask for at least 1 patient";
        Err(Error::Config(problem.into()))
    }

    /// The cells of a cohort.
    fn cells(&self, patients: usize, seed: u64, part: u64) -> Result<Cells> {
        let (noise, lengths) = (Purpose::Generation, Purpose::Lengths);
        let source = Source { seed, noise, lengths, part };
        let lengths = draw_lengths(&self.encoder.lengths, patients, source);
        let mut made = cohort(&self.generator, &self.config, lengths, source)?;
        if let Some(calibration) = &self.calibration {
            calibration.apply(&mut made);
        }
        let draws = seed.wrapping_add(part.wrapping_mul(APART));
        Ok(self.encoder.cells(&made.values, &made.lengths, made.steps, draws)?)
    }

    /// What was fitted to the real table.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }
}
