//! Is it private: copies, nearness, and attacks.

mod disclosure;
mod identification;
mod inference;
mod patients;
mod secrets;

pub use disclosure::{Nearness, membership, nearness};
pub(crate) use identification::identification;
pub use identification::{IDENTIFICATION_LIMIT, Identification};
pub use inference::Inference;
pub(crate) use inference::inference;
pub(crate) use patients::Patients;
