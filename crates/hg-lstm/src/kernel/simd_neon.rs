//! Vectors of NEON, which every AArch64 processor has.

use super::{Kernel, Real, Register, Vector};
use std::arch::aarch64::*;

/// Runs a kernel compiled for NEON.
///
/// # Safety
/// The processor has it.
#[target_feature(enable = "neon")]
pub(super) unsafe fn run_neon<S: Real, K: Kernel<S>>(kernel: K) -> K::Output {
    // SAFETY: the caller's.
    unsafe { kernel.run::<S::Neon>() }
}

macro_rules! vector {
    (
        $v:ty, $t:ty, lanes $lanes:literal,
        $splat:ident $load:ident $store:ident $add:ident $sub:ident $mul:ident $div:ident
        $fma:ident $fnma:ident $min:ident $abs:ident $select:ident $above:ident,
        $to_bits:ident $of_bits:ident $shift:ident $mantissa:literal sign $sign:expr
    ) => {
        // SAFETY: only `splat` and `load` make values, and both are unsafe; the
        // instructions of the other methods exist where a value does.
        unsafe impl Register for $v {
            type Scalar = $t;
            const LANES: usize = $lanes;
            // 24 sums, a row of B and a broadcast: 28 of 32 registers.
            const ROWS: usize = 8;
            const ACROSS: usize = 3;
            #[inline(always)]
            unsafe fn splat(x: $t) -> Self {
                // SAFETY: the caller's.
                unsafe { $splat(x) }
            }
            #[inline(always)]
            unsafe fn load(from: *const $t) -> Self {
                // SAFETY: the caller's.
                unsafe { $load(from) }
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $t) {
                // SAFETY: the caller's.
                unsafe { $store(to, self) }
            }
            #[inline(always)]
            fn mul_add(self, x: Self, y: Self) -> Self {
                // SAFETY: see above.
                unsafe { $fma(y, self, x) }
            }
        }
        // SAFETY: as above.
        unsafe impl Vector for $v {
            #[inline(always)]
            fn add(self, x: Self) -> Self {
                // SAFETY: see above; so for all that follow.
                unsafe { $add(self, x) }
            }
            #[inline(always)]
            fn sub(self, x: Self) -> Self {
                // SAFETY: see above.
                unsafe { $sub(self, x) }
            }
            #[inline(always)]
            fn mul(self, x: Self) -> Self {
                // SAFETY: see above.
                unsafe { $mul(self, x) }
            }
            #[inline(always)]
            fn div(self, x: Self) -> Self {
                // SAFETY: see above.
                unsafe { $div(self, x) }
            }
            #[inline(always)]
            fn neg_mul_add(self, x: Self, y: Self) -> Self {
                // SAFETY: see above.
                unsafe { $fnma(y, self, x) }
            }
            #[inline(always)]
            fn at_most(self, limit: Self) -> Self {
                // The minimum of NaN and anything is NaN here.
                // SAFETY: see above.
                unsafe { $min(self, limit) }
            }
            #[inline(always)]
            fn abs(self) -> Self {
                // SAFETY: see above.
                unsafe { $abs(self) }
            }
            #[inline(always)]
            fn with_sign_of(self, x: Self) -> Self {
                // SAFETY: see above.
                unsafe { $select($sign, x, self) }
            }
            #[inline(always)]
            fn if_above(self, x: Self, yes: Self, no: Self) -> Self {
                // SAFETY: see above.
                unsafe { $select($above(self, x), yes, no) }
            }
            #[inline(always)]
            fn power_of_two(self) -> Self {
                // SAFETY: see above.
                unsafe { $of_bits($shift::<$mantissa>($to_bits(self))) }
            }
        }
    };
}

vector!(
    float32x4_t, f32, lanes 4,
    vdupq_n_f32 vld1q_f32 vst1q_f32 vaddq_f32 vsubq_f32 vmulq_f32 vdivq_f32
    vfmaq_f32 vfmsq_f32 vminq_f32 vabsq_f32 vbslq_f32 vcgtq_f32,
    vreinterpretq_u32_f32 vreinterpretq_f32_u32 vshlq_n_u32 23 sign vdupq_n_u32(1 << 31)
);
vector!(
    float64x2_t, f64, lanes 2,
    vdupq_n_f64 vld1q_f64 vst1q_f64 vaddq_f64 vsubq_f64 vmulq_f64 vdivq_f64
    vfmaq_f64 vfmsq_f64 vminq_f64 vabsq_f64 vbslq_f64 vcgtq_f64,
    vreinterpretq_u64_f64 vreinterpretq_f64_u64 vshlq_n_u64 52 sign vdupq_n_u64(1 << 63)
);
