//! Simulated patients who are stepped month by month without tables, each from the random stream that
//! the cohort's patient of that number has.
//!
//! Every month the usual policy is asked what it would do, whether or not that is done. A patient
//! who always gets what it would do is, to the bit, the patient of [`Simulation::cohort`].

use super::cohort::{CODES, COLUMNS, Course, Month, Regimen, Simulation, rounded};
use super::model::{Dynamics, Efficacy, State};
use crate::{Error, Result};
use rayon::prelude::*;
use std::path::Path;
use std::sync::OnceLock;

/// What a month shows besides the regimen, in order.
pub const OBSERVED: [&str; 8] = [
    COLUMNS[2],
    COLUMNS[3],
    COLUMNS[4],
    COLUMNS[5],
    COLUMNS[6],
    COLUMNS[12],
    COLUMNS[13],
    COLUMNS[14],
];

/// Patients that a thread takes at least; a month of one takes some ten microseconds.
const PATIENTS_PER_THREAD: usize = 4;

/// Places for patients, each of whom goes through the months on their own.
///
/// ```
/// use hg_data::simulate::VectorTrial;
/// # fn main() -> hg_data::Result<()> {
/// let mut trial = VectorTrial::new(2)?;
/// trial.begin(0, 7, 0)?;
/// trial.begin(1, 7, 1)?;
/// let usual = [trial.usual(0), trial.usual(1)];
/// trial.treat(&usual)?;
/// assert_eq!((trial.months(0), trial.observation(0).len()), (1, 8));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct VectorTrial {
    simulation: &'static Simulation,
    /// `None` where nobody has begun.
    places: Vec<Option<Treated>>,
}

/// The hidden state of a patient, and what it follows from.
#[derive(Clone, Debug, PartialEq)]
pub struct PatientState {
    /// The patient's own parameters.
    pub dynamics: Dynamics,
    /// The state of the six equations.
    pub state: State,
    /// The efficacies of what the usual policy would give.
    pub usual: Efficacy,
}

/// A patient with what this month shows.
#[derive(Clone, Debug)]
struct Treated {
    /// Under the regimen that the usual policy would give.
    course: Course<'static>,
    shown: Month,
    /// The regimen of the month before, and how many months it has been given.
    before: (Regimen, usize),
    /// Months that have passed.
    months: usize,
}

impl Treated {
    fn begin(mut course: Course<'static>) -> Self {
        let before = (course.regimen, course.months_on);
        let shown = course.observe();
        course.treat_as_usual(&shown);
        Self { course, shown, before, months: 0 }
    }

    fn treat(&mut self, regimen: Regimen) -> std::result::Result<(), String> {
        let course = &mut self.course;
        if regimen != course.regimen {
            let (before, months_on) = self.before;
            let is_kept = regimen == before;
            (course.regimen, course.months_on) = (regimen, if is_kept { months_on } else { 0 });
        }
        course.pass_a_month()?;
        self.months += 1;

        self.before = (course.regimen, course.months_on);
        self.shown = course.observe();
        course.treat_as_usual(&self.shown);
        Ok(())
    }

    /// The values of [`OBSERVED`].
    fn observation(&self) -> [f64; 8] {
        let Month {
            virus,
            cells,
            relative_cells,
            virus_measured,
            cells_measured,
            drug_recorded,
            ..
        } = self.shown;
        let flag = |is_set: bool| f64::from(u8::from(is_set));
        [
            rounded(virus),
            rounded(cells),
            rounded(relative_cells),
            if self.course.man { 1. } else { 2. },
            self.course.ethnic as f64 + 1.,
            flag(virus_measured),
            flag(cells_measured),
            flag(drug_recorded),
        ]
    }
}

impl Simulation {
    /// The parameters that ship with the program, read once.
    ///
    /// # Errors
    /// Never: a test reads them.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Simulation> = OnceLock::new();
        match SHARED.get() {
            Some(shared) => Ok(shared),
            None => {
                let shipped = Self::shipped()?;
                Ok(SHARED.get_or_init(|| shipped))
            }
        }
    }

    /// The reward of a month that shows this viral load V (copies/ml) and this CD4 count T
    /// (cells/µl):
    ///
    /// ```text
    /// r = −0.7 log₁₀ V + 0.6 log₁₀ T   where V is above the detection limit
    ///     5 + 0.6 log₁₀ T              where it is not
    /// ```
    ///
    /// Parbhoo et al. (AMIA Jt. Summits Transl. Sci. Proc. 2017: 239–248), without the term for
    /// mutations, as Kuo et al. (Sci. Data 9:693, 2022, doi:10.1038/s41597-022-01784-7) have it.
    /// Numbers below 0.01, the table's last digit, count as that.
    pub fn reward(&self, virus: f64, cells: f64) -> f64 {
        let log = |x: f64| x.max(0.01).log10();
        let of_virus = if virus > self.detection_limit() { -0.7 * log(virus) } else { 5. };
        of_virus + 0.6 * log(cells)
    }
}

