//! registries.d: where a node looks for signatures.
//!
//! Source: `docker/registries_d.go` of containers/image (domain.md 4.4).

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::go_text::quote;
use super::node_files::REGISTRIES_D;
use super::provenance::Provenance;
use super::reference::{Candidate, ImageReference};

/// One file of `/etc/containers/registries.d`, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistriesD {
    /// `default-docker`
    pub default_docker: Option<SignatureStorage>,
    /// `docker`, in the file's order.
    pub docker: Vec<(Arc<str>, SignatureStorage)>,
}

/// The settings of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignatureStorage {
    /// `lookaside`, or the older `sigstore`: where GPG signatures are read.
    pub lookaside: Option<Box<str>>,
    /// Whether sigstore attachments of the registry are read; `None` where the file does not say.
    pub use_sigstore_attachments: Option<bool>,
    /// Who asked for it.
    pub from: Vec<Provenance>,
}

impl RegistriesD {
    /// From the bytes of a file. `from` says who wrote it.
    ///
    /// # Errors
    /// What is wrong with it, in the YAML parser's words; the node words it differently.
    pub fn read(text: &[u8], from: &Provenance) -> Result<Self, String> {
        let Some(document) = serde_yaml::Deserializer::from_slice(text).next() else { return Ok(Self::default()) };
        let file = Option::<File>::deserialize(document).map_err(|e| format!("yaml: {e}"))?.unwrap_or_default();
        let storage = |section: Section| SignatureStorage {
            lookaside: [section.lookaside, section.sigstore].into_iter().flatten().find(|url| !url.is_empty()),
            use_sigstore_attachments: section.use_sigstore_attachments.map(|Flag(flag)| flag),
            from: vec![from.clone()],
        };
        let sections = file.docker.unwrap_or_default().0.into_iter();
        Ok(Self {
            default_docker: file.default_docker.map(storage),
            docker: sections.map(|(key, section)| (key.into(), storage(section.unwrap_or_default()))).collect(),
        })
    }
}

#[derive(Default, Deserialize)]
struct File {
    #[serde(rename = "default-docker")]
    default_docker: Option<Section>,
    docker: Option<Sections>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Section {
    lookaside: Option<Box<str>>,
    sigstore: Option<Box<str>>,
    // Only their types matter: they are where signatures are written to.
    #[serde(rename = "lookaside-staging")]
    _lookaside_staging: Option<Box<str>>,
    #[serde(rename = "sigstore-staging")]
    _sigstore_staging: Option<Box<str>>,
    use_sigstore_attachments: Option<Flag>,
}

/// In order, each key once.
#[derive(Default)]
struct Sections(Vec<(Box<str>, Option<Section>)>);

impl<'de> Deserialize<'de> for Sections {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Sections;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of namespaces")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Sections, A::Error> {
                let (mut sections, mut seen) = (Vec::new(), HashSet::new());
                while let Some((key, section)) = map.next_entry::<Box<str>, Option<Section>>()? {
                    if !seen.insert(key.clone()) {
                        return Err(A::Error::custom(format!("mapping key {} already defined", quote(&key))));
                    }
                    sections.push((key, section));
                }
                Ok(Sections(sections))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// A boolean, or what go-yaml takes for one where a boolean is wanted.
struct Flag(bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Flag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or false")
            }

