//! Parameters: how they are drawn, their names, files of weights, and what is refused.

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use hg_lstm::ReverseAlignment;
use hg_models::{
    Critic, CriticConfig, Error, Generator, GeneratorConfig, Parameters, RowLayout, read_weights,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

fn layout() -> RowLayout {
    RowLayout::new(3, vec![2, 5])
}

fn generator_config() -> GeneratorConfig {
    let reverse_alignment = ReverseAlignment::Flipped;
    GeneratorConfig { layout: layout(), latent: 16, hidden: 25, reverse_alignment }
}

fn critic_config() -> CriticConfig {
    CriticConfig { layout: layout(), hidden: 25, compares: false }
}

fn generator() -> Result<Generator> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    Ok(Generator::init(generator_config(), &mut rng, DType::F64, &Device::Cpu)?)
}

fn critic() -> Result<Critic> {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    Ok(Critic::init(critic_config(), &mut rng, DType::F64, &Device::Cpu)?)
}

fn numbers(x: &Tensor) -> Result<Vec<f64>> {
    Ok(x.flatten_all()?.to_dtype(DType::F64)?.to_vec1()?)
}

/// Shape and numbers of each parameter by name.
type Weights = BTreeMap<String, (Vec<usize>, Vec<f64>)>;

fn all(parameters: &Parameters) -> Result<Weights> {
    let of = |(name, var): (&str, &candle_core::Var)| {
        Ok((name.to_owned(), (var.dims().to_vec(), numbers(var)?)))
    };
    parameters.iter().map(of).collect()
}

/// Saves these tensors and returns why the critic refuses them.
fn refusal(folder: &Path, tensors: &HashMap<String, Tensor>) -> Result<String> {
    let path = folder.join("weights.safetensors");
    candle_core::safetensors::save(tensors, &path)?;
    let loaded = Critic::load(critic_config(), &path, DType::F64, &Device::Cpu);
    match loaded {
        Err(error @ Error::Weights(_)) => Ok(error.to_string()),
        other => anyhow::bail!("{:?}", other.map(|_| "loaded")),
    }
}

#[test]
fn names_and_shapes_are_those_of_the_pytorch_code() -> Result<()> {
    let lstm = |direction: &str, input: usize| {
        let name = |part: &str| format!("{direction}.{part}");
        [
            (name("h2h.bias"), vec![100]),
            (name("h2h.weight"), vec![100, 25]),
            (name("i2h.bias"), vec![100]),
            (name("i2h.weight"), vec![100, input]),
        ]
    };
    let linear = |name: &str, input: usize, output: usize| {
        [(format!("{name}.bias"), vec![output]), (format!("{name}.weight"), vec![output, input])]
    };
    let found = |parameters: &Parameters| -> Vec<(String, Vec<usize>)> {
        parameters.iter().map(|(name, var)| (name.to_owned(), var.dims().to_vec())).collect()
    };
    let dense = [linear("linear1", 50, 25), linear("linear2", 25, 25), linear("linear3", 25, 10)];
    let expected: Vec<_> =
        dense.into_iter().flatten().chain(lstm("rnn_f", 16)).chain(lstm("rnn_r", 16)).collect();
    assert_eq!(found(generator()?.parameters()), expected);

    let embeddings = [
        ("embedding_layers.0.weight".to_owned(), vec![2, 2]),
        ("embedding_layers.1.weight".to_owned(), vec![5, 4]),
    ];
    let dense = [linear("linear1", 9, 25), linear("linear2", 25, 25), linear("linear3", 50, 1)];
    let expected: Vec<_> = embeddings
        .into_iter()
        .chain(dense.into_iter().flatten())
        .chain(lstm("rnn_f", 25))
        .chain(lstm("rnn_r", 25))
        .collect();
    assert_eq!(found(critic()?.parameters()), expected);

    // A critic that compares has one map more, of changes and distances.
    let config = CriticConfig { compares: true, ..critic_config() };
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let comparing = Critic::init(config, &mut rng, DType::F64, &Device::Cpu)?;
    let more: Vec<_> =
        found(comparing.parameters()).into_iter().filter(|of| !expected.contains(of)).collect();
    assert_eq!(more, [("compared.weight".to_owned(), vec![25, 20])]);
    Ok(())
}

/// U(−1/√inputs, 1/√inputs) for weights and biases of linear maps, N(0, 1) for embeddings.
#[test]
fn fresh_weights_follow_pytorchs_laws() -> Result<()> {
    let critic = critic()?;
    for (name, inputs) in [("rnn_f.i2h", 25f64), ("linear1", 9.), ("linear2", 25.)] {
        for part in ["weight", "bias"] {
            let name = format!("{name}.{part}");
            let values = numbers(critic.parameters().get(&name)?)?;
            let bound = 1. / inputs.sqrt();
            let greatest = values.iter().fold(0f64, |most, x| most.max(x.abs()));
            ensure!(greatest <= bound && greatest > 0.8 * bound, "{name}: {greatest} of {bound}");
            ensure!(values.iter().any(|&x| x < 0.) && values.iter().any(|&x| x > 0.), "{name}");
        }
    }
    let wide = CriticConfig { layout: RowLayout::new(0, vec![200]), hidden: 4, compares: false };
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let wide = Critic::init(wide, &mut rng, DType::F64, &Device::Cpu)?;
    let values = numbers(wide.parameters().get("embedding_layers.0.weight")?)?;
    let mean = values.iter().sum::<f64>() / 800.;
    let variance = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 800.;
    ensure!(mean.abs() < 0.2 && (variance - 1.).abs() < 0.25, "{mean} {variance}");
    Ok(())
}

