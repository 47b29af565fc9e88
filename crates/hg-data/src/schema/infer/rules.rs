//! Rules that a table keeps without exception.

use super::Proposal;
use super::words::quoted;
use crate::clock::TimeKind;
use crate::levels::settled;
use crate::parsed::{ParsedTable, check};
use crate::violations::Rows;
use crate::{Column, Level, Origin, Result, Rule, Schema, Table};
use std::fmt::Write;

/// Rows at least that a rule is seen to hold in.
const LEAST_ROWS: usize = 50;
/// Two columns that had nothing to do with each other would break a rule in this share of rows.
const LEAST_BROKEN_BY_CHANCE: f64 = 0.1;
/// From this share of its steps on, a column rises, or a value changes where it is not carried.
const LEAST_CHANGES: f64 = 0.02;

/// What is said of two columns whose cells are the same.
const EQUAL: &str = "equal";

/// Adds the rules that a table keeps to the proposal for it.
pub(super) fn propose(proposal: &mut Proposal, table: &Table) {
    // A table that the proposal does not fit as it is has no rules yet: what is wrong with it is
    // said where it is read with the schema.
    let Ok(found) = proposal.schema().and_then(|schema| found(&schema, table)) else { return };
    if !found.is_empty() {
        proposal.toml +=
            "\n# Rules that the table keeps without exception; synthetic rows will too.\n";
    }
    for (rule, why) in found {
        let holds = quoted(&rule.to_string());
        // Writing to a String cannot fail.
        let _ = write!(proposal.toml, "[[rules]]\nholds = {holds} # {why}\n");
        if why.starts_with(EQUAL)
            && let [one, other] = rule.columns()[..]
        {
            proposal.warnings.push(format!("`{one}` and `{other}` are {why}; is one a slip?"));
        }
        proposal.remarks.push(format!("rule: {rule} ({why})"));
    }
}

/// The rules, and what they rest on.
fn found(schema: &Schema, table: &Table) -> Result<Vec<(Rule, String)>> {
    let schema = settled(schema, table)?;
    let parsed = check(table, &schema, 0, Origin::Real)?;
    let kept = Kept { rows: Rows::new(&parsed, &schema)?, parsed: &parsed, schema: &schema };
    let mut found = kept.orders()?;
    found.extend(kept.monotones(&found)?);
    found.extend(kept.never_lefts()?);
    found.extend(kept.onces()?);
    found.extend(kept.carried()?);
    // Rules of which not all can be built in together are left to the reader.
    let mut together: Vec<(Rule, String)> = Vec::new();
    for (rule, why) in found {
        let rules = together.iter().map(|(rule, _)| rule).chain([&rule]).cloned().collect();
        if (Schema { rules, ..schema.clone() }).has_sound_rules() {
            together.push((rule, why));
        }
    }
    Ok(together)
}

struct Kept<'a> {
    rows: Rows<'a>,
    parsed: &'a ParsedTable,
    schema: &'a Schema,
}

