//! Autograd over a batch that several ranks share, each with a GPU.
//!
//! A unit is so many sequences of the batch in a row. The gradient of a mean over the batch is a sum over its
//! units u, which is computed in whole numbers: their sum has the same bits in any order, so that NCCL
//! may add in its own, and however many ranks share the units.
//!
//! ```text
//! g = 1/s Σ_u trunc(s g_u),   s = 2⁶¹ / (U max_u ‖g_u‖),   U the least power of two that is no less than the units
//! ```
//!
//! What is lost lies 2⁻⁶¹ U below the greatest norm, where f32 has no digits left. The sum of a batch of one unit
//! is that unit's.
//!
//! The correlation alignment looks at the whole batch. With μ the mean of all rows x, and P = Σ (x − μ)(x − μ)ᵀ,
//!
//! ```text
//! R_ij = P_ij / √(P_ii P_jj),   ∂A/∂x = ∂⟨G, P⟩/∂x with μ held, for G = ∂A/∂P
//! ```
//!
//! since Σ (x − μ) is 0. So ranks add up Σ x, then P, and each takes the derivative of ⟨G, P⟩ along its units alone.

use crate::losses::{alignment_of, correlation_of_products};
use crate::{Alignment, Critic, Generator, Gradients, Parameters, Ranks, Result, critic_loss};
use candle_core::backprop::GradStore;
use candle_core::{D, DType, Device, Tensor, Var};
use hg_lstm::Lengths;
use std::ops::Range;

/// Sequences in a unit: a batch up to this takes one pass of the networks, as large as can be.
const UNIT: usize = 128;
/// Whole numbers stay below this.
const GREATEST: f64 = (1u64 << 61) as f64;
/// A norm below it counts as this, so that its inverse is finite.
const LEAST_NORM: f64 = 1e-200;

/// Losses and gradients by autograd, unit by unit.
#[derive(Clone, Debug)]
pub struct Units {
    ranks: Ranks,
    size: usize,
}

impl Default for Units {
    fn default() -> Self {
        Self { ranks: Ranks::default(), size: UNIT }
    }
}

/// A batch as autograd takes it, the share of one rank.
#[derive(Clone, Copy, Debug)]
pub struct SharedBatch<'a> {
    /// Real rows `[share, steps, D]`.
    pub rows: &'a Tensor,
    /// The generator's noise `[share, steps, Z]`.
    pub noise: &'a Tensor,
    /// Steps of each sequence of the whole batch.
    pub lengths: &'a Lengths,
}

/// One unit of a [`SharedBatch`].
struct Unit {
    sequences: Range<usize>,
    rows: Tensor,
    noise: Tensor,
    lengths: Lengths,
}

impl Units {
    /// Shares the work of each batch with other ranks.
    pub fn share_with(&mut self, ranks: Ranks) {
        self.ranks = ranks;
    }

    fn count(&self, sequences: usize) -> usize {
        sequences.div_ceil(self.size)
    }

    /// The sequences of a batch of so many that this rank has.
    pub fn share(&self, sequences: usize) -> Range<usize> {
        let share = self.ranks.share(self.count(sequences));
        (share.start * self.size).min(sequences)..(share.end * self.size).min(sequences)
    }

    /// This rank's units of a batch.
    fn of(&self, batch: SharedBatch<'_>) -> Result<Vec<Unit>> {
        let SharedBatch { rows, noise, lengths } = batch;
        let share = self.share(lengths.batch());
        let unit = |start: usize| -> Result<Unit> {
            let sequences = start..(start + self.size).min(share.end);
            let part = |x: &Tensor| x.narrow(0, start - share.start, sequences.len());
            let of_unit = lengths.rows()[sequences.clone()].to_vec();
            Ok(Unit {
                rows: part(rows)?,
                noise: part(noise)?,
                lengths: Lengths::new(of_unit, lengths.steps())?,
                sequences,
            })
        };
        share.clone().step_by(self.size).map(unit).collect()
    }

