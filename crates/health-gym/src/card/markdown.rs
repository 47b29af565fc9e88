//! The card as a Hugging Face dataset card: YAML, then Markdown; and the page of verdicts beside it.

use super::{Card, CardColumn, LIMITS, METHOD, MISUSES, Measured, REFERENCE, USES};
use hg_eval::Topic;
use std::fmt::Write as _;

/// Licences that Hugging Face knows, by their SPDX identifier and its own.
const LICENSES: [(&str, &str); 10] = [
    ("CC0-1.0", "cc0-1.0"),
    ("CC-BY-4.0", "cc-by-4.0"),
    ("CC-BY-SA-4.0", "cc-by-sa-4.0"),
    ("CC-BY-NC-4.0", "cc-by-nc-4.0"),
    ("CC-BY-NC-SA-4.0", "cc-by-nc-sa-4.0"),
    ("CC-BY-ND-4.0", "cc-by-nd-4.0"),
    ("ODbL-1.0", "odbl"),
    ("ODC-By-1.0", "odc-by"),
    ("PDDL-1.0", "pddl"),
    ("CDLA-Permissive-2.0", "cdla-permissive-2.0"),
];

/// The SPDX identifier of a licence and Hugging Face's, where the text is one that both know.
pub(super) fn known(license: &str) -> Option<(&'static str, &'static str)> {
    LICENSES.into_iter().find(|(spdx, _)| spdx.eq_ignore_ascii_case(license.trim()))
}

/// What is said where no licence is given.
pub(super) const NOT_STATED: &str = "not stated";

impl Card {
    /// The card as `card.md`.
    pub fn markdown(&self) -> String {
        let mut page = Page(self.front_matter());
        self.write_summary(&mut page);
        self.write_columns(&mut page);
        self.write_method(&mut page);
        self.write_privacy(&mut page);
        self.write_measures(&mut page);
        self.write_uses(&mut page);
        page.0
    }

    /// The page of verdicts that may leave the house beside the card, without anything of real patients;
    /// `None` where nothing was measured, or what was is not covered by the guarantee.
    pub(crate) fn verdicts(&self) -> Option<String> {
        let measured = self.measured()?;
        let mut page = Page(format!("# {}\n", self.title()));
        page.paragraph(
            "What the comparison with the private table came to. Pictures and tables of real patients stay \
             where that table is.",
        );
        for topic in Topic::ALL {
            page.heading(topic.question());
            page.answers(measured, topic);
        }
        page.heading("Columns");
        page.paragraph(
            "Mean and standard deviation are those of the synthetic table. The distance from the real one is the \
             Kolmogorov–Smirnov statistic of numbers, the total variation of levels: 0 is equal, 1 is disjoint.",
        );
        page.line("\n| column | synthetic mean ± SD | distance |\n| --- | ---: | ---: |");
        for column in measured.columns() {
            let unit = cell(&column.unit);
            let numbers = column.synthetic.map(|[mean, sd]| format!("{mean:.2} ± {sd:.2} {unit}"));
            let numbers = numbers.unwrap_or_default();
            let name = cell(&column.name);
            page.line(&format!("| {name} | {} | {:.3} |", numbers.trim_end(), column.distance));
        }
        page.paragraph("None of these figures proves privacy.");
        Some(page.0)
    }

    fn front_matter(&self) -> String {
        let mut yaml = String::from("---\n");
        // Writing to a text does not fail.
        let mut line = |text: String| {
            let _ = writeln!(yaml, "{text}");
        };
        match self.license.as_deref().map(|text| (text, known(text))) {
            None => line("license: unknown".into()),
            Some((_, Some((_, own)))) => line(format!("license: {own}")),
            Some((text, None)) => line(format!("license: other\nlicense_name: {}", quoted(text))),
        }
        line(format!("pretty_name: {}", quoted(&self.title())));
        line(format!("size_categories:\n- {}", size(self.made.rows)));
        line("task_categories:\n- tabular-classification\n- tabular-regression".into());
        line("- time-series-forecasting".into());
        if self.has_decision {
            line("- reinforcement-learning".into());
        }
        line("tags:\n- synthetic\n- medical\n- tabular\n- timeseries\n- croissant".into());
        if self.guarantee.is_some() {
            line("- differential-privacy".into());
        }
        line("configs:".into());
        for table in &self.tables {
            let (name, file) = (quoted(&table.name), quoted(&table.file));
            line(format!("- config_name: {name}\n  data_files: {file}"));
        }
        yaml + "---\n"
    }

    fn write_summary(&self, page: &mut Page) {
        let made = &self.made;
        page.line(&format!("\n# {}", inline(&self.title())));
        page.paragraph(&format!(
            "**{} synthetic patients** with {} rows in all, {} to {} steps each; a step is {}. No row is a person.",
            made.patients, made.rows, made.steps[0], made.steps[1], inline(&self.time)
        ));
        page.heading("What it was made from");
        if !self.description.trim().is_empty() {
            page.paragraph(&format!(
                "The private table, in its schema's words: {}.",
                inline(self.description.trim_end_matches('.'))
            ));
        }
        page.paragraph(&self.origin());
        page.paragraph(
            "Numbers that were fitted to the private table (ranges, medians, shares) are left out of this card.",
        );
    }

