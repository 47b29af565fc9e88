//! Where a run's settings come from: defaults, a preset, a file, the environment, flags;
//! later ones win.

use crate::arguments::TrainArguments;
use crate::error::{Error, Result};
use health_gym::training::Settings;
use toml::{Table, Value};

/// A setting `optimiser.beta1` is `HG_TRAIN_OPTIMISER__BETA1` in the environment.
const PREFIX: &str = "HG_TRAIN_";
/// What messages call the arguments.
const FLAG: &str = "flag";

/// All layers, one over the other.
pub(crate) fn gather(arguments: &TrainArguments) -> Result<Settings> {
    let mut settings = match arguments.preset {
        Some(preset) => Settings::of_preset(preset)?,
        None => Settings::defaults()?,
    };
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
            settings.set(&key, parse(&value), &name)?;
        }
    }
    put_flags(&mut settings, arguments)?;
    Ok(settings)
}

/// A value as TOML would read it, else a text.
fn parse(text: &str) -> Value {
    let read = toml::from_str::<Table>(&format!("x = {text}"));
    read.ok().and_then(|mut table| table.remove("x")).unwrap_or_else(|| Value::String(text.into()))
}

/// What `--set` gives.
pub(crate) fn put_pairs(settings: &mut Settings, set: &[String]) -> Result<()> {
    for pair in set {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            health_gym::training::Error::Config(format!(
                "--set {pair}\nhint: write it as KEY=VALUE"
            ))
        })?;
        settings.set(key.trim(), parse(value.trim()), FLAG)?;
    }
    Ok(())
}

fn put_flags(settings: &mut Settings, arguments: &TrainArguments) -> Result<()> {
    put_pairs(settings, &arguments.set)?;
    let whole = |value: Option<u64>| value.map(|value| Value::Integer(value as i64));
    let named = [
        ("iterations", whole(arguments.iterations)),
        ("seed", whole(arguments.seed)),
        ("batching.batch_size", whole(arguments.batch_size.map(|size| size as u64))),
        ("checkpoints.every", whole(arguments.checkpoint_every)),
        ("validation.held_out", arguments.held_out.map(Value::Float)),
        ("privacy.epsilon", arguments.epsilon.map(Value::Float)),
        ("privacy.delta", arguments.delta.map(Value::Float)),
        ("device", arguments.device.clone().map(Value::String)),
    ];
    for (key, value) in named {
        if let Some(value) = value {
            settings.set(key, value, FLAG)?;
        }
    }
    Ok(())
}
