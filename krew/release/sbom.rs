//! `sbom.cdx.json`: what is in the program, as CycloneDX 1.5 by cargo-cyclonedx, and what the program was made of.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::dependencies::Package;
use crate::fault::{Fault, Result};
use crate::platform::Platform;
use crate::repository::Repository;
use crate::run;
use crate::tools::Tools;

/// What every archive says of how it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub commit: String,
    /// `clean` or `dirty`.
    pub tree: String,
    /// cargo's profile: `release`, but for tests.
    pub profile: String,
    /// `rustc 1.95.0 (59807616e 2026-04-14)`
    pub rustc: String,
}

impl Origin {
    fn names(&self) -> [(&'static str, &str); 4] {
        [
            ("oc-imagepolicy:commit", &self.commit),
            ("oc-imagepolicy:tree", &self.tree),
            ("oc-imagepolicy:profile", &self.profile),
            ("oc-imagepolicy:rustc", &self.rustc),
        ]
    }
}

/// The bytes of the file: nothing in it depends on the machine.
///
/// # Errors
/// Where cargo-cyclonedx fails.
pub fn text(repository: &Repository, platform: &Platform, origin: &Origin, tools: &Tools) -> Result<String> {
    // It writes beside Cargo.toml: that is done in a place that looks like the repository.
    let place =
        tempfile::tempdir().map_err(|error| Fault::new(format!("cannot make a temporary directory: {error}")))?;
    // As cargo names it in what it writes: a Mac's temporary directory is behind a link.
    let home = fs::canonicalize(place.path()).map_err(Fault::at(place.path()))?;
    mirror(&repository.root, &home)?;
    let mut cargo = Command::new("cargo");
    cargo.args([
        "cyclonedx",
        "--quiet",
        "--quiet",
        "--format",
        "json",
        "--spec-version",
        "1.5",
        "--describe",
        "binaries",
    ]);
    cargo.args(["--target", platform.triple, "--manifest-path"]).arg(home.join("Cargo.toml"));
    run::run(cargo.env("PATH", tools.path()?).env("SOURCE_DATE_EPOCH", repository.seconds.to_string()))?;
    let path = home.join("oc-imagepolicy_bin.cdx.json");
    let text = fs::read_to_string(&path).map_err(Fault::at(&path))?;
    let text = text.replace(&format!("path+file://{}", home.display()), "path+file:///oc-imagepolicy");
    let mut sbom: Value =
        serde_json::from_str(&text).map_err(|error| Fault::new(format!("cargo-cyclonedx writes no JSON: {error}")))?;
    let properties = sbom.pointer_mut("/metadata/properties").and_then(Value::as_array_mut);
    let properties = properties.ok_or_else(|| Fault::new("cargo-cyclonedx writes no metadata.properties"))?;
    properties.extend(origin.names().map(|(name, value)| json!({"name": name, "value": value})));
    Ok(format!("{sbom:#}\n"))
}

fn mirror(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).map_err(Fault::at(from))? {
        let entry = entry.map_err(Fault::at(from))?;
        let name = entry.file_name();
        if name == ".git" || name == "target" {
            continue;
        }
        let path = entry.path();
        // cargo may write Cargo.lock.
        if path.is_file() {
            fs::copy(&path, to.join(&name)).map_err(Fault::at(&path))?;
            continue;
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink(&path, to.join(&name)).map_err(Fault::at(&path))?;
        #[cfg(not(unix))]
        return Err(Fault::new("releases are made on Linux and macOS"));
    }
    Ok(())
}

/// A file that was read from an archive.
pub struct Sbom(Value);

impl Sbom {
    /// # Errors
    /// Where this is no CycloneDX of ours.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let sbom: Value =
            serde_json::from_slice(bytes).map_err(|error| Fault::new(format!("it is no JSON: {error}")))?;
        let is = |pointer: &str, wanted: &str| match sbom.pointer(pointer).and_then(Value::as_str) {
            Some(found) if found == wanted => Ok(()),
            found => Err(Fault::new(format!("{pointer} is {found:?}, not {wanted:?}"))),
        };
        is("/bomFormat", "CycloneDX")?;
        is("/specVersion", "1.5")?;
        is("/metadata/component/name", "oc-imagepolicy")?;
        is("/metadata/component/type", "application")?;
        Ok(Self(sbom))
    }

    /// How the archive was made.
    ///
    /// # Errors
    /// Where it does not say it.
    pub fn origin(&self) -> Result<Origin> {
        let text = |name| {
            self.property(name).map(str::to_owned).ok_or_else(|| Fault::new(format!("the property {name} is missing")))
        };
        Ok(Origin {
            commit: text("oc-imagepolicy:commit")?,
            tree: text("oc-imagepolicy:tree")?,
            profile: text("oc-imagepolicy:profile")?,
            rustc: text("oc-imagepolicy:rustc")?,
        })
    }

    /// Whether it is about this version for this platform, and names every crate.
    ///
    /// # Errors
    /// With what is missing.
    pub fn verify(&self, version: &str, platform: &Platform, packages: &[Package]) -> Result<()> {
        let found = self.0.pointer("/metadata/component/version").and_then(Value::as_str);
        if found != Some(version) {
            return Err(Fault::new(format!("it is about version {found:?}, not {version}")));
        }
        let target = self.property("cdx:rustc:sbom:target:triple");
        if target != Some(platform.triple) {
            return Err(Fault::new(format!("it is about the target {target:?}, not {}", platform.triple)));
        }
        let components = self.0.get("components").and_then(Value::as_array).into_iter().flatten();
        let components: std::collections::BTreeSet<(&str, &str)> = components
            .filter_map(|component| Some((component.get("name")?.as_str()?, component.get("version")?.as_str()?)))
            .collect();
        for package in packages {
            if !components.contains(&(package.name.as_str(), package.version.as_str())) {
                return Err(Fault::new(format!("{} {} is missing in it", package.name, package.version)));
            }
        }
        Ok(())
    }

    fn property(&self, name: &str) -> Option<&str> {
        let mut properties = self.0.pointer("/metadata/properties")?.as_array()?.iter();
        properties.find(|property| property.get("name").and_then(Value::as_str) == Some(name))?.get("value")?.as_str()
    }
}
