//! Rows as steps: times, and the rules that hold by construction.

use anyhow::{Context, Result, ensure};
use hg_data::{Column, DataFrame, Encoder, Rule, Schema, Subset, Table, TimeModel, Transform};
use polars_core::prelude::*;
use proptest::prelude::*;

/// What a time column holds.
#[derive(Clone, Copy, Debug)]
enum Times {
    Whole,
    Decimal,
    Days,
    Milliseconds,
    Texts,
    Hours,
}

const DAY: i64 = 86_400;

impl Times {
    const ALL: [Self; 6] =
        [Self::Whole, Self::Decimal, Self::Days, Self::Milliseconds, Self::Texts, Self::Hours];

    /// A column of times, so many parts after the patient's start.
    fn series(self, parts: &[i64]) -> Result<Series> {
        let name: PlSmallStr = "t".into();
        Ok(match self {
            Self::Whole => Series::new(name, parts),
            Self::Decimal => {
                Series::new(name, parts.iter().map(|&t| t as f64 / 100.).collect::<Vec<_>>())
            }
            Self::Days => {
                let days: Vec<i32> = parts.iter().map(|&t| 12_000 + t as i32).collect();
                Series::new(name, days).cast(&DataType::Date)?
            }
            Self::Milliseconds => {
                let counted: Vec<i64> = parts.iter().map(|t| 10i64.pow(12) + t * 7_500).collect();
                let dtype = DataType::Datetime(TimeUnit::Milliseconds, None);
                Series::new(name, counted).cast(&dtype)?
            }
            Self::Texts => {
                let text = |t: &i64| format!("{:02}:{:02}", t.abs() / 60, t.abs() % 60);
                let sign = |t: &i64| if *t < 0 { "-" } else { "" };
                let texts = parts.iter().map(|t| format!("{}{}", sign(t), text(t)));
                Series::new(name, texts.collect::<Vec<_>>())
            }
            Self::Hours => {
                let counted: Vec<i64> = parts.iter().map(|t| t * 3_600_000).collect();
                Series::new(name, counted).cast(&DataType::Duration(TimeUnit::Milliseconds))?
            }
        })
    }

    /// Seconds of a date of the column; `None` where it holds no dates.
    fn seconds(self, column: &Series) -> Result<Option<Vec<i64>>> {
        let (count, of) = match self {
            Self::Days => (DAY, 1),
            Self::Milliseconds => (1, 1000),
            _ => return Ok(None),
        };
        let counted = column.to_physical_repr().cast(&DataType::Int64)?;
        Ok(Some(counted.i64()?.iter().flatten().map(|t| t * count / of).collect()))
    }
}

#[derive(Clone, Debug)]
struct Case {
    times: Times,
    /// Each patient's first time, and the times between visits.
    patients: Vec<(i64, Vec<i64>)>,
    /// Numbers for the cells of a row.
    draws: Vec<[f64; 6]>,
}

prop_compose! {
    fn cases()(
        times in prop::sample::select(Times::ALL.to_vec()),
        patients in prop::collection::vec(
            (-500i64..500, prop::collection::vec(1i64..4_000, 0..7)), 1..9),
    )(
        draws in prop::collection::vec(
            prop::array::uniform6(0f64..1.),
            patients.iter().map(|(_, gaps)| gaps.len() + 1).sum::<usize>()),
        times in Just(times), patients in Just(patients),
    ) -> Case {
        // One patient more, who has the least and the greatest that a missing bound may be.
        let patients = [patients, vec![(0, vec![7])]].concat();
        let ends = [[0., 0.5, 0.5, 0., 0., 0.], [1., 0.5, 0.5, 1., 0., 0.]];
        Case { times, patients, draws: [draws, ends.to_vec()].concat() }
    }
}

fn schema(times: Times) -> Result<Schema> {
    let mut schema = Schema::builder("any", "id", "t", TimeModel::Visits)
        .column(Column::numeric("low").transform(Transform::Log1p).missing_indicator(true))
        .column(Column::numeric("high").missing_indicator(true))
        .column(Column::numeric("dose").transform(Transform::BoxCox { shift: 1. }))
        .column(Column::categorical("stage").levels(["a", "b", "c"]))
        .column(Column::numeric("load").missing_indicator(true))
        .column(Column::binary("new").levels([false, true]))
        .column(Column::numeric("end").constant());
    if matches!(times, Times::Texts) {
        schema = schema.time_format("[h]:mm");
    }
    let rules = [
        "low <= high",
        "dose never falls",
        "stage = c is never left",
        "load carried when new = false",
    ];
    for rule in rules {
        schema = schema.rule(Rule::parse(rule).map_err(anyhow::Error::msg)?);
    }
    if matches!(times, Times::Whole | Times::Decimal) {
        schema = schema.rule(Rule::parse("t <= end").map_err(anyhow::Error::msg)?);
    }
    Ok(schema.build()?)
}

