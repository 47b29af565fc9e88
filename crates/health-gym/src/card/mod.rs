//! The data card of a synthetic cohort: what it is, what it was made from and how, what is known of its
//! privacy and of its faults.
//!
//! Who reads it has the synthetic tables and nothing else. So it says of the private table what the schema's
//! author wrote down, and no number that was fitted to it: no range, no median, no share of a level.

mod croissant;
mod markdown;
mod measured;

pub use measured::{CardAnswer, ColumnDistance, Measured};

use crate::evaluation::most_rows;
use crate::{Error, Result};
use hg_data::{
    DataFrame, Kind, Origin, Schema, Step, Subset, TableForm, TimeModel, write_atomically,
};
use hg_train::{Run, RunManifest, TrainConfig};
use serde_json::Value;
use std::io::Write;
use std::path::Path;

/// The card as a Hugging Face dataset card.
pub(crate) const TEXT: &str = "card.md";
/// The card as Croissant.
pub(crate) const NUMBERS: &str = "card.json";

/// A guarantee of differential privacy: whatever is done with what was released, whether one patient was in
/// the private table shows by no more than (ε, δ) allow.
#[derive(Clone, Debug, PartialEq)]
pub struct Guarantee {
    /// ε.
    pub epsilon: f64,
    /// δ.
    pub delta: f64,
    /// What is added or removed between neighbouring tables, as "one patient's whole sequence".
    pub unit: &'static str,
    /// The mechanism in a sentence or two.
    pub mechanism: String,
}

/// The guarantee that a run's training gave; `None` for the ordinary training, which gives none.
pub fn guarantee_of(run: &Run) -> Option<Guarantee> {
    let plan = run.manifest.privacy?;
    let mechanism = format!(
        "One release of how columns and lengths are distributed, by the Gaussian mechanism (noise multiplier {}), \
         and {} critic steps of DP-SGD (Poisson samples at a rate of {:.3e}, noise multiplier {}, clipping norm {}), \
         accounted for by Rényi divergences. The number of patients and the schema are taken to be public.",
        plan.release_noise, plan.steps, plan.sampling_rate, plan.gradient_noise, plan.clip_norm
    );
    let unit = "one patient's whole sequence, added or removed";
    Some(Guarantee { epsilon: plan.epsilon, delta: plan.delta, unit, mechanism })
}

/// The data card of a run's synthetic cohort.
#[derive(Clone, Debug)]
pub struct Card {
    name: String,
    description: String,
    version: String,
    commit: String,
    license: Option<String>,
    /// Sequences that were trained on: exact where that number is public, else to two digits.
    trained_on: String,
    is_windowed: bool,
    made: Made,
    /// What a step is: `visit`, or the width of the grid.
    time: String,
    has_decision: bool,
    tables: Vec<CardTable>,
    settings: Vec<(String, String)>,
    guarantee: Option<Guarantee>,
    measured: Option<Measured>,
    files: Vec<CardFile>,
}

/// What there is of synthetic patients.
#[derive(Clone, Debug)]
struct Made {
    patients: usize,
    rows: usize,
    /// The shortest and the longest synthetic sequence.
    steps: [usize; 2],
}

/// One of the tables, with the file that its fields are read from.
#[derive(Clone, Debug)]
struct CardTable {
    name: String,
    file: String,
    columns: Vec<CardColumn>,
}

/// A column, as its schema describes it.
#[derive(Clone, Debug)]
struct CardColumn {
    name: String,
    /// What it holds, in words.
    holds: String,
    unit: String,
    /// Those that the schema's author wrote down; levels that were found in the private table are not
    /// told, since one that no synthetic patient has would be told by the card alone.
    levels: Vec<String>,
    /// The type in schema.org's names, as `sc:Float`.
    data_type: &'static str,
}

impl CardColumn {
    fn key(name: &str, holds: impl Into<String>, unit: &str, data_type: &'static str) -> Self {
        let (name, holds, unit) = (name.to_owned(), holds.into(), unit.to_owned());
        Self { name, holds, unit, levels: Vec::new(), data_type }
    }
}

/// A file that holds synthetic patients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CardFile {
    /// Relative to the folder, with slashes.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

