//! Updates of variables in place, for f32 and f64: on the CPU one pass over memory each, on other
//! devices in plain operations.

use candle_core::{
    CpuStorage, DType, Device, InplaceOp2, InplaceOp3, Layout, Result, Storage, Tensor, Var, bail,
};
use hg_lstm::kernel;
use std::ops::Range;

/// `x ← keep · x + add · y`, or `+ add · y²`: a running mean.
pub(crate) struct Ema {
    pub(crate) keep: f64,
    pub(crate) add: f64,
    pub(crate) square: bool,
}

/// `θ ← θ − rate · m / (√(second · v) + ε)`: Adam's change of a weight.
pub(crate) struct Move {
    pub(crate) rate: f64,
    pub(crate) second: f64,
    pub(crate) epsilon: f64,
}

impl Ema {
    /// Changes `x`.
    pub(crate) fn apply(&self, x: &Var, y: &Tensor) -> Result<()> {
        match x.device() {
            Device::Cpu => x.as_tensor().inplace_op2(y, self),
            _ => self.apply_plainly(x, y),
        }
    }

    fn apply_plainly(&self, x: &Var, y: &Tensor) -> Result<()> {
        let y = if self.square { y.sqr()? } else { y.clone() };
        x.set(&((x.as_detached_tensor() * self.keep)? + (y * self.add)?)?)
    }
}

impl Move {
    /// Changes `theta`.
    pub(crate) fn apply(&self, theta: &Var, m: &Var, v: &Var) -> Result<()> {
        match theta.device() {
            Device::Cpu => theta.as_tensor().inplace_op3(m, v, self),
            _ => self.apply_plainly(theta, m, v),
        }
    }

    fn apply_plainly(&self, theta: &Var, m: &Var, v: &Var) -> Result<()> {
        let size = ((v.as_detached_tensor() * self.second)?.sqrt()? + self.epsilon)?;
        let change = ((m.as_detached_tensor() * self.rate)? / size)?;
        theta.set(&(theta.as_detached_tensor() - change)?)
    }
}

/// Σ x², a scalar in f64 on the tensor's device.
pub(crate) fn sum_of_squares(x: &Tensor) -> Result<Tensor> {
    let plainly = || x.sqr()?.sum_all()?.to_dtype(DType::F64);
    let (storage, layout) = x.storage_and_layout();
    let Some((start, end)) = layout.contiguous_offsets() else { return plainly() };
    let sum = match &*storage {
        Storage::Cpu(CpuStorage::F32(values)) => kernel::sum_of_squares(&values[start..end]),
        Storage::Cpu(CpuStorage::F64(values)) => kernel::sum_of_squares(&values[start..end]),
        _ => return plainly(),
    };
    Tensor::new(sum, &Device::Cpu)
}

fn range(layout: &Layout) -> Result<Range<usize>> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(start..end),
        None => bail!("an update in place takes contiguous tensors"),
    }
}

impl InplaceOp2 for Ema {
    fn name(&self) -> &'static str {
        "blend"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
    ) -> Result<()> {
        let (x_range, y_range) = (range(x_layout)?, range(y_layout)?);
        macro_rules! blend {
            ($x:ident, $y:ident, $float:ty) => {{
                let (keep, add) = (self.keep as $float, self.add as $float);
                for (x, &y) in $x[x_range].iter_mut().zip(&$y[y_range]) {
                    *x = keep * *x + add * if self.square { y * y } else { y };
                }
            }};
        }
        match (x, y) {
            (CpuStorage::F32(x), CpuStorage::F32(y)) => blend!(x, y, f32),
            (CpuStorage::F64(x), CpuStorage::F64(y)) => blend!(x, y, f64),
            _ => bail!("blending takes f32 or f64, the same on both sides"),
        }
        Ok(())
    }
}

