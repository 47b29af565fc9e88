//! When a question gets a verdict, and the limit that several measures share.
//!
//! A question is passed or failed only where something was compared. Where there was nothing to
//! compare, or so little that chance decides, it is open, and the answer says what it would take.

use crate::{Outcome, PatientCounts};

/// Mean distances up to here pass. This limit and those of the measures are this program's own;
/// no regulator's.
pub(crate) const MAX_DISTANCE: f64 = 0.1;

/// Relative differences up to here pass: 15 %.
pub(crate) const MAX_RELATIVE: f64 = 0.15;

/// Patients of each side from which on there is a verdict. Two draws of ten from one law are at a
/// distance of 0.3 to 0.4 by Kolmogorov and Smirnov, so that fewer say little of a limit of 0.1;
/// and whether one of so few is found or missed is chance.
pub(crate) const MIN_PATIENTS: usize = 10;

const NONE_HELD_OUT: &str = "nobody was held out of training; set `held_out = 0.2` to ask";

impl PatientCounts {
    /// Refuses a verdict on fewer than so many real or synthetic patients.
    pub(crate) fn at_least(&self, min: usize) -> Result<(), String> {
        let Self { real, synthetic, .. } = *self;
        if real.min(synthetic) >= min {
            return Ok(());
        }
        Err(format!(
            "there are {} and {synthetic} synthetic; it takes {min} of each to ask",
            patients(real, " real")
        ))
    }

    /// Refuses a verdict that takes held-out patients, where there are fewer than so many.
    pub(crate) fn held_out_at_least(&self, min: usize) -> Result<(), String> {
        match self.held_out {
            None => Err(NONE_HELD_OUT.into()),
            Some(held_out) if held_out < min => Err(format!(
                "{} held out; it takes {min} to ask, so hold out more",
                match held_out {
                    1 => "1 patient was".into(),
                    _ => format!("{held_out} patients were"),
                }
            )),
            Some(_) => Ok(()),
        }
    }

    /// Whether enough were held out to say what real patients differ by.
    pub(crate) fn has_yardstick(&self) -> bool {
        self.held_out_at_least(MIN_PATIENTS).is_ok()
    }
}

/// So many patients, of a kind.
pub(crate) fn patients(count: usize, kind: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count}{kind} patient{plural}")
}

/// A difference from the real cohort that should be small.
pub(crate) struct Difference {
    pub(crate) name: &'static str,
    /// Of the synthetic cohort; `None` where there was nothing to compare.
    pub(crate) synthetic: Option<f64>,
    /// Of held-out patients: what is no fault of a synthetic cohort.
    pub(crate) held_out: Option<f64>,
}

/// Passes where each difference is at most [`MAX_DISTANCE`], or at most that of held-out
/// patients. Open where there are few patients, or no difference has a value, which `nothing`
/// explains.
pub(crate) fn within_limit(
    counts: &PatientCounts,
    differences: &[Difference],
    nothing: &str,
) -> Outcome {
    within(MAX_DISTANCE, counts, differences, nothing)
}

/// A limit, raised to what chance makes of cohorts of these sizes where that is more, since patients are
/// few or values extreme: by how much two halves of the real cohort differ in some ways, which of n
/// patients is √(4/n) times a constant, and here √(1/n + 1/m) times it, of m synthetic ones.
pub(crate) fn raised(
    limit: f64,
    counts: &PatientCounts,
    halves: impl IntoIterator<Item = Option<f64>>,
) -> f64 {
    let [n, m] = [counts.real, counts.synthetic].map(|count| count.max(1) as f64);
    let of_sizes = ((1. / n + 1. / m) * n / 4.).sqrt();
    let chance = halves.into_iter().flatten().map(|halves| of_sizes * halves);
    // As it is shown.
    (chance.fold(limit, f64::max) * 1000.).round() / 1000.
}