impl Card {
    /// The card of a run's synthetic cohort, under a licence (an SPDX identifier or a text; `None` says
    /// that it is not stated). Where the run gives a [`Guarantee`], what was measured with the private
    /// table is not part of it, and `measured` is left out.
    ///
    /// # Errors
    /// When the synthetic tables cannot be read.
    pub fn new(run: &Run, measured: Option<Measured>, license: Option<&str>) -> Result<Self> {
        Self::with_guarantee(run, measured, license, guarantee_of(run))
    }

    /// The card as [`Card::new`] makes it, with this guarantee in place of the run's own.
    ///
    /// # Errors
    /// As [`Card::new`].
    pub fn with_guarantee(
        run: &Run,
        measured: Option<Measured>,
        license: Option<&str>,
        guarantee: Option<Guarantee>,
    ) -> Result<Self> {
        let schema = &run.encoder.schema;
        let RunManifest { train, program, .. } = &run.manifest;
        let (made, frame) = read(run)?;
        let sequences = match run.manifest.privacy {
            Some(plan) => plan.patients,
            None => run.encoder.lengths.iter().sum(),
        };
        Ok(Self {
            name: schema.name.clone(),
            description: schema.description.clone(),
            version: program.version.clone(),
            commit: program.commit.clone(),
            license: license.map(str::to_owned),
            trained_on: match guarantee {
                Some(_) => sequences.to_string(),
                None => format!("about {}", two_digits(sequences)),
            },
            is_windowed: schema.sequence.window.is_some(),
            made,
            time: match &schema.time.model {
                TimeModel::Visits => "a visit, whenever it was".into(),
                TimeModel::Grid { step: Step::Text(width), .. } => {
                    format!("a point of a regular grid with a width of {width}")
                }
                TimeModel::Grid { step: Step::Number(width), .. } => {
                    format!(
                        "a point of a regular grid with a width of {width} ({})",
                        schema.time.unit
                    )
                }
            },
            has_decision: schema.decision.is_some(),
            tables: tables(run, &frame),
            settings: settings(train)?,
            measured: measured.filter(|_| guarantee.is_none()),
            guarantee,
            files: files(run)?,
        })
    }

    /// Writes `card.md` and `card.json` into a folder.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        for (name, text) in [(TEXT, self.markdown()), (NUMBERS, self.croissant()?)] {
            let path = folder.join(name);
            write_atomically(&path, |file| {
                let failed = |source| Error::Write { path: path.clone(), source };
                file.write_all(text.as_bytes()).map_err(failed)
            })?;
        }
        Ok(())
    }

    pub(crate) fn files(&self) -> &[CardFile] {
        &self.files
    }

    pub(crate) fn measured(&self) -> Option<&Measured> {
        self.measured.as_ref()
    }

    pub(crate) fn has_guarantee(&self) -> bool {
        self.guarantee.is_some()
    }

    fn title(&self) -> String {
        format!("Synthetic cohort: {}", self.name)
    }

    /// What the cohort was made from, in a sentence.
    fn origin(&self) -> String {
        let of = match self.is_windowed {
            true => "sequences (pieces of patients)",
            false => "patients",
        };
        format!(
            "A generative model was trained on {} {of} of a private table; these synthetic patients were drawn \
             from it.",
            self.trained_on
        )
    }

    /// What is promised of the patients' privacy.
    fn promise(&self) -> String {
        match &self.guarantee {
            None => "There is no guarantee of privacy: nothing here is differentially private. What is known \
                     are the results of attacks, each of which can miss a leak."
                .into(),
            Some(Guarantee { epsilon, delta, unit, mechanism }) => format!(
                "Differentially private with ε = {epsilon} and δ = {} for {unit}. {mechanism} Measures and \
                 attacks that were computed with the private table are not covered by this guarantee, and so \
                 they are left out of this card.",
                 rounded_up(*delta)
            ),
        }
    }

    /// What is known to be wrong with the cohort, a sentence each.
    fn faults(&self) -> Vec<String> {
        let Some(measured) = &self.measured else { return Vec::new() };
        let failed = measured.answers.iter().filter(|answer| answer.passed == Some(false));
        let failed = failed
            .map(|answer| format!("{}: {} No: {}.", answer.about, answer.question, answer.because));
        let far = measured.far_columns().into_iter().map(|(column, yardstick)| {
            format!(
                "Column `{}` is distributed otherwise than in the real table: distance {:.2}, yardstick \
                 {yardstick:.2}.",
                column.name, column.distance
            )
        });
        failed.chain(far).collect()
    }
}

