//! Conditions on static columns that synthetic patients shall meet, as `sex=f` or `age>=70`.

use crate::construct::Decoded;
use crate::decode::Cells;
use crate::{Encoder, Error, FittedKind, Result};
use std::ops::Range;

/// Conditions that a patient meets all of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Given(Vec<Condition>);

#[derive(Clone, Debug, PartialEq)]
struct Condition {
    /// As it was written.
    text: String,
    /// The position of its column.
    column: usize,
    comparison: Comparison,
    /// A number, or the position of a level.
    value: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    AtLeast,
    AtMost,
    Not,
    Above,
    Below,
    Is,
}

/// Those of two signs first, so that `>=` is not read as `>`.
const COMPARISONS: [(&str, Comparison); 6] = [
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    ("!=", Comparison::Not),
    (">", Comparison::Above),
    ("<", Comparison::Below),
    ("=", Comparison::Is),
];

impl Encoder {
    /// Reads conditions on static columns: `=` and `!=` with a level, and with numbers `>=`, `<=`,
    /// `>` and `<` too.
    ///
    /// # Errors
    /// [`Error::Given`] for the first that is none.
    pub fn given<T: AsRef<str>>(&self, texts: &[T]) -> Result<Given> {
        let conditions = texts.iter().map(|text| self.condition(text.as_ref()));
        Ok(Given(conditions.collect::<Result<_>>()?))
    }

    fn condition(&self, text: &str) -> Result<Condition> {
        let wrong = |problem: String| Error::Given { condition: text.to_owned(), problem };
        let split = COMPARISONS.iter().filter_map(|(sign, comparison)| {
            let (name, value) = text.split_once(sign)?;
            Some((name.trim(), *comparison, value.trim(), name.len()))
        });
        // The first sign in the text; of two that begin at one place, the longer.
        let first = split.reduce(|first, next| if next.3 < first.3 { next } else { first });
        let (name, comparison, value, _) = first.ok_or_else(|| {
            wrong("it compares nothing\nhint: write `column=level`, or `column>=number`".into())
        })?;

        let column = self.static_column(name).map_err(wrong)?;
        let (of_schema, fitted) = (&self.schema.columns[column], &self.columns[column]);
        let value = if let FittedKind::Discrete { .. } = fitted.kind {
            let names = of_schema.level_names();
            if !matches!(comparison, Comparison::Is | Comparison::Not) {
                let problem = format!("`{name}` has levels\nhint: compare them by `=` or `!=`");
                return Err(wrong(problem));
            }
            let level = names.iter().position(|level| level == value).ok_or_else(|| {
                let hint = format!("its levels are {}", names.join(", "));
                wrong(format!("`{name}` has no level `{value}`\nhint: {hint}"))
            })?;
            level as f64
        } else {
            let number = value.parse::<f64>().ok().filter(|number| number.is_finite());
            number.ok_or_else(|| {
                wrong(format!("`{value}` is no number\nhint: `{name}` is numeric, as `{name}>=1`"))
            })?
        };
        Ok(Condition { text: text.to_owned(), column, comparison, value })
    }

    /// The position of a static column of levels or numbers.
    ///
    /// # Errors
    /// Why it is none, and a line `hint:` with those that are.
    pub(crate) fn static_column(&self, name: &str) -> std::result::Result<usize, String> {
        let wrong = |problem: &str| {
            let columns = self.schema.columns.iter();
            let statics = columns.filter(|column| column.is_static && !column.is_derived());
            let names: Vec<String> = statics.map(|column| format!("`{}`", column.name)).collect();
            let hint = match names.is_empty() {
                true => "the schema has no static column".to_owned(),
                false => format!("static columns are {}", names.join(", ")),
            };
            format!("{problem}\nhint: {hint}")
        };
        let position = self.schema.columns.iter().position(|column| column.name == name);
        let column = position
            .filter(|&n| !self.schema.columns[n].is_derived())
            .ok_or_else(|| wrong(&format!("there is no column `{name}`")))?;
        if !self.schema.columns[column].is_static {
            return Err(wrong(&format!("`{name}` changes over a patient's steps")));
        }
        if self.columns[column].time.is_some() {
            return Err(wrong(&format!("`{name}` holds dates")));
        }
        Ok(column)
    }
}

impl Given {
    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For each patient of these cells, whether they meet all conditions.
    pub fn met(&self, cells: &Cells) -> Vec<bool> {
        let patient = |rows: Range<usize>| {
            self.0
                .iter()
                .all(|condition| condition.is_met(&cells.columns[condition.column], rows.clone()))
        };
        cells.of_patients().map(patient).collect()
    }
}

impl std::fmt::Display for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let texts: Vec<String> = self.0.iter().map(|one| format!("`{}`", one.text)).collect();
        f.write_str(&texts.join(" and "))
    }
}

impl Condition {
    fn is_met(&self, column: &Decoded, rows: Range<usize>) -> bool {
        // A value that no row shows meets nothing.
        let Some(cell) = column.first_shown(rows) else { return false };
        match self.comparison {
            Comparison::AtLeast => cell >= self.value,
            Comparison::AtMost => cell <= self.value,
            Comparison::Not => cell != self.value,
            Comparison::Above => cell > self.value,
            Comparison::Below => cell < self.value,
            Comparison::Is => cell == self.value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pbc() -> Encoder {
        crate::calibration::tests::pbc().0
    }

    #[test]
    fn what_is_no_condition_is_named_with_the_way_out() {
        let encoder = pbc();
        for (text, said) in [
            ("sex", "it compares nothing\nhint: write `column=level`, or `column>=number`"),
            ("sexx=f", "there is no column `sexx`\nhint: static columns are `futime`"),
            ("day>3", "there is no column `day`"),
            ("bili>3", "`bili` changes over a patient's steps\nhint: static columns are `futime`"),
            ("sex=x", "`sex` has no level `x`\nhint: its levels are "),
            ("sex>f", "`sex` has levels\nhint: compare them by `=` or `!=`"),
            ("age>=old", "`old` is no number\nhint: `age` is numeric, as `age>=1`"),
            ("age>=inf", "`inf` is no number"),
        ] {
            let problem = encoder.given(&[text]).expect_err(text).to_string();
            assert!(problem.starts_with(&format!("condition `{text}`: {said}")), "{problem}");
        }
        assert!(encoder.given::<&str>(&[]).is_ok_and(|given| given.is_empty()));
        let given = encoder.given(&["sex = f", "age>=70"]).expect("conditions");
        assert_eq!(given.to_string(), "`sex = f` and `age>=70`");
    }

    #[test]
    fn each_comparison_is_of_the_value_that_is_shown() {
        let column = Decoded { cells: vec![1., 2., 3.], shown: vec![false, true, true] };
        let meets = |comparison, value| {
            let condition = Condition { text: String::new(), column: 0, comparison, value };
            condition.is_met(&column, 0..3)
        };
        assert!(meets(Comparison::Is, 2.) && !meets(Comparison::Is, 1.));
        assert!(meets(Comparison::Not, 1.) && !meets(Comparison::Not, 2.));
        assert!(meets(Comparison::AtLeast, 2.) && !meets(Comparison::Above, 2.));
        assert!(meets(Comparison::AtMost, 2.) && !meets(Comparison::Below, 2.));
        let hidden = Decoded { cells: vec![2.], shown: vec![false] };
        let condition =
            Condition { text: String::new(), column: 0, comparison: Comparison::Is, value: 2. };
        assert!(!condition.is_met(&hidden, 0..1));
    }
}
