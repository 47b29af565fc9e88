//! Singling out: do the synthetic patients lead to descriptions that fit one real patient alone (Giomi et
//! al., Anonymeter, *PoPETs* 2023(2); after Cohen & Nissim, *PNAS* 117, 2020)?
//!
//! A predicate is guessed from a synthetic patient whom it fits alone in the synthetic cohort. With one
//! column it is the least or the greatest value, or a value that nobody else has; with several it is
//! the level of each, and for numbers the side of the median: as much as the patient has, or more, or less.
//! A guess succeeds where one real patient alone fits.
//!
//! What we settled on: who fits is looked for among all real patients, those trained on and those held
//! out, and a patient is the trial: singled out by a guess, or not. Anonymeter takes a guess as the trial
//! and as many held-out patients as there are others for control; where fewer are held out, a guess
//! fits a single one of them with another probability, and guesses that fit one patient are no
//! independent trials. Among all of them a guess has no reason to fit a patient who was trained on rather than
//! another, unless they were learnt.

use super::patients::Patients;
use super::risk::{Risk, TRAINED_ON, judge};
use crate::statistics::stride;
use crate::{Answer, Cohort, Figure, FigureValue, Finding, Measure, Result, Subject, Topic};
use hg_data::Schema;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

/// How many columns a predicate of several has, at least and at most.
const COLUMNS: std::ops::RangeInclusive<usize> = 2..=5;
/// Predicates that are tried for a synthetic patient until one fits nobody else.
const TRIES: usize = 20;
const SEED: u64 = 0;

/// How often patients are singled out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SinglingOut {
    /// By predicates with one column; `None` where there is nothing to say of it.
    pub univariate: Option<Risk>,
    /// By predicates with several.
    pub multivariate: Option<Risk>,
    /// The share of patients trained on whom as many random predicates single out: what is gained without
    /// any synthetic patient.
    pub by_chance: Option<f64>,
    /// Predicates with one column.
    pub univariate_guesses: usize,
    /// Predicates with several.
    pub multivariate_guesses: usize,
}

pub(crate) struct SingledOut;

impl Measure for SingledOut {
    fn id(&self) -> &'static str {
        "singling-out"
    }

    fn topic(&self) -> Topic {
        Topic::Privacy
    }

    fn stage(&self) -> &'static str {
        "singling out"
    }

    fn about(&self) -> &'static str {
        "How often a description guessed from a synthetic patient fits one real patient alone (Giomi et \
         al., Anonymeter, 2023, \
         [doi:10.56553/popets-2023-0055](https://doi.org/10.56553/popets-2023-0055); Cohen & Nissim 2020, \
         [doi:10.1073/pnas.1914598117](https://doi.org/10.1073/pnas.1914598117)). Described are statics, \
         and of other columns the first value and the mean or the commonest level. Univariate guesses are \
         the least and the greatest synthetic value of a number, and for each synthetic patient a value \
         that no other has; multivariate ones join two to five columns of a synthetic patient (levels; \
         numbers that are as great or greater, or as small or smaller, away from the median) and fit \
         no other synthetic one. A guess is looked for among all real patients. The figures are the \
         shares of patients whom a guess singles out, of those trained on (a) and held out (c), and the \
         risk (a − c) / (1 − c) with its 95 % interval (Wilson 1927, Newcombe 1998); beside them the \
         share of those trained on whom as many random predicates single out. It passes where 0 is inside \
         both intervals or above them. It takes held-out patients."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let found = singling_out(subject);
        let attacks = [
            ("by one column", found.and_then(|found| found.univariate)),
            ("by several", found.and_then(|found| found.multivariate)),
        ];
        let nothing = "no description fits a single synthetic patient";
        let outcome = judge(&subject.patients(), TRAINED_ON, &attacks, nothing);
        let question = "Is nobody trained on singled out more than others are?";
        let finding = Finding::new()
            .with_answer(Answer::new("singled out", question, outcome))
            .with_json("singling_out", &found)?;
        let Some(found) = found else { return Ok(finding) };
        let risks = [("one column", found.univariate), ("several columns", found.multivariate)];
        let figures = risks.into_iter().flat_map(|(columns, risk)| {
            let name = format!("singled out by {columns}");
            risk.into_iter().flat_map(move |risk| risk.figures(&name))
        });
        let by_chance = found.by_chance.map(|share| {
            let percent = FigureValue::Percent { share, decimals: 1 };
            Figure::new("singled out by random predicates", percent)
        });
        Ok(finding.with_figures(figures).with_figures(by_chance).with_detail(found))
    }
}

