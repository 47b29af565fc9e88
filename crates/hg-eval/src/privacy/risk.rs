//! What an attack gains on patients that were trained on, beyond what it gains on others (Giomi et
//! al., *PoPETs* 2023(2), doi:10.56553/popets-2023-0055):
//!
//! ```text
//! risk = (a − c) / (1 − c)    a: rate of success on those trained on, c: on held-out patients
//! ```
//!
//! A trial is a patient, and its success a share in [0, 1]. A rate's interval is Wilson's (*JASA* 22,
//! 1927), which is made for successes of 0 and 1, whose variance is the greatest that shares with the
//! same mean have; the interval of a − c puts two of them together as Newcombe does (*Stat. Med.* 17,
//! 1998, method 10), and is divided by 1 − c.

use crate::auc::Z;
use crate::judge::MIN_PATIENTS;
use crate::statistics::mean;
use crate::{Figure, Outcome, PatientCounts};
use serde::Serialize;

/// The risk of an attack, beyond what it does to patients who were not trained on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Risk {
    /// The rate of success on patients that were trained on, in [0, 1].
    pub trained_on: f64,
    /// The rate on held-out patients: the control.
    pub others: f64,
    /// The risk: 0 is none, 1 is certain; below 0 others are attacked better.
    pub risk: f64,
    /// The lower end of its 95 % interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Risk {
    /// Of each patient's success; `None` where a side has nobody, or all attacks on others succeed.
    pub(crate) fn new(trained_on: &[f64], others: &[f64]) -> Option<Self> {
        let (attack, control) = (mean(trained_on.iter().copied())?, mean(others.iter().copied())?);
        let ([a_low, a_high], [c_low, c_high]) =
            (wilson(attack, trained_on.len()), wilson(control, others.len()));
        let scale = (control < 1.).then_some(1. - control)?;
        let difference = attack - control;
        let below = (attack - a_low).hypot(c_high - control);
        let above = (a_high - attack).hypot(control - c_low);
        Some(Self {
            trained_on: attack,
            others: control,
            risk: difference / scale,
            low: (difference - below) / scale,
            high: ((difference + above) / scale).min(1.),
        })
    }

    /// Whether others are not attacked worse, as far as chance allows to say.
    pub(crate) fn is_none(&self) -> bool {
        self.low <= 0.
    }

    /// The rates, and the risk with its interval, in words.
    pub(crate) fn says(&self, of: &str) -> String {
        let [a, c, risk, low, high] =
            [self.trained_on, self.others, self.risk, self.low, self.high].map(|x| 100. * x);
        format!(
            "{a:.1} % of {of}, {c:.1} % of others, which is a risk of {risk:.1} % \
             ({low:.1} to {high:.1} %)"
        )
    }

    /// Rows of the report: both rates, and the risk.
    pub(crate) fn figures(&self, name: &str) -> [Figure; 2] {
        let percent = |share| crate::FigureValue::Percent { share, decimals: 1 };
        let rates = Figure::new(name.to_owned(), percent(self.trained_on));
        [rates.held_out(percent(self.others)), Figure::new(format!("{name}: risk"), *self)]
    }
}

/// Wilson's 95 % interval of a rate over so many trials.
pub(crate) fn wilson(rate: f64, trials: usize) -> [f64; 2] {
    let n = trials as f64;
    let (centre, scale) = (rate + Z * Z / (2. * n), 1. + Z * Z / n);
    let half = Z * (rate * (1. - rate) / n + Z * Z / (4. * n * n)).max(0.).sqrt();
    [((centre - half) / scale).max(0.), ((centre + half) / scale).min(1.)]
}

/// Whom attacks are on, mostly.
pub(crate) const TRAINED_ON: &str = "those trained on";

/// Passes where no attack has a risk; open where there are too few patients, or nothing to attack.
pub(crate) fn judge(
    counts: &PatientCounts,
    of: &str,
    attacks: &[(&str, Option<Risk>)],
    nothing: &str,
) -> Outcome {
    counts.held_out_at_least(MIN_PATIENTS)?;
    counts.at_least(MIN_PATIENTS)?;
    let found: Vec<(&str, Risk)> =
        attacks.iter().filter_map(|(name, risk)| Some((*name, (*risk)?))).collect();
    if found.is_empty() {
        return Err(nothing.into());
    }
    let said: Vec<String> =
        found.iter().map(|(name, risk)| format!("{name}: {}", risk.says(of))).collect();
    let passed = found.iter().all(|(_, risk)| risk.is_none());
    Ok((passed, format!("{}; passes where 0 is inside or above", said.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilsons_interval_is_that_of_scipy() {
        // scipy.stats.binomtest(3, 10).proportion_ci(method="wilson"), and of 0 and 10 of 10.
        let near = |found: [f64; 2], expected: [f64; 2]| {
            found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-8)
        };
        assert!(near(wilson(0.3, 10), [0.107_791_267_4, 0.603_221_852_5]), "{:?}", wilson(0.3, 10));
        assert!(near(wilson(0., 10), [0., 0.277_532_799_9]), "{:?}", wilson(0., 10));
        assert!(near(wilson(1., 10), [0.722_467_200_1, 1.]), "{:?}", wilson(1., 10));
    }

    #[test]
    fn the_risk_is_what_others_do_not_have() {
        let share = |ones: usize, of: usize| -> Vec<f64> {
            (0..of).map(|n| f64::from(u8::from(n < ones))).collect()
        };
        // Newcombe 1998, table II: 56/70 against 48/80 is 0.0524 to 0.3339 by method 10.
        let found = Risk::new(&share(56, 70), &share(48, 80)).expect("a risk");
        let expected = [0.2 / 0.4, 0.0524 / 0.4, 0.3339 / 0.4];
        for (found, expected) in [found.risk, found.low, found.high].into_iter().zip(expected) {
            assert!((found - expected).abs() < 2e-4, "{found} for {expected}");
        }
        assert!(!found.is_none());
        let none = Risk::new(&share(20, 70), &share(48, 80)).expect("a risk");
        assert!(none.risk < 0. && none.is_none());
        assert_eq!(Risk::new(&share(1, 2), &share(2, 2)), None);
        assert_eq!(Risk::new(&[], &share(1, 2)), None);
    }

    #[test]
    fn few_patients_or_no_attack_are_open() {
        let risk = Risk::new(&[1.; 20], &[0.; 20]);
        let counts = |held_out| PatientCounts { real: 20, held_out, synthetic: 20 };
        assert!(
            judge(&counts(Some(20)), TRAINED_ON, &[("a", risk)], "none")
                .is_ok_and(|(passed, _)| !passed)
        );
        assert!(judge(&counts(Some(9)), TRAINED_ON, &[("a", risk)], "none").is_err());
        assert!(judge(&counts(None), TRAINED_ON, &[("a", risk)], "none").is_err());
        assert_eq!(
            judge(&counts(Some(20)), TRAINED_ON, &[("a", None)], "none"),
            Err("none".into())
        );
    }
}
