//! Networks, losses, gradients and Adam steps against PyTorch's values
//! (`tests/golden/make_goldens.py`): 1e-9 in f64, 1e-4 in f32.

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor, Var};
use hg_lstm::kernel::Real;
use hg_lstm::{Lengths, Lstm, LstmConfig, ReverseAlignment};
use hg_models::{
    Alignment, Carried, Critic, CriticConfig, Engine, Generator, GeneratorConfig, Gradients,
    Parameters, RowLayout,
};
use hg_models::{critic_loss, generator_loss, interpolate};
use hg_train::{Adam, AdamConfig, StepScale};
use std::collections::HashMap;
use std::path::PathBuf;

const WEIGHT: f64 = 10.;
const ALIGNED: Alignment<'_> = Alignment { weight: WEIGHT, limits: None };
const HIDDEN: usize = 5;
const PRECISIONS: [(DType, f64); 2] = [(DType::F64, 1e-9), (DType::F32, 1e-4)];

fn golden(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden")).join(name)
}

struct Goldens {
    values: HashMap<String, Tensor>,
    dtype: DType,
    tolerance: f64,
    lengths: Lengths,
}

impl Goldens {
    fn load((dtype, tolerance): (DType, f64)) -> Result<Self> {
        let values = candle_core::safetensors::load(golden("values.safetensors"), &Device::Cpu)?;
        Ok(Self { values, dtype, tolerance, lengths: Lengths::new(vec![5, 3, 1], 5)? })
    }

    fn exact(&self, name: &str) -> Result<&Tensor> {
        self.values.get(name).with_context(|| format!("no golden `{name}`"))
    }

    /// The golden tensor in the type under test.
    fn input(&self, name: &str) -> Result<Tensor> {
        Ok(self.exact(name)?.to_dtype(self.dtype)?)
    }

    /// The numbers of each sequence of a golden `[batch, steps, features]`.
    fn sequences<S: Real>(&self, name: &str) -> Result<Vec<Vec<S>>> {
        let batch = self.lengths.batch();
        let sequence = |n| Ok(self.input(name)?.get(n)?.flatten_all()?.to_vec1::<S>()?);
        (0..batch).map(sequence).collect()
    }

    /// The greatest difference, relative to the golden tensor's greatest entry.
    fn agrees(&self, name: &str, ours: &Tensor) -> Result<()> {
        self.agrees_on_scale(name, ours, greatest(self.exact(name)?)?)
    }

    fn agrees_on_scale(&self, name: &str, ours: &Tensor, scale: f64) -> Result<()> {
        let exact = self.exact(name)?;
        ensure!(exact.dims() == ours.dims(), "{name}: {:?} {:?}", exact.dims(), ours.dims());
        let error = greatest(&(exact - ours.to_dtype(DType::F64)?)?)?;
        ensure!(error <= self.tolerance * scale, "{name} is off by {:e}", error / scale);
        Ok(())
    }

    /// Zeros what a row beyond its length holds, which carries no meaning.
    fn masked(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.broadcast_mul(&self.lengths.mask(self.dtype, &Device::Cpu)?)?)
    }

    /// The gradient of every parameter, then the weights after an Adam step.
    ///
    /// A gradient of 0 (the critic's last bias cancels in C(fake) − C(real)) is
    /// rounding noise on either side: it is held against the greatest gradient
    /// of the network, and its first Adam step, ±lr by its sign, means nothing.
    fn step_agrees(
        &self,
        network: &str,
        parameters: &Parameters,
        gradients: &Gradients,
        without_gradient: &[&str],
    ) -> Result<()> {
        let prefix = format!("{network}.gradient.");
        let golden: Vec<&String> =
            self.values.keys().filter(|name| name.starts_with(&prefix)).collect();
        let scales: Vec<f64> =
            golden.iter().map(|name| greatest(&self.values[*name])).collect::<Result<_>>()?;
        let network_scale = scales.into_iter().fold(0., f64::max);
        let mut count = 0;
        for (name, _) in parameters.iter() {
            let gradient = gradients.get(name).with_context(|| format!("no gradient: {name}"))?;
            let golden_name = format!("{prefix}{name}");
            if without_gradient.contains(&name) {
                ensure!(greatest(self.exact(&golden_name)?)? < 1e-15 * network_scale);
                self.agrees_on_scale(&golden_name, gradient, network_scale)?;
            } else {
                self.agrees(&golden_name, gradient)?;
            }
            count += 1;
        }
        ensure!(count == golden.len());
        let config = AdamConfig { learning_rate: 1e-3, beta1: 0.9, beta2: 0.99 };
        Adam::new(config, parameters)?.step(parameters, gradients, StepScale::default())?;
        for (name, var) in parameters.iter().filter(|(name, _)| !without_gradient.contains(name)) {
            self.agrees(&format!("{network}.after.{name}"), var)?;
        }
        Ok(())
    }
}

