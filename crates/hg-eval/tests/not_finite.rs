//! Values that are not finite, and sides without a value, end in no loop, no panic and no NaN:
//! every statistic is that of the finite values, and `None` where there are none.

use hg_data::{Encoded, Encoder, Observed, Schema, Subset, Values};
use hg_eval::{
    Cohort, Quick, Report, Subject, Verdict, auc, correlation_ratio, discriminate,
    distance_to_closest_record, evaluate, hierarchy, jensen_shannon, kendall, kolmogorov_smirnov,
    kolmogorov_smirnov_test, measures, membership, pearson, predictive, snedecor_test,
    student_test, three_sigma, total_variation, wasserstein,
};
use hg_models::RowLayout;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

const NONE: [f64; 3] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];

/// Fails where it takes longer than a minute: a loop that waits for NaN waits for ever.
fn ends<T: Send + 'static>(what: &str, run: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = channel();
    std::thread::spawn(move || send.send(run()));
    let done = receive.recv_timeout(Duration::from_secs(60));
    done.unwrap_or_else(|e| panic!("{what} panicked or did not end: {e}"))
}

/// What a statistic says, as text, so that statistics of any type stand in one table.
type Statistic = fn(&[f64], &[f64]) -> Option<String>;

fn text(value: impl std::fmt::Debug) -> String {
    format!("{value:?}")
}

fn some(values: &[f64]) -> Vec<Option<f64>> {
    values.iter().copied().map(Some).collect()
}

const STATISTICS: [(&str, Statistic); 13] = [
    ("kolmogorov_smirnov", |a, b| kolmogorov_smirnov(a, b).map(text)),
    ("kolmogorov_smirnov_test", |a, b| kolmogorov_smirnov_test(a, b).map(text)),
    ("wasserstein", |a, b| wasserstein(a, b).map(text)),
    ("total_variation", |a, b| total_variation(a, b).map(text)),
    ("jensen_shannon", |a, b| jensen_shannon(a, b).map(text)),
    ("pearson", |a, b| pearson(&some(a), &some(b)).map(text)),
    ("kendall", |a, b| kendall(a, b).map(text)),
    ("correlation_ratio", |a, b| {
        let levels: Vec<usize> = (0..a.len()).map(|n| n % 2).collect();
        correlation_ratio(&levels, b).filter(|_| !a.iter().all(|x| !x.is_finite())).map(text)
    }),
    ("student_test", |a, b| student_test(a, b).map(text)),
    ("snedecor_test", |a, b| snedecor_test(a, b).map(text)),
    ("three_sigma", |a, b| three_sigma(a, b).map(text)),
    ("hierarchy", |a, b| hierarchy(a, b, 0).map(text)),
    ("auc", |a, b| auc(a, b).map(text)),
];

#[test]
fn every_statistic_is_that_of_the_finite_values() {
    // Shares too, for the statistics of shares.
    let (a, b) = ([0.1, 0.2, 0.3, 0.4], [0.4, 0.1, 0.3, 0.2]);
    // In front, between and behind, in partners of one another.
    let spoilt = |values: [f64; 4]| -> Vec<f64> {
        let [first, second, third, fourth] = values;
        vec![NONE[0], NONE[1], first, second, NONE[2], -NONE[0], third, fourth, NONE[1], NONE[2]]
    };
    for (name, statistic) in STATISTICS {
        let clean = statistic(&a, &b);
        assert!(clean.as_ref().is_some_and(|said| !said.contains("NaN")), "{name}: {clean:?}");
        let found = ends(name, move || statistic(&spoilt(a), &spoilt(b)));
        assert_eq!(found, clean, "{name}");
        for nothing in [&[][..], &NONE, &[f64::NAN; 4]] {
            let nothing = nothing.to_vec();
            let sides = [
                (nothing.clone(), b.to_vec()),
                (a.to_vec(), nothing.clone()),
                (nothing.clone(), nothing),
            ];
            for (first, second) in sides {
                let what = format!("{name} of {first:?} and {second:?}");
                let found = ends(&what, move || statistic(&first, &second));
                assert_eq!(found, None, "{what}");
            }
        }
    }
}

/// Patients of four steps of two numbers; `spoil` may put anything in the place of a number.
fn cohort(patients: usize, seed: f32, spoil: impl Fn(usize, usize) -> Option<f64>) -> Encoded {
    let value = |n: usize, feature: usize| {
        let clean = 0.5 + 0.4 * ((n * (7 + feature)) as f32 + seed).sin();
        spoil(n / 4, n % 4).map_or(clean, |other| other as f32)
    };
    let values: Vec<f32> = (0..patients * 4).flat_map(|n| [value(n, 0), value(n, 1)]).collect();
    let lengths = vec![4; patients];
    Encoded { values: values.into(), lengths, steps: 4, features: 2, counts: Default::default() }
}

