//! How pairs of columns go together.

use crate::judge::within_limit;
use crate::statistics::{mean_difference, stride};
use crate::{
    Answer, Compared, Finding, Measure, Result, Subject, Topic, correlation_ratio, cramer, kendall,
    pearson,
};
use hg_data::{Kind, Observed, Schema};
use rayon::prelude::*;
use serde::Serialize;

/// Rows of which associations are taken; of more, evenly spread ones are.
const MAX_ROWS: usize = 50_000;

/// How pairs of columns go together in a real and a synthetic cohort. Matrices are
/// `[columns, columns]` in schema order, with 0 where a column is constant.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pairs {
    /// Pearson correlations of the real cohort.
    pub real_correlation: Vec<Vec<f64>>,
    /// Pearson correlations of the synthetic cohort.
    pub synthetic_correlation: Vec<Vec<f64>>,
    /// Associations of the real cohort: Kendall's τ of two numbers, the correlation ratio of a
    /// number with levels, Cramér's V of two columns of levels.
    pub real_association: Vec<Vec<f64>>,
    /// Associations of the synthetic cohort.
    pub synthetic_association: Vec<Vec<f64>>,
    /// Differences of the synthetic cohort from the real one, over all pairs.
    pub differences: PairDifferences,
    /// Differences of held-out patients from those trained on.
    pub held_out: Option<PairDifferences>,
}

/// How far two cohorts are apart in their pairs; `None` where there was nothing to compare.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PairDifferences {
    /// Mean absolute difference of the correlations over all pairs of columns.
    pub correlation_difference: Option<f64>,
    /// Mean absolute difference of the associations over all pairs of columns.
    pub association_difference: Option<f64>,
}

pub(crate) struct PairAssociations;

impl Measure for PairAssociations {
    fn id(&self) -> &'static str {
        "pairs"
    }

    fn topic(&self) -> Topic {
        Topic::Realism
    }

    fn stage(&self) -> &'static str {
        "pairs of columns"
    }

    fn about(&self) -> &'static str {
        "How columns go together, over all pairs of columns and all rows: Pearson's correlation \
         (positions of levels), and an association by the columns' kinds: Kendall's τ_b of two \
         numbers in [−1, 1] (Knight 1966, \
         [doi:10.1080/01621459.1966.10480879](https://doi.org/10.1080/01621459.1966.10480879)), \
         the correlation ratio η of a number with levels and Cramér's V of two columns of levels \
         in [0, 1]. The figures are the mean absolute differences from the real cohort's; a pair \
         that one cohort lacks counts as 0 there. Up to 0.1 passes, or up to what held-out \
         patients differ by."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let schema = &subject.encoder.schema;
        let real = OfPairs::new(schema, &subject.real.observed);
        let synthetic = OfPairs::new(schema, &subject.synthetic.observed);
        let held_out =
            subject.held_out.map(|cohort| OfPairs::new(schema, &cohort.observed).apart(&real));
        let compared = Compared { synthetic: Some(synthetic.apart(&real)), held_out };

        let difference =
            |name, of: fn(&PairDifferences) -> Option<f64>| compared.difference(name, of);
        let outcome = within_limit(
            &subject.patients(),
            &[
                difference("correlations", |d| d.correlation_difference),
                difference("associations", |d| d.association_difference),
            ],
            "there are no two columns that vary among the real patients",
        );
        let question = "Do columns go together as in the real cohort?";
        let found = Pairs {
            real_correlation: real.correlation_matrix(&subject.real.observed),
            synthetic_correlation: synthetic.correlation_matrix(&subject.synthetic.observed),
            real_association: real.association_matrix(),
            synthetic_association: synthetic.association_matrix(),
            differences: synthetic.apart(&real),
            held_out: compared.held_out,
        };
        let finding = Finding::new()
            .with_answer(Answer::new("pairs", question, outcome))
            .with_figure(
                compared.figure("correlation, mean difference", |d| d.correlation_difference),
            )
            .with_figure(
                compared.figure("association, mean difference", |d| d.association_difference),
            )
            .with_json("real_correlation", &found.real_correlation)?
            .with_json("synthetic_correlation", &found.synthetic_correlation)?
            .with_json("real_association", &found.real_association)?
            .with_json("synthetic_association", &found.synthetic_association)?
            .with_json("correlation_difference", &found.differences.correlation_difference)?
            .with_json("association_difference", &found.differences.association_difference)?
            .with_json("held_out", &compared.held_out)?;
        Ok(finding.with_detail(found))
    }
}

/// What goes together in one cohort, for each of the [`pairs`]; `None` where a column is
/// constant.
struct OfPairs {
    columns: usize,
    correlations: Vec<Option<f64>>,
    associations: Vec<Option<f64>>,
}

impl OfPairs {
    fn new(schema: &Schema, cohort: &Observed) -> Self {
        let Observed { columns, .. } = cohort;
        let correlations =
            pairs(columns.len()).map(|(i, j)| pearson(&columns[i], &columns[j])).collect();
        Self { columns: columns.len(), correlations, associations: associations(schema, cohort) }
    }

    /// How far these are from those of the real cohort.
    fn apart(&self, real: &Self) -> PairDifferences {
        PairDifferences {
            correlation_difference: mean_difference(&real.correlations, &self.correlations),
            association_difference: mean_difference(&real.associations, &self.associations),
        }
    }

    fn correlation_matrix(&self, cohort: &Observed) -> Vec<Vec<f64>> {
        // A constant column does not go together even with itself.
        let own = |n: usize| pearson(&cohort.columns[n], &cohort.columns[n]).unwrap_or(0.);
        matrix(self.columns, &self.correlations, own)
    }

