//! The report: one HTML file that needs nothing else, and the same in Markdown.

mod measures;
mod pictures;
mod projection;

use crate::statistics::{shares, stride};
use crate::{ActionShare, Answer, ColumnComparison, Evaluation, Result, Subject};
use hg_data::{Kind, Observed};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use measures::measures;
pub use pictures::Curve;
use pictures::{draw_correlation, draw_curve, draw_marginal, draw_points, draw_trajectories};
use projection::Projection;
use std::fmt::Write as _;

/// Patients whose trajectories are drawn, of either side.
const DRAWN: usize = 8;

/// What stands for the values of a side that has none.
const NOTHING: &str = "–";

/// What no figure here can show.
const CAVEATS: [&str; 4] = [
    "No figure on this page proves privacy. Nothing here is differentially private: whoever trained \
     the model could have let it memorise a patient, and these checks could miss it.",
    "A distance above 0 says that no record was copied, not that nobody can be recognised. Rare \
     combinations of values can point to a person without being anybody's record.",
    "The attack tried here is one of many, by an attacker who has the synthetic table alone.",
    "The limits for «passed» are this program's own. They are no law's and no regulator's; an ethics \
     board may want others.",
];

/// A report of one evaluation.
#[derive(Debug)]
pub struct Report<'a> {
    title: String,
    evaluation: &'a Evaluation,
    answers: Vec<Answer>,
    marginals: Vec<String>,
    maps: Vec<String>,
    plane: Option<String>,
    trajectories: Vec<String>,
    curves: Vec<String>,
}

