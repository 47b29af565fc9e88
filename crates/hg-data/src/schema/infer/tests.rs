//! Small tables in, lines of TOML out.

use super::*;
use crate::Schema;
use polars_core::prelude::*;

fn propose(csv: &str) -> Result<Proposal> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("table.csv");
    std::fs::write(&path, csv).expect("writes");
    let proposal = infer(&path, None, None)?;
    Schema::parse(&proposal.toml, &path).unwrap_or_else(|e| panic!("{e}\n{}", proposal.toml));
    Ok(proposal)
}

fn refused(csv: &str) -> String {
    propose(csv).map(|proposal| proposal.toml).expect_err("refused").to_string()
}

/// A table of `patients` patients with `rows` rows each; `cell` gives a row's cells.
fn table(
    header: &str,
    patients: usize,
    rows: usize,
    cell: impl Fn(usize, usize) -> String,
) -> String {
    let mut csv = format!("{header}\n");
    for patient in 0..patients {
        for row in 0..rows {
            csv += &cell(patient, row);
            csv.push('\n');
        }
    }
    csv
}

/// A number that looks random.
fn noise(a: usize, b: usize) -> usize {
    (a * 7919 + b * 104_729 + a * b * 31) % 1009
}

fn expect(csv: &str, parts: &[&str], absent: &[&str]) {
    let toml = propose(csv).unwrap_or_else(|e| panic!("{e}")).toml;
    for part in parts {
        assert!(toml.contains(part), "{part}\n{toml}");
    }
    for part in absent {
        assert!(!toml.contains(part), "unexpected: {part}\n{toml}");
    }
}

fn roles(patient: &str, time: &str) -> [String; 2] {
    [format!("[patient]\ncolumn = \"{patient}\""), format!("[time]\ncolumn = \"{time}\"")]
}

#[test]
fn patient_and_time_are_told_by_the_structure() {
    let visits = |header: &str| {
        table(header, 20, 4, |p, row| {
            let day = [0, 8, 29, 81][row] + if row > 0 { p % 3 } else { 0 };
            let sex = if p % 2 == 0 { "f" } else { "m" };
            format!(
                "{},{day},{sex},{}.{},{}",
                100 + p,
                6 + noise(p, row) % 3,
                noise(row, p) % 10,
                100 + noise(p, row) % 50
            )
        })
    };
    for (patient, time) in
        [("participant", "study_day"), ("PTNUM", "days"), ("who", "when"), ("pid", "visit_date")]
    {
        let parts = roles(patient, time);
        let csv = visits(&format!("{patient},{time},sex,hba1c,sbp"));
        expect(&csv, &[&parts[0], &parts[1]], &["Left out"]);
    }
    // The time is no measured value, be it called hr, and the rows are sorted by time.
    let mut csv = "hr,t,case\n".to_owned();
    for t in 0..12 {
        for p in 0..15 {
            csv += &format!("{},{t},{p}\n", 60 + noise(p, t) % 50);
        }
    }
    let parts = roles("case", "t");
    expect(&csv, &[&parts[0], &parts[1], "name = \"hr\"\nkind = \"numeric\""], &[]);
}

#[test]
fn a_measured_value_that_rises_does_not_win_over_a_time() {
    let csv = table("id,dose_total,day,weight", 12, 6, |p, row| {
        format!("{p},{},{row},{}", row * (10 + p) + noise(p, 1) % 7, 60 + noise(p, row) % 9)
    });
    let parts = roles("id", "day");
    expect(&csv, &[&parts[0], &parts[1], "step = 1.0"], &["start ="]);
}

