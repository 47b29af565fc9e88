//! The kernels as candle operations, so that autograd goes through them: [`forward`] and
//! [`backward`], whose own derivative is the double backward pass. On the CPU they are those of
//! [`crate::kernel`], on NVIDIA GPUs those of `kernels/`.
//!
//! Both work on `[directions, batch, steps, parts · hidden]`, where every direction reads its own
//! time forward. Directions and slices of the batch go to threads; each slice runs all of its
//! steps alone.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(any(feature = "cuda", test))]
mod plan;
#[cfg(test)]
mod tests;

use crate::Lengths;
use crate::kernel::{
    self, Buffer, GRADIENT_PARTS, OutputGradient, Real, RecurrentWeights, STATE_PARTS, SimdPath,
    StepSchedule,
};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CustomOp2, CustomOp3, D, DType, Device, Layout, Result, Shape, Tensor, bail,
};
use rayon::prelude::*;
use std::ops::Range;

/// Rows of the batch in a slice. Results do not depend on it.
const SLICE: usize = 16;

/// Whether the kernels serve tensors of this kind, in layers of so many hidden units.
pub(crate) fn serves(x: &Tensor, hidden: usize) -> Result<bool> {
    let is_float = matches!(x.dtype(), DType::F32 | DType::F64);
    Ok(is_float && (x.device().is_cpu() || gpu_serves(x.device(), x.dtype(), hidden)?))
}

#[cfg(feature = "cuda")]
fn gpu_serves(device: &Device, dtype: DType, hidden: usize) -> Result<bool> {
    match device {
        Device::Cuda(device) => cuda::serves(device, dtype, hidden),
        _ => Ok(false),
    }
}

#[cfg(not(feature = "cuda"))]
fn gpu_serves(_device: &Device, _dtype: DType, _hidden: usize) -> Result<bool> {
    Ok(false)
}

/// The forward pass: `pre` `[K, batch, steps, 4H]`, `u` `[K, 4H, H]` → states
/// `[K, batch, steps, 7H]`: f, i, a, o, c, tanh c, h; zero beyond each length.
pub(crate) fn forward(
    pre: &Tensor,
    u: &Tensor,
    lengths: &Lengths,
    options: KernelOptions,
) -> Result<Tensor> {
    let op = Forward(LstmProblem::new(u, lengths, options)?);
    pre.contiguous()?.apply_op2(&u.contiguous()?, op)
}

/// The hidden states `[K, batch, steps, H]` in the result of [`forward`].
pub(crate) fn hidden(states: &Tensor) -> Result<Tensor> {
    let width = states.dim(D::Minus1)? / STATE_PARTS;
    states.narrow(D::Minus1, (STATE_PARTS - 1) * width, width)
}

/// The backward pass: the gradient of `Σ grad_hidden ⊙ h` with respect to `pre`
/// `[K, batch, steps, 4H]`, zero beyond each length.
pub(crate) fn backward(
    states: &Tensor,
    u: &Tensor,
    grad_hidden: &Tensor,
    lengths: &Lengths,
    options: KernelOptions,
) -> Result<Tensor> {
    let problem = LstmProblem::new(u, lengths, options)?;
    let hidden = problem.hidden;
    let grad_hidden = grad_hidden.contiguous()?;
    let all = states.contiguous()?.apply_op3(&u.contiguous()?, &grad_hidden, Backward(problem))?;
    // Only the double backward pass needs δc and δh; callers see δp alone.
    all.narrow(D::Minus1, 0, 4 * hidden)
}

/// How the kernels compute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KernelOptions {
    /// The processor's instructions.
    pub(crate) path: SimdPath,
    /// Whether NVIDIA GPUs take the recurrent products of f32 in TF32.
    #[cfg_attr(
        not(feature = "cuda"),
        expect(dead_code, reason = "a setting of the GPU's kernels")
    )]
    pub(crate) tf32: bool,
}

/// What is computed: recurrences of `directions` over a batch.
#[derive(Clone)]
struct LstmProblem {
    lengths: Lengths,
    directions: usize,
    hidden: usize,
    options: KernelOptions,
}

struct Forward(LstmProblem);
struct Backward(LstmProblem);

impl LstmProblem {
    fn new(u: &Tensor, lengths: &Lengths, options: KernelOptions) -> Result<Self> {
        let (directions, _, hidden) = u.dims3()?;
        Ok(Self { lengths: lengths.clone(), directions, hidden, options })
    }

    fn shape(&self, parts: usize) -> Shape {
        let (batch, steps) = (self.lengths.batch(), self.lengths.steps());
        (self.directions, batch, steps, parts * self.hidden).into()
    }

