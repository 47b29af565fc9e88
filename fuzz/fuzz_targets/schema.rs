//! No text panics the schema parser, and what it accepts has a table it can refuse.
#![no_main]

use hg_data::Schema;
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|text: &str| {
    let _ = Schema::parse(text, Path::new("fuzz.toml")).map_err(|e| e.to_string());
});
