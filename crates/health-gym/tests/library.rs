//! What a program that imports the library relies on.

use anyhow::{Result, ensure};
use health_gym::measures::Verdict;
use health_gym::training::{CheckpointSelection, Program};
use health_gym::{
    CancelToken, DataFrame, Error, Evaluated, Event, Interrupted, Outcome, Run, Schema,
    Synthesizer, SynthesizerBuilder, TrainConfig, evaluate, train_run,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn schema() -> Result<Schema> {
    Ok(Schema::load(&repository("data-schemas/pbc.toml"))?)
}

fn table() -> PathBuf {
    repository("data/pbc/pbcseq.csv")
}

fn settings(iterations: u64) -> TrainConfig {
    let mut settings = TrainConfig { iterations, seed: 3, ..Default::default() };
    settings.model.hidden = 16;
    settings.batching.batch_size = 16;
    settings.validation.held_out = 0.2;
    settings.validation.every = 2;
    settings
}

fn builder<'a>(iterations: u64) -> Result<SynthesizerBuilder<'a>> {
    Ok(Synthesizer::builder(schema()?).settings(settings(iterations)))
}

/// A column's cells as texts.
fn texts(frame: &DataFrame, name: &str) -> Result<Vec<String>> {
    let column = frame.column(name)?;
    (0..column.len()).map(|row| Ok(column.get(row)?.to_string())).collect()
}

fn same(a: &DataFrame, b: &DataFrame) -> bool {
    a.height() > 0 && a.equals_missing(b)
}

#[test]
fn memory_files_and_a_run_folder_lead_to_the_same_cohort() -> Result<()> {
    let frame = schema()?.read(&table())?;
    let from_memory = builder(4)?.fit(&frame)?.sample(30, 5)?;
    let from_file = builder(4)?.fit_file(table())?.sample(30, 5)?;
    ensure!(same(&from_memory, &from_file), "a table in memory is that of the file");

    let folder = tempfile::tempdir()?;
    let schema = repository("data-schemas/pbc.toml");
    let program = Program::default();
    let place = folder.path().join("run");
    let (run, encoded) = Run::create(&place, &table(), &schema, settings(4), None, program)?;
    let trained = train_run(&run, &encoded, &CancelToken::default(), &mut |_| {})?;
    ensure!(trained.outcome == Outcome::Done && trained.iteration == 4);
    let from_run = Synthesizer::load(&place)?.sample(30, 5)?;
    ensure!(same(&from_memory, &from_run), "a run folder is as good as memory");
    ensure!(!same(&from_memory, &Synthesizer::load(&place)?.sample(30, 6)?), "another seed");
    Ok(())
}

#[test]
fn what_is_saved_and_loaded_makes_the_same_cohort() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let place = folder.path().join("model");
    let synthesizer = builder(4)?.fit_file(table())?;
    synthesizer.save(&place)?;
    let loaded = Synthesizer::load(&place)?;
    ensure!(same(&synthesizer.sample(20, 1)?, &loaded.sample(20, 1)?));
    ensure!(synthesizer.metrics()? == loaded.metrics()? && loaded.metrics()?.len() == 4);
    ensure!(synthesizer.settings() == loaded.settings());
    // And from there once more.
    loaded.save(folder.path().join("copy"))?;
    let copy = Synthesizer::load(folder.path().join("copy"))?;
    ensure!(same(&copy.sample(20, 1)?, &loaded.sample(20, 1)?));

    let problem = synthesizer.save(&place).expect_err("nothing is overwritten");
    ensure!(problem.is_bad_input() && problem.to_string().contains("already exists"), "{problem}");
    let problem = Synthesizer::load(folder.path().join("nothing")).expect_err("is not there");
    ensure!(problem.is_bad_input() && problem.to_string().contains("hint: "), "{problem}");
    Ok(())
}