fn greatest(x: &Tensor) -> Result<f64> {
    Ok(x.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>()?)
}

fn layout() -> RowLayout {
    RowLayout::new(2, vec![2, 3])
}

fn critic(dtype: DType) -> Result<Critic> {
    critic_of(false, "critic", dtype)
}

/// The critic of a file, which compares rows or does not.
fn critic_of(compares: bool, name: &str, dtype: DType) -> Result<Critic> {
    let config = CriticConfig { layout: layout(), hidden: HIDDEN, compares };
    let path = golden(&format!("{name}.safetensors"));
    Ok(Critic::load(config, &path, dtype, &Device::Cpu)?)
}

/// Critics with the prefix of their golden values: one as published, and one that compares.
const CRITICS: [(bool, &str); 2] = [(false, "critic"), (true, "comparing")];
/// These, with the prefix of the generator's golden values beside each.
const GENERATORS: [(bool, &str, &str); 3] = [
    (false, "critic", "generator"),
    (true, "comparing", "compared"),
    (true, "comparing", CARRYING),
];
/// The prefix of the golden values of a generator that carries.
const CARRYING: &str = "carrying";

fn generator(dtype: DType, reverse_alignment: ReverseAlignment) -> Result<Generator> {
    generator_of(layout(), dtype, reverse_alignment)
}

/// The layout with which golden values of this prefix were made.
fn layout_of(prefix: &str) -> RowLayout {
    // The numbers and the block of two, by the first level of the block of three.
    let carried = (prefix == CARRYING).then_some(Carried { by: 4, features: 0..4 });
    RowLayout { carried: Vec::from_iter(carried), ..layout() }
}

fn generator_of(
    layout: RowLayout,
    dtype: DType,
    reverse_alignment: ReverseAlignment,
) -> Result<Generator> {
    let config = GeneratorConfig { layout, latent: 3, hidden: HIDDEN, reverse_alignment };
    Ok(Generator::load(config, &golden("generator.safetensors"), dtype, &Device::Cpu)?)
}

#[test]
fn lstm_outputs_and_gradients_are_pytorchs() -> Result<()> {
    for precision in PRECISIONS {
        let goldens = Goldens::load(precision)?;
        let weights =
            candle_core::safetensors::load(golden("generator.safetensors"), &Device::Cpu)?;
        let vars: HashMap<String, Var> = weights
            .into_iter()
            .map(|(name, x)| Ok((name, Var::from_tensor(&x.to_dtype(precision.0)?)?)))
            .collect::<Result<_>>()?;
        let tensors = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone()));
        let vb = candle_nn::VarBuilder::from_tensors(tensors.collect(), precision.0, &Device::Cpu);
        let lstm = Lstm::new(LstmConfig { input: 3, hidden: HIDDEN }, vb.pp("rnn_f"))?;
        let x = Var::from_tensor(&goldens.input("noise")?)?;
        let trace = lstm.forward(&x, &goldens.lengths)?;
        let hidden = trace.hidden()?;
        goldens.agrees("lstm.hidden", &hidden)?;
        let weights = goldens.input("lstm.weights")?;
        goldens.agrees("lstm.gradient.x", &trace.input_gradient(&weights)?)?;
        let gradients = (hidden * weights)?.sum_all()?.backward()?;
        goldens.agrees("lstm.gradient.x", gradients.get(&x).context("x")?)?;
        for name in ["i2h.weight", "i2h.bias", "h2h.weight", "h2h.bias"] {
            let gradient = gradients.get(&vars[&format!("rnn_f.{name}")]).context(name)?;
            goldens.agrees(&format!("lstm.gradient.{name}"), gradient)?;
        }
    }
    Ok(())
}

