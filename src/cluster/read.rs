//! Objects of a cluster → [`Snapshot`]: every needed kind at once, page by page. What this user may not see or the server does
//! not have becomes a gap; an answer that cannot be relied on becomes an error. Never less than there is without saying so.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeSeed;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tokio::task::JoinSet;

use super::session::{Answer, Session};
use super::trimmed;
use super::{Connection, block_on, plain};
use crate::error::{Error, Result};
use crate::snapshot::{Gap, GapReason, Kind, KindInfo, Laying, Origin, Snapshot, Source};

pub(super) const JSON: &str = "application/json";
/// Names and labels instead of whole objects, as the API server offers it.
pub(super) const METADATA_ONLY: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
/// Labels every MachineConfig but the rendered ones and a rare few.
const ROLE: &str = "machineconfiguration.openshift.io/role";
const ANNOTATIONS: [&str; 2] =
    ["machineconfiguration.openshift.io/currentConfig", "machineconfiguration.openshift.io/desiredConfig"];
/// Pages of one list; a server that never ends is not waited for.
const MAX_PAGES: usize = 20_000;
/// A pod may have a hundred kilobytes, and a page is decoded as a whole.
const MAX_PODS_A_PAGE: u32 = 250;
/// Times that a list is begun anew because it took longer than the server remembers; the last time without pages.
const MAX_RESTARTS: usize = 3;

/// Reads the kinds in `needs` from the cluster, nothing else.
///
/// Rendered MachineConfigs are read only where a pool or node that is read as well names them: a cluster keeps hundreds, of
/// megabytes each. `namespace` matters where ImagePolicies may not be listed cluster-wide: then those of that namespace are
/// read, and the rest is a gap. Warnings of the server end up in [`Snapshot::warnings`].
///
/// Must run within a tokio runtime with time and I/O enabled; [`block_on_read`] brings one along.
///
/// # Errors
/// [`Error::Cluster`], where there is no answer that can be relied on, and [`Error::Kubeconfig`] for unusable credentials. A
/// kind that is forbidden or not installed is no error but a gap, unless it is every one of them.
pub async fn read(connection: &Connection, needs: &[Kind], namespace: Option<&str>) -> Result<Snapshot> {
    let session = Arc::new(Session::new(connection)?);
    let reader = Reader { session: session.clone(), chunk_size: connection.chunk_size };
    let namespace: Option<Arc<str>> = namespace.map(Arc::from);

    let needs: BTreeSet<Kind> = needs.iter().copied().collect();
    let mut tasks = JoinSet::new();
    for kind in &needs {
        let (reader, namespace, info) = (reader.clone(), namespace.clone(), kind.info());
        tasks.spawn(async move { reader.kind(info, namespace.as_deref()).await });
    }
    let mut fetched: Vec<Fetched> = Vec::with_capacity(needs.len());
    while let Some(done) = tasks.join_next().await {
        fetched.push(finished(&session, done)?);
    }
    fetched.sort_by_key(|fetched| fetched.kind);
    complete_machine_configs(&reader, &mut fetched).await?;
    check_worth(&session, &fetched)?;

    let mut snapshot = Snapshot::new(Source::Live(session.server().to_string()));
    snapshot.warnings = session.take_warnings();
    for Fetched { kind, objects, pods, read, gap, .. } in fetched {
        if read {
            snapshot.mark_read(kind);
        }
        snapshot.gaps.extend(gap);
        snapshot.add_pods(pods);
        for object in objects {
            reader.insert(&mut snapshot, kind.info(), object)?;
        }
    }
    Ok(snapshot)
}

/// [`read()`] on a runtime of its own, until it ends or somebody presses Ctrl-C.
///
/// # Errors
/// As [`read()`], and [`Error::Interrupted`].
pub fn block_on_read(connection: &Connection, needs: &[Kind], namespace: Option<&str>) -> Result<Snapshot> {
    block_on(read(connection, needs, namespace))
}

