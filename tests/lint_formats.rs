//! Every format of lint tells the same findings, with the same exit code, in a shape that its readers take, and no text of a stranger
//! is more than a text in it.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use oc_imagepolicy::compile::compile;
use oc_imagepolicy::files::{self, spans};
use oc_imagepolicy::lint::report::LintReport;
use oc_imagepolicy::lint::rules::RULES;
use oc_imagepolicy::lint::{self, Context, Finding, Level, Outcome, Suppression, SuppressionKind, formats};
use oc_imagepolicy::model::provenance::ObjectRef;
use oc_imagepolicy::model::release::Release;
use oc_imagepolicy::model::safe_text;
use oc_imagepolicy::snapshot::{Gap, GapReason, Kind, Origin, Snapshot};
use serde_json::Value;
use support::json_schema;

const FORMATS: &[&str] = &["concise", "json", "sarif", "junit", "github", "gitlab", "markdown", "html"];

/// Texts that some reader would take for more than texts.
const HOSTILE: &[&str] = &[
    "\u{1b}[31mred\u{1b}[0m \u{9b}1m",
    "\u{202e}txet\u{2066} \u{200b}\u{feff}",
    "<script>document.title='owned'</script>",
    "</script></style></pre><img src=x onerror=\"document.title='owned'\">",
    "]]> <!-- --> <?xml?> &amp; &#0; \"double\" 'single'",
    "one\n::error::two\r\n##[error]three\rfour",
    "| a | b |\n|---|---|\n| c \\| d |",
    "`code` ```\n```\nfence",
    "[click](https://evil.example) ![x](https://evil.example/x.png) <https://evil.example>",
    "@everyone #1 www.evil.example https://evil.example",
    "\u{0}\u{b}\u{c}\u{7f}\u{fffe}\u{ffff}",
    "100% %0A %2C a,b:c",
    "{0} {{1}}",
    "</details>\n\n# heading\n    indented",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a run found, in whatever state a test wants it.
struct Case {
    name: &'static str,
    outcome: Outcome,
    gaps: Vec<Gap>,
}

impl Case {
    fn of(name: &'static str, snapshot: &Snapshot, change: impl FnOnce(&mut Outcome)) -> Self {
        let compiled = compile(snapshot, Release::parse("4.21").unwrap());
        let mut outcome = lint::run(&Context::new(snapshot, &compiled), RULES);
        change(&mut outcome);
        Self { name, outcome, gaps: snapshot.gaps.clone() }
    }

    fn report(&self) -> LintReport<'_> {
        let mut report =
            LintReport::new(&self.outcome, 19, "4.21".into(), |finding| spans::locate(&finding.origin, &finding.path));
        report.gaps = &self.gaps;
        report.exit_code = u8::from(report.summary.error > 0);
        report
    }
}

fn cases() -> Vec<Case> {
    let example = files::example().unwrap();
    let fine = files::read_text("fine.yaml", FINE).unwrap();
    let suppress = |finding: &mut Finding, kind, reason: &str| {
        finding.suppression = Some(Suppression { kind, reason: reason.into(), until: Some("2027-01-31".into()) });
    };
    let mut incomplete = Case::of("incomplete", &fine, |_| {});
    incomplete.gaps.push(Gap {
        kind: Kind::ImagePolicy,
        namespace: Some("team".into()),
        reason: GapReason::Forbidden,
        message: "ImagePolicy[team]: forbidden".into(),
    });
    let cases = vec![
        Case::of("example", &example, |_| {}),
        Case::of("fine", &fine, |outcome| outcome.findings.clear()),
        Case::of("nothing ran", &fine, |outcome| *outcome = Outcome::default()),
        incomplete,
        Case::of("suppressed", &example, |outcome| {
            suppress(&mut outcome.findings[0], SuppressionKind::Annotation, "known | and `fine`");
            suppress(&mut outcome.findings[2], SuppressionKind::Baseline, "");
        }),
        Case::of("all suppressed", &example, |outcome| {
            for finding in &mut outcome.findings {
                suppress(finding, SuppressionKind::Configuration, "all of them");
            }
        }),
        Case::of("every level, live", &example, |outcome| {
            let levels = [Level::Error, Level::Warning, Level::Info, Level::Hint];
            for (finding, level) in outcome.findings.iter_mut().zip(levels.into_iter().cycle()) {
                finding.origin = Origin::Live;
                finding.level = level;
            }
        }),
        hostile(&example, "hostile", true),
        hostile(&example, "hostile, live", false),
    ];
    assert!(cases.iter().map(|case| case.outcome.findings.len()).max() > Some(10));
    cases
}

