//! How columns go on over time since a patient's first row: means, variances, variograms, ranks,
//! levels and what follows them, smoothed over time (see [`smooth`]).
//!
//! ```text
//! w(t)  share of the column's real values at t      wᵤ  share of its real pairs of a lag u
//! S     SD of its real values                       r, s  the real cohort, the other one
//! mean       Σ w(t) |μₛ(t) − μᵣ(t)| / S
//! SD         Σ w(t) |σₛ(t) − σᵣ(t)| / S
//! variogram  Σ wᵤ |√γₛ(u) − √γᵣ(u)| / Σ wᵤ √γᵣ(u)
//! ranks      Kolmogorov and Smirnov's statistic of the patients' rank variability
//! levels     Σ w(t) TV(Pₛ(·; t), Pᵣ(·; t))
//! next       TV(Pₛ(l → ·; t), Pᵣ(l → ·; t)), mean weighted by the real weight of l → · at t
//! when       total variation of the shares of values by t
//! ```

mod smooth;

use super::courses::{Courses, distance_of_values};
use crate::judge::{MAX_DISTANCE, MAX_RELATIVE, raised, within};
use crate::statistics::{deviation, mean, stride};
use crate::{
    Answer, Cohort, Compared, Finding, Measure, PatientCounts, ReportTable, Result, Subject, Topic,
    total_variation,
};
use hg_data::{Kind, Schema};
use rayon::prelude::*;
use serde::Serialize;
use smooth::{Moments, Series, Variogram};
use std::collections::BTreeMap;

/// Patients of a cohort; of more, evenly spread ones are taken.
const MAX_PATIENTS: usize = 2000;
/// Points of the time grid.
const MAX_POINTS: usize = 60;

/// How one column's course differs from the real cohort's; `None` where that has nothing to compare,
/// or the column is of another kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CourseDifferences {
    /// The column.
    pub column: String,
    /// Of the mean over time, in standard deviations of the real values.
    pub mean: Option<f64>,
    /// Of the standard deviation over time, in standard deviations of the real values.
    pub deviation: Option<f64>,
    /// Of the square root of the variogram, relative to the real one.
    pub variogram: Option<f64>,
    /// Kolmogorov and Smirnov's statistic of the patients' rank variability.
    pub ranks: Option<f64>,
    /// Total variation of the levels' shares over time.
    pub levels: Option<f64>,
    /// Total variation of the levels that follow a level, over time.
    pub next_levels: Option<f64>,
    /// Total variation of when values are observed.
    pub when_observed: Option<f64>,
}

/// How the columns that change go on over time, beside the real cohort.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Trajectories {
    /// In schema order.
    pub columns: Vec<CourseDifferences>,
}

type Of = fn(&CourseDifferences) -> Option<f64>;

impl Trajectories {
    /// The mean over columns.
    fn mean(&self, of: Of) -> Option<f64> {
        mean(self.columns.iter().filter_map(of))
    }
}

/// What is asked of a column, with its name in a figure.
const FIGURES: [(&str, Of); 7] = [
    ("mean over time, in SDs", |column| column.mean),
    ("SD over time, in SDs", |column| column.deviation),
    ("variogram, relative", |column| column.variogram),
    ("rank variability, Kolmogorov–Smirnov", |column| column.ranks),
    ("levels over time, total variation", |column| column.levels),
    ("next levels over time, total variation", |column| column.next_levels),
    ("when values are observed, total variation", |column| column.when_observed),
];

pub(crate) struct CoursesOverTime;

