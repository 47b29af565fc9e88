//! The kernels of `kernels/` on NVIDIA GPUs, launched through candle's device and stream.
//!
//! Nothing here waits for the GPU. Lengths go up with every launch: 4 bytes a row.

use super::plan::{Gpu, Number, Plan, Time};
use super::{LstmProblem, contiguous_range};
use crate::kernel::{GRADIENT_PARTS, STATE_PARTS};
use candle_core::cuda_backend::cudarc::driver::sys::{CUdevice_attribute, CUfunction_attribute};
use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, CudaView, DeviceRepr, LaunchConfig, PushKernelArg, ValidAsZeroBits,
};
use candle_core::cuda_backend::{CudaDType, CudaDevice, WrapErr};
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, DType, Layout, Result, Shape, Storage, Tensor, WithDType,
    bail,
};

const MODULE_80: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels_80.ptx"));
const MODULE_90: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels_90.ptx"));
/// Threads of a block that packs weights.
const PACKERS: u32 = 256;

/// A float type that the kernels compute with.
trait Float: CudaDType + WithDType + DeviceRepr + ValidAsZeroBits {}

impl Float for f32 {}

impl Float for f64 {}

/// As kernels are named.
fn name_of(number: Number) -> &'static str {
    match number {
        Number::Single => "f32",
        Number::Tf32 => "tf32",
        Number::Double => "f64",
    }
}

/// A contiguous tensor on the device.
type Input<'a> = (&'a CudaStorage, &'a Layout);

fn view<S: Float>((storage, layout): Input<'_>) -> Result<CudaView<'_, S>> {
    Ok(storage.as_cuda_slice::<S>()?.slice(contiguous_range(layout)?))
}

/// What the device offers, and the kernels for it: a module's name and PTX.
fn kernels_for(device: &CudaDevice) -> Result<(Gpu, &'static str, &'static str)> {
    let context = device.cuda_stream().context().clone();
    let (major, _) = context.compute_capability().w()?;
    let memory = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN;
    let block_memory = usize::try_from(context.attribute(memory).w()?).unwrap_or(0);
    Ok(match major {
        ..8 => bail!("the kernels take a GPU of compute capability 8.0 or above, not {major}.x"),
        8 => (Gpu { has_clusters: false, block_memory }, "hg-lstm-80", MODULE_80),
        _ => (Gpu { has_clusters: true, block_memory }, "hg-lstm-90", MODULE_90),
    })
}

/// Whether what a layer carries from step to step fits on chip, both ways in time. One that does
/// not goes by the reference: a product and some pointwise kernels a step.
pub(super) fn serves(device: &CudaDevice, dtype: DType, hidden: usize) -> Result<bool> {
    let (gpu, ..) = kernels_for(device)?;
    let number = if dtype == DType::F64 { Number::Double } else { Number::Single };
    let fits = |time| Plan::new(hidden, number, time, gpu).is_some();
    Ok(fits(Time::Forwards) && fits(Time::Backwards))
}

fn int(n: usize) -> Result<i32> {
    i32::try_from(n).map_err(candle_core::Error::wrap)
}

fn unsigned(n: usize) -> Result<u32> {
    u32::try_from(n).map_err(candle_core::Error::wrap)
}

/// The recurrent weights `[K, C, 4·H·W]` in the layout of the products (`kernels/pack.cu`).
fn pack_weights<S: Float>(
    device: &CudaDevice,
    problem: &LstmProblem,
    plan: Plan,
    time: Time,
    u: &CudaView<'_, S>,
) -> Result<CudaSlice<S>> {
    let (_, module, ptx) = kernels_for(device)?;
    let hidden = problem.hidden;
    let width = hidden.div_ceil(plan.blocks);
    let count = problem.directions * plan.blocks * 4 * hidden * width;
    let packed = device.alloc_zeros::<S>(count)?;
    let way = if time == Time::Forwards { "forwards" } else { "backwards" };
    let float = if S::DTYPE == DType::F64 { "f64" } else { "f32" };
    let name = format!("pack_{way}_{float}");
    let pack = device.get_or_load_custom_func(&name, module, ptx)?;
    let (hidden_i, blocks_i) = (int(hidden)?, int(plan.blocks)?);
    let mut arguments = pack.builder();
    arguments.arg(u).arg(&hidden_i).arg(&blocks_i).arg(&packed);
    let config = LaunchConfig {
        grid_dim: (unsigned(plan.blocks)?, unsigned(problem.directions)?, 1),
        block_dim: (PACKERS, 1, 1),
        shared_mem_bytes: 0,
    };
    // SAFETY: the arguments are the kernel's, and it writes `count` numbers.
    unsafe { arguments.launch(config) }.w()?;
    Ok(packed)
}

/// One pass over all steps.
#[derive(Clone, Copy)]
struct Call<'a> {
    problem: &'a LstmProblem,
    /// As the kernel is named.
    operation: &'a str,
    time: Time,
    u: Input<'a>,
    /// What the kernel takes after the parameters that all kernels share.
    inputs: &'a [Input<'a>],
    /// Numbers of each result, all 0 at first; they follow each other in one slice.
    results: &'a [usize],
}

