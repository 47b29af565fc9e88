//! A synthetic cohort beside the real one: figures, short answers, report.

use crate::shadow::Thorough;
use crate::simulated::Simulated;
use crate::{Error, Result};
use hg_data::{Encoder, Identifiers, Origin, Schema, Subset, Table, write_atomically};
use hg_eval::{Attacks, Cohort, Curve, Evaluation, Measure, Report, Simulator, Subject, measures};
use hg_train::{CancelToken, Run, RunManifest, Spent, StepMetrics, Store};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Cells of a table that are compared; of a file with more, whole patients with about so many are.
const MOST_CELLS: usize = 1 << 25;

/// Rows that are compared at most.
pub(crate) fn most_rows(schema: &Schema) -> usize {
    MOST_CELLS / (schema.columns.len() + 2)
}

/// The report's page in its folder.
const PAGE: &str = "report.html";
const TEXT: &str = "report.md";
pub(crate) const NUMBERS: &str = "comparison.json";

/// An evaluation with its report.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// The figures and the short answers.
    pub evaluation: Evaluation,
    /// The report as one HTML page. It shows real patients: it is as private as the table.
    pub html: String,
    /// The report as Markdown.
    pub markdown: String,
}

impl Evaluated {
    /// Figures and short answers as a JSON object.
    ///
    /// # Errors
    /// [`Error::Json`], which no figure should lead to.
    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string(&self.evaluation)?)
    }

    /// Writes `report.html`, `report.md` and `comparison.json` to a folder, which is made where it
    /// is not there; gives the page's path.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<PathBuf> {
        let folder = folder.as_ref();
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Write { path, source }
        };
        std::fs::create_dir_all(folder).map_err(failed(folder))?;
        let json = self.json()?;
        for (name, text) in [(PAGE, &self.html), (TEXT, &self.markdown), (NUMBERS, &json)] {
            let path = folder.join(name);
            write_atomically(&path, |file| file.write_all(text.as_bytes()).map_err(failed(&path)))?;
        }
        Ok(folder.join(PAGE))
    }
}

/// Compares a synthetic table (a [`Table`] or a `&DataFrame`) with a real one; `schema` describes
/// both.
///
/// # Errors
/// When a table does not fit the schema.
pub fn evaluate(
    real: impl Into<Table>,
    synthetic: impl Into<Table>,
    schema: &Schema,
) -> Result<Evaluated> {
    evaluate_with(real, synthetic, schema, &measures())
}

/// Compares two tables as [`evaluate`] does, by these measures: some of
/// [`measures()`](hg_eval::measures()), or ones of your own.
///
/// # Errors
/// As [`evaluate`], and for two measures of one id.
pub fn evaluate_with(
    real: impl Into<Table>,
    synthetic: impl Into<Table>,
    schema: &Schema,
    measures: &[Box<dyn Measure>],
) -> Result<Evaluated> {
    let real = real.into().or_named("real table");
    let (encoder, _) = Encoder::fit(schema, &real, Subset::Whole)?;
    let how = How { measures, steps: &[], thorough: None, observe: &mut |_| {} };
    compare_in_memory(&encoder, ((real, synthetic.into()), &[]), (Subset::Whole, None), how)
}

