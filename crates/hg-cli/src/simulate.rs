//! `hg simulate`.

use crate::arguments::SimulateArguments;
use crate::error::{Error, Result};
use health_gym::data::simulate::{Simulation, label};
use health_gym::data::{write_atomically, write_simulated};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write;

pub(crate) fn art_for_hiv(arguments: &SimulateArguments, json: bool) -> Result<()> {
    let SimulateArguments { patients, out, seed } = arguments;
    if *patients == 0 {
        return Err(health_gym::training::Error::Config(
            "`patients` is 0\nhint: ask for at least 1 patient".into(),
        )
        .into());
    }
    let simulation = Simulation::shipped()?;
    let style = "{bar:30} {human_pos}/{human_len} patients, {per_sec}, {eta} left";
    let style = ProgressStyle::with_template(style).map_err(|e| Error::Other(e.to_string()))?;
    let bar = ProgressBar::new(*patients as u64).with_style(style);
    let parts = simulation.cohort(*patients, *seed).inspect(|part| {
        if let Ok(part) = part {
            bar.inc((part.height() / simulation.months()) as u64);
        }
    });
    let rows = write_simulated(parts, out)?;
    bar.finish_and_clear();
    let label = label(out);
    let text = serde_json::json!({
        "simulated": true,
        "what": "No person's data: simulated by `hg simulate art-for-hiv` from the model of \
                 Adams et al. (Math. Biosci. Eng. 1(2), 2004).",
        "patients": patients,
        "seed": seed,
        "version": env!("CARGO_PKG_VERSION"),
    });
    write_atomically(&label, |file| {
        writeln!(file, "{text:#}")
            .map_err(|e| Error::Other(format!("{}: cannot write: {e}", label.display())))
    })?;
    if json {
        let summary =
            serde_json::json!({"out": out, "patients": patients, "rows": rows, "simulated": true});
        println!("{summary}");
    } else {
        tracing::info!("simulated, no person's data: {rows} rows, labelled in {}", label.display());
        println!("{}", out.display());
    }
    Ok(())
}
