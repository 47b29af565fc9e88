use super::tree::{Block, Tree, add_up};
use super::*;
use proptest::prelude::*;

/// What `each` gives on every rank of a job.
fn on_ranks<T: Send>(ranks: usize, each: impl Fn(Ranks) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let running: Vec<_> =
            Ranks::threads(ranks).into_iter().map(|ranks| scope.spawn(|| each(ranks))).collect();
        running.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

/// The tree, as its equations say it.
fn by_definition(leaves: &[f32], level: u32, k: usize) -> Option<f32> {
    if level == 0 {
        return leaves.get(k).copied();
    }
    let left = by_definition(leaves, level - 1, 2 * k)?;
    Some(by_definition(leaves, level - 1, 2 * k + 1).map_or(left, |right| left + right))
}

proptest! {
    #[test]
    fn blocks_make_up_their_share_and_are_sums_of_the_tree(first in 0usize..70, count in 0usize..70) {
        let blocks = Block::of(first..first + count);
        let leaves: Vec<usize> = blocks.iter().flat_map(|b| b.first..b.first + b.leaves).collect();
        prop_assert_eq!(leaves, (first..first + count).collect::<Vec<_>>());
        for block in &blocks {
            prop_assert!(block.leaves.is_power_of_two());
            prop_assert!(block.first.is_multiple_of(block.leaves));
        }
        let most = 2 * (count + 1).ilog2() as usize + 1;
        prop_assert!(blocks.len() <= most, "{} blocks for {count}", blocks.len());
    }

    #[test]
    fn every_number_of_ranks_comes_to_the_bits_of_the_equations(
        leaves in prop::collection::vec(-1e6f32..1e6, 1..40),
        ranks in 1usize..9,
    ) {
        let expected = by_definition(&leaves, 6, 0).expect("leaves");
        // More numbers than are added up together, and a second slice.
        let wide = |leaf: f32| (vec![leaf; 700], vec![-leaf; 3]);
        let sums = on_ranks(ranks, |ranks| {
            let own: Vec<_> = leaves[ranks.share(leaves.len())].iter().map(|&leaf| wide(leaf)).collect();
            let parts: Vec<_> = own.iter().map(|(a, b)| vec![a.as_slice(), b.as_slice()]).collect();
            let (mut a, mut b) = (vec![0.; 700], vec![0.; 3]);
            ranks.add_up(leaves.len(), &parts, vec![&mut a, &mut b]).map(|()| (a, b))
        });
        for sums in sums {
            let (a, b) = sums.expect("sums");
            prop_assert!(a.iter().all(|sum| sum.to_bits() == expected.to_bits()));
            prop_assert!(b.iter().all(|sum| sum.to_bits() == (-expected).to_bits()));
        }
    }
}

#[test]
fn a_sum_in_the_order_of_ranks_has_other_bits() {
    // The control: what the tree is for.
    let leaves: Vec<f32> = (0..12u8).map(|n| 1. / f32::from(n + 3)).collect();
    let tree = |ranks| {
        let sums = on_ranks(ranks, |ranks: Ranks| {
            let own = &leaves[ranks.share(leaves.len())];
            let parts: Vec<_> = own.iter().map(|leaf| vec![std::slice::from_ref(leaf)]).collect();
            let mut sum = [0.];
            ranks.add_up(leaves.len(), &parts, vec![&mut sum]).map(|()| sum[0].to_bits())
        });
        sums.into_iter().next().expect("a rank").expect("a sum")
    };
    let in_order = |ranks: usize| -> u32 {
        let of =
            |rank| leaves[leaves.len() * rank / ranks..leaves.len() * (rank + 1) / ranks].iter();
        (0..ranks).map(|rank| of(rank).sum::<f32>()).sum::<f32>().to_bits()
    };
    assert_eq!([1, 2, 3, 4, 8].map(tree), [tree(1); 5]);
    assert_ne!([1, 2, 3, 4, 8].map(in_order), [in_order(1); 5]);
}

#[test]
fn no_leaves_add_up_to_nothing() {
    let mut sums = [1f64, 2.];
    add_up(&Tree::of_leaves(0), &[], &mut sums);
    assert_eq!(sums, [0., 0.]);
}

#[test]
fn ranks_hear_each_other_and_the_first_is_believed() {
    let heard = on_ranks(3, |ranks| {
        let own = vec![ranks.0.rank() as u8; ranks.0.rank()];
        let all = ranks.gather(&own).expect("all");
        let first = ranks.broadcast(if ranks.is_first() { b"run" } else { b"else" }).expect("it");
        (all, first, ranks.any(ranks.0.rank() == 2), ranks.any(false))
    });
    for (all, first, some, none) in heard {
        assert_eq!(all, [vec![], vec![1], vec![2, 2]]);
        assert_eq!(first, b"run");
        assert!(some.expect("heard") && !none.expect("heard"));
    }
}