/// `None` where there are no held-out patients, or no synthetic ones.
fn singling_out(subject: &Subject<'_>) -> Option<SinglingOut> {
    let schema = &subject.encoder.schema;
    let facts = |cohort: &Cohort| Facts::new(schema, cohort);
    let (real, others) = (facts(subject.real), facts(subject.held_out?));
    let synthetic = facts(subject.synthetic);
    let members = real.count;
    let all = real.and(others);
    if synthetic.count == 0 {
        return None;
    }

    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let every = stride(synthetic.count, subject.max_attacked());
    let guessers: Vec<usize> = (0..synthetic.count).step_by(every).collect();
    let of_one = synthetic.of_one_column(&guessers, &mut rng);
    let of_several = synthetic.of_several_columns(&guessers, &mut rng);
    let random: Vec<Predicate> =
        of_several.iter().map(|guess| synthetic.random(guess.len(), &mut rng)).collect();

    let singled_out = |guesses: &[Predicate]| -> Option<Vec<f64>> {
        let found: Vec<usize> =
            guesses.par_iter().filter_map(|guess| all.only_one(guess)).collect();
        let mut successes = vec![0.; all.count];
        found.into_iter().for_each(|patient| successes[patient] = 1.);
        (!guesses.is_empty()).then_some(successes)
    };
    let risk = |guesses: &[Predicate]| {
        let successes = singled_out(guesses)?;
        // Of a patient without any value there is nothing to guess.
        let of = |patients: std::ops::Range<usize>| -> Vec<f64> {
            let known = patients.filter(|&n| all.columns.iter().any(|column| column[n].is_some()));
            known.map(|n| successes[n]).collect()
        };
        Risk::new(&of(0..members), &of(members..all.count))
    };
    let by_chance = singled_out(&random);
    Some(SinglingOut {
        univariate: risk(&of_one),
        multivariate: risk(&of_several),
        by_chance: by_chance.and_then(|found| hg_judge::mean(found[..members].iter().copied())),
        univariate_guesses: of_one.len(),
        multivariate_guesses: of_several.len(),
    })
}

/// What a patient is in some facts, all of which are to hold.
type Predicate = Vec<Condition>;

/// A fact, and what it is.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Condition {
    fact: usize,
    is: Is,
    value: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Is {
    Equal,
    AtMost,
    AtLeast,
}

impl Condition {
    fn holds(&self, value: Option<f64>) -> bool {
        value.is_some_and(|value| match self.is {
            Is::Equal => value == self.value,
            Is::AtMost => value <= self.value,
            Is::AtLeast => value >= self.value,
        })
    }
}

/// What is known of patients: statics, and of other columns the first value and what there is mostly.
struct Facts {
    /// By fact and patient.
    columns: Vec<Vec<Option<f64>>>,
    /// Whether each fact is a number.
    is_number: Vec<bool>,
    count: usize,
}

impl Facts {
    fn new(schema: &Schema, cohort: &Cohort) -> Self {
        let mostly = Patients::new(schema, &cohort.observed);
        let first = Patients::of_first_values(schema, &cohort.observed);
        let (mut columns, mut is_number) = (Vec::new(), Vec::new());
        let all = schema.columns.iter().zip(mostly.columns).zip(first.columns);
        for ((column, mostly), first) in all {
            columns.push(mostly);
            is_number.push(column.is_numeric());
            if !column.is_static {
                columns.push(first);
                is_number.push(column.is_numeric());
            }
        }
        Self { columns, is_number, count: mostly.count }
    }

    /// These patients, and others after them.
    fn and(mut self, others: Self) -> Self {
        for (column, more) in self.columns.iter_mut().zip(others.columns) {
            column.extend(more);
        }
        Self { count: self.count + others.count, ..self }
    }

    /// The only patient whom a predicate fits.
    fn only_one(&self, predicate: &[Condition]) -> Option<usize> {
        let fits = |patient: &usize| {
            let value = |condition: &Condition| self.columns[condition.fact][*patient];
            predicate.iter().all(|condition| condition.holds(value(condition)))
        };
        let mut fitting = (0..self.count).filter(fits);
        let first = fitting.next();
        if fitting.next().is_some() { None } else { first }
    }

    /// The finite values of a fact, in ascending order.
    fn ascending(&self, fact: usize) -> Vec<f64> {
        let mut values: Vec<f64> = self.columns[fact].iter().flatten().copied().collect();
        values.sort_by(f64::total_cmp);
        values
    }

    /// The ends of each number, and of each of some patients one value that no other has.
    fn of_one_column(&self, guessers: &[usize], rng: &mut ChaCha8Rng) -> Vec<Predicate> {
        let mut guesses = Vec::new();
        for fact in (0..self.columns.len()).filter(|&fact| self.is_number[fact]) {
            let values = self.ascending(fact);
            if let [least, .., greatest] = values[..] {
                guesses.push(vec![Condition { fact, is: Is::AtMost, value: least }]);
                guesses.push(vec![Condition { fact, is: Is::AtLeast, value: greatest }]);
            }
        }
        let mut facts: Vec<usize> = (0..self.columns.len()).collect();
        for &patient in guessers {
            facts.shuffle(rng);
            let equal = |&fact: &usize| {
                let value = self.columns[fact][patient]?;
                let guess = vec![Condition { fact, is: Is::Equal, value }];
                self.only_one(&guess).is_some().then_some(guess)
            };
            guesses.extend(facts.iter().find_map(equal));
        }
        guesses
    }

