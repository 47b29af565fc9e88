//! Statics that synthetic patients shall have, from a table with a row for each of them.
//!
//! A patient of a generator may take the place of a row where
//!
//! ```text
//! level, bin, spike   is the wanted one
//! number              |f(x) − f(wanted)| ≤ s / 10,   f the column's transform, s the standard deviation of
//!                     f(x) over the generator's patients
//! rules               hold with the wanted numbers in place of the patient's own
//! ```
//!
//! and is given the wanted numbers then: the chance that a generator makes exactly these is nil. A column
//! that a rule constructs has no transform of its own, f is the identity there.

use crate::construct::Decoded;
use crate::decode::nearest_or_bound;
use crate::files::{files, is_csv};
use crate::parsed::cells_of;
use crate::table::read_table;
use crate::{
    Bins, Cells, Encoder, Error, FittedBins, FittedColumn, FittedKind, FittedSpikes,
    FittedTransform, Result, Rule, Table,
};
use std::ops::Range;
use std::path::Path;

/// A number is near a wanted one within this share of its column's standard deviation.
const NEAR: f64 = 0.1;
/// A number is on its column's grid within this share of the grid's unit.
const ON_GRID: f64 = 1e-3;
/// Rows that a message names.
const NAMED: usize = 10;

/// Statics that synthetic patients shall have: those of patient n in row n of a table. A missing cell
/// asks for nothing.
#[derive(Clone, Debug)]
pub struct WantedStatics {
    /// The table's name.
    table: String,
    columns: Vec<WantedColumn>,
    patients: usize,
    orders: Vec<Order>,
}

#[derive(Clone, Debug)]
struct WantedColumn {
    /// Its position in the schema.
    column: usize,
    /// Numbers, or positions of levels, a row each.
    cells: Vec<Option<f64>>,
    agreement: Agreement,
}

/// When a patient's value goes for the wanted one.
#[derive(Clone, Debug)]
enum Agreement {
    Level,
    Bin(FittedBins),
    Number { transform: Option<FittedTransform>, spikes: FittedSpikes },
}

/// A rule that a wanted number could break: columns by their positions, `None` for the time.
#[derive(Clone, Copy, Debug)]
struct Order {
    lesser: Option<usize>,
    greater: Option<usize>,
    strict: bool,
}

impl Order {
    fn holds(self, lesser: f64, greater: f64) -> bool {
        lesser < greater || (lesser == greater && !self.strict)
    }
}

/// A place in a wanted table that a patient may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Its row, from 0.
    pub row: usize,
    /// How far the patient's numbers are from the wanted ones, in standard deviations.
    pub distance: f64,
}

impl Encoder {
    /// Reads a table of wanted statics (CSV, Parquet or Arrow IPC), a CSV as the real table is
    /// written.
    ///
    /// # Errors
    /// As [`Encoder::wanted_statics`], and when it cannot be read.
    pub fn wanted_statics_of_file(&self, path: &Path) -> Result<WantedStatics> {
        let schema = &self.schema;
        let frame = match files(path)?.as_slice() {
            // A row without any value asks for any patient.
            [file] if is_csv(file)? => {
                schema.open_csv(file)?.keep_empty_rows().batch(usize::MAX)?.unwrap_or_default()
            }
            _ => read_table(path, schema.text_encoding(), schema.cell_separator())?,
        };
        self.wanted_statics(&Table::of_file(frame, path))
    }