/// As JSON in YAML, which has no place for two of the characters.
fn json_text(text: &str) -> String {
    let text = safe_text::json(text, false).unwrap();
    text.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")
}

/// Each hostile text in each place where a text may stand.
fn hostile(example: &Snapshot, name: &'static str, in_files: bool) -> Case {
    Case::of(name, example, |outcome| {
        let models = outcome.findings.clone();
        outcome.findings.clear();
        for (number, (text, model)) in HOSTILE.iter().zip(models.iter().cycle()).enumerate() {
            let annotation = format!("metadata: {{name: team, annotations: {{x: {}}}}}", json_text(text));
            let snapshot =
                files::read_text(&format!("{text}.yaml"), &FINE.replace("metadata: {name: team}", &annotation));
            let object = Arc::new(ObjectRef { name: (*text).into(), ..(*model.object).clone() });
            let mut finding = model.clone();
            finding.path = format!("metadata.annotations[{}]", if number % 2 == 0 { "x" } else { text });
            finding.message = (*text).into();
            finding.effect = format!("x {text}");
            finding.help = format!("oc {text}\n{text}");
            finding.witness = Some((*text).into());
            finding.related.push(lint::Related {
                object: object.clone(),
                path: (*text).into(),
                message: (*text).into(),
            });
            finding.object = object;
            finding.fingerprint = format!("IMP/{text}/{number}");
            finding.suppression = (number == 3).then(|| Suppression {
                kind: SuppressionKind::CommandLine,
                reason: (*text).into(),
                until: None,
            });
            finding.origin = match snapshot {
                Ok(snapshot) if in_files => snapshot.as_written().next().unwrap().2.clone(),
                Err(error) if in_files => panic!("{error}"),
                _ => Origin::Live,
            };
            outcome.findings.push(finding);
        }
    })
}

const FINE: &str = "apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey: {keyData: LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUZrd0V3WUhLb1pJemowQ0FRWUlLb1pJemowREFRY0RRZ0FFemx3MFNMbE5yM21QNHV4TFBhdFlaRTgydXNJSAp6R0tDbTJxWUU4ZXI2bWc1MkVWa2gwUmpudjhONXg4UEpxQlJJV2h4bXRZcDhhWEVNOGhkWWNvZnd3PT0KLS0tLS1FTkQgUFVCTElDIEtFWS0tLS0tCg==}
    signedIdentity: {matchPolicy: MatchRepository}
";

fn rendered(format: &str, report: &LintReport<'_>) -> String {
    let mut out = Vec::new();
    match format {
        "concise" => formats::concise::write(report, &mut out),
        "sarif" => formats::sarif::write(report, &mut out),
        "junit" => formats::junit::write(report, &mut out),
        "github" => formats::github::write(report, &mut out),
        "gitlab" => formats::gitlab::write(report, &mut out),
        "markdown" => formats::markdown::write(report, &mut out),
        "html" => formats::html::write(report, &mut out),
        "json" => safe_text::json(report, true).map(|text| out.extend(text.bytes())),
        other => panic!("{other}"),
    }
    .unwrap();
    String::from_utf8(out).unwrap()
}

/// A finding as a format tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    code: String,
    level: String,
    fingerprint: Option<String>,
    suppressed: bool,
}

impl Told {
    fn new(code: &str, level: &str) -> Self {
        assert!(code.len() == 6 && code.starts_with("IMP"), "{code}");
        Self { code: code.into(), level: level.into(), fingerprint: None, suppressed: false }
    }
}

