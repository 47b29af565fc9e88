//! What a measure is, and the registry of all of them.

use crate::{Finding, Result, Subject, privacy, realism, utility};
use serde::{Serialize, Serializer};
use std::fmt::Write as _;

/// Which of the report's three questions a measure belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Is it real enough?
    Realism,
    /// Is it private?
    Privacy,
    /// Is it useful?
    Utility,
}

impl Topic {
    /// All topics, in the order of the report.
    pub const ALL: [Self; 3] = [Self::Realism, Self::Privacy, Self::Utility];

    /// The topic as the report's question.
    pub fn question(self) -> &'static str {
        match self {
            Self::Realism => "Is it real enough?",
            Self::Privacy => "Is it private?",
            Self::Utility => "Is it useful?",
        }
    }
}

impl Serialize for Topic {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.question())
    }
}

/// One way of judging a synthetic cohort. To add one, write a file with a type that implements
/// this and give it a line in [`measures`]; progress, short answers, the report, JSON and
/// `docs/measures.md` follow.
pub trait Measure: Send + Sync {
    /// The key by which its finding is looked up, unique among the measures of an evaluation;
    /// lower case with hyphens, as `column-distances`.
    fn id(&self) -> &'static str;

    /// Which of the three questions it belongs to.
    fn topic(&self) -> Topic;

    /// What the progress bar says while it is computed.
    fn stage(&self) -> &'static str;

    /// One paragraph in Markdown: what is computed, its range, and its source with a DOI.
    fn about(&self) -> &'static str;

    /// Computes it. What cannot be compared is left out of the finding, or an answer that is
    /// [open](crate::Verdict::Open); it is no error.
    ///
    /// # Errors
    /// What the simulator, the encoder or candle report.
    fn compute(&self, subject: &Subject<'_>) -> Result<Finding>;
}

/// All measures, in the order in which the report shows them.
pub fn measures() -> Vec<Box<dyn Measure>> {
    vec![
        Box::new(realism::domain::Domain),
        Box::new(realism::rules::Rules),
        Box::new(realism::columns::ColumnDistances),
        Box::new(realism::missing_cells::MissingCells),
        Box::new(realism::percentiles::Percentiles),
        Box::new(realism::rare_levels::RareLevelsOccur),
        Box::new(realism::pairs::PairAssociations),
        Box::new(realism::spread::Spread),
        Box::new(realism::dynamics::TemporalDynamics),
        Box::new(realism::trajectories::CoursesOverTime),
        Box::new(realism::timing::TimesOfRows),
        Box::new(realism::joint_statics::JointCellsOfStatics),
        Box::new(realism::statics::StaticsByCourse),
        Box::new(realism::told_apart::Judges),
        Box::new(privacy::closest_records::ClosestRecords),
        Box::new(privacy::identifiers::SharedIdentifiers),
        Box::new(privacy::membership::MembershipInference),
        Box::new(privacy::density_ratio::DensityRatio),
        Box::new(privacy::shadow_membership::ShadowMembers),
        Box::new(privacy::identification::IdentityDisclosure),
        Box::new(privacy::linkage::Linkages),
        Box::new(privacy::singling_out::SingledOut),
        Box::new(privacy::linkability::Linkability),
        Box::new(privacy::inference::AttributeInference),
        Box::new(utility::predictive::NextStepPrediction),
        Box::new(utility::policies::LearntPolicies),
    ]
}

/// `docs/measures.md`: what each of some measures computes, and the figures that it gave in one
/// evaluation.
pub fn measures_markdown(measures: &[Box<dyn Measure>], evaluation: &crate::Evaluation) -> String {
    let mut text = String::from(HEAD);
    for topic in Topic::ALL {
        // Writing to a text does not fail.
        let _ = writeln!(text, "\n## {}", topic.question());
        for measure in measures.iter().filter(|measure| measure.topic() == topic) {
            let _ = writeln!(text, "\n### `{}`\n\n{}", measure.id(), measure.about());
            let Some(finding) = evaluation.finding(measure.id()) else { continue };
            if !finding.answers.is_empty() {
                let _ = writeln!(text, "\nQuestions:\n");
            }
            for answer in &finding.answers {
                let _ = writeln!(text, "- **{}**: {}", answer.about, answer.question);
            }
            let tables = finding.tables.iter().map(|table| format!("table: {}", table.title));
            let figures = finding.figures.iter().map(|figure| figure.name.clone().into_owned());
            let rows: Vec<String> = figures.chain(tables).collect();
            if !rows.is_empty() {
                let _ = writeln!(text, "\nFigures:\n");
            }
            for row in rows {
                let _ = writeln!(text, "- {row}");
            }
        }
    }
    text
}

/// How `docs/measures.md` begins.
const HEAD: &str = "\
# Measures

What `hg evaluate` computes, in the order of its report. This page is written from the registry
(`measures` in `crates/hg-eval/src/measure.rs`), and a test keeps it in step; the figures are
those of a simulated ART-for-HIV cohort with patients held out, so that names of columns in them
are examples. Most figures are also computed for real patients that were held out of training,
where there are some: what they differ by from those trained on is the yardstick.
";
