//! Settings in layers: defaults, a preset, then what a user says; later ones win, and each setting
//! knows where it comes from.

use crate::config::grouped;
use crate::run::{critic_compares, sizes_of};
use crate::{Error, Result, TrainConfig};
use hg_data::{Privacy, Schema};
use std::path::Path;
use toml::{Table, Value};

/// Settings with the origin of each.
///
/// ```
/// use hg_train::{Preset, Settings};
///
/// let mut settings = Settings::of_preset(Preset::ArtForHiv)?;
/// settings.set("optimiser.learning_rate", 1e-4, "my script")?;
/// let config = settings.resolve()?;
/// assert_eq!((config.batching.batch_size, config.optimiser.learning_rate), (256, 1e-4));
/// # Ok::<(), hg_train::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    /// Nested, as in TOML.
    table: Table,
    /// By full name, in the table's order.
    origins: Vec<(String, String)>,
}

impl Settings {
    /// The defaults.
    ///
    /// # Errors
    /// Never: defaults can be written as TOML.
    pub fn defaults() -> Result<Self> {
        let names = TrainConfig::names().into_iter();
        let origins = names.map(|name| (name, DEFAULT.to_owned())).collect();
        Ok(Self { table: defaults()?, origins })
    }

    /// Those of a preset over the defaults.
    ///
    /// # Errors
    /// Never: a test reads every preset.
    pub fn of_preset(preset: Preset) -> Result<Self> {
        let mut settings = Self::defaults()?;
        settings.layer(preset.settings(), &format!("{OF_PRESET}{}", preset.name()))?;
        Ok(settings)
    }

    /// Those of weights that other programs trained, in the original's names: sizes and parts that the
    /// weights show, the published way where they do not.
    ///
    /// # Errors
    /// When the files hold no weights of Health Gym's networks.
    pub fn of_weights(generator: &Path, critic: Option<&Path>) -> Result<Self> {
        let (hidden, latent) = sizes_of(generator)?;
        let compares = critic.map_or(Ok(false), critic_compares)?;
        let mut settings = Self::defaults()?;
        for (name, value) in [
            ("hidden", Value::Integer(hidden as i64)),
            ("latent_features", Value::Integer(latent as i64)),
            ("reverse_alignment", "health-gym".into()),
            ("latent", "uniform".into()),
            ("patient_latent", Value::Float(0.)),
            ("critic_compares", compares.into()),
            ("generator_carries", false.into()),
        ] {
            settings.set(&format!("model.{name}"), value, "weights")?;
        }
        Ok(settings)
    }

    /// Puts a layer over what is there; `origin` is for messages.
    ///
    /// # Errors
    /// [`Error::Config`] where there is no such setting.
    pub fn layer(&mut self, layer: Table, origin: &str) -> Result<()> {
        for (name, value) in leaves(grouped(layer, origin)) {
            let Some((_, of_name)) = self.origins.iter_mut().find(|(known, _)| *known == name)
            else {
                let problem = format!(
                    "{origin}: there is no setting `{name}`\nhint: there are {}",
                    TrainConfig::names().join(", ")
                );
                return Err(Error::Config(problem));
            };
            origin.clone_into(of_name);
            put(&mut self.table, &name, value);
        }
        Ok(())
    }

    /// Sets one setting, by its full name or by that of version 0.1.
    ///
    /// # Errors
    /// [`Error::Config`] where there is no such setting.
    pub fn set(&mut self, name: &str, value: impl Into<Value>, origin: &str) -> Result<()> {
        let mut layer = Table::new();
        put(&mut layer, name, value.into());
        self.layer(layer, origin)
    }

    /// As the trainer takes them.
    ///
    /// # Errors
    /// [`Error::Config`] for a value of another type or out of its range, with its origin.
    pub fn resolve(mut self) -> Result<TrainConfig> {
        self.protect();
        let Self { table, origins } = self;
        // One by one, so that the message can say which and from where.
        for (name, origin) in &origins {
            let Some(value) = get(&table, name) else { continue };
            let mut alone = defaults()?;
            put(&mut alone, name, value.clone());
            if let Err(e) = alone.try_into::<TrainConfig>() {
                let problem = format!("{origin}: `{name} = {value}`: {}", e.message());
                return Err(Error::Config(problem));
            }
        }
        let config = TrainConfig::from_table(table, "settings")?;
        config.check()?;
        Ok(config)
    }

    /// Asks for the guarantee of a schema, where it has one and nothing was said of it.
    ///
    /// # Errors
    /// Never: there are such settings.
    pub fn ask_as(&mut self, schema: &Schema) -> Result<()> {
        let Some(Privacy { epsilon, delta }) = schema.privacy else { return Ok(()) };
        for (name, value) in [("privacy.epsilon", Some(epsilon)), ("privacy.delta", delta)] {
            if let Some(value) = value.filter(|_| !self.is_said(name)) {
                self.set(name, value, &format!("schema {}", schema.name))?;
            }
        }
        Ok(())
    }

    /// Whether more than the defaults, or a preset, says something of a setting.
    fn is_said(&self, name: &str) -> bool {
        let origin = self.origins.iter().find(|(known, _)| known == name).map(|(_, origin)| origin);
        origin.is_some_and(|origin| origin != DEFAULT && !origin.starts_with(OF_PRESET))
    }