/// What a reader of the format finds in it.
fn read(format: &str, text: &str) -> Vec<Told> {
    let mut told = match format {
        "concise" => text.lines().map(concise_line).collect(),
        "github" => text.lines().map(workflow_command).collect(),
        "markdown" => markdown_rows(text),
        "html" => articles(text).into_iter().map(|(told, _)| told).collect(),
        "junit" => junit(text),
        "gitlab" => array(&json(text)).iter().map(gitlab_issue).collect(),
        "sarif" => array(&json(text)["runs"][0]["results"]).iter().map(sarif_result).collect(),
        "json" => array(&json(text)["findings"]).iter().map(json_finding).collect(),
        other => panic!("{other}"),
    };
    told.sort();
    told
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn array(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("no array: {value}"))
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn concise_line(line: &str) -> Told {
    let (_, rest) = line.rsplit_once(": IMP").unwrap_or_else(|| panic!("{line}"));
    let (level, _) = rest[4..].split_once(':').unwrap();
    Told::new(&format!("IMP{}", &rest[..3]), level)
}

/// As GitHub's runner reads a command: `::NAME KEY=VALUE,…::DATA`.
fn workflow_command(line: &str) -> Told {
    let (command, _) = line.strip_prefix("::").and_then(|line| line.split_once("::")).unwrap();
    let (level, properties) = command.split_once(' ').unwrap();
    let known = ["file", "line", "endLine", "col", "endColumn", "title"];
    let properties: Vec<(&str, &str)> = properties.split(',').map(|pair| pair.split_once('=').unwrap()).collect();
    assert!(properties.iter().all(|(key, _)| known.contains(key)), "{line}");
    let title = properties.iter().find(|(key, _)| *key == "title").unwrap().1;
    Told::new(&title[..6], level)
}

fn markdown_rows(text: &str) -> Vec<Told> {
    let (table, _) = text.split_once("<details>").unwrap_or((text, ""));
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|row| {
        let cells = cells(row);
        assert_eq!(cells.len(), 6, "{row}");
        Told::new(&cells[2].trim()[..6], cells[1].split_whitespace().nth(1).unwrap())
    })
    .collect()
}

/// The findings of a page, and whether the filter shows them.
fn articles(page: &str) -> Vec<(Told, bool)> {
    let pieces = page.split("<article ").skip(1);
    pieces
        .map(|piece| {
            let (tag, rest) = piece.split_once('>').unwrap();
            let attribute = |name: &str| {
                let (_, rest) = tag.split_once(&format!("{name}=\"")).unwrap();
                rest.split_once('"').unwrap().0
            };
            let (_, level) = rest.split_once("class=\"badge\">").unwrap();
            let mut told = Told::new(attribute("data-code"), level.split_once('<').unwrap().0);
            told.suppressed = attribute("data-level") == "suppressed";
            (told, !tag.contains("hidden"))
        })
        .collect()
}

fn junit(text: &str) -> Vec<Told> {
    let document = uppsala::parse(text).unwrap();
    let number = |id, name: &str| document.get_attribute(id, name).unwrap().parse::<usize>().unwrap();
    let mut told = Vec::new();
    let (mut tests, mut failures) = (0, 0);
    for suite in document.get_elements_by_tag_name("testsuite") {
        let children = document.children(suite);
        let cases: Vec<_> = children.into_iter().filter(|id| document.element(*id).is_some()).collect();
        let mut results = Vec::new();
        for case in &cases {
            let name = document.get_attribute(*case, "name").unwrap();
            let result = document.children(*case).into_iter().find(|id| document.element(*id).is_some());
            let Some(result) = result else { continue };
            match document.get_attribute(result, "type") {
                Some(level) => results.push(Told::new(&name[..6], level)),
                None => results.push(Told { suppressed: true, ..Told::new(&name[..6], "") }),
            }
        }
        assert_eq!(number(suite, "tests"), cases.len());
        assert_eq!(number(suite, "failures"), results.iter().filter(|told| !told.suppressed).count());
        assert_eq!(number(suite, "skipped"), results.iter().filter(|told| told.suppressed).count());
        tests += cases.len();
        failures += number(suite, "failures");
        told.extend(results);
    }
    let whole = document.document_element().unwrap();
    assert_eq!((number(whole, "tests"), number(whole, "failures")), (tests, failures));
    assert!(tests > 0, "CI systems take an empty report for a mistake");
    told
}

fn gitlab_issue(issue: &Value) -> Told {
    let mut told = Told::new(string(&issue["check_name"]), string(&issue["severity"]));
    told.fingerprint = Some(string(&issue["fingerprint"]).into());
    told
}

fn sarif_result(result: &Value) -> Told {
    let mut told = Told::new(string(&result["ruleId"]), string(&result["level"]));
    told.fingerprint = Some(string(&result["partialFingerprints"]["imagepolicy/v1"]).into());
    told.suppressed = result["suppressions"].as_array().is_some_and(|list| !list.is_empty());
    told
}

