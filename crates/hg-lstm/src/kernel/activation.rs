//! σ and tanh on vectors.
//!
//! Both rest on e^−y for y ≥ 0, split as `e^−y = 2ⁿ (1 + q)` with `n` the nearest
//! integer to −y·log₂e and `q = eʳ − 1` a series in `r`, |r| ≤ ½ ln 2:
//!
//! ```text
//! σ(x)    = z / (1 + z) for x < 0, 1 / (1 + z) for x ≥ 0,   z = e^−|x|
//! tanh(x) = −m / (2 + m) with the sign of x,                m = e^−2|x| − 1 = 2ⁿq + (2ⁿ − 1)
//! ```
//!
//! Neither difference cancels, so both keep their relative accuracy down to the
//! least normal number: within 4 ulp in f32 and f64 (tests below: f32 over all
//! bit patterns, f64 over a dense sweep). Values are exact at 0 and ±∞, NaN
//! stays NaN, and σ is 0 where it would be below the least normal number.

use super::simd::private::Vectors;
use super::simd::{Kernel, Real, SimdPath, Vector, dispatch};

/// `(2ⁿ, q)` with `e^−y = 2ⁿ (1 + q)` for `0 ≤ y ≤ VANISHES`.
///
/// # Safety
/// The processor has `V`'s instructions.
#[inline(always)]
unsafe fn exp_of_negative<V: Vector>(y: V) -> (V, V) {
    // SAFETY: the caller's.
    unsafe {
        let rounder = V::splat(V::Scalar::ROUNDER);
        let shifted = y.neg_mul_add(V::splat(V::Scalar::LOG2_E), rounder);
        let n = shifted.sub(rounder);
        let [high, low] = V::Scalar::LN_2;
        let minus_y = V::splat(V::Scalar::SMALL[0]).sub(y);
        // r = −y − n ln 2
        let r = n.neg_mul_add(V::splat(low), n.neg_mul_add(V::splat(high), minus_y));
        let mut term = V::Scalar::SERIES.len() - 1;
        let mut series = V::splat(V::Scalar::SERIES[term]);
        while term > 0 {
            term -= 1;
            series = series.mul_add(r, V::splat(V::Scalar::SERIES[term]));
        }
        (shifted.power_of_two(), series.mul(r).mul_add(r, r))
    }
}

/// `e^−y` for `y ≥ 0`, 0 where it would be below the least normal number.
///
/// # Safety
/// The processor has `V`'s instructions.
#[inline(always)]
pub(super) unsafe fn vanishing_exp<V: Vector>(y: V) -> V {
    // SAFETY: the caller's.
    unsafe {
        let limit = V::splat(V::Scalar::VANISHES);
        let (scale, q) = exp_of_negative(y.at_most(limit));
        y.if_above(limit, V::splat(V::Scalar::SMALL[0]), scale.mul_add(q, scale))
    }
}

/// σ(x)
///
/// # Safety
/// The processor has `V`'s instructions.
#[inline(always)]
pub(super) unsafe fn sigmoid<V: Vector>(x: V) -> V {
    // SAFETY: the caller's.
    unsafe {
        let [zero, one, _] = V::Scalar::SMALL;
        let (zero, one) = (V::splat(zero), V::splat(one));
        let z = vanishing_exp(x.abs());
        zero.if_above(x, z, one).div(one.add(z))
    }
}

/// tanh(x)
///
/// # Safety
/// The processor has `V`'s instructions.
#[inline(always)]
pub(super) unsafe fn tanh<V: Vector>(x: V) -> V {
    // SAFETY: the caller's.
    unsafe {
        let [_, one, two] = V::Scalar::SMALL;
        let (one, two) = (V::splat(one), V::splat(two));
        let y = x.abs().mul(two).at_most(V::splat(V::Scalar::VANISHES));
        let (scale, q) = exp_of_negative(y);
        let m = scale.mul_add(q, scale.sub(one));
        m.div(two.add(m)).with_sign_of(x)
    }
}

#[derive(Clone, Copy)]
enum Function {
    Sigmoid,
    VanishingExp,
    #[cfg(test)]
    Tanh,
}

struct Map<'a, S> {
    values: &'a mut [S],
    function: Function,
}

impl<S: Real> Kernel<S> for Map<'_, S> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Scalar = S>>(self) {
        let mut chunks = self.values.chunks_exact_mut(V::LANES);
        for chunk in &mut chunks {
            // SAFETY: the caller's; a chunk holds `LANES` numbers.
            unsafe { self.function.apply::<V>(chunk.as_mut_ptr()) };
        }
        let rest = chunks.into_remainder();
        let mut padded = [S::default(); 16];
        padded[..rest.len()].copy_from_slice(rest);
        // SAFETY: the caller's; no vector is wider than the array.
        unsafe { self.function.apply::<V>(padded.as_mut_ptr()) };
        rest.copy_from_slice(&padded[..rest.len()]);
    }
}

impl Function {
    /// Applies itself to one vector in memory.
    ///
    /// # Safety
    /// The processor has `V`'s instructions, and `at` is good for `LANES` numbers.
    #[inline(always)]
    unsafe fn apply<V: Vector>(self, at: *mut V::Scalar) {
        // SAFETY: the caller's.
        unsafe {
            let x = V::load(at);
            let y = match self {
                Self::Sigmoid => sigmoid(x),
                Self::VanishingExp => vanishing_exp(x),
                #[cfg(test)]
                Self::Tanh => tanh(x),
            };
            y.store(at);
        }
    }
}

