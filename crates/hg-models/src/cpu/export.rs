//! Gradients on their way out: those of all micro-batches, added up by the tree ([`crate::Ranks`]), in tensors
//! that are kept from step to step.

use super::Gradients;
use super::linear::Width;
use crate::Result;
use crate::ranks::Tree;
use candle_core::{CpuStorage, Device, InplaceOp1, Layout, Tensor};
use hg_lstm::kernel::{Buffer, Real};
use rayon::prelude::*;

/// The gradients of one network, to be written all at once.
pub(super) struct Export<'a, S: Real> {
    parts: Vec<Part<'a, S>>,
}

struct Part<'a, S: Real> {
    name: String,
    shape: Vec<usize>,
    fill: Box<Filling<'a, S>>,
}

/// Writes a tensor's numbers, row-major.
type Filling<'a, S> = dyn Fn(&mut [S]) + Send + Sync + 'a;

impl<'a, S: Real> Export<'a, S> {
    pub(super) fn new() -> Self {
        Self { parts: Vec::new() }
    }

    /// The sum of padded buffers `[rows, columns]`.
    pub(super) fn sum(
        &mut self,
        name: String,
        shape: &[usize],
        buffers: Vec<&'a Buffer<S>>,
        [rows, columns]: [Width; 2],
    ) {
        let fill = move |to: &mut [S]| add_up(&buffers, rows, columns, to);
        self.parts.push(Part { name, shape: shape.to_vec(), fill: Box::new(fill) });
    }

    /// These numbers.
    pub(super) fn numbers(&mut self, name: String, shape: &[usize], values: Vec<S>) {
        let fill = move |to: &mut [S]| to.copy_from_slice(&values);
        self.parts.push(Part { name, shape: shape.to_vec(), fill: Box::new(fill) });
    }

    /// Writes all of them, each in its tensor of the last time where there is one.
    pub(super) fn write(self, into: &mut Gradients) -> Result<()> {
        for Part { name, shape, .. } in &self.parts {
            if !into.contains_key(name) {
                let zeros = Tensor::zeros(shape.as_slice(), S::DTYPE, &Device::Cpu)?;
                into.insert(name.clone(), zeros);
            }
        }
        self.parts.par_iter().try_for_each(|part| {
            // INVARIANT: put there above.
            Ok(into[&part.name].inplace_op1(&Fill(&*part.fill))?)
        })
    }
}

/// Adds padded buffers `[rows, columns]` up by the tree, row-major and without padding.
pub(super) fn add_up<S: Real>(buffers: &[&Buffer<S>], rows: Width, columns: Width, to: &mut [S]) {
    let tree = Tree::of_leaves(buffers.len());
    let mut waiting = tree.waiting(columns.real());
    for (n, to) in to.chunks_exact_mut(columns.real()).enumerate() {
        let row = rows.place(n);
        for (at, place, count) in columns.runs() {
            let part = |leaf: usize| &buffers[leaf].row(row)[place..place + count];
            tree.add_up(&part, &mut to[at..at + count], &mut waiting);
        }
    }
}

/// Overwrites a tensor on the CPU.
struct Fill<'a, S>(&'a Filling<'a, S>);

impl<S: Real> InplaceOp1 for Fill<'_, S> {
    fn name(&self) -> &'static str {
        "fill"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> candle_core::Result<()> {
        let taken = std::mem::replace(storage, S::to_cpu_storage_owned(Vec::new()));
        let mut values = S::cpu_storage_data(taken)?;
        (self.0)(&mut values);
        *storage = S::to_cpu_storage_owned(values);
        Ok(())
    }
}
