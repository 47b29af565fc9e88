//! The file that says what a sweep is, and the runs that come of it.

use super::refused;
use crate::Result;
use hg_data::Schema;
use hg_train::{Preset, Settings, Shard, TrainConfig};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Runs of a sweep, at most: more is a slip of a grid.
const MOST_RUNS: usize = 10_000;
/// The longest name of a run that tells its settings.
const LONGEST_NAME: usize = 60;
const SEED: &str = "seed";

/// A sweep: a table, its schema, and the runs on it.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// The table.
    pub data: PathBuf,
    /// Its schema's file.
    pub schema: PathBuf,
    /// In their order, a combination's seeds one after the other.
    pub runs: Vec<PlannedRun>,
    /// What its file says, for messages.
    pub(super) preset: Option<String>,
    pub(super) settings: Table,
}

/// A run of a sweep.
#[derive(Clone, Debug)]
pub struct PlannedRun {
    /// Its number, and its settings where these are short: the name of its folder.
    pub name: String,
    /// Which combination of settings it is of, from 1.
    pub combination: usize,
    /// Its seed.
    pub seed: u64,
    /// What its combination says beside what holds for all: full names of settings, with values.
    pub settings: BTreeMap<String, Value>,
    /// All of its settings.
    pub config: TrainConfig,
}

/// The contents of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    data: PathBuf,
    schema: PathBuf,
    preset: Option<String>,
    seeds: Option<Vec<Value>>,
    #[serde(default)]
    settings: Table,
    grid: Option<Table>,
    runs: Option<Vec<Table>>,
}

/// Settings of a combination, and where the file says so.
struct Combination {
    settings: BTreeMap<String, Value>,
    origin: String,
}

impl Sweep {
    /// Reads a sweep's file. Everything that is wrong with its settings is said here, before a run begins.
    ///
    /// # Errors
    /// When it cannot be read, or what it says is no sweep, with its place.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| refused(path, format!("cannot read the sweep: {e}")))?;
        let file: File =
            toml::from_str(&text).map_err(|e| refused(path, e.to_string().trim_end()))?;
        let beside = |other: &Path| path.parent().unwrap_or(Path::new("")).join(other);
        let absolute = |other: &Path| {
            let joined = beside(other);
            std::path::absolute(&joined).map_err(|e| refused(&joined, e.to_string()))
        };
        let (data, schema_path) = (absolute(&file.data)?, absolute(&file.schema)?);
        let schema = Schema::load(&schema_path)?;

