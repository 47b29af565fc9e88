//! Is it private: copies, distances to the closest record, and attacks.

mod area;
mod classes;
pub(crate) mod closest_records;
pub(crate) mod density_ratio;
mod distance;
pub(crate) mod identification;
pub(crate) mod identifiers;
pub(crate) mod inference;
pub(crate) mod linkability;
pub(crate) mod linkage;
pub(crate) mod membership;
mod patients;
mod risk;
mod sensitive_attributes;
pub(crate) mod shadow_membership;
pub(crate) mod singling_out;
mod space;

pub use closest_records::{DistanceToClosestRecord, distance_to_closest_record};
pub use identification::{IDENTIFICATION_LIMIT, Identification};
pub use inference::Inference;
pub use linkage::{ClassRow, Linkage};
pub use membership::membership;
pub use risk::Risk;
pub use shadow_membership::ShadowMembership;
pub use singling_out::SinglingOut;