/// What is kept of the cluster's pods, or why they are not known.
///
/// # Errors
/// As [`read()`].
pub(super) async fn pods(
    session: &Arc<Session>,
    chunk_size: u32,
) -> Result<std::result::Result<Vec<crate::snapshot::Pod>, Gap>> {
    let reader = Reader { session: session.clone(), chunk_size };
    let fetched = reader.kind(Kind::Pod.info(), None).await?;
    Ok(match fetched.gap {
        Some(gap) => Err(gap),
        None => Ok(fetched.pods.pods),
    })
}

/// What came of one kind.
struct Fetched {
    kind: Kind,
    /// Complete objects, `apiVersion` and `kind` included, in the server's order.
    objects: Vec<Value>,
    /// Pods, which are not among the objects.
    pods: Snapshot,
    /// Whether a list came back, if only of one namespace.
    read: bool,
    gap: Option<Gap>,
    /// Names of MachineConfigs that were not read yet, and whether each is wanted whoever names it.
    left: Vec<(String, bool)>,
}

#[derive(Clone)]
struct Reader {
    session: Arc<Session>,
    chunk_size: u32,
}

/// What to list.
#[derive(Clone, Copy)]
struct ListOf<'a> {
    info: &'static KindInfo,
    version: &'static str,
    namespace: Option<&'a str>,
    label: Option<&'a str>,
    accept: &'a str,
}

/// What came of a list.
enum Listed {
    Objects(Vec<Value>),
    NotInstalled,
    Forbidden(String),
}

impl Reader {
    async fn kind(&self, info: &'static KindInfo, namespace: Option<&str>) -> Result<Fetched> {
        let mut fetched = Fetched {
            kind: info.kind,
            objects: Vec::new(),
            pods: Snapshot::default(),
            read: false,
            gap: None,
            left: Vec::new(),
        };
        for version in info.versions {
            let listed = match info.only {
                Some(name) => self.only(info, version, name).await?,
                None if info.kind == Kind::MachineConfig => {
                    self.machine_configs(info, version, &mut fetched.left).await?
                }
                None if info.kind == Kind::Pod => {
                    let list = ListOf { info, version, namespace: None, label: None, accept: JSON };
                    self.pods(list, &mut fetched.pods).await?
                }
                None => self.list(ListOf { info, version, namespace: None, label: None, accept: JSON }).await?,
            };
            match listed {
                Listed::Objects(objects) => {
                    fetched.objects = objects;
                    fetched.read = true;
                    return Ok(fetched);
                }
                Listed::NotInstalled => continue,
                Listed::Forbidden(said) => {
                    let mut message = said;
                    if let Some(namespace) = namespace.filter(|_| info.namespaced)
                        && let Some(objects) = self.one_namespace(info, namespace, &mut fetched.pods).await?
                    {
                        message = format!("only those of namespace {} were read: {message}", plain(namespace, 80));
                        fetched.objects = objects;
                        fetched.read = true;
                    }
                    fetched.gap = Some(gap(info.kind, GapReason::Forbidden, message));
                    return Ok(fetched);
                }
            }
        }
        if info.kind.is_optional() {
            fetched.read = true;
            return Ok(fetched);
        }
        let message = format!("{} does not have {}", self.session.server(), resource(info));
        fetched.gap = Some(gap(info.kind, GapReason::NotInstalled, message));
        Ok(fetched)
    }

    /// The objects of one namespace, where those of all are forbidden; `None` where these are too.
    async fn one_namespace(
        &self,
        info: &'static KindInfo,
        namespace: &str,
        pods: &mut Snapshot,
    ) -> Result<Option<Vec<Value>>> {
        for version in info.versions {
            let list = ListOf { info, version, namespace: Some(namespace), label: None, accept: JSON };
            let listed = if info.kind == Kind::Pod { self.pods(list, pods).await? } else { self.list(list).await? };
            match listed {
                Listed::Objects(objects) => return Ok(Some(objects)),
                Listed::NotInstalled => continue,
                Listed::Forbidden(_) => break,
            }
        }
        Ok(None)
    }

