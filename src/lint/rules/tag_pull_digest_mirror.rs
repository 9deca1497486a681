//! IMP307

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use crate::lint::mirrors::others;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::provenance::ObjectRef;
use crate::model::reference::ImageReference;
use crate::model::registries_conf::{LoadedRegistries, PullFromMirror, Registry};

pub static RULE: Rule = Rule {
    code: 307,
    name: "tag-pull-digest-mirror",
    level: Level::Warning,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "all",
    pitfalls: &[],
    needs: &[],
    summary: "Images are asked for by tag, and their source is mirrored for digests only.",
    why: "The mirrors of an ImageDigestMirrorSet, and of an ImageContentSourcePolicy, serve pulls by digest. For a tag the node passes over them and \
          goes to the source: in a disconnected cluster the pod does not start, in a connected one the image comes from where nobody wanted it to \
          come from. With `NeverContactSource` nothing is left to pull from at all.",
    fix: "Ask for the image by digest, or add an ImageTagMirrorSet for the source.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: datacentre}
spec:
  imageDigestMirrors:
    - source: registry.example.com/team
      mirrors: ['mirror.example.com:8443/team']
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  containers:
    - name: web
      image: registry.example.com/team/web:v1
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: datacentre}
spec:
  imageDigestMirrors:
    - source: registry.example.com/team
      mirrors: ['mirror.example.com:8443/team']
---
apiVersion: config.openshift.io/v1
kind: ImageTagMirrorSet
metadata: {name: datacentre}
spec:
  imageTagMirrors:
    - source: registry.example.com/team/web
      mirrors: ['mirror.example.com:8443/team/web']
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  containers:
    - name: web
      image: registry.example.com/team/web:v1
    - name: log
      image: registry.example.com/team/log@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
",
        },
    ],
    check,
};

/// Who asks for an image by tag.
struct Asking {
    object: Arc<ObjectRef>,
    path: String,
    image: String,
    pods: usize,
}

/// A source that is mirrored for digests only, and what is asked for there by tag.
struct Source {
    name: String,
    is_blocked: bool,
    mirror: String,
    first: Asking,
    images: usize,
    pods: usize,
}

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let asking = asking(context);
    if asking.is_empty() {
        return;
    }
    let mut sources: BTreeMap<(Arc<ObjectRef>, String), Source> = BTreeMap::new();
    // Pools of one registries.conf tell the same.
    for group in context.groups() {
        let Ok(registries) = group.files.load_registries() else { continue };
        let mut of_group: BTreeMap<(Arc<ObjectRef>, String), Source> = BTreeMap::new();
        for asking in &asking {
            if let Some((written, entry)) = digest_only(context, &registries, &asking.image) {
                let source = of_group.entry(written).or_insert_with(|| Source::new(entry, asking));
                source.images += 1;
                source.pods += asking.pods;
            }
        }
        for (written, source) in of_group {
            sources.entry(written).or_insert(source);
        }
    }
    for ((object, path), source) in sources {
        findings.push(finding(context, &object, &path, source));
    }
}

/// Images that pods ask for by tag, and scopes that name one.
fn asking(context: &Context<'_>) -> Vec<Asking> {
    let has_tag = |image: &str| {
        ImageReference::parse(image).is_ok_and(|reference| reference.digest().is_none() && reference.tag().is_some())
    };
    let used = context.images_in_use().iter().filter(|used| has_tag(used.image)).filter_map(|used| {
        let (pod, container) = used.pods.first()?;
        let path = pod.containers.get(*container)?.path();
        Some(Asking { object: pod.reference.clone(), path, image: used.image.to_string(), pods: used.count })
    });
    let scopes = context.scopes();
    let names_a_tag = |scope: &str| fix::repository(scope).is_some() && !scope.contains('@');
    let asked = scopes.cluster.iter().chain(&scopes.tenants).filter(|asked| names_a_tag(asked.scope));
    let asked = asked.filter(|asked| has_tag(asked.scope)).map(|asked| Asking {
        object: asked.policy.reference.clone(),
        path: asked.path(),
        image: asked.scope.to_string(),
        pods: 0,
    });
    used.chain(asked).collect()
}

/// The entry for an image, where it has mirrors and none of them serves tags, and what to blame for the first of them.
fn digest_only<'r>(
    context: &Context<'_>,
    registries: &'r LoadedRegistries,
    image: &str,
) -> Option<((Arc<ObjectRef>, String), &'r Registry)> {
    let reference = ImageReference::parse(image).ok()?;
    let entry = registries.find(reference.name())?;
    let serves_tags = |from: PullFromMirror| !entry.mirror_by_digest_only && from != PullFromMirror::DigestOnly;
    if entry.mirrors.iter().any(|mirror| serves_tags(mirror.pull_from_mirror)) {
        return None;
    }
    let first = entry.mirrors.first()?;
    let (object, path) = first.from.iter().find_map(|from| context.written(from))?;
    let path = match path.split_once("].mirrors[") {
        Some((rule, _)) => format!("{rule}].source"),
        None => path,
    };
    Some(((object, path), entry))
}

impl Source {
    fn new(entry: &Registry, asking: &Asking) -> Self {
        let Asking { object, path, image, pods } = asking;
        Self {
            name: entry.scope().to_string(),
            is_blocked: entry.blocked,
            mirror: entry.mirrors.first().map(|mirror| mirror.location.clone()).unwrap_or_default(),
            first: Asking { object: object.clone(), path: path.clone(), image: image.clone(), pods: *pods },
            images: 0,
            pods: 0,
        }
    }
}

fn finding(context: &Context<'_>, object: &Arc<ObjectRef>, path: &str, source: Source) -> Finding {
    let Source { name, is_blocked, mirror, first, images, pods } = source;
    let more = if images > 1 { format!(" and {}", others(images, "image")) } else { String::new() };
    let by = match pods {
        0 => "a policy's scope names".to_string(),
        1 => "a pod asks for".to_string(),
        pods => format!("{pods} pods ask for"),
    };
    let message =
        format!("{} is mirrored for digests only, and {by} {}{more} by tag", shown(&name), shown(&first.image));
    let effect = match is_blocked {
        true => "such a pull fails: the mirrors are passed over, and nodes may not contact the source",
        false => {
            "such a pull passes over the mirrors and goes to the source, which a disconnected cluster cannot reach"
        }
    };
    let set = json!({
        "apiVersion": "config.openshift.io/v1", "kind": "ImageTagMirrorSet", "metadata": {"name": "tags"},
        "spec": {"imageTagMirrors": [{"source": name, "mirrors": [mirror]}]},
    });
    let help = format!(
        "ask for it by digest, or mirror tags as well, if the mirror has them:\noc apply -f - <<<{}",
        fix::shell_word(&set.to_string())
    );
    Finding::at(&RULE, object, context.origin(object), path, message)
        .effect(effect)
        .help(help)
        .related(&first.object, &first.path, "names a tag")
        .witness(first.image)
}
