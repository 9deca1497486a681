//! Pools, nodes and policies as they change: a list and a watch of each kind, through dropped connections, expired versions and
//! servers that go away for a while. Of a node only what is read is kept: the object has many kilobytes, and there are thousands.

use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::read::{JSON, METADATA_ONLY, path_of, url_of};
use super::session::{Answer, Line, NoStream, Session};
use super::{Connection, plain};
use crate::error::{Error, Result};
use crate::rollout::NodeFacts;
use crate::snapshot::{Kind, KindInfo, Laying, Object, Origin, Snapshot, api};

/// What is new.
#[derive(Debug)]
pub struct Event {
    /// Of this kind.
    pub kind: Kind,
    /// What.
    pub news: News,
}

/// What is new of one kind.
#[derive(Debug)]
pub enum News {
    /// These are all there are. Comes first, and again whenever the thread was lost.
    All(Vec<Seen>),
    /// One is new or has changed.
    Changed(Seen),
    /// The one of this name is gone.
    Gone(Box<str>),
    /// The server will not show them; nothing follows.
    Forbidden(String),
    /// The server does not have the kind; nothing follows.
    NotInstalled,
    /// The server cannot be followed for the time being; half a sentence. What follows shows that it can again.
    Trouble(String),
    /// It can be followed again, nothing else has happened.
    Well,
    /// It cannot be followed any more.
    Failed(Error),
}

/// What is kept of an object.
#[derive(Debug)]
pub enum Seen {
    /// All of a MachineConfigPool.
    Pool(Value),
    /// What is read of a Node.
    Node(NodeFacts),
    /// Of any other kind only the name.
    Other(Box<str>),
}

/// A MachineConfig that was asked for by its name.
#[derive(Debug)]
pub enum Fetched {
    /// Here it is.
    Found(Box<Object<api::MachineConfig>>),
    /// There is none.
    Missing,
    /// It may be there.
    Unknown,
}

/// Several kinds, followed at once until this is dropped.
pub struct Feed {
    session: Arc<Session>,
    events: mpsc::Receiver<Event>,
    /// Ends what runs.
    _tasks: JoinSet<()>,
}

/// Events that wait for somebody who is busy; the rest waits on the server.
const MOST_WAITING: usize = 256;
/// Nodes a page: so many fit into a few megabytes.
const NODES_A_PAGE: u32 = 250;
/// Pages of a list.
const MOST_PAGES: usize = 20_000;
/// Between two attempts, doubled each time until something comes.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A server sends a bookmark every minute; a connection that is silent for longer is dead, or as good as that.
const PATIENCE: Duration = Duration::from_secs(90);
/// Who may list and not watch lists pools and nodes again after this.
const POLL: Duration = Duration::from_secs(5);
/// The same of kinds that are read as a whole then.
const POLL_RARELY: Duration = Duration::from_secs(60);
/// What the server is asked to end a watch after; one begins anew then.
const WATCH_SECONDS: u32 = 300;

const METADATA_FRAMES: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

impl Feed {
    /// Begins to follow the kinds. Must be called within a runtime.
    ///
    /// # Errors
    /// Unusable credentials. Everything else is an event.
    pub fn start(connection: &Connection, kinds: &[Kind]) -> Result<Self> {
        let session = Arc::new(Session::new(connection)?);
        let (sender, events) = mpsc::channel(MOST_WAITING);
        let mut tasks = JoinSet::new();
        for kind in kinds {
            let follower = Follower {
                session: Arc::clone(&session),
                chunk_size: connection.chunk_size,
                info: kind.info(),
                sender: sender.clone(),
            };
            tasks.spawn(async move { _ = follower.run().await });
        }
        Ok(Self { session, events, _tasks: tasks })
    }

    /// The next event; `None` where nothing will ever come again.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// One MachineConfig. Trouble with the server is no answer.
    pub async fn machine_config(&self, name: &str) -> Fetched {
        let info = Kind::MachineConfig.info();
        // No object has another name, and none may lead elsewhere.
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
            || name.starts_with('.')
        {
            return Fetched::Missing;
        }
        let path = format!("{}/{name}", path_of(info, info.versions.first().unwrap_or(&"v1"), None));
        self.session.begin_count();
        match self.session.get(&path, JSON).await {
            Ok(Answer::Found(body)) => {
                let mut snapshot = Snapshot::default();
                let inserted = serde_json::from_slice(&body)
                    .is_ok_and(|object| snapshot.insert(object, Origin::Live, Laying::Beside).is_ok());
                match snapshot.machine_configs.pop() {
                    Some(object) if inserted => Fetched::Found(Box::new(object)),
                    _ => Fetched::Unknown,
                }
            }
            Ok(Answer::NotFound(_)) => Fetched::Missing,
            Ok(Answer::Forbidden(_) | Answer::Gone | Answer::TooLarge) | Err(_) => Fetched::Unknown,
        }
    }
}

