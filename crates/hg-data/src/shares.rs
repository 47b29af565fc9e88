//! Shares of a synthetic cohort that shall meet conditions, as `sex=f:0.5`.
//!
//! Each share holds by itself, to a patient. How conditions go together stays as the generator has it: of
//! its patients' joint distribution q over who meets which conditions, the cohort has the nearest one with
//! these margins,
//!
//! ```text
//! p = argmin Σ_k p_k log(p_k / q_k)   with   Σ_{k meets c} p_k = share of c   for every condition c
//! ```
//!
//! found by iterative proportional fitting (Deming & Stephan, Ann. Math. Stat. 11, 1940, doi
//! 10.1214/aoms/1177731829). Whole patients are taken of it, and it is fitted to what is left of the margins
//! again, until all places are given away.

use crate::{Cells, Encoder, Error, Given, Result};
use std::collections::BTreeMap;

/// Shares that can be asked for at once: a patient's kind is a bit for each.
const MOST_SHARES: usize = 32;
/// Rounds of fitting, at most; it goes slowly where a share leaves nobody of some kind.
const MOST_ROUNDS: usize = 10_000;
/// When the margins are met, and by how much of a patient they may be off in the end.
const MET: f64 = 1e-6;
const OFF: f64 = 0.2;

/// Which conditions a patient meets: bit n for the n-th.
pub type MetConditions = u32;

/// Shares of a cohort that shall meet conditions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shares(Vec<Share>);

#[derive(Clone, Debug, PartialEq)]
struct Share {
    condition: Given,
    share: f64,
}

impl Encoder {
    /// Reads shares of patients who meet a [condition](Encoder::given), as `sex=f:0.5`.
    ///
    /// # Errors
    /// [`Error::Given`] for the first that is none.
    pub fn shares<T: AsRef<str>>(&self, texts: &[T]) -> Result<Shares> {
        let mut shares: Vec<Share> = Vec::with_capacity(texts.len());
        for text in texts.iter().map(AsRef::as_ref) {
            let wrong = |problem: String| Error::Given { condition: text.to_owned(), problem };
            if shares.len() == MOST_SHARES {
                let problem = format!("there are more than {MOST_SHARES} shares\nhint: use fewer");
                return Err(wrong(problem));
            }
            let (condition, share) = text.rsplit_once(':').ok_or_else(|| {
                wrong("it has no share\nhint: write `condition:share`, as `sex=f:0.5`".into())
            })?;
            let number = share.trim().parse().ok().filter(|share| (0. ..=1.).contains(share));
            let share = number.ok_or_else(|| {
                wrong(format!("`{share}` is no share\nhint: it is a number from 0 to 1"))
            })?;
            let condition = self.given(&[condition.trim()])?;
            if shares.iter().any(|before| before.condition == condition) {
                let problem = format!("{condition} has a share already\nhint: give it one share");
                return Err(wrong(problem));
            }
            shares.push(Share { condition, share });
        }
        Ok(Shares(shares))
    }
}

impl Shares {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For each patient, which of the conditions they meet.
    pub fn met(&self, cells: &Cells) -> Vec<MetConditions> {
        let mut met = vec![0; cells.patients()];
        for (n, share) in self.0.iter().enumerate() {
            for (met, is_met) in met.iter_mut().zip(share.condition.met(cells)) {
                *met |= MetConditions::from(is_met) << n;
            }
        }
        met
    }

    /// For each condition, how many of so many patients shall meet it.
    pub fn counts(&self, patients: usize) -> Vec<usize> {
        self.0.iter().map(|share| (share.share * patients as f64).round() as usize).collect()
    }

    /// The first condition that shall be met, or not be met, by more of so many patients than there are
    /// such ones at all among the generator's; `made` counts these by the conditions that they meet.
    pub fn unmet(&self, made: &BTreeMap<MetConditions, usize>, patients: usize) -> Option<String> {
        let counts = self.counts(patients);
        self.0.iter().zip(counts).enumerate().find_map(|(n, (share, count))| {
            let is_there = |meets: bool| made.keys().any(|&met| meets_it(met, n) == meets);
            if count > 0 && !is_there(true) {
                return Some(share.condition.to_string());
            }
            (count < patients && !is_there(false)).then(|| format!("not {}", share.condition))
        })
    }

    /// How many of so many patients shall meet which conditions; `made` counts the generator's. `None`
    /// where the shares contradict each other.
    pub fn allocate(
        &self,
        made: &BTreeMap<MetConditions, usize>,
        patients: usize,
    ) -> Option<Vec<(MetConditions, usize)>> {
        let kinds: Vec<MetConditions> = made.keys().copied().collect();
        let made: Vec<f64> = made.values().map(|&count| count as f64).collect();
        let (mut left, mut margins) = (patients, self.counts(patients));
        let mut taken = vec![0; kinds.len()];
        while left > 0 {
            let expected = fitted(&kinds, &made, &margins, left)?;
            let mut whole: Vec<usize> = expected.iter().map(|x| (x + 1e-9) as usize).collect();
            if whole.iter().all(|&count| count == 0) {
                let greatest =
                    (0..kinds.len()).rev().max_by(|&a, &b| expected[a].total_cmp(&expected[b]))?;
                whole[greatest] = 1;
            }
            for ((taken, &kind), count) in taken.iter_mut().zip(&kinds).zip(whole) {
                *taken += count;
                left = left.checked_sub(count)?;
                for (n, margin) in margins.iter_mut().enumerate() {
                    *margin = margin.checked_sub(if meets_it(kind, n) { count } else { 0 })?;
                }
            }
        }
        Some(kinds.into_iter().zip(taken).collect())
    }
}