    fn write_columns(&self, page: &mut Page) {
        page.heading("Columns");
        for table in &self.tables {
            if self.tables.len() > 1 {
                page.line(&format!("\n### {} (`{}`)\n", inline(&table.name), table.file));
            } else {
                page.line("");
            }
            page.line("| column | holds | unit | levels |\n| --- | --- | --- | --- |");
            for CardColumn { name, holds, unit, levels, .. } in &table.columns {
                let levels: Vec<String> = levels.iter().map(|level| cell(level)).collect();
                let row = [cell(name), cell(holds), cell(unit), levels.join(", ")];
                page.line(&format!("| {} |", row.join(" | ")));
            }
        }
    }

    fn write_method(&self, page: &mut Page) {
        page.heading("How it was made");
        page.paragraph(&format!("{METHOD} {REFERENCE}"));
        page.paragraph(&self.program());
        page.paragraph("Settings, where they are not the program's defaults:");
        page.line("\n| setting | value |\n| --- | --- |");
        for (key, value) in &self.settings {
            page.line(&format!("| `{key}` | {} |", cell(value)));
        }
    }

    /// The program that made it.
    pub(super) fn program(&self) -> String {
        let commit = match self.commit.as_str() {
            "" => String::new(),
            commit => format!(", commit {commit}"),
        };
        format!("Program: Health Gym in Rust {}{commit}.", self.version)
    }

    fn write_privacy(&self, page: &mut Page) {
        page.heading("Privacy");
        page.paragraph(&self.promise());
        match self.measured() {
            Some(measured) => {
                page.paragraph("Attacks on the synthetic tables, with 95 % intervals in brackets:");
                page.answers(measured, Topic::Privacy);
            }
            None if self.has_guarantee() => {}
            None => page
                .paragraph("The cohort was not attacked: nothing is known of what it gives away."),
        }
    }

    fn write_measures(&self, page: &mut Page) {
        let Some(measured) = self.measured() else {
            page.heading("Known faults");
            let why = match self.has_guarantee() {
                true => "Left out: they would be computed from the private table (see Privacy).",
                false => "Unknown: the cohort was not compared with the private table.",
            };
            return page.paragraph(why);
        };
        page.heading("Measures");
        if measured.is_partial() {
            page.paragraph("The tables are large: some whole patients of each were compared.");
        }
        for topic in [Topic::Realism, Topic::Utility] {
            page.paragraph(&format!("**{}**", topic.question()));
            page.answers(measured, topic);
        }
        page.heading("Known faults");
        let faults = self.faults();
        if faults.is_empty() {
            page.paragraph("No question was failed, and no column is farther than the yardstick.");
        }
        page.list(faults.iter().map(String::as_str));
    }

    fn write_uses(&self, page: &mut Page) {
        page.heading("Uses");
        page.paragraph("Intended:");
        page.list(USES);
        page.paragraph("Not intended:");
        page.list(MISUSES);
        page.heading("Limits");
        page.list(LIMITS);
        page.heading("Licence");
        page.paragraph(&inline(self.license.as_deref().unwrap_or(NOT_STATED)));
        page.heading("How to cite");
        page.paragraph(&format!(
            "{}, made with Health Gym in Rust {}. Method: {REFERENCE}",
            inline(&self.title()),
            self.version
        ));
    }
}

/// Markdown that grows.
struct Page(String);

impl Page {
    fn line(&mut self, text: &str) {
        self.0 += text;
        self.0 += "\n";
    }

    fn heading(&mut self, text: &str) {
        self.line(&format!("\n## {text}"));
    }

    fn paragraph(&mut self, text: &str) {
        self.line(&format!("\n{text}"));
    }

    fn list<'a>(&mut self, items: impl IntoIterator<Item = &'a str>) {
        self.line("");
        items.into_iter().for_each(|item| self.line(&format!("- {}", inline(item))));
    }

    fn answers(&mut self, measured: &Measured, topic: Topic) {
        self.line("");
        for answer in measured.answers_of(topic) {
            let (verdict, because) = (answer.verdict(), inline(&answer.because));
            self.line(&format!("- **{verdict}**: {} {because}", inline(&answer.question)));
        }
    }
}

/// A text within a line of Markdown: no line ends, and no HTML outside of code.
fn inline(text: &str) -> String {
    let is_paired = text.matches('`').count().is_multiple_of(2);
    let mut is_code = false;
    let mut escaped = String::new();
    for character in text.split_whitespace().collect::<Vec<_>>().join(" ").chars() {
        is_code ^= character == '`' && is_paired;
        match character {
            '<' if !is_code => escaped += "&lt;",
            other => escaped.push(other),
        }
    }
    escaped
}

/// A text within a cell of a table.
fn cell(text: &str) -> String {
    inline(text).replace('|', "\\|").replace('*', "\\*").replace('_', "\\_")
}

/// A text in YAML: a JSON string is one.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Hugging Face's class of a number of rows.
fn size(rows: usize) -> &'static str {
    match rows {
        0..1_000 => "n<1K",
        1_000..10_000 => "1K<n<10K",
        10_000..100_000 => "10K<n<100K",
        100_000..1_000_000 => "100K<n<1M",
        1_000_000..10_000_000 => "1M<n<10M",
        10_000_000..100_000_000 => "10M<n<100M",
        _ => "100M<n<1B",
    }
}
