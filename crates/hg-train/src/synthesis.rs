//! Synthetic cohorts from a generator.

use crate::checkpoint::{AVERAGED, Checkpoint, fill};
use crate::random::{Purpose, noise_of, stream};
use crate::{Error, Result, Shard, Store, TrainConfig, layout_of};
use candle_core::{DType, Device};
use hg_data::{Calibration, Cells, DataFrame, Draws, Encoded, Encoder, Numbering};
use hg_judge::{CANDIDATES, Features, Resampler, of_values, summaries_of};
use hg_lstm::Lengths;
use hg_models::{Engine, Generator, RowLayout};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::ops::Range;

/// Sequences made at once.
const MADE_TOGETHER: usize = 256;

/// Patients, and about so many rows of fewer, that a generator is calibrated by.
const CALIBRATION_PATIENTS: usize = 4000;
const CALIBRATION_ROWS: f64 = 60_000.;

/// Patients that are made in a round of learning which are taken, at most: so many, or about so many rows
/// of fewer.
const MOST_MADE: usize = 40_000;
const MOST_ROWS: f64 = 1_200_000.;

/// Patients that are made at once where some are chosen among them.
pub(crate) const MADE_IN_PART: usize = 1000;
/// Places that are filled at once from candidates for each.
pub(crate) const PLACES: usize = MADE_IN_PART / CANDIDATES;
/// Seeds of the parts lie so far apart: the golden ratio of 2⁶⁴.
const APART: u64 = 0x9e37_79b9_7f4a_7c15;

/// Where the noise of a cohort comes from.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    pub(crate) seed: u64,
    pub(crate) noise: Purpose,
    /// Which cohort of this seed, from 0.
    pub(crate) part: u64,
}

/// Sequences of a part that stand before others.
#[derive(Clone, Copy, Default)]
pub(crate) struct Before {
    pub(crate) sequences: usize,
    /// Their steps, of those that have any.
    pub(crate) steps: usize,
}

impl Before {
    fn of(lengths: impl Iterator<Item = usize>) -> Self {
        lengths.fold(Self::default(), |before, length| Self {
            sequences: before.sequences + 1,
            steps: before.steps + length,
        })
    }

    /// Where each of these stands for so many.
    fn times(self, count: usize) -> Self {
        Self { sequences: self.sequences * count, steps: self.steps * count }
    }
}

/// `count` lengths, drawn with the frequencies of real ones: `frequencies[n]` have `n` steps.
pub(crate) fn draw_lengths(frequencies: &[usize], count: usize, rng: ChaCha8Rng) -> Vec<usize> {
    lengths(frequencies, rng).take(count).collect()
}

/// Lengths without end, drawn with the frequencies of real ones.
fn lengths(frequencies: &[usize], mut rng: ChaCha8Rng) -> impl Iterator<Item = usize> {
    let all: usize = frequencies.iter().sum();
    std::iter::repeat_with(move || {
        let mut position = rng.random_range(0..all.max(1));
        let found = frequencies.iter().position(|&count| {
            let here = position < count;
            position = position.saturating_sub(count);
            here
        });
        found.unwrap_or(1)
    })
}

/// A cohort of these lengths, `steps` being the longest.
pub(crate) fn cohort(
    generator: &Generator,
    config: &TrainConfig,
    lengths: Vec<usize>,
    source: Source,
) -> Result<Encoded> {
    cohort_behind(0, generator, config, lengths, source)
}

/// The sequences of a cohort that stand behind `before` others.
fn cohort_behind(
    before: usize,
    generator: &Generator,
    config: &TrainConfig,
    lengths: Vec<usize>,
    source: Source,
) -> Result<Encoded> {
    let values = rows(generator, config, &lengths, (source, before))?.into();
    let steps = lengths.iter().copied().max().unwrap_or(1);
    let features = generator.config().layout.width();
    Ok(Encoded { values, lengths, steps, features, counts: Default::default() })
}