/// σ of every value, in place.
pub fn sigmoid_in_place<S: Real>(path: SimdPath, values: &mut [S]) {
    dispatch(path, Map { values, function: Function::Sigmoid });
}

/// `e^−y` of every value `y ≥ 0`, in place; 0 where it would be below the least
/// normal number.
pub fn exp_of_negative_in_place<S: Real>(path: SimdPath, values: &mut [S]) {
    dispatch(path, Map { values, function: Function::VanishingExp });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map<S: Real>(path: SimdPath, function: Function, values: &[S]) -> Vec<S> {
        let mut values = values.to_vec();
        dispatch(path, Map { values: &mut values, function });
        values
    }

    fn exact_sigmoid(x: f64) -> f64 {
        if x < 0. { x.exp() / (1. + x.exp()) } else { 1. / (1. + (-x).exp()) }
    }

    /// Distance in units of the last place of a normal `exact`.
    fn ulps(got: f64, exact: f64, epsilon: f64, least_normal: f64) -> f64 {
        let unit = epsilon * 2f64.powi(exact.abs().max(least_normal).log2().floor() as i32);
        (got - exact).abs() / unit
    }

    /// Every f32 of a stride coprime to 2 (each binade and sign is met), or all
    /// of them with `HG_EXHAUSTIVE=1`.
    fn all_f32() -> impl Iterator<Item = Vec<f32>> {
        let stride = if std::env::var_os("HG_EXHAUSTIVE").is_some() { 1 } else { 997 };
        let mut next = 0u64;
        std::iter::from_fn(move || {
            let chunk: Vec<f32> = (0..4096)
                .map(|n| next + n * stride)
                .take_while(|&bits| bits <= u64::from(u32::MAX))
                .map(|bits| f32::from_bits(bits as u32))
                .collect();
            next += 4096 * stride;
            (!chunk.is_empty()).then_some(chunk)
        })
    }

    #[test]
    fn f32_is_within_4_ulp_everywhere_on_every_path() {
        for path in SimdPath::available() {
            let mut worst = [0f64; 2];
            for xs in all_f32() {
                let sigmoids = map(path, Function::Sigmoid, &xs);
                let tanhs = map(path, Function::Tanh, &xs);
                for ((&x, s), t) in xs.iter().zip(sigmoids).zip(tanhs) {
                    if x.is_nan() {
                        assert!(s.is_nan() && t.is_nan());
                        continue;
                    }
                    let wide = f64::from(x);
                    let least = f64::from(f32::MIN_POSITIVE);
                    let exact = exact_sigmoid(wide);
                    if exact < 1.1 * least {
                        assert!(f64::from(s) <= 1.1 * least, "{x}");
                    } else {
                        let error = ulps(s.into(), exact, f32::EPSILON.into(), least);
                        worst[0] = worst[0].max(error);
                    }
                    let error = ulps(t.into(), wide.tanh(), f32::EPSILON.into(), least);
                    worst[1] = worst[1].max(error);
                }
            }
            assert!(worst.iter().all(|&ulps| ulps < 4.), "{path:?}: {worst:?}");
        }
    }

    #[test]
    fn f64_is_within_4_ulp_on_a_dense_sweep() {
        let mut xs: Vec<f64> = (-800_000..=800_000).map(|n| f64::from(n) * 1e-3).collect();
        xs.extend((-3000..3000).map(|n| 1.007f64.powi(n)));
        xs.extend((-3000..3000).map(|n| -1.007f64.powi(n)));
        for path in SimdPath::available() {
            let sigmoids = map(path, Function::Sigmoid, &xs);
            let tanhs = map(path, Function::Tanh, &xs);
            for ((&x, s), t) in xs.iter().zip(sigmoids).zip(tanhs) {
                let exact = exact_sigmoid(x);
                if exact > 1.1 * f64::MIN_POSITIVE {
                    let error = ulps(s, exact, f64::EPSILON, f64::MIN_POSITIVE);
                    assert!(error < 4., "{path:?} σ({x}): {error}");
                }
                let error = ulps(t, x.tanh(), f64::EPSILON, f64::MIN_POSITIVE);
                assert!(error < 4., "{path:?} tanh({x}): {error}");
            }
        }
    }

    #[test]
    fn ends_are_exact_and_both_rise() {
        for path in SimdPath::available() {
            let ends = [f32::NEG_INFINITY, -1e30, -0., 0., 1e30, f32::INFINITY];
            assert_eq!(map(path, Function::Sigmoid, &ends), [0., 0., 0.5, 0.5, 1., 1.]);
            let tanhs = map(path, Function::Tanh, &ends);
            assert_eq!(tanhs, [-1., -1., 0., 0., 1., 1.]);
            assert!(tanhs[2].is_sign_negative());
            // Steps of 2⁻⁷ are far above rounding, so a fall would be a fault of
            // the reduction, which changes n on the way.
            let xs: Vec<f32> = (-15_000..=15_000).map(|n| n as f32 / 128.).collect();
            for function in [Function::Sigmoid, Function::Tanh] {
                let ys = map(path, function, &xs);
                assert!(ys.windows(2).all(|pair| pair[0] <= pair[1]));
            }
        }
    }
}
