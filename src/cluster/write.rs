//! Writing to an API server: one object at a time, each guarded by what was seen of it. A request whose answer is lost is sent
//! again, and what it finds then tells whether the first one was carried out; so nothing is written twice.

use std::fmt;

use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::read::{fill, path_of};
use super::session::{Answer, Session, Status, UNTYPED, Write, WriteAnswer};
use super::{Connection, plain};
use crate::error::Result;
use crate::merge::FIELD_MANAGER;
use crate::plan::{Action, Step, is_taken_over, same_content, taken_over};
use crate::snapshot::Kind;

const JSON: &str = "application/json";
const JSON_PATCH: &str = "application/json-patch+json";
/// Server-side apply; JSON is YAML.
const APPLY_PATCH: &str = "application/apply-patch+yaml";
/// No object has this version, so that an apply that carries it creates or is refused, and never touches one that is there.
const NO_OBJECT: &str = "1";
/// Times that an object is looked at again because somebody else writes its status.
const ATTEMPTS: u32 = 20;

/// That a person has seen what will be written and said yes. Nothing is written without it.
#[derive(Debug)]
pub struct Confirmed(());

impl Confirmed {
    /// To be called where somebody has typed yes, or `--yes`, and nowhere else.
    pub fn by_the_user() -> Self {
        Self(())
    }
}

/// Whether a request is only tried out.
#[derive(Clone, Copy, Debug)]
pub enum Mode<'a> {
    /// The server checks everything and keeps nothing.
    DryRun,
    /// For good.
    Write(&'a Confirmed),
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its kind.
    pub kind: Kind,
    /// `v1`
    pub version: String,
    /// Empty for cluster-scoped ones.
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
}

impl Target {
    /// That of an object; `None` where it is not of a kind that is known.
    pub fn of(object: &Value) -> Option<Self> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let version = text("/apiVersion");
        Some(Self {
            kind: Kind::of_object(object)?,
            version: version.rsplit('/').next().unwrap_or_default().to_string(),
            namespace: text("/metadata/namespace").to_string(),
            name: text("/metadata/name").to_string(),
        })
    }

    fn path(&self) -> String {
        let namespace = Some(self.namespace.as_str()).filter(|_| self.kind.info().namespaced);
        let name = utf8_percent_encode(&self.name, NON_ALPHANUMERIC);
        format!("{}/{name}", self.collection(namespace))
    }

    fn collection(&self, namespace: Option<&str>) -> String {
        path_of(self.kind.info(), &self.version, namespace)
    }
}

/// As kubectl names an object that it has written: `image.config.openshift.io/cluster`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.kind.info();
        write!(f, "{}.{}/{}", info.kind.name().to_ascii_lowercase(), info.group, self.name)
    }
}

/// What came of a request.
#[derive(Debug)]
pub enum Reply {
    /// The object as the server has it now; of one that is deleted, as it was.
    Done(Value),
    /// The server will not.
    Refused(Denial),
}

/// Why a server will not. An answer, not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// Fields belong to others (server-side apply).
    Conflicts(Vec<FieldConflict>),
    /// It is not what it was any more, or is there all of a sudden.
    Changed,
    /// The server would make something else of it than was shown.
    Unforeseen,
    /// It is gone, or its namespace is.
    NotFound(String),
    /// The server does not have the kind in that version.
    NotServed,
    /// This user may not.
    Forbidden(String),
    /// An admission webhook or policy will not have it.
    Admission(String),
    /// The object makes no sense to the server: its words, and the fields.
    Invalid(String, Vec<InvalidField>),
}

/// A field that somebody else wrote last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldConflict {
    /// The field manager.
    pub manager: String,
    /// `spec.scopes`
    pub path: String,
}

/// A field that the server does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidField {
    /// `spec.scopes[0]`; empty for the object as a whole.
    pub path: String,
    /// The server's words.
    pub message: String,
}

/// The server's own words where there are any.
impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflicts(conflicts) => {
                let named =
                    conflicts.iter().map(|conflict| format!("{} belongs to {}", conflict.path, conflict.manager));
                f.write_str(&named.collect::<Vec<_>>().join(", "))
            }
            Self::Changed => f.write_str("it was changed in the meantime"),
            Self::Unforeseen => f.write_str("the server would make something else of it than was shown"),
            Self::NotServed => f.write_str("the server does not have this kind in this version"),
            Self::NotFound(text) | Self::Forbidden(text) | Self::Admission(text) | Self::Invalid(text, _) => {
                f.write_str(text)
            }
        }
    }
}