impl Measure for CoursesOverTime {
    fn id(&self) -> &'static str {
        "trajectories"
    }

    fn topic(&self) -> Topic {
        Topic::Realism
    }

    fn stage(&self) -> &'static str {
        "trajectories"
    }

    fn about(&self) -> &'static str {
        "How columns that change go on over the time since a patient's first row, by the temporal metrics \
         of Perkonoja et al. 2026 ([arXiv:2602.10643](https://arxiv.org/abs/2602.10643)), defined as in \
         their program ([Temporal-preservation-metrics]\
         (https://github.com/Katsk1/Temporal-preservation-metrics), commit 530a68a). All are smoothed \
         with a Gaussian kernel whose bandwidth is one step of the time grid, of at most 60 points from 0 \
         to the longest real course; up to 2,000 patients. *Marginal*: the mean and the shares of levels \
         at each time. *Covariance*: the variance at each time; the variogram of what remains after the \
         mean, half the mean square of the difference of two values of a patient by their lag; the \
         probability of the level that follows a level. *Individual*: rank variability, a patient's mean \
         change of rank among the cohort's 10th, 25th, 50th, 75th and 90th percentile at each time, as a \
         share of five ranks. *Measurement*: the share of values at each time. Left out are the curves of \
         percentiles, how patients' patterns of measurement match one by one, and when they drop out \
         (lengths are in `dynamics`, durations in `timing`). The authors look at curves; the distances between these are ours. \
         Differences of means and of standard deviations (roots of variances) are in standard deviations \
         of the real values, that of the root of the variogram is relative to the real one, each averaged \
         over times or lags by how many real values or pairs lie there; of levels it is the total \
         variation, of rank variability the Kolmogorov–Smirnov statistic. Figures are means over columns, \
         0 is equal. Up to 0.1, of SD and variogram up to 0.15, passes, or up to what held-out patients \
         differ by, or two draws of these sizes (by halves of the real patients); when values are observed \
         has no verdict here (`missing-cells` and `timing` have)."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let real = RealCourses::new(subject);
        let compared = Compared::new(subject, |cohort| Ok(Some(real.compare(cohort))))?;

        let figures = FIGURES.map(|(name, of)| compared.figure(name, move |found| found.mean(of)));
        let [over_time, covariance, ranks] =
            answers(&subject.patients(), &compared, &real.halves());
        let mut finding = Finding::new()
            .with_answer(over_time)
            .with_answer(covariance)
            .with_answer(ranks)
            .with_figures(figures)
            .with_json("trajectories", &compared.synthetic)?
            .with_json("held_out_trajectories", &compared.held_out)?;
        if let Some(found) = compared.synthetic.as_ref().filter(|found| !found.columns.is_empty()) {
            finding = finding.with_table(table(found, compared.held_out.as_ref()));
        }
        Ok(finding.with_detail(compared))
    }
}

/// Of means and levels, of variances and variograms, and of ranks.
fn answers(
    counts: &PatientCounts,
    compared: &Compared<Trajectories>,
    halves: &Trajectories,
) -> [Answer; 3] {
    let difference = |name, of: Of| compared.difference(name, |found| found.mean(of));
    let limit = |limit, of: &[Of]| raised(limit, counts, of.iter().map(|of| halves.mean(*of)));
    let over_time = within(
        limit(MAX_DISTANCE, &[|column| column.mean, |c| c.levels, |c| c.next_levels]),
        counts,
        &[
            difference("means", |column| column.mean),
            difference("levels", |column| column.levels),
            difference("next levels", |column| column.next_levels),
        ],
        "no real patient has a value of a column that changes",
    );
    let covariance = within(
        limit(MAX_RELATIVE, &[|column| column.variogram, |column| column.deviation]),
        counts,
        &[
            difference("variogram", |column| column.variogram),
            difference("SD over time", |column| column.deviation),
        ],
        "no number varies among real patients",
    );
    let ranks = within(
        limit(MAX_DISTANCE, &[|column| column.ranks]),
        counts,
        &[difference("rank variability, Kolmogorov–Smirnov", |column| column.ranks)],
        "no real patient has two values of a number",
    );
    [
        Answer::new(
            "over time",
            "Do means and levels change over time as in the real cohort?",
            over_time,
        ),
        Answer::new(
            "covariance",
            "Do a patient's values keep together over time as in the real cohort?",
            covariance,
        ),
        Answer::new(
            "ranks",
            "Do patients rise and fall among the others as in the real cohort?",
            ranks,
        ),
    ]
}

