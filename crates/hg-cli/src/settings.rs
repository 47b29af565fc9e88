//! Where a run's settings come from: defaults, a preset, a file, the environment, flags;
//! later ones win.

use crate::arguments::{Preset, TrainArguments};
use crate::error::{Error, Result};
use health_gym::training::{TrainConfig, grouped};
use toml::{Table, Value};

/// A setting `optimiser.beta1` is `HG_TRAIN_OPTIMISER__BETA1` in the environment.
const PREFIX: &str = "HG_TRAIN_";

/// Settings with the origin of each.
pub(crate) struct Settings {
    /// Nested, as in TOML.
    table: Table,
    /// By full name, in the table's order.
    origins: Vec<(String, String)>,
}

impl Settings {
    fn defaults() -> Result<Self> {
        let names = TrainConfig::names().into_iter();
        let origins = names.map(|name| (name, "default".to_owned())).collect();
        Ok(Self { table: defaults()?, origins })
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
            let bad = |problem: String| {
                Error::from(health_gym::data::Error::File { path: path.clone(), problem })
            };
            let text = std::fs::read_to_string(path)
                .map_err(|e| bad(format!("cannot read the settings: {e}")))?;
            let table = toml::from_str(&text).map_err(|e| bad(e.to_string()))?;
            settings.layer(table, &path.display().to_string())?;
        }
        // A variable that is not UTF-8 is no setting of ours.
        let variables = std::env::vars_os();
        let texts = variables.filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        });
        for (name, value) in texts {
            if let Some(key) = name.strip_prefix(PREFIX) {
                let key = key.to_lowercase().replace("__", ".");
                settings.layer(nested(&key, parse(&value)), &name)?;
            }
        }
        settings.layer(flags(arguments)?, "flag")?;
        Ok(settings)
    }

    /// Puts a layer over what is there.
    fn layer(&mut self, layer: Table, origin: &str) -> Result<()> {
        for (name, value) in leaves(grouped(layer, origin)) {
            let Some((_, of_name)) = self.origins.iter_mut().find(|(known, _)| *known == name)
            else {
                let problem = format!(
                    "{origin}: there is no setting `{name}`\nhint: there are {}",
                    TrainConfig::names().join(", ")
                );
                return Err(health_gym::training::Error::Config(problem).into());
            };
            origin.clone_into(of_name);
            put(&mut self.table, &name, value);
        }
        Ok(())
    }

    /// As the trainer takes them.
    pub(crate) fn resolve(self) -> Result<TrainConfig> {
        let Self { table, origins } = self;
        // One by one, so that the message can say which and from where.
        for (name, origin) in &origins {
            let Some(value) = get(&table, name) else { continue };
            let mut alone = defaults()?;
            put(&mut alone, name, value.clone());
            if let Err(e) = alone.try_into::<TrainConfig>() {
                let problem = format!("{origin}: `{name} = {value}`: {}", e.message());
                return Err(health_gym::training::Error::Config(problem).into());
            }
        }
        let config = TrainConfig::from_table(table, "settings")?;
        config.check()?;
        Ok(config)
    }

    /// A line for each setting, with its origin.
    pub(crate) fn print(&self) {
        for (name, origin) in &self.origins {
            let value = get(&self.table, name).map_or(String::new(), Value::to_string);
            println!("{:<40} # {origin}", format!("{name} = {value}"));
        }
    }
}

/// The setting of a full name.
fn get<'a>(table: &'a Table, name: &str) -> Option<&'a Value> {
    match name.split_once('.') {
        Some((group, key)) => table.get(group)?.get(key),
        None => table.get(name),
    }
}

/// Sets the setting of a full name.
fn put(table: &mut Table, name: &str, value: Value) {
    let Some((group, key)) = name.split_once('.') else {
        table.insert(name.to_owned(), value);
        return;
    };
    let group = table.entry(group).or_insert_with(|| Table::new().into());
    if let Some(group) = group.as_table_mut() {
        group.insert(key.to_owned(), value);
    }
}

/// A table with one setting.
fn nested(name: &str, value: Value) -> Table {
    let mut table = Table::new();
    put(&mut table, name, value);
    table
}

/// Every setting of a table, by its full name.
fn leaves(table: Table) -> Vec<(String, Value)> {
    let groups = table.into_iter().map(|(key, value)| match value {
        Value::Table(group) => {
            group.into_iter().map(|(inner, value)| (format!("{key}.{inner}"), value)).collect()
        }
        value => vec![(key, value)],
    });
    groups.collect::<Vec<Vec<_>>>().concat()
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
            health_gym::training::Error::Config(format!(
                "--set {pair}\nhint: write it as KEY=VALUE"
            ))
        })?;
        put(&mut table, key.trim(), parse(value.trim()));
    }
    Ok(table)
}

fn flags(arguments: &TrainArguments) -> Result<Table> {
    let mut table = pairs(&arguments.set)?;
    let whole = |value: Option<u64>| value.map(|value| Value::Integer(value as i64));
    let named = [
        ("iterations", whole(arguments.iterations)),
        ("seed", whole(arguments.seed)),
        ("batching.batch_size", whole(arguments.batch_size.map(|size| size as u64))),
        ("checkpoints.every", whole(arguments.checkpoint_every)),
        ("validation.held_out", arguments.held_out.map(Value::Float)),
        ("device", arguments.device.clone().map(Value::String)),
    ];
    for (key, value) in named {
        if let Some(value) = value {
            put(&mut table, key, value);
        }
    }
    Ok(table)
}

/// The published settings (`docs/method.md`, "Training"), with the iterations of about 150 epochs of the
/// published cohorts.
fn of_preset(preset: Preset) -> Table {
    let of = |batch_size: i64, correlation_weight: f64, iterations: i64| {
        let mut table = nested("iterations", Value::Integer(iterations));
        put(&mut table, "batching.batch_size", Value::Integer(batch_size));
        put(&mut table, "optimiser.correlation_weight", Value::Float(correlation_weight));
        table
    };
    let published = |batch_size, correlation_weight, iterations| {
        let mut table = of(batch_size, correlation_weight, iterations);
        put(&mut table, "model.calibration", Value::Boolean(false));
        put(&mut table, "model.resampling", Value::Boolean(false));
        put(&mut table, "model.patient_latent", Value::Float(0.));
        put(&mut table, "model.critic_compares", Value::Boolean(false));
        put(&mut table, "model.generator_carries", Value::Boolean(false));
        put(&mut table, "batching.windows", Value::Array(Vec::new()));
        put(&mut table, "optimiser.critic_steps", Value::Integer(5));
        put(&mut table, "optimiser.weight_averaging", Value::Float(0.99));
        table
    };
    match preset {
        Preset::Hypotension => published(128, 1., 4650),
        Preset::Sepsis => published(32, 10., 10_200),
        Preset::ArtForHiv => published(256, 10., 5250),
        Preset::Demo => of(32, 10., 300),
    }
}
