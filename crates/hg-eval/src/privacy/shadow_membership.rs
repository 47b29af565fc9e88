//! Membership by shadow models (Carlini et al., LiRA, IEEE S&P 2022; of synthetic tables Stadler, Oprisanu &
//! Troncoso, USENIX Security 2022): how a cohort looks to a patient depends on how unusual the patient is, far
//! more than on whether they were trained on. Models that are trained in the same way, each on a random
//! half of all patients, show both.
//!
//! ```text
//! f   [features]: a patient as seen from a synthetic cohort (near records, a near patient, density)
//! m   [features]: the mean of f over the (other) shadow cohorts: what is the patient's own
//! r = f − (a + B m): what is left of f without it, a and B by least squares over all patients
//! r ~ N(μ₁, Σ) where the patient was trained on, N(μ₀, Σ) where not, both fitted to the shadows
//! score = ln N(r; μ₁, Σ) / N(r; μ₀, Σ) = (μ₁ − μ₀)ᵀ Σ⁻¹ r + a number
//! ```
//!
//! LiRA fits two laws for each patient, of hundreds of models; with eight of them a patient has a mean of
//! their own, and the difference and the covariance are shared. B is there since the attacked model, which
//! was trained for longer, may be nearer to everybody, and more so to unusual patients. Nothing of the score is learnt from whom the
//! attacked model was trained on, and a patient who was held out is in as many shadows as one who was not:
//! where the cohort does not depend on its patients, the area's mean is ½.

use super::closest_records::{Records, spread_rows};
use super::density_ratio::Kernel;
use super::membership::distances;
use super::risk::{Risk, TRAINED_ON};
use super::space::{Point, Space, apart};
use crate::auc::auc_of_clusters;
use crate::judge::MIN_PATIENTS;
use crate::{
    Answer, Auc, Cohort, Figure, Finding, Measure, Outcome, Result, Shadow, Subject, Topic, auc,
};
use hg_data::Schema;
use nalgebra::{SMatrix, SVector};
use rayon::prelude::*;
use serde::Serialize;

/// Features of a patient as seen from a cohort.
const FEATURES: usize = 3;
type Features = SVector<f64, FEATURES>;

/// The share of held-out patients who may be taken for ones trained on.
const FALSE_POSITIVES: f64 = 0.05;

/// How well shadow models tell who was trained on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ShadowMembership {
    /// Of those trained on from those held out.
    pub told_apart: Auc,
    /// Those trained on who are recognised where 5 % of those held out, at most, are taken for such.
    pub at_5_percent: Risk,
    /// How well the same score tells in the shadow runs themselves who was trained on: what the attack can
    /// do. The scores of one patient are a cluster.
    pub in_shadows: Auc,
    /// Shadow models.
    pub shadows: usize,
}

pub(crate) struct ShadowMembers;

impl Measure for ShadowMembers {
    fn id(&self) -> &'static str {
        "shadow-membership"
    }

    fn topic(&self) -> Topic {
        Topic::Privacy
    }

    fn stage(&self) -> &'static str {
        "shadow models' membership attack"
    }

    fn about(&self) -> &'static str {
        "Membership by an attacker who trains models of their own (`hg evaluate RUN --attacks thorough`): \
         four random halves of all real patients and the other halves have a shadow run each, with the \
         run's settings, 400 iterations at most and without validation, and each gives a cohort. A \
         patient's features by a cohort are the mean distance of their records to the closest synthetic \
         ones, the distance to the closest synthetic patient, and the log density of synthetic patients at \
         their place (as in `density-ratio`). Less what their means over shadow runs say of them, in a line \
         through all patients, they have a normal law where \
         the patient was trained on and one where not, with one covariance, fitted to the shadow runs; the \
         score is the log of their ratio in the cohort that is attacked (Carlini et al. 2022, \
         [doi:10.1109/SP46214.2022.9833649](https://doi.org/10.1109/SP46214.2022.9833649); for synthetic \
         tables Stadler et al. 2022, \
         [doi:10.48550/arXiv.2011.07018](https://doi.org/10.48550/arXiv.2011.07018)). The figures are the \
         area under the ROC curve with its 95 % interval; the share of patients trained on who are \
         recognised where at most 5 % of those held out are taken for such (a, the latter's share being \
         c), as the risk (a − c) / (1 − c) with its interval; and the area in the shadow runs themselves, \
         which says what the attack can do. It passes where 0.5 and a risk of 0 are inside their intervals or \
         above them. It takes held-out patients."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let found = subject.shadows.and_then(|shadows| attack(subject, shadows));
        let question = "Is it hidden from an attacker with shadow models who was trained on?";
        let finding = Finding::new()
            .with_answer(Answer::new("shadow models", question, judge(subject, found)))
            .with_json("shadow_membership", &found)?;
        let Some(found) = found else { return Ok(finding) };
        let area = Figure::new("shadow models' attack, area under the curve", found.told_apart);
        let power = "the same in the shadow runs themselves";
        Ok(finding
            .with_figure(area)
            .with_figure(Figure::new(power, found.in_shadows))
            .with_figures(found.at_5_percent.figures("recognised by shadow models"))
            .with_detail(found))
    }
}

