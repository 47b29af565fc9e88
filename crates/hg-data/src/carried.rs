//! Which features of a row repeat the row before where nothing was measured: by a rule (`x carried when
//! flag = level`), and where gaps are filled from the step before.

use crate::encode::Place;
use crate::{Encoder, FittedKind, Impute, Rule};
use std::ops::Range;

/// When a rule carries a column: where this level of the flag's block is the greatest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CarriedWhen {
    pub(crate) block: Range<usize>,
    pub(crate) level: usize,
}

impl Encoder {
    /// Features of real rows that repeat the row before where another feature is 1, each range with that
    /// feature. Those are never carried themselves, and a feature is carried by one at most.
    pub fn carried(&self) -> Vec<(usize, Range<usize>)> {
        let (by_rule, places) = (self.carried_by_rule(), self.places());
        let flags: Vec<usize> =
            by_rule.iter().flatten().map(|carried| carried.block.start).collect();
        let mut found = Vec::new();
        let columns = self.schema.columns.iter().zip(&self.columns).zip(&places).zip(&by_rule);
        for (n, (((column, fitted), place), by_rule)) in columns.enumerate() {
            // Of a distance from other columns it is not the distance that repeats.
            if column.is_static || self.construction.get(n).is_some() {
                continue;
            }
            let Place { value, spikes, flag } = *place;
            let by = match by_rule {
                Some(CarriedWhen { block, level }) => Some(block.start + level),
                None if column.impute == Impute::None || flags.contains(&value) => None,
                None => flag,
            };
            let Some(by) = by else { continue };
            found.push((by, self.features_of(n)));
            if fitted.width().is_none()
                && let Some(width) = fitted.block().filter(|&width| width > 0)
            {
                found.push((by, spikes..spikes + width));
            }
            // Whether it was measured repeats as well.
            if let (Some(_), Some(flag)) = (by_rule, flag) {
                found.push((by, flag..flag + 2));
            }
        }
        found
    }

    /// Of each column, when a rule carries it. A flag that is carried itself carries nothing.
    pub(crate) fn carried_by_rule(&self) -> Vec<Option<CarriedWhen>> {
        let places = self.places();
        let rules = &self.schema.rules;
        let position = |name: &str| self.schema.columns.iter().position(|c| c.name == name);
        let is_carried = |name: &str| {
            rules.iter().any(|rule| matches!(rule, Rule::Carried { column, .. } if column == name))
        };
        let mut found = vec![None; places.len()];
        for rule in rules {
            let Rule::Carried { column, flag, level } = rule else { continue };
            let (Some(n), Some(flag)) = (position(column), position(flag)) else { continue };
            let of_flag = &self.schema.columns[flag];
            let FittedKind::Discrete { levels, .. } = self.columns[flag].kind else { continue };
            let Some(level) = of_flag.position_of(level) else { continue };
            if !is_carried(&of_flag.name) {
                let first = places[flag].value;
                found[n] =
                    Some(CarriedWhen { block: first..first + levels, level: level as usize });
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use crate::{Encoder, Schema, Subset, Table};

    /// Two patients: `x` carried by a flag, `y` with gaps that are filled from the step before.
    fn fitted() -> (Encoder, crate::Encoded) {
        let schema = r#"
            name = "carried"
            [patient]
            column = "id"
            [time]
            column = "t"
            step = 1.0
            [[columns]]
            name = "x"
            kind = "numeric"
            [[columns]]
            name = "y"
            kind = "numeric"
            missing_indicator = true
            [[columns]]
            name = "flag"
            kind = "binary"
            levels = [0, 1]
            [[rules]]
            holds = "x carried when flag = 0"
        "#;
        let frame = polars_core::df!(
            "id" => [1, 1, 1, 2, 2],
            "t" => [0., 1., 2., 0., 1.],
            "x" => [1., 1., 3., 2., 5.],
            "y" => [Some(4.), None, Some(6.), Some(5.), None],
            "flag" => [1, 0, 1, 1, 1],
        );
        let schema = Schema::parse(schema, "carried.toml".as_ref()).expect("a schema");
        let table = Table::new(frame.expect("a frame"), "carried");
        Encoder::fit(&schema, &table, Subset::Whole).expect("fits")
    }

    #[test]
    fn a_rule_and_gaps_say_which_features_of_real_rows_repeat() {
        let (encoder, encoded) = fitted();
        // x, y, the flag's two levels, whether y was measured.
        assert_eq!(encoder.features(), 6);
        assert_eq!(encoder.carried(), [(2, 0..1), (4, 1..2)]);
        let mut repeated = 0;
        for (sequence, &length) in encoded.lengths.iter().enumerate() {
            for step in 1..length {
                let [row, before] = [step, step - 1].map(|step| encoded.row(sequence, step));
                for (by, features) in encoder.carried() {
                    if row[by] == 1. {
                        assert_eq!(row[features.clone()], before[features]);
                        repeated += 1;
                    }
                }
            }
        }
        assert_eq!(repeated, 3);
    }
}
