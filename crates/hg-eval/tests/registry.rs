//! Stages, answers, report, JSON and `docs/measures.md` follow from the registry of measures.

use hg_data::simulate::Simulation;
use hg_data::{Encoded, Encoder, Identifiers, Observed, Schema, Subset, Table};
use hg_eval::{
    Answer, Auc, Choice, Cohort, Error, Evaluation, Figure, Finding, Measure, Report, ReportTable,
    Shadow, Simulator, Subject, Topic, evaluate, measures, measures_markdown,
};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const PATIENTS: usize = 24;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// Simulated ART for HIV, which every measure has something to say of.
struct Cohorts {
    encoder: Encoder,
    real: Cohort,
    held_out: Cohort,
    synthetic: Cohort,
    identifiers: Identifiers,
    shadows: Vec<Shadow>,
}

impl Cohorts {
    fn new() -> Self {
        let schema = Schema::load(&repository("data-schemas/art-for-hiv.toml")).expect("a schema");
        let simulation = Simulation::shipped().expect("a model");
        let table = |seed| {
            let table = simulation.cohort(PATIENTS, seed).next().expect("patients");
            Table::new(table.expect("simulates"), "simulated")
        };
        let [real, held_out, synthetic] = [1, 2, 3].map(table);
        let (encoder, _) = Encoder::fit(&schema, &real, Subset::Whole).expect("encodes");
        let cohort = |table: &Table| Cohort {
            observed: Observed::new(&schema, table, Subset::Whole).expect("observes"),
            encoded: encoder.encode(table, Subset::Whole).expect("encodes"),
        };
        let identifiers =
            Identifiers::find(&schema, &real.frame, &synthetic.frame).expect("compares");
        let [real, held_out, synthetic] = [&real, &held_out, &synthetic].map(cohort);
        let shadow = |half: usize| Shadow {
            synthetic: cohort(&table(4 + half as u64)),
            trained_on: (0..2 * PATIENTS).map(|n| n % 2 == half).collect(),
        };
        let shadows = vec![shadow(0), shadow(1)];
        Self { encoder, real, held_out, synthetic, identifiers, shadows }
    }

    fn subject(&self) -> Subject<'_> {
        Subject::new(&self.encoder, &self.real, &self.synthetic)
            .with_held_out(Some(&self.held_out))
            .with_identifiers(&self.identifiers)
            .with_shadows(Some(&self.shadows))
            .with_simulator(Some(self))
    }
}

impl Simulator for Cohorts {
    /// The held-out patients, whatever is chosen for them.
    fn treat(&self, _: Option<Choice<'_>>) -> hg_eval::Result<Encoded> {
        Ok(self.held_out.encoded.clone())
    }
}

fn run(subject: &Subject<'_>, measures: &[Box<dyn Measure>]) -> Evaluation {
    evaluate(subject, measures, &mut |_| {}).expect("evaluates")
}