#[test]
fn networks_with_pytorchs_weights_give_its_outputs() -> Result<()> {
    let alignments =
        [(ReverseAlignment::Flipped, "fake"), (ReverseAlignment::HealthGym, "fake_health_gym")];
    for precision in PRECISIONS {
        let goldens = Goldens::load(precision)?;
        for (alignment, name) in alignments {
            let generator = generator(precision.0, alignment)?;
            let fake = generator.forward(&goldens.input("noise")?, &goldens.lengths)?;
            goldens.agrees(name, &goldens.masked(&fake)?)?;
        }
        for ((compares, name), scores) in CRITICS.into_iter().zip(["scores", "comparing.scores"]) {
            let critic = critic_of(compares, name, precision.0)?;
            let critique = critic.forward(&goldens.input("real")?, &goldens.lengths)?;
            goldens.agrees(scores, critique.scores())?;
        }
    }
    Ok(())
}

#[test]
fn critic_loss_its_second_order_gradients_and_adam_step_are_pytorchs() -> Result<()> {
    for (precision, (compares, name)) in
        PRECISIONS.into_iter().flat_map(|precision| CRITICS.map(|critic| (precision, critic)))
    {
        let goldens = Goldens::load(precision)?;
        let critic = critic_of(compares, name, precision.0)?;
        let [real, fake, alpha] = ["real", "fake", "alpha"].map(|name| goldens.input(name));
        let (real, fake, alpha) = (real?, fake?, alpha?);
        let between = interpolate(&real, &fake, &alpha)?;
        let slopes = critic.forward(&between, &goldens.lengths)?.input_gradient()?;
        goldens.agrees(&format!("{name}.slopes"), &slopes)?;
        let loss = critic_loss(&critic, &real, &fake, &alpha, &goldens.lengths, WEIGHT)?;
        goldens.agrees(&format!("{name}.loss"), &loss.total)?;
        goldens.agrees(&format!("{name}.penalty"), &loss.penalty)?;
        let gradients = critic.parameters().gradients(&loss.total.backward()?);
        goldens.step_agrees(name, critic.parameters(), &gradients, &["linear3.bias"])?;
    }
    Ok(())
}

#[test]
fn generator_loss_its_gradients_and_adam_step_are_pytorchs() -> Result<()> {
    for (precision, (compares, critic, name)) in
        PRECISIONS.into_iter().flat_map(|precision| GENERATORS.map(|of| (precision, of)))
    {
        let goldens = Goldens::load(precision)?;
        let generator = generator_of(layout_of(name), precision.0, ReverseAlignment::Flipped)?;
        let critic = critic_of(compares, critic, precision.0)?;
        let fake = generator.forward(&goldens.input("noise")?, &goldens.lengths)?;
        if name == CARRYING {
            goldens.agrees("carrying.fake", &goldens.masked(&fake)?)?;
        }
        let real = goldens.input("real")?;
        let (loss, alignment) = generator_loss(&critic, &real, &fake, &goldens.lengths, ALIGNED)?;
        goldens.agrees(&format!("{name}.loss"), &loss)?;
        goldens.agrees(&format!("{name}.alignment"), &alignment)?;
        let gradients = generator.parameters().gradients(&loss.backward()?);
        goldens.step_agrees(name, generator.parameters(), &gradients, &[])?;
    }
    Ok(())
}

#[test]
fn the_engines_critic_gradients_and_adam_step_are_pytorchs() -> Result<()> {
    fn check<S: Real>(precision: (DType, f64), compares: bool, name: &str) -> Result<()> {
        let goldens = Goldens::load(precision)?;
        let generator = generator(precision.0, ReverseAlignment::Flipped)?;
        let critic = critic_of(compares, name, precision.0)?;
        let mut engine = Engine::<S>::new(generator.config(), critic.config());
        let batch = engine.pack(&goldens.input("real")?, &goldens.lengths)?;
        let alpha: Vec<S> = goldens.input("alpha")?.to_vec1()?;
        let noise = goldens.sequences::<S>("noise")?;
        let (given, _) = engine.critic_gradient_for(
            critic.parameters(),
            &batch,
            &goldens.input("fake")?,
            &alpha,
            WEIGHT,
        )?;
        let (made, gradients) = engine.critic_gradient(
            generator.parameters(),
            critic.parameters(),
            &batch,
            &|n, values| values.copy_from_slice(&noise[n][..values.len()]),
            &alpha,
            WEIGHT,
        )?;
        for measures in [given, made] {
            let [loss, penalty] = ["loss", "penalty"].map(|of| format!("{name}.{of}"));
            goldens.agrees(&loss, &Tensor::new(measures.loss, &Device::Cpu)?)?;
            goldens.agrees(&penalty, &Tensor::new(measures.penalty, &Device::Cpu)?)?;
        }
        goldens.step_agrees(name, critic.parameters(), gradients, &["linear3.bias"])
    }
    for (compares, name) in CRITICS {
        check::<f64>(PRECISIONS[0], compares, name)?;
        check::<f32>(PRECISIONS[1], compares, name)?;
    }
    Ok(())
}

