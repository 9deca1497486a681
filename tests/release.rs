//! The release program: archives of this tree that run on this machine and on an emulated one; and, with a repository that compiles in
//! a second, the same bytes twice, and everything that stops a release.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Cursor};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;
use support::release::{SMOKE_TARGETS, command, release, smoke_release};
use tempfile::TempDir;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const TARGET: &str = "x86_64-unknown-linux-musl";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn says(output: &Output, wanted: &str) {
    let stderr = text(&output.stderr);
    assert!(stderr.contains(wanted), "{stderr}\n{}\nis not about {wanted}", text(&output.stdout));
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.lines().any(|line| line.starts_with("error: ")), "{stderr}");
}

fn fine(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// The program of an archive, unpacked by the system's tar.
fn unpacked(archive: &Path, folder: &Path) -> PathBuf {
    fine(&Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder).output().unwrap());
    let stem = archive.file_name().unwrap().to_str().unwrap().strip_suffix(".tar.gz").unwrap();
    folder.join(stem).join("oc-imagepolicy")
}

/// The emulator of the distribution; installed where it is missing and this may be done.
fn qemu() -> PathBuf {
    let find = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let names = ["qemu-aarch64-static", "qemu-aarch64"];
        names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.is_file())
    };
    find().unwrap_or_else(|| {
        let install = "apt-get update -qq && apt-get install -y -qq --no-install-recommends qemu-user";
        let _ = Command::new("sh").args(["-c", install]).env("DEBIAN_FRONTEND", "noninteractive").status();
        find().expect("this test runs a program for arm64: install the package qemu-user (apt-get install qemu-user)")
    })
}

#[test]
fn archives_of_this_tree_run_here_and_emulated() {
    let qemu = qemu();
    let directory = smoke_release();
    let archives = directory.to_str().unwrap();
    let checked = fine(&release(&["check", "--archives", archives, "--profile", "smoke", "--allow-dirty"]));
    assert_eq!(checked.matches(": as it should be").count(), SMOKE_TARGETS.len(), "{checked}");
    says(&release(&["check", "--archives", archives, "--allow-dirty"]), "a release is built with release");
    fine(
        &Command::new("sha256sum")
            .args(["--check", "--strict", "SHA256SUMS"])
            .current_dir(&directory)
            .output()
            .unwrap(),
    );

    let folder = tempfile::tempdir().unwrap();
    let native = PathBuf::from(env!("CARGO_BIN_EXE_oc-imagepolicy"));
    for (arch, rust, emulator) in [("amd64", "x86_64", None), ("arm64", "aarch64", Some(&qemu))] {
        let name = format!("oc-imagepolicy-v{VERSION}-linux-{arch}.tar.gz");
        let program = unpacked(&directory.join(&name), folder.path());
        let run = |program: &Path, emulator: Option<&PathBuf>, arguments: &[&str]| {
            let mut command = emulator.map_or_else(
                || Command::new(program),
                |emulator| {
                    let mut command = Command::new(emulator);
                    command.arg(program);
                    command
                },
            );
            command.args(arguments).env("NO_COLOR", "1").output().unwrap()
        };
        for (arguments, code) in [
            (&["explain", "--example"][..], 0),
            (&["lint", "--example"], 1),
            (&["generate", "--example"], 0),
            (&["explain", "--example", "-o", "json", "registry.example.com/shop/cart:v1"], 0),
            (&["explain", "-f", "/does/not/exist"], 2),
        ] {
            let output = run(&program, emulator, arguments);
            let expected = run(&native, None, arguments);
            assert_eq!(output.status.code(), expected.status.code(), "{arch} {arguments:?}: {}", text(&output.stderr));
            assert_eq!((text(&output.stdout), text(&output.stderr)), (text(&expected.stdout), text(&expected.stderr)));
            if arguments[0] == "lint" || code == 2 || code == 0 {
                assert_eq!(output.status.code(), Some(code), "{arch} {arguments:?}");
            }
        }
        let version = fine(&run(&program, emulator, &["version", "--client", "-o", "json"]));
        let version: Value = serde_json::from_str(&version).unwrap();
        assert_eq!(version["version"], VERSION);
        assert_eq!(version["target"], format!("{rust}-unknown-linux-musl"));
        assert_eq!(version["platform"], format!("linux/{arch}"));
        let commit = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(env!("CARGO_MANIFEST_DIR")).output();
        assert_eq!(version["gitCommit"], fine(&commit.unwrap()).trim());
    }
}

