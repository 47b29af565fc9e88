//! Losses and gradients by hand against candle's autograd over the reference recurrence, for
//! any shape, on every vector width and number of threads.

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use hg_lstm::kernel::{Factors, SimdPath};
use hg_lstm::{Lengths, Recurrence, ReverseAlignment};
use hg_models::{
    Alignment, Carried, Critic, CriticConfig, CriticMeasures, Engine, Generator, GeneratorConfig,
    GeneratorMeasures, Gradients, Guard, RealBatch, RowLayout, critic_loss, generator_loss,
};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The measures of one critic and one generator step, and the gradients.
struct Outcome {
    measures: [f64; 5],
    gradients: [Gradients; 2],
}

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
    alignment_weight: f64,
}

impl Case {
    fn new(
        lengths: Vec<usize>,
        layout: RowLayout,
        hidden: usize,
        alignment: ReverseAlignment,
        (limited, compares): (bool, bool),
    ) -> Result<Self> {
        let (dtype, device) = (DType::F64, Device::Cpu);
        let steps = lengths.iter().copied().max().unwrap_or(1);
        let lengths = Lengths::new(lengths, steps)?;
        let mut rng = ChaCha8Rng::seed_from_u64(5);
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
        let config = CriticConfig { layout, hidden, compares };
        let critic = Critic::init(config, &mut rng, dtype, &device)?;
        Ok(Self {
            generator: generator.with_recurrence(Recurrence::Reference),
            critic: critic.with_recurrence(Recurrence::Reference),
            lengths,
            real,
            noise,
            alpha,
            limits,
            alignment_weight: 10.,
        })
    }

    fn aligned(&self) -> Alignment<'_> {
        Alignment { weight: self.alignment_weight, limits: self.limits.as_deref() }
    }

    /// The noise as `[batch, steps, Z]`, 0 beyond each length.
    fn noise_tensor(&self) -> Result<Tensor> {
        let (latent, steps) = (3, self.lengths.steps());
        let mut noise = vec![0f64; self.lengths.batch() * steps * latent];
        for (to, from) in noise.chunks_exact_mut(steps * latent).zip(&self.noise) {
            to[..from.len()].copy_from_slice(from);
        }
        let shape = (self.lengths.batch(), steps, latent);
        Ok(Tensor::from_vec(noise, shape, &Device::Cpu)?)
    }

    fn by_tape(&self) -> Result<Outcome> {
        let fake = self.generator.forward(&self.noise_tensor()?, &self.lengths)?;
        let alpha = Tensor::new(self.alpha.as_slice(), &Device::Cpu)?;
        let critic = critic_loss(&self.critic, &self.real, &fake, &alpha, &self.lengths, 10.)?;
        let aligned = self.aligned();
        let (generator, alignment) =
            generator_loss(&self.critic, &self.real, &fake, &self.lengths, aligned)?;
        let measures =
            [&critic.total, &critic.wasserstein, &critic.penalty, &generator, &alignment];
        let mut numbers = [0.; 5];
        for (to, measure) in numbers.iter_mut().zip(measures) {
            *to = measure.to_scalar::<f64>()?;
        }
        let gradients = [
            self.critic.parameters().gradients(&critic.total.backward()?),
            self.generator.parameters().gradients(&generator.backward()?),
        ];
        Ok(Outcome { measures: numbers, gradients })
    }

    fn engine(&self, path: SimdPath) -> Result<(Engine<f64>, RealBatch<f64>)> {
        let mut engine = Engine::on_path(self.generator.config(), self.critic.config(), path);
        let batch = engine.pack(&self.real, &self.lengths)?;
        Ok((engine, batch))
    }

    /// The gradients of a private step over the patients that `takes` takes, on the scale of the sum.
    fn private(
        &self,
        (path, clip_norm): (SimdPath, f64),
        takes: impl Fn(usize) -> bool,
        gradient_noise: impl Fn(usize, &mut [f64]) + Sync,
    ) -> Result<Gradients> {
        let taken: Vec<usize> = (0..self.lengths.batch()).filter(|&n| takes(n)).collect();
        let (mut engine, _) = self.engine(path)?;
        let batch = match taken.is_empty() {
            true => None,
            false => {
                let index: Vec<u32> = taken.iter().map(|&n| n as u32).collect();
                let real = self.real.index_select(&Tensor::new(index, &Device::Cpu)?, 0)?;
                let lengths = taken.iter().map(|&n| self.lengths.rows()[n]).collect();
                Some(engine.pack(&real, &Lengths::new(lengths, self.lengths.steps())?)?)
            }
        };
        let noise = |n: usize, values: &mut [f64]| values.copy_from_slice(&self.noise[taken[n]]);
        let alpha: Vec<f64> = taken.iter().map(|&n| self.alpha[n]).collect();
        let networks = [self.generator.parameters(), self.critic.parameters()];
        let guard = Guard { clip_norm, batch: 1., noise: &gradient_noise };
        let gradients = engine.private_critic_gradient(
            networks,
            batch.as_ref(),
            &noise,
            &alpha,
            10.,
            &guard,
        )?;
        gradients.iter().map(|(name, tensor)| Ok((name.clone(), tensor.copy()?))).collect()
    }

    fn by_hand(&self, path: SimdPath) -> Result<Outcome> {
        self.by(self.engine(path)?)
    }

    fn by(&self, (mut engine, batch): (Engine<f64>, RealBatch<f64>)) -> Result<Outcome> {
        let (generator, critic) = (self.generator.parameters(), self.critic.parameters());
        let noise = |n: usize, values: &mut [f64]| values.copy_from_slice(&self.noise[n]);
        let (measures, on_critic) =
            engine.critic_gradient(generator, critic, &batch, &noise, &self.alpha, 10.)?;
        let CriticMeasures { loss, wasserstein, penalty } = measures;
        let on_critic = on_critic.clone();
        let (measures, on_generator) =
            engine.generator_gradient(generator, critic, &batch, &noise, self.aligned())?;
        let GeneratorMeasures { loss: generator_loss, alignment } = measures;
        Ok(Outcome {
            measures: [loss, wasserstein, penalty, generator_loss, alignment],
            gradients: [on_critic, on_generator.clone()],
        })
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
    ensure!(scale > 1e-6, "all gradients are 0");
    Ok(worst / scale)
}

