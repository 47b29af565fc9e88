//! The simulator behind a simulated table, so that policies can be run.

use crate::Result;
use hg_data::simulate::{COLUMNS, Simulation, label};
use hg_data::{Encoded, Encoder, Subset, Table, Values};
use hg_eval::{Choice, Simulator};
use std::path::Path;

/// Patients that are treated under each policy. Other seeds than a user's draw other patients.
const PATIENTS: usize = 500;
const SEED: u64 = u64::MAX;

/// Simulated ART for HIV, seen through an encoder.
pub(crate) struct Simulated<'a> {
    simulation: Simulation,
    encoder: &'a Encoder,
    /// Where each code of a regimen stands among the actions.
    actions: [usize; 5],
}

impl<'a> Simulated<'a> {
    /// `None` for a table that does not lie beside its label, or whose schema decides otherwise.
    pub(crate) fn of(encoder: &'a Encoder, table: &Path) -> Result<Option<Self>> {
        let Some(decision) = &encoder.schema.decision else { return Ok(None) };
        let place = |name: &str| decision.actions.iter().position(|action| action == name);
        // `Base Drug Combo` to `Extra pk-En`.
        let places: Vec<usize> = COLUMNS[7..12].iter().filter_map(|name| place(name)).collect();
        let Ok(actions) = <[usize; 5]>::try_from(places) else { return Ok(None) };
        if decision.actions.len() != actions.len() || !label(table).exists() {
            return Ok(None);
        }
        Ok(Some(Self { simulation: Simulation::shipped()?, encoder, actions }))
    }
}

impl Simulator for Simulated<'_> {
    fn treat(&self, choose: Option<Choice<'_>>) -> hg_eval::Result<Encoded> {
        let table = |frame| Table::new(frame, "the simulation");
        let Some(choose) = choose else {
            let usual = self.simulation.cohort(PATIENTS, SEED).next();
            let usual = usual.unwrap_or_else(|| Ok(Default::default()))?;
            return Ok(self.encoder.encode(&table(usual), Subset::Whole)?);
        };
        let (months, features) = (self.simulation.months(), self.encoder.features());
        let mut values = vec![0.; PATIENTS * months * features];
        let mut trial = self.simulation.trial(PATIENTS, SEED);
        for month in 0..months {
            let shown = self.encoder.encode(&table(trial.observe()?), Subset::Whole)?;
            let rows = shown.values.chunks_exact(features);
            let regimens: Vec<[usize; 5]> = rows
                .enumerate()
                .map(|(patient, row)| {
                    values[(patient * months + month) * features..][..features]
                        .copy_from_slice(row);
                    let levels = choose(row);
                    self.actions.map(|action| levels.get(action).copied().unwrap_or(0))
                })
                .collect();
            trial.treat(&regimens)?;
        }
        Ok(Encoded {
            values: Values::from(values),
            lengths: vec![months; PATIENTS],
            steps: months,
            features,
            counts: Default::default(),
        })
    }
}