    /// The critic's loss, Wasserstein estimate and penalty `[3]` in f64, and the gradients of its parameters.
    /// `alpha` `[batch]` places the interpolates of all sequences.
    ///
    /// # Errors
    /// When shapes do not fit, or a rank is gone.
    pub fn critic(
        &self,
        (generator, critic): (&Generator, &Critic),
        batch: SharedBatch<'_>,
        alpha: &Tensor,
        penalty_weight: f64,
    ) -> Result<(Tensor, Gradients)> {
        let mut own = Vec::new();
        for Unit { sequences, rows, noise, lengths } in self.of(batch)? {
            let fake = generator.forward(&noise, &lengths)?;
            let alpha = alpha.narrow(0, sequences.start, sequences.len())?;
            let loss = critic_loss(critic, &rows, &fake, &alpha, &lengths, penalty_weight)?;
            let gradients = loss.total.backward()?;
            let measures = [&loss.total, &loss.wasserstein, &loss.penalty];
            let vector = as_vector(critic.parameters(), &gradients, &measures)?;
            own.push((vector * sequences.len() as f64)?);
        }
        let of = (batch.lengths.batch(), critic.parameters().device());
        let sum = self.add_up(of, own, numbers_of(critic.parameters()) + 3)?;
        of_vector(critic.parameters(), &(sum / batch.lengths.batch() as f64)?, 3)
    }

    /// The generator's loss and correlation alignment `[2]` in f64, and the gradients of its parameters.
    ///
    /// # Errors
    /// When shapes do not fit, or a rank is gone.
    pub fn generator(
        &self,
        (generator, critic): (&Generator, &Critic),
        batch: SharedBatch<'_>,
        aligned: Alignment<'_>,
    ) -> Result<(Tensor, Gradients)> {
        let sequences = batch.lengths.batch();
        let mut units = Vec::new();
        for unit in self.of(batch)? {
            let fake = generator.forward(&unit.noise, &unit.lengths)?;
            units.push((unit, fake));
        }
        let of = (sequences, generator.parameters().device());
        let (alignment, products) = self.alignment(&units, batch, of, aligned.limits)?;

        let mut own = Vec::new();
        for ((unit, fake), products) in units.iter().zip(&products) {
            let score = critic.forward(fake, &unit.lengths)?.scores().sum_all()?;
            let score = (score / sequences as f64)?;
            let loss = (products.affine(aligned.weight, 0.)? - &score)?;
            own.push(as_vector(generator.parameters(), &loss.backward()?, &[&score])?);
        }
        let sum = self.add_up(of, own, numbers_of(generator.parameters()) + 1)?;
        let (score, gradients) = of_vector(generator.parameters(), &sum, 1)?;
        let loss = (alignment.affine(aligned.weight, 0.)? - score.squeeze(0)?)?;
        Ok((Tensor::stack(&[&loss, &alignment], 0)?, gradients))
    }

