//! MachineConfigs: the files in their Ignition, in and out, and how those of a pool become one (domain.md 2.9, 3.1).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flate2::read::MultiGzDecoder;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::release::Release;

/// The label that says which pools take a MachineConfig.
pub const ROLE: &str = "machineconfiguration.openshift.io/role";
/// The annotation by which our own MachineConfigs are known: a hash of what they were made from.
pub const INPUTS: &str = "imagepolicy.openshift.io/inputs";
/// The annotation with what of it is in no object of the API.
pub const MADE_FROM: &str = "imagepolicy.openshift.io/made-from";
/// The annotation with the controller's own version.
pub const GENERATED_BY: &str = "machineconfiguration.openshift.io/generated-by-controller-version";
/// No file of a node is larger here, whatever a compressed one expands to.
const LARGEST_FILE: u64 = 512 << 20;

/// The MachineConfig that the controller generates for a built-in pool.
pub fn generated_name(pool: &str) -> String {
    format!("99-{pool}-generated-registries")
}

/// The MachineConfig of ours, which sorts after the generated one and so wins over it.
pub fn overlay_name(pool: &str) -> String {
    format!("99-{pool}-imagepolicy")
}

/// In the second seed's layout, which no released controller writes: where signatures are looked for, apart from the rest.
pub fn split_name(pool: &str) -> String {
    format!("99-{pool}-generated-imagepolicies")
}

/// One file of an Ignition configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnitionFile<'a> {
    /// On the node.
    pub path: Cow<'a, str>,
    /// `None` where the entry leaves the content to an earlier one.
    pub contents: Option<Contents<'a>>,
    /// What is appended.
    pub append: Vec<DataUrl<'a>>,
}

/// Where the content of a file comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents<'a> {
    /// As it is written.
    Url(DataUrl<'a>),
    /// What the controller generates for this path; it has not been written anywhere yet.
    Generated,
    /// The same of our own MachineConfig.
    Overlay,
}

/// Content as Ignition writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataUrl<'a> {
    /// `data:…`
    pub source: &'a str,
    /// Empty or `gzip`.
    pub compression: &'a str,
}

impl<'a> DataUrl<'a> {
    /// # Errors
    /// What is wrong with it, as half a sentence; content of more than 512 MiB among it.
    pub fn decode(self) -> Result<Vec<u8>, String> {
        self.decode_within(LARGEST_FILE)
    }

    fn decode_within(self, largest: u64) -> Result<Vec<u8>, String> {
        if self.source.is_empty() {
            return Ok(Vec::new());
        }
        let Some(rest) = self.source.strip_prefix("data:") else {
            let scheme = self.source.split(':').next().unwrap_or_default();
            return Err(format!("its content is elsewhere ({}…)", scheme.chars().take(20).collect::<String>()));
        };
        let (meta, data) = rest.split_once(',').ok_or("its data URL has no comma")?;
        let bytes = match meta.ends_with(";base64") {
            true if data.contains(['%', '\n', '\r', ' ']) => {
                let text: Vec<u8> = percent_decode_str(data).filter(|b| !b.is_ascii_whitespace()).collect();
                LENIENT.decode(text)
            }
            true => LENIENT.decode(data),
            false => Ok(percent_decode_str(data).collect()),
        };
        let bytes = bytes.map_err(|error| format!("its data URL is not base64: {error}"))?;
        match self.compression {
            "" => Ok(bytes),
            "gzip" => {
                let mut plain = Vec::new();
                let read = MultiGzDecoder::new(bytes.as_slice()).take(largest + 1).read_to_end(&mut plain);
                read.map_err(|error| format!("its gzip data is broken: {error}"))?;
                if plain.len() as u64 > largest {
                    return Err("it expands to more than 512 MiB".into());
                }
                Ok(plain)
            }
            other => Err(format!("its compression `{}` is unknown", other.chars().take(20).collect::<String>())),
        }
    }

    fn of(resource: &'a Value) -> Option<Self> {
        let text = |key: &str| resource.get(key).and_then(Value::as_str);
        text("source").map(|source| Self { source, compression: text("compression").unwrap_or_default() })
    }
}

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The files of an Ignition configuration (`spec.config`), lenient: what has no path is passed over.
pub fn ignition_files(config: &Value) -> impl Iterator<Item = IgnitionFile<'_>> {
    let files = config.pointer("/storage/files").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    files.iter().filter_map(|file| {
        let append = file.get("append").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Some(IgnitionFile {
            path: file.get("path")?.as_str()?.into(),
            contents: file.get("contents").and_then(DataUrl::of).map(Contents::Url),
            append: append.iter().filter_map(DataUrl::of).collect(),
        })
    })
}

