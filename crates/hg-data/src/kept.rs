//! Parts of a cohort on the grid, kept until what is fitted to all of them is known, so that the
//! table is read once.

use crate::compact::{Cell, Cells, MOST_DECIMALS, unscaled};
use crate::construct::{Construction, Filled};
use crate::encode::Place;
use crate::grid::{ResampledTable, RowCounts};
use crate::parsed::PATIENT;
use crate::{
    Column, Encoded, Encoder, Error, FittedColumn, FittedKind, Impute, Result, Rule, Schema,
};
use crate::{Shown, Values};
use rayon::prelude::*;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};

/// Bytes of cells that stay in memory; what comes after them lies in a temporary file.
const IN_MEMORY: usize = 1 << 30;

/// Numbers of sequences that are encoded together, about: so many stay in the first cache.
const IN_CACHE: usize = 1 << 13;

/// Numbers of one table of features, at most.
const MOST_TABULATED: i64 = 1 << 17;

/// Rows on the grid, in little room.
pub(crate) struct CompactPart {
    /// One entry per schema column.
    columns: Vec<Cells>,
    /// Rows of each patient.
    patients: Vec<usize>,
    /// Steps of each sequence.
    lengths: Vec<usize>,
    /// The time of each row, where rules ask for it.
    times: Vec<f64>,
}

impl CompactPart {
    fn of(part: &ResampledTable, schema: &Schema, has_rules: bool) -> Result<Self> {
        let columns = schema.columns.par_iter();
        let columns = columns.map(|c| Ok(Cells::of(part.frame.column(&c.name)?.f64()?)));
        let patients = part.frame.column(PATIENT)?.u32()?;
        let patients: Vec<u32> = patients.iter().map(Option::unwrap_or_default).collect();
        Ok(Self {
            columns: columns.collect::<Result<_>>()?,
            patients: patients.chunk_by(|a, b| a == b).map(<[u32]>::len).collect(),
            lengths: part.lengths.clone(),
            times: if has_rules { part.times.clone() } else { Vec::new() },
        })
    }
}

/// How the cells of a column lie in the file.
#[derive(Clone, Copy)]
enum Shape {
    Bytes,
    Scaled(usize),
    Doubles,
}

/// A part, or what is needed to read it from the file.
enum Storage {
    Memory(CompactPart),
    File { shapes: Vec<Shape>, patients: Vec<usize>, lengths: Vec<usize>, times: Vec<f64> },
}

/// Everything that is kept of a cohort.
pub(crate) struct Kept {
    schema: Schema,
    has_rules: bool,
    parts: Vec<Storage>,
    /// Steps of each sequence.
    pub(crate) lengths: Vec<usize>,
    pub(crate) counts: RowCounts,
    /// Bytes in memory.
    size: usize,
    /// Bytes that may be.
    most: usize,
    /// What came after them.
    file: Option<BufWriter<File>>,
    /// Of each column, by decimals, the least and the greatest of the scaled cells.
    ranges: Vec<[Option<(i32, i32)>; MOST_DECIMALS + 1]>,
    rows: usize,
}

impl Kept {
    pub(crate) fn new(schema: &Schema) -> Self {
        Self {
            schema: schema.clone(),
            has_rules: schema.rules.iter().any(|rule| matches!(rule, Rule::Order { .. })),
            parts: Vec::new(),
            lengths: Vec::new(),
            counts: RowCounts::default(),
            size: 0,
            most: IN_MEMORY,
            file: None,
            ranges: vec![[None; MOST_DECIMALS + 1]; schema.columns.len()],
            rows: 0,
        }
    }

