//! Identity disclosure: the risk that a real patient is found by a synthetic one, and that
//! something is learnt then (El Emam, Mosquera & Bass, *J. Med. Internet Res.* 22(11):e23139,
//! 2020):
//!
//! ```text
//! population to sample  1/N Σₛ Iₛ Rₛ / fₛ     an attacker looks for a person whom they know
//! sample to population  1/n Σₛ Iₛ Rₛ / Fₛ     an attacker asks who a record is
//! ```
//!
//! over the n real patients s of a population of N: fₛ and Fₛ are the patients and the people
//! with the quasi-identifiers of s, Iₛ whether a synthetic patient has them too, and Rₛ whether
//! it tells something: at least 5 % of the sensitive attributes, right, and no more than half of
//! the patients' level. What we settled on where the paper leaves it open: numbers among the
//! quasi-identifiers are equal in the same tenth of the real patients; of several synthetic
//! patients with the same quasi-identifiers, any one may be taken, so Rₛ is their mean; nothing
//! is taken off for errors in the data (λ = 1).

use super::patients::Patients;
use super::sensitive_attributes::{NO_ATTRIBUTE, SensitiveAttributes};
use crate::judge::MIN_PATIENTS;
use crate::{Answer, Figure, FigureValue, Finding, Measure, Outcome, Result, Subject, Topic};
use hg_data::{Kind, Schema};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::HashMap;

/// Regulators' limit of the identity disclosure risk (European Medicines Agency; Health Canada).
pub const IDENTIFICATION_LIMIT: f64 = 0.09;
/// The share of the sensitive attributes from which on something was learnt.
const LEARNT: f64 = 0.05;

/// The risk that a patient is identified, from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Identification {
    /// The names of the columns that an attacker knows.
    #[serde(rename = "known")]
    pub quasi_identifiers: Vec<String>,
    /// The risk of a person of the population.
    pub population_to_sample: f64,
    /// The risk of a record.
    pub sample_to_population: f64,
}

impl Identification {
    /// The greater of both risks.
    pub fn risk(&self) -> f64 {
        self.population_to_sample.max(self.sample_to_population)
    }
}

pub(crate) struct IdentityDisclosure;

impl Measure for IdentityDisclosure {
    fn id(&self) -> &'static str {
        "identification"
    }

    fn topic(&self) -> Topic {
        Topic::Privacy
    }

    fn stage(&self) -> &'static str {
        "identity disclosure"
    }

    fn about(&self) -> &'static str {
        "The risk that a real patient is found by a synthetic one with the same quasi-identifiers \
         (numbers in the same tenth), and that something is learnt then: at least 5 % of the \
         other columns guessed right, and not the level that most patients have (El Emam, \
         Mosquera & Bass 2020, [doi:10.2196/23139](https://doi.org/10.2196/23139)). Population to \
         sample is the risk of a person whom an attacker knows, sample to population that of a \
         record; both in [0, 1]. The schema's `patient.population` is the size of the population; \
         people beyond the table are taken to be like those in it. Both up to 9 %, the limit of \
         the European Medicines Agency and Health Canada, pass."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let found = identification(subject);
        let question = "Is it unlikely that a patient is found, and something learnt of them?";
        let finding = Finding::new()
            .with_answer(Answer::new("identified", question, judge(subject, found.as_ref())))
            .with_json("identification", &found)?;
        let Some(found) = found else { return Ok(finding) };
        let names = found.quasi_identifiers.join(", ");
        let figure = |who: &str, share: f64| {
            let name = format!("identified by {names}: {who}");
            Figure::new(name, FigureValue::Percent { share, decimals: 2 })
        };
        Ok(finding
            .with_figure(figure("a person", found.population_to_sample))
            .with_figure(figure("a record", found.sample_to_population))
            .with_detail(found))
    }
}

fn judge(subject: &Subject<'_>, found: Option<&Identification>) -> Outcome {
    let found = found.ok_or(NO_ATTRIBUTE)?;
    subject.patients().at_least(MIN_PATIENTS)?;
    let said = format!(
        "by {}: {:.1} % of people and {:.1} % of records (the regulators' limit is {} %)",
        found.quasi_identifiers.join(", "),
        100. * found.population_to_sample,
        100. * found.sample_to_population,
        100. * IDENTIFICATION_LIMIT
    );
    Ok((found.risk() <= IDENTIFICATION_LIMIT, said))
}

/// The quasi-identifiers of a patient, in classes.
type Class = Vec<i64>;

