//! Everything a node reads when it pulls, as one value. All three truths (desired, rendered, node) have this shape, so one
//! lookup and one comparison serve them all.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::go_text::quote;
use super::policy::{Policy, PolicyRequirement, Requirements, Sourced, Transport};
use super::policy_write::{TEMPLATE, fits_atomic};
use super::provenance::{Cause, ObjectRef, Provenance, Refusal, RefusalReason, RefusedBy};
use super::registries_conf::{LoadedRegistries, RegistriesConf};
use super::registries_d::{RegistriesD, SignatureStorages};

/// `/etc/containers/policy.json`
pub const POLICY_JSON: &str = "/etc/containers/policy.json";
/// `/etc/containers/registries.conf`
pub const REGISTRIES_CONF: &str = "/etc/containers/registries.conf";
/// Drop-ins of registries.conf.
pub const REGISTRIES_CONF_D: &str = "/etc/containers/registries.conf.d";
/// Where the controller puts the search list.
pub const SEARCH_REGISTRIES: &str = "/etc/containers/registries.conf.d/01-image-searchRegistries.conf";
/// Our own file there: where GPG signatures are found.
pub const LOOKASIDE_REGISTRIES: &str = "/etc/containers/registries.d/imagepolicy.yaml";
/// Where signatures are looked for.
pub const REGISTRIES_D: &str = "/etc/containers/registries.d";
/// The controller's own file there.
pub const SIGSTORE_REGISTRIES: &str = "/etc/containers/registries.d/sigstore-registries.yaml";
/// Where nodes look for GPG signatures of images for which registries.d names no place.
pub const DEFAULT_LOOKASIDE: &str = "file:///var/lib/containers/sigstore";
/// RHCOS ships a file of registries.d for each of these registries, `NAME.yaml`, with a lookaside.
pub const SHIPPED_LOOKASIDES: [&str; 2] = ["registry.access.redhat.com", "registry.redhat.io"];
/// The keyring with which Red Hat signs, shipped by RHCOS (domain.md 8.1).
pub const SHIPPED_KEYRING: &str = "/etc/pki/rpm-gpg/RPM-GPG-KEY-redhat-release";
/// One policy a namespace, `NAMESPACE.json`; where one exists it replaces policy.json for pods of that namespace.
pub const NAMESPACE_POLICIES: &str = "/etc/crio/policies";

/// The last part of a path.
pub fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The files of one node, or of every node of a pool, or those that the controller generates (then without what it leaves alone).
#[derive(Clone, Debug, Default)]
pub struct NodeFiles {
    /// `None`: the file is absent.
    pub policy: Option<PolicyFile>,
    /// `/etc/crio/policies`, by namespace.
    pub namespaces: BTreeMap<Box<str>, NamespaceFile>,
    /// `None`: the file is absent.
    pub registries_conf: Option<RegistriesConf>,
    /// `registries.conf.d/*.conf` by file name; [`SEARCH_REGISTRIES`] among them.
    pub registries_conf_d: BTreeMap<Box<str>, RegistriesConf>,
    /// `registries.d/*.yaml` by file name; [`SIGSTORE_REGISTRIES`] among them.
    pub registries_d: BTreeMap<Box<str>, RegistriesD>,
    /// Keyrings by path: those that MachineConfigs deliver and a policy or `signedRegistries` names.
    pub keys: BTreeMap<Box<str>, Arc<[u8]>>,
    /// By path: what could not be read at all when this was made from bytes. Such a file is then absent above.
    pub unreadable: BTreeMap<Box<str>, Refusal>,
}

/// A policy.json and how it is written.
#[derive(Clone, Debug, Default)]
pub struct PolicyFile {
    /// The content.
    pub policy: Policy,
    /// The bytes' shape, where the controller writes it.
    pub form: PolicyForm,
}