    /// Keeps a part.
    pub(crate) fn add(&mut self, part: &ResampledTable) -> Result<()> {
        self.lengths.extend(&part.lengths);
        self.counts += part.counts;
        let part = CompactPart::of(part, &self.schema, self.has_rules)?;
        self.rows += part.patients.iter().sum::<usize>();
        for (cells, ranges) in part.columns.iter().zip(&mut self.ranges) {
            let Some((least, greatest, decimals)) = cells.range() else { continue };
            let (a, b) = ranges[decimals].unwrap_or((least, greatest));
            ranges[decimals] = Some((a.min(least), b.max(greatest)));
        }
        let size: usize = part.columns.iter().map(Cells::size).sum();
        if self.file.is_none() && self.size + size <= self.most {
            self.size += size;
            self.parts.push(Storage::Memory(part));
            return Ok(());
        }
        let place = self.write(part).map_err(no_room)?;
        self.parts.push(place);
        Ok(())
    }

    fn write(&mut self, part: CompactPart) -> std::io::Result<Storage> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(BufWriter::with_capacity(1 << 20, tempfile::tempfile()?)),
        };
        let mut shapes = Vec::with_capacity(part.columns.len());
        for cells in &part.columns {
            let (shape, bytes): (_, &[u8]) = match cells {
                Cells::Bytes(cells) => (Shape::Bytes, cells),
                Cells::Scaled(cells, decimals) => {
                    (Shape::Scaled(*decimals), bytemuck::cast_slice(cells))
                }
                Cells::Doubles(cells) => (Shape::Doubles, bytemuck::cast_slice(cells)),
            };
            file.write_all(bytes)?;
            shapes.push(shape);
        }
        let CompactPart { patients, lengths, times, .. } = part;
        Ok(Storage::File { shapes, patients, lengths, times })
    }

    /// The parts, in order.
    fn parts(self) -> Result<impl Iterator<Item = Result<CompactPart>>> {
        let mut file = match self.file {
            Some(file) => {
                let mut file = file.into_inner().map_err(|e| no_room(e.into_error()))?;
                file.rewind().map_err(no_room)?;
                Some(BufReader::with_capacity(1 << 20, file))
            }
            None => None,
        };
        Ok(self.parts.into_iter().map(move |place| match (place, &mut file) {
            (Storage::Memory(part), _) => Ok(part),
            (Storage::File { shapes, patients, lengths, times }, Some(file)) => {
                let rows = patients.iter().sum();
                let columns = shapes.into_iter().map(|shape| read(file, shape, rows));
                let columns = columns.collect::<std::io::Result<_>>().map_err(no_room)?;
                Ok(CompactPart { columns, patients, lengths, times })
            }
            (Storage::File { .. }, None) => Err(no_room(std::io::ErrorKind::NotFound.into())),
        }))
    }
}

fn read(file: &mut impl Read, shape: Shape, rows: usize) -> std::io::Result<Cells> {
    Ok(match shape {
        Shape::Bytes => {
            let mut cells = vec![0; rows];
            file.read_exact(&mut cells)?;
            Cells::Bytes(cells)
        }
        Shape::Scaled(decimals) => {
            let mut cells = vec![0i32; rows];
            file.read_exact(bytemuck::cast_slice_mut(&mut cells))?;
            Cells::Scaled(cells, decimals)
        }
        Shape::Doubles => {
            let mut cells = vec![0f64; rows];
            file.read_exact(bytemuck::cast_slice_mut(&mut cells))?;
            Cells::Doubles(cells)
        }
    })
}

/// That the temporary file cannot be written or read.
pub(crate) fn no_room(error: std::io::Error) -> Error {
    let problem = format!(
        "cannot keep the table's numbers in a temporary file: {error}\nhint: make room there, or set TMPDIR"
    );
    Error::file(&std::env::temp_dir(), problem)
}

/// The one feature that a value makes other than 0.
#[derive(Clone, Copy)]
pub(crate) struct Feature {
    /// Counted from the column's first.
    pub(crate) at: u32,
    pub(crate) value: f32,
}

/// What a column's values become, tabulated where there are few of them.
struct Features<'a> {
    fitted: &'a FittedColumn,
    /// Of bytes, a gap's among them.
    bytes: Vec<Feature>,
    /// Of scaled cells, by decimals: the first, and from there on all.
    scaled: [Option<(i32, Vec<Feature>)>; MOST_DECIMALS + 1],
    gap: Feature,
}