#[test]
fn a_token_stops_training_after_its_iteration() -> Result<()> {
    let token = CancelToken::default();
    let mut seen = 0;
    let stopping = token.clone();
    let stopped = builder(50)?
        .cancel_with(token)
        .on_progress(|event| {
            if let Event::Step(step) = event {
                seen = step.iteration;
                if seen == 3 {
                    stopping.cancel();
                }
            }
        })
        .fit_file(table());
    ensure!(matches!(stopped, Err(Error::Cancelled { iteration: 3 })), "{stopped:?}");
    ensure!(seen == 3);
    Ok(())
}

#[test]
fn a_run_that_was_cancelled_goes_on_to_the_bits_of_one_that_was_not() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let schema = repository("data-schemas/pbc.toml");
    let run = |name: &str, stop_at: Option<u64>| -> Result<DataFrame> {
        let place = folder.path().join(name);
        let program = Program::default();
        let (run, encoded) = Run::create(&place, &table(), &schema, settings(5), None, program)?;
        let token = CancelToken::default();
        let trained = train_run(&run, &encoded, &token, &mut |event| {
            if matches!(event, Event::Step(step) if Some(step.iteration) == stop_at) {
                token.cancel();
            }
        })?;
        if stop_at.is_some() {
            ensure!(trained.outcome == Outcome::Cancelled, "{trained:?}");
            let again = train_run(&run, &run.real()?, &CancelToken::default(), &mut |_| {})?;
            ensure!(again.outcome == Outcome::Done && again.iteration == 5);
        }
        Ok(run.sampler()?.sample(30, 1)?)
    };
    ensure!(same(&run("whole", None)?, &run("parts", Some(3))?));
    Ok(())
}

#[test]
fn a_table_that_does_not_fit_is_refused_with_its_place() -> Result<()> {
    let frame = schema()?.read(&table())?.frame.drop("bili")?;
    let problem = builder(1)?.fit(&frame).expect_err("a column is missing");
    ensure!(problem.is_bad_input(), "{problem:?}");
    ensure!(problem.to_string().contains("bili"), "{problem}");
    let mut wrong = settings(1);
    wrong.model.hidden = 0;
    let problem = Synthesizer::builder(schema()?).settings(wrong).fit_file(table());
    let problem = problem.expect_err("a setting is wrong");
    ensure!(problem.is_bad_input() && problem.to_string().contains("model.hidden"), "{problem}");
    Ok(())
}

#[test]
fn a_real_cohort_passes_beside_itself_and_one_of_another_law_does_not() -> Result<()> {
    let schema = schema()?;
    let real = schema.read(&table())?;
    let evaluated = evaluate(&real, &real, &schema)?;
    let answer = |evaluated: &health_gym::Evaluated, about: &str| {
        let answers = evaluated.evaluation.answers();
        answers.into_iter().find(|answer| answer.about == about).map(|answer| answer.verdict)
    };
    ensure!(answer(&evaluated, "columns") == Some(Verdict::Passed));
    ensure!(answer(&evaluated, "pairs") == Some(Verdict::Passed));
    ensure!(evaluated.html.contains("<html") && evaluated.markdown.contains('#'));
    let untrained = builder(1)?.fit(&real)?.sample(312, 0)?;
    let evaluated = evaluate(&real, &untrained, &schema)?;
    // Calibration puts its columns right; what goes with what a GAN of one step does not know.
    ensure!(answer(&evaluated, "columns") == Some(Verdict::Passed));
    ensure!(answer(&evaluated, "told apart") == Some(Verdict::Failed));
    ensure!(answer(&evaluated, "pairs") == Some(Verdict::Failed));
    let json: serde_json::Value = serde_json::from_str(&evaluated.json()?)?;
    ensure!(json["answers"].as_array().is_some_and(|answers| answers.len() > 5));
    Ok(())
}

#[test]
fn several_tables_come_back_as_several() -> Result<()> {
    let folder = repository("data/icu-nutrition");
    let schema = health_gym::data::infer(&folder, None, None)?.schema()?;
    let synthesizer = Synthesizer::builder(schema).settings(settings(2)).fit_file(&folder)?;
    let tables = synthesizer.sample_tables(20, 1)?;
    let shape = |name: &str| {
        let (_, table) = tables.iter().find(|(of, _)| of == name)?;
        Some((table.height(), table.get_column_names_owned()))
    };
    let (patients, of_patients) = shape("patients").unwrap_or_default();
    ensure!(patients == 20 && of_patients.iter().any(|name| name == "ApacheIIScore"));
    let (days, of_days) = shape("daily").unwrap_or_default();
    let right = ["CombinedID", "Study_Day", "caloriesPercentage", "proteinGproKG"];
    ensure!(days > 20 && of_days == right, "{of_days:?}");
    Ok(())
}

