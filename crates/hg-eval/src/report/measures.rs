//! The figures of the report's table.

use crate::{Auc, Distances, Dynamics, Evaluation, Nearness, PolicyValue};

/// Name, value of the synthetic cohort, and of patients that were held out, each beside those trained
/// on.
pub(super) fn measures(evaluation: &Evaluation) -> Vec<[String; 3]> {
    let comparison = &evaluation.comparison;
    let number = |x: Option<f64>| x.map_or("–".to_owned(), |x| format!("{x:.3}"));
    let area = |auc: Option<Auc>| {
        auc.map_or(String::new(), |auc| format!("{:.2} ({:.2}–{:.2})", auc.area, auc.low, auc.high))
    };
    let held = comparison.held_out;
    let pair = |name: &str, of: fn(&Distances) -> Option<f64>| {
        let other = held.as_ref().map_or(String::new(), |held| number(of(held)));
        [name.to_owned(), number(of(&comparison.distances)), other]
    };
    let in_time = |name: &str, of: fn(&Dynamics) -> Option<f64>| {
        let other = evaluation.held_out_dynamics.as_ref().map_or(String::new(), |d| number(of(d)));
        [name.to_owned(), number(of(&evaluation.dynamics)), other]
    };
    let alone = |name: &str, value: f64| [name.to_owned(), number(Some(value)), String::new()];
    // How far below −1 a share of a variance lies says nothing more.
    let explained = |name: &str, value: f64| {
        let value = if value < -1. { "below −1".into() } else { number(Some(value)) };
        [name.to_owned(), value, String::new()]
    };
    let near = |name: &str, of: fn(&Nearness) -> String| {
        let of = |near: &Option<Nearness>| near.as_ref().map_or(String::new(), of);
        [name.to_owned(), of(&evaluation.nearness), of(&evaluation.held_out_nearness)]
    };
    let mut all = vec![
        pair("Kolmogorov–Smirnov, mean of numeric columns", |d| d.mean_ks),
        pair("total variation, mean of discrete columns", |d| d.mean_total_variation),
        pair("correlation, mean difference", |d| d.correlation_difference),
        pair("association, mean difference", |d| d.association_difference),
        in_time("autocorrelation, mean difference", |d| d.autocorrelation),
        in_time("next level, mean total variation", |d| d.transitions),
        in_time("Kendall's τ of trends, mean difference", |d| d.trends),
        in_time("Kendall's τ of cycles, mean difference", |d| d.cycles),
        in_time("lengths, Kolmogorov–Smirnov", |d| d.lengths),
        [
            "told apart by a classifier, area under the curve".into(),
            area(evaluation.discriminative),
            area(evaluation.held_out_discriminative),
        ],
        [
            "membership attack, area under the curve".into(),
            area(evaluation.membership),
            String::new(),
        ],
        near("records that equal one trained on", |near| {
            format!("{} of {}", near.copies, near.records)
        }),
        near("distance to the nearest, least", |near| format!("{:.3}", near.least)),
        near("distance to the nearest, median", |near| format!("{:.3}", near.median)),
        near("its ratio to that of the second nearest, 5 % below", |near| {
            format!("{:.3}", near.ratio_low)
        }),
        near("the ratio's median", |near| format!("{:.3}", near.ratio_median)),
    ];
    let share =
        |name: &str, value: f64| [name.to_owned(), format!("{:.2} %", 100. * value), String::new()];
    if let Some(found) = &evaluation.identification {
        let known = found.known.join(", ");
        all.push(share(&format!("identified by {known}: a person"), found.population_to_sample));
        all.push(share(&format!("identified by {known}: a record"), found.sample_to_population));
    }
    if let Some(inference) = &evaluation.inference {
        let percent = |share: f64| format!("{:.1} %", 100. * share);
        let (trained_on, others) = (percent(inference.trained_on), percent(inference.others));
        all.push(["right guesses of what is not known".into(), trained_on, others]);
        let told_apart = area(Some(inference.told_apart));
        all.push(["told apart by right guesses, area".into(), told_apart, String::new()]);
    }
    if let Some(predictive) = evaluation.predictive {
        all.push(explained(
            "next step, R² after training on synthetic patients",
            predictive.trained_on_synthetic,
        ));
        let real = predictive.trained_on_real;
        all.push(explained("next step, R² after training on real ones", real));
    }
    if let Some(policies) = &evaluation.policies {
        all.push(alone("actions, total variation", policies.action_frequencies));
        all.push(alone("same action as real patients' policy, share of steps", policies.agreement));
        all.push(alone("the same of policies of two halves", policies.agreement_of_halves));
        let mut worth = |how: &str, PolicyValue { usual, real, synthetic, error }: PolicyValue| {
            let error = error.map_or(String::new(), |error| format!(" ± {error:.3}"));
            for (what, value) in [
                ("patients are treated as usual", usual),
                ("the policy of real patients", real),
                ("the policy of synthetic patients", synthetic),
            ] {
                let value = format!("{value:.3}{error}");
                all.push([format!("worth of {what}, {how}"), value, String::new()]);
            }
        };
        worth("by the real cohort's steps (optimistic)", policies.by_the_table);
        if let Some(when_run) = policies.when_run {
            worth("when run", when_run);
        }
    }
    all
}
