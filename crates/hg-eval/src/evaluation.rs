//! All findings of one evaluation.

use crate::{Answer, Error, Figure, Finding, Measure, PatientCounts, Result, Subject, Topic};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use std::any::Any;

/// What some measures found of a synthetic cohort.
///
/// In JSON it is one object: `answers` (topic, about, question, passed, because), `patients`,
/// `remarks` where there are any, `figures` by the measure's id (name, synthetic, held_out), and
/// what each measure adds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Evaluation {
    /// How many patients were compared.
    pub patients: PatientCounts,
    /// What a reader must know of the cohorts, in whole sentences.
    pub remarks: Vec<String>,
    /// In the order of the measures.
    findings: Vec<Entry>,
}

/// A finding, and whose it is.
#[derive(Clone, Debug)]
struct Entry {
    id: &'static str,
    topic: Topic,
    finding: Finding,
}

/// Computes some measures, one after the other; `on_stage` hears the
/// [stage](Measure::stage) of each before it begins.
///
/// # Errors
/// What a measure reports; [`Error::SameId`] and [`Error::SameKey`] for measures that do not go
/// together.
pub fn evaluate(
    subject: &Subject<'_>,
    measures: &[Box<dyn Measure>],
    on_stage: &mut dyn FnMut(&'static str),
) -> Result<Evaluation> {
    let mut findings: Vec<Entry> = Vec::with_capacity(measures.len());
    for measure in measures {
        let (id, topic) = (measure.id(), measure.topic());
        if findings.iter().any(|entry| entry.id == id) {
            return Err(Error::SameId { id });
        }
        on_stage(measure.stage());
        findings.push(Entry { id, topic, finding: measure.compute(subject)? });
    }
    let (patients, remarks) = (subject.patients(), subject.remarks.to_vec());
    let evaluation = Evaluation { patients, remarks, findings };
    evaluation.json()?;
    Ok(evaluation)
}

impl Evaluation {
    /// The finding of the measure with this id.
    pub fn finding(&self, id: &str) -> Option<&Finding> {
        self.findings.iter().find(|entry| entry.id == id).map(|entry| &entry.finding)
    }

    /// The typed result of the measure with this id, as
    /// `evaluation.detail::<Columns>("column-distances")`. `None` where that measure was not
    /// computed, or had nothing to compare.
    pub fn detail<T: Any>(&self, id: &str) -> Option<&T> {
        self.finding(id)?.detail()
    }

    /// The id and finding of each measure, in the order of the measures.
    pub fn findings(&self) -> impl Iterator<Item = (&'static str, &Finding)> {
        self.findings.iter().map(|entry| (entry.id, &entry.finding))
    }

    /// The short answers by topic, in the order of the report; topics without any are left out.
    pub fn answers_by_topic(&self) -> Vec<(Topic, Vec<&Answer>)> {
        let answers_of = |topic: Topic| -> Vec<&Answer> {
            let entries = self.findings.iter().filter(|entry| entry.topic == topic);
            entries.flat_map(|entry| &entry.finding.answers).collect()
        };
        let topics = Topic::ALL.into_iter().map(|topic| (topic, answers_of(topic)));
        topics.filter(|(_, answers)| !answers.is_empty()).collect()
    }

    /// All short answers, in the order of the report.
    pub fn answers(&self) -> Vec<&Answer> {
        self.answers_by_topic().into_iter().flat_map(|(_, answers)| answers).collect()
    }

    /// All figures, in the order of the report.
    pub fn figures(&self) -> impl Iterator<Item = &Figure> {
        self.findings.iter().flat_map(|entry| &entry.finding.figures)
    }

    /// What all measures put into the JSON.
    fn json(&self) -> Result<Map<String, Value>> {
        let mut all = Map::new();
        for Entry { id, finding, .. } in &self.findings {
            for (key, value) in &finding.json {
                let is_free = !RESERVED.contains(&key.as_str());
                let merged = is_free.then(|| match all.remove(key) {
                    Some(before) => merge(before, value.clone()),
                    None => Some(value.clone()),
                });
                let Some(merged) = merged.flatten() else {
                    return Err(Error::SameKey { id, key: key.clone() });
                };
                all.insert(key.clone(), merged);
            }
        }
        Ok(all)
    }
}

/// Keys of the JSON that belong to the evaluation itself.
const RESERVED: [&str; 4] = ["answers", "patients", "remarks", "figures"];

/// Both objects in one, and `null` gives way; `None` where both have other values.
fn merge(first: Value, second: Value) -> Option<Value> {
    match (first, second) {
        (Value::Null, value) | (value, Value::Null) => Some(value),
        (Value::Object(mut first), Value::Object(second)) => {
            for (key, value) in second {
                let merged = match first.remove(&key) {
                    Some(before) => merge(before, value)?,
                    None => value,
                };
                first.insert(key, merged);
            }
            Some(Value::Object(first))
        }
        _ => None,
    }
}

impl Serialize for Evaluation {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct InTopic<'a> {
            topic: Topic,
            #[serde(flatten)]
            answer: &'a Answer,
        }
        let by_topic = self.answers_by_topic().into_iter();
        let answers: Vec<InTopic<'_>> = by_topic
            .flat_map(|(topic, answers)| {
                answers.into_iter().map(move |answer| InTopic { topic, answer })
            })
            .collect();
        let mut figures = Map::new();
        for (id, finding) in self.findings().filter(|(_, finding)| !finding.figures.is_empty()) {
            let of_measure = serde_json::to_value(&finding.figures);
            figures.insert(id.into(), of_measure.map_err(serde::ser::Error::custom)?);
        }

        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("answers", &answers)?;
        map.serialize_entry("patients", &self.patients)?;
        if !self.remarks.is_empty() {
            map.serialize_entry("remarks", &self.remarks)?;
        }
        for (key, value) in self.json().map_err(serde::ser::Error::custom)? {
            map.serialize_entry(&key, &value)?;
        }
        map.serialize_entry("figures", &figures)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_merge_and_other_values_exclude_each_other() {
        let merged = merge(json!({"a": 1, "n": {"x": 1}}), json!({"b": 2, "n": {"y": 2}}));
        assert_eq!(merged, Some(json!({"a": 1, "b": 2, "n": {"x": 1, "y": 2}})));
        assert_eq!(merge(json!(null), json!(3)), Some(json!(3)));
        assert_eq!(merge(json!([3]), json!(null)), Some(json!([3])));
        assert_eq!(merge(json!({"a": 1}), json!({"a": 2})), None);
        assert_eq!(merge(json!([1]), json!([1])), None);
    }
}
