//! The program starts. (The end-to-end tests are the package in `tests/`; that this test belongs
//! to the program's own package makes cargo build the program for them.)

use std::process::Command;

#[test]
fn the_program_says_its_version() {
    let output = Command::new(env!("CARGO_BIN_EXE_hg")).arg("--version").output().expect("starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.trim(), concat!("hg ", env!("CARGO_PKG_VERSION")));
}
