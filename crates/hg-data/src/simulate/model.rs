//! The six-state model of HIV under therapy (Adams, Banks, Kwon & Tran, Math. Biosci.
//! Eng. 1(2), 2004, eq. 2.1; parameters as in Ernst et al., CDC 2006):
//!
//! ```text
//! T₁' = λ₁ − d₁T₁ − (1−ε₁)k₁VT₁            T₁*' = (1−ε₁)k₁VT₁ − δT₁* − m₁ET₁*
//! T₂' = λ₂ − d₂T₂ − (1−fε₁)k₂VT₂           T₂*' = (1−fε₁)k₂VT₂ − δT₂* − m₂ET₂*
//! V'  = (1−ε₂)N_Tδ(T₁*+T₂*) − cV − [(1−ε₁)ρ₁k₁T₁ + (1−fε₁)ρ₂k₂T₂]V
//! E'  = λ_E + b_E I/(I+K_b) E − d_E I/(I+K_d) E − δ_E E,   I = T₁*+T₂*
//! ```

use ode_solvers::{Dopri5, OutputType, SVector, System};
use serde::{Deserialize, Serialize};

/// T₁, T₂, T₁*, T₂*, V, E; per ml.
pub type State = SVector<f64, 6>;

/// The model's parameters, by the names of its equations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the equations name them")]
pub struct Dynamics {
    pub lambda_1: f64,
    pub d_1: f64,
    pub k_1: f64,
    pub lambda_2: f64,
    pub d_2: f64,
    pub k_2: f64,
    pub f: f64,
    pub delta: f64,
    pub m_1: f64,
    pub m_2: f64,
    pub n_t: f64,
    pub c: f64,
    pub rho_1: f64,
    pub rho_2: f64,
    pub lambda_e: f64,
    pub b_e: f64,
    pub k_b: f64,
    pub d_e: f64,
    pub k_d: f64,
    pub delta_e: f64,
}

/// Efficacies of a therapy, in [0, 1).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Efficacy {
    /// ε₁, of reverse-transcriptase inhibitors.
    pub reverse_transcriptase: f64,
    /// ε₂, of protease inhibitors.
    pub protease: f64,
}

struct UnderTherapy<'a> {
    dynamics: &'a Dynamics,
    efficacy: Efficacy,
}

impl System<f64, State> for UnderTherapy<'_> {
    fn system(&self, _day: f64, y: &State, dy: &mut State) {
        let p = self.dynamics;
        let Efficacy { reverse_transcriptase: e1, protease: e2 } = self.efficacy;
        let [t1, t2, i1, i2, virus, effectors] = [y[0], y[1], y[2], y[3], y[4], y[5]];
        let (open_1, open_2) = ((1. - e1) * p.k_1, (1. - p.f * e1) * p.k_2);
        let (infection_1, infection_2) = (open_1 * virus * t1, open_2 * virus * t2);
        let infected = i1 + i2;
        dy[0] = p.lambda_1 - p.d_1 * t1 - infection_1;
        dy[1] = p.lambda_2 - p.d_2 * t2 - infection_2;
        dy[2] = infection_1 - p.delta * i1 - p.m_1 * effectors * i1;
        dy[3] = infection_2 - p.delta * i2 - p.m_2 * effectors * i2;
        dy[4] = (1. - e2) * p.n_t * p.delta * infected
            - p.c * virus
            - p.rho_1 * infection_1
            - p.rho_2 * infection_2;
        let growth = p.b_e * infected / (infected + p.k_b);
        let loss = p.d_e * infected / (infected + p.k_d);
        dy[5] = p.lambda_e + (growth - loss - p.delta_e) * effectors;
    }
}

/// How often a time is halved in which the solver gives up.
const HALVED: u32 = 6;

/// The state after `days` under constant efficacy, by Dormand & Prince's fifth order with
/// this relative tolerance. Where the solver gives up, as its steps become too small beside the time that
/// it counts, it begins anew in each half of the time.
///
/// # Errors
/// When it gives up in small parts too: the parameters make no sense.
pub fn advance(
    dynamics: &Dynamics,
    efficacy: Efficacy,
    start: State,
    days: f64,
    tolerance: f64,
) -> Result<State, String> {
    in_parts(HALVED, start, days, &|start, days| {
        advance_at_once(dynamics, efficacy, start, days, tolerance)
    })
}

/// Goes through a time at once, or through its halves, which may be halved so often.
fn in_parts(
    halved: u32,
    start: State,
    days: f64,
    at_once: &dyn Fn(State, f64) -> Result<State, String>,
) -> Result<State, String> {
    match at_once(start, days) {
        Err(_) if halved > 0 => {
            let middle = in_parts(halved - 1, start, days / 2., at_once)?;
            in_parts(halved - 1, middle, days / 2., at_once)
        }
        state => state,
    }
}

fn advance_at_once(
    dynamics: &Dynamics,
    efficacy: Efficacy,
    start: State,
    days: f64,
    tolerance: f64,
) -> Result<State, String> {
    let system = UnderTherapy { dynamics, efficacy };
    let absolute = tolerance * 1e-9;
    let mut solver = Dopri5::from_param(
        system,
        0.,
        days,
        days,
        start,
        tolerance,
        absolute,
        0.9,
        0.04,
        0.2,
        10.,
        days,
        // The first step; the solver's own guess can be so small that all is rounding.
        1e-3,
        1_000_000,
        // No test for stiffness: the virus adapts within hours, and steps of hours are fine.
        u32::MAX,
        OutputType::Sparse,
    );
    solver.integrate().map_err(|e| e.to_string())?;
    let state = solver.y_out().last().copied().ok_or("the solver returned nothing")?;
    if state.iter().all(|x| x.is_finite()) {
        Ok(state)
    } else {
        Err("the state left all bounds".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_in_which_the_solver_gives_up_is_gone_through_in_parts() {
        let start = State::repeat(1.);
        // Each day adds 1, and more than two days are too much for it.
        let at_once = |state: State, days: f64| match days <= 2. {
            true => Ok(state.add_scalar(days)),
            false => Err("too small a step".to_owned()),
        };
        assert_eq!(in_parts(HALVED, start, 30., &at_once), Ok(State::repeat(31.)));
        let never = |_: State, _: f64| Err("too small a step".to_owned());
        assert_eq!(in_parts(HALVED, start, 30., &never), Err("too small a step".to_owned()));
    }
}
