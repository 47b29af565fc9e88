//! Policies that are learnt from a cohort, and what they are worth.
//!
//! The states are clusters of what a row shows besides the actions (k-means on the real
//! cohort's, as in Komorowski et al., *Nat. Med.* 24, 2018, and Kuo et al. 2022); an action is a
//! combination of levels; a step's reward is a weighted sum of the next row. Of the table's
//! own steps,
//!
//! ```text
//! Q(s,a) = r(s,a) + γ Σₛ′ P(s′|s,a) max { Q(s′,a′) : n(s′,a′) ≥ τ max_b n(s′,b) }
//! ```
//!
//! so that no action is believed in that the table hardly ever shows (batch-constrained
//! Q-learning in its discrete form; Fujimoto et al., arXiv 1910.01708, 2019), here in tables.

use super::clusters::Clusters;
use crate::Result;
use crate::statistics::{is_finite, mean, stride, total_variation};
use hg_data::{Decision, Encoded, Encoder};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Clusters of states at most, and points for each at least.
const STATES: usize = 100;
const POINTS: usize = 20;
/// Rows that clusters are made of; of more, evenly spread ones are.
const ROWS: usize = 20_000;
/// τ
const SEEN: f64 = 0.3;
/// Where the values are taken to have settled.
const SETTLED: f64 = 1e-9;
/// Actions that are shown.
const SHOWN: usize = 12;

/// What is done to a patient: from an encoded row `[features]` to the position of a level (or
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
    /// The same of policies of two halves of the real cohort.
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
    /// Its share of the synthetic cohort's.
    pub synthetic: f64,
}

/// Mean discounted sums of rewards.
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
}

/// `None` where the schema names no decision, or a side has no patient of two steps. Steps with
/// a value that is not finite are left out.
pub(crate) fn policies(
    encoder: &Encoder,
    real: &Encoded,
    synthetic: &Encoded,
    simulator: Option<&dyn Simulator>,
) -> Result<Option<Policies>> {
    let Some(decision) = &encoder.schema.decision else { return Ok(None) };
    let Some(view) = MdpView::new(encoder, decision, real) else { return Ok(None) };
    let (by_patient, of_made) = (view.steps(real), view.steps(synthetic));
    let steps = || by_patient.iter().flatten();
    if steps().next().is_none() || of_made.iter().all(Vec::is_empty) {
        return Ok(None);
    }
    let world = TabularMdp::new(steps());
    let of_real = world.learn(decision.discount);
    let synthetic_world = TabularMdp::new(of_made.iter().flatten());
    let of_synthetic = synthetic_world.learn(decision.discount);
    let of_half = |first: usize| {
        TabularMdp::new(by_patient.iter().skip(first).step_by(2).flatten()).learn(decision.discount)
    };
    let (first, second) = (of_half(0), of_half(1));
    let agree = |a: &Policy, b: &Policy| {
        let same = |step: &Step| f64::from(u8::from(a.action(step.state) == b.action(step.state)));
        mean(steps().map(same)).unwrap_or(0.)
    };
    let patients = 0..real.lengths.len();
    let starts: Vec<usize> = patients
        .filter(|&n| real.lengths[n] > 0 && is_finite(real.row(n, 0)))
        .map(|n| view.state(real.row(n, 0)))
        .collect();
    let worth = |policy: &Policy| {
        let values = world.values(policy, decision.discount);
        let worths = starts.iter().map(|state| values.get(state).copied().unwrap_or(0.));
        mean(worths).unwrap_or(0.)
    };
    let by_the_table = PolicyValue {
        usual: worth(&Policy::usual()),
        real: worth(&of_real),
        synthetic: worth(&of_synthetic),
        error: None,
    };
    let when_run = match simulator {
        Some(simulator) => Some(view.run(simulator, &of_real, &of_synthetic, decision.discount)?),
        None => None,
    };
    Ok(Some(Policies {
        states: view.clusters.count(),
        actions: world.frequencies.len(),
        action_frequencies: apart(&world.frequencies, &synthetic_world.frequencies),
        commonest: commonest(encoder, decision, [&world, &synthetic_world]),
        agreement: agree(&of_real, &of_synthetic),
        agreement_of_halves: agree(&first, &second),
        by_the_table,
        when_run,
    }))
}

