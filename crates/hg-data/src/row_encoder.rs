//! Rows of numbers, encoded one by one without a table: for a simulator that a policy sees step by
//! step.

use crate::encode::Place;
use crate::kept::{Feature, feature};
use crate::{Encoder, Error, FittedColumn, FittedKind, Result};

/// Encodes rows whose cells are numbers, in an order of columns that is chosen once. A level is
/// given as the number that it is written as.
///
/// # Invariants
/// A row is encoded as [`Encoder::encode`] encodes that row of a table.
#[derive(Clone, Debug)]
pub struct RowEncoder {
    columns: Vec<RowColumn>,
    features: usize,
}

#[derive(Clone, Debug)]
struct RowColumn {
    /// Where in a row of cells its cell is.
    cell: usize,
    fitted: FittedColumn,
    place: Place,
    /// The numbers that its levels are written as.
    levels: Vec<f64>,
}

impl Encoder {
    /// An encoder of rows of these columns' cells. Features of columns that are in `without` alone
    /// stay 0.
    ///
    /// # Errors
    /// For a column that is in neither, levels that are no numbers, and columns whose encoding
    /// depends on others' by a rule.
    pub fn row_encoder(&self, columns: &[&str], without: &[String]) -> Result<RowEncoder> {
        let mut found = Vec::new();
        let of_encoder = self.schema.columns.iter().zip(&self.columns).zip(self.places());
        for ((column, fitted), place) in of_encoder {
            let name = column.name.as_str();
            let wrong = |problem: &str| Error::column("simulated rows", name, problem.to_owned());
            let Some(cell) = columns.iter().position(|cell| *cell == name) else {
                if without.iter().any(|left_out| left_out == name) {
                    continue;
                }
                return Err(wrong(
                    "the simulation has no such column\nhint: use a schema of its columns, as data-schemas/art-for-hiv.toml",
                ));
            };
            let levels = column.level_names();
            let levels: Option<Vec<f64>> = levels.iter().map(|level| level.parse().ok()).collect();
            let levels = levels.ok_or_else(|| {
                wrong("its levels are no numbers\nhint: the simulation's are, as 0 and 1")
            })?;
            found.push(RowColumn { cell, fitted: fitted.clone(), place, levels });
        }
        if !self.construction.is_empty() {
            let problem = "a rule makes one column's encoding depend on another's\nhint: leave rules with `<=` out of the schema";
            return Err(Error::table("simulated rows", problem));
        }
        Ok(RowEncoder { columns: found, features: self.features() })
    }
}

impl RowEncoder {
    /// Features of an encoded row.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Encodes `cells` into `row` `[features]`. A level that was not fitted to counts as the
    /// commonest.
    pub fn encode(&self, cells: &[f64], row: &mut [f32]) {
        row.fill(0.);
        for RowColumn { cell, fitted, place, levels } in &self.columns {
            let x = cells[*cell];
            let mut put = |at: usize, Feature { at: further, value }: Feature| {
                row[at + further as usize] = value;
            };
            match &fitted.kind {
                FittedKind::Discrete { fill, .. } => {
                    let level = levels.iter().position(|level| *level == x).unwrap_or(*fill);
                    put(place.value, feature(fitted, level as f64));
                }
                FittedKind::Constant { .. } | FittedKind::Empty => continue,
                FittedKind::Numeric { .. } | FittedKind::Binned { .. } => {
                    put(place.value, feature(fitted, x));
                }
            }
            if let FittedKind::Numeric { spikes, .. } = &fitted.kind
                && let Some(width) = spikes.width()
            {
                let level = spikes.position(x).unwrap_or(width - 1);
                put(place.spikes, Feature { at: level as u32, value: 1. });
            }
            if let Some(flag) = place.flag {
                put(flag, Feature { at: 1, value: 1. });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{OBSERVED, Simulation};
    use crate::{Schema, Subset, Table};
    use std::path::Path;

    const SCHEMA: &str = include_str!("../../../data-schemas/art-for-hiv.toml");

    #[test]
    fn a_row_is_encoded_as_in_a_table() -> Result<()> {
        let spiked = SCHEMA.replacen(
            "shift = 0.001\n",
            "shift = 0.001\nspikes = [20.0]\nmissing_indicator = true\n",
            1,
        );
        assert_ne!(spiked, SCHEMA);
        for schema in [SCHEMA, &spiked] {
            let schema = Schema::parse(schema, Path::new("art-for-hiv.toml"))?;
            let simulation = Simulation::shared()?;
            let table = |seed| simulation.cohort(20, seed).next().expect("a part");
            let (encoder, _) = Encoder::fit(&schema, &Table::from(table(1)?), Subset::Whole)?;
            // Others, whose values lie beyond those that it was fitted to.
            let others = table(2)?;
            let encoded = encoder.encode(&Table::from(others.clone()), Subset::Whole)?;
            let actions = schema.decision.as_ref().map(|d| d.actions.clone()).unwrap_or_default();
            let of_rows = encoder.row_encoder(&OBSERVED, &actions)?;
            let is_of_action = |feature: usize| {
                schema.columns.iter().enumerate().any(|(n, column)| {
                    actions.contains(&column.name) && encoder.features_of(n).contains(&feature)
                })
            };
            let mut row = vec![1.; of_rows.features()];
            for (n, whole) in encoded.rows().enumerate() {
                let cells: Vec<f64> = OBSERVED
                    .iter()
                    .map(|name| Ok(others.column(name)?.get(n)?.try_extract()?))
                    .collect::<Result<_>>()?;
                of_rows.encode(&cells, &mut row);
                for feature in (0..row.len()).filter(|feature| !is_of_action(*feature)) {
                    assert_eq!(row[feature], whole[feature], "row {n}, feature {feature}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn a_schema_of_other_columns_has_no_rows_here() -> Result<()> {
        let schema = Schema::parse(SCHEMA, Path::new("art-for-hiv.toml"))?;
        let table = Simulation::shared()?.cohort(5, 1).next().expect("a part")?;
        let (encoder, _) = Encoder::fit(&schema, &Table::from(table), Subset::Whole)?;
        let problem = encoder.row_encoder(&OBSERVED, &[]).expect_err("refused").to_string();
        assert!(
            problem.contains("`Base Drug Combo`: the simulation has no such column"),
            "{problem}"
        );
        Ok(())
    }
}