    /// The alignment of the whole batch in f64, and ⟨G, P⟩ of each unit's own rows.
    fn alignment(
        &self,
        units: &[(Unit, Tensor)],
        batch: SharedBatch<'_>,
        of: (usize, &Device),
        limits: Option<&[f64]>,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let width = batch.rows.dim(2)?;
        // Rows that exist, real and synthetic.
        let rows = |(unit, fake): &(Unit, Tensor)| -> Result<[Tensor; 2]> {
            let valid = unit.lengths.valid_rows(fake.device())?;
            let of = |x: &Tensor| x.flatten(0, 1)?.index_select(&valid, 0);
            Ok([of(&unit.rows)?, of(fake)?])
        };
        let rows: Vec<[Tensor; 2]> = units.iter().map(rows).collect::<Result<_>>()?;

        // μ
        let sums = |[real, fake]: &[Tensor; 2]| flat(&[real.sum(0)?, fake.sum(0)?]);
        let sums = rows.iter().map(sums).collect::<Result<_>>()?;
        let sums = self.add_up(of, sums, 2 * width)?;
        let count: usize = batch.lengths.rows().iter().sum();
        let means = (sums.reshape((2, 1, width))? / count as f64)?;
        let means = means.to_dtype(batch.rows.dtype())?;

        // P of each unit, and of all.
        let products = |rows: &[Tensor; 2]| -> Result<[Tensor; 2]> {
            let of = |n: usize| -> Result<Tensor> {
                let centred = rows[n].broadcast_sub(&means.get(n)?)?;
                Ok(centred.transpose(D::Minus2, D::Minus1)?.matmul(&centred)?)
            };
            Ok([of(0)?, of(1)?])
        };
        let products: Vec<[Tensor; 2]> = rows.iter().map(products).collect::<Result<_>>()?;
        let own = products.iter().map(|both| flat(both)).collect::<Result<_>>()?;
        let all = self.add_up(of, own, 2 * width * width)?;
        let all = all.reshape((2, width, width))?;

        // A and G
        let of_fake = Var::from_tensor(&all.get(1)?)?;
        let real = correlation_of_products(&all.get(0)?)?;
        let alignment = alignment_of(&correlation_of_products(&of_fake)?, &real, limits)?;
        let slopes = alignment.backward()?.get(&of_fake).map(Tensor::detach);
        let slopes = slopes.unwrap_or(all.get(1)?.zeros_like()?).to_dtype(batch.rows.dtype())?;
        let of_unit = |[_, fake]: &[Tensor; 2]| Ok((fake * &slopes)?.sum_all()?);
        let of_units = products.iter().map(of_unit).collect::<Result<_>>()?;
        Ok((alignment.detach(), of_units))
    }

    /// The sum of the vectors `[width]` in f64 of all units of a batch of so many sequences, of which this rank
    /// gives its own.
    fn add_up(
        &self,
        (sequences, device): (usize, &Device),
        own: Vec<Tensor>,
        width: usize,
    ) -> Result<Tensor> {
        let units = self.count(sequences);
        if let (1, true, [one]) = (units, self.ranks.is_alone(), own.as_slice()) {
            return Ok(one.clone());
        }
        if units == 1 {
            let own = own.first().map(Tensor::to_vec1::<f64>).transpose()?.unwrap_or_default();
            let all = self.ranks.gather(bytemuck::cast_slice(&own))?.concat();
            let all: Vec<f64> = bytemuck::pod_collect_to_vec(&all);
            return Ok(Tensor::from_vec(all, width, device)?);
        }

        // The scale is that of all ranks, and no number is infinite in it.
        let mut greatest = LEAST_NORM;
        for vector in &own {
            let norm = vector.sqr()?.sum_all()?.sqrt()?.to_scalar::<f64>()?;
            greatest = if norm.is_finite() { norm.max(greatest) } else { f64::INFINITY };
        }
        for of_rank in self.ranks.gather(&greatest.to_le_bytes())? {
            let number = of_rank.try_into().map_or(f64::INFINITY, f64::from_le_bytes);
            greatest = greatest.max(number);
        }
        if greatest.is_infinite() {
            return Ok(Tensor::full(f64::NAN, width, device)?);
        }
        let scale = GREATEST / (units.next_power_of_two() as f64 * greatest);

        let mut whole = Tensor::zeros(width, DType::I64, device)?;
        for vector in own {
            whole = (whole + vector.affine(scale, 0.)?.to_dtype(DType::I64)?)?;
        }
        let whole = self.ranks.add_whole(&whole)?;
        Ok(whole.to_dtype(DType::F64)?.affine(1. / scale, 0.)?)
    }
}

/// Tensors as one vector in f64, detached.
fn flat(parts: &[Tensor]) -> Result<Tensor> {
    let flat = |part: &Tensor| Ok(part.flatten_all()?);
    let parts: Vec<Tensor> = parts.iter().map(flat).collect::<Result<_>>()?;
    Ok(Tensor::cat(&parts, 0)?.detach().to_dtype(DType::F64)?)
}

/// The numbers of a network's parameters.
fn numbers_of(parameters: &Parameters) -> usize {
    parameters.iter().map(|(_, var)| var.elem_count()).sum()
}

