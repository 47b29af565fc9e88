//! A cohort of simulated HIV patients in the columns of the ART-for-HIV table.

use super::model::{Dynamics, Efficacy, State, advance};
use crate::{Error, Result};
use polars_core::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use serde::Deserialize;
use std::path::Path;

/// Parameters that ship with the program.
const SHIPPED: &str = include_str!("../../models/art-for-hiv.model.toml");
/// Patients that are simulated before they are handed on.
const PATIENTS_PER_PART: usize = 2048;
/// Relative error of the solver, far below the noise of measuring.
const TOLERANCE: f64 = 1e-5;

/// The columns, in order.
pub const COLUMNS: [&str; 15] = [
    "PatientID",
    "Timestep",
    "VL",
    "CD4",
    "Rel CD4",
    "Gender",
    "Ethnic",
    "Base Drug Combo",
    "Comp. INI",
    "Comp. NNRTI",
    "Extra PI",
    "Extra pk-En",
    "VL (M)",
    "CD4 (M)",
    "Drug (M)",
];

/// How many codes each column of a regimen has, from "Base Drug Combo" to "Extra pk-En".
pub const CODES: [usize; 5] = [6, 4, 4, 6, 2];

/// What is simulated.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulation {
    /// The disease.
    pub dynamics: Dynamics,
    start: Start,
    patients: Patients,
    therapy: Therapy,
    measurement: Measurement,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    t_1: f64,
    t_2: f64,
    infected_1: f64,
    infected_2: f64,
    virus: f64,
    effectors: f64,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Patients {
    months: usize,
    days_per_month: f64,
    spread: f64,
    start_spread: f64,
    men: f64,
    ethnic_shares: [f64; 4],
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Therapy {
    base: [f64; 6],
    nnrti: [f64; 4],
    ini: [f64; 4],
    pi: [f64; 6],
    booster: f64,
    adherence_low: f64,
    switch_above: f64,
    switch_after_months: usize,
    switch_chance: f64,
    switch_anyway: f64,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Measurement {
    virus_noise: f64,
    cells_noise: f64,
    detection_limit: f64,
    visits: f64,
    cells_at_visit: f64,
    lymphocytes: f64,
    lymphocytes_noise: f64,
}

/// The drugs of a month, as the table codes them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Regimen {
    base: usize,
    ini: usize,
    nnrti: usize,
    pi: usize,
    booster: bool,
}

/// "Not Applied" of INI.
const NO_INI: usize = 3;
/// "Not Applied" of NNRTI.
const NO_NNRTI: usize = 3;
/// "Not Applied" of PI.
const NO_PI: usize = 5;

impl Regimen {
    /// `None` for a code that the table does not have.
    pub(super) fn of_codes(codes: [usize; 5]) -> Option<Self> {
        let is_known = codes.iter().zip(CODES).all(|(code, count)| *code < count);
        let [base, ini, nnrti, pi, booster] = codes;
        is_known.then_some(Self { base, ini, nnrti, pi, booster: booster == 1 })
    }

    pub(super) fn codes(self) -> [usize; 5] {
        let Self { base, ini, nnrti, pi, booster } = self;
        [base, ini, nnrti, pi, usize::from(booster)]
    }

    /// Two bases and one further class, as guidelines combine them.
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        let none = Self { base: 0, ini: NO_INI, nnrti: NO_NNRTI, pi: NO_PI, booster: false };
        let base = rng.random_range(0..6);
        match rng.random_range(0..10) {
            0..4 => Self { base, ini: rng.random_range(0..NO_INI), ..none },
            4..7 => Self { base, nnrti: rng.random_range(0..NO_NNRTI), ..none },
            _ => {
                Self { base, pi: rng.random_range(0..NO_PI), booster: rng.random_bool(0.8), ..none }
            }
        }
    }
}