/// What of an object was seen when it was decided to write it.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// There was none.
    Absent,
    /// This, `metadata.uid` and `resourceVersion` included.
    As(&'a Value),
}

/// Writes to one API server.
pub struct Writer {
    session: Session,
}

impl Writer {
    /// Must be called within a runtime. Sends nothing yet.
    ///
    /// # Errors
    /// [`crate::error::Error::Kubeconfig`] where the credentials cannot be used.
    pub fn new(connection: &Connection) -> Result<Self> {
        Ok(Self { session: Session::new(connection)? })
    }

    /// What the server warned of, once each.
    pub fn take_warnings(&self) -> Vec<String> {
        self.session.take_warnings()
    }

    /// One object as it is now.
    ///
    /// # Errors
    /// [`crate::error::Error::Cluster`] where there is no answer, or it is forbidden.
    pub async fn get(&self, target: &Target) -> Result<Option<Value>> {
        let path = target.path();
        match self.session.get(&path, JSON).await? {
            Answer::Found(body) => self.object(target, &path, &body).map(Some),
            Answer::NotFound(_) => Ok(None),
            Answer::Forbidden(said) => Err(self.session.error(
                format!("{target} cannot be looked at: {said}"),
                "ask an administrator for the ClusterRole oc-imagepolicy-writer in docs/rbac.yaml",
            )),
            Answer::Gone | Answer::TooLarge => {
                Err(self.session.not_an_api_server(&path, b"", "is not one that can be used"))
            }
        }
    }

    /// Whether the server would carry out a step: its answer is what the object would be.
    ///
    /// # Errors
    /// As [`Writer::apply`].
    pub async fn try_out(&self, step: &Step, force: bool) -> Result<Reply> {
        let Some(seen) = &step.before else {
            return self.apply(&step.manifest, Seen::Absent, None, force, Mode::DryRun).await;
        };
        if step.action == Action::Delete {
            return self.delete(seen, Mode::DryRun).await;
        }
        let reply = self.apply(&step.manifest, Seen::As(seen), None, force, Mode::DryRun).await?;
        let Reply::Refused(Denial::Conflicts(mut conflicts)) = reply else { return Ok(reply) };
        // What is taken over first is nobody else's by then.
        conflicts.retain(|conflict| !is_taken_over(seen, &conflict.manager));
        match conflicts.is_empty() {
            true => self.apply(&step.manifest, Seen::As(seen), None, true, Mode::DryRun).await,
            false => Ok(Reply::Refused(Denial::Conflicts(conflicts))),
        }
    }

    /// Carries out a step.
    ///
    /// # Errors
    /// As [`Writer::apply`].
    pub async fn carry_out(&self, step: &Step, force: bool, confirmed: &Confirmed) -> Result<Reply> {
        let mode = Mode::Write(confirmed);
        let after = step.after.as_ref();
        let Some(seen) = &step.before else {
            return self.apply(&step.manifest, Seen::Absent, after, force, mode).await;
        };
        if step.action == Action::Delete {
            return self.delete(seen, mode).await;
        }
        if !step.takes_over {
            return self.apply(&step.manifest, Seen::As(seen), after, force, mode).await;
        }
        match self.set_managed_fields(seen, taken_over, mode).await? {
            Reply::Done(ours) => {
                // What the server makes of it could not be tried out before.
                let tried = self.apply(&step.manifest, Seen::As(&ours), None, force, Mode::DryRun).await?;
                match (&tried, after) {
                    (Reply::Done(answer), Some(after)) if !same_content(answer, after) => {
                        Ok(Reply::Refused(Denial::Unforeseen))
                    }
                    (Reply::Done(_), _) => self.apply(&step.manifest, Seen::As(&ours), after, force, mode).await,
                    (Reply::Refused(_), _) => Ok(tried),
                }
            }
            refused => Ok(refused),
        }
    }

    /// Server-side apply. With `force` fields are taken over from whoever wrote them last. `after` is what the object will be, so that it
    /// is known again where the answer to a first attempt was lost.
    ///
    /// # Errors
    /// [`crate::error::Error::Cluster`] where there is no answer: then nobody knows whether it was carried out.
    pub async fn apply(
        &self,
        manifest: &Value,
        seen: Seen<'_>,
        after: Option<&Value>,
        force: bool,
        mode: Mode<'_>,
    ) -> Result<Reply> {
        let target = self.target(manifest)?;
        let force = if force { "&force=true" } else { "" };
        let path =
            format!("{}?fieldManager={FIELD_MANAGER}&fieldValidation=Strict{force}{}", target.path(), dry_run(mode));
        self.guarded(&target, seen, after, async |seen| {
            let mut body = manifest.clone();
            let version = match seen {
                Seen::Absent => NO_OBJECT,
                Seen::As(object) => text(object, "/metadata/resourceVersion"),
            };
            set_metadata(&mut body, "resourceVersion", version);
            self.send(&target, Method::PATCH, &path, APPLY_PATCH, &body).await
        })
        .await
    }

