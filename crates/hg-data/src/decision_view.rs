//! Encoded rows as observations, actions and rewards, by the schema's `[decision]`.

use crate::{Decision, Encoded, Encoder};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// How the rows of an encoder are seen where something is decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecisionView {
    /// The features that an observation is made of: all besides the actions'.
    observed: Vec<usize>,
    actions: Vec<ActionColumn>,
    /// (feature, weight)
    reward: Vec<(usize, f64)>,
}

/// An action's column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum ActionColumn {
    /// A block of levels.
    Levels(Range<usize>),
    /// A number, and where its doses begin.
    Doses(usize, Vec<f32>),
}

impl DecisionView {
    /// By what `decision` says of an encoder's columns; the doses of a number are those of a cohort.
    pub fn new(encoder: &Encoder, decision: &Decision, cohort: &Encoded) -> Self {
        let features = |name: &String| {
            let columns = &encoder.schema.columns;
            let column = columns.iter().position(|column| column.name == *name);
            column.map(|column| encoder.features_of(column))
        };
        // A schema that was checked names no other column.
        let of_actions: Vec<Range<usize>> = decision.actions.iter().filter_map(features).collect();
        let reward = decision.reward.iter();
        let reward = reward.filter_map(|(name, weight)| Some((features(name)?.next()?, *weight)));
        let reward = reward.collect();
        let is_action = |feature: &usize| of_actions.iter().any(|block| block.contains(feature));
        let observed = (0..encoder.features()).filter(|feature| !is_action(feature)).collect();
        let actions = of_actions.iter().map(|block| match block.len() {
            1 => doses(cohort, block.start),
            _ => ActionColumn::Levels(block.clone()),
        });
        Self { observed, actions: actions.collect(), reward }
    }

    /// The features that an observation is made of.
    pub fn observed(&self) -> &[usize] {
        &self.observed
    }

    /// What a row shows besides the actions.
    pub fn observation<'a>(&'a self, row: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        self.observed.iter().map(|&feature| row[feature])
    }

    /// The position of the level, or of the dose, of each action column.
    pub fn actions<'a>(&'a self, row: &'a [f32]) -> impl Iterator<Item = usize> + 'a {
        self.actions.iter().map(|action| match action {
            ActionColumn::Levels(block) => {
                let levels = row[block.clone()].iter().enumerate();
                levels.max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(level, _)| level)
            }
            ActionColumn::Doses(feature, cuts) => cuts.partition_point(|cut| *cut <= row[*feature]),
        })
    }

    /// How many levels, or doses, each action column has.
    pub fn levels(&self) -> impl Iterator<Item = usize> {
        self.actions.iter().map(|action| match action {
            ActionColumn::Levels(block) => block.len().max(1),
            ActionColumn::Doses(_, cuts) => cuts.len() + 1,
        })
    }

    /// The reward of reaching a row.
    pub fn reward(&self, row: &[f32]) -> f64 {
        self.reward.iter().map(|&(feature, weight)| weight * f64::from(row[feature])).sum()
    }
}

/// The doses of a number: its least value, and the quartiles of what is more.
fn doses(cohort: &Encoded, feature: usize) -> ActionColumn {
    let mut values: Vec<f32> = cohort.rows().map(|row| row[feature]).collect();
    values.sort_by(f32::total_cmp);
    let least = values.first().copied().unwrap_or(0.);
    let more = &values[values.partition_point(|&value| value <= least)..];
    let mut cuts: Vec<f32> = (0..4).filter_map(|n| more.get(n * more.len() / 4).copied()).collect();
    cuts.dedup();
    ActionColumn::Doses(feature, cuts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Result, Schema, Subset, Table};
    use polars_core::df;
    use std::path::Path;

    #[test]
    fn a_row_is_an_observation_an_action_and_a_reward() -> Result<()> {
        let schema = "name = \"t\"\n[patient]\ncolumn = \"id\"\n[time]\ncolumn = \"t\"\nstep = 1.0\n\
            [decision]\nactions = [\"drug\", \"dose\"]\nreward = { x = 2.0 }\n\
            [[columns]]\nname = \"x\"\nkind = \"numeric\"\n\
            [[columns]]\nname = \"dose\"\nkind = \"numeric\"\n\
            [[columns]]\nname = \"sex\"\nkind = \"binary\"\nlevels = [\"f\", \"m\"]\nstatic = true\n\
            [[columns]]\nname = \"drug\"\nkind = \"categorical\"\nlevels = [\"a\", \"b\", \"c\"]\n";
        let schema = Schema::parse(schema, Path::new("t.toml"))?;
        let frame = df!(
            "id" => [1, 1, 1, 1, 1],
            "t" => [0, 1, 2, 3, 4],
            "x" => [0., 1., 2., 3., 4.],
            "dose" => [0., 10., 20., 30., 40.],
            "sex" => ["m"; 5],
            "drug" => ["c", "a", "b", "b", "a"],
        )?;
        let (encoder, cohort) = Encoder::fit(&schema, &Table::from(frame), Subset::Whole)?;
        let decision = encoder.schema.decision.clone().expect("a decision");
        let view = DecisionView::new(&encoder, &decision, &cohort);
        assert_eq!(view.levels().collect::<Vec<_>>(), [3, 5]);
        assert_eq!(view.observed(), [0, 2, 3]);
        let row = cohort.row(0, 3);
        assert_eq!(view.observation(row).collect::<Vec<_>>(), [row[0], 0., 1.]);
        assert_eq!(view.actions(row).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(view.actions(cohort.row(0, 0)).collect::<Vec<_>>(), [2, 0]);
        assert_eq!(view.reward(row), 2. * f64::from(row[0]));
        Ok(())
    }
}