#[test]
fn every_measure_of_records_leaves_out_those_that_are_not_finite() {
    let fine = |seed| cohort(30, seed, |_, _| None);
    // The same patients, and some more that are no numbers.
    let spoilt =
        |seed: f32| cohort(33, seed, |patient, _| (patient >= 30).then(|| NONE[patient - 30]));
    let nothing = || cohort(8, 0., |patient, _| Some(NONE[patient % 3]));
    let empty = || cohort(0, 0., |_, _| None);
    let layout = || RowLayout::new(2, Vec::new());

    type Measure = fn(&Encoded, &Encoded, &RowLayout) -> Option<String>;
    let measures: [(&str, Measure); 5] = [
        ("distance_to_closest_record", |a, b, _| distance_to_closest_record(a, b).map(text)),
        ("membership", |a, b, _| membership(a, b, a).map(text)),
        ("membership of synthetic ones", |a, b, _| membership(a, a, b).map(text)),
        ("predictive", |a, b, _| predictive(a, b, &[0, 1]).map(text)),
        ("discriminate", |a, b, layout| discriminate(a, b, layout, 0).expect("runs").map(text)),
    ];
    for (name, measure) in measures {
        let clean = measure(&fine(1.), &fine(2.), &layout());
        assert!(clean.is_some(), "{name}");
        let what = format!("{name} of some");
        let found = ends(&what, move || measure(&spoilt(1.), &spoilt(2.), &layout()));
        let found = found.expect(&what);
        assert!(!found.contains("NaN") && !found.contains("inf"), "{what}: {found}");
        if name != "predictive" && name != "discriminate" {
            // Those draw halves, which more patients change.
            assert_eq!(Some(found), clean, "{what}");
        }
        for (what, side) in [("NaN", nothing()), ("nobody", empty())] {
            for (first, second) in [(side.clone(), fine(2.)), (fine(1.), side.clone())] {
                let what = format!("{name} of {what}");
                let found = ends(&what, move || measure(&first, &second, &layout()));
                assert_eq!(found, None, "{what}");
            }
        }
    }
    let quick = Quick::new(&fine(1.), 2, &[]);
    let clean = quick.score(&fine(2.));
    assert_eq!(ends("quick", move || quick.score(&spoilt(2.))), clean);
    for (what, side) in [("NaN", nothing()), ("nobody", empty())] {
        let quick = Quick::new(&fine(1.), 2, &[]);
        let worst = ends(what, move || (quick.score(&side).total(), quick.diversity(&side)));
        assert_eq!(worst, (1., 0.), "{what}");
    }
}

#[test]
fn a_whole_evaluation_of_values_that_are_not_finite_ends_without_nan() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let schema = Schema::load(&root.join("data-schemas/pbc.toml")).expect("a schema");
    let path = root.join("data/pbc/pbcseq.csv");
    let table = schema.read(&path).expect("a table");
    let (encoder, encoded) = Encoder::fit(&schema, &table, Subset::Whole).expect("encodes");
    let observed = Observed::new(&schema, &table, Subset::Whole).expect("observes");
    let real = Cohort { observed, encoded };

    // Every `nth` value of each column and of each record.
    let spoil = |nth: usize| {
        let mut cohort = real.clone();
        for column in &mut cohort.observed.columns {
            for (n, cell) in column.iter_mut().enumerate().filter(|(n, _)| n % nth == 0) {
                *cell = cell.map(|_| NONE[n % 3]);
            }
        }
        let mut values = cohort.encoded.values.to_vec();
        for (n, value) in values.iter_mut().enumerate().filter(|(n, _)| n % (10 * nth) == 0) {
            *value = NONE[n % 3] as f32;
        }
        cohort.encoded.values = Values::from(values);
        cohort
    };
    // A tenth of the values; and all of them, on either side.
    for (what, real, synthetic) in [
        ("a tenth", spoil(10), spoil(10)),
        ("the synthetic side", real.clone(), spoil(1)),
        ("the real side", spoil(1), real.clone()),
    ] {
        let encoder = encoder.clone();
        let (evaluation, html) = ends(what, move || {
            let subject = Subject::new(&encoder, &real, &synthetic).with_held_out(Some(&real));
            let evaluation = evaluate(&subject, &measures(), &mut |_| {}).expect("evaluates");
            let curves = [("loss".to_owned(), vec![(1., f64::NAN), (2., f64::INFINITY), (3., 1.)])];
            let report = Report::new(&subject, &evaluation, &curves).expect("draws");
            let pages = report.html() + &report.markdown();
            (evaluation, pages)
        });
        assert!(!html.contains("NaN") && !html.contains(">inf"), "{what}");
        for answer in evaluation.answers() {
            assert!(!answer.because.contains("NaN"), "{what}: {answer:?}");
            let is_passed = answer.verdict == Verdict::Passed;
            // Where a side has nothing, only what asks nothing of values may pass.
            let asks_nothing = ["domain", "rules"].contains(&answer.about);
            assert!(what == "a tenth" || !is_passed || asks_nothing, "{what}: {answer:?}");
        }
    }
}
