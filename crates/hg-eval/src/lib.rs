//! Measures and pictures of synthetic cohorts.