impl VectorTrial {
    /// So many places, at which nobody has begun.
    ///
    /// # Errors
    /// Never: see [`Simulation::shared`].
    pub fn new(places: usize) -> Result<Self> {
        Ok(Self { simulation: Simulation::shared()?, places: vec![None; places] })
    }

    /// How many places there are.
    pub fn places(&self) -> usize {
        self.places.len()
    }

    /// Lets patient `n` (from 0) of the cohort with this seed begin at a place.
    ///
    /// # Errors
    /// Where there is no such place.
    pub fn begin(&mut self, place: usize, seed: u64, n: u64) -> Result<()> {
        let count = self.places.len();
        let wrong = || Error::table("trial", format!("there is no place {place} of {count}"));
        let at = self.places.get_mut(place).ok_or_else(wrong)?;
        *at = Some(Treated::begin(self.simulation.course(seed, n)));
        Ok(())
    }

    /// What this month shows of the patient at a place: the values of [`OBSERVED`], as the table has
    /// them, but that "Drug (M)" does not know yet whether the regimen changes; NaN where nobody has
    /// begun.
    pub fn observation(&self, place: usize) -> [f64; 8] {
        self.at(place).map_or([f64::NAN; 8], Treated::observation)
    }

    /// What the usual policy would give the patient at a place this month.
    pub fn usual(&self, place: usize) -> Option<[i64; 5]> {
        self.at(place).map(|treated| treated.course.regimen.codes().map(|code| code as i64))
    }

    /// Months that have passed at a place.
    pub fn months(&self, place: usize) -> usize {
        self.at(place).map_or(0, |treated| treated.months)
    }

    /// The patient at a place, as no physician sees them; `None` where nobody has begun.
    pub fn state(&self, place: usize) -> Option<PatientState> {
        let course = &self.at(place)?.course;
        let usual = self.simulation.efficacy(course.regimen, course.adherence);
        Some(PatientState { dynamics: course.dynamics.clone(), state: course.state, usual })
    }

    fn at(&self, place: usize) -> Option<&Treated> {
        self.places.get(place)?.as_ref()
    }

    /// Gives the patient at each place a regimen, and lets a month pass there; at a place without a
    /// regimen none passes. A regimen is the codes of the columns from "Base Drug Combo" to
    /// "Extra pk-En". Nothing happens to anybody where there is an error.
    ///
    /// # Errors
    /// For a code that the table does not have, a place at which nobody has begun, and another
    /// number of regimens than places.
    pub fn treat(&mut self, regimens: &[Option<[i64; 5]>]) -> Result<()> {
        let regimens = self.checked(regimens)?;
        let treat =
            |(place, regimen): (&mut Option<Treated>, Option<Regimen>)| match (place, regimen) {
                (Some(treated), Some(regimen)) => treated.treat(regimen),
                _ => Ok(()),
            };
        let treated = match regimens.len() {
            // Waking a thread takes as long as a month.
            ..=PATIENTS_PER_THREAD => self.places.iter_mut().zip(regimens).try_for_each(treat),
            _ => {
                let places = self.places.par_iter_mut().zip(regimens);
                places.with_min_len(PATIENTS_PER_THREAD).try_for_each(treat)
            }
        };
        treated.map_err(|problem| Error::file(Path::new("art-for-hiv.model.toml"), problem))
    }

    fn checked(&self, regimens: &[Option<[i64; 5]>]) -> Result<Vec<Option<Regimen>>> {
        if regimens.len() != self.places.len() {
            let problem = format!("{} came for {} patients", regimens.len(), self.places.len());
            return Err(Error::table("actions", problem));
        }
        let of_place = |(place, codes): (usize, &Option<[i64; 5]>)| {
            let Some(codes) = *codes else { return Ok(None) };
            if self.at(place).is_none() {
                let problem = format!("nobody has begun at place {place}\nhint: reset it first");
                return Err(Error::table("actions", problem));
            }
            // No column has as many codes as a negative one becomes.
            let known = Regimen::of_codes(codes.map(|code| code.try_into().unwrap_or(usize::MAX)));
            known.map(Some).ok_or_else(|| unknown_code(place, codes))
        };
        regimens.iter().enumerate().map(of_place).collect()
    }
}

