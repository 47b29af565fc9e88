//! A gradient penalty on a bidirectional LSTM critic, in plain candle.
//!
//! `cargo run --release -p hg-lstm --example gradient_penalty`

use candle_core::{DType, Device, Tensor};
use candle_nn::{Optimizer, ParamsAdamW, VarBuilder, VarMap};
use hg_lstm::{BiLstm, Lengths, LstmConfig};

fn main() -> anyhow::Result<()> {
    let device = Device::Cpu;
    let weights = VarMap::new();
    let vb = VarBuilder::from_varmap(&weights, DType::F64, &device);
    let layer = BiLstm::new(LstmConfig { input: 4, hidden: 16 }, vb)?;
    let mut adam = candle_nn::AdamW::new(
        weights.all_vars(),
        ParamsAdamW { lr: 1e-2, weight_decay: 0., ..Default::default() },
    )?;

    // Eight sequences of 3 to 10 steps.
    let x = Tensor::randn(0f64, 1., (8, 10, 4), &device)?;
    let lengths = Lengths::new(vec![3, 4, 5, 6, 7, 8, 9, 10], 10)?;
    let score_weights = Tensor::randn(0f64, 0.5, (1, 32), &device)?.broadcast_as((8, 32))?;

    for step in 0..=100 {
        // ‖∇ₓ score‖ per sequence, pulled towards 1 by an ordinary backward().
        let trace = layer.forward(&x, &lengths)?;
        let gradient = trace.input_gradient_of_last(&score_weights)?;
        let norm = (gradient.sqr()?.sum((1, 2))? + 1e-12)?.sqrt()?;
        let penalty = (&norm - 1.)?.sqr()?.mean_all()?;
        if step % 20 == 0 {
            println!("step {step:3}  penalty {:.6}", penalty.to_scalar::<f64>()?);
        }
        adam.backward_step(&penalty)?;
    }
    Ok(())
}
