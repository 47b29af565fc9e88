//! Every statistic is scipy's or scikit-learn's (`tests/golden/eval_goldens.py`).

use hg_data::Encoded;
use hg_eval::{
    Tested, auc, correlation_ratio, cramer, distance_to_closest_record, jensen_shannon, kendall,
    kolmogorov_smirnov_test, pearson, predictive, snedecor_test, student_test, three_sigma,
    wasserstein,
};
use hg_judge::{FOLDS, Features, cross_fit};
use serde_json::Value;

fn numbers(case: &Value, key: &str) -> Vec<f64> {
    let values = case[key].as_array().unwrap_or_else(|| panic!("no {key}"));
    values.iter().map(|value| value.as_f64().expect("a number")).collect()
}

fn goldens() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/eval.json");
    let text = std::fs::read_to_string(path).expect("the goldens");
    serde_json::from_str(&text).expect("JSON")
}

/// Sequences of one length.
fn cohort(sequences: &Value) -> Encoded {
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let sequences = list(sequences);
    let steps = list(&sequences[0]).len();
    let rows: Vec<Value> = sequences.iter().flat_map(list).collect();
    let features = list(&rows[0]).len();
    let number = |value: &Value| value.as_f64().expect("a number") as f32;
    let values: Vec<f32> = rows.iter().flat_map(list).map(|value| number(&value)).collect();
    let lengths = vec![steps; sequences.len()];
    Encoded { values: values.into(), lengths, steps, features, counts: Default::default() }
}

#[test]
fn the_trees_tell_cohorts_apart_as_well_as_scikit_learns() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/judges.safetensors");
    let goldens = safetensors(path);
    for name in ["same", "shifted", "spread", "together", "gaps"] {
        let rows = goldens[&format!("{name}.rows")].to_vec2::<f32>().expect("rows");
        let is_synthetic: Vec<bool> = rows.iter().map(|row| row[0] == 1.).collect();
        let folds: Vec<usize> = (0..rows.len()).map(|row| row % FOLDS).collect();
        let mut features = Features::default();
        for n in 1..rows[0].len() {
            features.names.push(format!("feature {n}"));
            features.columns.push(rows.iter().map(|row| f64::from(row[n])).collect());
        }
        let scores = cross_fit(&features, &is_synthetic, &folds).expect("fits").scores;
        let side = |wanted: bool| -> Vec<f64> {
            let of_side = scores.iter().zip(&is_synthetic).filter(|(_, side)| **side == wanted);
            of_side.map(|(score, _)| *score).collect()
        };
        let area = auc(&side(true), &side(false)).expect("an area").area;
        let exact = f64::from(goldens[&format!("{name}.area")].to_vec1::<f32>().expect("one")[0]);
        assert!((area - exact).abs() < 0.03, "{name}: {area}, scikit-learn's {exact}");
    }
}

fn safetensors(path: &str) -> std::collections::HashMap<String, candle_core::Tensor> {
    candle_core::safetensors::load(path, &candle_core::Device::Cpu).expect("the goldens")
}

#[test]
fn nearest_records_and_predictions_are_scikit_learns() {
    let goldens = goldens();
    let [real, made] = ["real", "made"].map(|key| cohort(&goldens[key]));
    let near = distance_to_closest_record(&made, &real).expect("records");
    let agree = |what: &str, ours: f64, exact: &Value| {
        let exact = exact.as_f64().expect("a number");
        let off = (ours - exact).abs() / exact.abs().max(1e-3);
        assert!(off < 1e-8, "{what} is {ours}, scikit-learn's {exact}");
    };
    for (what, ours) in [
        ("least", near.min),
        ("low", near.percentile_5),
        ("median", near.median),
        ("ratio_low", near.nndr_percentile_5),
        ("ratio_median", near.nndr_median),
        ("copies", near.copies as f64),
    ] {
        agree(what, ours, &goldens["nearest"][what]);
    }
    let targets: Vec<usize> = (0..real.features).collect();
    let predicted = predictive(&real, &made, &targets).expect("steps");
    agree("R² of synthetic", predicted.trained_on_synthetic, &goldens["predictive"][0]);
    agree("R² of real", predicted.trained_on_real, &goldens["predictive"][1]);
}

#[test]
fn statistics_and_p_values_are_scipys() {
    let goldens = goldens();
    let cases = goldens["cases"].as_array().expect("cases");
    assert!(cases.len() >= 7);
    for (n, case) in cases.iter().enumerate() {
        let [x, y] = ["x", "y"].map(|key| numbers(case, key));
        let [a, b] = ["a", "b"].map(|key| -> Vec<usize> {
            numbers(case, key).into_iter().map(|level| level as usize).collect()
        });
        let agree = |what: &str, ours: Option<f64>, exact: f64| {
            let ours = ours.unwrap_or_else(|| panic!("case {n}: no {what}"));
            let off = (ours - exact).abs() / exact.abs().max(1e-3);
            assert!(off < 1e-8, "case {n}: {what} is {ours}, scipy's {exact}");
        };
        let tests: [(&str, Option<Tested>); 3] = [
            ("kolmogorov_smirnov", kolmogorov_smirnov_test(&x, &y)),
            ("student", student_test(&x, &y)),
            ("snedecor", snedecor_test(&x, &y)),
        ];
        for (name, test) in tests {
            let exact = numbers(case, name);
            agree(name, test.map(|test| test.statistic), exact[0]);
            agree(&format!("{name}'s p"), test.map(|test| test.p_value), exact[1]);
        }
        let shares = |levels: &[usize]| -> Vec<f64> {
            let share =
                |level| levels.iter().filter(|&&l| l == level).count() as f64 / levels.len() as f64;
            (0..4).map(share).collect()
        };
        let some = |values: &[f64]| values.iter().map(|&x| Some(x)).collect::<Vec<_>>();
        for (name, ours) in [
            ("three_sigma", three_sigma(&x, &y)),
            ("wasserstein", wasserstein(&x, &y)),
            ("jensen_shannon", jensen_shannon(&shares(&a), &shares(&b))),
            ("kendall", kendall(&x, &y)),
            ("pearson", pearson(&some(&x), &some(&y))),
            ("cramer", cramer(&a, &b)),
            ("correlation_ratio", correlation_ratio(&a, &y)),
            ("auc", auc(&x, &y).map(|auc| auc.area)),
        ] {
            agree(name, ours, case[name].as_f64().expect("a number"));
        }
    }
}

#[test]
fn samples_that_say_nothing_give_nothing() {
    assert_eq!(student_test(&[1.], &[1., 2.]), None);
    assert_eq!(snedecor_test(&[1., 1.], &[1., 2.]), None);
    assert_eq!(kolmogorov_smirnov_test(&[1.], &[1., 2.]), None);
    assert_eq!(kendall(&[1., 1.], &[1., 2.]), None);
    assert_eq!(cramer(&[0, 0], &[0, 1]), None);
    assert_eq!(wasserstein(&[], &[1.]), None);
}
