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
//!
//! Neither sum asks whether a match comes from the patient. Of n synthetic patients one has the
//! quasi-identifiers of s with the probability 1 − (1 − p)ⁿ, where p is the share of people who have
//! them, whether s was trained on or not; and who knows many quasi-identifiers sees hardly two patients
//! with the same (fₛ = 1), of whom nearly any match tells one of many other columns right. So with all
//! static columns known, a cohort drawn from the same people without any regard to these patients
//! «finds» a third of them. The sums are therefore taken for held-out patients too, each as though they
//! had been in the table in the place of one that was (fₛ = 1 + those trained on who are like them).
//! What these are at is what statistics of the cohort tell of anybody; what those trained on are at beyond
//! it leaked, and that has the verdict. The regulators' limit is stated beside it: it is made for
//! few quasi-identifiers that people know, and without held-out patients a risk up to it passes, as no more
//! than the risk can have leaked.

use super::classes::{Class, Classes, sizes};
use super::patients::Patients;
use super::risk::{Risk, TRAINED_ON};
use super::sensitive_attributes::{NO_ATTRIBUTE, SensitiveAttributes};
use crate::judge::MIN_PATIENTS;
use crate::statistics::mean;
use crate::{Answer, Figure, FigureValue, Finding, Measure, Outcome, Result, Subject, Topic};
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
    /// The same of held-out patients, each as though they had been in the table; `None` where none
    /// were held out.
    pub held_out_population_to_sample: Option<f64>,
    /// Of records.
    pub held_out_sample_to_population: Option<f64>,
    /// How much more often a patient who was trained on is found in their table, and something learnt,
    /// than one who was not.
    pub beyond: Option<Risk>,
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
         people beyond the table are taken to be like those in it. Whoever knows many columns \
         finds a match by chance, for anybody; so the same risks are computed for held-out patients, \
         each as though they had been in the table, and the verdict is on what is beyond them: \
         (a − c) / (1 − c), a and c being how often, on average, a patient trained on or held out is \
         found among those trained on, and something learnt (Giomi et al. 2023, \
         [doi:10.56553/popets-2023-0055](https://doi.org/10.56553/popets-2023-0055)), with a 95 % \
         interval (Wilson 1927, Newcombe 1998). It passes where 0 is inside the interval or above it. The \
         limit of the European Medicines Agency and Health Canada, 9 %, is stated beside it; without \
         enough held-out patients, risks up to it pass, and beyond it the question is open."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let found = identification(subject);
        let question = "Is it unlikely that a patient is found, and something learnt of them?";
        let finding = Finding::new()
            .with_answer(Answer::new("identified", question, judge(subject, found.as_ref())))
            .with_json("identification", &found)?;
        let Some(found) = found else { return Ok(finding) };
        let names = found.quasi_identifiers.join(", ");
        let figure = |who: &str, share: f64, others: Option<f64>| {
            let percent = |share| FigureValue::Percent { share, decimals: 2 };
            let name = format!("identified by {names}: {who}").into();
            Figure { name, synthetic: Some(percent(share)), held_out: others.map(percent) }
        };
        let (person, record) = (found.population_to_sample, found.sample_to_population);
        let beyond = found.beyond.map(|beyond| {
            Figure::new(format!("identified by {names}: risk beyond others"), beyond)
        });
        Ok(finding
            .with_figure(figure("a person", person, found.held_out_population_to_sample))
            .with_figure(figure("a record", record, found.held_out_sample_to_population))
            .with_figures(beyond)
            .with_detail(found))
    }
}

fn judge(subject: &Subject<'_>, found: Option<&Identification>) -> Outcome {
    let found = found.ok_or(NO_ATTRIBUTE)?;
    let counts = subject.patients();
    counts.at_least(MIN_PATIENTS)?;
    let is_within = found.risk() <= IDENTIFICATION_LIMIT;
    let risks = format!(
        "by {}: {:.1} % of people and {:.1} % of records",
        found.quasi_identifiers.join(", "),
        100. * found.population_to_sample,
        100. * found.sample_to_population,
    );
    let limit = format!("the regulators' limit is {} %", 100. * IDENTIFICATION_LIMIT);
    match (counts.held_out_at_least(MIN_PATIENTS), found.beyond) {
        (Ok(()), Some(beyond)) => Ok((
            beyond.is_none(),
            format!(
                "{risks} ({limit}); in the table are found {}; passes where 0 is inside or above",
                beyond.says(TRAINED_ON)
            ),
        )),
        _ if is_within => Ok((true, format!("{risks} ({limit})"))),
        (Ok(()), None) => Err(format!("{risks} ({limit}), and everybody held out is found too")),
        (Err(few), _) => Err(format!(
            "{risks} ({limit}), and how many of others would be found is not known: {few}"
        )),
    }
}

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
    let of_others = others.as_ref().map(|others| classes.of(others)).unwrap_or_default();
    let (in_sample, held_out) = (sizes(&of_real), sizes(&of_others));
    let mut alike: HashMap<&Class, Vec<usize>> = HashMap::new();
    of_synthetic.iter().enumerate().for_each(|(n, class)| alike.entry(class).or_default().push(n));

    // People beyond the table are taken to be like those in it.
    let sample = real.count as f64;
    let table = sample + of_others.len() as f64;
    let population = schema.patient.population.map_or(table, |people| (people as f64).max(table));

    // Each patient's share of both risks; of one held out as though they were in the sample.
    let risks = |side: &Patients, of_side: &[Class], is_held_out: bool| -> Vec<(f64, f64)> {
        let risk = |(patient, class): (usize, &Class)| {
            let Some(found) = alike.get(class) else { return (0., 0.) };
            let tells =
                |&&other: &&usize| learns(&attributes, (side, patient), (&synthetic, other));
            let told = found.iter().filter(tells).count() as f64 / found.len() as f64;
            let count = |sizes: &HashMap<&Class, usize>| sizes.get(class).copied().unwrap_or(0);
            let in_members = count(&in_sample);
            let in_sample = (in_members + usize::from(is_held_out)) as f64;
            let in_table = (in_members + count(&held_out)) as f64;
            (told / in_sample, told / (in_table * population / table))
        };
        of_side.par_iter().enumerate().map(risk).collect()
    };
    let of_real = risks(&real, &of_real, false);
    let of_others = others.as_ref().map(|others| risks(others, &of_others, true));

    let found = |risks: &[(f64, f64)]| risks.iter().map(|(found, _)| *found).collect::<Vec<f64>>();
    let rates = |risks: &[(f64, f64)]| {
        let mean = |of: fn(&(f64, f64)) -> f64| mean(risks.iter().map(of));
        Some((sample / population * mean(|risk| risk.0)?, mean(|risk| risk.1)?))
    };
    let (population_to_sample, sample_to_population) = rates(&of_real).unwrap_or_default();
    let of_held_out = of_others.as_deref().and_then(rates);
    let names = attributes.quasi_identifiers.iter().map(|&n| schema.columns[n].name.clone());
    Some(Identification {
        quasi_identifiers: names.collect(),
        population_to_sample,
        sample_to_population,
        held_out_population_to_sample: of_held_out.map(|(person, _)| person),
        held_out_sample_to_population: of_held_out.map(|(_, record)| record),
        beyond: of_others.and_then(|others| Risk::new(&found(&of_real), &found(&others))),
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