/// The real world's commonest actions, by name.
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
    all.into_iter().take(SHOWN).map(share).collect()
}

/// A combination of levels, one of each action column.
type Action = Vec<usize>;

/// One step of a patient.
struct Step {
    state: usize,
    action: Action,
    reward: f64,
    next: usize,
}

/// How rows are seen: as states, actions and rewards.
struct MdpView {
    clusters: Clusters,
    /// The features that a state is made of.
    shown: Vec<usize>,
    actions: Vec<Lever>,
    /// (feature, weight)
    reward: Vec<(usize, f64)>,
}

/// An action's column.
enum Lever {
    /// A block of levels.
    Levels(Range<usize>),
    /// A number, and where its doses begin.
    Doses(usize, Vec<f32>),
}

impl MdpView {
    /// `None` for a cohort without rows, or actions that are all there is.
    fn new(encoder: &Encoder, decision: &Decision, real: &Encoded) -> Option<Self> {
        let features = |name: &String| {
            let columns = &encoder.schema.columns;
            let column = columns.iter().position(|column| column.name == *name);
            column.map(|column| encoder.features_of(column))
        };
        // A schema that was checked names no other column.
        let levers: Vec<Range<usize>> = decision.actions.iter().filter_map(features).collect();
        let reward = decision.reward.iter();
        let reward = reward.filter_map(|(name, weight)| Some((features(name)?.start, *weight)));
        let reward = reward.collect();
        let is_lever = |feature: &usize| levers.iter().any(|lever| lever.contains(feature));
        let shown: Vec<usize> = (0..real.features).filter(|feature| !is_lever(feature)).collect();
        let actions = levers.iter().map(|lever| {
            if lever.len() > 1 { Lever::Levels(lever.clone()) } else { doses(real, lever.start) }
        });
        let actions = actions.collect();
        let every = stride(real.lengths.iter().sum(), ROWS);
        let mut view = Self { clusters: Clusters::default(), shown, actions, reward };
        let points: Vec<Vec<f32>> = real.rows().step_by(every).map(|row| view.point(row)).collect();
        if view.shown.is_empty() {
            return None;
        }
        view.clusters = Clusters::new(&points, STATES.min(points.len().div_ceil(POINTS)), 0);
        (view.clusters.count() > 0).then_some(view)
    }

    fn point(&self, row: &[f32]) -> Vec<f32> {
        self.shown.iter().map(|&feature| row[feature]).collect()
    }

    fn state(&self, row: &[f32]) -> usize {
        self.clusters.of(&self.point(row))
    }

    fn action(&self, row: &[f32]) -> Action {
        let of = |lever: &Lever| match lever {
            Lever::Levels(block) => {
                let levels = row[block.clone()].iter().enumerate();
                levels.max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(level, _)| level)
            }
            Lever::Doses(feature, cuts) => cuts.partition_point(|cut| *cut <= row[*feature]),
        };
        self.actions.iter().map(of).collect()
    }

    fn reward(&self, row: &[f32]) -> f64 {
        self.reward.iter().map(|&(feature, weight)| weight * f64::from(row[feature])).sum()
    }

    /// Every step with a next one, by patient.
    fn steps(&self, cohort: &Encoded) -> Vec<Vec<Step>> {
        let of = |(patient, &length): (usize, &usize)| {
            let row = |t: usize| cohort.row(patient, t);
            let states: Vec<usize> = (0..length).map(|t| self.state(row(t))).collect();
            let step = |t: usize| Step {
                state: states[t],
                action: self.action(row(t)),
                reward: self.reward(row(t + 1)),
                next: states[t + 1],
            };
            let is_usable = |&t: &usize| is_finite(row(t)) && is_finite(row(t + 1));
            let steps = (0..states.len().saturating_sub(1)).filter(is_usable);
            steps.map(step).collect::<Vec<Step>>()
        };
        cohort.lengths.par_iter().enumerate().map(of).collect()
    }

    /// What patients of a simulator get, mean and error.
    fn run(
        &self,
        simulator: &dyn Simulator,
        of_real: &Policy,
        of_synthetic: &Policy,
        discount: f64,
    ) -> Result<PolicyValue> {
        let returns = |cohort: &Encoded| -> (f64, f64) {
            let of = |patient: usize| {
                let mut worth = 1.;
                let rewards = (1..cohort.lengths[patient]).map(|t| {
                    let reward = worth * self.reward(cohort.row(patient, t));
                    worth *= discount;
                    reward
                });
                rewards.sum::<f64>()
            };
            let all: Vec<f64> = (0..cohort.lengths.len()).map(of).collect();
            let centre = mean(all.iter().copied()).unwrap_or(0.);
            let squares = mean(all.iter().map(|x| (x - centre).powi(2))).unwrap_or(0.);
            (centre, (squares / all.len().max(1) as f64).sqrt())
        };
        let under = |policy: &Policy| -> Result<(f64, f64)> {
            let choose = |row: &[f32]| {
                let state = self.state(row);
                policy.action(state).or(policy.otherwise.as_ref()).cloned().unwrap_or_default()
            };
            Ok(returns(&simulator.treat(Some(&choose))?))
        };
        let usual = returns(&simulator.treat(None)?);
        let (real, synthetic) = (under(of_real)?, under(of_synthetic)?);
        let error = usual.1.max(real.1).max(synthetic.1);
        Ok(PolicyValue { usual: usual.0, real: real.0, synthetic: synthetic.0, error: Some(error) })
    }
}