    /// Statics that synthetic patients shall have, from a table with some or all of the static columns
    /// and a row for each patient. A column of patients may be there; synthetic ones are numbered
    /// anew.
    ///
    /// # Errors
    /// Everything in the table that no synthetic patient can have, with its row and column.
    pub fn wanted_statics(&self, table: &Table) -> Result<WantedStatics> {
        let patients = table.frame.height();
        if patients == 0 {
            let problem = "has no rows\nhint: write a row for each patient that is wanted";
            return Err(Error::table(&table.name, problem));
        }
        let positions = self.wanted_positions(table)?;
        let cells = cells_of(table, &self.schema, &positions).map_err(with_own_hint)?;

        let mut columns = Vec::with_capacity(positions.len());
        let mut problems = Vec::new();
        for (column, mut cells) in positions.into_iter().zip(cells) {
            for (row, cell) in cells.iter_mut().enumerate() {
                let Some(number) = cell else { continue };
                match self.wanted_cell(column, *number) {
                    Ok(number) => *cell = Some(number),
                    Err(problem) => {
                        let name = &self.schema.columns[column].name;
                        problems.push(table.cell_error((0, row), name, problem));
                    }
                }
            }
            let agreement = self.agreement(column);
            columns.push(WantedColumn { column, cells, agreement });
        }
        let name = table.name.clone();
        let wanted = WantedStatics { table: name, columns, patients, orders: self.orders() };
        self.refuse_broken_orders(&wanted, table, &mut problems);
        Error::all(problems)?;
        Ok(wanted)
    }

    /// The positions of the wanted columns.
    fn wanted_positions(&self, table: &Table) -> Result<Vec<usize>> {
        let (mut positions, mut problems) = (Vec::new(), Vec::new());
        for name in table.frame.get_column_names() {
            if *name == self.schema.patient.column {
                continue;
            }
            match self.static_column(name) {
                Ok(position) => positions.push(position),
                Err(problem) => problems.push(Error::column(&table.name, name, problem)),
            }
        }
        Error::all(problems)?;
        if positions.is_empty() {
            let problem = "asks for nothing, it has no static column\nhint: give it some of the \
                           schema's, or say how many patients with `--patients`";
            return Err(Error::table(&table.name, problem));
        }
        Ok(positions)
    }

    /// A wanted number as the column writes it.
    ///
    /// # Errors
    /// Why no synthetic patient can have it.
    fn wanted_cell(&self, column: usize, x: f64) -> std::result::Result<f64, String> {
        const HINT: &str = "hint: ask for one that it can be, or leave the cell empty for any";
        let (of_schema, fitted) = (&self.schema.columns[column], &self.columns[column]);
        let values = match &fitted.kind {
            FittedKind::Discrete { .. } => return Ok(x),
            FittedKind::Empty => {
                return Err(format!("the real table has no value in this column\n{HINT}"));
            }
            FittedKind::Numeric { spikes, .. } if spikes.holds(x) => return Ok(x),
            FittedKind::Binned { .. } if of_schema.bins().is_some_and(Bins::shows_labels) => {
                return Ok(x);
            }
            FittedKind::Numeric { values, .. }
            | FittedKind::Binned { values, .. }
            | FittedKind::Constant { values, .. } => values,
        };
        let number = match values.unit() {
            None => x,
            Some(unit) => {
                let nearest = nearest_or_bound(x, values, of_schema.censored());
                if (nearest - x).abs() > ON_GRID * unit {
                    return Err(format!(
                        "`{x}` is no number of this column, whose nearest is {nearest}\n{HINT}"
                    ));
                }
                nearest
            }
        };
        let [least, greatest] = fitted.ends().map(|end| match values.unit() {
            Some(_) => nearest_or_bound(end, values, of_schema.censored()),
            None => end,
        });
        // What an encoded number, an f32, leaves of the ends.
        let slack = 1e-6 * (greatest - least);
        match (least - slack..=greatest + slack).contains(&number) {
            true => Ok(number),
            false => Err(format!(
                "`{x}` lies outside of {least} to {greatest}, what the model makes\n{HINT}"
            )),
        }
    }

    fn agreement(&self, column: usize) -> Agreement {
        match &self.columns[column].kind {
            FittedKind::Numeric { transform, spikes, .. } => {
                match self.construction.get(column) {
                    // Transform and spikes are of the distances.
                    Some(_) => Agreement::Number { transform: None, spikes: Default::default() },
                    None => Agreement::Number {
                        transform: Some(transform.clone()),
                        spikes: spikes.clone(),
                    },
                }
            }
            FittedKind::Binned { bins, .. } => Agreement::Bin(bins.clone()),
            FittedKind::Discrete { .. } | FittedKind::Constant { .. } | FittedKind::Empty => {
                Agreement::Level
            }
        }
    }