/// A repository with a program that says what the release program asks for.
struct Small {
    folder: TempDir,
}

const MAIN: &str = r#"
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments[0] == "version" {
        println!("{{\"target\":\"{}\",\"gitCommit\":\"{}\"}}", env!("TRIPLE"), option_env!("OC_IMAGEPOLICY_COMMIT").unwrap_or_default());
    } else {
        println!("{} {}", arguments.join(" "), include_str!(concat!(env!("OUT_DIR"), "/made")));
    }
    if arguments.len() > 5 {
        panic!("tells {}", file!());
    }
}
"#;
const BUILD: &str = r#"
fn main() {
    let var = |name| std::env::var(name).unwrap();
    println!("cargo::rustc-env=TRIPLE={}", var("TARGET"));
    std::fs::write(format!("{}/made", var("OUT_DIR")), "text").unwrap();
}
"#;

impl Small {
    fn new() -> Self {
        let small = Self { folder: tempfile::tempdir().unwrap() };
        small.write(
            "Cargo.toml",
            &format!(
                "[package]\nname = \"oc-imagepolicy\"\nversion = \"{VERSION}\"\nedition = \"2024\"\nlicense = \"Apache-2.0\"\n\
                 [profile.smoke]\ninherits = \"dev\"\ndebug = false\n[workspace]\n"
            ),
        );
        small.write(
            "Cargo.lock",
            &format!("version = 4\n\n[[package]]\nname = \"oc-imagepolicy\"\nversion = \"{VERSION}\"\n"),
        );
        small.write("src/main.rs", MAIN);
        small.write("build.rs", BUILD);
        small.write("deny.toml", "[licenses]\nallow = [\"MIT\"]\n");
        small.write("LICENSE", "Apache License\n");
        small.write("README.md", "# oc imagepolicy\n");
        small.write("docs/man/oc-imagepolicy.1", ".TH oc-imagepolicy 1\n");
        small.write(".gitignore", "/target\n");
        small.git(&["init", "--quiet"]);
        small.commit();
        small
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn git(&self, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.arg("-C").arg(self.path()).args(["-c", "user.name=a", "-c", "user.email=a@example.com"]).args(arguments);
        fine(&git.args(if arguments[0] == "commit" { &["--no-gpg-sign"][..] } else { &[] }).output().unwrap());
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "change"]);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&["--repository"]);
        command.arg(self.path()).args(arguments);
        command
    }

    fn build(&self) -> Output {
        self.command(&["build", "--profile", "smoke", "--target", TARGET]).output().unwrap()
    }

    fn check(&self) -> Output {
        self.command(&["check", "--profile", "smoke"]).output().unwrap()
    }

    fn releases(&self) -> PathBuf {
        self.path().join("target/releases")
    }

    fn release(&self) -> PathBuf {
        self.releases().join(format!("v{VERSION}"))
    }

    fn archive(&self) -> PathBuf {
        self.release().join(format!("oc-imagepolicy-v{VERSION}-linux-amd64.tar.gz"))
    }

    /// Everything below the releases, hidden files too.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        fn below(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    found.insert(path.clone(), Vec::new());
                    below(&path, found);
                } else {
                    found.insert(path.clone(), fs::read(&path).unwrap());
                }
            }
        }
        let mut found = BTreeMap::new();
        below(&self.releases(), &mut found);
        found
    }

    /// A build that stops, says why, and leaves everything as it was.
    fn stops(&self, reason: &str) {
        let before = self.files();
        says(&self.build(), reason);
        assert!(self.files() == before, "{reason}: {:?}", self.files().keys());
    }
}

