//! Properties of what a node reads and looks up: printing and reading go together, and lookups agree with plain models of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use oc_imagepolicy::model::node_files::{NodeFiles, POLICY_JSON, PolicyFile, PolicyForm};
use oc_imagepolicy::model::policy::{
    KeySource, Policy, PolicyRequirement, RootOfTrust, SignedIdentity, Sourced, Transport,
};
use oc_imagepolicy::model::policy_write::{Style, write_policy};
use oc_imagepolicy::model::provenance::Provenance;
use oc_imagepolicy::model::reference::ImageReference;
use oc_imagepolicy::model::registries_conf::{LoadedRegistries, Mirror, PullFromMirror, RegistriesConf, Registry};
use oc_imagepolicy::model::registries_d::{RegistriesD, SignatureStorage};
use oc_imagepolicy::model::registries_write;
use oc_imagepolicy::resolve::{Matched, Resolver};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const FROM: Provenance = Provenance::Default("test");

fn name() -> impl Strategy<Value = String> {
    let host =
        select(vec!["a.io", "b.a.io", "c.b.a.io", "a.io:5000", "b.a.io:5000", "localhost", "io.io", "docker.io"]);
    (host, vec(select(vec!["t", "t2", "library", "x-y"]), 1..4))
        .prop_map(|(host, path)| format!("{host}/{}", path.join("/")))
}

fn image() -> impl Strategy<Value = String> {
    let end = select(vec![String::new(), ":v1".into(), ":v2".into(), format!("@sha256:{}", "a".repeat(64))]);
    (name(), end).prop_map(|(name, end)| name + &end)
}

/// Images, their repositories and parents, hosts, wildcards, and texts that are none of these.
fn scope() -> impl Strategy<Value = String> {
    let parent = (image(), any::<prop::sample::Index>()).prop_map(|(image, index)| {
        let cuts: Vec<usize> = image.match_indices(['/', ':']).map(|(at, _)| at).collect();
        image[..cuts[index.index(cuts.len())]].to_string()
    });
    let wildcard = select(vec!["*.io", "*.a.io", "*.b.a.io", "*.o", "*.", "*"]).prop_map(String::from);
    prop_oneof![1 => image(), 2 => parent, 1 => wildcard, 1 => Just(String::new()), 1 => "[a-z.:/@*]{0,8}"]
}

fn text() -> impl Strategy<Value = Box<str>> {
    prop_oneof!["[a-z/.]{1,9}", "\\PC{1,6}", ".{1,6}"].prop_map(Box::from)
}

fn data() -> impl Strategy<Value = Box<[u8]>> {
    vec(any::<u8>(), 1..20).prop_map(Box::from)
}

fn keys() -> impl Strategy<Value = KeySource> {
    prop_oneof![
        text().prop_map(KeySource::Path),
        vec(text(), 1..3).prop_map(|paths| KeySource::Paths(paths.into())),
        data().prop_map(KeySource::Data),
        vec(data(), 1..3).prop_map(|datas| KeySource::Datas(datas.into())),
    ]
}

fn certificate() -> impl Strategy<Value = KeySource> {
    prop_oneof![text().prop_map(KeySource::Path), data().prop_map(KeySource::Data)]
}

fn identity() -> impl Strategy<Value = SignedIdentity> {
    prop_oneof![
        Just(SignedIdentity::MatchExact),
        Just(SignedIdentity::MatchRepoDigestOrExact),
        Just(SignedIdentity::MatchRepository),
        name().prop_map(|name| SignedIdentity::ExactReference(format!("{name}:v1").into())),
        name().prop_map(|name| SignedIdentity::ExactRepository(name.into())),
        (name(), name()).prop_map(|(prefix, signed)| {
            SignedIdentity::RemapIdentity { prefix: prefix.into(), signed_prefix: signed.into() }
        }),
    ]
}

