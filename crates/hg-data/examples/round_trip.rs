//! From a table to encoded sequences and back, with a schema of a few lines.
//!
//! `cargo run --release -p hg-data --example round_trip`

use anyhow::Context;
use hg_data::{Encoder, Schema, Subset, TableStyle, write_table};
use std::path::Path;

const SCHEMA: &str = r#"
name = "ward"
[patient]
column = "patient"
[time]
column = "hour"
step = 4.0
[[columns]]
name = "lactate"
kind = "numeric"
transform = "log1p"
missing_indicator = true
[[columns]]
name = "ventilated"
kind = "binary"
levels = ["no", "yes"]
"#;

const TABLE: &str = "patient,hour,lactate,ventilated
anna,0,2.5,no
anna,4,,yes
anna,8,4.0,yes
ben,0,1.0,no
ben,4,1.5,no
";

fn main() -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join("hg-data-round-trip");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("ward.csv");
    std::fs::write(&path, TABLE)?;

    let schema = Schema::parse(SCHEMA, Path::new("ward.toml"))?;
    let (encoder, encoded) = Encoder::fit(&schema, &schema.read(&path)?, Subset::Whole)?;
    println!(
        "{} patients, up to {} steps of {} features: lactate, ventilated (2), measured (2)",
        encoded.lengths.len(),
        encoded.steps,
        encoded.features
    );
    for (patient, &length) in encoded.lengths.iter().enumerate() {
        for step in 0..length {
            let at = (patient * encoded.steps + step) * encoded.features;
            println!(
                "patient {patient} step {step}: {:?}",
                &encoded.values[at..][..encoded.features]
            );
        }
    }

    // What was fitted is all that decoding needs: it can be saved as JSON.
    let mut table = encoder.decode(&encoded.values, &encoded.lengths, encoded.steps, 0)?;
    let back = folder.join("back.csv");
    write_table(&mut table, &back, &TableStyle::default())?;
    print!("{}", std::fs::read_to_string(&back).context("the table was just written")?);
    Ok(())
}