impl InplaceOp3 for Move {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn cpu_fwd(
        &self,
        theta: &mut CpuStorage,
        theta_layout: &Layout,
        m: &CpuStorage,
        m_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<()> {
        let theta_range = range(theta_layout)?;
        let (m_range, v_range) = (range(m_layout)?, range(v_layout)?);
        macro_rules! change {
            ($theta:ident, $m:ident, $v:ident, $float:ty) => {{
                let (rate, second) = (self.rate as $float, self.second as $float);
                let epsilon = self.epsilon as $float;
                let moments = $m[m_range].iter().zip(&$v[v_range]);
                for (theta, (&m, &v)) in $theta[theta_range].iter_mut().zip(moments) {
                    *theta -= rate * m / ((second * v).sqrt() + epsilon);
                }
            }};
        }
        match (theta, m, v) {
            (CpuStorage::F32(theta), CpuStorage::F32(m), CpuStorage::F32(v)) => {
                change!(theta, m, v, f32);
            }
            (CpuStorage::F64(theta), CpuStorage::F64(m), CpuStorage::F64(v)) => {
                change!(theta, m, v, f64);
            }
            _ => bail!("Adam takes f32 or f64, the same everywhere"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_plain_operations_the_same_changes_are_made() -> Result<()> {
        let var = |values: [f64; 3]| Var::new(&values, &Device::Cpu);
        let same = |a: &Var, b: &Var| -> Result<()> {
            let (a, b) = (a.to_vec1::<f64>()?, b.to_vec1::<f64>()?);
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-15), "{a:?} {b:?}");
            Ok(())
        };
        let y = Tensor::new(&[0.5f64, -2., 3.], &Device::Cpu)?;
        for square in [false, true] {
            let blend = Ema { keep: 0.9, add: 0.1, square };
            let (ours, plain) = (var([1., 2., -3.])?, var([1., 2., -3.])?);
            blend.apply(&ours, &y)?;
            blend.apply_plainly(&plain, &y)?;
            same(&ours, &plain)?;
            assert!(ours.to_vec1::<f64>()? != [1., 2., -3.]);
        }
        let step = Move { rate: 0.01, second: 1.5, epsilon: 1e-8 };
        let (m, v) = (var([0.1, -0.2, 0.3])?, var([0.04, 0.01, 0.])?);
        let (ours, plain) = (var([1., 2., 3.])?, var([1., 2., 3.])?);
        step.apply(&ours, &m, &v)?;
        step.apply_plainly(&plain, &m, &v)?;
        same(&ours, &plain)
    }

    #[test]
    fn what_an_update_in_place_cannot_take_is_refused() -> Result<()> {
        let of = |dtype| Var::zeros((2, 3), dtype, &Device::Cpu);
        let (double, single) = (of(DType::F64)?, of(DType::F32)?);
        let turned = Tensor::ones((3, 2), DType::F64, &Device::Cpu)?.t()?;
        let blend = Ema { keep: 0.9, add: 0.1, square: false };
        let step = Move { rate: 0.01, second: 1.5, epsilon: 1e-8 };
        let contiguous = "an update in place takes contiguous tensors";
        let same = "blending takes f32 or f64, the same on both sides";
        let everywhere = "Adam takes f32 or f64, the same everywhere";
        assert!(!turned.is_contiguous());
        for (done, problem) in [
            (blend.apply(&double, &turned), contiguous),
            (blend.apply(&double, &single), same),
            (blend.apply(&single, &double), same),
            (step.apply(&double, &of(DType::F64)?, &single), everywhere),
            (step.apply(&single, &of(DType::F32)?, &double), everywhere),
        ] {
            assert_eq!(done.expect_err("refused").to_string().lines().next(), Some(problem));
        }
        Ok(())
    }

    #[test]
    fn squares_of_f32_are_summed_in_f64() -> Result<()> {
        // 4096² + 1 is no f32.
        let x = Tensor::new(&[4096f32, 1.], &Device::Cpu)?;
        assert_eq!(sum_of_squares(&x)?.to_scalar::<f64>()?, 16_777_217.);
        Ok(())
    }

    #[test]
    fn a_part_of_a_tensor_has_the_squares_of_its_own_elements() -> Result<()> {
        let x = Tensor::new(&[[1f64, 2., 3.], [4., 5., 6.]], &Device::Cpu)?;
        let sum = |x: &Tensor| sum_of_squares(x)?.to_scalar::<f64>();
        assert_eq!(sum(&x)?, 91.);
        assert_eq!(sum(&x.narrow(0, 1, 1)?)?, 77.);
        assert_eq!(sum(&x.narrow(1, 1, 1)?)?, 29.);
        Ok(())
    }
}