/// How the bytes of a policy.json come about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PolicyForm {
    /// The template's bytes, unchanged (domain.md 2.6 step 1).
    Template,
    /// Go's JSON without white space (to 4.16).
    #[default]
    Compact,
    /// Go's indented JSON, with so many spaces a level.
    Indented(u8),
}

/// One file of `/etc/crio/policies`.
#[derive(Clone, Debug)]
pub enum NamespaceFile {
    /// What the controller adds to the cluster's policy: scope → further requirements, appended to those of that scope
    /// (domain.md 2.7). The file on the node is the sum; with 100,000 scopes it must not be held for every namespace.
    Additions {
        /// Scope → requirements of the namespace's ImagePolicies.
        scopes: BTreeMap<Box<str>, Requirements>,
        /// How the file is written.
        form: PolicyForm,
    },
    /// A file that was read back.
    Whole(PolicyFile),
}

impl NodeFiles {
    /// From the files of a node: path, content, and the MachineConfig that wrote it where that is known. Other paths than those
    /// that a node reads here are passed over; what cannot be read goes to [`NodeFiles::unreadable`].
    pub fn read<P: AsRef<str>, B: AsRef<[u8]>>(files: impl IntoIterator<Item = (P, B, Option<Arc<str>>)>) -> Self {
        let mut all = Self::default();
        for (path, content, machine_config) in files {
            let path = path.as_ref();
            let from = Provenance::File { machine_config, path: path.into() };
            if let Err((reason, text)) = all.read_one(path, content.as_ref(), &from) {
                let causes = causes([&from], "");
                all.unreadable.insert(path.into(), Refusal { by: RefusedBy::Node, reason, text, causes });
            }
        }
        all
    }

    fn read_one(&mut self, path: &str, content: &[u8], from: &Provenance) -> Result<(), (RefusalReason, String)> {
        let policy = || {
            let policy =
                Policy::read(content, from).map_err(|e| (RefusalReason::PolicyUnreadable, invalid_policy(path, &e)))?;
            Ok(PolicyFile { policy, form: form_of(content) })
        };
        let registries = |is_drop_in, what| {
            RegistriesConf::read(content, is_drop_in, from)
                .map_err(|e| (RefusalReason::RegistriesUnreadable, format!("loading {what} {}: {e}", quote(path))))
        };
        if path == POLICY_JSON {
            self.policy = Some(policy()?);
        } else if path == REGISTRIES_CONF {
            self.registries_conf = Some(registries(false, "registries configuration")?);
        } else if let Some(namespace) = in_folder(path, NAMESPACE_POLICIES).and_then(|name| name.strip_suffix(".json"))
        {
            self.namespaces.insert(namespace.into(), NamespaceFile::Whole(policy()?));
        } else if let Some(name) = in_folder(path, REGISTRIES_CONF_D).filter(|name| name.ends_with(".conf")) {
            self.registries_conf_d.insert(name.into(), registries(true, "drop-in registries configuration")?);
        } else if let Some(name) = in_folder(path, REGISTRIES_D).filter(|name| name.ends_with(".yaml")) {
            let unreadable = |e| (RefusalReason::RegistriesDUnreadable, format!("parsing {path}: {e}"));
            self.registries_d.insert(name.into(), RegistriesD::read(content, from).map_err(unreadable)?);
        }
        Ok(())
    }

    /// What a node says on reading all of this: one refusal for each thing that it would refuse, each with everybody who asked for
    /// it. Of one file the node itself says the first and stops.
    pub fn check(&self) -> Vec<Refusal> {
        self.refusals_by_path().into_iter().map(|(_, refusal)| refusal).collect()
    }

