//! The judge that validation asks while a run trains: trees on summaries of each patient, decoded as
//! a cohort is sampled.
//!
//! The trees learn from the patients that are trained on and half of the synthetic ones; they are
//! tested on patients that are held out and the other half. So a generator that repeats those that it
//! was trained on gains nothing.

use crate::auc;
use hg_data::{Encoded, Encoder};
use hg_judge::{Features, Trees, summaries_of_encoded};

/// Patients of a cohort that are looked at; of more, evenly spread ones are.
const MAX_PATIENTS: usize = 512;
/// Patients that each part takes at least.
const MIN_PART: usize = 10;

/// Real patients, to tell many synthetic cohorts from.
#[derive(Clone, Debug)]
pub struct QuickTrees<'a> {
    encoder: &'a Encoder,
    learnt_from: Features,
    tested_on: Features,
}

impl<'a> QuickTrees<'a> {
    /// Of encoded patients. Where none are held out, the trees learn from every other one and are
    /// tested on the rest.
    pub fn new(encoder: &'a Encoder, trained: &Encoded, held_out: Option<&Encoded>) -> Self {
        let summaries = |cohort| summaries_of_encoded(encoder, cohort, MAX_PATIENTS);
        let trained = summaries(trained);
        let (learnt_from, tested_on) = match held_out {
            Some(held_out) => (trained, summaries(held_out)),
            None => trained.halves(),
        };
        Self { encoder, learnt_from, tested_on }
    }

    /// How well they tell synthetic patients, encoded alike, from real ones that they have not seen:
    /// `2 · area − 1` of the area under the curve, from 0 for chance (or worse) to 1. Also 1 where
    /// there are too few patients to learn from or to be tested on, or the trees fail.
    pub fn told_apart(&self, synthetic: &Encoded) -> f64 {
        let (learnt_from, tested_on) =
            summaries_of_encoded(self.encoder, synthetic, MAX_PATIENTS).halves();
        let parts = [&self.learnt_from, &learnt_from, &self.tested_on, &tested_on];
        let counts = parts.map(Features::count);
        if counts.iter().any(|&count| count < MIN_PART) {
            return 1.;
        }
        let is_synthetic = [vec![false; counts[0]], vec![true; counts[1]]].concat();
        let all = self.learnt_from.clone().below(learnt_from);
        let Ok((trees, _)) = Trees::fit(&all, &is_synthetic, &vec![1.; is_synthetic.len()]) else {
            return 1.;
        };
        let (real, synthetic) = (trees.scores(&self.tested_on), trees.scores(&tested_on));
        auc(&synthetic, &real).map_or(1., |auc| (2. * auc.area - 1.).max(0.))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hg_data::{Schema, Split, Subset};
    use std::path::Path;

    /// pbc, a quarter of the patients held out.
    fn pbc() -> (Encoder, Encoded, Encoded) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let schema = Schema::load(&root.join("data-schemas/pbc.toml")).expect("a schema");
        let table = schema.read(&root.join("data/pbc/pbcseq.csv")).expect("a table");
        let split = Split { share: 0.25, seed: 1 };
        let (encoder, trained) =
            Encoder::fit(&schema, &table, Subset::Training(split)).expect("encodes");
        let held_out = encoder.encode(&table, Subset::HeldOut(split)).expect("encodes");
        (encoder, trained, held_out)
    }

    #[test]
    fn real_patients_pass_and_those_whose_steps_are_of_others_do_not() {
        let (encoder, trained, held_out) = pbc();
        let trees = QuickTrees::new(&encoder, &trained, Some(&held_out));
        let same = trees.told_apart(&held_out);
        assert!(same < 0.3, "{same}");

        // Every row of a patient is another patient's.
        let mut mixed = trained.values.to_vec();
        let rows: Vec<&[f32]> = trained.rows().collect();
        let mut next = 0;
        for (patient, &length) in trained.lengths.iter().enumerate() {
            for step in 0..length {
                next = (next + 367) % rows.len();
                let at = (patient * trained.steps + step) * trained.features;
                mixed[at..at + trained.features].copy_from_slice(rows[next]);
            }
        }
        let mixed = Encoded { values: mixed.into(), ..trained.clone() };
        for held_out in [Some(&held_out), None] {
            let apart = QuickTrees::new(&encoder, &trained, held_out).told_apart(&mixed);
            assert!(apart > 0.9, "{apart}");
        }
    }

    #[test]
    fn too_few_patients_count_as_told_apart() {
        let (encoder, trained, _) = pbc();
        let mut few = trained.clone();
        few.lengths.truncate(2 * MIN_PART - 1);
        let rows = few.lengths.len() * few.steps * few.features;
        few.values = few.values[..rows].to_vec().into();
        assert_eq!(QuickTrees::new(&encoder, &trained, None).told_apart(&few), 1.);
    }
}