    /// Runs `compute` for every slice of every direction and joins what each
    /// returns: buffers whose rows have these parts.
    fn by_slices<S: Real, const N: usize>(
        &self,
        parts: [usize; N],
        compute: impl Fn(&BatchSlice) -> [Buffer<S>; N] + Sync,
    ) -> [Vec<S>; N] {
        let batch = self.lengths.batch();
        let slices: Vec<BatchSlice> = (0..self.directions)
            .flat_map(|direction| (0..batch).step_by(SLICE).map(move |start| (direction, start)))
            .map(|(direction, start)| {
                let rows = start..(start + SLICE).min(batch);
                let steps = self.lengths.steps();
                let lengths = &self.lengths.rows()[rows.clone()];
                let schedule = StepSchedule::new(lengths, |row, step| row * steps + step);
                BatchSlice { direction, rows, schedule }
            })
            .collect();
        let computed: Vec<[Vec<S>; N]> = slices
            .par_iter()
            .map(|slice| {
                let buffers = compute(slice);
                let mut n = 0;
                buffers.map(|buffer| {
                    n += 1;
                    self.unpadded(&buffer, parts[n - 1])
                })
            })
            .collect();
        std::array::from_fn(|n| {
            let mut all = Vec::with_capacity(computed.iter().map(|part| part[n].len()).sum());
            computed.iter().for_each(|part| all.extend_from_slice(&part[n]));
            all
        })
    }

    /// A slice's rows of a contiguous `[K, batch, steps, parts · H]`, at its
    /// sequences' own steps, within rows of `room` padded parts.
    fn padded<S: Real>(
        &self,
        from: &[S],
        parts: usize,
        room: usize,
        slice: &BatchSlice,
    ) -> Buffer<S> {
        let (hidden, wide) = (self.hidden, kernel::padded(self.hidden));
        let steps = self.lengths.steps();
        let mut buffer = Buffer::new(slice.rows.len() * steps, room * wide);
        let first = (slice.direction * self.lengths.batch() + slice.rows.start) * steps;
        for (n, &length) in self.lengths.rows()[slice.rows.clone()].iter().enumerate() {
            for row in n * steps..n * steps + length {
                let from = &from[(first + row) * parts * hidden..][..parts * hidden];
                let to = buffer.row_mut(row).chunks_exact_mut(wide);
                for (part, to) in from.chunks_exact(hidden).zip(to) {
                    to[..hidden].copy_from_slice(part);
                }
            }
        }
        buffer
    }

    fn unpadded<S: Real>(&self, buffer: &Buffer<S>, parts: usize) -> Vec<S> {
        let (hidden, wide) = (self.hidden, kernel::padded(self.hidden));
        let mut all = Vec::with_capacity(buffer.rows() * parts * hidden);
        for row in 0..buffer.rows() {
            for part in buffer.row(row).chunks_exact(wide).take(parts) {
                all.extend_from_slice(&part[..hidden]);
            }
        }
        all
    }

    /// The recurrent weights of every direction.
    fn weights<S: Real>(&self, u: &[S]) -> Vec<RecurrentWeights<S>> {
        let (hidden, wide) = (self.hidden, kernel::padded(self.hidden));
        u.chunks_exact(4 * hidden * hidden)
            .map(|u| {
                let mut padded = Buffer::new(4 * wide, wide);
                for (n, row) in u.chunks_exact(hidden).enumerate() {
                    let to = padded.row_mut(n / hidden * wide + n % hidden);
                    to[..hidden].copy_from_slice(row);
                }
                let mut weights = RecurrentWeights::new(wide, self.options.path);
                weights.pack(padded.view());
                weights
            })
            .collect()
    }

    fn forward<S: Real>(&self, pre: &[S], u: &[S]) -> Vec<S> {
        let weights = self.weights(u);
        let [states] = self.by_slices([STATE_PARTS], |slice| {
            let mut states = self.padded(pre, 4, STATE_PARTS, slice);
            kernel::forward(&weights[slice.direction], &slice.schedule, states.view_mut());
            [states]
        });
        states
    }

    /// The gradient of `pre` from one of all states.
    fn state_backward<S: Real>(&self, states: &[S], u: &[S], grad_states: &[S]) -> Vec<S> {
        let weights = self.weights(u);
        let [grad_pre] = self.by_slices([4], |slice| {
            let states = self.padded(states, STATE_PARTS, STATE_PARTS, slice);
            let local = self.padded(grad_states, STATE_PARTS, STATE_PARTS, slice);
            let mut out = self.empty(slice, 4);
            kernel::backward_with_local_gradients(
                &weights[slice.direction],
                &slice.schedule,
                states.view(),
                local.view(),
                out.view_mut(),
            );
            [out]
        });
        grad_pre
    }

