//! Everything that is said of a synthetic cohort.

use crate::privacy::{Patients, identification, inference};
use crate::utility::{policies, predictive};
use crate::{
    Auc, Comparison, Dynamics, Identification, Inference, Nearness, Policies, Predictive, Result,
    Simulator, discriminate, membership, nearness,
};
use hg_data::{Encoded, Encoder, Identifiers, Observed, OutOfDomain};
use hg_models::RowLayout;
use serde::Serialize;

/// A cohort, as it was observed and encoded.
#[derive(Clone, Debug)]
pub struct Cohort {
    /// On the schema's grid.
    pub observed: Observed,
    /// By the encoder that was fitted to those trained on.
    pub encoded: Encoded,
}

/// What is evaluated.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// How the cohorts were encoded.
    pub encoder: &'a Encoder,
    /// What an encoded row looks like.
    pub layout: &'a RowLayout,
    /// The patients that were trained on.
    pub real: &'a Cohort,
    /// Those that were not.
    pub held_out: Option<&'a Cohort>,
    /// The cohort that is asked about.
    pub synthetic: &'a Cohort,
    /// For simulated cohorts: what becomes of patients under a policy.
    pub simulator: Option<&'a dyn Simulator>,
}

/// The stages of an evaluation, in order.
pub const STAGES: [&str; 7] = [
    "columns and pairs",
    "time",
    "telling apart",
    "nearest records",
    "attacks",
    "predictions",
    "policies",
];

/// How many patients there were to compare.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PatientCounts {
    /// That were trained on.
    pub real: usize,
    /// That were held out; `None` where nobody was.
    pub held_out: Option<usize>,
    /// Of the synthetic cohort.
    pub synthetic: usize,
}

/// What the report says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// How many patients there were.
    pub patients: PatientCounts,
    /// Cells of the synthetic table that have no place in the fitted domain, by column.
    pub out_of_domain: Vec<OutOfDomain>,
    /// Identifiers of real patients in the synthetic table. [`Evaluation::new`] leaves it open,
    /// as it does not see the tables themselves; whoever has them sets it.
    pub identifiers: Option<Identifiers>,
    /// Columns and pairs.
    #[serde(flatten)]
    pub comparison: Comparison,
    /// In time.
    pub dynamics: Dynamics,
    /// The same between patients that were held out and those trained on.
    pub held_out_dynamics: Option<Dynamics>,
    /// How well a classifier tells synthetic patients from those that were trained on.
    pub discriminative: Option<Auc>,
    /// The same for patients that were held out.
    pub held_out_discriminative: Option<Auc>,
    /// From synthetic records to those that were trained on.
    pub nearness: Option<Nearness>,
    /// From records of patients that were held out.
    pub held_out_nearness: Option<Nearness>,
    /// How well a patient's nearness to synthetic ones tells that they were trained on; it
    /// takes patients that were held out.
    pub membership: Option<Auc>,
    /// The risk that a patient is found by what is known of them.
    pub identification: Option<Identification>,
    /// What is guessed of a patient of whom some columns are known; it takes patients that were
    /// held out.
    pub inference: Option<Inference>,
    /// What a model that was trained on synthetic patients predicts of real ones.
    pub predictive: Option<Predictive>,
    /// Policies that are learnt from the cohorts, where the schema names a decision.
    pub policies: Option<Policies>,
}

impl Evaluation {
    /// Compares a synthetic cohort with the patients that were trained on, and with the others
    /// where some were held out; `begin` hears of each of the [`STAGES`] as it begins.
    ///
    /// # Errors
    /// What the simulator reports, and candle.
    pub fn new(subject: &Subject<'_>, begin: &mut dyn FnMut(&'static str)) -> Result<Self> {
        let Subject { encoder, layout, real, held_out, synthetic, simulator } = *subject;
        let schema = &encoder.schema;
        let mut stages = STAGES.into_iter();
        let mut next = || stages.next().into_iter().for_each(&mut *begin);

        next();
        let mut comparison = Comparison::new(schema, &real.observed, &synthetic.observed);
        comparison.held_out = held_out
            .map(|others| Comparison::new(schema, &real.observed, &others.observed).distances);
        next();
        let in_time = |cohort: &Cohort| Dynamics::new(schema, &real.observed, &cohort.observed);
        let (dynamics, held_out_dynamics) = (in_time(synthetic), held_out.map(in_time));
        next();
        let told_apart = |cohort: &Cohort| discriminate(&real.encoded, &cohort.encoded, layout, 0);
        let discriminative = told_apart(synthetic)?;
        let held_out_discriminative = held_out.map(told_apart).transpose()?.flatten();
        next();
        let near = |cohort: &Cohort| nearness(&cohort.encoded, &real.encoded);
        let held_out_nearness = held_out.and_then(near);
        let nearness = near(synthetic);
        next();
        let membership = held_out
            .and_then(|others| membership(&real.encoded, &others.encoded, &synthetic.encoded));
        let patients = |cohort: &Cohort| Patients::new(schema, &cohort.observed);
        let (of_real, of_synthetic) = (patients(real), patients(synthetic));
        let of_others = held_out.map(patients);
        let identification = identification(schema, &of_real, of_others.as_ref(), &of_synthetic);
        let inference = of_others
            .as_ref()
            .and_then(|others| inference(schema, &of_real, others, &of_synthetic));
        next();
        let changing = schema.columns.iter().enumerate().filter(|(_, column)| !column.is_static);
        let targets: Vec<usize> = changing.flat_map(|(n, _)| encoder.features_of(n)).collect();
        let predictive = predictive(&real.encoded, &synthetic.encoded, &targets);
        next();
        let policies = policies(encoder, &real.encoded, &synthetic.encoded, simulator)?;
        let count = |cohort: &Cohort| cohort.observed.lengths.len();
        Ok(Self {
            patients: PatientCounts {
                real: count(real),
                held_out: held_out.map(count),
                synthetic: count(synthetic),
            },
            out_of_domain: synthetic.observed.out_of_domain.clone(),
            identifiers: None,
            comparison,
            dynamics,
            held_out_dynamics,
            discriminative,
            held_out_discriminative,
            nearness,
            held_out_nearness,
            membership,
            identification,
            inference,
            predictive,
            policies,
        })
    }
}