/// What a patient's month shows.
#[derive(Clone, Debug)]
pub(super) struct Month {
    pub(super) virus: f64,
    pub(super) cells: f64,
    pub(super) relative_cells: f64,
    regimen: Regimen,
    pub(super) virus_measured: bool,
    pub(super) cells_measured: bool,
    pub(super) drug_recorded: bool,
}

struct Patient {
    man: bool,
    ethnic: usize,
    months: Vec<Month>,
}

impl Simulation {
    /// The parameters that ship with the program.
    ///
    /// # Errors
    /// Never: a test reads them.
    pub fn shipped() -> Result<Self> {
        toml::from_str(SHIPPED)
            .map_err(|e| Error::file(Path::new("art-for-hiv.model.toml"), e.message().to_owned()))
    }

    /// Months of each patient.
    pub fn months(&self) -> usize {
        self.patients.months
    }

    /// Days of a month.
    pub fn days_per_month(&self) -> f64 {
        self.patients.days_per_month
    }

    /// The least viral load that is measured, copies/ml; less is reported as this.
    pub fn detection_limit(&self) -> f64 {
        self.measurement.detection_limit
    }

    /// Where patients start, before they vary.
    pub fn start(&self) -> State {
        let Start { t_1, t_2, infected_1, infected_2, virus, effectors } = self.start;
        State::from([t_1, t_2, infected_1, infected_2, virus, effectors])
    }

    pub(super) fn efficacy(&self, regimen: Regimen, adherence: f64) -> Efficacy {
        let Therapy { base, nnrti, ini, pi, booster, .. } = &self.therapy;
        let boosted = if regimen.booster { *booster } else { 0. };
        Efficacy {
            reverse_transcriptase: adherence * (base[regimen.base] + nnrti[regimen.nnrti]),
            protease: adherence * (ini[regimen.ini] + pi[regimen.pi] + boosted),
        }
    }

    /// Patient `n` of the cohort with this seed, before the first month.
    pub(super) fn course(&self, seed: u64, n: u64) -> Course<'_> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(n);
        let Patients { spread, start_spread, men, ethnic_shares, .. } = &self.patients;
        let mut dynamics = self.dynamics.clone();
        for parameter in [
            &mut dynamics.k_1,
            &mut dynamics.k_2,
            &mut dynamics.delta,
            &mut dynamics.c,
            &mut dynamics.b_e,
        ] {
            *parameter = vary(*parameter, *spread, &mut rng);
        }
        let state = self.start().map(|x| vary(x, *start_spread, &mut rng));
        let man = rng.random_bool(*men);
        let mut place = rng.random::<f64>() * ethnic_shares.iter().sum::<f64>();
        let ethnic = ethnic_shares.iter().position(|share| {
            place -= share;
            place < 0.
        });
        let adherence = rng.random_range(self.therapy.adherence_low..1.);
        let lymphocytes =
            vary(self.measurement.lymphocytes, self.measurement.lymphocytes_noise, &mut rng);
        let regimen = Regimen::draw(&mut rng);
        Course {
            simulation: self,
            rng,
            dynamics,
            state,
            man,
            ethnic: ethnic.unwrap_or(3),
            adherence,
            lymphocytes,
            regimen,
            months_on: 0,
            shown: None,
        }
    }

    /// Patient `n` of the cohort with this seed, treated as usual.
    fn patient(&self, seed: u64, n: u64) -> std::result::Result<Patient, String> {
        let mut course = self.course(seed, n);
        let mut months = Vec::with_capacity(self.patients.months);
        for _ in 0..self.patients.months {
            let shown = course.observe();
            let switched = course.treat_as_usual(&shown);
            let drug_recorded = shown.drug_recorded || switched;
            months.push(Month { regimen: course.regimen, drug_recorded, ..shown });
            course.pass_a_month()?;
        }
        Ok(Patient { man: course.man, ethnic: course.ethnic, months })
    }

    /// Patients whose regimens the caller chooses, month by month.
    pub fn trial(&self, patients: usize, seed: u64) -> Trial<'_> {
        let courses = (0..patients).map(|n| self.course(seed, n as u64)).collect();
        Trial { courses, months: 0 }
    }

    /// A cohort of `patients`, by parts: whatever the number of threads, the same seed
    /// gives the same tables.
    pub fn cohort(&self, patients: usize, seed: u64) -> Cohort<'_> {
        Cohort { simulation: self, patients, seed, next: 0 }
    }
}