#[test]
fn the_engines_generator_gradients_and_adam_step_are_pytorchs() -> Result<()> {
    fn check<S: Real>(
        precision: (DType, f64),
        (compares, critic, prefix): (bool, &str, &str),
    ) -> Result<()> {
        let goldens = Goldens::load(precision)?;
        let critic = critic_of(compares, critic, precision.0)?;
        let noise = goldens.sequences::<S>("noise")?;
        let noise = |n: usize, values: &mut [S]| values.copy_from_slice(&noise[n][..values.len()]);
        let published =
            [(ReverseAlignment::HealthGym, "fake_health_gym"), (ReverseAlignment::Flipped, "fake")];
        let carrying = [(ReverseAlignment::Flipped, "carrying.fake")];
        let alignments = if prefix == CARRYING { &carrying[..] } else { &published };
        for &(alignment, name) in alignments {
            let generator = generator_of(layout_of(prefix), precision.0, alignment)?;
            let mut engine = Engine::<S>::new(generator.config(), critic.config());
            let rows = engine.generate(generator.parameters(), &goldens.lengths, &noise)?;
            let shape = goldens.exact(name)?.dims().to_vec();
            goldens.agrees(name, &Tensor::from_vec(rows, shape, &Device::Cpu)?)?;
            if alignment == ReverseAlignment::HealthGym {
                continue;
            }
            let batch = engine.pack(&goldens.input("real")?, &goldens.lengths)?;
            let (measures, gradients) = engine.generator_gradient(
                generator.parameters(),
                critic.parameters(),
                &batch,
                &noise,
                ALIGNED,
            )?;
            let [loss, alignment] = ["loss", "alignment"].map(|of| format!("{prefix}.{of}"));
            goldens.agrees(&loss, &Tensor::new(measures.loss, &Device::Cpu)?)?;
            goldens.agrees(&alignment, &Tensor::new(measures.alignment, &Device::Cpu)?)?;
            goldens.step_agrees(prefix, generator.parameters(), gradients, &[])?;
        }
        Ok(())
    }
    for generator in GENERATORS {
        check::<f64>(PRECISIONS[0], generator)?;
        check::<f32>(PRECISIONS[1], generator)?;
    }
    Ok(())
}

/// `make_goldens.py` loads this very file with `load_state_dict` and checks its
/// scores, so saving must give these bytes. `HG_WRITE_GOLDENS=1` writes it.
#[test]
fn saved_weights_are_the_file_that_pytorch_was_shown_to_load() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("critic.safetensors");
    critic(DType::F64)?.parameters().save(&path)?;
    let saved = std::fs::read(path)?;
    let committed = golden("critic-from-rust.safetensors");
    if std::env::var_os("HG_WRITE_GOLDENS").is_some() {
        std::fs::write(&committed, &saved)?;
    }
    ensure!(saved == std::fs::read(committed)?);
    Ok(())
}

#[test]
fn what_torch_save_wrote_loads_as_the_same_weights() -> Result<()> {
    let config = generator(DType::F64, ReverseAlignment::HealthGym)?.config().clone();
    let from = |name: &str| -> Result<Vec<(String, Vec<f64>)>> {
        let network = Generator::load(config.clone(), &golden(name), DType::F64, &Device::Cpu)?;
        let weights = network.parameters().iter();
        weights
            .map(|(name, var)| Ok((name.to_owned(), var.flatten_all()?.to_vec1::<f64>()?)))
            .collect()
    };
    ensure!(from("generator.pt")? == from("generator.safetensors")?);
    Ok(())
}
