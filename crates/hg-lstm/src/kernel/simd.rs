//! The one place where the kernels meet the processor: vectors of AVX-512,
//! AVX2 with FMA, NEON, or plain arrays, chosen once at run time.
//!
//! A kernel implements [`Kernel`] generically over [`Vector`]; [`dispatch`]
//! runs it compiled for the widest vectors that the processor has.

use super::factor::Pairs;
use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
#[path = "simd_x86.rs"]
mod x86;

#[cfg(target_arch = "aarch64")]
#[path = "simd_neon.rs"]
mod neon;

/// Which instructions the kernels use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimdPath {
    /// Plain Rust on arrays, for any processor.
    Portable,
    /// NEON, of AArch64.
    Neon,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512 F.
    Avx512,
}

impl SimdPath {
    /// The paths that this processor has, the narrowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        static AVAILABLE: OnceLock<Vec<SimdPath>> = OnceLock::new();
        let available = AVAILABLE.get_or_init(|| {
            #[allow(unused_mut)]
            let mut paths = vec![Self::Portable];
            #[cfg(target_arch = "aarch64")]
            paths.push(Self::Neon);
            #[cfg(target_arch = "x86_64")]
            {
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    paths.push(Self::Avx2);
                }
                if is_x86_feature_detected!("avx512f") {
                    paths.push(Self::Avx512);
                }
            }
            paths
        });
        available.iter().copied()
    }

    /// The path that kernels take unless a caller names another: the one in the
    /// environment variable [`VECTORS`], else the widest that this processor has.
    ///
    /// # Errors
    /// When the variable names no path of this processor.
    pub fn chosen() -> Result<Self, crate::Error> {
        static CHOSEN: OnceLock<Option<SimdPath>> = OnceLock::new();
        let chosen = *CHOSEN.get_or_init(|| {
            let Some(named) = std::env::var_os(VECTORS) else { return Some(Self::detected()) };
            let named = named.to_string_lossy();
            Self::named(&named).filter(|named| Self::available().any(|path| path == *named))
        });
        chosen.ok_or_else(|| crate::Error::Vectors {
            named: std::env::var_os(VECTORS).unwrap_or_default().to_string_lossy().into_owned(),
            available: Self::available().collect(),
        })
    }

    /// [`SimdPath::chosen`], or the widest where that is an error.
    pub fn widest() -> Self {
        Self::chosen().unwrap_or_else(|_| Self::detected())
    }

    /// Whether both compute the same last bits. AVX2 and AVX-512 do: every number is one chain
    /// of the same fused operations, however many of them are computed at once.
    pub fn same_bits_as(self, other: Self) -> bool {
        let fused = [Self::Avx2, Self::Avx512];
        self == other || (fused.contains(&self) && fused.contains(&other))
    }

    /// The path of this name, as [`VECTORS`] has it, of any processor.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Portable, Self::Neon, Self::Avx2, Self::Avx512];
        all.into_iter().find(|path| format!("{path:?}").eq_ignore_ascii_case(name))
    }

    /// The widest path that this processor has, whatever the environment says.
    fn detected() -> Self {
        Self::available().last().unwrap_or(Self::Portable)
    }
}

/// The environment variable that holds the kernels to one path, such as `avx2`: for
/// the bytes of a run from another processor, and for measurements.
pub const VECTORS: &str = "HG_VECTORS";

/// A float type with vectors and the constants of its exponential.
pub trait Real:
    Copy
    + Default
    + Send
    + Sync
    + PartialOrd
    + std::fmt::Debug
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
    + std::ops::Neg<Output = Self>
    + std::ops::AddAssign
    + std::ops::DivAssign
    + std::iter::Sum
    + candle_core::WithDType
    + bytemuck::Pod
    + private::Vectors
{
}

/// What [`Real`] needs inside this crate.
pub(crate) mod private {
    use super::super::factor::Pairs;
    use super::{Real, SimdPath, Vector};