/// `x` times a log-normal factor.
fn vary(x: f64, deviation: f64, rng: &mut ChaCha8Rng) -> f64 {
    let normal: f64 = StandardNormal.sample(rng);
    x * (deviation * normal).exp()
}

/// A patient on the way through the months.
#[derive(Clone, Debug)]
pub(super) struct Course<'a> {
    simulation: &'a Simulation,
    rng: ChaCha8Rng,
    pub(super) dynamics: Dynamics,
    pub(super) state: State,
    pub(super) man: bool,
    pub(super) ethnic: usize,
    pub(super) adherence: f64,
    lymphocytes: f64,
    pub(super) regimen: Regimen,
    pub(super) months_on: usize,
    shown: Option<Month>,
}

impl Course<'_> {
    /// What the month shows before a regimen is chosen.
    pub(super) fn observe(&mut self) -> Month {
        let measure = &self.simulation.measurement;
        let rng = &mut self.rng;
        let before = self.shown.as_ref();
        let visit = before.is_none() || rng.random_bool(measure.visits);
        let cells_too = before.is_none() || (visit && rng.random_bool(measure.cells_at_visit));
        let virus = vary(self.state[4], measure.virus_noise, rng).max(measure.detection_limit);
        let cells = vary((self.state[0] + self.state[2]) / 1e3, measure.cells_noise, rng);
        // A month without a measurement shows the last one.
        let virus = before.filter(|_| !visit).map_or(virus, |before| before.virus);
        let (cells, relative_cells) = match before.filter(|_| !cells_too) {
            Some(before) => (before.cells, before.relative_cells),
            None => (cells, (100. * cells / self.lymphocytes).min(90.)),
        };
        Month {
            virus,
            cells,
            relative_cells,
            regimen: self.regimen,
            virus_measured: visit,
            cells_measured: cells_too,
            drug_recorded: visit,
        }
    }

    /// Whether the regimen was changed, by the stated policy.
    pub(super) fn treat_as_usual(&mut self, shown: &Month) -> bool {
        let therapy = &self.simulation.therapy;
        let fails = shown.virus_measured
            && self.months_on >= therapy.switch_after_months
            && shown.virus > therapy.switch_above
            && self.rng.random_bool(therapy.switch_chance);
        let first = self.shown.is_none();
        let switched = !first && (fails || self.rng.random_bool(therapy.switch_anyway));
        if switched {
            (self.regimen, self.months_on) = (Regimen::draw(&mut self.rng), 0);
        }
        self.shown = Some(shown.clone());
        switched
    }

    pub(super) fn pass_a_month(&mut self) -> std::result::Result<(), String> {
        let efficacy = self.simulation.efficacy(self.regimen, self.adherence);
        let days = self.simulation.patients.days_per_month;
        self.state = advance(&self.dynamics, efficacy, self.state, days, TOLERANCE)?;
        self.months_on += 1;
        Ok(())
    }
}

/// Patients whose regimens the caller chooses, month by month.
#[derive(Clone, Debug)]
pub struct Trial<'a> {
    courses: Vec<Course<'a>>,
    months: usize,
}