    /// The same with the path of the file that is refused; what several files have wrong together stands under the first's folder.
    pub fn refusals_by_path(&self) -> Vec<(String, Refusal)> {
        let mut all: Vec<(String, Refusal)> =
            self.unreadable.iter().map(|(path, refusal)| (path.to_string(), refusal.clone())).collect();
        if let Some(file) = &self.policy {
            all.extend(policy_refusals(POLICY_JSON, &file.policy).into_iter().map(|r| (POLICY_JSON.to_string(), r)));
        }
        for (namespace, file) in &self.namespaces {
            let path = namespace_policy_path(namespace);
            let refusals = match file {
                NamespaceFile::Whole(file) => policy_refusals(&path, &file.policy),
                NamespaceFile::Additions { scopes, .. } => addition_refusals(&path, scopes),
            };
            all.extend(refusals.into_iter().map(|refusal| (path.clone(), refusal)));
        }
        all.extend(self.load_registries().err().map(|refusal| (REGISTRIES_CONF.to_string(), refusal)));
        all.extend(self.merge_registries_d().err().map(|refusal| (REGISTRIES_D.to_string(), refusal)));
        all
    }

    /// registries.conf with its drop-ins.
    ///
    /// # Errors
    /// What the node says on loading them.
    pub fn load_registries(&self) -> Result<LoadedRegistries, Refusal> {
        let drop_ins: Vec<_> = self
            .registries_conf_d
            .iter()
            .filter(|(name, _)| name.ends_with(".conf"))
            .map(|(name, file)| (format!("{REGISTRIES_CONF_D}/{name}"), file.clone()))
            .collect();
        let drop_ins = drop_ins.iter().map(|(path, file)| (&**path, file.clone()));
        LoadedRegistries::load(self.registries_conf.clone(), drop_ins).map_err(|text| Refusal {
            by: RefusedBy::Node,
            reason: RefusalReason::RegistriesUnreadable,
            text,
            causes: Vec::new(),
        })
    }

    /// registries.d as one.
    ///
    /// # Errors
    /// What the node says where two files have the same key.
    pub fn merge_registries_d(&self) -> Result<SignatureStorages<'_>, Refusal> {
        let files = self.registries_d.iter().filter(|(name, _)| name.ends_with(".yaml"));
        SignatureStorages::merge(files.map(|(name, file)| (&**name, file))).map_err(|text| Refusal {
            by: RefusedBy::Node,
            reason: RefusalReason::RegistriesDUnreadable,
            text,
            causes: Vec::new(),
        })
    }
}

/// `/etc/crio/policies/NAMESPACE.json`
pub fn namespace_policy_path(namespace: &str) -> String {
    format!("{NAMESPACE_POLICIES}/{namespace}.json")
}

/// What a node says of one policy file, one refusal for each text.
pub(crate) fn policy_refusals(path: &str, policy: &Policy) -> Vec<Refusal> {
    let faults = policy.faults();
    grouped(
        path,
        faults.iter().map(|fault| {
            let scope = fault.place.as_ref().map_or("", |(_, scope)| scope);
            (&*fault.text, scope, fault.requirements)
        }),
    )
}

/// The same of what a namespace adds.
pub(crate) fn addition_refusals(path: &str, scopes: &BTreeMap<Box<str>, Requirements>) -> Vec<Refusal> {
    // As the controller writes it: every scope for docker, those with fewer than three slashes for atomic too.
    let anything = Sourced { requirement: Arc::new(PolicyRequirement::InsecureAcceptAnything), from: Vec::new() };
    let mut policy = Policy { default: [anything].into(), ..Policy::default() };
    for (scope, requirements) in scopes {
        let mut add = |transport| policy.transports.entry(transport).or_default().insert(scope, requirements.clone());
        add(Transport::Docker);
        if fits_atomic(scope) {
            add(Transport::Atomic);
        }
    }
    policy_refusals(path, &policy)
}

