//! Living with lint: what runs, what counts, the configuration file, suppressions and baselines; by the program itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const KEY: &str = "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUZrd0V3WUhLb1pJemowQ0FRWUlLb1pJemowREFRY0RRZ0FFemx3MFNMbE5yM21QNHV4TFBhdFlaRTgydXNJSAp6R0tDbTJxWUU4ZXI2bWc1MkVWa2gwUmpudjhONXg4UEpxQlJJV2h4bXRZcDhhWEVNOGhkWWNvZnd3PT0KLS0tLS1FTkQgUFVCTElDIEtFWS0tLS0tCg==";

const IMAGE: &str = "apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    allowedRegistries:
    - quay.io
    - registry.example.com
    - image-registry.openshift-image-registry.svc:5000
    - registry.redhat.io
    - registry.access.redhat.com
";

struct Project(tempfile::TempDir);

struct Run {
    code: i32,
    out: String,
    err: String,
}

impl Project {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Image and a policy with two scopes outside of it: two errors IMP202.
    fn frozen() -> Self {
        let project = Self::new();
        project.write("p/image.yaml", IMAGE);
        project.write("p/policy.yaml", &policy("company", "", &["a.example.org/x", "b.example.org/y"]));
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn run_in(&self, directory: &str, args: &[&str]) -> Run {
        let output = Command::new(env!("CARGO_BIN_EXE_oc-imagepolicy"))
            .arg("lint")
            .args(args)
            .current_dir(self.path(directory))
            .env_remove("KUBECONFIG")
            .env("HOME", self.0.path())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Run { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// With `-f p --release 4.20`.
    fn run(&self, args: &[&str]) -> Run {
        self.run_in(".", &[&["-f", "p", "--release", "4.20"], args].concat())
    }

    fn report(&self, args: &[&str]) -> Report {
        let run = self.run(&[&["-o", "json"], args].concat());
        let document = serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {}{}", run.out, run.err));
        Report { document, run }
    }
}

struct Report {
    document: Value,
    run: Run,
}

impl Report {
    /// Of findings that count.
    fn codes(&self) -> Vec<&str> {
        let counted = self.findings().iter().filter(|finding| finding.get("suppression").is_none());
        counted.map(|finding| finding["code"].as_str().unwrap()).collect()
    }

    fn findings(&self) -> &[Value] {
        self.document["findings"].as_array().unwrap()
    }

    /// Code, path, kind of suppression and reason.
    fn suppressed(&self) -> Vec<[&str; 4]> {
        let text = |value: &'_ Value| value.as_str().unwrap().to_string().leak() as &str;
        let marked = self.findings().iter().filter_map(|finding| Some((finding, finding.get("suppression")?)));
        marked.map(|(finding, by)| [&finding["code"], &finding["path"], &by["kind"], &by["reason"]].map(text)).collect()
    }

    fn count(&self, level: &str) -> u64 {
        self.document["summary"][level].as_u64().unwrap()
    }
}

fn policy(name: &str, annotation: &str, scopes: &[&str]) -> String {
    let annotation = match annotation {
        "" => String::new(),
        text => format!("  annotations:\n    imagepolicy.openshift.io/ignore: {}\n", Value::from(text)),
    };
    let scopes: String = scopes.iter().map(|scope| format!("  - {scope}\n")).collect();
    format!(
        "apiVersion: config.openshift.io/v1\nkind: ClusterImagePolicy\nmetadata:\n  name: {name}\n{annotation}spec:\n  scopes:\n{scopes}  \
         policy:\n    rootOfTrust: {{policyType: PublicKey, publicKey: {{keyData: {KEY}}}}}\n    signedIdentity: {{matchPolicy: MatchRepository}}\n"
    )
}

fn tenant(namespace: &str, annotation: &str, scope: &str) -> String {
    policy("web", annotation, &[scope])
        .replace("ClusterImagePolicy", "ImagePolicy")
        .replace("  name: web\n", &format!("  name: web\n  namespace: {namespace}\n"))
}

#[test]
fn selection() {
    let project = Project::frozen();
    assert_eq!(project.report(&[]).codes(), ["IMP202", "IMP202"]);
    for (args, ran, findings, code) in [
        (&["--select", "IMP202"][..], Some(1), 2, 1),
        (&["--select", "202,IMP201", "--select", "scope-refused"], Some(3), 2, 1),
        (&["--select", "IMP2", "--ignore", "IMP202"], None, 0, 0),
        (&["--select", "IMP105", "--extend-select", "scope-outside-allowed"], Some(2), 2, 1),
        (&["--ignore", "imp2"], None, 0, 0),
        (&["--exit-zero"], None, 2, 0),
        (&["--fail-on", "never"], None, 2, 0),
        (&["--strict"], None, 2, 1),
        (&["--min-severity", "error"], None, 2, 1),
    ] {
        let report = project.report(args);
        assert_eq!((report.codes().len(), report.run.code), (findings, code), "{args:?}");
        if let Some(ran) = ran {
            assert_eq!(report.document["rules"]["ran"], ran, "{args:?}");
        }
        assert!(
            report.document["rules"]["skipped"].as_array().unwrap().len() < 20,
            "what is not selected is not skipped"
        );
    }
    // A warning, and what makes it count.
    project.write("p/image.yaml", &IMAGE.replace("    - image-registry.openshift-image-registry.svc:5000\n", ""));
    project.write("p/policy.yaml", &policy("company", "", &["registry.example.com/team"]));
    for (args, warnings, code) in [
        (&["--select", "402"][..], 1, 0),
        (&["--select", "402", "--strict"], 1, 1),
        (&["--select", "402", "--fail-on", "warning"], 1, 1),
        (&["--select", "402", "--fail-on", "hint"], 1, 1),
        (&["--select", "402", "--strict", "--exit-zero"], 1, 0),
        (&["--select", "402", "--strict", "--min-severity", "error"], 0, 0),
    ] {
        let report = project.report(args);
        assert_eq!((report.count("warning"), report.run.code), (warnings, code), "{args:?}");
        assert_eq!(report.findings().len() as u64, warnings, "{args:?}");
    }
}

#[test]
fn mistakes_of_flags() {
    let project = Project::frozen();
    for (args, words) in [
        (&["--select", "IMP2O2"][..], "did you mean IMP202?"),
        (&["--ignore", "scope-outside-alowed"], "did you mean scope-outside-allowed?"),
        (&["--extend-select", "IMP8"], "no rule `IMP8`"),
        (&["--select", ""], "no rule"),
        (&["--select", "IMP202", "--ignore", "IMP202"], "no rule is left"),
        (&["--strict", "--fail-on", "error"], "cannot be used with"),
        (&["--fail-on", "fatal"], "fatal"),
        (&["--min-severity", "never"], "never"),
        (&["--config", "x.yaml", "--no-config"], "cannot be used with"),
        (&["--config", "absent.yaml"], "cannot read absent.yaml"),
        (&["--suppress", "IMP204"], "RULES=OBJECTS"),
        (&["--suppress", "IMP2O4=*"], "did you mean IMP204?"),
        (&["--suppress", "IMP204=ImagePolicy/web"], "ImagePolicy/*/web"),
        (&["--suppress", "IMP204=ClusterImagePolcy/*"], "did you mean ClusterImagePolicy?"),
        (&["--baseline-prune"], "needs a baseline"),
        (&["--baseline", "absent.yaml"], "--write-baseline absent.yaml"),
        (&["--baseline", "p/image.yaml"], "no baseline of lint: it is a Image of config.openshift.io/v1"),
        (&["--write-baseline", "p/image.yaml"], "it is not overwritten"),
        (&["--write-baseline", "absent/b.yaml"], "cannot write absent/b.yaml"),
        (&["--write-baseline", "p"], "cannot write p"),
        (&["--write-baseline", "b.yaml", "--baseline-prune"], "cannot be used with"),
    ] {
        let run = project.run(args);
        assert_eq!(run.code, 2, "{args:?}: {}", run.err);
        assert!(run.err.contains(words), "{args:?}: {}", run.err);
        assert!(run.out.is_empty(), "{args:?}: {}", run.out);
    }
    assert_eq!(project.read("p/image.yaml"), IMAGE);
    assert_eq!(fs::read_dir(project.0.path()).unwrap().count(), 1, "nothing is written");
}

#[test]
fn empty_input_is_told_of() {
    let project = Project::new();
    project.write("p/secret.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n");
    fs::create_dir(project.path("empty")).unwrap();
    for (input, words) in [("p", "passed over: 1 Secret"), ("empty", "it is empty"), ("/dev/null", "it is empty")] {
        for format in ["text", "json", "sarif", "junit"] {
            let run = project.run_in(".", &["-f", input, "-o", format]);
            assert_eq!(run.code, 0, "{input}: {}", run.err);
            assert!(run.err.contains(words) && !run.out.is_empty(), "{input}: {}", run.err);
            let run = project.run_in(".", &["-f", input, "-o", format, "--fail-if-no-objects-found"]);
            assert!(run.code == 1 && run.err.contains(words), "{input}: {}", run.err);
        }
    }
    let project = Project::frozen();
    assert_eq!(project.run(&["--fail-if-no-objects-found", "--exit-zero"]).code, 0);
}

#[test]
fn configuration_is_found() {
    let project = Project::frozen();
    fs::create_dir_all(project.path("a/b/c")).unwrap();
    project.write("a/.imagepolicy.yaml", "ignore: [IMP202]\n");
    let input = ["-f", project.0.path().join("p").to_str().unwrap(), "--release", "4.20"].map(str::to_string);
    let run = |directory: &str, more: &[&str]| {
        let input: Vec<&str> = input.iter().map(String::as_str).collect();
        project.run_in(directory, &[&input, more].concat())
    };
    assert_eq!(run(".", &[]).code, 1);
    assert_eq!(run("a", &[]).code, 0);
    let below = run("a/b/c", &[]);
    assert!(below.code == 0 && below.err.contains("with the settings of ../../.imagepolicy.yaml"), "{}", below.err);
    assert_eq!(run("a/b/c", &["--no-config"]).code, 1);
    assert_eq!(run("a", &["--extend-select", "IMP202"]).code, 1, "the command line wins");
    assert_eq!(run("a", &["--select", "IMP202"]).code, 1, "the command line wins");
    fs::create_dir(project.path("a/b/.git")).unwrap();
    assert_eq!(run("a/b/c", &[]).code, 1, "another repository's settings are no concern");
    assert_eq!(run("a/b/c", &["--config", "../../.imagepolicy.yaml"]).code, 0);
    // The repository's root itself counts.
    project.write("a/b/.imagepolicy.yaml", "failOn: never\n");
    assert_eq!(run("a/b/c", &[]).code, 0);
    assert_eq!(run("a/b/c", &["--strict"]).code, 1);
    project.write("a/b/.imagepolicy.yaml", "");
    assert_eq!(run("a/b/c", &[]).code, 1, "an empty file says nothing");
}

#[test]
fn configuration_is_strict() {
    let project = Project::frozen();
    for (text, place, words) in [
        ("selct: [IMP2]\n", ":1:1", "did you mean select?"),
        ("failOn: error\nfail-on: error\n", ":2:1", "did you mean failOn?"),
        ("failOn: fatal\n", ":1:9", "`fatal` is not a level"),
        ("select:\n- IMP2\n- IMP2O2\n", ":3:3", "did you mean IMP202?"),
        ("select: IMP2\n", ":1:9", "a list of rules, not a text"),
        ("release: 4.20\n", ":1:10", "put it into quotes"),
        ("release: \"3.11\"\n", ":1:10", "3.11"),
        ("overrides:\n- path: [x]\n", ":2:3", "did you mean paths?"),
        ("suppress:\n- rules: [IMP202]\n  until: 2027-01-31\n", ":2:3", "no `reason`"),
        ("suppress:\n- rules: [IMP202]\n  reason: x\n  until: soon\n", ":4:10", "2027-01-31"),
        ("select: [IMP2]\nselect: [IMP3]\n", ":2:1", "select"),
        ("select: [\n", ":1:9", "unclosed"),
        ("- select\n", "", "a mapping"),
        ("select: [IMP2]\n---\nignore: [IMP2]\n", ":2", "second"),
        ("baseline: absent.yaml\n", "", "cannot read absent.yaml"),
    ] {
        project.write(".imagepolicy.yaml", text);
        let run = project.run(&[]);
        assert_eq!(run.code, 2, "{text}: {}{}", run.out, run.err);
        assert!(run.err.contains(words), "{text}: {}", run.err);
        if !words.starts_with("cannot read") {
            assert!(run.err.starts_with(&format!("error: .imagepolicy.yaml{place}: ")), "{text}: {}", run.err);
        }
        assert!(run.err.contains("\nhint: ") || place.is_empty() || words == "second", "{text}: {}", run.err);
        assert_eq!(project.run(&["--no-config"]).code, 1, "{text}");
    }
}

#[test]
fn configuration_of_some_objects() {
    let project = Project::frozen();
    project.write("p/other/c.yaml", &policy("other", "", &["c.example.org/z"]));
    let codes = |config: &str, args: &[&str]| {
        project.write("conf/lint.yaml", config);
        let report = project.report(&[&["-R", "--config", "conf/lint.yaml"], args].concat());
        report.codes().len()
    };
    assert_eq!(codes("", &[]), 3);
    for (over, left) in [
        ("paths: ['../p/other/**']\n  ignore: [IMP202]", 2),
        ("paths: [../p/other]\n  ignore: [IMP202]", 2),
        ("paths: ['../p/*']\n  ignore: [IMP202]", 1),
        ("paths: ['../p/**']\n  ignore: [IMP2]", 0),
        ("objects: [ClusterImagePolicy/oth*]\n  ignore: [IMP202]", 2),
        ("objects: [ClusterImagePolicy/oth*]\n  paths: ['../p/*']\n  ignore: [IMP202]", 3),
        ("objects: ['*']\n  select: [IMP1]", 0),
        ("objects: ['*']\n  minSeverity: error", 3),
    ] {
        assert_eq!(codes(&format!("overrides:\n- {over}\n"), &[]), left, "{over}");
    }
    let none = "ignore: [IMP202]\noverrides:\n- objects: [ClusterImagePolicy/other]\n  extendSelect: [IMP202]\n";
    assert_eq!(codes(none, &[]), 1);
    assert_eq!(codes("overrides:\n- objects: ['*']\n  ignore: [IMP202]\n", &["--extend-select", "IMP202"]), 3);
    // The release where nothing else tells.
    project.write(".imagepolicy.yaml", "release: '4.17'\n");
    let release = |args: &[&str]| {
        let run = project.run_in(".", &[&["-f", "p", "-o", "json"], args].concat());
        let document: Value = serde_json::from_str(&run.out).unwrap();
        document["source"].clone()
    };
    assert_eq!((&release(&[])["release"], &release(&[])["releaseAssumed"]), (&"4.17".into(), &false.into()));
    assert_eq!(release(&["--release", "4.20"])["release"], "4.20");
}

#[test]
fn suppression_by_all_means() {
    let project = Project::frozen();
    let both = ["a.example.org/x", "b.example.org/y # imagepolicy:ignore IMP202 by comment until=2099-12-31"];
    project.write("p/policy.yaml", &policy("company", "", &both));
    let report = project.report(&[]);
    assert_eq!(report.suppressed(), [["IMP202", "spec.scopes[1]", "Comment", "by comment"]]);
    assert_eq!((report.codes(), report.count("suppressed"), report.run.code), (vec!["IMP202"], 1, 1));

    let report = project.report(&["--suppress", "IMP202=ClusterImagePolicy/comp*: agreed"]);
    assert_eq!(
        report.suppressed(),
        [["IMP202", "spec.scopes[0]", "CommandLine", "agreed"], ["IMP202", "spec.scopes[1]", "Comment", "by comment"]]
    );
    assert_eq!((report.codes().len(), report.run.code), (0, 0));

    let config = "suppress:\n- rules: [IMP2]\n  objects: [ClusterImagePolicy/*]\n  paths: [p/policy.yaml]\n  reason: by config\n";
    project.write(".imagepolicy.yaml", config);
    assert_eq!(project.report(&[]).suppressed()[0][2..], ["Configuration", "by config"]);
    let report = project.report(&["--suppress", "202=**"]);
    assert_eq!(report.suppressed()[0][2..], ["CommandLine", "asked for on the command line"]);

    // An annotation comes first.
    project.write("p/policy.yaml", &policy("company", "IMP202=by annotation; until=2099-12-31", &both));
    let report = project.report(&["--suppress", "202=**"]);
    assert!(
        report.suppressed().iter().all(|finding| finding[2..] == ["Annotation", "by annotation"]),
        "{:?}",
        report.suppressed()
    );
    assert_eq!(report.findings()[0]["suppression"]["until"], "2099-12-31");
    // Every format counts the same.
    for (format, words) in [("text", "2 suppressed"), ("concise", "")] {
        let run = project.run(&["-o", format]);
        assert!(run.code == 0 && run.out.contains(words) && !run.out.contains("IMP202"), "{}", run.out);
    }
}

#[test]
fn comments() {
    let project = Project::frozen();
    let text = policy("company", "", &["a.example.org/x", "b.example.org/y"]);
    for (from, to, left) in [
        // Of the whole object: above its first line, above `---`, or on it.
        ("apiVersion", "# imagepolicy:ignore IMP202 why\napiVersion", 0),
        ("apiVersion", "# imagepolicy:ignore IMP202 why\n---\napiVersion", 0),
        (
            "apiVersion: config.openshift.io/v1\n",
            "apiVersion: config.openshift.io/v1 # imagepolicy:ignore IMP202 why\n",
            0,
        ),
        ("apiVersion", "# imagepolicy:ignore IMP201, scope-outside-allowed why\n# and more\napiVersion", 0),
        ("  - a", "  # imagepolicy:ignore IMP202 why\n  - a", 1),
        ("  - a.example.org/x", "  - a.example.org/x # imagepolicy:ignore IMP202: why", 1),
        // What is none, or is about something else.
        ("apiVersion", "# imagepolicy:ignore IMP202 why\n\napiVersion", 2),
        ("apiVersion", "# imagepolicy:ignore IMP203 why\napiVersion", 2),
        ("apiVersion", "# imagepolicy:ignore IMP202\napiVersion", 2),
        ("apiVersion", "# imagepolicy:ignore IMP202 why until=2020-01-01\napiVersion", 2),
        ("apiVersion", "# imagepolicy:ignore IMP202 why until=2020-13-01\napiVersion", 2),
        ("  scopes", "  # imagepolicy:ignore IMP202 why\n  scopes", 2),
        ("  name: company\n", "  name: company\n  labels: {a: '# imagepolicy:ignore IMP202 why'}\n", 2),
        ("  scopes:\n", "  x: |\n    y\n    # imagepolicy:ignore IMP202 why\n  scopes:\n", 2),
    ] {
        project.write("p/policy.yaml", &text.replacen(from, to, 1));
        let report = project.report(&["--select", "IMP202"]);
        assert_eq!(report.codes().len(), left, "{to}: {:?}", report.suppressed());
    }
    // In a list, and in a file of several documents.
    let indented =
        |text: &str| text.lines().map(|line| format!("  {line}\n")).collect::<String>().replacen("  api", "- api", 1);
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n# imagepolicy:ignore IMP202 first\n{}{}",
        indented(&text),
        indented(&policy("other", "", &["c.example.org/z"]))
    );
    project.write("p/policy.yaml", &list);
    let report = project.report(&["--select", "IMP202"]);
    assert_eq!((report.codes().len(), report.suppressed().len()), (1, 2));
}

#[test]
fn tenants_cannot_silence_what_others_bear() {
    let project = Project::new();
    project.write("p/image.yaml", IMAGE);
    // Frozen for everybody: IMP209, by the controller.
    project.write("p/tenant.yaml", &tenant("shop", "IMP2=we know what we do", "a.example.org/x"));
    let report = project.report(&[]);
    assert_eq!((report.codes(), report.run.code), (vec!["IMP209"], 1));
    let related = report.findings()[0]["related"].as_array().unwrap();
    assert!(
        related.iter().any(|related| related["message"].as_str().unwrap().contains("is not heeded")),
        "{related:?}"
    );
    // Somebody else may.
    for args in [&["--suppress", "IMP209=ImagePolicy/shop/*"][..], &["--ignore", "IMP209"]] {
        assert_eq!(project.run(args).code, 0, "{args:?}");
    }
    project.write(
        "p/tenant.yaml",
        &format!("# imagepolicy:ignore IMP209 agreed\n{}", tenant("shop", "", "a.example.org/x")),
    );
    assert_eq!(project.run(&[]).code, 0, "comments are of whoever has the files");
    // Slipping past the cluster's policy is nobody's own affair, being left out is.
    project.write("p/cluster.yaml", &policy("company", "", &["registry.example.com/base"]));
    for (scope, code, left) in
        [("registry.example.com/base:v1", "IMP208", vec!["IMP208"]), ("registry.example.com/base/x", "IMP207", vec![])]
    {
        let text = tenant("shop", &format!("{code}=we know"), scope);
        project.write("p/tenant.yaml", &text.replace("MatchRepository", "MatchRepoDigestOrExact"));
        assert_eq!(project.report(&["--select", code]).codes(), left, "{scope}");
    }
}

#[test]
fn suppressions_are_looked_after() {
    let project = Project::frozen();
    let findings = |annotation: &str, args: &[&str]| {
        project.write("p/policy.yaml", &policy("company", annotation, &["a.example.org/x"]));
        let report = project.report(args);
        let about = report.codes().into_iter().filter(|code| code.starts_with("IMP9")).map(str::to_string);
        about.collect::<Vec<String>>().join(" ")
    };
    for (annotation, args, expected) in [
        ("IMP202=x", &[][..], ""),
        ("IMP203=x", &[], "IMP901"),
        ("IMP202=x; IMP202=y", &[], "IMP901"),
        ("IMP203=x; until=2020-01-01", &[], "IMP902"),
        ("IMP202=x; until=2020-01-01", &[], "IMP902"),
        ("IMP202", &[], "IMP903"),
        ("IMP202= ", &[], "IMP903"),
        ("IMP2O2=x", &[], "IMP903"),
        ("IMP202=x; until=whenever", &[], "IMP903"),
        ("x", &[], "IMP903"),
        ("IMP203=x\nIMP202=y; until=2020-01-01\n=z", &[], "IMP902 IMP903 IMP901"),
        // What did not run might have been found.
        ("IMP203=x", &["--ignore", "IMP203"], ""),
        ("IMP401=x", &[], ""),
        ("IMP203=x", &["--ignore", "IMP901"], ""),
        ("IMP203=x", &["--min-severity", "info"], ""),
        ("IMP203=x; IMP901=kept for the next time", &[], ""),
        ("IMP202=x", &["--suppress", "IMP203=**"], "IMP901"),
    ] {
        assert_eq!(findings(annotation, args), expected, "{annotation} {args:?}");
    }
    // In a file, an expired entry of the configuration has a place.
    project.write(".imagepolicy.yaml", "suppress:\n- rules: [IMP202]\n  reason: x\n  until: 2020-01-01\n");
    let report = project.report(&[]);
    let expired = report.findings().iter().find(|finding| finding["code"] == "IMP902").unwrap();
    assert_eq!((&expired["object"]["kind"], &expired["path"]), (&"LintConfiguration".into(), &"suppress[0]".into()));
    assert_eq!((&expired["location"]["file"], &expired["location"]["line"]), (&".imagepolicy.yaml".into(), &2.into()));
}

#[test]
fn baselines() {
    let project = Project::frozen();
    let written = project.report(&["--write-baseline", "b.yaml"]);
    assert_eq!((written.codes().len(), written.run.code), (0, 0), "{}", written.run.err);
    assert!(written.run.err.contains("note: wrote b.yaml: 2 errors"), "{}", written.run.err);
    let text = project.read("b.yaml");
    assert!(text.contains("kind: LintBaseline") && text.matches("fingerprint:").count() == 2, "{text}");

    // Other order, other files, other lines, another wording of the same objects.
    let scopes = ["registry.example.com/ok", "b.example.org/y", "a.example.org/x # moved"];
    fs::remove_file(project.path("p/policy.yaml")).unwrap();
    project.write("p/all.yaml", &format!("# new\n\n{}---\n{IMAGE}", policy("company", "", &scopes)));
    fs::remove_file(project.path("p/image.yaml")).unwrap();
    let report = project.report(&["--baseline", "b.yaml"]);
    assert_eq!((report.codes().len(), report.count("suppressed"), report.run.code), (0, 2, 0), "{}", report.run.out);
    assert!(report.run.err.contains("note: baseline of today: hides 2 errors\n"), "{}", report.run.err);

    // What is new counts; what is gone is told and taken out on request.
    let scopes = ["c.example.org/z", "b.example.org/y"];
    project.write("p/all.yaml", &format!("{}---\n{IMAGE}", policy("company", "", &scopes)));
    let aged = project.read("b.yaml").replace(&today(), "2026-10-01");
    project.write("b.yaml", &aged);
    let report = project.report(&["--baseline", "b.yaml"]);
    assert_eq!((report.codes(), report.run.code), (vec!["IMP202"], 1));
    assert!(report.run.err.contains("days old: hides 1 error; 1 no longer occurs"), "{}", report.run.err);
    assert_eq!(project.read("b.yaml"), aged, "nothing is written without being asked for");
    for args in [&["--select", "IMP3"][..], &["--overlay", "p/all.yaml", "--without", "ClusterImagePolicy/company"]] {
        project.run(&[&["--baseline", "b.yaml", "--baseline-prune"], args].concat());
        assert_eq!(project.read("b.yaml"), aged, "what was not looked at stays: {args:?}");
    }
    let pruned = project.run(&["--baseline", "b.yaml", "--baseline-prune"]);
    assert!(pruned.err.contains("took 1 of its entries out of b.yaml: 1 error left"), "{}", pruned.err);
    let text = project.read("b.yaml");
    assert!(!text.contains("a.example.org") && text.contains("created: \"2026-10-01\""), "{text}");

    // Written anew with the old one: the day stays with what is known already.
    let again = project.report(&["--baseline", "b.yaml", "--write-baseline", "b.yaml"]);
    assert_eq!((again.codes().len(), again.run.code), (0, 0));
    let text = project.read("b.yaml");
    assert!(text.contains("c.example.org") && text.contains("b.example.org") && text.contains("2026-10-01"), "{text}");
    // Suppressed findings are not taken in.
    project.run(&["--suppress", "IMP202=**", "--write-baseline", "c.json"]);
    let json: Value = serde_json::from_str(&project.read("c.json")).unwrap();
    assert!(json["entries"].as_array().unwrap().iter().all(|entry| entry["code"] != "IMP202"), "{json}");

    // From the configuration, which begins without one.
    project.write(".imagepolicy.yaml", "baseline: conf/known.yaml\n");
    assert_eq!(project.run(&[]).code, 2);
    fs::create_dir(project.path("conf")).unwrap();
    assert_eq!(project.run(&["--write-baseline", "conf/known.yaml"]).code, 0);
    assert_eq!(project.run(&[]).code, 0);
    assert_eq!(project.run_in("p", &["-f", ".", "--release", "4.20"]).code, 0, "it is relative to the file");

    // What makes no sense is refused, with its place, and left alone.
    for (text, words) in [
        ("", "no baseline"),
        ("kind: LintBaseline\napiVersion: imagepolicy.openshift.io/v1alpha1\ncreated: x\nentries: []\n", "b.yaml:3:10"),
        ("{", "b.yaml:1"),
        ("\u{1}", "b.yaml:1"),
    ] {
        project.write("b.yaml", text);
        for args in [&["--baseline", "b.yaml"][..], &["--baseline", "b.yaml", "--baseline-prune"]] {
            let run = project.run(args);
            assert!(run.code == 2 && run.err.contains(words) && run.err.contains("hint: "), "{text}: {}", run.err);
            assert!(run.out.is_empty() && project.read("b.yaml") == text);
        }
    }
}

#[test]
fn an_incomplete_answer_writes_no_baseline() {
    let project = Project::frozen();
    let run = project.run(&["--write-baseline", "b.yaml", "--require-complete"]);
    assert!(run.code == 2 && run.err.contains("the baseline is left as it is"), "{}", run.err);
    assert!(!project.path("b.yaml").exists());
}

#[test]
fn hostile_suppressions_are_harmless() {
    let project = Project::frozen();
    let started = std::time::Instant::now();
    let huge = "IMP202=x, ".repeat(30_000);
    project.write("p/annotated.yaml", &policy("annotated", &huge, &["c.example.org/z"]));
    let comments = format!(
        "# imagepolicy:ignore {}\n# imagepolicy:ignore IMP202 \u{202e}\n{}",
        "IMP202,".repeat(200_000),
        policy("commented", "", &["d.example.org/z"])
    );
    project.write("p/commented.yaml", &comments);
    let control = policy("control", "IMP202=\u{1b}[31mred\u{9b}\u{7}; until=\u{0}", &["e.example.org/z"]);
    project.write("p/control.yaml", &control.replace('\u{9b}', "\\u009b"));
    let run = project.run(&["--color", "never"]);
    assert_eq!(run.code, 1, "{}", run.err);
    assert!(!run.out.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{0}']));
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

fn today() -> String {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
}

#[test]
fn every_key_is_documented() {
    use oc_imagepolicy::lint::config::{KEYS, OVERRIDE_KEYS, SUPPRESS_KEYS};
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lint.md")).unwrap();
    for key in KEYS.iter().chain(OVERRIDE_KEYS).chain(SUPPRESS_KEYS) {
        let row = format!("| `{}` | {} | {} |", key.name, key.holds, key.meaning);
        assert!(text.contains(&row), "docs/lint.md lacks the row\n{row}");
    }
}