impl<'a> Features<'a> {
    fn new(
        fitted: &'a FittedColumn,
        ranges: &[Option<(i32, i32)>; MOST_DECIMALS + 1],
        rows: usize,
    ) -> Self {
        let of = |x: f64| feature(fitted, x);
        let gap = of(fitted.fill());
        let mut bytes: Vec<Feature> = (0..u8::GAP).map(|byte| of(f64::from(byte))).collect();
        bytes.push(gap);
        let scaled = std::array::from_fn(|decimals| {
            let (least, greatest) = ranges[decimals]?;
            let count = i64::from(greatest) - i64::from(least) + 1;
            // Of more numbers than there are cells a table only costs time.
            let pays = count <= MOST_TABULATED.min(rows as i64);
            let of = |unit: i32| of(unscaled(unit, decimals));
            pays.then(|| (least, (least..=greatest).map(of).collect()))
        });
        Self { fitted, bytes, scaled, gap }
    }
}

pub(crate) fn feature(fitted: &FittedColumn, x: f64) -> Feature {
    match &fitted.kind {
        FittedKind::Numeric { transform, spikes, .. } => {
            let number = if spikes.holds(x) { spikes.filler() } else { x };
            Feature { at: 0, value: transform.encode(number) as f32 }
        }
        FittedKind::Binned { bins, .. } => Feature { at: bins.bin(x) as u32, value: 1. },
        FittedKind::Discrete { .. } => Feature { at: x as u32, value: 1. },
        FittedKind::Constant { .. } | FittedKind::Empty => Feature { at: 0, value: 0. },
    }
}

impl Encoder {
    /// Encodes what was kept.
    pub(crate) fn encode_kept(&self, mut kept: Kept) -> Result<Encoded> {
        let lengths = std::mem::take(&mut kept.lengths);
        let counts = kept.counts;
        let steps = lengths.iter().copied().max().unwrap_or(0);
        let features = self.features_of_cells(&kept);
        let width = self.features();
        let values = Values::fill(lengths.len() * steps * width, |values| {
            let mut rest = values;
            for part in kept.parts()? {
                let part = part?;
                let (here, others) = rest.split_at_mut(part.lengths.len() * steps * width);
                self.encode_part(part, &features, steps, here);
                rest = others;
            }
            Ok(())
        })?;
        Ok(Encoded { values, lengths, steps, features: width, counts })
    }

    /// The features of every cell that may come, column by column.
    fn features_of_cells(&self, kept: &Kept) -> Vec<Features<'_>> {
        let columns = self.columns.par_iter().zip(&kept.ranges);
        columns.map(|(fitted, ranges)| Features::new(fitted, ranges, kept.rows)).collect()
    }

    /// Encodes rows on the grid into `values` `[their sequences, steps, features]`, which are 0.
    pub(crate) fn encode_into(
        &self,
        part: &ResampledTable,
        steps: usize,
        values: &mut [f32],
    ) -> Result<()> {
        let mut kept = Kept::new(&self.schema);
        kept.add(part)?;
        let features = self.features_of_cells(&kept);
        for part in kept.parts()? {
            self.encode_part(part?, &features, steps, values);
        }
        Ok(())
    }

    /// Encodes a part into `values` `[its sequences, steps, features]`, which are 0.
    fn encode_part(
        &self,
        part: CompactPart,
        features: &[Features<'_>],
        steps: usize,
        values: &mut [f32],
    ) {
        let CompactPart { columns, patients, lengths, times } = part;
        if lengths.is_empty() {
            return;
        }
        let mut starts = Vec::with_capacity(lengths.len());
        lengths.iter().fold(0, |row, length| {
            starts.push(row);
            row + length
        });
        let in_rules: Vec<usize> = self.construction.columns().collect();
        let columns = self.schema.columns.par_iter().zip(columns).enumerate();
        let columns = columns.zip(features.par_iter().zip(self.places()));
        let mut columns: Vec<ToEncode<'_>> = columns
            .map(|((n, (column, cells)), (features, place))| {
                let sequences = (starts.as_slice(), lengths.as_slice());
                let own = in_rules.contains(&n).then(|| cells.observed());
                let of = ToEncode::new((column, features), place, cells, &patients, sequences);
                ToEncode { own, ..of }
            })
            .collect();
        put_distances(&self.construction, &mut columns, (&times, &lengths));
        columns.retain(|column| column.features.fitted.width() != Some(0));

        // Some sequences at a time stay in the cache while every column writes to them.
        let width = self.features();
        let together = (IN_CACHE / (steps * width)).max(1);
        values
            .par_chunks_mut(together * steps * width)
            .zip(starts.par_chunks(together).zip(lengths.par_chunks(together)))
            .for_each(|(values, (starts, lengths))| {
                let mut block = Block { values, starts, lengths, steps, width };
                columns.iter().for_each(|column| column.encode(&mut block));
            });
    }
}