/// Rows `[sequences, steps, D]` of sequences of these lengths, `steps` being the longest.
fn rows(
    generator: &Generator,
    config: &TrainConfig,
    lengths: &[usize],
    (source, before): (Source, usize),
) -> Result<Vec<f32>> {
    let layout: &RowLayout = &generator.config().layout;
    let steps = lengths.iter().copied().max().unwrap_or(1);
    let mut values = Vec::with_capacity(lengths.len() * steps * layout.width());
    // The engine is the processor's; weights that live on a GPU come down once.
    let generator = generator.on(&Device::Cpu)?;
    let mut engine = Engine::<f32>::new(generator.config(), &config.critic(layout));
    for (batch, lengths) in lengths.chunks(MADE_TOGETHER).enumerate() {
        let noise = |sequence: usize, values: &mut [f32]| {
            let sequence = before + batch * MADE_TOGETHER + sequence;
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
    /// Where it is none, every patient is taken.
    resampler: Option<Resampler>,
    /// What is made of a cohort.
    shard: Shard,
}

impl Sampler {
    /// With what a store holds: the generator that the settings select, and what chooses among its
    /// patients. `None` where there is no checkpoint.
    ///
    /// # Errors
    /// When the store cannot be read, or its weights do not fit encoder and settings.
    pub fn of(encoder: Encoder, config: &TrainConfig, store: &dyn Store) -> Result<Option<Self>> {
        let Some(checkpoint) = store.selected(config.validation.select)? else { return Ok(None) };
        let mut sampler = Self::new(encoder, config, &checkpoint)?;
        if config.model.resampling {
            let resampling = store.resampling()?;
            match resampling.filter(|resampling| resampling.is_for(&checkpoint, &sampler.encoder)) {
                Some(resampling) => sampler.resampler = resampling.resampler,
                None => tracing::warn!(
                    "training has not ended, so that nothing chooses among the generator's patients \
                     yet: all are taken"
                ),
            }
        }
        Ok(Some(sampler))
    }

    /// With the averaged generator of a checkpoint, all of whose patients are taken.
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
        let config = config.clone();
        let (calibration, resampler, shard) = (None, None, Shard::WHOLE);
        let mut sampler = Self { encoder, config, generator, calibration, resampler, shard };
        if sampler.config.model.calibration {
            sampler.calibration = Some(sampler.calibrate()?);
        }
        Ok(sampler)
    }

    /// Makes of every cohort a shard alone, at about that share of the work: its patients are those that
    /// stand there in the whole cohort, with their numbers, so that the shards' rows, put below one
    /// another, are the whole cohort's.
    #[must_use]
    pub fn with_shard(mut self, shard: Shard) -> Self {
        self.shard = shard;
        self
    }

    /// Patients who have about so many rows.
    pub(crate) fn patients_of(&self, rows: f64) -> usize {
        let frequencies = &self.encoder.lengths;
        let steps = frequencies.iter().enumerate().map(|(length, count)| length * count);
        let mean = steps.sum::<usize>() as f64 / frequencies.iter().sum::<usize>().max(1) as f64;
        (rows / mean.max(1.)).ceil() as usize
    }

    /// By a cohort that only the weights decide.
    fn calibrate(&self) -> Result<Calibration> {
        let frequencies = &self.encoder.lengths;
        let patients = self.patients_of(CALIBRATION_ROWS);
        let purpose = Purpose::Calibration;
        let source = Source { seed: 0, noise: purpose, part: 0 };
        let patients = patients.min(CALIBRATION_PATIENTS);
        let lengths = draw_lengths(frequencies, patients, stream(0, purpose, 0));
        Ok(self.encoder.calibration(&cohort(&self.generator, &self.config, lengths, source)?))
    }

    /// A cohort of so many patients. Lengths are drawn with the real cohort's frequencies; the
    /// same seed gives the same cohort.
    ///
    /// # Errors
    /// When `patients` is 0.
    pub fn sample(&self, patients: usize, seed: u64) -> Result<DataFrame> {
        self.sample_observed(patients, seed, &mut |_| {})
    }

    /// As [`Sampler::sample`]; `observe` is told now and then how many patients there are.
    ///
    /// # Errors
    /// When `patients` is 0.
    pub fn sample_observed(
        &self,
        patients: usize,
        seed: u64,
        observe: &mut dyn FnMut(usize),
    ) -> Result<DataFrame> {
        let places = self.places(patients)?;
        let source = |part| Source { seed, noise: Purpose::Generation, part };
        let mut lengths = lengths(&self.encoder.lengths, stream(seed, Purpose::Lengths, 0));

        if self.resampler.is_none() {
            let before = Before::of(lengths.by_ref().take(places.start));
            let lengths = lengths.take(places.len()).collect();
            return self.table(&self.cells_behind(before, lengths, source(0))?, patients);
        }

        // A part of the cohort has noise of its own; the shard may begin and end within one.
        let mut found = Cells::default();
        let first = places.start / PLACES;
        lengths.by_ref().take(first * PLACES).for_each(drop);
        for part in first..places.end.div_ceil(PLACES) {
            let of_part = part * PLACES..(part + 1) * PLACES;
            let taken = places.start.max(of_part.start)..places.end.min(of_part.end);
            let before = Before::of(lengths.by_ref().take(taken.start - of_part.start));
            let places: Vec<usize> = lengths.by_ref().take(taken.len()).collect();

            let part = part as u64;
            let of_candidates = places.iter().flat_map(|&length| [length; CANDIDATES]).collect();
            let candidates =
                self.cells_behind(before.times(CANDIDATES), of_candidates, source(part))?;
            let chosen = self.chosen(&candidates, places.len(), seed, (part, before.sequences));
            found.add(&candidates, &chosen);
            observe(found.patients());
        }
        self.table(&found, patients)
    }

    /// The places, from 0, that are made of a cohort of so many patients.
    ///
    /// # Errors
    /// When there are none, or too many for a table.
    pub(crate) fn places(&self, patients: usize) -> Result<Range<usize>> {
        if patients == 0 {
            let problem = "`patients` is 0\nhint: ask for at least 1 patient";
            return Err(Error::Config(problem.into()));
        }
        let places = self.shard.range(patients);
        if patients < self.shard.of() {
            let problem = format!(
                "`patients` is {patients}, and shard {} asks for more shards than that\n\
                 hint: ask for {patients} shards at most",
                self.shard
            );
            return Err(Error::Config(problem));
        }
        let most = self.patients_of(f64::from(u32::MAX));
        if places.len() > most {
            let problem = format!(
                "`patients` is {}, and a table has room for the rows of about {most}\n\
                 hint: ask for shards of the cohort, or for fewer patients",
                places.len()
            );
            return Err(Error::Config(problem));
        }
        Ok(places)
    }

    /// The table of what was made of a cohort of so many patients.
    pub(crate) fn table(&self, made: &Cells, patients: usize) -> Result<DataFrame> {
        let first = self.shard.range(patients).start + 1;
        Ok(self.encoder.numbered_table_of(made, Numbering { first, last: patients })?)
    }

    /// Whether some patients are chosen among candidates, and others not.
    pub(crate) fn chooses(&self) -> bool {
        self.resampler.is_some()
    }

    /// The candidate for each place who is taken; `before` places of the part stand before these.
    pub(crate) fn chosen(
        &self,
        candidates: &Cells,
        places: usize,
        seed: u64,
        (part, before): (u64, usize),
    ) -> Vec<usize> {
        let Some(resampler) = &self.resampler else { return (0..places).collect() };
        let mut rng = stream(seed, Purpose::Resampling, part);
        let draws = std::iter::repeat_with(|| rng.random());
        let draws: Vec<f64> = draws.skip(before).take(places).collect();
        resampler.choose(&summaries_of(&self.encoder.schema, &candidates.observed()), &draws)
    }

    /// Learns from summaries of real patients which of the generator's are taken; `None` where there
    /// are too few.
    pub(crate) fn learn_resampler(&self, real: &Features) -> Result<Option<Resampler>> {
        let mut part = 0;
        let mut make = |places: usize, candidates: usize| {
            let mut made: Option<Features> = None;
            let together = MADE_IN_PART / candidates;
            for first in (0..places).step_by(together) {
                let places = together.min(places - first);
                let of_part = stream(0, Purpose::CandidateLengths, part);
                let lengths = draw_lengths(&self.encoder.lengths, places, of_part);
                let lengths = lengths.into_iter().flat_map(|length| vec![length; candidates]);
                let source = Source { seed: 0, noise: Purpose::Candidates, part };
                let cells = self.cells(lengths.collect(), source)?;
                part += 1;
                let next = summaries_of(&self.encoder.schema, &cells.observed());
                made = Some(match made {
                    Some(made) => made.below(next),
                    None => next,
                });
            }
            Ok::<_, Error>(made.unwrap_or_default())
        };
        let held = of_values(&self.encoder.schema, real);
        Resampler::fit((real, &held), &mut make, MOST_MADE.min(self.patients_of(MOST_ROWS)))
    }

    /// The cells of a cohort of these lengths.
    pub(crate) fn cells(&self, lengths: Vec<usize>, source: Source) -> Result<Cells> {
        self.cells_behind(Before::default(), lengths, source)
    }

    /// The cells of those of a cohort who stand behind others.
    fn cells_behind(&self, before: Before, lengths: Vec<usize>, source: Source) -> Result<Cells> {
        let Before { sequences, steps } = before;
        let mut made = cohort_behind(sequences, &self.generator, &self.config, lengths, source)?;
        if let Some(calibration) = &self.calibration {
            calibration.apply(&mut made);
        }
        let seed = source.seed.wrapping_add(source.part.wrapping_mul(APART));
        let draws = Draws { seed, sequences, rows: steps };
        Ok(self.encoder.cells(&made.values, &made.lengths, made.steps, draws)?)
    }

    /// What was fitted to the real table.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }
}
