//! The manifests that install a release: krew's, an index of our own with it, and the CLI Manager's object.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use oc_imagepolicy::commands::PLUGIN;

use crate::archive::Archive;
use crate::check;
use crate::cli_manager;
use crate::fault::{Fault, Result};
use crate::krew::{self, Contents, Manifest};
use crate::platform::PLATFORMS;
use crate::shelf;
use crate::template::{self, Values};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 cargo run --example release -- manifests\n\
    \x20 cargo run --example release -- manifests --archives dist --require-all\n\
    \x20 cargo run --example release -- manifests --image registry.example.com/tools/oc-imagepolicy:v0.1.0")]
pub struct Args {
    /// The directory with the archives [default: target/releases/vVERSION]
    #[arg(long, value_name = "DIR")]
    archives: Option<PathBuf>,
    /// Where krew's manifest goes [default: krew]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Stop where the archive of a platform is missing, instead of leaving the platform out
    #[arg(long)]
    require_all: bool,
    /// Also write cli-manager.yaml, for the OpenShift CLI Manager, beside the archives: their content is in this image
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// The secret with which the CLI Manager pulls the image
    #[arg(long, value_name = "NAMESPACE/NAME", requires = "image")]
    pull_secret: Option<String>,
}

/// The version of this repository, without a `v`.
const VERSION: &str = env!("CARGO_PKG_VERSION");
const HOMEPAGE: &str = env!("CARGO_PKG_HOMEPAGE");

/// Writes the manifests of the archives in a directory, and says which.
///
/// # Errors
/// Where an archive or what follows from them breaks a rule. Then no file was touched.
pub fn run(repository: &Path, args: &Args) -> Result<()> {
    let directory = args.archives.clone().unwrap_or_else(|| repository.join(format!("target/releases/v{VERSION}")));
    let archives = check::archives(repository, &directory)?;
    let version = one_version(&archives)?;
    note_missing(&archives, args.require_all)?;
    if is_reserved(HOMEPAGE) {
        eprintln!(
            "note: {HOMEPAGE} is a reserved name: nothing can be installed from it until `homepage` in Cargo.toml says where releases are"
        );
    }
    let path = repository.join("krew/manifest.template.yaml");
    let template = fs::read_to_string(&path).map_err(Fault::at(&path))?;
    let origins = archives.iter().map(shelf::origin).collect::<Result<Vec<_>>>()?;
    let origin = origins.first().ok_or_else(|| Fault::new("there is no archive"))?;
    archives.iter().try_for_each(|archive| shelf::same_origin(archive, origin))?;
    if (origin.profile.as_str(), origin.tree.as_str()) != ("release", "clean") {
        eprintln!(
            "note: the archives are for a try alone: of a {} tree, with the profile {}",
            origin.tree, origin.profile
        );
    }
    let (text, manifest) = manifest(&template, &format!("v{version}"), HOMEPAGE, &archives)?;

    let file = format!("{PLUGIN}.yaml");
    let mut written = vec![
        (args.to.clone().unwrap_or_else(|| repository.join("krew")).join(&file), header(&origin.commit) + &text),
        (directory.join(shelf::INDEX).join("plugins").join(&file), text),
    ];
    if let Some(image) = &args.image {
        let plugin = cli_manager::plugin(&manifest.spec, &archives, image, args.pull_secret.as_deref())?;
        written.push((directory.join("cli-manager.yaml"), plugin));
    }
    write_all(&written)?;
    for (path, _) in &written {
        println!("{}", path.display());
    }
    Ok(())
}

/// What stands above the manifest in the repository, and in no index: there a release is to change versions, addresses and checksums alone.
fn header(commit: &str) -> String {
    format!(
        "# Written by `cargo run --example release -- manifests` (docs/releasing.md) from krew/manifest.template.yaml.\n\
         # The archives are of commit {commit}; `cargo run --example release -- reproduce` builds them again.\n\
         # linux/s390x has an archive, too (docs/install.md); krew's own validator knows no such platform.\n"
    )
}

