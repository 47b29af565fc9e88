//! Synthetic clinical cohorts from private ones.
//!
//! A [`Schema`] says what the columns of a table are, a [`Synthesizer`] is fitted to the table
//! and makes synthetic patients, and [`evaluate`] says whether these are real enough, private and
//! useful. The method is that of Kuo et al. (*The Health Gym*, Scientific Data 9:693, 2022): a
//! Wasserstein GAN with gradient penalty whose networks are bidirectional LSTMs.
//!
//! ```no_run
//! use health_gym::{Schema, Synthesizer, evaluate};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let schema = Schema::load("data-schemas/pbc.toml".as_ref())?;
//! let real = schema.read("data/pbc/pbcseq.csv".as_ref())?;
//! let synthesizer = Synthesizer::builder(schema.clone()).fit(&real)?;
//! let synthetic = synthesizer.sample(312, 0)?;
//! let report = evaluate(&real, &synthetic, &schema)?;
//! report.save("report")?;
//! # Ok(()) }
//! ```
//!
//! Everything works on tables in memory, which are polars' [`DataFrame`]s, and on files. What
//! stands below is here under [`data`] (tables), [`training`] (sessions, settings, run folders)
//! and [`measures`].

mod card;
mod error;
mod evaluation;
mod release;
mod session;
mod shadow;
mod simulated;
pub mod sweep;
mod synthesizer;

pub use card::{Card, CardAnswer, ColumnDistance, Guarantee, Measured, guarantee_of};
pub use error::{Error, Result};
pub use evaluation::{
    Evaluated, Progress, curves, evaluate, evaluate_files, evaluate_run, evaluate_run_with,
    evaluate_with,
};
pub use hg_eval::Attacks;
pub use release::{ReleaseOptions, Released, release};
pub use session::{Training, train_run, train_run_shared};
pub use synthesizer::{Interrupted, Synthesizer, SynthesizerBuilder};

pub use hg_data as data;
pub use hg_eval as measures;
pub use hg_train as training;

pub use hg_data::{DataFrame, Schema, Table};
pub use hg_train::{CancelToken, Event, Outcome, Run, Shard, StepMetrics, TrainConfig};

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