/// Compares two tables in files, as [`evaluate`] does; `on_stage` hears of each stage as it begins.
/// Of a table that is too large, whole patients are compared, chosen by a hash of the id, and the
/// report says so.
///
/// # Errors
/// As [`evaluate`], and when a file cannot be read.
pub fn evaluate_files(
    real: &Path,
    synthetic: &Path,
    schema: &Schema,
    on_stage: &mut dyn FnMut(&'static str),
) -> Result<Evaluated> {
    let files = Files::read(schema, real, synthetic)?;
    let (encoder, _) = Encoder::fit(schema, &files.real, Subset::Whole)?;
    let how =
        How { measures: &measures(), steps: &[], thorough: None, observe: &mut stages(on_stage) };
    compare(&encoder, &files.tables(), (Subset::Whole, None), how)
}

/// Compares two tables in memory by what a model is fitted with: with the patients that it was trained on,
/// and those that it was not; `store` has what training measured, and spent.
pub(crate) fn evaluate_model(
    encoder: &Encoder,
    tables: (Table, Table),
    subsets: (Subset, Option<Subset>),
    store: &dyn Store,
) -> Result<Evaluated> {
    let steps = store.steps()?;
    let how = How { measures: &measures(), steps: &steps, thorough: None, observe: &mut |_| {} };
    let remarks: Vec<String> = store.charged()?.map(of_guarantee).into_iter().collect();
    compare_in_memory(encoder, (tables, &remarks), subsets, how)
}

/// What a reader of the report must know of a cohort that was made under a guarantee.
fn of_guarantee(Spent { epsilon, delta, .. }: Spent) -> String {
    format!(
        "The cohort was made under differential privacy for every patient's whole sequence (ε = {epsilon:.2} at \
         δ = {delta:.1e} are spent). But the guarantee does not cover this report, which compares with the real \
         table itself: keep it where that is."
    )
}

fn compare_in_memory(
    encoder: &Encoder,
    ((real, synthetic), remarks): ((Table, Table), &[String]),
    subsets: (Subset, Option<Subset>),
    how: How<'_>,
) -> Result<Evaluated> {
    let (real, synthetic) = (real.or_named("real table"), synthetic.or_named("synthetic table"));
    compare(encoder, &Tables { real: &real, synthetic: &synthetic, remarks }, subsets, how)
}

/// Compares a run's synthetic cohort with its real table; `on_stage` hears of each stage as it
/// begins. Of large tables some patients are compared, as by [`evaluate_files`].
///
/// # Errors
/// When one of the tables is gone or has changed.
pub fn evaluate_run(run: &Run, on_stage: &mut dyn FnMut(&'static str)) -> Result<Evaluated> {
    evaluate_run_with(run, Attacks::Usual, &CancelToken::default(), &mut stages(on_stage))
}

/// Compares a run's synthetic cohort with its real table, as [`evaluate_run`] does, with attacks that take
/// so much work. [`Attacks::Thorough`] attacks every patient, and trains shadow runs to attack by; `cancel`
/// ends that.
///
/// # Errors
/// As [`evaluate_run`]; [`Error::Cancelled`]; and what the training of shadow runs reports.
pub fn evaluate_run_with(
    run: &Run,
    attacks: Attacks,
    cancel: &CancelToken,
    observe: &mut dyn FnMut(Progress),
) -> Result<Evaluated> {
    let RunManifest { train, .. } = &run.manifest;
    let schema = &run.encoder.schema;
    let mut files = Files::read(schema, run.check_data()?, &run.synthetic())?;
    files.remarks.extend(run.store().charged()?.map(of_guarantee));
    let subsets = (train.training_subset(), train.held_out_subset());
    let thorough = (attacks == Attacks::Thorough).then_some(Thorough { config: train, cancel });
    let how = How { measures: &measures(), steps: &run.metrics()?, thorough, observe };
    compare(&run.encoder, &files.tables(), subsets, how)
}

/// How far an evaluation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// A measure's [stage](Measure::stage) begins.
    Stage(&'static str),
    /// Iterations of all shadow runs that are done.
    Shadows {
        /// So many,
        done: u64,
        /// of so many.
        all: u64,
    },
}

/// Who hears of stages alone.
fn stages(on_stage: &mut dyn FnMut(&'static str)) -> impl FnMut(Progress) {
    move |progress| {
        if let Progress::Stage(stage) = progress {
            on_stage(stage);
        }
    }
}

/// The tables that are compared.
struct Tables<'a> {
    real: &'a Table,
    synthetic: &'a Table,
    /// What a reader of the report must know of them.
    remarks: &'a [String],
}

/// Tables from files, or as much of them as is compared.
struct Files {
    real: Table,
    synthetic: Table,
    remarks: Vec<String>,
}

impl Files {
    fn read(schema: &Schema, real: &Path, synthetic: &Path) -> Result<Self> {
        let most = most_rows(schema);
        let mut remarks = Vec::new();
        let mut read = |path: &Path, which: &str| -> Result<Table> {
            let (table, sampled) = schema.read_sample(path, most)?;
            if let Some(sampled) = sampled {
                let remark = format!(
                    "The {which} table is too large to be compared as a whole: {sampled} are, \
                     chosen by a hash of the id alone."
                );
                tracing::warn!("{}: {remark}", path.display());
                remarks.push(remark);
            }
            Ok(table)
        };
        let (real, synthetic) = (read(real, "real")?, read(synthetic, "synthetic")?);
        Ok(Self { real, synthetic, remarks })
    }

    fn tables(&self) -> Tables<'_> {
        Tables { real: &self.real, synthetic: &self.synthetic, remarks: &self.remarks }
    }
}

/// How they are compared.
struct How<'a> {
    measures: &'a [Box<dyn Measure>],
    /// What training measured, for the report's curves.
    steps: &'a [StepMetrics],
    /// Where attacks may take minutes.
    thorough: Option<Thorough<'a>>,
    observe: &'a mut dyn FnMut(Progress),
}