fn json(evaluation: &Evaluation) -> Value {
    let text = serde_json::to_string(evaluation).expect("JSON");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn the_page_of_measures_is_current() {
    let cohorts = Cohorts::new();
    let page = measures_markdown(&measures(), &run(&cohorts.subject(), &measures()));
    let path = repository("docs/measures.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("writes");
    }
    let is_current = std::fs::read_to_string(&path).is_ok_and(|text| text == page);
    assert!(
        is_current,
        "docs/measures.md is not what the registry says\nhint: \
         UPDATE_DOCS=1 cargo test --release --workspace --test registry"
    );
}

#[test]
fn every_measure_has_an_id_of_its_own_and_says_what_it_is() {
    let all = measures();
    let ids: BTreeSet<&str> = all.iter().map(|measure| measure.id()).collect();
    assert_eq!(ids.len(), all.len());
    for measure in &all {
        let id = measure.id();
        assert!(id.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{id}");
        assert!(!measure.stage().is_empty(), "{id}");
        let about = measure.about();
        assert!(about.len() > 100 && about.ends_with('.') && !about.contains('\n'), "{id}");
    }
    let topics: Vec<Topic> = all.iter().map(|measure| measure.topic()).collect();
    assert!(topics.is_sorted(), "the report shows one topic after the other");
}

#[test]
fn progress_follows_the_measures() {
    let cohorts = Cohorts::new();
    let all = measures();
    let mut heard = Vec::new();
    evaluate(&cohorts.subject(), &all, &mut |stage| heard.push(stage)).expect("evaluates");
    let stages: Vec<&str> = all.iter().map(|measure| measure.stage()).collect();
    assert_eq!(heard, stages);
}

/// What programs read of the JSON (`xtask quality`, the end-to-end tests, users).
const KEYS: [&str; 47] = [
    "/answers/0/topic",
    "/answers/0/about",
    "/answers/0/question",
    "/answers/0/passed",
    "/answers/0/because",
    "/patients/real",
    "/patients/held_out",
    "/patients/synthetic",
    "/out_of_domain",
    "/identifiers/columns",
    "/columns/0/distance",
    "/columns/0/hierarchy/kolmogorov_smirnov",
    "/real_correlation/0/0",
    "/synthetic_association/0/0",
    "/correlation_difference",
    "/association_difference",
    "/mean_ks",
    "/mean_total_variation",
    "/held_out/correlation_difference",
    "/held_out/association_difference",
    "/held_out/mean_ks",
    "/held_out/mean_total_variation",
    "/dynamics/autocorrelation",
    "/held_out_dynamics/lengths",
    "/rare_levels/levels",
    "/spread/within_patients",
    "/held_out_spread/columns/0/median_step",
    "/real_spread/0/between_patients",
    "/trajectories/columns/0/variogram",
    "/held_out_trajectories/columns/0/ranks",
    "/joint_statics/pairs",
    "/discriminative/area",
    "/held_out_discriminative/area",
    "/nearness/least",
    "/held_out_nearness/ratio_low",
    "/membership/area",
    "/density_ratio/area",
    "/shadow_membership/told_apart/area",
    "/identification/known",
    "/linkage/classes/0/synthetic",
    "/singling_out/multivariate/risk",
    "/linkability/risk",
    "/inference/beyond/risk",
    "/inference/told_apart/area",
    "/predictive/trained_on_synthetic",
    "/policies/commonest/0/action",
    "/policies/when_run/synthetic",
];

#[test]
fn the_json_keeps_its_keys() {
    let cohorts = Cohorts::new();
    let json = json(&run(&cohorts.subject(), &measures()));
    for key in KEYS {
        assert!(json.pointer(key).is_some(), "no {key}");
    }
    // Each figure of the report is in it, by measure.
    let figures = &json["figures"]["column-distances"][0];
    assert_eq!(figures["synthetic"], json["mean_ks"]);
    assert_eq!(figures["held_out"], json["held_out"]["mean_ks"]);
    assert!(figures["synthetic"].as_f64() > Some(0.) && figures["held_out"].as_f64() > Some(0.));
    // Where there is nothing to compare with, the keys stay, without a value.
    let subject = Subject::new(&cohorts.encoder, &cohorts.real, &cohorts.synthetic);
    let json = self::json(&run(&subject, &measures()));
    for key in [
        "/held_out",
        "/held_out_dynamics",
        "/held_out_spread",
        "/timing",
        "/membership",
        "/density_ratio",
        "/shadow_membership",
        "/singling_out",
        "/linkability",
        "/inference",
        "/identifiers",
    ] {
        assert_eq!(json.pointer(key), Some(&Value::Null), "{key}");
    }
}

/// A measure of one's own: the mean number of steps.
struct MeanLength {
    id: &'static str,
    key: &'static str,
}

impl Measure for MeanLength {
    fn id(&self) -> &'static str {
        self.id
    }

    fn topic(&self) -> Topic {
        Topic::Utility
    }

    fn stage(&self) -> &'static str {
        "lengths"
    }

    fn about(&self) -> &'static str {
        "The mean number of steps."
    }

    fn compute(&self, subject: &Subject<'_>) -> hg_eval::Result<Finding> {
        let lengths = &subject.synthetic.observed.lengths;
        let mean = lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
        let table = ReportTable {
            title: "Own table".into(),
            note: "A note.".into(),
            header: vec!["a".into(), "b".into()],
            rows: vec![vec!["1|2".into(), "<3>".into()]],
        };
        let outcome = Ok((mean > 0., "there are steps".into()));
        Finding::new()
            .with_figure(Figure::new("mean length", mean).held_out(7.))
            .with_answer(Answer::new("length", "Are there steps?", outcome))
            .with_table(table)
            .with_detail(mean)
            .with_json(self.key, &mean)
    }
}

