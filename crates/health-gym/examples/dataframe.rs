//! A cohort in memory: describe it, fit, sample, evaluate. No file is read or written.
//!
//! `cargo run --release --workspace --example dataframe`

use health_gym::{DataFrame, Schema, Synthesizer, TrainConfig, evaluate};
use polars_core::df;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // One row for each patient and visit; a study would read this from its database.
    let real = diabetes_clinic(60)?;

    // What the columns are. The proposal is worth reading before anything is trained on it.
    let proposal = Schema::infer(&real)?;
    println!("{}", proposal.toml);
    let schema = proposal.schema()?;

    // A short training, to see it work: the defaults take 4,000 iterations.
    let mut settings = TrainConfig { iterations: 40, seed: 1, ..Default::default() };
    settings.model.hidden = 32;
    let synthesizer = Synthesizer::builder(schema.clone()).settings(settings).fit(&real)?;

    // As many synthetic patients as there are real ones, as a table of the same form.
    let synthetic = synthesizer.sample(60, 7)?;
    assert_eq!(synthetic.schema(), real.schema());
    println!("{synthetic}");

    // Is the cohort real enough, private, useful?
    for answer in evaluate(&real, &synthetic, &schema)?.evaluation.answers() {
        println!("{:?}: {} {}", answer.verdict, answer.question, answer.because);
    }
    Ok(())
}

/// An invented clinic: HbA1c falls once insulin is given.
fn diabetes_clinic(patients: i64) -> Result<DataFrame, Box<dyn std::error::Error>> {
    let (mut id, mut month, mut sex, mut hba1c, mut insulin) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for patient in 0..patients {
        let first = 60. + (patient * 37 % 30) as f64;
        for visit in 0..4 + patient % 5 {
            let treated = first > 72. && visit > 1;
            id.push(patient);
            month.push(visit * 3);
            sex.push(if patient % 3 == 0 { "f" } else { "m" });
            hba1c.push(first - if treated { 3. * (visit - 1) as f64 } else { 0. });
            insulin.push(treated);
        }
    }
    Ok(df!("patient" => id, "month" => month, "sex" => sex, "hba1c" => hba1c,
           "insulin" => insulin)?)
}