/// The generator's gradient is held closer without the alignment: it divides by the spread of columns,
/// which may be small beside their values, and has a kink where correlations are ±1 on both sides, so
/// that it loses digits by hand and on the tape.
fn agrees(case: &mut Case) -> Result<()> {
    for (weight, tolerance) in [(0., 1e-9), (10., 1e-6)] {
        case.alignment_weight = weight;
        agrees_up_to(case, [1e-9, tolerance])?;
    }
    Ok(())
}

/// The critic's gradient and the generator's up to these tolerances.
fn agrees_up_to(case: &Case, tolerances: [f64; 2]) -> Result<()> {
    let exact = case.by_tape()?;
    for path in SimdPath::available() {
        let ours = case.by_hand(path)?;
        let sum = case.private((path, f64::INFINITY), |_| true, silence)?;
        let batch = case.lengths.batch() as f64;
        let mean = sum.into_iter().map(|(name, sum)| Ok((name, (sum / batch)?)));
        let off = off_by(&mean.collect::<Result<_>>()?, &exact.gradients[0])?;
        ensure!(off < tolerances[0], "patient by patient, {path:?} is off by {off:e}");
        for ((ours, exact), tolerance) in
            ours.gradients.iter().zip(&exact.gradients).zip(tolerances)
        {
            let off = off_by(ours, exact)?;
            ensure!(off < tolerance, "{path:?} is off by {off:e}");
        }
        for (ours, exact) in ours.measures.iter().zip(&exact.measures) {
            let off = (ours - exact).abs() / exact.abs().max(1.);
            ensure!(off < 1e-9, "{path:?} measures {ours}, not {exact}");
        }
    }
    Ok(())
}

/// No noise.
fn silence(_: usize, values: &mut [f64]) {
    values.fill(0.);
}