impl Case {
    /// A table that keeps all rules, with gaps.
    fn table(&self) -> Result<DataFrame> {
        let (mut ids, mut parts) = (Vec::new(), Vec::new());
        let (mut low, mut high, mut dose, mut stage) = (vec![], vec![], vec![], vec![]);
        let (mut load, mut new, mut end) = (vec![], vec![], vec![]);
        let mut row = 0;
        for (n, (start, gaps)) in self.patients.iter().enumerate() {
            let last = start + gaps.iter().sum::<i64>();
            let last =
                if matches!(self.times, Times::Decimal) { last as f64 / 100. } else { last as f64 };
            let futime = (last + self.draws[row][0] * 900.).ceil();
            let (mut time, mut sum, mut is_last) = (*start, 0., false);
            let mut carried = None;
            for visit in 0..=gaps.len() {
                let [a, b, c, d, e, f] = self.draws[row];
                row += 1;
                time += if visit == 0 { 0 } else { gaps[visit - 1] };
                ids.push(n as i64 + 1);
                parts.push(time);
                let below = (a * 900.).round() / 10.;
                low.push((b > 0.2).then_some(below));
                high.push((c > 0.3).then_some((below * 10. + (d * 500.).round()).round() / 10.));
                sum += (e * 40. - 5.).max(0.).round();
                dose.push(sum);
                is_last |= f > 0.8;
                stage.push(if is_last {
                    "c"
                } else if f > 0.4 {
                    "b"
                } else {
                    "a"
                });
                let is_new = visit == 0 || d > 0.5;
                if is_new {
                    carried = (a > 0.1).then_some((b * 1e4).round());
                }
                load.push(carried);
                new.push(is_new);
                end.push(futime);
            }
        }
        let mut table = df!(
            "id" => ids, "low" => low, "high" => high, "dose" => dose, "stage" => stage,
            "load" => load, "new" => new, "end" => end,
        )?;
        table.insert_column(1, self.times.series(&parts)?.into_column())?;
        Ok(table)
    }
}

fn there_and_back(case: &Case) -> Result<()> {
    let (schema, frame) = (schema(case.times)?, case.table()?);
    let table = Table::from(&frame);
    let (encoder, encoded) = Encoder::fit(&schema, &table, Subset::Whole)?;
    let saved = serde_json::to_string(&encoder)?;
    let encoder_again: Encoder = serde_json::from_str(&saved)?;
    ensure!(encoder_again == encoder, "the encoder is not what was saved");
    let back = encoder.decode(&encoded.values, &encoded.lengths, encoded.steps, 3)?;
    ensure!(back.get_column_names() == frame.get_column_names());
    for (ours, theirs) in back.columns().iter().zip(frame.columns()) {
        ensure!(ours.dtype() == theirs.dtype(), "{} is {}", ours.name(), ours.dtype());
        let seconds = case.times.seconds(theirs.as_materialized_series())?;
        let (Some(right), true) = (seconds, ours.name() == "t") else {
            for row in 0..frame.height() {
                let (ours, theirs) = (ours.get(row)?, theirs.get(row)?);
                let line = frame.slice(row as i64, 1);
                ensure!(ours == theirs, "row {row}: {ours} for {theirs}\n{line:?}");
            }
            continue;
        };
        // Dates begin anew, at the same time of day.
        let got = case.times.seconds(ours.as_materialized_series())?.context("dates")?;
        let mut row = 0;
        for (_, gaps) in &case.patients {
            let length = gaps.len() + 1;
            let shift = right[row].div_euclid(DAY) - 10_957;
            for at in row..row + length {
                ensure!(got[at] == right[at] - shift * DAY, "row {at}: {got:?} {right:?}");
            }
            row += length;
        }
    }
    Ok(())
}

