//! Trains the gradient penalty of a bidirectional LSTM critic down, in plain candle.
//!
//! `cargo run --release -p hg-lstm --example gradient_penalty`

use candle_core::{DType, Device, Tensor};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, VarBuilder, VarMap};
use hg_lstm::{BiLstm, Lengths, LstmConfig};

fn main() -> anyhow::Result<()> {
    for (step, penalty) in train(50)?.into_iter().enumerate() {
        if step % 10 == 0 {
            println!("step {step:3}  penalty {penalty:.6}");
        }
    }
    Ok(())
}

/// The penalty E[(‖∇ₓ score‖ − 1)²] before the first of so many steps of Adam, and after each.
pub fn train(steps: usize) -> anyhow::Result<Vec<f64>> {
    let device = Device::Cpu;
    let weights = VarMap::new();
    let vb = VarBuilder::from_varmap(&weights, DType::F64, &device);
    let layer = BiLstm::new(LstmConfig { input: 4, hidden: 16 }, vb)?;
    let adam = ParamsAdamW { lr: 1e-2, weight_decay: 0., ..Default::default() };
    let mut adam = AdamW::new(weights.all_vars(), adam)?;

    // Eight sequences of 3 to 10 steps; a score is a fixed combination of the last hidden states.
    let x = Tensor::randn(0f64, 1., (8, 10, 4), &device)?;
    let lengths = Lengths::new(vec![3, 4, 5, 6, 7, 8, 9, 10], 10)?;
    let score_weights = Tensor::rand(-0.2f64, 0.2, (1, 32), &device)?.broadcast_as((8, 32))?;

    let mut penalties = Vec::with_capacity(steps + 1);
    for step in 0..=steps {
        // The input gradient is a tracked tensor, so one ordinary backward() is the second order.
        let trace = layer.forward(&x, &lengths)?;
        let gradient = trace.input_gradient_of_last(&score_weights)?;
        let norm = (gradient.sqr()?.sum((1, 2))? + 1e-12)?.sqrt()?;
        let penalty = (&norm - 1.)?.sqr()?.mean_all()?;
        penalties.push(penalty.to_scalar::<f64>()?);
        if step < steps {
            adam.backward_step(&penalty)?;
        }
    }
    Ok(penalties)
}
