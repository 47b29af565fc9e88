//! Gradients by hand and candle's autograd teach the networks the same.

use anyhow::Result;
use hg_data::{Encoder, Schema, Subset};
use hg_train::{StepMetrics, TrainConfig, Trainer, layout_of};
use std::path::Path;

fn curve(mut trainer: Trainer, iterations: u64) -> Result<Vec<StepMetrics>> {
    (0..iterations).map(|_| Ok(trainer.step()?)).collect()
}

#[test]
fn the_engine_and_the_reference_have_the_same_learning_curve_on_pbc() -> Result<()> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let table = root.join("data/pbc/pbcseq.csv");
    let schema = Schema::load(&root.join("data-schemas/pbc.toml"))?;
    let (encoder, encoded) = Encoder::fit(&schema, &schema.read(&table)?, Subset::Whole)?;
    let layout = layout_of(&encoder);
    let plain = TrainConfig { batch_size: 12, hidden: 20, seed: 3, ..Default::default() };
    let later = TrainConfig { correlation_limits: true, windows: vec![2, 5], ..plain.clone() };
    for config in [plain, later] {
        let engine = curve(Trainer::in_f64(&config, &layout, &encoded)?, 20)?;
        let reference = curve(Trainer::reference(&config, &layout, &encoded)?, 20)?;
        for (ours, exact) in engine.iter().zip(&reference) {
            let pairs = [
                (ours.critic_loss, exact.critic_loss),
                (ours.wasserstein, exact.wasserstein),
                (ours.gradient_penalty, exact.gradient_penalty),
                (ours.generator_loss, exact.generator_loss),
                (ours.correlation_loss, exact.correlation_loss),
            ];
            for (value, expected) in pairs {
                let off = (value - expected).abs() / expected.abs().max(1e-2);
                assert!(off < 1e-8, "iteration {}: {value} {expected}", exact.iteration);
            }
        }
    }
    Ok(())
}
