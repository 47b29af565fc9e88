//! `hg generate`.

use crate::arguments::GenerateArguments;
use crate::error::Result;
use health_gym::Run;

pub(crate) fn run(arguments: &GenerateArguments, json: bool) -> Result<()> {
    let GenerateArguments { run, patients, out, seed } = arguments;
    let run = Run::open(run)?;
    let table = run.sampler()?.sample(*patients, *seed)?;
    run.encoder.write(&table, out)?;
    if json {
        let rows = table.height();
        println!("{}", serde_json::json!({"out": out, "patients": patients, "rows": rows}));
    } else {
        println!("{}", out.display());
    }
    Ok(())
}
