//! The layout of an encoded row.

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// An encoded row: numeric features in [0, 1] first, then one-hot blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowLayout {
    /// How many numeric features lead the row.
    pub numeric: usize,
    /// The width of each discrete block that follows.
    pub discrete: Vec<usize>,
    /// Features that repeat the row before where nothing was measured; each at most once.
    pub carried: Vec<Carried>,
}

/// Features that repeat the row before as far as another one says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// Where the probability stands that they do: a feature of a block that is not carried itself.
    pub by: usize,
    /// The features that do.
    pub features: Range<usize>,
}

impl RowLayout {
    /// Rows of so many numeric features and of blocks of these widths, in which nothing is carried.
    pub fn new(numeric: usize, discrete: Vec<usize>) -> Self {
        Self { numeric, discrete, carried: Vec::new() }
    }

    /// `D`, the width of a row.
    pub fn width(&self) -> usize {
        self.numeric + self.discrete.iter().sum::<usize>()
    }

    /// The features of each discrete block.
    pub fn blocks(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.discrete.iter().scan(self.numeric, |start, &width| {
            let block = *start..*start + width;
            *start = block.end;
            Some(block)
        })
    }

    /// The width `e` of a block's soft embedding: 2 for binary, 4 for more.
    pub fn embedding_width(levels: usize) -> usize {
        if levels <= 2 { 2 } else { 4 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sepsis_shape_is_104_wide() {
        let layout = RowLayout::new(35, vec![2, 2, 2, 13, 10, 10, 10, 10, 10]);
        assert_eq!(layout.width(), 35 + 6 + 13 + 50);
        assert_eq!(layout.blocks().last(), Some(94..104));
    }
}
