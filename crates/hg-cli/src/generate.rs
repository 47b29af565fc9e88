//! `hg generate`.

use crate::arguments::GenerateArguments;
use crate::error::Result;
use crate::progress::progress_bar;
use health_gym::Run;

pub(crate) fn run(arguments: &GenerateArguments, json: bool) -> Result<()> {
    let GenerateArguments { run, patients, given, out, seed } = arguments;
    let run = Run::open(run)?;
    let given = run.encoder.given(given)?;
    let sampler = run.sampler()?;
    let bar = progress_bar(*patients as u64).with_message("patients");
    let mut observe = |found: usize| bar.set_position(found as u64);
    let sampled = if given.is_empty() {
        sampler.sample_observed(*patients, *seed, &mut observe).map(|table| (table, None))
    } else {
        let sampled = sampler.sample_given(*patients, *seed, &given, &mut observe);
        sampled.map(|(table, made)| (table, Some(made)))
    };
    bar.finish_and_clear();
    let (table, made) = sampled?;
    if let Some(made) = made {
        tracing::info!("{patients} patients are of those among {made} who meet {given}");
    }
    run.encoder.write(&table, out)?;
    if json {
        let rows = table.height();
        println!("{}", serde_json::json!({"out": out, "patients": patients, "rows": rows}));
    } else {
        println!("{}", out.display());
    }
    Ok(())
}