#[test]
fn statics_in_memory_and_shares_are_had_exactly() -> Result<()> {
    let synthesizer = builder(4)?.fit_file(table())?;
    // A row, and so a patient, for each visit.
    let wanted = synthesizer.sample(5, 1)?.select(["sex", "age"])?;
    let found = synthesizer.sample_like(&wanted, 2)?;
    let (sexes, ages) = (texts(&wanted, "sex")?, texts(&wanted, "age")?);
    let ids = texts(&found, "id")?;
    let of_rows = texts(&found, "sex")?.into_iter().zip(texts(&found, "age")?).zip(&ids);
    for ((sex, age), id) in of_rows {
        let row = id.parse::<usize>()? - 1;
        ensure!((&sex, &age) == (&sexes[row], &ages[row]), "patient {id}: {sex}, {age}");
    }
    ensure!(ids.last() == Some(&wanted.height().to_string()));
    ensure!(same(&found, &synthesizer.sample_like(&wanted, 2)?), "the same seed");

    let found = synthesizer.sample_shares(20, 1, &[], &["sex=m:0.5"])?;
    let (ids, sexes) = (texts(&found, "id")?, texts(&found, "sex")?);
    let men: std::collections::BTreeSet<&String> =
        ids.iter().zip(&sexes).filter(|(_, sex)| sex.contains('m')).map(|(id, _)| id).collect();
    ensure!(men.len() == 10, "{men:?}");
    let refused = synthesizer.sample_shares(20, 1, &[], &["sex=m:0.5", "sex=f:0.6"]);
    ensure!(refused.is_err_and(|error| error.is_bad_input()));
    Ok(())
}

#[test]
fn a_training_in_memory_that_was_cancelled_goes_on_to_the_bits_of_one_that_was_not() -> Result<()> {
    let whole = builder(6)?.fit_file(table())?.sample(20, 1)?;
    let mut kept: Option<Interrupted> = None;
    let cancel = CancelToken::default();
    let asked = cancel.clone();
    let stopped = builder(6)?
        .cancel_with(cancel)
        .resuming(&mut kept)
        .on_progress(move |event| {
            if matches!(event, Event::Step(step) if step.iteration == 3) {
                asked.cancel();
            }
        })
        .fit_file(table());
    ensure!(matches!(stopped, Err(Error::Cancelled { iteration: 3 })), "{stopped:?}");
    ensure!(kept.is_some());

    let mut begun = None;
    let resumed = builder(6)?
        .resuming(&mut kept)
        .on_progress(|event| {
            if let Event::Begun { done, iterations } = event {
                begun = Some((*done, *iterations));
            }
        })
        .fit_file(table())?;
    ensure!(begun == Some((3, 6)), "{begun:?}");
    ensure!(kept.is_none() && same(&whole, &resumed.sample(20, 1)?));
    Ok(())
}

#[test]
fn a_training_with_other_settings_does_not_go_on_from_a_cancelled_one() -> Result<()> {
    let mut kept = None;
    let cancel = CancelToken::default();
    cancel.cancel();
    let stopped = builder(6)?.cancel_with(cancel).resuming(&mut kept).fit_file(table());
    ensure!(stopped.is_err() && kept.is_some());
    let other = || builder(4);
    let fitted = other()?.resuming(&mut kept).fit_file(table())?.sample(20, 1)?;
    ensure!(same(&fitted, &other()?.fit_file(table())?.sample(20, 1)?));
    Ok(())
}

