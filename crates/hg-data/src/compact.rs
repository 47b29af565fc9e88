//! Cells on the grid, kept small: most clinical numbers have few decimals.

use polars_core::prelude::Float64Chunked;
use std::borrow::Cow;

/// Decimals that cells are tried with.
pub(crate) const MOST_DECIMALS: usize = 3;
const POWERS: [f64; MOST_DECIMALS + 1] = [1., 10., 100., 1000.];

/// Cells that are tried together.
const BLOCK: usize = 1024;

/// A column's cells, as the smallest type that holds every one exactly.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cells {
    /// Small whole numbers, such as the positions of levels.
    Bytes(Vec<u8>),
    /// Numbers times a power of ten, which has so many zeros.
    Scaled(Vec<i32>, usize),
    /// Any numbers.
    Doubles(Vec<f64>),
}

/// A cell, one of whose values says that nothing was measured.
pub(crate) trait Cell: Copy + Send + Sync {
    /// What says so.
    const GAP: Self;
    fn is_gap(self) -> bool;
}

impl Cell for u8 {
    const GAP: Self = Self::MAX;
    fn is_gap(self) -> bool {
        self == Self::GAP
    }
}

impl Cell for i32 {
    const GAP: Self = Self::MIN;
    fn is_gap(self) -> bool {
        self == Self::GAP
    }
}

impl Cell for f64 {
    const GAP: Self = Self::NAN;
    fn is_gap(self) -> bool {
        self.is_nan()
    }
}

/// The number that a scaled cell stands for.
pub(crate) fn unscaled(unit: i32, decimals: usize) -> f64 {
    f64::from(unit) / POWERS[decimals]
}

impl Cells {
    /// The cells of a column in which no number is NaN.
    pub(crate) fn of(column: &Float64Chunked) -> Self {
        let cells = with_nan_gaps(column);
        if let Some(bytes) = bytes(&cells) {
            return Self::Bytes(bytes);
        }
        let scaled = (0..=MOST_DECIMALS).find_map(|d| Some(Self::Scaled(scaled(&cells, d)?, d)));
        scaled.unwrap_or_else(|| Self::Doubles(cells.into_owned()))
    }

    /// Makes the cells doubles, `fill` where nothing was measured.
    pub(crate) fn make_doubles(&mut self, fill: f64) -> &mut [f64] {
        let of = |x: f64| if x.is_nan() { fill } else { x };
        let doubles = match self {
            Self::Bytes(cells) => {
                let of = |&byte: &u8| if byte.is_gap() { fill } else { f64::from(byte) };
                cells.iter().map(of).collect()
            }
            Self::Scaled(cells, decimals) => {
                let of = |&unit: &i32| if unit.is_gap() { fill } else { unscaled(unit, *decimals) };
                cells.iter().map(of).collect()
            }
            Self::Doubles(cells) => cells.iter().map(|&x| of(x)).collect(),
        };
        *self = Self::Doubles(doubles);
        match self {
            Self::Doubles(cells) => cells,
            // Invariant: it was made so above.
            Self::Bytes(_) | Self::Scaled(..) => &mut [],
        }
    }

    /// Which of them were measured.
    pub(crate) fn observed(&self) -> Vec<bool> {
        fn of<T: Cell>(cells: &[T]) -> Vec<bool> {
            cells.iter().map(|cell| !cell.is_gap()).collect()
        }
        match self {
            Self::Bytes(cells) => of(cells),
            Self::Scaled(cells, _) => of(cells),
            Self::Doubles(cells) => of(cells),
        }
    }

    pub(crate) fn has_gaps(&self) -> bool {
        match self {
            Self::Bytes(cells) => cells.contains(&u8::GAP),
            Self::Scaled(cells, _) => cells.contains(&i32::GAP),
            Self::Doubles(cells) => cells.iter().any(|cell| cell.is_nan()),
        }
    }