    /// Puts what a guarantee needs over defaults and presets, where one is asked for.
    fn protect(&mut self) {
        let epsilon = get(&self.table, "privacy.epsilon").and_then(Value::as_float);
        let whole = get(&self.table, "privacy.epsilon").and_then(Value::as_integer);
        if !epsilon.or(whole.map(|whole| whole as f64)).is_some_and(f64::is_finite) {
            return;
        }
        for (name, value) in protected() {
            if !self.is_said(name) {
                put(&mut self.table, name, value);
                let of_name = self.origins.iter_mut().find(|(known, _)| known == name);
                if let Some((_, origin)) = of_name {
                    "guarantee".clone_into(origin);
                }
            }
        }
    }

    /// A line for each setting, with its origin.
    pub fn lines(&mut self) -> impl Iterator<Item = String> {
        self.protect();
        self.origins.iter().map(|(name, origin)| {
            let value = get(&self.table, name).map_or(String::new(), Value::to_string);
            format!("{:<40} # {origin}", format!("{name} = {value}"))
        })
    }
}

/// What messages call the defaults, and a preset before its name.
const DEFAULT: &str = "default";
const OF_PRESET: &str = "preset ";

/// What a guarantee needs, and what trains well under one (docs/quality.md, "A privacy guarantee").
fn protected() -> [(&'static str, Value); 12] {
    [
        ("model.resampling", Value::Boolean(false)),
        ("model.hidden", Value::Integer(32)),
        ("optimiser.correlation_weight", Value::Float(0.)),
        ("optimiser.critic_steps", Value::Integer(2)),
        // Nothing chooses the best weights, so that the last ones must be good.
        ("optimiser.schedule", "cosine".into()),
        ("batching.batch_size", Value::Integer(512)),
        ("batching.curriculum_epochs", Value::Integer(0)),
        ("validation.every", Value::Integer(0)),
        ("validation.patience", Value::Integer(0)),
        ("validation.select", "last".into()),
        ("checkpoints.restarts", Value::Integer(0)),
        ("iterations", Value::Integer(1000)),
    ]
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
        .map_err(|e| Error::Config(format!("cannot write the defaults: {e}")))
}

/// Settings of the published cohorts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Acute hypotension: batch 128, correlation weight 1.
    Hypotension,
    /// Sepsis: batch 32.
    Sepsis,
    /// ART for HIV: batch 256.
    ArtForHiv,
    /// A minute's run, to see the program work.
    Demo,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hypotension, Self::Sepsis, Self::ArtForHiv, Self::Demo];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hypotension => "hypotension",
            Self::Sepsis => "sepsis",
            Self::ArtForHiv => "art-for-hiv",
            Self::Demo => "demo",
        }
    }

    /// What it is for.
    pub fn description(self) -> &'static str {
        match self {
            Self::Hypotension => "Acute hypotension: batch 128, correlation weight 1",
            Self::Sepsis => "Sepsis: batch 32",
            Self::ArtForHiv => "ART for HIV: batch 256",
            Self::Demo => "A minute's run, to see the program work",
        }
    }

    /// The published settings (`docs/method.md`, "Training"), with the iterations of about 150 epochs of
    /// the published cohorts.
    fn settings(self) -> Table {
        let of = |batch_size: i64, correlation_weight: f64, iterations: i64| {
            let mut table =
                Table::from_iter([("iterations".to_owned(), Value::Integer(iterations))]);
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
        match self {
            Self::Hypotension => published(128, 1., 4650),
            Self::Sepsis => published(32, 10., 10_200),
            Self::ArtForHiv => published(256, 10., 5250),
            Self::Demo => of(32, 10., 300),
        }
    }
}

impl std::str::FromStr for Preset {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::Config(format!("there is no preset `{name}`\nhint: there are {names}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_resolves_and_keeps_the_published_method() -> Result<()> {
        for preset in Preset::ALL {
            assert_eq!(preset.name().parse::<Preset>()?, preset);
            let config = Settings::of_preset(preset)?.resolve()?;
            let is_published = !config.model.calibration && config.optimiser.critic_steps == 5;
            assert_eq!(is_published, preset != Preset::Demo, "{preset:?}");
        }
        assert!("hiv".parse::<Preset>().is_err());
        Ok(())
    }

    #[test]
    fn a_later_layer_wins_and_an_unknown_or_wrong_setting_names_its_origin() -> Result<()> {
        let mut settings = Settings::of_preset(Preset::Demo)?;
        settings.set("iterations", 7, "first")?;
        settings.set("iterations", 9, "second")?;
        assert!(
            settings
                .lines()
                .any(|line| line.contains("iterations = 9") && line.ends_with("# second"))
        );
        let unknown = settings.set("model.depth", 2, "script").map_err(|e| e.to_string());
        assert!(unknown.is_err_and(|e| e.starts_with("script: there is no setting `model.depth`")));
        settings.set("model.hidden", "wide", "script")?;
        let wrong = settings.resolve().map_err(|e| e.to_string());
        assert!(wrong.is_err_and(|e| e.starts_with("script: `model.hidden = \"wide\"`: ")));
        Ok(())
    }
}