/// `None` where the schema has no quasi-identifier, or nothing else to learn.
fn identification(subject: &Subject<'_>) -> Option<Identification> {
    let schema = &subject.encoder.schema;
    let [real, synthetic] =
        [subject.real, subject.synthetic].map(|cohort| Patients::new(schema, &cohort.observed));
    let others = subject.held_out.map(|cohort| Patients::new(schema, &cohort.observed));
    let attributes = SensitiveAttributes::new(schema, &real, &synthetic)?;

    // How many have the same quasi-identifiers.
    let classes = Classes::new(schema, &attributes.quasi_identifiers, &real);
    let [of_real, of_synthetic] = [&real, &synthetic].map(|side| classes.of(side));
    let of_others = others.map(|others| classes.of(&others)).unwrap_or_default();
    let mut in_sample: HashMap<&Class, f64> = HashMap::new();
    of_real.iter().for_each(|class| *in_sample.entry(class).or_default() += 1.);
    let mut in_table = in_sample.clone();
    of_others.iter().for_each(|class| *in_table.entry(class).or_default() += 1.);
    let mut alike: HashMap<&Class, Vec<usize>> = HashMap::new();
    of_synthetic.iter().enumerate().for_each(|(n, class)| alike.entry(class).or_default().push(n));

    // People beyond the table are taken to be like those in it.
    let sample = real.count as f64;
    let table = sample + of_others.len() as f64;
    let population = schema.patient.population.map_or(table, |people| (people as f64).max(table));

    // Each patient's share of both risks.
    let risks: Vec<(f64, f64)> = of_real
        .par_iter()
        .enumerate()
        .map(|(patient, class)| {
            let Some(found) = alike.get(class) else { return (0., 0.) };
            let tells =
                |&&other: &&usize| learns(&attributes, (&real, patient), (&synthetic, other));
            let told = found.iter().filter(tells).count() as f64 / found.len() as f64;
            (told / in_sample[class], told / (in_table[class] * population / table))
        })
        .collect();
    let names = attributes.quasi_identifiers.iter().map(|&n| schema.columns[n].name.clone());
    Some(Identification {
        quasi_identifiers: names.collect(),
        population_to_sample: risks.iter().map(|(of_sample, _)| of_sample).sum::<f64>()
            / population,
        sample_to_population: risks.iter().map(|(_, of_people)| of_people).sum::<f64>() / sample,
    })
}

/// Whether a synthetic patient tells something of a real one: at least [`LEARNT`] of the
/// sensitive attributes.
fn learns(
    attributes: &SensitiveAttributes,
    (real, patient): (&Patients, usize),
    (synthetic, other): (&Patients, usize),
) -> bool {
    let (mut told, mut all) = (0., 0.);
    for attribute in &attributes.attributes {
        if let Some(truth) = real.columns[attribute.column][patient] {
            all += 1.;
            let guess = synthetic.columns[attribute.column][other];
            told += f64::from(u8::from(guess.is_some_and(|guess| attribute.tells(guess, truth))));
        }
    }
    told > 0. && told >= LEARNT * all
}

/// How quasi-identifiers fall into classes.
struct Classes<'a> {
    quasi_identifiers: &'a [usize],
    /// Where the tenths of each begin; none for levels.
    cuts: Vec<Vec<f64>>,
}

impl<'a> Classes<'a> {
    fn new(schema: &Schema, quasi_identifiers: &'a [usize], real: &Patients) -> Self {
        let cuts = quasi_identifiers.iter().map(|&n| tenths(schema, n, &real.columns[n]));
        Self { quasi_identifiers, cuts: cuts.collect() }
    }

    /// The class of each patient.
    fn of(&self, patients: &Patients) -> Vec<Class> {
        let class = |patient: usize| -> Class {
            let of = |(&n, cuts): (&usize, &Vec<f64>)| match patients.columns[n][patient] {
                None => -1,
                Some(value) if cuts.is_empty() => value as i64,
                Some(value) => cuts.partition_point(|&cut| cut <= value) as i64,
            };
            self.quasi_identifiers.iter().zip(&self.cuts).map(of).collect()
        };
        (0..patients.count).map(class).collect()
    }
}

/// Where the tenths of a number's values begin; none for levels.
fn tenths(schema: &Schema, column: usize, cells: &[Option<f64>]) -> Vec<f64> {
    if schema.columns[column].kind != Kind::Numeric {
        return Vec::new();
    }
    let mut values: Vec<f64> = cells.iter().flatten().copied().collect();
    values.sort_by(f64::total_cmp);
    (1..10).filter_map(|n| values.get(n * values.len() / 10).copied()).collect()
}