impl Trial<'_> {
    /// What this month shows: a row for each patient.
    ///
    /// # Errors
    /// Only what polars reports.
    pub fn observe(&mut self) -> Result<DataFrame> {
        let patients: Vec<Patient> = self
            .courses
            .iter_mut()
            .map(|course| {
                let month = course.observe();
                course.shown = Some(month.clone());
                Patient { man: course.man, ethnic: course.ethnic, months: vec![month] }
            })
            .collect();
        table(&patients, 0, self.months)
    }

    /// Gives each patient a regimen, and lets a month pass. A regimen is the codes of the
    /// columns from "Base Drug Combo" to "Extra pk-En".
    ///
    /// # Errors
    /// For a code that the table does not have, or another number of regimens than patients.
    pub fn treat(&mut self, regimens: &[[usize; 5]]) -> Result<()> {
        let failed = |problem: String| Error::file(Path::new("art-for-hiv.model.toml"), problem);
        if regimens.len() != self.courses.len() {
            let problem =
                format!("{} regimens for {} patients", regimens.len(), self.courses.len());
            return Err(failed(problem));
        }
        let treated: std::result::Result<(), String> =
            self.courses.par_iter_mut().zip(regimens).try_for_each(|(course, codes)| {
                let regimen = Regimen::of_codes(*codes)
                    .ok_or_else(|| format!("there is no regimen {codes:?}"))?;
                course.regimen = regimen;
                course.pass_a_month()
            });
        self.months += 1;
        treated.map_err(failed)
    }
}

/// A cohort in parts of some thousand patients.
#[derive(Debug)]
pub struct Cohort<'a> {
    simulation: &'a Simulation,
    patients: usize,
    seed: u64,
    next: usize,
}

impl Iterator for Cohort<'_> {
    type Item = Result<DataFrame>;

    fn next(&mut self) -> Option<Self::Item> {
        let numbers = self.next..(self.next + PATIENTS_PER_PART).min(self.patients);
        if numbers.is_empty() {
            return None;
        }
        self.next = numbers.end;
        let first = numbers.start;
        let drawn: std::result::Result<Vec<Patient>, String> =
            numbers.into_par_iter().map(|n| self.simulation.patient(self.seed, n as u64)).collect();
        let failed = |problem: String| Error::file(Path::new("art-for-hiv.model.toml"), problem);
        Some(drawn.map_err(failed).and_then(|patients| table(&patients, first, 0)))
    }
}

/// Two decimals, more than a laboratory reports.
pub(super) fn rounded(x: f64) -> f64 {
    (x * 100.).round() / 100.
}

/// A patient's number, the patient, a month's number and the month.
type Row<'a> = (usize, &'a Patient, usize, &'a Month);

