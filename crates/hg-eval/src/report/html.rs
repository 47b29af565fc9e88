//! The report as an HTML page.

use super::columns::{both_sides, distance, passes, percent};
use super::{CAVEATS, Report, columns_of, verdict_word};
use crate::{Answer, ColumnComparison, Evaluation, ReportTable, Verdict};
use maud::{DOCTYPE, Markup, PreEscaped, html};

impl Report<'_> {
    /// The report as a page: self-contained, for light and dark screens, phones and paper.
    pub fn html(&self) -> String {
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
                    @for remark in &self.evaluation.remarks { p { (remark) } }
                    @for (topic, answers) in self.evaluation.answers_by_topic() {
                        h2 { (topic.question()) }
                        div.answers { @for answer in answers { (card(answer)) } }
                    }
                    (self.columns_section())
                    (self.pairs_section())
                    (self.patients_section())
                    @for (_, finding) in self.evaluation.findings() {
                        @for table in &finding.tables { (report_table(table)) }
                    }
                    h2 { "Measures" }
                    div.wide { (figures_table(self.evaluation)) }
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

    fn columns_section(&self) -> Markup {
        let Some(found) = columns_of(self.evaluation) else { return html! {} };
        html! {
            h2 { "Columns" }
            p.soft {
                "Distance: Kolmogorov–Smirnov of numbers, total variation of levels; 0 is equal, "
                "1 disjoint. \"KS passes\" is the share of 100 random draws of 200 values in which "
                "the Kolmogorov–Smirnov test (5 %) sees no difference (of levels by their positions); of the other "
                "draws, t and F give the shares with equal means and variances, 3σ those that lie within three "
                "standard deviations."
            }
            div.wide { (columns_table(&found.columns)) }
            h2 { "Distributions" (key()) }
            (pictures("pictures", &self.marginals))
        }
    }

    fn pairs_section(&self) -> Markup {
        html! {
            @if !self.maps.is_empty() {
                h2 { "Correlations" }
                p.soft {
                    "Of every pair of columns: blue is −1, red 1, and the ground's colour 0. First Pearson's; "
                    "below them Kendall's τ of two numbers, the correlation ratio of a number with levels, and "
                    "Cramér's V of levels."
                }
                (pictures("maps", &self.maps))
            }
        }
    }

    fn patients_section(&self) -> Markup {
        html! {
            @if let Some(plane) = &self.plane {
                h2 { "Patients in a plane" (key()) }
                p.soft {
                    "Each point is a patient: the two directions in which real patients differ most, in "
                    "what their values are on average and how far they move from step to step."
                }
                (pictures("plane", std::slice::from_ref(plane)))
            }
            @if !self.trajectories.is_empty() {
                h2 { "Some patients over their steps" (key()) }
                (pictures("pictures", &self.trajectories))
            }
            @if let Some(patient) = &self.one_patient {
                (report_table(&patient.statics))
                (report_table(&patient.steps))
                p.soft {
                    "By step: this patient, and of their kind the median and the quartiles." (key())
                }
                (pictures("pictures", &patient.pictures))
            }
        }
    }
}

/// Which colour is which cohort.
fn key() -> Markup {
    html! { span.key.real {} "real" span.key.made {} "synthetic" }
}

fn card(answer: &Answer) -> Markup {
    let class = match answer.verdict {
        Verdict::Passed => "answer passed",
        Verdict::Failed => "answer failed",
        Verdict::Open => "answer unknown",
    };
    html! {
        div class=(class) {
            b { (verdict_word(answer.verdict)) } " " (answer.question)
            p { (answer.because) }
        }
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

fn report_table(ReportTable { title, note, header, rows }: &ReportTable) -> Markup {
    html! {
        h2 { (title) }
        @if !note.is_empty() { p.soft { (note) } }
        div.wide {
            table {
                tr { @for name in header { th { (name) } } }
                @for row in rows { tr { @for cell in row { td { (cell) } } } }
            }
        }
    }
}

fn figures_table(evaluation: &Evaluation) -> Markup {
    html! {
        table {
            tr { th { "measure" } th { "synthetic" } th { "held-out patients" } }
            @for figure in evaluation.figures() {
                tr { @for cell in figure.cells() { td { (cell) } } }
            }
        }
    }
}