    /// Of each of some patients a description by several columns that fits no other.
    fn of_several_columns(&self, guessers: &[usize], rng: &mut ChaCha8Rng) -> Vec<Predicate> {
        let medians: Vec<Option<f64>> = (0..self.columns.len())
            .map(|fact| self.ascending(fact).get(self.count / 2).copied())
            .collect();
        let mut guesses = Vec::new();
        for &patient in guessers {
            let mut known: Vec<usize> =
                (0..self.columns.len()).filter(|&n| self.columns[n][patient].is_some()).collect();
            let describe = |fact: usize| {
                let value = self.columns[fact][patient]?;
                let is = match (self.is_number[fact], medians[fact]) {
                    (false, _) => Is::Equal,
                    (true, Some(median)) if value < median => Is::AtMost,
                    (true, _) => Is::AtLeast,
                };
                Some(Condition { fact, is, value })
            };
            let mut tries = (0..TRIES).map(|_| {
                known.shuffle(rng);
                let width = rng.random_range(COLUMNS).min(known.len());
                known[..width].iter().filter_map(|&fact| describe(fact)).collect::<Predicate>()
            });
            let fits_alone = |guess: &Predicate| {
                guess.len() >= *COLUMNS.start() && self.only_one(guess).is_some()
            };
            guesses.extend(tries.find(fits_alone));
        }
        guesses
    }

    /// A predicate of so many facts that nobody is needed for: values between the ends, and sides, by
    /// chance.
    fn random(&self, width: usize, rng: &mut ChaCha8Rng) -> Predicate {
        let mut facts: Vec<usize> = (0..self.columns.len()).collect();
        facts.shuffle(rng);
        let mut condition = |fact: usize| {
            let values = self.ascending(fact);
            let (&least, &greatest) = (values.first()?, values.last()?);
            if !self.is_number[fact] {
                let mut levels = values;
                levels.dedup();
                let value = levels[rng.random_range(0..levels.len())];
                return Some(Condition { fact, is: Is::Equal, value });
            }
            let value = least + rng.random::<f64>() * (greatest - least);
            let is = if rng.random() { Is::AtMost } else { Is::AtLeast };
            Some(Condition { fact, is, value })
        };
        facts.into_iter().filter_map(&mut condition).take(width).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(columns: &[&[Option<f64>]], is_number: &[bool]) -> Facts {
        let columns: Vec<Vec<Option<f64>>> = columns.iter().map(|column| column.to_vec()).collect();
        Facts { count: columns[0].len(), columns, is_number: is_number.to_vec() }
    }

    #[test]
    fn a_predicate_singles_out_whom_it_fits_alone() {
        let of = [Some(1.), Some(2.), None, Some(2.)];
        let facts = facts(&[&of, &[Some(5.), Some(6.), Some(7.), Some(8.)]], &[false, true]);
        let condition = |fact, is, value| Condition { fact, is, value };
        for (predicate, expected) in [
            (vec![condition(0, Is::Equal, 1.)], Some(0)),
            (vec![condition(0, Is::Equal, 2.)], None),
            (vec![condition(0, Is::Equal, 2.), condition(1, Is::AtLeast, 7.)], Some(3)),
            (vec![condition(1, Is::AtMost, 4.)], None),
        ] {
            assert_eq!(facts.only_one(&predicate), expected, "{predicate:?}");
        }
    }

    #[test]
    fn guesses_fit_one_of_those_they_are_made_of() {
        let values: Vec<Option<f64>> = (0..40).map(|n| Some(f64::from(n * n))).collect();
        let levels: Vec<Option<f64>> = (0..40).map(|n| Some(f64::from(n % 3))).collect();
        let facts = facts(&[&values, &levels], &[true, false]);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let all: Vec<usize> = (0..40).collect();
        let of_one = facts.of_one_column(&all, &mut rng);
        assert_eq!(of_one.len(), 2 + 40);
        let of_several = facts.of_several_columns(&all, &mut rng);
        // Of each level the ends alone: as great or greater, or as small or smaller.
        assert_eq!(of_several.len(), 6);
        for guess in of_one.iter().chain(&of_several) {
            assert!(facts.only_one(guess).is_some(), "{guess:?}");
        }
        assert_eq!(facts.random(2, &mut rng).len(), 2);
    }
}
