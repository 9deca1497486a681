//! IMP503

use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::snapshot::{Kind, Object, api};

pub static RULE: Rule = Rule {
    code: 503,
    name: "pool-not-converging",
    level: Level::Warning,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "all",
    pitfalls: &[39],
    needs: &[Kind::MachineConfigPool],
    summary: "A pool is paused or degraded: its nodes do not take what is rendered for them.",
    why: "The machine-config-operator gives nodes a new MachineConfig one after the other. It gives none to a pool that is paused, and stops at a \
          node that fails. Policies that were written since then have no effect on the other nodes, and certificates that are rotated with \
          MachineConfigs run out.",
    fix: "End the pause. For a degraded pool look at the message of its condition, and at the node that it names.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfigPool
metadata:
  name: worker
spec:
  paused: true
  configuration:
    name: rendered-worker-7c1a
  machineConfigSelector:
    matchLabels:
      machineconfiguration.openshift.io/role: worker
  nodeSelector:
    matchLabels:
      node-role.kubernetes.io/worker: \"\"
status:
  configuration:
    name: rendered-worker-5f2b
  machineCount: 3
  updatedMachineCount: 1
",
        },
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfigPool
metadata:
  name: worker
spec:
  configuration:
    name: rendered-worker-7c1a
  machineConfigSelector:
    matchLabels:
      machineconfiguration.openshift.io/role: worker
  nodeSelector:
    matchLabels:
      node-role.kubernetes.io/worker: \"\"
status:
  configuration:
    name: rendered-worker-5f2b
  machineCount: 3
  updatedMachineCount: 1
  conditions:
    - type: NodeDegraded
      status: \"True\"
      message: 'Node worker-1 is reporting: \"unexpected on-disk state\"'
",
        },
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfigPool
metadata:
  name: worker
spec:
  configuration:
    name: rendered-worker-7c1a
  machineConfigSelector:
    matchLabels:
      machineconfiguration.openshift.io/role: worker
status:
  configuration:
    name: rendered-worker-5f2b
  machineCount: 3
  updatedMachineCount: 1
  conditions:
    - type: Updating
      status: \"False\"
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfigPool
metadata:
  name: worker
spec:
  configuration:
    name: rendered-worker-7c1a
  machineConfigSelector:
    matchLabels:
      machineconfiguration.openshift.io/role: worker
  nodeSelector:
    matchLabels:
      node-role.kubernetes.io/worker: \"\"
status:
  configuration:
    name: rendered-worker-7c1a
  machineCount: 3
  updatedMachineCount: 3
  conditions:
    - type: Updated
      status: \"True\"
",
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for pool in &context.snapshot.pools {
        let name = shown(&pool.metadata.name);
        let behind = behind(pool);
        let degraded = degraded(pool);
        if pool.value.spec.paused {
            let message = format!("pool {name} is paused: its nodes take nothing new");
            let effect = match behind {
                0 => "what is rendered from now on does not reach its nodes".to_string(),
                1 => "1 of its nodes does not have what is rendered for the pool".to_string(),
                number => format!("{number} of its nodes do not have what is rendered for the pool"),
            };
            let resume = fix::Fix::risky("end the pause").replace(&pool.reference, "spec.paused", true, false);
            let help = format!("end the pause, when its nodes may be updated:\n{}", resume.commands().join("\n"));
            findings.push(Finding::new(&RULE, pool, "spec.paused", message).effect(effect).help(help));
        }
        if let Some((position, condition)) = degraded {
            let message = format!("pool {name} is degraded: {} is True", shown(&condition.kind));
            let words = match one_line(&condition.message) {
                text if text.is_empty() => "it gives no reason".to_string(),
                text => format!("\"{text}\""),
            };
            let effect = format!("its nodes do not take what is rendered for them until that is mended: {words}");
            let help = format!(
                "see what is wrong with it:\noc describe machineconfigpool {}",
                fix::shell_word(&pool.metadata.name)
            );
            let path = format!("status.conditions[{position}]");
            findings.push(Finding::new(&RULE, pool, path, message).effect(effect).help(help));
        }
        let (wanted, had) = (&pool.value.spec.configuration.name, &pool.value.status.configuration.name);
        if !pool.value.spec.paused && degraded.is_none() && !wanted.is_empty() && !had.is_empty() && wanted != had {
            let (had, wanted) = (shown(had), shown(wanted));
            let is_updating =
                pool.value.status.conditions.iter().any(|it| it.kind == "Updating" && it.status == "True");
            let message = match is_updating {
                true => format!("pool {name} is on its way from {had} to {wanted}"),
                false => format!("pool {name} still has {had} and not {wanted}, and does not say that it is updating"),
            };
            let help = match is_updating {
                true => "wait for it:\noc imagepolicy rollout --wait".to_string(),
                false => format!(
                    "see what keeps it:\noc describe machineconfigpool {}",
                    fix::shell_word(&pool.metadata.name)
                ),
            };
            let effect = "nodes that have not had their turn go by what they had before";
            let finding = Finding::new(&RULE, pool, "status.configuration.name", message).effect(effect).help(help);
            findings.push(if is_updating { finding.level(Level::Info) } else { finding });
        }
    }
}

fn behind(pool: &Object<api::MachineConfigPool>) -> i64 {
    let status = &pool.value.status;
    status.machine_count.saturating_sub(status.updated_machine_count).max(0)
}

/// The most telling condition that says so.
fn degraded(pool: &Object<api::MachineConfigPool>) -> Option<(usize, &api::Condition)> {
    let rank = |kind: &str| match kind {
        "RenderDegraded" => 0,
        "NodeDegraded" => 1,
        "Degraded" => 3,
        _ => 2,
    };
    let conditions = pool.value.status.conditions.iter().enumerate();
    let degraded =
        conditions.filter(|(_, condition)| condition.kind.ends_with("Degraded") && condition.status == "True");
    degraded.min_by_key(|(_, condition)| (rank(&condition.kind), condition.message.is_empty()))
}

/// What somebody else wrote, which may be a whole log, as one line that is not too long.
fn one_line(text: &str) -> String {
    const MOST: usize = 300;
    let words: Vec<&str> = text.split_whitespace().take(MOST).collect();
    let line = words.join(" ");
    match line.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None => line,
    }
}