    /// Fills gaps from the same patient's cells before them and, where `both`, after them;
    /// `patients` are the rows of each.
    pub(crate) fn fill(&mut self, patients: &[usize], both: bool) {
        match self {
            Self::Bytes(cells) => fill(cells, patients, both),
            Self::Scaled(cells, _) => fill(cells, patients, both),
            Self::Doubles(cells) => fill(cells, patients, both),
        }
    }

    /// The least and the greatest of scaled cells, and their decimals.
    pub(crate) fn range(&self) -> Option<(i32, i32, usize)> {
        let Self::Scaled(units, decimals) = self else { return None };
        let greatest = units.iter().copied().max().filter(|unit| !unit.is_gap())?;
        // The gap is the least of all numbers, and goes round to the greatest.
        let least = units.iter().map(|unit| unit.wrapping_sub(1)).min()?.wrapping_add(1);
        Some((least, greatest, *decimals))
    }

    /// The bytes that they take.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Bytes(cells) => cells.len(),
            Self::Scaled(cells, _) => 4 * cells.len(),
            Self::Doubles(cells) => 8 * cells.len(),
        }
    }
}

fn fill<T: Cell>(cells: &mut [T], patients: &[usize], both: bool) {
    let mut rest = cells;
    for &rows in patients {
        let (of_patient, others) = rest.split_at_mut(rows);
        carry(of_patient.iter_mut());
        if both {
            carry(of_patient.iter_mut().rev());
        }
        rest = others;
    }
}

/// Gives each gap the value before it.
fn carry<'a, T: Cell + 'a>(cells: impl Iterator<Item = &'a mut T>) {
    let mut before = T::GAP;
    for cell in cells {
        if cell.is_gap() {
            *cell = before;
        }
        before = *cell;
    }
}

/// A column's numbers, NaN where there is none.
pub(crate) fn with_nan_gaps(column: &Float64Chunked) -> Cow<'_, [f64]> {
    if column.null_count() == 0
        && let Ok(cells) = column.cont_slice()
    {
        return Cow::Borrowed(cells);
    }
    let mut cells = Vec::with_capacity(column.len());
    for array in column.downcast_iter() {
        let values = array.values().iter();
        match array.validity() {
            None => cells.extend(values),
            Some(valid) => cells.extend(
                values.zip(valid.iter()).map(|(&x, is_there)| if is_there { x } else { f64::NAN }),
            ),
        }
    }
    Cow::Owned(cells)
}

/// The cells as bytes, where all are small whole numbers.
fn bytes(cells: &[f64]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(cells.len());
    for block in cells.chunks(BLOCK) {
        let mut fits = true;
        bytes.extend(block.iter().map(|&x| {
            let byte = x as u8;
            let is_it = (f64::from(byte).to_bits() == x.to_bits()) & (byte != u8::GAP);
            fits &= x.is_nan() | is_it;
            if x.is_nan() { u8::GAP } else { byte }
        }));
        if !fits {
            return None;
        }
    }
    Some(bytes)
}

/// Added to a double below 2³¹, it leaves the nearest whole number in the low bits.
const TO_WHOLE: f64 = 6_755_399_441_055_744.;

