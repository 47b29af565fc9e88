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
use crate::values::Values;
use crate::{Encoded, Encoder, Error, Result};
use memmap2::Mmap;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize_to_file};
use std::collections::HashMap;
use std::io::Write;
use std::ops::Range;
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
        let bytes = std::fs::read(path).map_err(|e| cannot_open(path, &e))?;
        let (mut read, at) = Self::within(path, &bytes)?;
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes[at]);
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let sequence = at / (read.steps * read.features);
            let problem = format!("sequence {sequence} holds a number that is not finite");
            return Err(Error::file(path, problem));
        }
        read.values = values.into();
        Ok(read)
    }

    /// An encoded cohort in a file that [`Encoder::save_encoded`] wrote, of which only what is looked at is
    /// read. Nobody may change the file meanwhile.
    ///
    /// # Errors
    /// As [`Encoded::load`]; that values are finite is not looked at.
    pub fn map(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(|e| cannot_open(path, &e))?;
        // SAFETY: a file under this name has been written in full and is not changed any more
        // (`fill_then_rename`); what its numbers are does not matter here.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| cannot_open(path, &e))?;
        let (mut read, at) = Self::within(path, &map)?;
        read.values = Values::within(map, at)?;
        Ok(read)
    }

    /// The encoded cohort in the bytes of a file, still without its values, and where these lie.
    fn within(path: &Path, bytes: &[u8]) -> Result<(Self, Range<usize>)> {
        let bad = |problem: String| Error::file(path, problem);
        let tensors = SafeTensors::deserialize(bytes)
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
        let lengths: Vec<i64> = bytemuck::pod_collect_to_vec(of_lengths.data());
        let wrong = lengths.iter().find(|&&length| length < 1 || length as usize > steps);
        if lengths.len() != sequences || wrong.is_some() {
            let problem = format!(
                "needs a length from 1 to {steps} for each of {sequences} sequences, has {}",
                wrong.map_or_else(|| format!("{} lengths", lengths.len()), i64::to_string)
            );
            return Err(bad(problem));
        }
        let lengths = lengths.into_iter().map(|length| length as usize).collect();
        // INVARIANT: the tensor's data are a part of the file's bytes.
        let start = values.data().as_ptr() as usize - bytes.as_ptr() as usize;
        let at = start..start + values.data().len();
        let values = Vec::new().into();
        Ok((Self { values, lengths, steps, features, counts: Default::default() }, at))
    }
}

fn cannot_open(path: &Path, error: &std::io::Error) -> Error {
    Error::file(path, format!("cannot open the encoded cohort: {error}"))
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
        assert_eq!(Encoded::map(&tensors)?, encoded);
        let error = Encoded::load(&json).expect_err("no tensors").to_string();
        assert!(error.contains("is no safetensors file"), "{error}");
        Ok(())
    }
}
