//! Whoever reads a text of ours types what it says: all of them call the plugin by the one name that it has. Where the constant is
//! changed, this lists what else is to be changed.

use std::fs;
use std::path::{Path, PathBuf};

use oc_imagepolicy::commands::{PLUGIN, plugin_file};

fn texts(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            texts(&entry.unwrap().path(), found);
        }
    } else if path
        .extension()
        .is_some_and(|e| ["rs", "md", "yaml", "sh", "1", "bash", "zsh", "fish", "ps1"].iter().any(|known| e == *known))
    {
        found.push(path.to_path_buf());
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// The words of a line that name a plugin for image policies, each with what it should be.
fn names(line: &str) -> Vec<(String, String)> {
    let words: Vec<&str> = line.split(|c: char| !is_word(c)).filter(|word| !word.is_empty()).collect();
    let mut found = Vec::new();
    for pair in words.windows(2) {
        let is_command = line.contains(&format!("{} {}", pair[0], pair[1]));
        if ["oc", "kubectl"].contains(&pair[0]) && pair[1].contains("imagepolicy") && is_command {
            found.push((pair[1].to_owned(), PLUGIN.to_owned()));
        }
    }
    for word in words {
        // `oc-imagepolicy` is the crate's and the executable's name, whatever the plugin is called.
        for program in ["kubectl", "kubectl_complete", "oc_complete"] {
            let is_file =
                word.strip_prefix(program).is_some_and(|rest| rest.starts_with('-') && rest.contains("imagepolicy"));
            if is_file {
                found.push((word.to_owned(), plugin_file(program)));
            }
        }
    }
    found
}

#[test]
fn every_text_calls_the_plugin_by_its_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("README.md")];
    for folder in ["src", "docs", "krew", "tests/cli"] {
        texts(&root.join(folder), &mut files);
    }
    let mut wrong = Vec::new();
    let mut right = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        // The rule of names is tested with other names.
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in (1..).zip(text.lines()) {
            for (name, expected) in names(line) {
                if name == expected {
                    right += 1;
                } else {
                    wrong
                        .push(format!("{}:{number}: {name} is {expected}", file.strip_prefix(root).unwrap().display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(right > 300, "only {right} places were found: this looks in the wrong ones");
}

#[test]
fn other_names_are_found() {
    let wrong = |line: &str| names(line).into_iter().filter(|(name, expected)| name != expected).count();
    assert_eq!(wrong("run `oc openshift-imagepolicy lint` or kubectl imagepolicies"), 1);
    assert_eq!(wrong("run `kubectl image-imagepolicy lint`, kubectl-image_imagepolicy, oc_complete-imagepolicy2"), 3);
    assert_eq!(
        wrong("oc imagepolicy, kubectl-imagepolicy, oc-imagepolicy-v1, oc get imagepolicy, oc: clusterimagepolicy"),
        0
    );
}
