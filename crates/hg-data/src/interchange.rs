//! Encoded cohorts as safetensors, for other programs.
//!
//! ```text
//! values   [sequences, steps, features] f32, 0 beyond a sequence's length
//! lengths  [sequences] i64
//! metadata numeric_features: how many lead a row; blocks: widths of the one-hot blocks
//!          that follow, as a JSON array
//! ```

use crate::files::{fill_then_rename, write_atomically};
use crate::saved::SavedEncoder;
use crate::{Encoded, Encoder, Error, Result};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize_to_file};
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

impl Encoder {
    /// Reads what [`Encoder::save`] wrote.
    ///
    /// # Errors
    /// [`Error::File`] when it is none.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::file(path, format!("cannot read the encoder: {e}")))?;
        Self::from_json(&text).map_err(|e| Error::file(path, format!("is no encoder.json: {e}")))
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// [`Error::File`] when the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let failed = |e: String| Error::file(path, format!("cannot write the encoder: {e}"));
        let json = self.to_json().map_err(|e| failed(e.to_string()))?;
        write_atomically(path, |file| {
            file.write_all(json.as_bytes()).map_err(|e| failed(e.to_string()))
        })
    }

    /// As JSON.
    ///
    /// # Errors
    /// [`Error::Json`]: only what serde reports.
    pub fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    /// From JSON. Whatever the text holds, an encoder that comes of it decodes without a panic.
    ///
    /// # Errors
    /// [`Error::Json`] when `text` is no encoder, [`Error::Encoder`] when its parts do not fit
    /// together.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str::<SavedEncoder>(text)?.try_into()
    }

    /// Writes an encoded cohort as safetensors.
    ///
    /// # Errors
    /// [`Error::File`] when the file cannot be written.
    pub fn save_encoded(&self, encoded: &Encoded, path: &Path) -> Result<()> {
        let lengths: Vec<i64> = encoded.lengths.iter().map(|&length| length as i64).collect();
        let failed =
            |e: &dyn std::fmt::Display| Error::file(path, format!("cannot write the cohort: {e}"));
        let shape = vec![encoded.lengths.len(), encoded.steps, encoded.features];
        let values = TensorView::new(Dtype::F32, shape, bytemuck::cast_slice(&encoded.values))
            .map_err(|e| failed(&e))?;
        let lengths = TensorView::new(
            Dtype::I64,
            vec![encoded.lengths.len()],
            bytemuck::cast_slice(lengths.as_slice()),
        )
        .map_err(|e| failed(&e))?;
        let about = HashMap::from([
            ("numeric_features".to_owned(), self.numeric_features().to_string()),
            ("blocks".to_owned(), format!("{:?}", self.blocks())),
        ]);
        fill_then_rename(path, |temporary| {
            serialize_to_file([("values", values), ("lengths", lengths)], Some(about), temporary)
                .map_err(|e| failed(&e))
        })
    }
}

impl Encoded {
    /// Reads an encoded cohort from safetensors.
    ///
    /// # Errors
    /// [`Error::File`] when it holds no `values` `[sequences, steps, features]` and
    /// `lengths` `[sequences]` that fit together.
    pub fn load(path: &Path) -> Result<Self> {
        let bad = |problem: String| Error::file(path, problem);
        let bytes =
            std::fs::read(path).map_err(|e| bad(format!("cannot open the encoded cohort: {e}")))?;
        let tensors = SafeTensors::deserialize(&bytes)
            .map_err(|e| bad(format!("is no safetensors file: {e}")))?;
        let tensor = |name: &str, dtype: Dtype, dimensions: usize| {
            let found = tensors.tensor(name).ok();
            found.filter(|t| t.dtype() == dtype && t.shape().len() == dimensions).ok_or_else(|| {
                bad(format!("has no `{name}` of type {dtype:?} with {dimensions} dimensions"))
            })
        };
        let values = tensor("values", Dtype::F32, 3)?;
        let of_lengths = tensor("lengths", Dtype::I64, 1)?;
        let &[sequences, steps, features] = values.shape() else {
            return Err(bad("has `values` of another shape".into()));
        };
        let mut lengths = vec![0i64; of_lengths.shape()[0]];
        bytemuck::cast_slice_mut(&mut lengths).copy_from_slice(of_lengths.data());
        let wrong = lengths.iter().find(|&&length| length < 1 || length as usize > steps);
        if lengths.len() != sequences || wrong.is_some() {
            let problem = format!(
                "needs a length from 1 to {steps} for each of {sequences} sequences, has {}",
                wrong.map_or_else(|| format!("{} lengths", lengths.len()), i64::to_string)
            );
            return Err(bad(problem));
        }
        let mut numbers = vec![0f32; sequences * steps * features];
        bytemuck::cast_slice_mut(&mut numbers).copy_from_slice(values.data());
        if let Some(at) = numbers.iter().position(|value| !value.is_finite()) {
            let problem =
                format!("sequence {} holds a number that is not finite", at / (steps * features));
            return Err(bad(problem));
        }
        let lengths = lengths.into_iter().map(|length| length as usize).collect();
        Ok(Self { values: numbers.into(), lengths, steps, features, counts: Default::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Schema;

    #[test]
    fn a_cohort_goes_out_and_comes_back() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder");
        let table = folder.path().join("table.csv");
        std::fs::write(&table, "id,t,x,s\n1,0,2.5,a\n1,1,3.5,b\n2,0,1.0,a\n").expect("writes");
        let schema = "name = \"t\"\n[patient]\ncolumn = \"id\"\n[time]\ncolumn = \"t\"\nstep = 1.0\n\
            [[columns]]\nname = \"x\"\nkind = \"numeric\"\n\
            [[columns]]\nname = \"s\"\nkind = \"binary\"\nlevels = [\"a\", \"b\"]\n";
        let schema = Schema::parse(schema, Path::new("t.toml"))?;
        let (encoder, encoded) =
            Encoder::fit(&schema, &schema.read(&table)?, crate::Subset::Whole)?;
        let (json, tensors) = (folder.path().join("e.json"), folder.path().join("e.safetensors"));
        encoder.save(&json)?;
        encoder.save_encoded(&encoded, &tensors)?;
        assert_eq!(Encoder::load(&json)?, encoder);
        assert_eq!(Encoded::load(&tensors)?, encoded);
        let error = Encoded::load(&json).expect_err("no tensors").to_string();
        assert!(error.contains("is no safetensors file"), "{error}");
        Ok(())
    }
}
