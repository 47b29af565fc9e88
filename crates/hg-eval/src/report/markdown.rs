//! The report in Markdown, without pictures.

use super::columns::{both_sides, distance, passes};
use super::{CAVEATS, Report, columns_of, verdict_word};
use crate::{Answer, ReportTable};
use std::fmt::Write as _;

impl Report<'_> {
    /// The report in Markdown: short answers, tables and figures, without pictures.
    pub fn markdown(&self) -> String {
        let mut text = format!("# Synthetic cohort: {}\n\n", self.title);
        // Writing to a text does not fail.
        let mut line = |line: String| {
            let _ = writeln!(text, "{line}");
        };
        for remark in &self.evaluation.remarks {
            line(format!("{remark}\n"));
        }
        for (topic, answers) in self.evaluation.answers_by_topic() {
            line(format!("**{}**\n", topic.question()));
            for Answer { question, verdict, because, .. } in answers {
                line(format!("- **{}** {question} {because}", verdict_word(*verdict)));
            }
            line(String::new());
        }

        if let Some(found) = columns_of(self.evaluation) {
            line("| column | real | synthetic | distance | KS passes |".into());
            line("| --- | ---: | ---: | ---: | ---: |".into());
            for column in &found.columns {
                let [real, synthetic] = both_sides(column);
                let passes = passes(column).map_or(String::new(), |[passes, ..]| passes);
                let name = column.name.replace('|', "\\|");
                let distance = distance(column);
                line(format!("| {name} | {real} | {synthetic} | {distance} | {passes} |"));
            }
        }

        line("\n| measure | synthetic | held out |\n| --- | ---: | ---: |".into());
        for figure in self.evaluation.figures() {
            let [name, synthetic, held_out] = figure.cells();
            line(format!("| {name} | {synthetic} | {held_out} |"));
        }
        for (_, finding) in self.evaluation.findings() {
            finding.tables.iter().for_each(|table| line(markdown_table(table)));
        }
        line("\n## What this does not prove\n".into());
        for caveat in CAVEATS {
            line(format!("- {caveat}"));
        }
        text
    }
}

/// A heading, its note, and the table.
fn markdown_table(ReportTable { title, note, header, rows }: &ReportTable) -> String {
    let row = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |", cells.join(" | "))
    };
    let aligned: Vec<String> =
        (0..header.len()).map(|n| if n == 0 { "---".into() } else { "---:".into() }).collect();
    let rows: Vec<String> = rows.iter().map(|cells| row(cells)).collect();
    let note = if note.is_empty() { String::new() } else { format!("{note}\n\n") };
    format!("\n## {title}\n\n{note}{}\n{}\n{}", row(header), row(&aligned), rows.join("\n"))
}
