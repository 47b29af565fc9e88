//! Policies that are learnt from a cohort, and what they are worth.
//!
//! The states are clusters of what a row shows besides the actions (k-means on the real
//! cohort's, as in Komorowski et al., *Nat. Med.* 24, 2018, and Kuo et al. 2022); an action is a
//! combination of levels; a step's reward is a weighted sum of the next row. The policies are
//! those of the tabular decision processes in `mdp.rs`.

use super::mdp::{Action, MdpView, Policy, Step, TabularMdp};
use crate::Topic;
use crate::judge::MIN_PATIENTS;
use crate::statistics::{mean, total_variation};
use crate::{Answer, Figure, FigureValue, Finding, Measure, Outcome, ReportTable, Result, Subject};
use hg_data::{Decision, Encoded, Encoder};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Actions that are shown.
const MAX_SHOWN: usize = 12;
/// So much of what a policy gains must be kept.
const GAIN_KEPT: f64 = 0.75;

/// How patients are treated: from an encoded row `[features]` to the position of a level (or
/// dose) of each action column, in the schema's order.
pub type Choice<'a> = &'a dyn Fn(&[f32]) -> Vec<usize>;

/// What becomes of patients who are treated otherwise.
pub trait Simulator {
    /// Patients whose actions `choose` gives, step by step; without it they are treated as usual.
    ///
    /// # Errors
    /// What the simulation or the encoding reports.
    fn treat(&self, choose: Option<Choice<'_>>) -> Result<Encoded>;
}

/// How the synthetic cohort serves to learn a policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Policies {
    /// Clusters of what patients show.
    pub states: usize,
    /// Different actions of the real cohort.
    pub actions: usize,
    /// Total variation of the frequencies of the actions.
    pub action_frequencies: f64,
    /// The commonest actions of the real cohort.
    pub commonest: Vec<ActionShare>,
    /// The share of real steps at which the policies of the real and of the synthetic cohort
    /// choose the same.
    pub agreement: f64,
    /// The share of real steps at which the policies of two halves of the real cohort choose the
    /// same.
    pub agreement_of_halves: f64,
    /// What the policies are worth by the real cohort's own steps.
    pub by_the_table: PolicyValue,
    /// What they are worth when they are run, where there is a simulator.
    pub when_run: Option<PolicyValue>,
}

/// How often an action is taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ActionShare {
    /// The level of each action column.
    pub action: String,
    /// Its share of the real cohort's steps.
    pub real: f64,
    /// Its share of the synthetic cohort's steps.
    pub synthetic: f64,
}

/// The value of policies: mean discounted sums of rewards.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PolicyValue {
    /// As patients are treated in the real cohort.
    pub usual: f64,
    /// By the policy learnt from the real cohort.
    pub real: f64,
    /// By the policy learnt from the synthetic cohort.
    pub synthetic: f64,
    /// The greatest standard error of the three, where patients were simulated.
    pub error: Option<f64>,
}

impl PolicyValue {
    /// The share of what the real cohort's policy gains that the synthetic one's does; `None`
    /// where it gains nothing.
    pub fn kept(&self) -> Option<f64> {
        let gain = self.real - self.usual;
        (gain > self.error.unwrap_or(0.)).then(|| (self.synthetic - self.usual) / gain)
    }

    /// The rows of the report.
    fn figures(self, how: &str) -> [Figure; 3] {
        let Self { usual, real, synthetic, error } = self;
        [
            ("patients are treated as usual", usual),
            ("the policy of real patients", real),
            ("the policy of synthetic patients", synthetic),
        ]
        .map(|(what, value)| {
            Figure::new(format!("worth of {what}, {how}"), FigureValue::Estimate { value, error })
        })
    }
}

pub(crate) struct LearntPolicies;