    /// Replaces the whole object.
    ///
    /// # Errors
    /// As [`Writer::apply`].
    pub async fn replace(&self, object: &Value, seen: &Value, mode: Mode<'_>) -> Result<Reply> {
        let target = self.target(object)?;
        let path = format!("{}?fieldManager={FIELD_MANAGER}{}", target.path(), dry_run(mode));
        self.guarded(&target, Seen::As(seen), Some(object), async |seen| {
            let mut body = object.clone();
            if let Seen::As(seen) = seen {
                set_metadata(&mut body, "resourceVersion", text(seen, "/metadata/resourceVersion"));
                set_metadata(&mut body, "uid", text(seen, "/metadata/uid"));
            }
            self.send(&target, Method::PUT, &path, JSON, &body).await
        })
        .await
    }

    /// Creates an object that was not there.
    ///
    /// # Errors
    /// As [`Writer::apply`].
    pub async fn create(&self, object: &Value, mode: Mode<'_>) -> Result<Reply> {
        let target = self.target(object)?;
        let namespace = Some(target.namespace.as_str()).filter(|_| target.kind.info().namespaced);
        let path = format!("{}?fieldManager={FIELD_MANAGER}{}", target.collection(namespace), dry_run(mode));
        let reply = self.send(&target, Method::POST, &path, JSON, object).await?;
        if let (Reply::Refused(Denial::Changed), Mode::Write(_)) = (&reply, mode)
            && let Some(there) = self.get(&target).await?
            && same_content(&there, object)
        {
            // The answer to an earlier attempt was lost.
            return Ok(Reply::Done(there));
        }
        Ok(reply)
    }