/// Puts what is modelled by construction in place of the cells of columns that rules are about.
fn put_distances(
    construction: &Construction,
    columns: &mut [ToEncode<'_>],
    of_part: (&[f64], &[usize]),
) {
    if construction.is_empty() {
        return;
    }
    let fitted: Vec<&FittedColumn> = columns.iter().map(|column| column.features.fitted).collect();
    let mut of_rules: Vec<Option<Filled<'_>>> = columns
        .iter_mut()
        .map(|column| {
            let (fitted, observed) = (column.features.fitted, column.own.as_deref()?);
            let mut unit = None;
            let cells = column.cells.make_doubles(fitted.fill());
            if let FittedKind::Numeric { values, .. } = &fitted.kind {
                unit = values.unit();
                // What is filled in is decoded on the grid, as everything is.
                let filled = cells.iter_mut().zip(observed).filter(|(_, observed)| !**observed);
                filled.for_each(|(cell, _)| *cell = values.nearest(*cell));
            }
            Some(Filled { cells, observed, settled: observed.to_vec(), unit })
        })
        .collect();
    let transform = |n: usize| match &fitted[n].kind {
        FittedKind::Numeric { transform, .. } => Some(transform.clone()),
        _ => None,
    };
    construction.apply(&mut of_rules, &transform, of_part);
}

/// Some sequences of a part.
struct Block<'a> {
    /// `[sequences, steps, width]`
    values: &'a mut [f32],
    /// Each sequence's first row.
    starts: &'a [usize],
    lengths: &'a [usize],
    steps: usize,
    width: usize,
}

impl Block<'_> {
    /// Gives each row's feature, which is at `at` or after it, its value.
    fn write<T: Copy>(&mut self, cells: &[T], at: usize, feature: impl Fn(T) -> Feature) {
        let sequences = self.starts.iter().zip(self.lengths);
        let values = self.values.chunks_exact_mut(self.steps * self.width);
        for ((&start, &length), values) in sequences.zip(values) {
            let rows = cells[start..start + length].iter();
            for (&cell, row) in rows.zip(values.chunks_exact_mut(self.width)) {
                let Feature { at: further, value } = feature(cell);
                row[at + further as usize] = value;
            }
        }
    }
}

/// A column on its way into the rows.
struct ToEncode<'a> {
    features: &'a Features<'a>,
    place: Place,
    cells: Cells,
    /// Whether each cell was observed, where that is modelled.
    observed: Vec<bool>,
    /// Whether each cell is the table's own, where a rule is about the column.
    own: Option<Vec<bool>>,
}

impl<'a> ToEncode<'a> {
    /// `patients` are the rows of each, and `sequences` the first rows and the lengths.
    fn new(
        (column, features): (&Column, &'a Features<'a>),
        place: Place,
        mut cells: Cells,
        patients: &[usize],
        sequences: (&[usize], &[usize]),
    ) -> Self {
        let mut observed = place.flag.map(|_| cells.observed()).unwrap_or_default();
        if column.is_static && features.fitted.shown != Shown::Some && place.flag.is_some() {
            // A patient has the value or has not.
            for (&start, &length) in sequences.0.iter().zip(sequences.1) {
                let of_patient = &mut observed[start..start + length];
                let has = of_patient.contains(&true);
                of_patient.fill(has);
            }
        }
        if column.impute != Impute::None && cells.has_gaps() {
            cells.fill(patients, column.impute == Impute::Both);
        }
        Self { features, place, cells, observed, own: None }
    }