        if let Some(preset) = &file.preset {
            preset.parse::<Preset>().map_err(|e| refused(path, format!("preset: {e}")))?;
        }
        let settings = leaves(file.settings.clone());
        let (combinations, seeds) = file.combinations(path)?;
        let mut sweep = Self {
            data,
            schema: schema_path,
            runs: Vec::with_capacity(combinations.len() * seeds.len().max(1)),
            preset: file.preset.clone(),
            settings: settings.into_iter().collect(),
        };
        // Runs that differ by their seeds alone are of one combination.
        let mut known: Vec<BTreeMap<String, Value>> = Vec::new();
        // Without a word of it, the seed is what the settings for all say.
        let seeds: Vec<Option<Value>> = match seeds.is_empty() {
            true => vec![None],
            false => seeds.into_iter().map(Some).collect(),
        };
        for combination in combinations {
            let mut settings = combination.settings.clone();
            settings.remove(SEED);
            let place = known.iter().position(|other| *other == settings).unwrap_or(known.len());
            if place == known.len() {
                known.push(settings.clone());
            }
            for seed in &seeds {
                let config = sweep.config((path, &schema), &combination, seed.as_ref())?;
                let (name, seed, settings) = (String::new(), config.seed, settings.clone());
                let combination = place + 1;
                sweep.runs.push(PlannedRun { name, combination, seed, settings, config });
            }
        }
        sweep.refuse_twins(path)?;
        sweep.name();
        Ok(sweep)
    }

    /// The runs that fall to a task.
    pub fn runs_of(&self, task: Shard) -> impl Iterator<Item = &PlannedRun> {
        let runs = self.runs.iter().enumerate();
        runs.filter(move |(n, _)| task.is_dealt(*n)).map(|(_, run)| run)
    }

    /// All settings of a run.
    fn config(
        &self,
        (path, schema): (&Path, &Schema),
        combination: &Combination,
        seed: Option<&Value>,
    ) -> Result<TrainConfig> {
        let origin = |of: &str| format!("{}, {of}", path.display());
        let resolve = || -> hg_train::Result<TrainConfig> {
            let mut settings = match &self.preset {
                Some(preset) => Settings::of_preset(preset.parse::<Preset>()?)?,
                None => Settings::defaults()?,
            };
            for (name, value) in &self.settings {
                settings.set(name, value.clone(), &origin("[settings]"))?;
            }
            for (name, value) in &combination.settings {
                settings.set(name, value.clone(), &origin(&combination.origin))?;
            }
            if let Some(seed) = seed {
                settings.set(SEED, seed.clone(), &origin("seeds"))?;
            }
            settings.ask_as(schema)?;
            let config = settings.resolve()?;
            config.device.check()?;
            config.refuse_weaker_than(schema)?;
            Ok(config)
        };
        resolve().map_err(|error| {
            let said = error.to_string();
            match said.strip_prefix(&format!("{}, ", path.display())) {
                Some(said) => refused(path, said),
                None => refused(path, format!("run {}: {said}", self.runs.len() + 1)),
            }
        })
    }

    fn refuse_twins(&self, path: &Path) -> Result<()> {
        for (n, run) in self.runs.iter().enumerate() {
            if let Some(twin) = self.runs[..n].iter().position(|other| other.config == run.config) {
                let problem = format!(
                    "runs {} and {} have the same settings and seed\nhint: leave one out",
                    twin + 1,
                    n + 1
                );
                return Err(refused(path, problem));
            }
        }
        Ok(())
    }

    /// Names the runs by their numbers and what varies among them.
    fn name(&mut self) {
        let digits = self.runs.len().to_string().len().max(3);
        let has_seeds = self.runs.iter().any(|run| run.seed != self.runs[0].seed);
        let varied = self.varied();
        let short = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
        let mut words: Vec<String> = varied.iter().map(|name| short(name)).collect();
        words.sort();
        words.dedup();
        let are_distinct = words.len() == varied.len();
        for (n, run) in self.runs.iter_mut().enumerate() {
            let values = varied.iter().filter_map(|name| {
                run.settings.get(name).map(|value| format!("-{}={}", short(name), shown(value)))
            });
            let seed = has_seeds.then(|| format!("-seed={}", run.seed));
            let about: String = values.chain(seed).collect();
            let is_safe = |c: char| c.is_ascii_alphanumeric() || "-=._+".contains(c);
            let is_short = about.len() < LONGEST_NAME && about.chars().all(is_safe);
            let about = if is_short && are_distinct { about } else { String::new() };
            run.name = format!("{:0digits$}{about}", n + 1);
        }
    }

    /// The settings that are not the same in all runs.
    fn varied(&self) -> Vec<String> {
        let mut names: Vec<&String> =
            self.runs.iter().flat_map(|run| run.settings.keys()).collect();
        names.sort();
        names.dedup();
        let varies = |name: &&String| {
            self.runs.iter().any(|run| run.settings.get(*name) != self.runs[0].settings.get(*name))
        };
        names.into_iter().filter(varies).cloned().collect()
    }
}

/// A value as people write it: a text without its quotation marks.
pub(super) fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl File {
    /// The combinations of settings, and the seeds of each.
    fn combinations(&self, path: &Path) -> Result<(Vec<Combination>, Vec<Value>)> {
        let mut seeds = self.seeds.clone().unwrap_or_default();
        if self.seeds.as_ref().is_some_and(Vec::is_empty) {
            return Err(refused(
                path,
                "seeds: there are none\nhint: list them, as `seeds = [0, 1, 2]`",
            ));
        }
        let twice = |of: &str| {
            let problem =
                format!("{of}: `seed` is said twice, here and by `seeds`\nhint: leave one out");
            refused(path, problem)
        };
        let combinations = match (&self.grid, &self.runs) {
            (Some(_), Some(_)) => {
                let problem = "has `[grid]` and `[[runs]]`\nhint: say it in one of the two ways";
                return Err(refused(path, problem));
            }
            (Some(grid), None) => {
                let mut axes = axes(path, grid)?;
                if let Some(at) = axes.iter().position(|(name, _)| name == SEED) {
                    if !seeds.is_empty() {
                        return Err(twice("[grid]"));
                    }
                    seeds = axes.remove(at).1;
                }
                let of = |settings| Combination { settings, origin: "[grid]".into() };
                grid_of(path, &axes, seeds.len())?.into_iter().map(of).collect()
            }
            (None, Some(runs)) if runs.is_empty() => {
                return Err(refused(path, "[[runs]]: there are none"));
            }
            (None, Some(runs)) => {
                let of = |(n, run): (usize, &Table)| {
                    let settings: BTreeMap<String, Value> =
                        leaves(run.clone()).into_iter().collect();
                    Combination { settings, origin: format!("[[runs]] {}", n + 1) }
                };
                let all: Vec<Combination> = runs.iter().enumerate().map(of).collect();
                let own = all.iter().find(|one| one.settings.contains_key(SEED));
                match own.filter(|_| !seeds.is_empty()) {
                    Some(own) => return Err(twice(&own.origin)),
                    None => all,
                }
            }
            (None, None) => vec![Combination { settings: BTreeMap::new(), origin: "seeds".into() }],
        };
        if !seeds.is_empty() && self.settings.contains_key(SEED) {
            return Err(twice("[settings]"));
        }
        Ok((combinations, seeds))
    }
}

