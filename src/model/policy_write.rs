//! The bytes of a policy.json as the controller writes them (domain.md 2.5 to 2.7).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::encoding::push_json_string;
use super::node_files::PolicyForm;
use super::policy::{
    KeySource, Policy, PolicyRequirement, Requirements, RootOfTrust, SignedIdentity, Sourced, Transport,
};
use super::scopes::Scopes;

/// The policy.json that OpenShift ships: `01-<role>-container-runtime` delivers it (domain.md 2.6).
pub const TEMPLATE: &str = r#"{
    "default": [
        {
            "type": "insecureAcceptAnything"
        }
    ],
    "transports":
        {
            "docker-daemon":
                {
                    "": [{"type":"insecureAcceptAnything"}]
                }
        }
}"#;

/// What a namespace adds to the cluster's policy: scope → requirements, appended to those of the scope.
pub type Additions = BTreeMap<Box<str>, Requirements>;

/// How the controller of one release writes a policy.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// White space.
    pub form: PolicyForm,
    /// Whether all six keys of `pki` are written, empty or not (4.19).
    pub pki_writes_empty_keys: bool,
}

/// Writes a policy, with what a namespace adds to it. Each distinct requirement is rendered once and nothing but those
/// renderings is held, however many scopes there are.
///
/// # Errors
/// Those of `out`.
pub fn write_policy(
    out: &mut dyn Write,
    policy: &Policy,
    additions: Option<&Additions>,
    style: Style,
) -> io::Result<()> {
    if style.form == PolicyForm::Template && additions.is_none() {
        return out.write_all(TEMPLATE.as_bytes());
    }
    let mut writer = Writer { out, buffer: Vec::with_capacity(BUFFER + 4096), style, rendered: HashMap::default() };
    writer.policy(policy, additions)?;
    writer.flush()
}

const BUFFER: usize = 64 * 1024;

struct Writer<'a> {
    out: &'a mut dyn Write,
    buffer: Vec<u8>,
    style: Style,
    /// By address: the policy outlives the writing.
    rendered: HashMap<*const PolicyRequirement, Vec<u8>, foldhash::fast::RandomState>,
}

