//! The recurrence over time and its backward pass: by the fused kernels, or in plain tracked candle
//! operations.

use crate::custom_op::KernelOptions;
use crate::kernel::SimdPath;
use crate::reference::{self, Steps};
use crate::{Lengths, custom_op};
use candle_core::{D, Result, Tensor};

/// How the recurrence is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recurrence {
    /// The fused kernels for f32 and f64 on the CPU and (with the feature `cuda`) on NVIDIA
    /// GPUs, the reference elsewhere.
    #[default]
    Fused,
    /// As [`Recurrence::Fused`], but in f32 on NVIDIA GPUs tensor cores take the recurrent products
    /// in TF32 (10 bits of mantissa, sums in f32) where the sizes allow.
    FusedTf32,
    /// Plain candle operations, step by step: the oracle for tests.
    Reference,
}

/// Everything that the forward pass computed.
#[derive(Clone, Debug)]
pub(crate) struct States {
    values: Values,
    lengths: Lengths,
    /// `h`, `[K, batch, steps, hidden]`; what lies beyond a length has no meaning.
    pub(crate) hidden: Tensor,
}

#[derive(Clone, Debug)]
enum Values {
    Fused(Tensor, KernelOptions),
    Reference(Steps),
}

impl Recurrence {
    /// The forward pass over `pre` `[K, batch, steps, 4·hidden]` with the recurrent weights `u`
    /// `[K, 4·hidden, hidden]`.
    pub(crate) fn forward(self, pre: &Tensor, u: &Tensor, lengths: &Lengths) -> Result<States> {
        let lengths = lengths.clone();
        if self != Self::Reference && custom_op::serves(pre, u.dim(D::Minus1)?)? {
            let options = KernelOptions { path: SimdPath::widest(), tf32: self == Self::FusedTf32 };
            let states = custom_op::forward(pre, u, &lengths, options)?;
            let hidden = custom_op::hidden(&states)?;
            return Ok(States { values: Values::Fused(states, options), lengths, hidden });
        }
        let (steps, hidden) = reference::forward(pre, u)?;
        Ok(States { values: Values::Reference(steps), lengths, hidden })
    }
}

/// The backward pass: the gradient of `Σ grad_hidden ⊙ h` with respect to `pre`
/// `[K, batch, steps, 4·hidden]`, for `grad_hidden` `[K, batch, steps, hidden]` that is 0 beyond
/// each length.
pub(crate) fn backward(states: &States, u: &Tensor, grad_hidden: &Tensor) -> Result<Tensor> {
    match &states.values {
        Values::Fused(values, options) => {
            custom_op::backward(values, u, grad_hidden, &states.lengths, *options)
        }
        Values::Reference(steps) => reference::backward(steps, u, grad_hidden),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn the_reference_runs_where_it_is_asked_for_and_where_no_kernel_serves() -> anyhow::Result<()> {
        let lengths = Lengths::full(2, 3)?;
        let is_fused = |recurrence: Recurrence, dtype: DType| -> anyhow::Result<bool> {
            let pre = Tensor::zeros((1, 2, 3, 8), dtype, &Device::Cpu)?;
            let u = Tensor::zeros((1, 8, 2), dtype, &Device::Cpu)?;
            let states = recurrence.forward(&pre, &u, &lengths)?;
            Ok(matches!(states.values, Values::Fused(..)))
        };
        assert!(is_fused(Recurrence::Fused, DType::F32)?);
        assert!(is_fused(Recurrence::FusedTf32, DType::F64)?);
        assert!(!is_fused(Recurrence::Reference, DType::F32)?);
        assert!(!is_fused(Recurrence::Fused, DType::F16)?);
        Ok(())
    }
}
