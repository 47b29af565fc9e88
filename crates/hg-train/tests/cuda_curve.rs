//! On a GPU the networks learn what they learn on the CPU. Without a device the test counts as
//! ignored.

use candle_core::Device;
use hg_data::{Encoder, Schema, Subset};
use hg_train::{DeviceKind, TrainConfig, Trainer, layout_of};
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let is_there = Device::new_cuda(0).is_ok();
    if !is_there {
        eprintln!("skipped: no CUDA device");
    }
    let name = "the_first_iterations_on_pbc_are_those_of_the_cpu";
    let test = Trial::test(name, same_curve).with_ignored_flag(!is_there);
    libtest_mimic::run(&Arguments::from_args(), vec![test]).exit_code()
}

fn same_curve() -> Result<(), Failed> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let table = root.join("data/pbc/pbcseq.csv");
    let schema = Schema::load(&root.join("data-schemas/pbc.toml"))?;
    let (encoder, encoded) = Encoder::fit(&schema, &schema.read(&table)?, Subset::Whole)?;
    let trainer = |device: DeviceKind| {
        let mut config = TrainConfig { device, ..Default::default() };
        config.batching.batch_size = 12;
        config.model.hidden = 20;
        Trainer::new(&config, &layout_of(&encoder), &encoded)
    };
    let (mut ours, mut exact) = (trainer(DeviceKind::Cuda)?, trainer(DeviceKind::Cpu)?);
    for _ in 0..5 {
        let (ours, exact) = (ours.step()?, exact.step()?);
        for name in
            ["critic_loss", "gradient_penalty", "generator_loss", "critic_norm", "generator_norm"]
        {
            let [Some(value), Some(expected)] = [ours.get(name), exact.get(name)] else {
                return Err(format!("no {name}").into());
            };
            if (value - expected).abs() > 1e-3 * expected.abs().max(0.1) {
                let iteration = exact.iteration;
                return Err(format!("iteration {iteration}: {value}, not {expected}").into());
            }
        }
    }
    // Weights that live on the GPU make a cohort too.
    let made = ours.validation_cohort(&encoder.lengths, 3)?;
    let is_whole = made.values.len() == 3 * made.steps * encoder.features();
    is_whole.then_some(()).ok_or("no rows".into())
}