#[test]
fn one_visit_each_and_one_patient_alone_have_roles_too() {
    let csv = table("patient,visit,hr,sex", 40, 1, |p, _| {
        format!("{p},0,{},{}", 60 + noise(p, 3) % 40, ["f", "m"][p % 2])
    });
    let parts = roles("patient", "visit");
    expect(&csv, &[&parts[0], &parts[1], "step = 1.0"], &[]);
    let csv =
        table("patient,hour,hr", 1, 40, |p, row| format!("{p},{row},{}", 60 + noise(p, row) % 40));
    let parts = roles("patient", "hour");
    expect(&csv, &[&parts[0], &parts[1]], &[]);
    let without =
        table("id,age,futime", 30, 1, |p, _| format!("{p},{},{}", 40 + p % 9, noise(p, 5)));
    assert!(refused(&without).contains("add a column `visit` of zeros"), "{}", refused(&without));
}

#[test]
fn identifiers_are_left_out_and_measurements_are_not() {
    let csv = table("subject_id,hadm_id,stay_id,charttime,hr,futime,age", 30, 5, |p, row| {
        format!(
            "{},{},{},2150-01-{:02} {:02}:00:00,{},{},{}",
            10_000 + p,
            200_000 + p,
            300_000 + p,
            1 + p % 20,
            row,
            60 + noise(p, row) % 40,
            400 + noise(p, 2),
            50. + noise(p, 1) as f64 / 7.
        )
    });
    let parts = roles("subject_id", "charttime");
    let expected: [&str; 9] = [
        &parts[0],
        &parts[1],
        "# Left out: `hadm_id`, an identifier",
        "# Left out: `stay_id`, an identifier",
        "`hadm_id` tells the same rows apart",
        "step = \"1 hour\"",
        "name = \"futime\"\nkind = \"numeric\"",
        "name = \"age\"\nkind = \"numeric\"",
        "Synthetic dates start at 1 January 2000",
    ];
    expect(&csv, &expected, &["start ="]);
    // Offsets count from each stay's admission, so that the person does not do.
    let csv = table("stayid,offset,personid,lactate", 40, 6, |p, row| {
        format!(
            "{},{},P-{},{}.{}",
            900 + p,
            row * 60,
            p - p % 2,
            noise(p, row) % 4,
            noise(row, p) % 10
        )
    });
    let parts = roles("stayid", "offset");
    expect(&csv, &[&parts[0], &parts[1], "# Left out: `personid`, an identifier"], &[]);
}

#[test]
fn a_long_table_is_named_as_such() {
    let csv = table("subject_id,charttime,itemid,value,valuenum", 10, 20, |p, row| {
        format!(
            "{p},2150-05-01 {:02}:00:00,{},{},{}.0",
            row / 2,
            7001 + row % 2,
            80 + row,
            80 + row
        )
    });
    let problem = refused(&csv);
    for part in
        ["is a long table", "`itemid` says which, `valuenum` is its value", "pivot(on=\"itemid\""]
    {
        assert!(problem.contains(part), "{problem}");
    }
    let csv = table("id,days,event", 30, 6, |p, row| {
        format!(
            "{p},{},{}",
            [0, 0, 5, 9, 9, 30][row],
            ["htn", "MI", "afib", "stroke"][(p + row) % 4]
        )
    });
    assert!(refused(&csv).contains("a row is one event: `event` says which"), "{}", refused(&csv));
    // Several blood gases at one time are none.
    let csv = table("stay,offset,ph,paco2,place", 20, 10, |p, row| {
        format!(
            "{p},{},7.{},{},{}",
            row / 2 * 30,
            30 + noise(p, row) % 15,
            30 + noise(row, p) % 20,
            ["icu", "ed"][row / 5]
        )
    });
    let expected =
        ["aggregate = \"mean\"", "merges 100 of 200 rows", "100 of them at the very same time"];
    expect(&csv, &expected, &[]);
}

#[test]
fn copies_are_counted_and_change_nothing() {
    let mut csv =
        table("id,hour,hr", 10, 5, |p, row| format!("{p},{row},{}", 60 + noise(p, row) % 40));
    csv += "0,1,200\n";
    csv += "3,4,61\n3,4,61\n";
    let toml = propose(&csv).expect("a proposal").toml;
    assert!(toml.contains("are dropped: 1\n"), "{toml}");
    assert!(!toml.contains("aggregate ="), "{toml}");
}