#[test]
fn two_builds_give_the_same_bytes() {
    let small = Small::new();
    fine(&small.build());
    let first = small.files();
    assert_eq!(first.len(), 3, "{:?}", first.keys());
    fine(&small.check());
    fine(&small.build());
    assert!(small.files() == first);
    let again = fine(&small.command(&["reproduce"]).output().unwrap());
    assert!(again.contains("the same again"), "{again}");

    // A clone somewhere else, whose files are younger.
    let other = Small::new();
    fs::remove_dir_all(other.path().join(".git")).unwrap();
    let git = small.path().join(".git");
    fine(&Command::new("cp").arg("-a").arg(git).arg(other.path()).output().unwrap());
    fine(&other.build());
    assert!(fs::read(other.archive()).unwrap() == fs::read(small.archive()).unwrap());

    // Nothing of this machine is in it.
    let program = fs::read(unpacked(&small.archive(), tempfile::tempdir().unwrap().path())).unwrap();
    let folder = small.path().to_str().unwrap().as_bytes();
    assert!(!program.windows(folder.len()).any(|window| window == folder));

    // Another commit: archives of two are not mixed, and what was there stays.
    small.write("README.md", "# Another\n");
    small.commit();
    small.write("README.md", "# And another\n");
    says(
        &small.command(&["reproduce", "--target", "aarch64-unknown-linux-musl"]).output().unwrap(),
        "there is no archive for",
    );
    small.git(&["checkout", "--quiet", "README.md"]);
    let arguments = ["build", "--profile", "smoke", "--target", "aarch64-unknown-linux-musl"];
    let before = small.files();
    let output = small.command(&arguments).output().unwrap();
    says(&output, "its commit is");
    says(&output, "hint: remove ");
    assert!(small.files() == before);
    let found = small.archive();
    let output = other.command(&["collect", found.to_str().unwrap()]).output().unwrap();
    fine(&output);
    fine(&small.build());
    let output = other.command(&["collect", found.to_str().unwrap(), small.path().to_str().unwrap()]).output().unwrap();
    says(&output, "there is no archive in it");
    assert!(small.files() != before);
}

#[test]
fn what_is_wrong_with_a_repository_stops_the_release() {
    let small = Small::new();
    let unknown = small.command(&["build", "--target", "mips-unknown-linux-musl"]).output().unwrap();
    says(&unknown, "no release is made for the target");
    says(&unknown, "hint: targets: x86_64-unknown-linux-musl, ");
    if cfg!(not(target_os = "macos")) {
        let mac = small.command(&["build", "--target", "aarch64-apple-darwin"]).output().unwrap();
        says(&mac, "on a Mac alone");
    }

    small.write("src/main.rs", "fn main() { compile_error!(\"no\") }");
    small.stops("has changes that are not committed");
    small.commit();
    small.stops("cannot build for x86_64-unknown-linux-musl");
    small.write("src/main.rs", MAIN);
    small.commit();

    for (file, reason) in [
        ("LICENSE", "LICENSE: No such file"),
        ("README.md", "README.md: No such file"),
        ("docs/man/oc-imagepolicy.1", "docs/man: No such file"),
        ("deny.toml", "deny.toml: No such file"),
        ("Cargo.lock", "failed"),
        ("Cargo.toml", "Cargo.toml: No such file"),
    ] {
        let content = fs::read_to_string(small.path().join(file)).unwrap();
        fs::remove_file(small.path().join(file)).unwrap();
        if file.starts_with("docs") {
            fs::remove_dir(small.path().join("docs/man")).unwrap();
        }
        small.commit();
        small.stops(reason);
        if !file.ends_with(".toml") && file != "Cargo.lock" {
            small.write(file, "");
            small.commit();
            small.stops("it is empty");
        }
        small.write(file, &content);
        small.commit();
    }
    small.write("docs/man/oc-imagepolicy-lint.1", ".TH\n");
    fs::remove_file(small.path().join("docs/man/oc-imagepolicy.1")).unwrap();
    small.commit();
    small.stops("oc-imagepolicy.1 is missing");

    let empty = tempfile::tempdir().unwrap();
    let mut nowhere = command(&["build", "--repository"]);
    says(&nowhere.arg(empty.path()).env("GIT_CEILING_DIRECTORIES", "/").output().unwrap(), "is no git repository");
}