    /// Deletes the very object that was seen.
    ///
    /// # Errors
    /// As [`Writer::apply`].
    pub async fn delete(&self, seen: &Value, mode: Mode<'_>) -> Result<Reply> {
        let target = self.target(seen)?;
        let path = target.path();
        // With a body, the server reads the options from it and nowhere else.
        let dry_run = match mode {
            Mode::DryRun => json!(["All"]),
            Mode::Write(_) => json!([]),
        };
        let reply = self
            .guarded(&target, Seen::As(seen), None, async |seen| {
                let Seen::As(seen) = seen else { return Ok(Reply::Refused(Denial::Changed)) };
                let preconditions = json!({"uid": text(seen, "/metadata/uid"), "resourceVersion": text(seen, "/metadata/resourceVersion")});
                let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "dryRun": dry_run, "preconditions": preconditions});
                self.send(&target, Method::DELETE, &path, JSON, &body).await
            })
            .await?;
        Ok(match reply {
            // Gone is what was wanted.
            Reply::Refused(Denial::NotFound(_)) | Reply::Done(_) => Reply::Done(seen.clone()),
            refused => refused,
        })
    }

    /// Writes who owns which field, and nothing else: what `managed` makes of the object, or nothing where that is `None`.
    ///
    /// # Errors
    /// As [`Writer::apply`].
    pub async fn set_managed_fields(
        &self,
        seen: &Value,
        managed: impl Fn(&Value) -> Option<Value>,
        mode: Mode<'_>,
    ) -> Result<Reply> {
        let target = self.target(seen)?;
        let path = match mode {
            Mode::DryRun => format!("{}?dryRun=All", target.path()),
            Mode::Write(_) => target.path(),
        };
        self.guarded(&target, Seen::As(seen), None, async |seen| {
            let Seen::As(seen) = seen else { return Ok(Reply::Refused(Denial::Changed)) };
            let Some(managed) = managed(seen) else { return Ok(Reply::Done(seen.clone())) };
            // `replace` rather than `test`: then another version is a conflict (client-go's csaupgrade).
            let body = json!([
                {"op": "replace", "path": "/metadata/managedFields", "value": managed},
                {"op": "replace", "path": "/metadata/resourceVersion", "value": text(seen, "/metadata/resourceVersion")},
            ]);
            self.send(&target, Method::PATCH, &path, JSON_PATCH, &body).await
        })
        .await
    }

    /// Sends until it is settled whether the object is still what was seen: somebody writing its status changes the version of an
    /// object, but neither the object nor who owns what in it (on which it depends what an apply makes of it). One that is `after` already was written by an attempt whose answer was lost.
    async fn guarded(
        &self,
        target: &Target,
        seen: Seen<'_>,
        after: Option<&Value>,
        attempt: impl AsyncFn(Seen<'_>) -> Result<Reply>,
    ) -> Result<Reply> {
        let mut latest = match seen {
            Seen::Absent => None,
            Seen::As(object) => Some(object.clone()),
        };
        for _ in 0..ATTEMPTS {
            let reply = attempt(latest.as_ref().map_or(Seen::Absent, Seen::As)).await?;
            let Reply::Refused(Denial::Changed) = &reply else { return Ok(reply) };
            let Some(now) = self.get(target).await? else { return Ok(reply) };
            if after.is_some_and(|after| same_content(&now, after)) {
                return Ok(Reply::Done(now));
            }
            match seen {
                Seen::As(seen) if is_same_object(&now, seen) && same_content(&now, seen) && same_owners(&now, seen) => {
                    latest = Some(now);
                }
                _ => return Ok(reply),
            }
        }
        Ok(Reply::Refused(Denial::Changed))
    }

    async fn send(
        &self,
        target: &Target,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: &Value,
    ) -> Result<Reply> {
        let body = serde_json::to_vec(body).unwrap_or_default();
        let deletes = method == Method::DELETE;
        let name = format!("{method} {}", path.split_once('?').map_or(path, |(path, _)| path));
        match self.session.write(&Write { method, path, content_type, body }).await? {
            // A `Status`, or the object where finalizers still hold it.
            WriteAnswer::Done(_) if deletes => Ok(Reply::Done(Value::Null)),
            WriteAnswer::Done(body) => self.object(target, path, &body).map(Reply::Done),
            WriteAnswer::Refused(code, status) => match denial(code, &status) {
                Some(denial) => Ok(Reply::Refused(denial)),
                None => Err(self.session.error(
                    format!("{name} is answered with {code}: {}", status.message()),
                    "`oc get --raw /version` tells which server this is",
                )),
            },
        }
    }

    fn object(&self, target: &Target, path: &str, body: &[u8]) -> Result<Value> {
        let mut object: Value = serde_json::from_slice(body).map_err(|error| {
            self.session.not_an_api_server(path, body, &format!("is not JSON ({})", plain(&error.to_string(), 100)))
        })?;
        let is_it =
            text(&object, "/metadata/name") == target.name && text(&object, "/metadata/namespace") == target.namespace;
        if !is_it || !fill(&mut object, target.kind.info(), &target.version) {
            return Err(self.session.not_an_api_server(path, body, &format!("is not the {} asked for", target.kind)));
        }
        Ok(object)
    }

    fn target(&self, object: &Value) -> Result<Target> {
        Target::of(object)
            .ok_or_else(|| self.session.error("this is not an object that can be written here", "please report this"))
    }
}

fn dry_run(mode: Mode<'_>) -> &'static str {
    match mode {
        Mode::DryRun => "&dryRun=All",
        Mode::Write(_) => "",
    }
}

fn denial(code: StatusCode, status: &Status) -> Option<Denial> {
    let message = status.message();
    // Webhooks and policies choose the code themselves; 403 and 422 are the usual ones.
    let is_admission = (message.contains("admission webhook ") && message.contains("denied the request"))
        || (message.contains("ValidatingAdmissionPolicy ") && message.contains("denied request"));
    let details = status.details.as_ref();
    let causes = details.and_then(|details| details.causes.as_deref()).unwrap_or_default();
    let plain_text = |text: &Option<String>| plain(text.as_deref().unwrap_or_default(), 500);
    Some(match code {
        _ if is_admission => Denial::Admission(message),
        StatusCode::CONFLICT => {
            let is_field = |reason: &Option<String>| reason.as_deref() == Some("FieldManagerConflict");
            let conflicts: Vec<FieldConflict> = causes
                .iter()
                .filter(|cause| is_field(&cause.reason))
                .map(|cause| FieldConflict {
                    manager: manager_in(&plain_text(&cause.message)),
                    path: plain_text(&cause.field).trim_start_matches('.').to_string(),
                })
                .collect();
            if conflicts.is_empty() { Denial::Changed } else { Denial::Conflicts(conflicts) }
        }
        StatusCode::FORBIDDEN => Denial::Forbidden(message),
        StatusCode::NOT_FOUND
            if message.is_empty() || message.starts_with("the server could not find the requested") =>
        {
            Denial::NotServed
        }
        StatusCode::NOT_FOUND => Denial::NotFound(message),
        _ if message.starts_with(UNTYPED) => {
            // `failed to create typed patch object (/cluster; config.openshift.io/v1, Kind=Image): .spec.x: field not declared in schema`
            let said = message.split_once("): ").map_or(message.as_str(), |(_, said)| said);
            let (path, why) = said.split_once(": ").unwrap_or(("", said));
            let field = InvalidField { path: path.trim_start_matches('.').into(), message: why.into() };
            Denial::Invalid(message.clone(), vec![field])
        }
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST => {
            let field = |cause: &super::session::StatusCause| {
                let path = plain_text(&cause.field);
                InvalidField {
                    path: if path == "<nil>" { String::new() } else { path },
                    message: plain_text(&cause.message),
                }
            };
            Denial::Invalid(message, causes.iter().map(field).collect())
        }
        _ => return None,
    })
}

/// `conflict with "kubectl-edit" using config.openshift.io/v1` → `kubectl-edit`
fn manager_in(message: &str) -> String {
    let rest = message.split_once('"').map_or("", |(_, rest)| rest);
    let name = rest.split_once('"').map_or(rest, |(name, _)| name);
    if name.is_empty() { message.to_string() } else { name.to_string() }
}

fn set_metadata(object: &mut Value, key: &str, value: &str) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        if value.is_empty() {
            metadata.remove(key);
        } else {
            metadata.insert(key.to_string(), value.into());
        }
    }
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn is_same_object(a: &Value, b: &Value) -> bool {
    text(a, "/metadata/uid") == text(b, "/metadata/uid")
}

