//! The CUDA kernels on a GPU: forward, backward and double backward equal the reference on the CPU.
//! Without a device the tests count as ignored.

use candle_core::{DType, Device, Tensor, Var};
use hg_lstm::{BiLstm, Lengths, LstmConfig, Recurrence};
use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::HashMap;
use std::process::ExitCode;

fn main() -> ExitCode {
    let device = Device::new_cuda(0).ok();
    if device.is_none() {
        eprintln!("skipped: no CUDA device");
    }
    let fused = Recurrence::Fused;
    let test = |name: &'static str, how: (DType, Recurrence), sizes: [usize; 4], tolerance| {
        let device = device.clone();
        let run = move || device.map_or(Ok(()), |device| agree(&device, how, sizes, tolerance));
        Trial::test(name, run)
    };
    let wide = "both_orders_with_weights_that_do_not_fit_on_chip";
    // [batch, steps, input, hidden]
    let tests = vec![
        test("both_orders_in_f64", (DType::F64, fused), [5, 7, 6, 20], 1e-10),
        test("both_orders_in_f32", (DType::F32, fused), [5, 7, 6, 20], 1e-4),
        test("both_orders_at_the_published_size", (DType::F32, fused), [32, 20, 31, 128], 1e-4),
        test(wide, (DType::F32, fused), [9, 5, 8, 512], 1e-4),
        test("both_orders_in_tf32", (DType::F32, Recurrence::FusedTf32), [32, 20, 31, 128], 2e-2),
    ];
    let tests = tests.into_iter().map(|test| test.with_ignored_flag(device.is_none()));
    libtest_mimic::run(&Arguments::from_args(), tests.collect()).exit_code()
}

/// Numbers in (−1, 1).
fn noise(seed: &mut u32, count: usize) -> Vec<f64> {
    let mut next = || {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(*seed) / f64::from(u32::MAX) * 2. - 1.
    };
    (0..count).map(|_| next()).collect()
}

/// A loss with a penalty on the input gradient, and its gradients, by name.
fn gradients(
    device: &Device,
    dtype: DType,
    [batch, steps, input, hidden]: [usize; 4],
    recurrence: Recurrence,
) -> Result<HashMap<String, Vec<f64>>, Failed> {
    let mut seed = 7;
    let mut draw = |shape: &[usize], scale: f64| -> candle_core::Result<Tensor> {
        let values = noise(&mut seed, shape.iter().product());
        (Tensor::from_vec(values, shape, &Device::Cpu)? * scale)?.to_dtype(dtype)?.to_device(device)
    };
    let scale = 1. / (hidden as f64).sqrt();
    let mut variables = HashMap::new();
    for direction in ["rnn_f", "rnn_r"] {
        for (part, inputs) in [("i2h", input), ("h2h", hidden)] {
            for (name, shape) in [("weight", vec![4 * hidden, inputs]), ("bias", vec![4 * hidden])]
            {
                let variable = Var::from_tensor(&draw(&shape, scale)?)?;
                variables.insert(format!("{direction}.{part}.{name}"), variable);
            }
        }
    }
    let x = Var::from_tensor(&draw(&[batch, steps, input], 1.)?)?;
    let tensors = variables.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone()));
    let vb = candle_nn::VarBuilder::from_tensors(tensors.collect(), dtype, device);
    let lstm = BiLstm::new(LstmConfig { input, hidden }, vb)?.with_recurrence(recurrence);
    let lengths = Lengths::new((0..batch).map(|n| 1 + n * 3 % steps).collect(), steps)?;
    let trace = lstm.forward(&x, &lengths)?;
    let last = trace.last_hidden()?;
    let gradient = trace.input_gradient_of_last(&last.ones_like()?)?;
    let loss = (last.sqr()?.sum_all()? + gradient.sqr()?.sum_all()?)?;
    let all = loss.backward()?;
    let numbers = |x: &Tensor| x.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let mut found = HashMap::from([("loss".to_owned(), numbers(&loss.reshape(1)?)?)]);
    variables.insert("x".to_owned(), x);
    for (name, variable) in &variables {
        let gradient = all.get(variable).ok_or_else(|| format!("no gradient for {name}"))?;
        found.insert(name.clone(), numbers(gradient)?);
    }
    Ok(found)
}

fn agree(
    device: &Device,
    (dtype, recurrence): (DType, Recurrence),
    sizes: [usize; 4],
    tolerance: f64,
) -> Result<(), Failed> {
    let exact = gradients(&Device::Cpu, DType::F64, sizes, Recurrence::Reference)?;
    let ours = gradients(device, dtype, sizes, recurrence)?;
    for (name, exact) in exact {
        let ours = ours.get(&name).ok_or_else(|| format!("no {name}"))?;
        let scale = exact.iter().fold(1e-3, |most: f64, x| most.max(x.abs()));
        let pairs = ours.iter().zip(&exact);
        let off = pairs.map(|(a, b)| (a - b).abs()).fold(0., f64::max) / scale;
        if off >= tolerance {
            return Err(format!("{name} is off by {off:e}").into());
        }
    }
    Ok(())
}