/// The uses that the cohort is made for.
const USES: [&str; 3] = [
    "Developing and testing methods, software and analysis plans before the real table is at hand.",
    "Teaching.",
    "Benchmarks, where results on the real table do not matter.",
];

/// The uses that it is not made for.
const MISUSES: [&str; 4] = [
    "Decisions about patients.",
    "Estimates of effects, risks or prevalences that are published without a check on the real table.",
    "Conclusions about rare groups: of what few patients have, the model knows little.",
    "Attempts to find out who was in the private table.",
];

/// What is limited about every cohort of this kind.
const LIMITS: [&str; 2] = [
    "No row is a person. Values, courses and how they go together are those of a model, which may miss what it \
     was not measured for.",
    "Biases of the private table (who is in it, what was measured) are learnt and passed on.",
];

/// How the cohort was made, in a paragraph.
const METHOD: &str = "A Wasserstein GAN with gradient penalty, whose generator and critic are bidirectional LSTM \
                      networks, learnt sequences of encoded steps; its output is decoded to the table's columns.";

/// The paper of the method.
const REFERENCE: &str = "Kuo, N.I., Polizzotto, M.N., Finfer, S. et al. The Health Gym: synthetic health-related \
                         datasets for the development of reinforcement learning algorithms. Scientific Data 9, \
                         693 (2022). https://doi.org/10.1038/s41597-022-01784-7";

/// What the run's synthetic table holds, and the table (or, of a large one, some of its patients).
fn read(run: &Run) -> Result<(Made, DataFrame)> {
    let schema = &run.encoder.schema;
    let (table, sampled) = schema.read_sample(&run.synthetic(), most_rows(schema))?;
    let (observed, _) = run.encoder.observe(&table, Subset::Whole, Origin::Synthetic)?;
    let steps = observed.lengths.iter().copied();
    let steps = [steps.clone().min().unwrap_or(0), steps.max().unwrap_or(0)];
    let (patients, rows) = match sampled {
        Some(sampled) => (sampled.of_patients, sampled.of_rows),
        None => (observed.lengths.len(), table.frame.height()),
    };
    Ok((Made { patients, rows, steps }, table.frame))
}

/// The files with synthetic patients in a run folder.
pub(crate) fn files(run: &Run) -> Result<Vec<CardFile>> {
    let paths: Vec<String> = match run.encoder.tables.as_slice() {
        [] => vec!["synthetic.csv".into(), "synthetic.parquet".into()],
        forms => forms.iter().map(path_of).collect(),
    };
    let file = |path: String| -> Result<CardFile> {
        let full = run.folder().join(&path);
        let about = std::fs::metadata(&full).map_err(|e| Error::Release {
            path: full.clone(),
            problem: format!("cannot be read: {e}\nhint: train the run to its end first"),
        })?;
        Ok(CardFile { path, bytes: about.len(), sha256: hg_data::fingerprint(&full)? })
    };
    paths.into_iter().map(file).collect()
}

fn path_of(form: &TableForm) -> String {
    format!("synthetic/{}", form.file.replace('\\', "/"))
}

fn tables(run: &Run, frame: &DataFrame) -> Vec<CardTable> {
    let written = written(run);
    let schema = &run.encoder.schema;
    if run.encoder.tables.is_empty() {
        let column = |name: &String| CardColumn {
            data_type: data_type(frame, name),
            ..describe((schema, written.as_ref()), None, name)
        };
        let columns = run.encoder.order.iter().map(column).collect();
        let file = "synthetic.parquet".into();
        return vec![CardTable { name: "patients".into(), file, columns }];
    }
    let forms = schema.tables.iter().zip(&run.encoder.tables);
    forms
        .map(|(table, form)| {
            let column =
                |name: &String| describe((schema, written.as_ref()), Some((table, form)), name);
            let columns = form.order.iter().map(column).collect();
            CardTable { name: table.name.clone(), file: path_of(form), columns }
        })
        .collect()
}

/// The schema as its author wrote it, where that file is still the run's.
fn written(run: &Run) -> Option<Schema> {
    let path = run.manifest.schema.as_ref()?;
    let is_same = hg_data::fingerprint(path).ok() == run.manifest.schema_sha256;
    is_same.then(|| Schema::load(path).ok()).flatten()
}