#[test]
fn a_program_that_does_not_do_what_it_should_stops_the_release() {
    let small = Small::new();
    for (from, to, reason) in [
        ("env!(\"TRIPLE\")", "\"other\"", "version does not tell x86_64-unknown-linux-musl"),
        ("option_env!(\"OC_IMAGEPOLICY_COMMIT\")", "Some(\"other\")", "version does not tell "),
        ("println!(\"{{", "println!(\"no json{{", "version prints no JSON"),
        ("} else {", "} else if cfg!(target_env = \"musl\") { println!(\"other\") } else {", "prints something else"),
        (
            "} else {",
            "} else if cfg!(target_env = \"musl\") { std::process::exit(3) } else {",
            "failed: exit status: 3",
        ),
    ] {
        assert!(MAIN.contains(from));
        small.write("src/main.rs", &MAIN.replace(from, to));
        small.commit();
        small.stops(reason);
    }
}

#[test]
fn a_tool_that_is_missing_is_named() {
    let small = Small::new();
    // The tools of a toolchain itself: what is called cargo on a PATH can be rustup.
    let which = |tool: &str| {
        let output = Command::new("rustup").args(["which", tool]).output().unwrap();
        PathBuf::from(fine(&output).trim())
    };
    let on_path = |tool: &str| {
        let path = std::env::var_os("PATH").unwrap();
        std::env::split_paths(&path).map(|folder| folder.join(tool)).find(|file| file.is_file()).unwrap()
    };
    let bin = tempfile::tempdir().unwrap();
    for (tool, path) in [("cargo", which("cargo")), ("rustc", which("rustc")), ("git", on_path("git"))] {
        std::os::unix::fs::symlink(path, bin.path().join(tool)).unwrap();
    }
    let mut build = small.command(&["build", "--profile", "smoke", "--target", TARGET]);
    build.env("PATH", bin.path());
    says(&build.output().unwrap(), "rustup is missing");
    let tools = tempfile::tempdir().unwrap();
    says(&build.env("OC_IMAGEPOLICY_RELEASE_TOOLS", tools.path()).output().unwrap(), "python3 is missing");
    assert!(small.files().is_empty());
    fs::remove_file(bin.path().join("git")).unwrap();
    says(&build.output().unwrap(), "cannot run git");
}