/// Of what people write; when they wrote it does not matter.
fn same_owners(a: &Value, b: &Value) -> bool {
    let owners = |object: &Value| -> Vec<[Value; 4]> {
        let all = object.pointer("/metadata/managedFields").and_then(Value::as_array);
        let of = |entry: &Value| {
            ["manager", "operation", "apiVersion", "fieldsV1"].map(|key| entry.get(key).cloned().unwrap_or_default())
        };
        let entries = all.into_iter().flatten().filter(|entry| text(entry, "/subresource").is_empty());
        entries.map(of).collect()
    };
    let (mut a, b) = (owners(a), owners(b));
    // The order follows the times.
    a.len() == b.len()
        && b.iter().all(|entry| {
            let found = a.iter().position(|other| other == entry);
            found.map(|index| a.swap_remove(index)).is_some()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(value: Value) -> Status {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn denials_are_told_apart() {
        let conflict = json!({"message": "Apply failed with 1 conflict", "details": {"causes": [
            {"reason": "FieldManagerConflict", "message": "conflict with \"kubectl-edit\" using config.openshift.io/v1",
             "field": ".spec.registrySources.allowedRegistries"}]}});
        let cases: [(u16, Value, Option<Denial>); 9] = [
            (
                409,
                conflict,
                Some(Denial::Conflicts(vec![FieldConflict {
                    manager: "kubectl-edit".into(),
                    path: "spec.registrySources.allowedRegistries".into(),
                }])),
            ),
            (409, json!({"message": "the object has been modified"}), Some(Denial::Changed)),
            (403, json!({"message": "User \"reader\" cannot patch resource"}), Some(Denial::Forbidden("User \"reader\" cannot patch resource".into()))),
            (
                403,
                json!({"message": "admission webhook \"x.y\" denied the request: no"}),
                Some(Denial::Admission("admission webhook \"x.y\" denied the request: no".into())),
            ),
            (
                422,
                json!({"message": "images \"cluster\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no"}),
                Some(Denial::Admission(
                    "images \"cluster\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no".into(),
                )),
            ),
            (404, json!({"message": "namespaces \"x\" not found"}), Some(Denial::NotFound("namespaces \"x\" not found".into()))),
            (404, json!({}), Some(Denial::NotServed)),
            (
                500,
                json!({"message": "failed to create typed patch object (/cluster; config.openshift.io/v1, Kind=Image): .spec.x: field not declared in schema"}),
                Some(Denial::Invalid(
                    "failed to create typed patch object (/cluster; config.openshift.io/v1, Kind=Image): .spec.x: field not declared in schema".into(),
                    vec![InvalidField { path: "spec.x".into(), message: "field not declared in schema".into() }],
                )),
            ),
            (405, json!({"message": "no"}), None),
        ];
        for (code, body, expected) in cases {
            assert_eq!(denial(StatusCode::from_u16(code).unwrap(), &status(body.clone())), expected, "{body}");
        }
    }
}
