//! The controller's refusals and the rules that tell of them: every refusal has exactly one.

use super::{Context, Finding, Rule};
use crate::model::provenance::{Cause, Refusal, RefusalReason, RefusedBy};
use crate::model::reference::broader_scopes;
use crate::model::scope::is_nested;
use crate::model::scope_index::ScopeIndex;

impl<'a> Context<'a> {
    /// The controller's refusals that a rule tells of, each with every field that it is about: a finding for each pair.
    pub fn refusals(&self, rule: &'static Rule) -> impl Iterator<Item = (&'a Refusal, &'a Cause)> {
        let refusals = self.all_refusals();
        let codes = self.codes.get_or_init(|| self.codes());
        let of_rule = refusals.iter().zip(codes).filter(|(_, code)| **code == Some(rule.code));
        of_rule.flat_map(|(refusal, _)| subjects(refusal).map(move |cause| (refusal, cause)))
    }

    /// A finding about one of [`Context::refusals`], with what follows from it.
    pub fn refused(
        &self,
        rule: &'static Rule,
        refusal: &Refusal,
        cause: &Cause,
        message: impl Into<String>,
    ) -> Finding {
        Finding::at(rule, &cause.object, self.origin(&cause.object), &cause.path, message)
            .effect(frozen(&refusal.text))
            .refused_by(RefusedBy::Controller)
    }

    fn all_refusals(&self) -> &'a [Refusal] {
        match &self.compiled.generated {
            Ok(_) => &[],
            Err(refusals) => refusals,
        }
    }

    /// The rule for each refusal; nothing for what is not the controller's word.
    fn codes(&self) -> Vec<Option<u16>> {
        use RefusalReason::*;
        let refusals = self.all_refusals();
        let image = self.snapshot.image.as_ref().map(|image| &image.value.spec.registry_sources);
        let image_allows =
            image.is_some_and(|lists| lists.allowed_registries.as_ref().is_some_and(|list| !list.is_empty()));
        let allowed = ScopeIndex::new(self.compiled.sources.allowed.iter().map(|entry| &*entry.text));
        let payload = self.compiled.payload.as_ref().and_then(|payload| payload.repository.as_deref());
        let code = |refusal: &Refusal| {
            if refusal.by != RefusedBy::Controller {
                return None;
            }
            let first = subjects(refusal).next();
            let scope = first.map_or("", |cause| &cause.value);
            let is_of_tenant = first.is_some_and(|cause| cause.object.namespace.is_some());
            // Without the payload's exception, a blocked entry around the payload would be left out.
            let is_in_blocked_payload = |payload| {
                let container = others(refusal).find(|cause| is_nested(scope, &cause.value));
                container.is_some_and(|container| is_nested(payload, &container.value))
            };
            let node_would_allow = || broader_scopes(scope).any(|broader| allowed.position(&broader.text()).is_some());
            Some(match refusal.reason {
                RegistryEntry | RegistriesConfUnreadable => 107,
                PolicyConversion => 111,
                AllowedAndBlocked if image_allows => 201,
                AllowedAndBlocked => 214,
                ScopeOutsideAllowed if !image_allows => 214,
                ScopeInsideBlocked if payload.is_some_and(is_in_blocked_payload) => 214,
                ScopeOutsideAllowed | ScopeInsideBlocked if is_of_tenant => 209,
                ScopeOutsideAllowed if node_would_allow() => 210,
                ScopeOutsideAllowed => 202,
                ScopeInsideBlocked => 203,
                MirrorSourcePolicy => 305,
                WildcardMirror => 311,
                CannotRewrite => 312,
                MirrorFormat => 317,
                Crash => 413,
                ReleaseImage => 414,
                Schema | PolicyUnreadable | RegistriesUnreadable | RegistriesDUnreadable | SignedRegistries => {
                    return None;
                }
            })
        };
        refusals.iter().map(code).collect()
    }
}

/// What a refusal of the controller means, with its words.
pub(super) fn frozen(text: &str) -> String {
    format!("the machine-config-controller stops and writes nothing for any pool, mirrors included: \"{text}\"")
}

/// The causes that a refusal's words are about: of a scope every policy that asks for it, of other things one field.
fn subjects(refusal: &Refusal) -> impl Iterator<Item = &Cause> {
    let chosen = move |(position, cause): &(usize, &Cause)| is_subject(refusal, *position, cause);
    refusal.causes.iter().enumerate().filter(chosen).map(|(_, cause)| cause)
}

/// The other causes: what the subjects collide with.
pub(super) fn others(refusal: &Refusal) -> impl Iterator<Item = &Cause> {
    let chosen = move |(position, cause): &(usize, &Cause)| !is_subject(refusal, *position, cause);
    refusal.causes.iter().enumerate().filter(chosen).map(|(_, cause)| cause)
}

fn is_subject(refusal: &Refusal, position: usize, cause: &Cause) -> bool {
    match refusal.reason {
        RefusalReason::ScopeOutsideAllowed | RefusalReason::ScopeInsideBlocked | RefusalReason::CannotRewrite => {
            cause.path.starts_with("spec.scopes[")
        }
        RefusalReason::MirrorSourcePolicy | RefusalReason::WildcardMirror => position + 1 == refusal.causes.len(),
        _ => position == 0,
    }
}
