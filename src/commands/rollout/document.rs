//! A rollout as a document and as a person sees it.

use std::borrow::Cow;
use std::io;

use serde::Serialize;

use crate::commands::load::{Header, Loaded};
use crate::compile::in_force::InForce;
use crate::output::{API_VERSION, Report, Style, Table, Terminal};
use crate::rollout::{NodeStatus, PoolStatus, RolloutStatus, State};

/// interface.md 3, `Rollout`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rollout {
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    pub header: Header,
    #[serde(flatten)]
    pub status: RolloutStatus,
    /// Whether it is one of many pictures.
    #[serde(skip)]
    pub moving: bool,
}

/// Rows about nodes where there is no `-o wide`.
const MOST_NODES: usize = 20;
const BAR: u64 = 20;

impl Rollout {
    pub fn new(loaded: &Loaded, status: RolloutStatus) -> Self {
        let header = loaded.header("desired", Some(in_force(&status)));
        Self { api_version: API_VERSION, kind: "Rollout", header, status, moving: false }
    }

    fn pool_table(&self, t: &mut Terminal) -> io::Result<()> {
        let mut table = Table::new(t, &["POOL", "STATE", "UPDATED", "HAVE THE CHANGE"]);
        for pool in &self.status.pools {
            let updated = match (self.moving, pool.nodes) {
                (true, nodes) if nodes > 0 => format!("{} {}", bar(pool.updated, nodes), of(pool.updated, nodes)),
                (_, nodes) => of(pool.updated, nodes),
            };
            let have_change = pool.have_change.map_or("unknown".to_string(), |have| of(have, pool.nodes));
            table.row([
                (Style::Plain, Cow::from(&*pool.name)),
                (style(pool.state), word(pool.state).into()),
                (Style::Plain, updated.into()),
                (Style::Plain, have_change.into()),
            ]);
        }
        table.print(t)
    }

    /// What somebody should know about pools; what holds for several stands once.
    fn reasons(&self, t: &mut Terminal) -> io::Result<()> {
        let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
        for pool in &self.status.pools {
            let Some(why) = pool.reason.as_deref().or(pool.paused.then_some("paused")) else { continue };
            match reasons.iter_mut().find(|(known, _)| *known == why) {
                Some((_, pools)) => pools.push(&pool.name),
                None => reasons.push((why, vec![&pool.name])),
            }
        }
        if reasons.is_empty() {
            return Ok(());
        }
        t.end_line()?;
        let mut table = Table::new(t, &["POOL", "WHY"]);
        for (why, pools) in reasons {
            table.row([(Style::Plain, Cow::from(pools.join(", "))), (Style::Plain, why.into())]);
        }
        table.print(t)
    }

    fn node_table(&self, t: &mut Terminal) -> io::Result<()> {
        let nodes = &self.status.nodes;
        let mut shown: Vec<&NodeStatus> = nodes.iter().filter(|node| t.wide() || node.state != State::Done).collect();
        // What needs somebody comes first.
        shown.sort_by(|a, b| b.state.cmp(&a.state).then_with(|| is_waiting(a).cmp(&is_waiting(b))));
        let (not_done, most) = (shown.len(), if t.wide() { usize::MAX } else { MOST_NODES });
        shown.truncate(most);
        if !shown.is_empty() {
            t.end_line()?;
            let heads = ["NODE", "POOL", "STATE", "HAS THE CHANGE", "WHY"];
            let wide = [&heads[..4], &["CURRENT", "DESIRED", "WHY"]].concat();
            let mut table = Table::new(t, if t.wide() { &wide } else { &heads });
            for node in shown {
                let has = node.have_change.map_or("unknown", |has| if has { "yes" } else { "no" });
                let mut cells = vec![
                    (Style::Plain, Cow::from(&*node.name)),
                    (Style::Plain, Cow::from(&*node.pool)),
                    (style(node.state), word(node.state).into()),
                    (Style::Plain, has.into()),
                ];
                if t.wide() {
                    cells.push((Style::Plain, Cow::from(&*node.current)));
                    cells.push((Style::Plain, Cow::from(&*node.desired)));
                }
                cells.push((Style::Plain, node.reason.as_deref().unwrap_or_default().into()));
                table.row(cells);
            }
            table.print(t)?;
        }
        if not_done > most {
            t.end_line()?;
            t.line(&format!("{} more nodes are not done: -o wide shows them all", not_done - most))?;
        }
        Ok(())
    }
}