impl Writer<'_> {
    fn policy(&mut self, policy: &Policy, additions: Option<&Additions>) -> io::Result<()> {
        self.buffer.push(b'{');
        self.new_line(1);
        self.key("default");
        self.requirements(&[&policy.default], 1);
        // `transports,omitempty` does not occur: the template has one.
        self.buffer.push(b',');
        self.new_line(1);
        self.key("transports");
        self.open(b'{');
        let mut names: Vec<&Transport> = policy.transports.keys().collect();
        if additions.is_some() {
            names.extend([&Transport::Atomic, &Transport::Docker]);
            names.sort_unstable();
            names.dedup();
        }
        let docker = policy.transports.get(&Transport::Docker).map(Scopes::sorted).unwrap_or_default();
        let nothing = Scopes::default();
        for (position, name) in names.iter().enumerate() {
            if position > 0 {
                self.buffer.push(b',');
            }
            self.new_line(2);
            self.key(name.as_str());
            let scopes = policy.transports.get(*name).unwrap_or(&nothing);
            let added: Vec<(&str, &Requirements)> = match (name, additions) {
                (Transport::Docker | Transport::Atomic, Some(additions)) => {
                    let fits = |scope: &str| **name == Transport::Docker || fits_atomic(scope);
                    additions.iter().map(|(scope, added)| (&**scope, added)).filter(|(scope, _)| fits(scope)).collect()
                }
                _ => Vec::new(),
            };
            match name {
                Transport::Docker => self.scopes(&docker, &added)?,
                // Sorted already: what the controller writes here is a part of the other.
                Transport::Atomic => {
                    let own = |(scope, _): &'_ (Cow<'_, str>, _)| scopes.get(scope);
                    let from_docker: Vec<(Cow<str>, &Requirements)> =
                        docker.iter().filter_map(|entry| Some((Cow::Borrowed(&*entry.0), own(entry)?))).collect();
                    if from_docker.len() == scopes.len() {
                        self.scopes(&from_docker, &added)?;
                    } else {
                        self.scopes(&scopes.sorted(), &added)?;
                    }
                }
                _ => self.scopes(&scopes.sorted(), &added)?,
            }
        }
        if names.is_empty() {
            self.buffer.push(b'}');
        } else {
            self.new_line(1);
            self.buffer.push(b'}');
        }
        self.new_line(0);
        self.buffer.push(b'}');
        Ok(())
    }

    /// Both lists are sorted; a scope that stands in both gets the requirements of both.
    fn scopes(&mut self, scopes: &[(Cow<'_, str>, &Requirements)], added: &[(&str, &Requirements)]) -> io::Result<()> {
        self.open(b'{');
        let (mut own, mut more) = (scopes.iter().peekable(), added.iter().peekable());
        let mut first = true;
        loop {
            let order = match (own.peek(), more.peek()) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some((own, _)), Some((more, _))) => (**own).cmp(more),
            };
            let own = if order.is_le() { own.next() } else { None };
            let more = if order.is_ge() { more.next() } else { None };
            let Some(scope) = own.map(|(scope, _)| &**scope).or(more.map(|(scope, _)| *scope)) else { break };
            if !first {
                self.buffer.push(b',');
            }
            first = false;
            self.new_line(3);
            self.key(scope);
            match (own, more) {
                (Some((_, own)), Some((_, more))) => self.requirements(&[own, more], 3),
                (Some((_, list)), None) => self.requirements(&[list], 3),
                (None, Some((_, list))) => self.requirements(&[list], 3),
                (None, None) => {}
            }
            if self.buffer.len() >= BUFFER {
                self.flush()?;
            }
        }
        if !first {
            self.new_line(2);
        }
        self.buffer.push(b'}');
        Ok(())
    }

    /// One list made of several, at a depth of keys.
    fn requirements(&mut self, lists: &[&[Sourced]], depth: usize) {
        self.open(b'[');
        let mut first = true;
        for Sourced { requirement, .. } in lists.iter().copied().flatten() {
            if !first {
                self.buffer.push(b',');
            }
            first = false;
            self.new_line(depth + 1);
            // Requirements of scopes stand at one depth only; the default's are rendered for themselves.
            if depth == 3 {
                let address = Arc::as_ptr(requirement);
                let style = self.style;
                let rendered = self.rendered.entry(address).or_insert_with(|| render(requirement, style, depth + 1));
                self.buffer.extend_from_slice(rendered);
            } else {
                let rendered = render(requirement, self.style, depth + 1);
                self.buffer.extend_from_slice(&rendered);
            }
        }
        if !first {
            self.new_line(depth);
        }
        self.buffer.push(b']');
    }

    fn open(&mut self, bracket: u8) {
        self.buffer.push(bracket);
    }

    fn new_line(&mut self, depth: usize) {
        push_new_line(&mut self.buffer, self.style.form, depth);
    }

    fn key(&mut self, key: &str) {
        push_key(&mut self.buffer, self.style.form, key);
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

/// Whether the controller writes a scope under `atomic` too: fewer than three slashes (domain.md 2.6).
pub fn fits_atomic(scope: &str) -> bool {
    scope.bytes().filter(|b| *b == b'/').count() < 3
}

fn push_new_line(out: &mut Vec<u8>, form: PolicyForm, depth: usize) {
    let spaces = match form {
        PolicyForm::Indented(spaces) => usize::from(spaces),
        PolicyForm::Compact | PolicyForm::Template => return,
    };
    out.push(b'\n');
    out.resize(out.len() + depth * spaces, b' ');
}

fn push_key(out: &mut Vec<u8>, form: PolicyForm, key: &str) {
    push_json_string(out, key);
    out.push(b':');
    if matches!(form, PolicyForm::Indented(_)) {
        out.push(b' ');
    }
}

/// A requirement at a depth, in the key order of domain.md 2.5.
fn render(requirement: &PolicyRequirement, style: Style, depth: usize) -> Vec<u8> {
    let mut object = Object::open(style.form, depth);
    match requirement {
        PolicyRequirement::InsecureAcceptAnything => object.text("type", "insecureAcceptAnything"),
        PolicyRequirement::Reject => object.text("type", "reject"),
        PolicyRequirement::SignedBy { key_type, keys, identity } => {
            object.text("type", "signedBy");
            object.text("keyType", key_type);
            object.keys(["keyPath", "keyPaths", "keyData", "keyDatas"], Some(keys));
            object.identity("signedIdentity", identity.as_ref());
        }
        PolicyRequirement::SignedBaseLayer { base_layer_identity } => {
            object.text("type", "signedBaseLayer");
            object.identity("baseLayerIdentity", Some(base_layer_identity));
        }
        PolicyRequirement::SigstoreSigned { root, identity } => {
            object.text("type", "sigstoreSigned");
            const REKOR: [&str; 4] =
                ["rekorPublicKeyPath", "rekorPublicKeyPaths", "rekorPublicKeyData", "rekorPublicKeyDatas"];
            match root {
                RootOfTrust::Keys { keys, rekor } => {
                    object.keys(["keyPath", "keyPaths", "keyData", "keyDatas"], Some(keys));
                    object.keys(REKOR, rekor.as_ref());
                }
                RootOfTrust::Fulcio { ca, oidc_issuer, subject_email, rekor } => {
                    object.nested("fulcio", |fulcio| {
                        fulcio.keys(["caPath", "", "caData", ""], Some(ca));
                        fulcio.text_unless_empty("oidcIssuer", oidc_issuer);
                        fulcio.text_unless_empty("subjectEmail", subject_email);
                    });
                    object.keys(REKOR, Some(rekor));
                }
                RootOfTrust::Pki { roots, intermediates, subject_email, subject_hostname } => {
                    object.nested("pki", |pki| {
                        pki.writes_empty = style.pki_writes_empty_keys;
                        pki.path_and_data("caRootsPath", "caRootsData", Some(roots));
                        pki.path_and_data("caIntermediatesPath", "caIntermediatesData", intermediates.as_ref());
                        pki.text_unless_empty("subjectEmail", subject_email.as_deref().unwrap_or_default());
                        pki.text_unless_empty("subjectHostname", subject_hostname.as_deref().unwrap_or_default());
                    });
                }
            }
            object.identity("signedIdentity", identity.as_ref());
        }
    }
    object.close()
}

/// A JSON object that is being written.
struct Object {
    out: Vec<u8>,
    form: PolicyForm,
    depth: usize,
    is_empty: bool,
    /// Whether empty values are written too.
    writes_empty: bool,
}

impl Object {
    fn open(form: PolicyForm, depth: usize) -> Self {
        Self { out: vec![b'{'], form, depth, is_empty: true, writes_empty: false }
    }

    fn key(&mut self, key: &str) {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        push_new_line(&mut self.out, self.form, self.depth + 1);
        push_key(&mut self.out, self.form, key);
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        push_json_string(&mut self.out, value);
    }

    fn text_unless_empty(&mut self, key: &str, value: &str) {
        if !value.is_empty() || self.writes_empty {
            self.text(key, value);
        }
    }

    fn data(&mut self, key: &str, data: &[u8]) {
        self.text(key, &STANDARD.encode(data));
    }

    fn list<T>(&mut self, key: &str, items: &[T], text: impl Fn(&T) -> String) {
        self.key(key);
        self.out.push(b'[');
        for (position, item) in items.iter().enumerate() {
            if position > 0 {
                self.out.push(b',');
            }
            push_new_line(&mut self.out, self.form, self.depth + 2);
            push_json_string(&mut self.out, &text(item));
        }
        if !items.is_empty() {
            push_new_line(&mut self.out, self.form, self.depth + 1);
        }
        self.out.push(b']');
    }

    fn keys(&mut self, [path, paths, data, datas]: [&str; 4], keys: Option<&KeySource>) {
        match keys.filter(|keys| !keys.is_empty()) {
            None => {}
            Some(KeySource::Path(value)) => self.text(path, value),
            Some(KeySource::Paths(values)) => self.list(paths, values, |value| value.to_string()),
            Some(KeySource::Data(value)) => self.data(data, value),
            Some(KeySource::Datas(values)) => self.list(datas, values, |value| STANDARD.encode(value)),
        }
    }

    /// Path and data of `pki`, where 4.19 writes the absent one too: an empty path, data that is null.
    fn path_and_data(&mut self, path: &str, data: &str, keys: Option<&KeySource>) {
        let keys = keys.filter(|keys| self.writes_empty || !keys.is_empty());
        match keys {
            Some(KeySource::Path(value)) => self.text(path, value),
            _ if self.writes_empty => self.text(path, ""),
            _ => {}
        }
        match keys {
            Some(KeySource::Data(value)) => self.data(data, value),
            _ if self.writes_empty => {
                self.key(data);
                self.out.extend_from_slice(b"null");
            }
            _ => {}
        }
    }

    fn nested(&mut self, key: &str, fill: impl FnOnce(&mut Object)) {
        self.key(key);
        let mut object = Object::open(self.form, self.depth + 1);
        fill(&mut object);
        self.out.extend_from_slice(&object.close());
    }

    fn identity(&mut self, key: &str, identity: Option<&SignedIdentity>) {
        let Some(identity) = identity else { return };
        self.nested(key, |object| match identity {
            SignedIdentity::MatchExact => object.text("type", "matchExact"),
            SignedIdentity::MatchRepoDigestOrExact => object.text("type", "matchRepoDigestOrExact"),
            SignedIdentity::MatchRepository => object.text("type", "matchRepository"),
            SignedIdentity::ExactReference(reference) => {
                object.text("type", "exactReference");
                object.text("dockerReference", reference);
            }
            SignedIdentity::ExactRepository(repository) => {
                object.text("type", "exactRepository");
                object.text("dockerRepository", repository);
            }
            SignedIdentity::RemapIdentity { prefix, signed_prefix } => {
                object.text("type", "remapIdentity");
                object.text("prefix", prefix);
                object.text("signedPrefix", signed_prefix);
            }
        });
    }

    fn close(mut self) -> Vec<u8> {
        if !self.is_empty {
            push_new_line(&mut self.out, self.form, self.depth);
        }
        self.out.push(b'}');
        self.out
    }
}
