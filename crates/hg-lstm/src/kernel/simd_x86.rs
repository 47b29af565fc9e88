//! Vectors of AVX2 with FMA and of AVX-512.

use super::super::factor::Pairs;
use super::super::product::{Panels, Product, Start};
use super::{Kernel, Real, Register, Vector};
use std::arch::x86_64::*;

/// Runs a kernel compiled for AVX2 and FMA.
///
/// # Safety
/// The processor has both.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn run_avx2<S: Real, K: Kernel<S>>(kernel: K) -> K::Output {
    // SAFETY: the caller's.
    unsafe { kernel.run::<S::Avx2>() }
}

/// Runs a kernel compiled for AVX-512 F.
///
/// # Safety
/// The processor has it.
#[target_feature(enable = "avx512f,avx2,fma")]
pub(super) unsafe fn run_avx512<S: Real, K: Kernel<S>>(kernel: K) -> K::Output {
    // SAFETY: the caller's.
    unsafe { kernel.run::<S::Avx512>() }
}

/// An intrinsic on values, or with what the caller of an unsafe method grants.
macro_rules! intrinsic {
    ($body:expr) => {{
        // SAFETY: a value exists only where its instructions do; for the makers
        // of values it is the caller's promise.
        unsafe { $body }
    }};
}

macro_rules! vector {
    (
        $v:ty, $t:ty, lanes $lanes:literal, tile $rows:literal x $across:literal,
        $splat:ident $load:ident $store:ident $add:ident $sub:ident $mul:ident $div:ident
        $fma:ident $fnma:ident $min:ident,
        |$a:ident, $b:ident, $yes:ident, $no:ident|
        abs $abs:expr; sign $sign:expr; above $above:expr; power $power:expr
    ) => {
        // SAFETY: only `splat` and `load` make values, and both are unsafe.
        unsafe impl Register for $v {
            type Scalar = $t;
            const LANES: usize = $lanes;
            const ROWS: usize = $rows;
            const ACROSS: usize = $across;
            #[inline(always)]
            unsafe fn splat(x: $t) -> Self {
                intrinsic!($splat(x))
            }
            #[inline(always)]
            unsafe fn load(from: *const $t) -> Self {
                intrinsic!($load(from))
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $t) {
                intrinsic!($store(to, self))
            }
            #[inline(always)]
            fn mul_add(self, x: Self, y: Self) -> Self {
                intrinsic!($fma(self, x, y))
            }
        }
        // SAFETY: as above.
        unsafe impl Vector for $v {
            #[inline(always)]
            fn add(self, x: Self) -> Self {
                intrinsic!($add(self, x))
            }
            #[inline(always)]
            fn sub(self, x: Self) -> Self {
                intrinsic!($sub(self, x))
            }
            #[inline(always)]
            fn mul(self, x: Self) -> Self {
                intrinsic!($mul(self, x))
            }
            #[inline(always)]
            fn div(self, x: Self) -> Self {
                intrinsic!($div(self, x))
            }
            #[inline(always)]
            fn neg_mul_add(self, x: Self, y: Self) -> Self {
                intrinsic!($fnma(self, x, y))
            }
            #[inline(always)]
            fn at_most(self, limit: Self) -> Self {
                // The second operand is what comes out where one is NaN.
                intrinsic!($min(limit, self))
            }
            #[inline(always)]
            fn abs(self) -> Self {
                let $a = self;
                intrinsic!($abs)
            }
            #[inline(always)]
            fn with_sign_of(self, x: Self) -> Self {
                let ($a, $b) = (self, x);
                intrinsic!($sign)
            }
            #[inline(always)]
            fn if_above(self, x: Self, yes: Self, no: Self) -> Self {
                let ($a, $b, $yes, $no) = (self, x, yes, no);
                intrinsic!($above)
            }
            #[inline(always)]
            fn power_of_two(self) -> Self {
                let $a = self;
                intrinsic!($power)
            }
        }
    };
}

