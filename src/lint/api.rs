//! What the API server of the release refuses, and how rules tell of it: each cause belongs to one rule, and what is wrong with
//! one field is one finding.

use std::fmt::Write;
use std::sync::Arc;

use serde_json::Value;

use super::fix::{self, Fix, shell_word};
use super::{Context, Finding, Rule};
use crate::admission::{self, ApiRefusal, ApiRule};
use crate::model::private_keys::redact;
use crate::model::provenance::{ObjectRef, RefusedBy};
use crate::snapshot::{Origin, Snapshot, Source};

/// An object that the API server would not store.
#[derive(Debug)]
pub struct Unstorable<'a> {
    /// What to call it.
    pub object: &'a Arc<ObjectRef>,
    /// Where it stood.
    pub origin: &'a Origin,
    /// As it was written.
    pub raw: &'a Value,
    refusals: Vec<ApiRefusal>,
}

/// One field that the API server refuses.
#[derive(Debug)]
pub struct RefusedField<'c> {
    /// The object.
    pub object: &'c Unstorable<'c>,
    /// The field, such as `spec.scopes[0]`.
    pub path: &'c str,
    /// What stands there: text as it is, anything else as JSON; empty where there is nothing.
    pub value: &'c str,
    /// The server's words, one for each check that failed.
    pub texts: Vec<&'c str>,
}

impl<'a> Context<'a> {
    /// The fields that one rule tells of, in the order of the objects.
    pub fn refused_fields(&self, rule: ApiRule) -> Vec<RefusedField<'_>> {
        let mut fields: Vec<RefusedField<'_>> = Vec::new();
        for object in self.unstorable() {
            let mut refusals: Vec<&ApiRefusal> =
                object.refusals.iter().filter(|refusal| refusal.rule == rule).collect();
            refusals.sort_by(|a, b| a.path.cmp(&b.path));
            fields.extend(refusals.chunk_by(|a, b| a.path == b.path).map(|group| RefusedField {
                object,
                path: &group[0].path,
                value: &group[0].value,
                texts: group.iter().map(|refusal| &*refusal.message).collect(),
            }));
        }
        fields
    }

    /// Whether the API server refuses a field of the object, or what is around or inside of it.
    pub fn api_refuses(&self, object: &ObjectRef, path: &str) -> bool {
        let is_below = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let concerns = |refusal: &ApiRefusal| is_below(&refusal.path, path) || is_below(path, &refusal.path);
        let all = self.unstorable();
        let start = all.partition_point(|unstorable| **unstorable.object < *object);
        let same = all.iter().skip(start).take_while(|unstorable| **unstorable.object == *object);
        same.flat_map(|unstorable| &unstorable.refusals).any(concerns)
    }

    /// Sorted by object.
    fn unstorable(&self) -> &[Unstorable<'a>] {
        self.unstorable.get_or_init(|| {
            let Snapshot { image, cluster_image_policies, image_policies, undecodable, .. } = self.snapshot;
            let image = image.iter().map(|image| (&image.reference, &image.origin, &image.raw));
            let policies = cluster_image_policies.iter().chain(image_policies);
            let policies = policies.map(|policy| (&policy.reference, &policy.origin, &policy.raw));
            let mirrors = self.snapshot.mirror_sets().map(|(_, set)| (&set.reference, &set.origin, &set.raw));
            let undecodable = undecodable.iter().map(|object| (&object.reference, &object.origin, &object.raw));
            let all = image.chain(policies).chain(mirrors).chain(undecodable);
            let judged = all.map(|(object, origin, raw)| Unstorable {
                object,
                origin,
                raw,
                refusals: admission::refusals(self.release, raw),
            });
            let mut unstorable: Vec<Unstorable<'_>> = judged.filter(|object| !object.refusals.is_empty()).collect();
            unstorable.sort_by_key(|unstorable| unstorable.object);
            unstorable
        })
    }
}

impl RefusedField<'_> {
    /// A finding about the field, with what follows from it.
    pub fn finding(&self, context: &Context<'_>, rule: &'static Rule, message: impl Into<String>) -> Finding {
        let mut effect = format!("the API server of OpenShift {} refuses the object: ", context.release);
        for (position, text) in self.texts.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = write!(effect, "{}\"{}: {}\"", if position == 0 { "" } else { "; " }, self.path, redact(text));
        }
        Finding::at(rule, self.object.object, self.object.origin.clone(), self.path, message)
            .effect(effect)
            .refused_by(RefusedBy::Api)
    }

    /// Advice, and a command: for an object of a cluster the one that mends it, for a manifest the one that tries it out.
    pub fn help(&self, context: &Context<'_>, advice: &str, command: Option<String>) -> String {
        match (&context.snapshot.source, self.object.origin) {
            (Source::Manifests, Origin::File { source, .. }) if source.name != "-" => {
                format!(
                    "{advice}\nthen try it, without storing anything:\noc apply --dry-run=server -f {}",
                    shell_word(&source.name)
                )
            }
            _ => match command {
                Some(command) => format!("{advice}:\n{command}"),
                None => advice.to_string(),
            },
        }
    }

    /// Another value in the place of a text, as [`RefusedField::help`] takes it.
    pub fn replaced(&self, by: &str) -> Option<String> {
        Some(fix::replace(self.object.object, self.path, self.value, by))
    }

    /// The same as a fix.
    pub fn replacement(&self, by: &str) -> Fix {
        Fix::correction(self.object.object, self.path, self.value, by)
    }

    /// Without this entry of a list of texts.
    pub fn removed(&self) -> Option<String> {
        Some(fix::remove(self.object.object, self.path, self.value))
    }

    /// The field's own name: `keyData` of `spec.policy.rootOfTrust.publicKey.keyData`.
    pub fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }
}

/// What stands at a path of an object.
pub fn field<'v>(raw: &'v Value, path: &str) -> Option<&'v Value> {
    raw.pointer(&fix::pointer(path)).filter(|value| !value.is_null())
}
