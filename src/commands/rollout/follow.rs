//! A rollout while it happens: what the cluster tells is gathered, looked at a few times a second, and shown where it differs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::document::{Rollout, headline, node_line, node_name, pool_line, pool_name};
use super::{check_worth, choose, unknown};
use crate::cluster::watch::{Event, Feed, Fetched, News, Seen};
use crate::cluster::{Connection, ConnectionArgs, block_on, connect, read};
use crate::commands::input::{ConnectionFlags, InputArgs};
use crate::commands::load::{Loaded, Needs};
use crate::commands::{Answer, OutputArgs, say};
use crate::error::{Error, Result};
use crate::output::{Format, Terminal};
use crate::rollout::{Comparison, NodeFacts, RolloutStatus, State, Wanted, blind, status_of};
use crate::snapshot::{Gap, GapReason, Kind, Laying, Origin};

/// What to follow, and to what end.
pub(super) struct Follow<'a> {
    pub input: &'a InputArgs,
    pub connection: &'a ConnectionFlags,
    pub output: &'a OutputArgs,
    pub pool: Option<&'a str>,
    pub watch: bool,
    pub wait: bool,
    pub timeout: Option<Duration>,
}

/// Between two looks at all of it.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What stands in the way must do so for as long, before nobody waits any more: pools degrade for a moment when objects are
/// written one after the other.
const GRACE: Duration = Duration::from_secs(5);
/// Between two readings of the policies, which may be many.
const READ_EVERY: Duration = Duration::from_secs(3);
/// MachineConfigs that are fetched before the next look.
const FETCH_AT_ONCE: usize = 8;

pub(super) fn run(follow: &Follow) -> Answer {
    let connection = connect(&ConnectionArgs::from(follow.connection))?;
    block_on(until_the_end(follow, &connection))
}

async fn until_the_end(follow: &Follow<'_>, connection: &Connection) -> Answer {
    let deadline = follow.timeout.map(|timeout| Instant::now() + timeout);
    let mut kinds: Vec<Kind> = Needs::Policies.kinds().to_vec();
    kinds.push(Kind::Node);
    // From the first list of each kind on nothing is missed; what is read after it is no older.
    let mut feed = Feed::start(connection, &kinds)?;
    let mut scene = Scene::default();
    while !scene.has_begun(&kinds) {
        tokio::select! {
            event = feed.next() => scene.take(event.ok_or_else(ended)?)?,
            () = maybe(deadline) => break,
        }
    }
    let mut stage = Stage::read(follow, connection, &mut scene).await?;
    let mut t = follow.output.terminal();
    let mut show = Show::new(follow, &mut t);
    let mut hopeless_since: Option<Instant> = None;
    let mut next_look = Instant::now();
    loop {
        if Instant::now() >= next_look {
            if scene.is_stale && stage.read_at.elapsed() >= READ_EVERY {
                stage.read_again(follow, connection, &mut scene).await;
            }
            let mut status = stage.look(&mut scene, &feed).await;
            choose(&mut status, follow.pool)?;
            show.show(&stage, &scene, &status)?;
            let is_settled = !scene.is_stale && scene.unknown.is_empty() && scene.has_nodes();
            match status.hopeless() {
                Some(_) => _ = hopeless_since.get_or_insert_with(Instant::now),
                None => hopeless_since = None,
            }
            if follow.wait && is_settled {
                let is_done = status.state() == State::Done && blind(&stage.loaded.snapshot).is_none();
                if is_done || hopeless_since.is_some_and(|since| since.elapsed() >= GRACE) {
                    show.end(&stage, status)?;
                    return Ok(is_done);
                }
                if let Some(gap) = blind(&stage.loaded.snapshot) {
                    show.end(&stage, status)?;
                    return Err(unknown(gap));
                }
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                let trouble =
                    scene.trouble().map(|why| format!("; {}: {why}", connection.server())).unwrap_or_default();
                let message = format!(
                    "not done within {}: {}{trouble}",
                    in_words(follow.timeout.unwrap_or_default()),
                    headline(&status).to_lowercase()
                );
                show.end(&stage, status)?;
                let hint = "a longer --timeout waits longer; the table says what it waits for".into();
                return Err(Error::Incomplete { message, hint });
            }
            scene.is_new = false;
        }
        // Without news there is nothing to look at, but what waits for its time.
        let waits = hopeless_since.is_some() || scene.is_stale || !scene.unknown.is_empty();
        next_look = Instant::now() + LOOK_EVERY;
        loop {
            let look = (scene.is_new || waits).then_some(next_look);
            let wake = [look, deadline].into_iter().flatten().min();
            tokio::select! {
                biased;
                () = maybe(wake) => break,
                event = feed.next() => scene.take(event.ok_or_else(ended)?)?,
            }
        }
        next_look = Instant::now();
    }
}