impl<'a> Report<'a> {
    /// Draws all pictures; `curves` are those of training, where there are any.
    ///
    /// # Errors
    /// When a picture cannot be drawn.
    pub fn new(
        subject: &Subject<'_>,
        evaluation: &'a Evaluation,
        curves: &[Curve],
    ) -> Result<Self> {
        let Subject { encoder, real, synthetic, .. } = subject;
        let schema = &encoder.schema;
        let comparison = &evaluation.comparison;
        let names: Vec<&str> = comparison.columns.iter().map(|c| c.name.as_str()).collect();
        let (a, b) = (&comparison.real_correlation, &comparison.synthetic_correlation);
        let (c, d) = (&comparison.real_association, &comparison.synthetic_association);
        let maps = [
            ("real", a),
            ("synthetic", b),
            ("synthetic − real", &difference(a, b)),
            ("associations, real", c),
            ("associations, synthetic", d),
            ("synthetic − real", &difference(c, d)),
        ];
        let plane = Projection::new(&real.encoded, &synthetic.encoded);
        let changing = schema
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.kind == Kind::Numeric && !column.is_static);
        Ok(Self {
            title: schema.name.clone(),
            evaluation,
            answers: evaluation.answers(),
            marginals: comparison.columns.iter().map(draw_marginal).collect::<Result<_>>()?,
            maps: maps
                .iter()
                .map(|(title, matrix)| draw_correlation(&names, matrix, title))
                .collect::<Result<_>>()?,
            plane: plane.as_ref().map(draw_points).transpose()?,
            trajectories: changing
                .map(|(n, column)| {
                    let [real, synthetic] =
                        [real, synthetic].map(|cohort| trajectories(&cohort.observed, n));
                    draw_trajectories(&column.name, &real, &synthetic)
                })
                .collect::<Result<_>>()?,
            curves: curves
                .iter()
                .filter(|(_, points)| !points.is_empty())
                .map(draw_curve)
                .collect::<Result<_>>()?,
        })
    }

    /// The page: self-contained, for light and dark screens, phones and paper.
    pub fn html(&self) -> String {
        let comparison = &self.evaluation.comparison;
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.title) " · synthetic cohort" }
                    style { (PreEscaped(include_str!("report.css"))) }
                }
                body {
                    h1 { "Synthetic cohort: " (self.title) }
                    p.soft { "How it compares with the real one. Made by Health Gym in Rust." }
                    @for answers in self.answers.chunk_by(|a, b| a.topic == b.topic) {
                        h2 { (answers[0].topic) }
                        div.answers { @for answer in answers { (card(answer)) } }
                    }
                    h2 { "Columns" }
                    p.soft {
                        "Distance: Kolmogorov–Smirnov of numbers, total variation of levels; 0 is equal, "
                        "1 disjoint. «KS passes» is the share of 100 random draws of 200 values in which "
                        "the Kolmogorov–Smirnov test (5 %) sees no difference (of levels by their positions); of the other "
                        "draws, t and F give the shares with equal means and variances, 3σ those that lie within three "
                        "standard deviations."
                    }
                    div.wide { (columns_table(&comparison.columns)) }
                    h2 { "Distributions" span.key.real {} "real" span.key.made {} "synthetic" }
                    (pictures("pictures", &self.marginals))
                    h2 { "Correlations" }
                    p.soft {
                        "Of every pair of columns: blue is −1, red 1, and the ground's colour 0. First Pearson's; "
                        "below them Kendall's τ of two numbers, the correlation ratio of a number with levels, and "
                        "Cramér's V of levels."
                    }
                    (pictures("maps", &self.maps))
                    @if let Some(plane) = &self.plane {
                        h2 { "Patients in a plane" span.key.real {} "real" span.key.made {} "synthetic" }
                        p.soft {
                            "Each point is a patient: the two directions in which real patients differ most, in "
                            "what their values are on average and how far they move from step to step."
                        }
                        (pictures("plane", std::slice::from_ref(plane)))
                    }
                    @if !self.trajectories.is_empty() {
                        h2 {
                            "Some patients over their steps"
                            span.key.real {} "real" span.key.made {} "synthetic"
                        }
                        (pictures("pictures", &self.trajectories))
                    }
                    @if let Some(policies) = &self.evaluation.policies {
                        h2 { "The commonest actions" }
                        div.wide { (actions_table(&policies.commonest)) }
                    }
                    h2 { "Measures" }
                    div.wide { (measures_table(self.evaluation)) }
                    h2 { "What this does not prove" }
                    ul { @for caveat in CAVEATS { li { (caveat) } } }
                    @if !self.curves.is_empty() {
                        h2 { "Training, by iteration" }
                        (pictures("pictures", &self.curves))
                    }
                }
            }
        };
        page.into_string()
    }

    /// The same without pictures.
    pub fn markdown(&self) -> String {
        let mut text = format!("# Synthetic cohort: {}\n\n", self.title);
        // Writing to a text does not fail.
        let mut line = |line: String| {
            let _ = writeln!(text, "{line}");
        };
        for answers in self.answers.chunk_by(|a, b| a.topic == b.topic) {
            line(format!("**{}**\n", answers[0].topic));
            for Answer { question, passed, because, .. } in answers {
                line(format!("- **{}** {question} {because}", verdict(*passed)));
            }
            line(String::new());
        }
        line("| column | real | synthetic | distance | KS passes |".into());
        line("| --- | ---: | ---: | ---: | ---: |".into());
        for column in &self.evaluation.comparison.columns {
            let [real, synthetic] = both_sides(column);
            let passes = passes(column).map_or(String::new(), |[passes, ..]| passes);
            let name = column.name.replace('|', "\\|");
            let distance = distance(column);
            line(format!("| {name} | {real} | {synthetic} | {distance} | {passes} |"));
        }
        line("\n| measure | synthetic | held out |\n| --- | ---: | ---: |".into());
        for [name, synthetic, held_out] in measures(self.evaluation) {
            line(format!("| {name} | {synthetic} | {held_out} |"));
        }
        line("\n## What this does not prove\n".into());
        for caveat in CAVEATS {
            line(format!("- {caveat}"));
        }
        text
    }
}

fn difference(from: &[Vec<f64>], to: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let row = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| b - a).collect();
    from.iter().zip(to).map(row).collect()
}

fn card(answer: &Answer) -> Markup {
    let class = match answer.passed {
        Some(true) => "answer passed",
        Some(false) => "answer failed",
        None => "answer unknown",
    };
    html! {
        div class=(class) {
            b { (verdict(answer.passed)) } " " (answer.question)
            p { (answer.because) }
        }
    }
}

fn verdict(passed: Option<bool>) -> &'static str {
    match passed {
        Some(true) => "Passed.",
        Some(false) => "Failed.",
        None => "Not asked.",
    }
}

