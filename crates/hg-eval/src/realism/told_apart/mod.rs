//! Can a classifier tell synthetic patients from real ones? Several try, each in its own way, and
//! the best of them counts.

mod critic;
mod quick;
mod steps;

pub use critic::discriminate;
pub use quick::QuickTrees;

use crate::auc::auc_of_clusters;
use crate::judge::MIN_PATIENTS;
use crate::{
    Answer, Auc, Cohort, Compared, Finding, Measure, Outcome, ReportTable, Result, Subject, Topic,
    auc,
};
use hg_data::{Observed, Schema};
use hg_judge::{CrossFit, FOLDS, Features, Patient, Trees, cross_fit, patients, summaries};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// Patients of a side that the trees learn from; of more, random ones are.
const MAX_PATIENTS: usize = 1000;
/// Steps of a side that the trees learn from; of more, evenly spread ones are.
const MAX_STEPS: usize = 4000;
/// Features that the report names.
const NAMED: usize = 8;

/// An area under the curve of a classifier up to here passes.
const MAX_AREA: f64 = 0.75;
/// Patients of each side from which on there is a verdict: the classifiers learn from some of
/// them and are tested on others.
const MIN_TOLD_APART: usize = 2 * MIN_PATIENTS;

/// Features by name, with the share of the gain over all splits that each brought.
pub type GainShares = Vec<(String, f64)>;

/// How well each judge tells a cohort from the real one; `None` where a side has too little.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ToldApart {
    /// By the whole sequence: Health Gym's critic with a logistic loss.
    pub sequences: Option<Auc>,
    /// By summaries of each patient: boosted trees.
    pub patients: Option<Auc>,
    /// The same, learnt from real patients that were trained on and tested on those that were not; of
    /// a synthetic cohort alone.
    pub unseen: Option<Auc>,
    /// By single steps, each beside the one before: boosted trees.
    pub steps: Option<Auc>,
    /// What the trees split by, of patients: the feature and its share of the gain, greatest first.
    pub by: GainShares,
}

impl ToldApart {
    /// Judges `cohort` beside the real one of the same schema.
    ///
    /// # Errors
    /// What candle and the trees report.
    pub fn new(subject: &Subject<'_>, cohort: &Cohort) -> Result<Self> {
        let layout = subject.layout();
        let sequences = discriminate(&subject.real.encoded, &cohort.encoded, &layout, 0)?;
        let schema = &subject.encoder.schema;
        let trees = Folds::new(schema, &subject.real.observed, &cohort.observed);
        let (patients, by) = trees.tell_patients(schema)?;
        let steps = trees.tell_steps(schema)?;
        Ok(Self { sequences, patients, unseen: None, steps, by })
    }

    /// Judges the synthetic cohort beside the real patients that were not trained on too, where there
    /// are some: a generator, or what chooses among its patients, may know the others by heart.
    fn beside_unseen(self, subject: &Subject<'_>) -> Result<Self> {
        let Some(held_out) = subject.held_out else { return Ok(self) };
        let schema = &subject.encoder.schema;
        let trained = Side::new(schema, &subject.real.observed, 0);
        let held_out = Side::new(schema, &held_out.observed, 0);
        let synthetic = Side::new(schema, &subject.synthetic.observed, 1);
        let unseen = tell_unseen(schema, [trained, held_out, synthetic])?;
        Ok(Self { unseen, ..self })
    }

    /// The judges by name.
    fn judges(&self) -> [(&'static str, Option<Auc>); 4] {
        [
            ("patients", self.patients),
            ("patients not trained on", self.unseen),
            ("single steps", self.steps),
            ("sequences", self.sequences),
        ]
    }

    /// The judge that tells them apart best; `None` where none could judge.
    pub fn worst(&self) -> Option<(&'static str, Auc)> {
        let judges = self.judges().into_iter().filter_map(|(name, auc)| Some((name, auc?)));
        // The first of equal ones.
        judges.reduce(|worst, next| if next.1.area > worst.1.area { next } else { worst })
    }
}

/// Real and synthetic patients in equal numbers, with a fold for each.
struct Folds<'a> {
    real: Side<'a>,
    synthetic: Side<'a>,
}

struct Side<'a> {
    cohort: &'a Observed,
    /// In random order; the n-th is in fold n modulo [`FOLDS`].
    patients: Vec<Patient>,
}

impl<'a> Side<'a> {
    fn new(schema: &Schema, cohort: &'a Observed, seed: u64) -> Self {
        let mut patients = patients(schema, cohort);
        patients.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        Side { cohort, patients }
    }

    fn summaries(&self, schema: &Schema) -> Features {
        summaries(schema, self.cohort, &self.patients)
    }
}