    fn association_matrix(&self) -> Vec<Vec<f64>> {
        matrix(self.columns, &self.associations, |_| 1.)
    }
}

/// Every pair of columns, each once.
fn pairs(columns: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..columns).flat_map(|i| (0..i).map(move |j| (i, j)))
}

/// The association of each of the [`pairs`]; `None` where a column is constant.
fn associations(schema: &Schema, cohort: &Observed) -> Vec<Option<f64>> {
    let columns = &schema.columns;
    let is_number = |n: usize| columns[n].kind == Kind::Numeric;
    let rows = cohort.columns.first().map_or(0, Vec::len);
    let every = stride(rows, MAX_ROWS);
    let of = |(i, j): (usize, usize)| {
        let both = cohort.columns[i].iter().zip(&cohort.columns[j]).step_by(every);
        let both = both.filter_map(|(a, b)| Some(((*a)?, (*b)?)));
        let both = both.filter(|(a, b)| a.is_finite() && b.is_finite());
        let (a, b): (Vec<f64>, Vec<f64>) = both.unzip();
        let levels = |values: &[f64]| values.iter().map(|&x| x as usize).collect::<Vec<usize>>();
        match (is_number(i), is_number(j)) {
            (true, true) => kendall(&a, &b),
            (true, false) => correlation_ratio(&levels(&b), &a),
            (false, true) => correlation_ratio(&levels(&a), &b),
            (false, false) => cramer(&levels(&a), &levels(&b)),
        }
    };
    let pairs: Vec<(usize, usize)> = pairs(columns.len()).collect();
    pairs.par_iter().map(|&pair| of(pair)).collect()
}

/// The symmetric matrix of values for the [`pairs`], with 0 where there is none, and `own` on
/// the diagonal.
fn matrix(columns: usize, values: &[Option<f64>], own: impl Fn(usize) -> f64) -> Vec<Vec<f64>> {
    let mut all = vec![vec![0.; columns]; columns];
    for (n, row) in all.iter_mut().enumerate() {
        row[n] = own(n);
    }
    for ((i, j), value) in pairs(columns).zip(values) {
        let value = value.unwrap_or(0.);
        (all[i][j], all[j][i]) = (value, value);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn pairs_go_together_by_their_kinds_and_a_constant_column_with_none() {
        let head = "name = \"t\"\n[patient]\ncolumn = \"id\"\n[time]\ncolumn = \"t\"\nstep = 1.0\n";
        let number = |name: &str| format!("[[columns]]\nname = \"{name}\"\nkind = \"numeric\"\n");
        let levels = |name: &str| {
            format!("[[columns]]\nname = \"{name}\"\nkind = \"binary\"\nlevels = [\"n\", \"y\"]\n")
        };
        let text = [head, &number("x"), &number("y"), &levels("d"), &levels("e"), &number("c")];
        let schema = Schema::parse(&text.concat(), Path::new("t.toml")).expect("a schema");
        let cells = |values: [f64; 6]| values.map(Some).to_vec();
        let mut cohort = Observed {
            columns: vec![
                cells([1., 2., 3., 4., 5., 9.]),
                cells([2., 1., 3., 5., 4., 0.]),
                cells([0., 0., 1., 0., 1., 1.]),
                cells([0., 0., 1., 0., 1., 0.]),
                cells([7.; 6]),
            ],
            lengths: vec![6],
            out_of_domain: Vec::new(),
            violations: Vec::new(),
        };
        // A row with a gap counts for the pairs that have both.
        cohort.columns[1][5] = None;
        let found = OfPairs::new(&schema, &cohort);

        // scipy: pearsonr 0.8, kendalltau 0.6 of the five rows that x and y have.
        let (correlations, associations) =
            (found.correlation_matrix(&cohort), found.association_matrix());
        let near = |found: f64, expected: f64| (found - expected).abs() < 1e-12;
        assert!(near(correlations[0][1], 0.8) && near(associations[0][1], 0.6));
        // Between: x is 7/3 and 17/3 on average around 4; of d and e five in six are equal.
        let (between, total) = (2. * 3. * (5f64 / 3.).powi(2), 40.);
        assert!(near(associations[0][2], (between / total).sqrt()), "{associations:?}");
        assert!(near(associations[2][0], associations[0][2]));
        assert!(near(associations[2][3], 0.5f64.sqrt()), "{associations:?}");
        for n in 0..5 {
            let own = if n == 4 { 0. } else { 1. };
            assert!(near(correlations[n][n], own) && associations[n][n] == 1., "{correlations:?}");
            assert!(n == 4 || (correlations[n][4] == 0. && associations[4][n] == 0.));
        }

        // A level that is not finite is none, in either column.
        for column in [2, 3] {
            let mut spoilt = cohort.clone();
            for (n, cells) in spoilt.columns.iter_mut().enumerate() {
                cells.push(Some(if n == column { f64::NAN } else { 1. }));
            }
            let associations = OfPairs::new(&schema, &spoilt).association_matrix();
            assert!(near(associations[2][3], 0.5f64.sqrt()), "{associations:?}");
        }

        // Six of ten correlations are 0.5 less; those of c are none.
        let negative = OfPairs {
            columns: 5,
            correlations: found.correlations.iter().map(|r| r.map(|r| r - 0.5)).collect(),
            associations: vec![None; 10],
        };
        let apart = negative.apart(&found);
        assert!(apart.correlation_difference.is_some_and(|d| near(d, 6. * 0.5 / 10.)), "{apart:?}");
        assert_eq!(apart.association_difference, Some(1.));
    }
}
