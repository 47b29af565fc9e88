//! Simulated HIV patients, stepped month by month.

use crate::buffer::{fill, read};
use crate::failure::Failure;
use health_gym::data::simulate::{self, Simulation};
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;

/// Places for simulated patients, each of whom goes through the months on their own.
#[pyclass(module = "health_gym._native")]
pub(crate) struct VectorTrial(simulate::VectorTrial);

/// (months, what is observed, the columns of a regimen, how many codes each has, the detection limit)
type About = (usize, Vec<&'static str>, Vec<&'static str>, [usize; 5], f64);

/// The hidden state of a patient: (parameters as JSON, the six states, ε₁ and ε₂ of usual treatment).
type State = (String, [f64; 6], [f64; 2]);

#[pymethods]
impl VectorTrial {
    /// So many places, at which nobody has begun.
    #[new]
    fn new(py: Python<'_>, places: usize) -> PyResult<Self> {
        simulate::VectorTrial::new(places).map(Self).map_err(|e| Failure::from(e).raise(py))
    }

    /// Lets patient `n` of the cohort with this seed begin at a place.
    fn begin(&mut self, py: Python<'_>, place: usize, seed: u64, n: u64) -> PyResult<()> {
        self.0.begin(place, seed, n).map_err(|e| Failure::from(e).raise(py))
    }

    /// Gives each patient who acts a regimen, `actions` [places, 5], and lets a month pass there.
    fn treat(
        &mut self,
        py: Python<'_>,
        actions: PyBuffer<i64>,
        acts: PyBuffer<u8>,
    ) -> PyResult<()> {
        let (actions, acts) = (read(py, &actions)?, read(py, &acts)?);
        let regimens: Vec<Option<[i64; 5]>> = actions
            .as_chunks()
            .0
            .iter()
            .zip(&acts)
            .map(|(codes, acts)| (*acts != 0).then_some(*codes))
            .collect();
        let trial = &mut self.0;
        py.detach(|| trial.treat(&regimens)).map_err(|e| Failure::from(e).raise(py))
    }

    /// Fills `observations` [places, 8], what the usual policy would give, `usual` [places, 5], and the
    /// rewards of what is observed, `rewards` [places].
    fn show(
        &self,
        py: Python<'_>,
        observations: PyBuffer<f64>,
        usual: PyBuffer<i64>,
        rewards: PyBuffer<f64>,
    ) -> PyResult<()> {
        let simulation = Simulation::shared().map_err(|e| Failure::from(e).raise(py))?;
        let places = || 0..self.0.places();
        let shown: Vec<[f64; 8]> = places().map(|place| self.0.observation(place)).collect();
        let of_shown = shown.iter().map(|[virus, cells, ..]| simulation.reward(*virus, *cells));
        fill(py, &rewards, of_shown)?;
        fill(py, &observations, shown.iter().flatten().copied())?;
        fill(py, &usual, places().flat_map(|place| self.0.usual(place).unwrap_or_default()))
    }

    /// The hidden state of the patient at a place.
    fn state(&self, py: Python<'_>, place: usize) -> PyResult<Option<State>> {
        let Some(found) = self.0.state(place) else { return Ok(None) };
        let dynamics = serde_json::to_string(&found.dynamics)
            .map_err(|source| Failure::from(health_gym::Error::from(source)).raise(py))?;
        let usual = [found.usual.reverse_transcriptase, found.usual.protease];
        Ok(Some((dynamics, found.state.into(), usual)))
    }

    /// What the environment is made of.
    #[staticmethod]
    fn about(py: Python<'_>) -> PyResult<About> {
        let simulation = Simulation::shared().map_err(|e| Failure::from(e).raise(py))?;
        let (observed, regimen) = (simulate::OBSERVED.to_vec(), simulate::COLUMNS[7..12].to_vec());
        Ok((simulation.months(), observed, regimen, simulate::CODES, simulation.detection_limit()))
    }
}

/// Fills `rewards` with those of viral loads and CD4 counts.
#[pyfunction]
pub(crate) fn art_for_hiv_reward(
    py: Python<'_>,
    virus: PyBuffer<f64>,
    cells: PyBuffer<f64>,
    rewards: PyBuffer<f64>,
) -> PyResult<()> {
    let simulation = Simulation::shared().map_err(|e| Failure::from(e).raise(py))?;
    let (virus, cells) = (read(py, &virus)?, read(py, &cells)?);
    fill(py, &rewards, virus.iter().zip(&cells).map(|(v, c)| simulation.reward(*v, *c)))
}