/// krew's manifest of the archives, valid by every rule.
fn manifest(template: &str, version: &str, homepage: &str, archives: &[Archive]) -> Result<(String, Manifest)> {
    let platforms = archives.iter().filter(|archive| archive.platform.krew).map(|archive| {
        let platform = archive.platform;
        BTreeMap::from([
            ("os", platform.os.to_owned()),
            ("arch", platform.arch.to_owned()),
            ("uri", krew::uri(homepage, version, platform)),
            ("sha256", archive.sha256.clone()),
            ("bin", platform.binary().to_owned()),
        ])
    });
    let values = Values {
        texts: [("name", PLUGIN), ("version", version), ("homepage", homepage)].map(|(n, v)| (n, v.to_owned())).into(),
        lists: [("platforms", platforms.collect())].into(),
    };
    let text = template::render(template, &values)
        .map_err(|error| Fault::new(error.to_string()).within("krew/manifest.template.yaml"))?;
    let refused = |problems: Vec<String>| {
        Fault::new(format!("the manifest would not be taken:\n  {}", problems.join("\n  ")))
            .hint("its text is in krew/manifest.template.yaml")
    };
    let manifest = krew::read(&format!("{PLUGIN}.yaml"), &text).map_err(refused)?;
    let problems = manifest.check_archives(&contents(archives));
    if problems.is_empty() { Ok((text, manifest)) } else { Err(refused(problems)) }
}

/// What krew's rules need to know of archives, by file name.
fn contents(archives: &[Archive]) -> BTreeMap<String, Contents> {
    let contents = |archive: &Archive| {
        let stem = archive.platform.stem(&archive.version);
        let mode = |executable| if executable { 0o755 } else { 0o644 };
        let files = archive.files.iter().map(|(path, entry)| (format!("{stem}/{path}"), mode(entry.executable)));
        Contents { sha256: archive.sha256.clone(), files: files.collect() }
    };
    archives.iter().map(|archive| (archive.name.clone(), contents(archive))).collect()
}

/// krew's manifest in a file, held against every rule and against the archives: it is what [`run`] writes for these, none left out.
///
/// # Errors
/// With all that is wrong.
pub fn check(repository: &Path, path: &Path, archives: &[Archive]) -> Result<()> {
    let text = fs::read_to_string(path).map_err(Fault::at(path))?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let problems = match krew::read(name, &text) {
        Ok(manifest) => manifest.check_archives(&contents(archives)),
        Err(problems) => problems,
    };
    let again = "cargo run --example release -- manifests";
    if !problems.is_empty() {
        return Err(Fault::new(format!("{}:\n  {}", path.display(), problems.join("\n  "))).hint(again));
    }
    let template = repository.join("krew/manifest.template.yaml");
    let template = fs::read_to_string(&template).map_err(Fault::at(&template))?;
    let (wanted, _) = manifest(&template, &format!("v{}", one_version(archives)?), HOMEPAGE, archives)?;
    let first = archives.first().ok_or_else(|| Fault::new("there is no archive"))?;
    let header = header(&shelf::origin(first)?.commit);
    let found = text.strip_prefix(&header).unwrap_or(&text);
    if found == wanted {
        return Ok(());
    }
    let differs = (1..).zip(found.lines().chain([""])).zip(wanted.lines().chain([""])).find(|((_, a), b)| a != b);
    let line = differs.map_or(0, |((line, _), _)| line + text.lines().count() - found.lines().count());
    Err(Fault::new(format!("{}: it is not the manifest of these archives, from line {line} on", path.display()))
        .hint(again))
}

fn one_version(archives: &[Archive]) -> Result<&str> {
    let versions: BTreeSet<&str> = archives.iter().map(|archive| archive.version.as_str()).collect();
    match versions.iter().collect::<Vec<_>>()[..] {
        [version] => Ok(version),
        _ => {
            let names: Vec<&str> = archives.iter().map(|archive| archive.name.as_str()).collect();
            Err(Fault::new(format!("archives of different versions: {}", names.join(", ")))
                .hint("a release has one version: give it a directory of its own"))
        }
    }
}

/// Says which platforms have no archive.
///
/// # Errors
/// Where there must be all.
pub fn note_missing(archives: &[Archive], require_all: bool) -> Result<()> {
    let is_missing = |archive: &&str| !archives.iter().any(|found| found.platform.triple == *archive);
    let missing: Vec<String> = PLATFORMS
        .iter()
        .filter(|platform| is_missing(&platform.triple))
        .map(|platform| format!("{}/{}", platform.os, platform.arch))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if require_all {
        return Err(Fault::new(format!("no archive for {}", missing.join(", ")))
            .hint("without --require-all they are left out"));
    }
    eprintln!("note: no archive for {}: left out", missing.join(", "));
    Ok(())
}

