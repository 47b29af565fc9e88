//! Which runs of a sweep are best.
//!
//! Runs are ordered by how well trees tell their synthetic patients from real ones whom training has not
//! seen (the area under the ROC curve, 0.5 is chance): it asks for everything at once, and knowing the
//! training patients by heart gains nothing. Where some run has held no patients out, it is the same judge
//! on patients that were trained on; where that has too few patients, the mean distance of the columns. All
//! runs are ordered by one judge: the first that every run has. A run that fails a question of privacy comes
//! after all that do not.

use super::file::shown;
use super::folder::{Failure, RecordedRun, RunState, SweepFolder};
use super::{refused, unwritable};
use crate::{Measured, Result};
use hg_data::write_atomically;
use hg_eval::Topic;
use serde::Serialize;
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

const RANKING: &str = "ranking.json";
const BEST: &str = "best";

/// What runs are ordered by; less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judge {
    /// The area under the curve of trees that tell synthetic patients from held-out ones.
    HeldOutPatients,
    /// The same, of patients that were trained on.
    Patients,
    /// The mean distance of the columns.
    Columns,
}

impl Judge {
    const ALL: [Self; 3] = [Self::HeldOutPatients, Self::Patients, Self::Columns];

    /// In words.
    pub fn description(self) -> &'static str {
        match self {
            Self::HeldOutPatients => {
                "how well trees tell synthetic patients from held-out real ones (area under the curve; 0.5 is chance)"
            }
            Self::Patients => {
                "how well trees tell synthetic patients from real ones that were trained on (area under the curve; \
                 0.5 is chance); hold patients out, and it is from others"
            }
            Self::Columns => {
                "the mean distance of the columns; there are too few patients to tell apart"
            }
        }
    }

    /// The figure in the JSON of an evaluation.
    fn of(self, json: &Value, measured: &Measured) -> Option<f64> {
        match self {
            Self::HeldOutPatients => json.pointer("/told_apart/unseen/area")?.as_f64(),
            Self::Patients => json.pointer("/told_apart/patients/area")?.as_f64(),
            Self::Columns => {
                let distances: Vec<f64> = measured.columns().iter().map(|c| c.distance).collect();
                mean(&distances)
            }
        }
    }

    /// What is compared: below an area of 0.5 lies chance, too.
    fn order(self, figure: f64) -> f64 {
        if self == Self::Columns { figure } else { figure.max(0.5) }
    }
}

/// A sweep's runs in order, and its settings over their seeds.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Ranking {
    /// What they are ordered by.
    pub judge: Judge,
    /// In words.
    pub ordered_by: &'static str,
    /// The run that `best` links to; none where none passes privacy.
    pub best: Option<String>,
    /// The combinations of settings, the best first.
    pub settings: Vec<RankedSettings>,
    /// The runs, the best first.
    pub runs: Vec<RankedRun>,
    /// The runs that are not there yet, or failed.
    pub unfinished: Vec<Unfinished>,
}

/// A combination of settings, over its seeds.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RankedSettings {
    /// Which one it is, in the order of the sweep.
    pub combination: usize,
    /// Beside those of all runs.
    pub settings: BTreeMap<String, String>,
    /// Runs that are done.
    pub done: usize,
    /// Of so many.
    pub of: usize,
    /// The mean of the judge's figures.
    pub mean: Option<f64>,
    /// The least and the greatest of them.
    pub range: Option<[f64; 2]>,
    /// Runs that fail a question of privacy.
    pub failing_privacy: usize,
}

/// A run that is done.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RankedRun {
    /// Its folder.
    pub name: String,
    /// Which combination of settings it is of.
    pub combination: usize,
    /// Beside those of all runs.
    pub settings: BTreeMap<String, String>,
    /// Its seed.
    pub seed: u64,
    /// The judge's figure; none where there was nothing to compare.
    pub figure: Option<f64>,
    /// The mean distance of the columns, by which runs are ordered that the judge finds equal.
    pub columns: Option<f64>,
    /// The questions of privacy.
    pub privacy: Verdicts,
    /// The other questions.
    pub quality: Verdicts,
}

