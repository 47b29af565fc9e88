//! `hg encode`, `hg decode`, `hg import` and `hg export`: tensors and weights for and from
//! other programs.

use crate::arguments::ImportArguments;
use crate::built::program;
use crate::error::Result;
use crate::settings::of_weights;
use health_gym::data::{Encoded, Encoder, Schema, Subset};
use health_gym::training::{Run, critic_compares, sizes_of};
use std::path::Path;
use toml::{Table, Value};

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
    let (hidden, latent) = sizes_of(generator)?;
    let compares = critic.as_deref().map_or(Ok(false), critic_compares)?;
    let settings = Table::from_iter([
        ("hidden".to_owned(), Value::Integer(hidden as i64)),
        ("latent_features".to_owned(), Value::Integer(latent as i64)),
        ("reverse_alignment".to_owned(), Value::String("health-gym".into())),
        ("latent".to_owned(), Value::String("uniform".into())),
        ("patient_latent".to_owned(), Value::Float(0.)),
        ("critic_compares".to_owned(), Value::Boolean(compares)),
        ("generator_carries".to_owned(), Value::Boolean(false)),
    ]);
    let settings = Table::from_iter([("model".to_owned(), settings.into())]);
    let train = of_weights(settings, set)?.resolve()?;
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
