//! What the controller writes, as files in its order.

use std::io::{self, Write};
use std::sync::Arc;

use crate::model::node_files::PolicyForm;
use serde_json::Value;

use super::MANY;
use crate::model::machine_config::{Form, generated_name, ignition, object};
use crate::model::node_files::{
    NAMESPACE_POLICIES, NamespaceFile, NodeFiles, POLICY_JSON, REGISTRIES_CONF, REGISTRIES_CONF_D, REGISTRIES_D,
    SIGSTORE_REGISTRIES,
};
use crate::model::policy::Policy;
use crate::model::policy_write::{Additions, Style, write_policy};
use crate::model::registries_conf::RegistriesConf;
use crate::model::registries_d::RegistriesD;
use crate::model::registries_write;
use crate::model::release::Release;

/// The content of `99-<pool>-generated-registries` or of `99-<pool>-imagepolicy`, the same for every pool.
#[derive(Clone, Debug)]
pub struct Generated {
    /// The release whose controller writes it.
    pub release: &'static Release,
    /// Files that are not written are absent.
    pub files: Arc<NodeFiles>,
}

/// What stands beside a scope in sigstore-registries.yaml.
const ATTACHMENT: u64 = "  :\n    use-sigstore-attachments: true\n".len() as u64;

/// Counts what is written, up to a point.
pub(super) struct Counter {
    pub(super) bytes: u64,
    pub(super) most: u64,
}

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.most { Err(io::Error::other("more than is counted")) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One file that the controller writes. Its bytes come about when they are asked for: a policy.json may have 100 MB.
#[derive(Clone)]
pub struct GeneratedFile<'a> {
    /// On the node.
    pub path: String,
    content: Content<'a>,
    release: &'static Release,
}

#[derive(Clone, Copy)]
enum Content<'a> {
    Registries(&'a RegistriesConf),
    Policy(&'a Policy, Option<&'a Additions>, PolicyForm),
    Attachments(&'a RegistriesD),
    Key(&'a [u8]),
}

impl Generated {
    /// In the order of the Ignition (domain.md 2.9). Namespaces come sorted, as from 4.20 on; before that theirs is random.
    pub fn files(&self) -> Vec<GeneratedFile<'_>> {
        let NodeFiles { policy, namespaces, registries_conf, registries_conf_d, registries_d, keys, .. } = &*self.files;
        let mut files = Vec::new();
        let mut add = |path, content| files.push(GeneratedFile { path, content, release: self.release });
        if let Some(conf) = registries_conf {
            add(REGISTRIES_CONF.to_string(), Content::Registries(conf));
        }
        if let Some(file) = policy {
            add(POLICY_JSON.to_string(), Content::Policy(&file.policy, None, file.form));
        }
        for (name, file) in registries_d {
            add(format!("{REGISTRIES_D}/{name}"), Content::Attachments(file));
        }
        for (namespace, file) in namespaces {
            let content = match (file, policy) {
                (NamespaceFile::Additions { scopes, form }, Some(policy)) => {
                    Content::Policy(&policy.policy, Some(scopes), *form)
                }
                (NamespaceFile::Whole(file), _) => Content::Policy(&file.policy, None, file.form),
                (NamespaceFile::Additions { .. }, None) => continue,
            };
            add(format!("{NAMESPACE_POLICIES}/{namespace}.json"), content);
        }
        for (name, conf) in registries_conf_d {
            add(format!("{REGISTRIES_CONF_D}/{name}"), Content::Registries(conf));
        }
        for (path, keyring) in keys {
            add(path.to_string(), Content::Key(keyring));
        }
        files
    }

    /// Every file with its bytes, all at once: for what has to be complete before anything of it is written. The attachments are
    /// made on a second thread, since sorting very many takes as long as writing the policy.
    pub fn contents(&self) -> Vec<(String, Vec<u8>)> {
        let files = self.files();
        let is_beside = |file: &GeneratedFile| matches!(file.content, Content::Attachments(d) if d.docker.len() > MANY);
        std::thread::scope(|threads| {
            let running: Vec<_> =
                files.iter().map(|file| is_beside(file).then(|| threads.spawn(|| file.bytes()))).collect();
            let here: Vec<_> = files.iter().map(|file| (!is_beside(file)).then(|| file.bytes())).collect();
            let bytes = running
                .into_iter()
                .zip(here)
                .zip(&files)
                .map(|((thread, here), file)| here.or_else(|| thread?.join().ok()).unwrap_or_else(|| file.bytes()));
            let paths = files.iter().map(|file| file.path.clone());
            paths.zip(bytes).collect()
        })
    }

    /// Every file with its bytes, one at a time.
    ///
    /// # Errors
    /// Those of `sink`.
    pub fn write_files(&self, sink: &mut dyn FnMut(&str, &[u8]) -> io::Result<()>) -> io::Result<()> {
        self.files().iter().try_for_each(|file| sink(&file.path, &file.bytes()))
    }
}

impl Generated {
    /// The whole MachineConfig of a pool. Holds its files, in base64, at once.
    pub fn machine_config(&self, pool: &str, form: Form) -> Value {
        let config = ignition(self.contents(), self.release);
        object(&generated_name(pool), pool, config, form, self.release)
    }

    /// The same as two Ignitions, for the second seed's layout: of `99-POOL-generated-registries`, and of
    /// `99-POOL-generated-imagepolicies`, which has nothing but sigstore-registries.yaml.
    pub fn split(&self) -> [Value; 2] {
        let (attachments, rest): (Vec<_>, Vec<_>) =
            self.contents().into_iter().partition(|(path, _)| path == SIGSTORE_REGISTRIES);
        [ignition(rest, self.release), ignition(attachments, self.release)]
    }
}

impl GeneratedFile<'_> {
    /// Writes the bytes in pieces of some 64 KiB.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        match self.content {
            Content::Registries(conf) => {
                out.write_all(registries_write::registries_conf(conf, self.release.layer_store_auth_helper).as_bytes())
            }
            Content::Policy(policy, additions, form) => {
                let style = Style { form, pki_writes_empty_keys: self.release.pki_writes_empty_keys };
                write_policy(out, policy, additions, style)
            }
            Content::Attachments(file) => out.write_all(registries_write::registries_d(file).as_bytes()),
            Content::Key(keyring) => out.write_all(keyring),
        }
    }

    /// How many bytes it has, a percent more or less, or an error where it has more than `most`. Much cheaper than writing it.
    pub(super) fn size(&self, most: u64) -> io::Result<u64> {
        let too_many = || io::Error::other("more than is counted");
        if let Content::Attachments(file) = self.content {
            let size: u64 = file.docker.iter().map(|(scope, _)| scope.len() as u64 + ATTACHMENT).sum();
            return if size > most { Err(too_many()) } else { Ok(size) };
        }
        let mut counter = Counter { bytes: 0, most };
        self.write_to(&mut counter)?;
        Ok(counter.bytes)
    }

    /// All of it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing to memory does not fail.
        let _ = self.write_to(&mut bytes);
        bytes
    }
}