fn own(id: &'static str, key: &'static str) -> Box<dyn Measure> {
    Box::new(MeanLength { id, key })
}

#[test]
fn a_measure_of_ones_own_is_in_the_report_the_json_and_the_answers() {
    let cohorts = Cohorts::new();
    let remarks = ["Some <patients> were chosen.".to_owned()];
    let subject = cohorts.subject().with_remarks(&remarks);
    let few: Vec<_> = measures().into_iter().filter(|m| m.id() == "domain").collect();
    let evaluation = run(
        &subject,
        &[few, vec![own("mean-length", "mean-length")]].into_iter().flatten().collect::<Vec<_>>(),
    );

    let mean = *evaluation.detail::<f64>("mean-length").expect("a mean");
    assert!(mean > 10., "{mean}");
    assert_eq!(evaluation.detail::<Auc>("mean-length"), None);
    let json = json(&evaluation);
    assert_eq!(json["mean-length"], mean);
    assert_eq!(json["figures"]["mean-length"][0]["synthetic"], mean);
    assert_eq!(json["answers"][1]["topic"], "Is it useful?");
    assert_eq!(json["answers"][1]["passed"], true);
    assert_eq!(json["remarks"][0], remarks[0]);
    assert!(json.get("columns").is_none());

    let report = Report::new(&subject, &evaluation, &[]).expect("draws");
    let (html, markdown) = (report.html(), report.markdown());
    let figure = format!("| mean length | {mean:.3} | 7.000 |");
    for part in
        [&figure, &remarks[0], "**Passed.** Are there steps?", "## Own table\n\nA note.", "1\\|2"]
    {
        assert!(markdown.contains(part), "no {part} in {markdown}");
    }
    for part in [
        "Some &lt;patients&gt; were chosen.",
        "<h2>Own table</h2>",
        "&lt;3&gt;",
        "<td>mean length</td>",
        "Are there steps?",
    ] {
        assert!(html.contains(part), "no {part}");
    }
    // Sections of measures that were not computed are left out.
    for part in ["<h2>Columns</h2>", "<h2>Correlations</h2>", "Is it private?"] {
        assert!(!html.contains(part), "{part}");
    }
    assert!(!markdown.contains("| column | real"));
}

#[test]
fn measures_that_do_not_go_together_are_refused() {
    let cohorts = Cohorts::new();
    let evaluate = |measures: Vec<Box<dyn Measure>>| {
        evaluate(&cohorts.subject(), &measures, &mut |_| {}).expect_err("an error")
    };
    let error = evaluate(vec![own("a", "a"), own("a", "b")]);
    assert!(matches!(error, Error::SameId { id: "a" }), "{error}");
    for (first, second) in [("x", "x"), ("y", "answers")] {
        let error = evaluate(vec![own("a", first), own("b", second)]);
        assert!(matches!(&error, Error::SameKey { id: "b", key } if key == second), "{error}");
        assert!(error.to_string().contains("\nhint: "), "{error}");
    }
}
