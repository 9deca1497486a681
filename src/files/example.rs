//! The example cluster of `docs/example-cluster/`, built into the program.

use super::read::Reader;
use crate::error::Result;
use crate::snapshot::{Laying, Snapshot, Source};

macro_rules! manifests {
    ($($name:literal),* $(,)?) => {
        /// The manifests of the example cluster, by name; a test compares the list with the directory.
        pub const MANIFESTS: &[(&str, &str)] = &[
            $(($name, include_str!(concat!("../../docs/example-cluster/", $name))),)*
        ];
    };
}

manifests!(
    "cluster-image-policies.yaml",
    "cluster-version.yaml",
    "feature-gate.yaml",
    "image-policies.yaml",
    "image.yaml",
    "infrastructure.yaml",
    "machine-configs.yaml",
    "mirrors.yaml",
    "openshift-policy.yaml",
    "pools.yaml",
);

/// What lies on top of it in [`example_in_rollout`].
const ROLLOUT: &str = include_str!("../../docs/example-rollout.yaml");

/// The example cluster in the middle of a rollout: with nodes, and with what their pools were given.
///
/// # Errors
/// None, as long as the manifests are right.
pub fn example_in_rollout() -> Result<Snapshot> {
    let mut snapshot = example()?;
    Reader::new(&mut snapshot, Laying::OnTop).text("docs/example-rollout.yaml", ROLLOUT.to_string())?;
    Ok(snapshot)
}

/// The example cluster (`--example`).
///
/// # Errors
/// None, as long as the manifests are right.
pub fn example() -> Result<Snapshot> {
    let mut snapshot = Snapshot::new(Source::Manifests);
    let mut reader = Reader::new(&mut snapshot, Laying::Beside);
    for (name, text) in MANIFESTS {
        reader.text(&format!("docs/example-cluster/{name}"), text.to_string())?;
    }
    Ok(snapshot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_manifest_of_the_directory_is_built_in() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/example-cluster");
        let names =
            std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.ends_with(".yaml")).collect();
        names.sort();
        assert_eq!(names, MANIFESTS.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn the_example_can_be_read() {
        let snapshot = example().unwrap();
        assert!(snapshot.image.is_some() && snapshot.cluster_version.is_some());
        assert!(snapshot.gaps.is_empty() && snapshot.warnings.is_empty() && snapshot.passed_over.is_empty());
    }
}
