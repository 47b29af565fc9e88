//! From a clinical table to encoded sequences and back.
//!
//! A [`Schema`] (TOML) says which column is the patient, which the time, and
//! what every other column is. [`read_table`] reads CSV or Parquet,
//! [`Encoder::fit`] turns the table into sequences
//! `[patients, steps, features]` with values in [0, 1], and
//! [`Encoder::decode`] turns such sequences into a table with the original
//! names, levels, types and number of decimals.
//!
//! This crate knows nothing about neural networks.

mod decode;
mod encode;
mod error;
mod grid;
mod observe;
mod schema;
mod table;
mod transform;
mod typed;

pub use encode::{Encoded, Encoder, FittedColumn, FittedKind};
pub use error::{Error, Result};
pub use observe::Observed;
pub use schema::{
    Aggregate, Censored, Column, Kind, Patient, Schema, Sequence, ShortPatients, Time, Transform,
};
pub use table::{fingerprint, read_table, write_atomically, write_table};
pub use transform::FittedTransform;

pub use polars::prelude::DataFrame;