impl std::fmt::Display for Shares {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let texts = self.0.iter().map(|one| format!("{} of {}", one.share, one.condition));
        f.write_str(&texts.collect::<Vec<_>>().join(", "))
    }
}

fn meets_it(met: MetConditions, condition: usize) -> bool {
    met >> condition & 1 == 1
}

/// So many patients of each kind, in fractions, that `margins` of them meet the conditions, as near as can
/// be to the shares in which kinds were `made`. `None` where that cannot be.
fn fitted(
    kinds: &[MetConditions],
    made: &[f64],
    margins: &[usize],
    patients: usize,
) -> Option<Vec<f64>> {
    let all = patients as f64;
    let scale = all / made.iter().sum::<f64>();
    let mut expected: Vec<f64> = made.iter().map(|count| count * scale).collect();
    let mut off = f64::INFINITY;
    for _ in 0..MOST_ROUNDS {
        off = 0.;
        for (n, &margin) in margins.iter().enumerate() {
            let wanted = [all - margin as f64, margin as f64];
            let mut now = [0.; 2];
            for (&kind, count) in kinds.iter().zip(&expected) {
                now[usize::from(meets_it(kind, n))] += count;
            }
            off = off.max((now[1] - wanted[1]).abs()).max((now[0] - wanted[0]).abs());
            let factor = |side: usize| match now[side] > 0. {
                true => Some(wanted[side] / now[side]),
                false => (wanted[side] == 0.).then_some(0.),
            };
            let factors = [factor(0)?, factor(1)?];
            for (&kind, count) in kinds.iter().zip(&mut expected) {
                *count *= factors[usize::from(meets_it(kind, n))];
            }
        }
        if off <= MET {
            break;
        }
    }
    (off <= OFF).then_some(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(shares: &[f64]) -> Shares {
        let share = |&share: &f64| Share { condition: Given::default(), share };
        Shares(shares.iter().map(share).collect())
    }

    fn allocated(
        of: &[f64],
        made: &[(MetConditions, usize)],
        patients: usize,
    ) -> Option<Vec<usize>> {
        let made: BTreeMap<MetConditions, usize> = made.iter().copied().collect();
        let allocated = shares(of).allocate(&made, patients)?;
        Some(allocated.into_iter().map(|(_, count)| count).collect())
    }

    #[test]
    fn each_share_is_exact_and_what_goes_together_still_does() {
        // Kinds: neither, the first alone, the second alone, both.
        let made = [(0b00, 400), (0b01, 100), (0b10, 100), (0b11, 400)];
        let found = allocated(&[0.5, 0.3], &made, 500).expect("goes together");
        assert_eq!(found.iter().sum::<usize>(), 500);
        assert_eq!((found[1] + found[3], found[2] + found[3]), (250, 150));
        // The odds ratio of the generator's patients is 16.
        let ratio = (found[0] * found[3]) as f64 / (found[1] * found[2]) as f64;
        assert!((14. ..18.).contains(&ratio), "{found:?}");
        for patients in 1..40 {
            let found = allocated(&[0.5, 0.3], &made, patients).expect("goes together");
            let wanted = [0.5, 0.3].map(|share| (share * patients as f64).round() as usize);
            assert_eq!(found.iter().sum::<usize>(), patients);
            assert_eq!([found[1] + found[3], found[2] + found[3]], wanted, "{patients}");
        }
    }

    #[test]
    fn conditions_that_exclude_or_contain_each_other_have_shares_too() {
        let levels = [(0b001, 700), (0b010, 250), (0b100, 50)];
        assert_eq!(allocated(&[0.4, 0.3, 0.3], &levels, 10), Some(vec![4, 3, 3]));
        assert_eq!(allocated(&[0., 0.5, 0.5], &levels, 4), Some(vec![0, 2, 2]));
        // The second is met by none but those who meet the first.
        let nested = [(0b00, 500), (0b01, 300), (0b11, 200)];
        assert_eq!(allocated(&[0.3, 0.3], &nested, 500), Some(vec![350, 0, 150]));
        assert_eq!(allocated(&[0.5, 0.1], &nested, 10), Some(vec![5, 4, 1]));
    }

    #[test]
    fn shares_that_contradict_each_other_are_said_to() {
        let levels = [(0b01, 500), (0b10, 500)];
        assert_eq!(allocated(&[0.5, 0.6], &levels, 100), None);
        let nested = [(0b00, 500), (0b01, 300), (0b11, 200)];
        assert_eq!(allocated(&[0.1, 0.3], &nested, 100), None);
        // Nobody has the third level, whom a share could be rounded to.
        assert_eq!(allocated(&[0.33, 0.33], &levels, 100), None);
        let made = BTreeMap::from([(0b0, 10)]);
        assert!(
            shares(&[0.1]).unmet(&made, 10).is_some() && shares(&[0.]).unmet(&made, 10).is_none()
        );
    }
}