    /// The one object that counts.
    async fn only(&self, info: &'static KindInfo, version: &str, name: &str) -> Result<Listed> {
        let path = format!("{}/{name}", path_of(info, version, None));
        match self.session.get(&path, JSON).await? {
            Answer::Found(body) => Ok(Listed::Objects(vec![self.object(info, version, name, &path, &body)?])),
            Answer::NotFound(status) if status.misses_object(name) => Ok(Listed::Objects(Vec::new())),
            Answer::NotFound(_) => Ok(Listed::NotInstalled),
            Answer::Forbidden(said) => Ok(Listed::Forbidden(said)),
            Answer::Gone => Err(self.session.not_an_api_server(&path, b"", "has status 410 Gone")),
            Answer::TooLarge => Err(self.too_large(&path)),
        }
    }

    fn object(&self, info: &KindInfo, version: &str, name: &str, path: &str, body: &[u8]) -> Result<Value> {
        let mut object: Value = self.json(path, body)?;
        let is_it = object.pointer("/metadata/name").and_then(Value::as_str) == Some(name);
        if !is_it || !fill(&mut object, info, version) {
            return Err(self.session.not_an_api_server(path, body, &format!("is not the {} asked for", info.kind)));
        }
        Ok(object)
    }

    fn json<T: serde::de::DeserializeOwned>(&self, path: &str, body: &[u8]) -> Result<T> {
        serde_json::from_slice(body).map_err(|error| {
            let why = match error.classify() {
                serde_json::error::Category::Eof => "ends in the middle".to_string(),
                serde_json::error::Category::Data => {
                    format!("is not what was asked for ({})", plain(&error.to_string(), 100))
                }
                _ => format!("is not JSON ({})", plain(&error.to_string(), 100)),
            };
            self.session.not_an_api_server(path, body, &why)
        })
    }

    fn too_large(&self, path: &str) -> Error {
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        self.session.error(
            format!("the answer to GET {path} is too large to read"),
            "`oc get` finds the objects in question; or read a must-gather with -f",
        )
    }

    /// Every object of a list, from one state of the cluster.
    async fn list(&self, list: ListOf<'_>) -> Result<Listed> {
        let mut all = Vec::new();
        let mut take = |step| {
            match step {
                Step::Anew => all.clear(),
                Step::Page(objects) => all.extend(objects),
            }
            Ok(())
        };
        Ok(match self.pages(list, &mut take).await? {
            Listed::Objects(_) => Listed::Objects(all),
            other => other,
        })
    }

    /// What is kept of every pod of a list: a page is gone before the next comes.
    async fn pods(&self, list: ListOf<'_>, pods: &mut Snapshot) -> Result<Listed> {
        let mut take = |step| match step {
            Step::Anew => {
                *pods = Snapshot::default();
                Ok(())
            }
            Step::Page(objects) => objects.into_iter().try_for_each(|object| self.insert(pods, list.info, object)),
        };
        self.pages(list, &mut take).await
    }

