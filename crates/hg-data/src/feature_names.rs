//! Names of the features of an encoded row.

use crate::{Encoder, FittedKind};

impl Encoder {
    /// A name for each feature of a row: a number's column; for a block the column and the level,
    /// bin or spike; and whether the column was measured, where that is modelled.
    pub fn feature_names(&self) -> Vec<String> {
        let mut names = vec![String::new(); self.features()];
        let mut put = |first: usize, of_block: Vec<String>| {
            names.iter_mut().skip(first).zip(of_block).for_each(|(name, new)| *name = new);
        };
        let columns = self.schema.columns.iter().zip(&self.columns).zip(self.places());
        for ((column, fitted), place) in columns {
            let name = &column.name;
            let levels = |levels: Vec<String>| {
                levels.iter().map(|level| format!("{name} = {level}")).collect::<Vec<_>>()
            };
            match &fitted.kind {
                FittedKind::Discrete { .. } => put(place.value, levels(column.level_names())),
                FittedKind::Binned { bins, .. } => {
                    let labels = column.bins().map(|of| bins.labels(of)).unwrap_or_default();
                    put(place.value, levels(labels));
                }
                FittedKind::Numeric { spikes, .. } => {
                    if spikes.width().is_some() {
                        let at = spikes.values().iter().map(f64::to_string);
                        put(place.spikes, levels(at.chain(["other".to_owned()]).collect()));
                    }
                    put(place.value, vec![name.clone()]);
                }
                FittedKind::Constant { .. } | FittedKind::Empty => {}
            }
            if let Some(flag) = place.flag {
                put(flag, vec![format!("{name} not measured"), format!("{name} measured")]);
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use crate::{Encoder, Result, Schema, Subset, Table};
    use polars_core::df;
    use std::path::Path;

    #[test]
    fn every_feature_has_a_name() -> Result<()> {
        let schema = "name = \"t\"\n[patient]\ncolumn = \"id\"\n[time]\ncolumn = \"t\"\nstep = 1.0\n\
            [[columns]]\nname = \"x\"\nkind = \"numeric\"\nspikes = [0.0]\nmissing_indicator = true\n\
            [[columns]]\nname = \"sex\"\nkind = \"binary\"\nlevels = [\"f\", \"m\"]\n\
            [[columns]]\nname = \"y\"\nkind = \"numeric\"\n";
        let schema = Schema::parse(schema, Path::new("t.toml"))?;
        let frame = df!(
            "id" => [1, 1, 1],
            "t" => [0, 1, 2],
            "x" => [Some(0.), Some(2.5), None],
            "sex" => ["m", "f", "f"],
            "y" => [0.5, 1., 2.],
        )?;
        let (encoder, _) = Encoder::fit(&schema, &Table::from(frame), Subset::Whole)?;
        let names = encoder.feature_names();
        let expected =
            ["x", "y", "x = 0", "x = other", "sex = f", "sex = m", "x not measured", "x measured"];
        assert_eq!(names, expected);
        Ok(())
    }
}
