//! Encodes a table of any size, beside polars merely reading it.
//!
//! `cargo xtask bench scale --patients 1000000`

use anyhow::{Result, bail};
use hg_data::{DataFrame, Encoder, Schema, Subset, write_simulated};
use polars_core::prelude::*;
use polars_io::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fs::File;
use std::path::Path;
use std::time::Instant;

const STEPS: usize = 48;
/// 12 numbers, 4 of them with gaps; 6 levels; 2 binary.
const NUMBERS: usize = 12;
const LEVELS: usize = 6;
const BINARY: usize = 2;
const PATIENTS_PER_PART: usize = 4096;

fn schema() -> Result<Schema> {
    let mut toml = String::from(
        "name = \"scale\"\n[patient]\ncolumn = \"id\"\n[time]\ncolumn = \"hour\"\nstep = 1.0\n",
    );
    for n in 0..NUMBERS {
        let more = match n % 3 {
            0 => "",
            1 => "transform = \"log1p\"\n",
            _ => "transform = \"box-cox\"\nshift = 1.0\n",
        };
        toml += &format!("[[columns]]\nname = \"x{n}\"\nkind = \"numeric\"\n{more}");
    }
    for n in 0..LEVELS {
        toml += &format!(
            "[[columns]]\nname = \"level{n}\"\nkind = \"categorical\"\nlevels = [0, 1, 2, 3]\n"
        );
    }
    for n in 0..BINARY {
        toml += &format!("[[columns]]\nname = \"flag{n}\"\nkind = \"binary\"\nlevels = [0, 1]\n");
    }
    Ok(Schema::parse(&toml, Path::new("scale.toml"))?)
}

fn part(first: usize, patients: usize) -> hg_data::Result<DataFrame> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    rng.set_stream(first as u64);
    let rows = patients * STEPS;
    let series = |name: &str, values: Vec<i64>| Series::new(name.into(), values).into_column();
    let mut columns = vec![
        series("id", (0..rows).map(|row| (first + row / STEPS) as i64).collect()),
        series("hour", (0..rows).map(|row| (row % STEPS) as i64).collect()),
    ];
    for n in 0..NUMBERS {
        let gaps = if n % 3 == 0 { 0.2 } else { 0. };
        let mut draw = || {
            let x = -200. * (1. - rng.random::<f64>()).ln();
            (!rng.random_bool(gaps)).then_some((x * 10.).round() / 10.)
        };
        let values: Vec<Option<f64>> = (0..rows).map(|_| draw()).collect();
        columns.push(Series::new(format!("x{n}").into(), values).into_column());
    }
    for (name, count, levels) in [("level", LEVELS, 4), ("flag", BINARY, 2)] {
        for n in 0..count {
            let values = (0..rows).map(|_| rng.random_range(0..levels)).collect();
            columns.push(series(&format!("{name}{n}"), values));
        }
    }
    Ok(DataFrame::new(rows, columns)?)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["make", file, "--patients", patients] => {
            let patients: usize = patients.parse()?;
            let parts = (0..patients)
                .step_by(PATIENTS_PER_PART)
                .map(|first| part(first, PATIENTS_PER_PART.min(patients - first)));
            println!("{} rows", write_simulated(parts, Path::new(file))?);
        }
        ["measure", file, "--pairs", pairs] => measure(Path::new(file), pairs.parse::<usize>()?)?,
        _ => bail!("say `make FILE --patients N` or `measure FILE --pairs N`"),
    }
    Ok(())
}

fn measure(file: &Path, pairs_wanted: usize) -> Result<()> {
    // Row group after row group, so that no more than one is in memory.
    let scan = || -> Result<usize> {
        let metadata = ParquetReader::new(File::open(file)?).get_metadata()?.clone();
        let mut rows = 0;
        for group in &metadata.row_groups {
            let slice = Some((rows, group.num_rows()));
            let mut reader = ParquetReader::new(File::open(file)?).with_slice(slice);
            reader.set_metadata(metadata.clone());
            rows += reader.finish()?.height();
        }
        Ok(rows)
    };
    // Once before, so that both find the file in memory.
    let rows = scan()?;
    let schema = schema()?;
    let mut pairs = Vec::new();
    for _ in 0..pairs_wanted {
        let start = Instant::now();
        scan()?;
        let scanned = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let (_, encoded) = Encoder::fit_file(&schema, file, Subset::Whole)?;
        let took = start.elapsed().as_secs_f64();
        let (patients, features) = (encoded.lengths.len(), encoded.features);
        println!("{scanned:.2} s, {took:.2} s: {patients} patients, {features} features");
        pairs.push([scanned, took, took / scanned]);
    }
    let median = |of: usize| {
        let mut all: Vec<f64> = pairs.iter().map(|pair| pair[of]).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let rate = |seconds: f64| rows as f64 / seconds / 1e6;
    let [scanned, took, ratio] = [0, 1, 2].map(median);
    println!("{rows} rows, medians of {pairs_wanted} pairs");
    println!("polars scanning: {scanned:.1} s, {:.2} million rows/s", rate(scanned));
    println!("fit and encode:  {took:.1} s, {:.2} million rows/s", rate(took));
    println!("ratio:           {ratio:.2}");
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in
        status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("RssFile"))
    {
        println!("{line}");
    }
    Ok(())
}
