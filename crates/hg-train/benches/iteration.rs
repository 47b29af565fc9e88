//! Times training iterations (5 critic steps, 1 generator step) on random rows of
//! the sepsis shape: 35 numeric, 3 binary, 6 categorical columns, 104 features.
//!
//! `cargo xtask bench iteration --batch 32 --steps 20 --json`

use clap::Parser;
use hg_data::Encoded;
use hg_models::RowLayout;
use hg_train::{DeviceKind, TrainConfig, Trainer};
use rand::{RngExt, SeedableRng};
use std::time::Instant;

#[derive(Parser)]
struct Arguments {
    /// Sequences in a batch.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Steps of every sequence.
    #[arg(long, default_value_t = 20)]
    steps: usize,
    /// Hidden features.
    #[arg(long, default_value_t = 128)]
    hidden: usize,
    /// Numeric columns beside the discrete ones (35 make 104 features).
    #[arg(long, default_value_t = 35)]
    numeric: usize,
    /// Iterations that are timed, after one to warm up.
    #[arg(long, default_value_t = 7)]
    repeat: usize,
    /// Keep a privacy guarantee: the batch is a Poisson sample of twenty times as many.
    #[arg(long)]
    private: bool,
    /// Round the factors of recurrent products to bf16.
    #[arg(long)]
    bf16: bool,
    /// Train on the first NVIDIA GPU.
    #[arg(long)]
    cuda: bool,
    /// One line of JSON.
    #[arg(long)]
    json: bool,
    /// Run one iteration for each line on stdin and answer as the peers in
    /// `tests/peers` do.
    #[arg(long)]
    serve: bool,
}

/// The widths of sepsis's discrete columns.
const DISCRETE: [usize; 9] = [2, 2, 2, 13, 10, 10, 10, 10, 10];

fn main() -> anyhow::Result<()> {
    let start = Instant::now();
    let vectors = hg_train::vectors()?;
    let Arguments { batch, steps, hidden, numeric, repeat, private, bf16, cuda, json, serve } =
        Arguments::parse();
    let layout = RowLayout::new(numeric, DISCRETE.to_vec());
    let patients = if private { 20 * batch } else { batch };
    let encoded = random_rows(&layout, patients, steps);
    let device = if cuda { DeviceKind::Cuda } else { DeviceKind::Cpu };
    let mut config = TrainConfig { device, bf16, ..Default::default() };
    config.batching.batch_size = batch;
    config.model.hidden = hidden;
    // As published, and as the peers do.
    config.optimiser.critic_steps = 5;
    // Both by whole sequences.
    config.batching.windows = Vec::new().into();
    let mut trainer = trainer(&mut config, &layout, &encoded, private)?;
    trainer.step()?;
    let first_step = start.elapsed().as_secs_f64();
    if serve {
        println!("{{\"name\":\"Health Gym in Rust\",\"first_step_ms\":{}}}", first_step * 1e3);
        for _ in std::io::stdin().lines() {
            let start = Instant::now();
            trainer.step()?;
            let elapsed = start.elapsed().as_secs_f64() * 1e3;
            println!("{{\"ms\":{elapsed},\"peak_rss_mb\":{}}}", peak_rss_mb());
        }
        return Ok(());
    }

    let (mut whole, mut critic, mut generator) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..repeat {
        let start = Instant::now();
        trainer.step()?;
        whole.push(start.elapsed().as_secs_f64() * 1e3);
        critic.push(trainer.times().critic.as_secs_f64() * 1e3);
        generator.push(trainer.times().generator.as_secs_f64() * 1e3);
    }
    let iteration = median(whole);
    let flops = batch as f64 * steps as f64 * flops_per_row(&layout, hidden, 128);
    let gflops = flops / iteration / 1e6;
    let (critic, generator, rss) = (median(critic), median(generator), peak_rss_mb());
    if json {
        println!(
            "{{\"vectors\":\"{vectors:?}\",\"iteration_ms\":{iteration:.3},\"critic_ms\":{critic:.3},\
             \"generator_ms\":{generator:.3},\"gflops\":{gflops:.1},\"peak_rss_mb\":{rss:.1},\
             \"first_step_ms\":{:.1}}}",
            first_step * 1e3
        );
    } else {
        println!("{batch} × {steps}, D = {}, H = {hidden}, {vectors:?}", layout.width());
        println!(
            "iteration {iteration:.1} ms (critic steps {critic:.1}, generator {generator:.1})"
        );
        println!(
            "{gflops:.0} GFLOP/s, peak memory {rss:.0} MB, first step after {first_step:.2} s"
        );
    }
    Ok(())
}

fn trainer(
    config: &mut TrainConfig,
    layout: &RowLayout,
    encoded: &Encoded,
    private: bool,
) -> anyhow::Result<Trainer> {
    if !private {
        return Ok(Trainer::new(config, layout, encoded)?);
    }
    protect(config);
    let mut lengths = vec![0; encoded.steps + 1];
    lengths[encoded.steps] = encoded.lengths.len();
    Ok(Trainer::private(config, layout, encoded, lengths)?)
}

/// What a guarantee needs.
fn protect(config: &mut TrainConfig) {
    config.privacy.epsilon = 3.;
    config.model.resampling = false;
    config.optimiser.correlation_weight = 0.;
    config.batching.curriculum_epochs = 0;
    config.validation.every = 0;
}

/// Floating-point operations of an iteration for one row of one sequence, by the
/// formula of `docs/method.md`, "Cost" (a multiply-add counts as two; pointwise work is left out).
fn flops_per_row(layout: &RowLayout, hidden: usize, latent: usize) -> f64 {
    let (d, h, z) = (layout.width() as f64, hidden as f64, latent as f64);
    let critic = 2. * (d * h + h * h + 2. * (4. * h * h + 4. * h * h));
    let generator = 2. * (2. * (4. * z * h + 4. * h * h) + 2. * h * h + h * h + h * d);
    // Three forwards, two first-order gradients (twice the forward, less the
    // input gradient), and the penalty: ∇ₓ, its tangent, its adjoint and the
    // weights' gradients (two factors each).
    let critic_step = generator + 3. * critic + 2. * 2. * critic + 5. * critic;
    let generator_step = generator + 2. * critic + 2. * generator;
    5. * critic_step + generator_step
}

fn random_rows(layout: &RowLayout, batch: usize, steps: usize) -> Encoded {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let width = layout.width();
    let mut values = vec![0f32; batch * steps * width];
    for row in values.chunks_exact_mut(width) {
        row[..layout.numeric].iter_mut().for_each(|x| *x = rng.random());
        for block in layout.blocks() {
            row[rng.random_range(block)] = 1.;
        }
    }
    let lengths = vec![steps; batch];
    Encoded { values: values.into(), lengths, steps, features: width, counts: Default::default() }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The greatest resident memory so far, where /proc tells; else 0.
fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or(0.) / 1024.
}