/// Runs a pass.
fn launch<S: Float>(call: Call<'_>, number: Number) -> Result<CudaStorage> {
    let Call { problem, operation, time, u, inputs, results } = call;
    let device = u.0.device.clone();
    let (gpu, module, ptx) = kernels_for(&device)?;
    let (hidden, batch) = (problem.hidden, problem.lengths.batch());
    let Some(plan) = Plan::new(hidden, number, time, gpu) else {
        bail!("{hidden} hidden units are too many for the fused kernels on this GPU")
    };
    let lengths: Vec<i32> =
        problem.lengths.rows().iter().map(|&length| int(length)).collect::<Result<_>>()?;
    let lengths: CudaSlice<i32> = device.clone_htod(&lengths)?;
    let u = view::<S>(u)?;
    let packed = match plan.keeps_weights {
        true => None,
        false => Some(pack_weights(&device, problem, plan, time, &u)?),
    };

    // The kernel, its results and its arguments.
    let name = format!("{operation}_{}_{}", name_of(plan.number), plan.blocks);
    let function = device.get_or_load_custom_func(&name, module, ptx)?;
    let memory = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    function.set_attribute(memory, int(plan.memory)?).w()?;
    let out = device.alloc_zeros::<S>(results.iter().sum())?;
    let views: Vec<CudaView<'_, S>> =
        inputs.iter().map(|&input| view(input)).collect::<Result<_>>()?;
    let mut start = 0;
    let parts: Vec<CudaView<'_, S>> = results
        .iter()
        .map(|&count| {
            start += count;
            out.slice(start - count..start)
        })
        .collect();
    let (batch_i, steps_i) = (int(batch)?, int(problem.lengths.steps())?);
    let (hidden_i, rows_i) = (int(hidden)?, int(plan.rows)?);
    let nowhere = 0u64;
    let mut arguments = function.builder();
    arguments.arg(&u);
    match &packed {
        Some(packed) => arguments.arg(packed),
        None => arguments.arg(&nowhere),
    };
    arguments.arg(&lengths).arg(&batch_i).arg(&steps_i).arg(&hidden_i).arg(&rows_i);
    for view in views.iter().chain(&parts) {
        arguments.arg(view);
    }

    let directions = unsigned(problem.directions)?;
    let config = LaunchConfig {
        grid_dim: (unsigned(plan.blocks)?, unsigned(batch.div_ceil(plan.rows))?, directions),
        block_dim: (unsigned(plan.threads)?, 1, 1),
        shared_mem_bytes: unsigned(plan.memory)?,
    };
    // SAFETY: the arguments are the kernel's in number, order and type; shapes were compared by
    // `LstmProblem`, and `out`, which nobody else has, holds all that it writes.
    unsafe { arguments.launch(config) }.w()?;
    drop((views, parts));
    Ok(CudaStorage::wrap_cuda_slice(out, device))
}

/// Runs a pass in the float type of `u`.
fn run(call: Call<'_>) -> Result<CudaStorage> {
    match candle_core::backend::BackendStorage::dtype(call.u.0) {
        DType::F32 if call.problem.options.tf32 => launch::<f32>(call, Number::Tf32),
        DType::F32 => launch::<f32>(call, Number::Single),
        DType::F64 => launch::<f64>(call, Number::Double),
        other => bail!("the fused LSTM takes f32 or f64, not {other:?}"),
    }
}