/// One kind.
struct Follower {
    session: Arc<Session>,
    chunk_size: u32,
    info: &'static KindInfo,
    sender: mpsc::Sender<Event>,
}

/// Nobody listens any more, or there is nothing more to say.
struct Over;

enum Listed {
    All { version: String },
    Forbidden(String),
    NotInstalled,
    Passing(String),
}

/// Why a watch ended.
enum Ended {
    /// Go on where it was.
    Resume,
    /// What was known is too old, or cannot be relied on.
    Relist(Duration),
}

impl Follower {
    async fn run(&self) -> Result<(), Over> {
        for version in self.info.versions {
            let path = path_of(self.info, version, None);
            self.follow(&path).await?;
            // The server does not have this version.
        }
        self.tell(News::NotInstalled).await
    }

    /// `Ok` where the server does not have the kind in this version.
    async fn follow(&self, path: &str) -> Result<(), Over> {
        let mut pause = FIRST_PAUSE;
        loop {
            let version = match self.list(path).await? {
                Listed::All { version } => version,
                Listed::NotInstalled => return Ok(()),
                Listed::Forbidden(said) => {
                    self.tell(News::Forbidden(said)).await?;
                    return Err(Over);
                }
                Listed::Passing(why) => {
                    self.tell(News::Trouble(why)).await?;
                    rest(&mut pause).await;
                    continue;
                }
            };
            let mut version = version;
            loop {
                match self.watch(path, &mut version, &mut pause).await? {
                    Ended::Resume => rest(&mut pause).await,
                    Ended::Relist(at_least) => {
                        tokio::time::sleep(at_least).await;
                        rest(&mut pause).await;
                        break;
                    }
                }
            }
        }
    }

    /// Tells of everything that there is.
    async fn list(&self, path: &str) -> Result<Listed, Over> {
        self.session.begin_count();
        let (limit, accept) = match self.info.kind {
            Kind::MachineConfigPool => (self.chunk_size, JSON),
            Kind::Node if self.chunk_size == 0 => (NODES_A_PAGE, JSON),
            Kind::Node => (self.chunk_size.min(NODES_A_PAGE), JSON),
            // Only from where to watch.
            _ => (1, METADATA_ONLY),
        };
        let mut all = Vec::new();
        let mut next = String::new();
        for _ in 0..MOST_PAGES {
            let mut url = url_of(path, limit, &next, None);
            if let Some(name) = self.info.only {
                url.push(if url.contains('?') { '&' } else { '?' });
                url.push_str(&only(name));
            }
            let body = match self.session.get(&url, accept).await {
                Ok(Answer::Found(body)) => body,
                Ok(Answer::Forbidden(said)) => return Ok(Listed::Forbidden(said)),
                Ok(Answer::NotFound(_)) => return Ok(Listed::NotInstalled),
                Ok(Answer::Gone) => return Ok(Listed::Passing("its list expires while it is read".into())),
                Ok(Answer::TooLarge) => return Ok(Listed::Passing("its list is too large to read".into())),
                Err(error) => return Ok(Listed::Passing(error.to_string())),
            };
            let page = match self.info.kind {
                Kind::MachineConfigPool => page(&body, |pool| Some(Seen::Pool(pool))),
                Kind::Node => page(&body, seen_node),
                _ => page(&body, seen_name),
            };
            let Some((seen, metadata)) = page else {
                return Ok(Listed::Passing(format!("its list of {} makes no sense", self.info.plural)));
            };
            all.extend(seen);
            let is_enough = !matches!(self.info.kind, Kind::MachineConfigPool | Kind::Node);
            if metadata.next.is_empty() || is_enough {
                self.tell(News::All(all)).await?;
                return Ok(Listed::All { version: metadata.resource_version });
            }
            if metadata.next == next {
                break;
            }
            next = metadata.next;
        }
        Ok(Listed::Passing(format!("its list of {} does not end", self.info.plural)))
    }

