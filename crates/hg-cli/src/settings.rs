//! Where a run's settings come from: defaults, a preset, a file, the environment, flags;
//! later ones win.

use crate::arguments::{Preset, TrainArguments};
use crate::error::{Error, Result};
use hg_train::TrainConfig;
use toml::{Table, Value};

/// A setting `checkpoint_every` is `HG_TRAIN_CHECKPOINT_EVERY` in the environment.
const PREFIX: &str = "HG_TRAIN_";

/// Settings with the origin of each.
pub(crate) struct Settings {
    table: Table,
    /// By key, in the table's order.
    origins: Vec<(String, String)>,
}

impl Settings {
    fn defaults() -> Result<Self> {
        let table = defaults()?;
        let origins = table.keys().map(|key| (key.clone(), "default".to_owned())).collect();
        Ok(Self { table, origins })
    }

    /// Those of imported weights: what the weights say, then `--set`.
    pub(crate) fn of_weights(sizes: Table, set: &[String]) -> Result<Self> {
        let mut settings = Self::defaults()?;
        settings.layer(sizes, "weights")?;
        settings.layer(pairs(set)?, "flag")?;
        Ok(settings)
    }

    /// All layers, one over the other.
    pub(crate) fn gather(arguments: &TrainArguments) -> Result<Self> {
        let mut settings = Self::defaults()?;
        if let Some(preset) = arguments.preset {
            settings.layer(of_preset(preset), &format!("preset {}", preset.name()))?;
        }
        if let Some(path) = &arguments.config {
            let bad =
                |problem: String| Error::from(hg_data::Error::File { path: path.clone(), problem });
            let text = std::fs::read_to_string(path)
                .map_err(|e| bad(format!("cannot read the settings: {e}")))?;
            let table = toml::from_str(&text).map_err(|e| bad(e.to_string()))?;
            settings.layer(table, &path.display().to_string())?;
        }
        for (name, value) in std::env::vars() {
            if let Some(key) = name.strip_prefix(PREFIX) {
                let layer = Table::from_iter([(key.to_lowercase(), parse(&value))]);
                settings.layer(layer, &name)?;
            }
        }
        settings.layer(flags(arguments)?, "flag")?;
        Ok(settings)
    }

    /// Puts a layer over what is there.
    fn layer(&mut self, layer: Table, origin: &str) -> Result<()> {
        for (key, value) in layer {
            let Some((_, of_key)) = self.origins.iter_mut().find(|(known, _)| *known == key) else {
                let known: Vec<&str> = self.origins.iter().map(|(key, _)| key.as_str()).collect();
                let problem = format!(
                    "{origin}: there is no setting «{key}»; there are: {}",
                    known.join(", ")
                );
                return Err(hg_train::Error::Config(problem).into());
            };
            origin.clone_into(of_key);
            self.table.insert(key, value);
        }
        Ok(())
    }

    /// As the trainer takes them.
    pub(crate) fn resolve(self) -> Result<TrainConfig> {
        let Self { table, origins } = self;
        // One by one, so that the message can say which and from where.
        let defaults = defaults()?;
        for (key, origin) in &origins {
            let mut alone = defaults.clone();
            alone.insert(key.clone(), table[key].clone());
            if let Err(e) = alone.try_into::<TrainConfig>() {
                let problem = format!("{origin}: {key} = {}: {}", table[key], e.message());
                return Err(hg_train::Error::Config(problem).into());
            }
        }
        let config: TrainConfig = table
            .try_into()
            .map_err(|e: toml::de::Error| hg_train::Error::Config(e.message().to_owned()))?;
        config.check()?;
        Ok(config)
    }

    /// A line of TOML for each setting, with its origin.
    pub(crate) fn print(&self) {
        for (key, origin) in &self.origins {
            println!("{:<40} # {origin}", format!("{key} = {}", self.table[key]));
        }
    }
}

fn defaults() -> Result<Table> {
    Table::try_from(TrainConfig::default())
        .map_err(|e| Error::Other(format!("cannot write the defaults: {e}")))
}

/// A value as TOML would read it, else a text.
fn parse(text: &str) -> Value {
    let read = toml::from_str::<Table>(&format!("x = {text}"));
    read.ok().and_then(|mut table| table.remove("x")).unwrap_or_else(|| Value::String(text.into()))
}

/// What `--set` gives.
fn pairs(set: &[String]) -> Result<Table> {
    let mut table = Table::new();
    for pair in set {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            hg_train::Error::Config(format!("--set {pair}: write it as KEY=VALUE"))
        })?;
        table.insert(key.trim().into(), parse(value.trim()));
    }
    Ok(table)
}

fn flags(arguments: &TrainArguments) -> Result<Table> {
    let mut table = pairs(&arguments.set)?;
    let whole = |value: Option<u64>| value.map(|value| Value::Integer(value as i64));
    let named = [
        ("iterations", whole(arguments.iterations)),
        ("seed", whole(arguments.seed)),
        ("batch_size", whole(arguments.batch_size.map(|size| size as u64))),
        ("checkpoint_every", whole(arguments.checkpoint_every)),
        ("held_out", arguments.held_out.map(Value::Float)),
        ("device", arguments.device.clone().map(Value::String)),
    ];
    for (key, value) in named {
        if let Some(value) = value {
            table.insert(key.into(), value);
        }
    }
    Ok(table)
}

/// The published settings (DESIGN §1), with the iterations of about 150 epochs of the
/// published cohorts.
fn of_preset(preset: Preset) -> Table {
    let of = |batch_size: i64, correlation_weight: f64, iterations: i64| {
        Table::from_iter([
            ("batch_size".to_owned(), Value::Integer(batch_size)),
            ("correlation_weight".to_owned(), Value::Float(correlation_weight)),
            ("iterations".to_owned(), Value::Integer(iterations)),
        ])
    };
    match preset {
        Preset::Hypotension => of(128, 1., 4650),
        Preset::Sepsis => of(32, 10., 10_200),
        Preset::ArtForHiv => of(256, 10., 5250),
        Preset::Demo => of(32, 10., 300),
    }
}