/// The settings of a grid, each with its values.
fn axes(path: &Path, grid: &Table) -> Result<Vec<(String, Vec<Value>)>> {
    let axis = |(name, values): (String, Value)| match values {
        Value::Array(values) if !values.is_empty() => Ok((name, values)),
        other => {
            let problem = format!(
                "[grid]: `{name} = {other}` is no list of values\nhint: write `{name} = [first, second]`; what holds \
                 for all runs goes to `[settings]`"
            );
            Err(refused(path, problem))
        }
    };
    leaves(grid.clone()).into_iter().map(axis).collect()
}

/// Every combination of values; those of the last axis change fastest.
fn grid_of(
    path: &Path,
    axes: &[(String, Vec<Value>)],
    seeds: usize,
) -> Result<Vec<BTreeMap<String, Value>>> {
    let sizes = axes.iter().map(|(_, values)| values.len()).chain([seeds.max(1)]);
    let count = sizes.fold(1, usize::saturating_mul);
    if count > MOST_RUNS {
        let problem = format!("[grid]: these are {count} runs\nhint: {MOST_RUNS} at most");
        return Err(refused(path, problem));
    }
    let mut all = vec![BTreeMap::new()];
    for (name, values) in axes {
        let with = |settings: &BTreeMap<String, Value>| {
            let mut each = Vec::with_capacity(values.len());
            for value in values {
                let mut settings = settings.clone();
                settings.insert(name.clone(), value.clone());
                each.push(settings);
            }
            each
        };
        all = all.iter().flat_map(with).collect();
    }
    Ok(all)
}