/// A row for each column: its differences, those of held-out patients in brackets.
fn table(found: &Trajectories, held_out: Option<&Trajectories>) -> ReportTable {
    let row = |(n, column): (usize, &CourseDifferences)| {
        let others = held_out.and_then(|held_out| held_out.columns.get(n));
        let cell = |(_, of): &(&str, Of)| match (of(column), others.and_then(of)) {
            (Some(value), Some(other)) => format!("{value:.2} ({other:.2})"),
            (Some(value), None) => format!("{value:.2}"),
            (None, _) => String::new(),
        };
        let differences = FIGURES.iter().map(cell);
        std::iter::once(column.column.clone()).chain(differences).collect()
    };
    let others = if held_out.is_some() { ", in brackets those of held-out patients" } else { "" };
    ReportTable {
        title: "Courses over time".into(),
        note: format!(
            "Differences from the real cohort over the time since a patient's first row{others}; 0 is \
             equal. The variogram says how far apart two values of a patient are by the time between \
             them; ranks, how a patient moves among the others."
        ),
        header: [
            "column",
            "mean",
            "SD",
            "variogram",
            "ranks",
            "levels",
            "next levels",
            "when observed",
        ]
        .map(String::from)
        .into(),
        rows: found.columns.iter().enumerate().map(row).collect(),
    }
}

/// The time grid: from a patient's first row to the longest real course.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Grid {
    points: usize,
    width: f64,
}

impl Grid {
    /// Of the real courses' durations, in steps where these are regular.
    fn new(durations: &[f64], is_regular: bool) -> Self {
        let longest = durations.iter().copied().filter(|t| t.is_finite()).fold(0., f64::max);
        let most = (MAX_POINTS - 1) as f64;
        let width = if is_regular { (longest / most).max(1.) } else { longest / most };
        if width > 0. {
            Self { points: (longest / width).round() as usize + 1, width }
        } else {
            Self { points: 1, width: 1. }
        }
    }

    /// The nearest point; `None` beyond the grid.
    fn point(self, t: f64) -> Option<usize> {
        let point = (t / self.width).round();
        (point >= 0. && point < self.points as f64).then_some(point as usize)
    }
}

/// A column's curves.
enum Curves {
    Numbers {
        deviation: Option<f64>,
        moments: Vec<Option<Moments>>,
        variogram: Variogram,
        rank_variability: Vec<f64>,
    },
    Levels {
        shares: Vec<Vec<f64>>,
        transitions: BTreeMap<(usize, usize), Vec<f64>>,
    },
}

/// A column of a cohort over time.
struct Course {
    /// Values by point of the grid.
    density: Vec<f64>,
    curves: Curves,
}

/// The real cohort's columns that change, over time.
struct RealCourses<'a> {
    schema: &'a Schema,
    real: Courses<'a>,
    grid: Grid,
    columns: Vec<usize>,
    courses: Vec<Course>,
}

impl<'a> RealCourses<'a> {
    fn new(subject: &Subject<'a>) -> Self {
        let schema = &subject.encoder.schema;
        let gap = schema.gap_column();
        // Times are no values of their own.
        let changes = |n: &usize| !schema.columns[*n].is_static && Some(*n) != gap;
        let columns: Vec<usize> = (0..schema.columns.len()).filter(changes).collect();
        let real = Courses::new(schema, &subject.real.observed);
        let grid = Grid::new(&real.durations(), gap.is_none());
        let courses = courses_of(schema, &real, grid, &columns);
        Self { schema, real, grid, columns, courses }
    }

    fn compare(&self, cohort: &Cohort) -> Trajectories {
        let others = Courses::new(self.schema, &cohort.observed);
        let others = courses_of(self.schema, &others, self.grid, &self.columns);
        self.compared(&self.courses, &others)
    }