fn requirement() -> impl Strategy<Value = PolicyRequirement> {
    let sigstore = |root: BoxedStrategy<RootOfTrust>| {
        (root, prop::option::of(identity()))
            .prop_map(|(root, identity)| PolicyRequirement::SigstoreSigned { root, identity })
    };
    let by_keys =
        (keys(), prop::option::of(keys())).prop_map(|(keys, rekor)| RootOfTrust::Keys { keys, rekor }).boxed();
    let fulcio = (certificate(), text(), text(), keys())
        .prop_map(|(ca, oidc_issuer, subject_email, rekor)| RootOfTrust::Fulcio {
            ca,
            oidc_issuer,
            subject_email,
            rekor,
        })
        .boxed();
    let pki = (certificate(), prop::option::of(certificate()), text(), prop::option::of(text()))
        .prop_map(|(roots, intermediates, subject, subject_email)| RootOfTrust::Pki {
            roots,
            intermediates,
            subject_email,
            subject_hostname: Some(subject),
        })
        .boxed();
    let by_keyring = (certificate(), prop::option::of(identity()))
        .prop_map(|(keys, identity)| PolicyRequirement::SignedBy { key_type: "GPGKeys".into(), keys, identity });
    prop_oneof![
        Just(PolicyRequirement::InsecureAcceptAnything),
        Just(PolicyRequirement::Reject),
        identity().prop_map(|base_layer_identity| PolicyRequirement::SignedBaseLayer { base_layer_identity }),
        by_keyring,
        sigstore(by_keys),
        sigstore(fulcio),
        sigstore(pki),
    ]
}

fn list() -> impl Strategy<Value = Vec<PolicyRequirement>> {
    vec(requirement(), 1..3)
}

type Bare = BTreeMap<(String, String), Vec<PolicyRequirement>>;

fn policy(bare: &Bare) -> Policy {
    let sourced =
        |requirement: &PolicyRequirement| Sourced { requirement: Arc::new(requirement.clone()), from: vec![] };
    let mut policy = Policy::default();
    for ((transport, scope), list) in bare {
        let list = list.iter().map(sourced).collect();
        if transport == "default" {
            policy.default = list;
        } else {
            policy.transports.entry(Transport::from(&**transport)).or_default().insert(scope, list);
        }
    }
    policy
}

fn bare(policy: &Policy) -> Bare {
    let bare = |list: &[Sourced]| list.iter().map(|sourced| (*sourced.requirement).clone()).collect();
    let scopes = policy.transports.iter().flat_map(|(transport, scopes)| {
        scopes.iter().map(|(scope, list)| ((transport.to_string(), scope.into_owned()), bare(list)))
    });
    scopes.chain([(("default".into(), String::new()), bare(&policy.default))]).collect()
}

/// What an image is looked up as: name, and tag or digest.
fn as_looked_up(image: &str) -> (String, String) {
    let image = match image.strip_prefix("docker.io/") {
        Some(path) if !path.contains('/') => format!("docker.io/library/{path}"),
        _ => image.to_string(),
    };
    let path = image.rfind('/').unwrap();
    match image[path..].find(['@', ':']) {
        Some(end) => (image[..path + end].to_string(), image[path + end..].to_string()),
        None => (image, ":latest".into()),
    }
}

/// The most specific of the scopes, by their meaning: the image itself, then the longest name that it is or lies in, then the
/// longest wildcard above its host.
fn most_specific<'s>(scopes: impl Iterator<Item = &'s str>, image: &str) -> Option<&'s str> {
    let (name, end) = as_looked_up(image);
    let host = name.split(['/', ':']).next().unwrap();
    let rank = |scope: &str| {
        if scope == format!("{name}{end}") {
            Some((2, scope.len()))
        } else if name == scope || (!scope.is_empty() && name.starts_with(&format!("{scope}/"))) {
            Some((1, scope.len()))
        } else {
            let suffix = scope.strip_prefix('*').filter(|suffix| suffix.starts_with('.') && suffix.len() > 1)?;
            host.ends_with(suffix).then_some((0, scope.len()))
        }
    };
    scopes.filter_map(|scope| Some((rank(scope)?, scope))).max().map(|(_, scope)| scope)
}

