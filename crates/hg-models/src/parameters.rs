//! Named variables of a network, in a stable order.

use crate::{Error, Gradients, Result};
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal, Uniform};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// How a parameter is drawn.
pub(crate) enum Init {
    /// U(−1/√n, 1/√n), PyTorch's default for `nn.Linear` with `n` inputs.
    FanIn(usize),
    /// N(0, 1), PyTorch's default for `nn.Embedding`.
    Normal,
}

/// Name, shape and initial law of a parameter.
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) init: Init,
}

/// `prefix.weight` `[out, in]` and `prefix.bias` `[out]`.
pub(crate) fn linear_specs(prefix: &str, input: usize, output: usize) -> [Spec; 2] {
    let spec = |name: &str, shape: Vec<usize>| Spec {
        name: format!("{prefix}.{name}"),
        shape,
        init: Init::FanIn(input),
    };
    [spec("weight", vec![output, input]), spec("bias", vec![output])]
}

/// The parameters of both directions of a biLSTM.
pub(crate) fn bilstm_specs(input: usize, hidden: usize) -> impl Iterator<Item = Spec> {
    ["rnn_f", "rnn_r"].into_iter().flat_map(move |direction| {
        linear_specs(&format!("{direction}.i2h"), input, 4 * hidden)
            .into_iter()
            .chain(linear_specs(&format!("{direction}.h2h"), hidden, 4 * hidden))
    })
}

/// Reads the tensors of a file by name: a state dict that `torch.save` wrote (.pt, .pth, .bin), else
/// safetensors.
///
/// # Errors
/// [`Error::WeightsFile`] when it is no such file, [`Error::Weights`] when it holds no tensors.
pub fn read_weights(path: &Path) -> Result<HashMap<String, Tensor>> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let is_torchs = matches!(extension, Some("pt" | "pth" | "bin"));
    let read = if is_torchs {
        candle_core::pickle::read_all(path).map(|tensors| tensors.into_iter().collect())
    } else {
        candle_core::safetensors::load(path, &Device::Cpu)
    };
    let tensors: HashMap<_, _> =
        read.map_err(|source| Error::WeightsFile { path: path.to_owned(), source })?;
    if tensors.is_empty() {
        let problem = "holds no tensors\nhint: save the network's `state_dict()`, not the network";
        return Err(Error::Weights(format!("{} {problem}", path.display())));
    }
    Ok(tensors)
}

/// The variables of one network by name, always visited in name order.
#[derive(Clone, Debug)]
pub struct Parameters {
    vars: BTreeMap<String, Var>,
    dtype: DType,
    device: Device,
}

impl Parameters {
    pub(crate) fn init(
        specs: &[Spec],
        rng: &mut ChaCha8Rng,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let mut vars = BTreeMap::new();
        for Spec { name, shape, init } in specs {
            let count = shape.iter().product();
            let values: Vec<f64> = match init {
                Init::FanIn(inputs) => {
                    let bound = 1. / (*inputs as f64).sqrt();
                    let law = Uniform::new_inclusive(-bound, bound)
                        .map_err(|e| Error::Weights(format!("{name}: {e}")))?;
                    law.sample_iter(&mut *rng).take(count).collect()
                }
                Init::Normal => StandardNormal.sample_iter(&mut *rng).take(count).collect(),
            };
            let values = Tensor::from_vec(values, shape.as_slice(), device)?.to_dtype(dtype)?;
            vars.insert(name.clone(), Var::from_tensor(&values)?);
        }
        Ok(Self { vars, dtype, device: device.clone() })
    }

    /// Reads a file of weights; every name and shape in `specs` must be there and nothing else.
    pub(crate) fn load(specs: &[Spec], path: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let mut tensors = read_weights(path)?;
        let mut vars = BTreeMap::new();
        for Spec { name, shape, .. } in specs {
            let tensor = tensors
                .remove(name)
                .ok_or_else(|| Error::Weights(format!("{} has no `{name}`", path.display())))?;
            if tensor.dims() != shape.as_slice() {
                return Err(Error::Weights(format!(
                    "`{name}` in {} has shape {:?}, the model needs {shape:?}",
                    path.display(),
                    tensor.dims()
                )));
            }
            vars.insert(
                name.clone(),
                Var::from_tensor(&tensor.to_dtype(dtype)?.to_device(device)?)?,
            );
        }
        if let Some(name) = tensors.keys().min() {
            let path = path.display();
            return Err(Error::Weights(format!(
                "{path} has `{name}`, which the model does not have"
            )));
        }
        Ok(Self { vars, dtype, device: device.clone() })
    }

    /// Copies of all variables on `device`.
    pub(crate) fn on(&self, device: &Device) -> Result<Self> {
        let copy = |(name, var): (&String, &Var)| {
            Ok((name.clone(), Var::from_tensor(&var.to_device(device)?)?))
        };
        let vars = self.vars.iter().map(copy).collect::<Result<_>>()?;
        Ok(Self { vars, dtype: self.dtype, device: device.clone() })
    }

    /// Writes all variables to a safetensors file in the interchange names.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        Ok(candle_core::safetensors::save(&self.tensors(), path)?)
    }

    /// Each name and variable, in name order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.vars.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// The gradients of these variables by name, detached.
    pub fn gradients(&self, of: &GradStore) -> Gradients {
        let named = |(name, var): (&str, &Var)| Some((name.to_owned(), of.get(var)?.detach()));
        self.iter().filter_map(named).collect()
    }

    /// The variable of a name.
    ///
    /// # Errors
    /// [`Error::Weights`] when there is none.
    pub fn get(&self, name: &str) -> Result<&Var> {
        self.vars.get(name).ok_or_else(|| Error::Weights(format!("there is no `{name}`")))
    }

    /// The float type of the variables.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Where the variables live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// A builder whose tensors *are* these variables.
    pub(crate) fn builder(&self) -> VarBuilder<'static> {
        VarBuilder::from_tensors(self.tensors(), self.dtype, &self.device)
    }

    /// All variables by name.
    pub fn tensors(&self) -> HashMap<String, Tensor> {
        self.vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect()
    }
}
