//! IMP313

use serde_json::Value;

use crate::compile::NoteKind;
use crate::lint::api::field;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::snapshot::Kind;

pub static RULE: Rule = Rule {
    code: 313,
    name: "mirror-set-ignored",
    level: Level::Warning,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "all",
    pitfalls: &[34],
    needs: &[],
    summary: "A source of a mirror set has no mirror but itself, so the whole entry is ignored.",
    why: "The controller passes over an entry that has no mirrors, or none but the source itself, and its `mirrorSourcePolicy` with it. Whoever \
          wrote `NeverContactSource` to keep nodes away from a registry has not done so: they pull from it as before.",
    fix: "Name a mirror, or take the entry out. To keep nodes away from a registry without a mirror, write it in `blockedRegistries` of \
          Image/cluster.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: no-hub}
spec:
  imageDigestMirrors:
    - source: docker.io
      mirrorSourcePolicy: NeverContactSource   # has no effect
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: no-hub}
spec:
  imageDigestMirrors:
    - source: docker.io
      mirrors: [mirror.example.com/hub]
      mirrorSourcePolicy: NeverContactSource
",
        },
    ],
    check,
};

const NEVER: &str = "NeverContactSource";

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for note in context.compiled.notes.iter().filter(|note| note.kind == NoteKind::MirrorSetIgnored) {
        for cause in &note.causes {
            let Some(rule) = context.mirror_rule(cause) else { continue };
            let never =
                rule.mirror_source_policy == NEVER && &*cause.object.kind != Kind::ImageContentSourcePolicy.name();
            // The controller refuses this.
            if never && !rule.mirrors.is_empty() {
                continue;
            }
            let source = shown(&rule.source);
            let why = if rule.mirrors.is_empty() { "has no mirrors" } else { "has no mirror but itself" };
            let effect = match never {
                true => format!("NeverContactSource has no effect: nodes go on pulling from {source}"),
                false => format!("images of {source} come from there, as if the entry were not written"),
            };
            let block = match never {
                true => "; to keep nodes away from it, write it in blockedRegistries of Image/cluster",
                false => "",
            };
            let entry = cause.path.strip_suffix(".source").unwrap_or(&cause.path);
            let written = context.raw(&cause.object).and_then(|raw| field(raw, entry)).cloned().unwrap_or(Value::Null);
            let is_only = context
                .raw(&cause.object)
                .and_then(|raw| Some(field(raw, entry.split_once('[')?.0)?.as_array()?.len()));
            let mend = match is_only {
                Some(1) => fix::Fix::risky("delete the mirror set").delete(&cause.object),
                _ if never => fix::Fix::risky("take the entry out").remove(&cause.object, entry, written),
                _ => fix::Fix::safe("take the entry out").remove(&cause.object, entry, written),
            };
            let help = format!("name a mirror{block}; or take it out:\n{}", mend.commands().join("\n"));
            let finding = Finding::at(
                &RULE,
                &cause.object,
                context.origin(&cause.object),
                &cause.path,
                format!("{source} {why}, so the entry is ignored"),
            );
            findings.push(finding.effect(effect).help(help).fixed_by(mend));
        }
    }
}