#[test]
fn saved_weights_load_as_they_were_in_another_float_type_too() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("generator.safetensors");
    let generator = generator()?;
    generator.parameters().save(&path)?;
    let loaded = Generator::load(generator_config(), &path, DType::F64, &Device::Cpu)?;
    assert_eq!(all(loaded.parameters())?, all(generator.parameters())?);
    let single = Generator::load(generator_config(), &path, DType::F32, &Device::Cpu)?;
    assert_eq!(single.parameters().dtype(), DType::F32);
    ensure!(single.parameters().device().is_cpu());
    for ((name, var), (_, exact)) in single.parameters().iter().zip(generator.parameters().iter()) {
        assert_eq!(var.dtype(), DType::F32);
        let pairs = numbers(var)?.into_iter().zip(numbers(exact)?);
        ensure!(pairs.into_iter().all(|(a, b)| (a - b).abs() <= 1e-7), "{name}");
    }
    assert_eq!(read_weights(&path)?.len(), 14);
    Ok(())
}

#[test]
fn a_generator_on_its_own_device_is_itself() -> Result<()> {
    let generator = generator()?;
    let same = generator.on(&Device::Cpu)?;
    let before = numbers(generator.parameters().get("linear1.bias")?)?;
    let var = same.parameters().get("linear1.bias")?;
    var.set(&(var.as_tensor() + 1.)?)?;
    ensure!(numbers(generator.parameters().get("linear1.bias")?)? != before);
    Ok(())
}

#[test]
fn a_network_computes_with_its_own_variables() -> Result<()> {
    let critic = critic()?;
    let x = Tensor::rand(0f64, 1., (2, 3, 10), &Device::Cpu)?;
    let lengths = hg_lstm::Lengths::full(2, 3)?;
    let before = numbers(critic.forward(&x, &lengths)?.scores())?;
    let bias = critic.parameters().get("linear3.bias")?;
    bias.set(&(bias.as_tensor() + 1.)?)?;
    let after = numbers(critic.forward(&x, &lengths)?.scores())?;
    ensure!(before.iter().zip(&after).all(|(a, b)| (a + 1. - b).abs() < 1e-12));
    Ok(())
}

#[test]
fn weights_that_do_not_fit_are_refused_by_name() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let tensors: HashMap<String, Tensor> = critic()?
        .parameters()
        .iter()
        .map(|(name, var)| (name.to_owned(), var.as_tensor().clone()))
        .collect();

    let mut fewer = tensors.clone();
    fewer.remove("linear2.bias").context("it is there")?;
    let said = refusal(folder.path(), &fewer)?;
    ensure!(said.contains("has no `linear2.bias`"), "{said}");

    let mut more = tensors.clone();
    more.insert("linear4.bias".into(), tensors["linear2.bias"].clone());
    let said = refusal(folder.path(), &more)?;
    ensure!(said.contains("has `linear4.bias`, which the model does not have"), "{said}");

    let mut other = tensors.clone();
    other.insert("linear2.bias".into(), tensors["linear3.bias"].clone());
    let said = refusal(folder.path(), &other)?;
    ensure!(said.contains("`linear2.bias` in") && said.contains("[1], the model needs [25]"));

    let said = refusal(folder.path(), &HashMap::new())?;
    ensure!(said.contains("holds no tensors\nhint: save the network's `state_dict()`"), "{said}");

    let unknown = critic()?.parameters().get("linear9.bias").map(|_| ()).map_err(|e| e.to_string());
    ensure!(unknown.is_err_and(|said| said.contains("there is no `linear9.bias`")));
    Ok(())
}

#[test]
fn a_file_that_holds_no_weights_is_refused_with_its_path() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for name in ["notes.txt", "network.pt"] {
        let path = folder.path().join(name);
        std::fs::write(&path, "no weights")?;
        let Err(error) = read_weights(&path) else { anyhow::bail!("{name} was read") };
        ensure!(matches!(error, Error::WeightsFile { .. }), "{error}");
        let said = error.to_string();
        ensure!(said.contains(name) && said.contains("is no file of weights that we read"));
        ensure!(said.contains("\nhint: "), "{said}");
        ensure!(std::error::Error::source(&error).is_some());
    }
    Ok(())
}

/// The files that the PyTorch side shares, by both readers.
#[test]
fn a_state_dict_of_torch_save_reads_as_the_same_tensors() -> Result<()> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    let pickled = read_weights(&golden.join("generator.pt"))?;
    let safe = read_weights(&golden.join("generator.safetensors"))?;
    ensure!(!safe.is_empty() && pickled.len() == safe.len());
    for (name, exact) in safe {
        assert_eq!(numbers(pickled.get(&name).context(name)?)?, numbers(&exact)?);
    }
    Ok(())
}