/// A file after merging.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MergedFile<'a> {
    /// MachineConfigs that write it, in the order of merging: all but the last have lost.
    pub writers: Vec<Arc<str>>,
    /// `None` where all of them only append.
    pub contents: Option<Contents<'a>>,
    /// In order.
    pub append: Vec<DataUrl<'a>>,
}

impl MergedFile<'_> {
    /// Whether both give a node the same bytes.
    pub fn has_same_content(&self, other: &Self) -> bool {
        self.contents == other.contents && self.append == other.append
    }

    /// What a node gets, where nothing of it is still to be generated.
    ///
    /// # Errors
    /// As [`DataUrl::decode`].
    pub fn bytes(&self) -> Result<Vec<u8>, String> {
        let mut bytes = match self.contents {
            Some(Contents::Url(url)) => url.decode()?,
            Some(Contents::Generated | Contents::Overlay) | None => Vec::new(),
        };
        // Together they may have no more than one: thousands of small pieces may each expand to very much.
        for url in &self.append {
            bytes.extend(url.decode_within(LARGEST_FILE.saturating_sub(bytes.len() as u64))?);
        }
        Ok(bytes)
    }
}

/// A MachineConfig that takes part in merging.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// `metadata.name`
    pub name: Arc<str>,
    /// The label [`ROLE`].
    pub role: Cow<'a, str>,
    /// Of its Ignition.
    pub files: Vec<IgnitionFile<'a>>,
}

/// Merges the MachineConfigs of one pool: those of role `worker` first, then all others, each bytewise by name (4.14 by name
/// alone); of one path the last content wins, appended pieces add up.
pub fn merge<'a>(mut members: Vec<Member<'a>>, release: &Release) -> (Vec<Arc<str>>, BTreeMap<String, MergedFile<'a>>) {
    let is_late = |member: &Member| release.merges_worker_role_first && member.role != "worker";
    members.sort_by(|a, b| is_late(a).cmp(&is_late(b)).then_with(|| a.name.cmp(&b.name)));
    let mut files: BTreeMap<String, MergedFile> = BTreeMap::new();
    for member in &members {
        for file in &member.files {
            let merged = files.entry(file.path.clone().into_owned()).or_default();
            merged.writers.push(Arc::clone(&member.name));
            merged.append.extend(&file.append);
            if file.contents.is_some() {
                merged.contents = file.contents;
            }
        }
    }
    (members.into_iter().map(|member| member.name).collect(), files)
}

/// How a MachineConfig is put down.
#[derive(Clone, Copy, Debug)]
pub enum Form<'a> {
    /// As an object of the API.
    Object {
        /// `metadata.uid` of the Image, where it is known: the owner.
        image_uid: Option<&'a str>,
        /// The version that the controller of this cluster writes, where it is known.
        controller_version: Option<&'a str>,
    },
    /// As `machine-config-controller bootstrap` writes it: neither apiVersion nor kind, an owner without a name.
    Bootstrap,
}

/// The Ignition of files, in their order (domain.md 2.9).
pub fn ignition<P: AsRef<str>, B: AsRef<[u8]>>(files: impl IntoIterator<Item = (P, B)>, release: &Release) -> Value {
    const SCHEME: &str = "data:text/plain;charset=utf-8;base64,";
    let file = |(path, bytes): (P, B)| {
        let mut source = String::with_capacity(SCHEME.len() + bytes.as_ref().len().div_ceil(3) * 4);
        source.push_str(SCHEME);
        STANDARD.encode_string(bytes.as_ref(), &mut source);
        let contents = Map::from_iter([("compression".into(), "".into()), ("source".into(), Value::String(source))]);
        json!({"overwrite": true, "path": path.as_ref(), "contents": Value::Object(contents), "mode": 0o644})
    };
    let files: Vec<Value> = files.into_iter().map(file).collect();
    let mut config = Map::from_iter([("ignition".to_string(), json!({"version": release.ignition}))]);
    if !files.is_empty() {
        config.insert("storage".into(), Value::Object(Map::from_iter([("files".into(), Value::Array(files))])));
    }
    Value::Object(config)
}