/// The doses of a number: its least value, and the quartiles of what is more.
fn doses(real: &Encoded, feature: usize) -> Lever {
    let mut values: Vec<f32> = real.rows().map(|row| row[feature]).collect();
    values.sort_by(f32::total_cmp);
    let least = values.first().copied().unwrap_or(0.);
    let more = &values[values.partition_point(|&value| value <= least)..];
    let mut cuts: Vec<f32> = (0..4).filter_map(|n| more.get(n * more.len() / 4).copied()).collect();
    cuts.dedup();
    Lever::Doses(feature, cuts)
}

/// What a table's steps say of the world.
struct TabularMdp {
    cells: BTreeMap<usize, BTreeMap<Action, Cell>>,
    /// The share of steps with each action.
    frequencies: BTreeMap<Action, f64>,
}

/// What follows an action in a state.
#[derive(Default)]
struct Cell {
    count: f64,
    rewards: f64,
    next: BTreeMap<usize, f64>,
}

/// Values by state.
type StateValues = BTreeMap<usize, f64>;

impl TabularMdp {
    fn new<'a>(steps: impl Iterator<Item = &'a Step> + Clone) -> Self {
        let each = 1. / steps.clone().count() as f64;
        let mut cells: BTreeMap<usize, BTreeMap<Action, Cell>> = BTreeMap::new();
        let mut frequencies: BTreeMap<Action, f64> = BTreeMap::new();
        for Step { state, action, reward, next } in steps {
            let cell = cells.entry(*state).or_default().entry(action.clone()).or_default();
            cell.count += 1.;
            cell.rewards += reward;
            *cell.next.entry(*next).or_default() += 1.;
            *frequencies.entry(action.clone()).or_default() += each;
        }
        Self { cells, frequencies }
    }

    /// The policy that is best by this table's steps.
    fn learn(&self, discount: f64) -> Policy {
        let best = |actions: &BTreeMap<Action, Cell>, values: &StateValues| {
            let most = actions.values().map(|cell| cell.count).fold(0., f64::max);
            let allowed = actions.iter().filter(|(_, cell)| cell.count >= SEEN * most);
            let worths =
                allowed.map(|(action, cell)| (action.clone(), cell.worth(values, discount)));
            // Of equal ones the first.
            worths.reduce(|best, other| if other.1 > best.1 { other } else { best })
        };
        let values = settle(|values| {
            let cells = self.cells.iter();
            cells.filter_map(|(state, actions)| Some((*state, best(actions, values)?.1))).collect()
        });
        let choices = self.cells.iter();
        let choices =
            choices.filter_map(|(state, actions)| Some((*state, best(actions, &values)?.0)));
        let commonest = self.frequencies.iter().max_by(|a, b| a.1.total_cmp(b.1));
        Policy {
            choices: choices.collect(),
            otherwise: commonest.map(|(action, _)| action.clone()),
        }
    }

    /// What following `policy` is worth from each state; where this table has never seen what
    /// it chooses, patients are treated as usual.
    fn values(&self, policy: &Policy, discount: f64) -> StateValues {
        settle(|values| {
            let of = |(state, actions): (&usize, &BTreeMap<Action, Cell>)| {
                let chosen = policy.action(*state).and_then(|action| actions.get(action));
                let worth = match chosen {
                    Some(cell) => cell.worth(values, discount),
                    None => {
                        let all: f64 = actions.values().map(|cell| cell.count).sum();
                        let worths =
                            actions.values().map(|cell| cell.count * cell.worth(values, discount));
                        worths.sum::<f64>() / all
                    }
                };
                (*state, worth)
            };
            self.cells.iter().map(of).collect()
        })
    }
}