    fn insert(&self, snapshot: &mut Snapshot, info: &KindInfo, object: Value) -> Result<()> {
        match snapshot.insert(object, Origin::Live, Laying::Beside) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.session.error(
                format!("its list of {} makes no sense: {}", info.plural, plain(&error.to_string(), 300)),
                format!("`oc get {}` shows it", resource(info)),
            )),
        }
    }

    /// Hands over a list page by page, from one state of the cluster. [`Listed::Objects`] is empty then.
    async fn pages(&self, list: ListOf<'_>, take: &mut (dyn FnMut(Step) -> Result<()> + Send)) -> Result<Listed> {
        let path = path_of(list.info, list.version, list.namespace);
        let mut chunk_size = match (list.info.kind, self.chunk_size) {
            (Kind::Pod, 1..) => self.chunk_size.min(MAX_PODS_A_PAGE),
            _ => self.chunk_size,
        };
        let mut restarts = 0;
        let mut next = String::new();
        for _ in 0..MAX_PAGES {
            let url = url_of(&path, chunk_size, &next, list.label);
            match self.session.get(&url, list.accept).await? {
                Answer::Found(body) => {
                    let page = match list.info.kind {
                        Kind::Pod => self.json::<Page<Trimmed>>(&url, &body)?.untagged(),
                        _ => self.json(&url, &body)?,
                    };
                    let (objects, following) = self.take_page(list, &url, &body, page, &next)?;
                    take(Step::Page(objects))?;
                    if following.is_empty() {
                        return Ok(Listed::Objects(Vec::new()));
                    }
                    next = following;
                }
                Answer::Gone if restarts < MAX_RESTARTS => {
                    restarts += 1;
                    take(Step::Anew)?;
                    next.clear();
                    if restarts == MAX_RESTARTS {
                        chunk_size = 0;
                    }
                }
                Answer::Gone => {
                    return Err(self.session.error(
                        format!("its list of {} keeps expiring (410 Gone) while it is read", list.info.plural),
                        "try again; a smaller --chunk-size or a faster connection helps",
                    ));
                }
                Answer::TooLarge if chunk_size != 1 => {
                    chunk_size = if chunk_size == 0 { 50 } else { (chunk_size / 10).max(1) };
                }
                Answer::TooLarge => return Err(self.too_large(&path)),
                Answer::Forbidden(said) => return Ok(Listed::Forbidden(said)),
                Answer::NotFound(_) if next.is_empty() => return Ok(Listed::NotInstalled),
                Answer::NotFound(_) => {
                    return Err(self.session.error(
                        format!("its list of {} vanishes while it is read", list.info.plural),
                        "try again: the kind is being removed or the server restarted",
                    ));
                }
            }
        }
        Err(self.session.error(
            format!("its list of {} does not end", list.info.plural),
            format!("`oc get {}` shows it", resource(list.info)),
        ))
    }

    /// The objects of a page, and the token of the next one, empty at the end.
    fn take_page(
        &self,
        list: ListOf<'_>,
        url: &str,
        body: &[u8],
        page: Page<Value>,
        token: &str,
    ) -> Result<(Vec<Value>, String)> {
        let metadata_only = page.kind == "PartialObjectMetadataList" && list.accept == METADATA_ONLY;
        if !metadata_only && page.kind.strip_suffix("List") != Some(list.info.kind.name()) {
            return Err(self.session.not_an_api_server(url, body, &format!("is not a list of {}", list.info.plural)));
        }
        let mut objects = page.items;
        for object in &mut objects {
            let named = object.pointer("/metadata/name").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
            if !named || !(metadata_only || fill(object, list.info, list.version)) {
                let why = format!("lists something that is no {}", list.info.kind);
                return Err(self.session.not_an_api_server(url, body, &why));
            }
        }
        let next = page.metadata.next;
        if !next.is_empty() && next == token {
            return Err(self.session.not_an_api_server(url, body, "leads back to itself"));
        }
        Ok((objects, next))
    }

    /// Those with a role, and the names of the others.
    async fn machine_configs(
        &self,
        info: &'static KindInfo,
        version: &'static str,
        left: &mut Vec<(String, bool)>,
    ) -> Result<Listed> {
        let all = ListOf { info, version, namespace: None, label: None, accept: METADATA_ONLY };
        let with_role = ListOf { label: Some(ROLE), accept: JSON, ..all };
        let (all, with_role) = tokio::join!(self.list(all), self.list(with_role));
        let (all, with_role) = match (all?, with_role?) {
            (Listed::Objects(all), Listed::Objects(with_role)) => (all, with_role),
            (other, Listed::Objects(_)) | (_, other) => return Ok(other),
        };
        let read: HashSet<&str> = with_role.iter().filter_map(name_of).collect();
        for object in &all {
            let Some(name) = name_of(object).filter(|name| !read.contains(name)) else { continue };
            let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
            // The controller gives rendered ones no labels; anything else may be what a pool selects.
            let rendered = name.starts_with("rendered-") && labels.is_none_or(serde_json::Map::is_empty);
            left.push((name.to_string(), !rendered));
        }
        Ok(Listed::Objects(with_role))
    }
}