    /// The vectors of a float type and the constants of its exponential.
    pub trait Vectors: Copy + 'static {
        /// On any processor.
        type Portable: Vector<Scalar = Self>;
        /// With NEON.
        #[cfg(target_arch = "aarch64")]
        type Neon: Vector<Scalar = Self>;
        /// With AVX2 and FMA.
        #[cfg(target_arch = "x86_64")]
        type Avx2: Vector<Scalar = Self>;
        /// With AVX-512 F.
        #[cfg(target_arch = "x86_64")]
        type Avx512: Vector<Scalar = Self>;
        /// 1/2!, 1/3!, …: the series of eˣ as far as rounding can tell.
        const SERIES: &'static [Self];
        /// log₂ e
        const LOG2_E: Self;
        /// ln 2 in two parts; multiples of the first are exact.
        const LN_2: [Self; 2];
        /// 1.5 · 2^(mantissa bits) + exponent bias.
        const ROUNDER: Self;
        /// e^−y is treated as 0 beyond this y; it is below the least normal.
        const VANISHES: Self;
        /// 0, 1 and 2.
        const SMALL: [Self; 3];
        /// Smaller numbers are flushed to zero; products of two greater ones are normal.
        const NEGLIGIBLE: Self;

        /// Rounded to the nearest bf16, ties to even; 0 where it is negligible.
        fn to_bf16(self) -> Self;
        /// How pairs of bf16 are multiplied on a path, where this processor and this type can.
        fn pairs(path: SimdPath) -> Option<Pairs<Self>>
        where
            Self: Real;
    }
}

macro_rules! real {
    ($t:ty, $series:expr, $log2_e:expr, $ln2:expr, $rounder:expr, $vanishes:expr, $lanes:literal,
     $negligible:literal, $neon:ident, $avx2:ident, $avx512:ident, $of:ident, $to:ident, $pairs:expr) => {
        impl Real for $t {}
        impl private::Vectors for $t {
            type Portable = Lanes<$t, $lanes>;
            #[cfg(target_arch = "aarch64")]
            type Neon = std::arch::aarch64::$neon;
            #[cfg(target_arch = "x86_64")]
            type Avx2 = std::arch::x86_64::$avx2;
            #[cfg(target_arch = "x86_64")]
            type Avx512 = std::arch::x86_64::$avx512;
            const SERIES: &'static [Self] = $series;
            const LOG2_E: Self = $log2_e;
            const LN_2: [Self; 2] = $ln2;
            const ROUNDER: Self = $rounder;
            const VANISHES: Self = $vanishes;
            const SMALL: [Self; 3] = [0., 1., 2.];
            const NEGLIGIBLE: Self = $negligible;

            fn to_bf16(self) -> Self {
                if self.abs() < $negligible { 0. } else { half::bf16::$of(self).$to() }
            }

            fn pairs(path: SimdPath) -> Option<Pairs<Self>> {
                $pairs(path)
            }
        }
    };
}

real!(
    f32,
    &[0.5, 1. / 6., 1. / 24., 1. / 120., 1. / 720., 1. / 5040.],
    std::f32::consts::LOG2_E,
    [0.693_359_4, -2.121_944_4e-4],
    12_582_912. + 127.,
    87.33,
    8,
    1e-18,
    float32x4_t,
    __m256,
    __m512,
    from_f32,
    to_f32,
    pairs_of_f32
);
real!(
    f64,
    &[
        0.5,
        1. / 6.,
        1. / 24.,
        1. / 120.,
        1. / 720.,
        1. / 5_040.,
        1. / 40_320.,
        1. / 362_880.,
        1. / 3_628_800.,
        1. / 39_916_800.,
        1. / 479_001_600.,
        1. / 6_227_020_800.
    ],
    std::f64::consts::LOG2_E,
    [0.693_145_751_953_125, 1.428_606_820_309_417_2e-6],
    6_755_399_441_055_744. + 1023.,
    708.39,
    4,
    1e-150,
    float64x2_t,
    __m256d,
    __m512d,
    from_f64,
    to_f64,
    |_| None
);