    /// The rules between two columns, or a column and the time.
    fn orders(&self) -> Vec<Order> {
        let position = |name: &str| self.schema.columns.iter().position(|c| c.name == name);
        let orders = self.schema.rules.iter().filter_map(|rule| match rule {
            Rule::Order { lesser, greater, strict } => {
                let (lesser, greater) = (position(lesser), position(greater));
                Some(Order { lesser, greater, strict: *strict })
            }
            _ => None,
        });
        orders.collect()
    }

    /// Refuses rows that break a rule by themselves.
    fn refuse_broken_orders(
        &self,
        wanted: &WantedStatics,
        table: &Table,
        problems: &mut Vec<Error>,
    ) {
        for order in &wanted.orders {
            let (Some(lesser), Some(greater)) = (order.lesser, order.greater) else { continue };
            for row in 0..wanted.patients {
                let both = wanted.number(lesser, row).zip(wanted.number(greater, row));
                let Some((a, b)) = both.filter(|(a, b)| !order.holds(*a, *b)) else { continue };
                let [lesser, greater] = [lesser, greater].map(|n| &self.schema.columns[n].name);
                let sign = if order.strict { "<" } else { "<=" };
                let problem = format!(
                    "`{lesser}` is {a} here, and `{greater}` is {b}, but the schema says `{lesser} \
                     {sign} {greater}`\nhint: correct one, or leave it empty for any"
                );
                problems.push(table.cell_error((0, row), greater, problem));
            }
        }
    }
}

impl FittedColumn {
    /// The least and the greatest number that the column can have.
    fn ends(&self) -> [f64; 2] {
        match (&self.kind, self.range) {
            (FittedKind::Numeric { .. }, Some(range)) => range,
            (FittedKind::Numeric { transform, .. }, None) => [0., 1.].map(|x| transform.decode(x)),
            (FittedKind::Binned { bins, .. }, _) => {
                [bins.value(0, 0.), bins.value(bins.count().saturating_sub(1), 1.)]
            }
            (FittedKind::Constant { value, .. }, _) => [*value; 2],
            (FittedKind::Discrete { .. } | FittedKind::Empty, _) => [0.; 2],
        }
    }
}

/// Schemas cannot be changed after training, so that hints to do so would lead astray.
fn with_own_hint(error: Error) -> Error {
    let mended = |problem: String| {
        let what = problem.split("\nhint: ").next().unwrap_or_default();
        format!("{what}\nhint: correct it, or leave the cell empty for any")
    };
    match error {
        Error::Cell { table, row, column, problem } => {
            Error::Cell { table, row, column, problem: mended(problem) }
        }
        Error::Column { table, column, problem } => {
            Error::Column { table, column, problem: mended(problem) }
        }
        Error::Many { problems, more } => {
            Error::Many { problems: problems.into_iter().map(with_own_hint).collect(), more }
        }
        other => other,
    }
}

impl WantedStatics {
    /// How many patients are wanted.
    pub fn patients(&self) -> usize {
        self.patients
    }

    /// Rows, from 0, as a message names them.
    pub fn named(&self, rows: &[usize]) -> String {
        let shown: Vec<String> = rows.iter().take(NAMED).map(|row| (row + 1).to_string()).collect();
        let shown = match rows.len().saturating_sub(NAMED) {
            0 => shown.join(", "),
            more => format!("{} and {more} more", shown.join(", ")),
        };
        let rows = if rows.len() == 1 { "row" } else { "rows" };
        format!("{rows} {shown} of `{}`", self.table)
    }

