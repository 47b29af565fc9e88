//! Gradients by hand against candle's autograd over the reference recurrence, for
//! any shape, on every vector width and number of threads.

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use hg_lstm::kernel::SimdPath;
use hg_lstm::{Lengths, Recurrence, ReverseAlignment};
use hg_models::{
    Alignment, Critic, CriticConfig, Engine, Generator, GeneratorConfig, Gradients, RowLayout,
};
use hg_models::{critic_loss, generator_loss};
use hg_train::{Purpose, by_name, stream};
use proptest::prelude::*;
use rand::RngExt;

/// Networks, a real batch and what is drawn for a step.
struct Case {
    generator: Generator,
    critic: Critic,
    lengths: Lengths,
    real: Tensor,
    noise: Vec<Vec<f64>>,
    alpha: Vec<f64>,
    /// Of the correlations, where they have any.
    limits: Option<Vec<f64>>,
}

impl Case {
    fn new(
        lengths: Vec<usize>,
        layout: RowLayout,
        hidden: usize,
        alignment: ReverseAlignment,
        limited: bool,
    ) -> Result<Self> {
        let (dtype, device) = (DType::F64, Device::Cpu);
        let steps = lengths.iter().copied().max().unwrap_or(1);
        let lengths = Lengths::new(lengths, steps)?;
        let mut rng = stream(5, Purpose::Noise, 1);
        let width = layout.width();
        let mut real = vec![0f64; lengths.batch() * steps * width];
        for row in real.chunks_exact_mut(width) {
            row[..layout.numeric].iter_mut().for_each(|x| *x = rng.random());
            layout.blocks().for_each(|block| row[rng.random_range(block)] = 1.);
        }
        let real = Tensor::from_vec(real, (lengths.batch(), steps, width), &device)?;
        let real = real.broadcast_mul(&lengths.mask(dtype, &device)?)?;
        let latent = 3;
        let noise = lengths
            .rows()
            .iter()
            .map(|&length| (0..length * latent).map(|_| rng.random::<f64>() * 4. - 2.).collect());
        let noise = noise.collect();
        let alpha = (0..lengths.batch()).map(|_| rng.random()).collect();
        let limits = limited.then(|| (0..width * width).map(|_| rng.random()).collect());
        let config = GeneratorConfig {
            layout: layout.clone(),
            latent,
            hidden,
            reverse_alignment: alignment,
        };
        let generator = Generator::init(config, &mut rng, dtype, &device)?;
        // A fresh generator's columns hardly vary, and correlation divides by that
        // spread: it would lose digits on either side.
        for (_, var) in generator.parameters().iter() {
            var.set(&(var.as_tensor() * 4.)?)?;
        }
        let critic = Critic::init(CriticConfig { layout, hidden }, &mut rng, dtype, &device)?;
        Ok(Self {
            generator: generator.with_recurrence(Recurrence::Reference),
            critic: critic.with_recurrence(Recurrence::Reference),
            lengths,
            real,
            noise,
            alpha,
            limits,
        })
    }

    fn aligned(&self) -> Alignment<'_> {
        Alignment { weight: 10., limits: self.limits.as_deref() }
    }

    fn by_tape(&self) -> Result<[Gradients; 2]> {
        let (latent, steps) = (3, self.lengths.steps());
        let mut noise = vec![0f64; self.lengths.batch() * steps * latent];
        for (to, from) in noise.chunks_exact_mut(steps * latent).zip(&self.noise) {
            to[..from.len()].copy_from_slice(from);
        }
        let shape = (self.lengths.batch(), steps, latent);
        let noise = Tensor::from_vec(noise, shape, &Device::Cpu)?;
        let fake = self.generator.forward(&noise, &self.lengths)?;
        let alpha = Tensor::new(self.alpha.as_slice(), &Device::Cpu)?;
        let loss = critic_loss(&self.critic, &self.real, &fake, &alpha, &self.lengths, 10.)?;
        let critic = by_name(self.critic.parameters(), &loss.total.backward()?);
        let aligned = self.aligned();
        let (loss, _) = generator_loss(&self.critic, &self.real, &fake, &self.lengths, aligned)?;
        Ok([critic, by_name(self.generator.parameters(), &loss.backward()?)])
    }

    fn by_hand(&self, path: SimdPath) -> Result<[Gradients; 2]> {
        let mut engine =
            Engine::<f64>::on_path(self.generator.config(), self.critic.config(), path);
        let (generator, critic) = (self.generator.parameters(), self.critic.parameters());
        let batch = engine.pack(&self.real, &self.lengths)?;
        let noise = |n: usize, values: &mut [f64]| values.copy_from_slice(&self.noise[n]);
        let (_, on_critic) =
            engine.critic_gradient(generator, critic, &batch, &noise, &self.alpha, 10.)?;
        let on_critic = on_critic.clone();
        let (_, on_generator) =
            engine.generator_gradient(generator, critic, &batch, &noise, self.aligned())?;
        Ok([on_critic, on_generator.clone()])
    }
}

