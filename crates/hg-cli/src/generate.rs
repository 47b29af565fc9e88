//! `hg generate`.

use crate::arguments::GenerateArguments;
use crate::error::Result;
use crate::progress::progress_bar;
use health_gym::Run;

pub(crate) fn run(arguments: &GenerateArguments, json: bool) -> Result<()> {
    let GenerateArguments { run, patients, given, share, like, shard, out, seed } = arguments;
    let (seed, run) = (*seed, Run::open(run)?);
    let given = run.encoder.given(given)?;
    let shares = run.encoder.shares(share)?;
    let like = like.as_ref().map(|table| run.encoder.wanted_statics_of_file(table)).transpose()?;
    // One of the two is given.
    let patients = like.as_ref().map(|wanted| wanted.patients()).or(*patients).unwrap_or_default();

    let sampler = run.sampler()?.with_shard(*shard);
    let in_shard = shard.range(patients).len();
    let bar = progress_bar(in_shard as u64).with_message("patients");
    let mut observe = |found: usize| bar.set_position(found as u64);
    let sampled = if let Some(wanted) = &like {
        sampler.sample_like(wanted, seed, &mut observe)
    } else if given.is_empty() && shares.is_empty() {
        sampler.sample_observed(patients, seed, &mut observe).map(|table| (table, in_shard))
    } else {
        sampler.sample_shares(patients, seed, (&given, &shares), &mut observe)
    };
    bar.finish_and_clear();
    let (table, made) = sampled?;
    if made > in_shard {
        tracing::info!("{in_shard} patients were found among {made}");
    }

    run.encoder.write(&table, out)?;
    if json {
        let rows = table.height();
        println!("{}", serde_json::json!({"out": out, "patients": in_shard, "rows": rows}));
    } else {
        println!("{}", out.display());
    }
    Ok(())
}
