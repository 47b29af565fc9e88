//! The program `hg`.

fn main() {}