fn compare(
    encoder: &Encoder,
    tables: &Tables<'_>,
    (trained_on, held_out_subset): (Subset, Option<Subset>),
    how: How<'_>,
) -> Result<Evaluated> {
    let cohort = |table: &Table, subset, origin| -> Result<Cohort> {
        let (observed, encoded) = encoder.observe(table, subset, origin)?;
        Ok(Cohort { observed, encoded })
    };
    let real = cohort(tables.real, trained_on, Origin::Real)?;
    let held_out =
        held_out_subset.map(|subset| cohort(tables.real, subset, Origin::Real)).transpose()?;
    let synthetic = cohort(tables.synthetic, Subset::Whole, Origin::Synthetic)?;
    let simulated = Simulated::of(encoder, Path::new(&tables.real.name))?;
    // Of all real patients: one who was held out is no less real.
    let identifiers =
        Identifiers::find(&encoder.schema, &tables.real.frame, &tables.synthetic.frame)?;
    let subject = Subject::new(encoder, &real, &synthetic)
        .with_held_out(held_out.as_ref())
        .with_identifiers(&identifiers)
        .with_remarks(tables.remarks)
        .with_simulator(simulated.as_ref().map(|simulated| simulated as &dyn Simulator));
    let How { measures, steps, thorough, observe } = how;
    let shadows = match &thorough {
        Some(thorough) if subject.can_be_attacked() => {
            let subsets = [Some(trained_on), held_out_subset].into_iter().flatten().collect();
            Some(thorough.shadows(&subject, (tables.real, subsets), observe)?)
        }
        _ => None,
    };
    let attacks = if thorough.is_some() { Attacks::Thorough } else { Attacks::Usual };
    let subject = subject.with_attacks(attacks).with_shadows(shadows.as_deref());
    let on_stage = &mut |stage| observe(Progress::Stage(stage));
    let evaluation = hg_eval::evaluate(&subject, measures, on_stage)?;
    let curves = curves(steps);
    let report = Report::new(&subject, &evaluation, &curves)?;
    let (html, markdown) = (report.html(), report.markdown());
    Ok(Evaluated { evaluation, html, markdown })
}

/// What each iteration measured, as one curve (name, points by iteration) for each number.
pub fn curves(steps: &[StepMetrics]) -> Vec<Curve> {
    let names = StepMetrics::names(steps).into_iter();
    names
        .map(|name| {
            let point = |step: &StepMetrics| Some((step.iteration as f64, step.get(&name)?));
            let points = steps.iter().filter_map(point).collect();
            (name.replace('_', " "), points)
        })
        .collect()
}