    /// Two halves of the real patients with each other.
    fn halves(&self) -> Trajectories {
        let of_half = |half: Courses<'_>| courses_of(self.schema, &half, self.grid, &self.columns);
        let [first, second] = self.real.halves().map(of_half);
        self.compared(&first, &second)
    }

    fn compared(&self, first: &[Course], second: &[Course]) -> Trajectories {
        let columns = self.columns.iter().zip(first.iter().zip(second));
        let compare = |(&n, (first, second)): (&usize, (&Course, &Course))| {
            first.compare(second, &self.schema.columns[n].name)
        };
        Trajectories { columns: columns.map(compare).collect() }
    }
}

/// Some columns of a cohort on a grid.
fn courses_of(
    schema: &Schema,
    courses: &Courses<'_>,
    grid: Grid,
    columns: &[usize],
) -> Vec<Course> {
    let courses = courses.every(stride(courses.patients().len(), MAX_PATIENTS), 0);
    let on_grid = |values: Vec<(f64, f64)>| {
        values.into_iter().filter_map(|(t, x)| Some((grid.point(t)?, x))).collect()
    };
    let of_column = |&n: &usize| {
        let patients = courses.observed(n).map(on_grid).collect();
        let series = Series { points: grid.points, patients };
        let column = &schema.columns[n];
        let levels = (column.kind != Kind::Numeric).then(|| column.level_names().len());
        Course::new(&series, levels)
    };
    columns.par_iter().map(of_column).collect()
}

impl Course {
    /// Of numbers, or of so many levels.
    fn new(series: &Series, levels: Option<usize>) -> Self {
        let curves = match levels {
            Some(levels) => {
                Curves::Levels { shares: series.shares(levels), transitions: series.transitions() }
            }
            None => {
                let values: Vec<f64> = series.values().map(|(_, x)| x).collect();
                let moments = series.moments();
                Curves::Numbers {
                    deviation: deviation(&values).filter(|deviation| *deviation > 0.),
                    variogram: series.variogram(&moments),
                    moments,
                    rank_variability: series.rank_variability(),
                }
            }
        };
        Self { density: series.density(), curves }
    }

    fn compare(&self, other: &Self, column: &str) -> CourseDifferences {
        let mut found = CourseDifferences {
            column: column.to_owned(),
            mean: None,
            deviation: None,
            variogram: None,
            ranks: None,
            levels: None,
            next_levels: None,
            when_observed: None,
        };
        let [total, of_other] = [self, other].map(|course| course.density.iter().sum::<f64>());
        // At a single time nothing changes over time.
        if total == 0. || self.density.len() < 2 {
            return found;
        }
        let normalised = |course: &Self, total: f64| -> Vec<f64> {
            course.density.iter().map(|count| count / total).collect()
        };
        let when = total_variation(&normalised(self, total), &normalised(other, of_other));
        found.when_observed = Some(when.unwrap_or(1.));

        match (&self.curves, &other.curves) {
            (
                Curves::Numbers { deviation, moments, variogram, rank_variability },
                Curves::Numbers {
                    moments: of_other,
                    variogram: other,
                    rank_variability: ranks,
                    ..
                },
            ) => {
                let apart = |of: fn(&Moments) -> f64| {
                    let scale = (*deviation)?;
                    let gaps = moments.iter().zip(of_other).map(|(real, other)| {
                        Some((of(real.as_ref()?) - of(other.as_ref()?)).abs() / scale)
                    });
                    Some(weighted(&self.density, gaps).unwrap_or(1.))
                };
                found.mean = apart(|moments| moments.mean);
                found.deviation = apart(|moments| moments.variance.sqrt());
                found.variogram = variograms_apart(variogram, other);
                found.ranks = distance_of_values(rank_variability, ranks);
            }
            (
                Curves::Levels { shares, transitions },
                Curves::Levels { shares: of_other, transitions: other },
            ) => {
                let gaps = shares.iter().zip(of_other).map(|(p, q)| total_variation(p, q));
                found.levels = Some(weighted(&self.density, gaps).unwrap_or(1.));
                found.next_levels = transitions_apart(transitions, other);
            }
            // Both are of one column, which is of one kind.
            _ => {}
        }
        found
    }
}