impl Kept<'_> {
    /// The modelled columns of numbers.
    fn numbers(&self) -> impl Iterator<Item = &Column> {
        let is_number = |c: &&Column| c.is_numeric() && c.bins().is_none();
        self.modelled().filter(is_number)
    }

    fn modelled(&self) -> impl Iterator<Item = &Column> {
        self.schema.columns.iter().filter(|c| !c.is_derived())
    }

    fn why(rows: usize) -> String {
        format!("in all {rows} rows")
    }

    /// What a column's numbers, or the times, are.
    fn kind_of(&self, name: &str) -> TimeKind {
        if name == self.schema.time.column {
            return self.parsed.grid.kind;
        }
        let columns = self.schema.columns.iter().zip(&self.parsed.facts);
        let of_it = columns.clone().find(|(column, _)| column.name == name);
        let time = of_it.and_then(|(column, facts)| Some((column, facts.time.as_ref()?)));
        match time {
            None => TimeKind::Numbers,
            Some((column, time)) if time.is_date(column) => TimeKind::Dates,
            Some(_) => TimeKind::Elapsed,
        }
    }

    /// `a <= b` where chance would break it.
    fn orders(&self) -> Result<Vec<(Rule, String)>> {
        let mut found: Vec<(Rule, String)> = Vec::new();
        let time = self.schema.time.column.as_str();
        let names = self.numbers().map(|column| column.name.as_str());
        let bounds: Vec<&str> = std::iter::once(time).chain(names).collect();
        let mut sorted = Vec::with_capacity(bounds.len());
        for name in &bounds {
            let mut values: Vec<f64> = self.rows.cells(name)?.into_iter().flatten().collect();
            values.sort_by(f64::total_cmp);
            sorted.push(values);
        }
        for (n, lesser) in bounds.iter().enumerate() {
            for (m, greater) in bounds.iter().enumerate() {
                let are_alike = self.kind_of(lesser) == self.kind_of(greater);
                if n == m
                    || !are_alike
                    || broken_by_chance(&sorted[n], &sorted[m]) < LEAST_BROKEN_BY_CHANCE
                {
                    continue;
                }
                let (lesser, greater) = ((*lesser).to_owned(), (*greater).to_owned());
                let rule = Rule::Order { lesser, greater, strict: false };
                let (rows, broken) = self.rows.count(&rule)?;
                if broken == 0 && rows >= LEAST_ROWS {
                    found.push((rule, Self::why(rows)));
                }
            }
        }
        // What is always equal is on both sides of the other.
        let both: Vec<Rule> = found.iter().map(|(rule, _)| rule.clone()).collect();
        for (rule, why) in &mut found {
            if both.iter().any(|other| is_reverse(rule, other)) {
                *why = format!("{EQUAL} {why}");
            }
        }
        Ok(without_implied(found))
    }

    /// Columns that rise and never fall, or the other way round.
    fn monotones(&self, orders: &[(Rule, String)]) -> Result<Vec<(Rule, String)>> {
        let is_bounded = |name: &str| orders.iter().any(|(rule, _)| rule.columns().contains(&name));
        let mut found = Vec::new();
        for column in self.numbers().filter(|c| !c.is_static && !is_bounded(&c.name)) {
            let rule = |rises| Rule::Monotone { column: column.name.clone(), rises };
            let [(rows, falls), (_, rises)] =
                [self.rows.count(&rule(true))?, self.rows.count(&rule(false))?];
            let often =
                |changes: usize| changes as f64 >= LEAST_CHANGES * rows as f64 && changes > 0;
            if rows < LEAST_ROWS {
                continue;
            }
            if falls == 0 && often(rises) {
                found.push((rule(true), Self::why(rows)));
            } else if rises == 0 && often(falls) {
                found.push((rule(false), Self::why(rows)));
            }
        }
        Ok(found)
    }

    /// Levels that patients reach and never leave.
    fn never_lefts(&self) -> Result<Vec<(Rule, String)>> {
        let mut found = Vec::new();
        let happens = |c: &&Column| self.schema.is_occurrence(c);
        let of_levels = self.modelled().filter(|c| !c.is_numeric() && !c.is_static);
        for column in of_levels.filter(|c| !happens(c)) {
            let levels = column.levels();
            let mut kept = Vec::new();
            for level in levels {
                let rule = Rule::NeverLeft { column: column.name.clone(), level: level.clone() };
                let (rows, left) = self.rows.count(&rule)?;
                if left == 0 && rows >= LEAST_ROWS {
                    kept.push((rule, Self::why(rows)));
                }
            }
            // Where no level is ever left, the column is as good as static.
            if kept.len() < levels.len() {
                found.extend(kept);
            }
        }
        Ok(found)
    }

    /// What happens to each patient once at most.
    fn onces(&self) -> Result<Vec<(Rule, String)>> {
        let mut found = Vec::new();
        let happens = |c: &&Column| !c.is_static && self.schema.is_occurrence(c);
        for column in self.modelled().filter(happens) {
            let rule = Rule::Once { column: column.name.clone() };
            let (rows, again) = self.rows.count(&rule)?;
            if again == 0 && rows >= LEAST_ROWS {
                found.push((rule, format!("to {rows} patients")));
            }
        }
        Ok(found)
    }

    /// Values that are those of the row before where a flag says so.
    fn carried(&self) -> Result<Vec<(Rule, String)>> {
        let mut found: Vec<(Rule, String)> = Vec::new();
        let is_flag = |c: &&Column| !c.is_numeric() && !c.is_static && c.levels().len() == 2;
        let flags: Vec<(&str, &Level)> = self
            .modelled()
            .filter(is_flag)
            .flat_map(|c| c.levels().iter().map(|level| (c.name.as_str(), level)))
            .collect();
        // What mostly did not happen is seldom another thing than before.
        let may_be = |c: &&Column| !c.is_static && !self.schema.is_occurrence(c);
        for column in self.modelled().filter(may_be) {
            // Of several flags the one that says most.
            let mut best: Option<(usize, Rule)> = None;
            for (flag, level) in flags.iter().filter(|(flag, _)| *flag != column.name) {
                let rule = |level: &Level| Rule::Carried {
                    column: column.name.clone(),
                    flag: (*flag).to_owned(),
                    level: level.clone(),
                };
                let (rows, broken) = self.rows.count(&rule(level))?;
                if broken > 0 || rows < LEAST_ROWS {
                    continue;
                }
                let other = flags.iter().find(|(name, other)| name == flag && other != level);
                let Some((_, other)) = other else { continue };
                let (others, changed) = self.rows.count(&rule(other))?;
                let is_flag = changed > 0 && changed as f64 >= LEAST_CHANGES * others as f64;
                if is_flag && best.as_ref().is_none_or(|(most, _)| rows > *most) {
                    best = Some((rows, rule(level)));
                }
            }
            found.extend(best.map(|(rows, rule)| (rule, Self::why(rows))));
        }
        Ok(found)
    }
}