fn json_finding(finding: &Value) -> Told {
    let mut told = Told::new(string(&finding["code"]), string(&finding["level"]));
    told.fingerprint = Some(hash(string(&finding["fingerprint"])));
    told.suppressed = finding.get("suppression").is_some();
    told
}

fn hash(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a format should tell: its own word for the level, fingerprints where it has them, suppressed ones where it marks them.
fn expected(format: &str, outcome: &Outcome) -> Vec<Told> {
    let marks = matches!(format, "json" | "sarif" | "junit" | "html");
    let hashes = matches!(format, "json" | "sarif" | "gitlab");
    let wanted = outcome.findings.iter().filter(|finding| marks || finding.suppression.is_none());
    let mut told: Vec<Told> = wanted
        .map(|finding| {
            let suppressed = finding.suppression.is_some();
            let level = match (format, finding.level) {
                ("junit", _) if suppressed => "",
                ("json", Level::Error) => "Error",
                ("json", Level::Warning) => "Warning",
                ("json", Level::Info) => "Info",
                ("json", Level::Hint) => "Hint",
                ("gitlab", Level::Error) if finding.refused_by.is_some_and(|by| format!("{by:?}") != "Api") => {
                    "blocker"
                }
                ("gitlab", Level::Error) => "critical",
                ("gitlab", Level::Warning) => "major",
                ("gitlab", Level::Info) => "minor",
                ("gitlab", Level::Hint) => "info",
                ("github", Level::Info | Level::Hint) => "notice",
                ("sarif", Level::Info | Level::Hint) => "note",
                (_, level) => level.word(),
            };
            let fingerprint = hashes.then(|| hash(&finding.fingerprint));
            Told { suppressed, fingerprint, ..Told::new(&finding.rule.id(), level) }
        })
        .collect();
    told.sort();
    told
}

#[test]
fn all_formats_tell_the_same() {
    for case in cases() {
        let report = case.report();
        for format in FORMATS {
            let text = rendered(format, &report);
            assert_eq!(read(format, &text), expected(format, &case.outcome), "{}, {format}\n{text}", case.name);
        }
        let summary = report.summary;
        let counted = summary.error + summary.warning + summary.info + summary.hint;
        assert_eq!(counted, read("concise", &rendered("concise", &report)).len(), "{}", case.name);
        assert_eq!(counted + summary.suppressed, case.outcome.findings.len(), "{}", case.name);
    }
}

#[test]
fn no_format_has_a_character_that_a_terminal_obeys() {
    for case in cases() {
        for format in FORMATS {
            let text = rendered(format, &case.report());
            let bad = text.char_indices().find(|(_, c)| *c != '\n' && safe_text::is_unsafe(*c));
            assert_eq!(bad, None, "{}, {format}", case.name);
        }
    }
}

/// What stands in the page, not what is shown: the browser's view is the next but one.
#[test]
fn hostile_texts_are_no_markup() {
    for case in cases().iter().filter(|case| case.name.starts_with("hostile")) {
        let page = rendered("html", &case.report());
        for (tag, count) in [("<script", 1), ("</script", 1), ("<style", 1), ("<img", 0), ("<a ", 0), ("href", 0)] {
            assert_eq!(page.matches(tag).count(), count, "{tag} in {}", case.name);
        }
        let comment = rendered("markdown", &case.report());
        let (table, details) = comment.split_once("<details>").unwrap();
        for row in table.lines().filter(|line| line.starts_with("| ")) {
            let message = cells(row)[4].replace("\\[", "").replace("\\]", "");
            for markup in ["<script", "<img", " [", "](http", "@e", " #1", "www.", "https://"] {
                assert!(!message.contains(markup), "{markup} in {message}");
            }
            assert_eq!(message.replace("\\`", "").matches('`').count(), 0, "{message}");
        }
        assert_eq!(details.lines().filter(|line| line.starts_with("</")).count(), 1);
        assert_eq!(details.lines().filter(|line| line.starts_with('#')).count(), 0);
    }
}

/// The cells of a row, the empty ones at both ends included.
fn cells(row: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut letters = row.chars();
    while let Some(letter) = letters.next() {
        let cell = cells.last_mut().unwrap();
        match letter {
            '\\' => cell.extend([letter].into_iter().chain(letters.next())),
            '|' => cells.push(String::new()),
            _ => cell.push(letter),
        }
    }
    cells
}

fn schema(name: &str) -> Value {
    json(&fs::read_to_string(root().join("tests/schemas").join(name)).unwrap())
}

#[test]
fn sarif_is_valid() {
    let schema = schema("sarif-2.1.0.json");
    for case in cases() {
        let mut log = json(&rendered("sarif", &case.report()));
        let problems = json_schema::problems(&schema, &log);
        assert!(problems.is_empty(), "{}: {problems:#?}", case.name);
        let run = &log["runs"][0];
        assert_eq!(run["columnKind"], "unicodeCodePoints");
        assert_eq!(run["invocations"][0]["exitCode"], case.report().exit_code);
        let notifications = array(&run["invocations"][0]["toolExecutionNotifications"]).len();
        assert_eq!(notifications, case.gaps.len() + case.outcome.skipped.len());
        let rules: Vec<&str> = array(&run["tool"]["driver"]["rules"]).iter().map(|rule| string(&rule["id"])).collect();
        assert!(rules.is_sorted() && rules.len() >= case.outcome.rules.len());
        for (result, finding) in array(&run["results"]).iter().zip(&case.outcome.findings) {
            assert_eq!(rules[result["ruleIndex"].as_u64().unwrap() as usize], string(&result["ruleId"]));
            let place = &result["locations"][0];
            assert_eq!(place.get("physicalLocation").is_some(), !matches!(finding.origin, Origin::Live));
            let name = string(&place["logicalLocations"][0]["fullyQualifiedName"]);
            assert!(name.starts_with(&finding.object.to_string()), "{name}");
            assert_eq!(result.get("suppressions").is_some(), case.report().summary.suppressed > 0);
            if let Some(suppression) = &finding.suppression {
                let told = &result["suppressions"][0];
                let in_source = matches!(suppression.kind, SuppressionKind::Annotation | SuppressionKind::Comment);
                assert_eq!(told["kind"], if in_source { "inSource" } else { "external" });
                assert_eq!(told["justification"].as_str().unwrap_or_default(), suppression.reason);
            }
            assert_ne!(place["physicalLocation"]["region"]["snippet"]["text"], "");
        }
        // The schema is asked at all.
        for (place, wrong) in
            [("/runs/0/results", "none"), ("/runs/0/tool/driver/rules/0/helpUri", "docs/x"), ("/version", "2.0")]
        {
            let Some(value) = log.pointer_mut(place) else { continue };
            *value = wrong.into();
            assert!(!json_schema::problems(&schema, &log).is_empty(), "{place}");
        }
    }
}

#[test]
fn junit_is_valid() {
    let schema = fs::read_to_string(root().join("tests/schemas/junit-10.xsd")).unwrap();
    let validator = uppsala::XsdValidator::from_schema(&uppsala::parse(&schema).unwrap()).unwrap();
    for case in cases() {
        let text = rendered("junit", &case.report());
        let problems = validator.validate(&uppsala::parse(&text).unwrap());
        assert!(problems.is_empty(), "{}: {problems:#?}\n{text}", case.name);
        let damaged = text.replacen(" tests=", " test=", 1);
        assert!(!validator.validate(&uppsala::parse(&damaged).unwrap()).is_empty());
    }
}

#[test]
fn gitlab_is_valid() {
    let schema = schema("gitlab-codeclimate.json");
    for case in cases() {
        let report = json(&rendered("gitlab", &case.report()));
        let mut fingerprints = BTreeSet::new();
        for issue in array(&report) {
            let problems = json_schema::problems(&schema, issue);
            assert!(problems.is_empty(), "{}: {problems:#?}", case.name);
            // What GitLab's documentation asks for besides.
            assert!(["info", "minor", "major", "critical", "blocker"].contains(&string(&issue["severity"])));
            assert!(!string(&issue["location"]["path"]).starts_with("./"));
            assert!(issue["location"]["lines"]["begin"].as_u64() > Some(0));
            assert!(fingerprints.insert(string(&issue["fingerprint"]).to_owned()), "{issue}");
        }
        assert!(!json_schema::problems(&schema, &json(r#"{"description": "x"}"#)).is_empty());
    }
}

// The command line.

fn oc(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_oc-imagepolicy"))
        .arg("lint")
        .args(arguments)
        .current_dir(directory)
        .env("KUBECONFIG", "/dev/null")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

const ALL: &[&str] = &[
    "text", "table", "wide", "concise", "json", "jsonl", "yaml", "name", "sarif", "junit", "github", "gitlab",
    "markdown", "html",
];

#[test]
fn exit_codes_are_equal_in_every_format() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("fine.yaml"), FINE).unwrap();
    let inputs: [(&[&str], i32); 6] = [
        (&["--example"], 1),
        (&["--example", "--fail-on", "never"], 0),
        (&["--example", "--without", "ClusterImagePolicy/vendor-agent", "--fail-on", "warning"], 1),
        (&["-f", "fine.yaml", "--release", "4.21"], 0),
        (&["-f", "fine.yaml", "--release", "4.21", "--require-complete"], 2),
        (&["-f", "absent.yaml"], 2),
    ];
    for (input, code) in inputs {
        for format in ALL {
            let output = oc(home.path(), &[input, &["-o", format]].concat());
            assert_eq!(output.status.code(), Some(code), "{input:?} -o {format}: {output:?}");
        }
    }
}

#[test]
fn files_hold_what_the_console_would_show() {
    let home = tempfile::tempdir().unwrap();
    let outputs: Vec<String> = ALL.iter().map(|format| format!("{format}={format}.out")).collect();
    let mut arguments = vec!["--example", "-n", "shop", "-o", "name"];
    outputs.iter().for_each(|output| arguments.extend(["-o", output.as_str()]));
    let together = oc(home.path(), &arguments);
    assert_eq!(together.status.code(), Some(1), "{together:?}");
    for format in ALL {
        let alone = oc(home.path(), &["--example", "-n", "shop", "-o", format]);
        let written = fs::read(home.path().join(format!("{format}.out"))).unwrap();
        assert!(written == alone.stdout, "{format}:\n{}", String::from_utf8_lossy(&written));
        if *format == "name" {
            assert_eq!(together.stdout, alone.stdout);
        }
    }
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), ALL.len(), "nothing temporary is left");
    // Alone, a file leaves the console to the text.
    let beside = oc(home.path(), &["--example", "-o", "sarif=again.sarif"]);
    assert_eq!(beside.stdout, oc(home.path(), &["--example"]).stdout);
    assert!(home.path().join("again.sarif").exists());
}

#[test]
fn nothing_is_written_where_anything_is_wrong() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("fine.yaml"), FINE).unwrap();
    fs::create_dir(home.path().join("folder")).unwrap();
    let before = || {
        let entries = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name());
        entries.collect::<BTreeSet<_>>()
    };
    let there = before();
    let mistakes: [(&[&str], &str); 13] = [
        (&["--example", "-o", "json", "-o", "yaml"], "two formats for the console"),
        (&["--example", "-o", "json", "-o", "sarif=-"], "two formats for the console"),
        (&["--example", "-o", "json=a", "-o", "yaml=./a"], "two formats for the file"),
        (&["--example", "-o", "json=folder/../a", "-o", "yaml=a"], "two formats for the file"),
        (&["--example", "-o", "xml"], "there is no format `xml`"),
        (&["--example", "-o", "json="], "names no file"),
        (&["-f", "fine.yaml", "-o", "json=fine.yaml"], "is to be read"),
        (&["-f", "fine.yaml", "-o", "json=./folder/../fine.yaml"], "is to be read"),
        (&["--rules", "-o", "sarif"], "cannot be written as sarif"),
        (&["--explain", "IMP204", "-o", "html"], "cannot be written as html"),
        (&["--rules", "-o", "json=a"], "to the console only"),
        (&["--example", "-o", "json=good", "-o", "yaml=absent/a"], "cannot write absent/a"),
        (&["--example", "-o", "json=good", "-o", "yaml=folder"], "cannot write folder"),
    ];
    for (arguments, expected) in mistakes {
        let output = oc(home.path(), arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected) && stderr.contains("hint: "), "{arguments:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert_eq!(before(), there, "{arguments:?}");
    }
    assert_eq!(fs::read_to_string(home.path().join("fine.yaml")).unwrap(), FINE);
    // No room, and no answer: no file either.
    for arguments in [
        &["--example", "-o", "json=good", "-o", "yaml=/dev/full"][..],
        &["-f", "fine.yaml", "--release", "4.21", "--require-complete", "-o", "json=good"],
    ] {
        let output = oc(home.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert_eq!(before(), there, "{arguments:?}");
    }
}