    /// The standard deviation of each column's transformed numbers, but for spikes, over these patients;
    /// 0 of levels.
    pub fn spreads(&self, made: &Cells) -> Vec<f64> {
        let spread = |column: &WantedColumn| {
            let values = column.values(made);
            let besides = values.into_iter().flatten().filter(|(x, _)| !column.is_spike(*x));
            let numbers: Vec<f64> = besides.map(|(_, compared)| compared).collect();
            let count = numbers.len().max(1) as f64;
            let mean = numbers.iter().sum::<f64>() / count;
            (numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt()
        };
        self.columns.iter().map(spread).collect()
    }

    /// For each of these patients, the places among some rows that they may take, `spreads` being those
    /// of the generator.
    pub fn places(&self, made: &Cells, among: Range<usize>, spreads: &[f64]) -> Vec<Vec<Place>> {
        let values: Vec<_> = self.columns.iter().map(|column| column.values(made)).collect();
        let place = |patient: usize, rows: &Range<usize>, row: usize| {
            let mut square = 0.;
            for ((column, values), &spread) in self.columns.iter().zip(&values).zip(spreads) {
                let Some(wanted) = column.cells[row] else { continue };
                square += column.distance(wanted, values[patient]?, spread)?.powi(2);
            }
            let distance = square.sqrt();
            self.keeps_rules(made, rows, row).then_some(Place { row, distance })
        };
        let of_patient = |(patient, rows): (usize, Range<usize>)| {
            among.clone().filter_map(|row| place(patient, &rows, row)).collect()
        };
        made.of_patients().enumerate().map(of_patient).collect()
    }

    /// Gives all of these patients, who may take the place of a row, its numbers.
    pub fn give(&self, made: &mut Cells, row: usize) {
        for column in &self.columns {
            if let (Some(wanted), false) = (column.cells[row], column.is_of_levels()) {
                made.columns[column.column].cells.fill(wanted);
            }
        }
    }

    /// The wanted number of a column in a row.
    fn number(&self, column: usize, row: usize) -> Option<f64> {
        let found = self.columns.iter().find(|wanted| wanted.column == column)?;
        found.cells[row].filter(|_| !found.is_of_levels())
    }

    /// Whether the rules hold in the `rows` of a patient with the wanted numbers of `row`.
    fn keeps_rules(&self, made: &Cells, rows: &Range<usize>, row: usize) -> bool {
        self.orders.iter().all(|order| {
            let number = |column: Option<usize>| column.and_then(|n| self.number(n, row));
            let (lesser, greater) = (number(order.lesser), number(order.greater));
            if lesser.is_none() && greater.is_none() {
                return true;
            }
            let own = |column: Option<usize>, at: usize| match column {
                Some(n) => made.columns[n].cells[at],
                None => made.times[at],
            };
            rows.clone().all(|at| {
                let lesser = lesser.unwrap_or_else(|| own(order.lesser, at));
                order.holds(lesser, greater.unwrap_or_else(|| own(order.greater, at)))
            })
        })
    }
}

impl WantedColumn {
    fn is_of_levels(&self) -> bool {
        matches!(self.agreement, Agreement::Level)
    }

    fn is_spike(&self, x: f64) -> bool {
        matches!(&self.agreement, Agreement::Number { spikes, .. } if spikes.holds(x))
    }

    /// Each patient's value, where it is shown, and as it is compared.
    fn values(&self, made: &Cells) -> Vec<Option<(f64, f64)>> {
        let column: &Decoded = &made.columns[self.column];
        let value = |rows| column.first_shown(rows).map(|x| (x, self.compared(x)));
        made.of_patients().map(value).collect()
    }

    fn compared(&self, x: f64) -> f64 {
        match &self.agreement {
            Agreement::Level => 0.,
            Agreement::Bin(_) | Agreement::Number { transform: None, .. } => x,
            Agreement::Number { transform: Some(transform), .. } => transform.encode(x),
        }
    }