/// All that lies before the last block of levels, one feature by its first level and the others by its
/// second.
fn carried_by_the_last_block(layout: &RowLayout) -> Vec<Carried> {
    let Some(block) = layout.blocks().last() else { return Vec::new() };
    let (first, second) = (block.start, block.start + 1);
    let carried = [(first, 0..first.min(1)), (second, first.min(1)..first)];
    carried.map(|(by, features)| Carried { by, features }).into()
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
        compares in any::<bool>(),
        carries in any::<bool>(),
    ) {
        prop_assume!(numeric + discrete.len() > 0 && lengths.iter().sum::<usize>() > 1);
        let alignment =
            if health_gym { ReverseAlignment::HealthGym } else { ReverseAlignment::Flipped };
        let mut layout = RowLayout::new(numeric, discrete);
        if carries {
            layout.carried = carried_by_the_last_block(&layout);
        }
        let case = Case::new(lengths, layout, hidden, alignment, (limited, compares));
        let mut case = case.expect("a case");
        if let Err(error) = agrees(&mut case) {
            prop_assert!(false, "{error}");
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bytes_on_every_path() -> Result<()> {
    let mut layout = RowLayout::new(5, vec![2, 4]);
    layout.carried = carried_by_the_last_block(&layout);
    let lengths = (0..45).map(|n| 1 + n % 7).collect();
    let case = Case::new(lengths, layout, 24, ReverseAlignment::Flipped, (true, true))?;
    let bytes = |path, threads| -> Result<Vec<u64>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        let outcome = pool.install(|| case.by_hand(path))?;
        let mut all = Vec::new();
        for tensor in outcome.gradients.iter().flat_map(|gradients| gradients.values()) {
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

/// A case of all kinds of columns whose sequences fill more than two micro-batches.
fn mixed(alignment: ReverseAlignment) -> Result<Case> {
    let mut layout = RowLayout::new(5, vec![2, 4]);
    layout.carried = carried_by_the_last_block(&layout);
    let lengths = (0..19).map(|n| 1 + n % 7).collect();
    Case::new(lengths, layout, 24, alignment, (true, true))
}

#[test]
fn generated_rows_are_the_networks_and_0_beyond_each_length() -> Result<()> {
    for alignment in [ReverseAlignment::Flipped, ReverseAlignment::HealthGym] {
        let case = mixed(alignment)?;
        let mask = case.lengths.mask(DType::F64, &Device::Cpu)?;
        let exact = case.generator.forward(&case.noise_tensor()?, &case.lengths)?;
        let exact = numbers(&exact.broadcast_mul(&mask)?)?;
        let noise = |n: usize, values: &mut [f64]| values.copy_from_slice(&case.noise[n]);
        for path in SimdPath::available() {
            let (mut engine, _) = case.engine(path)?;
            let rows = engine.generate(case.generator.parameters(), &case.lengths, &noise)?;
            ensure!(rows.len() == exact.len() && rows.iter().any(|&x| x > 0.5));
            ensure!(rows.iter().zip(&exact).all(|(a, b)| (a - b).abs() < 1e-12), "{path:?}");
        }
    }
    Ok(())
}

/// Rounding is to 8 bits, so that one product is off by a few thousandths; a product left out, or one of
/// other factors, is off by far more.
#[test]
fn factors_in_bf16_move_losses_and_gradients_by_the_size_of_the_rounding() -> Result<()> {
    let mut case = mixed(ReverseAlignment::Flipped)?;
    case.alignment_weight = 0.;
    for path in SimdPath::available() {
        let exact = case.by_hand(path)?;
        let (engine, batch) = case.engine(path)?;
        let rounded = case.by((engine.with_factors(Factors::Bf16), batch))?;
        for (ours, exact) in rounded.measures.iter().zip(&exact.measures) {
            ensure!((ours - exact).abs() < 1e-2 * exact.abs().max(1e-2), "{ours} {exact}");
        }
        for (ours, exact) in rounded.gradients.iter().zip(&exact.gradients) {
            let off = off_by(ours, exact)?;
            ensure!((1e-5..2e-2).contains(&off), "{path:?}: {off}");
        }
    }
    Ok(())
}

#[test]
fn given_rows_have_the_gradients_of_the_generators_own() -> Result<()> {
    let case = mixed(ReverseAlignment::Flipped)?;
    let ours = case.by_hand(SimdPath::widest())?;
    let fake = case.generator.forward(&case.noise_tensor()?, &case.lengths)?;
    let (mut engine, batch) = case.engine(SimdPath::widest())?;
    ensure!(batch.sequences() == 19);
    let critic = case.critic.parameters();
    let (measures, gradients) =
        engine.critic_gradient_for(critic, &batch, &fake, &case.alpha, 10.)?;
    ensure!((measures.loss - ours.measures[0]).abs() < 1e-9);
    ensure!(off_by(gradients, &ours.gradients[0])? < 1e-9);
    Ok(())
}

/// What one step leaves in the engine's buffers does not reach the next, whatever its shape.
#[test]
fn an_engine_that_has_seen_other_batches_gives_the_same_bytes() -> Result<()> {
    let case = mixed(ReverseAlignment::Flipped)?;
    let (mut fresh, batch) = case.engine(SimdPath::widest())?;
    let (mut used, _) = case.engine(SimdPath::widest())?;
    let (generator, critic) = (case.generator.parameters(), case.critic.parameters());
    let noise = |n: usize, values: &mut [f64]| values.copy_from_slice(&case.noise[n]);

    let longer = Lengths::new((0..30).map(|n| 9 - n % 3).collect(), 9)?;
    let rows = Tensor::rand(0f64, 1., (30, 9, 11), &Device::Cpu)?;
    let other = used.pack(&rows, &longer)?;
    let ramp = |n: usize, values: &mut [f64]| values.fill(n as f64 / 30.);
    let alpha = vec![0.3; 30];
    used.critic_gradient(generator, critic, &other, &ramp, &alpha, 10.)?;
    used.generator_gradient(generator, critic, &other, &ramp, case.aligned())?;

    let again = used.pack(&case.real, &case.lengths)?;
    let bits = |engine: &mut Engine<f64>, batch: &RealBatch<f64>| -> Result<Vec<u64>> {
        let mut all = Vec::new();
        let on_critic =
            engine.critic_gradient(generator, critic, batch, &noise, &case.alpha, 10.)?.1;
        for gradient in on_critic.values() {
            all.extend(numbers(gradient)?.into_iter().map(f64::to_bits));
        }
        let aligned = case.aligned();
        let on_generator = engine.generator_gradient(generator, critic, batch, &noise, aligned)?.1;
        for gradient in on_generator.values() {
            all.extend(numbers(gradient)?.into_iter().map(f64::to_bits));
        }
        Ok(all)
    };
    ensure!(bits(&mut fresh, &batch)? == bits(&mut used, &again)?);
    Ok(())
}

#[test]
fn weights_that_have_changed_are_taken_up() -> Result<()> {
    let case = mixed(ReverseAlignment::Flipped)?;
    let (mut engine, batch) = case.engine(SimdPath::widest())?;
    let (generator, critic) = (case.generator.parameters(), case.critic.parameters());
    let noise = |n: usize, values: &mut [f64]| values.copy_from_slice(&case.noise[n]);
    engine.critic_gradient(generator, critic, &batch, &noise, &case.alpha, 10.)?;
    engine.generator_gradient(generator, critic, &batch, &noise, case.aligned())?;
    for (_, var) in generator.iter().chain(critic.iter()) {
        var.set(&(var.as_tensor() * 0.5)?)?;
    }
    let exact = case.by_tape()?;
    let on_critic = engine.critic_gradient(generator, critic, &batch, &noise, &case.alpha, 10.)?.1;
    ensure!(off_by(on_critic, &exact.gradients[0])? < 1e-9);
    let on_generator =
        engine.generator_gradient(generator, critic, &batch, &noise, case.aligned())?.1;
    ensure!(off_by(on_generator, &exact.gradients[1])? < 1e-9);
    Ok(())
}

#[test]
fn real_rows_of_another_shape_are_refused() -> Result<()> {
    let case = mixed(ReverseAlignment::Flipped)?;
    let (mut engine, _) = case.engine(SimdPath::widest())?;
    for shape in [(19, 7, 12), (19, 8, 11), (20, 7, 11)] {
        let rows = Tensor::zeros(shape, DType::F64, &Device::Cpu)?;
        let refused = engine.pack(&rows, &case.lengths);
        let shapes = matches!(
            refused,
            Err(hg_models::Error::Lstm(hg_lstm::Error::Shape { what: "real rows", .. }))
        );
        ensure!(shapes, "{shape:?}");
    }
    Ok(())
}

/// Numbers alone, so that the map that is clipped is the first layer's weight itself.
fn of_numbers() -> Result<Case> {
    let lengths = (0..19).map(|n| 1 + n % 7).collect();
    let layout = RowLayout::new(5, Vec::new());
    Case::new(lengths, layout, 20, ReverseAlignment::Flipped, (false, false))
}

/// Every number of the gradients, the two biases of a recurrent layer once.
fn as_clipped(gradients: &Gradients) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for (_, tensor) in gradients.iter().filter(|(name, _)| !name.ends_with("h2h.bias")) {
        all.extend(numbers(tensor)?);
    }
    Ok(all)
}

/// That adding or removing one patient moves the sum by that patient's own gradient, shortened to the
/// limit: what the noise is measured by.
#[test]
fn a_patient_moves_a_private_step_by_no_more_than_the_limit() -> Result<()> {
    let case = of_numbers()?;
    let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    let (path, patients) = (SimdPath::widest(), case.lengths.batch());
    let alone = |n: usize, limit| as_clipped(&case.private((path, limit), |m| m == n, silence)?);
    let mut norms: Vec<f64> = Vec::new();
    for n in 0..patients {
        norms.push(norm(&alone(n, f64::INFINITY)?));
    }
    norms.sort_by(f64::total_cmp);
    let limit = norms[patients / 2] * 1.001;

    let all = as_clipped(&case.private((path, limit), |_| true, silence)?)?;
    let mut clipped = 0;
    for n in 0..patients {
        let without = as_clipped(&case.private((path, limit), |m| m != n, silence)?)?;
        let moved: Vec<f64> = all.iter().zip(&without).map(|(a, b)| a - b).collect();
        let own = alone(n, f64::INFINITY)?;
        let factor = (limit / norm(&own)).min(1.);
        clipped += usize::from(factor < 1.);
        ensure!(norm(&moved) <= limit * (1. + 1e-9), "{} beyond {limit}", norm(&moved));
        let off = moved.iter().zip(&own).map(|(a, b)| (a - factor * b).abs()).fold(0., f64::max);
        ensure!(off < 1e-9 * limit, "patient {n} is off by {off:e}");
    }
    ensure!(clipped == patients - 1 - patients / 2, "{clipped} of {patients} were clipped");
    Ok(())
}

/// A value that overflows somewhere would otherwise spoil the sum for all, and be seen.
#[test]
fn a_patient_whose_gradient_is_not_finite_adds_nothing() -> Result<()> {
    let mut case = of_numbers()?;
    let limited = (SimdPath::widest(), 1.);
    let without = case.private(limited, |n| n != 4, silence)?;
    let mut rows = numbers(&case.real)?;
    let per_patient = rows.len() / case.lengths.batch();
    rows[4 * per_patient] = f64::NAN;
    case.real = Tensor::from_vec(rows, case.real.dims(), &Device::Cpu)?;
    let with = case.private(limited, |_| true, silence)?;
    ensure!(off_by(&with, &without)? < 1e-12);
    Ok(())
}

#[test]
fn noise_reaches_every_parameter_of_a_private_step_even_of_a_batch_of_nobody() -> Result<()> {
    let case = of_numbers()?;
    let loud = |part: usize, values: &mut [f64]| values.fill(1. + part as f64);
    let limited = (SimdPath::widest(), 1.);
    let noise = case.private(limited, |_| false, loud)?;
    ensure!(noise.len() == case.critic.parameters().iter().count());
    let mut parts = std::collections::BTreeSet::new();
    for (name, tensor) in &noise {
        let values = numbers(tensor)?;
        ensure!(values[0] >= 1. && values.iter().all(|&x| x == values[0]), "{name}: {values:?}");
        parts.insert(values[0] as usize);
    }
    // The biases of each direction's recurrence are one part.
    ensure!(parts.len() == noise.len() - 2, "{parts:?}");

    let (quiet, noisy) =
        (case.private(limited, |_| true, silence)?, case.private(limited, |_| true, loud)?);
    for ((name, quiet), noisy) in quiet.iter().zip(noisy.values()) {
        let added = numbers(&(noisy - quiet)?)?;
        let expected = numbers(&noise[name])?;
        ensure!(added.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-12), "{name}");
    }
    Ok(())
}