/// How many questions have which answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdicts {
    /// Passed.
    pub passed: usize,
    /// Not enough is known.
    pub open: usize,
    /// What those are about that are failed.
    pub failed: Vec<String>,
}

/// A run that cannot be ranked.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Unfinished {
    /// Its folder.
    pub name: String,
    /// `waiting`, `begun` or `failed`.
    pub state: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A finished run with the figures of all judges.
struct Finished<'a> {
    run: &'a RecordedRun,
    figures: [Option<f64>; 3],
    privacy: Verdicts,
    quality: Verdicts,
}

impl SweepFolder {
    /// Ranks the runs that are done.
    ///
    /// # Errors
    /// When a run's report cannot be read.
    pub fn rank(&self) -> Result<Ranking> {
        let (mut finished, mut unfinished) = (Vec::new(), Vec::new());
        for run in &self.record.runs {
            let name = run.name.clone();
            match self.state(&run.name)? {
                RunState::Done => finished.push(self.finished(run)?),
                RunState::Waiting => {
                    unfinished.push(Unfinished { name, state: "waiting", message: None });
                }
                RunState::Begun => {
                    unfinished.push(Unfinished { name, state: "begun", message: None });
                }
                RunState::Failed(Failure { message, .. }) => {
                    unfinished.push(Unfinished { name, state: "failed", message: Some(message) });
                }
            }
        }
        Ok(ranked(&self.record.runs, finished, unfinished))
    }

    /// Writes `ranking.json`, and links `best` to the best run; both are replaced at once.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn save(&self, ranking: &Ranking) -> Result<()> {
        let path = self.path().join(RANKING);
        let json = serde_json::to_vec_pretty(ranking)?;
        write_atomically(&path, |file| file.write_all(&json).map_err(unwritable(&path)))?;
        link(&self.path().join(BEST), ranking.best.as_deref())
    }

    fn finished<'a>(&self, run: &'a RecordedRun) -> Result<Finished<'a>> {
        let path = self.run(&run.name).join("report").join(crate::evaluation::NUMBERS);
        let bad = |problem: String| {
            let hint = "hint: `hg evaluate RUN` writes it again";
            refused(&path, format!("{problem}\n{hint}"))
        };
        let json = std::fs::read(&path).map_err(|e| bad(format!("cannot be read: {e}")))?;
        let json: Value = serde_json::from_slice(&json).map_err(|e| bad(e.to_string()))?;
        let measured = Measured::of_json(json.clone())?;
        let figures = Judge::ALL.map(|judge| judge.of(&json, &measured));

        let (mut privacy, mut quality) = (Verdicts::default(), Verdicts::default());
        for answer in &measured.answers {
            let is_privacy = answer.topic == Topic::Privacy.question();
            let verdicts = if is_privacy { &mut privacy } else { &mut quality };
            match answer.passed {
                Some(true) => verdicts.passed += 1,
                Some(false) => verdicts.failed.push(answer.about.clone()),
                None => verdicts.open += 1,
            }
        }
        Ok(Finished { run, figures, privacy, quality })
    }
}

/// Settings as people write them.
fn of_people(run: &RecordedRun) -> BTreeMap<String, String> {
    run.settings.iter().map(|(name, value)| (name.clone(), shown(value))).collect()
}