/// The forward pass: states `[K, batch, steps, 7H]`.
pub(super) fn forward(
    problem: &LstmProblem,
    pre: Input<'_>,
    u: Input<'_>,
) -> Result<(CudaStorage, Shape)> {
    let shape = problem.shape(STATE_PARTS);
    let (inputs, results) = ([pre], [shape.elem_count()]);
    let (operation, time) = ("forward", Time::Forwards);
    let states = run(Call { problem, operation, time, u, inputs: &inputs, results: &results })?;
    Ok((states, shape))
}

/// The backward pass: δp, δc and δh `[K, batch, steps, 6H]`.
pub(super) fn backward(
    problem: &LstmProblem,
    states: Input<'_>,
    u: Input<'_>,
    grad_hidden: Input<'_>,
) -> Result<(CudaStorage, Shape)> {
    let shape = problem.shape(GRADIENT_PARTS);
    let (inputs, results) = ([states, grad_hidden], [shape.elem_count()]);
    let (operation, time) = ("backward", Time::Backwards);
    let gradients = run(Call { problem, operation, time, u, inputs: &inputs, results: &results })?;
    Ok((gradients, shape))
}

/// The gradient of `pre` `[K, batch, steps, 4H]` from one of all states.
pub(super) fn state_backward(
    problem: &LstmProblem,
    states: &Tensor,
    u: &Tensor,
    local: &Tensor,
) -> Result<Tensor> {
    let operation = Pass {
        problem: problem.clone(),
        operation: "state_backward",
        time: Time::Backwards,
        others: vec![states.contiguous()?, local.contiguous()?],
        results: vec![problem.shape(4).elem_count()],
    };
    u.contiguous()?.detach().apply_op1_no_bwd(&operation)?.reshape(problem.shape(4))
}

/// The gradients of the states and of h̄ from one of the backward pass's result.
pub(super) fn double_backward(
    problem: &LstmProblem,
    states: &Tensor,
    u: &Tensor,
    gradients: &Tensor,
    grad_gradients: &Tensor,
) -> Result<[Tensor; 2]> {
    let shapes = [problem.shape(STATE_PARTS), problem.shape(1)];
    let counts = shapes.each_ref().map(Shape::elem_count);
    let operation = Pass {
        problem: problem.clone(),
        operation: "double_backward",
        time: Time::Forwards,
        others: vec![states.contiguous()?, gradients.contiguous()?, grad_gradients.contiguous()?],
        results: counts.to_vec(),
    };
    let both = u.contiguous()?.detach().apply_op1_no_bwd(&operation)?;
    let [local, hidden_dot] = shapes;
    Ok([
        both.narrow(0, 0, counts[0])?.reshape(local)?,
        both.narrow(0, counts[0], counts[1])?.reshape(hidden_dot)?,
    ])
}

/// A pass that autograd does not go through, as an operation on `u`; candle gives storage to
/// nothing else.
struct Pass {
    problem: LstmProblem,
    operation: &'static str,
    time: Time,
    others: Vec<Tensor>,
    results: Vec<usize>,
}

impl CustomOp1 for Pass {
    fn name(&self) -> &'static str {
        self.operation
    }

    fn cpu_fwd(&self, _u: &CpuStorage, _layout: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("{} is a pass of the GPU", self.operation)
    }

    fn cuda_fwd(&self, u: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let held: Vec<_> = self.others.iter().map(Tensor::storage_and_layout).collect();
        let inputs: Vec<Input<'_>> = held
            .iter()
            .map(|(storage, layout)| match &**storage {
                Storage::Cuda(storage) => Ok((storage, *layout)),
                _ => bail!("{} takes tensors of one device", self.operation),
            })
            .collect::<Result<_>>()?;
        let Self { problem, operation, time, results, .. } = self;
        let (u, time, inputs) = ((u, layout), *time, inputs.as_slice());
        let out = run(Call { problem, operation, time, u, inputs, results })?;
        Ok((out, Shape::from(results.iter().sum::<usize>())))
    }
}
