//! krew's manifest: what one must be like to be taken into krew-index, and to install what our archives hold. The rules are those
//! of krew's own `validate-krew-manifest`, of its naming guide and of its reviewers, and ours about what the manifest names.

use std::collections::BTreeMap;

use oc_imagepolicy::commands::PLUGIN;
use serde::Deserialize;

use crate::platform::{PLATFORMS, Platform};

/// A manifest as krew reads it; a field that krew does not know is a mistake.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    api_version: String,
    kind: String,
    metadata: Metadata,
    pub spec: Spec,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    pub version: String,
    #[serde(default)]
    pub homepage: String,
    pub short_description: String,
    #[serde(default)]
    pub description: String,
    pub caveats: Option<String>,
    platforms: Vec<Target>,
}

/// What is installed on the platforms that the selector hits.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    selector: Selector,
    uri: String,
    sha256: String,
    files: Option<Vec<Move>>,
    bin: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    from: String,
    to: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Selector {
    match_labels: Option<BTreeMap<String, String>>,
    match_expressions: Option<Vec<Expression>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expression {
    key: String,
    operator: String,
    #[serde(default)]
    values: Vec<String>,
}

/// An archive as far as a manifest is about it.
#[derive(Debug)]
pub struct Contents {
    /// 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// The files' paths with their permissions; folders follow from them.
    pub files: BTreeMap<String, u32>,
}

/// What krew's validator holds possible (`allPlatforms` in cmd/validate-krew-manifest).
const KREW_PLATFORMS: [(&str, &str); 11] = [
    ("windows", "386"),
    ("windows", "amd64"),
    ("windows", "arm64"),
    ("linux", "386"),
    ("linux", "amd64"),
    ("linux", "arm"),
    ("linux", "arm64"),
    ("linux", "ppc64le"),
    ("darwin", "386"),
    ("darwin", "amd64"),
    ("darwin", "arm64"),
];

/// The manifest in a file of this name, held against every rule that needs no archive.
///
/// # Errors
/// All that is wrong, a line each.
pub fn read(file_name: &str, text: &str) -> Result<Manifest, Vec<String>> {
    let document: serde_yaml::Value = serde_yaml::from_str(text).map_err(|error| vec![error.to_string()])?;
    let mut problems = Vec::new();
    check_strings(&document, "", &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let manifest: Manifest = serde_yaml::from_str(text).map_err(|error| vec![error.to_string()])?;
    manifest.check(file_name, &mut problems);
    if problems.is_empty() { Ok(manifest) } else { Err(problems) }
}

/// krew reads YAML by way of JSON, where `1.10` and `yes` are no strings.
fn check_strings(value: &serde_yaml::Value, path: &str, problems: &mut Vec<String>) {
    use serde_yaml::Value;
    match value {
        Value::String(_) => {}
        Value::Sequence(items) => {
            for (index, item) in items.iter().enumerate() {
                check_strings(item, &format!("{path}[{index}]"), problems);
            }
        }
        Value::Mapping(fields) => {
            for (key, value) in fields {
                let key = key.as_str().unwrap_or("?");
                let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                check_strings(value, &path, problems);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Tagged(_) => {
            problems.push(format!("{path} is no string: it needs quotes"));
        }
    }
}

impl Manifest {
    fn check(&self, file_name: &str, problems: &mut Vec<String>) {
        let mut rule = |holds: bool, problem: &dyn Fn() -> String| {
            if !holds {
                problems.push(problem());
            }
        };
        let name = &self.metadata.name;
        let api = "krew.googlecontainertools.github.com/v1alpha2";
        rule(self.api_version == api, &|| format!("apiVersion is {:?}, not {api:?}", self.api_version));
        rule(self.kind == "Plugin", &|| format!("kind is {:?}, not \"Plugin\"", self.kind));
        rule(is_safe_name(name), &|| format!("metadata.name {name:?} has more than letters, digits, - and _"));
        rule(name == PLUGIN, &|| format!("metadata.name is {name:?}, and the plugin is called {PLUGIN:?}"));
        rule(file_name == format!("{name}.yaml"), &|| format!("the file is {file_name:?}, not \"{name}.yaml\""));
        self.spec.check_texts(&mut rule);
        rule(!self.spec.platforms.is_empty(), &|| "spec.platforms is empty".to_owned());
        for (index, target) in self.spec.platforms.iter().enumerate() {
            target.check(&self.spec, &format!("spec.platforms[{index}]"), &mut rule);
        }
        for (os, arch) in KREW_PLATFORMS {
            let hits: Vec<usize> = (0..)
                .zip(&self.spec.platforms)
                .filter(|(_, target)| target.selector.malformed().is_none() && target.selector.hits(os, arch))
                .map(|(i, _)| i)
                .collect();
            rule(hits.len() < 2, &|| format!("spec.platforms {hits:?} overlap: all select {os}/{arch}"));
        }
    }

    /// What is wrong about the archives that the manifest names; `archives` by file name.
    pub fn check_archives(&self, archives: &BTreeMap<String, Contents>) -> Vec<String> {
        let mut problems = Vec::new();
        for (index, target) in self.spec.platforms.iter().enumerate() {
            let name = target.uri.rsplit('/').next().unwrap_or_default();
            let found = match archives.get(name) {
                Some(contents) => target.check_contents(contents),
                None => Err("there is no such archive".to_owned()),
            };
            problems.extend(found.err().map(|problem| format!("spec.platforms[{index}]: {name}: {problem}")));
        }
        problems
    }
}

/// Says what is wrong where the first is false.
type Rule<'a> = dyn FnMut(bool, &dyn Fn() -> String) + 'a;

impl Spec {
    fn check_texts(&self, rule: &mut Rule) {
        let Self { version, homepage, short_description: short, description, .. } = self;
        rule(is_version(version), &|| format!("spec.version {version:?} is no vMAJOR.MINOR.PATCH"));
        rule(is_homepage(homepage), &|| {
            format!("spec.homepage {homepage:?} is no https address without a / at its end")
        });
        rule(!short.trim().is_empty(), &|| "spec.shortDescription is empty".to_owned());
        rule(!short.contains(['\n', '\r']), &|| "spec.shortDescription has more than one line".to_owned());
        let length = short.chars().count();
        rule(length <= 50, &|| format!("spec.shortDescription has {length} characters, and 50 are allowed"));
        rule(!short.to_lowercase().contains("plugin"), &|| {
            "spec.shortDescription says \"plugin\", which everything in the index is".to_owned()
        });
        rule(!short.ends_with('.'), &|| "spec.shortDescription ends with a full stop".to_owned());
        rule(description.lines().count() > 1, &|| "spec.description has one line, and reviewers want more".to_owned());
        for word in ["OpenShift", "oc", "kubectl"] {
            let has = description.split(|c: char| !c.is_alphanumeric()).any(|found| found == word);
            rule(has, &|| format!("spec.description does not say {word}"));
        }
        let texts = [("description", description.as_str()), ("caveats", self.caveats.as_deref().unwrap_or_default())];
        for (field, text) in texts {
            for (number, line) in (1..).zip(text.lines()) {
                rule(line.chars().count() <= 80, &|| {
                    format!("spec.{field}: line {number} is longer than 80 characters")
                });
                let flag = line.split_whitespace().find(|word| is_flag(word));
                rule(flag.is_none(), &|| {
                    format!("spec.{field}: line {number} lists the flag {}", flag.unwrap_or_default())
                });
            }
        }
        let extra_step = format!("kubectl {PLUGIN} completion install");
        rule(self.caveats.as_ref().is_none_or(|caveats| caveats.contains(&extra_step)), &|| {
            format!("spec.caveats is for the extra step alone: {extra_step}")
        });
    }
}

impl Target {
    fn check(&self, spec: &Spec, path: &str, rule: &mut Rule) {
        let is_digest = self.sha256.len() == 64 && self.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        rule(is_digest, &|| format!("{path}.sha256 {:?} is not 64 digits 0-9 and a-f", self.sha256));
        rule(is_inside(&self.bin), &|| format!("{path}.bin {:?} is no path inside the plugin", self.bin));
        rule(self.files.as_ref().is_none_or(|files| !files.is_empty()), &|| {
            format!("{path}.files is empty: name files, or leave it out for all of them")
        });
        for (index, Move { from, to }) in self.files.iter().flatten().enumerate() {
            let path = format!("{path}.files[{index}]");
            rule(is_inside(from), &|| format!("{path}.from {from:?} is no path inside the archive"));
            rule(!from.contains(['[', '\\']), &|| format!("{path}.from {from:?} has more than the wildcards * and ?"));
            rule(to == "." || is_inside(to), &|| format!("{path}.to {to:?} is no path inside the plugin"));
        }
        rule(is_https(&self.uri), &|| format!("{path}.uri {:?} is no https address", self.uri));
        let has_suffix = [".tar.gz", ".zip"].iter().any(|suffix| self.uri.ends_with(suffix));
        rule(has_suffix, &|| format!("{path}.uri {:?} is neither .tar.gz nor .zip", self.uri));

        if let Some(problem) = self.selector.malformed() {
            return rule(false, &|| format!("{path}.selector {problem}"));
        }
        let hits: Vec<(&str, &str)> =
            KREW_PLATFORMS.into_iter().filter(|(os, arch)| self.selector.hits(os, arch)).collect();
        let [hit] = hits[..] else {
            return rule(false, &|| match hits.len() {
                0 => format!("{path}.selector hits no platform that krew supports"),
                number => format!("{path}.selector hits {number} platforms, and an archive is for one"),
            });
        };
        let Some(platform) = PLATFORMS.iter().find(|platform| (platform.os, platform.arch) == hit) else {
            return rule(false, &|| format!("{path}.selector hits {}/{}, for which nothing is made", hit.0, hit.1));
        };
        let expected = uri(&spec.homepage, &spec.version, platform);
        let is_comparable =
            has_suffix && is_https(&self.uri) && is_homepage(&spec.homepage) && is_version(&spec.version);
        rule(!is_comparable || self.uri == expected, &|| {
            format!("{path}.uri is {:?}, and the archive of {}/{} is at {expected:?}", self.uri, hit.0, hit.1)
        });
        let bin = self.bin.rsplit('/').next().unwrap_or_default();
        rule(!is_inside(&self.bin) || bin == platform.binary(), &|| {
            format!("{path}.bin is {bin:?}, and the program for {} is called {:?}", hit.0, platform.binary())
        });
    }

    fn check_contents(&self, contents: &Contents) -> Result<(), String> {
        if self.sha256 != contents.sha256 {
            return Err(format!("its checksum is {}, and the manifest says {}", contents.sha256, self.sha256));
        }
        let installed = self.installed(&contents.files)?;
        let mode = installed.get(&self.bin).ok_or_else(|| format!("bin {:?} is not installed", self.bin))?;
        if mode & 0o111 == 0 && !self.bin.ends_with(".exe") {
            return Err(format!("{:?} is not executable", self.bin));
        }
        // krew wants a file of that name anywhere among those that were installed, and takes more names than this one.
        if !installed.keys().any(|path| path.rsplit('/').next() == Some("LICENSE")) {
            return Err("no LICENSE is installed".to_owned());
        }
        Ok(())
    }

    /// The files by their paths in the plugin's folder, once krew has moved them (internal/installation/move.go).
    fn installed(&self, archive: &BTreeMap<String, u32>) -> Result<BTreeMap<String, u32>, String> {
        let mut installed = BTreeMap::new();
        let everything = [Move { from: "*".to_owned(), to: ".".to_owned() }];
        for Move { from, to } in self.files.as_deref().unwrap_or(&everything) {
            let mut matched = false;
            for (path, mode) in archive {
                let Some((found, below)) = split_at_match(from, path) else { continue };
                matched = true;
                let name = found.rsplit('/').next().unwrap_or_default();
                // What is named exactly may get another name; what a wildcard finds goes into a folder.
                let moved = match (to.as_str(), found == from) {
                    (".", _) => name.to_owned(),
                    (to, true) => to.to_owned(),
                    (to, false) => format!("{to}/{name}"),
                };
                installed.insert(format!("{moved}{below}"), *mode);
            }
            if !matched {
                return Err(format!("nothing in it matches from {from:?}"));
            }
        }
        Ok(installed)
    }
}

/// Where the manifest says that an archive is.
pub fn uri(homepage: &str, version: &str, platform: &Platform) -> String {
    format!("{homepage}/releases/download/{version}/{}", platform.archive(version.trim_start_matches('v')))
}

impl Selector {
    fn malformed(&self) -> Option<String> {
        let labels = self.match_labels.as_ref();
        let expressions = self.match_expressions.as_ref();
        if labels.is_none_or(BTreeMap::is_empty) && expressions.is_none_or(Vec::is_empty) {
            return Some("is empty".to_owned());
        }
        if labels.is_some_and(BTreeMap::is_empty) || expressions.is_some_and(Vec::is_empty) {
            return Some("has an empty list".to_owned());
        }
        let mut keys =
            labels.into_iter().flat_map(BTreeMap::keys).chain(expressions.into_iter().flatten().map(|e| &e.key));
        if let Some(key) = keys.find(|key| !["os", "arch"].contains(&key.as_str())) {
            return Some(format!("has the key {key:?}, and krew knows os and arch"));
        }
        expressions.into_iter().flatten().find_map(|expression| match expression.operator.as_str() {
            "In" | "NotIn" if expression.values.is_empty() => {
                Some(format!("has {} without values", expression.operator))
            }
            "In" | "NotIn" => None,
            other => Some(format!("has the operator {other:?}, and In and NotIn are enough")),
        })
    }

    fn hits(&self, os: &str, arch: &str) -> bool {
        let value_of = |key: &str| if key == "os" { os } else { arch };
        let labels = self.match_labels.iter().flatten().all(|(key, value)| value_of(key) == value);
        let expressions = self.match_expressions.iter().flatten().all(|expression| {
            let is_in = expression.values.iter().any(|value| value_of(&expression.key) == value);
            is_in == (expression.operator == "In")
        });
        labels && expressions
    }
}

/// Splits a path of the archive into the part that the pattern matches, component by component, and what lies below it.
fn split_at_match<'a>(pattern: &str, path: &'a str) -> Option<(&'a str, &'a str)> {
    let mut end = 0;
    let mut components = path.split('/');
    for pattern in pattern.split('/') {
        let component = components.next()?;
        if !matches(pattern.as_bytes(), component.as_bytes()) {
            return None;
        }
        end += component.len() + 1;
    }
    path.split_at_checked(end - 1)
}

/// Whether a name fits a pattern of `*` and `?`.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // Where a `*` fits too little, it alone is made longer: earlier ones need not be.
    let (mut at_pattern, mut at_name, mut star) = (0, 0, None);
    while at_name < name.len() {
        match pattern.get(at_pattern) {
            Some(b'*') => {
                star = Some((at_pattern, at_name));
                at_pattern += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[at_name] => {
                at_pattern += 1;
                at_name += 1;
            }
            _ => {
                let Some((pattern, name)) = star else { return false };
                star = Some((pattern, name + 1));
                at_pattern = pattern + 1;
                at_name = name + 1;
            }
        }
    }
    pattern[at_pattern..].iter().all(|byte| *byte == b'*')
}

/// `^[\w-]+$`, and no device of Windows.
pub fn is_safe_name(name: &str) -> bool {
    let devices = ["CON", "PRN", "AUX", "NUL", "COM", "LPT"];
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let is_device = devices.iter().any(|device| stem.eq_ignore_ascii_case(device));
    !name.is_empty() && !is_device && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// `v1.2.3`, and what our archives are called by.
pub fn is_version(version: &str) -> bool {
    version.strip_prefix('v').is_some_and(|plain| Platform::of_archive(&PLATFORMS[0].archive(plain)).is_some())
}

fn is_https(address: &str) -> bool {
    let rest = address.strip_prefix("https://").unwrap_or_default();
    !rest.is_empty() && !rest.starts_with('/') && !rest.contains(|c: char| c.is_whitespace() || "\"\\?#@".contains(c))
}

fn is_homepage(address: &str) -> bool {
    is_https(address) && !address.ends_with('/')
}

/// Relative, and never going up.
fn is_inside(path: &str) -> bool {
    !path.contains(['\\', ':']) && path.split('/').all(|part| !["", ".", ".."].contains(&part))
}

/// `-o`, `(--all-namespaces)`; not a dash between words.
fn is_flag(word: &str) -> bool {
    let word = word.trim_start_matches(['(', '`', '"', '\'', '[']);
    let name = word.trim_start_matches('-');
    name.len() < word.len() && name.starts_with(|c: char| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    const LINUX: &str = r#"
    - selector:
        matchLabels:
          os: "linux"
          arch: "amd64"
      uri: "https://example.com/releases/download/v1.2.3/oc-imagepolicy-v1.2.3-linux-amd64.tar.gz"
      sha256: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
      files:
        - from: "oc-imagepolicy-*/*"
          to: "."
      bin: "oc-imagepolicy"
"#;

    fn valid() -> String {
        let windows = LINUX
            .replace("linux", "windows")
            .replace("tar.gz", "zip")
            .replace(r#""oc-imagepolicy""#, r#""oc-imagepolicy.exe""#);
        format!(
            r#"apiVersion: "krew.googlecontainertools.github.com/v1alpha2"
kind: "Plugin"
metadata:
  name: "imagepolicy"
spec:
  version: "v1.2.3"
  homepage: "https://example.com"
  shortDescription: "Explain image policies"
  description: |
    What OpenShift does.
    With oc and kubectl.
  caveats: |
    Once: kubectl imagepolicy completion install
  platforms:{LINUX}{windows}"#
        )
    }

    #[test]
    fn a_valid_manifest_has_no_problem() {
        read("imagepolicy.yaml", &valid()).unwrap();
    }

    /// What is put in place of what, and the one thing that is then wrong.
    #[test]
    fn each_rule_refuses_what_breaks_it_and_nothing_else_does() {
        let long = "x".repeat(81);
        let cases: &[(&str, &str, &str)] = &[
            (
                "v1alpha2",
                "v1alpha1",
                r#"apiVersion is "krew.googlecontainertools.github.com/v1alpha1", not "krew.googlecontainertools.github.com/v1alpha2""#,
            ),
            (r#"kind: "Plugin""#, r#"kind: "Plugins""#, r#"kind is "Plugins", not "Plugin""#),
            (r#""v1.2.3""#, r#""v1.2""#, r#"spec.version "v1.2" is no vMAJOR.MINOR.PATCH"#),
            (
                r#"homepage: "https://example.com""#,
                r#"homepage: "http://example.com""#,
                r#"spec.homepage "http://example.com" is no https address without a / at its end"#,
            ),
            (
                r#"homepage: "https://example.com""#,
                r#"homepage: "https://example.com/""#,
                r#"spec.homepage "https://example.com/" is no https address without a / at its end"#,
            ),
            (r#""Explain image policies""#, r#""""#, "spec.shortDescription is empty"),
            (r#""Explain image policies""#, r#""Explain\npolicies""#, "spec.shortDescription has more than one line"),
            (
                "Explain image policies",
                "Explain image policies, and whatever else comes to mind",
                "spec.shortDescription has 55 characters, and 50 are allowed",
            ),
            (
                "Explain image policies",
                "kubectl plugin to explain",
                r#"spec.shortDescription says "plugin", which everything in the index is"#,
            ),
            ("Explain image policies", "Explain policies.", "spec.shortDescription ends with a full stop"),
            (
                "What OpenShift does.\n    With oc",
                "What OpenShift does with oc",
                "spec.description has one line, and reviewers want more",
            ),
            ("OpenShift", "Kubernetes", "spec.description does not say OpenShift"),
            ("With oc and", "With and", "spec.description does not say oc"),
            ("oc and kubectl.", "oc and more.", "spec.description does not say kubectl"),
            ("What OpenShift", &format!("{long} OpenShift"), "spec.description: line 1 is longer than 80 characters"),
            ("With oc", "(--output for more) With oc", "spec.description: line 2 lists the flag (--output"),
            ("With oc", "-o json With oc", "spec.description: line 2 lists the flag -o"),
            ("Once:", &long, "spec.caveats: line 1 is longer than 80 characters"),
            (
                "completion install",
                "lint",
                "spec.caveats is for the extra step alone: kubectl imagepolicy completion install",
            ),
            (r#""v1.2.3""#, "1.2", r#"spec.version is no string: it needs quotes"#),
            (
                r#"bin: "oc-imagepolicy""#,
                r#"bin: "../oc-imagepolicy""#,
                r#"spec.platforms[0].bin "../oc-imagepolicy" is no path inside the plugin"#,
            ),
            (
                r#"bin: "oc-imagepolicy""#,
                r#"bin: "imagepolicy""#,
                r#"spec.platforms[0].bin is "imagepolicy", and the program for linux is called "oc-imagepolicy""#,
            ),
            (
                r#"bin: "oc-imagepolicy.exe""#,
                r#"bin: "oc-imagepolicy""#,
                r#"spec.platforms[1].bin is "oc-imagepolicy", and the program for windows is called "oc-imagepolicy.exe""#,
            ),
            (
                "from: \"oc-imagepolicy-*/*\"",
                "from: \"/tmp/*\"",
                r#"spec.platforms[0].files[0].from "/tmp/*" is no path inside the archive"#,
            ),
            (
                "from: \"oc-imagepolicy-*/*\"",
                "from: \"*/../../*\"",
                r#"spec.platforms[0].files[0].from "*/../../*" is no path inside the archive"#,
            ),
            (
                "from: \"oc-imagepolicy-*/*\"",
                "from: \"*/[a-z]*\"",
                r#"spec.platforms[0].files[0].from "*/[a-z]*" has more than the wildcards * and ?"#,
            ),
            (
                "to: \".\"",
                "to: \"/usr/bin\"",
                r#"spec.platforms[0].files[0].to "/usr/bin" is no path inside the plugin"#,
            ),
            ("to: \".\"", "to: \"a/../..\"", r#"spec.platforms[0].files[0].to "a/../.." is no path inside the plugin"#),
            (
                "files:\n        - from: \"oc-imagepolicy-*/*\"\n          to: \".\"",
                "files: []",
                "spec.platforms[0].files is empty: name files, or leave it out for all of them",
            ),
            (
                "uri: \"https:",
                "uri: \"http:",
                r#"spec.platforms[0].uri "http://example.com/releases/download/v1.2.3/oc-imagepolicy-v1.2.3-linux-amd64.tar.gz" is no https address"#,
            ),
            (
                "linux-amd64.tar.gz",
                "linux-amd64.tgz",
                r#"spec.platforms[0].uri "https://example.com/releases/download/v1.2.3/oc-imagepolicy-v1.2.3-linux-amd64.tgz" is neither .tar.gz nor .zip"#,
            ),
            (
                "linux-amd64.tar.gz",
                "linux-arm64.tar.gz",
                r#"spec.platforms[0].uri is "https://example.com/releases/download/v1.2.3/oc-imagepolicy-v1.2.3-linux-arm64.tar.gz", and the archive of linux/amd64 is at "https://example.com/releases/download/v1.2.3/oc-imagepolicy-v1.2.3-linux-amd64.tar.gz""#,
            ),
            (
                "matchLabels:\n          os: \"linux\"\n          arch: \"amd64\"",
                "matchLabels: {}",
                "spec.platforms[0].selector is empty",
            ),
            (
                "matchLabels:\n",
                "matchExpressions: []\n        matchLabels:\n",
                "spec.platforms[0].selector has an empty list",
            ),
            (
                "os: \"linux\"\n          arch",
                "system: \"linux\"\n          arch",
                r#"spec.platforms[0].selector has the key "system", and krew knows os and arch"#,
            ),
            (
                "os: \"linux\"\n          arch: \"amd64\"",
                "os: \"linux\"\n          arch: \"s390x\"",
                "spec.platforms[0].selector hits no platform that krew supports",
            ),
            (
                "os: \"linux\"\n          arch: \"amd64\"",
                "os: \"linux\"\n          arch: \"386\"",
                "spec.platforms[0].selector hits linux/386, for which nothing is made",
            ),
            (
                "os: \"linux\"\n          arch: \"amd64\"",
                "os: \"linux\"",
                "spec.platforms[0].selector hits 5 platforms, and an archive is for one",
            ),
            (
                "matchLabels:\n          os: \"linux\"\n          arch: \"amd64\"",
                "matchExpressions: [{key: \"os\", operator: \"Exists\"}]",
                r#"spec.platforms[0].selector has the operator "Exists", and In and NotIn are enough"#,
            ),
        ];
        let valid = valid();
        for (from, to, problem) in cases {
            let broken = valid.replacen(from, to, 1);
            assert_ne!(broken, valid, "{from} is not in the manifest");
            assert_eq!(read("imagepolicy.yaml", &broken).unwrap_err(), [*problem], "{broken}");
        }
    }

    #[test]
    fn the_names_are_the_plugins() {
        let read = |file: &str, from: &str, to: &str| read(file, &valid().replace(from, to)).unwrap_err();
        assert_eq!(read("other.yaml", "-", "-"), [r#"the file is "other.yaml", not "imagepolicy.yaml""#]);
        assert_eq!(read("imagepolicy.yml", "-", "-"), [r#"the file is "imagepolicy.yml", not "imagepolicy.yaml""#]);
        assert_eq!(
            read("other.yaml", "name: \"imagepolicy\"", "name: \"other\""),
            [r#"metadata.name is "other", and the plugin is called "imagepolicy""#]
        );
        assert_eq!(
            read("a/b.yaml", "name: \"imagepolicy\"", "name: \"a/b\"")[0],
            r#"metadata.name "a/b" has more than letters, digits, - and _"#
        );
        for (name, is_safe) in [
            ("openshift-imagepolicy", true),
            ("a_1", true),
            ("", false),
            ("a b", false),
            ("Nul", false),
            ("com1", false),
            ("é", false),
        ] {
            assert_eq!(is_safe_name(name), is_safe, "{name}");
        }
    }

    #[test]
    fn what_krew_cannot_read_is_refused() {
        let valid = valid();
        let cases = [
            ("kind:", "Kind:", "unknown field `Kind`"),
            ("  caveats:", "  caveat:", "unknown field `caveat`"),
            ("      sha256:", "      sha265:", "unknown field `sha265`"),
            ("  version: \"v1.2.3\"\n", "", "missing field `version`"),
            ("spec:", "spec: [", ""),
        ];
        for (from, to, problem) in cases {
            let problems = read("imagepolicy.yaml", &valid.replacen(from, to, 1)).unwrap_err();
            assert!(problems.len() == 1 && problems[0].contains(problem), "{problems:?}");
        }
    }

    #[test]
    fn selectors_must_not_overlap() {
        let twice = format!("{}{LINUX}", valid());
        let expected = ["spec.platforms [0, 2] overlap: all select linux/amd64"];
        assert_eq!(read("imagepolicy.yaml", &twice).unwrap_err(), expected);
        let labels = "matchLabels:\n          os: \"linux\"\n          arch: \"amd64\"";
        let expressions = r#"matchExpressions: [{key: "os", operator: "NotIn", values: ["windows", "darwin"]}, {key: "arch", operator: "In", values: ["amd64", "s390x"]}]"#;
        assert_eq!(read("imagepolicy.yaml", &twice.replacen(labels, expressions, 1)).unwrap_err(), expected);
        read("imagepolicy.yaml", &valid().replacen(labels, expressions, 1)).unwrap();
    }

    fn archives() -> BTreeMap<String, Contents> {
        let archive = |stem: &str, suffix: &str, bin: &str| {
            let files = [(bin, 0o755), ("LICENSE", 0o644), ("man/oc-imagepolicy.1", 0o644)];
            let files = files.map(|(name, mode)| (format!("{stem}/{name}"), mode)).into();
            (format!("{stem}.{suffix}"), Contents { sha256: SHA.to_owned(), files })
        };
        [
            archive("oc-imagepolicy-v1.2.3-linux-amd64", "tar.gz", "oc-imagepolicy"),
            archive("oc-imagepolicy-v1.2.3-windows-amd64", "zip", "oc-imagepolicy.exe"),
        ]
        .into()
    }

    #[test]
    fn archives_hold_what_the_manifest_installs() {
        let linux = "oc-imagepolicy-v1.2.3-linux-amd64";
        let check = |from: &str, to: &str, break_it: &dyn Fn(&mut BTreeMap<String, u32>)| {
            let manifest = read("imagepolicy.yaml", &valid().replacen(from, to, 1)).unwrap();
            let mut archives = archives();
            break_it(&mut archives.get_mut(&format!("{linux}.tar.gz")).unwrap().files);
            manifest.check_archives(&archives)
        };
        let keep = |_: &mut BTreeMap<String, u32>| {};
        assert_eq!(check("-", "-", &keep), [""; 0]);
        // krew-release-bot's other habits: named files, and a folder.
        let named = "from: \"*/oc-*\"\n          to: \".\"\n        - from: \"*/LICENSE\"\n          to: \"docs\"";
        assert_eq!(check("from: \"oc-imagepolicy-*/*\"\n          to: \".\"", named, &keep), [""; 0]);

        let one = |problem: &str| vec![format!("spec.platforms[0]: {linux}.tar.gz: {problem}")];
        let sum = SHA.replace('0', "1");
        assert_eq!(check(SHA, &sum, &keep), one(&format!("its checksum is {SHA}, and the manifest says {sum}")));
        assert_eq!(
            check("oc-imagepolicy-*/*", "imagepolicy/*", &keep),
            one("nothing in it matches from \"imagepolicy/*\"")
        );
        assert_eq!(check("oc-imagepolicy-*/*", "*/LICENSE", &keep), one("bin \"oc-imagepolicy\" is not installed"));
        assert_eq!(check("oc-imagepolicy-*/*", "*/oc-imagepolicy", &keep), one("no LICENSE is installed"));
        assert_eq!(
            check("oc-imagepolicy-*/*", "oc-imagepolicy-*", &keep),
            one("bin \"oc-imagepolicy\" is not installed")
        );
        assert_eq!(
            check("-", "-", &|files| _ = files.remove(&format!("{linux}/LICENSE"))),
            one("no LICENSE is installed")
        );
        assert_eq!(
            check("-", "-", &|files| _ = files.insert(format!("{linux}/oc-imagepolicy"), 0o644)),
            one("\"oc-imagepolicy\" is not executable")
        );
        let mut archives = archives();
        archives.remove(&format!("{linux}.tar.gz"));
        let manifest = read("imagepolicy.yaml", &valid()).unwrap();
        assert_eq!(manifest.check_archives(&archives), one("there is no such archive"));
    }

    #[test]
    fn files_are_moved_as_krew_moves_them() {
        let archive: BTreeMap<String, u32> =
            ["a-1/bin", "a-1/man/x.1", "a-1/man/y.1", "top"].map(|path| (path.to_owned(), 0o644)).into();
        let installed = |files: &[(&str, &str)]| {
            let files =
                files.iter().map(|(from, to)| Move { from: (*from).to_owned(), to: (*to).to_owned() }).collect();
            let target = Target {
                selector: Selector { match_labels: None, match_expressions: None },
                uri: String::new(),
                sha256: String::new(),
                files: Some(files),
                bin: String::new(),
            };
            target.installed(&archive).map(|files| files.into_keys().collect::<Vec<_>>().join(" "))
        };
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[("*", ".")], "a-1/bin a-1/man/x.1 a-1/man/y.1 top"),
            (&[("a-*/*", ".")], "bin man/x.1 man/y.1"),
            (&[("a-1/bin", ".")], "bin"),
            (&[("a-1/bin", "renamed")], "renamed"),
            (&[("a-1/b?n", "renamed")], "renamed/bin"),
            (&[("a-1/man", "docs")], "docs/x.1 docs/y.1"),
            (&[("*/m*/*.1", "docs"), ("t*p", ".")], "docs/x.1 docs/y.1 top"),
        ];
        for (files, expected) in cases {
            assert_eq!(installed(files).as_deref(), Ok(*expected), "{files:?}");
        }
        assert_eq!(installed(&[("*/*/*/*", ".")]).unwrap_err(), "nothing in it matches from \"*/*/*/*\"");
        assert_eq!(installed(&[("", ".")]).unwrap_err(), "nothing in it matches from \"\"");
    }

    #[test]
    fn wildcards() {
        let cases = [
            ("*", "", true),
            ("*a*b", "xaabb", true),
            ("*a*b", "xaabbc", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a**", "a", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
