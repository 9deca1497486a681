//! The object with which the OpenShift CLI Manager offers the plugin in a cluster: `Plugin` of `config.openshift.io/v1alpha1`, as the
//! CRD of openshift/cli-manager-operator has it. The manager takes the files out of an image, and makes an index for krew of them.

use oc_imagepolicy::commands::PLUGIN;
use oc_imagepolicy::model::reference::ImageReference;
use serde::Serialize;

use crate::archive::Archive;
use crate::fault::{Fault, Result};
use crate::krew::{Spec, is_safe_name};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Plugin<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: Metadata<'a>,
    spec: PluginSpec<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PluginSpec<'a> {
    version: &'a str,
    homepage: &'a str,
    short_description: &'a str,
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    caveats: Option<&'a str>,
    platforms: Vec<PluginPlatform<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PluginPlatform<'a> {
    /// `linux/amd64`
    platform: String,
    image: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_pull_secret: Option<&'a str>,
    files: Vec<File>,
    bin: &'a str,
}

/// A file of the image, by its absolute path: the manager knows neither folders nor wildcards, nor links.
#[derive(Serialize)]
struct File {
    from: String,
    to: &'static str,
}

const HEADER: &str = "# For the OpenShift CLI Manager (docs/install.md): oc apply -f this file, once the image holds the archives' content.\n";

/// The object: the manifest's texts, and each archive's files in the image, where they lie as in the archive.
///
/// # Errors
/// Where the image's name is not written in full with a tag or digest, or the pull secret's not as NAMESPACE/NAME.
pub fn plugin(spec: &Spec, archives: &[Archive], image: &str, pull_secret: Option<&str>) -> Result<String> {
    let reference = ImageReference::parse_canonical(image).map_err(|error| {
        Fault::new(format!("--image {image:?}: {error}"))
            .hint("with registry and tag, as in registry.example.com/tools/oc-imagepolicy:v0.1.0")
    })?;
    if reference.is_name_only() {
        return Err(Fault::new(format!("--image {image:?} has no tag and no digest"))
            .hint("the CLI Manager does not look at an image again unless its name changes: give each version a tag"));
    }
    let is_secret = |secret: &str| {
        let parts: Vec<&str> = secret.split('/').collect();
        parts.len() == 2 && parts.iter().all(|part| is_safe_name(&part.replace('.', "-")))
    };
    if let Some(secret) = pull_secret.filter(|secret| !is_secret(secret)) {
        return Err(Fault::new(format!("--pull-secret {secret:?} is not NAMESPACE/NAME")));
    }
    let platforms = archives.iter().map(|archive| platform(archive, image, pull_secret)).collect::<Result<_>>()?;
    let plugin = Plugin {
        api_version: "config.openshift.io/v1alpha1",
        kind: "Plugin",
        metadata: Metadata { name: PLUGIN },
        spec: PluginSpec {
            version: &spec.version,
            homepage: &spec.homepage,
            short_description: &spec.short_description,
            description: &spec.description,
            caveats: spec.caveats.as_deref(),
            platforms,
        },
    };
    let text = serde_yaml::to_string(&plugin).map_err(|error| Fault::new(error.to_string()))?;
    Ok(format!("{HEADER}{text}"))
}

fn platform<'a>(archive: &Archive, image: &'a str, pull_secret: Option<&'a str>) -> Result<PluginPlatform<'a>> {
    let platform = archive.platform;
    let stem = platform.stem(&archive.version);
    let mut files = Vec::new();
    for path in [platform.binary(), "LICENSE", "THIRD-PARTY-LICENSES.txt"] {
        // The manager waits for as many files as it is asked for, and passes over empty ones.
        archive.file(path)?;
        files.push(File { from: format!("/{stem}/{path}"), to: "." });
    }
    Ok(PluginPlatform {
        platform: format!("{}/{}", platform.os, platform.arch),
        image,
        image_pull_secret: pull_secret,
        files,
        bin: platform.binary(),
    })
}
