//! The recurrence over time and its adjoint: fused, or in plain tracked
//! candle operations.

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
    /// The same, but for f32 on NVIDIA GPUs: their tensor cores take the recurrent products in
    /// TF32 (10 bits of mantissa, sums in f32) where the sizes allow.
    FusedTf32,
    /// Plain candle operations, step by step: the oracle.
    Reference,
}

/// Everything that F computed.
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
    /// F: `pre` `[K, batch, steps, 4·hidden]`, `u` `[K, 4·hidden, hidden]`.
    pub(crate) fn forward(self, pre: &Tensor, u: &Tensor, lengths: &Lengths) -> Result<States> {
        let lengths = lengths.clone();
        if self != Self::Reference && custom_op::serves(pre, u.dim(D::Minus1)?)? {
            let means = KernelOptions { path: SimdPath::widest(), tf32: self == Self::FusedTf32 };
            let states = custom_op::forward(pre, u, &lengths, means)?;
            let hidden = custom_op::hidden(&states)?;
            return Ok(States { values: Values::Fused(states, means), lengths, hidden });
        }
        let (steps, hidden) = reference::forward(pre, u)?;
        Ok(States { values: Values::Reference(steps), lengths, hidden })
    }
}

/// B: the gradient for `pre` `[K, batch, steps, 4·hidden]` of `Σ grad_hidden ⊙ h`,
/// `grad_hidden` `[K, batch, steps, hidden]` being 0 beyond each length.
pub(crate) fn adjoint(states: &States, u: &Tensor, grad_hidden: &Tensor) -> Result<Tensor> {
    match &states.values {
        Values::Fused(values, means) => {
            custom_op::adjoint(values, u, grad_hidden, &states.lengths, *means)
        }
        Values::Reference(steps) => reference::adjoint(steps, u, grad_hidden),
    }
}