#[cfg(target_arch = "x86_64")]
fn pairs_of_f32(path: SimdPath) -> Option<Pairs<f32>> {
    let has = path == SimdPath::Avx512 && is_x86_feature_detected!("avx512bf16");
    has.then_some(x86::PAIRS)
}

#[cfg(not(target_arch = "x86_64"))]
fn pairs_of_f32(_: SimdPath) -> Option<Pairs<f32>> {
    None
}

/// A register, as products use it: its numbers are sums, and a factor is read as numbers of the same
/// size.
///
/// # Safety
/// Values are made by [`Register::splat`] and [`Register::load`] alone, which must
/// only be called where the processor has the register's instructions: within
/// [`Kernel::run`] or a function compiled for them. The other methods rely on that.
pub unsafe trait Register: Copy {
    /// The type of one lane.
    type Scalar: private::Vectors;
    /// Numbers in a register.
    const LANES: usize;
    /// Rows of the register tile in products, at most 8, and its registers across, at
    /// most 4: as large as there are registers beside a row of B and one broadcast.
    const ROWS: usize;
    /// See [`Register::ROWS`].
    const ACROSS: usize;

    /// The same number in every lane.
    ///
    /// # Safety
    /// The processor has this register's instructions.
    unsafe fn splat(x: Self::Scalar) -> Self;
    /// `LANES` numbers from memory, at any alignment.
    ///
    /// # Safety
    /// As [`Register::splat`], and `from` is readable for `LANES` numbers.
    unsafe fn load(from: *const Self::Scalar) -> Self;
    /// Writes `LANES` numbers to memory, at any alignment.
    ///
    /// # Safety
    /// `to` is writable for `LANES` numbers.
    unsafe fn store(self, to: *mut Self::Scalar);
    /// `self · x + y`, rounded once where that is one instruction.
    fn mul_add(self, x: Self, y: Self) -> Self;
}

/// A register of numbers to compute with.
///
/// # Safety
/// As [`Register`].
pub unsafe trait Vector: Register {
    /// `self + x`
    fn add(self, x: Self) -> Self;
    /// `self − x`
    fn sub(self, x: Self) -> Self;
    /// `self · x`
    fn mul(self, x: Self) -> Self;
    /// `self / x`
    fn div(self, x: Self) -> Self;
    /// `y − self · x`, rounded once where that is one instruction.
    fn neg_mul_add(self, x: Self, y: Self) -> Self;
    /// The lesser of self and `limit`; NaN stays NaN.
    fn at_most(self, limit: Self) -> Self;
    /// `|self|`
    fn abs(self) -> Self;
    /// `|self|` with the sign of `x`.
    fn with_sign_of(self, x: Self) -> Self;
    /// In each lane: `self > x ? yes : no`.
    fn if_above(self, x: Self, yes: Self, no: Self) -> Self;
    /// 2ⁿ from n + `ROUNDER`, for n + bias in the exponent's range.
    fn power_of_two(self) -> Self;

    /// Itself, and 0 where its size is negligible. Over hundreds of steps a gradient falls below
    /// the least normal number, where processors are a hundred times slower, and nothing depends
    /// on it any more. NaN stays NaN.
    ///
    /// # Safety
    /// As [`Register::splat`].
    #[inline(always)]
    unsafe fn flush_to_zero(self) -> Self {
        use private::Vectors;
        // SAFETY: the caller's.
        let [zero, negligible] =
            unsafe { [Self::splat(Self::Scalar::SMALL[0]), Self::splat(Self::Scalar::NEGLIGIBLE)] };
        negligible.if_above(self.abs(), zero, self)
    }
}