fn ranked(
    planned: &[RecordedRun],
    finished: Vec<Finished<'_>>,
    unfinished: Vec<Unfinished>,
) -> Ranking {
    let has_all = |n: &usize| finished.iter().all(|run| run.figures[*n].is_some());
    let at = (0..Judge::ALL.len()).find(has_all).unwrap_or(Judge::ALL.len() - 1);
    let (judge, columns) = (Judge::ALL[at], Judge::ALL.len() - 1);

    let of_run = |Finished { run, figures, privacy, quality }: Finished<'_>| RankedRun {
        name: run.name.clone(),
        combination: run.combination,
        settings: of_people(run),
        seed: run.seed,
        figure: figures[at],
        columns: figures[columns],
        privacy,
        quality,
    };
    let mut runs: Vec<RankedRun> = finished.into_iter().map(of_run).collect();
    let by_figure = |a: Option<f64>, b: Option<f64>| order(judge, a, b);
    runs.sort_by(|a, b| {
        let fails = |run: &RankedRun| !run.privacy.failed.is_empty();
        let by_privacy = fails(a).cmp(&fails(b));
        let by_judge = by_privacy.then_with(|| by_figure(a.figure, b.figure));
        by_judge.then_with(|| order(Judge::Columns, a.columns, b.columns))
    });

    let combinations = planned.iter().map(|run| run.combination).max().unwrap_or(0);
    let of_settings = |combination: usize| {
        let planned = || planned.iter().filter(|run| run.combination == combination);
        let done = || runs.iter().filter(|run| run.combination == combination);
        let figures: Vec<f64> = done().filter_map(|run| run.figure).collect();
        let [least, greatest] = figures
            .iter()
            .fold([f64::INFINITY, f64::NEG_INFINITY], |[a, b], &x| [a.min(x), b.max(x)]);
        RankedSettings {
            combination,
            settings: planned().next().map(of_people).unwrap_or_default(),
            done: done().count(),
            of: planned().count(),
            mean: mean(&figures),
            range: (!figures.is_empty()).then_some([least, greatest]),
            failing_privacy: done().filter(|run| !run.privacy.failed.is_empty()).count(),
        }
    };
    let mut settings: Vec<RankedSettings> = (1..=combinations).map(of_settings).collect();
    settings.sort_by(|a, b| {
        let by_privacy = (a.failing_privacy > 0).cmp(&(b.failing_privacy > 0));
        by_privacy.then_with(|| by_figure(a.mean, b.mean))
    });

    let best = runs.first().filter(|run| run.privacy.failed.is_empty());
    let (best, ordered_by) = (best.map(|run| run.name.clone()), judge.description());
    Ranking { judge, ordered_by, best, settings, runs, unfinished }
}