#[test]
fn times_get_their_format_and_a_round_step() {
    type Cells<'a> = &'a dyn Fn(usize) -> String;
    let cases: [(Cells<'_>, &[&str]); 8] = [
        (&|row| format!("2018-{:02}", 1 + row), &["format = \"%Y-%m\"", "step = \"1 month\""]),
        (
            &|row| format!("{} 2018", ["Jan", "Feb", "Mar", "Apr", "May"][row]),
            &["format = \"%b %Y\"", "step = \"1 month\""],
        ),
        (&|row| format!("{:02}.01.18", 1 + row), &["format = \"%d.%m.%y\"", "step = \"1 day\""]),
        (&|row| format!("201801{:02}", 1 + 7 * row), &["format = \"%Y%m%d\"", "step = \"1 week\""]),
        (
            &|row| format!("2021-03-26T1{row}:00:00.250Z"),
            &["format = \"%Y-%m-%dT%H:%M:%S%.3fZ\"", "step = \"1 hour\""],
        ),
        (
            &|row| format!("{}:30", 22 + row),
            &["format = \"[h]:mm\"", "step = \"1 hour\"", "start = \"modelled\""],
        ),
        (
            &|row| format!("0 days 0{row}:00:00"),
            &["format = \"[d] days hh:mm:ss\"", "step = \"1 hour\""],
        ),
        (&|row| format!("{}", row as i32 * 60 - 540), &["step = 60.0", "start = \"modelled\""]),
    ];
    for (time, parts) in cases {
        let csv = table("id,time,hr", 8, 5, |p, row| {
            format!("{p},{},{}", time(row), 60 + noise(p, row) % 40)
        });
        expect(&csv, parts, &[]);
    }
    let mixed = table("patient,hr,date", 6, 4, |p, row| {
        let date =
            if p < 3 { format!("2019-01-0{}", 1 + row) } else { format!("0{}/01/2019", 1 + row) };
        format!("{p},{},{date}", 60 + noise(p, row) % 40)
    });
    let problem = refused(&mixed);
    for part in ["column `date`", "`2019-01-01` (row 1) as `%Y-%m-%d`", "`01/01/2019` (row 13)"] {
        assert!(problem.contains(part), "{problem}");
    }
}

#[test]
fn decimal_commas_are_told_over_the_whole_table() {
    let csv = table("patient_id;tag;kalium;leuko;temperatur", 12, 5, |p, row| {
        format!(
            "{p};{row};{},{:03};{}.{:03},4;3{},{}",
            3 + p % 2,
            noise(p, row),
            1 + p % 9,
            noise(row, p) % 1000,
            6 + p % 3,
            noise(p, row) % 10
        )
    });
    let parts = [
        "separator = \";\"\ndecimal = \",\"",
        "name = \"kalium\"\nkind = \"numeric\"",
        "thousands = \".\"",
        "name = \"temperatur\"\nkind = \"numeric\"",
    ];
    expect(&csv, &parts, &[]);
    let csv = table("id,day,platelets", 12, 5, |p, row| {
        format!("{p},{row},\"{},{:03}\"", 1 + p, noise(p, row) % 1000)
    });
    expect(&csv, &["thousands = \",\""], &["decimal"]);
}

#[test]
fn typed_columns_keep_their_types() {
    let rows: Vec<i64> = (0..60).collect();
    let texts = |f: &dyn Fn(i64) -> String| rows.iter().map(|&n| f(n)).collect::<Vec<_>>();
    let dx = Series::new("dx".into(), texts(&|n| ["0417", "417", "38"][n as usize % 3].to_owned()));
    let big: Vec<i64> = rows.iter().map(|n| 1_152_921_504_606_846_976 + n).collect();
    let hr: Vec<f64> = rows
        .iter()
        .map(|&n| if n == 7 { f64::NAN } else { 60. + noise(n as usize, 1) as f64 })
        .collect();
    let ratio: Vec<f64> = rows
        .iter()
        .map(|&n| if n % 20 == 3 { f64::INFINITY } else { noise(n as usize, 2) as f64 })
        .collect();
    let hours: Vec<i64> = rows.iter().map(|n| n % 6 * 3_600_000_000).collect();
    let time = Series::new("time".into(), hours)
        .cast(&DataType::Duration(TimeUnit::Microseconds))
        .expect("durations");
    let lists: Vec<Series> = rows.iter().map(|n| Series::new("".into(), [*n, 1])).collect();
    let columns = vec![
        Series::new("patient".into(), rows.iter().map(|n| n / 6).collect::<Vec<_>>()),
        time,
        dx.cast(&DataType::from_categories(Categories::global())).expect("categories"),
        Series::new("encounter".into(), big.clone()),
        Series::new("counter".into(), big),
        Series::new("hr".into(), hr),
        Series::new("ratio".into(), ratio),
        Series::new("on".into(), rows.iter().map(|n| n % 2 == 0).collect::<Vec<_>>()),
        Series::new("waves".into(), lists),
    ];
    let columns = columns.into_iter().map(IntoColumn::into_column).collect();
    let mut table = DataFrame::new(rows.len(), columns).expect("a table");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("typed.parquet");
    crate::write_table(&mut table, &path, &crate::TableStyle::default()).expect("writes");
    let toml = infer(&path, None, None).expect("a proposal").toml;
    Schema::parse(&toml, &path).expect("a schema");
    for part in [
        "[time]\ncolumn = \"time\"\nstep = \"1 hour\"",
        "name = \"dx\"\nkind = \"categorical\"\nlevels = [\"0417\", \"38\", \"417\"]",
        "# Left out: `encounter`, an identifier",
        "# Left out: `counter`, whole numbers beyond 2^53",
        "name = \"hr\"\nkind = \"numeric\"",
        "missing = [\"inf\"] # not finite",
        "levels = [\"false\", \"true\"]",
        "# Left out: `waves`, lists.",
    ] {
        assert!(toml.contains(part), "{part}\n{toml}");
    }
    assert!(!toml.contains("\"NaN\""), "{toml}");
}

#[test]
fn names_and_cells_may_hold_anything() {
    let csv = table("id,time,\"a\nb\",\"é ü\\\"", 8, 5, |p, row| {
        format!("{p},{row},\"x\n{}\",\"q\"\"{}\"", row % 2, p % 2)
    });
    expect(&csv, &["name = \"a\\nb\"", "levels = [\"q\\\"0\", \"q\\\"1\"]"], &[]);
}

#[test]
fn a_person_with_stays_far_apart_is_split_into_stays() {
    let csv = table("subject_id,hadm_id,charttime,hr", 40, 12, |p, row| {
        let stay = row / 6;
        let year = 2150 + p % 5 + 3 * stay;
        format!(
            "{},{},{year}-0{}-1{stay} 0{}:00:00,{}",
            100 + p,
            2 * p + stay,
            1 + p % 7,
            row % 6,
            60 + noise(p, row) % 40
        )
    });
    let parts = roles("hadm_id", "charttime");
    let expected: [&str; 5] = [
        &parts[0],
        &parts[1],
        "# not `subject_id`, whose rows lie so far apart",
        "step = \"1 hour\"",
        "# Left out: `subject_id`, an identifier",
    ];
    expect(&csv, &expected, &[]);
}

#[test]
fn without_a_time_or_a_patient_nothing_is_proposed() {
    let csv = table("p,age,sex,hr", 40, 6, |p, row| {
        format!("{p},{},{},{}", 30 + p % 31, ["f", "m"][p % 2], 60 + noise(p, row) % 40)
    });
    assert!(refused(&csv).contains("--time"), "{}", refused(&csv));
    let csv = table("t,age,hr", 1, 20, |p, row| format!("{row},40,{}", 60 + noise(p, row) % 40));
    assert!(refused(&csv).contains("--patient"), "{}", refused(&csv));
}