/// A column of a table by its name there.
fn describe(
    (schema, written): (&Schema, Option<&Schema>),
    table: Option<(&hg_data::SourceTable, &TableForm)>,
    name: &str,
) -> CardColumn {
    let own = |key: &Option<String>, of_all: &str| key.as_deref().unwrap_or(of_all) == name;
    let (patient, time) = match table {
        Some((table, _)) => {
            (own(&table.patient, &schema.patient.column), own(&table.time, &schema.time.column))
        }
        None => (name == schema.patient.column, name == schema.time.column),
    };
    if patient {
        return CardColumn::key(name, "the synthetic patient, numbered anew", "", "sc:Text");
    }
    if time {
        return CardColumn::key(name, "the time of the row", &schema.time.unit, "sc:Text");
    }
    let is_it = |column: &&hg_data::Column| match (table, &column.source) {
        (Some((table, _)), Some(source)) => source.table == table.name && source.name == name,
        _ => column.name == name,
    };
    let Some(column) = schema.columns.iter().find(is_it) else {
        return CardColumn::key(name, "codes, values or units of events", "", "sc:Text");
    };
    let levels = written.and_then(|schema| schema.columns.iter().find(is_it));
    let levels = levels.map(hg_data::Column::level_names).unwrap_or_default();
    let (kind, data_type) = match column.kind.kind() {
        Kind::Numeric => ("a number", "sc:Float"),
        Kind::Categorical => ("one of several levels", "sc:Text"),
        Kind::Binary => ("one of two levels", "sc:Text"),
    };
    let changes = if column.is_static { ", constant in a patient" } else { "" };
    let is_numeric = column.kind.kind() == Kind::Numeric;
    CardColumn {
        name: name.to_owned(),
        holds: format!("{kind}{changes}"),
        unit: column.unit.clone(),
        levels: if is_numeric { Vec::new() } else { levels },
        data_type,
    }
}

/// schema.org's name of the type of a column.
fn data_type(frame: &DataFrame, name: &str) -> &'static str {
    let Ok(column) = frame.column(name) else { return "sc:Text" };
    match column.dtype() {
        dtype if dtype.is_bool() => "sc:Boolean",
        dtype if dtype.is_integer() => "sc:Integer",
        dtype if dtype.is_float() => "sc:Float",
        dtype if dtype.is_date() => "sc:Date",
        dtype if dtype.is_datetime() => "sc:DateTime",
        _ => "sc:Text",
    }
}

/// The iterations, and the settings that are not the program's defaults. The seed is left out: who has it
/// and the table can make the model again.
fn settings(train: &TrainConfig) -> Result<Vec<(String, String)>> {
    let pairs = |config: &TrainConfig| -> Result<Vec<(String, String)>> {
        let mut found = Vec::new();
        flatten("", &serde_json::to_value(config)?, &mut found);
        Ok(found)
    };
    let defaults = pairs(&TrainConfig::default())?;
    let is_said = |pair: &(String, String)| match pair.0.as_str() {
        "seed" => false,
        "iterations" => true,
        _ => !defaults.contains(pair),
    };
    Ok(pairs(train)?.into_iter().filter(is_said).collect())
}

fn flatten(prefix: &str, value: &Value, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            let dot = if prefix.is_empty() { "" } else { "." };
            map.iter()
                .for_each(|(key, value)| flatten(&format!("{prefix}{dot}{key}"), value, into));
        }
        Value::String(text) => into.push((prefix.into(), text.clone())),
        other => into.push((prefix.into(), other.to_string())),
    }
}

/// A count to two significant digits.
fn two_digits(count: usize) -> usize {
    let mut unit = 1;
    while count / unit >= 100 {
        unit *= 10;
    }
    (count + unit / 2) / unit * unit
}

/// A positive number with two digits, no less than it is: less would promise more than is kept.
fn rounded_up(x: f64) -> String {
    let unit = 10f64.powi(x.log10().floor() as i32 - 1);
    // The digits themselves, where they are all: 1e-5 is not 1.1e-5.
    let near = format!("{x:.1e}");
    match near.parse() {
        Ok(near) if x <= near => format!("{near:e}"),
        _ => format!(
            "{:e}",
            format!("{:.1e}", ((x / unit).floor() + 1.) * unit).parse().unwrap_or(x)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_rounded_to_two_digits_and_never_down() {
        let shown = [1e-5, 3.333_333_333_333_333_5e-5, 6.67e-4, 9.96e-6, 0.05, 1.01e-9];
        assert_eq!(shown.map(rounded_up), ["1e-5", "3.4e-5", "6.7e-4", "1e-5", "5e-2", "1.1e-9"]);
    }
}