impl Cell {
    /// The mean reward and what comes after, over next states whose value is known.
    fn worth(&self, values: &StateValues, discount: f64) -> f64 {
        let known =
            || self.next.iter().filter_map(|(state, count)| Some((values.get(state)?, count)));
        let steps: f64 = known().map(|(_, count)| count).sum();
        let after = known().map(|(value, count)| value * count).sum::<f64>() / steps.max(1.);
        self.rewards / self.count + discount * after
    }
}

/// Repeats a step until the values stay as they are.
fn settle(step: impl Fn(&StateValues) -> StateValues) -> StateValues {
    let mut values = step(&StateValues::new());
    // A discount below 1 shrinks every change, so that this ends.
    loop {
        let next = step(&values);
        let change = next.iter().map(|(state, value)| {
            (value - values.get(state).copied().unwrap_or(f64::INFINITY)).abs()
        });
        let change = change.fold(0., f64::max);
        values = next;
        if change < SETTLED {
            return values;
        }
    }
}

/// What is done in each state.
struct Policy {
    choices: BTreeMap<usize, Action>,
    /// What is done in states that were never seen.
    otherwise: Option<Action>,
}

impl Policy {
    /// As the table does.
    fn usual() -> Self {
        Self { choices: BTreeMap::new(), otherwise: None }
    }

    fn action(&self, state: usize) -> Option<&Action> {
        self.choices.get(&state)
    }
}

/// Total variation of two lists of frequencies.
fn apart(a: &BTreeMap<Action, f64>, b: &BTreeMap<Action, f64>) -> f64 {
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

    /// Two states; `stay` gives 0 in both, `go` changes the state and gives 1 from the first.
    fn steps() -> Vec<Step> {
        let (stay, go) = (vec![0], vec![1]);
        let step = |state, action: &Action, reward, next| Step {
            state,
            action: action.clone(),
            reward,
            next,
        };
        let mut steps = Vec::new();
        for _ in 0..4 {
            steps.push(step(0, &stay, 0., 0));
            steps.push(step(0, &go, 1., 1));
            steps.push(step(1, &stay, 0., 1));
            steps.push(step(1, &go, 0., 0));
        }
        // Seen once: too seldom to be believed.
        steps.push(step(0, &vec![2], 100., 0));
        steps
    }

    #[test]
    fn the_best_policy_is_found_and_worth_what_it_is_by_hand() {
        let world = TabularMdp::new(steps().iter());
        let policy = world.learn(0.5);
        assert_eq!(policy.action(0), Some(&vec![1]));
        assert_eq!(policy.action(1), Some(&vec![1]));
        // V₀ = 1 + V₁/2 and V₁ = V₀/2.
        let values = world.values(&policy, 0.5);
        assert!((values[&0] - 4. / 3.).abs() < 1e-8 && (values[&1] - 2. / 3.).abs() < 1e-8);
        assert_eq!(policy.action(7), None);
    }

    #[test]
    fn frequencies_are_as_far_apart_as_their_total_variation() {
        let frequencies = |pairs: &[(usize, f64)]| {
            pairs.iter().map(|&(action, share)| (vec![action], share)).collect()
        };
        let (a, b) = (frequencies(&[(0, 0.5), (1, 0.5)]), frequencies(&[(1, 0.25), (2, 0.75)]));
        assert!((apart(&a, &b) - 0.75).abs() < 1e-12);
        assert_eq!(apart(&a, &a), 0.);
    }
}
