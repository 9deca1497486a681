//! IMP701

use std::collections::HashSet;
use std::sync::Arc;

use crate::lint::few::keep_few;
use crate::lint::gpg::field;
use crate::lint::policies::is_shipped;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::provenance::ObjectRef;
use crate::model::scope_index::ScopeIndex;

pub static RULE: Rule = Rule {
    code: 701,
    name: "wide-scope",
    level: Level::Warning,
    confidence: Confidence::Heuristic,
    refused_by: &[],
    releases: "all",
    pitfalls: &[],
    needs: &[],
    summary: "A wildcard for a whole top-level domain, or a registry without TLS where signatures are asked for.",
    why: "`*.com` is everybody's: in `allowedRegistries` it lets in what any stranger publishes, in `insecureRegistries` it turns off TLS for all of them, in a policy it demands your signature for images \
that you do not sign, OpenShift's own among them if they come from there. And a signature protects what an image contains, not the way to it: over a connection without TLS, or with any \
certificate, somebody on the way reads the pull secret, and can hand out an old signed image in the place of the new one.",
    fix: "Name the registries, or the domain that is yours: `*.example.com`. Give the registry a certificate, put its authority into `additionalTrustedCA` of Image/cluster, and take it out of \
`insecureRegistries`.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    allowedRegistries: [quay.io, "*.com"]
"#,
        },
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    insecureRegistries: [registry.example.com]
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
"#,
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    insecureRegistries: [registry.lab.local]
    allowedRegistries: [quay.io, "*.example.com", "*.local", registry.lab.local]
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: ["*.example.com"]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let mut found = Vec::new();
    all(context, &mut found);
    findings.extend(keep_few(found));
}

fn all(context: &Context<'_>, findings: &mut Vec<Finding>) {
    top_level(context, findings);
    insecure(context, findings);
}

/// Names that nobody can register.
const PRIVATE: &[&str] = &[
    "corp",
    "example",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "private",
    "svc",
    "test",
];

/// The `com` of `*.com`.
fn top_level_domain(scope: &str) -> Option<&str> {
    let domain = scope.strip_prefix("*.")?;
    let is_label = !domain.is_empty() && domain.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (is_label && !PRIVATE.contains(&domain)).then_some(domain)
}

fn top_level(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let scopes = context.scopes();
    for asked in scopes.cluster.iter().chain(&scopes.tenants).filter(|asked| !is_shipped(asked.policy)) {
        let Some(domain) = top_level_domain(asked.scope) else { continue };
        let message = format!("{} is every registry under .{domain}", shown(asked.scope));
        let finding = Finding::new(&RULE, asked.policy, asked.path(), message)
            .effect(format!(
                "nodes reject every image from a registry under .{domain} that this policy's key has not signed, whoever publishes it"
            ))
            .help(format!("name the registries that you sign for, and take this one out:\n{}", scopes.drop_scope(&asked.cause())));
        findings.push(Finding { witness: scopes.witness(asked.scope, asked.namespace()), ..finding });
    }
    let Some(image) = &context.snapshot.image else { return };
    let lists = &image.value.spec.registry_sources;
    for (list, entries, what) in [
        ("allowedRegistries", &lists.allowed_registries, "nodes accept whatever anybody publishes under"),
        (
            "insecureRegistries",
            &lists.insecure_registries,
            "nodes pull without TLS or with any certificate from every registry under",
        ),
    ] {
        for (index, entry) in entries.iter().flatten().enumerate() {
            let Some(domain) = top_level_domain(entry) else { continue };
            let path = format!("spec.registrySources.{list}[{index}]");
            let message = format!("{} is every registry under .{domain}", shown(entry));
            let finding = Finding::new(&RULE, image, &path, message)
                .effect(format!("{what} .{domain}"))
                .help(format!(
                    "name the registries that you use, and take this one out:\n{}",
                    fix::remove(&image.reference, &path, entry)
                ))
                .witness(format!("registry.{domain}/app:latest"));
            findings.push(finding);
        }
    }
}

/// Entries of insecureRegistries that have to do with scopes for which a signature is asked.
fn insecure(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let Some(image) = &context.snapshot.image else { return };
    let listed = image.value.spec.registry_sources.insecure_registries.as_deref().unwrap_or_default();
    if listed.is_empty() {
        return;
    }
    let scopes = context.scopes();
    let asked = scopes.cluster.iter().chain(&scopes.tenants).filter(|asked| !is_shipped(asked.policy));
    let asked = asked.map(|asked| (asked.scope, &asked.policy.reference, asked.path()));
    let signed = context.signed().iter();
    let signed = signed.filter_map(|signed| field(signed).map(|(object, path)| (&*signed.scope, object, path)));
    let demands: Vec<(&str, &Arc<ObjectRef>, String)> = asked.chain(signed).collect();
    let index = ScopeIndex::new(demands.iter().map(|(scope, ..)| *scope));
    let mut seen: HashSet<&str, foldhash::fast::RandomState> = HashSet::default();
    for (number, entry) in listed.iter().enumerate().filter(|(_, entry)| top_level_domain(entry).is_none()) {
        if !seen.insert(entry) {
            continue;
        }
        let around = index.containing(entry).next();
        let Some((scope, object, field)) =
            around.or_else(|| index.nested_in(entry).into_iter().min()).and_then(|position| demands.get(position))
        else {
            continue;
        };
        let path = format!("spec.registrySources.insecureRegistries[{number}]");
        let message = match around {
            Some(_) if scope == entry => {
                format!("{} is insecure, and {object} asks for signatures there", shown(entry))
            }
            Some(_) => format!("{} is insecure, inside of {} of {object}", shown(entry), shown(scope)),
            None => format!("{} is insecure, around {} of {object}", shown(entry), shown(scope)),
        };
        let finding = Finding::new(&RULE, image, &path, message)
            .effect(
                "images and signatures come over a connection that anybody on the way can change: the signature still decides what runs, \
                 but the pull secret can be read, and an older signed image be handed out",
            )
            .help(format!(
                "put the authority of the registry's certificate into spec.additionalTrustedCA of Image/cluster, then take it out of the list:\n{}",
                fix::remove(&image.reference, &path, entry)
            ))
            .related(object, field, format!("asks for signatures of {}", shown(scope)));
        findings.push(finding);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_level_domains() {
        for (scope, expected) in [
            ("*.com", Some("com")),
            ("*.io", Some("io")),
            ("*.example.com", None),
            ("*.local", None),
            ("com", None),
            ("*.", None),
            ("*.com/x", None),
            ("*.com:5000", None),
        ] {
            assert_eq!(top_level_domain(scope), expected, "{scope}");
        }
    }
}