/// Whether two orders are of the same columns, the one the other way round.
fn is_reverse(one: &Rule, other: &Rule) -> bool {
    let ends = |rule: &Rule| rule.columns().iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    ends(one).into_iter().rev().eq(ends(other))
}

/// How often a value of `a` is above one of `b`, both ascending, where they have nothing to do
/// with each other.
fn broken_by_chance(a: &[f64], b: &[f64]) -> f64 {
    if a.is_empty() || b.is_empty() {
        return 0.;
    }
    let mut below = 0;
    let above = a.iter().map(|x| {
        while below < b.len() && b[below] < *x {
            below += 1;
        }
        below as f64
    });
    above.sum::<f64>() / (a.len() as f64 * b.len() as f64)
}

/// Without rules that follow from two others.
fn without_implied(found: Vec<(Rule, String)>) -> Vec<(Rule, String)> {
    let ends = |rule: &Rule| match rule {
        Rule::Order { lesser, greater, .. } => Some((lesser.clone(), greater.clone())),
        _ => None,
    };
    let pairs: Vec<(String, String)> = found.iter().filter_map(|(rule, _)| ends(rule)).collect();
    let holds = |a: &str, b: &str| pairs.iter().any(|(x, y)| x == a && y == b);
    let is_implied = |rule: &Rule| {
        ends(rule).is_some_and(|(a, b)| {
            pairs.iter().any(|(x, y)| *x == a && *y != b && holds(y, &b) && !holds(y, &a))
        })
    };
    found.into_iter().filter(|(rule, _)| !is_implied(rule)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_breaks_an_order_as_often_as_pairs_do() {
        assert_eq!(broken_by_chance(&[1., 2., 3.], &[1., 2., 3.]), 3. / 9.);
        assert_eq!(broken_by_chance(&[5., 6.], &[1., 2.]), 1.);
        assert_eq!(broken_by_chance(&[], &[1.]), 0.);
    }

    #[test]
    fn what_follows_from_two_rules_is_not_said() {
        let rule = |text: &str| (Rule::parse(text).expect("a rule"), String::new());
        let found = without_implied(vec![rule("a <= b"), rule("b <= c"), rule("a <= c")]);
        let texts: Vec<String> = found.iter().map(|(rule, _)| rule.to_string()).collect();
        assert_eq!(texts, ["a <= b", "b <= c"]);
    }
}