/// Whether a decoded table keeps the rules, whatever was generated.
fn anything_keeps_the_rules(case: &Case, noise: &[f32]) -> Result<()> {
    let (schema, frame) = (schema(case.times)?, case.table()?);
    let (encoder, encoded) = Encoder::fit(&schema, &Table::from(&frame), Subset::Whole)?;
    let values: Vec<f32> =
        (0..encoded.values.len()).map(|n| noise[(n * 31 + n / 7) % noise.len()]).collect();
    let made = encoder.decode(&values, &encoded.lengths, encoded.steps, 3)?;
    let (observed, _) =
        encoder.observe(&Table::from(&made), Subset::Whole, hg_data::Origin::Synthetic)?;
    for violations in &observed.violations {
        ensure!(violations.broken == 0, "{violations:?}\n{made:?}");
    }
    let patients = observed.lengths.len();
    ensure!(observed.lengths == encoded.lengths, "{patients} patients; times are equal somewhere");
    Ok(())
}

proptest! {
    #[test]
    fn visits_come_back_with_their_times_and_values(case in cases()) {
        there_and_back(&case).map_err(|e| TestCaseError::fail(format!("{e:#}")))?;
    }

    #[test]
    fn whatever_is_generated_keeps_the_rules_and_ascends(
        case in cases(),
        noise in prop::collection::vec(-0.2f32..1.2, 97),
    ) {
        anything_keeps_the_rules(&case, &noise)
            .map_err(|e| TestCaseError::fail(format!("{e:#}")))?;
    }
}

#[test]
fn a_table_that_breaks_a_rule_is_refused_by_row() -> Result<()> {
    let schema = |rule: &str| -> Result<Schema> {
        Ok(Schema::builder("t", "id", "day", TimeModel::Visits)
            .column(Column::numeric("end").constant())
            .column(Column::numeric("x"))
            .column(Column::categorical("stage").levels(["a", "b"]))
            .column(Column::binary("new").levels(["no", "yes"]))
            .rule(Rule::parse(rule).map_err(anyhow::Error::msg)?)
            .build()?)
    };
    let frame = df!(
        "id" => [1, 1, 1, 2, 2], "day" => [0, 5, 9, 0, 8], "end" => [7, 7, 7, 9, 9],
        "x" => [1., 3., 2., 4., 4.], "stage" => ["a", "b", "a", "b", "b"],
        "new" => ["yes", "no", "no", "yes", "no"],
    )?;
    for (rule, problem) in [
        (
            "day <= end",
            "row 3, column `day`: `day` is 9 here, and `end` is 7, but the schema says `day <= end`\nhint: correct the cell, or remove the rule",
        ),
        ("x never falls", "row 3, column `x`: `x` is 2 here, after 3,"),
        ("x never rises", "row 2, column `x`: `x` is 3 here, after 1,"),
        ("stage = b is never left", "row 3, column `stage`: `stage` has left `b` here,"),
        (
            "x carried when new = no",
            "row 2, column `x`: `x` is 3 here, after 1, though `new` is `no`, but the schema says `x carried when new = no` (1 more rows break the rule)",
        ),
        ("day < x", "row 2, column `day`: `day` is 5 here, and `x` is 3,"),
    ] {
        let error = Encoder::fit(&schema(rule)?, &Table::new(frame.clone(), "t"), Subset::Whole);
        let error = error.err().with_context(|| format!("{rule} was taken"))?.to_string();
        ensure!(error.contains(problem), "{error}");
    }
    Ok(())
}

#[test]
fn what_a_rule_bounds_stays_in_its_own_range() -> Result<()> {
    let schema = Schema::builder("t", "id", "day", TimeModel::Visits)
        .column(Column::numeric("futime").constant())
        .rule(Rule::parse("day <= futime").map_err(anyhow::Error::msg)?)
        .build()?;
    // Some are seen long before day 0 alone, and followed for years; others for days.
    let frame = df!(
        "id" => [1, 1, 2, 2, 3, 3], "day" => [-900, -800, -5, 10, -700, 300],
        "futime" => [500, 500, 11, 11, 301, 301],
    )?;
    let (encoder, encoded) = Encoder::fit(&schema, &frame.into(), Subset::Whole)?;
    // The first patient's times with the second's distance.
    let mut values = encoded.values.to_vec();
    let features = encoder.features_of(0);
    for step in 0..2 {
        let of = |patient: usize| (patient * encoded.steps + step) * encoded.features;
        let distance = values[of(1) + features.start];
        values[of(0) + features.start] = distance;
    }
    let back = encoder.decode(&values, &encoded.lengths, encoded.steps, 1)?;
    let futime = back.column("futime")?.cast(&DataType::Int64)?;
    let futime: Vec<i64> = futime.i64()?.iter().flatten().collect();
    ensure!(futime == [11, 11, 11, 11, 301, 301], "{futime:?}");
    Ok(())
}