/// A name that nobody can have (RFC 2606).
fn is_reserved(homepage: &str) -> bool {
    let host = homepage.trim_start_matches("https://").split('/').next().unwrap_or_default();
    host.ends_with(".example") || host.ends_with(".test") || host.ends_with(".invalid")
}

/// Writes all files, or none: each is complete beside its place before the first is put there.
fn write_all(files: &[(PathBuf, String)]) -> Result<()> {
    let unfinished = |path: &Path| path.with_extension("yaml.unfinished");
    let prepared = files.iter().try_for_each(|(path, text)| {
        let folder = path.parent().unwrap_or(Path::new("."));
        if path.is_dir() {
            return Err(Fault::new(format!("{}: it is a directory", path.display())));
        }
        fs::create_dir_all(folder).map_err(Fault::at(folder))?;
        fs::write(unfinished(path), text).map_err(Fault::at(path))
    });
    let placed = prepared.and_then(|()| {
        files.iter().try_for_each(|(path, _)| fs::rename(unfinished(path), path).map_err(Fault::at(path)))
    });
    if placed.is_err() {
        for (path, _) in files {
            // Those that were not prepared are not there.
            let _ = fs::remove_file(unfinished(path));
        }
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{self, Entries, Entry};
    use crate::krew::Spec;
    use crate::platform::Platform;

    const HOME: &str = "https://example.com/home";

    fn template() -> String {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("krew/manifest.template.yaml")).unwrap()
    }

    fn files(platform: &Platform) -> Entries {
        let entry = |executable: bool| Entry { content: b"x".to_vec(), executable };
        [
            (platform.binary(), true),
            ("LICENSE", false),
            ("README.md", false),
            ("THIRD-PARTY-LICENSES.txt", false),
            ("man/oc-imagepolicy.1", false),
        ]
        .map(|(path, executable)| (path.to_owned(), entry(executable)))
        .into()
    }

    fn archives(version: &str) -> Vec<Archive> {
        let archive = |platform: &'static Platform| Archive {
            name: platform.archive(version),
            platform,
            version: version.to_owned(),
            sha256: archive::sha256(platform.archive(version).as_bytes()),
            files: files(platform),
        };
        PLATFORMS.iter().map(archive).collect()
    }

    #[test]
    fn the_template_makes_a_manifest_that_krew_takes_with_every_platform_that_it_knows() {
        let (text, _) = manifest(&template(), "v1.2.3", HOME, &archives("1.2.3")).unwrap();
        for platform in PLATFORMS {
            let name = platform.archive("1.2.3");
            let place = format!(
                "uri: \"{HOME}/releases/download/v1.2.3/{name}\"\n      sha256: \"{}\"",
                archive::sha256(name.as_bytes())
            );
            assert_eq!(text.contains(&place), (platform.os, platform.arch) != ("linux", "s390x"), "{name}\n{text}");
        }
    }

    /// krew-release-bot's changes are merged without a person where this is so.
    #[test]
    fn a_release_changes_nothing_but_version_uri_and_checksum() {
        let text = |version: &str| manifest(&template(), &format!("v{version}"), HOME, &archives(version)).unwrap().0;
        let (old, new) = (text("1.2.3"), text("2.0.0-rc.1"));
        assert_eq!(old.lines().count(), new.lines().count());
        let changed = old.lines().zip(new.lines()).filter(|(old, new)| old != new);
        let fields: BTreeSet<&str> = changed.map(|(old, _)| old.trim().split(':').next().unwrap()).collect();
        assert_eq!(fields, BTreeSet::from(["sha256", "uri", "version"]));
    }

    #[test]
    fn the_manifest_in_the_repository_is_valid() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("krew/{PLUGIN}.yaml"));
        let text = fs::read_to_string(&path).unwrap();
        let manifest = krew::read(&format!("{PLUGIN}.yaml"), &text).unwrap();
        // Whatever archives there were, and of the version before until there are new ones: the rest of the text is the template's.
        let texts_of = |text: &str| text.split("  platforms:").next().unwrap_or_default().to_owned();
        let commit = text.split("The archives are of commit ").nth(1).and_then(|rest| rest.get(..40)).unwrap();
        assert!(commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{commit}");
        let text = text.strip_prefix(&header(commit)).unwrap();
        let Spec { version, homepage, .. } = &manifest.spec;
        let archives = archives(version.trim_start_matches('v'));
        let rendered = super::manifest(&template(), version, homepage, &archives).unwrap().0;
        assert_eq!(texts_of(text), texts_of(&rendered), "{} is out of date: `release manifests`", path.display());
    }

    #[test]
    fn where_one_file_cannot_be_written_none_is() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = ["first.yaml", "second.yaml"].map(|name| folder.path().join(name));
        fs::write(&first, "old").unwrap();
        fs::create_dir(&second).unwrap();
        let error = write_all(&[(first.clone(), "new".into()), (second, "new".into())]).unwrap_err();
        assert!(error.message.ends_with("second.yaml: it is a directory"), "{error}");
        assert_eq!(fs::read_to_string(&first).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_manifest_of_wrong_archives_is_refused() {
        let mut archives = archives("1.2.3");
        archives[0].files.remove("LICENSE");
        archives[1].files.get_mut("oc-imagepolicy").unwrap().executable = false;
        let error = manifest(&template(), "v1.2.3", HOME, &archives).unwrap_err();
        assert_eq!(
            error.message,
            "the manifest would not be taken:\n  \
             spec.platforms[0]: oc-imagepolicy-v1.2.3-linux-amd64.tar.gz: no LICENSE is installed\n  \
             spec.platforms[1]: oc-imagepolicy-v1.2.3-linux-arm64.tar.gz: \"oc-imagepolicy\" is not executable"
        );
        let error = manifest(&template(), "v1.2.3", "", &archives).unwrap_err();
        assert!(
            error.message.starts_with("krew/manifest.template.yaml: the value of \"homepage\" is empty"),
            "{error}"
        );
        let error = manifest(&format!("{{{{ colour }}}}\n{}", template()), "v1.2.3", HOME, &archives).unwrap_err();
        assert_eq!(error.message, "krew/manifest.template.yaml: line 1: no value for \"colour\"");
    }

    #[test]
    fn the_cli_manager_finds_each_file_in_the_image() {
        let archives = archives("1.2.3");
        let (_, manifest) = manifest(&template(), "v1.2.3", HOME, &archives).unwrap();
        let image = "registry.example.com:5000/tools/oc-imagepolicy:v1.2.3";
        let text = cli_manager::plugin(&manifest.spec, &archives, image, Some("tools/pull.secret")).unwrap();
        let plugin: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        let spec = &plugin["spec"];
        assert_eq!(
            (&plugin["apiVersion"], &plugin["kind"], &plugin["metadata"]["name"]),
            (&"config.openshift.io/v1alpha1".into(), &"Plugin".into(), &PLUGIN.into())
        );
        assert_eq!(spec["shortDescription"], manifest.spec.short_description);
        assert_eq!(spec["platforms"].as_array().unwrap().len(), PLATFORMS.len());
        for (index, archive) in archives.iter().enumerate() {
            let platform = &spec["platforms"][index];
            assert_eq!(platform["platform"], format!("{}/{}", archive.platform.os, archive.platform.arch));
            assert_eq!(
                (&platform["image"], &platform["imagePullSecret"]),
                (&image.into(), &"tools/pull.secret".into())
            );
            let files = platform["files"].as_array().unwrap();
            let stem = format!("/{}/", archive.platform.stem("1.2.3"));
            let paths: Vec<&str> =
                files.iter().map(|file| file["from"].as_str().unwrap().strip_prefix(&stem).unwrap()).collect();
            assert_eq!(paths, [archive.platform.binary(), "LICENSE", "THIRD-PARTY-LICENSES.txt"]);
            assert_eq!(platform["bin"], archive.platform.binary());
        }
    }

    #[test]
    fn what_the_cli_manager_cannot_use_is_refused() {
        let mut archives = archives("1.2.3");
        let (_, manifest) = manifest(&template(), "v1.2.3", HOME, &archives).unwrap();
        let error = |archives: &[Archive], image: &str, secret: Option<&str>| {
            cli_manager::plugin(&manifest.spec, archives, image, secret).unwrap_err().message
        };
        assert_eq!(error(&archives, "tools:v1", None), "--image \"tools:v1\": repository name must be canonical");
        assert_eq!(
            error(&archives, "a.example/T:v1", None),
            "--image \"a.example/T:v1\": invalid reference format: repository name must be lowercase"
        );
        assert_eq!(error(&archives, "a.example/t", None), "--image \"a.example/t\" has no tag and no digest");
        for secret in ["name", "a/b/c", "/b", "a b/c"] {
            let expected = format!("--pull-secret {secret:?} is not NAMESPACE/NAME");
            assert_eq!(error(&archives, "a.example/t:v1", Some(secret)), expected);
        }
        archives[6].files.remove("THIRD-PARTY-LICENSES.txt");
        let expected = "oc-imagepolicy-v1.2.3-darwin-arm64.tar.gz: THIRD-PARTY-LICENSES.txt is missing in it";
        assert_eq!(error(&archives, "a.example/t:v1", None), expected);
    }

    fn listing(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries.map(|path| (path.clone(), fs::read(path).unwrap_or_default())).collect();
        files.sort();
        files
    }

    #[test]
    fn of_bad_archives_nothing_is_made() {
        let linux = &PLATFORMS[0];
        let pack = |version: &str, files: &Entries| {
            (linux.archive(version), archive::pack(linux, version, files, 1_700_000_000).unwrap())
        };
        let whole = pack("1.2.3", &files(linux));
        let mut without_license = files(linux);
        without_license.remove("LICENSE");
        let cut = (whole.0.clone(), whole.1[..whole.1.len() / 2].to_vec());
        let name = &whole.0;
        type Packed = (String, Vec<u8>);
        let cases: &[(&[&Packed], String)] = &[
            (&[], "there is no archive in it".to_owned()),
            (&[&cut], format!("{name}: the archive is damaged")),
            (&[&pack("1.2.3", &without_license)], format!("{name}: LICENSE is missing in it")),
            (
                &[&("oc-imagepolicy-v1.2.3-linux-mips.tar.gz".to_owned(), whole.1.clone())],
                "is the name of no archive".to_owned(),
            ),
            // An archive that was renamed: its directory tells.
            (&[&(PLATFORMS[1].archive("1.2.3"), whole.1.clone())], "oc-imagepolicy-v1.2.3-linux-amd64".to_owned()),
        ];
        for (archives, problem) in cases {
            let directory = tempfile::tempdir().unwrap();
            for (name, bytes) in *archives {
                fs::write(directory.path().join(name), bytes).unwrap();
            }
            let to = tempfile::tempdir().unwrap();
            fs::write(to.path().join(format!("{PLUGIN}.yaml")), "as it was").unwrap();
            let before = (listing(directory.path()), listing(to.path()));
            let args = Args {
                archives: Some(directory.path().to_owned()),
                to: Some(to.path().to_owned()),
                require_all: false,
                image: None,
                pull_secret: None,
            };
            let error = run(Path::new(env!("CARGO_MANIFEST_DIR")), &args).unwrap_err();
            assert!(error.message.contains(problem.as_str()), "{error} is not: {problem}");
            assert_eq!((listing(directory.path()), listing(to.path())), before);
        }
    }

    #[test]
    fn a_release_has_one_version_and_all_its_archives_where_that_is_asked() {
        let mut all = archives("1.2.3");
        assert_eq!(one_version(&all).unwrap(), "1.2.3");
        note_missing(&all, true).unwrap();
        all.remove(5);
        let error = note_missing(&all, true).unwrap_err();
        assert_eq!(error.message, "no archive for darwin/amd64");
        note_missing(&all, false).unwrap();
        // Two for one platform have two versions, or they had one name.
        let newer = archives("1.2.4").remove(0);
        let error = one_version(&[all.remove(0), newer]).unwrap_err();
        assert_eq!(
            error.message,
            "archives of different versions: oc-imagepolicy-v1.2.3-linux-amd64.tar.gz, oc-imagepolicy-v1.2.4-linux-amd64.tar.gz"
        );
    }

    #[test]
    fn files_are_written_all_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let to = |path: PathBuf, text: &str| (path, text.to_owned());
        write_all(&[to(path("a.yaml"), "old"), to(path("new/b.yaml"), "b")]).unwrap();
        assert_eq!(fs::read_to_string(path("new/b.yaml")).unwrap(), "b");
        let before = listing(folder.path());
        write_all(&[to(path("a.yaml"), "new"), to(path("a.yaml/c.yaml"), "c")]).unwrap_err();
        assert_eq!(listing(folder.path()), before);
        write_all(&[to(path("a.yaml"), "new")]).unwrap();
        assert_eq!(fs::read_to_string(path("a.yaml")).unwrap(), "new");
    }

    #[test]
    fn reserved_names() {
        assert!(is_reserved("https://oc-imagepolicy.example") && is_reserved("https://a.test/b"));
        assert!(!is_reserved("https://example.com/x.example") && !is_reserved("https://github.com/a/b"));
    }
}