/// The cells times a power of ten, where that loses no bit of any.
fn scaled(cells: &[f64], decimals: usize) -> Option<Vec<i32>> {
    let power = POWERS[decimals];
    let mut units = Vec::with_capacity(cells.len());
    for block in cells.chunks(BLOCK) {
        let mut fits = true;
        units.extend(block.iter().map(|&x| {
            let shifted = x * power + TO_WHOLE;
            let whole = shifted - TO_WHOLE;
            let is_it =
                ((whole / power).to_bits() == x.to_bits()) & (whole.abs() < f64::from(i32::MAX));
            fits &= x.is_nan() | is_it;
            if x.is_nan() { i32::GAP } else { shifted.to_bits() as i32 }
        }));
        if !fits {
            return None;
        }
    }
    Some(units)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars_core::prelude::NewChunkedArray;
    use proptest::prelude::*;

    fn column(cells: &[Option<f64>]) -> Float64Chunked {
        Float64Chunked::from_slice_options("x".into(), cells)
    }

    /// The cells again.
    fn back(cells: &Cells) -> Vec<Option<f64>> {
        match cells {
            Cells::Bytes(cells) => {
                cells.iter().map(|&b| (!b.is_gap()).then(|| f64::from(b))).collect()
            }
            Cells::Scaled(cells, decimals) => {
                cells.iter().map(|&u| (!u.is_gap()).then(|| unscaled(u, *decimals))).collect()
            }
            Cells::Doubles(cells) => cells.iter().map(|&x| (!x.is_nan()).then_some(x)).collect(),
        }
    }

    #[test]
    fn cells_take_the_smallest_type_that_holds_them() {
        let of = |cells: &[Option<f64>]| Cells::of(&column(cells));
        assert_eq!(of(&[Some(3.), None]), Cells::Bytes(vec![3, 255]));
        assert_eq!(of(&[Some(-1.), Some(255.)]), Cells::Scaled(vec![-1, 255], 0));
        assert_eq!(of(&[Some(36.6), None]), Cells::Scaled(vec![366, i32::MIN], 1));
        assert_eq!(of(&[Some(1.0625)]), Cells::Doubles(vec![1.0625]));
        // Not even the sign of 0 is lost.
        assert!(matches!(of(&[Some(-0.)]), Cells::Doubles(_)));
        let range = of(&[Some(0.5), None, Some(-2.)]).range();
        assert_eq!(range, Some((-20, 5, 1)));
    }

    proptest! {
        #[test]
        fn no_cell_loses_a_bit(
            cells in prop::collection::vec(
                prop_oneof![
                    Just(None),
                    (-3_000_000_000i64..3_000_000_000).prop_map(|n| Some(n as f64)),
                    (-30_000i32..30_000, 0usize..4).prop_map(|(n, d)| Some(unscaled(n, d))),
                    (0u8..=255).prop_map(|n| Some(f64::from(n))),
                    prop::num::f64::NORMAL.prop_map(Some),
                ],
                0..40,
            ),
        ) {
            let bits = |cells: &[Option<f64>]| -> Vec<Option<u64>> {
                cells.iter().map(|cell| cell.map(f64::to_bits)).collect()
            };
            // Each alone, so that none decides for the others, and all together.
            for cell in &cells {
                prop_assert_eq!(bits(&back(&Cells::of(&column(&[*cell])))), bits(&[*cell]));
            }
            let small = Cells::of(&column(&cells));
            prop_assert_eq!(bits(&back(&small)), bits(&cells));
            let observed: Vec<bool> = cells.iter().map(Option::is_some).collect();
            prop_assert_eq!(small.observed(), observed);
        }

        #[test]
        fn gaps_are_filled_within_a_patient_alone(
            patients in prop::collection::vec(
                prop::collection::vec(prop::option::of(0i32..400), 1..6), 1..6,
            ),
            both in any::<bool>(),
        ) {
            let cells: Vec<Option<f64>> =
                patients.concat().iter().map(|cell| cell.map(f64::from)).collect();
            let rows: Vec<usize> = patients.iter().map(Vec::len).collect();
            let mut filled = Cells::of(&column(&cells));
            filled.fill(&rows, both);
            let right = patients.iter().flat_map(|cells| {
                (0..cells.len()).map(|n| {
                    let before = cells[..=n].iter().rev().find_map(|cell| *cell);
                    let after = cells[n..].iter().find_map(|cell| *cell).filter(|_| both);
                    before.or(after).map(f64::from)
                })
            });
            prop_assert_eq!(back(&filled), right.collect::<Vec<_>>());
        }
    }
}