/// Every setting of a table by its full name, be it written as `model.hidden` or below `[model]`.
fn leaves(table: Table) -> Vec<(String, Value)> {
    let below = |(key, value): (String, Value)| match value {
        Value::Table(group) => {
            let inner = leaves(group).into_iter();
            inner.map(|(name, value)| (format!("{key}.{name}"), value)).collect()
        }
        value => vec![(key, value)],
    };
    table.into_iter().flat_map(below).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sweep of a file with pbc's table and schema.
    fn sweep(rest: &str) -> std::result::Result<Sweep, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("my.toml");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let of = |file: &str| format!("{:?}", root.join(file).display().to_string());
        let (data, schema) = (of("data/pbc/pbcseq.csv"), of("data-schemas/pbc.toml"));
        std::fs::write(&path, format!("data = {data}\nschema = {schema}\n{rest}")).expect("writes");
        Sweep::load(&path)
            .map_err(|error| error.to_string().replace(&folder.path().display().to_string(), ""))
    }

    fn names(rest: &str) -> Vec<String> {
        sweep(rest).expect("a sweep").runs.into_iter().map(|run| run.name).collect()
    }

    #[test]
    fn a_grid_is_every_combination_with_every_seed() {
        let text = "[settings]\niterations = 7\n[grid]\nmodel.hidden = [16, 32]\n\
                    \"model.latent\" = [\"gaussian\", \"uniform\"]\nseed = [3, 4]\n";
        let sweep = sweep(text).expect("a sweep");
        let of = |run: &PlannedRun| {
            let TrainConfig { model, seed, iterations, .. } = &run.config;
            (run.combination, model.hidden, model.latent, *seed, *iterations)
        };
        use hg_train::LatentDistribution::{Gaussian, Uniform};
        assert_eq!(
            sweep.runs.iter().map(of).collect::<Vec<_>>(),
            [
                (1, 16, Gaussian, 3, 7),
                (1, 16, Gaussian, 4, 7),
                (2, 16, Uniform, 3, 7),
                (2, 16, Uniform, 4, 7),
                (3, 32, Gaussian, 3, 7),
                (3, 32, Gaussian, 4, 7),
                (4, 32, Uniform, 3, 7),
                (4, 32, Uniform, 4, 7),
            ]
        );
        assert_eq!(sweep.runs[2].name, "003-hidden=16-latent=uniform-seed=3");
    }

    #[test]
    fn a_list_has_the_seeds_of_all_or_its_own() {
        let with_seeds = "seeds = [1, 2]\n[[runs]]\nmodel.hidden = 16\n[[runs]]\niterations = 9\n";
        assert_eq!(
            names(with_seeds),
            [
                "001-hidden=16-seed=1",
                "002-hidden=16-seed=2",
                "003-iterations=9-seed=1",
                "004-iterations=9-seed=2"
            ]
        );
        let own = "[[runs]]\nseed = 1\n[[runs]]\nseed = 5\n";
        let sweep = sweep(own).expect("a sweep");
        assert_eq!(sweep.runs.iter().map(|run| run.combination).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(names("seeds = [4, 5]\n"), ["001-seed=4", "002-seed=5"]);
        assert_eq!(names("preset = \"demo\"\n"), ["001"]);
    }

    #[test]
    fn a_name_that_is_long_or_unsafe_is_a_number() {
        let unsafe_value = "[grid]\nbatching.windows = [[], [2, 4]]\n";
        assert_eq!(names(unsafe_value), ["001", "002"]);
        let same_word = "[grid]\ncheckpoints.every = [1, 2]\nvalidation.every = [3, 4]\n";
        assert_eq!(names(same_word), ["001", "002", "003", "004"]);
        let many = (0..30).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
        assert_eq!(names(&format!("seeds = [{many}]\n"))[29], "030-seed=29");
    }

    #[test]
    fn tasks_deal_all_runs_out() {
        let sweep = sweep("seeds = [0, 1, 2, 3, 4, 5, 6]\n").expect("a sweep");
        let task = |number| -> Vec<u64> {
            let task = Shard::new(number, 3).expect("a task");
            sweep.runs_of(task).map(|run| run.seed).collect()
        };
        assert_eq!([task(1), task(2), task(3)], [vec![0, 3, 6], vec![1, 4], vec![2, 5]]);
    }

    #[test]
    fn what_is_wrong_is_said_with_file_and_key() {
        for (rest, says) in [
            ("[grid]\nmodel.hiden = [1]\n", "/my.toml: [grid]: there is no setting `model.hiden`"),
            (
                "[settings]\nmodel.hiden = 1\n",
                "/my.toml: [settings]: there is no setting `model.hiden`",
            ),
            (
                "[grid]\nmodel.hidden = [16, \"wide\"]\n",
                "/my.toml: [grid]: `model.hidden = \"wide\"`: ",
            ),
            ("[[runs]]\n[[runs]]\nmodel.hidden = 0\n", "/my.toml: run 2: "),
            ("[grid]\nmodel.hidden = 16\n", "/my.toml: [grid]: `model.hidden = 16` is no list"),
            ("[grid]\nmodel.hidden = []\n", "/my.toml: [grid]: `model.hidden = []` is no list"),
            ("seeds = [-1]\n", "/my.toml: seeds: `seed = -1`"),
            ("seeds = []\n", "/my.toml: seeds: there are none"),
            ("seeds = [1]\n[grid]\nseed = [1]\n", "/my.toml: [grid]: `seed` is said twice"),
            ("seeds = [1]\n[settings]\nseed = 1\n", "/my.toml: [settings]: `seed` is said twice"),
            ("seeds = [1]\n[[runs]]\nseed = 1\n", "/my.toml: [[runs]] 1: `seed` is said twice"),
            ("seeds = [1, 1]\n", "/my.toml: runs 1 and 2 have the same settings and seed"),
            ("[grid]\niterations = [1]\n[[runs]]\n", "/my.toml: has `[grid]` and `[[runs]]`"),
            ("preset = \"hiv\"\n", "/my.toml: preset: there is no preset `hiv`"),
            ("sseeds = [1]\n", "unknown field `sseeds`"),
            ("seeds = [1\n", "TOML parse error at line"),
        ] {
            let said = sweep(rest).map(|sweep| sweep.runs.len());
            assert!(said.as_ref().is_err_and(|said| said.contains(says)), "{rest}: {said:?}");
        }
    }
}