fn ended() -> Error {
    Error::Incomplete {
        message: "there is nothing left to follow".into(),
        hint: "get the rights of docs/rbac.yaml, with the verb watch".into(),
    }
}

async fn maybe(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn in_words(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

/// What the feed has told.
#[derive(Default)]
struct Scene {
    /// Kinds that have been listed, or will never be.
    begun: BTreeMap<Kind, bool>,
    /// Pools that were told of since the last look: by name, `None` for one that is gone.
    pools: BTreeMap<String, Option<serde_json::Value>>,
    /// Whether those are all.
    pools_are_all: bool,
    /// `None` as long as they are not known.
    nodes: Option<BTreeMap<Arc<str>, NodeFacts>>,
    nodes_are_hidden: bool,
    gaps: Vec<Gap>,
    troubles: BTreeMap<Kind, String>,
    has_been_read: bool,
    /// Whether what nodes should have may be something else by now.
    is_stale: bool,
    /// Whether anything has come since the last look.
    is_new: bool,
    /// Comparisons that are still to be made: pool and MachineConfig.
    unknown: Vec<(Arc<str>, Arc<str>)>,
}

impl Scene {
    fn has_begun(&self, kinds: &[Kind]) -> bool {
        kinds.iter().all(|kind| self.begun.contains_key(kind))
    }

    /// Whether the nodes are known, or will never be.
    fn has_nodes(&self) -> bool {
        self.nodes.is_some() || self.nodes_are_hidden
    }

    /// What to say of a server that does not answer.
    fn trouble(&self) -> Option<&str> {
        self.troubles.values().next().map(String::as_str)
    }

    fn take(&mut self, event: Event) -> Result<()> {
        let Event { kind, news } = event;
        let had_begun = self.begun.insert(kind, true).is_some();
        self.is_new = true;
        match news {
            News::Trouble(why) => {
                self.troubles.insert(kind, why);
                return Ok(());
            }
            News::Failed(error) => return Err(error),
            _ => _ = self.troubles.remove(&kind),
        }
        match news {
            News::All(all) => {
                match kind {
                    Kind::MachineConfigPool => {
                        self.pools.clear();
                        self.pools_are_all = true;
                    }
                    Kind::Node => self.nodes = Some(BTreeMap::new()),
                    // The first one is older than what is read.
                    _ => self.is_stale |= had_begun,
                }
                all.into_iter().for_each(|seen| self.see(seen));
            }
            News::Changed(seen) => {
                self.is_stale |= matches!(&seen, Seen::Other(name) if matters(kind, name));
                self.see(seen);
            }
            News::Gone(name) => match kind {
                Kind::MachineConfigPool => _ = self.pools.insert(name.into_string(), None),
                Kind::Node => _ = self.nodes.as_mut().and_then(|nodes| nodes.remove(&*name)),
                _ => self.is_stale |= matters(kind, &name),
            },
            News::Forbidden(message) if kind == Kind::Node => {
                self.nodes_are_hidden = true;
                self.gaps.push(Gap { kind, namespace: None, reason: GapReason::Forbidden, message });
            }
            News::Forbidden(_) | News::NotInstalled | News::Well | News::Trouble(_) | News::Failed(_) => {}
        }
        Ok(())
    }

    fn see(&mut self, seen: Seen) {
        match seen {
            Seen::Pool(pool) => {
                let name = pool.pointer("/metadata/name").and_then(serde_json::Value::as_str).unwrap_or_default();
                self.pools.insert(name.to_string(), Some(pool));
            }
            Seen::Node(node) => _ = self.nodes.get_or_insert_default().insert(Arc::clone(&node.name), node),
            Seen::Other(_) => {}
        }
    }
}

/// Rendered MachineConfigs follow from others, and are looked at when somebody names them.
fn matters(kind: Kind, name: &str) -> bool {
    kind != Kind::MachineConfig || !name.starts_with("rendered-")
}

/// What nodes should have, and what has been found out about MachineConfigs.
struct Stage {
    loaded: Loaded,
    wanted: Wanted,
    known: HashMap<(Arc<str>, Arc<str>), Comparison>,
    read_at: Instant,
}

impl Stage {
    async fn read(follow: &Follow<'_>, connection: &Connection, scene: &mut Scene) -> Result<Self> {
        let mut snapshot = read(connection, Needs::Policies.kinds(), None).await?;
        if scene.has_been_read {
            // Said once is enough.
            snapshot.warnings.clear();
        }
        snapshot.gaps.extend(scene.gaps.iter().cloned());
        let loaded = Loaded::of(follow.input, Needs::Policies, snapshot)?;
        check_worth(&loaded)?;
        let wanted = Wanted::of(&loaded.snapshot, &loaded.compiled);
        let mut stage = Self { loaded, wanted, known: HashMap::new(), read_at: Instant::now() };
        stage.compare_what_was_read();
        (scene.is_stale, scene.has_been_read) = (false, true);
        Ok(stage)
    }

    /// Where that fails, what was known stands, and it is tried again.
    async fn read_again(&mut self, follow: &Follow<'_>, connection: &Connection, scene: &mut Scene) {
        // What changes from here on is not in it for certain.
        scene.is_stale = false;
        match Self::read(follow, connection, scene).await {
            Ok(stage) => *self = stage,
            Err(error) => {
                scene.is_stale = true;
                scene.troubles.insert(Kind::Image, error.to_string());
                self.read_at = Instant::now();
            }
        }
    }

    /// MachineConfigs have megabytes: what they were compared with stays, they do not.
    fn compare_what_was_read(&mut self) {
        let machine_configs = std::mem::take(&mut self.loaded.snapshot.machine_configs);
        for object in machine_configs.iter().filter(|object| object.metadata.name.starts_with("rendered-")) {
            for pool in &self.loaded.snapshot.pools {
                let pool: Arc<str> = pool.metadata.name.as_str().into();
                let comparison = self.wanted.compare(object, &pool, &self.loaded.compiled);
                self.known.insert((pool, object.metadata.name.as_str().into()), comparison);
            }
        }
    }

    /// Where everything stands.
    async fn look(&mut self, scene: &mut Scene, feed: &Feed) -> RolloutStatus {
        self.take_pools(scene);
        let mut status = self.status(scene);
        if !scene.unknown.is_empty() {
            let unknown = std::mem::take(&mut scene.unknown);
            for name in names(&unknown).into_iter().take(FETCH_AT_ONCE) {
                let fetched = feed.machine_config(&name).await;
                for (pool, _) in unknown.iter().filter(|(_, wanted)| *wanted == name) {
                    let comparison = match &fetched {
                        Fetched::Found(object) => self.wanted.compare(object, pool, &self.loaded.compiled),
                        Fetched::Missing => Comparison::Missing,
                        Fetched::Unknown => Comparison::Unknown,
                    };
                    self.known.insert((Arc::clone(pool), Arc::clone(&name)), comparison);
                }
            }
            status = self.status(scene);
        }
        status
    }

    fn take_pools(&mut self, scene: &mut Scene) {
        let snapshot = &mut self.loaded.snapshot;
        if std::mem::take(&mut scene.pools_are_all) {
            let names: Vec<String> = snapshot.pools.iter().map(|pool| pool.metadata.name.clone()).collect();
            names.iter().for_each(|name| _ = snapshot.remove(Kind::MachineConfigPool, "", name));
        }
        if scene.pools.is_empty() {
            return;
        }
        let gaps = snapshot.gaps.len();
        let info = Kind::MachineConfigPool.info();
        for (name, pool) in std::mem::take(&mut scene.pools) {
            let Some(mut pool) = pool else {
                snapshot.remove(Kind::MachineConfigPool, "", &name);
                continue;
            };
            if let Some(object) = pool.as_object_mut() {
                // Items of a list do not say what they are.
                object.insert(
                    "apiVersion".into(),
                    format!("{}/{}", info.group, info.versions.first().unwrap_or(&"v1")).into(),
                );
                object.insert("kind".into(), info.kind.name().into());
            }
            // One that makes no sense becomes a gap.
            let _ = snapshot.insert(pool, Origin::Live, Laying::OnTop);
        }
        let mut news = snapshot.gaps.split_off(gaps);
        news.retain(|gap| !snapshot.gaps.contains(gap));
        snapshot.gaps.extend(news);
        snapshot.pools.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    }

    fn status(&self, scene: &mut Scene) -> RolloutStatus {
        let unknown = &mut scene.unknown;
        unknown.clear();
        let mut compare = |pool: &Arc<str>, name: &Arc<str>| {
            let key = (Arc::clone(pool), Arc::clone(name));
            match self.known.get(&key) {
                Some(comparison) => *comparison,
                None => {
                    unknown.push(key);
                    Comparison::Unknown
                }
            }
        };
        let nodes = scene.nodes.as_ref().map(BTreeMap::values);
        let status = status_of(&self.loaded.snapshot, nodes, &mut compare, self.wanted.refusals());
        unknown.sort();
        unknown.dedup();
        status
    }
}

fn names(unknown: &[(Arc<str>, Arc<str>)]) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = unknown.iter().map(|(_, name)| Arc::clone(name)).collect();
    names.sort();
    names.dedup();
    names
}

/// What has been shown, and how.
struct Show<'a, 't> {
    follow: &'a Follow<'a>,
    t: &'t mut Terminal,
    shown: Option<RolloutStatus>,
    trouble: Option<String>,
    has_said_gaps: bool,
}

impl<'a, 't> Show<'a, 't> {
    fn new(follow: &'a Follow<'a>, t: &'t mut Terminal) -> Self {
        Self { follow, t, shown: None, trouble: None, has_said_gaps: false }
    }

    fn paints(&self) -> bool {
        self.follow.watch && !self.format().is_document() && self.format() != Format::Name && self.t.is_terminal()
    }

    fn format(&self) -> Format {
        self.follow.output.format
    }

    /// Shows what is new, where anybody wants to see it.
    fn show(&mut self, stage: &Stage, scene: &Scene, status: &RolloutStatus) -> Result<()> {
        let trouble = scene.trouble();
        let is_same_trouble = self.trouble.as_deref() == trouble;
        if self.shown.as_ref() == Some(status) && is_same_trouble {
            return Ok(());
        }
        if !std::mem::replace(&mut self.has_said_gaps, true) {
            stage.loaded.say_gaps();
        }
        if !is_same_trouble && !self.paints() {
            match trouble {
                Some(why) => say("waiting", &format!("{} cannot be followed: {why}", stage.server())),
                None => say("waiting", &format!("{} can be followed again", stage.server())),
            }
        }
        self.trouble = trouble.map(str::to_string);
        if !self.follow.watch {
            return Ok(());
        }
        let is_new = self.shown.as_ref() != Some(status);
        match self.format() {
            Format::Table | Format::Wide if self.paints() => self.paint(stage, status)?,
            Format::Table | Format::Wide if is_new => self.changes(stage, status)?,
            Format::Jsonl if is_new => {
                crate::output::print(&Rollout::new(&stage.loaded, status.clone()), Format::Jsonl, self.t)?;
            }
            Format::Name if is_new => self.changed_names(status)?,
            _ => {}
        }
        self.shown = Some(status.clone());
        Ok(())
    }

    fn paint(&mut self, stage: &Stage, status: &RolloutStatus) -> Result<()> {
        let mut rollout = Rollout::new(&stage.loaded, status.clone());
        rollout.moving = true;
        let trouble = self.trouble.as_ref().map(|why| format!("{} cannot be followed: {why}", stage.server()));
        self.t.repaint(|t| {
            crate::output::Report::human(&rollout, t)?;
            match &trouble {
                Some(trouble) => {
                    t.end_line()?;
                    t.line(trouble)
                }
                None => Ok(()),
            }
        })?;
        Ok(())
    }

    /// A picture first, then a line for each pool or node that differs.
    fn changes(&mut self, stage: &Stage, status: &RolloutStatus) -> Result<()> {
        let Some(before) = &self.shown else {
            return Ok(crate::output::print(&Rollout::new(&stage.loaded, status.clone()), self.format(), self.t)?);
        };
        let nodes: HashMap<&str, _> = before.nodes.iter().map(|node| (&*node.name, node)).collect();
        for node in &status.nodes {
            let old = nodes.get(&*node.name);
            if old.is_none_or(|old| (old.state, &old.reason) != (node.state, &node.reason)) {
                self.t.line(&node_line(node))?;
            }
        }
        for pool in &status.pools {
            let old = before.pools.iter().find(|old| old.name == pool.name);
            if old != Some(pool) {
                self.t.line(&pool_line(pool))?;
            }
        }
        Ok(self.t.flush()?)
    }

    fn changed_names(&mut self, status: &RolloutStatus) -> Result<()> {
        let empty = RolloutStatus::default();
        let before = self.shown.as_ref().unwrap_or(&empty);
        let nodes: HashMap<&str, _> = before.nodes.iter().map(|node| (&*node.name, node)).collect();
        for node in status.nodes.iter().filter(|node| nodes.get(&*node.name) != Some(node)) {
            self.t.line(&node_name(node))?;
        }
        for pool in status.pools.iter().filter(|pool| !before.pools.contains(pool)) {
            self.t.line(&pool_name(pool))?;
        }
        Ok(self.t.flush()?)
    }

    /// The last word, in formats that have not said it yet.
    fn end(&mut self, stage: &Stage, status: RolloutStatus) -> Result<()> {
        let has_said_it = self.follow.watch && matches!(self.format(), Format::Jsonl | Format::Name);
        if has_said_it || self.paints() {
            return Ok(());
        }
        if self.follow.watch && self.shown.is_some() && !self.format().is_document() {
            self.t.end_line()?;
        }
        let rollout = Rollout::new(&stage.loaded, status);
        crate::output::print(&rollout, self.format(), self.t)?;
        self.follow.output.say_refusals(&rollout.header.refusals);
        Ok(())
    }
}

impl Stage {
    fn server(&self) -> &str {
        match &self.loaded.snapshot.source {
            crate::snapshot::Source::Live(server) => server,
            _ => "the server",
        }
    }
}