/// Reads the MachineConfigs that the first round left and somebody needs.
async fn complete_machine_configs(reader: &Reader, fetched: &mut [Fetched]) -> Result<()> {
    let mut named: HashSet<String> = HashSet::new();
    for Fetched { kind, objects, .. } in &*fetched {
        for object in objects {
            let texts: Vec<Option<&Value>> = match kind {
                Kind::MachineConfigPool => ["/spec/configuration/name", "/status/configuration/name"]
                    .iter()
                    .map(|pointer| object.pointer(pointer))
                    .collect(),
                Kind::Node => {
                    let annotations = object.pointer("/metadata/annotations");
                    ANNOTATIONS.iter().map(|key| annotations.and_then(|all| all.get(key))).collect()
                }
                _ => Vec::new(),
            };
            named.extend(texts.into_iter().flatten().filter_map(Value::as_str).map(str::to_string));
        }
    }
    let Some(machine_configs) = fetched.iter_mut().find(|fetched| fetched.kind == Kind::MachineConfig) else {
        return Ok(());
    };
    let left = std::mem::take(&mut machine_configs.left);
    let wanted: Vec<String> =
        left.into_iter().filter(|(name, always)| *always || named.contains(name)).map(|(name, _)| name).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let mut tasks = JoinSet::new();
    for name in wanted {
        let reader = reader.clone();
        tasks.spawn(async move {
            let info = Kind::MachineConfig.info();
            let listed = reader.only(info, info.versions.first().unwrap_or(&"v1"), &name).await?;
            Ok((name, listed))
        });
    }
    while let Some(done) = tasks.join_next().await {
        match finished(&reader.session, done)? {
            (_, Listed::Objects(objects)) => machine_configs.objects.extend(objects),
            // Deleted since the list.
            (_, Listed::NotInstalled) => {}
            (name, Listed::Forbidden(said)) => {
                let message = format!("{} was not read: {said}", plain(&name, 200));
                machine_configs.gap = Some(gap(Kind::MachineConfig, GapReason::Forbidden, message));
            }
        }
    }
    machine_configs.objects.sort_by(|a, b| name_of(a).cmp(&name_of(b)));
    Ok(())
}

/// Where nothing at all could be read, gaps would only hide why.
fn check_worth(session: &Session, fetched: &[Fetched]) -> Result<()> {
    let all = |reason| {
        let is_so = |fetched: &Fetched| !fetched.read && fetched.gap.as_ref().is_some_and(|gap| gap.reason == reason);
        !fetched.is_empty() && fetched.iter().all(is_so)
    };
    let first = fetched.iter().find_map(|fetched| fetched.gap.as_ref()).map_or("", |gap| gap.message.as_str());
    if all(GapReason::Forbidden) {
        return Err(session.error(
            format!("you may read nothing of what this needs: {first}"),
            "ask an administrator for the ClusterRole in docs/rbac.yaml: `oc adm policy add-cluster-role-to-user \
             oc-imagepolicy-reader USER`",
        ));
    }
    // Every cluster has nodes and pods.
    let is_openshift = |kind: Kind| !kind.info().group.is_empty() && !kind.is_optional();
    let openshift: Vec<&Fetched> = fetched.iter().filter(|fetched| is_openshift(fetched.kind)).collect();
    let absent = |fetched: &&Fetched| fetched.gap.as_ref().is_some_and(|gap| gap.reason == GapReason::NotInstalled);
    if !openshift.is_empty() && openshift.iter().all(absent) {
        return Err(session.error(
            "this is not an OpenShift cluster: it has none of the kinds that this needs",
            "`oc config get-contexts` lists others, --context NAME takes one",
        ));
    }
    Ok(())
}

fn finished<T>(session: &Session, done: Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    done.unwrap_or_else(|error| {
        Err(session.error(format!("reading stops: {}", plain(&error.to_string(), 200)), "please report this"))
    })
}

