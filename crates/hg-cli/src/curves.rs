//! A run's measures as curves.

use hg_eval::Curve;
use hg_train::StepMetrics;

/// Each measure by iteration.
pub(crate) fn curves(steps: &[StepMetrics]) -> Vec<Curve> {
    let names = steps.first().map(StepMetrics::curves).into_iter().flatten();
    names
        .enumerate()
        .map(|(n, (name, _))| {
            let point = |step: &StepMetrics| Some((step.iteration as f64, step.curves()[n].1?));
            (name, steps.iter().filter_map(point).collect())
        })
        .collect()
}
