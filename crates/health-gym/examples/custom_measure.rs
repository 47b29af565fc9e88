//! A measure of one's own, computed beside two of the registry: do values move from one visit to
//! the next as far as in the real cohort?
//!
//! `cargo run --release --workspace --example custom_measure`

use health_gym::measures::{Answer, Figure, Finding, Measure, Outcome, Subject, Topic, measures};
use health_gym::{Schema, evaluate_with};
use std::error::Error;
use std::path::Path;

/// The mean size of a column's changes from visit to visit, synthetic over real, averaged over the
/// columns of numbers that are not static. 1 is equal; twice as much means that patients jump.
struct StepChanges;

impl Measure for StepChanges {
    fn id(&self) -> &'static str {
        "step-changes"
    }

    fn topic(&self) -> Topic {
        Topic::Realism
    }

    fn stage(&self) -> &'static str {
        "step changes"
    }

    fn about(&self) -> &'static str {
        "The mean absolute change of a number from one visit to the next, synthetic over real, \
         averaged over columns; from 0, and 1 is equal."
    }

    fn compute(&self, subject: &Subject<'_>) -> health_gym::measures::Result<Finding> {
        let columns = subject.encoder.schema.columns.iter().enumerate();
        let changing = columns.filter(|(_, c)| !c.is_static && c.level_names().is_empty());
        let cohorts = [subject.real, subject.synthetic];
        let ratios: Vec<f64> = changing
            .filter_map(|(n, _)| {
                let [real, synthetic] =
                    cohorts.map(|c| mean_change(&c.observed.columns[n], &c.observed.lengths));
                Some(synthetic? / real.filter(|change| *change > 0.)?)
            })
            .collect();
        if ratios.is_empty() {
            let open = Err("no number changes from visit to visit".to_owned());
            return Ok(Finding::new().with_answer(answer(open)));
        }
        let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
        let said = format!("changes are {mean:.2} times the real ones (0.8 to 1.25 pass)");
        Finding::new()
            .with_figure(Figure::new("step changes, synthetic over real", mean))
            .with_answer(answer(Ok(((0.8..=1.25).contains(&mean), said))))
            .with_json("step-changes", &ratios)
    }
}

fn answer(outcome: Outcome) -> Answer {
    let question = "Do numbers change between visits as much as in the real cohort?";
    Answer::new("step changes", question, outcome)
}

/// The mean absolute difference of cells that follow each other within a patient. Cells stand
/// patient after patient; `lengths` are the visits of each.
fn mean_change(cells: &[Option<f64>], lengths: &[usize]) -> Option<f64> {
    let (mut sum, mut count, mut rest) = (0., 0., cells);
    for &length in lengths {
        let (patient, others) = rest.split_at(length);
        for pair in patient.windows(2) {
            if let [Some(before), Some(after)] = pair {
                (sum, count) = (sum + (after - before).abs(), count + 1.);
            }
        }
        rest = others;
    }
    (count > 0.).then(|| sum / count)
}

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let schema = Schema::load(&root.join("data-schemas/pbc.toml"))?;
    let real = schema.read(&root.join("data/pbc/pbcseq.csv"))?;

    // A poor synthetic cohort: each number that changes is another visit's.
    let mut synthetic = real.clone();
    for column in schema.columns.iter().filter(|c| !c.is_static && c.level_names().is_empty()) {
        let reversed = real.frame.column(&column.name)?.reverse();
        synthetic.frame.with_column(reversed)?;
    }

    let mut chosen: Vec<Box<dyn Measure>> = measures()
        .into_iter()
        .filter(|measure| ["column-distances", "dynamics"].contains(&measure.id()))
        .collect();
    chosen.push(Box::new(StepChanges));
    let evaluation = evaluate_with(&real, &synthetic, &schema, &chosen)?.evaluation;
    for (id, finding) in evaluation.findings() {
        println!("{id}");
        finding.figures.iter().for_each(|figure| println!("  {figure}"));
        for answer in &finding.answers {
            println!("  {:?}: {} {}", answer.verdict, answer.question, answer.because);
        }
    }
    Ok(())
}