#[test]
fn a_time_becomes_iterations() -> Result<()> {
    let mut settings = settings(1_000_000);
    settings.validation.every = 0;
    let synthesizer = Synthesizer::builder(schema()?)
        .settings(settings)
        .within(Duration::from_millis(100))
        .fit_file(table())?;
    let iterations = synthesizer.settings().iterations;
    ensure!(iterations < 1_000_000, "the time decides, not the setting");
    ensure!(synthesizer.metrics()?.len() as u64 == iterations, "{iterations}");
    Ok(())
}

#[test]
fn a_model_evaluates_by_the_patients_it_was_trained_on() -> Result<()> {
    let synthesizer = builder(4)?.fit_file(table())?;
    let real = schema()?.read(&table())?;
    let evaluated = synthesizer.evaluate(&real, &synthesizer.sample(60, 1)?)?;
    let alone = evaluate(&real, &synthesizer.sample(60, 1)?, synthesizer.schema())?;
    let asks = |evaluated: &Evaluated| {
        let answers = evaluated.evaluation.answers();
        answers.iter().filter(|answer| answer.verdict == Verdict::Open).count()
    };
    // Without held-out patients nothing can be said of who was trained on.
    ensure!(asks(&evaluated) < asks(&alone), "{} and {}", asks(&evaluated), asks(&alone));
    Ok(())
}

#[test]
fn weights_that_are_exported_and_imported_make_the_same_cohort() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let weights = folder.path().join("weights");
    let mut published = settings(4);
    published.validation.held_out = 0.;
    published.model.resampling = false;
    published.validation.select = CheckpointSelection::Last;
    let synthesizer =
        Synthesizer::builder(schema()?).settings(published.clone()).fit_file(table())?;
    synthesizer.export(&weights)?;
    ensure!(synthesizer.export(&weights).is_err(), "a folder that is there is kept");
    let (generator, critic) =
        (weights.join("generator.safetensors"), weights.join("critic.safetensors"));
    let imported = Synthesizer::builder(schema()?)
        .settings(published.clone())
        .import_file(table(), (&generator, Some(&critic)))?;
    ensure!(same(&synthesizer.sample(20, 1)?, &imported.sample(20, 1)?));
    let frame = schema()?.read(&table())?;
    let in_memory =
        Synthesizer::builder(schema()?).settings(published).import(&frame, (&generator, None))?;
    ensure!(same(&synthesizer.sample(20, 1)?, &in_memory.sample(20, 1)?));
    Ok(())
}

#[test]
fn a_cohort_is_written_as_the_real_table_is() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let synthesizer = builder(2)?.fit_file(table())?;
    let cohort = synthesizer.sample(20, 1)?;
    let path = folder.path().join("cohort.csv");
    synthesizer.write(&cohort, &path)?;
    let (real, written) = (std::fs::read_to_string(table())?, std::fs::read_to_string(&path)?);
    ensure!(real.lines().next() == written.lines().next(), "the same header");
    ensure!(written.lines().count() == cohort.height() + 1);
    Ok(())
}

#[test]
fn what_no_machine_can_hold_and_an_empty_table_are_refused() -> Result<()> {
    let refused = |result: health_gym::Result<DataFrame>| match result {
        Err(error) if error.is_bad_input() => Ok(error.to_string()),
        other => anyhow::bail!("{other:?}"),
    };
    let synthesizer = builder(2)?.fit_file(table())?;
    for patients in [0, 1 << 40, usize::MAX] {
        let text = refused(synthesizer.sample(patients, 1))?;
        ensure!(text.starts_with(&format!("`patients` is {patients}")), "{text}");
        ensure!(text == refused(synthesizer.sample_given(patients, 1, &["sex=f"]))?);
    }
    let mut wide = settings(2);
    wide.model.hidden = 1 << 40;
    let fitted = Synthesizer::builder(schema()?).settings(wide).fit_file(table());
    ensure!(fitted.is_err_and(|e| e.to_string().starts_with("`model.hidden` is ")));
    let empty = schema()?.read(&table())?.frame.head(Some(0));
    let fitted = builder(2)?.fit(&empty);
    ensure!(fitted.is_err_and(|e| e.to_string().starts_with("table: has no rows\nhint: ")));
    Ok(())
}