#[test]
fn json_and_yaml_lines_and_names_agree() {
    let run = |format: &str| String::from_utf8(oc(root(), &["--example", "-o", format]).stdout).unwrap();
    let document = json(&run("json"));
    let lines: Vec<Value> = run("jsonl").lines().map(json).collect();
    assert_eq!(array(&document["findings"]), &lines);
    let yaml: Value = serde_yaml::from_str(&run("yaml")).unwrap();
    assert_eq!(yaml, document);
    assert_eq!(run("name").lines().count(), lines.len());
    let text = run("text");
    assert_eq!(text.lines().filter(|line| line.trim_start().starts_with("--> ")).count(), lines.len());
}

// The page in a browser.

/// Chromium of the distribution; installed where it is missing and this may be done.
fn chromium() -> PathBuf {
    let find = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let names = ["chromium", "chromium-browser", "google-chrome"];
        names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.is_file())
    };
    find().unwrap_or_else(|| {
        let install = "apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium";
        let _ = Command::new("sh").args(["-c", install]).env("DEBIAN_FRONTEND", "noninteractive").status();
        find().expect("this test looks at a page in a browser: install the package chromium (apt-get install chromium)")
    })
}

struct Browser {
    program: PathBuf,
    home: tempfile::TempDir,
}