            fn visit_bool<E: Error>(self, flag: bool) -> Result<Flag, E> {
                Ok(Flag(flag))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Flag, E> {
                match text {
                    "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Ok(Flag(true)),
                    "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Ok(Flag(false)),
                    _ => Err(E::custom(format!("cannot unmarshal {} into bool", quote(text)))),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// All files of a registries.d together.
#[derive(Clone, Debug, Default)]
pub struct SignatureStorages<'a> {
    default: Option<(&'a str, &'a SignatureStorage)>,
    plain: Sources<'a>,
    /// By what follows `*.`.
    wildcards: Sources<'a>,
}

/// Key → the file's name and the settings.
type Sources<'a> = HashMap<&'a str, (&'a str, &'a SignatureStorage), foldhash::fast::RandomState>;

/// What a node does about signatures at one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StorageSettings<'a> {
    /// As it is written, without the repository that a node appends; `None` for the node's own folder.
    pub lookaside: Option<&'a str>,
    /// Whether sigstore attachments of the registry are read.
    pub sigstore_attachments: bool,
    /// Who decided `sigstore_attachments`; empty where nobody does.
    pub from: &'a [Provenance],
}

impl<'a> SignatureStorages<'a> {
    /// File names and contents, in any order.
    ///
    /// # Errors
    /// The node's words where two files say something of the same key: every pull then fails.
    pub fn merge(files: impl IntoIterator<Item = (&'a str, &'a RegistriesD)>) -> Result<Self, String> {
        let mut merged = Self::default();
        let both = |what: &str, first: &str, second: &str| {
            let path = |name| quote(&format!("{REGISTRIES_D}/{name}"));
            format!(
                "Error parsing signature storage configuration: {what} defined both in {} and {}",
                path(first),
                path(second)
            )
        };
        for (name, file) in files {
            if let Some(storage) = &file.default_docker
                && let Some((first, _)) = merged.default.replace((name, storage))
            {
                return Err(both("\"default-docker\"", first, name));
            }
            for (key, storage) in &file.docker {
                let before = match key.strip_prefix("*.") {
                    Some(suffix) => merged.wildcards.insert(suffix, (name, storage)),
                    None => merged.plain.insert(key, (name, storage)),
                };
                if let Some((first, _)) = before {
                    return Err(both(&format!("\"docker\" namespace {}", quote(key)), first, name));
                }
            }
        }
        Ok(merged)
    }

    /// What holds for the image at one place that it is pulled from: each setting from the most specific section that has it.
    pub fn settings(&self, physical: &ImageReference<'_>) -> StorageSettings<'a> {
        let mut settings = StorageSettings::default();
        let mut decided = false;
        let sections = physical.candidates().filter_map(|candidate| match candidate {
            Candidate::Scope(scope) => self.plain.get(scope),
            Candidate::Wildcard(suffix) => self.wildcards.get(suffix),
        });
        for (_, section) in sections.chain(&self.default) {
            settings.lookaside = settings.lookaside.or(section.lookaside.as_deref());
            if let Some(flag) = section.use_sigstore_attachments
                && !decided
            {
                decided = true;
                settings.sigstore_attachments = flag;
                settings.from = &section.from;
            }
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: Provenance = Provenance::Default("test");

    fn read(text: &str) -> RegistriesD {
        RegistriesD::read(text.as_bytes(), &FROM).unwrap()
    }

    #[test]
    fn each_setting_comes_from_the_most_specific_section_that_has_it() {
        let a = read(
            "default-docker:\n  lookaside: file:///d\n  use-sigstore-attachments: on\ndocker:\n  q.io/t/a:v1:\n    lookaside: https://v1\n  q.io/t:\n    use-sigstore-attachments: false\n    sigstore: https://t\n  '*.x.io':\n    use-sigstore-attachments: no\n  10.1:\n",
        );
        let b = read("docker:\n  q.io:\n    lookaside: https://q\n    unknown: [1]\n");
        let merged = SignatureStorages::merge([("a.yaml", &a), ("b.yaml", &b)]).unwrap();
        for (image, lookaside, attachments) in [
            ("q.io/t/a:v1", "https://v1", false),
            ("q.io/t/b:v1", "https://t", false),
            ("q.io/u", "https://q", true),
            ("a.x.io/u", "file:///d", false),
            ("other.io/u", "file:///d", true),
        ] {
            let settings = merged.settings(&ImageReference::parse(image).unwrap());
            assert_eq!((settings.lookaside, settings.sigstore_attachments), (Some(lookaside), attachments), "{image}");
        }
    }

    #[test]
    fn one_key_in_two_files_is_refused() {
        let a = read("default-docker: {}\ndocker: {a.io: {}}");
        let b = read("docker: {'a.io': {}}");
        let c = read("default-docker: {}");
        assert_eq!(
            SignatureStorages::merge([("a.yaml", &a), ("b.yaml", &b)]).unwrap_err(),
            "Error parsing signature storage configuration: \"docker\" namespace \"a.io\" defined both in \"/etc/containers/registries.d/a.yaml\" and \"/etc/containers/registries.d/b.yaml\""
        );
        assert_eq!(
            SignatureStorages::merge([("a.yaml", &a), ("c.yaml", &c)]).unwrap_err(),
            "Error parsing signature storage configuration: \"default-docker\" defined both in \"/etc/containers/registries.d/a.yaml\" and \"/etc/containers/registries.d/c.yaml\""
        );
    }

    #[test]
    fn damaged_files_are_refused() {
        for text in [
            "docker: {a: {}, a: {}}",
            "docker: [a]",
            "docker: {a: {use-sigstore-attachments: maybe}}",
            "docker: {a: {use-sigstore-attachments: 'true'}}",
            "docker: {a: {lookaside: [x]}}",
            "a: b: c",
        ] {
            assert!(RegistriesD::read(text.as_bytes(), &FROM).is_err(), "{text}");
        }
        for text in ["", "# nothing", "docker:", "docker: {a: }", "other: [1, {x: y}]", "default-docker: null"] {
            assert!(RegistriesD::read(text.as_bytes(), &FROM).is_ok(), "{text}");
        }
    }
}
