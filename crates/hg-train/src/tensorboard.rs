//! TensorBoard's event files.
//!
//! A file is a row of records: length (u64), its checksum, an `Event` message, its checksum,
//! all little-endian; a checksum is CRC-32C, rotated by 15 bits plus a constant.

use crate::StepMetrics;
use prost::Message;
use std::io::{Result, Write};

#[derive(Message)]
struct Event {
    /// Seconds. Ours say the iteration, so that a run can be repeated to the byte.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

#[derive(Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// What a file begins with.
pub(crate) fn write_head(to: &mut impl Write) -> Result<()> {
    let file_version = Some("brain.Event:2".to_owned());
    write_record(to, &Event { wall_time: 0., step: 0, file_version, summary: None })
}

/// An iteration's numbers.
pub(crate) fn write_step(to: &mut impl Write, step: &StepMetrics) -> Result<()> {
    let value = step
        .scalars
        .iter()
        .map(|(tag, value)| Scalar { tag: tag.to_string(), simple_value: Some(*value as f32) });
    let event = Event {
        wall_time: step.iteration as f64,
        step: step.iteration as i64,
        file_version: None,
        summary: Some(Summary { value: value.collect() }),
    };
    write_record(to, &event)
}

fn write_record(to: &mut impl Write, event: &Event) -> Result<()> {
    let message = event.encode_to_vec();
    let length = (message.len() as u64).to_le_bytes();
    to.write_all(&length)?;
    to.write_all(&checksum(&length).to_le_bytes())?;
    to.write_all(&message)?;
    to.write_all(&checksum(&message).to_le_bytes())
}

fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that TensorBoard's own writer (2.21, `EventFileWriter`) begins a file with,
    /// but for the time.
    #[test]
    fn a_file_begins_as_tensorboards_own_do() {
        let mut ours = Vec::new();
        write_head(&mut ours).expect("writes");
        let message = b"\x1a\x0dbrain.Event:2";
        assert_eq!(ours[..8], (message.len() as u64).to_le_bytes());
        assert_eq!(ours[12..12 + message.len()], *message);
        // CRC-32C of `123456789` is 0xe3069283 (RFC 3720).
        let rotated = 0xe306_9283u32.rotate_right(15).wrapping_add(0xa282_ead8);
        assert_eq!(checksum(b"123456789"), rotated);
    }
}
