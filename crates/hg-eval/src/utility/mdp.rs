//! A table's steps as a Markov decision process of discrete states and actions.
//!
//! ```text
//! Q(s,a) = r(s,a) + γ Σₛ′ P(s′|s,a) max { Q(s′,a′) : n(s′,a′) ≥ τ max_b n(s′,b) }
//! ```
//!
//! so that no action is believed in that the table hardly ever shows (batch-constrained
//! Q-learning in its discrete form; Fujimoto et al., arXiv 1910.01708, 2019), here in tables.

use super::clusters::Clusters;
use crate::statistics::{is_finite, stride};
use hg_data::{Decision, DecisionView, Encoded, Encoder};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Clusters of states at most, and points for each at least.
const MAX_STATES: usize = 100;
const POINTS_PER_STATE: usize = 20;
/// Rows that clusters are made of; of more, evenly spread ones are.
const MAX_ROWS: usize = 20_000;
/// τ
const SEEN: f64 = 0.3;
/// The change of a value below which values are taken to have settled.
const SETTLED: f64 = 1e-9;

/// A combination of levels, one of each action column.
pub(super) type Action = Vec<usize>;

/// One step of a patient.
pub(super) struct Step {
    pub(super) state: usize,
    action: Action,
    reward: f64,
    next: usize,
}

/// How encoded rows are seen: as states, actions and rewards.
pub(super) struct MdpView {
    clusters: Clusters,
    view: DecisionView,
}

impl MdpView {
    /// `None` for a cohort without rows, or actions that are all there is.
    pub(super) fn new(encoder: &Encoder, decision: &Decision, real: &Encoded) -> Option<Self> {
        let view = DecisionView::new(encoder, decision, real);
        if view.observed().is_empty() {
            return None;
        }
        let every = stride(real.lengths.iter().sum(), MAX_ROWS);
        let points: Vec<Vec<f32>> =
            real.rows().step_by(every).map(|row| view.observation(row).collect()).collect();
        let states = MAX_STATES.min(points.len().div_ceil(POINTS_PER_STATE));
        let clusters = Clusters::new(&points, states, 0);
        (clusters.count() > 0).then_some(Self { clusters, view })
    }

    /// The state that a row shows.
    pub(super) fn state(&self, row: &[f32]) -> usize {
        let point: Vec<f32> = self.view.observation(row).collect();
        self.clusters.of(&point)
    }

    fn action(&self, row: &[f32]) -> Action {
        self.view.actions(row).collect()
    }

    /// The reward of reaching a row.
    pub(super) fn reward(&self, row: &[f32]) -> f64 {
        self.view.reward(row)
    }

    /// Every step with a next one, by patient.
    pub(super) fn steps(&self, cohort: &Encoded) -> Vec<Vec<Step>> {
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

    /// How many states there are.
    pub(super) fn states(&self) -> usize {
        self.clusters.count()
    }

    /// The state of each patient's first row; rows with a value that is not finite are left out.
    pub(super) fn first_states(&self, cohort: &Encoded) -> Vec<usize> {
        let is_usable = |&n: &usize| cohort.lengths[n] > 0 && is_finite(cohort.row(n, 0));
        let patients = (0..cohort.lengths.len()).filter(is_usable);
        patients.map(|n| self.state(cohort.row(n, 0))).collect()
    }
}

/// The decision process that a table's steps show.
pub(super) struct TabularMdp {
    cells: BTreeMap<usize, BTreeMap<Action, Cell>>,
    /// The share of steps with each action.
    pub(super) frequencies: BTreeMap<Action, f64>,
}

/// What follows an action in a state.
#[derive(Default)]
struct Cell {
    count: f64,
    rewards: f64,
    next: BTreeMap<usize, f64>,
}

/// Values by state.
pub(super) type StateValues = BTreeMap<usize, f64>;

impl TabularMdp {
    pub(super) fn new<'a>(steps: impl Iterator<Item = &'a Step> + Clone) -> Self {
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
    pub(super) fn learn(&self, discount: f64) -> Policy {
        let best = |actions: &BTreeMap<Action, Cell>, values: &StateValues| {
            let most = actions.values().map(|cell| cell.count).fold(0., f64::max);
            let allowed = actions.iter().filter(|(_, cell)| cell.count >= SEEN * most);
            let valued =
                allowed.map(|(action, cell)| (action.clone(), cell.value(values, discount)));
            // Of equal ones the first.
            valued.reduce(|best, other| if other.1 > best.1 { other } else { best })
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
    pub(super) fn values(&self, policy: &Policy, discount: f64) -> StateValues {
        settle(|values| {
            let of = |(state, actions): (&usize, &BTreeMap<Action, Cell>)| {
                let chosen = policy.action(*state).and_then(|action| actions.get(action));
                let value = match chosen {
                    Some(cell) => cell.value(values, discount),
                    None => {
                        let all: f64 = actions.values().map(|cell| cell.count).sum();
                        let sums =
                            actions.values().map(|cell| cell.count * cell.value(values, discount));
                        sums.sum::<f64>() / all
                    }
                };
                (*state, value)
            };
            self.cells.iter().map(of).collect()
        })
    }
}

impl Cell {
    /// The mean reward and what comes after, over next states whose value is known.
    fn value(&self, values: &StateValues, discount: f64) -> f64 {
        let valued =
            || self.next.iter().filter_map(|(state, count)| Some((values.get(state)?, count)));
        let steps: f64 = valued().map(|(_, count)| count).sum();
        let after = valued().map(|(value, count)| value * count).sum::<f64>() / steps.max(1.);
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

/// Which action is taken in each state.
pub(super) struct Policy {
    choices: BTreeMap<usize, Action>,
    /// The action in states that were never seen.
    pub(super) otherwise: Option<Action>,
}

impl Policy {
    /// The treatment of the table itself.
    pub(super) fn usual() -> Self {
        Self { choices: BTreeMap::new(), otherwise: None }
    }

    pub(super) fn action(&self, state: usize) -> Option<&Action> {
        self.choices.get(&state)
    }
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
        let mdp = TabularMdp::new(steps().iter());
        let policy = mdp.learn(0.5);
        assert_eq!(policy.action(0), Some(&vec![1]));
        assert_eq!(policy.action(1), Some(&vec![1]));
        // V₀ = 1 + V₁/2 and V₁ = V₀/2.
        let values = mdp.values(&policy, 0.5);
        assert!((values[&0] - 4. / 3.).abs() < 1e-8 && (values[&1] - 2. / 3.).abs() < 1e-8);
        assert_eq!(policy.action(7), None);
    }
}
