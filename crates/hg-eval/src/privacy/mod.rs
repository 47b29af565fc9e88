//! Is it private: copies, distances to the closest record, and attacks.

mod closest_records;
mod identification;
mod identifiers;
mod inference;
mod membership;
mod patients;
mod sensitive_attributes;

pub(crate) use closest_records::ClosestRecords;
pub use closest_records::{DistanceToClosestRecord, distance_to_closest_record};
pub(crate) use identification::IdentityDisclosure;
pub use identification::{IDENTIFICATION_LIMIT, Identification};
pub(crate) use identifiers::SharedIdentifiers;
pub(crate) use inference::AttributeInference;
pub use inference::Inference;
pub(crate) use membership::MembershipInference;
pub use membership::membership;