fn gap(kind: Kind, reason: GapReason, message: String) -> Gap {
    Gap { kind, namespace: None, reason, message }
}

/// What comes of a list, bit by bit.
enum Step {
    /// What came before does not count: the list begins again.
    Anew,
    Page(Vec<Value>),
}

/// One answer to a list request.
#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
struct Page<T> {
    #[serde(default)]
    kind: String,
    #[serde(default, deserialize_with = "nullable")]
    metadata: PageMetadata,
    /// Go writes an empty list as `null`; one that is absent is no list.
    #[serde(deserialize_with = "nullable")]
    items: Vec<T>,
}

impl Page<Trimmed> {
    fn untagged(self) -> Page<Value> {
        let items = self.items.into_iter().map(|Trimmed(pod)| pod).collect();
        Page { kind: self.kind, metadata: self.metadata, items }
    }
}

/// A pod without all that is not read of it, which is passed over while it is decoded.
struct Trimmed(Value);

impl<'de> Deserialize<'de> for Trimmed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        trimmed::Shape(&trimmed::POD).deserialize(deserializer).map(Self)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PageMetadata {
    #[serde(rename = "continue", deserialize_with = "nullable")]
    next: String,
}

fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Adds what the items of a list lack; `false` where the object says that it is something else.
pub(super) fn fill(object: &mut Value, info: &KindInfo, version: &str) -> bool {
    let api_version = if info.group.is_empty() { version.to_string() } else { format!("{}/{version}", info.group) };
    let Some(object) = object.as_object_mut() else { return false };
    for (key, expected) in [("apiVersion", api_version.as_str()), ("kind", info.kind.name())] {
        let value = object.entry(key).or_insert_with(|| expected.into());
        if value != expected {
            return false;
        }
    }
    true
}

fn name_of(object: &Value) -> Option<&str> {
    object.pointer("/metadata/name").and_then(Value::as_str)
}

/// As `oc` knows it: `imagepolicies.config.openshift.io`.
fn resource(info: &KindInfo) -> String {
    if info.group.is_empty() { info.plural.to_string() } else { format!("{}.{}", info.plural, info.group) }
}

pub(super) fn path_of(info: &KindInfo, version: &str, namespace: Option<&str>) -> String {
    let mut path =
        if info.group.is_empty() { format!("/api/{version}") } else { format!("/apis/{}/{version}", info.group) };
    if let Some(namespace) = namespace {
        path.push_str("/namespaces/");
        path.extend(utf8_percent_encode(namespace, NON_ALPHANUMERIC));
    }
    path.push('/');
    path.push_str(info.plural);
    path
}

pub(super) fn url_of(path: &str, chunk_size: u32, next: &str, label: Option<&str>) -> String {
    let mut url = path.to_string();
    let mut separator = '?';
    let chunk = (chunk_size > 0).then(|| chunk_size.to_string());
    let parameters = [("limit", chunk.as_deref()), ("continue", Some(next)), ("labelSelector", label)];
    for (name, value) in parameters {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            url.push(std::mem::replace(&mut separator, '&'));
            url.push_str(name);
            url.push('=');
            url.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let policies = Kind::ImagePolicy.info();
        assert_eq!(path_of(Kind::Node.info(), "v1", None), "/api/v1/nodes");
        assert_eq!(path_of(policies, "v1", None), "/apis/config.openshift.io/v1/imagepolicies");
        assert_eq!(
            path_of(policies, "v1", Some("a/../b?")),
            "/apis/config.openshift.io/v1/namespaces/a%2F%2E%2E%2Fb%3F/imagepolicies"
        );
        assert_eq!(url_of("/x", 500, "", None), "/x?limit=500");
        assert_eq!(url_of("/x", 0, "", None), "/x");
        assert_eq!(url_of("/x", 2, "a&b=", Some("k")), "/x?limit=2&continue=a%26b%3D&labelSelector=k");
    }
}