/// A computation written once for all vectors.
pub(crate) trait Kernel<S: Real> {
    /// What it returns.
    type Output;
    /// Computes with vectors `V`; must be `#[inline(always)]`.
    ///
    /// # Safety
    /// The processor has `V`'s instructions.
    unsafe fn run<V: Vector<Scalar = S>>(self) -> Self::Output;
}

/// Runs a kernel on a path.
///
/// # Panics
/// When the processor does not have the path, which [`SimdPath::available`]
/// tells.
pub(crate) fn dispatch<S: Real, K: Kernel<S>>(path: SimdPath, kernel: K) -> K::Output {
    assert!(
        SimdPath::available().any(|available| available == path),
        "this processor has no {path:?}"
    );
    // SAFETY: `available` found the instructions.
    unsafe {
        match path {
            SimdPath::Portable => kernel.run::<S::Portable>(),
            #[cfg(target_arch = "aarch64")]
            SimdPath::Neon => neon::run_neon(kernel),
            #[cfg(target_arch = "x86_64")]
            SimdPath::Avx2 => x86::run_avx2(kernel),
            #[cfg(target_arch = "x86_64")]
            SimdPath::Avx512 => x86::run_avx512(kernel),
            #[cfg_attr(target_arch = "x86_64", allow(unreachable_patterns))]
            _ => unreachable!("available() names no such path here"),
        }
    }
}

/// A vector as an array, which the compiler maps to what the target has.
#[derive(Clone, Copy)]
#[repr(align(32))]
pub struct Lanes<T, const N: usize>([T; N]);

macro_rules! portable {
    ($t:ty, $n:literal, $mantissa:literal) => {
        // SAFETY: needs no instructions beyond the target's.
        unsafe impl Register for Lanes<$t, $n> {
            type Scalar = $t;
            const LANES: usize = $n;
            const ROWS: usize = 2;
            const ACROSS: usize = 2;
            #[inline(always)]
            unsafe fn splat(x: $t) -> Self {
                Self([x; $n])
            }
            #[inline(always)]
            unsafe fn load(from: *const $t) -> Self {
                // SAFETY: the caller's.
                Self(unsafe { from.cast::<[$t; $n]>().read_unaligned() })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $t) {
                // SAFETY: the caller's.
                unsafe { to.cast::<[$t; $n]>().write_unaligned(self.0) }
            }
            #[inline(always)]
            fn mul_add(self, x: Self, y: Self) -> Self {
                self.mul(x).add(y)
            }
        }
        // SAFETY: as above.
        unsafe impl Vector for Lanes<$t, $n> {
            #[inline(always)]
            fn add(self, x: Self) -> Self {
                Self(std::array::from_fn(|n| self.0[n] + x.0[n]))
            }
            #[inline(always)]
            fn sub(self, x: Self) -> Self {
                Self(std::array::from_fn(|n| self.0[n] - x.0[n]))
            }
            #[inline(always)]
            fn mul(self, x: Self) -> Self {
                Self(std::array::from_fn(|n| self.0[n] * x.0[n]))
            }
            #[inline(always)]
            fn div(self, x: Self) -> Self {
                Self(std::array::from_fn(|n| self.0[n] / x.0[n]))
            }
            #[inline(always)]
            fn neg_mul_add(self, x: Self, y: Self) -> Self {
                Self(std::array::from_fn(|n| -self.0[n])).mul_add(x, y)
            }
            #[inline(always)]
            fn at_most(self, limit: Self) -> Self {
                let least = |n: usize| if self.0[n] > limit.0[n] { limit.0[n] } else { self.0[n] };
                Self(std::array::from_fn(least))
            }
            #[inline(always)]
            fn abs(self) -> Self {
                Self(std::array::from_fn(|n| self.0[n].abs()))
            }
            #[inline(always)]
            fn with_sign_of(self, x: Self) -> Self {
                Self(std::array::from_fn(|n| self.0[n].copysign(x.0[n])))
            }
            #[inline(always)]
            fn if_above(self, x: Self, yes: Self, no: Self) -> Self {
                let chosen = |n: usize| if self.0[n] > x.0[n] { yes.0[n] } else { no.0[n] };
                Self(std::array::from_fn(chosen))
            }
            #[inline(always)]
            fn power_of_two(self) -> Self {
                Self(self.0.map(|x| <$t>::from_bits(x.to_bits() << $mantissa)))
            }
        }
    };
}

