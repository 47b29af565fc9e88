//! LSTM layers for candle whose gradients are right to second order.
//!
//! candle's `backward()` detaches the gradients that it returns, so a loss
//! that contains a gradient (the gradient penalty of WGAN-GP, for one) gets a
//! wrong derivative without an error. Here the gradient with respect to a
//! layer's *input* is a forward computation of its own, made of ordinary
//! tracked operations: [`Trace::input_gradient`]. One usual `backward()` over a
//! loss built from it gives the exact second-order gradient; no environment
//! variable is needed.
//!
//! ```
//! use candle_core::{DType, Device, Tensor, Var};
//! use hg_lstm::{Lengths, Lstm, LstmConfig};
//! # fn main() -> anyhow::Result<()> {
//! let device = Device::Cpu;
//! let weights = candle_nn::VarMap::new();
//! let vb = candle_nn::VarBuilder::from_varmap(&weights, DType::F64, &device);
//! let lstm = Lstm::new(LstmConfig { input: 3, hidden: 5 }, vb)?;
//!
//! // Two sequences, of 4 and 2 steps, in one batch [2, 4, 3].
//! let x = Tensor::rand(0f64, 1., (2, 4, 3), &device)?;
//! let lengths = Lengths::new(vec![4, 2], 4)?;
//! let trace = lstm.forward(&x, &lengths)?;
//! let hidden = trace.hidden()?; // [2, 4, 5], zero beyond each length
//!
//! // ‖d(sum of hidden)/dx‖², and its gradient for the recurrent weights.
//! let input_gradient = trace.input_gradient(&hidden.ones_like()?)?;
//! let penalty = input_gradient.sqr()?.sum_all()?;
//! let gradients = penalty.backward()?;
//! let recurrent = weights.data().lock().expect("no thread panicked")["h2h.weight"].clone();
//! let second_order = gradients.get(&recurrent).expect("the penalty depends on it");
//! assert!(second_order.abs()?.max_all()?.to_scalar::<f64>()? > 0.);
//! # Ok(()) }
//! ```
//!
//! This crate knows nothing about health data.

mod bidirectional;
mod cell;
mod custom_op;
pub mod kernel;
mod lengths;
mod lstm;
mod recurrence;
mod reference;

pub use bidirectional::{BiLstm, BiTrace, ReverseAlignment};
pub use cell::{CellState, lstm_cell};
pub use lengths::Lengths;
pub use lstm::{Lstm, LstmConfig, Trace};
pub use recurrence::Recurrence;

/// What can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// [`kernel::VECTORS`] names no path of this processor.
    #[error(
        "{} is `{named}`, which this processor does not have\nhint: use one of {}, or unset it",
        kernel::VECTORS,
        available.iter().map(|path| format!("{path:?}").to_lowercase()).collect::<Vec<_>>().join(", ")
    )]
    Vectors {
        /// The name that it holds.
        named: String,
        /// The paths of this processor.
        available: Vec<kernel::SimdPath>,
    },
    /// A tensor has another shape than the layer was built for.
    #[error("{what}: expected shape {expected}, got {got:?}")]
    Shape {
        /// The tensor in question.
        what: &'static str,
        /// The shape in words.
        expected: String,
        /// The shape that came.
        got: Vec<usize>,
    },
    /// A row's length is 0 or exceeds the number of time steps.
    #[error("row {row} has length {length}, which is outside 1..={steps}")]
    Length {
        /// Row of the batch, from 0.
        row: usize,
        /// Its length.
        length: usize,
        /// Time steps in the batch.
        steps: usize,
    },
    /// A batch without rows.
    #[error("the batch has no rows")]
    EmptyBatch,
    /// An error of candle itself.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// Shorthand for this crate's results.
pub type Result<T> = std::result::Result<T, Error>;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