/// The pictures are ours and hold no text that was not escaped when it was drawn.
fn pictures(class: &str, pictures: &[String]) -> Markup {
    html! { div class=(class) { @for picture in pictures { figure { (PreEscaped(picture)) } } } }
}

fn columns_table(columns: &[ColumnComparison]) -> Markup {
    html! {
        table {
            tr {
                th { "column" } th { "real" } th { "synthetic" } th { "missing" }
                th { "missing, synthetic" } th { "distance" } th { "KS passes" }
                th { "t" } th { "F" } th { "3σ" }
            }
            @for column in columns {
                @let [real, synthetic] = both_sides(column);
                @let missing = [column.real_missing, column.synthetic_missing];
                tr {
                    td { (column.name) @if !column.unit.is_empty() { span.soft { " " (column.unit) } } }
                    td { (real) } td { (synthetic) }
                    @for share in missing { td { (percent(share)) } }
                    td { (distance(column)) }
                    @match passes(column) {
                        Some(shares) => { @for share in shares { td { (share) } } }
                        None => { @for _ in 0..4 { td {} } }
                    }
                }
            }
        }
    }
}

/// The distance of a column, where one side has values.
fn distance(column: &ColumnComparison) -> String {
    column.distance.map_or("open".into(), |distance| format!("{distance:.3}"))
}

/// Mean and deviation of numbers; the commonest level of others; a dash for a side without any.
fn both_sides(column: &ColumnComparison) -> [String; 2] {
    if column.levels.is_empty() {
        return [
            (column.real_mean, column.real_deviation),
            (column.synthetic_mean, column.synthetic_deviation),
        ]
        .map(|side| match side {
            (Some(mean), Some(deviation)) => format!("{mean:.2} ± {deviation:.2}"),
            _ => NOTHING.into(),
        });
    }
    let shares = [&column.real, &column.synthetic].map(|side| shares(side, column.levels.len()));
    let commonest = (0..column.levels.len()).max_by(|&a, &b| shares[0][a].total_cmp(&shares[0][b]));
    let level = commonest.unwrap_or(0);
    shares.map(|shares| {
        if shares.iter().all(|&share| share == 0.) {
            return NOTHING.into();
        }
        let share = shares.get(level).copied().unwrap_or(0.);
        format!("{}: {}", column.levels.get(level).map_or("", String::as_str), percent(share))
    })
}

fn passes(column: &ColumnComparison) -> Option<[String; 4]> {
    let tests = column.hierarchy?;
    let first = percent(tests.kolmogorov_smirnov);
    if !column.levels.is_empty() {
        return Some([first, String::new(), String::new(), String::new()]);
    }
    let [student, snedecor, three_sigma] =
        [tests.student, tests.snedecor, tests.three_sigma].map(percent);
    Some([first, student, snedecor, three_sigma])
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100. * share)
}

fn actions_table(actions: &[ActionShare]) -> Markup {
    let percent = |share: f64| format!("{:.1} %", 100. * share);
    html! {
        table {
            tr { th { "action" } th { "real" } th { "synthetic" } }
            @for ActionShare { action, real, synthetic } in actions {
                tr { td { (action) } td { (percent(*real)) } td { (percent(*synthetic)) } }
            }
        }
    }
}

fn measures_table(evaluation: &Evaluation) -> Markup {
    html! {
        table {
            tr { th { "measure" } th { "synthetic" } th { "held-out patients" } }
            @for [name, synthetic, held_out] in measures(evaluation) {
                tr { td { (name) } td { (synthetic) } td { (held_out) } }
            }
        }
    }
}

/// Values of a column by step, of evenly spread patients.
fn trajectories(cohort: &Observed, column: usize) -> Vec<Vec<(f64, f64)>> {
    let mut start = 0;
    let every = stride(cohort.lengths.len(), DRAWN);
    let mut drawn = Vec::new();
    for (patient, &length) in cohort.lengths.iter().enumerate() {
        if patient % every == 0 {
            let cells = cohort.columns[column][start..start + length].iter().enumerate();
            let seen = cells.filter_map(|(step, cell)| Some((step as f64, (*cell)?)));
            drawn.push(seen.filter(|(_, value)| value.is_finite()).collect());
        }
        start += length;
    }
    drawn
}
