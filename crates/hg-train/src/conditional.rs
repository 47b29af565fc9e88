//! Synthetic cohorts whose patients have what is asked of them: the generator makes patients until every
//! place has candidates who have it, each for one place, and the resampler chooses among them.

use crate::random::{Purpose, stream};
use crate::synthesis::{MADE_IN_PART, PLACES, Sampler, Source, draw_lengths};
use crate::{Error, Result};
use hg_data::{Cells, DataFrame, Given, MetConditions, Place, Shares, WantedStatics};
use hg_judge::CANDIDATES;
use rand::seq::SliceRandom;
use std::collections::BTreeMap;
use std::ops::Range;

/// Places that are filled at once.
const FILLED_AT_ONCE: usize = 10 * PLACES;
/// Parts that the noise of so many places may have: more than are ever made.
const PARTS_OF_GROUP: u64 = 1 << 32;
/// Patients that are made for each place, at most.
const MADE_FOR_EACH: usize = 1000;
/// Patients that are made at least before it is said that nobody has what is asked.
const LEAST_MADE: usize = 20_000;
/// About so many rows of them where statics are wanted: several numbers together are rarer than
/// conditions.
const LEAST_ROWS: f64 = 1_200_000.;
/// Patients who meet a condition, and who do not, by whom it is known how conditions go together.
const KNOWN_BY: usize = 200;

/// What is asked of the patients of a cohort, by their places in it.
trait Asked {
    /// How many patients are asked for.
    fn patients(&self) -> usize;

    /// For each of some patients, the places of a range that they may take.
    fn places(&self, made: &Cells, among: Range<usize>) -> Vec<Vec<Place>>;

    /// Gives patients who may take a place what they have not of themselves.
    fn give(&self, made: &mut Cells, place: usize);

    /// What is asked at some places, for messages.
    fn named(&self, places: &[usize]) -> String;
}

/// The statics of a table, by whose rows patients are placed.
struct Like<'a> {
    wanted: &'a WantedStatics,
    /// The spreads of the generator's patients.
    spreads: Vec<f64>,
}

impl Asked for Like<'_> {
    fn patients(&self) -> usize {
        self.wanted.patients()
    }

    fn places(&self, made: &Cells, among: Range<usize>) -> Vec<Vec<Place>> {
        self.wanted.places(made, among, &self.spreads)
    }

    fn give(&self, made: &mut Cells, place: usize) {
        self.wanted.give(made, place);
    }

    fn named(&self, places: &[usize]) -> String {
        self.wanted.named(places)
    }
}

/// Conditions that all meet, and others of which it is said at each place whether they are met there.
struct Conditions<'a> {
    given: &'a Given,
    shares: &'a Shares,
    places: Vec<MetConditions>,
}

impl Asked for Conditions<'_> {
    fn patients(&self) -> usize {
        self.places.len()
    }

    fn places(&self, made: &Cells, among: Range<usize>) -> Vec<Vec<Place>> {
        let of_patient = |(met, is_given): (MetConditions, bool)| {
            let fits = |row: &usize| is_given && self.places[*row] == met;
            among.clone().filter(fits).map(|row| Place { row, distance: 0. }).collect()
        };
        self.shares.met(made).into_iter().zip(self.given.met(made)).map(of_patient).collect()
    }

    fn give(&self, _: &mut Cells, _: usize) {}

    fn named(&self, _: &[usize]) -> String {
        match (self.given.is_empty(), self.shares.is_empty()) {
            (_, true) => self.given.to_string(),
            (true, false) => format!("what one of the shares needs ({})", self.shares),
            (false, false) => {
                format!("{} and what one of the shares needs ({})", self.given, self.shares)
            }
        }
    }
}

/// Some places that are filled together, and the candidates for them.
struct Filling {
    places: Range<usize>,
    held: Cells,
    /// Which of these are for each place.
    of_place: Vec<Vec<usize>>,
    /// How many patients could have taken each place.
    fitting: Vec<usize>,
    /// Candidates for a place, at most.
    most: usize,
}