    fn backward<S: Real>(&self, states: &[S], u: &[S], grad_hidden: &[S]) -> Vec<S> {
        let weights = self.weights(u);
        let [gradients] = self.by_slices([GRADIENT_PARTS], |slice| {
            let states = self.padded(states, STATE_PARTS, STATE_PARTS, slice);
            let arriving = self.padded(grad_hidden, 1, 1, slice);
            let mut out = self.empty(slice, GRADIENT_PARTS);
            kernel::backward(
                &weights[slice.direction],
                &slice.schedule,
                states.view(),
                OutputGradient::Every(arriving.view()),
                out.view_mut(),
            );
            [out]
        });
        gradients
    }

    /// The gradients of the states and of h̄ from one of the backward pass's result.
    fn double_backward<S: Real>(
        &self,
        states: &[S],
        u: &[S],
        gradients: &[S],
        grad_gradients: &[S],
    ) -> [Vec<S>; 2] {
        let weights = self.weights(u);
        let wide = kernel::padded(self.hidden);
        self.by_slices([STATE_PARTS, 1], |slice| {
            let states = self.padded(states, STATE_PARTS, STATE_PARTS, slice);
            let gradients = self.padded(gradients, GRADIENT_PARTS, GRADIENT_PARTS, slice);
            let mut tangents = self.padded(grad_gradients, GRADIENT_PARTS, GRADIENT_PARTS, slice);
            let weights = &weights[slice.direction];
            kernel::jvp(weights, &slice.schedule, states.view(), tangents.view_mut());
            let mut local = self.empty(slice, STATE_PARTS);
            kernel::local_gradients(
                self.options.path,
                wide,
                &slice.schedule,
                states.view(),
                gradients.view(),
                tangents.view(),
                local.view_mut(),
            );
            let mut hidden_dot = self.empty(slice, 1);
            for row in 0..tangents.rows() {
                let from = &tangents.row(row)[(GRADIENT_PARTS - 1) * wide..];
                hidden_dot.row_mut(row).copy_from_slice(from);
            }
            [local, hidden_dot]
        })
    }

    fn empty<S: Real>(&self, slice: &BatchSlice, parts: usize) -> Buffer<S> {
        let rows = slice.rows.len() * self.lengths.steps();
        Buffer::new(rows, parts * kernel::padded(self.hidden))
    }

    /// `Σ_t later_tᵀ earlier_{t−1}` `[K, 4H, H]`: the gradient of `U`, from what each step's
    /// product with the hidden values of the step before contributes.
    fn recurrent_gradient(&self, later: &Tensor, earlier: &Tensor) -> Result<Tensor> {
        let (directions, hidden) = (self.directions, self.hidden);
        let (rows, steps) = (self.lengths.batch(), self.lengths.steps());
        let shape = (directions, 4 * hidden, hidden);
        if steps == 1 {
            return Tensor::zeros(shape, later.dtype(), later.device());
        }
        let flat = |x: &Tensor, start| {
            let width = x.dim(D::Minus1)?;
            x.narrow(2, start, steps - 1)?.reshape((directions, rows * (steps - 1), width))
        };
        flat(later, 1)?.transpose(1, 2)?.matmul(&flat(earlier, 0)?)
    }
}

/// Rows of the batch in one direction.
struct BatchSlice {
    direction: usize,
    rows: Range<usize>,
    schedule: StepSchedule,
}

fn contiguous<'a, S: Real>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [S]> {
    Ok(&storage.as_slice::<S>()?[contiguous_range(layout)?])
}

fn contiguous_range(layout: &Layout) -> Result<Range<usize>> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(start..end),
        None => bail!("the fused LSTM takes contiguous tensors"),
    }
}

fn values<S: Real>(x: &Tensor) -> Result<Vec<S>> {
    x.flatten_all()?.to_vec1()
}

/// Calls a method that is generic over the float type.
macro_rules! by_type {
    ($dtype:expr, $this:ident.$method:ident($($argument:expr),*)) => {
        match $dtype {
            DType::F32 => $this.$method::<f32>($($argument),*),
            DType::F64 => $this.$method::<f64>($($argument),*),
            other => bail!("the fused LSTM takes f32 or f64, not {other:?}"),
        }
    };
}

impl Forward {
    fn compute<S: Real>(
        &self,
        pre: (&CpuStorage, &Layout),
        u: (&CpuStorage, &Layout),
    ) -> Result<CpuStorage> {
        let (pre, u) = (contiguous(pre.0, pre.1)?, contiguous(u.0, u.1)?);
        Ok(S::to_cpu_storage_owned(self.0.forward::<S>(pre, u)))
    }