/// [`within_limit`], with a limit of its own.
pub(crate) fn within(
    limit: f64,
    counts: &PatientCounts,
    differences: &[Difference],
    nothing: &str,
) -> Outcome {
    counts.at_least(MIN_PATIENTS)?;
    let has_yardstick = counts.has_yardstick();
    let compared: Vec<(&str, f64, Option<f64>)> = differences
        .iter()
        .filter_map(|difference| {
            let yardstick = difference.held_out.filter(|_| has_yardstick);
            Some((difference.name, difference.synthetic?, yardstick))
        })
        .collect();
    if compared.is_empty() {
        return Err(nothing.into());
    }

    let figure = |(name, value, yardstick): &(&str, f64, Option<f64>)| {
        let others = yardstick.map_or(String::new(), |others| format!(" (others {others:.3})"));
        format!("{name} {value:.3}{others}")
    };
    let figures: Vec<String> = compared.iter().map(figure).collect();
    let passes = |&(_, value, yardstick): &(&str, f64, Option<f64>)| {
        value <= yardstick.unwrap_or(0.).max(limit)
    };
    let or_others = if compared.iter().any(|(.., yardstick)| yardstick.is_some()) {
        ", or what held-out patients differ by"
    } else {
        ""
    };
    let said = format!("{}; limit {limit}{or_others}", figures.join(", "));
    Ok((compared.iter().all(passes), said))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(held_out: Option<usize>) -> PatientCounts {
        PatientCounts { real: 10, held_out, synthetic: 10 }
    }

    fn judge(held_out: Option<usize>, value: f64, others: f64) -> Outcome {
        let difference = Difference { name: "d", synthetic: Some(value), held_out: Some(others) };
        within_limit(&counts(held_out), &[difference], "nothing")
    }

    #[test]
    fn a_difference_passes_up_to_the_limit_or_up_to_that_of_enough_held_out_patients() {
        let passed = |outcome: Outcome| outcome.map(|(passed, _)| passed);
        assert_eq!(passed(judge(None, 0.1, 0.)), Ok(true));
        assert_eq!(passed(judge(None, 0.11, 0.2)), Ok(false));
        assert_eq!(passed(judge(Some(9), 0.11, 0.2)), Ok(false));
        assert_eq!(passed(judge(Some(10), 0.11, 0.2)), Ok(true));
        assert_eq!(passed(judge(Some(10), 0.21, 0.2)), Ok(false));
        let said = judge(Some(10), 0.11, 0.2).map(|(_, said)| said);
        let expected = "d 0.110 (others 0.200); limit 0.1, or what held-out patients differ by";
        assert_eq!(said.as_deref(), Ok(expected));
        let said = judge(None, 0.11, 0.2).map(|(_, said)| said);
        assert_eq!(said.as_deref(), Ok("d 0.110; limit 0.1"));
    }

    #[test]
    fn a_limit_is_raised_by_halves_that_differ_by_more_and_never_lowered() {
        let raised = |halves: &[Option<f64>]| raised(0.15, &counts(None), halves.iter().copied());
        assert_eq!(raised(&[Some(0.05), None]), 0.15);
        assert_eq!(raised(&[Some(0.05), Some(0.2 * 2f64.sqrt())]), 0.2);
        assert_eq!(raised(&[]), 0.15);
        // Of ten patients halves of five: ten and ten differ by less, ten and two by more.
        let few = PatientCounts { synthetic: 2, ..counts(None) };
        assert_eq!(super::raised(0.15, &few, [Some(0.2)]), 0.245);
        let difference = Difference { name: "d", synthetic: Some(0.2), held_out: None };
        let said = within(0.235, &self::counts(None), &[difference], "nothing");
        assert_eq!(said, Ok((true, "d 0.200; limit 0.235".into())));
    }

    #[test]
    fn nothing_compared_or_few_patients_are_open() {
        assert_eq!(within_limit(&counts(None), &[], "nothing"), Err("nothing".into()));
        for (real, synthetic) in [(9, 10), (10, 9)] {
            let few = PatientCounts { real, held_out: None, synthetic };
            let said = format!(
                "there are {real} real patients and {synthetic} synthetic; it takes 10 of each to ask"
            );
            assert_eq!(few.at_least(10), Err(said));
        }
        assert!(counts(None).held_out_at_least(10).is_err_and(|said| said.contains("nobody")));
        for (held_out, said) in [(1, "1 patient was held out;"), (9, "9 patients were held out;")] {
            let found = counts(Some(held_out)).held_out_at_least(10);
            assert!(found.as_ref().is_err_and(|text| text.starts_with(said)), "{found:?}");
        }
        assert_eq!(counts(Some(10)).held_out_at_least(10), Ok(()));
    }
}
