//! `hg encode` and `hg decode`: tensors for and from other programs.

use crate::error::Result;
use hg_data::{Encoded, Encoder, Schema, Side, write_table};
use std::path::Path;

pub(crate) fn encode(table: &Path, schema: &Path, out: &Path, json: bool) -> Result<()> {
    let (encoder, encoded) = Encoder::fit_file(&Schema::load(schema)?, table, Side::Whole)?;
    let file = |problem| hg_data::Error::File { path: out.to_owned(), problem };
    if out.exists() {
        return Err(file("already exists; choose another --out".to_owned()).into());
    }
    std::fs::create_dir_all(out).map_err(|e| file(format!("cannot make the folder: {e}")))?;
    encoder.save(&out.join("encoder.json"))?;
    encoder.save_encoded(&encoded, &out.join("encoded.safetensors"))?;
    if json {
        let summary = serde_json::json!({
            "out": out,
            "shape": [encoded.lengths.len(), encoded.steps, encoded.features],
            "numeric_features": encoder.numeric_features(),
            "blocks": encoder.blocks(),
        });
        println!("{summary}");
    } else {
        println!("{}", out.display());
    }
    Ok(())
}

pub(crate) fn decode(
    encoded: &Path,
    encoder: &Path,
    out: &Path,
    seed: u64,
    json: bool,
) -> Result<()> {
    let encoder = Encoder::load(encoder)?;
    let Encoded { values, lengths, steps, features, .. } = Encoded::load(encoded)?;
    if features != encoder.features() {
        let problem = format!(
            "has {features} features a step, the encoder {}; was it made with this encoder.json?",
            encoder.features()
        );
        return Err(hg_data::Error::File { path: encoded.to_owned(), problem }.into());
    }
    let mut table = encoder.decode(&values, &lengths, steps, seed)?;
    write_table(&mut table, out)?;
    if json {
        let summary =
            serde_json::json!({"out": out, "patients": lengths.len(), "rows": table.height()});
        println!("{summary}");
    } else {
        println!("{}", out.display());
    }
    Ok(())
}
