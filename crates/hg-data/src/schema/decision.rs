//! What is decided about a patient at each step, for reinforcement learning.

use super::Kind;
use super::keys::SchemaKeys;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which columns are decided, and what is good for a patient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The columns that are decided at each step. Every combination of their levels is an
    /// action; a number without bins counts by its doses: the least, and the quartiles of the rest.
    pub actions: Vec<String>,
    /// The reward of a step: weights of numeric columns at the step after it, each as it is
    /// encoded, from 0 for its least value to 1 for its greatest.
    pub reward: BTreeMap<String, f64>,
    /// What a reward one step later is worth.
    #[serde(default = "discount")]
    pub discount: f64,
}

fn discount() -> f64 {
    0.95
}

impl Decision {
    /// (key, problem)
    pub(super) fn problems(&self, schema: &SchemaKeys) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let column = |name: &str| schema.columns.iter().find(|column| column.name == name);
        if self.actions.is_empty() {
            found.push((
                "actions",
                "no action is named\nhint: name the columns that are decided".into(),
            ));
        }
        for (n, name) in self.actions.iter().enumerate() {
            match column(name) {
                None => found.push(("actions", format!("action `{name}` is no [[columns]] entry"))),
                Some(column) if column.is_static => {
                    let problem = format!(
                        "action `{name}` is static\nhint: name a column that changes from step to step"
                    );
                    found.push(("actions", problem));
                }
                Some(_) if self.actions[..n].contains(name) => {
                    found.push(("actions", format!("action `{name}` is named twice")));
                }
                Some(_) => {}
            }
        }
        if self.reward.is_empty() {
            found.push((
                "reward",
                "no column has a weight\nhint: name what is good, as MAP = 1.0".into(),
            ));
        }
        for (name, weight) in &self.reward {
            match column(name) {
                None => found.push(("reward", format!("`{name}` is no [[columns]] entry"))),
                Some(column) if column.kind != Kind::Numeric || column.bins.is_some() => {
                    let problem = format!("`{name}` must be numeric and have no bins");
                    found.push(("reward", problem));
                }
                Some(_) if self.actions.contains(name) => {
                    found.push(("reward", format!("`{name}` is an action, not a result of one")));
                }
                Some(_) if !weight.is_finite() => {
                    found.push(("reward", format!("the weight of `{name}` must be finite")));
                }
                Some(_) => {}
            }
        }
        if !(0. ..1.).contains(&self.discount) {
            let problem = format!("discount is {}, it must be from 0 to below 1", self.discount);
            found.push(("discount", problem));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use crate::Schema;
    use std::path::Path;

    #[test]
    fn what_cannot_be_decided_or_rewarded_is_refused_with_its_line() {
        let text = r#"name = "small"
[patient]
column = "id"
quasi_identifiers = ["nobody"]
[time]
column = "day"
step = 1.0
[decision]
actions = ["sex", "drug", "dose"]
reward = { drug = 1.0, x = 1.0 }
discount = 1.0
[[columns]]
name = "sex"
kind = "binary"
static = true
[[columns]]
name = "drug"
kind = "binary"
[[columns]]
name = "x"
kind = "numeric"
"#;
        let path = Path::new("s.toml");
        let message = Schema::parse(text, path).expect_err("refused").to_string();
        for part in [
            "s.toml, line 4: patient.quasi_identifiers: `nobody` is no [[columns]] entry",
            "s.toml, line 9: decision.actions: action `sex` is static\nhint: name a column that changes from step to step",
            "s.toml, line 9: decision.actions: action `dose` is no [[columns]] entry",
            "s.toml, line 10: decision.reward: `drug` must be numeric and have no bins",
            "s.toml, line 11: decision.discount: discount is 1, it must be from 0 to below 1",
        ] {
            assert!(message.contains(part), "{message}");
        }
        let sound = text
            .replace("\"sex\", \"drug\", \"dose\"", "\"drug\"")
            .replace("drug = 1.0, ", "")
            .replace("discount = 1.0", "discount = 0.5")
            .replace("nobody", "sex");
        let schema = Schema::parse(&sound, path).expect("sound");
        assert_eq!(schema.quasi_identifiers(), [0]);
        assert_eq!(schema.decision.map(|decision| decision.discount), Some(0.5));
    }
}