impl Filling {
    fn new(places: Range<usize>, most: usize) -> Self {
        let count = places.len();
        Self {
            places,
            held: Cells::default(),
            of_place: vec![Vec::new(); count],
            fitting: vec![0; count],
            most,
        }
    }

    /// Gives each patient to the place that has the fewest candidates of those that they may take; of
    /// several to the nearest.
    fn take(&mut self, made: &Cells, may_take: &[Vec<Place>]) {
        let mut taken = Vec::new();
        for (patient, places) in may_take.iter().enumerate() {
            let mut best: Option<(usize, f64, usize)> = None;
            for place in places {
                let at = place.row - self.places.start;
                self.fitting[at] += 1;
                let next = (self.of_place[at].len(), place.distance, at);
                if next.0 < self.most && best.is_none_or(|best| (next.0, next.1) < (best.0, best.1))
                {
                    best = Some(next);
                }
            }
            if let Some((.., at)) = best {
                self.of_place[at].push(self.held.patients() + taken.len());
                taken.push(patient);
            }
        }
        self.held.add(made, &taken);
    }

    /// Places without a candidate.
    fn empty(&self) -> Vec<usize> {
        let of_place = self.of_place.iter().enumerate();
        of_place.filter(|(_, held)| held.is_empty()).map(|(at, _)| at).collect()
    }

    /// Whether `made` patients were enough, be it to know, from `least` on, that more would be of no use.
    fn is_done(&self, made: usize, least: usize) -> bool {
        let is_full = self.of_place.iter().all(|held| held.len() == self.most);
        let is_hopeless = made >= least && self.fitting.contains(&0);
        is_full || is_hopeless || made >= least.max(MADE_FOR_EACH * self.places.len())
    }
}

impl Sampler {
    /// A cohort of so many patients who meet all of the conditions. With it goes how many were made. The
    /// same seed gives the same cohort. `observe` is told now and then how many patients there are.
    ///
    /// # Errors
    /// [`Error::Rare`] where too few meet them; when `patients` is 0.
    pub fn sample_given(
        &self,
        patients: usize,
        seed: u64,
        given: &Given,
        observe: &mut dyn FnMut(usize),
    ) -> Result<(DataFrame, usize)> {
        self.sample_shares(patients, seed, (given, &Shares::default()), observe)
    }

    /// A cohort of so many patients who meet all of the given conditions, and of whom exactly such shares
    /// (rounded to patients) meet others; how these go together stays as the generator has it. With it
    /// goes how many were made. The same seed gives the same cohort. `observe` is told now and then how
    /// many patients there are.
    ///
    /// # Errors
    /// [`Error::Rare`] where too few meet the conditions, [`Error::Config`] where the shares contradict
    /// each other and when `patients` is 0.
    pub fn sample_shares(
        &self,
        patients: usize,
        seed: u64,
        (given, shares): (&Given, &Shares),
        observe: &mut dyn FnMut(usize),
    ) -> Result<(DataFrame, usize)> {
        self.places(patients)?;
        let mut places = vec![0; patients];
        if !shares.is_empty() {
            let kinds = self.kinds(seed, given, shares, patients)?;
            let kinds = kinds.into_iter();
            places = kinds.flat_map(|(met, count)| vec![met; count]).collect();
            places.shuffle(&mut stream(seed, Purpose::Places, 0));
        }
        self.fill(&Conditions { given, shares, places }, LEAST_MADE, seed, observe)
    }

    /// A cohort with the statics of a table, row by row. With it goes how many were made. The same seed
    /// gives the same cohort. `observe` is told now and then how many patients there are.
    ///
    /// # Errors
    /// [`Error::Rare`] with the rows that no patient of the generator could be found for.
    pub fn sample_like(
        &self,
        wanted: &WantedStatics,
        seed: u64,
        observe: &mut dyn FnMut(usize),
    ) -> Result<(DataFrame, usize)> {
        let spreads = wanted.spreads(&self.part(seed, 0)?);
        let least = self.patients_of(LEAST_ROWS).max(LEAST_MADE);
        self.fill(&Like { wanted, spreads }, least, seed, observe)
    }