    fn encode(&self, block: &mut Block<'_>) {
        let Features { fitted, bytes, scaled, gap } = self.features;
        let Place { value: at, spikes: of_spikes, flag } = self.place;
        let one_by_one = |x: f64| if x.is_nan() { *gap } else { feature(fitted, x) };
        match &self.cells {
            Cells::Bytes(cells) => {
                block.write(cells, at, |byte| bytes[usize::from(byte)]);
            }
            Cells::Scaled(cells, decimals) => match &scaled[*decimals] {
                Some((least, table)) => block.write(cells, at, |unit| {
                    // A gap lies far outside.
                    table.get(unit.wrapping_sub(*least) as u32 as usize).copied().unwrap_or(*gap)
                }),
                None => block.write(cells, at, |unit| match unit.is_gap() {
                    true => *gap,
                    false => feature(fitted, unscaled(unit, *decimals)),
                }),
            },
            Cells::Doubles(cells) => block.write(cells, at, one_by_one),
        }
        if let FittedKind::Numeric { spikes, fill, .. } = &fitted.kind
            && let Some(width) = spikes.width()
        {
            let of = |x: f64| {
                let level = spikes.position(if x.is_nan() { *fill } else { x });
                Feature { at: level.unwrap_or(width - 1) as u32, value: 1. }
            };
            match &self.cells {
                Cells::Bytes(cells) => block.write(cells, of_spikes, |byte| {
                    of(if byte.is_gap() { f64::NAN } else { f64::from(byte) })
                }),
                Cells::Scaled(cells, decimals) => block.write(cells, of_spikes, |unit| {
                    of(if unit.is_gap() { f64::NAN } else { unscaled(unit, *decimals) })
                }),
                Cells::Doubles(cells) => block.write(cells, of_spikes, of),
            }
        }
        if let Some(flag) = flag {
            let of = |is_observed| Feature { at: u32::from(is_observed), value: 1. };
            block.write(&self.observed, flag, of);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::Fit;
    use crate::{Subset, Table};
    use polars_core::df;
    use std::path::Path;

    #[test]
    fn what_lies_in_the_file_is_encoded_as_what_lies_in_memory() -> Result<()> {
        let schema = "name = \"t\"\n[patient]\ncolumn = \"id\"\n[time]\ncolumn = \"t\"\n\
            step = 1.0\n[[columns]]\nname = \"x\"\nkind = \"numeric\"\nmissing_indicator = true\n\
            [[columns]]\nname = \"y\"\nkind = \"numeric\"\n\
            [[columns]]\nname = \"z\"\nkind = \"binary\"\nlevels = [0, 1]\n";
        let schema = Schema::parse(schema, Path::new("t.toml"))?;
        let part = |first: i64| -> Result<Table> {
            let frame = df!(
                "id" => [first, first, first + 1],
                "t" => [0, 1, 0],
                "x" => [Some(36.6), None, Some(41.5 + first as f64)],
                "y" => [1. / 3., 0.25, -7. / 3.],
                "z" => [0, 1, 1],
            )?;
            Ok(Table::from(frame))
        };
        let encoded = |most: usize| -> Result<Encoded> {
            let mut fit = Fit::new(&schema, "t", None, Subset::Whole);
            let mut kept = Kept { most, ..Kept::new(&schema) };
            for first in [1, 3, 5] {
                let resampled = fit.part(&part(first)?, 0)?;
                fit.add(&resampled)?;
                kept.add(&resampled)?;
            }
            assert_eq!(kept.file.is_some(), most < IN_MEMORY);
            fit.finish()?.encode_kept(kept)
        };
        let whole = encoded(IN_MEMORY)?;
        for most in [0, 80] {
            assert_eq!(encoded(most)?, whole);
        }
        Ok(())
    }
}
