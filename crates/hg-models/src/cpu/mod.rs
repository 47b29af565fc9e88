//! Losses and their gradients by hand, on the CPU: what training runs.
//!
//! A batch is cut into micro-batches of a few sequences. A micro-batch goes through generator,
//! critic, gradient penalty and all gradients alone, in buffers of its own that stay in the cache
//! and are used again in the next step; its gradients are then added up in the order of
//! micro-batches. So the result does not depend on the number of threads, and memory hardly on the
//! batch.
//!
//! Within a micro-batch the sequences are sorted longest first, and rows are packed time by time:
//! all sequences' step 0, then step 1 of those that have one, and so on. No padded step is ever
//! computed.
//!
//! The maths is that of [`crate::Critic`] and [`crate::Generator`] under autograd, which the tests
//! hold it against; [`hg_lstm::kernel`] has the recurrences. For the second order
//! (`docs/method.md`, "Second order"), with g = ∇C(x̂) and w = λ ∂(‖g‖ − 1)²/∂g held constant, the
//! penalty's gradient is that of the directional derivative w · ∇C(x̂): a JVP and one more backward
//! pass.

mod bilstm;
mod carry;
mod compare;
mod correlation;
mod critic;
mod engine;
mod export;
mod generator;
mod linear;
mod micro_batch;

pub use correlation::Alignment;
pub use engine::{CriticMeasures, Engine, GeneratorMeasures, Gradients, Guard, RealBatch};

/// The slope of leaky ReLU below 0.
const LEAK: f64 = crate::dense::LEAK;