impl Report for Rollout {
    fn human(&self, t: &mut Terminal) -> io::Result<()> {
        let release = self.header.release_in_words();
        t.line(&format!("{} · {} · {release}", headline(&self.status), self.header.truth_in_words()))?;
        let gaps = self.header.gaps_in_words();
        if !gaps.is_empty() {
            t.put(Style::Caution, &format!("incomplete: {gaps}"))?;
            t.end_line()?;
        }
        t.end_line()?;
        self.pool_table(t)?;
        self.reasons(t)?;
        self.node_table(t)
    }

    fn names(&self, t: &mut Terminal) -> io::Result<()> {
        self.status.pools.iter().try_for_each(|pool| t.line(&pool_name(pool)))?;
        self.status.nodes.iter().try_for_each(|node| t.line(&node_name(node)))
    }
}

pub(super) fn pool_name(pool: &PoolStatus) -> String {
    format!("machineconfigpool.machineconfiguration.openshift.io/{}", pool.name)
}

pub(super) fn node_name(node: &NodeStatus) -> String {
    format!("node/{}", node.name)
}

/// One line about a pool: `worker progressing: 3 of 5 nodes updated`
pub(super) fn pool_line(pool: &PoolStatus) -> String {
    let why = pool.reason.as_ref().map(|why| format!(", {why}")).unwrap_or_default();
    format!("pool {} {}: {} nodes updated{why}", pool.name, word(pool.state), of(pool.updated, pool.nodes))
}

/// `node worker-2 progressing: being drained`
pub(super) fn node_line(node: &NodeStatus) -> String {
    let why = node.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    format!("node {} {}{why}", node.name, word(node.state))
}

/// What it comes to, in a few words.
pub(super) fn headline(status: &RolloutStatus) -> String {
    let done = status.pools.iter().filter(|pool| pool.state == State::Done).count() as u64;
    let pools = status.pools.len() as u64;
    let word = match status.state() {
        State::Done => return "Rolled out".to_string(),
        State::Progressing => "Rolling out",
        State::Stuck => "Stuck",
        State::Degraded => "Degraded",
    };
    format!("{word}, {} pools done", of(done, pools))
}

/// Whether all nodes have it, as far as this shows.
fn in_force(status: &RolloutStatus) -> InForce {
    let of_pool = |pool: &PoolStatus| match pool.have_change {
        Some(have) if have == pool.nodes && (pool.nodes > 0 || pool.state == State::Done) => InForce::Yes,
        Some(_) => InForce::No,
        None => InForce::Unknown,
    };
    let all: Vec<InForce> = status.pools.iter().map(of_pool).collect();
    [InForce::No, InForce::Unknown].into_iter().find(|answer| all.contains(answer)).unwrap_or(InForce::Yes)
}

fn of(some: u64, all: u64) -> String {
    format!("{some} of {all}")
}

fn bar(some: u64, all: u64) -> String {
    let full = u128::from(some.min(all)) * u128::from(BAR) / u128::from(all.max(1));
    let full = usize::try_from(full).unwrap_or(0);
    format!("{}{}", "█".repeat(full), "░".repeat(BAR as usize - full))
}

fn is_waiting(node: &NodeStatus) -> bool {
    node.current == node.desired
}

fn word(state: State) -> &'static str {
    match state {
        State::Done => "done",
        State::Progressing => "progressing",
        State::Stuck => "stuck",
        State::Degraded => "degraded",
    }
}

fn style(state: State) -> Style {
    match state {
        State::Done => Style::Good,
        State::Progressing => Style::Accent,
        State::Stuck => Style::Caution,
        State::Degraded => Style::Bad,
    }
}