fn judge(subject: &Subject<'_>, found: Option<ShadowMembership>) -> Outcome {
    let counts = subject.patients();
    counts.held_out_at_least(MIN_PATIENTS)?;
    counts.at_least(MIN_PATIENTS)?;
    if subject.shadows.is_none() {
        return Err(
            "it takes `hg evaluate RUN --attacks thorough`, which trains models to attack by"
                .into(),
        );
    }
    let ShadowMembership { told_apart, at_5_percent, in_shadows, shadows } =
        found.ok_or("patients do not differ in what can be compared")?;
    let Auc { area, low, high } = told_apart;
    let said = format!(
        "an attacker who trains {shadows} models is right with an area under the curve of {area:.2} \
         ({low:.2} to {high:.2}), and recognises {}; passes where 0.5 and 0 are inside or above; in the \
         shadow runs the area is {:.2}",
        at_5_percent.says(TRAINED_ON),
        in_shadows.area,
    );
    Ok((low <= 0.5 && at_5_percent.is_none(), said))
}

/// `None` where patients do not differ, or the shadows are of other patients.
fn attack(subject: &Subject<'_>, shadows: &[Shadow]) -> Option<ShadowMembership> {
    let real = [subject.real, subject.held_out?];
    let members = real[0].observed.lengths.len();
    let count = members + real[1].observed.lengths.len();
    if shadows.len() < 2 || shadows.iter().any(|shadow| shadow.trained_on.len() != count) {
        return None;
    }
    let view = View::new(&subject.encoder.schema, real)?;
    let attacked = view.features(subject.synthetic);
    let by_shadow: Vec<Vec<Option<Features>>> =
        shadows.iter().map(|shadow| view.features(&shadow.synthetic)).collect();

    // What is left of each shadow's features without the patient's own, by the other shadows.
    let sums: Vec<Option<Features>> =
        (0..count).map(|n| by_shadow.iter().map(|features| features[n]).sum()).collect();
    let others = (shadows.len() - 1) as f64;
    let left_in_shadows: Vec<Vec<Option<Features>>> = by_shadow
        .iter()
        .map(|features| {
            let pairs = features.iter().zip(&sums);
            let means = pairs.map(|(own, sum)| Some(((*sum)? - (*own)?) / others));
            left(features, &means.collect::<Vec<_>>())
        })
        .collect::<Option<_>>()?;
    let direction = direction(&left_in_shadows, shadows)?;

    let all = shadows.len() as f64;
    let means: Vec<Option<Features>> = sums.iter().map(|sum| sum.map(|sum| sum / all)).collect();
    let scores: Vec<f64> = left(&attacked, &means)?
        .into_iter()
        .map(|left| left.map_or(f64::NAN, |r| direction.dot(&r)))
        .collect();
    let (of_members, of_others) = scores.split_at(members);
    Some(ShadowMembership {
        told_apart: auc(of_members, of_others)?,
        at_5_percent: recognised(of_members, of_others)?,
        in_shadows: in_shadows(&left_in_shadows, shadows, &direction)?,
        shadows: shadows.len(),
    })
}

/// What is left of features without what means of other cohorts say of them, in lines through all patients
/// who have both; `None` where nobody has.
fn left(
    features: &[Option<Features>],
    means: &[Option<Features>],
) -> Option<Vec<Option<Features>>> {
    let pairs = || features.iter().zip(means).map(|(own, mean)| (*own).zip(*mean));
    let row = |mean: &Features| mean.push(1.);
    let mut products = SMatrix::<f64, { FEATURES + 1 }, { FEATURES + 1 }>::zeros();
    let mut with_own = SMatrix::<f64, { FEATURES + 1 }, FEATURES>::zeros();
    for (own, mean) in pairs().flatten() {
        products += row(&mean) * row(&mean).transpose();
        with_own += row(&mean) * own.transpose();
    }
    regularise(&mut products);
    let lines = products.cholesky()?.solve(&with_own);
    let of_patient = |(own, mean): (Features, Features)| own - lines.transpose() * row(&mean);
    Some(pairs().map(|pair| pair.map(of_patient)).collect())
}

/// Makes a matrix of products definite, where something does not vary.
fn regularise<const N: usize>(products: &mut SMatrix<f64, N, N>) {
    for n in 0..N {
        products[(n, n)] = products[(n, n)] * (1. + 1e-9) + f64::MIN_POSITIVE.sqrt();
    }
}

