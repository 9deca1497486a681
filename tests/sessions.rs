//! Sessions: prose with `console` blocks that are run, in the README, in docs/ and in tests/cli/. What a block shows is what the
//! program prints, word for word. `BLESS=1 cargo test --test sessions` writes what it prints now; read the difference before
//! committing it.
//!
//! In a block, a line `$ …` is a command of a POSIX shell in which `oc imagepolicy` is this program; below it stand its output
//! (both streams) and, where it is not 0, the exit code as `[exit 1]`. Commands run in the project's root without a kubeconfig.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SHELL: &str = r#"
oc() { [ "$1" = imagepolicy ] || { echo "only oc imagepolicy is known here" >&2; return 127; }; shift; "$OC_IMAGEPOLICY" "$@"; }
"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn run(command: &str, home: &Path) -> String {
    let output = Command::new("sh")
        .args(["-c", &format!("{SHELL}\n{{ {command}\n}} 2>&1")])
        .current_dir(root())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("TMPDIR", home)
        .env("OC_IMAGEPOLICY", env!("CARGO_BIN_EXE_oc-imagepolicy"))
        .stdin(Stdio::null())
        .output()
        .expect("sh runs");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    // Where the test's own folder shows, it would be another one each time.
    text = text.replace(&home.display().to_string(), "$HOME");
    match output.status.code() {
        Some(0) => {}
        Some(code) => text.push_str(&format!("[exit {code}]\n")),
        None => text.push_str("[killed]\n"),
    }
    text
}

/// The file as it should be, and how many commands it ran.
fn replay(text: &str, home: &Path) -> (String, usize) {
    let mut replayed = String::new();
    let mut commands = 0;
    let mut in_block = false;
    let mut skipping = false;
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = !in_block && line == "```console";
            skipping = false;
        } else if in_block && line.starts_with("$ ") {
            replayed.push_str(line);
            replayed.push('\n');
            replayed.push_str(&run(&line[2..], home));
            commands += 1;
            skipping = true;
            continue;
        }
        if !skipping {
            replayed.push_str(line);
            replayed.push('\n');
        }
    }
    (replayed, commands)
}

fn documents() -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md")];
    for directory in ["docs", "tests/cli"] {
        let Ok(entries) = fs::read_dir(root().join(directory)) else { continue };
        found.extend(
            entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "md")),
        );
    }
    found.sort();
    found
}

#[test]
fn every_session_is_true() {
    let home = tempfile::tempdir().unwrap();
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    let mut commands = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        let (replayed, count) = replay(&text, home.path());
        commands += count;
        if replayed == text {
            continue;
        }
        if bless {
            fs::write(&path, &replayed).unwrap();
        } else {
            let difference = text.lines().zip(replayed.lines()).enumerate().find(|(_, (a, b))| a != b);
            let (line, (expected, got)) =
                difference.unwrap_or((text.lines().count().min(replayed.lines().count()), ("(end)", "(end)")));
            wrong.push(format!("{}:{}\n  written: {expected}\n  printed: {got}", path.display(), line + 1));
        }
    }
    assert!(commands > 0, "no session was found");
    assert!(
        wrong.is_empty(),
        "sessions differ; BLESS=1 cargo test --test sessions rewrites them\n{}",
        wrong.join("\n")
    );
}
