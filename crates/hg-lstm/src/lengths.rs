//! How long each row of a batch is.

use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};

/// The length of each row of a batch `[batch, steps, ..]`, as packed
/// sequences carry them in PyTorch: steps beyond a row's length do not exist
/// for the layer, in either direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lengths {
    rows: Vec<usize>,
    steps: usize,
}

impl Lengths {
    /// Takes one length per row, each in `1..=steps`.
    ///
    /// # Errors
    /// [`Error::Length`] for a length outside that range, [`Error::EmptyBatch`]
    /// for no rows.
    pub fn new(rows: Vec<usize>, steps: usize) -> Result<Self> {
        if rows.is_empty() {
            return Err(Error::EmptyBatch);
        }
        match rows.iter().position(|&length| length == 0 || length > steps) {
            Some(row) => Err(Error::Length { row, length: rows[row], steps }),
            None => Ok(Self { rows, steps }),
        }
    }

    /// Every row has all `steps`.
    ///
    /// # Errors
    /// When `batch` or `steps` is 0.
    pub fn full(batch: usize, steps: usize) -> Result<Self> {
        Self::new(vec![steps; batch], steps)
    }

    /// The length of each row.
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// Rows in the batch.
    pub fn batch(&self) -> usize {
        self.rows.len()
    }

    /// Time steps of the padded batch.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Whether no row is padded.
    pub fn is_full(&self) -> bool {
        self.rows.iter().all(|&length| length == self.steps)
    }

    /// The lengths of this batch stacked `times` over itself.
    pub fn repeat(&self, times: usize) -> Self {
        Self { rows: self.rows.repeat(times), steps: self.steps }
    }

    /// `[batch, steps, 1]`: 1 inside each row, 0 beyond its length.
    ///
    /// # Errors
    /// When candle cannot make the tensor.
    pub fn mask(&self, dtype: DType, device: &Device) -> Result<Tensor> {
        let flat: Vec<u8> = self
            .rows
            .iter()
            .flat_map(|&length| (0..self.steps).map(move |t| u8::from(t < length)))
            .collect();
        Ok(Tensor::from_vec(flat, (self.batch(), self.steps, 1), device)?.to_dtype(dtype)?)
    }

    /// The indices, into the flattened `[batch · steps]` rows, of all steps
    /// that exist.
    ///
    /// # Errors
    /// When candle cannot make the tensor.
    pub fn valid_rows(&self, device: &Device) -> Result<Tensor> {
        self.index(device, |length| 0..length)
    }

    /// Turns every row of `x` `[batch, steps, features]` round in time within
    /// its own length; padding stays where it is. Its own inverse.
    ///
    /// # Errors
    /// When `x` has another batch or number of steps.
    pub fn reverse(&self, x: &Tensor) -> Result<Tensor> {
        let steps = self.steps;
        let index = self.index(x.device(), |length| (0..length).rev().chain(length..steps))?;
        self.gather(x, &index)?.reshape(x.shape()).map_err(Into::into)
    }

    /// The last existing step of every row: `[batch, steps, features]` →
    /// `[batch, features]`.
    ///
    /// # Errors
    /// When `x` has another batch or number of steps.
    pub fn last(&self, x: &Tensor) -> Result<Tensor> {
        let index = self.index(x.device(), |length| length - 1..length)?;
        self.gather(x, &index)
    }

    /// The inverse of [`Lengths::last`]: puts `[batch, features]` at each
    /// row's last step of an otherwise zero `[batch, steps, features]`.
    ///
    /// # Errors
    /// When `rows` has another batch.
    pub fn place_last(&self, rows: &Tensor) -> Result<Tensor> {
        let (batch, _) = rows.dims2()?;
        self.check("rows", rows.dims(), batch, self.steps)?;
        let at_last: Vec<u8> = self
            .rows
            .iter()
            .flat_map(|&length| (0..self.steps).map(move |t| u8::from(t + 1 == length)))
            .collect();
        let at_last = Tensor::from_vec(at_last, (batch, self.steps, 1), rows.device())?;
        let at_last = at_last.to_dtype(rows.dtype())?;
        Ok(rows.unsqueeze(1)?.broadcast_mul(&at_last)?)
    }

    fn index<I>(&self, device: &Device, steps_of: impl Fn(usize) -> I) -> Result<Tensor>
    where
        I: Iterator<Item = usize>,
    {
        let flat: Vec<u32> = self
            .rows
            .iter()
            .enumerate()
            .flat_map(|(row, &length)| {
                let start = row * self.steps;
                // u32 is candle's index type; a batch stays far below 2³² rows.
                steps_of(length).map(move |t| (start + t) as u32)
            })
            .collect();
        let count = flat.len();
        Ok(Tensor::from_vec(flat, count, device)?)
    }

    fn gather(&self, x: &Tensor, index: &Tensor) -> Result<Tensor> {
        let (batch, steps, features) = x.dims3()?;
        self.check("x", x.dims(), batch, steps)?;
        Ok(x.reshape((batch * steps, features))?.index_select(index, 0)?)
    }

    /// Refuses a tensor of another batch or number of steps.
    pub(crate) fn check(
        &self,
        what: &'static str,
        got: &[usize],
        batch: usize,
        steps: usize,
    ) -> Result<()> {
        if batch == self.batch() && steps == self.steps {
            return Ok(());
        }
        let expected = format!("batch {} and {} steps", self.batch(), self.steps);
        Err(Error::Shape { what, expected, got: got.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reversal_keeps_padding_in_place_and_undoes_itself() -> anyhow::Result<()> {
        let x = Tensor::arange(0f64, 8., &Device::Cpu)?.reshape((2, 4, 1))?;
        let lengths = Lengths::new(vec![4, 2], 4)?;
        let reversed = lengths.reverse(&x)?;
        assert_eq!(reversed.flatten_all()?.to_vec1::<f64>()?, [3., 2., 1., 0., 5., 4., 6., 7.]);
        let back = lengths.reverse(&reversed)?;
        assert_eq!(back.flatten_all()?.to_vec1::<f64>()?, x.flatten_all()?.to_vec1::<f64>()?);
        Ok(())
    }

    #[test]
    fn last_and_place_last_agree() -> anyhow::Result<()> {
        let x = Tensor::arange(0f64, 8., &Device::Cpu)?.reshape((2, 4, 1))?;
        let lengths = Lengths::new(vec![4, 2], 4)?;
        let last = lengths.last(&x)?;
        assert_eq!(last.flatten_all()?.to_vec1::<f64>()?, [3., 5.]);
        let placed = lengths.place_last(&last)?.flatten_all()?;
        assert_eq!(placed.to_vec1::<f64>()?, [0., 0., 0., 3., 0., 5., 0., 0.]);
        Ok(())
    }

    #[test]
    fn a_batch_is_full_where_no_row_is_padded() -> anyhow::Result<()> {
        let (full, padded) = (Lengths::full(2, 3)?, Lengths::new(vec![3, 2], 3)?);
        assert!(full.is_full() && full.repeat(2).is_full());
        assert!(!padded.is_full());
        Ok(())
    }

    #[test]
    fn lengths_outside_the_steps_are_refused() {
        assert!(matches!(Lengths::new(vec![3, 0], 4), Err(Error::Length { row: 1, .. })));
        assert!(matches!(Lengths::new(vec![5], 4), Err(Error::Length { row: 0, .. })));
        assert!(matches!(Lengths::new(vec![], 4), Err(Error::EmptyBatch)));
    }
}
