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
    let mut plain = TrainConfig { seed: 3, ..Default::default() };
    plain.batching.batch_size = 12;
    plain.model.hidden = 20;
    let mut later = plain.clone();
    later.optimiser.correlation_limits = true;
    later.batching.windows = vec![2, 5].into();
    for config in [plain, later] {
        let engine = curve(Trainer::in_f64(&config, &layout, &encoded)?, 20)?;
        let reference = curve(Trainer::reference(&config, &layout, &encoded)?, 20)?;
        for (ours, exact) in engine.iter().zip(&reference) {
            assert_eq!(ours.scalars.len(), 7);
            for ((name, value), (_, expected)) in ours.scalars.iter().zip(&exact.scalars) {
                let off = (value - expected).abs() / expected.abs().max(1e-2);
                assert!(off < 1e-8, "iteration {}, {name}: {value} {expected}", exact.iteration);
            }
        }
    }
    Ok(())
}