/// Patients as rows, numbered after `first`, from this month on.
fn table(patients: &[Patient], first: usize, from: usize) -> Result<DataFrame> {
    let rows = || {
        patients.iter().enumerate().flat_map(move |(n, patient)| {
            let months = patient.months.iter().enumerate();
            months.map(move |(step, month)| (n + first + 1, patient, from + step, month))
        })
    };
    let height = rows().count();
    let integer = |name: &str, value: &dyn Fn(Row<'_>) -> i64| {
        Series::new(name.into(), rows().map(value).collect::<Vec<_>>()).into_column()
    };
    let real = |name: &str, value: &dyn Fn(&Month) -> f64| {
        let values = rows().map(|(.., month)| rounded(value(month)));
        Series::new(name.into(), values.collect::<Vec<_>>()).into_column()
    };
    let columns = vec![
        integer(COLUMNS[0], &|(n, ..)| n as i64),
        integer(COLUMNS[1], &|(.., step, _)| step as i64),
        real(COLUMNS[2], &|month| month.virus),
        real(COLUMNS[3], &|month| month.cells),
        real(COLUMNS[4], &|month| month.relative_cells),
        integer(COLUMNS[5], &|(_, patient, ..)| if patient.man { 1 } else { 2 }),
        integer(COLUMNS[6], &|(_, patient, ..)| patient.ethnic as i64 + 1),
        integer(COLUMNS[7], &|(.., month)| month.regimen.base as i64),
        integer(COLUMNS[8], &|(.., month)| month.regimen.ini as i64),
        integer(COLUMNS[9], &|(.., month)| month.regimen.nnrti as i64),
        integer(COLUMNS[10], &|(.., month)| month.regimen.pi as i64),
        integer(COLUMNS[11], &|(.., month)| i64::from(month.regimen.booster)),
        integer(COLUMNS[12], &|(.., month)| i64::from(month.virus_measured)),
        integer(COLUMNS[13], &|(.., month)| i64::from(month.cells_measured)),
        integer(COLUMNS[14], &|(.., month)| i64::from(month.drug_recorded)),
    ];
    Ok(DataFrame::new(height, columns)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by tests/golden/hiv_model.py with scipy's LSODA at 1e-12.
    const SCIPY: &str = include_str!("../../../../tests/golden/hiv_model.json");

    #[test]
    fn trajectories_equal_scipys() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let golden: serde_json::Value = serde_json::from_str(SCIPY)?;
        let simulation = Simulation::shipped()?;
        let mut compared = 0;
        for course in golden["courses"].as_array().ok_or("no courses")? {
            let number = |value: &serde_json::Value| value.as_f64().ok_or("no number");
            let efficacy = Efficacy {
                reverse_transcriptase: number(&course["epsilon_1"])?,
                protease: number(&course["epsilon_2"])?,
            };
            let mut state = simulation.start();
            for exact in course["states"].as_array().ok_or("no states")? {
                let days = number(&golden["days"])?;
                state = advance(&simulation.dynamics, efficacy, state, days, 1e-11)?;
                for n in 0..6 {
                    let exact = number(&exact[n])?;
                    assert!(
                        (state[n] - exact).abs() <= 1e-6 * exact.abs(),
                        "{n} {} {exact}",
                        state[n]
                    );
                    compared += 1;
                }
            }
        }
        assert!(compared >= 72);
        Ok(())
    }

    #[test]
    fn the_same_seed_gives_the_same_cohort_on_any_number_of_threads() {
        let simulation = Simulation::shipped().expect("sound");
        let draw = |threads| {
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| simulation.cohort(20, 3).next().expect("a part").expect("a table"))
        };
        let one = draw(1);
        assert!(one.equals(&draw(3)));
        assert_eq!(one.height(), 20 * 60);
        assert_eq!(one.get_column_names(), COLUMNS);
    }

    #[test]
    fn better_drugs_in_a_trial_leave_less_virus() -> Result<()> {
        let simulation = Simulation::shipped()?;
        let last_virus = |codes| -> Result<f64> {
            let mut trial = simulation.trial(50, 2);
            let mut mean = 0.;
            for _ in 0..12 {
                let month = trial.observe()?;
                mean = month.column("VL")?.f64()?.iter().flatten().map(f64::ln).sum::<f64>() / 50.;
                trial.treat(&[codes; 50])?;
            }
            Ok(mean)
        };
        let (alone, together) = (last_virus([5, 3, 3, 5, 0])?, last_virus([2, 0, 3, 5, 0])?);
        assert!(together < alone - 1., "{together} {alone}");
        assert!(simulation.trial(1, 0).treat(&[[6, 0, 0, 0, 0]]).is_err());
        Ok(())
    }

    #[test]
    fn therapy_lowers_the_virus_and_raises_the_cells() {
        let simulation = Simulation::shipped().expect("sound");
        let table = simulation.cohort(100, 1).next().expect("a part").expect("a table");
        let mean = |name: &str, month: i64| {
            let times = table.column("Timestep").expect("times").i64().expect("i64").clone();
            let values = table.column(name).expect("values").f64().expect("f64");
            let here = times.iter().zip(values.iter()).filter(|(time, _)| *time == Some(month));
            here.filter_map(|(_, value)| value.map(f64::ln)).sum::<f64>() / 100.
        };
        assert!(mean("VL", 24) < mean("VL", 0) - 2.);
        assert!(mean("CD4", 24) > mean("CD4", 0) + 0.2);
    }
}
