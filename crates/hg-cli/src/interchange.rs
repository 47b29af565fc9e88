//! `hg encode`, `hg decode`, `hg import` and `hg export`: tensors and weights for and from
//! other programs.

use crate::arguments::ImportArguments;
use crate::built::program;
use crate::error::Result;
use crate::settings::put_pairs;
use health_gym::data::{Encoded, Encoder, Schema, Subset};
use health_gym::training::{Run, Settings};
use std::path::Path;

pub(crate) fn encode(table: &Path, schema: &Path, out: &Path, json: bool) -> Result<()> {
    let (encoder, encoded) = Encoder::fit_file(&Schema::load(schema)?, table, Subset::Whole)?;
    let file = |problem| health_gym::data::Error::File { path: out.to_owned(), problem };
    if out.exists() {
        return Err(file("already exists\nhint: choose another --out".to_owned()).into());
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
            "has {features} features a step, the encoder {}\nhint: was it made with this encoder.json?",
            encoder.features()
        );
        return Err(health_gym::data::Error::File { path: encoded.to_owned(), problem }.into());
    }
    let table = encoder.decode(&values, &lengths, steps, seed)?;
    encoder.write(&table, out)?;
    if json {
        let summary =
            serde_json::json!({"out": out, "patients": lengths.len(), "rows": table.height()});
        println!("{summary}");
    } else {
        println!("{}", out.display());
    }
    Ok(())
}

pub(crate) fn import(arguments: &ImportArguments) -> Result<()> {
    let ImportArguments { generator, critic, data, schema, out, set } = arguments;
    let mut settings = Settings::of_weights(generator, critic.as_deref())?;
    put_pairs(&mut settings, set)?;
    let train = settings.resolve()?;
    let tables = [data.as_path(), schema.as_path()];
    Run::import(out, tables, train, program(), generator, critic.as_deref())?;
    println!("{}", out.display());
    Ok(())
}

pub(crate) fn export(run: &Path, out: &Path) -> Result<()> {
    Run::open(run)?.export(out)?;
    println!("{}", out.display());
    Ok(())
}