    fn backward<S: Real>(&self, states: &Tensor, u: &Tensor, grad: &Tensor) -> Result<Tensor> {
        let (states, u, grad) = (values::<S>(states)?, values(u)?, values(grad)?);
        let grad_pre = self.0.state_backward(&states, &u, &grad);
        Tensor::from_vec(grad_pre, self.0.shape(4), &Device::Cpu)
    }
}

impl CustomOp2 for Forward {
    fn name(&self) -> &'static str {
        "lstm-forward"
    }

    fn cpu_fwd(
        &self,
        pre: &CpuStorage,
        pre_layout: &Layout,
        u: &CpuStorage,
        u_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let states = by_type!(pre.dtype(), self.compute((pre, pre_layout), (u, u_layout)))?;
        Ok((states, self.0.shape(STATE_PARTS)))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        pre: &CudaStorage,
        pre_layout: &Layout,
        u: &CudaStorage,
        u_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        cuda::forward(&self.0, (pre, pre_layout), (u, u_layout))
    }

    fn bwd(
        &self,
        _pre: &Tensor,
        u: &Tensor,
        states: &Tensor,
        grad_states: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad_pre = match states.device() {
            #[cfg(feature = "cuda")]
            Device::Cuda(_) => cuda::state_backward(&self.0, states, u, grad_states)?,
            _ => by_type!(states.dtype(), self.backward(states, u, grad_states))?,
        };
        let grad_u = self.0.recurrent_gradient(&grad_pre, &hidden(&states.detach())?)?;
        Ok((Some(grad_pre), Some(grad_u)))
    }
}

impl Backward {
    fn compute<S: Real>(
        &self,
        states: (&CpuStorage, &Layout),
        u: (&CpuStorage, &Layout),
        grad_hidden: (&CpuStorage, &Layout),
    ) -> Result<CpuStorage> {
        let (states, u) = (contiguous(states.0, states.1)?, contiguous(u.0, u.1)?);
        let grad_hidden = contiguous(grad_hidden.0, grad_hidden.1)?;
        Ok(S::to_cpu_storage_owned(self.0.backward::<S>(states, u, grad_hidden)))
    }

    fn backward<S: Real>(
        &self,
        states: &Tensor,
        u: &Tensor,
        gradients: &Tensor,
        grad: &Tensor,
    ) -> Result<[Tensor; 2]> {
        let (states, u) = (values::<S>(states)?, values(u)?);
        let (gradients, grad) = (values(gradients)?, values(grad)?);
        let [local, hidden_dot] = self.0.double_backward(&states, &u, &gradients, &grad);
        Ok([
            Tensor::from_vec(local, self.0.shape(STATE_PARTS), &Device::Cpu)?,
            Tensor::from_vec(hidden_dot, self.0.shape(1), &Device::Cpu)?,
        ])
    }
}

impl CustomOp3 for Backward {
    fn name(&self) -> &'static str {
        "lstm-backward"
    }

    fn cpu_fwd(
        &self,
        states: &CpuStorage,
        states_layout: &Layout,
        u: &CpuStorage,
        u_layout: &Layout,
        grad_hidden: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (states, u) = ((states, states_layout), (u, u_layout));
        let dtype = states.0.dtype();
        let gradients = by_type!(dtype, self.compute(states, u, (grad_hidden, grad_layout)))?;
        Ok((gradients, self.0.shape(GRADIENT_PARTS)))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        states: &CudaStorage,
        states_layout: &Layout,
        u: &CudaStorage,
        u_layout: &Layout,
        grad_hidden: &CudaStorage,
        grad_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (states, u) = ((states, states_layout), (u, u_layout));
        cuda::backward(&self.0, states, u, (grad_hidden, grad_layout))
    }

    fn bwd(
        &self,
        states: &Tensor,
        u: &Tensor,
        _grad_hidden: &Tensor,
        gradients: &Tensor,
        grad_gradients: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [local, hidden_dot] = match states.device() {
            #[cfg(feature = "cuda")]
            Device::Cuda(_) => {
                cuda::double_backward(&self.0, states, u, gradients, grad_gradients)?
            }
            _ => by_type!(states.dtype(), self.backward(states, u, gradients, grad_gradients))?,
        };
        let grad_pre = gradients.detach().narrow(D::Minus1, 0, 4 * self.0.hidden)?;
        let grad_u = self.0.recurrent_gradient(&grad_pre, &hidden_dot)?;
        Ok((Some(local), Some(grad_u), Some(hidden_dot)))
    }
}