fn numbers(x: &Tensor) -> Result<Vec<f64>> {
    Ok(x.flatten_all()?.to_vec1::<f64>()?)
}

/// The greatest difference relative to the network's greatest gradient.
fn off_by(ours: &Gradients, exact: &Gradients) -> Result<f64> {
    ensure!(ours.keys().eq(exact.keys()), "{:?} {:?}", ours.keys(), exact.keys());
    let (mut worst, mut scale) = (0f64, 0f64);
    for (name, exact) in exact {
        let ours = ours.get(name).with_context(|| name.clone())?;
        ensure!(ours.dims() == exact.dims(), "{name}");
        for (ours, exact) in numbers(ours)?.into_iter().zip(numbers(exact)?) {
            ensure!(ours.is_finite(), "{name}");
            worst = worst.max((ours - exact).abs());
            scale = scale.max(exact.abs());
        }
    }
    Ok(worst / scale)
}

fn agrees(case: &Case) -> Result<()> {
    let exact = case.by_tape()?;
    for path in SimdPath::available() {
        for (ours, exact) in case.by_hand(path)?.iter().zip(&exact) {
            let off = off_by(ours, exact)?;
            ensure!(off < 1e-9, "{path:?} is off by {off:e}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn gradients_by_hand_equal_autograds_for_any_shape_on_every_path(
        lengths in prop::collection::vec(1usize..6, 1..20),
        numeric in 0usize..20,
        discrete in prop::collection::vec(2usize..6, 0..4),
        hidden in 1usize..20,
        health_gym in any::<bool>(),
        limited in any::<bool>(),
    ) {
        prop_assume!(numeric + discrete.len() > 0 && lengths.iter().sum::<usize>() > 1);
        let alignment =
            if health_gym { ReverseAlignment::HealthGym } else { ReverseAlignment::Flipped };
        let layout = RowLayout { numeric, discrete };
        let case = Case::new(lengths, layout, hidden, alignment, limited).expect("a case");
        if let Err(error) = agrees(&case) {
            prop_assert!(false, "{error}");
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bytes_on_every_path() -> Result<()> {
    let layout = RowLayout { numeric: 5, discrete: vec![2, 4] };
    let lengths = (0..45).map(|n| 1 + n % 7).collect();
    let case = Case::new(lengths, layout, 24, ReverseAlignment::Flipped, true)?;
    let bytes = |path, threads| -> Result<Vec<u64>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        let gradients = pool.install(|| case.by_hand(path))?;
        let mut all = Vec::new();
        for tensor in gradients.iter().flat_map(|gradients| gradients.values()) {
            all.extend(numbers(tensor)?.into_iter().map(f64::to_bits));
        }
        Ok(all)
    };
    let widest = bytes(SimdPath::widest(), 1)?;
    for path in SimdPath::available() {
        let one = bytes(path, 1)?;
        ensure!(!path.same_bits_as(SimdPath::widest()) || one == widest, "{path:?}");
        for threads in 2..=4 {
            ensure!(bytes(path, threads)? == one, "{threads} threads, {path:?}");
        }
    }
    Ok(())
}