    /// How far a patient's value, and as it is compared, is from the wanted one in standard deviations;
    /// `None` where it does not go for it.
    fn distance(&self, wanted: f64, (x, compared): (f64, f64), spread: f64) -> Option<f64> {
        if x == wanted {
            return Some(0.);
        }
        match &self.agreement {
            Agreement::Level => None,
            // Within a bin every number is as likely with what else the patient has.
            Agreement::Bin(bins) => (bins.bin(x) == bins.bin(wanted)).then_some(0.),
            Agreement::Number { .. } if self.is_spike(x) || self.is_spike(wanted) => None,
            Agreement::Number { .. } => {
                let distance = (compared - self.compared(wanted)).abs() / spread;
                (distance <= NEAR).then_some(distance)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Encoded, Schema, Subset};
    use polars_core::prelude::*;

    fn cells(encoder: &Encoder, encoded: &Encoded) -> Cells {
        let Encoded { values, lengths, steps, .. } = encoded;
        encoder.cells(values, lengths, *steps, Default::default()).expect("decodes")
    }

    fn pbc() -> (Encoder, Cells) {
        let (encoder, encoded) = crate::calibration::tests::pbc();
        let cells = cells(&encoder, &encoded);
        (encoder, cells)
    }

    /// Patients of two visits, in a schema with all kinds of static columns.
    fn small() -> (Encoder, Cells) {
        let schema = r#"
            name = "small"
            patient.column = "id"
            time = { column = "day", step = 1.0 }
            rules = [{ holds = "start <= end" }, { holds = "x <= limit" }]
            [[columns]]
            name = "dose"
            kind = "numeric"
            spikes = [0.0]
            static = true
            [[columns]]
            name = "weight"
            kind = "numeric"
            bins = { edges = [50.0, 70.0] }
            static = true
            [[columns]]
            name = "start"
            kind = "numeric"
            static = true
            [[columns]]
            name = "end"
            kind = "numeric"
            static = true
            [[columns]]
            name = "limit"
            kind = "numeric"
            static = true
            [[columns]]
            name = "x"
            kind = "numeric"
        "#;
        let schema =
            Schema::parse(schema, Path::new("small.toml")).unwrap_or_else(|e| panic!("{e}"));
        let patient = |row: usize| row / 2;
        let column = |name: &str, of: &dyn Fn(usize) -> f64| {
            Series::new(name.into(), (0..80).map(|row| of(patient(row))).collect::<Vec<_>>())
        };
        let own = |n: usize| n as f64;
        let series = [
            Series::new("id".into(), (0..80).map(|row| patient(row) as i64).collect::<Vec<_>>()),
            Series::new("day".into(), (0..80).map(|row| (row % 2) as i64).collect::<Vec<_>>()),
            column("dose", &|n| if n < 20 { 0. } else { own(n) }),
            column("weight", &|n| 40. + own(n)),
            column("start", &own),
            column("end", &|n| own(n) + 10.),
            column("limit", &|n| own(n) + 1.),
            column("x", &|n| own(n) + 0.5),
        ];
        let frame = DataFrame::new(80, series.into_iter().map(Series::into_column).collect());
        let table = Table::new(frame.expect("a table"), "small");
        let (encoder, encoded) =
            Encoder::fit(&schema, &table, Subset::Whole).unwrap_or_else(|e| panic!("{e}"));
        let cells = cells(&encoder, &encoded);
        (encoder, cells)
    }

    fn wanted(encoder: &Encoder, columns: &[(&str, &[Option<f64>])]) -> Result<WantedStatics> {
        let rows = columns[0].1.len();
        let columns = columns.iter().map(|(name, cells)| Column::new((*name).into(), cells));
        let frame = DataFrame::new(rows, columns.collect()).expect("a table");
        encoder.wanted_statics(&Table::new(frame, "wanted"))
    }

    /// The patients who may take the place of the first row.
    fn takers(encoder: &Encoder, cells: &Cells, columns: &[(&str, f64)]) -> Vec<usize> {
        let columns: Vec<(&str, [Option<f64>; 1])> =
            columns.iter().map(|(name, number)| (*name, [Some(*number)])).collect();
        let columns: Vec<(&str, &[Option<f64>])> =
            columns.iter().map(|(name, cells)| (*name, &cells[..])).collect();
        let wanted = wanted(encoder, &columns).unwrap_or_else(|e| panic!("{e}"));
        let places = wanted.places(cells, 0..1, &wanted.spreads(cells));
        (0..places.len()).filter(|&patient| !places[patient].is_empty()).collect()
    }

    #[test]
    fn everybody_may_take_their_own_place_and_has_its_numbers_then() {
        let (encoder, mut cells) = pbc();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/pbc/pbcseq.csv");
        let table = encoder.schema.read(&path).expect("reads");
        let names = ["id", "sex", "status", "trt", "age", "futime"];
        let first: BooleanChunked = table.frame["day"].str().expect("texts").equal("0");
        let frame = table.frame.select(names).and_then(|frame| frame.filter(&first));
        let frame = frame.expect("columns");
        let wanted = encoder.wanted_statics(&Table { frame, ..table }).expect("statics");
        assert_eq!(wanted.patients(), cells.patients());
        let places = wanted.places(&cells, 0..wanted.patients(), &wanted.spreads(&cells));
        for (patient, places) in places.iter().enumerate() {
            let own = places.iter().find(|place| place.row == patient);
            // What an f32 leaves.
            assert!(own.is_some_and(|own| own.distance < 1e-4), "{patient}: {places:?}");
        }
        wanted.give(&mut cells, 0);
        let table = encoder.table_of(&cells).expect("a table");
        let ages = table["age"].f64().expect("numbers");
        assert!(ages.iter().all(|age| age == Some(58.76522929500342)));
    }

    #[test]
    fn a_number_is_near_within_a_tenth_of_a_standard_deviation() {
        let (encoder, cells) = pbc();
        let ages: Vec<f64> = takers(&encoder, &cells, &[("age", 50.)])
            .into_iter()
            .map(|patient| cells.columns[3].cells[cells.lengths[..patient].iter().sum::<usize>()])
            .collect();
        // It is 10.6 years.
        assert!(ages.len() > 10 && ages.iter().all(|age| (age - 50.).abs() < 1.07), "{ages:?}");
    }

    #[test]
    fn spikes_bins_and_rules_decide_who_may_take_a_place() {
        let (encoder, cells) = small();
        let takers = |columns: &[(&str, f64)]| takers(&encoder, &cells, columns);
        assert_eq!(takers(&[("dose", 0.)]), (0..20).collect::<Vec<_>>());
        assert_eq!(takers(&[("dose", 20.)]), [20], "a number besides is no spike");
        assert_eq!(takers(&[("weight", 45.)]), (0..10).collect::<Vec<_>>());
        assert_eq!(takers(&[("start", 7.)]), [6, 7, 8]);
        // The limit of patient 9 is as near, but their x is 9.5.
        assert_eq!(takers(&[("limit", 9.)]), [7, 8]);
        assert_eq!(takers(&[("limit", 9.), ("weight", 50.)]), Vec::<usize>::new());
    }

    #[test]
    fn what_no_patient_can_have_is_said_with_its_place() {
        let (encoder, _) = small();
        for (columns, said) in [
            (
                vec![("start", Some(20.)), ("end", Some(12.))],
                "row 1, column `end`: `start` is 20 here, and `end` is 12, but the schema says `start <= end`\nhint: ",
            ),
            (
                vec![("start", Some(1e6))],
                "row 1, column `start`: `1000000` lies outside of 0 to 39",
            ),
            (
                vec![("start", Some(1.5))],
                "row 1, column `start`: `1.5` is no number of this column, whose nearest is 2",
            ),
            (
                vec![("weight", Some(500.))],
                "row 1, column `weight`: `500` lies outside of 40 to 79",
            ),
            (
                vec![("x", Some(1.))],
                "column `x`: `x` changes over a patient's steps\nhint: static columns are `dose`",
            ),
            (
                vec![("y", Some(1.))],
                "column `y`: there is no column `y`\nhint: static columns are `dose`",
            ),
        ] {
            let columns: Vec<(&str, [Option<f64>; 1])> =
                columns.into_iter().map(|(name, cell)| (name, [cell])).collect();
            let columns: Vec<(&str, &[Option<f64>])> =
                columns.iter().map(|(name, cells)| (*name, &cells[..])).collect();
            let problem = wanted(&encoder, &columns).expect_err(said).to_string();
            assert!(problem.starts_with(&format!("wanted, {said}")), "{problem}");
        }
        let near = wanted(&encoder, &[("start", &[Some(7.0001), None])]).expect("on the grid");
        assert_eq!(near.columns[0].cells, [Some(7.), None]);
        let rows: Vec<usize> = (0..13).collect();
        assert_eq!(near.named(&rows), "rows 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 3 more of `wanted`");
        assert_eq!(near.named(&[1]), "row 2 of `wanted`");
    }
}