    /// Tells of what changes, for as long as the connection lasts.
    async fn watch(&self, path: &str, version: &mut String, pause: &mut Duration) -> Result<Ended, Over> {
        let from = utf8_percent_encode(version, NON_ALPHANUMERIC);
        let only = self.info.only.map(|name| format!("&{}", only(name))).unwrap_or_default();
        let url = format!(
            "{path}?watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={from}{only}"
        );
        let is_whole = matches!(self.info.kind, Kind::MachineConfigPool | Kind::Node);
        let mut stream = match self.session.open(&url, if is_whole { JSON } else { METADATA_FRAMES }).await {
            Ok(stream) => stream,
            Err(NoStream::Gone) => return Ok(Ended::Relist(Duration::ZERO)),
            Err(NoStream::Forbidden) => return Ok(Ended::Relist(if is_whole { POLL } else { POLL_RARELY })),
            Err(NoStream::NotFound) => return Ok(Ended::Relist(Duration::ZERO)),
            Err(NoStream::Passing(why, asked)) => {
                self.tell(News::Trouble(why)).await?;
                tokio::time::sleep(asked.unwrap_or_default()).await;
                return Ok(Ended::Resume);
            }
            Err(NoStream::Error(error)) => {
                self.tell(News::Failed(error)).await?;
                return Err(Over);
            }
        };
        self.tell(News::Well).await?;
        loop {
            let line = match stream.line(PATIENCE).await {
                Line::Text(line) => line,
                Line::End => return Ok(Ended::Resume),
                Line::Broken(why) => {
                    self.tell(News::Trouble(format!("the connection breaks ({why})"))).await?;
                    return Ok(Ended::Resume);
                }
            };
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let Ok(head) = serde_json::from_slice::<Head>(&line) else {
                self.tell(News::Trouble(format!("its news of {} make no sense", self.info.plural))).await?;
                return Ok(Ended::Relist(Duration::ZERO));
            };
            let news = match head.kind.as_str() {
                "ADDED" | "MODIFIED" => self.seen(&line).map(News::Changed),
                "DELETED" => Some(News::Gone(head.object.metadata.name.into())),
                "BOOKMARK" => None,
                // 410: the version is too old. Whatever else it is, what is known may no longer be true.
                _ => {
                    if head.object.code != 410 {
                        let said = plain(&head.object.message, 200);
                        self.tell(News::Trouble(format!("it says: {said}"))).await?;
                    }
                    return Ok(Ended::Relist(Duration::ZERO));
                }
            };
            if !head.object.metadata.resource_version.is_empty() {
                *version = head.object.metadata.resource_version;
            }
            *pause = FIRST_PAUSE;
            if let Some(news) = news {
                self.tell(news).await?;
            }
        }
    }

    /// What a line of a watch has for us; nothing where it cannot be read.
    fn seen(&self, line: &[u8]) -> Option<Seen> {
        match self.info.kind {
            Kind::MachineConfigPool => {
                serde_json::from_slice::<Frame<_>>(line).ok().map(|frame| Seen::Pool(frame.object))
            }
            Kind::Node => serde_json::from_slice::<Frame<_>>(line).ok().and_then(|frame| seen_node(frame.object)),
            _ => serde_json::from_slice::<Frame<_>>(line).ok().and_then(|frame| seen_name(frame.object)),
        }
    }

    async fn tell(&self, news: News) -> Result<(), Over> {
        self.sender.send(Event { kind: self.info.kind, news }).await.map_err(|_| Over)
    }
}

/// Whoever may see just this object may list it so.
fn only(name: &str) -> String {
    format!("fieldSelector=metadata.name%3D{name}")
}

async fn rest(pause: &mut Duration) {
    tokio::time::sleep(*pause).await;
    *pause = (*pause * 2).min(LONGEST_PAUSE);
}

/// The items of a page, without those that make no sense.
fn page<T: DeserializeOwned>(body: &[u8], seen: impl Fn(T) -> Option<Seen>) -> Option<(Vec<Seen>, ListMetadata)> {
    let page: Page<T> = serde_json::from_slice(body).ok()?;
    Some((page.items.into_iter().filter_map(|item| item.0).filter_map(seen).collect(), page.metadata))
}

fn seen_node(node: MiniNode) -> Option<Seen> {
    let status = api::Node { status: node.status };
    (!node.metadata.name.is_empty()).then(|| Seen::Node(NodeFacts::of(&node.metadata, &status)))
}

fn seen_name(object: Named) -> Option<Seen> {
    Some(Seen::Other(object.metadata.name.into()))
}

#[derive(Deserialize)]
struct Page<T: DeserializeOwned> {
    #[serde(default, deserialize_with = "nullable")]
    metadata: ListMetadata,
    #[serde(default = "Vec::new", deserialize_with = "nullable")]
    items: Vec<Lenient<T>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ListMetadata {
    #[serde(rename = "continue", deserialize_with = "nullable")]
    next: String,
    #[serde(deserialize_with = "nullable")]
    resource_version: String,
}

/// One that makes no sense must not take the others with it.
struct Lenient<T>(Option<T>);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, bound(deserialize = "T: DeserializeOwned"))]
        enum Either<T> {
            Sense(T),
            Nonsense(serde::de::IgnoredAny),
        }
        Ok(Self(match Either::deserialize(deserializer)? {
            Either::Sense(value) => Some(value),
            Either::Nonsense(_) => None,
        }))
    }
}

#[derive(Deserialize)]
struct MiniNode {
    #[serde(default)]
    metadata: api::Metadata,
    #[serde(default)]
    status: api::NodeStatus,
}

/// What every line of a watch has; an error is a `Status`.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    object: Named,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    #[serde(deserialize_with = "nullable")]
    metadata: NamedMetadata,
    code: u16,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct NamedMetadata {
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    resource_version: String,
}

#[derive(Deserialize)]
struct Frame<T> {
    object: T,
}

fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