/// What is not known comes last.
fn order(judge: Judge, a: Option<f64>, b: Option<f64>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => judge.order(a).total_cmp(&judge.order(b)),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

fn mean(figures: &[f64]) -> Option<f64> {
    (!figures.is_empty()).then(|| figures.iter().sum::<f64>() / figures.len() as f64)
}

/// Makes a link to a folder beside it, in place of the one that is there; none to nothing.
fn link(path: &Path, to: Option<&str>) -> Result<()> {
    let is_link = path.symlink_metadata().is_ok_and(|about| about.is_symlink());
    let Some(to) = to else {
        return match is_link {
            true => std::fs::remove_file(path).map_err(unwritable(path)),
            false => Ok(()),
        };
    };
    #[cfg(unix)]
    {
        let temporary = path.with_file_name(format!(".{BEST}-{}.tmp", std::process::id()));
        // One that a process with this number left behind.
        let _ = std::fs::remove_file(&temporary);
        std::os::unix::fs::symlink(to, &temporary).map_err(unwritable(&temporary))?;
        std::fs::rename(&temporary, path).map_err(unwritable(path))?;
    }
    #[cfg(not(unix))]
    tracing::info!("the best run is {to}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(count: usize) -> Vec<RecordedRun> {
        let run = |n: usize| RecordedRun {
            name: format!("{:03}", n + 1),
            combination: n / 2 + 1,
            seed: n as u64 % 2,
            settings: BTreeMap::new(),
        };
        (0..count).map(run).collect()
    }

    fn finished<'a>(
        run: &'a RecordedRun,
        figures: [Option<f64>; 3],
        failed: &[&str],
    ) -> Finished<'a> {
        let failed = failed.iter().map(|&about| about.to_owned()).collect();
        let privacy = Verdicts { passed: 5, open: 1, failed };
        Finished { run, figures, privacy, quality: Verdicts::default() }
    }

    fn names(ranking: &Ranking) -> Vec<&str> {
        ranking.runs.iter().map(|run| run.name.as_str()).collect()
    }

    #[test]
    fn who_fails_privacy_comes_after_all_who_pass() {
        let planned = planned(4);
        let [a, b, c, d] = [0, 1, 2, 3].map(|n| &planned[n]);
        let of =
            |run, area, failed: &[&str]| finished(run, [Some(area), Some(0.5), Some(0.1)], failed);
        let runs = vec![
            of(a, 0.6, &["copies"]),
            of(b, 0.9, &[]),
            of(c, 0.8, &[]),
            of(d, 0.7, &["copies"]),
        ];
        let ranking = ranked(&planned, runs, Vec::new());
        assert_eq!(names(&ranking), ["003", "002", "001", "004"]);
        assert_eq!((ranking.best.as_deref(), ranking.judge), (Some("003"), Judge::HeldOutPatients));
        let all_fail = vec![of(a, 0.6, &["copies"]), of(b, 0.5, &["linked", "copies"])];
        let ranking = ranked(&planned, all_fail, Vec::new());
        assert_eq!((names(&ranking), &ranking.best), (vec!["002", "001"], &None));
    }

    #[test]
    fn all_runs_have_one_judge_and_chance_is_chance() {
        let planned = planned(3);
        let [a, b, c] = [0, 1, 2].map(|n| &planned[n]);
        let runs = vec![
            finished(a, [Some(0.9), Some(0.49), Some(0.3)], &[]),
            finished(b, [None, Some(0.41), Some(0.4)], &[]),
            finished(c, [None, Some(0.60), Some(0.1)], &[]),
        ];
        let ranking = ranked(&planned, runs, Vec::new());
        assert_eq!((names(&ranking), ranking.judge), (vec!["001", "002", "003"], Judge::Patients));
        let runs = vec![
            finished(a, [None, None, Some(0.3)], &[]),
            finished(b, [None, Some(0.41), None], &[]),
            finished(c, [None, Some(0.60), Some(0.1)], &[]),
        ];
        let ranking = ranked(&planned, runs, Vec::new());
        assert_eq!((names(&ranking), ranking.judge), (vec!["003", "001", "002"], Judge::Columns));
    }

    #[test]
    fn settings_are_ranked_over_their_seeds_and_say_what_is_missing() {
        let planned = planned(6);
        let of = |n: usize, area, failed: &[&str]| {
            finished(&planned[n], [Some(area), Some(area), Some(0.1)], failed)
        };
        let runs = vec![
            of(0, 0.6, &["copies"]),
            of(1, 0.5, &[]),
            of(2, 0.7, &[]),
            of(3, 0.9, &[]),
            of(4, 0.75, &[]),
        ];
        let ranking = ranked(&planned, runs, Vec::new());
        let seen: Vec<_> = ranking.settings.iter().map(|s| (s.combination, s.done, s.of)).collect();
        assert_eq!(seen, [(3, 1, 2), (2, 2, 2), (1, 2, 2)]);
        let two = &ranking.settings[1];
        assert!(two.mean.is_some_and(|mean| (mean - 0.8).abs() < 1e-12));
        assert_eq!((two.range, two.failing_privacy), (Some([0.7, 0.9]), 0));
        assert_eq!(ranking.settings[2].failing_privacy, 1);
    }

    #[cfg(unix)]
    #[test]
    fn the_link_is_replaced_and_nothing_else_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let best = folder.path().join(BEST);
        for to in ["001", "002"] {
            link(&best, Some(to)).expect("links");
            assert_eq!(std::fs::read_link(&best).expect("a link"), Path::new(to));
        }
        link(&best, None).expect("removes");
        assert!(best.symlink_metadata().is_err());
        std::fs::create_dir(&best).expect("makes");
        link(&best, None).expect("nothing to do");
        assert!(link(&best, Some("001")).is_err() && best.is_dir());
    }
}