/// The gradients of a network's parameters, then scalars, as one vector in f64.
fn as_vector(
    parameters: &Parameters,
    gradients: &GradStore,
    scalars: &[&Tensor],
) -> Result<Tensor> {
    let mut gradients = parameters.gradients(gradients);
    let gradient = |(name, var): (&str, &Var)| match gradients.remove(name) {
        Some(gradient) => Ok(gradient),
        None => Ok(var.zeros_like()?),
    };
    let mut parts: Vec<Tensor> = parameters.iter().map(gradient).collect::<Result<_>>()?;
    parts.extend(scalars.iter().map(|&scalar| scalar.clone()));
    flat(&parts)
}

/// Takes [`as_vector`] apart: its last `scalars` numbers, and the gradients by name.
fn of_vector(
    parameters: &Parameters,
    vector: &Tensor,
    scalars: usize,
) -> Result<(Tensor, Gradients)> {
    let mut gradients = Gradients::new();
    let mut at = 0;
    for (name, var) in parameters.iter() {
        let count = var.elem_count();
        let gradient = vector.narrow(0, at, count)?.reshape(var.shape())?.to_dtype(var.dtype())?;
        gradients.insert(name.to_owned(), gradient);
        at += count;
    }
    Ok((vector.narrow(0, at, scalars)?, gradients))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CriticConfig, GeneratorConfig, RowLayout, generator_loss};
    use hg_lstm::{Recurrence, ReverseAlignment};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const STEPS: usize = 5;
    const LATENT: usize = 3;

    struct Case {
        generator: Generator,
        critic: Critic,
        lengths: Lengths,
        rows: Tensor,
        noise: Tensor,
        alpha: Tensor,
        limits: Vec<f64>,
    }

    impl Case {
        fn new(dtype: DType, batch: usize) -> anyhow::Result<Self> {
            let (device, mut rng) = (Device::Cpu, ChaCha8Rng::seed_from_u64(3));
            let layout = RowLayout::new(4, vec![2, 3]);
            let (width, hidden) = (layout.width(), 6);
            let lengths = Lengths::new((0..batch).map(|n| 1 + n % STEPS).collect(), STEPS)?;
            let mut drawn = |shape: (usize, usize, usize)| -> anyhow::Result<Tensor> {
                let count = shape.0 * shape.1 * shape.2;
                let values: Vec<f64> = (0..count).map(|_| rng.random()).collect();
                Ok(Tensor::from_vec(values, shape, &device)?.to_dtype(dtype)?)
            };
            let mask = lengths.mask(dtype, &device)?;
            let rows = drawn((batch, STEPS, width))?.broadcast_mul(&mask)?;
            let noise = drawn((batch, STEPS, LATENT))?.broadcast_mul(&mask)?;
            let alpha = drawn((batch, 1, 1))?.flatten_all()?;
            let limits =
                drawn((1, width, width))?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
            let config = GeneratorConfig {
                layout: layout.clone(),
                latent: LATENT,
                hidden,
                reverse_alignment: ReverseAlignment::Flipped,
            };
            let generator = Generator::init(config, &mut rng, dtype, &device)?;
            for (_, var) in generator.parameters().iter() {
                var.set(&(var.as_tensor() * 4.)?)?;
            }
            let config = CriticConfig { layout, hidden, compares: true };
            let critic = Critic::init(config, &mut rng, dtype, &device)?;
            Ok(Self {
                generator: generator.with_recurrence(Recurrence::Reference),
                critic: critic.with_recurrence(Recurrence::Reference),
                lengths,
                rows,
                noise,
                alpha,
                limits,
            })
        }

        fn aligned(&self) -> Alignment<'_> {
            Alignment { weight: 10., limits: Some(&self.limits) }
        }

        /// Both steps by one rank: measures, then all gradients in the order of their names.
        fn by(&self, ranks: Ranks, size: usize) -> anyhow::Result<Vec<f64>> {
            let units = Units { ranks, size };
            let share = units.share(self.lengths.batch());
            let part = |x: &Tensor| x.narrow(0, share.start, share.len());
            let (rows, noise) = (&part(&self.rows)?, &part(&self.noise)?);
            let batch = SharedBatch { rows, noise, lengths: &self.lengths };
            let networks = (&self.generator, &self.critic);
            let critic = units.critic(networks, batch, &self.alpha, 10.)?;
            let generator = units.generator(networks, batch, self.aligned())?;
            all_of([critic, generator])
        }

        /// The same of the whole batch at once.
        fn at_once(&self) -> anyhow::Result<Vec<f64>> {
            let Self { generator, critic, lengths, rows, .. } = self;
            let fake = generator.forward(&self.noise, lengths)?;
            let loss = critic_loss(critic, rows, &fake, &self.alpha, lengths, 10.)?;
            let measures = Tensor::stack(&[&loss.total, &loss.wasserstein, &loss.penalty], 0)?;
            let of_critic = critic.parameters().gradients(&loss.total.backward()?);
            let (total, alignment) = generator_loss(critic, rows, &fake, lengths, self.aligned())?;
            let of_generator = generator.parameters().gradients(&total.backward()?);
            let on_generator = Tensor::stack(&[&total, &alignment], 0)?;
            all_of([(measures, of_critic), (on_generator, of_generator)])
        }
    }

    fn all_of(steps: [(Tensor, Gradients); 2]) -> anyhow::Result<Vec<f64>> {
        let mut all = Vec::new();
        for (measures, gradients) in steps {
            for x in std::iter::once(&measures).chain(gradients.values()) {
                all.extend(x.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?);
            }
        }
        Ok(all)
    }

    fn on_ranks(case: &Case, ranks: usize, size: usize) -> Vec<Vec<f64>> {
        std::thread::scope(|scope| {
            let ranks = Ranks::threads(ranks).into_iter();
            let running: Vec<_> = ranks.map(|ranks| scope.spawn(|| case.by(ranks, size))).collect();
            let joined = running.into_iter().map(|thread| thread.join().expect("no panic"));
            joined.map(|all| all.expect("a step")).collect()
        })
    }

    #[test]
    fn units_add_up_to_the_losses_and_gradients_of_the_whole_batch() -> anyhow::Result<()> {
        let case = Case::new(DType::F64, 19)?;
        let exact = case.at_once()?;
        let scale = exact.iter().fold(0f64, |scale, x| scale.max(x.abs()));
        assert!(scale > 0.1);
        for size in [4, 19, UNIT] {
            let ours = case.by(Ranks::default(), size)?;
            assert_eq!(ours.len(), exact.len());
            let off = ours.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0., f64::max);
            assert!(off < 1e-9 * scale, "{size}: {off}");
        }
        Ok(())
    }

    #[test]
    fn any_number_of_ranks_has_the_bits_of_a_process_alone() -> anyhow::Result<()> {
        for dtype in [DType::F32, DType::F64] {
            for (batch, size) in [(19, 4), (7, 8), (3, 1)] {
                let case = Case::new(dtype, batch)?;
                let alone = case.by(Ranks::default(), size)?;
                for ranks in [2, 3, 5] {
                    for of_rank in on_ranks(&case, ranks, size) {
                        let same =
                            of_rank.iter().zip(&alone).all(|(a, b)| a.to_bits() == b.to_bits());
                        assert!(
                            same && of_rank.len() == alone.len(),
                            "{ranks} ranks, {batch}, {dtype:?}"
                        );
                    }
                }
            }
        }
        Ok(())
    }

    #[test]
    fn a_gradient_that_is_not_finite_on_one_rank_is_not_finite_on_all() -> anyhow::Result<()> {
        let mut case = Case::new(DType::F32, 8)?;
        // A NaN in the rows of the last unit.
        let nan = Tensor::full(f32::NAN, (1, STEPS, case.rows.dim(2)?), &Device::Cpu)?;
        case.rows = Tensor::cat(&[&case.rows.narrow(0, 0, 7)?, &nan], 0)?;
        for of_rank in on_ranks(&case, 2, 4) {
            assert!(of_rank[..3].iter().all(|x| x.is_nan()), "{:?}", &of_rank[..3]);
        }
        Ok(())
    }
}