impl Measure for LearntPolicies {
    fn id(&self) -> &'static str {
        "policies"
    }

    fn topic(&self) -> Topic {
        Topic::Utility
    }

    fn stage(&self) -> &'static str {
        "policies"
    }

    fn about(&self) -> &'static str {
        "Where the schema names a `[decision]`: whether a treatment policy learnt from synthetic \
         patients is worth as much as one learnt from real ones. States are at most 100 clusters \
         of what a row shows besides the actions (k-means; Komorowski et al. 2018, \
         [doi:10.1038/s41591-018-0213-5](https://doi.org/10.1038/s41591-018-0213-5)), an action \
         is a combination of levels, the reward a weighted sum of the next row, and the policy is \
         the best of the table's own Markov decision process among actions taken at least 0.3 \
         times as often as the state's commonest (batch-constrained Q-learning; Fujimoto et al. \
         2019, [doi:10.48550/arXiv.1910.01708](https://doi.org/10.48550/arXiv.1910.01708)). A \
         value is a mean discounted sum of rewards, without bounds, by the real cohort's steps \
         (which is optimistic) and, for simulated cohorts, when the policy is run. It passes where \
         at least 75 % of what the real patients' policy gains over usual treatment is kept. \
         Beside it: the total variation of the actions' frequencies, and the shares of steps at \
         which policies agree, in [0, 1]."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let Some(found) = policies(subject)? else {
            return Finding::new().with_json("policies", &None::<Policies>);
        };
        let question =
            "Is a policy that is learnt from it worth as much as one from real patients?";
        let finding = Finding::new()
            .with_answer(Answer::new("policies", question, judge(subject, &found)))
            .with_figures([
                Figure::new("actions, total variation", found.action_frequencies),
                Figure::new(
                    "same action as real patients' policy, share of steps",
                    found.agreement,
                ),
                Figure::new("the same of policies of two halves", found.agreement_of_halves),
            ])
            .with_figures(found.by_the_table.figures("by the real cohort's steps (optimistic)"))
            .with_figures(found.when_run.into_iter().flat_map(|value| value.figures("when run")))
            .with_table(actions_table(&found.commonest))
            .with_json("policies", &found)?;
        Ok(finding.with_detail(found))
    }
}

fn judge(subject: &Subject<'_>, found: &Policies) -> Outcome {
    subject.patients().at_least(MIN_PATIENTS)?;
    let (value, how) = match &found.when_run {
        Some(value) => (value, "when run in the simulator"),
        None => (&found.by_the_table, "by the real cohort's steps, which is optimistic,"),
    };
    let kept = value.kept();
    let gain = match kept {
        Some(kept) => format!(
            "it keeps {:.0} % of what a policy learnt from real patients gains (at least {:.0} \
             pass)",
            100. * kept,
            100. * GAIN_KEPT
        ),
        None => "a policy learnt from real patients gains nothing to compare with".into(),
    };
    let said = format!(
        "{how} {:.3}, against {:.3} and {:.3} as usual: {gain}",
        value.synthetic, value.real, value.usual
    );
    match kept {
        Some(kept) => Ok((kept >= GAIN_KEPT, said)),
        None => Err(said),
    }
}

fn actions_table(actions: &[ActionShare]) -> ReportTable {
    let percent = |share: f64| format!("{:.1} %", 100. * share);
    let row = |ActionShare { action, real, synthetic }: &ActionShare| {
        vec![action.clone(), percent(*real), percent(*synthetic)]
    };
    ReportTable {
        title: "The commonest actions".into(),
        note: String::new(),
        header: ["action", "real", "synthetic"].map(String::from).into(),
        rows: actions.iter().map(row).collect(),
    }
}

/// `None` where the schema names no decision, or a side has no patient of two steps. Steps with
/// a value that is not finite are left out.
fn policies(subject: &Subject<'_>) -> Result<Option<Policies>> {
    let encoder = subject.encoder;
    let (real, synthetic) = (&subject.real.encoded, &subject.synthetic.encoded);
    let Some(decision) = &encoder.schema.decision else { return Ok(None) };
    let Some(view) = MdpView::new(encoder, decision, real) else { return Ok(None) };
    let (real_steps, synthetic_steps) = (view.steps(real), view.steps(synthetic));
    let steps = || real_steps.iter().flatten();
    if steps().next().is_none() || synthetic_steps.iter().all(Vec::is_empty) {
        return Ok(None);
    }

    // Policies of both cohorts, and of two halves of the real one.
    let discount = decision.discount;
    let real_mdp = TabularMdp::new(steps());
    let synthetic_mdp = TabularMdp::new(synthetic_steps.iter().flatten());
    let [real_policy, synthetic_policy] =
        [&real_mdp, &synthetic_mdp].map(|mdp| mdp.learn(discount));
    let [first, second] = [0, 1].map(|half| {
        TabularMdp::new(real_steps.iter().skip(half).step_by(2).flatten()).learn(discount)
    });
    let agreement = |a: &Policy, b: &Policy| {
        let same = |step: &Step| f64::from(u8::from(a.action(step.state) == b.action(step.state)));
        mean(steps().map(same)).unwrap_or(0.)
    };

    // What they are worth.
    let starts = view.first_states(real);
    let value = |policy: &Policy| {
        let values = real_mdp.values(policy, discount);
        let of_starts = starts.iter().map(|state| values.get(state).copied().unwrap_or(0.));
        mean(of_starts).unwrap_or(0.)
    };
    let by_the_table = PolicyValue {
        usual: value(&Policy::usual()),
        real: value(&real_policy),
        synthetic: value(&synthetic_policy),
        error: None,
    };
    // Where the simulator cannot go on under a policy, what the table says of it is all there is.
    let when_run = subject.simulator.and_then(|simulator| {
        run(&view, simulator, [&real_policy, &synthetic_policy], discount).ok()
    });
    Ok(Some(Policies {
        states: view.states(),
        actions: real_mdp.frequencies.len(),
        action_frequencies: action_distance(&real_mdp.frequencies, &synthetic_mdp.frequencies),
        commonest: commonest(encoder, decision, [&real_mdp, &synthetic_mdp]),
        agreement: agreement(&real_policy, &synthetic_policy),
        agreement_of_halves: agreement(&first, &second),
        by_the_table,
        when_run,
    }))
}

