//! The custom operations equal the reference, in first and second order.

use super::*;
use crate::reference;
use candle_core::Var;
use proptest::prelude::*;

/// A loss of h and of the backward pass's result, and its gradients for pre, U and h̄: first and
/// second order together.
struct Outcome {
    loss: Tensor,
    gradients: [Tensor; 3],
}

struct Case {
    lengths: Lengths,
    inputs: [Var; 3],
    /// What h and the backward pass's result are multiplied with.
    weights: [Tensor; 2],
}

impl Case {
    fn new(
        directions: usize,
        lengths: &[usize],
        hidden: usize,
        dtype: DType,
    ) -> anyhow::Result<Self> {
        let lengths = Lengths::new(lengths.to_vec(), lengths.iter().copied().max().unwrap_or(1))?;
        let (batch, steps) = (lengths.batch(), lengths.steps());
        let mut seed = 12345u32;
        let mut draw = |shape: &[usize]| -> anyhow::Result<Tensor> {
            let values: Vec<f64> = (0..shape.iter().product())
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    f64::from(seed) / f64::from(u32::MAX) * 2. - 1.
                })
                .collect();
            Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?)
        };
        let mask = lengths.mask(dtype, &Device::Cpu)?;
        let h_bar = draw(&[directions, batch, steps, hidden])?.broadcast_mul(&mask)?;
        let inputs = [
            Var::from_tensor(&draw(&[directions, batch, steps, 4 * hidden])?)?,
            Var::from_tensor(&draw(&[directions, 4 * hidden, hidden])?)?,
            Var::from_tensor(&h_bar)?,
        ];
        let weights = [
            draw(&[directions, batch, steps, hidden])?.broadcast_mul(&mask)?,
            draw(&[directions, batch, steps, 4 * hidden])?.broadcast_mul(&mask)?,
        ];
        Ok(Self { lengths, inputs, weights })
    }

    fn outcome(&self, fused_on: Option<SimdPath>) -> anyhow::Result<Outcome> {
        let [pre, u, h_bar] = &self.inputs;
        let (hidden, grad_pre) = match fused_on {
            Some(path) => {
                let options = KernelOptions { path, tf32: false };
                let states = forward(pre, u, &self.lengths, options)?;
                let grad_pre = backward(&states, u, h_bar, &self.lengths, options)?;
                (hidden(&states)?, grad_pre)
            }
            None => {
                let (steps, hidden) = reference::forward(pre, u)?;
                (hidden, reference::backward(&steps, u, h_bar)?)
            }
        };
        let [on_hidden, on_grad] = &self.weights;
        let first = (hidden * on_hidden)?.sum_all()?;
        let second = (grad_pre.sqr()? * on_grad)?.sum_all()?;
        let loss = (first + second)?;
        let grads = loss.backward()?;
        let mask = self.lengths.mask(loss.dtype(), &Device::Cpu)?;
        let of = |var: &Var| grads.get(var).expect("the loss depends on it").clone();
        let gradients = [of(pre).broadcast_mul(&mask)?, of(u), of(h_bar).broadcast_mul(&mask)?];
        Ok(Outcome { loss, gradients })
    }
}

fn off_by(ours: &Tensor, exact: &Tensor) -> anyhow::Result<f64> {
    let wide = |x: &Tensor| x.to_dtype(DType::F64)?.flatten_all();
    let scale = wide(exact)?.abs()?.max(0)?.to_scalar::<f64>()?.max(1e-3);
    Ok((wide(ours)? - wide(exact)?)?.abs()?.max(0)?.to_scalar::<f64>()? / scale)
}

fn agrees(case: &Case, tolerance: f64) -> anyhow::Result<()> {
    let exact = case.outcome(None)?;
    for path in SimdPath::available() {
        let ours = case.outcome(Some(path))?;
        let worst = ours
            .gradients
            .iter()
            .zip(&exact.gradients)
            .map(|(ours, exact)| off_by(ours, exact))
            .chain([off_by(&ours.loss, &exact.loss)])
            .collect::<anyhow::Result<Vec<f64>>>()?
            .into_iter()
            .fold(0., f64::max);
        anyhow::ensure!(worst < tolerance, "{path:?} is off by {worst:e}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn both_orders_equal_the_reference_for_any_shape_on_every_path(
        directions in 1usize..3,
        lengths in prop::collection::vec(1usize..7, 1..20),
        hidden in 1usize..40,
    ) {
        let case = Case::new(directions, &lengths, hidden, DType::F64).expect("a case");
        agrees(&case, 1e-11).expect("f64");
        let case = Case::new(directions, &lengths, hidden, DType::F32).expect("a case");
        agrees(&case, 1e-4).expect("f32");
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bytes_on_every_path() -> anyhow::Result<()> {
    let lengths: Vec<usize> = (0..50).map(|n| 1 + n % 9).collect();
    let case = Case::new(2, &lengths, 24, DType::F32)?;
    let bytes = |path, threads| -> anyhow::Result<Vec<Vec<u32>>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        let outcome = pool.install(|| case.outcome(Some(path)))?;
        let bits = |x: &Tensor| -> anyhow::Result<Vec<u32>> {
            Ok(x.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f32::to_bits).collect())
        };
        outcome.gradients.iter().map(bits).collect()
    };
    let widest = bytes(SimdPath::widest(), 1)?;
    for path in SimdPath::available() {
        let one = bytes(path, 1)?;
        assert!(!path.same_bits_as(SimdPath::widest()) || one == widest, "{path:?}");
        for threads in 2..=4 {
            assert!(bytes(path, threads)? == one, "{threads} threads, {path:?}");
        }
    }
    Ok(())
}

#[test]
fn a_single_step_gives_recurrent_weights_a_gradient_of_0_in_their_shape() -> anyhow::Result<()> {
    let case = Case::new(2, &[1, 1, 1], 5, DType::F64)?;
    let outcome = case.outcome(Some(SimdPath::Portable))?;
    let [on_pre, on_u, _] = &outcome.gradients;
    assert_eq!(on_u.dims(), [2, 20, 5]);
    assert_eq!(on_u.abs()?.max_all()?.to_scalar::<f64>()?, 0.);
    assert!(on_pre.abs()?.max_all()?.to_scalar::<f64>()? > 0.);
    agrees(&case, 1e-11)
}

#[test]
fn other_types_than_f32_and_f64_are_left_to_the_reference() -> anyhow::Result<()> {
    let zeros = |dtype| Tensor::zeros((2, 3), dtype, &Device::Cpu);
    for (dtype, served) in
        [(DType::F32, true), (DType::F64, true), (DType::BF16, false), (DType::U32, false)]
    {
        assert_eq!(serves(&zeros(dtype)?, 3)?, served, "{dtype:?}");
    }
    Ok(())
}

#[test]
fn states_and_gradients_beyond_each_length_are_0_whatever_was_there() -> anyhow::Result<()> {
    let case = Case::new(2, &[4, 1, 3], 5, DType::F64)?;
    let [pre, u, _] = &case.inputs;
    let options = KernelOptions { path: SimdPath::Portable, tf32: false };
    let states = forward(pre, u, &case.lengths, options)?;
    let gradients = backward(&states, u, &hidden(&states)?, &case.lengths, options)?;
    let beyond = (case.lengths.mask(DType::F64, &Device::Cpu)?.neg()? + 1.)?;
    for x in [states, gradients] {
        let there = x.broadcast_mul(&beyond)?.abs()?.max_all()?.to_scalar::<f64>()?;
        assert_eq!(there, 0.);
        assert!(x.abs()?.max_all()?.to_scalar::<f64>()? > 0.01);
    }
    Ok(())
}
