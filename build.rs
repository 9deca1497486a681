//! Release builds for Linux leave out the tables for unwinding, 0.9 MB of 8: with `panic = "abort"` nobody reads them. Cargo has no
//! setting for it, but both linkers that are in use (lld and GNU ld) take a script that adds to their own. Where the linker can, equal
//! functions are kept once, which saves another 0.2 MB.

use std::path::Path;
use std::process::Command;
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
    if links_with(FOLD)? {
        println!("cargo::rustc-link-arg-bins={FOLD}");
    }
    Ok(())
}

const FOLD: &str = "-Wl,--icf=all";

/// Whether the linker knows an argument: GNU ld does not know all that lld does.
fn links_with(argument: &str) -> io::Result<bool> {
    let of_cargo = |name| env::var(name).unwrap_or_default();
    let directory = Path::new(&of_cargo("OUT_DIR")).to_path_buf();
    let source = directory.join("probe.rs");
    fs::write(&source, "fn main() {}")?;
    let mut rustc = Command::new(of_cargo("RUSTC"));
    rustc.arg(source).args(["--target", &of_cargo("TARGET"), "-o"]).arg(directory.join("probe"));
    let linker = of_cargo("RUSTC_LINKER");
    if !linker.is_empty() {
        rustc.arg(format!("-Clinker={linker}"));
    }
    Ok(rustc.arg(format!("-Clink-arg={argument}")).output()?.status.success())
}
