//! How a problem is laid out on a GPU: rows of a slice, blocks of a cluster, memory of a block.

/// Rows that a thread takes, as in `kernels/recurrence.cuh`.
const TILE: usize = 4;
/// Threads of a block at most, as the kernels' launch bounds say.
const MAX_THREADS: usize = 512;
/// Hidden units of a block at least, where there is a choice: a warp.
const UNITS: usize = 32;
/// Bytes of the values that are carried and kept at most, so that weights have room.
const MAX_CARRIED_BYTES: usize = 72 << 10;

/// Which pass: forwards in time each unit hands on one value (h), backwards four (δp).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    /// The forward and the double backward pass.
    Forwards,
    /// The backward passes of the hidden states and of all states.
    Backwards,
}

/// What products are computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// f32.
    Single,
    /// f32 with operands of TF32, on tensor cores.
    Tf32,
    /// f64.
    Double,
}

impl Number {
    fn bytes(self) -> usize {
        match self {
            Self::Single | Self::Tf32 => 4,
            Self::Double => 8,
        }
    }
}

/// What a GPU offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gpu {
    /// Whether blocks can form clusters and read each other's memory.
    pub(super) has_clusters: bool,
    /// Bytes of memory on chip that a block may have.
    pub(super) block_memory: usize,
}

/// How a problem is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// R: rows of a slice.
    pub(super) rows: usize,
    /// C: blocks of a cluster.
    pub(super) blocks: usize,
    /// Threads of a block.
    pub(super) threads: usize,
    /// Bytes of memory on chip that a block needs.
    pub(super) memory: usize,
    /// What products are computed in: never TF32 where tiles of 16 × 16 × 8 do not fit the sizes.
    pub(super) number: Number,
    /// Whether the weights stay on chip; else they are read from packed memory.
    pub(super) keeps_weights: bool,
}

impl Plan {
    /// `None` for layers so wide that what they carry does not fit, not even for the fewest rows.
    pub(super) fn new(hidden: usize, number: Number, time: Time, gpu: Gpu) -> Option<Self> {
        let (values, results) = match time {
            Time::Forwards => (hidden, 4),
            Time::Backwards => (4 * hidden, 1),
        };
        let bytes = number.bytes();
        let clusters: &[usize] = if gpu.has_clusters { &[8, 4, 2, 1] } else { &[1] };
        let of = |blocks: usize, rows: usize, keeps_weights: bool| {
            let width = hidden.div_ceil(blocks);
            let carried = (2 * values + width) * rows * bytes;
            let weights = if keeps_weights { 4 * hidden * width * bytes } else { 0 };
            let threads = width * (rows / TILE);
            let sums = if number == Number::Tf32 { results * width * rows * bytes } else { 0 };
            let memory = carried + weights + sums;
            let tiles =
                rows == 16 && values.is_multiple_of(8) && (results * width).is_multiple_of(16);
            let fits = (number != Number::Tf32 || tiles)
                && threads <= MAX_THREADS
                && memory <= gpu.block_memory;
            let plan = Self {
                rows,
                blocks,
                threads: threads.next_multiple_of(UNITS),
                memory,
                number,
                keeps_weights,
            };
            (fits && (rows == TILE || carried <= MAX_CARRIED_BYTES)).then_some(plan)
        };
        // Weights on chip before more rows in a slice, and full warps before more blocks.
        let candidates = |keeps_weights: bool| {
            let full = |&&blocks: &&usize| hidden >= UNITS * blocks || blocks == 1;
            let enough = clusters.iter().filter(full).chain(clusters);
            enough.flat_map(move |&blocks| {
                [16, 8, 4].into_iter().filter_map(move |rows| of(blocks, rows, keeps_weights))
            })
        };
        let exact = || match number {
            Number::Tf32 => Self::new(hidden, Number::Single, time, gpu),
            _ => None,
        };
        candidates(true).next().or_else(|| candidates(false).next()).or_else(exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const H100: Gpu = Gpu { has_clusters: true, block_memory: 227 << 10 };
    const A100: Gpu = Gpu { has_clusters: false, block_memory: 163 << 10 };

    #[test]
    fn published_sizes_keep_their_weights_on_an_h100() {
        for time in [Time::Forwards, Time::Backwards] {
            let plan = Plan::new(128, Number::Single, time, H100).expect("a plan");
            assert!(plan.keeps_weights, "{plan:?}");
            assert_eq!((plan.blocks, plan.threads), (4, 128));
            assert!(Plan::new(128, Number::Double, time, H100).expect("a plan").keeps_weights);
            let tiled = Plan::new(128, Number::Tf32, time, H100).expect("a plan");
            assert!(tiled.keeps_weights && tiled.number == Number::Tf32, "{tiled:?}");
            let odd = Plan::new(20, Number::Tf32, time, H100).expect("a plan");
            assert_eq!(odd.number, Number::Single, "no tiles for 20 units");
        }
    }

    #[test]
    fn every_plan_fits_and_wide_layers_read_packed_weights() {
        for hidden in 1..700 {
            let numbers = [Number::Single, Number::Tf32, Number::Double];
            for (gpu, number) in [H100, A100].into_iter().flat_map(|gpu| numbers.map(|n| (gpu, n)))
            {
                for time in [Time::Forwards, Time::Backwards] {
                    let Some(plan) = Plan::new(hidden, number, time, gpu) else {
                        assert!(hidden > 400, "no plan for {hidden} units on {gpu:?}");
                        continue;
                    };
                    assert!(plan.memory <= gpu.block_memory && plan.rows % TILE == 0);
                    assert!(plan.threads >= hidden.div_ceil(plan.blocks) * plan.rows / TILE);
                    assert!(plan.threads <= MAX_THREADS, "{plan:?}");
                }
            }
        }
        let wide = Plan::new(512, Number::Single, Time::Forwards, H100).expect("a plan");
        assert!(!wide.keeps_weights, "{wide:?}");
    }
}
