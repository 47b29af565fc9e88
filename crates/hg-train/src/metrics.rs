//! What an iteration measured, as named numbers: what writes or draws them knows no model.

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;

/// What an iteration measured: one line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq)]
pub struct StepMetrics {
    /// Counted from 1.
    pub iteration: u64,
    /// Complete passes over the cohort.
    pub epoch: u64,
    /// Name and value of each number, in the order in which they are written.
    pub scalars: Vec<(Cow<'static, str>, f64)>,
}

impl StepMetrics {
    /// The number of a name, where this iteration measured it.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.scalars.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// The names that any of these iterations measured, in order of their first appearance.
    pub fn names(steps: &[Self]) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (name, _) in steps.iter().flat_map(|step| &step.scalars) {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_string());
            }
        }
        names
    }
}

const ITERATION: &str = "iteration";
const EPOCH: &str = "epoch";

impl Serialize for StepMetrics {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(2 + self.scalars.len()))?;
        map.serialize_entry(ITERATION, &self.iteration)?;
        map.serialize_entry(EPOCH, &self.epoch)?;
        for (name, value) in &self.scalars {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for StepMetrics {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OfMap;
        impl<'de> Visitor<'de> for OfMap {
            type Value = StepMetrics;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an iteration's numbers by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StepMetrics, A::Error> {
                let mut step = StepMetrics { iteration: 0, epoch: 0, scalars: Vec::new() };
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        ITERATION => step.iteration = map.next_value()?,
                        EPOCH => step.epoch = map.next_value()?,
                        // A number that was not finite is written as null.
                        _ => {
                            if let Some(value) = map.next_value::<Option<f64>>()? {
                                step.scalars.push((name.into(), value));
                            }
                        }
                    }
                }
                Ok(step)
            }
        }
        from.deserialize_map(OfMap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_numbers_keeps_their_names_order_and_bits() {
        let scalars = vec![("critic_loss".into(), 0.1 + 0.2), ("a_later_loss".into(), -1e-300)];
        let step = StepMetrics { iteration: 3, epoch: 1, scalars };
        let line = serde_json::to_string(&step).expect("writes");
        assert_eq!(
            line,
            r#"{"iteration":3,"epoch":1,"critic_loss":0.30000000000000004,"a_later_loss":-1e-300}"#
        );
        let read: StepMetrics = serde_json::from_str(&line).expect("reads");
        assert_eq!(read, step);
        assert_eq!(read.get("a_later_loss"), Some(-1e-300));
        assert_eq!(read.get("iteration"), None);
    }
}
