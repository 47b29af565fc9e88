//! Arrays of NumPy's, by the buffer protocol: Python makes them, and they are read or filled here.

use crate::failure::Failure;
use pyo3::buffer::{Element, PyBuffer};
use pyo3::prelude::*;

/// The numbers of an array, row-major.
pub(crate) fn read<T: Element>(py: Python<'_>, array: &PyBuffer<T>) -> PyResult<Vec<T>> {
    array.to_vec(py)
}

/// Fills an array with as many numbers as it has.
pub(crate) fn fill<T: Element>(
    py: Python<'_>,
    array: &PyBuffer<T>,
    numbers: impl Iterator<Item = T>,
) -> PyResult<()> {
    let numbers: Vec<T> = numbers.collect();
    if numbers.len() != array.item_count() {
        let problem = format!("{} numbers for an array of {}", numbers.len(), array.item_count());
        return Err(Failure::BadInput(problem).raise(py));
    }
    array.copy_from_slice(py, &numbers)
}
