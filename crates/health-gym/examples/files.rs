//! A cohort in files: train with progress, stop early if asked, save, load, write a report.
//!
//! `cargo run --release --workspace --example files -- [folder] [iterations]`

use health_gym::{CancelToken, Event, Schema, Synthesizer, TrainConfig, data, evaluate_files};
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "runs/files-example".into()));
    let iterations = arguments.next().map_or(Ok(40), |text| text.parse())?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (table, schema) = (root.join("data/pbc/pbcseq.csv"), root.join("data-schemas/pbc.toml"));
    let schema = Schema::load(&schema)?;

    // A fifth of the patients is kept out of training, as a yardstick for the report.
    let mut settings = TrainConfig { iterations, ..Default::default() };
    settings.validation.held_out = 0.2;
    settings.validation.every = 20;

    // A token stops training from any thread.
    let token = CancelToken::default();
    let synthesizer = Synthesizer::builder(schema.clone())
        .settings(settings)
        .cancel_with(token)
        .on_progress(|event| match event {
            Event::Step(step) if step.iteration % 20 == 0 => {
                let score = step.get("validation").unwrap_or(f64::NAN);
                println!("iteration {}: validation score {score:.3}", step.iteration);
            }
            Event::Restarted { problem, from, .. } => {
                println!("{problem}; going on from iteration {from}");
            }
            _ => {}
        })
        .fit_file(&table)?;

    // The model goes to disk and comes back; `hg generate` takes the folder too.
    synthesizer.save(folder.join("model"))?;
    let mut cohort = Synthesizer::load(folder.join("model"))?.sample(312, 0)?;

    // A CSV in the form of the real one, and the report beside it.
    let synthetic = folder.join("synthetic.csv");
    data::write_table(&mut cohort, &synthetic, synthesizer.style())?;
    let evaluated = evaluate_files(&table, &synthetic, &schema, &mut |stage| println!("{stage}"))?;
    println!("{}", evaluated.save(folder.join("report"))?.display());
    Ok(())
}