proptest! {
    #[test]
    fn a_policy_that_is_written_is_read_back(
        default in list(),
        docker in prop::collection::btree_map(scope(), list(), 0..6),
        other in prop::collection::btree_map(text(), list(), 0..3),
        spaces in prop::option::of(0_u8..4),
    ) {
        let mut written: Bare = [(("default".to_string(), String::new()), default)].into();
        written.extend(docker.into_iter().map(|(scope, list)| (("docker".into(), scope), list)));
        written.extend(other.into_iter().map(|(scope, list)| (("unknown".into(), scope.into()), list)));
        let form = spaces.map_or(PolicyForm::Compact, PolicyForm::Indented);
        let mut bytes = Vec::new();
        write_policy(&mut bytes, &policy(&written), None, Style { form, pki_writes_empty_keys: false }).unwrap();
        let files = NodeFiles::read([(POLICY_JSON, &bytes, None)]);
        prop_assert!(files.unreadable.is_empty(), "{:?}", files.unreadable);
        prop_assert_eq!(bare(&files.policy.unwrap().policy), written.clone());
        prop_assert_eq!(policy(&written).check(), Ok(()));
    }

    #[test]
    fn the_most_specific_scope_decides(scopes in vec(scope(), 0..12), image in image()) {
        let anything = vec![PolicyRequirement::InsecureAcceptAnything];
        let mut written: Bare = [(("default".to_string(), String::new()), anything.clone())].into();
        written.extend(scopes.iter().map(|scope| (("docker".into(), scope.clone()), anything.clone())));
        let policy = PolicyFile { policy: policy(&written), form: PolicyForm::Compact };
        let files = NodeFiles { policy: Some(policy), ..NodeFiles::default() };
        let resolver = Resolver::new(&files, None).unwrap();
        let resolution = resolver.resolve(&image).unwrap();
        let by_meaning = most_specific(scopes.iter().map(|scope| &**scope), &image);
        let default = scopes.iter().any(String::is_empty).then_some("");
        let wanted = by_meaning.or(default).map_or(Matched::Default, |scope| Matched::Scope(scope.into()));
        prop_assert_eq!(resolution.matched(), wanted);
        let tried = resolution.candidates();
        prop_assert!(tried.iter().rev().skip(1).all(|(_, matched)| !matched));
        prop_assert_eq!(tried.last().is_some_and(|(_, matched)| *matched), resolution.matched() != Matched::Default);
    }

    #[test]
    fn a_reference_that_is_printed_is_read_back(image in prop_oneof![image(), name(), "[a-z.:/@_-]{1,20}", ".{0,12}"]) {
        if let Ok(reference) = ImageReference::parse(&image) {
            let text = reference.to_string();
            let again = ImageReference::parse(&text).unwrap();
            prop_assert_eq!(&again, &reference);
            let canonical = ImageReference::parse_canonical(&text);
            prop_assert_eq!(canonical.as_ref(), Ok(&reference));
            let end = reference.tag().map(|tag| format!(":{tag}")).or(reference.digest().map(|digest| format!("@{digest}")));
            prop_assert_eq!(format!("{}{}", reference.name(), end.unwrap()), text);
        }
    }

    #[test]
    fn registries_conf_is_read_back(
        search in prop::option::of(vec(select(vec!["a.io", "b.io:5000"]), 0..3)),
        entries in vec((scope(), name(), vec((name(), any::<bool>(), 0..3_usize), 0..3)), 0..6),
    ) {
        let modes = [PullFromMirror::Unset, PullFromMirror::DigestOnly, PullFromMirror::TagOnly];
        let mirror = |(location, insecure, mode): (String, bool, usize)| {
            Mirror { location, insecure, pull_from_mirror: modes[mode], from: vec![FROM] }
        };
        let entry = |(prefix, location, mirrors): (String, String, Vec<_>)| Registry {
            prefix,
            location,
            mirrors: mirrors.into_iter().map(mirror).collect(),
            from: vec![FROM],
            ..Registry::default()
        };
        let conf = RegistriesConf {
            unqualified_search_registries: search.map(|list| list.into_iter().map(String::from).collect()),
            registries: entries.into_iter().map(entry).collect(),
            ..RegistriesConf::default()
        };
        let written = registries_write::registries_conf(&conf, true);
        match RegistriesConf::read(written.as_bytes(), false, &FROM) {
            Ok(read) => {
                prop_assert_eq!(&read.registries, &conf.registries);
                let list = |conf: &RegistriesConf| conf.unqualified_search_registries.clone().unwrap_or_default();
                prop_assert_eq!(list(&read), list(&conf));
            }
            Err(text) => prop_assert_eq!(LoadedRegistries::load_one(conf).err(), Some(text)),
        }
    }

    #[test]
    fn the_longest_prefix_is_found(prefixes in vec(scope(), 0..10), reference in prop_oneof![image(), name(), scope()]) {
        let usable = |prefix: &&String| {
            let is_bad_wildcard = prefix.starts_with("*.") && prefix.contains(['/', '@', ':']);
            !is_bad_wildcard && !prefix.trim_end_matches('/').is_empty()
        };
        let entry = |prefix: &String| Registry { prefix: prefix.clone(), location: "l.io".into(), ..Registry::default() };
        let registries = prefixes.iter().filter(usable).map(entry).collect();
        let loaded = LoadedRegistries::load_one(RegistriesConf { registries, ..RegistriesConf::default() }).unwrap();
        let matches = |prefix: &str| {
            let end = match prefix.strip_prefix('*').filter(|suffix| suffix.starts_with('.')) {
                Some(suffix) => match reference.find(suffix) {
                    Some(at) if !reference[..at].contains('/') => at + suffix.len(),
                    _ => return false,
                },
                None if reference.starts_with(prefix) => prefix.len(),
                None => return false,
            };
            reference[end..].is_empty() || reference[end..].starts_with([':', '/', '@'])
        };
        // As the engine does: one after the other, and only a longer one replaces.
        let mut wanted: Option<&Registry> = None;
        for entry in loaded.entries() {
            if matches(&entry.prefix) && wanted.is_none_or(|best| entry.prefix.len() > best.prefix.len()) {
                wanted = Some(entry);
            }
        }
        prop_assert_eq!(loaded.find(&reference), wanted);
    }

    #[test]
    fn registries_d_is_read_back(keys in prop::collection::btree_set(prop_oneof![scope(), "[0-9.e]{1,6}"], 0..8)) {
        let storage = SignatureStorage { lookaside: None, use_sigstore_attachments: Some(true), from: vec![FROM] };
        let docker = keys.iter().map(|key| (key.as_str().into(), storage.clone())).collect();
        let file = RegistriesD { default_docker: None, docker };
        let written = registries_write::registries_d(&file);
        let read = RegistriesD::read(written.as_bytes(), &FROM);
        let sorted = |file: RegistriesD| file.docker.into_iter().collect::<BTreeMap<_, _>>().into_keys().collect::<Vec<_>>();
        prop_assert_eq!(read.map(sorted), Ok(sorted(file)), "{}", written);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..60), text in "[{}\\[\\]\":,a-z0-9\\\\]{0,60}") {
        for content in [&bytes[..], text.as_bytes()] {
            let _ = Policy::read(content, &FROM);
            let _ = RegistriesConf::read(content, false, &FROM);
            let _ = RegistriesD::read(content, &FROM);
        }
    }
}
