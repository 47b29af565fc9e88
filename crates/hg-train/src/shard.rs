//! A share of some work that several processes do.

use crate::{Error, Result};
use std::fmt::{Display, Formatter};
use std::ops::Range;
use std::str::FromStr;

/// One of `of` shares of some work, `number` counting from 1.
///
/// ```
/// use hg_train::Shard;
///
/// let shard: Shard = "2/3".parse()?;
/// assert_eq!(shard.range(10), 3..6);
/// # Ok::<(), hg_train::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: usize,
    of: usize,
}

impl Shard {
    /// All of the work.
    pub const WHOLE: Self = Self { number: 1, of: 1 };

    /// The share `number`, from 1, of `of`.
    ///
    /// # Errors
    /// [`Error::Config`] where there is no such share.
    pub fn new(number: usize, of: usize) -> Result<Self> {
        match (1..=of).contains(&number) {
            true => Ok(Self { number, of }),
            false => Err(no_share(&format!("{number}/{of}"))),
        }
    }

    /// How many shares there are.
    pub fn of(self) -> usize {
        self.of
    }

    /// The share's pieces of so many, one after the other; of two shares one has at most one piece more.
    pub fn range(self, pieces: usize) -> Range<usize> {
        let end = |number: usize| (pieces as u128 * number as u128 / self.of as u128) as usize;
        end(self.number - 1)..end(self.number)
    }

    /// Whether the share has the piece `piece`, from 0, where they are dealt out in turn.
    pub fn is_dealt(self, piece: usize) -> bool {
        piece % self.of == self.number - 1
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers = text
            .split_once('/')
            .and_then(|(number, of)| Some((number.trim().parse().ok()?, of.trim().parse().ok()?)));
        let (number, of) = numbers.ok_or_else(|| no_share(text))?;
        Self::new(number, of)
    }
}

impl Display for Shard {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

fn no_share(text: &str) -> Error {
    let hint = "hint: write the second of four as `2/4`; the first is `1/4`";
    Error::Config(format!("`{text}` is no share of the work\n{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_all_pieces_once_in_both_ways() {
        for of in 1..8 {
            let shards: Vec<Shard> =
                (1..=of).map(|number| Shard::new(number, of).expect("a share")).collect();
            for pieces in [0, 1, 6, 7, 41, 1001] {
                let in_a_row: Vec<usize> = shards.iter().flat_map(|s| s.range(pieces)).collect();
                assert_eq!(in_a_row, (0..pieces).collect::<Vec<_>>());
                let sizes = || shards.iter().map(|shard| shard.range(pieces).len());
                assert!(sizes().max() <= sizes().min().map(|least| least + 1));
                for piece in 0..pieces {
                    assert_eq!(shards.iter().filter(|shard| shard.is_dealt(piece)).count(), 1);
                }
            }
        }
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for text in ["", "1", "0/2", "3/2", "1/0", "a/2", "-1/2", "1/2/3", "1.5/2"] {
            let problem = text.parse::<Shard>().map_err(|error| error.to_string());
            assert!(problem.is_err_and(|said| said.starts_with(&format!("`{text}` is no"))));
        }
        assert_eq!("2/4".parse::<Shard>().map(|shard| shard.to_string()).ok(), Some("2/4".into()));
    }
}
