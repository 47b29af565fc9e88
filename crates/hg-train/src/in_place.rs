//! Updates of variables in place, one pass over memory each, for f32 and f64.

use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Result, bail};
use std::ops::Range;

/// `x ← keep · x + add · y`, or `+ add · y²`: a running mean.
pub(crate) struct Blend {
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

fn range(layout: &Layout) -> Result<Range<usize>> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(start..end),
        None => bail!("an update in place takes contiguous tensors"),
    }
}

impl InplaceOp2 for Blend {
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
