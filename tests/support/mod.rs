//! The real programs that tests compare with: built once from the Go modules beside this folder, kept under `target/`.
#![allow(dead_code, reason = "every test that says `mod support;` uses a part of it")]

pub mod controlplane;
pub mod faulty;
pub mod json_schema;
pub mod krew;
pub mod operator;
pub mod proxy;
pub mod reference;
pub mod release;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use flate2::read::GzDecoder;

/// The lines of `tests/vectors/NAME.jsonl.gz`.
pub fn vector_lines(name: &str) -> impl Iterator<Item = String> {
    let path = manifest_dir().join("tests/vectors").join(format!("{name}.jsonl.gz"));
    let file = File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    BufReader::new(GzDecoder::new(file)).lines().map(Result::unwrap)
}

/// Where the built Go programs and what they need are kept.
pub fn testservers_dir() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    target.join("testservers")
}

fn manifest_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A Go module under `tests/`.
struct GoProgram {
    module: &'static str,
    tags: &'static str,
    /// Runs in the module's folder after each build, while the lock is held.
    after_build: fn(&Path),
}

impl GoProgram {
    /// The program, built first where it is missing or older than the module's sources. Only one process builds at a time.
    fn path(&self) -> PathBuf {
        let dir = testservers_dir();
        fs::create_dir_all(&dir).unwrap();
        let source = manifest_dir().join("tests").join(self.module);
        let binary = dir.join(self.module);
        let lock = File::create(dir.join(format!("{}.lock", self.module))).unwrap();
        lock.lock().unwrap();
        if !is_newer_than_all(&binary, &source) {
            self.build(&source, &binary);
        }
        binary
    }

    fn build(&self, source: &Path, binary: &Path) {
        eprintln!("building {} (the first time takes minutes)", source.display());
        // A name of its own until it is complete: a build that was cut short must not pass for the program.
        let unfinished = binary.with_extension("unfinished");
        let mut go = go(source);
        go.args(["build", "-trimpath", "-ldflags=-s -w", "-tags", self.tags, "-o"]);
        run_go(go.arg(&unfinished).arg("."));
        (self.after_build)(source);
        fs::rename(&unfinished, binary).unwrap();
    }
}

/// What the go.mod files ask for.
const GO: &str = "1.24";

fn go(dir: &Path) -> Command {
    let mut go = Command::new("go");
    go.current_dir(dir).env("CGO_ENABLED", "0");
    go
}

fn run_go(go: &mut Command) -> String {
    let output = match go.output() {
        Ok(output) => output,
        Err(e) if e.kind() == ErrorKind::NotFound => panic!(
            "this test builds and runs a Go program, and `go` is not installed: \
             install Go {GO} or newer (apt-get install golang, or https://go.dev/dl)"
        ),
        Err(e) => panic!("{go:?}: {e}"),
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{go:?} ({}; Go {GO} or newer is needed):\n{stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn is_newer_than_all(binary: &Path, source: &Path) -> bool {
    let Ok(built) = modified(binary) else { return false };
    fs::read_dir(source).unwrap().all(|entry| {
        let path = entry.unwrap().path();
        path.extension().is_some_and(|e| e == "md") || modified(&path).unwrap() < built
    })
}

fn modified(path: &Path) -> std::io::Result<SystemTime> {
    fs::metadata(path)?.modified()
}

/// Whether a refusal is in the words of Go's JSON package, which nobody else needs to repeat.
pub fn is_gos_own(text: &str) -> bool {
    ["json: ", "invalid character ", "unexpected end of JSON input", "exceeded max depth"]
        .iter()
        .any(|start| text.starts_with(start))
}