impl Browser {
    fn run(&self, arguments: &[&str], page: &Path, asked: &str) -> String {
        let output = Command::new(&self.program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--window-size=1100,1400"])
            .arg(format!("--user-data-dir={}", self.home.path().join("profile").display()))
            .args(arguments)
            .arg(format!("file://{}{asked}", page.display()))
            .env("HOME", self.home.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The document after its script ran.
    fn document(&self, page: &Path, asked: &str) -> String {
        self.run(&["--dump-dom"], page, asked)
    }
}

#[test]
fn the_page_in_a_browser() {
    let browser = Browser { program: chromium(), home: tempfile::tempdir().unwrap() };
    for case in cases() {
        let page = browser.home.path().join("page.html");
        fs::write(&page, rendered("html", &case.report())).unwrap();
        let document = browser.document(&page, "");
        let seen = articles(&document);
        let counted = case.report().counted().count();
        assert_eq!(seen.len(), case.outcome.findings.len(), "{}", case.name);
        assert_eq!(seen.iter().filter(|(_, shown)| *shown).count(), counted, "{}", case.name);
        assert!(seen.iter().all(|(told, shown)| *shown != told.suppressed), "{}", case.name);
        assert!(document.contains(&format!("data-shown=\"{counted}\"")), "the script of {} did not run", case.name);
        assert_eq!(document.matches("<script").count(), 1, "{}", case.name);
        assert!(!document.contains("<img") && !document.contains("<title>owned"), "{}", case.name);
    }

    let cases = cases();
    let shown = |case: &Case, asked: &str| {
        let page = browser.home.path().join("page.html");
        fs::write(&page, rendered("html", &case.report())).unwrap();
        let seen = articles(&browser.document(&page, asked));
        seen.into_iter().filter(|(_, shown)| *shown).map(|(told, _)| told.code).collect::<Vec<_>>()
    };
    let example = &cases[0];
    assert_eq!(shown(example, "#q=vendor-agent"), ["IMP101"]);
    assert_eq!(shown(example, "#q=VENDOR-agent%20imp204"), [""; 0]);
    let warnings = example.outcome.findings.iter().filter(|finding| finding.level == Level::Warning).count();
    assert!(warnings > 0);
    assert_eq!(shown(example, "#level=warning").len(), warnings);
    assert_eq!(shown(example, "#q=image-policy-ignored&level=error"), [""; 0]);
    let suppressed = &cases[4];
    assert_eq!(shown(suppressed, "#level=suppressed").len(), 2);

    // Light and dark, for people to look at: target/tmp/lint-light.png and lint-dark.png.
    let page = browser.home.path().join("page.html");
    fs::write(&page, rendered("html", &suppressed.report())).unwrap();
    let picture = |name: &str, scheme: &str| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_file(&path);
        let to = format!("--screenshot={}", path.display());
        browser.run(&[&to, "--hide-scrollbars", scheme], &page, "#level=error,warning,suppressed");
        fs::read(path).unwrap()
    };
    let light = picture("lint-light.png", "--blink-settings=preferredColorScheme=1");
    let dark = picture("lint-dark.png", "--blink-settings=preferredColorScheme=0");
    assert!(light.len() > 10_000 && dark.len() > 10_000 && light != dark);
}
