//! Encoded synthetic sequences from a generator.

use crate::Result;
use crate::TrainConfig;
use crate::random::{Purpose, noise_of, stream};
use candle_core::Device;
use hg_lstm::Lengths;
use hg_models::{Engine, Generator, RowLayout};
use rand::RngExt;

/// Sequences made at once.
const MADE_TOGETHER: usize = 256;

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

/// Rows `[sequences, steps, D]` of sequences of these lengths, `steps` being the longest.
pub(crate) fn rows(
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
            noise_of(config.latent, source.seed, source.noise, 0, sequence, values);
        };
        let lengths = Lengths::new(lengths.to_vec(), steps)?;
        values.extend(engine.generate(generator.parameters(), &lengths, &noise)?);
    }
    Ok(values)
}