fn grouped<'f>(path: &str, faults: impl Iterator<Item = (&'f str, &'f str, &'f [Sourced])>) -> Vec<Refusal> {
    let mut refusals: Vec<Refusal> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for (text, scope, requirements) in faults {
        let index = *known.entry(text).or_insert(refusals.len());
        if index == refusals.len() {
            refusals.push(Refusal {
                by: RefusedBy::Node,
                reason: RefusalReason::PolicyUnreadable,
                text: invalid_policy(path, text),
                causes: Vec::new(),
            });
        }
        if let Some(refusal) = refusals.get_mut(index) {
            refusal.causes.extend(causes(requirements.iter().flat_map(|sourced| &sourced.from), scope));
        }
    }
    for refusal in &mut refusals {
        refusal.causes.sort();
        refusal.causes.dedup();
    }
    refusals
}

fn invalid_policy(path: &str, text: &str) -> String {
    format!("invalid policy in {}: {text}", quote(path))
}

/// A default is nobody's, and of a file without a MachineConfig the text says all there is.
fn causes<'f>(from: impl IntoIterator<Item = &'f Provenance>, value: &str) -> Vec<Cause> {
    let cause = |object, path| Cause { object, path, value: value.to_string() };
    let of = |from: &Provenance| match from {
        Provenance::Field { object, path } => Some(cause(object.clone(), path.to_string())),
        Provenance::File { machine_config: Some(name), path } => {
            let object = ObjectRef {
                api_version: "machineconfiguration.openshift.io/v1".into(),
                kind: "MachineConfig".into(),
                namespace: None,
                name: (**name).into(),
            };
            Some(cause(Arc::new(object), path.to_string()))
        }
        Provenance::File { machine_config: None, .. } | Provenance::Default(_) => None,
    };
    from.into_iter().filter_map(of).collect()
}

fn in_folder<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    path.strip_prefix(folder)?.strip_prefix('/').filter(|name| !name.contains('/'))
}

