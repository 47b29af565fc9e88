//! From a clinical table to encoded sequences and back.
//!
//! A [`Schema`] (TOML) says which column is the patient, which the time, and
//! what every other column is; [`infer`] proposes one for a table.
//! [`Schema::read`] reads CSV, Parquet or Arrow IPC, [`Encoder::fit`] turns the table into sequences
//! `[patients, steps, features]` with values in [0, 1], and
//! [`Encoder::decode`] turns such sequences into a table with the original
//! names, levels, types and number of decimals.
//!
//! This crate knows nothing about neural networks.

mod bins;
mod calibration;
mod carried;
mod clock;
mod compact;
mod construct;
mod csv;
mod decision_view;
mod decode;
mod encode;
mod error;
mod feature_names;
mod files;
mod full_steps;
mod given;
mod grid;
mod identifiers;
mod interchange;
mod kept;
mod level_cells;
mod levels;
mod like;
mod notation;
mod notes;
mod number_cells;
mod observe;
mod parsed;
mod parts;
mod private;
mod quantile_table;
mod row_encoder;
mod sample;
mod sampled;
mod saved;
mod scattered;
mod schema;
mod shares;
pub mod simulate;
mod source;
mod spans;
mod spikes;
mod split;
mod statics;
mod style;
mod table;
mod table_set;
mod text;
mod time_cells;
mod transform;
mod values;
mod violations;
mod visits;
mod write;

pub use bins::FittedBins;
pub use calibration::{Calibration, Distribution};
pub use decision_view::DecisionView;
pub use decode::{Cells, Draws, Numbering};
pub use encode::{Encoded, Encoder, FittedColumn, FittedKind, PatientSource, ValueGrid};
pub use error::{Error, Result};
pub use files::{fill_then_rename, fingerprint, fingerprint_of, write_atomically};
pub use given::Given;
pub use grid::RowCounts;
pub use identifiers::{IdentifierColumn, Identifiers};
pub use like::{Place, WantedStatics};
pub use observe::{Observed, Origin, OutOfDomain};
pub use private::ReleaseNoise;
pub use row_encoder::RowEncoder;
pub use sampled::Sampled;
pub use schema::{
    Aggregate, Binary, Bins, Categorical, Censored, Column, ColumnBuilder, ColumnKind,
    ColumnSource, Cuts, Decision, DecodeBins, Impute, Kind, Level, Numeric, NumericModel, Patient,
    Privacy, Proposal, Rare, Rule, Schema, SchemaBuilder, Sequence, ShortPatients, SourceTable,
    Start, Step, TableRole, Time, TimeModel, Transform, infer, infer_table, json_schema,
};
pub use shares::{MetConditions, Shares};
pub use source::{Resolution, SourceType, TimeSource};
pub use spans::SpanClass;
pub use spikes::FittedSpikes;
pub use split::{Split, Subset};
pub use statics::Shown;
pub use style::{CellStyle, TableStyle};
pub use table::{READING, Table, keep_silent_about_reading};
pub use table_set::TableForm;
pub use transform::FittedTransform;
pub use values::Values;
pub use violations::Violations;
pub use visits::VisitGrid;
pub use write::{write_simulated, write_table};

pub use polars_core::prelude::DataFrame;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