vector!(
    __m512, f32, lanes 16, tile 8 x 3,
    _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_add_ps _mm512_sub_ps _mm512_mul_ps
    _mm512_div_ps _mm512_fmadd_ps _mm512_fnmadd_ps _mm512_min_ps,
    |a, b, yes, no|
    abs _mm512_abs_ps(a);
    // Ternary logic 0xD8: the third operand's bits choose between the others.
    sign _mm512_castsi512_ps(_mm512_ternarylogic_epi32::<0xD8>(
        _mm512_castps_si512(a), _mm512_castps_si512(b), _mm512_set1_epi32(i32::MIN)));
    above _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b), no, yes);
    power _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(a)))
);
vector!(
    __m512d, f64, lanes 8, tile 8 x 3,
    _mm512_set1_pd _mm512_loadu_pd _mm512_storeu_pd _mm512_add_pd _mm512_sub_pd _mm512_mul_pd
    _mm512_div_pd _mm512_fmadd_pd _mm512_fnmadd_pd _mm512_min_pd,
    |a, b, yes, no|
    abs _mm512_abs_pd(a);
    sign _mm512_castsi512_pd(_mm512_ternarylogic_epi64::<0xD8>(
        _mm512_castpd_si512(a), _mm512_castpd_si512(b), _mm512_set1_epi64(i64::MIN)));
    above _mm512_mask_blend_pd(_mm512_cmp_pd_mask::<_CMP_GT_OQ>(a, b), no, yes);
    power _mm512_castsi512_pd(_mm512_slli_epi64::<52>(_mm512_castpd_si512(a)))
);
vector!(
    __m256, f32, lanes 8, tile 6 x 2,
    _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_add_ps _mm256_sub_ps _mm256_mul_ps
    _mm256_div_ps _mm256_fmadd_ps _mm256_fnmadd_ps _mm256_min_ps,
    |a, b, yes, no|
    abs _mm256_andnot_ps(_mm256_set1_ps(-0.), a);
    sign _mm256_or_ps(
        _mm256_andnot_ps(_mm256_set1_ps(-0.), a), _mm256_and_ps(_mm256_set1_ps(-0.), b));
    above _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_GT_OQ>(a, b));
    power _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(a)))
);
vector!(
    __m256d, f64, lanes 4, tile 6 x 2,
    _mm256_set1_pd _mm256_loadu_pd _mm256_storeu_pd _mm256_add_pd _mm256_sub_pd _mm256_mul_pd
    _mm256_div_pd _mm256_fmadd_pd _mm256_fnmadd_pd _mm256_min_pd,
    |a, b, yes, no|
    abs _mm256_andnot_pd(_mm256_set1_pd(-0.), a);
    sign _mm256_or_pd(
        _mm256_andnot_pd(_mm256_set1_pd(-0.), a), _mm256_and_pd(_mm256_set1_pd(-0.), b));
    above _mm256_blendv_pd(no, yes, _mm256_cmp_pd::<_CMP_GT_OQ>(a, b));
    power _mm256_castsi256_pd(_mm256_slli_epi64::<52>(_mm256_castpd_si256(a)))
);

/// Products of pairs of bf16 by AVX-512 BF16.
pub(super) const PAIRS: Pairs<f32> = Pairs { round: round_to_pairs, add: add_pairs };

/// Sums in f32, to which pairs of bf16 are multiplied. As a factor a lane is a pair.
#[derive(Clone, Copy)]
struct Bf16Pairs(__m512);

// SAFETY: only `splat` and `load` make values, and both are unsafe. A pair is moved and never computed
// with as a float.
unsafe impl Register for Bf16Pairs {
    type Scalar = f32;
    const LANES: usize = <__m512 as Register>::LANES;
    const ROWS: usize = <__m512 as Register>::ROWS;
    const ACROSS: usize = <__m512 as Register>::ACROSS;
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self(intrinsic!(_mm512_set1_ps(x)))
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(intrinsic!(_mm512_loadu_ps(from)))
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        intrinsic!(_mm512_storeu_ps(to, self.0))
    }
    #[inline(always)]
    fn mul_add(self, x: Self, y: Self) -> Self {
        // The same 512 bits.
        let pairs = |lanes: __m512| intrinsic!(std::mem::transmute::<__m512, __m512bh>(lanes));
        Self(intrinsic!(_mm512_dpbf16_ps(y.0, pairs(self.0), pairs(x.0))))
    }
}

/// [`Pairs::add`].
///
/// # Safety
/// As [`Product::add`]; the processor has AVX-512 BF16.
#[target_feature(enable = "avx512f,avx512bf16,avx2,fma")]
unsafe fn add_pairs(product: &Product<'_, f32>, b: &Panels<f32>, start: Start<'_, f32>) {
    // SAFETY: the caller's.
    unsafe { product.add::<Bf16Pairs>(b, start) }
}

/// [`Pairs::round`].
///
/// # Safety
/// The processor has AVX-512 BF16.
#[target_feature(enable = "avx512f,avx512vl,avx512bf16,avx2,fma")]
unsafe fn round_to_pairs(from: &[f32], into: &mut [f32]) {
    for (from, into) in from.chunks_exact(16).zip(into.chunks_exact_mut(8)) {
        // SAFETY: the caller's; there are 16 numbers and room for 8 pairs.
        unsafe {
            let numbers = <__m512 as Register>::load(from.as_ptr()).flush_to_zero();
            let rounded: __m256i = std::mem::transmute(_mm512_cvtneps_pbh(numbers));
            // The first of two has the lower half.
            let paired = _mm256_rol_epi32::<16>(rounded);
            _mm256_storeu_ps(into.as_mut_ptr(), _mm256_castsi256_ps(paired));
        }
    }
}