/// What patients of a simulator get as usual and under the policies of the real and of the
/// synthetic cohort.
fn run(
    view: &MdpView,
    simulator: &dyn Simulator,
    [real, synthetic]: [&Policy; 2],
    discount: f64,
) -> Result<PolicyValue> {
    let under = |policy: &Policy| -> Result<(f64, f64)> {
        let choose = |row: &[f32]| {
            let action = policy.action(view.state(row)).or(policy.otherwise.as_ref());
            action.cloned().unwrap_or_default()
        };
        Ok(mean_return(view, &simulator.treat(Some(&choose))?, discount))
    };
    let usual = mean_return(view, &simulator.treat(None)?, discount);
    let (real, synthetic) = (under(real)?, under(synthetic)?);
    let error = usual.1.max(real.1).max(synthetic.1);
    Ok(PolicyValue { usual: usual.0, real: real.0, synthetic: synthetic.0, error: Some(error) })
}

/// The mean over patients of their discounted sums of rewards, and its standard error.
fn mean_return(view: &MdpView, cohort: &Encoded, discount: f64) -> (f64, f64) {
    let of = |patient: usize| {
        let mut weight = 1.;
        let rewards = (1..cohort.lengths[patient]).map(|t| {
            let reward = weight * view.reward(cohort.row(patient, t));
            weight *= discount;
            reward
        });
        rewards.sum::<f64>()
    };
    let returns: Vec<f64> = (0..cohort.lengths.len()).map(of).collect();
    let centre = mean(returns.iter().copied()).unwrap_or(0.);
    let squares = mean(returns.iter().map(|x| (x - centre).powi(2))).unwrap_or(0.);
    (centre, (squares / returns.len().max(1) as f64).sqrt())
}

/// The real cohort's commonest actions, by name.
fn commonest(
    encoder: &Encoder,
    decision: &Decision,
    [real, synthetic]: [&TabularMdp; 2],
) -> Vec<ActionShare> {
    let mut all: Vec<(&Action, f64)> =
        real.frequencies.iter().map(|(a, &share)| (a, share)).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    let name = |column: &String, level: usize| {
        let columns = &encoder.schema.columns;
        let names = columns.iter().find(|c| c.name == *column).map(|c| c.level_names());
        match names.as_ref().and_then(|names| names.get(level)) {
            Some(name) => format!("{column} {name}"),
            None => format!("{column} dose {level}"),
        }
    };
    let share = |(action, real): (&Action, f64)| {
        let names: Vec<String> = decision
            .actions
            .iter()
            .zip(action)
            .map(|(column, &level)| name(column, level))
            .collect();
        let synthetic = synthetic.frequencies.get(action).copied().unwrap_or(0.);
        ActionShare { action: names.join(", "), real, synthetic }
    };
    all.into_iter().take(MAX_SHOWN).map(share).collect()
}

/// Total variation of two lists of frequencies.
fn action_distance(a: &BTreeMap<Action, f64>, b: &BTreeMap<Action, f64>) -> f64 {
    let actions: BTreeSet<&Action> = a.keys().chain(b.keys()).collect();
    let shares = |of: &BTreeMap<Action, f64>| -> Vec<f64> {
        actions.iter().map(|action| of.get(*action).copied().unwrap_or(0.)).collect()
    };
    // Where one table has no action at all they are as far apart as can be.
    total_variation(&shares(a), &shares(b)).unwrap_or(1.)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_are_as_far_apart_as_their_total_variation() {
        let frequencies = |pairs: &[(usize, f64)]| {
            pairs.iter().map(|&(action, share)| (vec![action], share)).collect()
        };
        let (a, b) = (frequencies(&[(0, 0.5), (1, 0.5)]), frequencies(&[(1, 0.25), (2, 0.75)]));
        assert!((action_distance(&a, &b) - 0.75).abs() < 1e-12);
        assert_eq!(action_distance(&a, &a), 0.);
    }
}
