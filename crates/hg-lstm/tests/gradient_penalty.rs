//! The example `gradient_penalty` does what it shows.

#[path = "../examples/gradient_penalty.rs"]
#[allow(dead_code, unreachable_pub, reason = "its `main` is not called here")]
mod example;

#[test]
fn the_examples_penalty_falls_below_a_tenth() -> anyhow::Result<()> {
    let penalties = example::train(50)?;
    let (first, last) = (penalties[0], penalties[50]);
    assert!(first > 0.5, "a fresh critic's penalty of {first} leaves nothing to learn");
    assert!(last < 0.1, "{first} fell to {last}");
    Ok(())
}