#[test]
fn what_is_wrong_with_archives_is_found() {
    let small = Small::new();
    fine(&small.build());
    let (archive, sums) = (small.archive(), small.release().join("SHA256SUMS"));
    let (good, good_sums) = (fs::read(&archive).unwrap(), fs::read_to_string(&sums).unwrap());
    let wrong = |reason: &str| {
        says(&small.check(), reason);
        fs::write(&archive, &good).unwrap();
        fs::write(&sums, &good_sums).unwrap();
    };
    fine(&small.check());

    fs::write(&archive, &good[..good.len() / 2]).unwrap();
    wrong("the archive is damaged");
    fs::write(&sums, good_sums.replace("  ", " *")).unwrap();
    wrong("it is not about the archives beside it");
    fs::write(&sums, "").unwrap();
    wrong("it is not about the archives beside it");
    fs::write(&sums, format!("{good_sums}{}  other.tar.gz\n", "0".repeat(64))).unwrap();
    wrong("other.tar.gz");
    fs::remove_file(&sums).unwrap();
    wrong("SHA256SUMS: No such file");
    for (file, change, reason) in [
        ("LICENSE", None, "LICENSE is missing in it"),
        ("LICENSE", Some("another"), "its LICENSE is not the one of this repository"),
        ("oc-imagepolicy", Some("#!/bin/sh\n"), "this is no program"),
        ("man/oc-imagepolicy.1", None, "man/oc-imagepolicy.1 is missing in it"),
        ("THIRD-PARTY-LICENSES.txt", Some(""), "THIRD-PARTY-LICENSES.txt is empty"),
        ("sbom.cdx.json", Some("{}"), "bomFormat"),
        ("sbom.cdx.json", Some("no"), "it is no JSON"),
        ("README.md", Some("# of another commit\n"), "its README.md is not the one of commit"),
        ("man/oc-imagepolicy.1", Some(".TH other 1\n"), "its docs/man/oc-imagepolicy.1 is not the one of commit"),
    ] {
        fs::write(&archive, repacked(&good, file, change)).unwrap();
        wrong(reason);
    }

    // An archive under the name of another platform.
    let arm = archive.to_str().unwrap().replace("amd64", "arm64");
    fs::rename(&archive, &arm).unwrap();
    says(&small.check(), "is not in the directory");
    fs::rename(&arm, &archive).unwrap();
    says(
        &small.command(&["check", "--profile", "smoke", "--require-all"]).output().unwrap(),
        "no archive for linux/arm64",
    );

    // An index that somebody works in is not thrown away.
    let head = small.release().join("index/.git/HEAD");
    fs::create_dir_all(head.parent().unwrap()).unwrap();
    fs::write(&head, "ref").unwrap();
    small.stops("index/.git: it is not from `manifests`");
    fs::remove_dir_all(small.release().join("index")).unwrap();

    // Something that is no archive stays where it is, and a build does not go on beside it.
    fs::write(small.release().join("notes.txt"), "mine").unwrap();
    small.stops("is the name of no archive");
    assert_eq!(fs::read_to_string(small.release().join("notes.txt")).unwrap(), "mine");
}

/// An archive with one file changed, or without it.
fn repacked(archive: &[u8], file: &str, change: Option<&str>) -> Vec<u8> {
    let mut tar = tar::Archive::new(GzDecoder::new(Cursor::new(archive)));
    let mut packed = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut found = false;
    for entry in tar.entries().unwrap() {
        let entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let mut header = entry.header().clone();
        if !path.ends_with(file) {
            packed.append_data(&mut header, path, entry).unwrap();
            continue;
        }
        found = true;
        if let Some(change) = change {
            header.set_size(change.len() as u64);
            packed.append_data(&mut header, path, change.as_bytes()).unwrap();
        }
    }
    assert!(found, "{file}");
    packed.into_inner().and_then(GzEncoder::finish).unwrap()
}

#[test]
fn a_build_that_is_interrupted_leaves_nothing() {
    for signal in ["-INT", "-TERM"] {
        let small = Small::new();
        let script = "fn main() {\n    std::fs::write(std::env::var(\"STARTED\").unwrap(), std::process::id().to_string()).unwrap();\n    \
            std::thread::sleep(std::time::Duration::from_secs(600));\n}";
        small.write("build.rs", script);
        small.commit();
        let started = small.path().join("target/started");
        let mut build = small.command(&["build", "--profile", "smoke", "--target", TARGET]);
        let mut build = build.env("STARTED", &started).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut stderr = BufReader::new(build.stderr.take().unwrap());
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(300);
        while fs::read_to_string(&started).map_or(true, |id| id.is_empty()) {
            assert!(build.try_wait().unwrap().is_none(), "it ended by itself");
            assert!(std::time::Instant::now() < limit, "the build does not start");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        fine(&Command::new("kill").args([signal, &build.id().to_string()]).output().unwrap());
        assert_eq!(build.wait().unwrap().code(), Some(130), "{signal}");
        let mut line = String::new();
        while !line.contains("error: interrupted: nothing was made") {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "{signal}: it does not say so");
        }
        assert!(small.files().is_empty(), "{:?}", small.files().keys());
        // What it started ends, too.
        let id = fs::read_to_string(&started).unwrap();
        let is_ended = || {
            let state = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        };
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !is_ended() {
            assert!(std::time::Instant::now() < limit, "{signal}: process {id} goes on");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}
