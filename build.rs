//! Release builds for Linux leave out the tables for unwinding, 0.9 MB of 8: with `panic = "abort"` nobody reads them. Cargo has no
//! setting for it, but both linkers that are in use (lld and GNU ld) take a script that adds to their own.

use std::path::Path;
use std::{env, fs, io};

const SCRIPT: &str = "SECTIONS { /DISCARD/ : { *(.eh_frame) *(.eh_frame_hdr) } } INSERT AFTER .text;\n";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let of_cargo = |name| env::var(name).unwrap_or_default();
    if of_cargo("PROFILE") != "release" || of_cargo("CARGO_CFG_TARGET_OS") != "linux" {
        return Ok(());
    }
    let script = Path::new(&of_cargo("OUT_DIR")).join("without-unwinding.ld");
    fs::write(&script, SCRIPT)?;
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
    Ok(())
}