/// The area under the curve of summaries of held-out patients and half of the synthetic ones, by trees
/// that learnt from those trained on and the other half; sides that are learnt from weigh the same.
/// `None` where a part is too small.
fn tell_unseen(
    schema: &Schema,
    [mut trained, mut held_out, synthetic]: [Side<'_>; 3],
) -> Result<Option<Auc>> {
    trained.patients.truncate(MAX_PATIENTS);
    held_out.patients.truncate(MAX_PATIENTS);
    let (mut synthetic, tested_on) = synthetic.summaries(schema).halves();
    if synthetic.count() > MAX_PATIENTS {
        synthetic = synthetic.chosen(&(0..MAX_PATIENTS).collect::<Vec<_>>());
    }
    let counts = [trained.patients.len(), synthetic.count()];
    let tested = [held_out.patients.len(), tested_on.count()];
    if counts.iter().chain(&tested).any(|&count| count < MIN_PATIENTS) {
        return Ok(None);
    }
    let trees = Trees::between(trained.summaries(schema), synthetic)?;
    Ok(auc(&trees.scores(&tested_on), &trees.scores(&held_out.summaries(schema))))
}

impl<'a> Folds<'a> {
    fn new(schema: &Schema, real: &'a Observed, synthetic: &'a Observed) -> Self {
        let (mut real, mut synthetic) =
            (Side::new(schema, real, 0), Side::new(schema, synthetic, 1));
        let count = real.patients.len().min(synthetic.patients.len()).min(MAX_PATIENTS);
        real.patients.truncate(count);
        synthetic.patients.truncate(count);
        Self { real, synthetic }
    }

    /// Whether every fold has patients of both sides.
    fn are_enough(&self) -> bool {
        self.real.patients.len() >= 2 * FOLDS
    }

    /// The area under the curve of summaries, and the greatest shares of the gain.
    fn tell_patients(&self, schema: &Schema) -> Result<(Option<Auc>, GainShares)> {
        if !self.are_enough() {
            return Ok((None, Vec::new()));
        }
        let features = self.real.summaries(schema).below(self.synthetic.summaries(schema));
        let count = self.real.patients.len();
        let is_synthetic: Vec<bool> = (0..2 * count).map(|row| row >= count).collect();
        let folds: Vec<usize> = (0..2 * count).map(|row| row % count % FOLDS).collect();
        let CrossFit { scores, importance } = cross_fit(&features, &is_synthetic, &folds)?;

        let (real, synthetic) = scores.split_at(count);
        let mut by: GainShares = features.names.into_iter().zip(importance).collect();
        by.sort_by(|a, b| b.1.total_cmp(&a.1));
        by.truncate(NAMED);
        by.retain(|(_, share)| *share > 0.);
        Ok((auc(synthetic, real), by))
    }

    /// The area under the curve of steps.
    fn tell_steps(&self, schema: &Schema) -> Result<Option<Auc>> {
        let of = |side: &Side<'_>| steps::steps(&side.patients, MAX_STEPS);
        let (real, synthetic) = (of(&self.real), of(&self.synthetic));
        let are_there = [&real, &synthetic].map(|steps| {
            (0..FOLDS).all(|fold| steps.iter().any(|step| step.patient % FOLDS == fold))
        });
        if !self.are_enough() || are_there != [true; 2] {
            return Ok(None);
        }
        let features = steps::features(schema, self.real.cohort, &real).below(steps::features(
            schema,
            self.synthetic.cohort,
            &synthetic,
        ));
        let is_synthetic: Vec<bool> =
            (0..real.len() + synthetic.len()).map(|row| row >= real.len()).collect();
        let folds: Vec<usize> =
            real.iter().chain(&synthetic).map(|step| step.patient % FOLDS).collect();
        let scores = cross_fit(&features, &is_synthetic, &folds)?.scores;

        let by_patient = |steps: &[steps::Step], scores: &[f64]| {
            let mut clusters = vec![Vec::new(); self.real.patients.len()];
            steps.iter().zip(scores).for_each(|(step, &score)| clusters[step.patient].push(score));
            clusters
        };
        let (of_real, of_synthetic) = scores.split_at(real.len());
        Ok(auc_of_clusters(&by_patient(&synthetic, of_synthetic), &by_patient(&real, of_real)))
    }
}

pub(crate) struct Judges;

impl Measure for Judges {
    fn id(&self) -> &'static str {
        "told-apart"
    }

    fn topic(&self) -> Topic {
        Topic::Realism
    }

    fn stage(&self) -> &'static str {
        "telling apart"
    }

    fn about(&self) -> &'static str {
        "How well classifiers tell synthetic patients from real ones (classifier two-sample tests: \
         Lopez-Paz & Oquab 2017, \
         [doi:10.48550/arXiv.1610.06545](https://doi.org/10.48550/arXiv.1610.06545)): the area \
         under the ROC curve of patients, or steps, that a classifier has not seen, with its 95 % \
         interval (DeLong et al. 1988, \
         [doi:10.2307/2531595](https://doi.org/10.2307/2531595); of steps, which belong to \
         patients, Obuchowski 1997, [doi:10.2307/2533958](https://doi.org/10.2307/2533958)), where \
         0.5 is chance and 1 is always. There are four judges, and the answer is the worst of them. \
         *Patients*: gradient-boosted trees (Friedman 2001, \
         [doi:10.1214/aos/1013203451](https://doi.org/10.1214/aos/1013203451), with the settings of \
         scikit-learn's `HistGradientBoostingClassifier`) on summaries of each patient: statics, \
         number of steps, and of each column that changes its mean, SD, slope in time, lag-1 \
         autocorrelation and mean step, or the share of each level and of changes, how much is \
         observed, and the correlations of the first eight numbers over the steps; up to 1,000 patients of each side in five folds. *Patients not trained on*: the same \
         trees, which learn from the real patients that were trained on and half of the synthetic \
         ones, and are tested on those that were held out and the other half, so that knowing the \
         training patients by heart gains nothing. *Single steps*: the same trees \
         on the values of a step and of the one before; up to 4,000 steps of each side, a patient's \
         all in one fold. *Sequences*: Health Gym's critic with a logistic loss, which learns from \
         one half of the patients of each side and is tested on the other (Yoon et al., TimeGAN, \
         NeurIPS 2019). Up to 0.75 passes. The table names the features by which the trees tell \
         patients apart, with their shares of the gain over all splits."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let mut compared =
            Compared::new(subject, |cohort| Ok(Some(ToldApart::new(subject, cohort)?)))?;
        let beside_unseen = |told: ToldApart| told.beside_unseen(subject);
        compared.synthetic = compared.synthetic.map(beside_unseen).transpose()?;
        let question = "Is it hard to tell synthetic patients from real ones?";
        let outcome = judge(subject, compared.synthetic.as_ref());
        let area = |name, of: fn(&ToldApart) -> Option<Auc>| {
            compared.figure(name, |told| of(told).map_or(crate::FigureValue::Undefined, Into::into))
        };
        // By the name that it had when it was the only judge.
        let sequences = |told: &Option<ToldApart>| told.as_ref().and_then(|told| told.sequences);
        let mut finding = Finding::new()
            .with_answer(Answer::new("told apart", question, outcome))
            .with_figures([
                area("patients told apart by trees, area under the curve", |told| told.patients),
                area("the same of patients not trained on, area under the curve", |told| {
                    told.unseen
                }),
                area("single steps told apart by trees, area under the curve", |told| told.steps),
                area("sequences told apart by a critic, area under the curve", |told| {
                    told.sequences
                }),
            ])
            .with_json("discriminative", &sequences(&compared.synthetic))?
            .with_json("held_out_discriminative", &sequences(&compared.held_out))?
            .with_json("told_apart", &compared.synthetic)?
            .with_json("held_out_told_apart", &compared.held_out)?;
        if let Some(told) = compared.synthetic.as_ref().filter(|told| !told.by.is_empty()) {
            let rows = told
                .by
                .iter()
                .map(|(name, share)| vec![name.clone(), format!("{:.1} %", 100. * share)]);
            finding = finding.with_table(ReportTable {
                title: "What the trees tell patients apart by".into(),
                note: "The share of what all splits gain. Where patients are hard to tell apart, \
                       this is chance."
                    .into(),
                header: ["feature of a patient", "share of the gain"].map(Into::into).into(),
                rows: rows.collect(),
            });
        }
        Ok(finding.with_detail(compared))
    }
}

fn judge(subject: &Subject<'_>, found: Option<&ToldApart>) -> Outcome {
    subject.patients().at_least(MIN_TOLD_APART)?;
    let nothing = "there are too few sequences for a classifier";
    let told = found.ok_or(nothing)?;
    let (worst, Auc { area, low, high }) = told.worst().ok_or(nothing)?;
    let others = told.judges().into_iter().filter(|(name, _)| *name != worst);
    let others: Vec<String> =
        others.filter_map(|(name, auc)| Some(format!("by {name} {:.2}", auc?.area))).collect();
    let others = if others.is_empty() { String::new() } else { format!("; {}", others.join(", ")) };
    let said = format!(
        "by {worst} a classifier does it with an area under the curve of {area:.2} ({low:.2} to \
         {high:.2}){others}; 0.5 is chance, limit {MAX_AREA}"
    );
    Ok((area <= MAX_AREA, said))
}