/// What is said of a regimen that the table does not have.
fn unknown_code(place: usize, codes: [i64; 5]) -> Error {
    let mut columns = COLUMNS[7..12].iter().zip(codes).zip(CODES);
    let wrong = columns.find(|((_, code), count)| !(0..*count as i64).contains(code));
    let Some(((column, code), count)) = wrong else {
        return Error::table("actions", format!("there is no regimen {codes:?}"));
    };
    let problem =
        format!("patient {place} would get {code}\nhint: its codes are 0 to {}", count - 1);
    Error::column("actions", column, problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars_core::prelude::DataFrame;

    /// A cohort's cell.
    fn cell(table: &DataFrame, name: &str, row: usize) -> Result<f64> {
        Ok(table.column(name)?.get(row)?.try_extract()?)
    }

    #[test]
    fn patients_treated_as_usual_are_the_cohorts() -> Result<()> {
        let simulation = Simulation::shared()?;
        let table = simulation.cohort(6, 3).next().expect("a part")?;
        let mut trial = VectorTrial::new(6)?;
        (0..6).try_for_each(|place| trial.begin(place, 3, place as u64))?;
        let mut changes = 0.;
        for month in 0..simulation.months() {
            let usual: Vec<_> = (0..6).map(|place| trial.usual(place)).collect();
            for (place, usual) in usual.iter().enumerate() {
                let row = place * simulation.months() + month;
                for (name, value) in OBSERVED[..7].iter().zip(trial.observation(place)) {
                    assert_eq!(value, cell(&table, name, row)?, "{name}, {place}, {month}");
                }
                for (name, code) in COLUMNS[7..12].iter().zip(usual.expect("begun")) {
                    assert_eq!(code as f64, cell(&table, name, row)?, "{name}, {place}, {month}");
                }
                let is_recorded = cell(&table, OBSERVED[7], row)?;
                assert!(trial.observation(place)[7] <= is_recorded);
                changes += is_recorded - trial.observation(place)[7];
            }
            trial.treat(&usual)?;
        }
        assert!(changes < 10., "only a change without a visit is not known yet: {changes}");
        Ok(())
    }

    #[test]
    fn other_treatment_changes_what_is_shown_and_begins_anew_alike() -> Result<()> {
        let shown = |codes: [i64; 5]| -> Result<Vec<[f64; 8]>> {
            let mut trial = VectorTrial::new(2)?;
            trial.begin(1, 5, 9)?;
            let mut shown = vec![trial.observation(1)];
            for _ in 0..12 {
                trial.treat(&[None, Some(codes)])?;
                shown.push(trial.observation(1));
            }
            assert_eq!((trial.months(0), trial.months(1)), (0, 12));
            Ok(shown)
        };
        let (weak, strong) = (shown([5, 3, 3, 5, 0])?, shown([2, 0, 3, 5, 0])?);
        assert_eq!(weak[0], strong[0]);
        assert!(weak[12][0] > 3. * strong[12][0], "{} {}", weak[12][0], strong[12][0]);
        assert_eq!(weak, shown([5, 3, 3, 5, 0])?);
        Ok(())
    }

    #[test]
    fn who_does_not_change_as_usual_stays_on_the_regimen() -> Result<()> {
        let mut treated = Treated::begin(Simulation::shared()?.course(1, 1));
        let before = treated.before.0;
        let other = Regimen::of_codes([(before.codes()[0] + 1) % 6, 0, 3, 5, 0]).expect("known");
        // The usual policy would change the regimen after seven months, and the caller does not.
        treated.before.1 = 7;
        (treated.course.regimen, treated.course.months_on) = (other, 0);
        treated.treat(before).expect("solved");
        assert_eq!(treated.before, (before, 8));
        treated.treat(other).expect("solved");
        assert_eq!(treated.before, (other, 1));
        Ok(())
    }

    #[test]
    fn what_no_patient_can_get_is_refused_before_anybody_is_treated() -> Result<()> {
        let mut trial = VectorTrial::new(2)?;
        trial.begin(0, 0, 0)?;
        let problem = |trial: &mut VectorTrial, regimens: &[Option<[i64; 5]>]| {
            trial.treat(regimens).expect_err("refused").to_string()
        };
        let fine = Some([0, 0, 0, 0, 0]);
        assert_eq!(
            problem(&mut trial, &[Some([0, 0, 0, 6, 0]), None]),
            "actions, column `Extra PI`: patient 0 would get 6\nhint: its codes are 0 to 5"
        );
        assert!(problem(&mut trial, &[Some([0, 0, -1, 0, 0]), None]).contains("would get -1"));
        assert!(problem(&mut trial, &[fine, fine]).contains("nobody has begun at place 1"));
        assert!(problem(&mut trial, &[fine]).contains("1 came for 2"));
        assert_eq!(trial.months(0), 0);
        assert!(trial.begin(2, 0, 0).is_err());
        Ok(())
    }

    #[test]
    fn the_reward_is_parbhoos() -> Result<()> {
        let simulation = Simulation::shared()?;
        assert!((simulation.reward(1e4, 1e2) - (-2.8 + 1.2)).abs() < 1e-12);
        assert!((simulation.reward(20., 1e3) - 6.8).abs() < 1e-12);
        assert!((simulation.reward(20.01, 1e3) - (1.8 - 0.7 * 20.01f64.log10())).abs() < 1e-12);
        assert!(simulation.reward(20., 0.).is_finite());
        Ok(())
    }
}
