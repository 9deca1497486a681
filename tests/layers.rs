//! The direction of the house (docs/architecture.md): the pure part knows no file, no server, no terminal and nobody above it.

use std::fs;
use std::path::{Path, PathBuf};

/// Each layer with the modules of this crate that it may use.
const PURE: &[(&str, &[&str])] = &[
    ("model", &["model"]),
    ("snapshot", &["model", "snapshot"]),
    ("admission", &["model", "admission"]),
    ("compile", &["model", "snapshot", "compile"]),
    ("merge", &["compile", "merge"]),
    ("diff", &["model", "compile", "resolve", "diff"]),
    ("resolve", &["model", "resolve"]),
    ("rollout", &["model", "snapshot", "compile", "rollout"]),
    ("lint", &["model", "snapshot", "admission", "compile", "resolve", "rollout", "lint"]),
    ("plan", &["model", "snapshot", "merge", "compile", "resolve", "lint", "plan"]),
];

const FORBIDDEN: &[&str] = &[
    "kube::",
    "k8s_openapi::",
    "tokio::",
    "clap::",
    "std::fs",
    "std::env",
    "TcpStream",
    "UdpSocket",
    "ToSocketAddrs",
    "std::process",
    "println!",
    "print!(",
    "async fn",
    ".await",
];

fn sources(layer: &str) -> Vec<PathBuf> {
    fn below(path: &Path, found: &mut Vec<PathBuf>) {
        if path.is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                below(&entry.unwrap().path(), found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path.to_path_buf());
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for path in [root.join(layer), root.join(format!("{layer}.rs"))] {
        if path.exists() {
            below(&path, &mut found);
        }
    }
    found
}

/// A file without its unit tests and comments: those may do as they like.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_pure_part_is_pure() {
    for (layer, allowed) in PURE {
        let files = sources(layer);
        assert!(!files.is_empty(), "there is no layer `{layer}`: mend the table in this test");
        for path in files {
            let code = code(&path);
            for word in FORBIDDEN {
                assert!(!code.contains(word), "{}: `{word}` has no place in the pure part", path.display());
            }
            for used in code.split("crate::").skip(1) {
                let module: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                // `use crate::{…}` would hide the modules from this test.
                assert!(
                    allowed.contains(&module.as_str()),
                    "{}: `{layer}` must not use `crate::{module}`",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn async_stays_at_the_edges() {
    for layer in ["files", "output"] {
        for path in sources(layer) {
            let code = code(&path);
            for word in ["async fn", ".await", "tokio::", "kube::"] {
                assert!(!code.contains(word), "{}: `{word}` belongs to `cluster` and `commands`", path.display());
            }
        }
    }
}

#[test]
fn only_output_prints() {
    for layer in ["files", "cluster", "commands"] {
        for path in sources(layer) {
            let code = code(&path);
            for word in ["println!", "print!("] {
                assert!(!code.contains(word), "{}: `{word}`: print through output::Terminal", path.display());
            }
        }
    }
}
