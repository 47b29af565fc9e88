//! Is it private: copies, distances to the closest record, and attacks.

pub(crate) mod closest_records;
pub(crate) mod identification;
pub(crate) mod identifiers;
pub(crate) mod inference;
pub(crate) mod membership;
mod patients;
mod sensitive_attributes;

pub use closest_records::{DistanceToClosestRecord, distance_to_closest_record};
pub use identification::{IDENTIFICATION_LIMIT, Identification};
pub use inference::Inference;
pub use membership::membership;
