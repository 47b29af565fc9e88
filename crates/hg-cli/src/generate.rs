//! `hg generate`.

use crate::arguments::GenerateArguments;
use crate::error::Result;
use health_gym::Run;

pub(crate) fn run(arguments: &GenerateArguments, json: bool) -> Result<()> {
    let GenerateArguments { run, patients, given, out, seed } = arguments;
    let run = Run::open(run)?;
    let given = run.encoder.given(given)?;
    let table = if given.is_empty() {
        run.sampler()?.sample(*patients, *seed)?
    } else {
        let (table, made) = run.sampler()?.sample_given(*patients, *seed, &given)?;
        tracing::info!("{patients} patients are those among {made} who meet {given}");
        table
    };
    run.encoder.write(&table, out)?;
    if json {
        let rows = table.height();
        println!("{}", serde_json::json!({"out": out, "patients": patients, "rows": rows}));
    } else {
        println!("{}", out.display());
    }
    Ok(())
}