/// How a file was written, from its second line.
fn form_of(content: &[u8]) -> PolicyForm {
    if content == TEMPLATE.as_bytes() {
        return PolicyForm::Template;
    }
    match content.strip_prefix(b"{\n") {
        Some(rest) => {
            let spaces = rest.iter().take_while(|&&b| b == b' ').count();
            PolicyForm::Indented(u8::try_from(spaces).unwrap_or(2))
        }
        None => PolicyForm::Compact,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::provenance::FieldPath;

    const GOOD: &str = r#"{"default": [{"type": "reject"}]}"#;

    fn read(files: &[(&str, &str)]) -> NodeFiles {
        NodeFiles::read(files.iter().map(|(path, content)| (*path, *content, Some(Arc::from("51-own")))))
    }

    #[test]
    fn files_are_known_by_their_paths() {
        let files = read(&[
            (POLICY_JSON, TEMPLATE),
            ("/etc/crio/policies/shop.json", "{\n  \"default\": [{\"type\": \"reject\"}]\n}"),
            (REGISTRIES_CONF, "[[registry]]\nlocation = 'a.io'"),
            (SEARCH_REGISTRIES, "unqualified-search-registries = ['b.io']"),
            (SIGSTORE_REGISTRIES, "docker: {a.io: {use-sigstore-attachments: true}}"),
            ("/etc/containers/registries.d/README", "x: ["),
            ("/etc/containers/registries.conf.d/sub/x.conf", "["),
            ("/etc/hosts", "["),
        ]);
        assert!(files.unreadable.is_empty(), "{:?}", files.unreadable);
        assert_eq!(files.policy.as_ref().unwrap().form, PolicyForm::Template);
        let NamespaceFile::Whole(shop) = &files.namespaces["shop"] else { panic!("not a whole file") };
        assert_eq!(shop.form, PolicyForm::Indented(2));
        assert_eq!(files.load_registries().unwrap().search(), ["b.io"]);
        assert_eq!(files.registries_d.keys().map(|name| &**name).collect::<Vec<_>>(), ["sigstore-registries.yaml"]);
        assert!(files.check().is_empty());
    }

    #[test]
    fn unreadable_files_are_refusals_that_name_file_and_machine_config() {
        for (path, content, text) in [
            (POLICY_JSON, "{}", "invalid policy in \"/etc/containers/policy.json\": Default policy is missing"),
            (
                "/etc/crio/policies/a.json",
                "{}",
                "invalid policy in \"/etc/crio/policies/a.json\": Default policy is missing",
            ),
            (
                REGISTRIES_CONF,
                "[[registry]]",
                "loading registries configuration \"/etc/containers/registries.conf\": invalid condition: both location and prefix are unset",
            ),
            (
                "/etc/containers/registries.conf.d/x.conf",
                "[registries.search]\nregistries = []",
                "loading drop-in registries configuration \"/etc/containers/registries.conf.d/x.conf\": registry must be in v2 format but is in v1",
            ),
        ] {
            let refusals = read(&[(path, content)]).check();
            let [refusal] = &*refusals else { panic!("{path}: {refusals:?}") };
            assert_eq!((refusal.by, &*refusal.text), (RefusedBy::Node, text));
            let [cause] = &*refusal.causes else { panic!("{path}: {refusal:?}") };
            assert_eq!((&*cause.object.kind, &*cause.object.name, &*cause.path), ("MachineConfig", "51-own", path));
        }
        let twice = [
            (POLICY_JSON, GOOD),
            ("/etc/containers/registries.d/a.yaml", "docker: {x: {}}"),
            ("/etc/containers/registries.d/b.yaml", "docker: {x: {}}"),
        ];
        let refusals = read(&twice).check();
        assert!(matches!(&*refusals, [one] if one.reason == RefusalReason::RegistriesDUnreadable), "{refusals:?}");
    }

    #[test]
    fn what_a_node_will_refuse_is_traced_to_the_fields_that_ask_for_it() {
        let object = |name: &str| ObjectRef {
            api_version: "config.openshift.io/v1".into(),
            kind: "ClusterImagePolicy".into(),
            namespace: None,
            name: name.into(),
        };
        let asked = |name: &str, index| Provenance::Field {
            object: Arc::new(object(name)),
            path: FieldPath::indexed("spec.scopes[]", index),
        };
        let list = |from| -> Requirements {
            [Sourced { requirement: Arc::new(PolicyRequirement::Reject), from: vec![from] }].into()
        };
        let mut files = read(&[(POLICY_JSON, GOOD)]);
        let policy = &mut files.policy.as_mut().unwrap().policy;
        for transport in [Transport::Docker, Transport::Atomic] {
            let scopes = policy.transports.entry(transport).or_default();
            scopes.insert("b.io/app:v1", list(asked("b", 0)));
            scopes.insert("a.io/app:v1", list(asked("a", 3)));
            scopes.insert("a.io", list(asked("a", 4)));
        }
        let added = [("c.io/x:1".into(), list(asked("c", 0))), ("c.io/a/b/x:1".into(), list(asked("c", 1)))].into();
        files.namespaces.insert("n".into(), NamespaceFile::Additions { scopes: added, form: PolicyForm::Compact });
        let told: Vec<String> = files
            .check()
            .iter()
            .map(|refusal| {
                let causes = refusal.causes.iter().map(|c| format!("{} {} {}", c.object.name, c.path, c.value));
                format!("{} <- {}", refusal.text, causes.collect::<Vec<_>>().join(", "))
            })
            .collect();
        assert_eq!(
            told,
            [
                r#"invalid policy in "/etc/containers/policy.json": Unknown key "a.io/app:v1" <- a spec.scopes[3] a.io/app:v1"#,
                r#"invalid policy in "/etc/containers/policy.json": Unknown key "b.io/app:v1" <- b spec.scopes[0] b.io/app:v1"#,
                r#"invalid policy in "/etc/crio/policies/n.json": Unknown key "c.io/x:1" <- c spec.scopes[0] c.io/x:1"#,
            ]
        );
    }
}