portable!(f32, 8, 23);
portable!(f64, 4, 52);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_by_name_and_avx_paths_share_their_bits() {
        let all = [SimdPath::Portable, SimdPath::Neon, SimdPath::Avx2, SimdPath::Avx512];
        for (path, name) in all.into_iter().zip(["portable", "NEON", "Avx2", "avx512"]) {
            assert_eq!(SimdPath::named(name), Some(path));
        }
        assert_eq!(SimdPath::named("avx"), None);
        for (n, a) in all.into_iter().enumerate() {
            for (m, b) in all.into_iter().enumerate() {
                assert_eq!(a.same_bits_as(b), n == m || n.min(m) == 2, "{a:?} {b:?}");
            }
        }
    }

    /// The process's environment cannot change under the other tests, so this one runs itself.
    #[test]
    fn the_variable_chooses_the_path_and_another_name_is_refused() {
        let name = "kernel::simd::tests::the_variable_chooses_the_path_and_another_name_is_refused";
        let widest = SimdPath::available().last().expect("one path at least");
        match std::env::var("HG_LSTM_TEST_PATH").as_deref() {
            Ok("unset") => {
                assert_eq!(SimdPath::chosen().expect("no name"), widest);
                assert_eq!(SimdPath::widest(), widest);
            }
            Ok("portable") => {
                assert_eq!(SimdPath::chosen().expect("a name"), SimdPath::Portable);
                assert_eq!(SimdPath::widest(), SimdPath::Portable);
            }
            Ok(_) => {
                let said = SimdPath::chosen().expect_err("no such path").to_string();
                assert!(said.starts_with("HG_VECTORS is `sse9`"), "{said}");
                assert!(said.contains("\nhint: use one of portable"), "{said}");
                assert_eq!(SimdPath::widest(), widest);
            }
            Err(_) => {
                for value in ["unset", "portable", "sse9"] {
                    let program = std::env::current_exe().expect("this program");
                    let mut test = std::process::Command::new(program);
                    test.args(["--exact", name]).env("HG_LSTM_TEST_PATH", value);
                    match value {
                        "unset" => test.env_remove(VECTORS),
                        _ => test.env(VECTORS, value),
                    };
                    let output = test.output().expect("runs");
                    let said = String::from_utf8_lossy(&output.stdout);
                    assert!(output.status.success() && said.contains("1 passed"), "{said}");
                }
            }
        }
    }

    #[test]
    fn what_is_flushed_to_zero_is_smaller_than_any_gradient_that_matters() {
        struct Flush<'a>(&'a mut [f64; 8]);
        impl Kernel<f64> for Flush<'_> {
            type Output = ();
            #[inline(always)]
            unsafe fn run<V: Vector<Scalar = f64>>(self) {
                for chunk in self.0.chunks_exact_mut(V::LANES) {
                    // SAFETY: the caller's; a chunk holds `LANES` numbers.
                    unsafe { V::load(chunk.as_ptr()).flush_to_zero().store(chunk.as_mut_ptr()) };
                }
            }
        }
        for path in SimdPath::available() {
            let mut x = [1., -1., 2e-150, -2e-150, 1e-151, -1e-151, f64::NAN, f64::NEG_INFINITY];
            dispatch(path, Flush(&mut x));
            assert_eq!(x[..6], [1., -1., 2e-150, -2e-150, 0., 0.], "{path:?}");
            assert!(x[6].is_nan() && x[7] == f64::NEG_INFINITY, "{path:?}");
        }
    }
}