/// Σ⁻¹ (μ₁ − μ₀) of what is left of features in the shadows.
fn direction(left: &[Vec<Option<Features>>], shadows: &[Shadow]) -> Option<Features> {
    let with = |is_in: bool| -> Vec<Features> {
        let of_shadows = left.iter().zip(shadows);
        let of_patients = of_shadows.flat_map(|(left, shadow)| left.iter().zip(&shadow.trained_on));
        let chosen = of_patients.filter(|(_, trained_on)| **trained_on == is_in);
        chosen.filter_map(|(features, _)| *features).collect()
    };
    let groups = [with(true), with(false)];
    let [mean_in, mean_out] =
        groups.each_ref().map(|group| group.iter().sum::<Features>() / group.len().max(1) as f64);
    let mut covariance = SMatrix::<f64, FEATURES, FEATURES>::zeros();
    for (group, mean) in groups.iter().zip([mean_in, mean_out]) {
        group.iter().for_each(|r| covariance += (r - mean) * (r - mean).transpose());
    }
    covariance /= groups.iter().map(Vec::len).sum::<usize>() as f64;
    regularise(&mut covariance);
    let direction = covariance.cholesky()?.solve(&(mean_in - mean_out));
    direction.iter().all(|x| x.is_finite()).then_some(direction)
}

/// How well the scores of the shadows' own patients tell who was trained on.
fn in_shadows(
    left: &[Vec<Option<Features>>],
    shadows: &[Shadow],
    direction: &Features,
) -> Option<Auc> {
    let patients = 0..left.first()?.len();
    let with = |is_in: bool| -> Vec<Vec<f64>> {
        let of_patient = |n: usize| {
            let of_shadows = left.iter().zip(shadows);
            let chosen = of_shadows.filter(|(_, shadow)| shadow.trained_on[n] == is_in);
            chosen.filter_map(|(left, _)| left[n].map(|r| direction.dot(&r))).collect()
        };
        patients.clone().map(of_patient).collect()
    };
    auc_of_clusters(&with(true), &with(false))
}

/// Those who are above a score that at most 5 % of the others are above.
fn recognised(members: &[f64], others: &[f64]) -> Option<Risk> {
    let mut sorted: Vec<f64> = others.iter().copied().filter(|score| score.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let above = (FALSE_POSITIVES * sorted.len() as f64) as usize;
    let threshold = *sorted.get(sorted.len().checked_sub(above + 1)?)?;
    let successes = |scores: &[f64]| -> Vec<f64> {
        let finite = scores.iter().filter(|score| score.is_finite());
        finite.map(|&score| f64::from(u8::from(score > threshold))).collect()
    };
    Risk::new(&successes(members), &successes(others))
}

/// How real patients see a synthetic cohort.
struct View<'a> {
    schema: &'a Schema,
    real: [&'a Cohort; 2],
    space: Space,
    points: Vec<Option<Point>>,
    kernel: Kernel,
}

impl<'a> View<'a> {
    fn new(schema: &'a Schema, real: [&'a Cohort; 2]) -> Option<Self> {
        let observed = real.map(|cohort| &cohort.observed);
        let space = Space::new(schema, &observed, usize::MAX)?;
        let points =
            observed.map(|cohort| space.points(schema, cohort, &all(cohort.lengths.len())));
        let points = points.concat();
        let kernel = Kernel::fitted(&points.iter().flatten().cloned().collect::<Vec<_>>())?;
        Some(Self { schema, real, space, points, kernel })
    }

    /// The features of each patient, trained on and then held out; `None` of one without a step.
    fn features(&self, synthetic: &Cohort) -> Vec<Option<Features>> {
        let records = Records::new(&spread_rows(&synthetic.encoded));
        let near_records = self
            .real
            .map(|cohort| distances(&cohort.encoded, &all(cohort.encoded.lengths.len()), &records));
        let there = all(synthetic.observed.lengths.len());
        let made = self.space.points(self.schema, &synthetic.observed, &there);
        let made: Vec<Point> = made.into_iter().flatten().collect();
        let near_records = near_records.concat();
        let features = |(point, near_record): (&Option<Point>, &Option<f64>)| {
            let (point, near_record) = (point.as_ref()?, (*near_record)?);
            let squares = made.iter().map(|other| apart(point, other));
            let near_patient = squares.fold(f64::INFINITY, f64::min).sqrt();
            let density = self.kernel.log_density(point, &made, None);
            let features = Features::new(-near_record, -near_patient, density);
            features.iter().all(|x| x.is_finite()).then_some(features)
        };
        self.points.par_iter().zip(&near_records).map(features).collect()
    }
}

fn all(count: usize) -> Vec<usize> {
    (0..count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_above_all_but_a_twentieth_of_the_others_are_recognised() {
        let others: Vec<f64> = (0..40).map(f64::from).collect();
        // Above 37 are 38 and 39: 2 of 40.
        let found = recognised(&[37., 37.5, 38., 50.], &others).expect("a threshold");
        assert_eq!((found.trained_on, found.others), (0.75, 0.05));
        // Of few others, none may be above.
        let found = recognised(&[8., 9.5], &others[..10]).expect("a threshold");
        assert_eq!((found.trained_on, found.others), (0.5, 0.));
        assert_eq!(recognised(&[1.], &[]), None);
    }
}
