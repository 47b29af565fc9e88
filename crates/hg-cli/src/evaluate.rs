//! `hg evaluate`: the comparison, its report and its table.

use crate::arguments::EvaluateArguments;
use crate::error::{Error, Result};
use crate::progress::progress_bar;
use crate::signals::cancelled_by_ctrl_c;
use comfy_table::{CellAlignment, Table, presets};
use health_gym::measures::{ColumnComparison, Columns, Evaluation, Pairs, Verdict, measures};
use health_gym::{
    Attacks, Card, Evaluated, Measured, Progress, Run, Schema, evaluate_files, evaluate_run,
    evaluate_run_with,
};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::time::Duration;

pub(crate) fn run(arguments: &EvaluateArguments, json: bool) -> Result<()> {
    if let Some(folder) = &arguments.run {
        let run = Run::open(folder)?.with_data(arguments.data.as_deref())?;
        let (evaluated, page) = evaluate_with(&run, arguments.attacks.into())?;
        show(&evaluated, json)?;
        if !json {
            println!("{}", page.display());
        }
        return Ok(());
    }
    let (Some(real), Some(synthetic), Some(schema)) =
        (&arguments.real, &arguments.synthetic, &arguments.schema)
    else {
        return Err(Error::Other("--real, --synthetic and --schema belong together".into()));
    };
    let schema = Schema::load(schema)?;
    let evaluated = with_bar(|on_stage| evaluate_files(real, synthetic, &schema, on_stage))?;
    show(&evaluated, json)?;
    if let Some(out) = &arguments.out {
        let page = evaluated.save(out)?;
        if !json {
            println!("{}", page.display());
        }
    }
    Ok(())
}

/// Compares the run's cohorts and writes the report's files and the data card; gives the page's path too.
pub(crate) fn evaluate(run: &Run) -> Result<(Evaluated, PathBuf)> {
    evaluate_with(run, Attacks::Usual)
}

fn evaluate_with(run: &Run, attacks: Attacks) -> Result<(Evaluated, PathBuf)> {
    let evaluated = match attacks {
        Attacks::Usual => with_bar(|on_stage| evaluate_run(run, on_stage))?,
        Attacks::Thorough => evaluate_thoroughly(run)?,
    };
    let page = evaluated.save(run.report())?;
    Card::new(run, Some(Measured::of(&evaluated.evaluation)?), None)?.save(run.folder())?;
    Ok((evaluated, page))
}

/// With a bar of the shadow runs, and then that of the measures.
fn evaluate_thoroughly(run: &Run) -> Result<Evaluated> {
    let cancel = cancelled_by_ctrl_c()?;
    let bar = progress_bar(0);
    bar.set_message("training shadow runs");
    let evaluated = with_bar(|on_stage| {
        evaluate_run_with(run, Attacks::Thorough, &cancel, &mut |progress| match progress {
            Progress::Stage(stage) => {
                bar.finish_and_clear();
                on_stage(stage);
            }
            Progress::Shadows { done, all } => {
                bar.set_length(all);
                bar.set_position(done);
            }
            _ => {}
        })
    });
    bar.finish_and_clear();
    match evaluated {
        Err(Error::HealthGym(health_gym::Error::Cancelled { .. })) => Err(Error::Stopped),
        evaluated => evaluated,
    }
}

/// With a bar on stderr, where that is a terminal.
fn with_bar(
    evaluate: impl FnOnce(&mut dyn FnMut(&'static str)) -> health_gym::Result<Evaluated>,
) -> Result<Evaluated> {
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} · {elapsed} · {msg}");
    let bar = ProgressBar::new(measures().len() as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut begun = 0;
    let evaluated = evaluate(&mut |stage| {
        // What comes before the first measure has a bar of its own.
        if begun == 0 {
            bar.enable_steady_tick(Duration::from_secs(1));
        }
        bar.set_position(begun);
        bar.set_message(stage);
        begun += 1;
    });
    bar.finish_and_clear();
    Ok(evaluated?)
}

fn show(evaluated: &Evaluated, json: bool) -> Result<()> {
    if json {
        println!("{}", evaluated.json()?);
    } else {
        print(&evaluated.evaluation);
    }
    Ok(())
}

pub(crate) fn print(evaluation: &Evaluation) {
    print_columns(evaluation);
    for (topic, answers) in evaluation.answers_by_topic() {
        println!("\n{}", topic.question());
        for answer in answers {
            let verdict = match answer.verdict {
                Verdict::Passed => "passed",
                Verdict::Failed => "FAILED",
                Verdict::Open => "open  ",
            };
            println!("  {verdict}  {:<14} {}", answer.about, answer.because);
        }
    }
}

/// The table of columns, and means over them and their pairs.
fn print_columns(evaluation: &Evaluation) {
    let Some(found) = evaluation.detail::<Columns>("column-distances") else { return };
    println!("{}", columns_table(&found.columns));

    let pairs = evaluation.detail::<Pairs>("pairs");
    println!(
        "distance: Kolmogorov–Smirnov for numbers (mean {}), total variation for levels (mean {}); \
         0 is equal, 1 disjoint.\nmean difference of correlations: {}",
        or_nothing(found.distances.mean_ks),
        or_nothing(found.distances.mean_total_variation),
        or_nothing(pairs.and_then(|pairs| pairs.differences.correlation_difference))
    );
    if let Some(yardstick) = &found.held_out {
        println!(
            "yardstick, the patients held out against those trained on: {}, {}, {}",
            or_nothing(yardstick.mean_ks),
            or_nothing(yardstick.mean_total_variation),
            or_nothing(
                pairs.and_then(|pairs| pairs.held_out).and_then(|d| d.correlation_difference)
            )
        );
    }
}

fn columns_table(columns: &[ColumnComparison]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header([
        "column",
        "real",
        "synthetic",
        "missing real",
        "missing synth.",
        "distance",
    ]);
    for column in columns {
        let spread = |mean: Option<f64>, deviation: Option<f64>| match (mean, deviation) {
            (Some(mean), Some(deviation)) if column.levels.is_empty() => {
                format!("{mean:.2} ± {deviation:.2}")
            }
            (None, _) => NOTHING.into(),
            _ => String::new(),
        };
        let shares = |values: &[f64]| {
            let share = |level: usize| {
                let there = values.iter().filter(|&&value| value as usize == level).count();
                format!("{:.0}", 100. * there as f64 / values.len().max(1) as f64)
            };
            let all: Vec<String> = (0..column.levels.len()).map(share).collect();
            let is_empty = all.is_empty() || values.is_empty();
            if is_empty { String::new() } else { format!("{} %", all.join(" / ")) }
        };
        table.add_row([
            column.name.clone(),
            spread(column.real_mean, column.real_deviation) + &shares(&column.real),
            spread(column.synthetic_mean, column.synthetic_deviation) + &shares(&column.synthetic),
            format!("{:.0} %", 100. * column.real_missing),
            format!("{:.0} %", 100. * column.synthetic_missing),
            column.distance.map_or("open".into(), figure),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// What is shown where there are no values.
const NOTHING: &str = "–";

fn figure(value: f64) -> String {
    format!("{value:.3}")
}

fn or_nothing(value: Option<f64>) -> String {
    value.map_or(NOTHING.into(), figure)
}