/// A MachineConfig of a pool.
pub fn object(name: &str, pool: &str, config: Value, form: Form, release: &Release) -> Value {
    let owner = |name: &str, uid: &str| json!([{"apiVersion": "config.openshift.io/v1", "kind": "Image", "name": name, "uid": uid}]);
    let mut object = Map::new();
    let mut metadata = Map::from_iter([("name".to_string(), Value::from(name))]);
    let labels = Value::Object(Map::from_iter([(ROLE.to_string(), Value::from(pool))]));
    match form {
        Form::Object { image_uid, controller_version } => {
            object.insert("apiVersion".into(), "machineconfiguration.openshift.io/v1".into());
            object.insert("kind".into(), "MachineConfig".into());
            metadata.insert("labels".into(), labels);
            if let Some(version) = controller_version {
                let annotations = Map::from_iter([(GENERATED_BY.to_string(), Value::from(version))]);
                metadata.insert("annotations".into(), Value::Object(annotations));
            }
            if let Some(uid) = image_uid {
                metadata.insert("ownerReferences".into(), owner("cluster", uid));
            }
        }
        Form::Bootstrap => {
            if release.writes_null_creation_timestamp {
                metadata.insert("creationTimestamp".into(), Value::Null);
            }
            metadata.insert("labels".into(), labels);
            metadata.insert("ownerReferences".into(), owner("", ""));
        }
    }
    let mut spec = Map::from_iter([
        ("osImageURL".to_string(), Value::from("")),
        ("baseOSExtensionsContainerImage".to_string(), Value::from("")),
    ]);
    spec.insert("config".into(), config);
    spec.extend([
        ("kernelArguments".to_string(), Value::Null),
        ("extensions".to_string(), Value::Null),
        ("fips".to_string(), Value::Bool(false)),
        ("kernelType".to_string(), Value::from("")),
    ]);
    object.insert("metadata".into(), Value::Object(metadata));
    object.insert("spec".into(), Value::Object(spec));
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn url<'a>(source: &'a str, compression: &'a str) -> DataUrl<'a> {
        DataUrl { source, compression }
    }

    #[test]
    fn data_urls_of_every_kind() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"hello").unwrap();
        let gzip = format!("data:;base64,{}", STANDARD.encode(gzip.finish().unwrap()));
        for (source, compression, expected) in [
            ("data:,hello%20world%0A", "", Ok("hello world\n")),
            ("data:text/plain;charset=utf-8;base64,aGVsbG8=", "", Ok("hello")),
            ("data:text/plain;base64,aGVsbG8", "", Ok("hello")),
            ("data:;base64,aGVs%62G8%3D", "", Ok("hello")),
            (&gzip, "gzip", Ok("hello")),
            ("", "", Ok("")),
            ("https://x/y", "", Err("its content is elsewhere (https…)")),
            ("data:text/plain", "", Err("its data URL has no comma")),
            ("data:,x", "xz", Err("its compression `xz` is unknown")),
        ] {
            let decoded = url(source, compression).decode().map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(decoded, expected.map(String::from).map_err(String::from), "{source}");
        }
        assert!(url("data:,x", "gzip").decode().is_err());
        assert!(url("data:;base64,a", "").decode().is_err());
    }

    #[test]
    fn a_bomb_does_not_fill_the_memory() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..513 {
            gzip.write_all(&vec![0; 1 << 20]).unwrap();
        }
        let bomb = format!("data:;base64,{}", STANDARD.encode(gzip.finish().unwrap()));
        assert_eq!(url(&bomb, "gzip").decode(), Err("it expands to more than 512 MiB".to_string()));
    }

    #[test]
    fn a_bomb_in_pieces_does_not_fill_the_memory() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..300 {
            gzip.write_all(&vec![0; 1 << 20]).unwrap();
        }
        let piece = format!("data:;base64,{}", STANDARD.encode(gzip.finish().unwrap()));
        let file = MergedFile { append: vec![url(&piece, "gzip"); 1000], ..MergedFile::default() };
        assert_eq!(file.bytes(), Err("it expands to more than 512 MiB".to_string()));
    }

    fn member(role: &'static str, name: &str, source: Option<&'static str>) -> Member<'static> {
        let contents = source.map(|source| Contents::Url(url(source, "")));
        let append = if source.is_none() { vec![url("data:,+", "")] } else { Vec::new() };
        Member {
            name: name.into(),
            role: role.into(),
            files: vec![IgnitionFile { path: "/f".into(), contents, append }],
        }
    }

    /// domain.md 3.1.
    #[test]
    fn the_last_writer_wins() {
        let members = || {
            vec![
                member("infra", "00-infra", Some("data:,infra")),
                member("worker", "99-worker", Some("data:,worker")),
                member("worker", "99-zz", None),
            ]
        };
        let result = |release: &str| {
            let (order, files) = merge(members(), Release::parse(release).unwrap());
            let file = &files["/f"];
            let order = order.join(" ");
            (order, file.writers.join(" "), String::from_utf8(file.bytes().unwrap()).unwrap())
        };
        let (order, writers, content) = result("4.15");
        assert_eq!((order.as_str(), writers), ("99-worker 99-zz 00-infra", order.clone()));
        assert_eq!(content, "infra+");
        let (order, _, content) = result("4.14");
        assert_eq!((order.as_str(), content.as_str()), ("00-infra 99-worker 99-zz", "worker+"));
    }
}