/// The mean of what there is, by weight; `None` where nothing of weight is there.
fn weighted(weights: &[f64], values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let pairs = weights.iter().zip(values).filter_map(|(weight, value)| Some((*weight, value?)));
    let (sum, total) = pairs.fold((0., 0.), |(sum, total), (w, x)| (sum + w * x, total + w));
    Some(sum / total).filter(|mean| mean.is_finite())
}

/// `Σ wᵤ |√γₛ(u) − √γᵣ(u)| / Σ wᵤ √γᵣ(u)`; `None` where the real one has no pair, or is 0, and 1 where
/// the other has no pair.
fn variograms_apart(real: &Variogram, other: &Variogram) -> Option<f64> {
    let roots = |variogram: &Variogram| -> Vec<Option<f64>> {
        variogram.values.iter().map(|gamma| gamma.map(f64::sqrt)).collect()
    };
    let (of_real, of_other) = (roots(real), roots(other));
    let size = weighted(&real.pairs, of_real.iter().copied()).filter(|size| *size > 0.)?;
    let gaps = of_real.iter().zip(&of_other).map(|(a, b)| Some(((*a)? - (*b)?).abs()));
    Some(weighted(&real.pairs, gaps).map_or(1., |gap| gap / size))
}

/// The mean total variation of what follows a level at a time, by the real weight of both; `None` where
/// in the real cohort nothing follows. A level that is never left in the other cohort differs by 1.
fn transitions_apart(
    real: &BTreeMap<(usize, usize), Vec<f64>>,
    other: &BTreeMap<(usize, usize), Vec<f64>>,
) -> Option<f64> {
    // By level l: the curves of l → m, for each m that either cohort has.
    type Curve<'a> = Option<&'a Vec<f64>>;
    let mut by_level: BTreeMap<usize, Vec<[Curve<'_>; 2]>> = BTreeMap::new();
    let keys: std::collections::BTreeSet<_> = real.keys().chain(other.keys()).collect();
    for key in keys {
        by_level.entry(key.0).or_default().push([real.get(key), other.get(key)]);
    }
    let points = real.values().next()?.len();
    let (mut sum, mut total) = (0., 0.);
    for curves in by_level.values() {
        for t in 0..points {
            let weights = |side: usize| -> Vec<f64> {
                curves.iter().map(|pair| pair[side].map_or(0., |curve| curve[t])).collect()
            };
            let [p, q] = [weights(0), weights(1)];
            let (of_real, of_other) = (p.iter().sum::<f64>(), q.iter().sum::<f64>());
            let shares = |weights: &[f64], total: f64| -> Vec<f64> {
                weights.iter().map(|weight| if total > 0. { weight / total } else { 0. }).collect()
            };
            let apart = total_variation(&shares(&p, of_real), &shares(&q, of_other));
            sum += of_real * apart.unwrap_or(1.);
            total += of_real;
        }
    }
    (total > 0.).then(|| sum / total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_is_of_steps_or_of_sixty_times() {
        assert_eq!(Grid::new(&[3., 59., 0.], true), Grid { points: 60, width: 1. });
        assert_eq!(Grid::new(&[3.], true), Grid { points: 4, width: 1. });
        assert_eq!(Grid::new(&[118., f64::NAN], true), Grid { points: 60, width: 2. });
        assert_eq!(Grid::new(&[5.9], false), Grid { points: 60, width: 5.9 / 59. });
        let none = Grid { points: 1, width: 1. };
        for durations in [&[][..], &[0.], &[f64::NAN]] {
            assert_eq!([true, false].map(|is| Grid::new(durations, is)), [none; 2]);
        }
        let grid = Grid { points: 3, width: 10. };
        let points = [0., 4.9, 5., 24.9, 25., -1., -6., f64::NAN].map(|t| grid.point(t));
        assert_eq!(points, [Some(0), Some(0), Some(1), Some(2), None, Some(0), None, None]);
    }

    /// Patients of as many values as points.
    fn course(patients: &[[f64; 6]], levels: Option<usize>) -> Course {
        let values = |x: &[f64; 6]| x.iter().copied().enumerate().collect();
        let patients = patients.iter().map(values).collect();
        Course::new(&Series { points: 6, patients }, levels)
    }

    #[test]
    fn values_that_change_places_in_time_have_another_variogram_and_the_same_values() {
        let real = [[1., 1.2, 1.4, 1.6, 1.8, 2.], [6., 5.8, 5.6, 5.4, 5.2, 5.]];
        let shuffled = [[1., 1.8, 1.2, 2., 1.4, 1.6], [5., 5.6, 6., 5.2, 5.8, 5.4]];
        let same = course(&real, None).compare(&course(&real, None), "x");
        let zeros = [same.mean, same.deviation, same.variogram, same.ranks, same.when_observed];
        assert_eq!((zeros, same.levels, same.next_levels), ([Some(0.); 5], None, None));
        let found = course(&real, None).compare(&course(&shuffled, None), "x");
        assert!(found.variogram > Some(0.3) && found.ranks > Some(0.3), "{found:?}");
        assert!(found.mean < Some(0.1) && found.when_observed == Some(0.), "{found:?}");
        // Patients who swap courses half-way vary as much at each time, and not from each other.
        let swapped = [[1., 1.2, 1.4, 5.4, 5.2, 5.], [6., 5.8, 5.6, 1.6, 1.8, 2.]];
        let found = course(&real, None).compare(&course(&swapped, None), "x");
        assert!(found.variogram > Some(0.5), "{found:?}");
        let means = [found.mean, found.deviation].map(|d| d.is_some_and(|d| d < 1e-12));
        assert_eq!(means, [true; 2], "{found:?}");
    }

    #[test]
    fn levels_are_compared_at_their_times_and_by_what_follows_them() {
        let real = [[0., 0., 0., 1., 1., 1.], [0., 0., 0., 1., 1., 1.]];
        let same = course(&real, Some(2)).compare(&course(&real, Some(2)), "l");
        assert_eq!((same.levels, same.next_levels, same.mean), (Some(0.), Some(0.), None));
        let reversed = [[1., 1., 1., 0., 0., 0.]; 2];
        let found = course(&real, Some(2)).compare(&course(&reversed, Some(2)), "l");
        assert!(found.levels > Some(0.6) && found.next_levels > Some(0.1), "{found:?}");
        let never_left = [[1.; 6]; 2];
        let found = course(&real, Some(2)).compare(&course(&never_left, Some(2)), "l");
        assert!(found.next_levels > Some(0.5), "{found:?}");
    }

    #[test]
    fn constants_and_sides_without_a_value_are_nothing_or_far() {
        let (some, constant) = ([[1., 2., 3., 1., 2., 5.]; 2], [[4.; 6]; 2]);
        let found = course(&constant, None).compare(&course(&some, None), "x");
        assert_eq!((found.mean, found.deviation, found.variogram), (None, None, None));
        let nothing = course(&[], None);
        let found = course(&some, None).compare(&nothing, "x");
        let far = [found.mean, found.deviation, found.variogram, found.ranks, found.when_observed];
        assert_eq!(far, [Some(1.); 5]);
        let found = nothing.compare(&course(&some, None), "x");
        assert_eq!((found.mean, found.variogram, found.when_observed), (None, None, None));
        let levels = course(&[[0., 1., 0., 1., 0., 1.]], Some(2));
        let found = levels.compare(&course(&[], Some(2)), "l");
        assert_eq!((found.levels, found.next_levels), (Some(1.), Some(1.)));
        let found = course(&[], Some(2)).compare(&levels, "l");
        assert_eq!((found.levels, found.next_levels), (None, None));
    }
}