    /// How many of a cohort's patients shall meet which conditions, as the generator's go together.
    fn kinds(
        &self,
        seed: u64,
        given: &Given,
        shares: &Shares,
        patients: usize,
    ) -> Result<Vec<(MetConditions, usize)>> {
        let counts = shares.counts(patients);
        let (mut kinds, mut made): (BTreeMap<MetConditions, usize>, usize) = Default::default();
        let is_known = |kinds: &BTreeMap<MetConditions, usize>| {
            let meet = |n: usize, meets: bool| -> usize {
                let kinds = kinds.iter().filter(|(met, _)| (**met >> n & 1 == 1) == meets);
                kinds.map(|(_, count)| count).sum()
            };
            counts.iter().enumerate().all(|(n, &count)| {
                (count == 0 || meet(n, true) >= KNOWN_BY)
                    && (count == patients || meet(n, false) >= KNOWN_BY)
            })
        };
        for part in 0.. {
            let next = self.part(seed, part)?;
            made += next.patients();
            let met = shares.met(&next).into_iter().zip(given.met(&next));
            for (met, _) in met.filter(|(_, is_given)| *is_given) {
                *kinds.entry(met).or_default() += 1;
            }
            if is_known(&kinds) || made >= LEAST_MADE {
                break;
            }
        }
        if let Some(unmet) = shares.unmet(&kinds, patients) {
            let and = if given.is_empty() { String::new() } else { format!("{given} and ") };
            return Err(Error::Rare { given: format!("{and}{unmet}"), found: 0, made });
        }
        shares.allocate(&kinds, patients).ok_or_else(|| {
            let problem = format!(
                "no {patients} patients have these shares, of conditions as they go together: {shares}\n\
                 hint: of levels of one column, the shares add up to 1 at most, and one may be left out"
            );
            Error::Config(problem)
        })
    }

    /// Makes patients until all places of the shard are filled, `least` at least before it gives up. The
    /// places of a group are filled together, with noise of their own, so that a group needs no other one;
    /// a shard that has some of them fills all.
    fn fill(
        &self,
        asked: &dyn Asked,
        least: usize,
        seed: u64,
        observe: &mut dyn FnMut(usize),
    ) -> Result<(DataFrame, usize)> {
        let most = if self.chooses() { CANDIDATES } else { 1 };
        let (mut found, mut all) = (Cells::default(), 0);
        let patients = asked.patients();
        let in_shard = self.places(patients)?;
        for group in in_shard.start / FILLED_AT_ONCE..in_shard.end.div_ceil(FILLED_AT_ONCE) {
            let first = group * FILLED_AT_ONCE;
            let mut filling = Filling::new(first..patients.min(first + FILLED_AT_ONCE), most);
            let (mut made, first_part) = (0, group as u64 * PARTS_OF_GROUP);
            for part in first_part.. {
                if filling.is_done(made, least) {
                    break;
                }
                let next = self.part(seed, part)?;
                made += next.patients();
                let may_take = asked.places(&next, filling.places.clone());
                filling.take(&next, &may_take);
            }
            all += made;
            let empty = filling.empty();
            if let Some(fitting) = empty.iter().map(|&at| filling.fitting[at]).max() {
                let places: Vec<usize> = empty.iter().map(|at| first + at).collect();
                return Err(Error::Rare { given: asked.named(&places), found: fitting, made });
            }
            let held_for = filling.places.clone().zip(&filling.of_place);
            for (place, held) in held_for.filter(|(place, _)| in_shard.contains(place)) {
                let mut own = Cells::default();
                own.add(&filling.held, held);
                asked.give(&mut own, place);
                found.add(&own, &self.chosen(&own, 1, seed, (place as u64, 0)));
            }
            observe(found.patients());
        }
        Ok((self.table(&found, patients)?, all))
    }

    /// Patients of the generator, as many as are made at once, of lengths as they come.
    fn part(&self, seed: u64, part: u64) -> Result<Cells> {
        let of_part = stream(seed, Purpose::Lengths, part);
        let lengths = draw_lengths(&self.encoder().lengths, MADE_IN_PART, of_part);
        self.cells(lengths, Source { seed, noise: Purpose::Generation, part })
    }
}
